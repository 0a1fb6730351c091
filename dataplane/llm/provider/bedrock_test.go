package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

var bedrockUpdate = flag.Bool("update-bedrock", false, "rewrite the goldens under testdata/bedrock")

// bedrockGolden compares a JSON text with a file under testdata/bedrock.
func bedrockGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, got, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	out.WriteByte('\n')
	path := filepath.Join("testdata", "bedrock", strings.ReplaceAll(name, " ", "-")+".json")
	if *bedrockUpdate {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func bedrockAsk(route llm.Route, call *Call, body string) ([]byte, error) {
	call.Route = route
	var request llm.Request
	if err := client.NewOpenAI(route, "").Read(client.Incoming{Body: []byte(body)}, &request); err != nil {
		return nil, err
	}
	return (&Bedrock{}).Request(call, &request)
}

func bedrockCall(model string) *Call {
	return &Call{Settings: &Settings{}, Format: llm.OpenAI, Model: model}
}

const (
	bedrockStock = `{"type":"function","function":{"name":"stock","description":"How many.","parameters":{"type":"object","properties":{"sku":{"type":"string"}}}}}`
	bedrockAsks  = `{"role":"assistant","content":null,"tool_calls":[` +
		`{"id":"t1","type":"function","function":{"name":"stock","arguments":"{\"sku\": 12345678901234567890.10}"}},` +
		`{"id":"call.2","type":"function","function":{"name":"stock","arguments":""}}]}`
)

// TestBedrockRequest shows what becomes of the bodies of OpenAI's callers.
func TestBedrockRequest(t *testing.T) {
	tuned := func() *Call {
		call := bedrockCall("anthropic.claude-sonnet-4-20250514-v1:0")
		call.MaxTokens, call.Temperature, call.TopP, call.TopK = "8192", "0.8", "0.6", "1"
		call.Options = &pluginpb.AiModelOptions{
			AnthropicVersion: proto.String("bedrock-2099-01-01"),
			Bedrock:          &pluginpb.AiBedrock{PerformanceConfigLatency: proto.String("optimized")},
		}
		return call
	}
	const claude = "us.anthropic.claude-sonnet-4-20250514-v1:0"
	for _, tt := range []struct {
		name  string
		route llm.Route
		call  *Call
		body  string
	}{
		{"plain", llm.Chat, bedrockCall("m"), `{"messages":[{"role":"user","content":"Hi"}]}`},
		{"tools", llm.Chat, bedrockCall("m"), `{"max_tokens":64,"messages":[{"role":"system","content":"Be short."},{"role":"developer","content":[{"type":"text","text":"And kind."}]},` +
			`{"role":"user","content":"Stock of lamp?"},{"role":"user","content":"Now."},` + bedrockAsks +
			`,{"role":"tool","tool_call_id":"t1","content":"{\"left\":3}"},{"role":"tool","tool_call_id":"call.2","content":"3"},{"role":"user","content":"Well?"}],"tools":[` + bedrockStock + `]}`},
		{"tool results", llm.Chat, bedrockCall("m"), `{"messages":[{"role":"user","content":"x"},` + bedrockAsks +
			`,{"role":"tool","tool_call_id":"t1","status":"error","content":"[1]"},{"role":"tool","tool_call_id":"call.2","content":[{"type":"text","text":"none"},{"type":"text","text":"{\"a\":1}"}]}],"tools":[` + bedrockStock + `],"tool_choice":"auto"}`},
		{"tuned", llm.Chat, tuned(), `{"messages":[{"role":"user","content":"x"}],"max_tokens":1,"temperature":0.1,"top_k":3,"stop":["a","b"],` +
			`"guardrailConfig":{"guardrailIdentifier":"g","guardrailVersion":"1"},"performanceConfig":{"latency":"standard"},"user":"u"}`},
		{"own words", llm.Chat, bedrockCall("m"), `{"messages":[{"role":"user","content":[{"text":"x"},{"guardContent":{"text":{"text":"y"}}}]}],` +
			`"additionalModelRequestFields":{"top_k":5},"bedrock":{"toolConfig":{"tools":[],"toolChoice":{"any":{}}},"additionalModelRequestFields":{"top_k":6},"requestMetadata":{"a":"b"}}}`},
		{"media", llm.Chat, bedrockCall("m"), `{"messages":[{"role":"user","content":[{"type":"text","text":"See"},{"type":"text","text":""},` +
			`{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"image_url","image_url":{"url":"s3://bucket/a.jpeg"}},` +
			`{"type":"file","file":{"filename":"a_b.pdf","file_data":"data:application/pdf;base64,BBBB"}},{"type":"file","file":{"filename":"a_b.pdf","file_data":"data:application/pdf;base64,CCCC"}}]}]}`},
		{"form", llm.Chat, bedrockCall(claude), `{"messages":[{"role":"user","content":"x"}],"reasoning_effort":"high","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"type":"number"}}}}}}`},
		{"form beside tools", llm.Chat, bedrockCall("m"), `{"messages":[{"role":"user","content":"x"}],"tools":[` + bedrockStock + `],"response_format":{"type":"json_object"}}`},
		{"form after a named tool", llm.Chat, bedrockCall("m"), `{"messages":[{"role":"user","content":"x"}],"tools":[` + bedrockStock + `],"tool_choice":{"type":"function","function":{"name":"stock"}},"response_format":{"type":"json_object"}}`},
		{"required", llm.Chat, bedrockCall("m"), `{"messages":[{"role":"user","content":"x"}],"tools":[` + bedrockStock + `],"tool_choice":"required"}`},
		{"no tools", llm.Chat, bedrockCall("m"), `{"messages":[{"role":"user","content":"x"}],"tools":[` + bedrockStock + `],"tool_choice":"none"}`},
		{"thinking", llm.Chat, bedrockCall(claude), `{"messages":[{"role":"user","content":"x"}],"reasoning_effort":"high","temperature":0.2,"max_completion_tokens":4000,"additionalModelRequestFields":{"a":1}}`},
		{"no thinking between calls", llm.Chat, bedrockCall(claude), `{"messages":[{"role":"user","content":"x"},` + bedrockAsks + `,{"role":"tool","tool_call_id":"t1","content":"1"}],"reasoning_effort":"high","tools":[` + bedrockStock + `]}`},
		{"completion", llm.Completions, bedrockCall("m"), `{"prompt":"Once","max_tokens":5}`},
		{"embedding titan", llm.Embeddings, &Call{Settings: &Settings{}, Model: "amazon.titan-embed-text-v2:0", Options: &pluginpb.AiModelOptions{
			EmbeddingsDimensions: proto.Int64(256), Bedrock: &pluginpb.AiBedrock{EmbeddingsNormalize: proto.Bool(true)}}}, `{"input":"a"}`},
		{"embedding titan 1", llm.Embeddings, bedrockCall("amazon.titan-embed-text-v1"), `{"input":["a"],"dimensions":3}`},
		{"embedding cohere", llm.Embeddings, bedrockCall("cohere.embed-english-v3"), `{"input":["a","b"]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := bedrockAsk(tt.route, tt.call, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			bedrockGolden(t, "request "+tt.name, got)
		})
	}
}

// TestBedrockThoughts gives back what a model has signed, and to no other model.
func TestBedrockThoughts(t *testing.T) {
	chat := &llm.ChatCall{Origin: llm.Anthropic, Messages: []llm.Message{
		{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "x", Cache: []byte(`{"type":"ephemeral","ttl":"1h"}`)}}},
		{Role: llm.RoleAssistant, Parts: []llm.Part{
			{Kind: llm.PartReasoning, Text: "unsigned"}, {Kind: llm.PartReasoning, Text: "hm", Signature: "s"}, {Kind: llm.PartRedacted, Data: []byte("QUJD")},
			{Kind: llm.PartOther, JSON: []byte(`{"type":"server_tool_use"}`)},
		}, Calls: []llm.ToolCall{{ID: "t", Name: "f", Arguments: "{}"}}},
		{Role: llm.RoleTool, CallID: "t", Failed: true, Parts: []llm.Part{{Kind: llm.PartText, Text: "12"}}},
	}, Reasoning: llm.Reasoning{Mode: "enabled", Budget: "2000"}, Extra: []llm.Member{{Name: "anthropic_beta", Value: []byte(`["b"]`)}}}
	for name, model := range map[string]string{"claude": "anthropic.claude-x", "other": "amazon.nova-pro-v1:0"} {
		request := &llm.Request{Format: llm.Anthropic, Body: []byte("{}"), Decoder: bedrockNeutral{chat}}
		call := bedrockCall(model)
		call.Route = llm.Chat
		got, err := (&Bedrock{}).Request(call, request)
		if err != nil {
			t.Fatal(err)
		}
		bedrockGolden(t, "request thoughts "+name, got)
	}
}

// bedrockNeutral is a decoder that knows its answer.
type bedrockNeutral struct{ chat *llm.ChatCall }

func (n bedrockNeutral) Chat(*llm.Request) (*llm.ChatCall, error) { return n.chat, nil }
func (bedrockNeutral) Completion(*llm.Request) (*llm.CompletionCall, error) {
	return nil, errors.New("none")
}
func (bedrockNeutral) Embedding(*llm.Request) (*llm.EmbeddingCall, error) {
	return nil, errors.New("none")
}

// TestBedrockCache marks what to cache for models that have a cache only.
func TestBedrockCache(t *testing.T) {
	for model, want := range map[string]bool{
		"eu.anthropic.claude-x": true, "amazon.nova-lite-v1:0": true, "arn:aws:bedrock:x:1:inference-profile/p": true, "meta.llama3-8b": false,
	} {
		chat := &llm.ChatCall{Messages: []llm.Message{{Role: llm.RoleSystem, Parts: []llm.Part{{Kind: llm.PartText, Text: "x", Cache: []byte("{}")}}}}}
		call := bedrockCall(model)
		call.Route = llm.Chat
		got, err := (&Bedrock{}).Request(call, &llm.Request{Format: llm.Anthropic, Body: []byte("{}"), Decoder: bedrockNeutral{chat}})
		if err != nil || strings.Contains(string(got), "cachePoint") != want {
			t.Errorf("%s: %s, %v", model, got, err)
		}
	}
}

func TestBedrockHeaders(t *testing.T) {
	for _, tt := range []struct {
		call Call
		want string
	}{
		{Call{Settings: &Settings{Route: llm.Chat}, Format: llm.OpenAI}, "application/json"},
		{Call{Settings: &Settings{Route: llm.Chat}, Format: llm.OpenAI, Streams: true}, "application/vnd.amazon.eventstream"},
		{Call{Settings: &Settings{Route: llm.Chat}, Format: llm.Bedrock}, "*/*"},
	} {
		header := http.Header{"Accept": {"*/*"}}
		(&Bedrock{}).Headers(&tt.call, header)
		if got := header.Get("Accept"); got != tt.want {
			t.Errorf("Accept %q, want %q", got, tt.want)
		}
	}
}

// TestBedrockLargeImage copies an image once.
func TestBedrockLargeImage(t *testing.T) {
	data := strings.Repeat("A", 1<<20)
	body := `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + data + `"}}]}],"max_tokens":5}`
	got, err := bedrockAsk(llm.Chat, bedrockCall("m"), body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), data) || cap(got) > len(body)+2*bedrockSlack+4096 {
		t.Errorf("a body of %d bytes became one of %d in %d", len(body), len(got), cap(got))
	}
	if n := testing.AllocsPerRun(5, func() {
		if _, err := bedrockAsk(llm.Chat, bedrockCall("m"), body); err != nil {
			t.Fatal(err)
		}
	}); n > 40 {
		t.Errorf("%v allocations", n)
	}
}

func TestBedrockRequestRefused(t *testing.T) {
	user := func(part string) string { return `{"messages":[{"role":"user","content":[` + part + `]}]}` }
	for _, tt := range []struct {
		route             llm.Route
		model, body, want string
	}{
		{llm.Chat, "amazon.titan-text-express-v1", `{"messages":[{"role":"system","content":"x"}]}`, "system prompts are unsupported for model 'amazon.titan-text-express-v1"},
		{llm.Chat, "eu.mistral.mixtral-8x7b-instruct-v0:1", `{"messages":[{"role":"developer","content":"x"}]}`, "system prompts are unsupported for model 'eu.mistral.mixtral-8x7b-instruct-v0:1"},
		{llm.Chat, "m", `{"messages":[{"role":"tool","tool_call_id":"t","content":"fine"}]}`, "failed to decode function response arguments, not JSON format"},
		{llm.Chat, "m", `{"messages":[{"role":"assistant","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{"}}]}]}`, "failed to decode function call arguments, not JSON format"},
		{llm.Chat, "m", user(`{"type":"image_url","image_url":{"url":"https://x.test/a.png"}}`), "Bedrock takes images and documents as data or from S3, and fetches none"},
		{llm.Chat, "m", user(`{"type":"image_url","image_url":{"url":"data:image/bmp;base64,AA"}}`), `media type "image/bmp" is not supported by Bedrock`},
		{llm.Chat, "m", user(`{"type":"video","video":{}}`), `a part of type "video" is not supported by Bedrock`},
		{llm.Images, "m", `{"prompt":"a"}`, "image/v1/images/generations is only for callers of Bedrock's own format"},
		{llm.Completions, "m", `{"prompt":["a","b"]}`, "a completion by Bedrock takes exactly one prompt"},
		{llm.Embeddings, "amazon.titan-embed-text-v2:0", `{"input":["a","b"]}`, "the model embeds one text at a time"},
		{llm.Embeddings, "amazon.titan-embed-text-v2:0", `{"input":[1,2]}`, "Bedrock embeds texts, and no tokens"},
	} {
		if got, err := bedrockAsk(tt.route, bedrockCall(tt.model), tt.body); err == nil || err.Error() != tt.want {
			t.Errorf("%s: body %s, error %v, want %s", tt.body, got, err, tt.want)
		}
	}
}

func TestBedrockEndpoint(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	region := &pluginpb.AiModelOptions{Bedrock: &pluginpb.AiBedrock{AwsRegion: proto.String("eu-west-1")}}
	const model = "anthropic.claude-3:0"
	for _, tt := range []struct {
		name string
		call Call
		want string
	}{
		{"chat", Call{Model: model}, "bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-3%3A0/converse"},
		{"stream", Call{Model: model, Streams: true}, "bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-3%3A0/converse-stream"},
		{"arn", Call{Model: "arn:aws:bedrock:eu-west-1:1:inference-profile/x y"}, "bedrock-runtime.eu-west-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx%20y/converse"},
		{"native", Call{Model: model, Operation: "/model/other/invoke-with-response-stream"}, "bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-3%3A0/invoke-with-response-stream"},
		{"rerank", Call{Operation: "/rerank"}, "bedrock-agent-runtime.eu-west-1.amazonaws.com/rerank"},
		{"async", Call{Operation: "/async-invoke/a%3Ab"}, "bedrock-runtime.eu-west-1.amazonaws.com/async-invoke/a%3Ab"},
		{"traversal", Call{Operation: "/async-invoke/../model"}, `path of the call cannot be ".."`},
		{"hidden traversal", Call{Operation: "/async-invoke/%2e%2e/model"}, `path of the call cannot be ".."`},
		{"unknown", Call{Model: model, Operation: "/model/m/delete"}, "call is none of Bedrock's"},
		{"no model", Call{}, `model cannot be ""`},
		{"dots", Call{Model: ".."}, `model cannot be ".."`},
		{"control", Call{Model: "a\n"}, "model holds a control character"},
		{"bad region", Call{Model: model, Options: &pluginpb.AiModelOptions{Bedrock: &pluginpb.AiBedrock{AwsRegion: proto.String("evil.test/")}}}, `AWS region "evil.test/" is none`},
		{"china", Call{Model: model, Options: &pluginpb.AiModelOptions{Bedrock: &pluginpb.AiBedrock{AwsRegion: proto.String("cn-north-1")}}}, "bedrock-runtime.cn-north-1.amazonaws.com.cn/model/anthropic.claude-3%3A0/converse"},
	} {
		tt.call.Settings = &Settings{Route: llm.Chat}
		if tt.call.Options == nil {
			tt.call.Options = region
		}
		endpoint, err := (&Bedrock{}).Endpoint(&tt.call)
		got := endpoint.Host + endpoint.Path
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	nowhere := &Call{Settings: &Settings{Route: llm.Chat}, Model: model}
	if _, err := (&Bedrock{}).Endpoint(nowhere); err == nil || err.Error() != "AWS region not specified anywhere" {
		t.Errorf("no region: %v", err)
	}
	t.Setenv("AWS_DEFAULT_REGION", "us-east-2")
	if at, err := (&Bedrock{}).Endpoint(nowhere); err != nil || at.Host != "bedrock-runtime.us-east-2.amazonaws.com" {
		t.Errorf("AWS_DEFAULT_REGION: %v, %v", at, err)
	}
	t.Setenv("AWS_REGION", "us-east-1")
	if at, err := (&Bedrock{}).Endpoint(nowhere); err != nil || at.Host != "bedrock-runtime.us-east-1.amazonaws.com" {
		t.Errorf("AWS_REGION: %v, %v", at, err)
	}
}

// bedrockShow is a whole answer in OpenAI's format.
func bedrockShow(route llm.Route, answer *llm.ChatAnswer) []byte {
	return client.NewOpenAI(route, "").AppendAnswer(nil, &llm.Request{Route: route, Model: "m"}, answer)
}

func bedrockAnswerTo(route llm.Route, body string) (Answer, error) {
	call := bedrockCall("m")
	call.Route = route
	return (&Bedrock{}).Response(call, []byte(body))
}

func TestBedrockResponse(t *testing.T) {
	content := func(blocks, reason, more string) string {
		return `{"output":{"message":{"role":"assistant","content":[` + blocks + `]}},"stopReason":"` + reason + `","usage":{"inputTokens":5,"outputTokens":7,"totalTokens":999,"cacheReadInputTokens":3,"cacheWriteInputTokens":2},"metrics":{"latencyMs":1}` + more + `}`
	}
	answer, err := bedrockAnswerTo(llm.Chat, content(`{"reasoningContent":{"reasoningText":{"text":"hm","signature":"sig"}}},{"reasoningContent":{"redactedContent":"QUJD"}},{"text":"Hi "},{"text":"there"},`+
		`{"toolUse":{"toolUseId":"t1","name":"stock","input":{"sku": "a b", "n": 1.10}}},{"toolUse":{"toolUseId":"t2","name":"stock"}}`, "tool_use", `,"trace":{"guardrail":{"a":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &llm.ChatAnswer{Origin: llm.Bedrock,
		Choices: []llm.Choice{{Finish: llm.FinishCalls, Message: llm.Message{Role: llm.RoleAssistant, Parts: []llm.Part{
			{Kind: llm.PartReasoning, Text: "hm", Signature: "sig"}, {Kind: llm.PartRedacted, Data: []byte("QUJD")},
			{Kind: llm.PartText, Text: "Hi "}, {Kind: llm.PartText, Text: "there"},
		}, Calls: []llm.ToolCall{{ID: "t1", Name: "stock", Arguments: `{"sku":"a b","n":1.10}`}, {ID: "t2", Name: "stock", Arguments: "{}"}}}}},
		Usage: llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(5), CacheRead: llm.Count(3), CacheWrite: llm.Count(2), Answer: llm.Count(7)},
		Extra: []llm.Member{{Name: "trace", Value: []byte(`{"guardrail":{"a":1}}`)}},
	}
	if diff := cmp.Diff(want, answer.Chat, cmp.AllowUnexported(llm.Tokens{})); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if answer.Usage.Total() != 17 || answer.TextLength != 8 {
		t.Errorf("total %d, text %d", answer.Usage.Total(), answer.TextLength)
	}
	formed, err := bedrockAnswerTo(llm.Chat, content(`{"text":"Here:"},{"toolUse":{"toolUseId":"t","name":"`+bedrockAnswerTool+`","input":{"a":[1, 2]}}}`, "tool_use", ""))
	if err != nil {
		t.Fatal(err)
	}
	choice := formed.Chat.Choices[0]
	if choice.Finish != llm.FinishEnd || len(choice.Message.Calls) > 0 || len(choice.Message.Parts) != 1 || choice.Message.Parts[0].Text != `{"a":[1,2]}` {
		t.Errorf("answer in a form: %+v", choice)
	}
	for word, finish := range map[string]llm.FinishReason{
		"end_turn": llm.FinishEnd, "stop_sequence": llm.FinishStop, "max_tokens": llm.FinishLength, "model_context_window_exceeded": llm.FinishContext,
		"content_filtered": llm.FinishFiltered, "guardrail_intervened": llm.FinishFiltered, "malformed_model_output": llm.FinishFailed, "new_word": llm.FinishEnd,
	} {
		answer, err := bedrockAnswerTo(llm.Chat, content(`{"text":"x"}`, word, ""))
		if err != nil || answer.Chat.Choices[0].Finish != finish {
			t.Errorf("%s: %v, %v", word, answer.Chat, err)
		}
	}
	for body, reason := range map[string]string{
		`{`:                                      "failed to decode response from Bedrock",
		`[]`:                                     "failed to decode response from Bedrock",
		`{}`:                                     "no generation candidates received from Bedrock, or max_tokens too short",
		`{"output":null}`:                        "no generation candidates received from Bedrock, or max_tokens too short",
		content(``, "max_tokens", ""):            "no generation candidates received from Bedrock, or max_tokens too short",
		`{"output":{"message":{"content":"x"}}}`: "no generation candidates received from Bedrock, or max_tokens too short",
	} {
		var bad *AnswerError
		if _, err := bedrockAnswerTo(llm.Chat, body); !errors.As(err, &bad) || bad.Reason != reason {
			t.Errorf("%s: %v, want %s", body, err, reason)
		}
	}
}

func TestBedrockVectors(t *testing.T) {
	for body, want := range map[string]string{
		`{"embedding":[0.10,-1e-7],"inputTextTokenCount":3}`: "[[0.10,-1e-7]] 3",
		`{"embeddings":[[1],[2]]}`:                           "[[1] [2]] 0",
		`{"embeddings":{"float":[[1],[2]],"int8":[[3]]}}`:    "[[1] [2]] 0",
	} {
		answer, err := bedrockAnswerTo(llm.Embeddings, body)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s %d", answer.Embedding.Vectors, answer.Usage.Prompt()); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	if _, err := bedrockAnswerTo(llm.Embeddings, `{}`); err == nil {
		t.Error("no vectors are an answer")
	}
}

// TestBedrockNative passes bytes, and counts what models of several makers say.
func TestBedrockNative(t *testing.T) {
	call := bedrockCall("m")
	call.Route, call.Format = llm.Chat, llm.Bedrock
	body := []byte(`{"messages": [] , "x":1}`)
	if got, err := (&Bedrock{}).Request(call, &llm.Request{Format: llm.Bedrock, Body: body}); err != nil || &got[0] != &body[0] {
		t.Errorf("request %s, %v", got, err)
	}
	for body, want := range map[string]string{
		`{"output":{"message":{"content":[{"text":"hello"}]}},"usage":{"inputTokens":1,"outputTokens":2}}`:          "1 2 reported 0",
		`{"content":[{"text":"hello"}],"usage":{"input_tokens":1,"cache_read_input_tokens":4,"output_tokens":2}}`:   "5 2 reported 0",
		`{"content":[],"usage":{"input_tokens":1,"output_tokens":9,"output_tokens_details":{"thinking_tokens":5}}}`: "1 9 reported 0",
		`{"inputTextTokenCount":3,"results":[{"tokenCount":4,"outputText":"x"},{"tokenCount":1}]}`:                  "3 5 reported 0",
		`{"generation":"words","prompt_token_count":7,"generation_token_count":8}`:                                  "7 8 reported 0",
		`{"generation":" words "}`:                          "0 0 unknown 5",
		`{"output":{"message":{"content":[{"text":"x"}]}}}`: "0 0 unknown 1",
		`not JSON`: "0 0 unknown 0",
	} {
		answer, err := (&Bedrock{}).Response(call, []byte(body))
		if err != nil || string(answer.Body) != body {
			t.Errorf("%s: %v", body, err)
		}
		u := answer.Usage
		if got := fmt.Sprintf("%d %d %s %d", u.Prompt(), u.Completion(), u.Source(), answer.TextLength); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

// TestBedrockFixtures compares with samples that are no part of the project.
func TestBedrockFixtures(t *testing.T) {
	root := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if root == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set")
	}
	if nested := filepath.Join(root, "ai-proxy"); func() bool { _, err := os.Stat(nested); return err == nil }() {
		root = nested
	}
	read := func(parts ...string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(append([]string{root, "unit"}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	call := bedrockCall("bedrock")
	call.MaxTokens, call.Temperature, call.TopP, call.TopK = "8192", "0.8", "0.6", "1"
	body, err := bedrockAsk(llm.Chat, call, string(read("requests", "llm-v1-chat.json")))
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(body, &got), json.Unmarshal(read("expected-requests", "bedrock", "llm-v1-chat.json"), &want)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	answer, err := bedrockAnswerTo(llm.Chat, string(read("real-responses", "bedrock", "llm-v1-chat.json")))
	if err != nil {
		t.Fatal(err)
	}
	type message struct {
		Choices []struct {
			Message struct{ Role, Content string }
		}
	}
	var gotAnswer, wantAnswer message
	if err := errors.Join(json.Unmarshal(bedrockShow(llm.Chat, answer.Chat), &gotAnswer), json.Unmarshal(read("expected-responses", "bedrock", "llm-v1-chat.json"), &wantAnswer)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantAnswer, gotAnswer); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func FuzzBedrockResponse(f *testing.F) {
	f.Add(`{"output":{"message":{"content":[{"text":"x"},{"toolUse":{"name":"f","input":{"a":1}}},{"reasoningContent":{"reasoningText":{"text":"t"}}},{"citationsContent":{"content":[{"text":"y"}]}}]}},"usage":{"inputTokens":1}}`)
	f.Add(`{"embedding":[1],"embeddings":{"float":[[1]]},"results":[{"tokenCount":1}],"usage":{"input_tokens":"x"}}`)
	f.Add(`{"output":{"message":{"content":[1,null,{"toolUse":3},{"toolUse":{"toolUseId":1,"input":null}}]}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, route := range []llm.Route{llm.Chat, llm.Embeddings} {
			answer, err := bedrockAnswerTo(route, body)
			if err == nil && answer.Chat != nil {
				if shown := bedrockShow(route, answer.Chat); !json.Valid(shown) {
					t.Errorf("answer %s", shown)
				}
			}
			call := bedrockCall("m")
			call.Route, call.Format = route, llm.Bedrock
			if _, err := (&Bedrock{}).Response(call, []byte(body)); err != nil {
				t.Errorf("native: %v", err)
			}
		}
	})
}

func FuzzBedrockRequest(f *testing.F) {
	f.Add(`{"messages":[{"role":"user","content":"x"},` + bedrockAsks + `,{"role":"tool","tool_call_id":"t1","content":"1"}],"tools":[` + bedrockStock + `]}`)
	f.Add(`{"messages":[{"role":"user","content":[{"text":"x"},{"type":"image_url","image_url":"s3://a/b.png"}]}],"bedrock":{"toolConfig":{}},"additionalModelRequestFields":{ },"reasoning_effort":"low"}`)
	f.Add(`{"messages":[{"content":[{"type":"file","file":{"filename":"a","file_data":"x"}}]}],"response_format":{"type":"json_object"},"stop":["a"]}`)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := bedrockAsk(llm.Chat, bedrockCall("anthropic.claude-3"), body)
		if err == nil && !json.Valid(got) {
			t.Errorf("%s became %s", body, strings.ToValidUTF8(string(got), "?"))
		}
	})
}

// What is kept in the cache for an hour costs more, and is told apart.
func TestBedrockLongWrites(t *testing.T) {
	n := llm.Count
	for _, tt := range []struct {
		usage string
		want  llm.Tokens
	}{
		{`{"inputTokens":1,"outputTokens":2,"cacheWriteInputTokens":9,"cacheDetails":[{"ttl":"1h","inputTokens":4},{"ttl":"5m","inputTokens":3},{"ttl":"1h","inputTokens":2}]}`, n(6)},
		{`{"inputTokens":1,"outputTokens":2,"cacheWriteInputTokens":9,"cacheDetails":[{"ttl":"5m","inputTokens":9}]}`, llm.Tokens{}},
		{`{"inputTokens":1,"outputTokens":2,"cacheWriteInputTokens":9,"cacheDetails":[1,{"ttl":1,"inputTokens":9},{"ttl":"1h","inputTokens":"9"}]}`, llm.Tokens{}},
		{`{"inputTokens":1,"outputTokens":2,"cacheWriteInputTokens":9,"cacheDetails":null}`, llm.Tokens{}},
		{`{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":6}}`, n(6)},
	} {
		var u llm.Usage
		want := llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: n(1), Answer: n(2), CacheWrite: n(9), CacheWriteLong: tt.want}
		if ok := bedrockReadUsage(&u, []byte(tt.usage)); !ok || u != want {
			t.Errorf("%s: %t, %+v; want %+v", tt.usage, ok, u, want)
		}
	}
}
