package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
)

// A websocket is a tunnel for bytes, in both directions and to its end.
func TestWebsocket(t *testing.T) {
	heads := make(chan http.Header, 1)
	up := scripted(t, func(c net.Conn, in *http.Request) {
		heads <- in.Header
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-Websocket-Accept: a\r\n\r\nfirst ")
		buf := make([]byte, 4)
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(c, "got %s", buf)
	})
	config := one(t, up)
	config.Plugins = []*entitypb.Plugin{everywhere("p1", "file-log")}
	log := newRecorder()
	g := start(t, config, []plugin.Plugin{testPlugin("file-log", log)}, nil)
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-Websocket-Key: k\r\n\r\n")
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 101 || answer.Header.Get("Upgrade") != "websocket" || answer.Header.Get("Sec-Websocket-Accept") != "a" ||
		answer.Header.Get("Via") != "1.1 kong/3.8.1" {
		t.Errorf("answered %d %v", answer.StatusCode, answer.Header)
	}
	// Bytes that a head could never begin with.
	if _, err := conn.Write([]byte{0, '\n', 0xff, '!'}); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(reader)
	if want := "first got \x00\n\xff!"; string(rest) != want || err != nil {
		t.Errorf("the tunnel carried %q, %v; want %q", rest, err, want)
	}
	head := <-heads
	for name, want := range map[string]string{"Connection": "keep-alive, Upgrade", "Upgrade": "websocket", "Sec-Websocket-Key": "k"} {
		if got := head.Get(name); got != want {
			t.Errorf("the upstream saw %s: %q, want %q", name, got, want)
		}
	}
	if line, want := log.next(t), "101 upstream tries=101 aborted=false"; line != want {
		t.Errorf("logged %q, want %q", line, want)
	}
}

// Only websocket may be asked for, and an upstream that declines is answered from
// as usual.
func TestUpgradeDeclined(t *testing.T) {
	up := echo(t)
	g := start(t, one(t, up.URL), nil, nil)
	answer, body := g.do("GET", "/", http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"h2c"}, "Http2-Settings": {"x"}}, nil)
	if answer.StatusCode != 200 || strings.Contains(body, "Upgrade") || strings.Contains(body, "Http2") {
		t.Errorf("answered %d, the upstream saw\n%s", answer.StatusCode, body)
	}
	answer, body = g.do("GET", "/", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, nil)
	if answer.StatusCode != 200 || !strings.Contains(body, "Upgrade: websocket\r\n") {
		t.Errorf("answered %d, the upstream saw\n%s", answer.StatusCode, body)
	}
}

// A tunnel does not outlive the node's patience.
func TestDrainTunnel(t *testing.T) {
	up := scripted(t, func(c net.Conn, _ *http.Request) {
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(io.Discard, c)
	})
	g := start(t, one(t, up), nil, nil)
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	reader := bufio.NewReader(conn)
	if answer, err := http.ReadResponse(reader, nil); err != nil || answer.StatusCode != 101 {
		t.Fatal(answer, err)
	}
	if n := g.proxy.Drain(t.Context(), 0, 0); n != 1 {
		t.Errorf("%d were cut, want 1", n)
	}
	if _, err := io.ReadAll(reader); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}

// Whom the gateway believes about the hops before it.
func TestTrusted(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{
			"X-Real-Ip", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Path", "X-Forwarded-Prefix",
		} {
			fmt.Fprintf(w, "%s\n", r.Header.Get(name))
		}
	}))
	defer up.Close()
	sent := http.Header{
		"X-Real-Ip": {"9.9.9.9"}, "X-Forwarded-For": {"1.1.1.1, 10.0.0.2", "10.0.0.1"}, "X-Forwarded-Proto": {"https"},
		"X-Forwarded-Host": {"Example.org"}, "X-Forwarded-Port": {"8443"}, "X-Forwarded-Path": {"/p"}, "X-Forwarded-Prefix": {"/q"},
		"X_Forwarded_Proto": {"https"}, "X_Real_Ip": {"8.8.8.8"},
	}
	const list = "1.1.1.1, 10.0.0.2, 10.0.0.1, 127.0.0.1"
	all := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, tt := range []struct {
		name   string
		change func(*proxy.Options)
		want   []string
	}{
		{"nobody", func(*proxy.Options) {}, []string{"127.0.0.1", list, "http", "127.0.0.1", "<port>", "/a/b", "/a"}},
		{"X-Real-IP", func(o *proxy.Options) { o.Trusted = all }, []string{"9.9.9.9", list, "https", "Example.org", "8443", "/p", "/q"}},
		{"last of X-Forwarded-For", func(o *proxy.Options) { o.Trusted, o.RealIPHeader = all, "X-Forwarded-For" }, []string{"10.0.0.1", list, "https", "Example.org", "8443", "/p", "/q"}},
		{"past the trusted ones", func(o *proxy.Options) { o.Trusted, o.RealIPHeader, o.RealIPRecursive = all, "X-Forwarded-For", true }, []string{"1.1.1.1", list, "https", "Example.org", "8443", "/p", "/q"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := one(t, up.URL)
			config.Routes[0].Paths = []string{"/a"}
			g := start(t, config, nil, tt.change)
			_, body := g.do("GET", "/a/b?c", sent, nil)
			_, port, err := net.SplitHostPort(g.addr)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(strings.Join(tt.want, "\n")+"\n", "<port>", port)
			if diff := cmp.Diff(want, body); diff != "" {
				t.Errorf("the upstream saw (-want +got):\n%s", diff)
			}
		})
	}
}

// Which headers of its own the gateway adds is a setting, and debug headers are
// for clients that ask.
func TestHeadersOff(t *testing.T) {
	up := echo(t)
	none, err := proxy.ParseHeaders([]string{"off"})
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, one(t, up.URL), nil, func(o *proxy.Options) { o.Headers, o.NoUpstreamID = none, true })
	answer, body := g.do("GET", "/", nil, nil)
	for name := range answer.Header {
		if name == "Via" || name == "Server" || strings.HasPrefix(name, "X-Kong-") {
			t.Errorf("%s is there", name)
		}
	}
	if strings.Contains(body, "X-Kong-Request-Id") {
		t.Errorf("the upstream saw\n%s", body)
	}
	if _, err := proxy.ParseHeaders([]string{"x-kong-nonsense"}); err == nil || err.Error() != "headers: invalid entry 'x-kong-nonsense'" {
		t.Errorf("%v", err)
	}
	status, err := proxy.ParseHeaders([]string{"X-Kong-Upstream-Status"})
	if err != nil {
		t.Fatal(err)
	}
	g = start(t, one(t, up.URL), nil, func(o *proxy.Options) { o.Headers, o.DebugHeader = status, true })
	answer, _ = g.do("GET", "/", http.Header{"Kong-Debug": {"1"}}, nil)
	for name, want := range map[string]string{
		"X-Kong-Upstream-Status": "200", "Via": "", "Kong-Route-Id": "r1", "Kong-Route-Name": "route-r1",
		"Kong-Service-Id": "s1", "Kong-Service-Name": "service-s1", "X-Gibbon-Config-Version": "1",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
