package provider

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var anthropicCompare = cmp.Options{cmpopts.EquateEmpty(), cmp.AllowUnexported(llm.Tokens{})}

// anthropicEvents reads a stream that comes in pieces of a size, and copies what
// it says.
func anthropicEvents(t testing.TB, stream []byte, piece int) (events []llm.Event, done bool) {
	t.Helper()
	reader := anthropic(t).Stream(&Call{Settings: &Settings{Route: llm.Chat}})
	var cut llm.EventReader
	take := func(event llm.ServerEvent) error {
		frame, ok := reader.Read(event)
		if !ok {
			return nil
		}
		if string(frame.Data) != string(event.Data) || frame.Format != llm.Anthropic {
			t.Errorf("frame %s of %s is not what came: %s", frame.Data, frame.Format, event.Data)
		}
		if len(event.Name) > 0 && frame.Name != string(event.Name) {
			t.Errorf("frame is named %s, came as %s", frame.Name, event.Name)
		}
		for _, e := range frame.Events {
			e.Text = bytes.Clone(e.Text)
			events = append(events, e)
		}
		done = done || frame.Done
		return nil
	}
	for len(stream) > 0 {
		n := min(piece, len(stream))
		if err := cut.Read(stream[:n], take); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	if err := cut.Close(take); err != nil {
		t.Fatal(err)
	}
	return events, done
}

func TestAnthropicStream(t *testing.T) {
	stream, err := os.ReadFile(filepath.Join("testdata", "anthropic", "stream-tools.txt"))
	if err != nil {
		t.Fatal(err)
	}
	input := llm.Usage{Input: llm.Reported, Fresh: llm.Count(20), CacheRead: llm.Count(100), CacheWrite: llm.Count(7), CacheWriteLong: llm.Count(3), Tier: "standard"}
	all := input
	all.Output, all.Answer, all.Reasoning = llm.Reported, llm.Count(12), llm.Count(5)
	want := []llm.Event{
		{Kind: llm.EventStart, ID: "msg_b", Model: "m-1"},
		{Kind: llm.EventUsage, Usage: input},
		{Kind: llm.EventReasoning, Text: []byte("Need stock.")},
		{Kind: llm.EventSignature, Text: []byte("c2ln")},
		{Kind: llm.EventRedacted, Text: []byte("eA==")},
		{Kind: llm.EventText, Text: []byte("One moment\n")},
		{Kind: llm.EventCallStart, ID: "toolu_b", Name: "stock"},
		{Kind: llm.EventCallArguments, Text: []byte(`{"sku":`)},
		{Kind: llm.EventCallArguments, Text: []byte(`12345678901234567890}`)},
		{Kind: llm.EventCallEnd},
		{Kind: llm.EventCallStart, Block: 1, ID: "toolu_c", Name: "now"},
		{Kind: llm.EventCallArguments, Block: 1, Text: []byte(`{}`)},
		{Kind: llm.EventCallEnd, Block: 1},
		{Kind: llm.EventCallStart, Block: 2, ID: "toolu_d", Name: "whole"},
		{Kind: llm.EventCallArguments, Block: 2, Text: []byte(`{"a":[1,"b c"]}`)},
		{Kind: llm.EventCallEnd, Block: 2},
		{Kind: llm.EventFinish, Finish: llm.FinishCalls},
		{Kind: llm.EventUsage, Usage: all},
	}
	for piece := 1; piece < len(stream); piece += 1 + piece/8 {
		got, done := anthropicEvents(t, stream, piece)
		if diff := cmp.Diff(want, got, anthropicCompare); diff != "" || !done {
			t.Fatalf("in pieces of %d, done %v (-want +got):\n%s", piece, done, diff)
		}
	}
}

func TestAnthropicStreamOthers(t *testing.T) {
	sse := func(events ...string) []byte {
		var out []byte
		for _, event := range events {
			out = llm.AppendServerEvent(out, "", []byte(event))
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		stream []byte
		want   []llm.Event
	}{
		{"completions", []byte("event: completion\r\ndata: {\"type\":\"completion\",\"completion\":\" Hel\",\"stop_reason\":null,\"model\":\"claude-2.1\"}\r\n\r\n" +
			"event: ping\r\ndata: {}\r\n\r\nevent: completion\r\ndata: {\"completion\":\"lo\",\"stop_reason\":\"stop_sequence\",\"stop\":\"\\n\\nHuman:\",\"model\":\"claude-2.1\"}\r\n\r\n"),
			[]llm.Event{{Kind: llm.EventStart, Model: "claude-2.1"}, {Kind: llm.EventText, Text: []byte(" Hel")}, {Kind: llm.EventText, Text: []byte("lo")}, {Kind: llm.EventFinish, Finish: llm.FinishStop}}},
		{"an error", sse(`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`),
			[]llm.Event{{Kind: llm.EventError, Failure: &llm.Failure{Type: "overloaded_error", Message: "Overloaded"}}}},
		{"an error without words", sse(`{"type":"error"}`), []llm.Event{{Kind: llm.EventError, Failure: &llm.Failure{}}}},
		{"a text to stop at", sse(`{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}}`),
			[]llm.Event{{Kind: llm.EventFinish, Finish: llm.FinishStop, StopText: "END"}}},
		{"a block that begins with text", sse(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}}`),
			[]llm.Event{{Kind: llm.EventText, Text: []byte("a")}, {Kind: llm.EventText, Text: []byte("b")}}},
		{"counts, again and again", sse(`{"type":"message_delta","delta":{"stop_reason":null},"usage":{"input_tokens":3,"output_tokens":5}}`, `{"type":"message_delta","delta":{},"usage":{"output_tokens":9}}`, `{"type":"message_delta","delta":{},"usage":{"iterations":[{"type":"compaction","input_tokens":100,"output_tokens":10},{"type":"message","input_tokens":20,"output_tokens":2,"cache_read_input_tokens":1}]}}`),
			[]llm.Event{
				{Kind: llm.EventUsage, Usage: llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(3), Answer: llm.Count(5)}},
				{Kind: llm.EventUsage, Usage: llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(3), Answer: llm.Count(9)}},
				{Kind: llm.EventUsage, Usage: llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(120), Answer: llm.Count(12), CacheRead: llm.Count(1)}},
			}},
		{"what cannot be read", sse(`not json`, `[1]`, `{"type":7}`, `{"type":"message_start","message":1}`, `{"type":"content_block_delta","index":9,"delta":{"type":"input_json_delta","partial_json":"{"}}`), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := anthropicEvents(t, tt.stream, 7)
			if diff := cmp.Diff(tt.want, got, anthropicCompare); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnthropicAnswer(t *testing.T) {
	chat := &Settings{Route: llm.Chat}
	body := `{"id":"msg_a","type":"message","role":"assistant","model":"m-1","content":[{"type":"thinking","thinking":"Look it up.","signature":"c2ln"},{"type":"redacted_thinking","data":"eA=="},` +
		`{"type":"text","text":"One moment.","citations":null},{"type":"server_tool_use","id":"s","name":"web_search","input":{}},{"type":"tool_use","id":"toolu_a","name":"stock","input":{ "sku" : 1e400, "q":" \" " }}],` +
		`"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":20,"cache_creation_input_tokens":0,"cache_read_input_tokens":100,"output_tokens":31,"service_tier":"standard"}}`
	usage := llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(20), CacheRead: llm.Count(100), CacheWrite: llm.Count(0), Answer: llm.Count(31), Tier: "standard"}
	want := &llm.ChatAnswer{ID: "msg_a", Model: "m-1", Origin: llm.Anthropic, Usage: usage, Choices: []llm.Choice{{Finish: llm.FinishCalls, Message: llm.Message{
		Role: llm.RoleAssistant,
		Parts: []llm.Part{
			{Kind: llm.PartReasoning, Text: "Look it up.", Signature: "c2ln"}, {Kind: llm.PartRedacted, Data: []byte("eA==")}, {Kind: llm.PartText, Text: "One moment."},
			{Kind: llm.PartOther, JSON: []byte(`{"type":"server_tool_use","id":"s","name":"web_search","input":{}}`)},
		},
		Calls: []llm.ToolCall{{ID: "toolu_a", Name: "stock", Arguments: `{"sku":1e400,"q":" \" "}`}},
	}}}}
	got, err := anthropic(t).Response(&Call{Settings: chat, Format: llm.OpenAI}, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Chat, anthropicCompare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	same, err := anthropic(t).Response(&Call{Settings: chat, Format: llm.Anthropic}, []byte(body))
	if err != nil || same.Chat != nil || string(same.Body) != body || same.Model != "m-1" || !cmp.Equal(same.Usage, usage, anthropicCompare) {
		t.Errorf("a caller of the format gets %+v, %v", same, err)
	}
	uncounted, err := anthropic(t).Response(&Call{Settings: chat, Format: llm.Anthropic}, []byte(`{"content":[{"type":"text","text":" four "},{"type":"thinking","text":"no"}]}`))
	if err != nil || uncounted.TextLength != 4 {
		t.Errorf("length %d, %v", uncounted.TextLength, err)
	}
	completion, err := anthropic(t).Response(&Call{Settings: &Settings{Route: llm.Completions}, Format: llm.OpenAI}, []byte(`{"completion":" Hello!","stop_reason":"max_tokens","model":"m"}`))
	if err != nil || completion.Chat.Choices[0].Message.Parts[0].Text != " Hello!" || completion.Chat.Choices[0].Finish != llm.FinishLength || completion.TextLength != 6 {
		t.Errorf("completion %+v, %v", completion.Chat, err)
	}
	for _, tt := range []struct {
		route     llm.Route
		operation string
		body      string
		want      string
	}{
		{llm.Chat, "", `<html>`, "failed to decode anthropic response"},
		{llm.Chat, "", ``, "failed to decode anthropic response"},
		{llm.Chat, "", `{"content":null}`, "'content' not in anthropic://llm/v1/chat response"},
		{llm.Chat, "", `[1]`, "'content' not in anthropic://llm/v1/chat response"},
		{llm.Completions, "", `{"content":[]}`, "'completion' not in anthropic://llm/v1/chat response"},
		{llm.Completions, "", `{`, "failed to decode anthropic response"},
		{llm.Preserve, "", `<html>`, ""},
		{llm.Batches, "", `{"id":"b"}`, ""},
		{llm.Chat, "/v1/messages/count_tokens", `{"input_tokens":5}`, ""},
		{llm.Chat, "/v1/messages/batches/b/results", "{}\n{}", ""},
	} {
		answer, err := anthropic(t).Response(&Call{Settings: &Settings{Route: tt.route}, Format: llm.OpenAI, Operation: tt.operation}, []byte(tt.body))
		if tt.want == "" {
			if err != nil || string(answer.Body) != tt.body {
				t.Errorf("%s%s: %s, %v", tt.route, tt.operation, answer.Body, err)
			}
			continue
		}
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s %s: %v, want %s", tt.route, tt.body, err, tt.want)
		}
	}
}

func TestAnthropicReasons(t *testing.T) {
	for word, want := range map[string]string{
		"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
		"tool_use": "tool_calls", "refusal": "content_filter", "pause_turn": "stop", "brand_new": "stop",
	} {
		if got := anthropicReason(word).OpenAI(); got != want {
			t.Errorf("%s is %s, want %s", word, got, want)
		}
	}
}

// FuzzProviderAnthropic reads hostile events and answers, and checks what is found
// against encoding/json.
func FuzzProviderAnthropic(f *testing.F) {
	stream, err := os.ReadFile(filepath.Join("testdata", "anthropic", "stream-tools.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(stream)) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			f.Add([]byte(data))
		}
	}
	f.Add([]byte(`{"content":[{"type":"text","text":"\ud800"},1,null,[],{"type":"tool_use","input":{"a":"\\"}},{"type":"tool_use","input":[]}],"usage":{"input_tokens":1e3,"iterations":[1,{}]}}`))
	f.Add([]byte(`{"type":"content_block_start","index":-1,"content_block":{"type":"tool_use","id":1,"input":{ "a" : "b" }}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		reader := anthropic(t).Stream(&Call{Settings: &Settings{Route: llm.Chat}})
		for range 2 {
			frame, ok := reader.Read(llm.ServerEvent{Data: data})
			if !ok {
				if json.Valid(data) && bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) && len(data) < 150 {
					t.Fatalf("%q was not read", data)
				}
				break
			}
			for _, e := range frame.Events {
				if e.Kind == 0 || e.Usage.Prompt() < 0 || e.Usage.Completion() < 0 {
					t.Fatalf("%q says %+v", data, e)
				}
			}
			if frame, ok = reader.Read(llm.ServerEvent{Data: []byte(`{"type":"content_block_stop","index":0}`)}); !ok {
				t.Fatal("a stop was not read")
			}
			for _, e := range frame.Events {
				if e.Kind == llm.EventCallArguments && !json.Valid(e.Text) {
					t.Fatalf("%q has arguments %q", data, e.Text)
				}
			}
		}
		answer, err := anthropic(t).Response(&Call{Settings: &Settings{Route: llm.Chat}, Format: llm.OpenAI}, data)
		if err != nil {
			return
		}
		var members map[string]json.RawMessage
		var blocks []json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatalf("%q was read: %v", data, err)
		}
		if err := json.Unmarshal(members["content"], &blocks); err != nil {
			t.Fatalf("%q was read: %v", data, err)
		}
		for _, c := range answer.Chat.Choices[0].Message.Calls {
			if !json.Valid([]byte(c.Arguments)) {
				t.Fatalf("%q has arguments %q", data, c.Arguments)
			}
		}
		if len(answer.Chat.Choices[0].Message.Parts)+len(answer.Chat.Choices[0].Message.Calls) > len(blocks) {
			t.Fatalf("%q has more than it has: %+v", data, answer.Chat)
		}
	})
}
