package schema

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
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

// noRules are the words of a field that refuse nothing by themselves, or whose
// rules take more than one entity to be seen: those are pinned where the Admin
// API is.
var noRules = map[protoreflect.Name]string{
	"type": "", "default": "", "auto": "", "auto_update": "", "unique": "", "unique_across_ws": "", "encrypted": "", "transient": "", "hidden": "", "description": "",
	"deprecation": "", "searchable": "", "flavors": "", "no_path": "", "snapshot_format": "", "on_delete": "",
	"immutable": "takes a stored entity", "reference": "takes another entity", "keys": "takes a map", "values": "takes a map",
	"not_path": "takes the paths of entities", "not_subschema": "takes subschemas",
}

// TestEveryRuleHasAGolden asks that each rule of a field, and each check of a
// record, is in testdata/rules.
func TestEveryRuleHasAGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var used strings.Builder
	for _, path := range files {
		in := readSections(t, path)
		used.WriteString(" " + pick(in, "schema") + " " + pick(in, "checks"))
	}
	for message, skip := range map[protoreflect.ProtoMessage]map[protoreflect.Name]string{&schemapb.Field{}: noRules, &schemapb.Check{}: {"flavors": ""}} {
		fields := message.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			name := fields.Get(i).Name()
			if _, no := skip[name]; no {
				continue
			}
			if text := used.String(); !strings.Contains(text, " "+string(name)+":") && !strings.Contains(text, " "+string(name)+" {") {
				t.Errorf("no file in testdata/rules has the word %s", name)
			}
		}
	}
}
