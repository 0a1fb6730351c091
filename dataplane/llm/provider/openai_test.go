package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

func openAI(t testing.TB) *OpenAI {
	t.Helper()
	p, ok := Find("openai", nil)
	if !ok {
		t.Fatal("openai is not in the list")
	}
	return p.(*OpenAI)
}

func TestList(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All {
		if seen[p.Name()] {
			t.Errorf("%s is listed twice", p.Name())
		}
		seen[p.Name()] = true
	}
	if _, ok := Find("nobody", nil); ok {
		t.Error("nobody was found")
	}
}

// TestRequest shows what the edits make of a caller's body.
func TestRequest(t *testing.T) {
	tuned := Settings{Route: llm.Chat, MaxTokens: "512", Temperature: "0.5", TopP: "0.9", TopK: "3"}
	plain := Settings{Route: llm.Chat}
	body := Settings{Route: llm.Chat, ParamValue: `"k"`}
	own := Settings{Route: llm.Chat, ParamValue: `"k"`, ParamOverride: true}
	preserve := Settings{Route: llm.Preserve}
	for _, tt := range []struct {
		name     string
		settings Settings
		model    string
		streams  bool
		in, want string
	}{
		{"everything is added", tuned, "m", false, `{"messages":[1]}`,
			`{"messages":[1],"model":"m","stream":false,"temperature":0.5,"max_tokens":512,"top_p":0.9}`},
		{"configured options win, in place", tuned, "m", false,
			`{"top_p":1,"messages":[1],"temperature":2,"max_tokens":1,"model":"m","stream":false}`,
			`{"top_p":0.9,"messages":[1],"temperature":0.5,"max_tokens":512,"model":"m","stream":false}`},
		{"the caller's options stay", plain, "m", false,
			`{"model":"m","temperature":1e-1,"max_tokens":7,"messages":[1],"x":{"top_k":1}}`,
			`{"model":"m","temperature":1e-1,"max_tokens":7,"messages":[1],"x":{"top_k":1},"stream":false}`},
		{"top_k goes", plain, "m", false, `{"top_k":1,"model":"m","messages":[1],"stream":false}`, `{"model":"m","messages":[1],"stream":false}`},
		{"the other limit goes", tuned, "m", false, `{"model":"m","max_completion_tokens":100000,"messages":[1]}`,
			`{"model":"m","messages":[1],"stream":false,"temperature":0.5,"max_tokens":512,"top_p":0.9}`},
		{"reasoning models", tuned, "gpt-5-mini", false, `{"max_tokens":9,"messages":[1]}`,
			`{"messages":[1],"model":"gpt-5-mini","stream":false,"temperature":0.5,"max_completion_tokens":512,"top_p":0.9}`},
		{"reasoning models, the caller's limit", plain, "o1", false, `{"model":"o1","max_tokens":9,"messages":[1],"stream":false}`,
			`{"model":"o1","max_completion_tokens":9,"messages":[1],"stream":false}`},
		{"reasoning models, both limits", plain, "o1", false, `{"model":"o1","max_tokens":9,"messages":[1],"max_completion_tokens":8,"stream":false}`,
			`{"model":"o1","messages":[1],"max_completion_tokens":8,"stream":false}`},
		{"omni is no reasoning model", plain, "omni-moderation", false, `{"model":"omni-moderation","max_tokens":9,"messages":[1],"stream":false}`,
			`{"model":"omni-moderation","max_tokens":9,"messages":[1],"stream":false}`},
		{"a stream", plain, "m", true, `{"model":"m","messages":[1],"stream":true}`,
			`{"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true}}`},
		{"a stream with options", plain, "m", true, `{"model":"m","stream_options":{"include_usage":false,"x":1},"messages":[1],"stream":true}`,
			`{"model":"m","stream_options":{"include_usage":true,"x":1},"messages":[1],"stream":true}`},
		{"a stream with null options", plain, "m", true, `{"model":"m","stream_options":null,"messages":[1],"stream":true}`,
			`{"model":"m","stream_options":{"include_usage":true},"messages":[1],"stream":true}`},
		{"a stream that counts", plain, "m", true, `{"model":"m","stream_options":{"include_usage":true},"messages":[1],"stream":true}`,
			`{"model":"m","stream_options":{"include_usage":true},"messages":[1],"stream":true}`},
		{"credentials are added", body, "m", false, `{"model":"m","messages":[1],"stream":false}`, `{"model":"m","messages":[1],"stream":false,"key":"k"}`},
		{"credentials replace the caller's", body, "m", false, `{"model":"m","key":"own","messages":[1],"stream":false}`, `{"model":"m","key":"k","messages":[1],"stream":false}`},
		{"the caller's credentials may win", own, "m", false, `{"model":"m","key":"own","messages":[1],"stream":false}`, `{"model":"m","key":"own","messages":[1],"stream":false}`},
		{"preserve changes nothing", preserve, "m", false, `{"top_k":1, "stream_options":{} }`, `{"top_k":1, "stream_options":{} }`},
		{"preserve, always streamed", preserve, "m", true, `{"a":1}`, `{"a":1,"stream":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			param := ""
			if tt.settings.ParamValue != "" {
				param = "key"
			}
			var request llm.Request
			if err := client.NewOpenAI(tt.settings.Route, param).Read(client.Incoming{Body: []byte(tt.in)}, &request); err != nil {
				t.Fatal(err)
			}
			got, err := openAI(t).Request(&Call{Settings: &tt.settings, Model: tt.model, Streams: tt.streams}, &request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := openAI(t).Request(&Call{Settings: &plain}, &llm.Request{}); err != ErrNotJSON {
		t.Errorf("a call without a body: %v, want ErrNotJSON", err)
	}
}

// frames reads chunks and copies what they say.
func frames(t testing.TB, chunks ...string) (events []llm.Event, unread int) {
	t.Helper()
	reader := openAI(t).Stream(&Call{Settings: &Settings{Route: llm.Chat}})
	for _, chunk := range chunks {
		frame, ok := reader.Read(llm.ServerEvent{Data: []byte(chunk)})
		if !ok {
			unread++
			continue
		}
		for _, e := range frame.Events {
			e.Text = bytes.Clone(e.Text)
			e.Usage = llm.Usage{}
			events = append(events, e)
		}
	}
	return events, unread
}

func TestStreamEvents(t *testing.T) {
	got, unread := frames(t,
		`{"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`,
		`{"choices":[{"index":0,"delta":{"reasoning_content":"2+2"}}]}`,
		`{"choices":[{"index":1,"delta":{"content":"F\u006fur\n"}},{"index":0,"delta":{"content":"four","refusal":"no"}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"stock","arguments":""}}]}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"sk"}},{"index":1,"id":"call_b","function":{"name":"price","arguments":"{}"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"x","function":{"name":"a"}},{"id":"y","function":{"name":"b"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"},{"index":1,"text":"old","finish_reason":"length"}]}`,
		`{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}`,
		`{"choices":[],"prompt_filter_results":[]}`,
		`{"error":{"message":"overloaded"}}`,
		`not json`, `[1]`,
	)
	want := []llm.Event{
		{Kind: llm.EventStart, Model: "m"},
		{Kind: llm.EventReasoning, Text: []byte("2+2")},
		{Kind: llm.EventText, Choice: 1, Text: []byte("Four\n")},
		{Kind: llm.EventText, Text: []byte("four")},
		{Kind: llm.EventRefusal, Text: []byte("no")},
		{Kind: llm.EventCallStart, ID: "call_a", Name: "stock"},
		{Kind: llm.EventCallArguments, Text: []byte(`{"sk`)},
		{Kind: llm.EventCallStart, Block: 1, ID: "call_b", Name: "price"},
		{Kind: llm.EventCallArguments, Block: 1, Text: []byte(`{}`)},
		{Kind: llm.EventCallStart, Block: 2, ID: "x", Name: "a"},
		{Kind: llm.EventCallStart, Block: 3, ID: "y", Name: "b"},
		{Kind: llm.EventFinish, Finish: llm.FinishCalls},
		{Kind: llm.EventText, Choice: 1, Text: []byte("old")},
		{Kind: llm.EventFinish, Choice: 1, Finish: llm.FinishLength},
		{Kind: llm.EventUsage},
		{Kind: llm.EventError, Failure: &llm.Failure{Message: "overloaded"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(llm.Tokens{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if unread != 2 {
		t.Errorf("%d chunks were not read, want 2", unread)
	}
}

func TestFinishReasons(t *testing.T) {
	for word, want := range map[string]string{
		"stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls",
		"content_filter": "content_filter", "model_length": "length", "error": "stop", "new_reason": "stop",
	} {
		if got := llm.FinishReasonOpenAI(word).OpenAI(); got != want {
			t.Errorf("%s comes back as %s, want %s", word, got, want)
		}
	}
}

// FuzzProviderChunkOpenAI reads hostile chunks, checks what is found against
// encoding/json, and writes them for a caller.
func FuzzProviderChunkOpenAI(f *testing.F) {
	for _, seed := range []string{
		`{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"Four."},"finish_reason":null}],"usage":null}`,
		`{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":2,"total_tokens":14}}`,
		`{"choices":[{"delta":{"tool_calls":[{"function":{"name":"a","arguments":"{\"b\":1}"}}]}}]}`,
		`{"error":{"message":"x"}}`, `{"choices":{}}`, `{"choices":[[],1,null,"x",{"delta":[],"message":{"content":"\ud800"}}]}`, `[DONE]`, `{"usage":[1],"usage":{}}`, "{\r\"choices\":[{\r\n\"message\":{\"content\":\"a\"}},1,{\"delta\":{},\"message\":{}}],\"object\":0}", "{\"choices\"\n:[]}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		reader := openAI(t).Stream(&Call{Settings: &Settings{Route: llm.Chat}})
		frame, ok := reader.Read(llm.ServerEvent{Data: data})
		if !ok {
			if json.Valid(data) && bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) && !bytes.Contains(data, bytes.Repeat([]byte("["), 90)) && !bytes.Contains(data, bytes.Repeat([]byte("{"), 90)) && len(data) < 1<<10 {
				t.Fatalf("%q was not read", data)
			}
			return
		}
		var texts strings.Builder
		for _, e := range frame.Events {
			if e.Kind == llm.EventText {
				texts.Write(e.Text)
			}
		}
		for _, strip := range []bool{false, true} {
			writer := client.NewOpenAI(llm.Chat, "").Writer(&llm.Request{WantsUsage: !strip}, "")
			out := writer.Append(nil, frame)
			if len(out) == 0 {
				if !strip || !frame.UsageOnly {
					t.Fatalf("%q was left out", data)
				}
				continue
			}
			var back []string
			var events llm.EventReader
			if err := events.Read(out, func(e llm.ServerEvent) error {
				back = append(back, string(e.Data))
				return nil
			}); err != nil || len(back) != 1 {
				t.Fatalf("%q written as %q is %d events, %v", data, out, len(back), err)
			}
			if frame.Done {
				continue
			}
			var chunk struct {
				Choices []struct {
					Text    any
					Delta   any
					Message any
				}
			}
			if !json.Valid([]byte(back[0])) {
				t.Fatalf("%q written as %q is no JSON", data, back[0])
			}
			if err := json.Unmarshal([]byte(back[0]), &chunk); err != nil {
				continue // choices of another shape
			}
			var want strings.Builder
			for _, choice := range chunk.Choices {
				for _, v := range []any{choice.Text, content(choice.Delta), content(choice.Message)} {
					if s, ok := v.(string); ok {
						fmt.Fprint(&want, s)
					}
				}
			}
			if !folded(data) && want.String() != texts.String() {
				t.Fatalf("%q: texts %q, want %q", data, texts.String(), want.String())
			}
		}
	})
}

func content(v any) any {
	m, _ := v.(map[string]any)
	return m["content"]
}

// folded says that encoding/json may read other members than the exact ones, or
// merge members that stand twice.
func folded(data []byte) bool {
	lower := strings.ToLower(string(data))
	for _, name := range []string{"choices", "text", "delta", "message", "content"} {
		if strings.Count(lower, name) > 1 || strings.Count(string(data), `"`+name+`"`) != strings.Count(lower, name) {
			return true
		}
	}
	return strings.Contains(lower, `\u`) || strings.ContainsRune(lower, 'ſ')
}
