package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

func TestAnthropicRead(t *testing.T) {
	type view struct {
		Route     llm.Route
		Operation string
		Model     string
		Streams   bool
		Words     int
		HasPrompt bool
		Judged    string
	}
	chat := `{"model":"m","stream":true,"max_tokens":5,"system":"a b","messages":[{"role":"user","content":"c"},{"role":"user","content":[{"type":"text","text":"d e"},{"type":"tool_result","content":[{"type":"text","text":"f"}]},{"type":"tool_result","content":"g"},{"type":"image","source":{"content":"no"}}]}]}`
	for _, tt := range []struct {
		name  string
		route llm.Route
		path  string
		body  string
		want  view
	}{
		{"a message", llm.Chat, "/any/v1/messages", chat, view{llm.Chat, "/v1/messages", "m", true, 7, true, ""}},
		{"another path", llm.Chat, "/claude", chat, view{llm.Chat, "", "m", true, 7, true, ""}},
		{"a path that looks alike", llm.Chat, "/v1/messages/other", chat, view{llm.Chat, "", "m", true, 7, true, ""}},
		{"a path that looks alike, too", llm.Chat, "/v1/messagesx", chat, view{llm.Chat, "", "m", true, 7, true, ""}},
		{"counting", llm.Chat, "/v1/messages/count_tokens", chat, view{llm.Chat, "/v1/messages/count_tokens", "m", false, 7, true, ""}},
		{"a batch", llm.Chat, "/a/v1/messages/batches/", `{"requests":[]}`, view{llm.Batches, "/v1/messages/batches", "", false, 0, true, ""}},
		{"a batch's results", llm.Chat, "/v1/messages/batches/msgbatch_1/results", ``, view{llm.Batches, "/v1/messages/batches/msgbatch_1/results", "", false, 0, true, ""}},
		{"an id that leads elsewhere", llm.Batches, "/v1/messages/batches/%2e%2e", ``, view{Route: llm.Batches, HasPrompt: true}},
		{"a route of batches", llm.Batches, "/v1/messages/batches/b", ``, view{Route: llm.Batches, Operation: "/v1/messages/batches/b", HasPrompt: true}},
		{"preserve", llm.Preserve, "/v1/messages", `{"messages":1,"messages":2,"model":"m"}`, view{Route: llm.Preserve, Operation: "/v1/messages", Model: "m", HasPrompt: true}},
		{"no prompt", llm.Chat, "", `{"messages":[],"model":7,"stream":"true"}`, view{Route: llm.Chat, Judged: ErrNoPrompt.Message}},
		{"another route", llm.Completions, "", `{"messages":[1]}`, view{Route: llm.Completions, HasPrompt: true, Judged: "[llm/v1/chat] message format is not compatible with [llm/v1/completions] route type"}},
		{"many messages", llm.Chat, "", `{"messages":[` + strings.Repeat("1,", llm.MaxMessages) + `1]}`, view{Route: llm.Chat, HasPrompt: true, Judged: "request body holds more than 10000 messages"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := NewAnthropic(tt.route, "")
			var r llm.Request
			if err := a.Read(Incoming{Path: tt.path, Body: []byte(tt.body)}, &r); err != nil {
				t.Fatal(err)
			}
			got := view{r.Route, r.Operation, r.Model, r.Streams, a.Words(&r), a.HasPrompt(&r), ""}
			if err := a.Judge(&r); err != nil {
				got.Judged = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if r.Format != llm.Anthropic || !r.WantsUsage || a.Name() != llm.Anthropic {
				t.Errorf("read as %+v", r)
			}
		})
	}
	for body, want := range map[string]string{
		``:                              ErrUnreadable.Message,
		`[]`:                            ErrUnreadable.Message,
		`{"messages":[1]`:               ErrUnreadable.Message,
		`{"messages":[1],"messages":2}`: "field 'messages' must appear once and in this spelling",
		`{"System":"x"}`:                "field 'system' must appear once and in this spelling",
		`{"tools":[],"tools":[1]}`:      "field 'tools' must appear once and in this spelling",
		`{"key":1,"Key":2}`:             "field 'key' must appear once and in this spelling",
	} {
		var r llm.Request
		if err := NewAnthropic(llm.Chat, "key").Read(Incoming{Body: []byte(body)}, &r); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	shallow := NewAnthropic(llm.Chat, "")
	shallow.Limits.Depth = 2
	if err := shallow.Read(Incoming{Body: []byte(`{"messages":[{"a":[[]]}]}`)}, new(llm.Request)); err == nil {
		t.Error("a body that nests too deeply was read")
	}
}

func anthropicReadChat(t testing.TB, body string) (*llm.Request, *llm.ChatCall) {
	t.Helper()
	var r llm.Request
	if err := NewAnthropic(llm.Chat, "").Read(Incoming{Body: []byte(body)}, &r); err != nil {
		t.Fatal(err)
	}
	chat, err := r.Chat()
	if err != nil {
		t.Fatal(err)
	}
	return &r, chat
}

func TestAnthropicDecode(t *testing.T) {
	raw := func(text string) []byte { return []byte(text) }
	part := func(text string) llm.Part { return llm.Part{Kind: llm.PartText, Text: text} }
	no, yes := false, true
	for _, tt := range []struct {
		name, body string
		want       llm.ChatCall
	}{
		{"options", `{"model":"m","max_tokens":10,"temperature":1e-1,"top_p":0.9,"top_k":3,"stop_sequences":["a","b"],"stream":true,"metadata":{"user_id":"u"},"service_tier":"auto","thinking":{"type":"enabled","budget_tokens":2048},"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"a":1}}},"tool_choice":{"type":"any","disable_parallel_tool_use":true},"messages":[{"role":"user","content":"Hi"}],"system":"S"}`,
			llm.ChatCall{Model: "m", User: "u", Options: llm.Options{MaxTokens: "10", Temperature: "1e-1", TopP: "0.9", TopK: "3", Stop: []string{"a", "b"}, StopList: true, Stream: &yes},
				Reasoning: llm.Reasoning{Mode: "enabled", Budget: "2048", Effort: "low"}, Output: llm.Output{Kind: "json_schema", Schema: raw(`{"a":1}`)},
				ToolChoice: llm.ToolChoice{Mode: "required"}, ParallelCalls: &no,
				Messages: []llm.Message{{Role: llm.RoleSystem, Plain: true, Parts: []llm.Part{part("S")}}, {Role: llm.RoleUser, Plain: true, Parts: []llm.Part{part("Hi")}}},
				Extra:    []llm.Member{{Name: "service_tier", Value: raw(`"auto"`)}}}},
		{"what the system says", `{"system":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`,
			llm.ChatCall{Messages: []llm.Message{{Role: llm.RoleSystem, Plain: true, Parts: []llm.Part{part("a\nb")}}}}},
		{"what the system says, marked", `{"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b","cache_control":null}]}`,
			llm.ChatCall{Messages: []llm.Message{{Role: llm.RoleSystem, Parts: []llm.Part{{Kind: llm.PartText, Text: "a", Cache: raw(`{"type":"ephemeral"}`)}, part("b")}}}}},
		{"calls and results", `{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"c2ln"},{"type":"redacted_thinking","data":"eA=="},{"type":"text","text":"One moment."},{"type":"tool_use","id":"t1","name":"stock","input":{ "sku" : 12345678901234567890 }},{"type":"tool_use","id":"t2","name":"now"}]},
			{"role":"user","content":[{"type":"text","text":"And?"},{"type":"tool_result","tool_use_id":"t1","content":"3","is_error":true},{"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"x"},{"type":"image","source":{"type":"url","url":"u"}}]}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"t3"}]}]}`,
			llm.ChatCall{Messages: []llm.Message{
				{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "t", Signature: "c2ln"}, {Kind: llm.PartRedacted, Data: raw("eA==")}, part("One moment.")},
					Calls: []llm.ToolCall{{ID: "t1", Name: "stock", Arguments: `{"sku":12345678901234567890}`}, {ID: "t2", Name: "now", Arguments: "{}"}}},
				{Role: llm.RoleTool, CallID: "t1", Failed: true, Plain: true, Parts: []llm.Part{part("3")}},
				{Role: llm.RoleTool, CallID: "t2", Parts: []llm.Part{part("x"), {Kind: llm.PartImage, URL: "u"}}},
				{Role: llm.RoleUser, Parts: []llm.Part{part("And?")}},
				{Role: llm.RoleTool, CallID: "t3"},
			}}},
		{"images and documents", `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA\/A"}},{"type":"image","source":{"type":"file","file_id":"f"}},{"type":"document","title":"T","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"words"}},{"type":"search_result","title":"T","source":"S","content":[{"type":"text","text":"found"}]},{"type":"image","source":{"type":"new"}},{"type":"text","text":"a","citations":[]}]}]}`,
			llm.ChatCall{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{
				{Kind: llm.PartImage, Data: raw("AA/A"), MediaType: "image/png"}, {Kind: llm.PartImage, FileID: "f"},
				{Kind: llm.PartFile, Name: "T", Data: raw("JVBE"), MediaType: "application/pdf"},
				{Kind: llm.PartText, Text: "words", JSON: raw(`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"words"}}`)},
				{Kind: llm.PartText, Text: "T\nS\nfound", JSON: raw(`{"type":"search_result","title":"T","source":"S","content":[{"type":"text","text":"found"}]}`)},
				{Kind: llm.PartOther, JSON: raw(`{"type":"image","source":{"type":"new"}}`)},
				{Kind: llm.PartText, Text: "a", JSON: raw(`{"type":"text","text":"a","citations":[]}`)},
			}}}}},
		{"tools", `{"tools":[{"name":"a","description":"d","input_schema":{"b":1},"strict":true,"cache_control":{"type":"ephemeral"}},{"type":"custom","name":"b"},{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"tool","name":"a","disable_parallel_tool_use":false}}`,
			llm.ChatCall{Tools: []llm.Tool{{Name: "a", Description: "d", Parameters: raw(`{"b":1}`), Strict: &yes, Cache: raw(`{"type":"ephemeral"}`)}, {Name: "b"}, {JSON: raw(`{"type":"web_search_20250305","name":"web_search"}`)}},
				ToolChoice: llm.ToolChoice{Mode: "function", Name: "a"}}},
		{"other shapes", `{"model":"","messages":"x","tools":[],"tool_choice":{"type":"new"},"thinking":{},"metadata":{"user_id":"u","x":1},"stop_sequences":"a"}`,
			llm.ChatCall{ToolChoice: llm.ToolChoice{JSON: raw(`{"type":"new"}`)}, User: "u", Options: llm.Options{Stop: []string{"a"}}, Extra: []llm.Member{
				{Name: "model", Value: raw(`""`)}, {Name: "messages", Value: raw(`"x"`)}, {Name: "tools", Value: raw(`[]`)}, {Name: "thinking", Value: raw(`{}`)}, {Name: "metadata", Value: raw(`{"user_id":"u","x":1}`)},
			}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Origin = llm.Anthropic
			_, got := anthropicReadChat(t, tt.body)
			if diff := cmp.Diff(&tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	body := `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]}]}`
	r, chat := anthropicReadChat(t, body)
	at := strings.Index(body, "QUJD")
	if data := chat.Messages[0].Parts[0].Data; &data[0] != &r.Body[at] {
		t.Error("an image was copied")
	}
	a := NewAnthropic(llm.Chat, "")
	if _, err := a.Completion(r); err == nil {
		t.Error("a message is a completion")
	}
	if _, err := a.Embedding(r); err == nil {
		t.Error("a message is an embedding")
	}
}

const (
	anthropicPlain    = `{"model":"asked","messages":[{"role":"user","content":"Hi"}]}`
	anthropicThoughty = `{"model":"asked","thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"Hi"}]}`
)

func TestAnthropicAnswer(t *testing.T) {
	message := llm.Message{
		Parts: []llm.Part{{Kind: llm.PartText, Text: "One moment."}, {Kind: llm.PartText}, {Kind: llm.PartReasoning, Text: "Look.", Signature: "c2ln"}, {Kind: llm.PartRedacted, Data: []byte("eA==")}},
		Calls: []llm.ToolCall{{ID: "call_a", Name: "stock", Arguments: ` { "sku": 1e400 } `}, {ID: "b", Name: "now"}, {ID: "c", Name: "cut", Arguments: `{"a":`}, {ID: "d", JSON: []byte(`{"type":"custom"}`)}},
	}
	usage := llm.Usage{Fresh: llm.Count(20), CacheRead: llm.Count(100), CacheWrite: llm.Count(7), AudioIn: llm.Count(1), Answer: llm.Count(30), Reasoning: llm.Count(1)}
	calls := `{"type":"tool_use","id":"call_a","name":"stock","input":{"sku":1e400}},{"type":"tool_use","id":"b","name":"now","input":{}},{"type":"tool_use","id":"c","name":"cut","input":{"arguments":"{\"a\":"}}`
	zero := `"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}`
	for _, tt := range []struct {
		name, request string
		answer        llm.ChatAnswer
		want          string
	}{
		{"all, thoughts asked for", anthropicThoughty, llm.ChatAnswer{ID: "msg_a", Model: "m-1", Usage: usage, Choices: []llm.Choice{{Message: message, Finish: llm.FinishCalls}}},
			`{"id":"msg_a","type":"message","role":"assistant","model":"m-1","content":[{"type":"thinking","thinking":"Look.","signature":"c2ln"},{"type":"redacted_thinking","data":"eA=="},{"type":"text","text":"One moment."},` + calls +
				`],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":21,"cache_creation_input_tokens":7,"cache_read_input_tokens":100,"output_tokens":31}}`},
		{"all, no thoughts asked for", anthropicPlain, llm.ChatAnswer{ID: "chatcmpl-1", Choices: []llm.Choice{{Message: message, Finish: llm.FinishEnd}, {}}},
			`{"id":"msg_chatcmpl-1","type":"message","role":"assistant","model":"asked","content":[{"type":"text","text":"One moment."},` + calls + `],"stop_reason":"tool_use","stop_sequence":null,` + zero},
		{"a refusal", anthropicPlain, llm.ChatAnswer{ID: "msg_a", Choices: []llm.Choice{{Message: llm.Message{Parts: []llm.Part{{Kind: llm.PartRefusal, Text: "No."}}}, Finish: llm.FinishStop, StopText: "x"}}},
			`{"id":"msg_a","type":"message","role":"assistant","model":"asked","content":[{"type":"text","text":"No."}],"stop_reason":"refusal","stop_sequence":null,` + zero},
		{"a text to stop at", anthropicPlain, llm.ChatAnswer{ID: "msg_a", Choices: []llm.Choice{{Finish: llm.FinishStop, StopText: "END"}}},
			`{"id":"msg_a","type":"message","role":"assistant","model":"asked","content":[],"stop_reason":"stop_sequence","stop_sequence":"END",` + zero},
		{"nothing", anthropicPlain, llm.ChatAnswer{ID: "msg_a"},
			`{"id":"msg_a","type":"message","role":"assistant","model":"asked","content":[],"stop_reason":"end_turn","stop_sequence":null,` + zero},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := anthropicReadChat(t, tt.request)
			got := NewAnthropic(llm.Chat, "").AppendAnswer(nil, r, &tt.answer)
			if tt.want != string(got) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			var message sdk.Message
			if err := json.Unmarshal(got, &message); err != nil {
				t.Errorf("the vendor's client: %v", err)
			} else if len(message.Content) > 0 && message.Content[0].AsAny() == nil || message.StopReason == "" {
				t.Errorf("the vendor's client reads %+v", message)
			}
		})
	}
	r, _ := anthropicReadChat(t, anthropicPlain)
	nameless := &llm.ChatAnswer{Choices: []llm.Choice{{Message: llm.Message{Calls: []llm.ToolCall{{Name: "f"}}}}}}
	var named sdk.Message
	if err := json.Unmarshal(NewAnthropic(llm.Chat, "").AppendAnswer(nil, r, nameless), &named); err != nil || !strings.HasPrefix(named.ID, "msg_") || len(named.ID) < 20 || !strings.HasPrefix(named.Content[0].ID, "toolu_") {
		t.Errorf("made-up ids: %q, %+v, %v", named.ID, named.Content, err)
	}
	for reason, want := range map[llm.FinishReason]string{
		llm.FinishUnknown: "end_turn", llm.FinishEnd: "end_turn", llm.FinishStop: "stop_sequence", llm.FinishLength: "max_tokens", llm.FinishContext: "model_context_window_exceeded",
		llm.FinishCalls: "tool_use", llm.FinishFiltered: "refusal", llm.FinishPaused: "pause_turn", llm.FinishFailed: "end_turn",
	} {
		if got := anthropicReason(reason, false, false); got != want {
			t.Errorf("%s is %s, want %s", reason, got, want)
		}
	}
}

func TestAnthropicErrors(t *testing.T) {
	for status, want := range map[int]string{
		400: "invalid_request_error", 422: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
		408: "timeout_error", 504: "timeout_error", 413: "request_too_large", 424: "api_error", 429: "rate_limit_error", 500: "api_error", 502: "api_error", 503: "overloaded_error", 529: "overloaded_error", 418: "invalid_request_error",
	} {
		got := NewAnthropic(llm.Chat, "").AppendError(nil, &llm.Failure{Status: status, Type: "x", Message: `a "b"`})
		if want := fmt.Sprintf(`{"type":"error","error":{"type":"%s","message":"a \"b\""}}`, want); string(got) != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
	for kind, want := range map[string]string{"overloaded_error": "overloaded_error", "server_error": "api_error", "": "api_error"} {
		if got := anthropicErrorType(&llm.Failure{Type: kind}); got != want {
			t.Errorf("%s is %s, want %s", kind, got, want)
		}
	}
}
