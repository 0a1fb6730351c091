package aiproxy_test

import (
	"strings"
	"testing"
)

// TestSmallFormats runs calls through the gateway to vendors with small formats
// of their own: what goes up, and what the caller gets.
func TestSmallFormats(t *testing.T) {
	const chat, stream = `{"messages":[{"role":"user","content":"Hi"}]}`, `{"messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}`
	const anthropicStream = `{"max_tokens":64,"messages":[{"role":"user","content":"Hi"}],"stream":true}`
	ollamaLines := `{"model":"m","created_at":"2026-03-04T05:06:07Z","message":{"role":"assistant","content":"Fo"},"done":false}` + "\n" +
		`{"model":"m","created_at":"2026-03-04T05:06:07Z","message":{"role":"assistant","content":"ur"},"done":false}` + "\n"
	ollamaEnd := `{"model":"m","created_at":"2026-03-04T05:06:07Z","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"prompt_eval_count":3,"eval_count":2}` + "\n"
	cohereLines := `{"is_finished":false,"event_type":"stream-start","generation_id":"g1"}` + "\n" + `{"is_finished":false,"event_type":"text-generation","text":"Four"}` + "\n" +
		`{"is_finished":true,"event_type":"stream-end","finish_reason":"MAX_TOKENS","response":{"meta":{"billed_units":{"input_tokens":3,"output_tokens":2}}}}` + "\n"
	for _, tt := range []struct {
		name, provider, options, format, path, body string
		script                                      reply
		upstream                                    string   // a part of what goes up
		status                                      int      // 200 when 0
		want                                        []string // parts of what the caller gets, in their order
		never                                       string
	}{
		{name: "ollama", provider: "ollama", path: "/api/chat", body: chat,
			script:   reply{chunks: []string{ollamaEnd}},
			upstream: `{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":false}`,
			want:     []string{`"object":"chat.completion"`, `"finish_reason":"stop"`, `"prompt_tokens":3,"completion_tokens":2,"total_tokens":5`}},
		{name: "ollama stream", provider: "ollama", path: "/api/chat", body: stream,
			script: reply{kind: "application/x-ndjson", chunks: pieces(ollamaLines+ollamaEnd, 7)},
			want:   []string{`"content":"Fo"`, `"content":"ur"`, `"finish_reason":"stop"`, `"completion_tokens":2`, "data: [DONE]\n\n"}},
		{name: "ollama stream to Anthropic's callers", provider: "ollama", format: "anthropic", path: "/api/chat", body: anthropicStream,
			script:   reply{kind: "application/x-ndjson", chunks: pieces(ollamaLines+ollamaEnd, 7)},
			upstream: `"num_predict":64`,
			want:     []string{"event: message_start", `"text":"Fo"`, `"text":"ur"`, `"stop_reason":"end_turn"`, `"output_tokens":2`, "event: message_stop"}},
		{name: "ollama stream that is cut", provider: "ollama", path: "/api/chat", body: stream,
			script: reply{kind: "application/x-ndjson", chunks: []string{ollamaLines}},
			want:   []string{`"content":"ur"`, `"error"`}, never: "[DONE]"},
		{name: "ollama stream with an error", provider: "ollama", path: "/api/chat", body: stream,
			script: reply{kind: "application/x-ndjson", chunks: []string{ollamaLines, `{"error":"out of memory"}` + "\n"}},
			want:   []string{`"content":"ur"`, `out of memory`}, never: "[DONE]"},
		{name: "ollama, no answer", provider: "ollama", path: "/api/chat", body: chat,
			script: reply{chunks: []string{`<html>`}}, status: 500,
			want: []string{`transformation failed from type ollama://llm/v1/chat: failed to decode ollama response`}},
		{name: "cohere", provider: "cohere", path: "/v1/chat", body: chat,
			script:   reply{chunks: []string{`{"text":"Four.","generation_id":"g1","meta":{"billed_units":{"input_tokens":3,"output_tokens":2}}}`}},
			upstream: `"message":"Hi"`,
			want:     []string{`"id":"g1"`, `"content":"Four."`, `"total_tokens":5`}},
		{name: "cohere, the second version", provider: "cohere", path: "/v2/chat", body: chat,
			script:   reply{chunks: []string{`{"id":"c1","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"Four."}]},"usage":{"billed_units":{"input_tokens":3,"output_tokens":2}}}`}},
			upstream: `"messages":[{"role":"user","content":"Hi"}]`,
			want:     []string{`"content":"Four."`, `"total_tokens":5`}},
		{name: "cohere stream", provider: "cohere", path: "/v1/chat", body: stream,
			script: reply{kind: "application/stream+json", chunks: pieces(cohereLines, 5)},
			want:   []string{`"content":"Four"`, `"finish_reason":"length"`, `"total_tokens":5`, "data: [DONE]\n\n"}},
		{name: "cohere's own callers", provider: "cohere", format: "cohere", path: "/v2/rerank", body: `{"model":"m","query":"q", "documents":[]}`,
			script:   reply{chunks: []string{`{"id":"r", "results":[]}`}},
			upstream: `{"model":"m","query":"q", "documents":[]}`,
			want:     []string{`{"id":"r", "results":[]}`}},
		{name: "llama2 raw, streamed", provider: "llama2", options: `,"llama2_format":"raw"`, path: "/", body: stream,
			script:   reply{chunks: []string{`{"data":[{"generated_text":"[INST] Hi [/INST]\n\nFour."}]}`}},
			upstream: `"inputs":"<s>[INST] <<SYS>> Hi <</SYS>>"`,
			want:     []string{`"content":"Four."`, `"finish_reason":"stop"`, "data: [DONE]\n\n"}},
		{name: "llama2 raw, empty", provider: "llama2", options: `,"llama2_format":"raw"`, path: "/", body: chat,
			script: reply{chunks: []string{`{"data":[]}`}}, status: 500,
			want: []string{`transformation failed from type llama2://llm/v1/chat: response data is empty from llama2 endpoint`}},
		{name: "huggingface", provider: "huggingface", path: "/models/m", body: chat,
			script: reply{chunks: []string{`[{"generated_text":"Four."}]`}},
			want:   []string{`"content":"Four."`, `"finish_reason":"stop"`}},
		{name: "huggingface stream", provider: "huggingface", path: "/models/m", body: stream,
			script: reply{kind: "text/event-stream", chunks: []string{`data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"Four"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"}},
			want:   []string{`"content":"Four"`, "data: [DONE]\n\n"}},
		{name: "huggingface, an error with status 200", provider: "huggingface", path: "/models/m", body: chat,
			script: reply{chunks: []string{`{"error":"loading"}`}}, status: 500,
			want: []string{`transformation failed from type huggingface://llm/v1/chat: API error: loading`}},
		{name: "huggingface's own callers", provider: "huggingface", format: "huggingface", path: "/generate", body: `{"inputs":"Hi"}`,
			script:   reply{chunks: []string{`{"generated_text":"Four.", "details":null}`}},
			upstream: `{"inputs":"Hi"}`,
			want:     []string{`{"generated_text":"Four.", "details":null}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := provide(t, tt.script, false)
			format := tt.format
			if format == "" {
				format = "openai"
			}
			g := serve(t, `{"route_type":"llm/v1/chat","llm_format":"`+format+`","logging":{"log_statistics":true},`+
				`"model":{"provider":"`+tt.provider+`","name":"m","options":{"upstream_url":"`+v.url+tt.path+`"`+tt.options+`}}}`)
			got := g.post(t, "/", tt.body)
			if status := max(tt.status, 200); got.status != status {
				t.Errorf("status %d, want %d", got.status, status)
			}
			if up := (<-v.seen).body; !strings.Contains(up, tt.upstream) {
				t.Errorf("went up: %s, want %s", up, tt.upstream)
			}
			rest := got.body
			for _, part := range tt.want {
				_, behind, ok := strings.Cut(rest, part)
				if !ok {
					t.Fatalf("%s is not in its place in %s", part, got.body)
				}
				rest = behind
			}
			if tt.never != "" && strings.Contains(got.body, tt.never) {
				t.Errorf("%s is in %s", tt.never, got.body)
			}
		})
	}
}
