package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

const bedrockAsk = `{"messages":[{"role":"user","content":[{"text":"Hi there"}]}]}`

func TestBedrockRead(t *testing.T) {
	named := func(model, operation string) map[string]string {
		return map[string]string{"model": model, "operation": operation}
	}
	for _, tt := range []struct {
		name  string
		route llm.Route
		in    Incoming
		want  string // operation, model, streams; or the error
	}{
		{"converse", llm.Chat, Incoming{Path: "/r/model/anthropic.claude-3%3A0/converse"}, "/model/anthropic.claude-3%3A0/converse anthropic.claude-3:0 false"},
		{"colon", llm.Chat, Incoming{Path: "/model/m:0/converse-stream"}, "/model/m%3A0/converse-stream m:0 true"},
		{"arn", llm.Chat, Incoming{Path: "/model/arn%3Aaws%3Abedrock%3Ax%3A1%3Ainference-profile%2Fp/invoke"}, "/model/arn%3Aaws%3Abedrock%3Ax%3A1%3Ainference-profile%2Fp/invoke arn:aws:bedrock:x:1:inference-profile/p false"},
		{"arn unescaped", llm.Chat, Incoming{Path: "/model/arn:aws:bedrock:x:1:inference-profile/p/invoke-with-response-stream"}, "/model/arn%3Aaws%3Abedrock%3Ax%3A1%3Ainference-profile%2Fp/invoke-with-response-stream arn:aws:bedrock:x:1:inference-profile/p true"},
		{"model in the prefix", llm.Chat, Incoming{Path: "/model/a/model/m/converse/"}, "/model/m/converse m false"},
		{"captures", llm.Chat, Incoming{Path: "/x", Named: named("m%3A1", "converse-stream")}, "/model/m%3A1/converse-stream m:1 true"},
		{"captured model", llm.Chat, Incoming{Path: "/x/invoke", Named: named("m", "")}, "/model/m/invoke m false"},
		{"captured operation", llm.Chat, Incoming{Path: "/model/m/x", Named: named("", "invoke")}, "/model/m/invoke m false"},
		{"no path", llm.Chat, Incoming{Path: "/chat"}, "  false"},
		{"rerank", llm.Chat, Incoming{Path: "/a/rerank"}, "/rerank  false"},
		{"retrieve", llm.Chat, Incoming{Path: "/retrieveAndGenerateStream"}, "/retrieveAndGenerateStream  true"},
		{"async", llm.Videos, Incoming{Path: "/async-invoke/arn%3Ax%2Fy"}, "/async-invoke/arn%3Ax%2Fy  false"},
		{"model in the body", llm.Videos, Incoming{Path: "/async-invoke", Body: []byte(`{"modelId":"m"}`)}, "/async-invoke m false"},
		{"model twice in the body", llm.Videos, Incoming{Path: "/async-invoke", Body: []byte(`{"modelId":"m","ModelId":"n"}`)}, "field 'modelId' must appear once and in this spelling"},
		{"model of a job", llm.Batches, Incoming{Path: "/model-invocation-job", Body: []byte(`{"modelId":"m"}`)}, "/model-invocation-job m false"},
		{"model of a retrieval", llm.Chat, Incoming{Path: "/retrieveAndGenerate", Body: []byte(`{"retrieveAndGenerateConfiguration":{"knowledgeBaseConfiguration":{"modelArn":"m"}}}`)}, "/retrieveAndGenerate m false"},
		{"two models of a retrieval", llm.Chat, Incoming{Path: "/retrieveAndGenerate", Body: []byte(`{"retrieveAndGenerateConfiguration":{"knowledgeBaseConfiguration":{"modelArn":"m"},"externalSourcesConfiguration":{"modelArn":"n"}}}`)}, "field 'modelArn' must appear once and in this spelling"},
		{"model of a ranking", llm.Chat, Incoming{Path: "/rerank", Body: []byte(`{"rerankingConfiguration":{"bedrockRerankingConfiguration":{"modelConfiguration":{"modelArn":"m"}}}}`)}, "/rerank m false"},
		{"model of no ranking", llm.Chat, Incoming{Path: "/rerank", Body: []byte(`{"rerankingConfiguration":[]}`)}, ErrUnreadable.Message},
		{"batch", llm.Batches, Incoming{Path: "/model-invocations"}, "/model-invocations  false"},
		{"completions", llm.Completions, Incoming{Path: "/model/m/converse"}, "/model/m/converse m false"},
		{"batch on a route for chats", llm.Chat, Incoming{Path: "/model-invocations"}, "[llm/v1/batches] message format is not compatible with [llm/v1/chat] route type"},
		{"chat on a route for vectors", llm.Embeddings, Incoming{Path: "/model/m/converse"}, "[llm/v1/chat] message format is not compatible with [llm/v1/embeddings] route type"},
		{"chat on a route for batches", llm.Batches, Incoming{Path: "/model/m/invoke"}, "[llm/v1/chat] message format is not compatible with [llm/v1/batches] route type"},
		{"preserve", llm.Preserve, Incoming{Path: "/model-invocations", Body: []byte(`{"messages":1,"Messages":2}`)}, "/model-invocations  false"},
		{"no JSON", llm.Chat, Incoming{Path: "/model/m/converse", Body: []byte("{")}, ErrUnreadable.Message},
		{"ambiguous", llm.Chat, Incoming{Path: "/model/m/converse", Body: []byte(`{"messages":[],"Messages":[]}`)}, "field 'messages' must appear once and in this spelling"},
	} {
		var r llm.Request
		got := ""
		if err := NewBedrock(tt.route, "").Read(tt.in, &r); err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%s %s %v", r.Operation, r.Model, r.Streams)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func readBedrock(t testing.TB, b *Bedrock, path, body string) *llm.Request {
	t.Helper()
	r := new(llm.Request)
	if err := b.Read(Incoming{Method: "POST", Path: path, Body: []byte(body)}, r); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return r
}

func TestBedrockJudge(t *testing.T) {
	for _, tt := range []struct {
		path, body string
		prompt     bool
		words      int
	}{
		{"/model/m/converse", bedrockAsk, true, 2},
		{"/model/m/converse", `{"messages":[]}`, false, 0},
		{"/model/m/converse", `{}`, false, 0},
		{"/model/arn%3Aaws%3Abedrock%3Ax%3A1%3Aprompt%2Fp/converse", `{"promptVariables":{}}`, true, 0},
		{"/chat", bedrockAsk, true, 2},
		{"/chat", `{"prompt":"x"}`, false, 1},
		{"/model/m/invoke", `{"inputText":"a b c"}`, true, 3},
		{"/model/m/invoke", ``, false, 0},
		{"/model/m/invoke", `{"anthropic_version":"x","system":"be kind","messages":[{"role":"user","content":"a b"}]}`, true, 4},
		{"/model/m/converse", `{"system":[{"text":"a"}],"messages":[{"content":[{"text":"b c"},{"image":{}},4]},5]}`, true, 3},
		{"/async-invoke/x", ``, true, 0},
		{"/rerank", ``, false, 0},
	} {
		b := NewBedrock(llm.Chat, "")
		r := readBedrock(t, b, tt.path, tt.body)
		if got, words := b.HasPrompt(r), b.Words(r); got != tt.prompt || words != tt.words {
			t.Errorf("%s %s: prompt %v, %d words; want %v, %d", tt.path, tt.body, got, words, tt.prompt, tt.words)
		}
		if err := b.Judge(r); err != nil {
			t.Errorf("%s: %v", tt.body, err)
		}
	}
	b := NewBedrock(llm.Chat, "")
	r := readBedrock(t, b, "/model/m/converse", `{"messages":[`+strings.Repeat("0,", llm.MaxMessages)+`0]}`)
	if err := b.Judge(r); err == nil {
		t.Error("too many messages pass")
	}
	if got := string(b.AppendError(nil, &llm.Failure{Status: 400, Message: `no "x"`})); got != `{"message":"no \"x\""}` {
		t.Errorf("error %s", got)
	}
}

// TestBedrockChat shows what guards see of a call to Converse.
func TestBedrockChat(t *testing.T) {
	const body = `{"system":[{"text":"Be short."},{"cachePoint":{"type":"default"}}],"messages":[` +
		`{"role":"user","content":[{"text":"See"},{"image":{"format":"png","source":{"bytes":"AAAA"}}},{"document":{"format":"txt","name":"d","source":{"s3Location":{"uri":"s3://b/d"}}}},{"guardContent":{"text":{"text":"g"}}},{"video":{"a":1}}]},` +
		`{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}},{"reasoningContent":{"redactedContent":"QQ=="}},{"text":"ok"},{"toolUse":{"toolUseId":"t","name":"f","input":{"n": 1.10}}}]},` +
		`{"role":"user","content":[{"toolResult":{"toolUseId":"t","status":"error","content":[{"json":{"a": 1}},{"text":"b"}]}},{"toolResult":{"toolUseId":"u","content":[{"text":"c"}]}},{"text":"Well?"},{"cachePoint":{"type":"default","ttl":"1h"}}]},` +
		`{"role":"user","content":[{"toolResult":{"toolUseId":"v","content":[{"text":"d"}]}}]}],` +
		`"inferenceConfig":{"maxTokens":5,"temperature":0.10,"topP":1,"stopSequences":["x"]},` +
		`"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}}}},{"cachePoint":{"type":"default"}},{"systemTool":{"name":"s"}}],"toolChoice":{"tool":{"name":"f"}}},` +
		`"guardrailConfig":{"x":1}}`
	r := readBedrock(t, NewBedrock(llm.Chat, ""), "/model/m%3A0/converse-stream", body)
	got, err := r.Chat()
	if err != nil {
		t.Fatal(err)
	}
	streams := true
	said := func(text string) llm.Part { return llm.Part{Kind: llm.PartText, Text: text} }
	want := &llm.ChatCall{
		Origin: llm.Bedrock, Model: "m:0",
		Messages: []llm.Message{
			{Role: llm.RoleSystem, Parts: []llm.Part{{Kind: llm.PartText, Text: "Be short.", Cache: []byte(`{"type":"ephemeral"}`)}}},
			{Role: llm.RoleUser, Parts: []llm.Part{
				said("See"), {Kind: llm.PartImage, MediaType: "image/png", Data: []byte("AAAA")},
				{Kind: llm.PartFile, MediaType: "text/plain", Name: "d", URL: "s3://b/d"},
				{Kind: llm.PartText, Text: "g", JSON: []byte(`{"guardContent":{"text":{"text":"g"}}}`)},
				{JSON: []byte(`{"video":{"a":1}}`)},
			}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{
				{Kind: llm.PartReasoning, Text: "hm", Signature: "s"}, {Kind: llm.PartRedacted, Data: []byte("QQ==")}, said("ok"),
			}, Calls: []llm.ToolCall{{ID: "t", Name: "f", Arguments: `{"n": 1.10}`}}},
			{Role: llm.RoleTool, CallID: "t", Failed: true, Parts: []llm.Part{said(`{"a": 1}`), said("b")}},
			{Role: llm.RoleTool, CallID: "u", Parts: []llm.Part{said("c")}},
			{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "Well?", Cache: []byte(`{"type":"ephemeral","ttl":"1h"}`)}}},
			{Role: llm.RoleTool, CallID: "v", Parts: []llm.Part{said("d")}},
		},
		Tools: []llm.Tool{
			{Name: "f", Description: "d", Parameters: []byte(`{"type":"object"}`), Cache: []byte(`{"type":"ephemeral"}`)},
			{JSON: []byte(`{"systemTool":{"name":"s"}}`)},
		},
		ToolChoice: llm.ToolChoice{Mode: "function", Name: "f"},
		Options:    llm.Options{MaxTokens: "5", Temperature: "0.10", TopP: "1", Stop: []string{"x"}, StopList: true, Stream: &streams},
		Extra:      []llm.Member{{Name: "guardrailConfig", Value: []byte(`{"x":1}`)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("chat (-want +got):\n%s", diff)
	}
}

// TestBedrockModels reads the bodies that models themselves take.
func TestBedrockModels(t *testing.T) {
	r := readBedrock(t, NewBedrock(llm.Chat, ""), "/model/claude/invoke", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"system":"s","messages":[{"role":"user","content":"hi"}]}`)
	chat, err := r.Chat()
	if err != nil || chat.Origin != llm.Anthropic || chat.Model != "claude" || chat.MaxTokens != "9" || len(chat.Messages) != 2 || *chat.Stream {
		t.Errorf("claude: %+v, %v", chat, err)
	}
	r = readBedrock(t, NewBedrock(llm.Chat, ""), "/model/titan/invoke-with-response-stream", `{"inputText":"hi","x":1}`)
	chat, err = r.Chat()
	if err != nil || len(chat.Messages) != 1 || chat.Messages[0].Parts[0].Text != "hi" || !*chat.Stream || len(chat.Extra) != 1 {
		t.Errorf("titan: %+v, %v", chat, err)
	}
	completion, err := r.Decoder.Completion(r)
	if err != nil || len(completion.Prompts) != 1 || completion.Prompts[0] != "hi" || len(completion.Extra) != 1 {
		t.Errorf("completion: %+v, %v", completion, err)
	}
	for body, want := range map[string]string{
		`{"inputText":"a","dimensions":256,"normalize":true}`:                  "[a] false 256 1",
		`{"texts":["a","b"],"input_type":"search_query","output_dimension":3}`: "[a b] true 3 1",
	} {
		r := readBedrock(t, NewBedrock(llm.Embeddings, ""), "/model/m/invoke", body)
		e, err := r.Decoder.Embedding(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%v %v %s %d", e.Texts, e.List, e.Dimensions, len(e.Extra)); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func FuzzBedrockCall(f *testing.F) {
	f.Add("/model/m/converse", bedrockAsk)
	f.Add("/model/m/invoke", `{"anthropic_version":"x","messages":[{"role":"user","content":[{"type":"text"}]}]}`)
	f.Add("/x", `{"system":[{"text":1},{"cachePoint":1}],"messages":[{"content":[{"image":1},{"toolUse":2},{"toolResult":{"content":[{"json":1}]}},{"guardContent":1},{"reasoningContent":{"reasoningText":3}},{"document":{"format":"txt","source":{"bytes":""}}}]}],"toolConfig":{"tools":[{"toolSpec":1}],"toolChoice":3},"inferenceConfig":[]}`)
	f.Add("/async-invoke/%zz", `{"texts":[1],"inputText":[],"prompt":{}}`)
	f.Fuzz(func(t *testing.T, path, body string) {
		for _, route := range []llm.Route{llm.Chat, llm.Embeddings, llm.Preserve} {
			b := NewBedrock(route, "")
			var r llm.Request
			if b.Read(Incoming{Path: path, Body: []byte(body)}, &r) != nil {
				continue
			}
			b.HasPrompt(&r)
			if b.Words(&r) < 0 {
				t.Error("words below 0")
			}
			chat, err := r.Chat()
			if err != nil {
				t.Fatal(err)
			}
			for i := range chat.Messages {
				for j := range chat.Messages[i].Calls {
					if c := &chat.Messages[i].Calls[j]; chat.Origin == llm.Bedrock && !json.Valid([]byte(c.Arguments)) {
						t.Errorf("arguments %q", c.Arguments)
					}
				}
			}
			if _, err := b.Completion(&r); err != nil {
				t.Error(err)
			}
			if _, err := b.Embedding(&r); err != nil {
				t.Error(err)
			}
		}
	})
}
