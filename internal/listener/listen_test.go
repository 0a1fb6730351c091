package listener

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListen(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  []Addr
	}{
		{"off", nil},
		{" off ", nil},
		{"0.0.0.0:8000", []Addr{{Host: "0.0.0.0", Port: 8000}}},
		{"127.0.0.1:0", []Addr{{Host: "127.0.0.1"}}},
		{"0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384", []Addr{
			{Host: "0.0.0.0", Port: 8000, ReusePort: true, Backlog: 16384},
			{Host: "0.0.0.0", Port: 8443, SSL: true, HTTP2: true, ReusePort: true, Backlog: 16384},
		}},
		{"[::]:8000 ipv6only=off,[0:0::1]:8443  ssl", []Addr{
			{Host: "::", Port: 8000, IPv6Only: "off"},
			{Host: "::1", Port: 8443, SSL: true},
		}},
		{"gateway.internal_1:80 proxy_protocol deferred bind so_keepalive=30m::10", []Addr{
			{Host: "gateway.internal_1", Port: 80, ProxyProtocol: true, Deferred: true, Bind: true, Keepalive: "30m::10"},
		}},
		{"localhost:1 so_keepalive=on", []Addr{{Host: "localhost", Port: 1, Keepalive: "on"}}},
		{"localhost:1 so_keepalive=off ipv6only=on", []Addr{{Host: "localhost", Port: 1, Keepalive: "off", IPv6Only: "on"}}},
	} {
		got, err := Listen("proxy_listen", tt.value)
		if err != nil {
			t.Errorf("Listen(%q): %v", tt.value, err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("Listen(%q), -want +got:\n%s", tt.value, d)
		}
	}
}

func TestListenRefuses(t *testing.T) {
	const want = "admin_listen must be of form: [off] | <ip>:<port> [flags], [... next entry ...]"
	for _, value := range []string{
		"", ",", "8000", "0.0.0.0", "0.0.0.0:", ":8000", "0.0.0.0:65536", "0.0.0.0:-1", "0.0.0.0:+1", "0.0.0.0:80x",
		"0.0.0.0:00000000080", "10.0.0.300:80", "1.2.3:80", "::1:80", "[::1:80", "[1.2.3.4]:80", "[fe80::1%a b]:80", "unix:/tmp/x.sock",
		"a/b:80", "off, 0.0.0.0:80", "0.0.0.0:80, off", "0.0.0.0:80,", "0.0.0.0:80 quic", "0.0.0.0:80 SSL", "ssl 0.0.0.0:80", "0.0.0.0:80 udp",
		"0.0.0.0:80 ssl=on", "0.0.0.0:80 backlog", "0.0.0.0:80 backlog=", "0.0.0.0:80 backlog=x", "0.0.0.0:80 backlog=0",
		"0.0.0.0:80 ipv6only=yes", "0.0.0.0:80 so_keepalive=1:2", "0.0.0.0:80 so_keepalive=x::", "0.0.0.0:80 so_keepalive=::0", "0.0.0.0:80 so_keepalive=10h::",
	} {
		got, err := Listen("admin_listen", value)
		if err == nil || err.Error() != want {
			t.Errorf("Listen(%q) = %v, %v", value, got, err)
		}
	}
}

func TestAddrText(t *testing.T) {
	for in, want := range map[string]string{
		"0.0.0.0:8443 http2 ssl reuseport backlog=16384":                                            "0.0.0.0:8443 ssl reuseport backlog=16384",
		"[::]:80 so_keepalive=off ipv6only=on backlog=1 reuseport bind deferred proxy_protocol ssl": "[::]:80 ssl proxy_protocol deferred bind reuseport backlog=1 ipv6only=on so_keepalive=off",
		"127.0.0.1:8007": "127.0.0.1:8007",
	} {
		got, err := Listen("k", in)
		if err != nil || got[0].String() != want {
			t.Errorf("%q reads %v, %v, want %q", in, got, err, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"0.0.0.0:80":           "tcp4",
		"[::]:80":              "tcp6",
		"[::]:80 ipv6only=on":  "tcp6",
		"[::]:80 ipv6only=off": "tcp",
		"localhost:80":         "tcp",
	} {
		got, err := Listen("k", in)
		if err != nil || got[0].network() != want {
			t.Errorf("%q listens on %v, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzListen(f *testing.F) {
	for _, s := range []string{
		"off", "0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384",
		"[::1]:0 ipv6only=off so_keepalive=30m:1s:10", "a_b.c-d:65535 proxy_protocol deferred bind", "[::ffff:1.2.3.4]:1", "[fe80::1%eth0]:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		addrs, err := Listen("k", value)
		if err != nil {
			if addrs != nil {
				t.Errorf("%v beside an error", addrs)
			}
			return
		}
		if addrs == nil {
			if strings.TrimSpace(value) != "off" {
				t.Errorf("%q gives nothing", value)
			}
			return
		}
		var texts []string
		for _, a := range addrs {
			text := a.String()
			if a.HTTP2 {
				text += " http2"
			}
			texts = append(texts, text)
		}
		again, err := Listen("k", strings.Join(texts, ","))
		if err != nil {
			t.Fatalf("%q was written as %q: %v", value, texts, err)
		}
		if d := cmp.Diff(addrs, again); d != "" {
			t.Errorf("%q was written as %q: %s", value, texts, d)
		}
	})
}
