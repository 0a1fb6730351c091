package client

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

func anthropicSays(text string) llm.Event { return llm.Event{Kind: llm.EventText, Text: []byte(text)} }

func anthropicArguments(call int, text string) llm.Event {
	return llm.Event{Kind: llm.EventCallArguments, Block: call, Text: []byte(text)}
}

// TestAnthropicStreams writes streams of other providers. An empty list of events
// stands for a silence.
func TestAnthropicStreams(t *testing.T) {
	start := llm.Event{Kind: llm.EventStart, ID: "c1", Model: "m-1"}
	call := func(block int, id string) llm.Event {
		return llm.Event{Kind: llm.EventCallStart, Block: block, ID: id, Name: "stock"}
	}
	finish := func(reason llm.FinishReason) llm.Event {
		return llm.Event{Kind: llm.EventFinish, Finish: reason}
	}
	usage := llm.Event{Kind: llm.EventUsage, Usage: llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(12), CacheRead: llm.Count(3), Answer: llm.Count(4), Reasoning: llm.Count(1)}}
	thought := llm.Event{Kind: llm.EventReasoning, Text: []byte("Need stock.")}
	for name, tt := range map[string]struct {
		request string
		frames  [][]llm.Event
		failure *llm.Failure // nil: a good end
	}{
		"text": {anthropicPlain, [][]llm.Event{nil, {start, anthropicSays("Fo")}, nil, {anthropicSays("ur.\n")}, {finish(llm.FinishEnd)}, {usage}}, nil},
		"thoughts": {anthropicThoughty, [][]llm.Event{{start, usage}, {thought}, {{Kind: llm.EventSignature, Text: []byte("c2ln")}}, {{Kind: llm.EventRedacted, Text: []byte("eA==")}},
			{thought}, {anthropicSays("4")}, {{Kind: llm.EventSignature, Text: []byte("b3Q=")}}, {finish(llm.FinishLength)}}, nil},
		"thoughts-unasked": {anthropicPlain, [][]llm.Event{{start}, {thought}, {{Kind: llm.EventSignature, Text: []byte("c2ln")}}, {{Kind: llm.EventRedacted, Text: []byte("eA==")}}, {anthropicSays("4")}, {finish(llm.FinishEnd)}}, nil},
		"calls": {anthropicPlain, [][]llm.Event{{start}, {anthropicSays("One moment.")}, {call(0, "call_a")}, {anthropicArguments(0, `{"sk`)}, {call(1, "call_b"), anthropicArguments(1, `{"sku":`)},
			{anthropicArguments(0, `u":"lamp"}`)}, {anthropicArguments(1, `"sofa"`), call(2, "call_c")}, {anthropicArguments(1, `}`)}, {anthropicArguments(2, `{}`)}, {finish(llm.FinishEnd)}, {usage}}, nil},
		"calls-that-end": {anthropicPlain, [][]llm.Event{{start, call(0, "call_a")}, {call(1, "call_b"), call(1, "call_b")}, {{Kind: llm.EventCallEnd, Block: 1}}, {anthropicSays("Behind both.")}, {{Kind: llm.EventCallEnd, Block: 0}, anthropicArguments(0, "late"), anthropicArguments(7, "unknown")}, {finish(llm.FinishCalls)}}, nil},
		"refusal":        {anthropicPlain, [][]llm.Event{{start, {Kind: llm.EventRefusal, Text: []byte("I can't.")}}, {finish(llm.FinishEnd), anthropicSays("late")}}, nil},
		"empty":          {anthropicPlain, nil, nil},
		"second-choice":  {anthropicPlain, [][]llm.Event{{start, {Kind: llm.EventText, Choice: 1, Text: []byte("other")}}, {{Kind: llm.EventFinish, Finish: llm.FinishStop, StopText: "END"}}}, nil},
		"failure":        {anthropicPlain, [][]llm.Event{{start, anthropicSays("Fo")}}, &llm.Failure{Message: "it broke off"}},
		"failure-told":   {anthropicPlain, [][]llm.Event{{start, anthropicSays("Fo")}, {{Kind: llm.EventError, Failure: &llm.Failure{Type: "overloaded_error", Message: "Overloaded"}}}, {anthropicSays("late")}}, &llm.Failure{Message: "late"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := anthropicReadChat(t, tt.request)
			w := NewAnthropic(llm.Chat, "").Writer(r, "asked")
			var out []byte
			for _, events := range tt.frames {
				if events == nil {
					out = w.AppendKeepAlive(out)
				}
				out = w.Append(out, &llm.Frame{Format: llm.OpenAI, Events: events})
			}
			if tt.failure != nil {
				out = w.AppendFailure(out, tt.failure)
			}
			out = w.AppendEnd(out)
			if tt.frames == nil {
				out = out[strings.Index(string(out), `","type":"message"`):] // behind a made-up id
			}
			anthropicGolden(t, "stream-"+name+".txt", out)
		})
	}
}

// TestAnthropicBounds checks that an answer that would have to be held back
// without end is broken off.
func TestAnthropicBounds(t *testing.T) {
	r, _ := anthropicReadChat(t, anthropicPlain)
	begin := func() (StreamWriter, []byte) {
		w := NewAnthropic(llm.Chat, "").Writer(r, "asked")
		return w, w.Append(nil, &llm.Frame{Format: llm.OpenAI, Events: []llm.Event{{Kind: llm.EventCallStart, Name: "a"}}})
	}
	ended := func(w StreamWriter, out []byte) bool {
		text := string(out)
		return strings.Contains(text, "event: error\n") && len(w.AppendEnd(nil)) == 0 && len(w.AppendKeepAlive(nil)) == 0
	}
	w, out := begin()
	piece := []llm.Event{anthropicSays(strings.Repeat("x", 1<<20))}
	for range anthropicHeld >> 20 {
		out = w.Append(out, &llm.Frame{Format: llm.OpenAI, Events: piece})
	}
	if ended(w, out) {
		t.Error("broken off too early")
	}
	w, out = begin()
	for range anthropicHeld>>20 + 1 {
		out = w.Append(out, &llm.Frame{Format: llm.OpenAI, Events: piece})
	}
	if !ended(w, out) {
		t.Errorf("not broken off: %.300s", out)
	}
	w, out = begin()
	for call := range anthropicCalls {
		out = w.Append(out, &llm.Frame{Format: llm.OpenAI, Events: []llm.Event{{Kind: llm.EventCallStart, Block: call + 1, Name: "a"}}})
	}
	if !ended(w, out) {
		t.Error("any number of calls is taken")
	}
}

// TestAnthropicPassed checks what callers get whose provider speaks their format.
func TestAnthropicPassed(t *testing.T) {
	r, _ := anthropicReadChat(t, anthropicPlain)
	frames := []llm.Frame{
		{Name: "message_start", Data: []byte(`{"type":"message_start" }`), Events: []llm.Event{{Kind: llm.EventStart}}},
		{Name: "brand_new", Data: []byte(`{"type":"brand_new","a":1.0}`)},
		{Name: "message_stop", Data: []byte(`{"type":"message_stop" }`), Done: true},
	}
	want := "event: message_start\ndata: {\"type\":\"message_start\" }\n\nevent: brand_new\ndata: {\"type\":\"brand_new\",\"a\":1.0}\n\n"
	for _, tt := range []struct {
		name   string
		frames []llm.Frame
		want   string
	}{
		{"whole", frames, want + "event: message_stop\ndata: {\"type\":\"message_stop\" }\n\n"},
		{"the mark left to the gateway", frames[:2], want + "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
		{"an error", append(frames[:2:2], llm.Frame{Name: "error", Data: []byte(`{}`), Events: []llm.Event{{Kind: llm.EventError}}}, frames[2]), want + "event: error\ndata: {}\n\n"},
	} {
		w := NewAnthropic(llm.Chat, "").Writer(r, "asked")
		var out []byte
		for i := range tt.frames {
			tt.frames[i].Format = llm.Anthropic
			out = w.Append(out, &tt.frames[i])
		}
		if got := string(w.AppendEnd(out)); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

func anthropicGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "anthropic", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// FuzzAnthropicRequest reads hostile requests: what is read is a chat that the
// other formats can be written from.
func FuzzAnthropicRequest(f *testing.F) {
	for _, seed := range []string{
		anthropicPlain, anthropicThoughty,
		`{"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA\/A"}}]},{"type":"document","source":{"type":"content","content":[{"type":"text","text":"x"}]}}]},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{ "a":"\\\" " }},{"type":"thinking","thinking":null,"signature":"s"},{"type":"redacted_thinking","data":"x"}]}],"tools":[{"name":"f","input_schema":{}},{"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"tool","name":"f"},"output_config":{"effort":"max","format":{"type":"json_schema","schema":{}}}}`,
		`{"messages":[{"content":[{"type":"search_result","content":7,"title":[]},{"source":"\""},{"type":"image","source":"x"},{"type":"tool_use"},{"type":"tool_result","content":[1]}]}],"thinking":7,"output_config":[],"metadata":7,"tool_choice":"x"}`,
	} {
		f.Add([]byte(seed))
	}
	a := NewAnthropic(llm.Chat, "")
	f.Fuzz(func(t *testing.T, body []byte) {
		var r llm.Request
		if a.Read(Incoming{Path: string(body), Body: body}, &r) != nil {
			return
		}
		chat, err := r.Chat()
		if err != nil {
			t.Fatal(err)
		}
		for i := range chat.Messages {
			for _, c := range chat.Messages[i].Calls {
				if !anthropicValid([]byte(c.Arguments)) {
					t.Fatalf("%q has arguments %q", body, c.Arguments)
				}
			}
		}
		if a.HasPrompt(&r) != (a.Judge(&r) == nil) && r.Fields.Count(llm.FieldMessages) <= llm.MaxMessages {
			t.Fatalf("%q is judged otherwise than it has a prompt", body)
		}
		if out := AppendChat(nil, chat); !anthropicValid(out) {
			t.Fatalf("%q becomes %q", body, out)
		}
		if a.Words(&r) < 0 {
			t.Fatal("negative words")
		}
	})
}

func anthropicValid(object []byte) bool { return new(llm.Object).Read(object, anthropicNoNames) == nil }
