package client

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

func TestRead(t *testing.T) {
	type view struct {
		Model               string
		Streams, WantsUsage bool
		Words               int
	}
	for _, tt := range []struct {
		name  string
		route llm.Route
		body  string
		want  view
	}{
		{"texts", llm.Chat, `{"model":"m","stream":true,"messages":[{"content":"a b"},{"content":null},{"content":[{"type":"text","text":"c d e"},{"type":"image_url"}]},7]}`, view{"m", true, false, 5}},
		{"usage asked for", llm.Chat, `{"stream_options":{"include_usage":true},"messages":[]}`, view{"", false, true, 0}},
		{"other types", llm.Chat, `{"model":7,"stream":"true","stream_options":[],"messages":"x"}`, view{"", false, false, 0}},
		{"prompt", llm.Completions, `{"prompt":"Explain why"}`, view{Words: 2}},
		{"prompts", llm.Completions, `{"prompt":["a b",[1,2],"c"]}`, view{Words: 3}},
		{"preserve", llm.Preserve, `{"messages":1,"messages":2,"model":"m"}`, view{Model: "m"}},
		{"preserve without a body", llm.Preserve, ``, view{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reader := NewOpenAI(tt.route, "")
			var r llm.Request
			if err := reader.Read(Incoming{Body: []byte(tt.body)}, &r); err != nil {
				t.Fatal(err)
			}
			got := view{r.Model, r.Streams, r.WantsUsage, reader.Words(&r)}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCredentialsInTheBodyAreInspected(t *testing.T) {
	reader := NewOpenAI(llm.Preserve, "Api-Key")
	var r llm.Request
	if err := reader.Read(Incoming{Body: []byte(`{"Api-Key":"a","api-key":"b"}`)}, &r); err == nil {
		t.Error("two spellings of the parameter were read")
	}
	if err := reader.Read(Incoming{Body: []byte(`{"Api-Key":"a"}`)}, &r); err != nil || !r.Fields.Has(llm.FieldParam) {
		t.Errorf("the parameter was not found: %v", err)
	}
}

func TestFormObject(t *testing.T) {
	for in, want := range map[string]string{
		"a=1&b=%C3%A9+%22&a=2&&c": `{"a":["1","2"],"b":"é \"","c":""}`,
		"prompt=x":                `{"prompt":"x"}`,
	} {
		got, err := FormObject(in)
		if err != nil || string(got) != want || !json.Valid(got) {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "&", "%zz=1", "a=%2"} {
		if got, err := FormObject(in); err == nil {
			t.Errorf("%q: %s, want an error", in, got)
		}
	}
}

func TestStreamWriter(t *testing.T) {
	frame := func(data string, holds, only bool) *llm.Frame {
		return &llm.Frame{Format: llm.OpenAI, Data: []byte(data), HoldsUsage: holds, UsageOnly: only}
	}
	w := openAIWriter{stripUsage: true}
	var got []byte
	got = w.Append(got, frame(`{"a":1,"usage":null}`, true, false))
	got = w.Append(got, frame(`{"usage":{},"a":1}`, true, false))
	got = w.Append(got, frame(`{"choices":[],"usage":{}}`, true, true))
	got = w.Append(got, frame(`{"b":1}`, false, false))
	got = w.Append(got, &llm.Frame{Format: llm.OpenAI, Done: true})
	got = w.AppendEnd(got)
	got = w.AppendFailure(got, &llm.Failure{Message: "too late"})
	want := "data: {\"a\":1}\n\ndata: {\"a\":1}\n\ndata: {\"b\":1}\n\ndata: [DONE]\n\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOpenAICollections shows which calls name a member of a collection.
func TestOpenAICollections(t *testing.T) {
	for _, tt := range []struct {
		route        llm.Route
		method, path string
		named        map[string]string
		body, want   string
		fails        bool
	}{
		{route: llm.Files, method: "GET", path: "/v1/files"},
		{route: llm.Files, method: "GET", path: "/my/v1/files/file-a/content", want: "/file-a/content"},
		{route: llm.Files, method: "DELETE", path: "/files-route/files/file%20a", want: "/file%20a"},
		{route: llm.Batches, method: "POST", path: "/v1/batches/b/cancel", want: "/b/cancel"},
		{route: llm.Batches, method: "POST", path: "/x", body: `{}`},
		{route: llm.Assistants, method: "GET", path: "/a", named: map[string]string{"operation": "asst_1/"}, want: "/asst_1"},
		{route: llm.Responses, method: "POST", path: "/v1/responses", fails: true},
		{route: llm.Responses, method: "GET", path: "/v1/responses/r", want: "/r"},
		{route: llm.Files, method: "GET", path: "/v1/files/../models", fails: true},
		{route: llm.Files, method: "GET", path: "/v1/files/%2e%2e/models", fails: true},
		{route: llm.Files, method: "GET", path: "/v1/files/a%2fb", fails: true},
		{route: llm.Chat, method: "POST", path: "/v1/files/a", body: `{}`},
	} {
		var r llm.Request
		err := NewOpenAI(tt.route, "").Read(Incoming{Method: tt.method, Path: tt.path, Named: tt.named, Body: []byte(tt.body)}, &r)
		if (err != nil) != tt.fails || r.Operation != tt.want && !tt.fails {
			t.Errorf("%s %s: %q, %v, want %q", tt.method, tt.path, r.Operation, err, tt.want)
		}
	}
}

// TestOpenAIJudgesOtherRoutes shows what calls must hold that are no chats.
func TestOpenAIJudgesOtherRoutes(t *testing.T) {
	for _, tt := range []struct {
		route llm.Route
		body  string
		words int
		want  error
	}{
		{llm.Embeddings, `{"input":"a b"}`, 2, nil},
		{llm.Embeddings, `{"input":["a b","c"]}`, 3, nil},
		{llm.Embeddings, `{"input":[]}`, 0, ErrNoPrompt},
		{llm.Embeddings, `{"messages":[1]}`, 0, ErrNoPrompt},
		{llm.Responses, `{"input":"a b"}`, 2, nil},
		{llm.Responses, `{"input":[{"role":"user","content":[{"type":"input_text","text":"a b"}]},{"role":"user","content":"c"}]}`, 3, nil},
		{llm.Responses, `{"prompt":{"id":"p"}}`, 0, nil},
		{llm.Responses, `{"stream":true}`, 0, ErrNoPrompt},
		{llm.Images, `{"prompt":"a"}`, 0, nil},
		{llm.Speech, `{"input":"a"}`, 0, nil},
	} {
		o := NewOpenAI(tt.route, "")
		var r llm.Request
		if err := o.Read(Incoming{Method: "POST", Body: []byte(tt.body)}, &r); err != nil {
			t.Fatal(err)
		}
		err := o.Judge(&r)
		if tt.want == nil && err != nil || tt.want != nil && err != tt.want || o.HasPrompt(&r) != (tt.want == nil) || o.Words(&r) != tt.words || !r.WantsUsage {
			t.Errorf("%s %s: %v, %d words", tt.route, tt.body, err, o.Words(&r))
		}
	}
}
