package provider

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// readOpenAI reads a stream that comes in pieces of a size, and joins neighbours of
// one kind, as any split of the text may give other pieces of it.
func readOpenAI(t testing.TB, reader StreamReader, stream []byte, size int) (events []llm.Event) {
	t.Helper()
	var cut llm.EventReader
	take := func(e llm.ServerEvent) error {
		frame, ok := reader.Read(e)
		if !ok {
			t.Fatalf("%s was not read", e.Data)
		}
		for _, e := range frame.Events {
			e.Text = bytes.Clone(e.Text)
			events = append(events, e)
		}
		return nil
	}
	for len(stream) > 0 {
		n := min(size, len(stream))
		if err := cut.Read(stream[:n], take); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	if err := cut.Close(take); err != nil {
		t.Fatal(err)
	}
	return events
}

var sameEvents = cmp.Options{cmpopts.EquateEmpty(), cmp.AllowUnexported(llm.Tokens{})}

// TestOpenAIEventsComeBack writes the events of two calls and of text in any order
// for a caller, and reads what was written: the same events, however the bytes
// are split.
func TestOpenAIEventsComeBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		lines := make([][]llm.Event, 3)
		for call := range 2 {
			id := string(rune('a' + call))
			lines[call] = []llm.Event{{Kind: llm.EventCallStart, Block: call, ID: "call_" + id, Name: "f" + id}}
			for range random.IntN(5) {
				lines[call] = append(lines[call], llm.Event{Kind: llm.EventCallArguments, Block: call, Text: []byte(`{"` + id + `\":` + "\n")})
			}
			if random.IntN(2) == 0 {
				lines[call] = append(lines[call], llm.Event{Kind: llm.EventSignature, OfCall: true, Block: call, Text: []byte("sig" + id)})
			}
		}
		for range random.IntN(4) {
			kind := []llm.EventKind{llm.EventText, llm.EventReasoning, llm.EventRefusal}[random.IntN(3)]
			lines[2] = append(lines[2], llm.Event{Kind: kind, Text: []byte("té\u2028xt")})
		}
		events := []llm.Event{{Kind: llm.EventStart, ID: "id", Model: "m", Created: 7}}
		for begun := 0; len(lines[0])+len(lines[1])+len(lines[2]) > 0; {
			at := random.IntN(3)
			if len(lines[at]) == 0 || at == 1 && begun == 0 {
				continue // the first call opens first: that is what its number says
			}
			if at == 0 {
				begun = 1
			}
			events, lines[at] = append(events, lines[at][0]), lines[at][1:]
		}
		usage := llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(12), CacheRead: llm.Count(3), Answer: llm.Count(5), Reasoning: llm.Count(2)}
		events = append(events, llm.Event{Kind: llm.EventFinish, Finish: llm.FinishCalls}, llm.Event{Kind: llm.EventUsage, Usage: usage})

		w := client.NewOpenAI(llm.Chat, "").Writer(&llm.Request{WantsUsage: true}, "")
		var stream []byte
		for rest := events; len(rest) > 0; {
			n := min(1+random.IntN(3), len(rest))
			stream = w.Append(stream, &llm.Frame{Format: llm.Anthropic, Events: rest[:n]})
			rest = rest[n:]
		}
		stream = w.AppendEnd(stream)
		for _, size := range []int{len(stream), 1, 1 + random.IntN(50)} {
			got := readOpenAI(t, openAI(t).Stream(&Call{Settings: &Settings{Route: llm.Chat}}), stream, size)
			if diff := cmp.Diff(events, got, sameEvents); diff != "" {
				t.Fatalf("round %d, pieces of %d (-want +got):\n%s\n%s", round, size, diff, stream)
			}
		}
	}
}

// TestOpenAICalls shows how calls of servers that leave things out, or repeat
// them, are told apart.
func TestOpenAICalls(t *testing.T) {
	call := func(calls ...string) string {
		return `{"choices":[{"index":0,"delta":{"tool_calls":[` + strings.Join(calls, ",") + `]}}]}`
	}
	for name, tt := range map[string]struct {
		chunks []string
		want   string // block, id and name of each call, then its arguments
	}{
		"as it should be": {[]string{
			call(`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}`), call(`{"index":1,"id":"b","function":{"name":"g","arguments":"1"}}`),
			call(`{"index":0,"function":{"arguments":"2"}}`), call(`{"index":1,"function":{"arguments":"3"}}`),
		}, "0 a f 2|1 b g 13"},
		"id and name are repeated": {[]string{
			call(`{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}`), call(`{"index":0,"id":"a","function":{"name":"f","arguments":"2"}}`),
		}, "0 a f 12"},
		"an empty id and no name go on": {[]string{
			call(`{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}`), call(`{"index":0,"id":"","function":{"name":"","arguments":"2"}}`), call(`{"index":0,"id":"x","function":{"name":null,"arguments":"3"}}`),
		}, "0 a f 123"},
		"all calls have index 0": {[]string{
			call(`{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}`), call(`{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}`),
		}, "0 a f {}|1 b f {}"},
		"no index":                 {[]string{call(`{"id":"a","function":{"name":"f","arguments":"1"}}`, `{"id":"b","function":{"name":"g","arguments":"2"}}`), call(`{"id":"a","function":{"arguments":"3"}}`)}, "0 a f 13|1 b g 2"},
		"no index, then nothing":   {[]string{call(`{"id":"a","function":{"name":"f"}}`), call(`{"function":{"arguments":"3"}}`)}, "0 a f 3"},
		"neither index nor id":     {[]string{call(`{"function":{"name":"f","arguments":"1"}}`, `{"function":{"name":"f","arguments":"2"}}`)}, "0 made f 1|1 made f 2"},
		"arguments are no text":    {[]string{call(`{"index":0,"id":"a","function":{"name":"f","arguments":{"a":1.0}}}`)}, `0 a f {"a":1.0}`},
		"the old form":             {[]string{`{"choices":[{"delta":{"function_call":{"name":"f","arguments":"1"}}}]}`, `{"choices":[{"delta":{"function_call":{"arguments":"2"}}}]}`}, "0 made f 12"},
		"an index that is skipped": {[]string{call(`{"index":1,"id":"a","function":{"name":"f","arguments":"1"}}`), call(`{"index":3,"id":"b","function":{"name":"g","arguments":"1"}}`)}, "0 a f 1|1 b g 1"},
	} {
		t.Run(name, func(t *testing.T) {
			events, _ := frames(t, tt.chunks...)
			var calls, arguments []string
			for _, e := range events {
				switch e.Kind {
				case llm.EventCallStart:
					if strings.HasPrefix(e.ID, "call_") {
						e.ID = "made"
					}
					calls = append(calls, string(rune('0'+e.Block))+" "+e.ID+" "+e.Name+" ")
					arguments = append(arguments, "")
				case llm.EventCallArguments:
					arguments[e.Block] += string(e.Text)
				}
			}
			for i := range calls {
				calls[i] += arguments[i]
			}
			if got := strings.Join(calls, "|"); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestOpenAIStreamsOfOthers shows what servers of the format have of their own.
func TestOpenAIStreamsOfOthers(t *testing.T) {
	got, unread := frames(t,
		`{"id":"","model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}`,
		`{"id":"c","model":"m","created":1790000000,"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"c2ln"}}}]},"finish_reason":"stop"}]}`,
		`{"error":{"message":"busy","type":"server_error","code":"overloaded"}}`,
		`{"error":true,"message":"empty"}`,
	)
	want := []llm.Event{
		{Kind: llm.EventStart, ID: "c", Model: "m", Created: 1790000000},
		{Kind: llm.EventReasoning, Text: []byte("hm")}, {Kind: llm.EventText, Text: []byte("a")},
		{Kind: llm.EventCallStart, ID: "t", Name: "f"}, {Kind: llm.EventSignature, OfCall: true, Text: []byte("c2ln")},
		{Kind: llm.EventCallArguments, Text: []byte("{}")}, {Kind: llm.EventFinish, Finish: llm.FinishCalls},
		{Kind: llm.EventError, Failure: &llm.Failure{Type: "server_error", Code: "overloaded", Message: "busy"}},
		{Kind: llm.EventError, Failure: &llm.Failure{Message: "empty"}},
	}
	if diff := cmp.Diff(want, got, sameEvents); diff != "" || unread > 0 {
		t.Errorf("%d unread (-want +got):\n%s", unread, diff)
	}
}

// openAIResponse is a stream of the responses API.
const openAIResponse = `event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_a","created_at":1790000000,"model":"m-1","status":"in_progress","usage":null}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"type":"reasoning","id":"rs"}}

event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","sequence_number":2,"delta":"Sum."}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":3,"delta":"Fo\u0075r."}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":4,"output_index":2,"item":{"type":"function_call","id":"fc","call_id":"call_a","name":"stock","arguments":""}}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","sequence_number":5,"output_index":2,"delta":"{}"}

event: response.completed
data: {"type":"response.completed","sequence_number":6,"response":{"id":"resp_a","status":"completed","service_tier":"default","usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":2},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":21}}}

`

func TestOpenAIResponsesStream(t *testing.T) {
	call := &Call{Settings: &Settings{Route: llm.Responses}, Format: llm.OpenAI}
	want := []llm.Event{
		{Kind: llm.EventStart, ID: "resp_a", Model: "m-1", Created: 1790000000},
		{Kind: llm.EventReasoning, Text: []byte("Sum.")}, {Kind: llm.EventText, Text: []byte("Four.")},
		{Kind: llm.EventCallStart, ID: "call_a", Name: "stock"}, {Kind: llm.EventCallArguments, Text: []byte("{}")},
		{Kind: llm.EventUsage, Usage: llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(10), CacheRead: llm.Count(2), Answer: llm.Count(5), Reasoning: llm.Count(4), Tier: "default"}},
		{Kind: llm.EventFinish, Finish: llm.FinishCalls},
	}
	for _, size := range []int{len(openAIResponse), 1, 13} {
		got := readOpenAI(t, openAI(t).Stream(call), []byte(openAIResponse), size)
		if diff := cmp.Diff(want, got, sameEvents); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	// The caller gets every byte.
	writer := client.NewOpenAI(llm.Responses, "").Writer(&llm.Request{}, "m-1")
	reader, out := openAI(t).Stream(call), []byte(nil)
	var cut llm.EventReader
	if err := cut.Read([]byte(openAIResponse), func(e llm.ServerEvent) error {
		frame, ok := reader.Read(e)
		if !ok {
			t.Fatalf("%s was not read", e.Data)
		}
		out = writer.Append(out, frame)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(openAIResponse, string(writer.AppendEnd(out))); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	for chunk, want := range map[string]llm.Event{
		`{"type":"error","code":"server_error","message":"oops","sequence_number":3}`:                                           {Kind: llm.EventError, Failure: &llm.Failure{Code: "server_error", Message: "oops"}},
		`{"type":"response.failed","response":{"status":"failed","error":{"code":"x","message":"bad"}}}`:                        {Kind: llm.EventError, Failure: &llm.Failure{Code: "x", Message: "bad"}},
		`{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}}`:    {Kind: llm.EventFinish, Finish: llm.FinishFiltered},
		`{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}`: {Kind: llm.EventFinish, Finish: llm.FinishLength},
		`{"type":"transcript.text.delta","delta":"a"}`:                                                                          {Kind: llm.EventText, Text: []byte("a")},
		`{"type":"speech.audio.done"}`: {Kind: llm.EventFinish, Finish: llm.FinishEnd},
	} {
		frame, ok := openAI(t).Stream(call).Read(llm.ServerEvent{Data: []byte(chunk)})
		if !ok || len(frame.Events) != 1 {
			t.Errorf("%s: %+v", chunk, frame)
		} else if diff := cmp.Diff(want, frame.Events[0], sameEvents); diff != "" {
			t.Errorf("%s (-want +got):\n%s", chunk, diff)
		}
	}
}

// FuzzOpenAIAnswer reads hostile answers and events, and writes them for a caller.
func FuzzOpenAIAnswer(f *testing.F) {
	f.Add([]byte(`{"id":"c","created":1,"model":"m","choices":[{"message":{"content":"a","reasoning":"b","refusal":"c","tool_calls":[{"function":{"name":"f","arguments":{}}},{"extra_content":{"google":{"thought_signature":"x"}}}]},"logprobs":{},"finish_reason":"stop"}],"usage":{"input_tokens":1,"output_tokens":2}}`))
	f.Add([]byte(`{"choices":[{"message":{"content":[{"type":"thinking","thinking":[{"text":"a"}]}],"function_call":{}}},{"text":"x"},1],"data":[{"embedding":[1]}]}`))
	f.Add([]byte(`{"type":"response.completed","response":{"usage":{"input_tokens":1},"output":[{"content":[{"text":"a"}]}]},"choices":[]}`))
	f.Add([]byte(`{"type":"response.output_item.added","item":{"type":"function_call","call_id":"a"},"choices":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, route := range []llm.Route{llm.Chat, llm.Completions, llm.Embeddings, llm.Responses, llm.Images} {
			call := &Call{Settings: &Settings{Route: route}, Format: llm.Anthropic}
			answer, err := openAI(t).Response(call, body)
			if err != nil {
				continue
			}
			caller := client.NewOpenAI(route, "")
			var out []byte
			switch {
			case answer.Chat != nil:
				out = caller.AppendAnswer(nil, &llm.Request{}, answer.Chat)
			case answer.Embedding != nil:
				out = caller.AppendEmbedding(nil, &llm.Request{}, answer.Embedding)
			default:
				continue
			}
			if !json.Valid(out) {
				t.Fatalf("%q is written as %q", body, out)
			}
		}
		for _, route := range []llm.Route{llm.Chat, llm.Responses} {
			reader := openAI(t).Stream(&Call{Settings: &Settings{Route: route}})
			for range 2 {
				if frame, ok := reader.Read(llm.ServerEvent{Data: body}); ok {
					w := client.NewOpenAI(llm.Chat, "").Writer(&llm.Request{}, "m")
					frame.Format = llm.Anthropic
					w.Append(nil, frame)
				}
			}
		}
	})
}

// TestOpenAIReaderAllocates holds the reader to no allocation for a piece of text
// or of a call once an answer has begun.
func TestOpenAIReaderAllocates(t *testing.T) {
	reader := openAI(t).Stream(&Call{Settings: &Settings{Route: llm.Chat}})
	chunk := []byte(`{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Fo\n","tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a"}}]},"finish_reason":null}]}`)
	read := func() {
		if _, ok := reader.Read(llm.ServerEvent{Data: chunk}); !ok {
			t.Fatal("not read")
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations for a chunk, want none", n)
	}
}

func BenchmarkOpenAIRead(b *testing.B) {
	reader := openAI(b).Stream(&Call{Settings: &Settings{Route: llm.Chat}})
	chunk := []byte(`{"id":"chatcmpl-a1","object":"chat.completion.chunk","created":1790000000,"model":"m-1","choices":[{"index":0,"delta":{"content":" lamps"},"logprobs":null,"finish_reason":null}]}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		reader.Read(llm.ServerEvent{Data: chunk})
	}
}
