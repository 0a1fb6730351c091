package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/filelog"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"

	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"
)

// canned is an upstream client that costs next to nothing, so that what is
// counted is the gateway's.
type canned struct{ body string }

func (c canned) Do(_ context.Context, r *upstream.Request) (*upstream.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	return &upstream.Response{
		Status: 200, Header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"r1"}},
		Body: io.NopCloser(strings.NewReader(c.body)), Length: int64(len(c.body)),
	}, nil
}

func (canned) Close() error { return nil }

type fixed netip.AddrPort

func (f fixed) Pick(context.Context, string, int, []netip.AddrPort) (netip.AddrPort, error) {
	return netip.AddrPort(f), nil
}

// sink is a client's side that keeps nothing.
type sink struct {
	header http.Header
	n      int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { s.n += len(p); return len(p), nil }

// The server's side of a connection has deadlines and can be flushed.
func (*sink) SetReadDeadline(time.Time) error  { return nil }
func (*sink) SetWriteDeadline(time.Time) error { return nil }
func (*sink) Flush()                           {}

// unary gives a function that sends one request through a proxy with file-log, by
// way of the client, without a network on the client's side.
func unary(t testing.TB, client runtime.Pool, address string) func() {
	config := one(t, address)
	config.Plugins = []*entitypb.Plugin{everywhere("p1", "file-log")}
	log := plugin.Of("file-log", func(_ *pluginpb.FileLog, env plugin.Env) (*filelog.Handler, error) {
		return filelog.New(&pluginpb.FileLog{Path: t.TempDir() + "/log"}, env)
	})
	var ways runtime.UpstreamOptions
	if client != nil {
		ways.Open = func(upstream.Config) runtime.Pool { return client }
	}
	keeper, live := new(runtime.Keeper), new(runtime.Live)
	rt, err := runtime.BuildConfig(config, runtime.Options{
		Plugins: []plugin.Plugin{log}, Keeper: keeper, Log: testLog(t), Upstream: ways,
		Decode: func(string, []byte, proto.Message) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	live.Swap(rt)
	t.Cleanup(func() { live.Swap(nil) })
	p := proxy.New(proxy.Options{Live: live, Picker: fixed(netip.MustParseAddrPort(strings.TrimPrefix(address, "http://")))})
	body := strings.Repeat("x", 2<<10)
	return func() {
		in := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/chat", strings.NewReader(body))
		in.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"test"}, "Accept": {"*/*"}}
		out := &sink{header: make(http.Header)}
		p.ServeHTTP(out, in)
		if out.n == 0 {
			t.Error("no answer")
		}
	}
}

// What a plain request costs in allocations: the gateway alone, and with the way
// to the upstream that is in use.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{}")
	}))
	defer up.Close()
	once := unary(t, canned{strings.Repeat("y", 2<<10)}, "http://127.0.0.1:80")
	alone := testing.AllocsPerRun(200, once)
	t.Logf("the gateway alone: %.0f, its request included", alone)
	if alone > 56 {
		t.Errorf("%.0f allocations for a request, want 56 at most", alone)
	}
	whole := testing.AllocsPerRun(200, unary(t, nil, up.URL))
	// The test's own server is counted too.
	t.Logf("with the upstream: %.0f, the upstream's own included", whole)
	if whole > 102 {
		t.Errorf("%.0f allocations for a request with its upstream, want 102 at most", whole)
	}
}

func BenchmarkUnary(b *testing.B) {
	once := unary(b, canned{strings.Repeat("y", 2<<10)}, "http://127.0.0.1:80")
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}
