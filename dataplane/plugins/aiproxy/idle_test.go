package aiproxy_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
)

// open sends a streamed call through the gateway and gives the reader of what
// comes back.
func (g *gateway) open(t testing.TB, body string) (*http.Response, *bufio.Reader) {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.addr, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	out, err := g.client.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Body.Close() })
	return out, bufio.NewReader(out.Body)
}

// TestKeepAlive checks that a caller hears from the gateway while its model is
// silent, before and behind the first event, and that the answer is whole all the
// same.
func TestKeepAlive(t *testing.T) {
	v := provide(t, reply{kind: "text/event-stream", chunks: []string{"", chunkText, chunkEnd + endMark}}, true)
	g := serveOn(t, node{limits: plugin.Limits{Streams: plugin.StreamTimes{KeepAlive: time.Millisecond}}}, strings.ReplaceAll(config("llm/v1/chat", ""), "%s", v.url))
	_, reader := g.open(t, streamRequest)
	comment := func() {
		t.Helper()
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, ":") {
				return
			}
		}
	}
	for range 2 {
		comment()
		comment()
		v.hold <- struct{}{}
	}
	v.hold <- struct{}{}
	rest, err := io.ReadAll(reader)
	if err != nil || !strings.HasSuffix(string(rest), endMark) {
		t.Errorf("rest %q, %v", rest, err)
	}
}

// TestSilence checks that a model that does not begin, or falls silent, is given
// up: the caller gets a failure's event, the provider sees the gateway leave.
func TestSilence(t *testing.T) {
	for name, tt := range map[string]struct {
		times  plugin.StreamTimes
		chunks []string
	}{
		"no first token":     {plugin.StreamTimes{FirstToken: 200 * time.Millisecond}, []string{chunkOpen, chunkText}},
		"silent":             {plugin.StreamTimes{Idle: 5 * time.Millisecond}, []string{chunkText, chunkEnd}},
		"comments are none":  {plugin.StreamTimes{Idle: 5 * time.Millisecond}, []string{chunkText + ": ping\n\n", chunkEnd}},
		"silent, kept alive": {plugin.StreamTimes{Idle: 20 * time.Millisecond, KeepAlive: time.Millisecond}, []string{chunkText, chunkEnd}},
	} {
		t.Run(name, func(t *testing.T) {
			v := provide(t, reply{kind: "text/event-stream", chunks: tt.chunks}, true)
			g := serveOn(t, node{limits: plugin.Limits{Streams: tt.times}}, strings.ReplaceAll(config("llm/v1/chat", ""), "%s", v.url))
			_, reader := g.open(t, streamRequest)
			got, err := io.ReadAll(reader)
			if err == nil || !strings.Contains(string(got), `data: {"error":{"message":"the answer broke off`) || strings.Contains(string(got), "[DONE]") {
				t.Errorf("%v, %s", err, got)
			}
			line := g.logged(t)
			if !strings.Contains(g.log.String(), "in time") && !strings.Contains(g.log.String(), "fell silent") {
				t.Errorf("the node's log does not say why: %s", g.log)
			}
			if !strings.Contains(line, `"completion_tokens"`) {
				t.Errorf("log %s", line)
			}
			close(v.hold)
			<-v.seen
		})
	}
}

// TestNoHead checks that the wait for an answer's head is bounded too.
func TestNoHead(t *testing.T) {
	up := silent(t)
	g := serveOn(t, node{limits: plugin.Limits{Streams: plugin.StreamTimes{FirstToken: 5 * time.Millisecond}}}, strings.ReplaceAll(config("llm/v1/chat", ""), "%s", up))
	if got := g.post(t, "/", streamRequest); got.status != http.StatusGatewayTimeout {
		t.Errorf("status %d, body %s", got.status, got.body)
	}
}

// TestIdle checks what the filter says at given moments.
func TestIdle(t *testing.T) {
	cfg := new(pluginpb.AiProxy)
	if err := protojson.Unmarshal([]byte(strings.ReplaceAll(config("llm/v1/chat", ""), "%s", "http://127.0.0.1:1")), cfg); err != nil {
		t.Fatal(err)
	}
	start := func(times plugin.StreamTimes) (*aiproxy.Handler, *plugin.Request, time.Time) {
		env := plugintest.Env(t, "ai-proxy", nil)
		env.Limits.Streams = times
		h, err := aiproxy.New(cfg, env)
		if err != nil {
			t.Fatal(err)
		}
		r := plugintest.Request(t, http.MethodPost, "/", streamRequest)
		if err := h.Access(r); err != nil {
			t.Fatal(err)
		}
		r.Record.Dialled = time.Now()
		plugintest.Respond(r, http.StatusOK, http.Header{"Content-Type": {"text/event-stream"}}, "")
		if err := h.Header(r); err != nil {
			t.Fatal(err)
		}
		return h, r, time.Now()
	}
	const s = time.Second
	type step struct {
		feed  string
		after time.Duration // since the start
		words string
		again time.Duration // to the second
		fails bool
	}
	const comment = ": keep-alive\n\n"
	for _, tt := range []struct {
		name  string
		times plugin.StreamTimes
		steps []step
	}{
		{"nothing is bounded", plugin.StreamTimes{}, []step{{after: 3600 * s}}},
		{"comments", plugin.StreamTimes{KeepAlive: 15 * s}, []step{
			{after: 0, again: 15 * s}, {after: 14 * s, again: s}, {after: 16 * s, words: comment, again: 15 * s}, {after: 17 * s, again: 14 * s},
		}},
		{"the first token", plugin.StreamTimes{FirstToken: 20 * s, KeepAlive: 15 * s}, []step{
			{after: 0, again: 15 * s}, {after: 16 * s, words: comment, again: 4 * s}, {feed: chunkOpen, after: 21 * s, fails: true},
		}},
		{"later ones", plugin.StreamTimes{FirstToken: 20 * s, Idle: 10 * s}, []step{
			{after: 0, again: 20 * s}, {feed: chunkText, after: 1 * s, again: 9 * s}, {after: 11 * s, fails: true},
		}},
		{"no bound on later ones", plugin.StreamTimes{FirstToken: 20 * s}, []step{{feed: chunkText, after: 3600 * s}}},
		{"over", plugin.StreamTimes{KeepAlive: s, Idle: s}, []step{{feed: chunkText + chunkEnd + endMark, after: 3600 * s}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, r, began := start(tt.times)
			for i, step := range tt.steps {
				if step.feed != "" {
					if _, err := h.Body(r, []byte(step.feed), false); err != nil {
						t.Fatal(err)
					}
				}
				words, again, err := h.Idle(r, began.Add(step.after))
				if up := (again + s/2) / s * s; string(words) != step.words || up != step.again || (err != nil) != step.fails {
					t.Errorf("step %d: %q, again in %v, error %v, want %q, %v, %v", i, words, again, err, step.words, step.again, step.fails)
				}
			}
		})
	}
}
