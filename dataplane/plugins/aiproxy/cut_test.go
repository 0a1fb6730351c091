package aiproxy_test

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
)

// cutting is a complete stream of a provider, in parts: what comes before the
// reason for the end is whole, and the rest, without which nothing is missing.
type cutting struct {
	provider, options, kind string
	before, rest            string
	native                  string // the path of the provider's own callers; empty: they have none
	body                    string // their call
}

func frames(pairs ...string) string {
	var out []byte
	for i := 0; i < len(pairs); i += 2 {
		out = llm.AppendFrame(out, pairs[i], "application/json", []byte(pairs[i+1]))
	}
	return string(out)
}

// cuttings are streams with text and a call of a tool.
var cuttings = []cutting{
	{
		provider: "openai", kind: "text/event-stream",
		before: sse(`{"id":"x","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":"Two"},"finish_reason":null}]}`,
			`{"id":"x","model":"m-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":"}}]}}]}`,
			`{"id":"x","model":"m-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}`,
			`{"id":"x","model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`),
		rest: endMark,
	},
	{
		provider: "anthropic", options: `"anthropic_version":"2023-06-01",`, kind: "text/event-stream",
		before: sse(`message_start|{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"usage":{"input_tokens":11,"output_tokens":1}}}`,
			`content_block_start|{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`content_block_delta|{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Two"}}`,
			`content_block_stop|{"type":"content_block_stop","index":0}`,
			`content_block_start|{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}}`,
			`content_block_delta|{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}`,
			`content_block_stop|{"type":"content_block_stop","index":1}`,
			`message_delta|{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":4}}`),
		rest: sse(`message_stop|{"type":"message_stop"}`),
	},
	{
		provider: "gemini", kind: "text/event-stream",
		before: sse(`{"candidates":[{"content":{"role":"model","parts":[{"text":"Two"}]},"index":0}],"modelVersion":"m-1"}`,
			`{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}}}]},"finishReason":"STOP","index":0}],"modelVersion":"m-1"}`),
		native: "/v1beta/models/gpt-4:streamGenerateContent", body: `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}`,
	},
	{
		provider: "gemini", kind: "application/json",
		before: `[{"candidates":[{"content":{"role":"model","parts":[{"text":"Two"}]},"index":0}],"modelVersion":"m-1"}` + "\r\n," +
			`{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}}}]},"finishReason":"STOP","index":0}],"modelVersion":"m-1"}`,
		rest:   "\r\n]",
		native: "/v1beta/models/gpt-4:streamGenerateContent", body: `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}`,
	},
	{
		provider: "bedrock", options: `"bedrock":{"aws_region":"eu-west-1"},`, kind: "application/vnd.amazon.eventstream",
		before: frames("messageStart", `{"role":"assistant"}`,
			"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Two"}}`,
			"contentBlockStop", `{"contentBlockIndex":0}`,
			"contentBlockStart", `{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"c","name":"f"}}}`,
			"contentBlockDelta", `{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"a\":1}"}}}`,
			"contentBlockStop", `{"contentBlockIndex":1}`,
			"messageStop", `{"stopReason":"tool_use"}`),
		rest:   frames("metadata", `{"usage":{"inputTokens":11,"outputTokens":4,"totalTokens":15},"metrics":{"latencyMs":1}}`),
		native: "/model/gpt-4/converse-stream", body: `{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`,
	},
	{
		provider: "cohere", kind: "application/stream+json",
		before: `{"is_finished":false,"event_type":"stream-start","generation_id":"g1"}` + "\n" + `{"is_finished":false,"event_type":"text-generation","text":"Two"}` + "\n" +
			`{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","response":{"meta":{"billed_units":{"input_tokens":3,"output_tokens":2}}}}`,
		rest: "\n",
	},
	{
		provider: "ollama", kind: "application/x-ndjson",
		before: `{"model":"m-1","message":{"role":"assistant","content":"Two"},"done":false}` + "\n" +
			`{"model":"m-1","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"done":false}` + "\n" +
			`{"model":"m-1","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":11,"eval_count":4}`,
		rest: "\n",
	},
	{
		provider: "huggingface", kind: "text/event-stream",
		before: sse(`{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"Two"}}]}`, `{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}`),
		rest:   endMark,
		native: "/generate_stream", body: `{"inputs":"Hi"}`,
	},
}

// TestCutAnywhere cuts complete streams at each byte, for callers of each format:
// no answer without its end may look as if it were complete, whether the
// provider's connection breaks or ends politely.
func TestCutAnywhere(t *testing.T) {
	for _, to := range cuttings {
		own := caller{format: to.provider, streamed: to.body}
		for _, from := range append(callers[:len(callers):len(callers)], own) {
			if from.streamed == "" {
				continue
			}
			t.Run(from.format+" to "+to.provider+" "+to.kind, func(t *testing.T) {
				t.Parallel()
				h := quiet(t, with(t, config("llm/v1/chat", ""), `"provider":"openai"`, `"provider":"`+to.provider+`"`,
					`"llm_format":"openai"`, `"llm_format":"`+from.format+`"`, `"options":{`, `"options":{`+to.options))
				text := to.before + to.rest
				for i := range len(text) + 1 {
					for _, polite := range []bool{true, false} {
						out, err := cutAt(t, h, &to, &from, text[:i], polite)
						// A line that is whole but for its end may be the last one.
						complete := i >= len(strings.TrimRight(to.before, "\n"))
						failed := err != nil || !polite
						marked := from.mark != "" && strings.Contains(out, from.mark)
						switch {
						case from.failure == "":
							if !strings.HasPrefix(text, out) {
								t.Fatalf("cut at %d, polite %v: %q is not what came", i, polite, out)
							}
							if !complete && !failed {
								t.Fatalf("cut at %d of %d: the caller cannot know: %q", i, len(text), out)
							}
						case complete && polite && err == nil:
							if !strings.HasSuffix(out, from.end) {
								t.Fatalf("cut at %d of %d: no end mark in %q", i, len(text), out)
							}
						case i == len(text) && polite:
							t.Fatalf("complete: %v, %q", err, out)
						case marked && !complete:
							t.Fatalf("cut at %d, polite %v: an end mark in %q", i, polite, out)
						case !marked && !strings.Contains(out, from.failure) && !strings.Contains(out, "unsupported transformer response"):
							t.Fatalf("cut at %d, polite %v: neither end nor failure in %q", i, polite, out)
						case !complete && !failed:
							t.Fatalf("cut at %d: the caller's stream ends as a whole one: %q", i, out)
						}
					}
				}
			})
		}
	}
}

// cutAt passes the beginning of a stream through a handler, and gives what the
// caller gets of it.
func cutAt(t *testing.T, h *aiproxy.Handler, to *cutting, from *caller, text string, polite bool) (string, error) {
	t.Helper()
	path := "/"
	if from.failure == "" {
		path = to.native
	}
	r := plugintest.Request(t, http.MethodPost, path, from.streamed)
	if err := h.Access(r); err != nil {
		t.Fatal(err)
	}
	plugintest.Respond(r, http.StatusOK, http.Header{"Content-Type": {to.kind}}, "")
	if err := h.Header(r); err != nil {
		t.Fatal(err)
	}
	if polite {
		out, err := plugintest.Stream(r, h, text)
		h.Log(r)
		return out, err
	}
	out, err := h.Body(r, []byte(text), false)
	all := string(out)
	if err == nil {
		all += string(h.Cut(r, errors.New("connection reset")))
	}
	h.Log(r)
	return all, err
}

// quiet is build without a log, for tests whose streams all break.
func quiet(t testing.TB, config string) *aiproxy.Handler {
	t.Helper()
	cfg := new(pluginpb.AiProxy)
	if err := protojson.Unmarshal([]byte(strings.ReplaceAll(config, "%s", "http://127.0.0.1:1")), cfg); err != nil {
		t.Fatal(err)
	}
	env := plugintest.Env(t, "ai-proxy", nil)
	env.Log = slog.New(slog.DiscardHandler)
	h, err := aiproxy.New(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
