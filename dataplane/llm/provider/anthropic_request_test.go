package provider

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

func anthropic(t testing.TB) Provider {
	t.Helper()
	p, ok := Find("anthropic", nil)
	if !ok {
		t.Fatal("anthropic is not in the list")
	}
	return p
}

// anthropicDecoder gives a chat that is known already.
type anthropicDecoder struct {
	llm.Decoder
	chat *llm.ChatCall
}

func (d anthropicDecoder) Chat(*llm.Request) (*llm.ChatCall, error) { return d.chat, nil }

func anthropicTexts(role llm.Role, texts ...string) llm.Message {
	m := llm.Message{Role: role, Plain: len(texts) == 1}
	for _, text := range texts {
		m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: text})
	}
	return m
}

// TestAnthropicChat shows what is made of a chat in neutral terms.
func TestAnthropicChat(t *testing.T) {
	hi := []llm.Message{anthropicTexts(llm.RoleUser, "Hi")}
	no, yes := false, true
	stock := llm.ToolCall{ID: "t1", Name: "stock", Arguments: `{"sku":12345678901234567890}`}
	for _, tt := range []struct {
		name     string
		settings Settings
		model    string
		chat     llm.ChatCall
		want     string // of the body, without model, stream and the usual limit
	}{
		{"all that the system says is joined", Settings{}, "", llm.ChatCall{Messages: []llm.Message{
			anthropicTexts(llm.RoleSystem, "Be short."), hi[0], anthropicTexts(llm.RoleDeveloper, "Be kind.", " ", "Rhyme."),
		}}, `"system":"Be short.\nBe kind.\nRhyme.","messages":[{"role":"user","content":"Hi"}]`},
		{"marks for the cache stay", Settings{}, "", llm.ChatCall{Messages: []llm.Message{
			{Role: llm.RoleSystem, Parts: []llm.Part{{Kind: llm.PartText, Text: "Long.", Cache: []byte(`{"type":"ephemeral"}`)}}},
			{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "Hi", JSON: []byte(`{"type":"text","text":"Hi","cache_control":{"type":"ephemeral","ttl":"1h"}}`)}}},
		}, Tools: []llm.Tool{{Name: "a", Cache: []byte(`{"type":"ephemeral"}`)}}},
			`"system":[{"type":"text","text":"Long.","cache_control":{"type":"ephemeral"}}],` +
				`"messages":[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]` +
				`|"tools":[{"name":"a","input_schema":{"type":"object","properties":{}},"cache_control":{"type":"ephemeral"}}]`},
		{"calls and results", Settings{}, "", llm.ChatCall{Messages: []llm.Message{
			hi[0],
			{Role: llm.RoleAssistant, Plain: true, Parts: []llm.Part{{Kind: llm.PartText, Text: "One moment."}}, Calls: []llm.ToolCall{stock, {ID: "a.b", Name: "price"}, {ID: "a_b", Name: "cut", Arguments: `{"a":`}}},
			{Role: llm.RoleTool, CallID: "t1", Plain: true, Parts: []llm.Part{{Kind: llm.PartText, Text: `{"left":3}`}}},
			{Role: llm.RoleTool, CallID: "a.b", Failed: true, Parts: []llm.Part{{Kind: llm.PartText, Text: "no"}, {Kind: llm.PartImage, URL: "https://x/i.png"}}},
			{Role: llm.RoleTool, CallID: "a_b"},
			anthropicTexts(llm.RoleUser, "And now?"),
		}}, `"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"text","text":"One moment."},` +
			`{"type":"tool_use","id":"t1","name":"stock","input":{"sku":12345678901234567890}},{"type":"tool_use","id":"a_b_3hz8uqreud25o","name":"price","input":{}},` +
			`{"type":"tool_use","id":"a_b","name":"cut","input":{"arguments":"{\"a\":"}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"{\"left\":3}"},` +
			`{"type":"tool_result","tool_use_id":"a_b_3hz8uqreud25o","content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"url","url":"https://x/i.png"}}],"is_error":true},` +
			`{"type":"tool_result","tool_use_id":"a_b"}]},{"role":"user","content":"And now?"}]`},
		{"what is empty goes", Settings{}, "", llm.ChatCall{Messages: []llm.Message{
			anthropicTexts(llm.RoleSystem, ""), anthropicTexts(llm.RoleUser, ""), anthropicTexts(llm.RoleUser, "Hi", "", " \n"), {Role: llm.RoleAssistant},
		}}, `"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]`},
		{"thoughts", Settings{}, "", llm.ChatCall{Messages: []llm.Message{hi[0], {Role: llm.RoleAssistant, Parts: []llm.Part{
			{Kind: llm.PartText, Text: "Four."}, {Kind: llm.PartReasoning, Text: "mine"}, {Kind: llm.PartReasoning, Text: "2+2", Signature: "c2ln"},
			{Kind: llm.PartReasoning, Signature: "b3Q="}, {Kind: llm.PartRedacted, Data: []byte("eA==")}, {Kind: llm.PartRefusal, Text: "No."},
		}}, {Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "only"}}}}},
			`"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"2+2","signature":"c2ln"},` +
				`{"type":"thinking","thinking":"","signature":"b3Q="},{"type":"redacted_thinking","data":"eA=="},{"type":"text","text":"Four."},{"type":"text","text":"No."}]}]`},
		{"images and files", Settings{}, "", llm.ChatCall{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{
			{Kind: llm.PartImage, Data: []byte("AAAA"), MediaType: "image/webp"}, {Kind: llm.PartImage, URL: "data:image/gif;base64,R0lG"},
			{Kind: llm.PartImage, FileID: "f1"}, {Kind: llm.PartFile, Data: []byte("JVBE"), Name: "a.pdf"}, {Kind: llm.PartFile, URL: "https://x/a.pdf"},
			{Kind: llm.PartFile, Data: []byte("SGk="), MediaType: "text/plain"}, {Kind: llm.PartOther, JSON: []byte(`{"type":"search_result","source":"s"}`)},
		}}}}, `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/webp","data":"AAAA"}},` +
			`{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"R0lG"}},{"type":"image","source":{"type":"file","file_id":"f1"}},` +
			`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"},"title":"a.pdf"},` +
			`{"type":"document","source":{"type":"url","url":"https://x/a.pdf"}},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"Hi"}},` +
			`{"type":"search_result","source":"s"}]}]`},
		{"tools", Settings{}, "", llm.ChatCall{Messages: hi, ParallelCalls: &no, ToolChoice: llm.ToolChoice{Mode: "required"}, Tools: []llm.Tool{
			{Name: "stock", Description: "d", Parameters: []byte(`{"type":"object","maximum":1e400}`), Strict: &yes},
			{JSON: []byte(`{"type":"web_search_20250305","name":"web_search"}`)},
		}}, `"messages":[{"role":"user","content":"Hi"}]|"tools":[{"name":"stock","description":"d","input_schema":{"type":"object","maximum":1e400},"strict":true},` +
			`{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"any","disable_parallel_tool_use":true}`},
		{"one tool", Settings{}, "", llm.ChatCall{Messages: hi, ParallelCalls: &yes, ToolChoice: llm.ToolChoice{Mode: "function", Name: "a"}, Tools: []llm.Tool{{Name: "a", Parameters: []byte("{}")}}},
			`"messages":[{"role":"user","content":"Hi"}]|"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"tool","name":"a"}`},
		{"no tool", Settings{}, "", llm.ChatCall{Messages: hi, ParallelCalls: &no, ToolChoice: llm.ToolChoice{Mode: "none"}, Tools: []llm.Tool{{Name: "a", Parameters: []byte("{}")}}},
			`"messages":[{"role":"user","content":"Hi"}]|"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"none"}`},
		{"one call at a time", Settings{}, "", llm.ChatCall{Messages: hi, ParallelCalls: &no, Tools: []llm.Tool{{Name: "a", Parameters: []byte("{}")}}},
			`"messages":[{"role":"user","content":"Hi"}]|"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`},
		{"a choice without tools goes", Settings{}, "", llm.ChatCall{Messages: hi, ToolChoice: llm.ToolChoice{Mode: "auto"}}, `"messages":[{"role":"user","content":"Hi"}]`},
		{"configured options win", Settings{MaxTokens: "512", Temperature: "0.5", TopP: "0.9", TopK: "3"}, "claude-3-haiku", llm.ChatCall{Messages: hi,
			Options: llm.Options{MaxTokens: "1", Temperature: "2", TopP: "3", TopK: "4", Stop: []string{"", "END"}}},
			`"messages":[{"role":"user","content":"Hi"}],"max_tokens":512,"temperature":0.5,"top_p":0.9,"top_k":3,"stop_sequences":["END"]|`},
		{"a top_p of 1 says nothing", Settings{TopP: "1.0"}, "claude-2.1", llm.ChatCall{Messages: hi, Options: llm.Options{Temperature: "1e-1", MaxCompletionTokens: "7", MaxTokens: "8"}},
			`"messages":[{"role":"user","content":"Hi"}],"max_tokens":7,"temperature":1e-1|`},
		{"one of both", Settings{TopP: "0.9"}, "claude-sonnet-4-5-20250929", llm.ChatCall{Messages: hi, Options: llm.Options{Temperature: "0.5", TopK: "1"}},
			`"messages":[{"role":"user","content":"Hi"}],"max_tokens":4096,"temperature":0.5,"top_k":1|`},
		{"no sampling", Settings{TopP: "0.9", Temperature: "1"}, "claude-opus-4-8", llm.ChatCall{Messages: hi, Options: llm.Options{TopK: "1"}}, `"messages":[{"role":"user","content":"Hi"}]`},
		{"a form, a user", Settings{}, "", llm.ChatCall{Messages: hi, User: "u1", Output: llm.Output{Kind: "json_schema", Name: "n", Schema: []byte(`{"a":1}`)}},
			`"messages":[{"role":"user","content":"Hi"}]|"output_config":{"format":{"type":"json_schema","schema":{"a":1}}},"metadata":{"user_id":"u1"}`},
		{"effort of a model with budgets", Settings{Temperature: "0.5"}, "claude-sonnet-4-5", llm.ChatCall{Messages: hi, Reasoning: llm.Reasoning{Effort: "low"}},
			`"messages":[{"role":"user","content":"Hi"}],"max_tokens":6144|"thinking":{"type":"enabled","budget_tokens":2048}`},
		{"a budget beyond the limit", Settings{MaxTokens: "3000"}, "claude-sonnet-4-5", llm.ChatCall{Messages: hi, Reasoning: llm.Reasoning{Effort: "max"}},
			`"messages":[{"role":"user","content":"Hi"}],"max_tokens":3000|"thinking":{"type":"enabled","budget_tokens":1500}`},
		{"a limit without room", Settings{MaxTokens: "1024"}, "claude-sonnet-4-5", llm.ChatCall{Messages: hi, Reasoning: llm.Reasoning{Effort: "low"}},
			`"messages":[{"role":"user","content":"Hi"}],"max_tokens":1024|`},
		{"effort of a model that adapts", Settings{}, "claude-opus-4-6", llm.ChatCall{Messages: hi, Reasoning: llm.Reasoning{Effort: "xhigh"}},
			`"messages":[{"role":"user","content":"Hi"}]|"thinking":{"type":"adaptive"},"output_config":{"effort":"high"}`},
		{"a budget of a model that adapts", Settings{}, "claude-sonnet-5", llm.ChatCall{Messages: hi, Reasoning: llm.Reasoning{Mode: "enabled", Budget: "5000"}, Output: llm.Output{Kind: "json_schema", Schema: []byte(`{}`)}},
			`"messages":[{"role":"user","content":"Hi"}]|"thinking":{"type":"adaptive"},"output_config":{"effort":"medium","format":{"type":"json_schema","schema":{}}}`},
		{"the vendor's own member", Settings{Temperature: "1"}, "m", llm.ChatCall{Origin: llm.OpenAI, Messages: hi, Extra: []llm.Member{{Name: "n", Value: []byte("2")}, {Name: "thinking", Value: []byte(`{"type":"enabled","budget_tokens":1024}`)}}},
			`"messages":[{"role":"user","content":"Hi"}]|"thinking":{"type":"enabled","budget_tokens":1024}`},
		{"what only the vendor knows", Settings{ParamName: "key", ParamValue: `"k"`, Temperature: "1"}, "m", llm.ChatCall{Origin: llm.OpenAI, Messages: hi, Extra: []llm.Member{{Name: "seed", Value: []byte("2")}, {Name: "extra_body",
			Value: []byte(`{"Model":"x","system":"x","key":"x","service_tier":"auto","service_tier":"x","thinking":{"type":"adaptive"},"metadata":{"user_id":"x"}}`)}}, User: "u"},
			`"messages":[{"role":"user","content":"Hi"}]|"thinking":{"type":"adaptive"},"metadata":{"user_id":"u"},"service_tier":"auto","key":"k"`},
		{"no thoughts when a tool must be used", Settings{}, "claude-opus-4-6", llm.ChatCall{Messages: hi, Reasoning: llm.Reasoning{Effort: "high"}, ToolChoice: llm.ToolChoice{Mode: "required"}, Tools: []llm.Tool{{Name: "a", Parameters: []byte("{}")}}},
			`"messages":[{"role":"user","content":"Hi"}]|"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"any"}`},
		{"no thoughts after some that were lost", Settings{}, "claude-opus-4-6", llm.ChatCall{Reasoning: llm.Reasoning{Effort: "high"}, Messages: []llm.Message{hi[0],
			{Role: llm.RoleAssistant, Calls: []llm.ToolCall{{ID: "t", Name: "a"}}}, {Role: llm.RoleTool, CallID: "t"}}},
			`"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"a","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]`},
		{"no thoughts of old models", Settings{}, "claude-3-5-sonnet-20241022", llm.ChatCall{Messages: hi, Reasoning: llm.Reasoning{Effort: "high"}}, `"messages":[{"role":"user","content":"Hi"}]`},
		{"no thoughts", Settings{}, "claude-opus-4-6", llm.ChatCall{Messages: hi, Reasoning: llm.Reasoning{Effort: "none"}}, `"messages":[{"role":"user","content":"Hi"}]`},
		{"credentials", Settings{ParamName: "key", ParamValue: `"k"`}, "", llm.ChatCall{Messages: hi}, `"messages":[{"role":"user","content":"Hi"}]|"key":"k"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.settings.Route = llm.Chat
			if tt.model == "" {
				tt.model = "m"
			}
			got, err := anthropic(t).Request(&Call{Settings: &tt.settings, Format: llm.OpenAI, Model: tt.model},
				&llm.Request{Format: llm.OpenAI, Decoder: anthropicDecoder{chat: &tt.chat}})
			if err != nil {
				t.Fatal(err)
			}
			if want := anthropicWant(tt.model, tt.want); want != string(got) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if !json.Valid(got) {
				t.Error("not JSON")
			}
		})
	}
	for name, m := range map[string]llm.ChatCall{
		"audio":        {Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartAudio, Data: []byte("AA")}}}}},
		"another tool": {Messages: hi, Tools: []llm.Tool{{JSON: []byte(`{"type":"custom","custom":{"name":"x"}}`)}}},
	} {
		if got, err := anthropic(t).Request(&Call{Settings: &Settings{Route: llm.Chat}}, &llm.Request{Decoder: anthropicDecoder{chat: &m}}); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// anthropicWant fills in what the cases leave out: | stands for the stream, and
// where no limit is written the usual one is.
func anthropicWant(model, members string) string {
	before, after, _ := strings.Cut(members, "|")
	if !strings.Contains(before, `"max_tokens"`) {
		before += `,"max_tokens":4096`
	}
	if after != "" {
		after = "," + after
	}
	return `{"model":"` + model + `",` + before + `,"stream":false` + after + "}"
}

// TestAnthropicEdits shows what is changed in the bodies of callers who speak the
// vendor's format.
func TestAnthropicEdits(t *testing.T) {
	signed := `{ "model":"m", "max_tokens":10,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"a\u0062","signature":"c2ln"}]}], "thinking":{"type":"enabled","budget_tokens":1024},"temperature":1 }`
	for _, tt := range []struct {
		name, operation string
		settings        Settings
		model           string
		streams         bool
		in, want        string
	}{
		{"nothing", "", Settings{}, "m", false, signed, signed},
		{"configured", "/v1/messages", Settings{MaxTokens: "512", Temperature: "0.5", TopP: "0.9", TopK: "3"}, "claude-3-haiku", false,
			`{"messages":[1],"max_tokens":1,"x":1.50}`, `{"messages":[1],"max_tokens":512,"x":1.50,"model":"claude-3-haiku","temperature":0.5,"top_p":0.9,"top_k":3}`},
		{"a thinking caller keeps its sampling", "", Settings{MaxTokens: "512", Temperature: "0.5", TopK: "3"}, "m", false, signed, strings.Replace(signed, `"max_tokens":10`, `"max_tokens":512`, 1)},
		{"one of both", "", Settings{Temperature: "0.5"}, "claude-opus-4-1", false, `{"model":"claude-opus-4-1","top_p":0.3,"messages":[1]}`, `{"model":"claude-opus-4-1","messages":[1],"temperature":0.5}`},
		{"the other of both", "", Settings{TopP: "0.5"}, "claude-opus-4-1", false, `{"model":"claude-opus-4-1","temperature":0.3,"messages":[1]}`, `{"model":"claude-opus-4-1","messages":[1],"top_p":0.5}`},
		{"no sampling", "", Settings{Temperature: "0.5", TopP: "0.3"}, "claude-opus-4-7", false, `{"model":"claude-opus-4-7","messages":[1]}`, `{"model":"claude-opus-4-7","messages":[1]}`},
		{"always a stream", "", Settings{}, "m", true, `{"model":"m","messages":[1]}`, `{"model":"m","messages":[1],"stream":true}`},
		{"never a stream", "", Settings{}, "m", false, `{"model":"m","stream":true,"messages":[1]}`, `{"model":"m","stream":false,"messages":[1]}`},
		{"counting", "/v1/messages/count_tokens", Settings{MaxTokens: "512", Temperature: "1"}, "m2", false, `{"model":"m","messages":[1]}`, `{"model":"m2","messages":[1]}`},
		{"batches", "/v1/messages/batches", Settings{MaxTokens: "512"}, "m2", false, `{"requests":[{"params":{"model":"m"}}]}`, `{"requests":[{"params":{"model":"m"}}]}`},
		{"credentials", "", Settings{ParamName: "key", ParamValue: `"k"`}, "m", false, `{"key":"own","model":"m","messages":[1]}`, `{"key":"k","model":"m","messages":[1]}`},
		{"own credentials", "", Settings{ParamName: "key", ParamValue: `"k"`, ParamOverride: true}, "m", false, `{"key":"own","model":"m","messages":[1]}`, `{"key":"own","model":"m","messages":[1]}`},
		{"credentials of batches", "/v1/messages/batches", Settings{ParamName: "key", ParamValue: `"k"`}, "m", false, `{"requests":[]}`, `{"requests":[],"key":"k"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.settings.Route = llm.Chat
			var request llm.Request
			if err := client.NewAnthropic(llm.Chat, tt.settings.ParamName).Read(client.Incoming{Path: "/any" + tt.operation, Body: []byte(tt.in)}, &request); err != nil {
				t.Fatal(err)
			}
			got, err := anthropic(t).Request(&Call{Settings: &tt.settings, Format: llm.Anthropic, Operation: request.Operation, Model: tt.model, Streams: tt.streams}, &request)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want != string(got) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAnthropicAddress(t *testing.T) {
	p := anthropic(t)
	for _, tt := range []struct {
		route           llm.Route
		operation, want string
	}{
		{llm.Chat, "", "/v1/messages"},
		{llm.Chat, "/v1/messages", "/v1/messages"},
		{llm.Chat, "/v1/messages/count_tokens", "/v1/messages/count_tokens"},
		{llm.Chat, "/v1/messages/batches/b1/results", "/v1/messages/batches/b1/results"},
		{llm.Batches, "", "/v1/messages/batches"},
		{llm.Batches, "/b1/cancel", "/v1/messages/batches/b1/cancel"},
		{llm.Completions, "", "/v1/complete"},
		{llm.Preserve, "", ""},
	} {
		got, err := p.Endpoint(&Call{Settings: &Settings{Route: tt.route}, Operation: tt.operation})
		if err != nil || got != (Endpoint{Scheme: "https", Host: "api.anthropic.com", Port: 443, Path: tt.want}) {
			t.Errorf("%s%s goes to %+v, %v", tt.route, tt.operation, got, err)
		}
		if format, ok := p.Format(tt.route); !ok || format != llm.Anthropic {
			t.Errorf("%s: format %s, %v", tt.route, format, ok)
		}
	}
	if _, ok := p.Format(llm.Embeddings); ok {
		t.Error("it has embeddings")
	}
	header := http.Header{}
	p.Headers(&Call{}, header)
	if got := header.Get("anthropic-version"); got != "2023-06-01" {
		t.Errorf("version %q", got)
	}
	header.Set("anthropic-version", "own")
	if p.Headers(&Call{}, header); header.Get("anthropic-version") != "own" {
		t.Errorf("the caller's version became %q", header.Get("anthropic-version"))
	}
	configured := "2024-01-01"
	if p.Headers(&Call{Options: &pluginpb.AiModelOptions{AnthropicVersion: &configured}}, header); header.Get("anthropic-version") != configured {
		t.Errorf("the configured version is %q", header.Get("anthropic-version"))
	}
}

func TestAnthropicModels(t *testing.T) {
	for name, want := range map[string]anthropicModel{
		"claude-opus-4-7": 407, "claude-sonnet-4-20250514": 400, "claude-3-7-sonnet-latest": 307, "claude-3-opus-20240229": 300,
		"claude-2.1": 201, "claude-instant-1.2": 102, "claude-opus-4-5@20251101": 405, "anthropic.claude-haiku-4-5-20251001-v1:0": 405,
		"claude-sonnet-5": 500, "claude-fable-5-1": 501, "claude-fable": 500, "claude-mythos-preview": 500, "my-model-4-7": 0, "claude-next": 0,
	} {
		if got := anthropicModelOf(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

// TestAnthropicFixtures runs the samples of requests and answers that
// GIBBON_EXTRA_FIXTURES points at.
func TestAnthropicFixtures(t *testing.T) {
	root := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if root == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set")
	}
	if nested := filepath.Join(root, "ai-proxy"); anthropicIsDir(nested) {
		root = nested
	}
	read := func(parts ...string) []byte {
		data, err := os.ReadFile(filepath.Join(append([]string{root}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, route := range []llm.Route{llm.Chat, llm.Completions} {
		file := strings.ReplaceAll(string(route), "/", "-") + ".json"
		settings := &Settings{Route: route, MaxTokens: "512", Temperature: "0.5", TopP: "1.0"}
		call := &Call{Settings: settings, Format: llm.OpenAI, Model: "claude-2.1"}
		var request llm.Request
		if err := client.NewOpenAI(route, "").Read(client.Incoming{Body: read("unit", "requests", file)}, &request); err != nil {
			t.Fatal(err)
		}
		got, err := anthropic(t).Request(call, &request)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if err := errors.Join(json.Unmarshal(read("unit", "expected-requests", "anthropic", file), &a), json.Unmarshal(got, &b)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s (-want +got):\n%s", route, diff)
		}
		answer, err := anthropic(t).Response(call, read("unit", "real-responses", "anthropic", file))
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Model   string
			Choices []struct {
				Text    string
				Message struct{ Role, Content string }
			}
		}
		if err := json.Unmarshal(read("unit", "expected-responses", "anthropic", file), &want); err != nil {
			t.Fatal(err)
		}
		if text := answer.Chat.Choices[0].Message.Parts[0].Text; text != want.Choices[0].Text+want.Choices[0].Message.Content || answer.Model != want.Model {
			t.Errorf("%s: model %s, text %q", route, answer.Model, text)
		}
	}
}

func anthropicIsDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// FuzzAnthropicRequest writes requests for whatever callers of OpenAI's format
// send: JSON comes out, or an error.
func FuzzAnthropicRequest(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":[{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]},{"role":"assistant","content":null,"tool_calls":[{"id":"t 1","type":"function","function":{"name":"f","arguments":"{"}}]},{"role":"tool","tool_call_id":"t 1","content":"c"}],"tools":[{"type":"function","function":{"name":"f","parameters":null}}],"tool_choice":"auto","stop":["x"],"thinking":{"type":"adaptive"}}`,
		`{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"A","format":"wav"}}]}]}`,
		`{"messages":[{"content":[{"type":"x"}],"tool_calls":[{"type":"custom"}]},1,{"role":"tool"}],"tools":[{"name":"a"}]}`,
		`{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:text/plain;base64,AAAA"}}]}],"response_format":{"type":"json_schema","json_schema":{"schema":{}}},"reasoning_effort":"high","max_tokens":5000,"extra_body":{"a":1,"thinking":{"type":"x"}}}`,
	} {
		f.Add([]byte(seed))
	}
	reader := client.NewOpenAI(llm.Chat, "")
	settings := &Settings{Route: llm.Chat, ParamName: "k", ParamValue: "1"}
	f.Fuzz(func(t *testing.T, body []byte) {
		var request llm.Request
		if reader.Read(client.Incoming{Body: body}, &request) != nil {
			return
		}
		got, err := anthropic(t).Request(&Call{Settings: settings, Format: llm.OpenAI, Model: "claude-sonnet-4-5"}, &request)
		if err == nil && !json.Valid(got) {
			t.Fatalf("%q becomes %q", body, got)
		}
	})
}
