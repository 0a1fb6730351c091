package provider

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// geminiEvents is what a frame says, one line for each event.
func geminiEvents(frame *llm.Frame) (lines []string) {
	for i := range frame.Events {
		e := &frame.Events[i]
		line := fmt.Sprintf("%d: ", e.Choice)
		switch e.Kind {
		case llm.EventStart:
			line += fmt.Sprintf("start %q of %q", e.ID, e.Model)
		case llm.EventText:
			line += fmt.Sprintf("text %q", e.Text)
		case llm.EventReasoning:
			line += fmt.Sprintf("thought %q", e.Text)
		case llm.EventCallStart:
			line += fmt.Sprintf("call %d %q %s", e.Block, e.ID, e.Name)
		case llm.EventCallArguments:
			line += fmt.Sprintf("arguments %d %s", e.Block, e.Text)
		case llm.EventCallEnd:
			line += fmt.Sprintf("call %d ends", e.Block)
		case llm.EventSignature:
			line += fmt.Sprintf("signature %q of call %v %d", e.Text, e.OfCall, e.Block)
		case llm.EventFinish:
			line += fmt.Sprintf("finish %q", e.Finish)
		case llm.EventUsage:
			line += strings.TrimSuffix(geminiDumpUsage(&e.Usage), "\n")
		case llm.EventError:
			line += fmt.Sprintf("error %+v", *e.Failure)
		default:
			line += fmt.Sprintf("kind %d", e.Kind)
		}
		lines = append(lines, line)
	}
	if frame.UsageOnly {
		lines = append(lines, "nothing but usage")
	}
	if frame.Done {
		lines = append(lines, "done")
	}
	return lines
}

// geminiReplay reads a stream in pieces of so many bytes, 0: whole.
func geminiReplay(t testing.TB, stream []byte, size int, format llm.Format) string {
	t.Helper()
	call := geminiCall("")
	call.Format = format
	reader := (&Gemini{}).Stream(call)
	var out []string
	take := func(event llm.ServerEvent) error {
		frame, ok := reader.Read(event)
		if !ok {
			out = append(out, "unreadable")
			return nil
		}
		if !bytes.Equal(frame.Data, event.Data) || frame.Format != llm.Gemini {
			t.Errorf("frame %+v is not the event %s", frame, event.Data)
		}
		out = append(out, geminiEvents(frame)...)
		return nil
	}
	var events llm.EventReader
	var values llm.ValueReader
	isSSE := bytes.HasPrefix(stream, []byte("data:"))
	for rest := stream; len(rest) > 0; {
		piece := rest
		if size > 0 {
			piece = rest[:min(size, len(rest))]
		}
		rest = rest[len(piece):]
		piece = bytes.Clone(piece)
		var err error
		if isSSE {
			err = events.Read(piece, take)
		} else {
			err = values.Read(piece, func(value []byte) error { return take(llm.ServerEvent{Data: value}) })
		}
		if err != nil {
			t.Fatal(err)
		}
		clear(piece) // a reader that kept some of it would show
	}
	if err := events.Close(take); err != nil {
		t.Fatal(err)
	}
	if n := len(out); n == 0 || out[n-1] != "done" {
		out = append(out, geminiEvents(reader.(StreamEnder).End())...)
	}
	return strings.Join(out, "\n") + "\n"
}

// TestGeminiStream shows what streams say, and that it does not depend on how
// they are cut.
func TestGeminiStream(t *testing.T) {
	for name, stream := range geminiGiven(t, "stream") {
		t.Run(name, func(t *testing.T) {
			whole := geminiReplay(t, stream, 0, llm.OpenAI)
			geminiGolden(t, filepath.Join("stream", name+".golden"), whole)
			for size := 1; size <= len(stream); size += 1 + size/8 {
				if got := geminiReplay(t, stream, size, llm.OpenAI); got != whole {
					t.Fatalf("in pieces of %d (-whole +pieces):\n%s", size, cmp.Diff(whole, got))
				}
			}
		})
	}
}

// TestGeminiFraming shows that both framings of one stream say the same.
func TestGeminiFraming(t *testing.T) {
	for name, stream := range geminiGiven(t, "stream") {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		var values llm.ValueReader
		var events []byte
		if err := values.Read(stream, func(value []byte) error {
			events = llm.AppendServerEvent(events, "", value)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(geminiReplay(t, stream, 0, llm.OpenAI), geminiReplay(t, events, 0, llm.OpenAI)); diff != "" {
			t.Errorf("%s (-array +events):\n%s", name, diff)
		}
	}
}

// TestGeminiStreamModel shows which model a stream names: to callers of another
// format the one that was asked, as Kong does, to its own the one that answers.
func TestGeminiStreamModel(t *testing.T) {
	stream := []byte(`data: {"modelVersion":"v1","responseId":"r"}` + "\n\n")
	for format, want := range map[llm.Format]string{
		llm.OpenAI: `0: start "r" of "gemini-2.5-flash"` + "\n", llm.Gemini: `0: start "r" of "v1"` + "\n",
	} {
		if got := geminiReplay(t, stream, 0, format); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
	if got := geminiReplay(t, []byte("data: {\"a\"\n\ndata: [1]\n\n"), 0, llm.OpenAI); got != "unreadable\nunreadable\n" {
		t.Errorf("%q", got)
	}
}

func FuzzGeminiStream(f *testing.F) {
	for _, stream := range geminiGiven(f, "stream") {
		for event := range bytes.SplitSeq(stream, []byte("\n\n")) {
			f.Add(bytes.TrimPrefix(event, []byte("data: ")), []byte(`{"candidates":[{"finishReason":"STOP"}]}`))
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		reader := (&Gemini{}).Stream(geminiCall(""))
		finished := map[int]bool{}
		open := map[[2]int]bool{}
		for _, data := range [][]byte{first, second, nil} {
			frame, ok := reader.Read(llm.ServerEvent{Data: data})
			if data == nil {
				frame = reader.(StreamEnder).End()
			} else if !ok {
				continue
			}
			for _, e := range frame.Events {
				call := [2]int{e.Choice, e.Block}
				switch e.Kind {
				case llm.EventFinish:
					if finished[e.Choice] {
						t.Errorf("choice %d ends twice", e.Choice)
					}
					finished[e.Choice] = true
				case llm.EventCallStart:
					if open[call] {
						t.Errorf("call %v is opened twice", call)
					}
					open[call] = true
				case llm.EventCallArguments:
					var o llm.Object
					if !open[call] || o.Read(e.Text, geminiNone) != nil {
						t.Errorf("arguments %q of call %v", e.Text, call)
					}
				}
			}
		}
	})
}

func FuzzGeminiAnswer(f *testing.F) {
	for _, body := range geminiGiven(f, "answer") {
		f.Add(body, false)
		f.Add(body, true)
	}
	f.Fuzz(func(t *testing.T, body []byte, vectors bool) {
		call := geminiCall("")
		if vectors {
			call.Route = llm.Embeddings
		}
		answer, err := (&Gemini{}).Response(call, body)
		if err != nil {
			return
		}
		if vectors != (answer.Embedding != nil) || vectors == (answer.Chat != nil) {
			t.Errorf("answer %+v", answer)
		}
		if answer.Chat != nil {
			for _, choice := range answer.Chat.Choices {
				for _, c := range choice.Message.Calls {
					var o llm.Object
					if o.Read([]byte(c.Arguments), geminiNone) != nil {
						t.Errorf("arguments %q", c.Arguments)
					}
				}
			}
		}
	})
}

func BenchmarkGeminiStream(b *testing.B) {
	chunk := []byte(`{"candidates": [{"content": {"parts": [{"text": "some words of an answer"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 6,"candidatesTokenCount":10,"totalTokenCount": 16},"modelVersion": "gemini-2.5-flash","responseId": "r1"}`)
	reader := (&Gemini{}).Stream(geminiCall(""))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := reader.Read(llm.ServerEvent{Data: chunk}); !ok {
			b.Fatal("not read")
		}
	}
}
