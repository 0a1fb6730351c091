package client

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares a text with the one in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

var usage12 = llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(12), CacheRead: llm.Count(3), Answer: llm.Count(5), Reasoning: llm.Count(2)}

// openAIStreams are the events of answers, as a provider of another format gives
// them, one frame for each.
var openAIStreams = map[string]struct {
	route  llm.Route
	usage  bool
	events []llm.Event
}{
	"text": {llm.Chat, false, []llm.Event{
		{Kind: llm.EventStart, ID: "msg_1", Model: "m-1", Created: 1790000000},
		{Kind: llm.EventReasoning, Text: []byte("2+2")},
		{Kind: llm.EventSignature, Text: []byte("sig")},
		{Kind: llm.EventRedacted, Text: []byte("x")},
		{Kind: llm.EventText, Text: []byte("Fo\"u")},
		{Kind: llm.EventText, Text: []byte("r.\n")},
		{Kind: llm.EventText},
		{Kind: llm.EventUsage, Usage: usage12},
		{Kind: llm.EventFinish, Finish: llm.FinishEnd},
		{Kind: llm.EventText, Text: []byte("never")},
		{Kind: llm.EventFinish, Finish: llm.FinishLength},
	}},
	"usage": {llm.Chat, true, []llm.Event{
		{Kind: llm.EventText, Text: []byte("Four.")},
		{Kind: llm.EventFinish, Finish: llm.FinishLength},
		{Kind: llm.EventUsage, Usage: usage12},
	}},
	"usage-guessed": {llm.Chat, true, []llm.Event{
		{Kind: llm.EventText, Text: []byte("Four.")},
		{Kind: llm.EventFinish, Finish: llm.FinishEnd},
	}},
	"calls": {llm.Chat, false, []llm.Event{
		{Kind: llm.EventStart, ID: "msg_1", Created: 1790000000},
		{Kind: llm.EventCallStart, ID: "call_a", Name: "stock", Block: 0},
		{Kind: llm.EventCallArguments, Block: 0, Text: []byte(`{"sku":`)},
		{Kind: llm.EventCallStart, ID: "call_b", Name: "price", Block: 4},
		{Kind: llm.EventCallArguments, Block: 4, Text: []byte(`{}`)},
		{Kind: llm.EventCallArguments, Block: 0, Text: []byte(`"lamp"}`)},
		{Kind: llm.EventSignature, OfCall: true, Block: 4, Text: []byte("c2ln")},
		{Kind: llm.EventCallStart, ID: "call_b", Name: "price", Block: 4},
		{Kind: llm.EventCallEnd, Block: 4},
		{Kind: llm.EventFinish},
	}},
	"refusal": {llm.Chat, false, []llm.Event{
		{Kind: llm.EventRefusal, Text: []byte("I can't")},
		{Kind: llm.EventFinish, Finish: llm.FinishEnd},
	}},
	"choices": {llm.Chat, false, []llm.Event{
		{Kind: llm.EventText, Choice: 1, Text: []byte("b")},
		{Kind: llm.EventText, Choice: 0, Text: []byte("a")},
		{Kind: llm.EventFinish, Choice: 0, Finish: llm.FinishFiltered},
	}},
	"empty": {llm.Chat, false, nil},
	"completion": {llm.Completions, true, []llm.Event{
		{Kind: llm.EventStart, Model: "m-1", Created: 1790000000},
		{Kind: llm.EventReasoning, Text: []byte("2+2")},
		{Kind: llm.EventText, Text: []byte("Four.")},
		{Kind: llm.EventCallStart, ID: "call_a", Name: "stock", Block: 0},
		{Kind: llm.EventCallArguments, Text: []byte("{}")},
		{Kind: llm.EventUsage, Usage: usage12},
		{Kind: llm.EventFinish, Finish: llm.FinishContext},
	}},
	"failure": {llm.Chat, true, []llm.Event{
		{Kind: llm.EventText, Text: []byte("Fo")},
		{Kind: llm.EventError, Failure: &llm.Failure{Status: 529, Type: "overloaded_error", Message: "too \"busy\""}},
		{Kind: llm.EventText, Text: []byte("never")},
	}},
}

// madeUp are the ids that the writer makes up.
var madeUp = regexp.MustCompile(`"(chatcmpl-|cmpl-|call_)[A-Z2-7]{26}"`)

// written writes events as a stream, time standing still.
func written(t *testing.T, route llm.Route, usage bool, events []llm.Event) (out []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := NewOpenAI(route, "")
		var r llm.Request
		if err := o.Read(Incoming{Body: []byte(`{"messages":[{"role":"user","content":"2 + 2 ?"}],"prompt":"2 + 2 ?"}`)}, &r); err != nil {
			t.Fatal(err)
		}
		r.WantsUsage = usage
		w := o.Writer(&r, "asked")
		for i := range events {
			out = w.Append(out, &llm.Frame{Format: llm.Anthropic, Data: []byte("raw"), Events: events[i : i+1]})
		}
		out = w.Append(out, &llm.Frame{Format: llm.Anthropic, Done: true})
		out = w.AppendEnd(out)
	})
	return madeUp.ReplaceAll(out, []byte(`"${1}MADEUP"`))
}

func TestOpenAIStreamGoldens(t *testing.T) {
	for name, tt := range openAIStreams {
		t.Run(name, func(t *testing.T) {
			golden(t, "openai-stream-"+name+".txt", written(t, tt.route, tt.usage, tt.events))
		})
	}
}

func TestOpenAIResponsesWriter(t *testing.T) {
	w := NewOpenAI(llm.Responses, "").Writer(&llm.Request{}, "m")
	var got []byte
	got = w.Append(got, &llm.Frame{Format: llm.OpenAI, Name: "response.created", Data: []byte(`{"sequence_number":0}`)})
	got = w.AppendKeepAlive(got)
	got = w.AppendFailure(got, &llm.Failure{Message: "broke off"})
	got = w.AppendFailure(w.AppendEnd(got), &llm.Failure{Message: "again"})
	want := "event: response.created\ndata: {\"sequence_number\":0}\n\n: keep-alive\n\nevent: error\n" +
		`data: {"type":"error","code":"server_error","message":"broke off","param":null,"sequence_number":1}` + "\n\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWriterAllocates holds the writer to no allocation for a piece of text or of
// a call once it has begun.
func TestWriterAllocates(t *testing.T) {
	w, frame, out := steady()
	if n := testing.AllocsPerRun(100, func() { out = w.Append(out[:0], frame) }); n != 0 {
		t.Errorf("%v allocations for a frame, want none", n)
	}
}

func steady() (StreamWriter, *llm.Frame, []byte) {
	w := NewOpenAI(llm.Chat, "").Writer(&llm.Request{}, "m")
	frame := &llm.Frame{Format: llm.Gemini, Events: []llm.Event{
		{Kind: llm.EventText, Text: []byte("The stock of lamps is ")},
		{Kind: llm.EventCallArguments, Block: 3, Text: []byte(`{"sku":"lamp"}`)},
	}}
	return w, frame, w.Append(nil, frame)
}

func BenchmarkOpenAIChunk(b *testing.B) {
	w, frame, out := steady()
	out = w.Append(out[:0], frame) // without the chunks that open the answer
	b.ReportAllocs()
	b.SetBytes(int64(len(out)))
	for b.Loop() {
		out = w.Append(out[:0], frame)
	}
}

// FuzzOpenAIWriter writes hostile texts and checks that what comes out is events
// of which each is a chunk.
func FuzzOpenAIWriter(f *testing.F) {
	f.Add("a", "b\xff", `{"c`, 0, 1, byte(0))
	f.Add("\n\ndata: [DONE]\n\n", "\r", "\x00", -1, 1<<40, byte(9))
	f.Fuzz(func(t *testing.T, id, text, piece string, choice, block int, finish byte) {
		reasons := []llm.FinishReason{llm.FinishUnknown, llm.FinishEnd, llm.FinishCalls, llm.FinishReason(text)}
		for _, route := range []llm.Route{llm.Chat, llm.Completions} {
			w := NewOpenAI(route, "").Writer(&llm.Request{WantsUsage: finish&4 != 0}, id)
			var out []byte
			for kind := llm.EventStart; kind <= llm.EventUsage; kind++ {
				out = w.Append(out, &llm.Frame{Format: llm.Bedrock, Events: []llm.Event{{
					Kind: kind, Choice: choice, Block: block, ID: id, Name: piece, Model: text, Text: []byte(text + piece),
					OfCall: finish&8 != 0, Finish: reasons[finish&3],
				}}})
			}
			out = w.AppendEnd(out)
			var events llm.EventReader
			closings := 0
			if err := events.Read(out, func(e llm.ServerEvent) error {
				var chunk llm.Object
				if string(e.Data) != EndMark && chunk.Read(e.Data, llm.NewNames("id", "object", "created", "model", "choices")) != nil {
					t.Fatalf("%q is no chunk", e.Data)
				}
				closings += strings.Count(string(e.Data), `"finish_reason":"`)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if closings != 1 || !bytes.HasSuffix(out, []byte("data: [DONE]\n\n")) {
				t.Fatalf("%d closings in %q", closings, out)
			}
		}
	})
}
