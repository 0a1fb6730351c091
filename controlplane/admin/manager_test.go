package admin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/schema"
)

// managerOrigin is where the browser of these tests loaded the GUI from.
const managerOrigin = "http://localhost:8002"

// page is a page of an admin GUI in a browser: each call is cross-origin and
// carries credentials, and each write that is not simple is asked for first.
type page struct {
	t *testing.T
	h http.Handler
}

// call does what a browser does, and refuses what a browser refuses.
func (p *page) call(status int, method, target, body string) schema.Document {
	p.t.Helper()
	if body != "" || method != "GET" {
		p.preflight(method, target)
	}
	r := p.request(method, target, body)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	p.h.ServeHTTP(w, r)
	if w.Header().Get("Access-Control-Allow-Origin") != managerOrigin || w.Header().Get("Access-Control-Allow-Credentials") != "true" {
		p.t.Errorf("%s %s: the browser hides the answer: %v", method, target, w.Header())
	}
	if w.Code != status {
		p.t.Fatalf("%s %s %s: %d %s, want %d", method, target, body, w.Code, w.Body, status)
	}
	if w.Code == http.StatusNoContent {
		if w.Body.Len() > 0 {
			p.t.Errorf("%s %s: 204 with a body", method, target)
		}
		return schema.Document{}
	}
	d, err := schema.Parse(w.Body.Bytes())
	if err != nil {
		p.t.Fatalf("%s %s: %q: %v", method, target, w.Body, err)
	}
	return d
}

func (p *page) request(method, target, body string) *http.Request {
	r := httptest.NewRequestWithContext(p.t.Context(), method, target, strings.NewReader(body))
	r.Host = "localhost:8001"
	r.Header.Set("Origin", managerOrigin)
	r.Header.Set("Sec-Fetch-Site", "same-site")
	r.Header.Set("Cookie", "session=1")
	return r
}

// preflight asks for leave, as a browser does before it sends JSON.
func (p *page) preflight(method, target string) {
	p.t.Helper()
	r := p.request("OPTIONS", target, "")
	r.Header.Set("Access-Control-Request-Method", method)
	r.Header.Set("Access-Control-Request-Headers", "content-type,kong-admin-token")
	w := httptest.NewRecorder()
	p.h.ServeHTTP(w, r)
	allowed := strings.Split(w.Header().Get("Access-Control-Allow-Methods"), ", ")
	if w.Code != 204 || !slices.Contains(allowed, method) || w.Header().Get("Access-Control-Allow-Headers") != "content-type,kong-admin-token" ||
		w.Header().Get("Access-Control-Allow-Origin") != managerOrigin || w.Header().Get("Access-Control-Allow-Credentials") != "true" {
		p.t.Fatalf("OPTIONS %s for %s: %d %v", target, method, w.Code, w.Header())
	}
}

// list checks the form of a page of a list.
func (p *page) list(target string) []schema.Document {
	p.t.Helper()
	d := p.call(200, "GET", target, "")
	if d.Get("data").Kind() != schema.KindList {
		p.t.Errorf("GET %s: data is %s", target, d.Get("data"))
	}
	if next := d.Get("next"); next.IsAbsent() || !next.IsNull() && !strings.HasPrefix(next.Text(), "/") {
		p.t.Errorf("GET %s: next is %s", target, next)
	}
	return d.Get("data").Elements()
}

// TestManager replays what an admin GUI for Kong sends from each of its pages,
// with and without admin_gui_url.
func TestManager(t *testing.T) {
	for name, origins := range map[string][]string{"any origin of the host": nil, "admin_gui_url": {managerOrigin}} {
		t.Run(name, func(t *testing.T) {
			p := &page{t, newServer(t, func(cfg *admin.Config) { cfg.GUIOrigins = origins })}
			p.start()
			p.emptyLists()
			p.services()
			p.rest()
			p.credentials()
			p.searches()
			p.messages()
		})
	}
}

// start is what is asked for before each navigation.
func (p *page) start() {
	root := p.call(200, "GET", "/", "")
	for _, field := range []string{"version", "edition", "hostname", "tagline", "lua_version"} {
		if root.Get(field).Text() == "" {
			p.t.Errorf("GET / has no %s", field)
		}
	}
	if root.Get("plugins", "available_on_server").Kind() != schema.KindObject || root.Get("plugins", "enabled_in_cluster").Kind() != schema.KindList {
		p.t.Errorf("plugins are %s", root.Get("plugins"))
	}
	if root.Get("plugins", "available_on_server", "ai-proxy").IsAbsent() {
		p.t.Error("the plugin picker would lack ai-proxy")
	}
	p.call(200, "GET", "/kong", "")
}

var managerLists = strings.Fields("services routes consumers plugins upstreams certificates ca_certificates snis vaults keys key-sets")

// emptyLists opens each list, first as it is, then with all that a GUI may add.
func (p *page) emptyLists() {
	for _, name := range managerLists {
		p.list("/" + name + "?sort_desc=1&size=30")
		p.list("/" + name + "?size=1000")
		p.list("/" + name + "?size=30&sort_by=name&sort_desc=1&nonsense=7&filter%5Bname%5D=x")
	}
}

// services are made, changed, switched and deleted as its forms do.
func (p *page) services() {
	s := p.call(201, "POST", "/services", `{"name":"testService","url":null,"host":"example.com","protocol":"http","port":80,"path":null,"retries":5,"tags":[],"client_certificate":null,"ca_certificates":null,"tls_verify":null,"tls_verify_depth":null}`)
	id := s.Get("id").Text()
	p.call(200, "GET", "/services/"+id, "")
	p.list("/services/" + id + "/routes?sort_desc=1&size=30")
	p.list("/services/" + id + "/plugins?sort_desc=1&size=30")
	p.call(200, "PATCH", "/services/"+id, `{"path":"/a","read_timeout":null}`)
	// The switch of the list sends the row as it was read.
	row := p.list("/services?sort_desc=1&size=30")[0]
	off := p.call(200, "PATCH", "/services/"+id, row.With(schema.Bool(false), "enabled").String())
	if on, _ := off.Get("enabled").Truth(); on {
		p.t.Error("the service is still on")
	}
	r := p.call(201, "POST", "/services/"+id+"/routes", `{"name":"r","protocols":["http"],"paths":["/a"],"methods":null,"hosts":null,"headers":null,"snis":null,"service":{"id":"`+id+`"}}`)
	plugin := p.call(201, "POST", "/services/"+id+"/plugins", `{"name":"key-auth","enabled":true,"config":{"key_names":["apikey"]},"service":{"id":"`+id+`"},"consumer":null,"route":null}`)
	row = p.list("/services/" + id + "/plugins?sort_desc=1&size=30")[0]
	p.call(200, "PATCH", "/plugins/"+plugin.Get("id").Text(), row.With(schema.Bool(false), "enabled").String())
	p.call(200, "PATCH", "/services/"+id+"/plugins/"+plugin.Get("id").Text(), row.String())
	p.call(204, "DELETE", "/plugins/"+plugin.Get("id").Text(), "")
	p.call(204, "DELETE", "/services/"+id+"/routes/"+r.Get("id").Text(), "")
	p.call(204, "DELETE", "/services/"+id, "")
	p.call(404, "GET", "/services/"+id, "")
}

// rest makes, changes and deletes one of every other kind.
func (p *page) rest() {
	body := func(text string) string {
		return strings.NewReplacer("$CERT", quoted(certificateRSA), "$KEY", quoted(keyRSA), "$CA", quoted(pemText("ca.crt")),
			"$JWK", quoted(`{"kty":"EC","crv":"P-256","kid":"k1",`+ecPoint+`}`)).Replace(text)
	}
	made := map[string]string{}
	for _, one := range []struct{ path, create, change string }{
		{"/routes", `{"name":"r","protocols":["http","https"],"paths":["/a"]}`, `{"hosts":["a.com"],"paths":null}`},
		{"/consumers", `{"username":"c","custom_id":null,"tags":[]}`, `{"custom_id":"x"}`},
		{"/upstreams", `{"name":"u.internal","algorithm":"round-robin","slots":10000,"hash_on":"none","hash_fallback":"none"}`, `{"healthchecks":{"active":{"healthy":{"interval":5}}}}`},
		{"/certificates", body(`{"cert":$CERT,"key":$KEY,"tags":[]}`), `{"snis":["a.com"]}`},
		{"/ca_certificates", body(`{"cert":$CA}`), `{"tags":["a"]}`},
		{"/snis", `{"name":"b.com","certificate":{"name":null,"id":"$certificates"}}`, `{"tags":["a"]}`},
		{"/vaults", `{"prefix":"my-env","name":"env","description":"d","config":{"prefix":"A_"}}`, `{"description":null}`},
		{"/key-sets", `{"name":"set","tags":[]}`, `{"tags":["a"]}`},
		{"/keys", body(`{"name":"key","kid":"k1","jwk":$JWK,"set":{"id":"$key-sets"},"pem":null}`), `{"tags":["a"]}`},
		{"/plugins", `{"name":"file-log","config":{"path":"/tmp/a"},"route":{"id":"$routes"},"service":null,"consumer":null}`, `{"config":{"reopen":true}}`},
	} {
		for name, id := range made {
			one.create = strings.ReplaceAll(one.create, "$"+name, id)
		}
		d := p.call(201, "POST", one.path, one.create)
		id := d.Get("id").Text()
		made[strings.TrimPrefix(one.path, "/")] = id
		p.call(200, "GET", one.path+"/"+id, "")
		p.call(200, "PATCH", one.path+"/"+id, one.change)
		if rows := p.list(one.path + "?sort_desc=1&size=30"); len(rows) == 0 {
			p.t.Errorf("GET %s: nothing", one.path)
		}
	}
	u := "/upstreams/" + made["upstreams"]
	target := p.call(201, "POST", u+"/targets", `{"target":"10.0.0.1:80","weight":100,"tags":[]}`).Get("id").Text()
	p.list(u + "/targets?sort_desc=1&size=30")
	p.call(200, "GET", u+"/health", "")
	p.call(200, "PATCH", u+"/targets/"+target, `{"weight":50}`)
	p.preflight("PUT", u+"/targets/"+target+"/healthy")
	p.call(204, "DELETE", u+"/targets/"+target, "")
	p.list("/key-sets/" + made["key-sets"] + "/keys?size=30")
	for _, parent := range []string{"services", "routes", "consumers"} {
		if parent != "services" {
			p.list("/" + parent + "/" + made[parent] + "/plugins?sort_desc=1&size=30")
		}
	}
	for _, name := range strings.Fields("plugins keys key-sets vaults snis ca_certificates certificates upstreams consumers routes") {
		p.call(204, "DELETE", "/"+name+"/"+made[name], "")
	}
	for _, p2 := range strings.Fields("ai-proxy key-auth file-log ai-prompt-guard") {
		if s := p.call(200, "GET", "/schemas/plugins/"+p2, ""); s.Get("fields").Kind() != schema.KindList {
			p.t.Errorf("schema of %s: %s", p2, s)
		}
	}
	p.call(404, "GET", "/schemas/plugins/nonsense", "")
	for _, name := range strings.Fields("acls basicauth_credentials keyauth_credentials oauth2_credentials hmacauth_credentials jwt_secrets") {
		p.call(200, "GET", "/schemas/"+name, "")
	}
}

// credentials are listed, made and changed below a consumer.
func (p *page) credentials() {
	id := p.call(201, "POST", "/consumers", `{"username":"alice"}`).Get("id").Text()
	for _, one := range []struct{ segment, create, change string }{
		{"acls", `{"group":"g"}`, `{"group":"h"}`},
		{"basic-auth", `{"username":"u","password":"p"}`, `{"password":"q"}`},
		{"key-auth", `{"key":"k","ttl":null}`, `{"tags":["a"]}`},
		{"oauth2", `{"name":"n","redirect_uris":["https://a.com/cb"],"hash_secret":true}`, `{"name":"m"}`},
		{"hmac-auth", `{"username":"u","secret":"s"}`, `{"secret":"t"}`},
		{"jwt", `{"key":"k","algorithm":"HS256","secret":null,"rsa_public_key":null}`, `{"algorithm":"HS512"}`},
	} {
		at := "/consumers/" + id + "/" + one.segment
		if one.segment == "jwt" {
			one.create = strings.ReplaceAll(one.create, `"secret":null,`, "")
		}
		c := p.call(201, "POST", at, one.create).Get("id").Text()
		p.list(at + "?sort_desc=1&size=30")
		p.call(200, "GET", at+"/"+c, "")
		p.call(200, "PATCH", at+"/"+c, one.change)
		p.call(204, "DELETE", at+"/"+c, "")
	}
	p.call(204, "DELETE", "/consumers/"+id, "")
}

// searches are by the whole name or id, and by parts in pickers.
func (p *page) searches() {
	for _, name := range []string{"alpha", "alphabet", "beta"} {
		p.call(201, "POST", "/services", `{"name":"`+name+`","host":"h"}`)
	}
	if d := p.call(200, "GET", "/services/alpha", ""); d.Get("name").Text() != "alpha" {
		p.t.Errorf("by name: %s", d)
	}
	p.call(404, "GET", "/services/gamma", "")
	p.call(400, "GET", "/services/"+url.PathEscape("a b"), "")
	if rows := p.list("/services?name=alpha&size=30"); len(rows) != 2 {
		p.t.Errorf("?name=alpha: %d rows, want 2", len(rows))
	}
	rows := p.list("/services?sort_by=name&sort_desc=1&size=30")
	for i, want := range []string{"beta", "alphabet", "alpha"} {
		if i >= len(rows) || rows[i].Get("name").Text() != want {
			p.t.Errorf("sorted row %d of %v is not %s", i, rows, want)
		}
	}
	first := p.call(200, "GET", "/services?sort_by=name&size=2", "")
	second := p.call(200, "GET", "/services?sort_by=name&size=2&offset="+url.QueryEscape(first.Get("offset").Text()), "")
	if rows := second.Get("data").Elements(); len(rows) != 1 || rows[0].Get("name").Text() != "beta" || !second.Get("offset").IsAbsent() {
		p.t.Errorf("the second page is %s", second)
	}
	p.call(200, "GET", first.Get("next").Text(), "")
	for _, name := range []string{"alpha", "alphabet", "beta"} {
		p.call(204, "DELETE", "/services/"+name, "")
	}
}

// messages are those that the GUI's own tests compare word for word.
func (p *page) messages() {
	p.call(201, "POST", "/services", `{"name":"testService","host":"h"}`)
	p.call(201, "POST", "/upstreams", `{"name":"u.internal"}`)
	for _, one := range []struct {
		status                int
		path, body, exact, in string
	}{
		{409, "/services", `{"name":"testService","host":"h"}`, `UNIQUE violation detected on '{name="testService"}'`, ""},
		{400, "/services", `{"host":"h","connect_timeout":0}`, `schema violation (connect_timeout: value should be between 1 and 2147483646)`, ""},
		{400, "/routes", `{"paths":["a"]}`, `schema violation (paths.1: should start with: / (fixed path) or ~/ (regex path))`, ""},
		{400, "/upstreams/u.internal/targets", `{"target":"a b"}`, `schema violation (target: Invalid target; not a valid hostname or ip address)`, ""},
		{400, "/vaults", `{"prefix":"env","name":"env"}`, "", `schema violation (prefix: must not be one of: env)`},
		{400, "/keys", `{"name":"k","kid":"a","jwk":` + quoted(`{"kty":"EC","crv":"P-256","kid":"b",`+ecPoint+`}`) + `}`, `schema violation (kid in jwk.kid must be equal to keys.kid)`, ""},
		{400, "/upstreams", `{"name":"v","hash_on":"header","hash_on_header":"x","hash_fallback":"header","hash_fallback_header":"x"}`, `schema violation (values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header')`, ""},
		{400, "/upstreams", `{"name":"v","hash_on":"query_arg","hash_on_query_arg":"x","hash_fallback":"query_arg","hash_fallback_query_arg":"x"}`, `schema violation (values of these fields must be distinct: 'hash_on_query_arg', 'hash_fallback_query_arg')`, ""},
		{400, "/upstreams", `{"name":"v","hash_on":"uri_capture","hash_on_uri_capture":"x","hash_fallback":"uri_capture","hash_fallback_uri_capture":"x"}`, `schema violation (values of these fields must be distinct: 'hash_on_uri_capture', 'hash_fallback_uri_capture')`, ""},
		{400, "/upstreams", `{"name":"v","hash_on":"ip","hash_fallback":"ip"}`, "", `2 schema violations (failed conditional validation given value of field 'hash_on'; hash_fallback: expected one of: `},
	} {
		message := p.call(one.status, "POST", one.path, one.body).Get("message").Text()
		if one.exact != "" && message != one.exact || !strings.Contains(message, one.in) {
			p.t.Errorf("POST %s %s: %q, want %q%q", one.path, one.body, message, one.exact, one.in)
		}
	}
	p.call(204, "DELETE", "/upstreams/u.internal", "")
	p.call(204, "DELETE", "/services/testService", "")
}
