package plugins_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugins"
)

var update = flag.Bool("update", false, "write the READMEs' tables anew")

// TestReadmes keeps the table of fields in each plugin's README what the schema
// says.
func TestReadmes(t *testing.T) {
	const from, to = "<!-- fields: written by the test -->\n", "<!-- end of fields -->"
	for _, p := range plugins.All {
		t.Run(p.Name(), func(t *testing.T) {
			path := filepath.Join(strings.ReplaceAll(p.Name(), "-", ""), "README.md")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			before, rest, found := strings.Cut(string(text), from)
			old, after, closed := strings.Cut(rest, to)
			if !found || !closed {
				t.Fatalf("%s has no place for the table: %s%s", path, from, to)
			}
			var table strings.Builder
			table.WriteString("| field | type | default | rules | |\n| --- | --- | --- | --- | --- |\n")
			rows(&table, "", p.Config())
			if *update {
				if err := os.WriteFile(path, []byte(before+from+table.String()+to+after), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(table.String(), old); diff != "" {
				t.Errorf("%s is not what the schema says; run the test with -update (-schema +README):\n%s", path, diff)
			}
		})
	}
}

func rows(out *strings.Builder, prefix string, record protoreflect.MessageDescriptor) {
	for i := range record.Fields().Len() {
		field := record.Fields().Get(i)
		rules, _ := proto.GetExtension(field.Options(), schemapb.E_Field).(*schemapb.Field)
		name := prefix + string(field.Name())
		kind := map[protoreflect.Kind]string{
			protoreflect.StringKind: "string", protoreflect.BoolKind: "boolean", protoreflect.DoubleKind: "number",
			protoreflect.Int32Kind: "integer", protoreflect.Int64Kind: "integer", protoreflect.MessageKind: "record",
		}[field.Kind()]
		if field.IsMap() {
			kind = "map"
		} else if field.IsList() {
			kind = "array of " + kind + "s"
			name += "[]"
		}
		value := ""
		if rules.Default != nil {
			value = "`" + rules.GetDefault() + "`"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s | %s |\n", name, kind, value, strings.Join(rulesOf(rules), "; "), rules.GetDescription())
		if field.Kind() == protoreflect.MessageKind && !field.IsMap() {
			rows(out, name+".", field.Message())
		}
	}
}

func rulesOf(f *schemapb.Field) (rules []string) {
	add := func(when bool, rule string) {
		if when {
			rules = append(rules, rule)
		}
	}
	number := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
	add(f.GetRequired(), "required")
	if len(f.GetOneOf()) > 0 {
		words := slices.Clone(f.GetOneOf())
		for i := range words {
			words[i] = "`" + words[i] + "`"
		}
		add(true, "one of "+strings.Join(words, ", "))
	}
	add(f.GetBetween() != nil, number(f.GetBetween().GetMin())+" to "+number(f.GetBetween().GetMax()))
	add(f.Gt != nil, "above "+number(f.GetGt()))
	add(f.LenMin != nil, fmt.Sprintf("at least %d bytes", f.GetLenMin()))
	add(f.GetReferenceable(), "may be a vault reference")
	add(f.GetEncrypted(), "secret")
	add(f.GetDeprecation() != nil, "deprecated")
	return rules
}
