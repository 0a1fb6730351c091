package client

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var chatCases = []string{
	`{"model":"m","messages":[{"role":"system","content":"Be short."},{"role":"user","content":[{"type":"text","text":"Stock?"},{"type":"image_url","image_url":{"url":"data:x","detail":"low"}},{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}},{"type":"file","file":{"file_id":"f"}}],"name":"n"},{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"stock","arguments":"{\"sku\":12345678901234567890}"}},{"id":"t2","type":"custom","custom":{}}]},{"role":"tool","tool_call_id":"t1","content":"{\"left\":3}"}],"tools":[{"type":"function","function":{"name":"stock","description":"d","parameters":{"a":1e400},"strict":true}},{"type":"custom"}],"tool_choice":{"type":"function","function":{"name":"stock"}},"seed":12345678901234567890,"max_completion_tokens":7,"stop":["a","b"],"stream":false,"temperature":0.10}`,
	`{"messages":"x","tools":[],"tool_choice":"auto","stop":"a","top_k":-1,"stream":null,"max_tokens":"7"}`,
	`{"messages":[1,{}],"tool_choice":{"type":"allowed_tools"},"stop":[],"temperature":[]}`,
	`{"messages":[{"content":[{"type":"text","text":"a","x":1},{"type":"text"},{"text":"a"},{"type":"image_url","image_url":{}},{"type":"text","refusal":"a"}]},{"content":""},{"content":[]}],"tool_choice":"other"}`,
	`{"messages":[{"tool_calls":[{"id":"","type":"function","function":{"name":"a","arguments":""}},{"id":"a","type":"function","function":[]}]}],"tools":[{"type":"function","function":{"name":"a","description":""}}]}`,
	`{"reasoning_effort":"low","parallel_tool_calls":false,"user":"u","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","a":1.0},"strict":true}},"messages":[{"role":"assistant","content":"x","reasoning_content":"y","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"c2ln"}}},{"id":"b","index":0,"type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{}}}]}]}`,
	`{"reasoning_effort":null,"parallel_tool_calls":"no","user":"","response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d"}},"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"high"}},{"type":"image_url","image_url":{"url":"data:image\/png;base64,AA\/A"}},{"type":"image_url","image_url":"http://a"},{"type":"image_url","image_url":{"url":"data:image/png;x=y;base64,AA"}},{"type":"image_url","image_url":{"url":"data:;base64,AA"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,"}}]}]}`,
	`{"response_format":{"type":"json_object"},"messages":[{"reasoning_content":"","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AA"}},{"type":"file","file":{"filename":"a.PDF","file_data":"AA"}},{"type":"file","file":{}},{"type":"file","file":{"file_id":"f","x":1}},{"type":"input_audio","input_audio":{"data":"A\/A","format":"mp3"}},{"type":"input_audio","input_audio":{"data":"AA"}}]}]}`,
	`{"response_format":{"type":"text"},"messages":[{"reasoning_content":"a","content":null}]}`, `{"response_format":{"type":"text","json_schema":{}}}`, `{"response_format":{"type":"other"}}`, `{"response_format":{"type":"json_schema"}}`, `{"response_format":null}`,
}

// back reads a body and writes it again.
func back(t testing.TB, route llm.Route, body []byte) ([]byte, bool) {
	reader := NewOpenAI(route, "")
	var r llm.Request
	if reader.Read(Incoming{Body: body}, &r) != nil {
		return nil, false
	}
	if route == llm.Chat {
		chat, err := reader.Chat(&r)
		if err != nil {
			t.Fatal(err)
		}
		return AppendChat(nil, chat), true
	}
	completion, err := reader.Completion(&r)
	if err != nil {
		t.Fatal(err)
	}
	return AppendCompletion(nil, completion), true
}

func equalJSON(t testing.TB, want, got []byte) {
	t.Helper()
	decode := func(text []byte) (v any) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber() // numbers must come back as they were written
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return v
	}
	if diff := cmp.Diff(decode(want), decode(got)); diff != "" {
		t.Fatalf("%s came back as %s (-want +got):\n%s", want, got, diff)
	}
}

func TestChatComesBack(t *testing.T) {
	for _, body := range chatCases {
		got, ok := back(t, llm.Chat, []byte(body))
		if !ok {
			t.Fatalf("%s was not read", body)
		}
		equalJSON(t, []byte(body), got)
	}
	for _, body := range []string{
		`{"model":"m","prompt":"a","stop":"b","echo":true}`, `{"prompt":["a"],"top_p":0.50}`, `{"prompt":[1,2]}`, `{"prompt":null,"suffix":"x"}`,
	} {
		got, ok := back(t, llm.Completions, []byte(body))
		if !ok {
			t.Fatalf("%s was not read", body)
		}
		equalJSON(t, []byte(body), got)
	}
}

func TestChatInNeutralTerms(t *testing.T) {
	reader := NewOpenAI(llm.Chat, "")
	var r llm.Request
	if err := reader.Read(Incoming{Body: []byte(chatCases[0])}, &r); err != nil {
		t.Fatal(err)
	}
	got, err := reader.Chat(&r)
	if err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	want := &llm.ChatCall{
		Origin: llm.OpenAI,
		Model:  "m",
		Messages: []llm.Message{
			{Role: llm.RoleSystem, Plain: true, Parts: []llm.Part{{Kind: llm.PartText, Text: "Be short."}}},
			{Role: llm.RoleUser, Parts: []llm.Part{
				{Kind: llm.PartText, Text: "Stock?"},
				{Kind: llm.PartImage, URL: "data:x", Detail: "low"},
				{Kind: llm.PartAudio, Data: []byte("AA"), MediaType: "audio/wav", Format: "wav"},
				{Kind: llm.PartFile, FileID: "f"},
			}, Extra: []llm.Member{{Name: "name", Value: []byte(`"n"`)}}},
			{Role: llm.RoleAssistant, Calls: []llm.ToolCall{
				{ID: "t1", Name: "stock", Arguments: `{"sku":12345678901234567890}`},
				{ID: "t2", JSON: []byte(`{"id":"t2","type":"custom","custom":{}}`)},
			}, Extra: []llm.Member{{Name: "content", Value: []byte("null")}}},
			{Role: llm.RoleTool, CallID: "t1", Plain: true, Parts: []llm.Part{{Kind: llm.PartText, Text: `{"left":3}`}}},
		},
		Tools: []llm.Tool{
			{Name: "stock", Description: "d", Parameters: []byte(`{"a":1e400}`), Strict: &yes},
			{JSON: []byte(`{"type":"custom"}`)},
		},
		ToolChoice: llm.ToolChoice{Mode: "function", Name: "stock"},
		Options:    llm.Options{MaxCompletionTokens: "7", Temperature: "0.10", Stop: []string{"a", "b"}, StopList: true, Stream: &no},
		Extra:      []llm.Member{{Name: "seed", Value: []byte("12345678901234567890")}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Limit() != "7" {
		t.Errorf("limit %s", got.Limit())
	}
}

// FuzzChat checks that a chat that is read and written says the same as before.
func FuzzChat(f *testing.F) {
	for _, body := range chatCases {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if repeats(body) {
			t.Skip() // which of two members counts is anyone's guess
		}
		if got, ok := back(t, llm.Chat, body); ok {
			equalJSON(t, body, got)
		}
		if got, ok := back(t, llm.Completions, body); ok {
			equalJSON(t, body, got)
		}
	})
}

// repeats says that an object in the text has a name twice, or that the text is
// no JSON.
func repeats(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	var walk func() bool
	walk = func() bool {
		token, err := d.Token()
		if err != nil {
			return true
		}
		switch token {
		case json.Delim('{'):
			seen := map[any]bool{}
			for d.More() {
				name, err := d.Token()
				if err != nil || seen[name] {
					return true
				}
				seen[name] = true
				if walk() {
					return true
				}
			}
		case json.Delim('['):
			for d.More() {
				if walk() {
					return true
				}
			}
		default:
			return false
		}
		_, err = d.Token()
		return err != nil
	}
	d.UseNumber()
	return walk()
}
