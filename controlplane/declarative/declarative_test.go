package declarative_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when everything happens in these tests: later than the clock of the
// store, which must not see the end of what has a ttl.
var noon = time.Date(2100, 11, 29, 12, 0, 0, 0, time.UTC)

// schemas are compiled once for all tests: they never change.
var schemas = sync.OnceValues(func() (*schema.Catalogue, error) { return schema.Load(schema.Options{}) })

func load(t testing.TB) *schema.Catalogue {
	t.Helper()
	c, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parse(t testing.TB, text string) (*declarative.Config, error) {
	t.Helper()
	return declarative.Parse(load(t), []byte(text), declarative.Options{At: noon})
}

func mustParse(t testing.TB, text string) *declarative.Config {
	t.Helper()
	c, err := parse(t, text)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, text)
	}
	return c
}

// invalid is the error of a text that must have one.
func invalid(t testing.TB, text string) *declarative.Error {
	t.Helper()
	_, err := parse(t, text)
	var e *declarative.Error
	if !errors.As(err, &e) {
		t.Fatalf("Parse: %v, want an *Error\n%s", err, text)
	}
	return e
}

// golden compares a text with a file, or rewrites the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// files are the inputs in a folder, by name.
func files(t testing.TB, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	return names
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestErrors shows each error in all forms that clients see.
func TestErrors(t *testing.T) {
	for _, name := range files(t, "errors") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			e := invalid(t, read(t, name))
			rows, rest := e.Flatten()
			var b strings.Builder
			b.WriteString("message:\n" + e.Error() + "\n\nfields:\n" + e.Fields().String() + "\n\n")
			b.WriteString("at a terminal:\n" + e.Text() + "\n\nflattened_errors:\n")
			for _, row := range rows.Elements() {
				b.WriteString(row.String() + "\n")
			}
			b.WriteString("\nfields beside flattened_errors:\n" + rest.String() + "\n")
			golden(t, strings.TrimSuffix(name, ".yaml")+".txt", b.String())
		})
	}
}

func TestTexts(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", ``, `{error="failed parsing declarative configuration: expected an object"}`},
		{"a list", `- a`, `{error="failed parsing declarative configuration: expected an object"}`},
		{"a text", `hello`, `{error="failed parsing declarative configuration: expected an object"}`},
		{"no format", `services: []`, `{_format_version="required field missing"}`},
		{"another format", `_format_version: "2.0"`, `{_format_version="expected one of: 1.1, 2.1, 3.0"}`},
		{"a number for the format", `_format_version: 3.0`, `{_format_version="expected a string"}`},
		{"another field", `{"_format_version":"3.0","_workspace":"a","x":1}`, `{_workspace="unknown field",x="unknown field"}`},
		{"internal entities", `{"_format_version":"3.0","tags":[]}`, `{tags="unknown field"}`},
		{"a flag", `{"_format_version":"3.0","_transform":"yes"}`, `{_transform="expected a boolean"}`},
		{"annotations", `{"_format_version":"3.0","_comment":1,"_ignore":"a"}`, `{_comment="expected a string",_ignore="expected an array"}`},
		{"an object for a collection", `{"_format_version":"3.0","services":{}}`, `{services="expected an array"}`},
		{"a text for an entity", `{"_format_version":"3.0","services":["a"]}`, `{services={"expected a record"}}`},
		{"a key twice", "_format_version: \"3.0\"\nservices: []\nservices: []", `{error="failed parsing declarative configuration: line 3: the key \"services\" is given twice"}`},
		{"two documents", "_format_version: \"3.0\"\n---\na: b", `{error="failed parsing declarative configuration: line 2: a second document begins"}`},
		{"a key that is no text", "[a]: b", `{error="failed parsing declarative configuration: line 1: a key must be a text"}`},
		{"an alias in itself", "a: &a [*a]", `{error="failed parsing declarative configuration: line 1: the alias \"a\" stands inside of what it stands for"}`},
		{"a foreign tag", "a: !x b", `{error="failed parsing declarative configuration: line 1: the tag \"!x\" means nothing here"}`},
		{"an endless number", "a: .inf", `{error="failed parsing declarative configuration: line 1: not a number that can be read"}`},
		{"a merge of a text", "a: {<<: b}", `{error="failed parsing declarative configuration: line 1: only mappings can be merged"}`},
		{"depth", strings.Repeat("[", 300) + strings.Repeat("]", 300), `{error="failed parsing declarative configuration: line 1: nested deeper than 200"}`},
		{"depth by aliases", "a: &a " + strings.Repeat("[", 150) + strings.Repeat("]", 150) + "\nb: *a\nc: " + strings.Repeat("[", 150) + "*a" + strings.Repeat("]", 150),
			`{error="failed parsing declarative configuration: line 3: nested deeper than 200"}`},
		{"a bomb", bomb(), `{error="failed parsing declarative configuration: line 6: aliases repeat more than 1048576 values"}`},
		{"a number of a million digits", "a: !!int " + strings.Repeat("9", 1<<20), `{error="failed parsing declarative configuration: line 1: not a number that can be read"}`},
		{"a secret that is taken", `{"_format_version":"3.0","consumers":[{"username":"a","keyauth_credentials":[{"key":"k"},{"key":"k"}]}]}`,
			`{consumers={{keyauth_credentials={null,"uniqueness violation: 'keyauth_credentials' entity with key set to '******' already declared"}}}}`},
		{"no reference", `{"_format_version":"3.0","routes":[{"paths":["/"],"service":5}]}`, `{routes={{service={id="missing primary key"}}}}`},
		{"half a reference", `{"_format_version":"3.0","routes":[{"paths":["/"],"service":{}}]}`, `{routes={{service={id="missing primary key"}}}}`},
		{"a bad ttl", `{"_format_version":"3.0","consumers":[{"username":"a","keyauth_credentials":[{"ttl":-1}]}]}`,
			`{consumers={{keyauth_credentials={{ttl="must be an integer between 0 and 100000000"}}}}}`},
		{"a NUL in a name", `{"_format_version":"3.0","consumers":[{"username":"a\u0000"}]}`, `{consumers={{username="must not contain a NUL byte"}}}`},
		{"an unknown workspace", `{"_format_version":"3.0","services":[{"host":"h","ws_id":"5c1ba1a0-5f6c-4a4c-8c4f-3f6b0a1a2b3c"}]}`,
			`{services={{"invalid reference 'ws_id: 5c1ba1a0-5f6c-4a4c-8c4f-3f6b0a1a2b3c' (no such entry in 'workspaces')"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := invalid(t, tt.text)
			if got := e.Error(); got != "declarative config is invalid: "+tt.want {
				t.Errorf("Parse(%.200s) = %s, want %s", tt.text, got, tt.want)
			}
		})
	}
}

// bomb is a short text that stands for ten million values.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 8; i++ {
		n, before := string(rune('0'+i)), string(rune('0'+i-1))
		b.WriteString("a" + n + ": &a" + n + " [" + strings.TrimSuffix(strings.Repeat("*a"+before+",", 10), ",") + "]\n")
	}
	return b.String()
}

func TestSize(t *testing.T) {
	text := bytes.Repeat([]byte{'#'}, declarative.MaxSize+1)
	_, err := declarative.Parse(load(t), text, declarative.Options{})
	if err == nil || !strings.Contains(err.Error(), "the text has 268435457 bytes, the limit is 268435456") {
		t.Errorf("Parse of a huge text = %v", err)
	}
}
