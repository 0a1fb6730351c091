package client

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

func responses(t testing.TB, body string) (*llm.Request, *OpenAI) {
	o := NewOpenAI(llm.Responses, "")
	r := new(llm.Request)
	if err := o.Read(Incoming{Method: "POST", Path: "/v1/responses", Body: []byte(body)}, r); err != nil {
		t.Fatal(err)
	}
	return r, o
}

// TestResponsesChat reads all that a call of the responses API may say.
func TestResponsesChat(t *testing.T) {
	r, _ := responses(t, `{"model":"m","instructions":"Be short.","input":[
		{"role":"user","content":[{"type":"input_text","text":"Stock?"},{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"},
			{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,BBBB"},{"type":"input_file","file_id":"f"},{"type":"input_file","file_url":"http://a","x":1},
			{"type":"input_audio","input_audio":{"data":"CC","format":"wav"}},{"type":"other"},{"type":"input_text"},{"type":"input_text","text":"a","Text":"b"}]},
		{"type":"reasoning","id":"rs","summary":[],"encrypted_content":"x"},
		{"type":"message","id":"msg","role":"assistant","status":"completed","content":[{"type":"output_text","text":"I look.","annotations":[]},{"type":"refusal","refusal":"no"}]},
		{"type":"function_call","call_id":"t1","name":"stock","arguments":"{\"sku\":12345678901234567890}"},
		{"type":"function_call","call_id":"t2","name":"stock","arguments":"{}"},
		{"type":"function_call_output","call_id":"t1","output":"{\"left\":3}"},
		{"type":"computer_call_output","output":{}},{"type":"item_reference","id":"i"},1
	],"tools":[{"type":"function","name":"stock","description":"d","parameters":{"a":1e400},"strict":true},{"type":"web_search"}],
	"tool_choice":{"type":"function","name":"stock"},"parallel_tool_calls":false,"reasoning":{"effort":"low"},"max_output_tokens":7,
	"text":{"format":{"type":"json_schema","name":"n","schema":{"b":1.0},"strict":false}},"temperature":0.10,"stream":true,"user":"u","store":false}`)
	yes, no := true, false
	raw := func(text string) llm.Part { return llm.Part{JSON: []byte(text)} }
	want := &llm.ChatCall{
		Origin: llm.OpenAI, Model: "m",
		Messages: []llm.Message{
			{Role: llm.RoleSystem, Plain: true, Parts: []llm.Part{{Kind: llm.PartText, Text: "Be short."}}},
			{Role: llm.RoleUser, Parts: []llm.Part{
				{Kind: llm.PartText, Text: "Stock?"},
				{Kind: llm.PartImage, Data: []byte("AAAA"), MediaType: "image/png", Detail: "low"},
				{Kind: llm.PartFile, Name: "a.pdf", Data: []byte("BBBB"), MediaType: "application/pdf"},
				{Kind: llm.PartFile, FileID: "f"},
				{Kind: llm.PartFile, URL: "http://a", JSON: []byte(`{"type":"input_file","file_url":"http://a","x":1}`)},
				{Kind: llm.PartAudio, Data: []byte("CC"), MediaType: "audio/wav", Format: "wav"},
				raw(`{"type":"other"}`), raw(`{"type":"input_text"}`), raw(`{"type":"input_text","text":"a","Text":"b"}`),
			}},
			{
				Role: llm.RoleAssistant,
				Parts: []llm.Part{
					{Kind: llm.PartText, Text: "I look.", JSON: []byte(`{"type":"output_text","text":"I look.","annotations":[]}`)},
					{Kind: llm.PartRefusal, Text: "no"},
				},
				Calls: []llm.ToolCall{
					{ID: "t1", Name: "stock", Arguments: `{"sku":12345678901234567890}`},
					{ID: "t2", Name: "stock", Arguments: "{}"},
				},
			},
			{Role: llm.RoleTool, CallID: "t1", Plain: true, Parts: []llm.Part{{Kind: llm.PartText, Text: `{"left":3}`}}},
			{Role: llm.RoleTool, Parts: []llm.Part{raw(`{"type":"computer_call_output","output":{}}`)}},
			{Role: llm.RoleUser, Parts: []llm.Part{raw(`{"type":"item_reference","id":"i"}`)}},
			{Role: llm.RoleUser, Parts: []llm.Part{raw(`1`)}},
		},
		Tools: []llm.Tool{
			{Name: "stock", Description: "d", Parameters: []byte(`{"a":1e400}`), Strict: &yes},
			{JSON: []byte(`{"type":"web_search"}`)},
		},
		ToolChoice:    llm.ToolChoice{Mode: "function", Name: "stock"},
		ParallelCalls: &no,
		Reasoning:     llm.Reasoning{Effort: "low"},
		Output:        llm.Output{Kind: "json_schema", Name: "n", Schema: []byte(`{"b":1.0}`), Strict: &no},
		User:          "u",
		Options:       llm.Options{MaxCompletionTokens: "7", Temperature: "0.10", Stream: &yes},
		Extra:         []llm.Member{{Name: "store", Value: []byte("false")}},
	}
	got, err := r.Chat()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What the neutral terms do not hold is kept as it came.
func TestResponsesExtra(t *testing.T) {
	const body = `{"instructions":1,"input":2,"tools":[],"reasoning":{"effort":"low","summary":"auto"},"text":{"verbosity":"low"},"max_output_tokens":"7"}`
	r, o := responses(t, body)
	got := o.openAIResponses(r)
	if len(got.Extra) != 6 || len(got.Messages) != 0 {
		t.Errorf("%d messages, extra %q; want every member of %s in extra", len(got.Messages), got.Extra, body)
	}
	for choice, want := range map[string]llm.ToolChoice{
		`"required"`:             {Mode: "required"},
		`{"type":"file_search"}`: {JSON: []byte(`{"type":"file_search"}`)},
	} {
		r, o := responses(t, `{"tool_choice":`+choice+`,"input":"a"}`)
		if diff := cmp.Diff(want, o.openAIResponses(r).ToolChoice); diff != "" {
			t.Errorf("%s: -want +got:\n%s", choice, diff)
		}
	}
}

func TestResponsesWords(t *testing.T) {
	for body, want := range map[string]int{
		`{"input":"a b"}`:                      2,
		`{"instructions":"a b c","input":"d"}`: 4,
		`{"input":[{"role":"user","content":"a b"},{"role":"user","content":[{"type":"input_text","text":"c"}]},{"type":"function_call_output","output":"d e"}]}`: 5,
	} {
		r, o := responses(t, body)
		if got := o.Words(r); got != want {
			t.Errorf("%s has %d words, want %d", body, got, want)
		}
	}
}

// Whatever the items look like, what is not understood is kept as it came: a guard
// relies on it.
func FuzzResponsesChat(f *testing.F) {
	f.Add([]byte(`{"input":[{"role":"user","content":"a"},{"type":"function_call_output","output":[{"type":"input_text","text":"b"}]},1,null]}`))
	f.Add([]byte(`{"instructions":[{"role":"x"}],"input":[{"type":"reasoning","summary":[{}]},{"type":"function_call","name":"a"}],"text":{"format":{}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o := NewOpenAI(llm.Responses, "")
		var r llm.Request
		if o.Read(Incoming{Method: "POST", Path: "/v1/responses", Body: body}, &r) != nil || r.Body == nil {
			return
		}
		chat, err := r.Chat()
		if err != nil {
			t.Fatal(err)
		}
		o.Words(&r)
		if kind := r.Fields.Kind(llm.FieldInput); kind == '"' && len(chat.Messages) == 0 {
			t.Errorf("%s has no message", body)
		}
		for _, m := range chat.Messages {
			for _, p := range m.Parts {
				if p.Kind == llm.PartOther && p.JSON == nil {
					t.Errorf("%s has a part without anything in it", body)
				}
			}
		}
	})
}
