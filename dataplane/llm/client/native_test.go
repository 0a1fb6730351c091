package client

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

func nativeFormats(route llm.Route, param string) []Format {
	return []Format{NewCohere(route, param), NewHuggingFace(route, param)}
}

// TestNativeRead shows what is read of the calls of Cohere's and Hugging Face's
// own callers.
func TestNativeRead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		format Format
		in     Incoming
		body   string
		want   string // operation, model, words; or the error
		stream bool
	}{
		{"cohere rank", NewCohere(llm.Chat, ""), Incoming{Path: "/ai/v2/rerank"}, `{"model":"rerank-v3.5","query":"three words here","documents":["a b","c"]}`, "/v2/rerank rerank-v3.5 3", false},
		{"cohere second", NewCohere(llm.Chat, ""), Incoming{Path: "/v2/chat/"}, `{"model":"m","stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"a b"}]}]}`, "/v2/chat m 2", true},
		{"cohere first", NewCohere(llm.Chat, ""), Incoming{Path: "/v1/chat"}, `{"message":"a b","chat_history":[{"role":"USER","message":"c"}]}`, "/v1/chat  3", false},
		{"cohere, no version in the path", NewCohere(llm.Chat, ""), Incoming{Path: "/chat", Named: map[string]string{"model": "own"}}, `{"message":"a"}`, " own 1", false},
		{"cohere, a named operation", NewCohere(llm.Chat, ""), Incoming{Path: "/x", Named: map[string]string{"operation": "v1/rerank"}}, `{"query":"a"}`, "/v1/rerank  1", false},
		{"cohere, another call", NewCohere(llm.Chat, ""), Incoming{Path: "/v1/datasets"}, `{"message":"a"}`, "path /v1/datasets is not supported", false},
		{"cohere, a step upwards", NewCohere(llm.Chat, ""), Incoming{Path: "/v1/../v1/users"}, `{"message":"a"}`, "path /v1/users is not supported", false},
		{"cohere, no prompt", NewCohere(llm.Chat, ""), Incoming{Path: "/v1/chat"}, `{"messages":[]}`, "no prompt", false},
		{"cohere, both versions", NewCohere(llm.Chat, ""), Incoming{Path: "/v1/chat"}, `{"message":"a","messages":[{"role":"user"}]}`, ErrManyForms.Message, false},
		{"cohere, ambiguous", NewCohere(llm.Chat, ""), Incoming{Path: "/v1/chat"}, `{"message":"a","Message":"b"}`, "field 'message' must appear once and in this spelling", false},
		{"cohere, no JSON", NewCohere(llm.Chat, ""), Incoming{Path: "/v1/chat"}, `message`, ErrUnreadable.Message, false},
		{"cohere, nothing", NewCohere(llm.Chat, ""), Incoming{Path: "/v1/chat"}, ``, ErrUnreadable.Message, false},
		{"cohere, preserve", NewCohere(llm.Preserve, ""), Incoming{Path: "/v1/users"}, ``, "/v1/users  0", false},
		{"tgi", NewHuggingFace(llm.Chat, ""), Incoming{Path: "/models/org%2Fname/generate"}, `{"inputs":"a b"}`, "/generate org/name 2", false},
		{"tgi stream", NewHuggingFace(llm.Chat, ""), Incoming{Path: "/x/generate_stream"}, `{"inputs":"a b","parameters":{"top_k":1}}`, "/generate_stream  2", true},
		{"tgi, the path says whether it streams", NewHuggingFace(llm.Chat, ""), Incoming{Path: "/generate"}, `{"inputs":"a","stream":true}`, "/generate  1", false},
		{"tgi, the body says so", NewHuggingFace(llm.Chat, ""), Incoming{Path: "/", Named: map[string]string{"model": "m"}}, `{"inputs":"a","stream":true}`, " m 1", true},
		{"tgi, a named operation", NewHuggingFace(llm.Chat, ""), Incoming{Path: "/", Named: map[string]string{"operation": "generate_stream"}}, `{"inputs":["a b","c"]}`, "/generate_stream  3", true},
		{"tgi, no prompt", NewHuggingFace(llm.Chat, ""), Incoming{Path: "/generate"}, `{"inputs":[]}`, "no prompt", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r llm.Request
			tt.in.Body = []byte(tt.body)
			err := tt.format.Read(tt.in, &r)
			got := ""
			if err == nil && !tt.format.HasPrompt(&r) {
				got = "no prompt"
			} else if err == nil {
				err = tt.format.Judge(&r)
			}
			switch {
			case err != nil:
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Errorf("%v is no Error", err)
				}
				got = err.Error()
			case got == "":
				words, _ := json.Marshal(tt.format.Words(&r))
				got = r.Operation + " " + r.Model + " " + string(words)
				if r.Format != tt.format.Name() || string(r.Body) != tt.body {
					t.Errorf("format %s, body %s", r.Format, r.Body)
				}
			}
			if got != tt.want || r.Streams != tt.stream {
				t.Errorf("got %q, streams %v, want %q, %v", got, r.Streams, tt.want, tt.stream)
			}
		})
	}
}

// TestNativeViews shows what guards see of such calls.
func TestNativeViews(t *testing.T) {
	say := func(role llm.Role, words string) llm.Message { return nativeMessage(role, words) }
	for _, tt := range []struct {
		name   string
		format Format
		path   string
		body   string
		want   llm.ChatCall
	}{
		{"cohere first", NewCohere(llm.Chat, ""), "/v1/chat",
			`{"message":"last","chat_history":[{"role":"CHATBOT","message":"b"},{"role":"User","message":"c"}],"preamble":"p","model":"m","p":0.5,"k":3,"max_tokens":1e1,"stop_sequences":["x"],"connectors":[]}`,
			llm.ChatCall{
				Origin: llm.Cohere, Model: "m",
				Messages: []llm.Message{say("system", "p"), say("assistant", "b"), say("user", "c"), say("user", "last")},
				Options:  llm.Options{TopP: "0.5", TopK: "3", MaxTokens: "1e1", Stop: []string{"x"}, StopList: true},
				Extra:    []llm.Member{{Name: "connectors", Value: []byte("[]")}},
			}},
		{"cohere second", NewCohere(llm.Chat, ""), "/v2/chat",
			`{"messages":[{"role":"system","content":"p"},{"role":"user","content":"c"}]}`,
			llm.ChatCall{Origin: llm.Cohere, Messages: []llm.Message{say("system", "p"), say("user", "c")}}},
		{"cohere rank", NewCohere(llm.Chat, ""), "/v1/rerank", `{"query":"q"}`,
			llm.ChatCall{Origin: llm.Cohere, Messages: []llm.Message{say("user", "q")}}},
		{"tgi", NewHuggingFace(llm.Chat, ""), "/generate",
			`{"inputs":"q","parameters":{"max_new_tokens":5,"temperature":0.1,"stop":["x"]}}`,
			llm.ChatCall{
				Origin: llm.HuggingFace, Messages: []llm.Message{say("user", "q")},
				Options: llm.Options{MaxTokens: "5", Temperature: "0.1", Stop: []string{"x"}, StopList: true},
			}},
		{"tgi, more than is known", NewHuggingFace(llm.Chat, ""), "/generate", `{"inputs":"q","parameters":{"seed":5}}`,
			llm.ChatCall{
				Origin: llm.HuggingFace, Messages: []llm.Message{say("user", "q")},
				Extra: []llm.Member{{Name: "parameters", Value: []byte(`{"seed":5}`)}},
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r llm.Request
			if err := tt.format.Read(Incoming{Path: tt.path, Body: []byte(tt.body)}, &r); err != nil {
				t.Fatal(err)
			}
			got, err := r.Chat()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	var r llm.Request
	if err := NewCohere(llm.Embeddings, "").Read(Incoming{Body: []byte(`{"texts":["a","b"],"output_dimension":8}`)}, &r); err != nil {
		t.Fatal(err)
	}
	got, err := r.Decoder.Embedding(&r)
	if want := (&llm.EmbeddingCall{Origin: llm.Cohere, Texts: []string{"a", "b"}, List: true, Dimensions: "8"}); err != nil || !cmp.Equal(want, got) {
		t.Errorf("vectors: %+v, %v", got, err)
	}
}

// TestNativeErrors shows errors that both the vendors' and Kong's clients read.
func TestNativeErrors(t *testing.T) {
	f := &llm.Failure{Status: 429, Message: `a "b"`}
	for i, want := range []string{
		`{"error":{"message":"a \"b\""},"message":"a \"b\""}`,
		`{"error":{"message":"a \"b\""},"error_type":"overloaded"}`,
	} {
		if got := string(nativeFormats(llm.Chat, "")[i].AppendError(nil, f)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// FuzzNativeCallers reads hostile calls of these callers in every way that there is.
func FuzzNativeCallers(f *testing.F) {
	f.Add("/v1/chat", []byte(`{"message":"a","chat_history":[{"role":"USER","message":"b"},1],"preamble":null,"texts":["a"],"tools":[{}]}`))
	f.Add("/v2/rerank", []byte(`{"query":{"a":1},"documents":[]}`))
	f.Add("/generate", []byte(`{"inputs":["a",1],"parameters":{"stop":1,"top_p":"x"}}`))
	f.Add("/models//generate_stream", []byte(`{"inputs":{"\u0069nputs":1}}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		for _, route := range []llm.Route{llm.Chat, llm.Completions, llm.Embeddings, llm.Preserve} {
			for _, format := range nativeFormats(route, "key") {
				var r llm.Request
				err := format.Read(Incoming{Path: path, Body: body}, &r)
				if err != nil {
					if _, ok := errors.AsType[*Error](err); !ok {
						t.Fatalf("%v is no Error", err)
					}
					continue
				}
				_, _ = format.HasPrompt(&r), format.Words(&r)
				if r.Body == nil || format.Judge(&r) != nil {
					continue
				}
				for _, read := range []func() error{
					func() error { _, err := r.Chat(); return err },
					func() error { _, err := format.Completion(&r); return err },
					func() error { _, err := format.Embedding(&r); return err },
				} {
					if err := read(); err != nil {
						t.Fatalf("%q: %v", body, err)
					}
				}
			}
		}
	})
}
