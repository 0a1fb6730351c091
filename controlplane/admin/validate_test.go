package admin_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/schema"
)

// TestValidate compares POST /schemas/{entity}/validate with the write that it
// stands for, over the bodies of all suites: what breaks a rule gets the same
// answer, and what breaks none, or is only refused for what else there is, passes.
func TestValidate(t *testing.T) {
	for _, suite := range slices.Concat(entitySuites, trafficSuites) {
		t.Run(suite.kind, func(t *testing.T) {
			t.Parallel()
			c := tool{t: t, h: newServer(t, nil)}
			s, ok := catalogue(t).Entity(suite.kind)
			if !ok {
				t.Fatalf("no entity %s", suite.kind)
			}
			for _, request := range suite.setup {
				line, body, _ := strings.Cut(request, "\n")
				must(t, c.h, 201, "POST", strings.TrimPrefix(line, "POST "), "", body)
			}
			post := "POST " + suite.collection(t)
			cases := suite.cases(t, s)
			judged := map[string]bool{} // by body: many cases begin with the same
			for _, name := range slices.Sorted(maps.Keys(cases)) {
				for _, request := range cases[name] {
					request = request[max(0, strings.Index(request, post)):] // behind the title
					line, text, _ := strings.Cut(request, "\n")
					if line != post || !strings.HasPrefix(text, "{") || judged[text] {
						continue
					}
					judged[text] = true
					var body object
					if err := json.Unmarshal([]byte(text), &body); err != nil {
						t.Fatalf("%s: %v", text, err)
					}
					c.compare(&suite, name, body)
				}
			}
			if len(judged) < 5 && !suite.off {
				t.Errorf("only %d bodies", len(judged))
			}
		})
	}
}

// compare validates a body and writes it.
func (c *tool) compare(suite *entitySuite, name string, body object) {
	c.t.Helper()
	whole := body
	if suite.listed {
		// The path says which upstream it is; here there is no path.
		whole = maps.Clone(body)
		whole["upstream"] = object{"id": upstreamID}
	}
	code, _, judged := c.request("POST", "/schemas/"+suite.kind+"/validate", whole)
	wrote, _, answer := c.request("POST", suite.collection(c.t), body)
	fail := func(want string) {
		c.t.Helper()
		c.t.Errorf("%s: validate says %d %v, want %s; the write says %d %v\n%s", name, code, judged, want, wrote, answer, show(body))
	}
	good := code == 200 && gocmp.Equal(judged, object{"message": "schema validation successful"})
	switch answer["code"] {
	case 2.0:
		same := code == 400 && gocmp.Equal(judged, answer)
		if outside[fmt.Sprint(answer["message"])] {
			same = good
		}
		if !same {
			fail("the answer of the write")
		}
	case 11.0: // an option, which is no field
		if !gocmp.Equal(judged, answer) {
			fail("the answer of the write")
		}
	case 3.0, 4.0, 5.0, 13.0, nil:
		switch {
		case suite.off: // the write is refused whatever the body
		case named(body):
			// References are not looked up: without an id they are none.
			if code != 400 || judged["code"] != 2.0 || !unresolved.MatchString(fmt.Sprint(judged["message"])) {
				fail("a missing primary key")
			}
		case !good:
			fail("success")
		}
	default:
		fail("a code that is known")
	}
	if id, ok := answer["id"].(string); ok && wrote == 201 {
		if code, _, out := c.request("DELETE", suite.collection(c.t)+"/"+id, nil); code != 204 {
			c.t.Fatalf("delete what was written: %d %v", code, out)
		}
	}
}

// unresolved is said of a reference without an id, or of what picks the rules of
// the entity that it means.
var unresolved = regexp.MustCompile(`\.id: missing primary key|\.(protocols|name): required field missing`)

// named says that a body refers to an entity by something else than its id.
func named(body object) bool {
	for field, v := range body {
		_, isParent := parents[field]
		if ref, ok := v.(object); ok && (isParent || field == "credential") && ref["id"] == nil {
			return true
		}
	}
	return false
}

// outside are texts about other entities, which validation does not look at.
var outside = map[string]bool{
	"schema violation (protocols: must match the associated route's protocols)":                                      true,
	"schema violation (protocols: must match the protocols of at least one route pointing to this Plugin's service)": true,
}

// TestValidateWhole sends what online validation of declarative tools sends: whole
// entities with ids and tags, whose references have more than an id.
func TestValidateWhole(t *testing.T) {
	const passes = `{"message":"schema validation successful"}`
	more := func(field, id, name string) string {
		return `"` + field + `":{"id":"` + id + `","name":"` + name + `","tags":["x"],"nonsense":1}`
	}
	whole := `"id":"` + missingID + `","created_at":1700000000,"tags":["a","b"],`
	s := newServer(t, nil)
	for _, tt := range []struct {
		name, entity, body string
		code               int
		want               string
	}{
		{"acls", "acls", `{` + whole + `"group":"g",` + more("consumer", consumerID, "c") + `}`, 200, passes},
		{"basic-auth", "basicauth_credentials", `{` + whole + `"username":"u","password":"p",` + more("consumer", consumerID, "c") + `}`, 200, passes},
		{"hmac-auth", "hmacauth_credentials", `{` + whole + `"username":"u",` + more("consumer", consumerID, "c") + `}`, 200, passes},
		{"jwt", "jwt_secrets", `{` + whole + `"key":"k",` + more("consumer", consumerID, "c") + `}`, 200, passes},
		{"key-auth", "keyauth_credentials", `{` + whole + `"key":"k","ttl":null,` + more("consumer", consumerID, "c") + `}`, 200, passes},
		{"oauth2", "oauth2_credentials", `{` + whole + `"name":"n","redirect_uris":["https://a.com"],` + more("consumer", consumerID, "c") + `}`, 200, passes},
		{"a certificate with server names", "certificates", merged(`{`+whole+`"snis":["a.com","*.b.com"]}`, certificateBody("")), 200, passes},
		{"a CA certificate", "ca_certificates", `{` + whole + `"updated_at":1700000000,"cert":` + quoted(certificateCA) + `}`, 200, passes},
		{"a consumer", "consumers", `{` + whole + `"username":"u","custom_id":null}`, 200, passes},
		{"a partial", "partials", `{` + whole + `"name":"n","type":"redis-ee","config":{"timeout":5}}`, 200, passes},
		{"a plugin", "plugins", `{` + whole + `"name":"key-auth","consumer":null,"enabled":true,` + more("route", routeID, "r") + `}`, 200, passes},
		{"a route", "routes", `{` + whole + `"paths":["/a"],` + more("service", serviceID, "s") + `}`, 200, passes},
		{"a service", "services", `{` + whole + `"host":"h","protocol":"https",` + more("client_certificate", certificateID, "c") + `}`, 200, passes},
		{"a server name", "snis", `{` + whole + `"name":"a.com",` + more("certificate", certificateID, "c") + `}`, 200, passes},
		{"a target", "targets", `{` + whole + `"target":"h:80",` + more("upstream", upstreamID, "u") + `}`, 200, passes},
		{"an upstream", "upstreams", `{` + whole + `"name":"up.internal"}`, 200, passes},
		{"a vault", "vaults", `{` + whole + `"name":"env","prefix":"my-env"}`, 200, passes},
		{"a group", "consumer_groups", `{` + whole + `"name":"g"}`, 200, passes},
		{"a key", "keys", merged(jwk("k", "n"), `{`+more("set", keySetID, "s")+`}`), 200, passes},

		{"no entity", "nonsense", `{}`, 404, `{"message":"No entity named 'nonsense'"}`},
		{"no plugin", "plugins", `{"name":"nonsense"}`, 400, `{"code":2,"fields":{"name":"plugin 'nonsense' not enabled; add it to the 'plugins' configuration property"},` +
			`"message":"schema violation (name: plugin 'nonsense' not enabled; add it to the 'plugins' configuration property)","name":"schema violation"}`},
		{"no vault", "vaults", `{"name":"nonsense","prefix":"a-b"}`, 400, `{"code":2,"fields":{"name":"vault 'nonsense' is not installed"},"message":"schema violation (name: vault 'nonsense' is not installed)","name":"schema violation"}`},
		{"a filter that is not there", "filter_chains", `{"filters":[{"name":"f"}],` + more("route", routeID, "r") + `}`, 400,
			`{"code":2,"fields":{"filters":[{"name":"no such filter"}]},"message":"schema violation (filters.1: {\n  name = \"no such filter\"\n})","name":"schema violation"}`},
		{"a reference by name", "routes", `{"paths":["/a"],"service":{"name":"s"}}`, 400,
			`{"code":2,"fields":{"service":{"id":"missing primary key"}},"message":"schema violation (service.id: missing primary key)","name":"schema violation"}`},
		{"an abbreviation that is wrong", "services", `{"url":"http://h:port"}`, 400,
			`{"code":2,"fields":{"url":"could not parse url. invalid port 'port'"},"message":"schema violation (url: could not parse url. invalid port 'port')","name":"schema violation"}`},
		{"an id that is none", "consumers", `{"id":"x","username":"u"}`, 400, `{"code":2,"fields":{"id":"expected a valid UUID"},"message":"schema violation (id: expected a valid UUID)","name":"schema violation"}`},
		{"nothing", "snis", `{}`, 400, `{"code":2,"fields":{"certificate":"required field missing","name":"required field missing"},` +
			`"message":"2 schema violations (certificate: required field missing; name: required field missing)","name":"schema violation"}`},
		{"no object", "snis", `[]`, 400, `{"message":"Cannot parse JSON body"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, out := call(t, s, "POST", "/schemas/"+tt.entity+"/validate", "", tt.body)
			got, err := schema.Parse([]byte(out))
			if err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			want, err := schema.Parse([]byte(tt.want))
			if err != nil {
				t.Fatal(err)
			}
			if code != tt.code || !schema.Equal(got, want) {
				t.Errorf("%s\n got %d %s\nwant %d %s", tt.body, code, out, tt.code, tt.want)
			}
		})
	}
	// The kinds without paths have schemas too, which nothing is needed to judge by.
	c := tool{t: t, h: s}
	for _, e := range catalogue(t).Entities() {
		code, _, answer := c.request("POST", "/schemas/"+e.Kind()+"/validate", object{"nonsense": 1})
		fields, _ := answer["fields"].(object)
		if code != 400 || answer["code"] != 2.0 || fields["nonsense"] != "unknown field" && len(fields) != 1 {
			t.Errorf("%s: %d %v", e.Kind(), code, answer)
		}
	}
	if left := must(t, s, 200, "GET", "/tags", "", "").Get("data"); len(left.Elements()) > 0 {
		t.Errorf("validation has left %s", left)
	}
}
