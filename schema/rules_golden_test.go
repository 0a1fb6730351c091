package schema

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// ruleKinds are the words for kinds of fields in testdata/rules.
var ruleKinds = map[string]func(name, rules string) string{
	"string":  func(name, rules string) string { return protoField(name, text, rules) },
	"integer": func(name, rules string) string { return protoField(name, wide, rules) },
	"number":  func(name, rules string) string { return protoField(name, number, rules) },
	"boolean": func(name, rules string) string { return protoField(name, boolean, rules) },
	"record":  func(name, rules string) string { return protoField(name, inner, rules) },
	"array":   func(name, rules string) string { return repeated(name, text, rules) },
}

// TestRuleGoldens has a file for each rule of the vocabulary, whether an entity or
// a plugin uses it or not. A line of "schema" is a name, a kind and rules, and
// "checks" are those of the record. A "body" is judged as an insert, a "body update"
// as a PATCH of nothing, and a "bare" one as it is, with nothing filled in.
func TestRuleGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			in := readSections(t, path)
			var fields string
			for line := range strings.Lines(pick(in, "schema")) {
				name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
				kind, rules, _ := strings.Cut(rest, " ")
				if ruleKinds[kind] == nil {
					t.Fatalf("%s: no kind %q", path, kind)
				}
				fields += ruleKinds[kind](name, rules)
			}
			s := entitySchema(t, fields, pick(in, "checks"), "")
			var b bytes.Buffer
			for _, part := range in {
				word, update := strings.CutSuffix(part.name, " update")
				switch word {
				case "schema", "checks", "body", "bare":
					fmt.Fprintf(&b, "-- %s --\n%s", part.name, part.text)
				}
				doc := Document{}
				var err error
				switch word {
				case "body":
					if doc, err = s.Expand(mustParse(t, part.text), Document{}); err == nil {
						doc = s.Complete(doc, noon)
					}
				case "bare":
					doc = mustParse(t, part.text)
				default:
					continue
				}
				op := Insert
				if update {
					op = Update
				}
				if err == nil {
					err = s.Validate(doc, op)
				}
				if err == nil {
					continue
				}
				for _, out := range failed(t, err) {
					fmt.Fprintf(&b, "-- %s --\n%s", out.name, out.text)
				}
			}
			compareGolden(t, path, b.Bytes())
		})
	}
}
