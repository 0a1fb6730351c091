package router

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/router/routertest"
	"github.com/gibbon-gateway/gibbon/internal/uri"
)

// entities makes the entities of a route set, the services by id.
func entities(set []routertest.Route) ([]*entitypb.Route, map[string]*entitypb.Service) {
	routes, list := routertest.Entities(set)
	services := make(map[string]*entitypb.Service, len(list))
	for _, s := range list {
		services[s.Id] = s
	}
	return routes, services
}

func TestCases(t *testing.T) {
	f := routertest.Read(t, "../..")
	for _, mode := range []struct {
		name    string
		options Options
		differs func(expect routertest.Answer, original, traditional *routertest.Answer) *routertest.Answer
	}{
		{"strict", Options{}, func(_ routertest.Answer, _, _ *routertest.Answer) *routertest.Answer { return nil }},
		{"original", Options{Calculation: Original}, func(_ routertest.Answer, o, _ *routertest.Answer) *routertest.Answer { return o }},
		{"traditional", Options{Flavor: Traditional}, func(_ routertest.Answer, _, tr *routertest.Answer) *routertest.Answer { return tr }},
	} {
		for _, c := range f.Cases {
			t.Run(mode.name+"/"+c.Name, func(t *testing.T) {
				want := c.Expect
				if other := mode.differs(c.Expect, c.Original, c.Traditional); other != nil {
					want = routertest.Answer{Route: other.Route, UpstreamPath: other.UpstreamPath, ForwardedPrefix: other.ForwardedPrefix}
				}
				if c.Name == "host case is not folded" {
					// Kong does not fold; this package does, as RFC 9110 says.
					want = routertest.Answer{Route: new("host")}
				}
				testCase(t, f, &c, mode.options, want)
			})
		}
	}
}

func TestExpressionCases(t *testing.T) {
	f := routertest.ReadExpressions(t, "../..")
	for _, c := range f.Cases {
		t.Run(c.Name, func(t *testing.T) { testCase(t, f, &c, Options{Flavor: Expressions}, c.Expect) })
	}
}

func testCase(t *testing.T, f *routertest.File, c *routertest.Case, o Options, want routertest.Answer) {
	routes, services := entities(f.RouteSets[c.Routes])
	if len(routes) == 0 {
		t.Fatalf("no routes %q", c.Routes)
	}
	r, err := New(routes, services, o)
	if err != nil {
		t.Fatal(err)
	}
	target, query, _ := strings.Cut(c.Request.Target, "?")
	path := uri.Normalize(target)
	source, destination := c.Peers()
	m, ok := r.Match(&Request{
		Method: c.Request.Method, Scheme: c.Request.Scheme, Host: c.Request.Host, Port: c.Request.ListenPort,
		Path: path, Query: query, SNI: c.Request.SNI, Header: c.Header(), Source: source, Destination: destination,
	})
	var got *string
	if ok {
		got = m.Route.Name
	}
	if diff := cmp.Diff(want.Route, got); diff != "" {
		t.Fatalf("route (-want +got):\n%s", diff)
	}
	if !ok || m.Service == nil {
		return
	}
	if want.UpstreamPath != nil {
		up := uri.Escape(m.UpstreamPath(path))
		if query != "" || strings.HasSuffix(c.Request.Target, "?") {
			up += "?" + query
		}
		if up != *want.UpstreamPath {
			t.Errorf("upstream path = %q, want %q", up, *want.UpstreamPath)
		}
	}
	if want.Captures != nil {
		captures := map[string]string{}
		for i, v := range m.Captures {
			if i > 0 {
				captures[strconv.Itoa(i)] = v
			}
		}
		for k, v := range m.Named {
			captures[k] = v
		}
		if diff := cmp.Diff(want.Captures, captures); diff != "" {
			t.Errorf("captures (-want +got):\n%s", diff)
		}
	}
}
