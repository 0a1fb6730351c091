package admin_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/schema"
)

// An expression comes and goes with the router's flavour: the Admin API of another
// one neither shows nor takes it, and does not lose it either.
func TestExpressionsComeAndGo(t *testing.T) {
	t.Parallel()
	st := openStore(t)
	expressions, err := schema.Load(schema.Options{RouterFlavor: "expressions"})
	if err != nil {
		t.Fatal(err)
	}
	with := newServerOn(t, st, func(c *admin.Config) { c.Catalogue = expressions })
	without := newServerOn(t, st, nil)

	const text = `http.path ^= "/a" && http.headers.x_b == "1,2"`
	const stored = `"expression":"http.path ^= \"/a\" && http.headers.x_b == \"1,2\"","priority":7`
	sent := url.Values{"name": {"e"}, "expression": {text}, "priority": {"7"}}.Encode()
	for _, step := range []struct {
		name         string
		server       *admin.Server
		method, path string
		kind, body   string
		status       int
		has, lacks   string
	}{
		{"not in the default flavour", without, "POST", "/routes", form, sent, 400, `"expression":"unknown field"`, ""},
		{"not in its schema", without, "GET", "/schemas/routes", "", "", 200, "regex_priority", `{"expression"`},
		{"in the schema", with, "GET", "/schemas/routes", "", "", 200, `{"expression":{"type":"string"`, ""},
		{"judged without being stored", with, "POST", "/schemas/routes/validate", "", `{"expression":"http.path.segments.x == \"a\""}`, 400,
			`{"@entity":["Router Expression failed validation: illformed http.path.segments.* field"]}`, ""},
		{"created by a form", with, "POST", "/routes", form, sent, 201, stored, ""},
		{"shown", with, "GET", "/routes/e", "", "", 200, stored, ""},
		{"a mistake", with, "PATCH", "/routes/e", "", `{"expression":"http.path == 1"}`, 400, "Router Expression failed validation: http.path is a String", ""},
		{"not beside classic fields", with, "PATCH", "/routes/e", "", `{"hosts":["a.example"]}`, 400, "cannot set 'expression' with", ""},
		{"not shown in the other flavour", without, "GET", "/routes/e", "", "", 200, `"name":"e"`, "expression"},
		{"which sees a route without matchers", without, "PATCH", "/routes/e", "", `{"tags":["x"]}`, 400, "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when", "expression"},
		{"that it can give some", without, "PATCH", "/routes/e", "", `{"paths":["/p"]}`, 200, `"paths":["/p"]`, "expression"},
		{"back, it is still there", with, "GET", "/routes/e", "", "", 200, stored, ""},
		{"and stands beside classic fields", with, "PATCH", "/routes/e", "", `{"tags":["y"]}`, 400, "cannot set 'expression' with", ""},
		{"until one of them goes", with, "PATCH", "/routes/e", "", `{"paths":null}`, 200, stored, ""},
		{"a PUT of the other flavour replaces all", without, "PUT", "/routes/e", "", `{"paths":["/p"]}`, 200, `"paths":["/p"]`, "expression"},
		{"which is then gone", with, "GET", "/routes/e", "", "", 200, `"expression":null,"priority":0`, ""},
	} {
		status, _, body := call(t, step.server, step.method, step.path, step.kind, step.body)
		if status != step.status || !strings.Contains(body, step.has) || step.lacks != "" && strings.Contains(body, step.lacks) {
			t.Errorf("%s: %s %s = %d %s\nwant %d with %s, without %q", step.name, step.method, step.path, status, body, step.status, step.has, step.lacks)
		}
	}
}
