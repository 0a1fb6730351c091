package provider

import (
	"bytes"
	"net/http"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// openAIForeign is a call of another format, read already.
type openAIForeign struct{ llm.ChatCall }

func (f *openAIForeign) Chat(*llm.Request) (*llm.ChatCall, error) { return &f.ChatCall, nil }
func (f *openAIForeign) Completion(*llm.Request) (*llm.CompletionCall, error) {
	return &llm.CompletionCall{Origin: f.Origin, Prompts: []string{"a"}, Options: f.Options, Extra: f.Extra}, nil
}
func (f *openAIForeign) Embedding(*llm.Request) (*llm.EmbeddingCall, error) {
	return &llm.EmbeddingCall{Origin: f.Origin, Texts: []string{"a"}, Extra: f.Extra}, nil
}

func TestOpenAIForeignRequests(t *testing.T) {
	foreign := &openAIForeign{llm.ChatCall{
		Origin: llm.Anthropic, Model: "asked", User: "u",
		Messages:  []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "hi"}}}},
		Options:   llm.Options{MaxTokens: "64", Temperature: "1.0", TopK: "3"},
		Reasoning: llm.Reasoning{Mode: "enabled", Budget: "2000"},
		Extra:     []llm.Member{{Name: "service_tier", Value: []byte(`"auto"`)}},
	}}
	const messages = `"messages":[{"role":"user","content":"hi"}]`
	for _, tt := range []struct {
		name     string
		provider *OpenAI
		settings Settings
		model    string
		streams  bool
		want     string
	}{
		{"chat", openAI(t), Settings{Route: llm.Chat}, "gpt-4o", false, `{"model":"gpt-4o",` + messages + `,"user":"u","max_tokens":64,"temperature":1.0,"stream":false}`},
		{"configured options win", openAI(t), Settings{Route: llm.Chat, MaxTokens: "9", Temperature: "0.5", TopP: "0.1", TopK: "7"}, "gpt-4o", false, `{"model":"gpt-4o",` + messages + `,"user":"u","max_tokens":9,"temperature":0.5,"top_p":0.1,"stream":false}`},
		{"a model that reasons, streamed", openAI(t), Settings{Route: llm.Chat}, "gpt-5", true, `{"model":"gpt-5",` + messages + `,"reasoning_effort":"low","user":"u","max_completion_tokens":64,"temperature":1.0,"stream":true,"stream_options":{"include_usage":true}}`},
		{"credentials", openAI(t), Settings{Route: llm.Chat, ParamName: "key", ParamValue: `"k"`}, "m", false, `{"model":"m",` + messages + `,"user":"u","max_tokens":64,"temperature":1.0,"stream":false,"key":"k"}`},
		{"databricks", databricks, Settings{Route: llm.Chat}, "m", true, `{"model":"m",` + messages + `,"reasoning_effort":"low","user":"u","max_tokens":64,"temperature":1.0,"stream":true}`},
		{"mistral", mistralOpenAI, Settings{Route: llm.Chat}, "m", true, `{"model":"m",` + messages + `,"max_tokens":64,"temperature":1.0,"stream":true}`},
		{"completions", openAI(t), Settings{Route: llm.Completions}, "m", false, `{"model":"m","prompt":"a","max_tokens":64,"temperature":1.0,"stream":false}`},
		{"vectors", openAI(t), Settings{Route: llm.Embeddings}, "m", false, `{"model":"m","input":"a"}`},
	} {
		request := &llm.Request{Format: llm.Anthropic, Route: tt.settings.Route, Decoder: foreign}
		got, err := tt.provider.Request(&Call{Settings: &tt.settings, Format: llm.Anthropic, Model: tt.model, Streams: tt.streams}, request)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if diff := cmp.Diff(tt.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if foreign.Model != "asked" || foreign.TopK != "3" || foreign.Reasoning.Budget == "" {
		t.Error("the shared call was changed")
	}
}

// TestOpenAIOtherRoutes shows the edits of calls that are no chats.
func TestOpenAIOtherRoutes(t *testing.T) {
	tuned := Settings{MaxTokens: "9", Temperature: "0.5", TopP: "0.1", TopK: "7"}
	wide := &pluginpb.AiModelOptions{EmbeddingsDimensions: new(int64(64))}
	for _, tt := range []struct {
		name, method, path string
		route              llm.Route
		model              string
		streams            bool
		in, want           string
	}{
		{"vectors", "POST", "/e", llm.Embeddings, "m", false, `{"input":"a","dimensions":3}`, `{"input":"a","dimensions":64,"model":"m"}`},
		{"responses", "POST", "/v1/responses", llm.Responses, "m", true, `{"input":"a","stream":true,"stream_options":{"include_obfuscation":false}}`, `{"input":"a","stream":true,"stream_options":{"include_obfuscation":false},"model":"m","temperature":0.5,"top_p":0.1,"max_output_tokens":9}`},
		{"responses, always streamed", "POST", "/v1/responses", llm.Responses, "m", true, `{"input":"a"}`, `{"input":"a","model":"m","stream":true,"temperature":0.5,"top_p":0.1,"max_output_tokens":9}`},
		{"a response is cancelled", "POST", "/v1/responses/r/cancel", llm.Responses, "m", false, `{}`, `{}`},
		{"images", "POST", "/i", llm.Images, "m", false, `{"prompt":"a","n":1}`, `{"prompt":"a","n":1,"model":"m"}`},
		{"speech", "POST", "/s", llm.Speech, "m", false, `{"input":"a","model":"m"}`, `{"input":"a","model":"m"}`},
		{"an alias", "POST", "/v1/assistants", llm.Assistants, "m", false, `{"model":"alias"}`, `{"model":"m"}`},
		{"a batch names no model", "POST", "/v1/batches", llm.Batches, "m", false, `{"input_file_id":"f"}`, `{"input_file_id":"f"}`},
		{"nobody named a model", "POST", "/v1/videos", llm.Videos, "UNSPECIFIED", false, `{"prompt":"a"}`, `{"prompt":"a"}`},
		{"what only the vendor knows", "POST", "/c", llm.Embeddings, "m", false, `{"input":"a","model":"m","extra_body":{"x":1,"model":"evil","Input":"evil","truncate":true} }`, `{"input":"a","model":"m","dimensions":64,"x":1,"truncate":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings := tuned
			settings.Route = tt.route
			caller := client.NewOpenAI(tt.route, "")
			var request llm.Request
			if err := caller.Read(client.Incoming{Method: tt.method, Path: tt.path, Body: []byte(tt.in)}, &request); err != nil {
				t.Fatal(err)
			}
			if err := caller.Judge(&request); err != nil {
				t.Fatal(err)
			}
			got, err := openAI(t).Request(&Call{Settings: &settings, Options: wide, Model: tt.model, Streams: tt.streams, Operation: request.Operation}, &request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	header := http.Header{}
	openAI(t).Headers(&Call{Settings: &Settings{Route: llm.Assistants}}, header)
	if header.Get("OpenAI-Beta") != "assistants=v2" {
		t.Errorf("headers %v", header)
	}
	header = http.Header{"Openai-Beta": {"assistants=v1"}}
	openAI(t).Headers(&Call{Settings: &Settings{Route: llm.Assistants}}, header)
	if header.Get("OpenAI-Beta") != "assistants=v1" {
		t.Errorf("headers %v", header)
	}
}

// TestOpenAIImagesAreCopiedOnce checks what a large image costs on its way from a
// caller of another format.
func TestOpenAIImagesAreCopiedOnce(t *testing.T) {
	const size = 4 << 20
	body := append([]byte(`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,`), bytes.Repeat([]byte("A"), size)...)
	body = append(body, `"}}]}]}`...)
	caller := client.NewOpenAI(llm.Chat, "")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var request llm.Request
	if err := caller.Read(client.Incoming{Body: body}, &request); err != nil {
		t.Fatal(err)
	}
	request.Format = llm.Bedrock // so that it is written anew
	out, err := openAI(t).Request(&Call{Settings: &Settings{Route: llm.Chat}, Model: "m"}, &request)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; len(out) < size || used > size+size/2 {
		t.Errorf("%d bytes were taken for an image of %d", used, size)
	}
}

// TestOpenAIAnswers shows what is read of whole answers.
func TestOpenAIAnswers(t *testing.T) {
	reported := llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(8), CacheRead: llm.Count(2), Answer: llm.Count(5), Reasoning: llm.Count(4), Tier: "default"}
	for _, tt := range []struct {
		name  string
		route llm.Route
		body  string
		want  Answer
	}{
		{"responses", llm.Responses, `{"model":"m","usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":2},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":19},"service_tier":"default"}`, Answer{Model: "m", Usage: reported}},
		{"responses without counts", llm.Responses, `{"model":"m","output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":" Four. "}]}]}`, Answer{Model: "m", TextLength: 5}},
		{"images", llm.Images, `{"data":[],"usage":{"input_tokens":10,"input_tokens_details":{"text_tokens":4,"image_tokens":6},"output_tokens":9}}`, Answer{Usage: llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(4), ImageIn: llm.Count(6), Answer: llm.Count(9)}}},
		{"sound", llm.Speech, "ID3\xff", Answer{}},
		{"a list of files", llm.Files, `{"data":[]}`, Answer{}},
	} {
		got, err := openAI(t).Response(&Call{Settings: &Settings{Route: tt.route}, Format: llm.OpenAI}, []byte(tt.body))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if string(got.Body) != tt.body {
			t.Errorf("%s: the body is %s", tt.name, got.Body)
		}
		got.Body = nil
		if diff := cmp.Diff(tt.want, got, sameEvents); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	for _, route := range []llm.Route{llm.Embeddings, llm.Responses} {
		_, err := openAI(t).Response(&Call{Settings: &Settings{Route: route}}, []byte("<html>"))
		if want := "failed to decode " + string(route) + " response"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	call := &Call{Settings: &Settings{Route: llm.Chat}, Format: llm.Anthropic}
	got, err := openAI(t).Response(call, []byte(`{"id":"c","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","reasoning_content":"hm","refusal":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"n\":1e400}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &llm.ChatAnswer{ID: "c", Created: 7, Model: "m", Origin: llm.OpenAI, Usage: got.Usage, Choices: []llm.Choice{{
		Finish: llm.FinishCalls, Message: llm.Message{Role: llm.RoleAssistant,
			Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "hm"}, {Kind: llm.PartText, Text: "Hi"}},
			Calls: []llm.ToolCall{{ID: "t", Name: "f", Arguments: `{"n":1e400}`}},
		}}}}
	if diff := cmp.Diff(want, got.Chat, sameEvents); diff != "" || got.Usage.Total() != 3 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	call.Settings = &Settings{Route: llm.Embeddings}
	got, err = openAI(t).Response(call, []byte(`{"model":"e","data":[{"embedding":[1.0,-2e0]},{"embedding":[3]}],"usage":{"prompt_tokens":4,"total_tokens":4}}`))
	if err != nil {
		t.Fatal(err)
	}
	if e := got.Embedding; e == nil || e.Model != "e" || !bytes.Equal(bytes.Join(e.Vectors, nil), []byte("[1.0,-2e0][3]")) || got.Usage.Output != llm.Reported {
		t.Errorf("%+v", got)
	}
}
