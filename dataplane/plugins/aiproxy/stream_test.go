package aiproxy_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
)

const streamRequest = `{"messages":[{"role":"user","content":"1 + 1 = ?"}],"stream":true}`

// stream passes a provider's stream through a handler, cut as given, and gives
// what a caller gets and what is logged.
func stream(t testing.TB, h *aiproxy.Handler, header http.Header, pieces ...string) (out, line string, err error) {
	t.Helper()
	r := plugintest.Request(t, http.MethodPost, "/", streamRequest)
	if err := h.Access(r); err != nil {
		t.Fatal(err)
	}
	plugintest.Respond(r, http.StatusOK, header, "")
	if err := h.Header(r); err != nil {
		t.Fatal(err)
	}
	out, err = plugintest.Stream(r, h, pieces...)
	h.Log(r)
	return out, string(r.Log.AppendJSON(nil)), err
}

// TestStreamAnySplit checks that how a stream is cut into pieces shows nowhere.
func TestStreamAnySplit(t *testing.T) {
	h := build(t, config("llm/v1/chat", ""))
	for name, text := range map[string]string{
		"complete":  chunkOpen + chunkText + chunkEnd + chunkUsage + endMark,
		"crlf":      strings.ReplaceAll(chunkText+chunkEnd+chunkUsage+endMark, "\n", "\r\n"),
		"truncated": chunkOpen + chunkText + chunkMore[:50],
		"malformed": "data: {\n\n" + chunkText,
		"too late":  chunkText + "data: {\n\n" + chunkEnd + endMark + chunkText,
	} {
		t.Run(name, func(t *testing.T) {
			kind := http.Header{"Content-Type": {"text/event-stream"}}
			want, wantLine, wantErr := stream(t, h, kind.Clone(), text)
			check := func(pieces ...string) {
				t.Helper()
				got, line, err := stream(t, h, kind.Clone(), pieces...)
				if got != want || (err == nil) != (wantErr == nil) {
					t.Fatalf("cut in %d:\n%s\nerror %v, want\n%s\nerror %v", len(pieces), got, err, want, wantErr)
				}
				if times.ReplaceAllString(line, "") != times.ReplaceAllString(wantLine, "") {
					t.Fatalf("cut in %d: log %s, want %s", len(pieces), line, wantLine)
				}
			}
			for i := range text {
				check(text[:i], text[i:])
			}
			check(strings.Split(text, "")...)
			for i := 0; i < len(text); i += 37 {
				for j := i; j < len(text); j += 41 {
					check(text[:i], text[i:j], text[j:])
				}
			}
			packed := pack(text)
			for i := 0; i <= len(packed); i += 5 {
				header := kind.Clone()
				header["Content-Encoding"] = []string{"gzip"}
				got, _, err := stream(t, h, header, packed[:i], packed[i:])
				if got != want || (err == nil) != (wantErr == nil) {
					t.Fatalf("packed, cut at %d:\n%s\nerror %v, want\n%s\nerror %v", i, got, err, want, wantErr)
				}
			}
		})
	}
}

// TestStreamLimits checks what a hostile provider can do to memory.
func TestStreamLimits(t *testing.T) {
	h := build(t, config("llm/v1/chat", ""))
	kind := http.Header{"Content-Type": {"text/event-stream"}}
	const broken = `"the answer broke off before it was complete"`
	out, _, err := stream(t, h, kind.Clone(), chunkText, "data: "+strings.Repeat("x", 1<<20), "x")
	if err == nil || !strings.Contains(out, broken) {
		t.Errorf("endless event: error %v, %d bytes", err, len(out))
	}
	header := kind.Clone()
	header["Content-Encoding"] = []string{"gzip"}
	out, _, err = stream(t, h, header.Clone(), pack(chunkText+strings.Repeat(": nothing\n", 1<<20)))
	if err == nil || !strings.Contains(out, broken) {
		t.Errorf("bomb: error %v, %d bytes", err, len(out))
	}
	out, _, err = stream(t, h, header.Clone(), "no gzip at all")
	if err == nil || !strings.Contains(out, broken) {
		t.Errorf("no gzip: error %v, %s", err, out)
	}
}

// TestWholeLimits does the same for answers that are held.
func TestWholeLimits(t *testing.T) {
	h := build(t, config("llm/v1/chat", ""))
	for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
		r := plugintest.Request(t, http.MethodPost, "/", strings.Replace(streamRequest, "true", "false", 1))
		if err := h.Access(r); err != nil {
			t.Fatal(err)
		}
		plugintest.Respond(r, status, http.Header{"Content-Encoding": {"gzip"}}, pack(`{"choices":[]}`+strings.Repeat(" ", 8<<20)))
		reject, ok := h.Header(r).(*plugin.Reject)
		if !ok || reject.Status != http.StatusBadGateway {
			t.Errorf("status %d: a bomb is answered with %v, want a 502", status, reject)
		}
	}
}

// TestFirstChunkAtOnce checks that a caller has the first event before the
// provider sends its second.
func TestFirstChunkAtOnce(t *testing.T) {
	for name, script := range map[string]reply{
		"plain":  {kind: "text/event-stream", chunks: []string{chunkText, chunkEnd + endMark}},
		"packed": {kind: "text/event-stream", header: "Content-Encoding: gzip\r\n", chunks: halves(pack(chunkText + chunkEnd + endMark))},
	} {
		t.Run(name, func(t *testing.T) {
			v := provide(t, script, true)
			g := serve(t, strings.ReplaceAll(config("llm/v1/chat", ""), "%s", v.url))
			in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.addr, strings.NewReader(streamRequest))
			if err != nil {
				t.Fatal(err)
			}
			out, err := g.client.Do(in)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Body.Close()
			reader := bufio.NewReader(out.Body)
			first, err := reader.ReadString('\n')
			if err != nil || !strings.Contains(first, "Two, of ") {
				t.Fatalf("first line %q, %v", first, err)
			}
			v.hold <- struct{}{} // only now is the second chunk sent
			v.hold <- struct{}{}
			rest, err := io.ReadAll(reader)
			if err != nil || !strings.HasSuffix(string(rest), endMark) {
				t.Errorf("rest %q, %v", rest, err)
			}
		})
	}
}

// halves cuts a packed text behind its first event, whose end the flush between
// events marks with an empty stored block.
func halves(packed string) []string {
	const flushed = "\x00\x00\xff\xff"
	i := strings.Index(packed, flushed) + len(flushed)
	return []string{packed[:i], packed[i:]}
}

// TestCallerLeaves checks that a caller who goes takes the call to the provider
// along, and that what was seen is logged.
func TestCallerLeaves(t *testing.T) {
	v := provide(t, reply{kind: "text/event-stream", chunks: []string{chunkText, chunkMore, chunkEnd}}, true)
	g := serve(t, strings.ReplaceAll(config("llm/v1/chat", ""), "%s", v.url))
	ctx, leave := context.WithCancel(t.Context())
	in, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.addr, strings.NewReader(streamRequest))
	if err != nil {
		t.Fatal(err)
	}
	out, err := g.client.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if _, err := bufio.NewReader(out.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	leave()
	s := <-v.seen
	// The log line comes only when the call to the provider has ended.
	line := g.logged(t)
	if !strings.Contains(line, `"completion_tokens":2`) || !strings.Contains(line, `"source":"estimated"`) {
		t.Errorf("log %s", line)
	}
	close(v.hold)
	select {
	case <-s.gone:
	case <-time.After(10 * time.Second):
		t.Error("the provider's connection is still open")
	}
}
