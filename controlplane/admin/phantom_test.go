package admin_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/schema"
)

// A subject is a kind of entity, or one variant of it, such as a plugin, whose
// bodies are made up from the schema that the API shows.
type subject struct {
	kind, variant string
	flavor        string // of the router; "": the usual one
	suite         entitySuite
	seeds         []object // bodies that are good
}

func (s *subject) name() string {
	if s.variant != "" {
		return s.kind + "/" + s.variant
	}
	return s.kind
}

// pluginSeeds are good configurations of each plugin, those of its README first.
var pluginSeeds = map[string][]string{
	"ai-prompt-decorator": {`{"prompts":{"prepend":[{"role":"system","content":"You are a mathematician."}],"append":[{"role":"user","content":"Answer in one sentence."}]}}`, `{"prompts":{"append":[{"content":"x"}]}}`},
	"ai-prompt-guard":     {`{"deny_patterns":["(?i)pass ?word"],"allow_patterns":[".*"]}`, `{"allow_patterns":["a"],"match_all_roles":true}`},
	"ai-prompt-template":  {`{"allow_untemplated_requests":false,"templates":[{"name":"teacher","template":"{\"messages\":[{\"role\":\"user\",\"content\":\"Explain {{topic}} to {{who}}.\"}]}"}]}`},
	"ai-proxy": {
		`{"route_type":"llm/v1/chat","model":{"provider":"openai","name":"gpt-4","options":{"upstream_url":"http://127.0.0.1:9997/v1/chat/completions"}}}`,
		`{"route_type":"llm/v1/chat","auth":{"header_name":"Authorization","header_value":"Bearer x"},"model":{"provider":"openai","options":{"max_tokens":512,"temperature":1}}}`,
		`{"route_type":"llm/v1/completions","auth":{"param_name":"k","param_value":"v","param_location":"query"},"model":{"provider":"azure","options":{"azure_instance":"i","azure_deployment_id":"d"}}}`,
		`{"route_type":"llm/v1/chat","llm_format":"gemini","auth":{"gcp_use_service_account":true},"model":{"provider":"gemini","options":{"gemini":{"api_endpoint":"a","project_id":"p","location_id":"l"}}}}`,
		`{"route_type":"llm/v1/chat","model":{"provider":"anthropic","options":{"anthropic_version":"2023-06-01","cache_write_cost_list":[{"ttl":"5m","cost":1.5}],"service_tier_factor":[{"tier":"flex","factor":0.5}]}}}`,
	},
	"ai-request-transformer": {`{"prompt":"Answer with JSON only.","transformation_extract_pattern":"\\{.*\\}","llm":{"route_type":"llm/v1/chat","model":{"provider":"openai","name":"gpt-4"}}}`},
	"ai-response-transformer": {
		`{"prompt":"Say it in French.","llm":{"route_type":"llm/v1/chat","model":{"provider":"openai","name":"gpt-4","options":{"upstream_url":"http://127.0.0.1:9997/v1/chat/completions"}}}}`,
		`{"prompt":"p","http_proxy_host":"proxy.internal","http_proxy_port":3128,"llm":{"route_type":"llm/v1/chat","model":{"provider":"mistral","options":{"mistral_format":"openai"}}}}`,
	},
	"file-log": {`{"path":"/tmp/log.txt"}`, `{"path":"/dev/stdout","reopen":true,"custom_fields_by_lua":{"a":"return nil"}}`},
	"key-auth": {`{}`, `{"key_names":["apikey","x-key"],"hide_credentials":true}`},
}

// variantSeeds are good bodies of the variants of other kinds.
var variantSeeds = map[string]map[string][]string{
	"vaults": {"env": {`{"prefix":"my-env"}`, `{"prefix":"pay","description":"of the app","config":{"prefix":"APP_"}}`}},
	"partials": {
		"redis-ce": {`{}`, `{"name":"pay","config":{"host":"h","port":6380,"password":"{vault://env/pw}"}}`},
		"redis-ee": {
			`{}`, `{"config":{"sentinel_master":"m","sentinel_role":"any","sentinel_nodes":[{"host":"h"}]}}`, `{"config":{"cluster_nodes":[{"ip":"h","port":7000}]}}`,
			`{"config":{"connection_is_proxied":true,"cloud_authentication":{"auth_provider":"aws"}}}`,
		},
	},
}

// ownSeeds stand in the place of the suites' bodies, which would meet what the
// setup makes, or are not written as they are stored.
var ownSeeds = map[string][]string{
	"ca_certificates": {`{"cert":` + quoted(pemText("ca2.crt")) + `}`, `{"cert":` + quoted(pemText("ca2.crt")) + `,"tags":["a"]}`},
	"targets":         {`{"target":"example.com:8000","upstream":{"id":"` + upstreamID + `"}}`, `{"target":"[::1]:443","weight":5,"tags":["a"],"upstream":{"id":"` + upstreamID + `"}}`},
}

// moreSeeds are bodies of kinds that differ more than the suites' do.
var moreSeeds = map[string][]string{
	"routes": {`{"protocols":["tcp"],"sources":[{"ip":"10.0.0.0/8"},{"port":80}]}`, `{"protocols":["tls_passthrough"],"snis":["a.example.com"]}`, `{"protocols":["grpc","grpcs"],"hosts":["grpc.example.com"]}`, `{"headers":{"x-kind":["a"]}}`},
	"upstreams": {
		`{"name":"up.internal","algorithm":"consistent-hashing","hash_on":"ip"}`, `{"name":"up.internal","algorithm":"least-connections"}`,
		`{"name":"up.internal","algorithm":"consistent-hashing","hash_on":"consumer","hash_fallback":"query_arg","hash_fallback_query_arg":"q"}`,
	},
	"keys":        {`{"kid":"a","pem":{"public_key":` + quoted(pemText("rsa.pub")) + `}}`},
	"jwt_secrets": {`{` + ofConsumer + `,"algorithm":"HS512"}`},
	"services":    {`{"host":"10.0.0.1","protocol":"tls","port":443,"tls_verify":false}`, `{"host":"h","protocol":"tcp","port":22}`},
}

// phantomSetup makes one entity of each kind that others refer to.
var phantomSetup = []string{
	"POST /certificates\n" + certificateBody(certificateID), makeService, makeRoute, makeConsumer, makeGroup, makeKeySet, makeApp,
	"POST /upstreams\n" + `{"id":"` + upstreamID + `","name":"parent.internal"}`,
	"POST /ca_certificates\n" + `{"id":"` + caID + `","cert":` + quoted(pemText("ca.crt")) + `}`,
}

// referred are the ids of what the setup makes.
var referred = map[string]string{
	"services": serviceID, "routes": routeID, "consumers": consumerID, "certificates": certificateID, "upstreams": upstreamID,
	"key_sets": keySetID, "oauth2_credentials": credentialID, "ca_certificates": caID, "consumer_groups": groupID,
}

// knownGood are values for what no schema shows: formats, and what has to fit
// together. Found by subject and path, or by the field's name alone.
var knownGood = map[string][]any{
	"tags[]": {"a", "A b", "ü", "x-1_~."},
	"name":   {"pay", "a.b_c~d-e", "ü"},

	"services.host": {"example.com", "10.0.0.1", "::1"}, "services.path": {"/", "/v1", "/a/%41b/"},
	"services.ca_certificates[]": {caID, missingID},
	"expression":                 {`http.path ^= "/a"`, `http.path == "/b" && http.method == "POST"`},
	"routes.methods[]":           {"GET", "POST", "PURGE"}, "routes.hosts[]": {"a.example.com", "*.example.com", "b.example.*"},
	"routes.paths[]": {"/a", "/b/c-d~e", `~/c/\d+$`}, "routes.snis[]": {"a.example.com", "b.example.com"},
	"routes.headers{}": {"x-kind", "x_other"}, "routes.headers[][]": {"a", "b c", "~*^a"},
	"ip":                  {"10.0.0.0/8", "10.1.2.3", "::1"},
	"instance_name":       {"mine", "a.b"},
	"upstreams.name":      {"up.internal", "service-name"},
	"upstreams.slots":     {10, 100, 65536},
	"hash_on_header":      {"x-user"},
	"hash_on_cookie":      {"sid"},
	"hash_on_cookie_path": {"/", "/a"}, "hash_fallback_header": {"x-other", "x-user"},
	"http_path": {"/", "/live"}, "https_sni": {"up.example.com"}, "host_header": {"up.example.com", "up.example.com:8443"},
	"upstreams.healthchecks.active.headers{}": {"x-probe", "accept"},
	"target":            {"10.0.0.1:80", "example.com:8000", "[::1]:443"},
	"snis.name":         {"pay.example.com", "*.example.com", "b.example.*"},
	"certificates.cert": {certificateRSA}, "certificates.key": {keyRSA},
	"certificates.cert_alt": {certificateECDSA}, "certificates.key_alt": {keyECDSA}, "certificates.snis[]": {"a.example.com", "*.example.com"},
	"ca_certificates.cert": {pemText("ca2.crt")}, "ca_certificates.cert_digest": {"0"},
	"keys.kid": {"k1"}, "keys.jwk": {`{"kty":"EC","crv":"P-256","kid":"k1",` + ecPoint + `}`},
	"keys.pem.private_key": {keyRSA}, "keys.pem.public_key": {pemText("rsa.pub")},
	"rsa_public_key": {pemText("rsa.pub")}, "licenses.payload": {`{"license":{"version":1}}`, `{}`},
	"redirect_uris[]": {"https://example.com/cb", "http://localhost:1/a?b=c"},
	"workspaces.name": {"team-a", "ü", "x.y"}, "workspaces.config": {object{}, object{"a": 1.0, "b": []any{}}},
	"vaults/env.prefix": {"my-env", "pay", "a1"}, "vaults/env.config.prefix": {"APP_", "_a-b"},
	"host": {"h.example.com", "10.0.0.1"}, "server_name": {"h.example.com"},
	"http_proxy_host": {"proxy.internal"}, "https_proxy_host": {"proxy.internal"},
	"plugins/file-log.config.path": {"/tmp/a", "relative.log"}, "key_names[]": {"apikey", "x-key", "a_b"},
	"allow_patterns[]": {"a", `(?i)b\d+`, ".*"}, "deny_patterns[]": {"secret", "(?<!x)y"}, "transformation_extract_pattern": {`\{.*\}`},
	"access[]": {"key-auth", "rate-limiting"},
	"partials/redis-ee.config.cluster_nodes[].ip": {"h", "10.0.0.1"},
}

// computed are fields whose stored value is not what was sent.
var computed = map[string][]string{
	"basicauth_credentials": {"password"}, "ca_certificates": {"cert_digest"}, "oauth2_credentials": {"client_secret"},
}

// subjects are all kinds with paths, and all variants that their schemas name.
func subjects(t *testing.T, h http.Handler) []subject {
	t.Helper()
	parse := func(texts ...string) (out []object) {
		for _, text := range texts {
			var o object
			if err := json.Unmarshal([]byte(text), &o); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			out = append(out, o)
		}
		return out
	}
	var out []subject
	for _, suite := range slices.Concat(entitySuites, trafficSuites) {
		switch {
		case suite.off:
		case suite.kind == "plugins":
			for _, p := range must(t, h, 200, "GET", "/plugins/enabled", "", "").Get("enabled_plugins").Elements() {
				s := subject{kind: suite.kind, variant: p.Text(), suite: suite}
				for _, config := range parse(pluginSeeds[p.Text()]...) {
					s.seeds = append(s.seeds, object{"name": p.Text(), "config": config}, object{"name": p.Text(), "config": config, "service": object{"id": serviceID}})
				}
				if s.seeds == nil {
					t.Errorf("no good configuration of the plugin %s is known", p.Text())
				}
				out = append(out, s)
			}
		case ownSeeds[suite.kind] != nil:
			out = append(out, subject{kind: suite.kind, suite: suite, seeds: parse(ownSeeds[suite.kind]...)})
		case variantSeeds[suite.kind] != nil:
			for _, variant := range slices.Sorted(maps.Keys(variantSeeds[suite.kind])) {
				s := subject{kind: suite.kind, variant: variant, suite: suite, seeds: parse(variantSeeds[suite.kind][variant]...)}
				for _, seed := range s.seeds {
					seed[suite.decides] = variant
				}
				out = append(out, s)
			}
		default:
			out = append(out, subject{kind: suite.kind, suite: suite, seeds: parse(slices.Concat([]string{suite.least, suite.full, suite.other}, moreSeeds[suite.kind])...)})
		}
	}
	routes := slices.IndexFunc(out, func(s subject) bool { return s.kind == "routes" })
	return append(out, subject{kind: "routes", flavor: "expressions", suite: out[routes].suite, seeds: slices.Concat(out[routes].seeds, parse(
		`{"expression":"http.path ^= \"/a\"","priority":70368744177663}`, `{"name":"pay","expression":"http.host == \"a.com\"","tags":["a"]}`,
	))})
}

// server is an Admin API where bodies of the subject are taken, with what they
// refer to.
func (s *subject) server(t *testing.T) http.Handler {
	t.Helper()
	h := newServer(t, func(cfg *admin.Config) {
		if s.flavor == "" {
			return
		}
		var err error
		if cfg.Catalogue, err = schema.Load(schema.Options{RouterFlavor: s.flavor}); err != nil {
			t.Fatal(err)
		}
	})
	for _, request := range phantomSetup {
		line, body, _ := strings.Cut(request, "\n")
		must(t, h, 201, "POST", strings.TrimPrefix(line, "POST "), "", body)
	}
	return h
}

// generator makes up bodies that the rules of a schema allow.
type generator struct {
	*rand.Rand
	t    testing.TB
	name string // of the subject
	rate float64
}

func (g *generator) chance(p float64) bool { return g.Float64() < p }

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

// change gives some of a record's fields another value, none, or null.
func (g *generator) change(body object, fields []schemaField, path string) {
	for _, f := range fields {
		rules := f.object
		at := strings.TrimPrefix(path+"."+f.name, ".")
		old, given := body[f.name]
		_, hasDefault := rules["default"]
		must := rules["required"] == true && !hasDefault && rules["type"] != "record"
		switch {
		case rules["auto"] == true, rules["abstract"] == true:
		case !given && must:
			body[f.name] = g.value(at, rules)
		case rules["type"] == "record" && rules["required"] == true && old == nil:
			inner := object{}
			g.change(inner, fieldsOf(rules), at)
			if len(inner) > 0 {
				body[f.name] = inner
			}
		case rules["type"] == "record" && old != nil && !g.chance(g.rate/4):
			inner := old.(object)
			g.change(inner, fieldsOf(rules), at)
		case !g.chance(g.rate):
		case g.chance(0.3) && !must && !(rules["type"] == "record" && rules["required"] == true):
			delete(body, f.name)
		case g.chance(0.2) && rules["required"] != true:
			body[f.name] = nil
		default:
			body[f.name] = g.value(at, rules)
		}
	}
}

// value is one that the rules allow.
func (g *generator) value(at string, rules object) any {
	last := at[strings.LastIndexByte(at, '.')+1:]
	for _, key := range []string{g.name + "." + at, last} {
		if known := knownGood[key]; known != nil {
			return pick(g, known)
		}
	}
	if eq, ok := rules["eq"]; ok {
		return eq
	}
	if list, ok := rules["one_of"].([]any); ok {
		return pick(g, list)
	}
	switch rules["type"] {
	case "boolean":
		return g.chance(0.5)
	case "integer":
		return float64(int64(g.number(rules, 1)))
	case "number":
		return g.number(rules, 8)
	case "string":
		return g.text(at, rules)
	case "array", "set":
		return g.list(at, rules)
	case "map":
		out := object{}
		for range g.IntN(3) {
			out[g.value(at+"{}", rules["keys"].(object)).(string)] = g.value(at+"[]", rules["values"].(object))
		}
		return out
	case "record":
		inner := object{}
		g.change(inner, fieldsOf(rules), at)
		return inner
	case "foreign":
		id := referred[rules["reference"].(string)]
		if id == "" {
			g.t.Fatalf("%s.%s: nothing of the kind %s is there to refer to", g.name, at, rules["reference"])
		}
		if g.chance(0.3) {
			return object{"id": id, "name": "ignored", "nonsense": true}
		}
		return object{"id": id}
	}
	g.t.Fatalf("%s.%s: no values of the type %v", g.name, at, rules["type"])
	return nil
}

// number is one of the limits or lies between them, in steps of 1/parts.
func (g *generator) number(rules object, parts int64) float64 {
	low, high := -1000.0, 2147483647.0
	if b, ok := rules["between"].([]any); ok {
		low, high = b[0].(float64), b[1].(float64)
	}
	if gt, ok := rules["gt"].(float64); ok {
		low = gt + 1/float64(parts)
	}
	switch g.IntN(3) {
	case 0:
		return low
	case 1:
		return high
	}
	return low + float64(g.Int64N(int64(min(high-low, 100000))*parts+1))/float64(parts)
}

func (g *generator) text(at string, rules object) string {
	for _, shown := range []string{"match", "match_any", "match_all", "is_regex", "not_match", "starts_with"} {
		if rules[shown] != nil {
			g.t.Fatalf("%s.%s: no good text is known for its %s", g.name, at, shown)
		}
	}
	if rules["uuid"] == true {
		return uuid.NewString()
	}
	if rules["referenceable"] == true && g.chance(0.3) {
		return "{vault://env/some-secret/key}"
	}
	text := pick(g, []string{"x", "A b", `"q" \ /`, "ü → 数", "<&>'", "1", "true", "null", " a ", "{{a}}", "~(", "[]"})
	if length, ok := rules["len_eq"].(float64); ok {
		return strings.Repeat("x", int(length))
	}
	if least, ok := rules["len_min"].(float64); ok {
		if least == 0 && g.chance(0.2) {
			return ""
		}
		for len(text) < int(least) {
			text += text
		}
	}
	return text
}

func (g *generator) list(at string, rules object) []any {
	least, _ := rules["len_min"].(float64)
	elements := rules["elements"].(object)
	if groups, ok := rules["mutually_exclusive_subsets"].([]any); ok {
		elements = maps.Clone(elements)
		elements["one_of"] = pick(g, groups)
	}
	out := []any{}
	for range int(least) + g.IntN(3) {
		e := g.value(at+"[]", elements)
		twice := slices.ContainsFunc(out, func(o any) bool { return gocmp.Equal(o, e) })
		if !twice || rules["type"] == "array" && at != "snis" {
			out = append(out, e)
		}
	}
	return out
}

// phantom compares what a client sends with what it reads.
type phantom struct {
	*tool
	subject
	fields []schemaField
	path   string // of the collection
	ttl    bool
}

// newPhantom reads the schemas that a client reads, of which the variant's say
// more about some fields.
func newPhantom(t *testing.T, h http.Handler, s subject) *phantom {
	t.Helper()
	p := &phantom{tool: &tool{t: t, h: h}, subject: s, path: s.suite.collection(t)}
	cache := map[string]object{}
	p.fields = fieldsOf(p.schemaOf(cache, s.kind))
	if s.variant != "" {
		for _, f := range fieldsOf(p.schemaOf(cache, s.kind, s.variant)) {
			if i := slices.IndexFunc(p.fields, func(g schemaField) bool { return g.name == f.name }); i >= 0 {
				p.fields[i] = f
			}
		}
	}
	entity, _ := catalogue(t).Entity(s.kind)
	p.ttl = entity.TTL()
	return p
}

// filled is a body with the defaults that a client takes from the schema.
func (p *phantom) filled(body object) object {
	out := deepCopy(p.t, body)
	fillConfig(out, object{"fields": fieldList(p.fields)})
	if protocols, _ := out["protocols"].([]any); p.kind == "routes" && body["strip_path"] == nil && len(protocols) > 0 && strings.HasPrefix(protocols[0].(string), "grpc") {
		out["strip_path"] = false // which clients know without the schema
	}
	return out
}

func fieldList(fields []schemaField) []any {
	out := make([]any, len(fields))
	for i, f := range fields {
		out[i] = object{f.name: f.object}
	}
	return out
}

func deepCopy(t testing.TB, o object) object {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var out object
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// read is the entity by GET, which must be the one in the list.
func (p *phantom) read(id string) object {
	p.t.Helper()
	code, _, text := call(p.t, p.h, "GET", p.path+"/"+id, "", "")
	var got object
	if err := json.Unmarshal([]byte(text), &got); code != 200 || err != nil {
		p.t.Fatalf("GET %s/%s: %d %s: %v", p.path, id, code, text, err)
	}
	if p.kind == "consumer_groups" { // which wraps the group
		got = got["consumer_group"].(object)
	} else {
		p.numbers(text)
	}
	for _, e := range p.list(p.path, false, false) {
		if e["id"] == id {
			if d := gocmp.Diff(p.plain(got), p.plain(e)); d != "" {
				p.t.Errorf("in the list it is another (-GET +list)\n%s", d)
			}
			return got
		}
	}
	p.t.Errorf("%s is not in the list", id)
	return got
}

// numbers wants whole numbers written as such, which typed clients insist on.
func (p *phantom) numbers(text string) {
	p.t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var raw object
	if err := decoder.Decode(&raw); err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
	walkNumbers(raw, object{"type": "record", "fields": fieldList(p.fields)}, func(n json.Number, rules object) {
		whole := !strings.ContainsAny(n.String(), ".eE")
		if rules["type"] == "integer" && !whole || strings.HasSuffix(n.String(), ".0") {
			p.t.Errorf("a field of type %s is written as %s\n%s", rules["type"], n, text)
		}
	})
}

// walkNumbers calls f for each number and what its schema says.
func walkNumbers(v any, rules object, f func(json.Number, object)) {
	switch v := v.(type) {
	case json.Number:
		f(v, rules)
	case []any:
		elements, _ := rules["elements"].(object)
		for _, e := range v {
			walkNumbers(e, elements, f)
		}
	case object:
		if values, ok := rules["values"].(object); ok {
			for _, e := range v {
				walkNumbers(e, values, f)
			}
		}
		for _, field := range fieldsOf(rules) {
			walkNumbers(v[field.name], field.object, f)
		}
	}
}

// plain leaves out what the gateway sets by itself at each write.
func (p *phantom) plain(e object) object {
	out := maps.Clone(e)
	delete(out, "updated_at")
	delete(out, "ttl") // goes by
	return out
}

// same fails unless the entity is what was filled in, nulls and all.
func (p *phantom) same(sent, got object, when string) {
	p.t.Helper()
	want := maps.Clone(sent)
	for _, f := range p.fields {
		if v, given := sent[f.name]; f.object["auto"] == true && (!given || v == nil && f.object["unique"] != true) || slices.Contains(computed[p.kind], f.name) {
			if got[f.name] == nil && f.object["auto"] == true {
				p.t.Errorf("%s: %s was not generated", when, f.name)
			}
			want[f.name] = got[f.name]
		}
		if ref, ok := want[f.name].(object); ok && f.object["type"] == "foreign" {
			want[f.name] = object{"id": ref["id"]}
		}
	}
	if names, ok := want["snis"]; ok && p.kind == "certificates" {
		// They are entities of their own, shown in order; there are none for null.
		list, _ := names.([]any)
		sorted := append([]any{}, list...)
		slices.SortFunc(sorted, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		want["snis"] = sorted
	}
	want["updated_at"] = got["updated_at"]
	if p.ttl {
		if (sent["ttl"] == nil) != (got["ttl"] == nil) {
			p.t.Errorf("%s: ttl is %v, was sent as %v", when, got["ttl"], sent["ttl"])
		}
		if _, shown := got["ttl"]; !shown {
			p.t.Errorf("%s: no ttl", when)
		}
		want["ttl"] = got["ttl"]
	}
	if _, ok := want["updated_at"]; want["updated_at"] == nil && ok {
		delete(want, "updated_at")
	}
	if d := gocmp.Diff(want, got); d != "" {
		p.t.Errorf("%s: a phantom difference (-filled in +read back)\n%s\nsent %s", when, d, show(sent))
	}
}

func show(o object) string {
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// write sends a body that has to be taken.
func (p *phantom) write(method, id string, body object, when string) object {
	p.t.Helper()
	target := p.path + "/" + id
	if p.kind == "basicauth_credentials" && when != "" {
		target += "?skip_hash=true" // it is the hash that was read
	}
	code, _, got := p.request(method, target, body)
	if code != 200 {
		p.t.Fatalf("%s: %s %s: %d %v\n%s", when, method, target, code, got, show(body))
	}
	return got
}

// skipDefaults drops what equals the schema's default, in records too.
func skipDefaults(e object, fields []schemaField) {
	for _, f := range fields {
		v, given := e[f.name]
		if !given {
			continue
		}
		if inner, ok := v.(object); ok && f.object["type"] == "record" && f.object["abstract"] != true {
			skipDefaults(inner, fieldsOf(f.object))
			if len(inner) == 0 && f.object["required"] == true {
				delete(e, f.name)
			}
			continue
		}
		elements, _ := f.object["elements"].(object)
		if list, ok := v.([]any); ok && elements["type"] == "record" {
			for _, element := range list {
				skipDefaults(element.(object), fieldsOf(elements))
			}
		}
		if gocmp.Equal(v, f.object["default"]) {
			delete(e, f.name)
		}
	}
}

// refused says whether a body may be refused though each of its fields follows
// the rules shown: by a check on several, which is said in @entity or in the place
// of a record; about the protocols of what a plugin is bound to; or by what a
// route's protocols forbid, which no schema shows.
func refused(fields, body any, name string) bool {
	switch texts := fields.(type) {
	case string:
		_, isRecord := body.(object)
		return isRecord || name == "protocols" && strings.HasPrefix(texts, "must match the ") || strings.HasPrefix(texts, "cannot set '"+name+"' when 'protocols' is ")
	case object:
		if texts["@entity"] != nil {
			return true
		}
		record, _ := body.(object)
		for name, text := range texts {
			if refused(text, record[name], name) {
				return true
			}
		}
	case []any:
		list, _ := body.([]any)
		for i, text := range texts {
			if text != nil && i < len(list) && refused(text, list[i], "") {
				return true
			}
		}
	}
	return false
}

// TestPhantom makes up bodies of every kind of entity and of every plugin from
// the schemas that the API shows, fills in defaults as clients do, and wants to
// read back what was sent: a difference would be shown by declarative tools for
// ever.
func TestPhantom(t *testing.T) {
	for _, s := range subjects(t, newServer(t, nil)) {
		t.Run(s.name()+s.flavor, func(t *testing.T) {
			t.Parallel()
			newPhantom(t, s.server(t), s).run()
		})
	}
}

// bodies is how many are tried of each subject; at most tries are made up for them.
const (
	bodies = 6
	tries  = 100 * bodies
)

func (p *phantom) run() {
	p.t.Helper()
	// The seeds as they are, then what is made of them.
	for i, seed := range p.seeds {
		p.check(fmt.Sprintf("eeeeeeee-0000-4000-8000-%012d", i), seed)
	}
	g := &generator{Rand: rand.New(rand.NewPCG(1, uint64(len(p.name())))), t: p.t, name: p.name()}
	taken := 0
	for try := 0; try < tries && taken < bodies && !p.t.Failed(); try++ {
		body := deepCopy(p.t, pick(g, p.seeds))
		g.rate = pick(g, []float64{0.05, 0.15, 0.4})
		g.change(body, p.fields, "")
		if p.suite.decides != "" && p.variant != "" {
			body[p.suite.decides] = p.variant
		}
		if p.acceptable(body) && !p.rewritten(body) {
			taken++
			p.check(fmt.Sprintf("ffffffff-0000-4000-8000-%012d", try), body)
		}
	}
	if taken < bodies && !p.t.Failed() {
		p.t.Errorf("only %d bodies in %d were good", taken, tries)
	}
}

// rewritten says that the gateway brings the fields of a body into line, so that
// it stores other ones than were sent, as Kong does.
func (p *phantom) rewritten(body object) bool {
	if p.kind != "upstreams" {
		return false
	}
	filled := p.filled(body)
	hashed := filled["hash_on"] != "none"
	return hashed != (filled["algorithm"] == "consistent-hashing")
}

// acceptable asks whether a body is good. One that follows the rules shown is
// refused only by checks on several fields.
func (p *phantom) acceptable(body object) bool {
	p.t.Helper()
	code, _, answer := p.request("POST", "/schemas/"+url.PathEscape(p.kind)+"/validate", body)
	if code == 200 {
		return true
	}
	if code != 400 || answer["code"] != 2.0 || !refused(answer["fields"], body, "") {
		p.t.Errorf("what the schema allows is refused: %d %v\n%s", code, answer, show(body))
	}
	return false
}

// check goes through the ways in which clients write and read an entity.
func (p *phantom) check(id string, body object) {
	p.t.Helper()
	filled := p.filled(body)
	delete(filled, "id")
	code, _, answer := p.request("PUT", p.path+"/"+id, filled)
	if code == 404 && p.kind == "targets" {
		filled["id"] = id
		code, _, answer = p.request("POST", p.path, filled)
		delete(filled, "id")
	}
	if code == 400 && refused(answer["fields"], filled, "") && p.kind == "plugins" {
		return // its protocols are none of its route
	}
	if code != 200 && code != 201 {
		p.t.Errorf("PUT %s: %d %v\n%s", p.path, code, answer, show(filled))
		return
	}
	first := p.read(id)
	p.same(filled, answer, "answer to PUT")
	p.same(filled, first, "GET")
	if p.t.Failed() {
		return
	}
	if slices.Contains([]string{"services", "routes", "upstreams", "targets"}, p.kind) {
		walked := deepCopy(p.t, body)
		fillLeaves(walked, p.fields)
		for _, f := range p.fields {
			if ref, ok := walked[f.name].(object); ok && f.object["type"] == "foreign" {
				walked[f.name] = object{"id": ref["id"]}
			}
		}
		if p.kind == "routes" && walked["strip_path"] != filled["strip_path"] {
			walked["strip_path"] = filled["strip_path"]
		}
		got := pruned(first).(object)
		for _, name := range []string{"id", "created_at", "updated_at", "upstream"} {
			delete(got, name)
			delete(walked, name)
		}
		if d := gocmp.Diff(pruned(walked), any(got)); d != "" {
			p.t.Errorf("a phantom difference from the leaves' defaults (-filled in +read back)\n%s", d)
		}
	}
	if p.kind != "basicauth_credentials" { // whose password would be hashed anew
		p.write("PUT", id, filled, "again")
		again := p.read(id)
		p.same(filled, again, "PUT again")
		first["created_at"] = again["created_at"] // a PUT without it resets it
	}
	for _, method := range []string{"PATCH", "PUT"} {
		p.write(method, id, first, "the whole of it back by "+method)
		if d := gocmp.Diff(p.plain(first), p.plain(p.read(id))); d != "" {
			p.t.Errorf("what was read, sent back by %s, changes it (-before +after)\n%s", method, d)
		}
	}
	if code, _, answer := p.request("POST", "/schemas/"+url.PathEscape(p.kind)+"/validate", first); code != 200 {
		p.t.Errorf("what was read is not valid: %d %v\n%s", code, answer, show(first))
	}
	short := deepCopy(p.t, first)
	skipDefaults(short, p.fields)
	p.write("PUT", id, short, "without defaults")
	if d := gocmp.Diff(p.plain(first), p.plain(p.read(id))); d != "" {
		p.t.Errorf("a dump without defaults is another entity (-whole +without defaults)\n%s\nsent %s", d, show(short))
	}
	if code, _, answer := p.request("DELETE", p.path+"/"+id, nil); code != 204 {
		p.t.Errorf("DELETE: %d %v", code, answer)
	}
}

// TestDeprecatedNames writes with every deprecated name that a schema shows: alone
// it means what the newer ones mean, beside them it must say the same, and a client
// that fills in defaults around it reads back what it sent.
func TestDeprecatedNames(t *testing.T) {
	tried := 0
	for _, s := range subjects(t, newServer(t, nil)) {
		p := newPhantom(t, newServer(t, nil), s)
		var found []deprecated
		findDeprecated(nil, object{"fields": fieldList(p.fields)}, &found)
		if len(found) == 0 {
			continue
		}
		p.h = s.server(t)
		for _, d := range found {
			tried++
			t.Run(s.name()+"/"+strings.Join(append(d.record, d.name), "."), func(t *testing.T) {
				q := *p
				q.tool = &tool{t: t, h: p.h}
				q.deprecated(d)
			})
		}
	}
	if tried == 0 {
		t.Error("no schema shows a deprecated name")
	}
}

// A deprecated name is a shorthand of the record at a path.
type deprecated struct {
	record []string
	name   string
	rules  object
}

func findDeprecated(path []string, record object, found *[]deprecated) {
	list, _ := record["shorthand_fields"].([]any)
	for _, one := range list {
		for name, rules := range one.(object) {
			*found = append(*found, deprecated{slices.Clone(path), name, rules.(object)})
		}
	}
	for _, f := range fieldsOf(record) {
		if f.object["type"] == "record" {
			findDeprecated(append(slices.Clone(path), f.name), f.object, found)
		}
	}
}

// deprecatedValues are two different values of each type.
var deprecatedValues = map[string][2]any{
	"integer": {1234.0, 4321.0}, "number": {1.5, 2.5}, "boolean": {true, false}, "string": {"h.example.com", "g.example.com"},
	"array": {[]any{"h:7000"}, []any{"g:7000", "h:7001"}},
}

func (p *phantom) deprecated(d deprecated) {
	p.t.Helper()
	values := deprecatedValues[d.rules["type"].(string)]
	back, _ := d.rules["translate_backwards"].([]any)
	replaced, _ := d.rules["deprecation"].(object)["replaced_with"].([]any)
	const id = "eeeeeeee-0000-4000-8000-000000000000"
	target := p.path + "/" + id
	// removed takes out what the name stands for.
	removed := func(e object) {
		for _, r := range replaced {
			path := pathsIn(r.(object)["path"])
			delete(at(e, append(slices.Clone(d.record), path[:len(path)-1]...)), path[len(path)-1])
		}
	}
	var filled, got object
	code := 0
	for _, seed := range p.seeds { // in one of which it may stand
		body := deepCopy(p.t, seed)
		removed(body)
		at(body, d.record)[d.name] = values[0]
		filled = p.filled(body)
		if code, _, got = p.request("PUT", target, filled); code == 200 {
			break
		}
	}
	if code != 200 {
		p.t.Fatalf("alone: %d %v\n%s", code, got, show(filled))
	}
	shown := at(got, d.record)
	if old, ok := shown[d.name]; ok != (back != nil) || ok && !gocmp.Equal(old, values[0]) {
		p.t.Errorf("read back under its own name: %v", old)
	}
	// What a client compares: all but the old name and what stands for it.
	left, right := p.plain(deepCopy(p.t, filled)), p.plain(deepCopy(p.t, got))
	for _, e := range []object{left, right} {
		for _, name := range []string{"id", "created_at"} {
			delete(e, name)
		}
		delete(at(e, d.record), d.name)
		removed(e)
	}
	if diff := gocmp.Diff(left, right); diff != "" {
		p.t.Errorf("alone: a phantom difference (-filled in +read back)\n%s", diff)
	}
	if code, _, again := p.request("PATCH", target, got); code != 200 || gocmp.Diff(p.plain(got), p.plain(again)) != "" {
		p.t.Errorf("the whole of it back: %d (-before +after)\n%s", code, gocmp.Diff(p.plain(got), p.plain(again)))
	}
	both := deepCopy(p.t, got)
	at(both, d.record)[d.name] = values[0]
	if code, _, same := p.request("PUT", target, both); code != 200 || gocmp.Diff(p.plain(got), p.plain(same)) != "" {
		p.t.Errorf("beside the newer names, saying the same: %d (-before +after)\n%s", code, gocmp.Diff(p.plain(got), p.plain(same)))
	}
	at(both, d.record)[d.name] = values[1]
	code, _, answer := p.request("PUT", target, both)
	text, _ := at(answer, append([]string{"fields"}, d.record...))[d.name].(string)
	if want := "both deprecated and new field are used but their values mismatch: " + d.name + " = "; code != 400 || answer["code"] != 2.0 || !strings.HasPrefix(text, want) {
		p.t.Errorf("beside the newer names, saying something else: %d %v, want %q", code, answer, want)
	}
	// A PATCH with the old name changes what it stands for.
	patch := object{}
	at(patch, d.record)[d.name] = values[1]
	code, _, patched := p.request("PATCH", target, patch)
	path := append(slices.Clone(d.record), pathsIn(replaced[0].(object)["path"])...)
	last := len(path) - 1
	if before, after := at(got, path[:last])[path[last]], at(patched, path[:last])[path[last]]; code != 200 || gocmp.Equal(before, after) {
		p.t.Errorf("PATCH: %d, %v is still %v", code, path, after)
	}
}

// at is the object at a path, made where there is none.
func at(o object, path []string) object {
	for _, name := range path {
		inner, ok := o[name].(object)
		if !ok {
			inner = object{}
			o[name] = inner
		}
		o = inner
	}
	return o
}
