package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/dataplane/router"
	"github.com/gibbon-gateway/gibbon/dataplane/router/routertest"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
)

// noting is an upstream that notes what it is asked.
type noting struct {
	asked  *upstream.Request
	header http.Header
}

func (n *noting) Do(_ context.Context, r *upstream.Request) (*upstream.Response, error) {
	if n.asked != nil {
		return nil, errors.New("asked twice")
	}
	asked := *r
	n.asked, n.header = &asked, r.Header.Clone()
	return &upstream.Response{Status: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
}

func (*noting) Close() error { return nil }

// What the router decides reaches the upstream, or the client.
func TestRouterCases(t *testing.T) {
	f := routertest.Read(t, "../..")
	for _, c := range f.Cases {
		t.Run(c.Name, func(t *testing.T) {
			want := c.Expect
			if c.Name == "host case is not folded" {
				// Kong does not fold; the router does, as RFC 9110 says.
				want = routertest.Answer{Route: proto.String("host"), UpstreamScheme: "http", UpstreamHost: "svc.internal", UpstreamPath: proto.String("/q")}
			}
			testRouting(t, f, &c, router.TraditionalCompatible, want)
		})
	}
}

func TestRouterExpressions(t *testing.T) {
	f := routertest.ReadExpressions(t, "../..")
	for _, c := range f.Cases {
		t.Run(c.Name, func(t *testing.T) { testRouting(t, f, &c, router.Expressions, c.Expect) })
	}
}

func testRouting(t *testing.T, f *routertest.File, c *routertest.Case, flavor router.Flavor, want routertest.Answer) {
	routes, services := routertest.Entities(f.RouteSets[c.Routes])
	up := new(noting)
	var seen *plugin.Request
	captures := map[string]string{}
	note := accessFunc(func(r *plugin.Request) error {
		seen = r
		for i, v := range r.Captures {
			if i > 0 {
				captures[strconv.Itoa(i)] = v
			}
		}
		for k, v := range r.Named {
			captures[k] = v
		}
		return nil
	})
	p := noted(t, &runtime.Config{Routes: routes, Services: services}, flavor, note, up, fixed(netip.MustParseAddrPort("127.0.0.1:80")))
	answer := httptest.NewRecorder()
	p.ServeHTTP(answer, received(t, c))

	if want.Status != 0 {
		if answer.Code != want.Status {
			t.Errorf("status %d, want %d: %s", answer.Code, want.Status, answer.Body)
		}
		if got := answer.Header().Get("Location"); got != want.Location {
			t.Errorf("Location %q, want %q", got, want.Location)
		}
		if up.asked != nil {
			t.Errorf("the upstream was asked for %s", up.asked.Target)
		}
		return
	}
	if seen == nil {
		t.Fatalf("no route: status %d, %s", answer.Code, answer.Body)
	}
	if want.Captures != nil {
		if diff := cmp.Diff(want.Captures, captures); diff != "" {
			t.Errorf("captures (-want +got):\n%s", diff)
		}
	}
	if want.UpstreamScheme == "grpc" || want.UpstreamScheme == "grpcs" {
		// gRPC is not carried yet, and must not go up as something else.
		if answer.Code != http.StatusNotImplemented && answer.Header().Get("Grpc-Status") != "12" {
			t.Errorf("status %d, headers %v, want gRPC's not implemented", answer.Code, answer.Header())
		}
		return
	}
	if up.asked == nil {
		t.Fatalf("the upstream was not asked: status %d, %s", answer.Code, answer.Body)
	}
	type told struct{ Scheme, Host, Target, Prefix string }
	got := told{up.asked.Scheme, up.asked.Host, up.asked.Target, up.header.Get("X-Forwarded-Prefix")}
	expect := told{want.UpstreamScheme, want.UpstreamHost, *want.UpstreamPath, ""}
	if want.ForwardedPrefix != nil {
		expect.Prefix = *want.ForwardedPrefix
	}
	if diff := cmp.Diff(expect, got); diff != "" {
		t.Errorf("the upstream was told (-want +got):\n%s", diff)
	}
}

// noted is a proxy of which the upstream only notes what it is asked, with a
// plugin for all requests. Its configuration ends with the test.
func noted(t *testing.T, config *runtime.Config, flavor router.Flavor, access accessFunc, up *noting, picker upstream.Picker) *proxy.Proxy {
	config.Plugins = []*entitypb.Plugin{everywhere("p1", "key-auth")}
	rt, err := runtime.BuildConfig(config, runtime.Options{
		Version: "1", Plugins: []plugin.Plugin{testPlugin("key-auth", access)}, Keeper: new(runtime.Keeper), Log: testLog(t),
		Router:   router.Options{Flavor: flavor},
		Decode:   func(string, []byte, proto.Message) error { return nil },
		Upstream: runtime.UpstreamOptions{Open: func(upstream.Config) runtime.Pool { return up }},
	})
	if err != nil {
		t.Fatal(err)
	}
	live := new(runtime.Live)
	live.Swap(rt)
	t.Cleanup(func() { live.Swap(nil) })
	return proxy.New(proxy.Options{Live: live, Picker: picker, Log: testLog(t)})
}

// received is a case's request as the listener hands it over.
func received(t *testing.T, c *routertest.Case) *http.Request {
	source, destination := c.Peers()
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, net.TCPAddrFromAddrPort(destination))
	in := (&http.Request{
		Method: c.Request.Method, RequestURI: c.Request.Target, Host: c.Request.Host, Header: c.Header(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(http.NoBody), RemoteAddr: source.String(),
	}).WithContext(ctx)
	if c.Request.HTTPVersion == "2" {
		in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/2.0", 2, 0
	}
	if c.Request.Scheme == "https" {
		in.TLS = &tls.ConnectionState{ServerName: c.Request.SNI}
	}
	return in
}

// A service that cannot be called answers for itself only, and not where a plugin
// sends its requests elsewhere; an IPv6 address may stand in brackets.
func TestOddServices(t *testing.T) {
	up := new(noting)
	elsewhere := accessFunc(func(r *plugin.Request) error {
		if r.Query == "elsewhere" {
			r.Upstream.SetTarget("http", "other.example", 80)
		}
		return nil
	})
	config := &runtime.Config{
		Services: []*entitypb.Service{
			{Id: "broken", Host: "a.example", Port: 443, Protocol: "https", Enabled: true, ClientCertificate: &entitypb.Reference{Id: "gone"}},
			{Id: "six", Host: "[::1]", Port: 8080, Protocol: "http", Enabled: true},
		},
		Routes: []*entitypb.Route{routeTo("broken", "broken", "/broken"), routeTo("six", "six", "/six")},
	}
	resolver := upstream.NewResolver(func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	})
	defer resolver.Close()
	p := noted(t, config, router.TraditionalCompatible, elsewhere, up, resolver)
	for _, tt := range []struct {
		target        string
		status        int
		host, address string
	}{
		{"/broken", http.StatusBadGateway, "", ""},
		{"/broken?elsewhere", http.StatusOK, "other.example", "192.0.2.1:80"},
		{"/six", http.StatusOK, "[::1]:8080", "[::1]:8080"},
	} {
		up.asked = nil
		c := &routertest.Case{}
		c.Request.Method, c.Request.Target, c.Request.Host = "GET", tt.target, "a.test"
		answer := httptest.NewRecorder()
		p.ServeHTTP(answer, received(t, c))
		if answer.Code != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.target, answer.Code, tt.status, answer.Body)
		}
		host, address := "", ""
		if up.asked != nil {
			host, address = up.asked.Host, up.asked.Address.String()
		}
		if host != tt.host || address != tt.address {
			t.Errorf("%s: asked %q at %q, want %q at %q", tt.target, host, address, tt.host, tt.address)
		}
	}
}
