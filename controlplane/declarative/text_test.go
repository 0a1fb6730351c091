package declarative_test

import (
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// TestYAML shows how values are read, by a field that takes any: the tags of a
// service judge nothing but texts.
func TestYAML(t *testing.T) {
	for _, tt := range []struct{ yaml, want string }{
		{`a`, `"a"`}, {`"a"`, `"a"`}, {`'a'`, `"a"`}, {`2001-12-14`, `"2001-12-14"`}, {`!!str 5`, `"5"`}, {`!!binary aGk=`, `"hi"`},
		{`true`, `true`}, {`yes`, `true`}, {`On`, `true`}, {`no`, `false`}, {`OFF`, `false`}, {`"yes"`, `"yes"`}, {`y`, `"y"`},
		{`null`, `null`}, {`~`, `null`}, {``, `null`},
		{`5`, `5`}, {`0x1F`, `31`}, {`0o17`, `15`}, {`1_000`, `1000`}, {`-7`, `-7`}, {`1.50`, `1.5`}, {`1e3`, `1000`},
		{`123456789012345678901234567890`, `1.2345678901234568e+29`},
		{`[a, 1]`, `["a",1]`}, {`{b: 1, a: 2}`, `{"b":1,"a":2}`}, {`{1: a}`, `{"1":"a"}`},
		{"|\n  a\n  b", "\"a\\nb\\n\""}, {"\n- &x {a: 1, b: 2}\n- <<: *x\n  b: 3", `[{"a":1,"b":2},{"b":3,"a":1}]`},
		{"\n- &x {a: 1}\n- &y {a: 2, b: 2}\n- {<<: [*x, *y]}", `[{"a":1},{"a":2,"b":2},{"a":1,"b":2}]`},
		{"\n- &k a\n- *k\n- {*k : 1}", `["a","a",{"a":1}]`},
	} {
		// What is wrong with an entity comes with the entity.
		e := invalid(t, head+"services:\n- name: a\n  nonsense: "+strings.ReplaceAll(tt.yaml, "\n", "\n    ")+"\n")
		rows, _ := e.Flatten()
		if got := rows.Elements()[0].Get("entity", "nonsense").String(); got != tt.want {
			t.Errorf("%q is read as %s, want %s", tt.yaml, got, tt.want)
		}
	}
}

// roundTrip writes an entity with that text, and reads it.
func roundTrip(t *testing.T, text string) {
	t.Helper()
	doc := schema.Object(
		schema.Member{Name: "id", Value: schema.String("7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1")},
		schema.Member{Name: "name", Value: schema.String("w")},
		schema.Member{Name: "comment", Value: schema.String(text)},
	)
	all := func(yield func(store.Entity, error) bool) {
		yield(store.Entity{Kind: "workspaces", ID: doc.Get("id").Text(), Document: doc.AppendJSON(nil)}, nil)
	}
	for _, format := range []declarative.Format{declarative.YAML, declarative.JSON} {
		out := export(t, format, iter.Seq2[store.Entity, error](all))
		c, err := parse(t, out)
		if err != nil {
			t.Fatalf("Parse of the export of %q: %v\n%s", text, err, out)
		}
		back, err := schema.Parse(entitiesOf(t, c)[0].Document)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text, back.Get("comment").Text()); diff != "" {
			t.Errorf("text after a round trip (-want +got):\n%s\n%s", diff, out)
		}
	}
}

// hard are texts that mean something else to some reader, or break lines.
var hard = []string{
	"a", " a", "a ", "a: b", "a:b", "1:20", "12:30:45", "a #b", "- a", "-", "?", ":", "{a}", "[a]", "*a", "&a", "!a", "%a", "@a", "`a", "|", ">",
	"yes", "no", "on", "off", "y", "N", "true", "null", "~", "Null", "1", "1.0", "1e5", "0x1f", "0b1", "+1", ".5", ".inf", "-.inf", ".nan", "1_000",
	"2001-12-14", "<<", "=", "'", `"`, `\`, "\t", "\n", "\n\n", "a\n", "a\nb", "a\nb\n", "a\n\nb", " a\nb", "a \nb", "a\n b", "a\n\n", "a\tb\nc", "#a\nb",
	"\u00a0", "\u0085", "\u2028", "\ufeff", "\U0001f600", "é", "\x7f", "\x01", "---", "--- a\nb", "...\nb", "a\r\nb", "\r",
	"-----BEGIN CERTIFICATE-----\nMIIB+/=\n-----END CERTIFICATE-----\n",
}

func TestRoundTrip(t *testing.T) {
	for _, text := range hard {
		roundTrip(t, text)
	}
}

func FuzzRoundTrip(f *testing.F) {
	for _, text := range hard {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text = strings.ToValidUTF8(text, "?"); text != "" {
			roundTrip(t, text)
		}
	})
}

// FuzzParse wants an answer to whatever comes, and of what is taken an export
// that is taken too.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "errors"} {
		for _, name := range files(f, folder) {
			f.Add([]byte(read(f, name)))
		}
	}
	f.Add([]byte(bomb()))
	f.Add([]byte(`{"_format_version":"3.0","services":[{"name":"a","url":"http://h"}]}`))
	catalogue := load(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := declarative.Parse(catalogue, text, declarative.Options{At: noon})
		if err != nil {
			var e *declarative.Error
			if !errors.As(err, &e) {
				t.Fatalf("Parse(%q): %v, want an *Error", text, err)
			}
			if rows, fields := e.Flatten(); len(rows.Elements()) == 0 && len(fields.Members()) == 0 || e.Text() == "" {
				t.Fatalf("Parse(%q): the error says nothing: %v", text, err)
			}
			return
		}
		all := entitiesOf(t, c)
		out := export(t, declarative.YAML, func(yield func(store.Entity, error) bool) {
			for _, e := range all {
				if !yield(e, nil) {
					return
				}
			}
		})
		if _, err := declarative.Parse(catalogue, []byte(out), declarative.Options{At: noon}); err != nil {
			t.Fatalf("Parse(%q), exported: %v\n%s", text, err, out)
		}
	})
}
