package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/internal/listener"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is a proxy behind a real listener, with its configuration.
type gateway struct {
	t      testing.TB
	proxy  *proxy.Proxy
	live   *runtime.Live
	keeper *runtime.Keeper
	addr   string
	client *http.Client
}

// start serves a configuration until the test ends.
func start(t testing.TB, config *runtime.Config, plugins []plugin.Plugin, change func(*proxy.Options)) *gateway {
	t.Helper()
	g := &gateway{t: t, live: new(runtime.Live), keeper: new(runtime.Keeper)}
	if config != nil {
		g.swap(config, plugins, "1")
	}
	resolver := upstream.NewResolver(func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "localhost" {
			return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	})
	options := proxy.Options{Live: g.live, Picker: resolver, Log: testLog(t)}
	if change != nil {
		change(&options)
	}
	g.proxy = proxy.New(options)
	addrs, err := listener.Listen("proxy_listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := listener.Open(t.Context(), addrs, listener.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := listener.Server(listener.Config{Handler: g.proxy, Refuse: g.proxy.Refuse})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listeners[0]) }()
	g.addr = listeners[0].Addr().String()
	transport := &http.Transport{DisableCompression: true}
	g.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
			server.Close()
		}
		<-served
		// The server does not wait for tunnels.
		g.proxy.Drain(ctx, 10*time.Second, 10*time.Second)
		g.live.Swap(nil)
		if n := g.keeper.Kept(); n != 0 {
			t.Errorf("%d resources are kept after the last request, want 0", n)
		}
		if err := resolver.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// swap puts a configuration in force.
func (g *gateway) swap(config *runtime.Config, plugins []plugin.Plugin, version string) {
	g.t.Helper()
	rt, err := runtime.BuildConfig(config, runtime.Options{
		Version: version, Plugins: plugins, Keeper: g.keeper, Log: testLog(g.t),
		Decode: func(string, []byte, proto.Message) error { return nil },
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.live.Swap(rt)
}

// do sends a request and reads the whole answer.
func (g *gateway) do(method, target string, header http.Header, body io.Reader) (*http.Response, string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.addr+target, body)
	if err != nil {
		g.t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	answer, err := g.client.Do(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		g.t.Fatalf("%s %s: read the answer: %v", method, target, err)
	}
	return answer, string(data)
}

// raw sends bytes on a connection of its own and gives all that comes back.
func (g *gateway) raw(text string) string {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		g.t.Fatal(err)
	}
	data, err := io.ReadAll(conn)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(data)
}

// serviceAt is a service at an address.
func serviceAt(t testing.TB, id, address string) *entitypb.Service {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	s := &entitypb.Service{
		Id: id, Name: proto.String("service-" + id), Protocol: u.Scheme, Host: u.Hostname(), Port: int32(port), Enabled: true,
		Retries: proto.Int32(5), ConnectTimeout: proto.Int32(5000), WriteTimeout: proto.Int32(5000), ReadTimeout: proto.Int32(5000),
	}
	if u.Path != "" {
		s.Path = proto.String(u.Path)
	}
	return s
}

func routeTo(id, service string, paths ...string) *entitypb.Route {
	r := &entitypb.Route{
		Id: id, Name: proto.String("route-" + id), Protocols: []string{"http", "https"}, Paths: paths,
		StripPath: true, RequestBuffering: true, ResponseBuffering: true, HttpsRedirectStatusCode: 426,
	}
	if service != "" {
		r.Service = &entitypb.Reference{Id: service}
	}
	return r
}

// one is a configuration with one service at an address, for all paths.
func one(t testing.TB, address string) *runtime.Config {
	return &runtime.Config{
		Services: []*entitypb.Service{serviceAt(t, "s1", address)},
		Routes:   []*entitypb.Route{routeTo("r1", "s1", "/")},
	}
}

// scripted is an upstream that reads a request head and then does as told with
// the bare connection.
func scripted(t testing.TB, script func(conn net.Conn, in *http.Request)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			func() {
				defer conn.Close()
				in, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, in.Body); err != nil {
					return
				}
				script(conn, in)
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String()
}

func echo(t testing.TB) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s %s\nHost: %s\n", r.Method, r.RequestURI, r.Host)
		w.Header()
		_ = r.Header.Write(w)
		fmt.Fprintf(w, "\n%s", body)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestProxied(t *testing.T) {
	up := echo(t)
	config := &runtime.Config{
		Services: []*entitypb.Service{serviceAt(t, "s1", up.URL+"/base")},
		Routes:   []*entitypb.Route{routeTo("r1", "s1", "/api")},
	}
	g := start(t, config, nil, nil)
	answer, body := g.do("POST", "/api/a%20b?x=1;y=%zz", http.Header{
		"X-Consumer-Id":        {"forged"},
		"X_Consumer_Username":  {"forged"},
		"X-Anonymous-Consumer": {"true"},
		"X-Forwarded-Proto":    {"https"},
		"X-Forwarded-For":      {"1.2.3.4"},
		"Connection":           {"X-Hop"},
		"X-Hop":                {"gone"},
		"Te":                   {"trailers, gzip"},
		"User-Agent":           {"test"},
		"Accept-Encoding":      {"gzip"},
	}, strings.NewReader("hello"))
	port := g.addr[strings.LastIndexByte(g.addr, ':')+1:]
	want := "POST /base/a%20b?x=1;y=%zz\nHost: " + strings.TrimPrefix(up.URL, "http://") + "\n" +
		strings.ReplaceAll("Accept-Encoding: gzip\nConnection: keep-alive\nContent-Length: 5\nTe: trailers\nUser-Agent: test\n"+
			"Via: 1.1 kong/3.8.1\nX-Forwarded-For: 1.2.3.4, 127.0.0.1\nX-Forwarded-Host: 127.0.0.1\n"+
			"X-Forwarded-Path: /api/a%20b\nX-Forwarded-Port: "+port+"\nX-Forwarded-Prefix: /api\nX-Forwarded-Proto: http\n"+
			"X-Kong-Request-Id: "+answer.Header.Get("X-Kong-Request-Id")+"\nX-Real-Ip: 127.0.0.1\n", "\n", "\r\n") +
		"\nhello"
	if body != want {
		t.Errorf("the upstream saw\n%s\nwant\n%s", body, want)
	}
	if answer.StatusCode != 200 {
		t.Errorf("status %d, want 200", answer.StatusCode)
	}
	for name, want := range map[string]string{"Via": "1.1 kong/3.8.1", "Server": "kong/3.8.1", "Content-Type": "text/plain"} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"X-Kong-Upstream-Latency", "X-Kong-Proxy-Latency"} {
		if _, err := strconv.Atoi(answer.Header.Get(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if id := answer.Header.Get("X-Kong-Request-Id"); len(id) != 32 {
		t.Errorf("X-Kong-Request-Id is %q", id)
	}
}
