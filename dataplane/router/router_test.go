package router

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/router/routertest"
	"github.com/gibbon-gateway/gibbon/internal/uri"
)

func route(id string, change func(*entitypb.Route)) *entitypb.Route {
	r := &entitypb.Route{Id: id, Name: proto.String(id), Protocols: []string{"http", "https"}, StripPath: true}
	change(r)
	return r
}

// expressing is a route with an expression.
func expressing(id string, priority int64, text string) *entitypb.Route {
	return route(id, func(r *entitypb.Route) { r.Expression, r.Priority = &text, &priority })
}

func TestTies(t *testing.T) {
	paths := func(created int64) func(*entitypb.Route) {
		return func(r *entitypb.Route) { r.Paths, r.CreatedAt = []string{"/a"}, created }
	}
	for _, tt := range []struct {
		name   string
		routes []*entitypb.Route
		want   string
	}{
		{"the older one wins", []*entitypb.Route{route("a", paths(2)), route("b", paths(1))}, "b"},
		{"then the smaller id", []*entitypb.Route{route("b", paths(1)), route("a", paths(1))}, "a"},
	} {
		for _, o := range []Options{{}, {Calculation: Original}, {Flavor: Traditional}} {
			t.Run(fmt.Sprint(tt.name, o), func(t *testing.T) {
				r, err := New(tt.routes, nil, o)
				if err != nil {
					t.Fatal(err)
				}
				if m, ok := r.Match(&Request{Method: "GET", Scheme: "http", Path: "/a"}); !ok || m.Route.GetId() != tt.want {
					t.Errorf("Match = %v, want route %s", m.Route, tt.want)
				}
			})
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		route   *entitypb.Route
		options Options
		field   string
		text    string
	}{
		{"a service that is not there", route("x", func(r *entitypb.Route) { r.Service = &entitypb.Reference{Id: "gone"} }), Options{}, "service", "gone"},
		{"an expression that does not compile", expressing("x", 0, `http.path ^= 7`), Options{Flavor: Expressions}, "expression", "http.path is a String"},
		{"an expression with an unknown field", expressing("x", 0, `http.paht == "/"`), Options{Flavor: Expressions}, "expression", "unknown field"},
		{"a flavour that is not there", route("x", func(*entitypb.Route) {}), Options{Flavor: "vanilla"}, "", `"vanilla"`},
		{"a calculation that is not there", route("x", func(*entitypb.Route) {}), Options{Calculation: "guess"}, "", `"guess"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New([]*entitypb.Route{tt.route}, nil, tt.options)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("error = %v, want one with %q", err, tt.text)
			}
			var re *RouteError
			if tt.field != "" && (!errors.As(err, &re) || re.Field != tt.field || re.Route != tt.route) {
				t.Errorf("error = %#v, want a RouteError of field %s", err, tt.field)
			}
		})
	}
}

// All routes that stand in the way of a router are named at once.
func TestNewNamesAll(t *testing.T) {
	routes := []*entitypb.Route{
		expressing("a", 0, `(`), expressing("b", 0, `http.method == "GET"`), expressing("c", 0, `http.path`),
		route("d", func(r *entitypb.Route) { r.Paths, r.Service = []string{"/"}, &entitypb.Reference{Id: "gone"} }),
	}
	_, err := New(routes, nil, Options{Flavor: Expressions})
	broken, ok := errors.AsType[RouteErrors](err)
	if !ok {
		t.Fatalf("error %v, want RouteErrors", err)
	}
	var names []string
	for _, one := range broken {
		names = append(names, one.Route.GetName()+" "+one.Field)
	}
	if want := []string{"a expression", "c expression", "d service"}; !slices.Equal(names, want) {
		t.Errorf("broken routes %q, want %q", names, want)
	}
	for _, one := range broken {
		if !strings.Contains(err.Error(), one.Error()) {
			t.Errorf("%q does not say %q", err, one)
		}
	}
}

// A node of another flavour must not take a route without its expression for one
// that matches everything.
func TestExpressionsOfAnotherFlavor(t *testing.T) {
	both := expressing("both", 0, `http.method == "PUT"`)
	both.Paths = []string{"/a"}
	for _, flavor := range []Flavor{TraditionalCompatible, Traditional} {
		r, err := New([]*entitypb.Route{expressing("x", 0, `http.path ^= "/x"`), both}, nil, Options{Flavor: flavor})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Flaws()) != 1 || r.Flaws()[0].Route.GetName() != "x" || r.Flaws()[0].Field != "expression" {
			t.Errorf("%s: flaws %v, want one of x", flavor, r.Flaws())
		}
		for path, want := range map[string]string{"/x": "", "/a": "both"} {
			m, _ := r.Match(&Request{Method: "GET", Scheme: "http", Path: path})
			if got := m.Route.GetName(); got != want {
				t.Errorf("%s: %s matches %q, want %q", flavor, path, got, want)
			}
		}
	}
}

// A pattern that does not compile matches nothing and harms nobody else: neither
// other routes, nor what else its own route says.
func TestFlaws(t *testing.T) {
	routes := []*entitypb.Route{
		route("mixed", func(r *entitypb.Route) { r.Paths = []string{"/ok", "~/a("} }),
		route("path", func(r *entitypb.Route) { r.Paths = []string{"~/a("} }),
		route("header", func(r *entitypb.Route) {
			r.Headers = map[string]*entitypb.Values{"a": {Values: []string{"~*["}}}
		}),
		route("either", func(r *entitypb.Route) {
			r.Headers = map[string]*entitypb.Values{"b": {Values: []string{"~*[", "yes"}}}
		}),
	}
	for _, o := range []Options{{}, {Calculation: Original}, {Flavor: Traditional}} {
		r, err := New(routes, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		var flaws []string
		for _, flaw := range r.Flaws() {
			flaws = append(flaws, flaw.Route.GetName()+" "+flaw.Field)
		}
		if want := []string{"mixed paths.2", "path paths.1", "header headers", "either headers"}; !slices.Equal(flaws, want) {
			t.Errorf("%+v: flaws %q, want %q", o, flaws, want)
		}
		for _, tt := range []struct{ path, name, value, want string }{
			{"/ok", "", "", "mixed"}, {"/a(", "", "", ""}, {"/a", "", "", ""}, {"/x", "A", "[", ""}, {"/x", "B", "yes", "either"},
		} {
			header := http.Header{}
			if tt.name != "" {
				header[tt.name] = []string{tt.value}
			}
			m, _ := r.Match(&Request{Method: "GET", Scheme: "http", Host: "a", Port: 80, Path: tt.path, Header: header})
			if got := m.Route.GetName(); got != tt.want {
				t.Errorf("%+v: %s %s=%s matches %q, want %q", o, tt.path, tt.name, tt.value, got, tt.want)
			}
		}
	}
}

func TestDisabledServiceTakesItsRoutesOut(t *testing.T) {
	routes := []*entitypb.Route{
		route("off", func(r *entitypb.Route) { r.Paths, r.Service = []string{"/a/b"}, &entitypb.Reference{Id: "s"} }),
		route("on", func(r *entitypb.Route) { r.Paths = []string{"/a"} }),
		route("stream", func(r *entitypb.Route) { r.Protocols = []string{"tcp"} }),
	}
	r, err := New(routes, map[string]*entitypb.Service{"s": {Id: "s"}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := r.Match(&Request{Method: "GET", Scheme: "http", Path: "/a/b/c"}); m.Route.GetId() != "on" {
		t.Errorf("Match = %v, want route on", m.Route)
	}
	if m, ok := r.Match(&Request{Method: "GET", Scheme: "http", Path: "/"}); ok {
		t.Errorf("Match = %v, want none", m.Route)
	}
}

func TestHeaders(t *testing.T) {
	for _, tt := range []struct {
		name    string
		wants   map[string][]string
		has     http.Header
		matches bool
		single  bool // in the flavour traditional
	}{
		{"one of the values", map[string][]string{"x-a": {"1", "2"}}, http.Header{"X-A": {"2"}}, true, true},
		{"case of value and name is folded", map[string][]string{"X-a": {"AbC"}}, http.Header{"X-A": {"aBc"}}, true, true},
		{"a comma does not split", map[string][]string{"x": {"1"}}, http.Header{"X": {"1,2"}}, false, false},
		{"any of several lines", map[string][]string{"x": {"2"}}, http.Header{"X": {"1", "2"}}, true, true},
		{"all names must match", map[string][]string{"x": {"1"}, "y": {"1"}}, http.Header{"X": {"1"}}, false, false},
		{"underscore and dash are one", map[string][]string{"x_a": {"1"}}, http.Header{"X-A": {"1"}}, true, true},
		{"also in the request", map[string][]string{"x-a": {"1"}}, http.Header{"X_a": {"1"}}, true, true},
		{"a pattern is searched", map[string][]string{"x": {"~*b+C"}}, http.Header{"X": {"abbcd"}}, true, true},
		{"several lines and a pattern", map[string][]string{"x": {"~*b"}}, http.Header{"X": {"a", "b"}}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := route("r", func(r *entitypb.Route) {
				r.Headers = map[string]*entitypb.Values{}
				for name, values := range tt.wants {
					r.Headers[name] = &entitypb.Values{Values: values}
				}
			})
			for _, mode := range []struct {
				options Options
				want    bool
			}{{Options{}, tt.matches}, {Options{Flavor: Traditional}, tt.single}} {
				r, err := New([]*entitypb.Route{e}, nil, mode.options)
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := r.Match(&Request{Method: "GET", Scheme: "http", Path: "/", Header: tt.has}); ok != mode.want {
					t.Errorf("%v: matches = %v, want %v", mode.options, ok, mode.want)
				}
			}
		})
	}
}

func TestUpstreamPath(t *testing.T) {
	for _, tt := range []struct {
		service, prefix string
		strip           bool
		path            string
		v0, v1          string
	}{
		{"", "/a", true, "/a", "/", "/"},
		{"/", "/a", true, "/a/", "/", "/"},
		{"/s/", "/a", true, "/a", "/s", "/s/"},
		{"/s/", "/a/", true, "/a/", "/s/", "/s/"},
		{"/s/", "/a", true, "/a/x", "/s/x", "/s/x"},
		{"/s/", "/foo", true, "/foox", "/s/x", "/s/x"},
		{"/s/", "/foo", false, "/foo/x", "/s/foo/x", "/s/foo/x"},
		{"/s", "/a/", true, "/a/", "/s/", "/s"},
		{"/s", "/a", true, "/a", "/s", "/s"},
		{"/s", "/a", true, "/a/x", "/s/x", "/s/x"},
		{"/s", "/a", true, "/ax", "/s/x", "/sx"},
		{"/s", "/", false, "/", "/s", "/s"},
		{"/s", "/foo", false, "/foo/x", "/s/foo/x", "/sfoo/x"},
		{"/s", "/a", true, "/a..", "/s", "/s"},
		{"/s", "/a", true, "/a../b", "/s/b", "/sb"},
		{"/s", "", true, "/x/y", "/s/x/y", "/sx/y"},
	} {
		t.Run(fmt.Sprintf("%s %s %v %s", tt.service, tt.prefix, tt.strip, tt.path), func(t *testing.T) {
			for _, handling := range []string{"v0", "v1"} {
				m := Match{
					Route: &entitypb.Route{StripPath: tt.strip, PathHandling: &handling}, Service: &entitypb.Service{},
					HasPath: tt.prefix != "", Matched: tt.prefix, v1: true,
				}
				if tt.service != "" {
					m.Service.Path = &tt.service
				}
				want := tt.v0
				if handling == "v1" {
					want = tt.v1
				}
				if got := m.UpstreamPath(tt.path); got != want {
					t.Errorf("%s: UpstreamPath(%q) = %q, want %q", handling, tt.path, got, want)
				}
			}
		})
	}
}

// FuzzRouteMatch compares the buckets with a walk over all candidates in order.
func FuzzRouteMatch(f *testing.F) {
	cases := routertest.Read(f, "../..")
	for _, c := range cases.Cases {
		f.Add(c.Request.Method, c.Request.Scheme, c.Request.Host, c.Request.Target, c.Request.SNI)
	}
	var routers []*Router
	expressions := routertest.ReadExpressions(f, "../..")
	for _, c := range expressions.Cases {
		f.Add(c.Request.Method, c.Request.Scheme, c.Request.Host, c.Request.Target, c.Request.SNI)
	}
	for _, set := range expressions.RouteSets {
		routes, services := entities(set)
		r, err := New(routes, services, Options{Flavor: Expressions})
		if err != nil {
			f.Fatal(err)
		}
		routers = append(routers, r)
	}
	for _, set := range cases.RouteSets {
		for _, o := range []Options{{}, {Calculation: Original}, {Flavor: Traditional}} {
			routes, services := entities(set)
			r, err := New(routes, services, o)
			if err != nil {
				f.Fatal(err)
			}
			routers = append(routers, r)
		}
	}
	f.Fuzz(func(t *testing.T, method, scheme, host, target, sni string) {
		path, query, _ := strings.Cut("/"+target, "?")
		path = uri.Normalize(path)
		req := &Request{Method: method, Scheme: scheme, Host: host, Port: 8000, Path: path, Query: query, SNI: sni}
		for _, r := range routers {
			got, ok := r.Match(req)
			want := walk(r, req)
			if ok != (want != nil) || ok && got.Route != want.route {
				t.Fatalf("Match = %v, a walk over all candidates finds %v", got.Route, want)
			}
			if ok && got.Service != nil {
				if up := got.UpstreamPath(path); !strings.HasPrefix(up, "/") {
					t.Fatalf("UpstreamPath(%q) = %q", path, up)
				}
			}
		}
	})
}

func walk(r *Router, req *Request) *candidate {
	seen := slices.Clone(r.rest)
	for _, bucket := range r.byHost {
		seen = append(seen, bucket...)
	}
	for _, bucket := range r.byPrefix {
		seen = append(seen, bucket...)
	}
	slices.SortFunc(seen, func(a, b *candidate) int { return a.order - b.order })
	q := query{Request: req, host: splitHost(req.Host, req.Port), strictPort: r.flavor != Traditional, router: r}
	defer q.release()
	for _, c := range seen {
		if c.matches(&q) {
			return c
		}
	}
	return nil
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n, " routes"), func(b *testing.B) {
			var routes []*entitypb.Route
			for i := range n {
				routes = append(routes, route(fmt.Sprint(i), func(r *entitypb.Route) { r.Paths = []string{fmt.Sprintf("/route/%d", i)} }))
			}
			r, err := New(routes, nil, Options{})
			if err != nil {
				b.Fatal(err)
			}
			req := &Request{Method: "POST", Scheme: "http", Host: "example.com", Path: "/route/77"}
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := r.Match(req); !ok {
					b.Fatal("no match")
				}
			}
		})
	}
}

// BenchmarkExpressions matches the last of many routes. Of the first kind of them
// the router can tell which to ask; of the second it asks all.
func BenchmarkExpressions(b *testing.B) {
	for _, kind := range []struct{ name, format string }{
		{"by prefix", `http.path ^= "/route/%d/" && http.method == "POST"`},
		{"by segment", `http.path.segments.1 == "%d" && http.method == "POST"`},
		{"by header", `any(http.headers.x_tenant) == "%d" && http.method == "POST"`},
		{"by argument", `any(http.queries.tenant) == "%d" && http.method == "POST"`},
		{"by pattern from the beginning", `http.path ~ "^/route/%d/[a-z]+$"`},
		{"by pattern anywhere", `http.path ~ "/%d/[a-z]+$"`},
	} {
		b.Run(kind.name, func(b *testing.B) {
			const n = 1000
			var routes []*entitypb.Route
			for i := range n {
				routes = append(routes, expressing(fmt.Sprint(i), int64(n-i), fmt.Sprintf(kind.format, i)))
			}
			r, err := New(routes, nil, Options{Flavor: Expressions})
			if err != nil {
				b.Fatal(err)
			}
			req := &Request{
				Method: "POST", Scheme: "http", Host: "example.com", Path: fmt.Sprintf("/route/%d/chat", n-1),
				Query: fmt.Sprintf("a=b&tenant=%d", n-1), Header: http.Header{"X-Tenant": {fmt.Sprint(n - 1)}},
			}
			b.ReportAllocs()
			for b.Loop() {
				if m, _ := r.Match(req); m.Route != routes[n-1] {
					b.Fatalf("matched %v", m.Route)
				}
			}
		})
	}
}

// TestPeers compares addresses in the form in which they mean the same.
func TestPeers(t *testing.T) {
	r, err := New([]*entitypb.Route{
		route("four", func(r *entitypb.Route) { r.Sources = []*entitypb.Peer{{Ip: proto.String("::ffff:10.0.0.0/104")}} }),
		route("one", func(r *entitypb.Route) { r.Sources = []*entitypb.Peer{{Ip: proto.String("::ffff:192.0.2.1")}} }),
		route("link", func(r *entitypb.Route) { r.Sources = []*entitypb.Peer{{Ip: proto.String("fe80::/10")}} }),
	}, nil, Options{Flavor: Expressions})
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		"10.1.2.3:1": "four", "[::ffff:10.1.2.3]:1": "four", "192.0.2.1:1": "one", "192.0.2.2:1": "",
		"[fe80::1%eth0]:1": "link", "[2001:db8::1]:1": "",
	} {
		m, _ := r.Match(&Request{Method: "GET", Scheme: "http", Path: "/", Source: netip.MustParseAddrPort(source)})
		if got := m.Route.GetName(); got != want {
			t.Errorf("%s matches %q, want %q", source, got, want)
		}
	}
}
