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

// FuzzEdgePath sends requests that strangers make up. None may panic or be
// answered with a 500, and every body is JSON.
func FuzzEdgePath(f *testing.F) {
	for _, seed := range []struct{ method, target, contentType, body string }{
		{"GET", "/services?size=1&tags=a,b&offset=WyJhIl0=", "", ""},
		{"POST", "/services", "application/json", `{"name":"s","host":"h"}`},
		{"PUT", "/services/s/routes/r", form, "paths[]=/a&hosts=x"},
		{"PATCH", "/plugins/key-auth", form, "config.key_names[1]=x"},
		{"DELETE", "/routes/r/service", "", ""},
		{"OPTIONS", "/schemas/plugins/validate", "", ""},
		{"HEAD", "/consumers/%E6%9C%8D/key-auth/%2e%2e", "", ""},
		{"POST", "/schemas/routes/validate", "multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--b--"},
		{"GET", "/services/a%2Fb%252F:x", "", ""},
		{"GET", "//services//", "", ""},
		{"GET", "/tags/a,b?offset=x", "", ""},
		{"GET", "/config/versions?offset=WyIxIl0=&size=1", "", ""},
		{"GET", "/config/versions/18446744073709551615", "", ""},
		{"GET", "/config/diff?from=2&to=18446744073709551616", "", ""},
		{"POST", "/config/rollback", "application/json", `{"version":-0}`},
		{"POST", "/config/rollback", form, "version=1&version=2"},
		{"GET", "/services?sort_by=port&sort_desc=1&size=1&name=S&offset=WyI4MCIsImEiXQ==", "", ""},
		{"GET", "/services?sort_by=name&offset=WyJ7fSIsImEiXQ==", "", ""},
		{"GET", "/upstreams/u/targets?offset=2147483647&size=1000", "", ""},
		{"GET", "/upstreams/u/targets?sort_by=target&offset=1", "", ""},
		{"GET", "/upstreams/u/targets/[::1]:8000", "", ""},
		{"PUT", "/upstreams/u/targets/a%20b:99999", "application/json", `{"weight":1}`},
		{"PUT", "/upstreams/u/targets/a:8000/x/healthy", "", ""},
		{"GET", "/upstreams/u/health?balancer_health=1&offset=-1", "", ""},
		{"POST", "/consumer_groups/g/consumers", "application/json", `{"consumer":["c",{}]}`},
		{"POST", "/consumers/c/consumer_groups", form, "group[]=g&group[x]=y"},
		{"DELETE", "/consumers/c/consumer_groups/g", "", ""},
		{"GET", "/consumer_groups?counter=true", "", ""},
		{"PUT", "/consumers/c/acls/%F0%9F%98%80", "application/json", `{}`},
		{"PUT", "/certificates/*.a", "application/json", `{"snis":["*.a","*.a"]}`},
		{"PATCH", "/certificates/a.example", "application/json", `{"snis":{"a":1}}`},
		{"POST", "/certificates", form, "snis[]=a&snis[3]=b"},
		{"PUT", "/consumers/c/basic-auth/b?skip_hash=1", "application/json", `{"password":"\u0000"}`},
		{"POST", "/schemas/vaults/validate", "application/json", `{"name":"env","config":[]}`},
		{"GET", "/status?unit=zz&scale=99999999999", "", ""},
		{"POST", "/consumers", "application/json", `{"username":"\u0000"}`},
		{"POST", "/services", form, "tags[]=\x00&name=%00"},
	} {
		f.Add(seed.method, seed.target, seed.contentType, seed.body)
	}
	// Each endpoint with each method, and the bodies of each kind of entity.
	for path, methods := range endpoints(f) {
		for _, method := range methods {
			f.Add(method, fill(f, path), "application/json", "{}")
		}
	}
	for _, suite := range slices.Concat(entitySuites, trafficSuites) {
		path := suite.collection(f)
		f.Add("POST", path, "application/json", suite.full)
		f.Add("PUT", path+"/"+missingID, form, suite.form)
		f.Add("POST", "/schemas/"+suite.kind+"/validate", "application/json", suite.least)
	}
	s := newServer(f, func(cfg *admin.Config) {
		cfg.LogLevel = discardLog()
		cfg.DataPlanes = func() []admin.DataPlane { return []admin.DataPlane{{ID: missingID}} }
	})
	// What it starts with stays for most inputs: a write of one is seen by the next.
	c := &tool{t: f, h: s}
	c.apply(parseState(f, wholeFile(), map[string][]string{"gold": {"alice"}}))
	must(f, s, 201, "POST", "/workspaces", "", `{"name":"team"}`)
	must(f, s, 201, "POST", "/services", "", `{"name":"s","host":"h"}`)
	must(f, s, 201, "POST", "/services/s/routes", "", `{"name":"r","paths":["/r"]}`)
	must(f, s, 200, "PUT", "/upstreams/u", "", `{}`)
	must(f, s, 201, "POST", "/upstreams/u/targets", "", `{"target":"a"}`)
	must(f, s, 200, "PUT", "/consumers/c", "", `{}`)
	must(f, s, 200, "PUT", "/consumer_groups/g", "", `{}`)
	f.Fuzz(func(t *testing.T, method, target, contentType, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || method == "" || strings.ContainsAny(method, " \r\n") {
			t.Skip("no request")
		}
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		r.Method, r.URL, r.RequestURI, r.Host = method, u, target, "localhost"
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError || w.Code < 200 {
			t.Errorf("%s %q (%s) %q: %d %s", method, target, contentType, body, w.Code, w.Body)
		}
		if out := w.Body.Bytes(); len(out) > 0 {
			if _, err := schema.Parse(out); err != nil {
				t.Errorf("%s %q: the answer %q is no JSON: %v", method, target, out, err)
			}
		}
	})
}
