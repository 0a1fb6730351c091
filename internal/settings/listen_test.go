package settings

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseListeners(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Listeners
	}{
		{"off", nil},
		{"0.0.0.0:8000", Listeners{{Host: "0.0.0.0", Port: 8000}}},
		{"0.0.0.0:8000 reuseport backlog=16384, [::1]:8443 http2 ssl", Listeners{
			{Host: "0.0.0.0", Port: 8000, ReusePort: true}, {Host: "::1", Port: 8443, TLS: true, HTTP2: true}}},
		{"localhost:0 proxy_protocol bind deferred ipv6only=on so_keepalive=30m::10", Listeners{{Host: "localhost", ProxyProtocol: true}}},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := parseListeners("k", tt.text, false)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(Listener{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	for _, text := range []string{"", ",", "8000", "0.0.0.0", ":8000", "::1:8000", "[1.2.3.4]:80", "[x]:80", "1.2.3.4:65536", "1.2.3.4:-1",
		"1.2.3.4:80 shiny", "1.2.3.4:80 udp", "1.2.3.4:80 backlog=x", "unix:/tmp/x", "1.2.3.4:80,", "off, 1.2.3.4:80", "a b:80", "-x:80"} {
		if got, err := parseListeners("k", text, false); err == nil {
			t.Errorf("parseListeners(%q) = %v, want an error", text, got)
		}
	}
	if got, err := parseListeners("k", "1.2.3.4:53 udp", true); err != nil || !got[0].UDP {
		t.Errorf("stream listener: got %v, %v", got, err)
	}
	if _, err := parseListeners("k", "1.2.3.4:53 http2", true); err == nil {
		t.Error("http2 on a stream listener was taken")
	}
}

func TestLoopback(t *testing.T) {
	for text, want := range map[string]bool{"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "gw:1": false} {
		l, err := parseListeners("k", text, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := l[0].Loopback(); got != want {
			t.Errorf("%s: Loopback() = %v, want %v", text, got, want)
		}
	}
}

func TestListenerShown(t *testing.T) {
	l, err := parseListeners("k", "[::]:8443 http2 backlog=5 so_keepalive=on ssl reuseport", false)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"ip": "[::]", "port": 8443, "listener": "[::]:8443 ssl reuseport backlog=5 so_keepalive=on",
		"ssl": true, "http2": true, "proxy_protocol": false, "deferred": false, "bind": false, "reuseport": true, "backlog=5": true,
		"ipv6only=on": false, "ipv6only=off": false, "so_keepalive=on": true, "so_keepalive=off": false, "so_keepalive=%w*:%w*:%d*": false,
	}
	if d := cmp.Diff(want, l[0].public(false)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	s, err := parseListeners("k", "1.2.3.4:53 udp", true)
	if err != nil {
		t.Fatal(err)
	}
	shown := s[0].public(true)
	if _, http2 := shown["http2"]; http2 || shown["udp"] != true || shown["backlog=%d+"] != false {
		t.Errorf("stream listener shows as %v", shown)
	}
}
