package admin_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// fieldNames are the fields of Kong 3.8's core entities. Clients compare defaults
// exactly and know by the version which fields there are, so a newer one would be
// a difference for ever.
var fieldNames = map[string]string{
	"services": "id created_at updated_at name retries protocol host port path connect_timeout write_timeout read_timeout tags client_certificate " +
		"tls_verify tls_verify_depth ca_certificates enabled",
	"routes": "id created_at updated_at name protocols methods hosts paths headers snis sources destinations https_redirect_status_code strip_path " +
		"preserve_host request_buffering response_buffering regex_priority path_handling tags service",
	"plugins":   "id name instance_name created_at updated_at route service consumer consumer_group config protocols enabled ordering tags",
	"consumers": "id created_at updated_at username custom_id tags",
	"upstreams": "id created_at updated_at name algorithm hash_on hash_fallback hash_on_header hash_fallback_header hash_on_cookie hash_on_cookie_path " +
		"hash_on_query_arg hash_fallback_query_arg hash_on_uri_capture hash_fallback_uri_capture slots healthchecks tags host_header client_certificate use_srv_name",
	"targets":               "id created_at updated_at upstream target weight tags",
	"certificates":          "id created_at updated_at cert key cert_alt key_alt tags snis",
	"ca_certificates":       "id created_at updated_at cert cert_digest tags",
	"snis":                  "id created_at updated_at name certificate tags",
	"vaults":                "id created_at updated_at prefix name description config tags",
	"keys":                  "id set name kid jwk pem tags created_at updated_at",
	"key_sets":              "id name tags created_at updated_at",
	"keyauth_credentials":   "id created_at consumer key tags",
	"basicauth_credentials": "id created_at consumer username password tags",
	"hmacauth_credentials":  "id created_at consumer username secret tags",
	"jwt_secrets":           "id created_at consumer key secret rsa_public_key algorithm tags",
	"oauth2_credentials":    "id created_at consumer name client_id client_secret hash_secret redirect_uris tags client_type",
	"oauth2_tokens":         "id created_at credential service token_type expires_in access_token refresh_token authenticated_userid scope tags",
	"acls":                  "id created_at consumer group tags",
	"consumer_groups":       "id created_at updated_at name tags",
	"licenses":              "id payload created_at updated_at",
	"filter_chains":         "id name enabled route service filters created_at updated_at tags",
	"parameters":            "created_at key value",
	"tags":                  "tag entity_name entity_id",
}

func TestSchemaFields(t *testing.T) {
	c := tool{t: t, h: newServer(t, nil)}
	cache := map[string]object{}
	for kind, names := range fieldNames {
		want := strings.Fields(names)
		var got []string
		for _, f := range fieldsOf(c.schemaOf(cache, kind)) {
			got = append(got, f.name)
		}
		slices.Sort(got)
		slices.Sort(want)
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", kind, d)
		}
	}
}

// attributeTypes are what a schema says of a field, and the type of JSON that
// clients decode it into; "" is any.
var attributeTypes = map[string]string{
	"type": "text", "required": "true", "default": "", "description": "text", "elements": "field", "keys": "field", "values": "field", "fields": "fields",
	"reference": "text", "on_delete": "text", "unique": "true", "unique_across_ws": "true", "auto": "true", "uuid": "true", "timestamp": "true",
	"referenceable": "true", "encrypted": "true", "immutable": "true", "transient": "true", "abstract": "true", "eq": "", "ne": "", "one_of": "list",
	"not_one_of": "list", "between": "range", "gt": "limit", "len_eq": "length", "len_min": "length", "len_max": "length", "match": "text", "not_match": "text",
	"match_any": "object", "match_all": "patterns", "match_none": "patterns", "starts_with": "text", "contains": "", "is_regex": "true", "err": "text",
	"entity_checks": "checks", "shorthand_fields": "shorthands", "deprecation": "deprecation", "mutually_exclusive_subsets": "list",
}

// valueTypes are the types of fields and what a value of them is in JSON.
var valueTypes = map[string]string{
	"string": "text", "integer": "integer", "number": "number", "boolean": "boolean", "array": "list", "set": "list",
	"map": "object", "record": "object", "foreign": "object", "json": "",
}

// isJSON reports that a value is of a type of attributeTypes or valueTypes.
func isJSON(v any, name string) bool {
	switch name {
	case "text":
		s, ok := v.(string)
		return ok && s != ""
	case "true":
		return v == true
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "number", "limit":
		_, ok := v.(float64)
		return ok || name == "limit" && (v == "inf" || v == "-inf" || v == "nan")
	case "integer", "length":
		n, ok := v.(float64)
		return ok && n == float64(int64(n)) && (name == "integer" || n >= 0)
	case "list":
		_, ok := v.([]any)
		return ok
	case "object":
		_, ok := v.(object)
		return ok
	case "range":
		list, ok := v.([]any)
		return ok && len(list) == 2 && isJSON(list[0], "limit") && isJSON(list[1], "limit")
	}
	return name == ""
}

// shape walks a schema.
type shape struct {
	t     *testing.T
	kinds map[string]bool
	seen  map[string]int // attributes
}

func (s *shape) fields(at string, record object) {
	list, ok := record["fields"].([]any)
	if !ok {
		s.t.Errorf("%s: fields is no list but %v", at, record["fields"])
	}
	for _, one := range list {
		o, ok := one.(object)
		if !ok || len(o) != 1 {
			s.t.Errorf("%s: %v is no object of one key", at, one)
			continue
		}
		for name, rules := range o {
			s.field(at+"."+name, rules.(object))
		}
	}
	if checks, ok := record["entity_checks"]; ok {
		s.checks(at, checks, list)
	}
	if shorthands, ok := record["shorthand_fields"]; ok {
		s.shorthands(at, shorthands, list)
	}
}

func (s *shape) field(at string, f object) {
	typ, _ := f["type"].(string)
	values, known := valueTypes[typ]
	if !known {
		s.t.Errorf("%s: type is %v", at, f["type"])
	}
	for name, v := range f {
		s.seen[name]++
		want, known := attributeTypes[name]
		switch {
		case !known:
			s.t.Errorf("%s: clients know no %s", at, name)
		case want == "field":
			s.field(at+"["+name+"]", v.(object))
		case want == "patterns":
			for _, p := range v.([]any) {
				if !isJSON(p.(object)["pattern"], "text") {
					s.t.Errorf("%s: %s has the pattern %v", at, name, p)
				}
			}
		case want == "deprecation":
			s.deprecation(at, v)
		case want == "fields", want == "checks", want == "shorthands":
		case !isJSON(v, want):
			s.t.Errorf("%s: %s is %v", at, name, v)
		}
	}
	for _, name := range []string{"default", "eq"} {
		if v, ok := f[name]; ok && v != nil && !isJSON(v, values) {
			s.t.Errorf("%s of type %s: %s is %v", at, typ, name, v)
		}
	}
	switch _, elements := f["elements"]; {
	case typ == "record" && f["abstract"] != true:
		s.fields(at, f)
		s.leaves(at, f["default"], f)
	case (typ == "array" || typ == "set") != elements:
		s.t.Errorf("%s of type %s: elements are %v", at, typ, f["elements"])
	case typ == "map" && (f["keys"] == nil || f["values"] == nil):
		s.t.Errorf("%s: a map without keys or values", at)
	case typ == "foreign" && !s.kinds[f["reference"].(string)]:
		s.t.Errorf("%s: refers to %v, which is no entity", at, f["reference"])
	}
}

// leaves wants the defaults in a record's default on the leaves too, where some
// clients look alone.
func (s *shape) leaves(at string, whole any, record object) {
	values, _ := whole.(object)
	for _, f := range fieldsOf(record) {
		v, ok := values[f.name]
		switch {
		case !ok:
		case f.object["type"] == "record":
			s.leaves(at+"."+f.name, v, f.object)
		case !gocmp.Equal(v, f.object["default"]):
			s.t.Errorf("%s.%s: the record says %v, the field %v", at, f.name, v, f.object["default"])
		}
	}
}

var checkNames = []string{
	"at_least_one_of", "only_one_of", "distinct", "mutually_required", "mutually_exclusive", "mutually_exclusive_sets", "conditional",
	"conditional_at_least_one_of", "custom_entity_check",
}

func (s *shape) checks(at string, checks any, fields []any) {
	list, ok := checks.([]any)
	if !ok {
		s.t.Errorf("%s: entity_checks are %v", at, checks)
	}
	for _, one := range list {
		check := one.(object)
		found := false
		for name, rule := range check {
			if name == "err" && isJSON(rule, "text") {
				continue
			}
			found = slices.Contains(checkNames, name)
			if !found {
				s.t.Errorf("%s: a check called %s", at, name)
			}
			for _, path := range pathsIn(rule) {
				if !leads(strings.Split(path, "."), fields) {
					s.t.Errorf("%s: %s is about %s, which there is not", at, name, path)
				}
			}
		}
		if !found {
			s.t.Errorf("%s: %v checks nothing", at, check)
		}
	}
}

// pathsIn are the fields that a check names.
func pathsIn(rule any) []string {
	var out []string
	texts := func(v any) {
		list, _ := v.([]any)
		for _, e := range list {
			out = append(out, e.(string))
		}
	}
	texts(rule)
	o, _ := rule.(object)
	for name, v := range o {
		switch name {
		case "if_field", "then_field":
			out = append(out, v.(string))
		case "then_at_least_one_of", "else_then_at_least_one_of", "field_sources", "set1", "set2":
			texts(v)
		}
	}
	return out
}

// leads reports that a path leads to a field. Below what is abstract there may be
// any.
func leads(path []string, fields []any) bool {
	for _, f := range fieldsOf(object{"fields": fields}) {
		if f.name == path[0] {
			inner, _ := f.object["fields"].([]any)
			return len(path) == 1 || f.object["abstract"] == true || leads(path[1:], inner)
		}
	}
	return false
}

func (s *shape) shorthands(at string, shorthands any, fields []any) {
	list, ok := shorthands.([]any)
	if !ok || len(list) == 0 {
		s.t.Errorf("%s: shorthand_fields are %v", at, shorthands)
	}
	for _, one := range list {
		for name, v := range one.(object) {
			rules := v.(object)
			if valueTypes[rules["type"].(string)] == "" {
				s.t.Errorf("%s.%s: type is %v", at, name, rules["type"])
			}
			s.deprecation(at+"."+name, rules["deprecation"])
			replaced, _ := rules["deprecation"].(object)["replaced_with"].([]any)
			if len(replaced) == 0 {
				s.t.Errorf("%s.%s: replaced with nothing", at, name)
			}
			for _, r := range append(replaced, object{"path": rules["translate_backwards"]}) {
				path := pathsIn(r.(object)["path"])
				if len(path) > 0 && !leads(path, fields) {
					s.t.Errorf("%s.%s: replaced with %v, which there is not", at, name, path)
				}
			}
		}
	}
}

func (s *shape) deprecation(at string, v any) {
	d, _ := v.(object)
	if !isJSON(d["message"], "text") || !isJSON(d["removal_in_version"], "text") {
		s.t.Errorf("%s: deprecation is %v", at, v)
	}
}

// TestSchemaShape looks at every schema that the API shows: the form that clients
// decode, at every depth.
func TestSchemaShape(t *testing.T) {
	h := newServer(t, nil)
	c := tool{t: t, h: h}
	s := &shape{t: t, kinds: map[string]bool{}, seen: map[string]int{}}
	cache := map[string]object{}
	for _, e := range catalogue(t).Entities() {
		s.kinds[e.Kind()] = true
	}
	for kind := range s.kinds {
		entity := c.schemaOf(cache, kind)
		if entity["entity_checks"] == nil || len(entity) != 2 {
			t.Errorf("%s: not fields and entity_checks alone", kind)
		}
		s.fields(kind, entity)
	}
	for _, sub := range subjects(t, h) {
		if sub.variant == "" {
			continue
		}
		variant := c.schemaOf(cache, sub.kind, sub.variant)
		s.fields(sub.name(), variant)
		if sub.kind != "plugins" {
			continue
		}
		fields := fieldsOf(variant)
		config := fields[slices.IndexFunc(fields, func(f schemaField) bool { return f.name == "config" })].object
		checks := config["entity_checks"]
		if checks == nil {
			checks = []any{}
		}
		code, _, alone := c.request("GET", "/plugins/schema/"+sub.variant, nil)
		if d := gocmp.Diff(object{"fields": config["fields"], "entity_checks": checks}, alone); code != 200 || d != "" {
			t.Errorf("/plugins/schema/%s: %d, is not the config of /schemas/plugins/%s (-config +answer)\n%s", sub.variant, code, sub.variant, d)
		}
	}
	for _, name := range []string{"between", "one_of", "len_min", "referenceable", "encrypted", "on_delete", "transient", "deprecation", "shorthand_fields", "match_none", "eq"} {
		if s.seen[name] == 0 {
			t.Errorf("no schema shows %s", name)
		}
	}
}

// TestPluginScopes binds each plugin to each kind of entity: its schema shows the
// scope as one that must be null exactly where the write is refused.
func TestPluginScopes(t *testing.T) {
	h := newServer(t, nil)
	for _, request := range phantomSetup {
		line, body, _ := strings.Cut(request, "\n")
		must(t, h, 201, "POST", strings.TrimPrefix(line, "POST "), "", body)
	}
	c := tool{t: t, h: h}
	cache := map[string]object{}
	for _, s := range subjects(t, h) {
		if s.kind != "plugins" {
			continue
		}
		for field, kind := range map[string]string{"route": "routes", "service": "services", "consumer": "consumers", "consumer_group": "consumer_groups"} {
			body := object{"name": s.variant, "config": s.seeds[0]["config"], field: object{"id": referred[kind]}}
			code, _, answer := c.request("POST", "/plugins", body)
			forbidden := false
			for _, f := range fieldsOf(c.schemaOf(cache, "plugins", s.variant)) {
				if f.name != field {
					continue
				}
				eq, shown := f.object["eq"]
				forbidden = shown && eq == nil && f.object["type"] == "foreign" && f.object["reference"] == kind
				if !forbidden {
					t.Errorf("%s: %s is shown as %v", s.variant, field, f.object)
				}
			}
			refused := code == 400 && gocmp.Equal(answer["fields"], any(object{field: "value must be null"}))
			if forbidden != refused || !forbidden && code != 201 {
				t.Errorf("%s of a %s: shown as forbidden %v, answered %d %v", s.variant, field, forbidden, code, answer)
			}
		}
	}
}

// TestPluginProtocols wants of each plugin that the protocols which it gets by
// default are those of its schema, and that others are refused.
func TestPluginProtocols(t *testing.T) {
	h := newServer(t, nil)
	c := tool{t: t, h: h}
	cache := map[string]object{}
	for _, s := range subjects(t, h) {
		if s.kind != "plugins" {
			continue
		}
		var shown object
		for _, f := range fieldsOf(c.schemaOf(cache, "plugins", s.variant)) {
			if f.name == "protocols" {
				shown = f.object
			}
		}
		code, _, got := c.request("POST", "/plugins", s.seeds[0])
		if code != 201 || shown["required"] != true || shown["type"] != "set" || !gocmp.Equal(got["protocols"], shown["default"]) {
			t.Errorf("%s: %d, protocols %v, shown as %v", s.variant, code, got["protocols"], shown)
		}
		among := shown["elements"].(object)["one_of"].([]any)
		for _, protocol := range []string{"grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"} {
			body := object{"name": s.variant, "config": s.seeds[0]["config"], "protocols": []any{protocol}}
			want := http.StatusBadRequest
			if slices.Contains(among, any(protocol)) {
				want = http.StatusOK
			}
			if code, _, out := c.request("POST", "/schemas/plugins/validate", body); code != want {
				t.Errorf("%s for %s: %d %v, want %d", s.variant, protocol, code, out, want)
			}
		}
	}
}

// TestDefaultConfig wants of a plugin that is named alone what follows from its
// schema.
func TestDefaultConfig(t *testing.T) {
	c := tool{t: t, h: newServer(t, nil)}
	code, _, got := c.request("POST", "/plugins", object{"name": "key-auth"})
	var want object
	if err := json.Unmarshal([]byte(`{"name":"key-auth","instance_name":null,"route":null,"service":null,"consumer":null,"consumer_group":null,"ordering":null,
		"config":{"key_names":["apikey"],"hide_credentials":false,"anonymous":null,"key_in_header":true,"key_in_query":true,"key_in_body":false,"run_on_preflight":true,"realm":null},
		"protocols":["grpc","grpcs","http","https"],"enabled":true,"tags":null}`), &want); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "created_at", "updated_at"} {
		if got[name] == nil {
			t.Errorf("no %s", name)
		}
		want[name] = got[name]
	}
	if d := gocmp.Diff(want, got); code != 201 || d != "" {
		t.Errorf("%d (-want +got)\n%s", code, d)
	}
}
