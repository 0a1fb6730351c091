package settings

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/internal/listener"
)

func TestParseListeners(t *testing.T) {
	for _, tt := range []struct {
		text    string
		stream  bool
		entries []listener.Addr
		shown   []string
	}{
		{"off", false, nil, []string{"off"}},
		{"127.0.0.1:8000  ssl,localhost:0", false, []listener.Addr{{Host: "127.0.0.1", Port: 8000, SSL: true}, {Host: "localhost"}},
			[]string{"127.0.0.1:8000 ssl", "localhost:0"}},
		{"1.2.3.4:53 udp", true, []listener.Addr{{Host: "1.2.3.4", Port: 53}}, []string{"1.2.3.4:53 udp"}},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := parseListeners("k", tt.text, tt.stream)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.entries, got.Entries); d != "" {
				t.Errorf("entries (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.shown, got.shown()); d != "" {
				t.Errorf("shown (-want +got):\n%s", d)
			}
		})
	}
	const want = "k must be of form: [off] | <ip>:<port> [flags], [... next entry ...]"
	for _, tt := range []struct {
		text   string
		stream bool
	}{{"", false}, {",", false}, {"8000", false}, {"1.2.3.4:80,", false}, {"off, 1.2.3.4:80", false}, {"1.2.3.4:80, off", false},
		{"1.2.3.4:80 udp", false}, {"unix:/tmp/x", false}, {"1.2.3.4:53 http2", true}, {"1.2.3.4:53 deferred", true}, {"udp", true}} {
		if got, err := parseListeners("k", tt.text, tt.stream); err == nil || err.Error() != want {
			t.Errorf("parseListeners(%q) = %v, %v, want the error %q", tt.text, got, err, want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for text, want := range map[string]bool{"off": true, "127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		"0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "gw:1": false, "127.0.0.1:1, 10.0.0.1:1": false} {
		l, err := parseListeners("k", text, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Loopback(); got != want {
			t.Errorf("%s: Loopback() = %v, want %v", text, got, want)
		}
	}
}

func TestListenerShown(t *testing.T) {
	l, err := parseListeners("k", "[::]:8443 http2 backlog=5 so_keepalive=on ssl reuseport, 1.2.3.4:1 so_keepalive=30m::9 ipv6only=off", false)
	if err != nil {
		t.Fatal(err)
	}
	want := []any{map[string]any{
		"ip": "[::]", "port": 8443, "listener": "[::]:8443 ssl reuseport backlog=5 so_keepalive=on",
		"ssl": true, "http2": true, "proxy_protocol": false, "deferred": false, "bind": false, "reuseport": true, "backlog=5": true,
		"ipv6only=on": false, "ipv6only=off": false, "so_keepalive=on": true, "so_keepalive=off": false, "so_keepalive=%w*:%w*:%d*": false,
	}, map[string]any{
		"ip": "1.2.3.4", "port": 1, "listener": "1.2.3.4:1 ipv6only=off so_keepalive=30m::9",
		"ssl": false, "http2": false, "proxy_protocol": false, "deferred": false, "bind": false, "reuseport": false, "backlog=%d+": false,
		"ipv6only=on": false, "ipv6only=off": true, "so_keepalive=on": false, "so_keepalive=off": false, "so_keepalive=30m::9": true,
	}}
	if d := cmp.Diff(want, l.public(false)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	s, err := parseListeners("k", "1.2.3.4:53 udp", true)
	if err != nil {
		t.Fatal(err)
	}
	shown := s.public(true)[0].(map[string]any)
	if _, http2 := shown["http2"]; http2 || shown["udp"] != true || shown["backlog=%d+"] != false || shown["listener"] != "1.2.3.4:53" {
		t.Errorf("stream listener shows as %v", shown)
	}
}
