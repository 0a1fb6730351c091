package aiproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/internal/listener"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is a real proxy with ai-proxy on a route, and a plugin behind it that
// keeps what would be logged.
type gateway struct {
	addr   string
	client *http.Client
	lines  chan string // one per request
	log    *lockedBuffer
}

// lockedBuffer takes what the gateway logs about itself.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// keeper is a plugin that hands on the log object. It goes by the
// name of a plugin that runs behind ai-proxy.
type keeper struct{ lines chan<- string }

func (k keeper) Log(r *plugin.Request) {
	if k.lines != nil {
		k.lines <- string(r.AppendLog(nil))
	}
}

// serve starts a gateway whose routes match the given paths and run ai-proxy with
// the configuration, which is JSON.
func serve(t testing.TB, config string, paths ...string) *gateway {
	t.Helper()
	return serveOn(t, node{}, config, paths...)
}

// node is what is special about a gateway.
type node struct {
	limits plugin.Limits
	silent bool // nothing is kept of what it logs
}

// serveOn starts such a gateway.
func serveOn(t testing.TB, n node, config string, paths ...string) *gateway {
	t.Helper()
	g := &gateway{lines: make(chan string, 64), log: &lockedBuffer{}}
	logger := slog.New(slog.NewTextHandler(io.MultiWriter(g.log, t.Output()), &slog.HandlerOptions{Level: slog.LevelDebug}))
	if n.silent {
		logger, g.lines = slog.New(slog.DiscardHandler), nil
	}
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	live, kept := new(runtime.Live), new(runtime.Keeper)
	rt, err := runtime.BuildConfig(&runtime.Config{
		Services: []*entitypb.Service{{
			// Nothing listens there: ai-proxy overrides the address.
			Id: "s1", Protocol: "http", Host: "127.0.0.1", Port: 1, Enabled: true,
			Retries: proto.Int32(0), ConnectTimeout: proto.Int32(5000), WriteTimeout: proto.Int32(5000), ReadTimeout: proto.Int32(5000),
		}},
		Routes: []*entitypb.Route{{
			Id: "r1", Name: proto.String("chat"), Protocols: []string{"http"}, Paths: paths, StripPath: true,
			RequestBuffering: true, ResponseBuffering: true, HttpsRedirectStatusCode: 426, Service: &entitypb.Reference{Id: "s1"},
		}},
		Plugins: []*entitypb.Plugin{
			{Id: "a1", Name: "ai-proxy", Enabled: true, Protocols: []string{"http"}, Config: []byte(config), Route: &entitypb.Reference{Id: "r1"}},
			{Id: "f1", Name: "file-log", Enabled: true, Protocols: []string{"http"}, Config: []byte(`{}`), Route: &entitypb.Reference{Id: "r1"}},
		},
	}, runtime.Options{
		Version: "1", Keeper: kept, Log: logger, Limits: n.limits,
		Plugins: []plugin.Plugin{aiproxy.Plugin, plugin.Of("file-log", func(*pluginpb.FileLog, plugin.Env) (keeper, error) {
			return keeper{g.lines}, nil
		})},
		Decode: func(_ string, data []byte, into proto.Message) error { return protojson.Unmarshal(data, into) },
	})
	if err != nil {
		t.Fatal(err)
	}
	live.Swap(rt)
	resolver := upstream.NewResolver(nil)
	p := proxy.New(proxy.Options{Live: live, Picker: resolver, Log: logger})
	addrs, err := listener.Listen("proxy_listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := listener.Open(t.Context(), addrs, listener.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := listener.Server(listener.Config{Handler: p, Refuse: p.Refuse})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listeners[0]) }()
	g.addr = listeners[0].Addr().String()
	transport := &http.Transport{DisableCompression: true}
	g.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
			server.Close()
		}
		<-served
		live.Swap(nil)
		if err := resolver.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// answer is what a client sees.
type answer struct {
	status int
	header http.Header
	body   string
	broken bool // it did not end as an answer should
}

// do sends one request and reads what comes back, to whatever end.
func (g *gateway) do(t testing.TB, method, target string, header http.Header, body string) answer {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.addr+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		in.Header[name] = values
	}
	out, err := g.client.Do(in)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	return answer{status: out.StatusCode, header: out.Header, body: string(data), broken: err != nil}
}

// post sends a JSON body.
func (g *gateway) post(t testing.TB, target, body string) answer {
	t.Helper()
	return g.do(t, http.MethodPost, target, http.Header{"Content-Type": {"application/json"}}, body)
}

// logged is the log line of one request.
func (g *gateway) logged(t testing.TB) string {
	t.Helper()
	select {
	case line := <-g.lines:
		return line
	case <-time.After(10 * time.Second):
		t.Fatal("no log line came")
		return ""
	}
}

// reply is what the scripted provider answers.
type reply struct {
	status int    // 0: 200
	kind   string // Content-Type; empty: application/json
	header string // further header lines, each with its end
	chunks []string
	packed bool // the body is sent as gzip, cut in as many pieces as there are chunks
	cut    bool // the connection ends in the middle of the body
}

// seen is a request as a provider got it.
type seen struct {
	head, body string
	header     http.Header
	gone       chan struct{} // closed when the gateway has left
}

// vendor is a provider that answers one script, chunk by chunk, on bare
// connections. Each request opens one.
type vendor struct {
	url  string
	seen chan seen
	// hold, when it is set, makes the provider wait behind each chunk until a
	// value comes; closing it lets the rest go.
	hold chan struct{}
}

func provide(t testing.TB, script reply, hold bool) *vendor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &vendor{url: "http://" + l.Addr().String(), seen: make(chan seen, 64)}
	if hold {
		v.hold = make(chan struct{})
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				v.answer(conn, script)
			})
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		served.Wait()
	})
	return v
}

func (v *vendor) answer(conn net.Conn, script reply) {
	reader := bufio.NewReader(conn)
	in, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return
	}
	s := seen{head: in.Method + " " + in.RequestURI, body: string(body), header: in.Header, gone: make(chan struct{})}
	v.seen <- s
	status, kind := script.status, script.kind
	if status == 0 {
		status = http.StatusOK
	}
	if kind == "" {
		kind = "application/json"
	}
	chunks := script.chunks
	if script.packed {
		chunks = pieces(pack(strings.Join(chunks, "")), len(chunks))
		script.header += "Content-Encoding: gzip\r\n"
	}
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%sTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
		status, http.StatusText(status), kind, script.header); err != nil {
		return
	}
	for _, chunk := range chunks {
		if chunk != "" {
			if _, err := io.WriteString(conn, strconv.FormatInt(int64(len(chunk)), 16)+"\r\n"+chunk+"\r\n"); err != nil {
				return
			}
		}
		if v.hold != nil {
			if _, ok := <-v.hold; !ok {
				break
			}
		}
	}
	if script.cut {
		return
	}
	if _, err := io.WriteString(conn, "0\r\n\r\n"); err != nil {
		return
	}
	// The gateway closes the connection when it has what it wants.
	if _, err := reader.ReadByte(); err != nil {
		close(s.gone)
	}
}

func pack(text string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	for _, event := range strings.SplitAfter(text, "\n\n") {
		_, _ = io.WriteString(w, event)
		_ = w.Flush()
	}
	_ = w.Close()
	return out.String()
}

func unpack(t testing.TB, text string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// pieces cuts a text in n parts of about the same length.
func pieces(text string, n int) []string {
	out := make([]string, 0, n)
	for i := range n {
		out = append(out, text[len(text)*i/n:len(text)*(i+1)/n])
	}
	return out
}

// silent is a provider that takes calls and never answers.
func silent(t testing.TB) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				// It ends when the gateway leaves.
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		served.Wait()
	})
	return "http://" + l.Addr().String()
}
