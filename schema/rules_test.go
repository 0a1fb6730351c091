package schema

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// descriptor makes a message of prototext fields and options, so that every
// word of the vocabulary is tested whether a real schema uses it or not.
func descriptor(t testing.TB, fields, options string) protoreflect.MessageDescriptor {
	t.Helper()
	m, err := tryDescriptor(fields, options)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tryDescriptor(fields, options string) (protoreflect.MessageDescriptor, error) {
	text := fmt.Sprintf(`
		name: "test.proto" package: "test" syntax: "proto3"
		dependency: "gibbon/schema/v1/schema.proto"
		message_type { name: "T" %s options { %s } }
		message_type {
			name: "Inner"
			field { name: "a" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL options { [gibbon.schema.v1.field] { default: "\"x\"" } } }
			field { name: "b" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL options { [gibbon.schema.v1.field] { required: true } } }
			field { name: "c" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
			options { [gibbon.schema.v1.record] {
				checks { mutually_exclusive { values: "a" values: "c" } }
				shorthands { name: "old_c" type: "string" path: "c" translate_backwards: true deprecation { message: "use c" removal_in_version: "9.0" } }
			} }
		}
		message_type {
			name: "Texts"
			field { name: "values" number: 1 type: TYPE_STRING label: LABEL_REPEATED options { [gibbon.schema.v1.field] { len_min: 1 elements { len_max: 3 } } } }
			options { [gibbon.schema.v1.record] { list: true } }
		}
		message_type {
			name: "P"
			field { name: "a" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL options { [gibbon.schema.v1.field] { required: true } } }
			field { name: "b" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
			options { [gibbon.schema.v1.plugin] {
				name: "p" protocols: "tcp" protocols: "http" forbidden_scopes: SCOPE_CONSUMER forbidden_scopes: SCOPE_CONSUMER_GROUP
				checks { err: "native" conditional { if_field: "config.a" if_match { eq: "\"x\"" } then_field: "config.b" then_match { eq: "1" } } }
			} }
		}`, fields, options)
	var fd descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(text), &fd); err != nil {
		return nil, err
	}
	file, err := protodesc.NewFile(&fd, protoregistry.GlobalFiles)
	if err != nil {
		return nil, err
	}
	return file.Messages().ByName("T"), nil
}

// entitySchema is the schema of a message with these fields and options.
func entitySchema(t testing.TB, fields, record, entity string) *Schema {
	t.Helper()
	m := descriptor(t, fields, fmt.Sprintf(`[gibbon.schema.v1.entity] { kind: "things" %s } [gibbon.schema.v1.record] { %s }`, entity, record))
	c, err := compile([]protoreflect.MessageDescriptor{m}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := c.Entity("things")
	return s
}

func protoField(name, kind, rules string) string {
	return fmt.Sprintf(`field { name: %q json_name: %q number: %d label: LABEL_OPTIONAL %s options { [gibbon.schema.v1.field] { %s } } }`,
		name, name, fieldNumber(name), kind, rules)
}

func repeated(name, kind, rules string) string {
	return fmt.Sprintf(`field { name: %q json_name: %q number: %d label: LABEL_REPEATED %s options { [gibbon.schema.v1.field] { %s } } }`,
		name, name, fieldNumber(name), kind, rules)
}

// fieldNumber is a number of its own for each short name.
func fieldNumber(name string) int {
	n := 0
	for _, c := range name {
		n = n*31 + int(c)
	}
	return n%10000 + 1
}

const (
	text    = `type: TYPE_STRING`
	integer = `type: TYPE_INT32`
	wide    = `type: TYPE_INT64`
	number  = `type: TYPE_DOUBLE`
	boolean = `type: TYPE_BOOL`
	inner   = `type: TYPE_MESSAGE type_name: ".test.Inner"`
	lists   = `type: TYPE_MESSAGE type_name: ".test.Texts"`
)

// TestRules has a row for each text of Kong's validator.
func TestRules(t *testing.T) {
	for _, tt := range []struct{ name, field, value, want string }{
		{"string", protoField("f", text, ``), `1`, `"expected a string"`},
		{"number", protoField("f", number, ``), `"1"`, `"expected a number"`},
		{"number out of range", protoField("f", number, ``), `1e999`, `"expected a number"`},
		{"integer", protoField("f", integer, ``), `"80"`, `"expected an integer"`},
		{"integer with a fraction", protoField("f", integer, ``), `1.5`, `"expected an integer"`},
		{"integer with a zero fraction", protoField("f", integer, ``), `80.0`, ``},
		{"integer beyond the message", protoField("f", integer, ``), `2147483648`, `"expected an integer"`},
		{"wide integer", protoField("f", wide, ``), `2147483648`, ``},
		{"boolean", protoField("f", boolean, ``), `"true"`, `"expected a boolean"`},
		{"array", repeated("f", text, ``), `"/a"`, `"expected an array"`},
		{"set", repeated("f", text, `type: TYPE_SET`), `"a"`, `"expected a set"`},
		{"record", protoField("f", inner, ``), `"a"`, `"expected a record"`},
		{"json", protoField("f", `type: TYPE_BYTES`, `type: TYPE_JSON`), `{"a":[1]}`, ``},

		{"required", protoField("f", text, `required: true`), `null`, `"required field missing"`},
		{"not required", protoField("f", text, ``), `null`, ``},
		{"eq", protoField("f", integer, `eq: "5"`), `6`, `"value must be 5"`},
		{"eq holds", protoField("f", integer, `eq: "5"`), `5.0`, ``},
		{"eq of a missing value", protoField("f", text, `eq: "\"x\""`), `null`, `"value must be x"`},
		{"eq null", protoField("f", text, `eq: "null"`), `1`, `"value must be null"`},
		{"eq null holds", protoField("f", text, `eq: "null"`), `null`, ``},
		{"ne", protoField("f", boolean, `ne: "true"`), `true`, `"value must not be true"`},
		{"ne null", protoField("f", text, `ne: "null"`), `null`, `"value must not be null"`},
		{"not_one_of", protoField("f", text, `not_one_of: "a" not_one_of: "b"`), `"b"`, `"must not be one of: a, b"`},
		{"one_of", protoField("f", text, `one_of: "b" one_of: "a"`), `"c"`, `"expected one of: b, a"`},
		{"one_of numbers", protoField("f", integer, `one_of: "426" one_of: "301"`), `302`, `"expected one of: 426, 301"`},
		{"one_of numbers holds", protoField("f", integer, `one_of: "426" one_of: "301"`), `301.0`, ``},
		{"gt", protoField("f", number, `gt: 0`), `0`, `"value must be greater than 0"`},
		{"timestamp", protoField("f", wide, `timestamp: true`), `0`, `"expected a valid timestamp"`},
		{"uuid", protoField("f", text, `uuid: true`), `"x"`, `"expected a valid UUID"`},
		{"uuid holds", protoField("f", text, `uuid: true`), `"5FD1c5d1-60b2-4d1b-9a4e-9f2b7a0c3e11"`, ``},
		{"uuid without dashes", protoField("f", text, `uuid: true`), `"5fd1c5d1060b204d1b09a4e09f2b7a0c3e11"`, `"expected a valid UUID"`},
		{"is_regex", protoField("f", text, `is_regex: true`), `"(a"`, `"not a valid regex: (a"`},
		{"between", protoField("f", integer, `between { min: 0 max: 65535 }`), `65536`, `"value should be between 0 and 65535"`},
		{"between cuts its limits", protoField("f", number, `between { min: 0.001 max: 1000000 }`), `0`, `"value should be between 0 and 1000000"`},
		{"len_eq", protoField("f", text, `len_eq: 2`), `"abc"`, `"length must be 2"`},
		{"len_min", repeated("f", text, `len_min: 1`), `[]`, `"length must be at least 1"`},
		{"len_max counts bytes", protoField("f", text, `len_max: 3`), `"éé"`, `"length must be at most 3"`},
		{"an empty text", protoField("f", text, ``), `""`, `"length must be at least 1"`},
		{"an empty text that may be", protoField("f", text, `len_min: 0`), `""`, ``},
		{"starts_with", protoField("f", text, `starts_with: "/"`), `"a"`, `"should start with: /"`},
		{"not_match", protoField("f", text, `not_match: "^a"`), `"ab"`, `"invalid value: ab"`},
		{"match_none", protoField("f", text, `match_none { pattern: "//" err: "no empty" }`), `"a//"`, `"no empty"`},
		{"match", protoField("f", text, `match: "^b"`), `"ab"`, `"invalid value: ab"`},
		{"match_none goes before match", protoField("f", text, `match: "^/" match_none { pattern: "//" err: "first" }`), `"a//b"`, `"first"`},
		{"match_all", protoField("f", text, `match_all { pattern: "a" } match_all { pattern: "b" err: "no b" }`), `"a"`, `"no b"`},
		{"match_any", protoField("f", text, `match_any { patterns: "^a" patterns: "^b" err: "neither" }`), `"c"`, `"neither"`},
		{"match_any holds", protoField("f", text, `match_any { patterns: "^a" patterns: "^b" }`), `"bc"`, ``},
		{"contains", repeated("f", text, `contains: "\"a\""`), `["b"]`, `"expected to contain: a"`},
		{"format", protoField("f", text, `format: "http_method"`), `"get"`, `"invalid value: get"`},
		{"distinct", repeated("f", text, `distinct: true`), `["a","b","b","a"]`, `"b is duplicated"`},
		{"distinct holds", repeated("f", text, `distinct: true`), `["a","b"]`, ``},
		{"distinct goes after the elements", repeated("f", text, `distinct: true elements { one_of: "a" }`), `["b","b"]`, `["expected one of: a","expected one of: a"]`},
		{"mutually_exclusive_subsets", repeated("f", text, `mutually_exclusive_subsets { values: "a" values: "b" } mutually_exclusive_subsets { values: "c" }`), `["b","c"]`,
			`"these sets are mutually exclusive: ('a', 'b'), ('c')"`},
		{"own text", protoField("f", text, `match: "^b" err: "mine"`), `"ab"`, `"mine"`},
		{"own text is not for the type", protoField("f", text, `match: "^b" err: "mine"`), `1`, `"expected a string"`},
		{"vault reference", protoField("f", text, `referenceable: true match: "^b"`), `"{vault://env/x}"`, ``},
		{"vault reference where none may be", protoField("f", text, `match: "^b"`), `"{vault://env/x}"`, `"invalid value: {vault://env/x}"`},

		{"elements by position", repeated("f", text, `elements { one_of: "a" }`), `["a","b","a","c","a"]`, `[null,"expected one of: a",null,"expected one of: a"]`},
		{"null in an array", repeated("f", text, ``), `["a",null]`, `[null,"required field missing"]`},
		{"elements go before the array", repeated("f", integer, `len_min: 2`), `["x"]`, `["expected an integer"]`},
		{"record", protoField("f", inner, ``), `{"a":"x","z":1,"c":null}`, `{"b":"required field missing","z":"unknown field"}`},
		{"check of a record", protoField("f", inner, ``), `{"a":"x","b":1,"c":"y"}`, `{"@entity":["only one or none of these fields must be set: 'a', 'c'"]}`},
		{"record in an array", repeated("f", inner, ``), `[{"b":1},{"b":"1"}]`, `[null,{"b":"expected an integer"}]`},
		{"array of a list message", protoField("f", lists, ``), `["abcd"]`, `["length must be at most 3"]`},
		{"its own rules", protoField("f", lists, ``), `[]`, `"length must be at least 1"`},
		{"the place's rules go first", protoField("f", lists, `len_min: 2`), `["a"]`, `"length must be at least 2"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := entitySchema(t, tt.field, ``, ``)
			v, err := Parse([]byte(tt.value))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.record.byName["f"].judge(v).String(); got != tt.want {
				t.Errorf("%s\n got %s\nwant %s", tt.value, got, tt.want)
			}
		})
	}
}

func TestMapRules(t *testing.T) {
	const field = `
		field { name: "f" number: 1 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".test.T.FEntry"
			options { [gibbon.schema.v1.field] { len_max: 2 keys { format: "header_name" } } } }
		nested_type { name: "FEntry" options { map_entry: true }
			field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "value" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".test.Texts" } }`
	s := entitySchema(t, field, ``, ``)
	for _, tt := range []struct{ value, want string }{
		{`[]`, `"expected a map"`},
		{`{"a":["x"]}`, ``},
		{`{"a b":["x"]}`, `"bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'"`},
		{`{"a":"x"}`, `"expected an array"`},
		{`{"a":["x"],"b":["x","long"]}`, `[null,"length must be at most 3"]`},
		{`{"a":null}`, `"required field missing"`},
		{`{"a":["x"],"b":["x"],"c":["x"]}`, `"length must be at most 2"`},
	} {
		v, err := Parse([]byte(tt.value))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.record.byName["f"].judge(v).String(); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.value, got, tt.want)
		}
	}
}

// TestChecks has the checks on whole records, with Kong's texts and its rules
// on which checks run when fields are wrong.
func TestChecks(t *testing.T) {
	fields := protoField("a", text, `len_max: 3`) + protoField("b", text, ``) + protoField("c", text, ``) + repeated("l", text, ``) +
		protoField("n", integer, ``) + protoField("r", inner, ``) + protoField("s", text, `referenceable: true`)
	for _, tt := range []struct {
		name, check, body string
		op                Op
		want              string
	}{
		{"at_least_one_of", `at_least_one_of { values: "a" values: "l" }`, `{"a":"","l":[]}`, Insert,
			`{"@entity":["at least one of these fields must be non-empty: 'a', 'l'"],"a":"length must be at least 1"}`},
		{"at_least_one_of updating", `at_least_one_of { values: "b" values: "c" }`, `{}`, Update,
			`{"@entity":["when updating, at least one of these fields must be non-empty: 'b', 'c'"]}`},
		{"own text updating", `at_least_one_of { values: "b" } }  checks { err: "mine" at_least_one_of { values: "c" }`, `{}`, Update,
			`{"@entity":["when updating, at least one of these fields must be non-empty: 'b'","mine"]}`},
		{"at_least_one_of holds", `at_least_one_of { values: "b" values: "c" }`, `{"c":"x"}`, Insert, ``},
		{"only_one_of none", `only_one_of { values: "b" values: "c" }`, `{}`, Update, `{"@entity":["exactly one of these fields must be non-empty: 'b', 'c'"]}`},
		{"only_one_of both", `only_one_of { values: "b" values: "c" }`, `{"b":"1","c":"2"}`, Insert, `{"@entity":["exactly one of these fields must be non-empty: 'b', 'c'"]}`},
		{"distinct", `distinct { values: "b" values: "c" }`, `{"b":"1","c":"1"}`, Insert, `{"@entity":["values of these fields must be distinct: 'b', 'c'"]}`},
		{"distinct nulls", `distinct { values: "b" values: "c" }`, `{}`, Insert, ``},
		{"mutually_required", `mutually_required { values: "b" values: "c" }`, `{"b":"1"}`, Insert, `{"@entity":["all or none of these fields must be set: 'b', 'c'"]}`},
		{"mutually_required skips", `mutually_required { values: "a" values: "c" }`, `{"a":"long"}`, Insert, `{"a":"length must be at most 3"}`},
		{"mutually_exclusive", `mutually_exclusive { values: "b" values: "c" }`, `{"b":"1","c":"1"}`, Insert, `{"@entity":["only one or none of these fields must be set: 'b', 'c'"]}`},
		{"mutually_exclusive_sets", `mutually_exclusive_sets { set1: "a" set1: "b" set2: "c" }`, `{"b":"1","c":"1"}`, Insert, `{"@entity":["these sets are mutually exclusive: ('b'), ('c')"]}`},
		{"conditional", `conditional { if_field: "b" if_match { one_of: "x" } then_field: "c" then_match { eq: "null" } }`, `{"b":"x","c":"y"}`, Insert,
			`{"@entity":["failed conditional validation given value of field 'b'"],"c":"value must be null"}`},
		{"conditional replaces the field's text", `conditional { if_field: "b" if_match { one_of: "x" } then_field: "a" then_match { eq: "null" } }`, `{"b":"x","a":"long"}`, Insert,
			`{"@entity":["failed conditional validation given value of field 'b'"],"a":"value must be null"}`},
		{"conditional into a record", `err: "mine" conditional { if_field: "b" if_match { ne: "\"y\"" } then_field: "r.a" then_match { eq: "\"q\"" } }`, `{"b":"x","r":{"b":1}}`, Insert,
			`{"@entity":["mine"],"r":{"a":"value must be q"}}`},
		{"conditional required", `conditional { if_field: "b" if_match { eq: "\"x\"" } then_field: "c" then_match { required: true } }`, `{"b":"x"}`, Insert,
			`{"@entity":["failed conditional validation given value of field 'b'"],"c":"required field missing"}`},
		{"then_match lets null pass", `conditional { if_field: "b" if_match { eq: "\"x\"" } then_field: "c" then_match { one_of: "q" } }`, `{"b":"x"}`, Insert, ``},
		{"a null condition", `conditional { if_field: "b" if_match { one_of: "x" } then_field: "c" then_match { required: true } }`, `{}`, Insert, ``},
		{"a condition that asks for null", `conditional { if_field: "b" if_match { eq: "null" } then_field: "c" then_match { required: true } }`, `{}`, Insert,
			`{"@entity":["failed conditional validation given value of field 'b'"],"c":"required field missing"}`},
		{"a condition on elements", `conditional { if_field: "l" if_match { elements { not_one_of: "x" } } then_field: "c" then_match { len_eq: 0 } }`, `{"l":["y","z"],"c":"1"}`, Insert,
			`{"@entity":["failed conditional validation given value of field 'l'"],"c":"length must be 0"}`},
		{"a condition on elements fails", `conditional { if_field: "l" if_match { elements { not_one_of: "x" } } then_field: "c" then_match { len_eq: 0 } }`, `{"l":["y","x"],"c":"1"}`, Insert, ``},
		{"conditional_at_least_one_of", `conditional_at_least_one_of { if_field: "l" if_match { contains: "x" } then_at_least_one_of: "b" then_at_least_one_of: "c" then_err: "set %s, one of %s" else_then_at_least_one_of: "b" else_then_err: "else %s" }`, `{"l":["x"]}`, Update,
			`{"@entity":["set 'b', 'c', one of 'b', 'c'"]}`},
		{"conditional_at_least_one_of else", `conditional_at_least_one_of { if_field: "l" if_match { contains: "x" } then_at_least_one_of: "b" else_then_at_least_one_of: "c" }`, `{"l":["y"]}`, Update,
			`{"@entity":["when updating, at least one of these fields must be non-empty: 'c'"]}`},
		{"require_when", `err: "must set %s" require_when { when { field: "b" match { eq: "\"x\"" } } when { field: "n" match { between { min: 1 max: 2 } } } fields: "c" fields: "r.c" fields: "n" }`, `{"b":"x","n":2}`, Insert,
			`{"@entity":["must set 'c'","must set 'r.c'"]}`},
		{"require_when standard text", `require_when { when { field: "b" match { eq: "\"x\"" } } fields: "c" }`, `{"b":"x"}`, Insert,
			`{"@entity":["at least one of these fields must be non-empty: 'c'"]}`},
		{"require_when updating", `require_when { when { field: "b" match { eq: "\"x\"" } } fields: "c" }`, `{"b":"x"}`, Update,
			`{"@entity":["when updating, at least one of these fields must be non-empty: 'c'"]}`},
		{"a format that the then-field breaks", `conditional { if_field: "b" if_match { format: "http_method" } then_field: "c" then_match { format: "header_name" } }`, `{"b":"GET","c":"x y"}`, Insert,
			`{"@entity":["failed conditional validation given value of field 'b'"],"c":"bad header name 'x y', allowed characters are A-Z, a-z, 0-9, '_', and '-'"}`},
		{"a format that the if-field breaks", `conditional { if_field: "b" if_match { format: "http_method" } then_field: "c" then_match { eq: "null" } }`, `{"b":"get","c":"x"}`, Insert, ``},
		{"no value has a format", `conditional { if_field: "b" if_match { format: "http_method" } then_field: "c" then_match { eq: "null" } }`, `{"c":"x"}`, Insert, ``},
		{"require_when one condition fails", `err: "must set %s" require_when { when { field: "b" match { eq: "\"x\"" } } when { field: "n" match { gt: 2 } } fields: "c" }`, `{"b":"x","n":2}`, Insert, ``},
		{"deny_when", `err: "never" deny_when { when { field: "b" match { not_one_of: "y" } } when { field: "c" match { match: "^z" } } }`, `{"b":"x","c":"zz"}`, Insert, `{"@entity":["never"]}`},
		{"a secret in a vault", `mutually_required { values: "s" values: "c" }`, `{"s":"{vault://env/x}"}`, Insert, ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := entitySchema(t, fields, `checks { `+tt.check+` }`, ``)
			err := s.Validate(complete(t, s, tt.body), tt.op)
			if got := violation(err).String(); got != tt.want {
				t.Errorf("%s\n got %s\nwant %s", tt.body, got, tt.want)
			}
		})
	}
}

// TestNeeds has entities that went through neither Complete nor Merge, so that
// fields which a check needs are not there.
func TestNeeds(t *testing.T) {
	fields := protoField("b", text, ``) + protoField("c", text, ``) + protoField("q", text, `required: true`) + protoField("r", inner, ``)
	for _, tt := range []struct {
		name, check, body string
		op                Op
		want              string
	}{
		{"the condition's field", `conditional { if_field: "b" if_match { ne: "\"x\"" } then_field: "c" then_match { eq: "\"y\"" } }`, `{"q":"q"}`, Insert,
			`{"b":"field required for entity check"}`},
		{"updating", `conditional { if_field: "b" if_match { ne: "\"x\"" } then_field: "c" then_match { eq: "\"y\"" } }`, `{"q":"q"}`, Update,
			`{"b":"field required for entity check when updating"}`},
		{"null is there", `conditional { if_field: "b" if_match { eq: "null" } then_field: "c" then_match { eq: "null" } }`, `{"b":null,"c":"x","q":"q"}`, Insert,
			`{"@entity":["failed conditional validation given value of field 'b'"],"c":"value must be null"}`},
		{"a required field has its own text", `conditional { if_field: "q" if_match { ne: "\"x\"" } then_field: "c" then_match { eq: "\"y\"" } }`, `{"c":null}`, Insert,
			`{"q":"required field missing"}`},
		{"below a null", `conditional { if_field: "r.a" if_match { eq: "null" } then_field: "c" then_match { eq: "null" } }`, `{"r":null,"c":"x","q":"q"}`, Insert,
			`{"@entity":["failed conditional validation given value of field 'r.a'"],"c":"value must be null"}`},
		{"others need nothing", `at_least_one_of { values: "b" values: "c" }`, `{"q":"q"}`, Insert,
			`{"@entity":["at least one of these fields must be non-empty: 'b', 'c'"]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := entitySchema(t, fields, `checks { `+tt.check+` }`, ``)
			if got := violation(s.Validate(mustParse(t, tt.body), tt.op)).String(); got != tt.want {
				t.Errorf("%s\n got %s\nwant %s", tt.body, got, tt.want)
			}
		})
	}
	keys := entity(t, "keys")
	const want = `{"jwk":"field required for entity check","pem":"field required for entity check"}`
	got := violation(keys.Validate(mustParse(t, `{"id":"`+someID+`","kid":"k"}`), Insert))
	if got := got.Without("@entity").String(); got != want {
		t.Errorf("custom checks: %s, want %s", got, want)
	}
}

func TestWholeRecordText(t *testing.T) {
	const body = `{"f":{"b":1}}`
	s := entitySchema(t, protoField("f", inner, ``), ``, ``)
	rec := *s.record.byName["f"].record
	checks, err := flavor("").compileChecks([]*checkProto{mustCheck(t, `whole: true err: "mine" deny_when { when { field: "b" match { eq: "1" } } }`)})
	if err != nil {
		t.Fatal(err)
	}
	rec.checks = checks
	s.record.byName["f"].record = &rec
	got := s.Validate(complete(t, s, body), Insert)
	if want := "schema violation (f: mine)"; got == nil || got.Error() != want {
		t.Errorf("Validate(%s) = %v, want %s", body, got, want)
	}
}

// TestCompileRefuses has protos that contradict themselves.
func TestCompileRefuses(t *testing.T) {
	set := protoField("r", inner, `reference: "things"`) + repeated("s", text, `type: TYPE_SET`)
	for _, tt := range []struct{ name, field, options string }{
		{"default that is no JSON", protoField("f", text, `default: "x"`), ``},
		{"pattern", protoField("f", text, `match: "("`), ``},
		{"pattern of elements", repeated("f", text, `elements { not_match: "(" }`), ``},
		{"format", protoField("f", text, `format: "nonsense"`), ``},
		{"bytes without a type", protoField("f", `type: TYPE_BYTES`, ``), ``},
		{"a kind without a type", protoField("f", `type: TYPE_UINT64`, ``), ``},
		{"custom check", protoField("f", text, ``), `[gibbon.schema.v1.record] { checks { custom: "nonsense" } }`},
		{"empty check", protoField("f", text, ``), `[gibbon.schema.v1.record] { checks { err: "x" } }`},
		{"expansion", protoField("f", text, ``), `[gibbon.schema.v1.record] { shorthands { name: "s" type: "string" expand: "x" } }`},
		{"shorthand type", protoField("f", text, ``), `[gibbon.schema.v1.record] { shorthands { name: "s" type: "blob" path: "f" } }`},
		{"shorthand shown under no name", protoField("f", text, ``), `[gibbon.schema.v1.record] { shorthands { name: "s" type: "string" expand: "url" translate_backwards: true } }`},
		{"shorthand that goes nowhere", protoField("f", text, ``), `[gibbon.schema.v1.record] { shorthands { name: "s" type: "string" } }`},
		{"reference to nothing", protoField("f", inner, `reference: "nothing"`), ``},
		{"subschema of nothing", protoField("f", text, ``), `[gibbon.schema.v1.entity] { kind: "things" subschemas { when: "a" fields { name: "x" } } }`},
		{"field of no flavour", protoField("f", text, `flavors: "vanilla"`), ``},
		{"check of no flavour", protoField("f", text, ``), `[gibbon.schema.v1.record] { checks { flavors: "vanilla" distinct { values: "f" } } }`},
		{"subschema of no flavour", protoField("f", text, ``), `[gibbon.schema.v1.entity] { kind: "things" subschemas { when: "a" flavors: "vanilla" } }`},
		{"rules of no flavour", protoField("f", text, ``), `[gibbon.schema.v1.entity] { kind: "things" subschemas { when: "a" fields { name: "f" rules { flavors: "vanilla" } } } }`},
		{"pattern of elements in a subschema", set, `[gibbon.schema.v1.entity] { kind: "things" subschemas { when: "a" fields { name: "s" rules { elements { match: "(" } } } } }`},
		{"overlap through nothing", set, `[gibbon.schema.v1.entity] { kind: "things" overlaps { field: "s" reference: "s" } }`},
		{"overlap of no set", set, `[gibbon.schema.v1.entity] { kind: "things" overlaps { field: "r" reference: "r" } }`},
		{"overlap with children of no kind", set, `[gibbon.schema.v1.entity] { kind: "things" overlaps { field: "s" reference: "r" children: "x" } }`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			options := tt.options
			if tt.options == "" || tt.options[:25] != "[gibbon.schema.v1.entity]" {
				options += ` [gibbon.schema.v1.entity] { kind: "things" }`
			}
			if _, err := compile([]protoreflect.MessageDescriptor{descriptor(t, tt.field, options)}, Options{}); err == nil {
				t.Error("compiled")
			}
		})
	}
}

// TestFlavors has fields, checks and rules that only some flavours of the router
// have.
func TestFlavors(t *testing.T) {
	m := descriptor(t,
		protoField("k", text, ``)+protoField("f", text, `flavors: "expressions" required: true default: "\"d\""`)+protoField("g", text, ``),
		`[gibbon.schema.v1.entity] { kind: "things" subschema_key: "k"
			subschemas { when: "a" fields { name: "g" rules { flavors: "traditional" eq: "null" } } }
			subschemas { when: "a" flavors: "expressions" checks { err: "sub" distinct { values: "f" values: "g" } } } }
		 [gibbon.schema.v1.record] { checks { flavors: "traditional_compatible" flavors: "traditional" err: "top" distinct { values: "k" values: "g" } } }`)
	for _, tt := range []struct{ flavor, body, stored, violation string }{
		{"", `{"k":"a","g":"b"}`, `{"k":"a","g":"b"}`, ``},
		{"", `{"k":"a","g":"a"}`, ``, `{"@entity":["top"]}`},
		{"", `{"k":"a","f":"b"}`, ``, `{"f":"unknown field"}`},
		{"traditional", `{"k":"a","g":"a"}`, ``, `{"@entity":["top"],"g":"value must be null"}`},
		{"expressions", `{"k":"a","g":"a"}`, `{"k":"a","f":"d","g":"a"}`, ``},
		{"expressions", `{"k":"a","g":"d"}`, ``, `{"@entity":["sub"]}`},
	} {
		c, err := compile([]protoreflect.MessageDescriptor{m}, Options{RouterFlavor: tt.flavor})
		if err != nil {
			t.Fatal(err)
		}
		s, _ := c.Entity("things")
		doc, err := s.Expand(mustParse(t, tt.body), Document{})
		if err == nil {
			doc = s.Complete(doc, noon)
			err = s.Validate(doc, Insert)
		}
		if tt.violation != "" {
			if got := violation(err); !Equal(got, mustParse(t, tt.violation)) {
				t.Errorf("%s: %s: violation %s, want %s", tt.flavor, tt.body, got, tt.violation)
			}
		} else if err != nil || !Equal(doc, mustParse(t, tt.stored)) {
			t.Errorf("%s: %s is stored as %s, %v, want %s", tt.flavor, tt.body, doc, err, tt.stored)
		}
	}
	if _, err := compile(nil, Options{RouterFlavor: "vanilla"}); err == nil {
		t.Error("loaded for a flavour that there is not")
	}

	// What another flavour has stored is kept, not shown, and goes into messages.
	c, err := compile([]protoreflect.MessageDescriptor{m}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := c.Entity("things")
	stored := mustParse(t, `{"k":"a","f":"kept","g":"b"}`)
	merged := s.Merge(stored, mustParse(t, `{"g":"c"}`), noon)
	if err := s.ValidateUpdate(stored, merged); err != nil || merged.Get("f").Text() != "kept" || merged.Get("g").Text() != "c" {
		t.Errorf("merged %s, %v", merged, err)
	}
	if shown := s.Render(stored, noon); !shown.Get("f").IsAbsent() {
		t.Errorf("shown %s", shown)
	}
	message, err := s.Message(merged)
	if err != nil {
		t.Fatal(err)
	}
	if text := prototext.Format(message); !strings.Contains(text, `"kept"`) {
		t.Errorf("the message is %s", text)
	}
}
