package dataplane_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

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

// TestLimitsOfPlugins sends calls of ai-proxy that are within and beyond what a
// node may hold and read.
func TestLimitsOfPlugins(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := strings.Repeat("x", 1200)
		switch {
		case r.Header.Get("X-Answer") == "stream":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"choices":[{"delta":{"content":"`+text+`"}}]}`+"\n\ndata: [DONE]\n\n")
		case r.Header.Get("X-Answer") == "long":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"`+text+`"}}]}`)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"choices":[]}`)
		}
	}))
	defer up.Close()
	config, err := json.Marshal(map[string]any{"route_type": "llm/v1/chat", "model": map[string]any{
		"provider": "openai", "name": "m", "options": map[string]any{"upstream_url": up.URL + "/"}}})
	if err != nil {
		t.Fatal(err)
	}
	snap := snapshot(t, up.URL, filepath.Join(t.TempDir(), "log"))
	plugin, err := proto.Marshal(&entitypb.Plugin{Id: "p2", Name: "ai-proxy", Enabled: true, Protocols: []string{"http"}, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range snap.Groups {
		if g.Kind == "plugins" {
			g.Entities = append(g.Entities, plugin)
		}
	}
	small := map[string]string{
		"buffered_body_max": "1k", "buffered_response_max": "1k", "stream_event_max": "1k", "json_depth_max": "4", "json_values_max": "10",
	}
	for _, tt := range []struct {
		name, body, answer string
		usual, small       int
	}{
		{"short", `{"messages":[{"role":"user","content":"a"}]}`, "", 200, 200},
		{"long body", `{"messages":[{"role":"user","content":"` + strings.Repeat("x", 1200) + `"}]}`, "", 200, 400}, // so says Kong
		{"long answer", `{"messages":[{"role":"user","content":"a"}]}`, "long", 200, 502},
		{"deep", `{"messages":[{"role":"user","content":"a"}],"tools":[[[[[]]]]]}`, "", 200, 400},
		{"many values", `{"messages":[{"role":"user","content":"a"}],"tools":[0,0,0,0,0,0,0,0,0,0]}`, "", 200, 400},
		{"long event", `{"stream":true,"messages":[{"role":"user","content":"a"}]}`, "stream", 200, 0},
	} {
		for _, flags := range []map[string]string{nil, small} {
			n := start(t, flags)
			if err := n.Apply(t.Context(), follow.Incoming{Version: 1, Snapshot: snap}); err != nil {
				t.Fatal(err)
			}
			want := tt.usual
			if flags != nil {
				want = tt.small
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.Addresses()[0]+"/", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Answer", tt.answer)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			got := res.StatusCode
			if err != nil || strings.Contains(string(body), "broke off") {
				got = 0 // a stream that had begun
			}
			if got != want {
				t.Errorf("%s with %v: got %d %.200s, %v, want %d", tt.name, flags, got, body, err, want)
			}
			n.stop()
			http.DefaultClient.CloseIdleConnections()
			if err := <-n.done; err != nil {
				t.Error(err)
			}
		}
	}
}
