package aiproxy_test

import (
	"net/http"
	"strings"
	"testing"
)

// speaker is how one provider says the same things in its own format.
type speaker struct {
	provider, options string // options: further members, each with a comma behind it
	kind              string // of its streams
	whole             string
	// A stream: its beginning with some text, the rest without an end mark, and what
	// says that it is over.
	begin, finish, end string
	failure            string // an error in the middle of a stream
	refused            string // the body of a 429
}

func sse(datas ...string) string {
	var out strings.Builder
	for _, data := range datas {
		name, rest, named := strings.Cut(data, "|")
		if named {
			out.WriteString("event: " + name + "\n")
			data = rest
		}
		out.WriteString("data: " + data + "\n\n")
	}
	return out.String()
}

var speakers = []speaker{
	{
		provider: "openai", kind: "text/event-stream",
		whole:   `{"id":"x","object":"chat.completion","created":1,"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"Two, of course."},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":4,"total_tokens":15}}`,
		begin:   sse(`{"id":"x","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":"Two, of "},"finish_reason":null}]}`),
		finish:  sse(`{"id":"x","model":"m-1","choices":[{"index":0,"delta":{"content":"course."},"finish_reason":"stop"}]}`, `{"id":"x","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":4,"total_tokens":15}}`),
		end:     endMark,
		failure: sse(`{"error":{"message":"overloaded","type":"server_error"}}`),
		refused: `{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}`,
	},
	{
		provider: "anthropic", options: `"anthropic_version":"2023-06-01",`, kind: "text/event-stream; charset=utf-8",
		whole: `{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[{"type":"text","text":"Two, of course."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":4}}`,
		begin: sse(`message_start|{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"usage":{"input_tokens":11,"output_tokens":1}}}`,
			`content_block_start|{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`content_block_delta|{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Two, of "}}`),
		finish: sse(`content_block_delta|{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"course."}}`,
			`content_block_stop|{"type":"content_block_stop","index":0}`,
			`message_delta|{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":4}}`),
		end:     sse(`message_stop|{"type":"message_stop"}`),
		failure: sse(`error|{"type":"error","error":{"type":"overloaded_error","message":"overloaded"}}`),
		refused: `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`,
	},
	{
		provider: "gemini", kind: "text/event-stream",
		whole:   `{"candidates":[{"content":{"role":"model","parts":[{"text":"Two, of course."}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":4,"totalTokenCount":15},"modelVersion":"m-1"}`,
		begin:   sse(`{"candidates":[{"content":{"role":"model","parts":[{"text":"Two, of "}]},"index":0}],"modelVersion":"m-1"}`),
		finish:  sse(`{"candidates":[{"content":{"role":"model","parts":[{"text":"course."}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":4,"totalTokenCount":15},"modelVersion":"m-1"}`),
		failure: sse(`{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}`),
		refused: `{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}`,
	},
	{
		provider: "gemini", kind: "application/json",
		whole:   `{"candidates":[{"content":{"role":"model","parts":[{"text":"Two, of course."}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":4,"totalTokenCount":15},"modelVersion":"m-1"}`,
		begin:   `[{"candidates":[{"content":{"role":"model","parts":[{"text":"Two, of "}]},"index":0}],"modelVersion":"m-1"}`,
		finish:  `,` + "\r\n" + `{"candidates":[{"content":{"role":"model","parts":[{"text":"course."}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":4,"totalTokenCount":15},"modelVersion":"m-1"}]`,
		failure: `,{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]`,
		refused: `{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}`,
	},
	{
		provider: "ollama", kind: "application/x-ndjson",
		whole:   `{"model":"m-1","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"Two, of course."},"done":true,"done_reason":"stop","prompt_eval_count":11,"eval_count":4}`,
		begin:   `{"model":"m-1","message":{"role":"assistant","content":"Two, of "},"done":false}` + "\n",
		finish:  `{"model":"m-1","message":{"role":"assistant","content":"course."},"done":false}` + "\n" + `{"model":"m-1","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":11,"eval_count":4}` + "\n",
		failure: `{"error":"overloaded"}` + "\n",
		refused: `{"error":"slow down"}`,
	},
}

// caller is how callers of one format ask and what they must find in answers.
type caller struct {
	format             string
	body, streamed     string
	text               string // in a whole answer
	first              string // in the first event
	end, mark, stopped string // how a stream ends; the mark alone; the reason for the end
	failure            string // what a failure's event begins with
	refused            string // in the body of an error that another provider made
}

var callers = []caller{
	{
		format: "openai",
		body:   `{"messages":[{"role":"user","content":"1 + 1 = ?"}],"max_tokens":100}`, streamed: `{"stream":true,"messages":[{"role":"user","content":"1 + 1 = ?"}],"max_tokens":100}`,
		text: `"content":"Two, of course."`, first: `"content":"Two, of "`, end: endMark, mark: "[DONE]", stopped: `"finish_reason":"stop"`,
		failure: `data: {"error":{"message":"`,
	},
	{
		format: "anthropic",
		body:   `{"max_tokens":100,"messages":[{"role":"user","content":"1 + 1 = ?"}]}`, streamed: `{"stream":true,"max_tokens":100,"messages":[{"role":"user","content":"1 + 1 = ?"}]}`,
		text: `"text":"Two, of course."`, first: `"text":"Two, of "`, end: "data: {\"type\":\"message_stop\"}\n\n", mark: "message_stop", stopped: `"stop_reason":"end_turn"`,
		failure: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"", refused: `"type":"rate_limit_error"`,
	},
}

// TestAnyCallerAnyProvider checks that each caller gets each provider's answer in
// its own format, whole and streamed, and that a stream ends in exactly one of
// three ways: complete, with a failure's event, or broken off.
func TestAnyCallerAnyProvider(t *testing.T) {
	for _, to := range speakers {
		for _, from := range callers {
			t.Run(from.format+" to "+to.provider+" "+to.kind, func(t *testing.T) {
				t.Parallel()
				setup := with(t, config("llm/v1/chat", ""), `"provider":"openai"`, `"provider":"`+to.provider+`"`,
					`"llm_format":"openai"`, `"llm_format":"`+from.format+`"`, `"options":{`, `"options":{`+to.options)
				ask := func(body string, script reply) (answer, string) {
					v := provide(t, script, false)
					g := serve(t, strings.ReplaceAll(setup, "%s", v.url))
					got := g.post(t, "/", body)
					return got, g.logged(t)
				}
				own := from.format == to.provider
				const counts = `"prompt_tokens":11,"completion_tokens":4,"total_tokens":15`
				stream := func(chunks ...string) reply { return reply{kind: to.kind, chunks: chunks} }

				got, line := ask(from.body, reply{chunks: pieces(to.whole, 3)})
				if got.status != 200 || !strings.Contains(got.body, from.text) || !strings.Contains(line, counts) {
					t.Errorf("whole: status %d, body %s, log %s", got.status, got.body, line)
				}
				if own && got.body != to.whole {
					t.Errorf("whole: %s, want it as it came", got.body)
				}

				all := to.begin + to.finish + to.end
				for _, script := range []reply{stream(all), stream(strings.Split(all, "")...)} {
					got, line = ask(from.streamed, script)
					if got.broken || !strings.Contains(got.body, from.first) || !strings.HasSuffix(got.body, from.end) ||
						strings.Count(got.body, from.stopped) != 1 || !strings.Contains(line, counts) {
						t.Errorf("complete: broken %v, %s, log %s", got.broken, got.body, line)
					}
					if kind := got.header.Get("Content-Type"); kind != "text/event-stream" {
						t.Errorf("complete: content type %s", kind)
					}
				}

				for name, script := range map[string]reply{
					"broken off": {kind: to.kind, chunks: []string{to.begin}, cut: true},
					"truncated":  stream(to.begin),
				} {
					got, line = ask(from.streamed, script)
					_, last, found := strings.Cut(got.body, from.failure)
					if !got.broken || !found || strings.Contains(got.body, from.mark) || strings.Contains(got.body, from.stopped) ||
						strings.Count(last, "\n\n") != 1 || !strings.Contains(got.body, from.first) {
						t.Errorf("%s: broken %v, %s", name, got.broken, got.body)
					}
					if !strings.Contains(line, `"completion_tokens":`) {
						t.Errorf("%s: log %s", name, line)
					}
				}

				got, _ = ask(from.streamed, stream(to.begin, to.failure))
				if !strings.Contains(got.body, "overloaded") || strings.Contains(got.body, from.mark) || strings.Contains(got.body, from.stopped) {
					t.Errorf("failed: %s", got.body)
				}

				for _, body := range []string{from.body, from.streamed} {
					got, _ = ask(body, reply{status: http.StatusTooManyRequests, chunks: pieces(to.refused, 2), header: "Retry-After: 7\r\n"})
					if got.status != 429 || got.header.Get("Retry-After") != "7" || !strings.Contains(got.body, "slow down") || !strings.Contains(got.body, from.refused) {
						t.Errorf("refused: status %d, body %s", got.status, got.body)
					}
					if (own || from.format == "openai") && got.body != to.refused {
						t.Errorf("refused: %s, want it as it came", got.body)
					}
				}
			})
		}
	}
}
