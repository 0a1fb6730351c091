package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocumentsAreFresh compares the two documents that are generated from the
// table with what lies in the repository; -update rewrites them.
func TestDocumentsAreFresh(t *testing.T) {
	for name, want := range map[string]string{"gibbon.conf.default": confDocument(), "docs/settings.md": markdownDocument()} {
		path := filepath.Join("..", "..", filepath.FromSlash(name))
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, string(got)); d != "" {
			t.Errorf("%s is stale, run go test ./internal/settings -update (-want +got):\n%s", name, d)
		}
	}
}

// TestDefaultFileIsValid takes the comment signs off every setting and loads the
// result: what the file documents as default must be what is loaded by default.
func TestDefaultFileIsValid(t *testing.T) {
	var lines []string
	for line := range strings.SplitSeq(confDocument(), "\n") {
		if rest, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(rest, " ") && rest != "" {
			line = rest
		}
		lines = append(lines, line)
	}
	dir := t.TempDir()
	want, _, err := load(t, Source{Prefix: dir})
	if err != nil {
		t.Fatal(err)
	}
	got, warnings, err := load(t, Source{Prefix: dir, ConfFile: writeFile(t, strings.Join(lines, "\n"))})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("the default file gives %q, %v", warnings, err)
	}
	if d := cmp.Diff(want.Public(), got.Public()); d != "" {
		t.Errorf("(-defaults +file):\n%s", d)
	}
}

func TestTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	bound := map[any]string{}
	s := &Settings{extra: map[string]any{}}
	for _, d := range Table() {
		if seen[d.Key] {
			t.Errorf("%s is in the table twice", d.Key)
		}
		seen[d.Key] = true
		if (d.Owner == Ignored) != (d.at == nil) {
			t.Errorf("%s is ignored though it has a field, or the other way round", d.Key)
		}
		if (d.Doc == "") != (d.Owner == Ignored) {
			t.Errorf("%s: documentation is missing, or says what an ignored key does", d.Key)
		}
		if d.kind == secretKind && !d.Secret {
			t.Errorf("%s is not marked secret", d.Key)
		}
		if want, got := fmt.Sprintf("%T", d.kind.newValue()), fmt.Sprintf("%T", d.bind(s)); want != got {
			t.Errorf("%s is bound to a %s, its kind needs a %s", d.Key, got, want)
		}
		if other := bound[d.bind(s)]; other != "" {
			t.Errorf("%s and %s share a field", d.Key, other)
		}
		bound[d.bind(s)] = d.Key
		if d.Default != "" {
			if err := d.parse(d.Default, d.kind.newValue()); err != nil {
				t.Errorf("default: %v", err)
			}
		}
	}
}

// describe is what the documents say of a key.
func (d *Descriptor) describe() string {
	if d.Missing == "" {
		return d.Doc
	}
	return d.Doc + " No effect yet: " + strings.TrimSuffix(d.Missing, " yet") + "."
}

// wrap breaks text into lines that begin with "# ".
func wrap(text string) string {
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 78 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

func confDocument() string {
	var b strings.Builder
	b.WriteString(wrap("Settings of Gibbon with their defaults. This file is generated from the table in internal/settings.") +
		"#\n" + wrap("Copy it to /etc/gibbon/gibbon.conf and take the sign off the lines to change. "+
		"A sign starts a comment wherever it stands; write \\# for the sign itself. Lists are comma separated. Yes and no are on and off, or true and false. "+
		"NONE takes a default away. The variables KONG_<NAME> and GIBBON_<NAME> win over the file, the second over the first, and flags win over all. "+
		"Certificates and keys are the path of a PEM file, PEM text, or base64 of PEM text. A value may be a reference such as {vault://env/pg-password}."))
	for _, s := range sections() {
		if s.keys[0].Owner == Ignored {
			continue
		}
		b.WriteString("\n# ---- " + s.title + "\n")
		for _, d := range s.keys {
			doc := d.describe()
			if len(d.Enum) > 0 {
				doc += " One of: " + strings.Join(d.Enum, ", ") + "."
			}
			b.WriteString("\n" + wrap(doc) + "#" + strings.TrimRight(d.Key+" = "+d.Default, " ") + "\n")
		}
	}
	return b.String()
}

func markdownDocument() string {
	var b strings.Builder
	b.WriteString("# Settings\n\n" +
		"This page is generated from the table in `internal/settings`; run `go test ./internal/settings -update` after a change there.\n\n" +
		"Sources, later ones win: the default, the file (`-c`, else `/etc/gibbon/gibbon.conf`, `/etc/gibbon.conf`, `/etc/kong/kong.conf`,\n" +
		"`/etc/kong.conf`, the first that exists), `KONG_<NAME>`, `GIBBON_<NAME>`, flags. An empty value counts as not given; `NONE` takes a default\n" +
		"away. A name that does not exist stops the start when it is in the file or starts with `GIBBON_`, and is a warning when it starts with `KONG_`.\n\n" +
		"Listeners are `off` or a comma separated list of `<address>:<port> <flags>`. PEM values are the path of a file, PEM text, or base64 of it.\n" +
		"Durations are written `5s`, `1m30s` or as a number of seconds, sizes `8k`, `10m`, `1g`. Any value may be a reference into the environment,\n" +
		"`{vault://env/<name>}`, resolved at the start.\n")
	code := func(s string) string {
		if s == "" {
			return "none"
		}
		return "`" + s + "`"
	}
	cell := strings.NewReplacer("|", "\\|", "<", "&lt;", ">", "&gt;")
	for _, s := range sections() {
		b.WriteString("\n## " + s.title + "\n\n")
		if s.keys[0].Owner == Ignored {
			b.WriteString("Kong has these; Gibbon reads, checks and shows them, and says once at the start which of them were changed. Whole groups are accepted\n" +
				"by their names alone: `nginx_<part>_<directive>`, `portal_*`, `smtp_*`, `keyring_*`, `audit_log_*`, `vault_*` and the like.\n\n" +
				"| Key | Type | Default |\n| --- | --- | --- |\n")
			for _, d := range s.keys {
				_, kind := d.kind.names()
				b.WriteString("| `" + d.Key + "` | " + kind + " | " + code(d.Default) + " |\n")
			}
			continue
		}
		b.WriteString("| Key | Type | Default | Meaning |\n| --- | --- | --- | --- |\n")
		for _, d := range s.keys {
			_, kind := d.kind.names()
			if len(d.Enum) > 0 {
				word := "one of "
				if d.kind == listKind {
					word = "list of "
				}
				kind = word + "`" + strings.Join(d.Enum, "` `") + "`"
			}
			key := "`" + d.Key + "`"
			if d.Owner == Gibbon {
				key += " (Gibbon's own)"
			}
			b.WriteString("| " + key + " | " + kind + " | " + code(d.Default) + " | " + cell.Replace(d.describe()) + " |\n")
		}
	}
	return b.String()
}
