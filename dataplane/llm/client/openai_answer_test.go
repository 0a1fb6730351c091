package client

import (
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

func TestOpenAIAnswerGoldens(t *testing.T) {
	text := func(kind llm.PartKind, s string) llm.Part { return llm.Part{Kind: kind, Text: s} }
	for name, tt := range map[string]struct {
		route  llm.Route
		answer llm.ChatAnswer
	}{
		"text": {llm.Chat, llm.ChatAnswer{ID: "msg_1", Model: "m-1", Created: 1790000000, Origin: llm.Anthropic,
			Usage: usage12, Extra: []llm.Member{{Name: "stop_sequence", Value: []byte("null")}},
			Choices: []llm.Choice{{Finish: llm.FinishStop, Message: llm.Message{Role: llm.RoleAssistant, Parts: []llm.Part{
				text(llm.PartReasoning, "2+2"), text(llm.PartText, "Fo\"u"), text(llm.PartText, "r.\n"), text(llm.PartRedacted, ""),
			}}}}}},
		"calls": {llm.Chat, llm.ChatAnswer{ID: "r", Created: 1790000000, Choices: []llm.Choice{{Message: llm.Message{Calls: []llm.ToolCall{
			{ID: "a", Name: "stock", Arguments: `{"n":1e400}`, Signature: "c2ln"}, {Name: "price"},
		}}}}}},
		"refusal": {llm.Chat, llm.ChatAnswer{Choices: []llm.Choice{
			{Finish: llm.FinishFiltered, Message: llm.Message{Parts: []llm.Part{text(llm.PartRefusal, "no")}}, Logprobs: []byte(`{"content":[]}`)},
			{Finish: llm.FinishEnd},
		}}},
		"image": {llm.Chat, llm.ChatAnswer{Choices: []llm.Choice{{Message: llm.Message{Parts: []llm.Part{
			text(llm.PartText, "see"), {Kind: llm.PartImage, MediaType: "image/png", Data: []byte("AAAA")}, {Kind: llm.PartImage, URL: "https://a"}, {Kind: llm.PartImage},
		}}}}}},
		"trace": {llm.Chat, llm.ChatAnswer{ID: "c", Origin: llm.Bedrock, Choices: []llm.Choice{{Finish: llm.FinishFiltered, Message: llm.Message{Parts: []llm.Part{text(llm.PartText, "Sorry.")}}}},
			Extra: []llm.Member{{Name: "trace", Value: []byte(`{"guardrail":{"n":1.0}}`)}, {Name: "additionalModelResponseFields", Value: []byte("{}")}}}},
		"none":       {llm.Chat, llm.ChatAnswer{}},
		"own":        {llm.Chat, llm.ChatAnswer{ID: "c", Origin: llm.OpenAI, Usage: llm.Usage{Tier: "default"}, Extra: []llm.Member{{Name: "system_fingerprint", Value: []byte(`"fp"`)}}, Choices: []llm.Choice{{Message: llm.Message{Extra: []llm.Member{{Name: "annotations", Value: []byte("[]")}}}}}}},
		"completion": {llm.Completions, llm.ChatAnswer{Model: "m-1", Choices: []llm.Choice{{Finish: llm.FinishLength, Message: llm.Message{Parts: []llm.Part{text(llm.PartText, "Four.")}}}}, Usage: usage12}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := NewOpenAI(tt.route, "").AppendAnswer(nil, &llm.Request{Model: "asked"}, &tt.answer)
				if !json.Valid(got) {
					t.Errorf("%s is no JSON", got)
				}
				golden(t, "openai-answer-"+name+".json", append(madeUp.ReplaceAll(got, []byte(`"${1}MADEUP"`)), '\n'))
			})
		})
	}
}

func TestOpenAIEmbedding(t *testing.T) {
	answer := &llm.EmbeddingAnswer{Model: "e", Vectors: [][]byte{[]byte("[1.0, -2e0]"), []byte(`"AA=="`)}, Usage: llm.Usage{Fresh: llm.Count(4)}}
	for body, want := range map[string]string{
		`{}`:                           `[1.0, -2e0]`,
		`{"encoding_format":"base64"}`: `"AACAPwAAAMA="`,
	} {
		got := NewOpenAI(llm.Embeddings, "").AppendEmbedding(nil, &llm.Request{Body: []byte(body)}, answer)
		want := `{"object":"list","data":[{"object":"embedding","index":0,"embedding":` + want + `},{"object":"embedding","index":1,"embedding":"AA=="}],"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}`
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestOpenAIErrors(t *testing.T) {
	o := NewOpenAI(llm.Chat, "")
	for _, tt := range []struct {
		failure llm.Failure
		want    string
	}{
		{llm.Failure{Status: 400, Message: "a \"b\""}, `{"error":{"message":"a \"b\""}}`},
		{llm.Failure{Status: 429, Type: "rate_limit_error", Message: "slow"}, `{"error":{"message":"slow","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`},
		{llm.Failure{Status: 400, Type: "x", Code: "y", Message: "bad"}, `{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":"y"}}`},
		{llm.Failure{Status: 500, Type: "api_error", Message: "oops"}, `{"error":{"message":"oops","type":"server_error","param":null,"code":null}}`},
	} {
		if diff := cmp.Diff(tt.want, string(o.AppendError(nil, &tt.failure))); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.failure, diff)
		}
	}
}

// TestOpenAIWritesForeignChat shows what becomes of a call of another format.
func TestOpenAIWritesForeignChat(t *testing.T) {
	no := false
	text := func(s string) llm.Part { return llm.Part{Kind: llm.PartText, Text: s} }
	call := &llm.ChatCall{
		Origin: llm.Anthropic, Model: "m", User: "u", ParallelCalls: &no,
		Reasoning:  llm.Reasoning{Mode: "enabled", Budget: "5000"},
		Output:     llm.Output{Kind: "json_schema", Schema: []byte(`{}`)},
		ToolChoice: llm.ToolChoice{Mode: "function", Name: "stock"},
		Options:    llm.Options{MaxTokens: "64", Stop: []string{"a", "b", "c", "d", "e"}, StopList: true},
		Extra:      []llm.Member{{Name: "service_tier", Value: []byte(`"auto"`)}},
		Tools: []llm.Tool{
			{JSON: []byte(`{"type":"web_search_20250305"}`)},
			{Name: "stock", Description: "d", Parameters: []byte(`{}`), Cache: []byte(`{}`)},
		},
		Messages: []llm.Message{
			{Role: llm.RoleSystem, Parts: []llm.Part{text("One."), text("Two.")}},
			{Role: llm.RoleUser, Parts: []llm.Part{text("Stock?")}, Extra: []llm.Member{{Name: "x", Value: []byte("1")}}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "t", Signature: "s"}, {Kind: llm.PartRedacted, Data: []byte("d")}}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "t", Signature: "s"}}, Calls: []llm.ToolCall{{ID: "t1", Name: "stock", Signature: "x"}, {ID: "t2", JSON: []byte(`{"type":"server_tool_use"}`)}}},
			{Role: llm.RoleTool, CallID: "t1", Failed: true, Parts: []llm.Part{text("broken"), {Kind: llm.PartImage, MediaType: "image/png", Data: []byte("AAAA")}}},
			{Role: llm.RoleTool, CallID: "t2", Failed: true},
			{Role: llm.RoleUser, Parts: []llm.Part{text("See"), {Kind: llm.PartFile, MediaType: "application/pdf", Data: []byte("BB")}, {Kind: llm.PartOther, JSON: []byte(`{"type":"search_result"}`)}}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{text("a"), text("b")}},
		},
	}
	want := `{"model":"m","messages":[{"role":"system","content":"One.\nTwo."},{"role":"user","content":"Stock?"},` +
		`{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"stock","arguments":"{}"}}]},` +
		`{"role":"tool","content":"Error: broken","tool_call_id":"t1"},{"role":"tool","content":"Error","tool_call_id":"t2"},` +
		`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},` +
		`{"role":"user","content":[{"type":"text","text":"See"},{"type":"file","file":{"filename":"document","file_data":"data:application/pdf;base64,BB"}}]},` +
		`{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],` +
		`"tools":[{"type":"function","function":{"name":"stock","description":"d","parameters":{}}}],"tool_choice":{"type":"function","function":{"name":"stock"}},"parallel_tool_calls":false,` +
		`"reasoning_effort":"medium","response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{}}},"user":"u","max_tokens":64,"stop":["a","b","c","d"]}`
	if diff := cmp.Diff(want, string(AppendChat(nil, call))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestImagesAreNotCopied checks that an image stays where it is in the body.
func TestImagesAreNotCopied(t *testing.T) {
	body := []byte(`{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`)
	o := NewOpenAI(llm.Chat, "")
	var r llm.Request
	if err := o.Read(Incoming{Body: body}, &r); err != nil {
		t.Fatal(err)
	}
	chat, err := r.Chat()
	if err != nil {
		t.Fatal(err)
	}
	p := chat.Messages[0].Parts[0]
	if string(p.Data) != "AAAA" || p.MediaType != "image/png" || p.URL != "" || p.JSON != nil {
		t.Fatalf("%+v", p)
	}
	body[len(body)-10] = 'B'
	if string(p.Data) == "AAAA" {
		t.Error("the data was copied")
	}
}
