package plugintest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

// FieldTable is the table of a configuration's fields for people to read, in
// Markdown, as the schema has them. names are the paths of the fields to show;
// nil: all.
func FieldTable(record protoreflect.MessageDescriptor, names []string) string {
	var table strings.Builder
	table.WriteString("| field | type | default | rules | |\n| --- | --- | --- | --- | --- |\n")
	rows(&table, "", record, names)
	return table.String()
}

func rows(out *strings.Builder, prefix string, record protoreflect.MessageDescriptor, names []string) {
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
		if names == nil || slices.Contains(names, strings.TrimSuffix(name, "[]")) {
			fmt.Fprintf(out, "| `%s` | %s | %s | %s | %s |\n", name, kind, value, strings.Join(rulesOf(rules), "; "), rules.GetDescription())
		}
		if field.Kind() == protoreflect.MessageKind && !field.IsMap() {
			rows(out, name+".", field.Message(), names)
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
