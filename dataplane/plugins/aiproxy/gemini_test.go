package aiproxy_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

var madeUp = regexp.MustCompile(`"created":[0-9]+`)

// TestGeminiGolden shows what callers see before Gemini of what no other provider
// has, and of the calls that are no chats. TestProviders has the rest.
func TestGeminiGolden(t *testing.T) {
	setup := func(format, route string) string {
		return `{"route_type":"` + route + `","auth":{"param_location":"query","param_name":"key","param_value":"TOP-SECRET"},` +
			`"model":{"provider":"gemini","name":"gemini-2.5-flash","options":{"max_tokens":512,"input_cost":10,"output_cost":10,"upstream_url":"%s/v1beta/x"}},` +
			`"logging":{"log_statistics":true,"log_payloads":false},"response_streaming":"allow","max_request_body_size":1048576,"model_name_header":true,"llm_format":"` + format + `"}`
	}
	chat := setup("openai", "llm/v1/chat")
	claude := setup("anthropic", "llm/v1/chat")
	const (
		ask     = `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"1 + 1 = ?"}],"temperature":0.1}`
		image   = `{"messages":[{"role":"user","content":[{"type":"text","text":"What is it?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}},{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="}}]}]}`
		claudes = `{"model":"gemini-2.5-flash","max_tokens":64,"system":"Be brief.","thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"Stock?"}],"tools":[{"name":"stock","input_schema":{"type":"object","properties":{"sku":{"type":"string"}}}}]}`
		again   = `{"model":"gemini-2.5-flash","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Stock?"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"gemini:S1"},{"type":"tool_use","id":"call_r1_0","name":"stock","input":{"sku":"lamp"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_r1_0","content":"3","is_error":false},{"type":"text","text":"So?"}]}]}`

		answered = `{"candidates":[{"content":{"parts":[{"text":"Two, "},{"text":"of course."}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":4,"thoughtsTokenCount":6,"cachedContentTokenCount":5,"totalTokenCount":21},"modelVersion":"gemini-2.5-flash-001","responseId":"r1"}`
		calls    = `{"candidates":[{"content":{"parts":[{"text":"Look.","thought":true},{"functionCall":{"name":"stock","args":{"sku":"lamp","n":12345678901234567890}},"thoughtSignature":"S1"},{"functionCall":{"name":"stock","args":{"sku":"desk"}}}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":4,"totalTokenCount":15},"responseId":"r1"}`
		blocked  = `{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":11}}`
	)
	events := func(datas ...string) reply {
		return reply{kind: "text/event-stream", chunks: pieces(sse(datas...), 5)}
	}
	streamedCalls := events(`{"candidates":[{"content":{"parts":[{"text":"Look.","thought":true}]}}],"responseId":"r1"}`,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"stock","args":{"sku":"lamp"}},"thoughtSignature":"S1"},{"functionCall":{"name":"stock","args":{"sku":"desk"}}}]}}]}`,
		`{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":4}}`)
	whole := func(body string) reply { return reply{chunks: pieces(body, 3)} }
	for _, tt := range []struct {
		name, config, target, request string
		reply                         reply
	}{
		{"chat-media", chat, "", image, whole(answered)},
		{"chat-safety", chat, "", ask, whole(`{"candidates":[{"finishReason":"SAFETY"}],"usageMetadata":{"promptTokenCount":11,"totalTokenCount":11}}`)},
		{"chat-blocked", chat, "", ask, whole(blocked)},
		{"completion", setup("openai", "llm/v1/completions"), "", `{"prompt":"1 + 1 ="}`, whole(answered)},
		{"embeddings", setup("openai", "llm/v1/embeddings"), "", `{"input":["a","b"]}`, whole(`{"embeddings":[{"values":[0.25,1]},{"values":[-2e-3,0]}],"usageMetadata":{"promptTokenCount":4}}`)},
		{"images", setup("openai", "image/v1/images/generations"), "", `{"prompt":"a lamp","size":"1024x1024"}`, whole(`{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]}}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1290}}`)},
		{"claude-tools", claude, "/v1/messages", claudes, whole(calls)},
		{"claude-stream-tools", claude, "/v1/messages", again, streamedCalls},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := provide(t, tt.reply, false)
			g := serve(t, strings.ReplaceAll(tt.config, "%s", v.url))
			target := tt.target
			if target == "" {
				target = "/"
			}
			got := g.post(t, target, tt.request)
			line := g.logged(t)
			s := <-v.seen
			var out strings.Builder
			fmt.Fprintf(&out, "== the provider received\n%s\n%s\n\n== the caller received\n%d %s\n%s", s.head, s.body, got.status, got.header.Get("Content-Type"), got.body)
			if got.broken {
				out.WriteString("\n-- broken off --")
			}
			fmt.Fprintf(&out, "\n\n== the log holds\n%s\n", times.ReplaceAllString(block(t, line), `$1:0`))
			text := strings.ReplaceAll(out.String(), "TOP-SECRET", "KEY")
			golden(t, "gemini-"+tt.name+".txt", madeUpIDs.ReplaceAllString(madeUp.ReplaceAllString(text, `"created":0`), `"id":"$1-ID"`))
			if own := g.log.String(); strings.Contains(own+line, "SECRET") {
				t.Errorf("a key was logged:\n%s\n%s", own, line)
			}
		})
	}
}

// madeUpIDs are the ids of answers that the gateway gives where the provider gives
// none.
var madeUpIDs = regexp.MustCompile(`"id":"(chatcmpl|cmpl|msg)[-_][0-9A-Za-z]{12,}"`)

// TestGeminiRefusals shows that callers are told why a call cannot be converted.
func TestGeminiRefusals(t *testing.T) {
	g := serve(t, `{"route_type":"llm/v1/chat","model":{"provider":"gemini","name":"m"},"logging":{"log_statistics":true},"response_streaming":"allow","max_request_body_size":1048576,"llm_format":"openai"}`)
	got := g.post(t, "/", `{"messages":[{"role":"user","content":[{"type":"text"}]}]}`)
	const want = `{"error":{"message":"error transforming to gemini://llm/v1/chat: message part type is 'text' but is missing .text block"}}`
	if got.status != http.StatusBadRequest || got.body != want {
		t.Errorf("%d %s, want %s", got.status, got.body, want)
	}
}
