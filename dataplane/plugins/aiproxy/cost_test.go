package aiproxy_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
)

// costs of a call, by who speaks before whom. Allocations depend on no machine.
var costs = []struct {
	caller, provider string
	kind             string // of the stream
	// What every stream of the provider's begins with, and an event of it with text.
	begin, event string
	whole        string // an answer
	most         int    // allocations for one whole call and its answer
}{
	{caller: "openai", provider: "openai", kind: "text/event-stream", event: chunkText, whole: chatOK, most: 18},
	{caller: "anthropic", provider: "openai", kind: "text/event-stream", event: chunkText, whole: chatOK, most: 55},
	{
		caller: "openai", provider: "anthropic", kind: "text/event-stream",
		begin: sse(`message_start|{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"usage":{"input_tokens":11,"output_tokens":1}}}`,
			`content_block_start|{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`),
		event: sse(`content_block_delta|{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Two, \"of\" "}}`),
		whole: `{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[{"type":"text","text":"Two, of course."}],"stop_reason":"end_turn","usage":{"input_tokens":11,"output_tokens":4}}`,
		most:  60,
	},
	{
		caller: "openai", provider: "gemini", kind: "text/event-stream",
		event: sse(`{"candidates":[{"content":{"role":"model","parts":[{"text":"Two, \"of\" "}]},"index":0}],"usageMetadata":{"promptTokenCount":11},"modelVersion":"m-1","responseId":"r1"}`),
		whole: `{"candidates":[{"content":{"role":"model","parts":[{"text":"Two, of course."}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":4,"totalTokenCount":15},"modelVersion":"m-1"}`,
		most:  69,
	},
	{
		caller: "openai", provider: "bedrock", kind: "application/vnd.amazon.eventstream",
		begin: frame("messageStart", `{"role":"assistant"}`),
		event: frame("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Two, \"of\" "},"p":"abcdefgh"}`),
		whole: `{"output":{"message":{"role":"assistant","content":[{"text":"Two, of course."}]}},"stopReason":"end_turn","usage":{"inputTokens":11,"outputTokens":4,"totalTokens":15},"metrics":{"latencyMs":1}}`,
		most:  58,
	},
	{
		caller: "openai", provider: "ollama", kind: "application/x-ndjson",
		event: `{"model":"m-1","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"Two, \"of\" "},"done":false}` + "\n",
		whole: `{"model":"m-1","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"Two, of course."},"done":true,"done_reason":"stop","prompt_eval_count":11,"eval_count":4}`,
		most:  68,
	},
}

// between is a handler for callers of one format before a provider.
func between(t testing.TB, caller, provider string) *aiproxy.Handler {
	t.Helper()
	return build(t, before(t, caller, provider))
}

// before is a configuration for callers of one format before a provider.
func before(t testing.TB, caller, provider string) string {
	t.Helper()
	return with(t, config("llm/v1/chat", ""), `"provider":"openai"`, `"provider":"`+provider+`"`,
		`"llm_format":"openai"`, `"llm_format":"`+caller+`"`, `"options":{`, `"options":{`+needs[provider])
}

// frame is an event of an AWS event stream.
func frame(event, payload string) string {
	var headers []byte
	for _, header := range [][2]string{{":message-type", "event"}, {":event-type", event}, {":content-type", "application/json"}} {
		headers = append(append(headers, byte(len(header[0]))), header[0]...)
		headers = append(headers, 7) // a text
		headers = append(binary.BigEndian.AppendUint16(headers, uint16(len(header[1]))), header[1]...)
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(12+len(headers)+len(payload)+4))
	out = binary.BigEndian.AppendUint32(out, uint32(len(headers)))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
	out = append(append(out, headers...), payload...)
	return string(binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out)))
}

// needs are further options that a provider cannot do without.
var needs = map[string]string{
	"anthropic": `"anthropic_version":"2023-06-01",`, "bedrock": `"bedrock":{"aws_region":"eu-west-1"},`,
}

// TestCallAllocations holds the plugin to a number of allocations for a call that
// is not streamed. One of them, for the record of the call, the proxy's requests
// are spared, as they are used again.
func TestCallAllocations(t *testing.T) {
	for _, tt := range costs {
		t.Run(tt.caller+" to "+tt.provider, func(t *testing.T) {
			h := between(t, tt.caller, tt.provider)
			requests := make([]*plugin.Request, 0, 101)
			for range cap(requests) {
				r := plugintest.Request(t, http.MethodPost, "/", chatBody)
				r.Header["Content-Type"] = []string{"application/json"}
				requests = append(requests, r)
			}
			header, whole := http.Header{}, []byte(tt.whole)
			next := 0
			got := testing.AllocsPerRun(cap(requests)-1, func() {
				r := requests[next]
				next++
				if err := h.Access(r); err != nil {
					t.Fatal(err)
				}
				clear(header)
				r.Response = plugin.Response{Status: http.StatusOK, Header: header, FromUpstream: true}
				r.Response.SetBody(whole)
				if err := h.Header(r); err != nil {
					t.Fatal(err)
				}
				if r.Response.Status != http.StatusOK {
					body, _ := r.Response.Body()
					t.Fatalf("%d %s", r.Response.Status, body)
				}
				h.Log(r)
			})
			t.Logf("%v allocations", got)
			if int(got) > tt.most {
				t.Errorf("%v allocations for one call, want at most %d", got, tt.most)
			}
		})
	}
}

// flowing is a request whose streamed answer has begun, and an event of it.
func flowing(t testing.TB, h *aiproxy.Handler, kind, begin, event string) (r *plugin.Request, next []byte) {
	t.Helper()
	r = plugintest.Request(t, http.MethodPost, "/", streamRequest)
	if err := h.Access(r); err != nil {
		t.Fatal(err)
	}
	plugintest.Respond(r, http.StatusOK, http.Header{"Content-Type": {kind}}, "")
	if err := h.Header(r); err != nil {
		t.Fatal(err)
	}
	for _, first := range []string{begin, event, event} {
		out, err := h.Body(r, []byte(first), false)
		if err != nil || first == event && !strings.Contains(string(out), "Two, ") {
			t.Fatalf("%q becomes %q, %v", first, out, err)
		}
	}
	return r, []byte(event)
}

// TestStreamAllocations holds the plugin to no allocation at all for an event of a
// stream that is under way, also when the event comes in two pieces.
func TestStreamAllocations(t *testing.T) {
	for _, tt := range costs {
		t.Run(tt.caller+" to "+tt.provider, func(t *testing.T) {
			h := between(t, tt.caller, tt.provider)
			r, event := flowing(t, h, tt.kind, tt.begin, tt.event)
			pass := func(piece []byte) {
				if _, err := h.Body(r, piece, false); err != nil {
					t.Fatal(err)
				}
			}
			if got := testing.AllocsPerRun(1000, func() { pass(event) }); got > 0 {
				t.Errorf("%v allocations for one event, want none", got)
			}
			middle := len(event) / 2
			if got := testing.AllocsPerRun(1000, func() { pass(event[:middle]); pass(event[middle:]) }); got > 0 {
				t.Errorf("%v allocations for one event in two pieces, want none", got)
			}
		})
	}
}

func BenchmarkStreamEvent(b *testing.B) {
	for _, tt := range costs {
		b.Run(tt.caller+" to "+tt.provider, func(b *testing.B) {
			h := between(b, tt.caller, tt.provider)
			r, event := flowing(b, h, tt.kind, tt.begin, tt.event)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Body(r, event, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestImageIsCopiedTwiceAtMost checks that a large image takes the memory of two
// copies at most on its way: the body as it came, and the body that goes up. Its
// content is never decoded: what is sent has it as it stands.
func TestImageIsCopiedTwiceAtMost(t *testing.T) {
	const size = 10 << 20
	image := base64.StdEncoding.EncodeToString(make([]byte, size/4*3))
	body := `{"messages":[{"role":"user","content":[{"type":"text","text":"What is it?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` +
		image + `"}}]}],"max_tokens":100}`
	for _, tt := range costs {
		if tt.caller != "openai" {
			continue
		}
		t.Run(tt.caller+" to "+tt.provider, func(t *testing.T) {
			h := build(t, with(t, before(t, tt.caller, tt.provider), `"max_request_body_size":1048576`, `"max_request_body_size":`+fmt.Sprint(2*size)))
			r := plugintest.Request(t, http.MethodPost, "/", body)
			var before, after goruntime.MemStats
			goruntime.ReadMemStats(&before)
			if err := h.Access(r); err != nil {
				t.Fatal(err)
			}
			goruntime.ReadMemStats(&after)
			sent, err := r.Body(0)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(sent), image) {
				t.Errorf("%d bytes are sent, without the image as it came", len(sent))
			}
			took := float64(after.TotalAlloc-before.TotalAlloc) / size
			t.Logf("memory of %.2f copies", took)
			if took > 2.1 {
				t.Errorf("memory of %.2f copies for an image of %d bytes, want at most 2", took, size)
			}
		})
	}
}
