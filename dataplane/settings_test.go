package dataplane_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/follow"
)

// talk sends a request over a connection of its own, or the one given, and
// returns the answer with its body read.
func talk(t *testing.T, c net.Conn, head string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, head); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

const plainGet = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

// TestLimitsOfListeners looks at settings that the listeners enforce.
func TestLimitsOfListeners(t *testing.T) {
	n := start(t, map[string]string{
		"request_head_lines": "3", "request_head_timeout": "0.1s", "nginx_http_keepalive_requests": "2",
	})
	for name, url := range map[string]string{"proxy": n.Addresses()[0], "status": n.StatusAddresses()[0]} {
		res, _ := talk(t, dial(t, url), "GET / HTTP/1.1\r\nHost: a.example\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n")
		if want := map[string]int{"proxy": 400, "status": 431}[name]; res.StatusCode != want {
			t.Errorf("%s: four lines got %d, want %d", name, res.StatusCode, want)
		}
		slow := dial(t, url)
		if _, err := io.WriteString(slow, "GET / HT"); err != nil {
			t.Fatal(err)
		}
		// Without the limit this would last ten seconds and then fail too, but the
		// listener's own tests measure that.
		if _, err := io.ReadAll(slow); err != nil {
			t.Errorf("%s: an unfinished head ended with %v", name, err)
		}
	}
	c := dial(t, n.Addresses()[0])
	for i := range 2 {
		if res, _ := talk(t, c, plainGet); res.Close != (i == 1) {
			t.Errorf("answer %d closes the connection: %v", i+1, res.Close)
		}
	}
	n.stop()
	if err := <-n.done; err != nil {
		t.Error(err)
	}
}

// TestLimitsOfUpstreams looks at settings about connections to upstreams.
func TestLimitsOfUpstreams(t *testing.T) {
	peers := make(chan string, 8)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peers <- r.RemoteAddr
		if r.URL.Path == "/long" {
			w.Header().Set("X-Long", strings.Repeat("x", 3000))
		}
	}))
	defer up.Close()
	n := start(t, map[string]string{"upstream_keepalive_max_requests": "2", "upstream_head_size": "2k", "upstream_keepalive_idle_timeout": "0"})
	in := follow.Incoming{Version: 1, Snapshot: snapshot(t, up.URL, filepath.Join(t.TempDir(), "log"))}
	if err := n.Apply(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	var used []string
	for range 4 {
		if code, _ := n.get(n.Addresses()[0] + "/"); code != 200 {
			t.Fatalf("got %d", code)
		}
		used = append(used, <-peers)
	}
	if used[0] != used[1] || used[1] == used[2] || used[2] != used[3] {
		t.Errorf("requests went over connections %v, want two over each", used)
	}
	if code, _ := n.get(n.Addresses()[0] + "/long"); code != 502 {
		t.Errorf("a head beyond the limit got %d, want 502", code)
	}
	n.stop()
	http.DefaultClient.CloseIdleConnections()
	if err := <-n.done; err != nil {
		t.Error(err)
	}
}
