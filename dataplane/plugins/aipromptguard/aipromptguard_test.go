package aipromptguard

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dlclark/regexp2/v2"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
)

func TestMain(m *testing.M) {
	code := m.Run()
	regexp2.StopTimeoutClock()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// TestPrompt pins the text that the patterns see.
func TestPrompt(t *testing.T) {
	const talk = `{"messages":[{"role":"system","content":"be nice"},{"role":"user","content":"one"},{"role":"assistant","content":"two"},{"role":"user","content":"three\u0021"}]}`
	const items = `{"instructions":"s","input":[
		{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:image/png;base64,AA"},{"type":"input_text","text":"b"}]},
		{"type":"web_search_call","id":"w"},
		{"type":"message","role":"user","content":"d"},
		{"type":"message","role":"assistant","content":[{"type":"output_text","text":"c","annotations":[]}]},
		{"type":"reasoning","summary":[{"type":"summary_text","text":"thought"}],"encrypted_content":"x"},
		{"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"no"}]},
		{"type":"function_call","call_id":"c","name":"n","arguments":"{}"},
		{"type":"function_call_output","call_id":"c","output":"o1"},
		{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"o2"}]},
		{"role":"user","content":"f"}]}`
	for _, tt := range []struct {
		name             string
		format           llm.Format
		newest, allRoles bool
		category         string
		body, want       string
		err              error
	}{
		{name: "all", body: talk, want: "three! one "},
		{name: "newest", newest: true, body: talk, want: "three!"},
		{name: "all roles", allRoles: true, body: talk, want: "three! two one be nice "},
		{name: "newest of all roles", newest: true, allRoles: true, body: `{"messages":[{"role":"user","content":"a"},{"role":"tool","content":"b"}]}`, want: "b"},
		{name: "prompt", body: `{"prompt":"a b"}`, want: "a b"},
		{name: "prompt beside null", body: `{"messages":null,"prompt":"a"}`, want: "a"},
		{name: "no user", body: `{"messages":[{"role":"system","content":"a"}]}`, want: ""},
		{name: "no newest user", newest: true, body: `{"messages":[{"role":"system","content":"a"}]}`, err: errNone},
		{name: "parts of another role", body: `{"messages":[{"role":"assistant","content":[]},{"role":"user","content":"a"}]}`, want: "a "},
		{name: "older parts", newest: true, body: `{"messages":[{"role":"user","content":[]},{"role":"user","content":"a"}]}`, want: "a"},
		{name: "parts", body: `{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}`, err: errMessage},
		{name: "null content", allRoles: true, body: `{"messages":[{"role":"assistant","content":null,"tool_calls":[]}]}`, err: errMessage},
		{name: "no role", body: `{"messages":[{"content":"a"}]}`, err: errMessage},
		{name: "a number", body: `{"messages":[1]}`, err: errMessage},
		{name: "role in another case", body: `{"messages":[{"role":"assistant","Role":"user","content":"a"}]}`, err: errMessage},
		{name: "both", body: `{"messages":[{"role":"user","content":"a"}],"prompt":"b"}`, err: errBoth},
		{name: "a text beside a prompt", body: `{"messages":"a","prompt":"b"}`, err: errBoth},
		{name: "list of prompts", body: `{"prompt":["a"]}`, err: errNoPrompt},
		{name: "nothing", body: `{}`, err: errNoPrompt},

		{name: "responses, a text", body: `{"instructions":"s","input":"a\u0062"}`, want: "ab "},
		{name: "responses, a text of all roles", allRoles: true, body: `{"instructions":"s","input":"a"}`, want: "a s "},
		{name: "responses, items", body: items, want: "f d a b "},
		{name: "responses, newest item", newest: true, body: items, want: "f"},
		{name: "responses, items of all roles", allRoles: true, body: items, want: "f o2 o1 no thought c d web_search_call w a b s "},
		{name: "responses, two roles", body: `{"input":[{"role":"assistant","role":"user","content":"a"}]}`, want: "assistant user a "},
		{name: "responses, a part that nobody knows", body: `{"input":[{"role":"user","content":[{"type":"novelty","words":["a\u0062"]}]}]}`, want: "novelty ab "},
		{name: "responses, no user", newest: true, body: `{"input":[{"type":"function_call_output","call_id":"c","output":"o"}]}`, err: errNone},
		{name: "responses, nothing", body: `{"input":[]}`, err: errNoPrompt},
		{name: "responses, a number", body: `{"input":1}`, err: errNoPrompt},
		{name: "responses, beside messages", body: `{"input":"a","messages":[{"role":"user","content":"b"}]}`, err: errBoth},
		{name: "responses, beside a kept prompt", body: `{"input":"a","prompt":{"id":"p","variables":{"v":"b"}}}`, err: errBoth},
		{name: "responses, a kept prompt", body: `{"prompt":{"id":"p","variables":{"v":"b"}}}`, err: errNoPrompt},
		{name: "a list of texts is no list of items", body: `{"input":["a"]}`, want: "a "},

		{name: "vectors, a text", category: "text/embeddings", body: `{"input":"a"}`, want: "a "},
		{name: "vectors, texts", category: "text/embeddings", body: `{"input":["a","b"],"user":"u"}`, want: "a b "},
		{name: "vectors, tokens", category: "text/embeddings", body: `{"input":[1,2]}`, err: errTokens},
		{name: "vectors, lists of tokens", category: "text/embeddings", body: `{"input":[[1],[2]]}`, err: errTokens},
		{name: "vectors, texts and tokens", category: "text/embeddings", body: `{"input":["a",[2]]}`, err: errTokens},
		{name: "vectors, a chat", category: "text/embeddings", body: `{"messages":[{"role":"user","content":"a"}]}`, err: errTokens},
		{name: "vectors, a chat too", category: "text/embeddings", body: `{"input":"b","messages":[{"role":"user","content":"a"}]}`, err: errBoth},
		{name: "vectors, cohere", format: llm.Cohere, category: "text/embeddings", body: `{"model":"m","texts":["a"],"inputs":[{"content":[{"text":"b"}]}]}`, want: "a b "},
		{name: "vectors, anthropic", format: llm.Anthropic, category: "text/embeddings", body: `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}]}`, err: errTokens},

		{name: "anthropic", format: llm.Anthropic, body: `{"model":"m","max_tokens":1,"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c"},{"role":"user","content":"d"}]}`, want: "d a b "},
		{name: "anthropic, all roles", format: llm.Anthropic, allRoles: true, body: `{"model":"m","max_tokens":1,"system":"s","messages":[{"role":"user","content":"a"}]}`, want: "a s "},
		{name: "anthropic, newest", format: llm.Anthropic, newest: true, body: `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, want: "a"},
		{name: "gemini", format: llm.Gemini, body: `{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"},{"text":"b"}]},{"role":"model","parts":[{"text":"c"}]},{"parts":[{"text":"d"}]}]}`, want: "d a b "},
		{name: "cohere", format: llm.Cohere, body: `{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}`, want: "c a "},
		{name: "huggingface", format: llm.HuggingFace, body: `{"inputs":"a b"}`, want: "a b "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := New(&pluginpb.AiPromptGuard{
				DenyPatterns: []string{"x"}, LlmFormat: proto.String(string(tt.format)),
				AllowAllConversationHistory: proto.Bool(tt.newest), MatchAllRoles: proto.Bool(tt.allRoles),
				GenaiCategory: proto.String(tt.category),
			}, plugintest.Env(t, "ai-prompt-guard", nil))
			if err != nil || h.refusal != nil {
				t.Fatal(err, h.refusal)
			}
			r := plugintest.Request(t, http.MethodPost, "/v1beta/models/m:generateContent", tt.body)
			call, err := exchange.Inspect(r, h.format, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := h.promptOf(r, call)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// Calls that ask OpenAI for an answer that it keeps have nothing to judge; other
// calls without a body are refused.
func TestMembersPass(t *testing.T) {
	for _, tt := range []struct {
		method, path, body string
		passes             bool
	}{
		{http.MethodGet, "/v1/responses/resp_1", "", true},
		{http.MethodPost, "/v1/responses/resp_1/cancel", "", true},
		{http.MethodPost, "/v1/responses/compact", `{"input":"x"}`, false},
		{http.MethodPost, "/v1/responses", "", false},
		{http.MethodGet, "/v1/responses/../chat", "", false},
		{http.MethodGet, "/v1/chat", "", false},
	} {
		h, err := New(&pluginpb.AiPromptGuard{DenyPatterns: []string{"x"}}, plugintest.Env(t, "ai-prompt-guard", nil))
		if err != nil {
			t.Fatal(err)
		}
		err = h.Access(plugintest.Request(t, tt.method, tt.path, tt.body))
		if (err == nil) != tt.passes {
			t.Errorf("%s %s: error %v; passes should be %t", tt.method, tt.path, err, tt.passes)
		}
	}
}

// Parts that nobody understands are not let past the patterns.
func TestUnknownPartsAreSeen(t *testing.T) {
	h, err := New(&pluginpb.AiPromptGuard{DenyPatterns: []string{"x"}, LlmFormat: proto.String("anthropic")}, plugintest.Env(t, "ai-prompt-guard", nil))
	if err != nil {
		t.Fatal(err)
	}
	r := plugintest.Request(t, http.MethodPost, "/", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"novelty","words":"secret"}]}]}`)
	call, err := exchange.Inspect(r, h.format, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.prompt(call); err != nil || !strings.Contains(got, "secret") {
		t.Errorf("%q, %v; want the part's words in it", got, err)
	}
}

// TestJudge goes through the rule.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name        string
		allow, deny []string
		prompt      string
		passes      bool
	}{
		{"denied", nil, []string{"a", "b"}, "b", false},
		{"not denied", nil, []string{"a"}, "b", true},
		{"denied though allowed", []string{"a"}, []string{"a"}, "a", false},
		{"allowed", []string{"x", "a"}, []string{"b"}, "a", true},
		{"not allowed", []string{"a"}, nil, "b", false},
		{"case counts", nil, []string{"Secret"}, "secret", true},
		{"anywhere", nil, []string{"cre"}, "secret", false},
		{"bytes", nil, []string{`\xE2\x80\x94`}, "a\u2014b", false},
		{"look around", []string{`^(?!.*secret)`}, nil, "a secret", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			env := plugintest.Env(t, "ai-prompt-guard", nil)
			env.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			h, err := New(&pluginpb.AiPromptGuard{AllowPatterns: tt.allow, DenyPatterns: tt.deny}, env)
			if err != nil {
				t.Fatal(err)
			}
			r := plugintest.Request(t, http.MethodPost, "/", `{"prompt":`+llm.Quote(tt.prompt)+`}`)
			err = h.Access(r)
			if tt.passes {
				if err != nil || log.Len() > 0 {
					t.Errorf("error %v, log %s; want it to pass", err, &log)
				}
				return
			}
			reject, ok := errors.AsType[*plugin.Reject](err)
			if !ok || reject.Status != 400 || string(reject.Body) != `{"error":{"message":"bad request"}}` {
				t.Errorf("error %v; want 400 bad request", err)
			}
			if !strings.Contains(log.String(), "level=DEBUG") || !strings.Contains(log.String(), "_patterns") {
				t.Errorf("log %s; want the reason", &log)
			}
		})
	}
}

// A prompt that the patterns cannot be decided about is refused, and counted.
func TestSpentBudget(t *testing.T) {
	h, err := New(&pluginpb.AiPromptGuard{DenyPatterns: []string{`^(?=(a+)+b)`}}, plugintest.Env(t, "ai-prompt-guard", nil))
	if err != nil {
		t.Fatal(err)
	}
	r := plugintest.Request(t, http.MethodPost, "/", `{"prompt":"`+strings.Repeat("a", 4000)+`"}`)
	reject, ok := errors.AsType[*plugin.Reject](h.Access(r))
	if !ok || reject.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("refused with %v, want 413", reject)
	}
	want := []plugin.Incident{{Plugin: "ai-prompt-guard", Kind: "budget_spent"}}
	if !slices.Equal(r.Record.Incidents, want) {
		t.Errorf("incidents %v, want %v", r.Record.Incidents, want)
	}
}
