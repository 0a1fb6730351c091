package schema

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// servicesExample is what Kong 3.8 answers for services, without descriptions.
const servicesExample = `{"fields":[
  {"id":{"type":"string","uuid":true,"auto":true}},
  {"created_at":{"type":"integer","timestamp":true,"auto":true}},
  {"updated_at":{"type":"integer","timestamp":true,"auto":true}},
  {"name":{"type":"string","unique":true}},
  {"retries":{"type":"integer","default":5,"between":[0,32767]}},
  {"protocol":{"type":"string","required":true,"default":"http","one_of":["grpc","grpcs","http","https","tcp","tls","tls_passthrough","udp"]}},
  {"host":{"type":"string","required":true}},
  {"port":{"type":"integer","required":true,"default":80,"between":[0,65535]}},
  {"path":{"type":"string","starts_with":"/","match_none":[{"pattern":"//","err":"must not have empty segments"}]}},
  {"connect_timeout":{"type":"integer","default":60000,"between":[1,2147483646]}},
  {"write_timeout":{"type":"integer","default":60000,"between":[1,2147483646]}},
  {"read_timeout":{"type":"integer","default":60000,"between":[1,2147483646]}},
  {"tags":{"type":"set","elements":{"type":"string","required":true}}},
  {"client_certificate":{"type":"foreign","reference":"certificates"}},
  {"tls_verify":{"type":"boolean"}},
  {"tls_verify_depth":{"type":"integer","default":null,"between":[0,64]}},
  {"ca_certificates":{"type":"array","elements":{"type":"string","uuid":true}}},
  {"enabled":{"type":"boolean","required":true,"default":true}}],
 "entity_checks":[
  {"conditional":{"if_field":"protocol","if_match":{"one_of":["tcp","tls","udp","grpc","grpcs"]},"then_field":"path","then_match":{"eq":null}}},
  {"conditional":{"if_field":"protocol","if_match":{"not_one_of":["https","tls"]},"then_field":"client_certificate","then_match":{"eq":null}}},
  {"conditional":{"if_field":"protocol","if_match":{"not_one_of":["https","tls"]},"then_field":"tls_verify","then_match":{"eq":null}}},
  {"conditional":{"if_field":"protocol","if_match":{"not_one_of":["https","tls"]},"then_field":"tls_verify_depth","then_match":{"eq":null}}},
  {"conditional":{"if_field":"protocol","if_match":{"not_one_of":["https","tls"]},"then_field":"ca_certificates","then_match":{"eq":null}}}]}`

// keyAuthExample is what Kong 3.8 answers for key-auth, without descriptions
// and a "required": false.
const keyAuthExample = `{"fields":[
  {"consumer":{"type":"foreign","reference":"consumers","eq":null}},
  {"consumer_group":{"type":"foreign","reference":"consumer_groups","eq":null}},
  {"protocols":{"type":"set","required":true,"default":["grpc","grpcs","http","https"],"elements":{"type":"string","one_of":["grpc","grpcs","http","https"]}}},
  {"config":{"type":"record","required":true,"fields":[
    {"key_names":{"type":"array","required":true,"default":["apikey"],"elements":{"type":"string"}}},
    {"hide_credentials":{"type":"boolean","required":true,"default":false}},
    {"anonymous":{"type":"string"}},
    {"key_in_header":{"type":"boolean","required":true,"default":true}},
    {"key_in_query":{"type":"boolean","required":true,"default":true}},
    {"key_in_body":{"type":"boolean","required":true,"default":false}},
    {"run_on_preflight":{"type":"boolean","required":true,"default":true}},
    {"realm":{"type":"string"}}]}}],
 "entity_checks":[]}`

func TestDescribeExamples(t *testing.T) {
	c := load(t)
	services, _ := c.Entity("services")
	keyAuth, _ := c.Plugin("key-auth")
	for _, tt := range []struct {
		schema *Schema
		want   string
	}{{services, servicesExample}, {keyAuth, keyAuthExample}} {
		got := tt.schema.Describe()
		if want := mustParse(t, tt.want); !Equal(undescribed(got), want) {
			t.Errorf("%s\n got %s\nwant %s", tt.schema.Kind(), undescribed(got), want)
		}
		if !strings.Contains(got.String(), `"description":`) {
			t.Errorf("%s shows no descriptions", tt.schema.Kind())
		}
	}
	if got, want := keyAuth.DescribeConfig().Get("fields"), keyAuth.Describe().Get("fields").Elements()[3].Get("config", "fields"); !Equal(got, want) {
		t.Errorf("DescribeConfig\n got %s\nwant %s", got, want)
	}
}

// undescribed takes the descriptions out.
func undescribed(d Document) Document {
	switch d.Kind() {
	case KindObject:
		var members []Member
		for _, m := range d.Members() {
			if m.Name != "description" || m.Value.Kind() != KindString {
				members = append(members, Member{m.Name, undescribed(m.Value)})
			}
		}
		return Object(members...)
	case KindList:
		elements := make([]Document, len(d.Elements()))
		for i, e := range d.Elements() {
			elements[i] = undescribed(e)
		}
		return List(elements...)
	}
	return d
}

// TestDescribeGoldens pairs every entity and plugin with a golden file, both
// ways, so that no proto changes what clients see unnoticed.
func TestDescribeGoldens(t *testing.T) {
	c := load(t)
	var want []string
	var all []*Schema
	for _, kind := range sortedKeys(c.byKind) {
		all = append(all, c.byKind[kind])
	}
	for _, s := range slices.Concat(all, c.Plugins(), c.configs) {
		name := s.Kind() + ".json"
		switch {
		case s.plugin != nil:
			name = "plugin." + name
		case s.variantOf != nil:
			name = s.variantOf.GetKind() + "." + name
		}
		want = append(want, name)
		t.Run(name, func(t *testing.T) {
			compareGolden(t, filepath.Join("testdata/describe", name), []byte(indent(t, s.Describe())))
		})
	}
	t.Run("routes.expressions.json", func(t *testing.T) {
		want = append(want, "routes.expressions.json")
		s := entityIn(t, "expressions", "routes")
		compareGolden(t, "testdata/describe/routes.expressions.json", []byte(indent(t, s.Describe())))
	})
	files, err := os.ReadDir("testdata/describe")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(want, f.Name()) {
			t.Errorf("testdata/describe/%s describes nothing that there is", f.Name())
		}
	}
}

// TestDescribeAgrees derives a plugin's default configuration from its schema
// as clients do, and wants the one that the gateway stores. A difference would
// be reported by them as a change for ever.
func TestDescribeAgrees(t *testing.T) {
	c := load(t)
	plugins, _ := c.Entity("plugins")
	for _, p := range c.Plugins() {
		t.Run(p.Kind(), func(t *testing.T) {
			doc := plugins.Complete(Object(Member{"name", String(p.Kind())}), noon)
			got := plugins.Render(doc, noon).Get("config")
			want := clientDefaults(p.DescribeConfig())
			if !Equal(got, want) {
				t.Errorf("stored %s\nclients think %s", got, want)
			}
		})
	}
	for _, v := range c.configs {
		t.Run(v.Kind(), func(t *testing.T) {
			s, _ := c.Entity(v.variantOf.GetKind())
			doc := s.Complete(Object(Member{s.entity.GetSubschemaKey(), String(v.Kind())}), noon)
			if got, want := s.Render(doc, noon).Get(s.config.name), clientDefaults(v.DescribeConfig()); !Equal(got, want) {
				t.Errorf("stored %s\nclients think %s", got, want)
			}
		})
	}
	// Of an upstream's health checks clients walk all records, down to the leaves.
	upstreams, _ := c.Entity("upstreams")
	got := upstreams.Complete(Object(), noon).Get("healthchecks")
	if want := leafDefaults(fieldOf(upstreams.Describe(), "healthchecks")); !Equal(got, want) {
		t.Errorf("stored %s\nclients think %s", got, want)
	}
	for _, kind := range []string{"services", "routes", "targets"} {
		s, _ := c.Entity(kind)
		doc := s.Complete(Object(), noon)
		for _, f := range s.Describe().Get("fields").Elements() {
			name, rules := f.Members()[0].Name, f.Members()[0].Value
			if rules.Get("auto").IsAbsent() && !rules.Get("default").IsAbsent() && !Equal(doc.Get(name), rules.Get("default")) {
				t.Errorf("%s.%s is stored as %s, shown with default %s", kind, name, doc.Get(name), rules.Get("default"))
			}
		}
	}
}

// clientDefaults walks required records and takes the leaves' defaults, null
// where there is none.
func clientDefaults(schema Document) Document {
	var members []Member
	for _, f := range schema.Get("fields").Elements() {
		name, rules := f.Members()[0].Name, f.Members()[0].Value
		required, _ := rules.Get("required").Truth()
		v := rules.Get("default")
		if rules.Get("type").Text() == "record" && required {
			inner := clientDefaults(rules)
			for _, m := range v.Members() {
				inner = inner.With(m.Value, m.Name)
			}
			v = inner
		}
		if v.IsAbsent() {
			v = Null()
		}
		members = append(members, Member{name, v})
	}
	return Object(members...)
}

// fieldOf is what a schema says of one of its fields.
func fieldOf(schema Document, name string) Document {
	for _, f := range schema.Get("fields").Elements() {
		if f.Members()[0].Name == name {
			return f.Members()[0].Value
		}
	}
	return Document{}
}

// leafDefaults walks all records, without a look at defaults of their own.
func leafDefaults(schema Document) Document {
	var members []Member
	for _, f := range schema.Get("fields").Elements() {
		name, rules := f.Members()[0].Name, f.Members()[0].Value
		v := rules.Get("default")
		if rules.Get("type").Text() == "record" {
			v = leafDefaults(rules)
		}
		if v.IsAbsent() {
			v = Null()
		}
		members = append(members, Member{name, v})
	}
	return Object(members...)
}

// TestDescribeVocabulary shows the attributes that no entity has yet.
func TestDescribeVocabulary(t *testing.T) {
	s := entitySchema(t,
		protoField("n", number, `gt: 0.5 not_one_of: "7" deprecation { message: "old" removal_in_version: "9" }`)+
			protoField("t", text, `referenceable: true encrypted: true immutable: true transient: true unique_across_ws: true len_eq: 3 len_max: 4 is_regex: true match: "a" not_match: "b" match_all { pattern: "c" } match_any { patterns: "d" err: "e" } ne: "\"x\"" err: "f"`)+
			repeated("l", text, `contains: "\"x\""`)+
			protoField("r", inner, ``)+
			protoField("j", `type: TYPE_BYTES`, `type: TYPE_JSON`)+
			protoField("i", number, `gt: -inf between { min: 1 max: inf }`),
		`checks { distinct { values: "n" values: "t" } } checks { only_one_of { values: "n" } } checks { mutually_exclusive { values: "n" } } checks { mutually_exclusive_sets { set1: "n" set2: "t" } }
		 checks { err: "set %s" require_when { when { field: "n" match { eq: "1" } } fields: "t" fields: "l" } }
		 checks { deny_when { when { field: "n" match { eq: "1" } } when { field: "r.a" match { required: true } } } }`, ``)
	const want = `{"fields":[` +
		`{"n":{"type":"number","not_one_of":[7],"gt":0.5,"deprecation":{"message":"old","removal_in_version":"9"}}},` +
		`{"t":{"type":"string","unique":true,"unique_across_ws":true,"ne":"x","is_regex":true,"len_eq":3,"len_max":4,"not_match":"b","match":"a","match_all":[{"pattern":"c"}],"match_any":{"patterns":["d"],"err":"e"},"referenceable":true,"encrypted":true,"immutable":true,"transient":true,"err":"f"}},` +
		`{"l":{"type":"array","contains":"x","elements":{"type":"string"}}},` +
		`{"r":{"type":"record","fields":[{"a":{"type":"string","default":"x"}},{"b":{"type":"integer","required":true}},{"c":{"type":"string"}}],"entity_checks":[{"mutually_exclusive":["a","c"]}],` +
		`"shorthand_fields":[{"old_c":{"type":"string","deprecation":{"message":"use c","removal_in_version":"9.0","replaced_with":[{"path":["c"]}]},"translate_backwards":["c"]}}]}},` +
		`{"j":{"type":"json"}},` +
		`{"i":{"type":"number","gt":"-inf","between":[1,"inf"]}}],` +
		`"entity_checks":[{"distinct":["n","t"]},{"only_one_of":["n"]},{"mutually_exclusive":["n"]},{"mutually_exclusive_sets":{"set1":["n"],"set2":["t"]}},` +
		`{"conditional_at_least_one_of":{"if_field":"n","if_match":{"eq":1},"then_at_least_one_of":["t"],"then_err":"set %s"}},` +
		`{"conditional_at_least_one_of":{"if_field":"n","if_match":{"eq":1},"then_at_least_one_of":["l"],"then_err":"set %s"}},` +
		`{"custom_entity_check":{"field_sources":["n","r.a"]}}]}`
	if got := s.Describe().String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
