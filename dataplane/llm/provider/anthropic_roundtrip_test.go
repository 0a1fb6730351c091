package provider

import (
	"bytes"
	std "cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/ssestream"
	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// anthropicGrammar checks a stream for a caller against the grammar of the
// format: names that match the data, one block at a time, numbers that rise by
// one, pieces that fit their block, one end and nothing behind it.
type anthropicGrammar struct {
	started, delta, stopped, failed bool
	next                            int
	open                            string // the type of the open block
	signed                          bool
}

func (g *anthropicGrammar) event(name string, data []byte) error {
	var e struct {
		Type    string
		Index   *int
		Message *struct {
			ID, Type, Role, Model string
			Content               []any
			Usage                 map[string]int
		}
		Block *struct {
			Type, ID, Name       string
			Text, Thinking, Data *string
			Signature            *string
			Input                map[string]any
		} `json:"content_block"`
		Delta *struct {
			Type                      string
			Text, Thinking, Signature *string
			Partial                   *string `json:"partial_json"`
			Reason                    *string `json:"stop_reason"`
		}
		Usage map[string]int
		Error *struct{ Type, Message string }
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	switch {
	case name != e.Type:
		return fmt.Errorf("event %q holds a %q", name, e.Type)
	case g.stopped || g.failed:
		return fmt.Errorf("%s behind the end", name)
	case name == "error":
		g.failed = true
		if e.Error == nil || e.Error.Type == "" {
			return fmt.Errorf("an error without a type")
		}
		return nil
	case !g.started:
		g.started = true
		m := e.Message
		if name != "message_start" || m == nil || m.Type != "message" || m.Role != "assistant" || !strings.HasPrefix(m.ID, "msg_") || m.Model == "" || m.Content == nil || m.Usage == nil {
			return fmt.Errorf("begins with %s", data)
		}
		return nil
	case name == "ping":
		return nil
	case g.delta && name != "message_delta" && name != "message_stop":
		return fmt.Errorf("%s behind the message_delta", name)
	}
	if strings.HasPrefix(name, "content_block_") && (e.Index == nil || *e.Index != g.next) {
		return fmt.Errorf("%s where block %d is due", data, g.next)
	}
	switch name {
	case "content_block_start":
		if g.open != "" || e.Block == nil {
			return fmt.Errorf("%s while a %q is open", data, g.open)
		}
		g.open, g.signed = e.Block.Type, false
		b := e.Block
		fits := map[string]bool{
			"text":              b.Text != nil && *b.Text == "",
			"thinking":          b.Thinking != nil && b.Signature != nil,
			"redacted_thinking": b.Data != nil && *b.Data != "",
			"tool_use":          b.ID != "" && b.Name != "" && b.Input != nil && len(b.Input) == 0,
		}
		if !fits[b.Type] {
			return fmt.Errorf("%s is no block", data)
		}
	case "content_block_delta":
		d := e.Delta
		if d == nil || g.signed {
			return fmt.Errorf("%s is no piece, or follows a signature", data)
		}
		switch g.open + " " + d.Type {
		case "text text_delta":
			if d.Text == nil {
				return fmt.Errorf("%s lacks its text", data)
			}
		case "thinking thinking_delta":
			if d.Thinking == nil {
				return fmt.Errorf("%s lacks its text", data)
			}
		case "thinking signature_delta":
			g.signed = true
		case "tool_use input_json_delta":
			if d.Partial == nil {
				return fmt.Errorf("%s lacks its text", data)
			}
		default:
			return fmt.Errorf("a %s in a %s", d.Type, g.open)
		}
	case "content_block_stop":
		if g.open == "" {
			return fmt.Errorf("nothing to stop")
		}
		g.open = ""
		g.next++
	case "message_delta":
		if g.open != "" || e.Delta == nil || e.Delta.Reason == nil || e.Usage == nil {
			return fmt.Errorf("%s", data)
		}
		g.delta = true
	case "message_stop":
		if !g.delta {
			return fmt.Errorf("a stop without a message_delta")
		}
		g.stopped = true
	default:
		return fmt.Errorf("unknown event %s", name)
	}
	return nil
}

// anthropicCheck checks a whole stream.
func anthropicCheck(stream []byte) error {
	var g anthropicGrammar
	var cut llm.EventReader
	take := func(e llm.ServerEvent) error { return g.event(string(e.Name), e.Data) }
	if err := cut.Read(stream, take); err != nil {
		return err
	}
	if err := cut.Close(take); err != nil {
		return err
	}
	if !g.stopped && !g.failed {
		return fmt.Errorf("the stream has no end")
	}
	return nil
}

// anthropicSaid is what events say, in whatever pieces and order of blocks.
type anthropicSaid struct {
	Text, Thoughts, Signatures string
	Redacted                   []string
	Calls                      map[string]string // arguments by id and name
	Finish                     llm.FinishReason
	StopText                   string
	Input, Output              int64
}

func anthropicSay(events []llm.Event) anthropicSaid {
	said := anthropicSaid{Calls: map[string]string{}}
	calls := map[int]string{}
	for i := range events {
		switch e := &events[i]; e.Kind {
		case llm.EventText, llm.EventRefusal:
			said.Text += string(e.Text)
		case llm.EventReasoning:
			said.Thoughts += string(e.Text)
		case llm.EventSignature:
			said.Signatures += string(e.Text)
		case llm.EventRedacted:
			said.Redacted = append(said.Redacted, string(e.Text))
		case llm.EventCallStart:
			calls[e.Block] = e.ID + " " + e.Name
			said.Calls[calls[e.Block]] = ""
		case llm.EventCallArguments:
			said.Calls[calls[e.Block]] += string(e.Text)
		case llm.EventFinish:
			said.Finish, said.StopText = e.Finish, e.StopText
		case llm.EventUsage:
			said.Input, said.Output = e.Usage.Prompt(), e.Usage.Completion()
		}
	}
	for call, arguments := range said.Calls {
		// White space behind the arguments says nothing, and may be left out; no
		// arguments are an empty object.
		said.Calls[call] = std.Or(strings.TrimSpace(arguments), "{}")
	}
	return said
}

// anthropicTangle makes up an answer whose pieces come in any order that keeps
// those of one block in theirs.
func anthropicTangle(r *rand.Rand) []llm.Event {
	split := func(text string, event llm.Event) (events []llm.Event) {
		for text != "" {
			n := 1 + r.IntN(len(text))
			e := event
			e.Text = []byte(text[:n])
			events = append(events, e)
			text = text[n:]
		}
		return events
	}
	var lanes [][]llm.Event
	if r.IntN(3) > 0 {
		lanes = append(lanes, split("Four, \"five\"\nand six.", llm.Event{Kind: llm.EventText}))
	}
	if r.IntN(3) == 0 {
		lanes = append(lanes, split("I can't.", llm.Event{Kind: llm.EventRefusal}))
	}
	if r.IntN(2) == 0 {
		lane := split("2+2, and then some", llm.Event{Kind: llm.EventReasoning})
		if r.IntN(2) == 0 {
			lane = append(lane, llm.Event{Kind: llm.EventSignature, Text: []byte("c2ln")})
		}
		lanes = append(lanes, append(lane, llm.Event{Kind: llm.EventRedacted, Text: []byte("eA==")}))
	}
	arguments := []string{``, `{}`, `{"a":"}{\"","b":[{},{"c":1e400}]}`, `{"cut":"of`, ` {"x" : 1} `}
	ends := r.IntN(2) == 0
	for call := range r.IntN(4) {
		lane := []llm.Event{{Kind: llm.EventCallStart, Block: call, ID: fmt.Sprintf("call_%d", call), Name: "f"}}
		lane = append(lane, split(arguments[r.IntN(len(arguments))], llm.Event{Kind: llm.EventCallArguments, Block: call})...)
		if ends {
			lane = append(lane, llm.Event{Kind: llm.EventCallEnd, Block: call})
		}
		lanes = append(lanes, lane)
	}
	var events []llm.Event
	if r.IntN(2) == 0 {
		events = append(events, llm.Event{Kind: llm.EventStart, ID: "c1", Model: "m-1"})
	}
	for len(lanes) > 0 {
		i := r.IntN(len(lanes))
		events = append(events, lanes[i][0])
		if lanes[i] = lanes[i][1:]; len(lanes[i]) == 0 {
			lanes = append(lanes[:i], lanes[i+1:]...)
		}
	}
	finish := []llm.FinishReason{llm.FinishEnd, llm.FinishStop, llm.FinishLength, llm.FinishCalls}[r.IntN(4)]
	events = append(events, llm.Event{Kind: llm.EventFinish, Finish: finish})
	if finish == llm.FinishStop {
		events[len(events)-1].StopText = "END"
	}
	usage := llm.Event{Kind: llm.EventUsage, Usage: llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: llm.Count(12), CacheRead: llm.Count(3), Answer: llm.Count(5), Reasoning: llm.Count(2)}}
	at := r.IntN(len(events) + 1)
	return append(events[:at], append([]llm.Event{usage}, events[at:]...)...)
}

var anthropicReader = client.NewAnthropic(llm.Chat, "")

// anthropicWrite writes a stream for a caller of Anthropic's format, a frame for
// each event or one for several.
func anthropicWrite(t testing.TB, r *rand.Rand, events []llm.Event) []byte {
	t.Helper()
	var request llm.Request
	if err := anthropicReader.Read(client.Incoming{Body: []byte(`{"model":"m","thinking":{"type":"adaptive"},"messages":[{}]}`)}, &request); err != nil {
		t.Fatal(err)
	}
	w := anthropicReader.Writer(&request, "asked")
	request = llm.Request{}
	var out []byte
	for len(events) > 0 {
		n := 1 + r.IntN(min(3, len(events)))
		out = w.Append(out, &llm.Frame{Format: llm.OpenAI, Events: events[:n]})
		for i := range events[:n] {
			// What a writer was given is not its to keep.
			for j := range events[i].Text {
				events[i].Text[j] = '?'
			}
		}
		events = events[n:]
		if r.IntN(4) == 0 {
			out = w.AppendKeepAlive(out)
		}
	}
	out = w.Append(out, &llm.Frame{Format: llm.OpenAI, Done: true})
	return w.AppendEnd(out)
}

func TestAnthropicRoundTrip(t *testing.T) {
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 1))
		events := anthropicTangle(r)
		want := anthropicSay(events)
		for i := range events {
			if events[i].Kind == llm.EventRefusal {
				want.Finish, want.StopText = llm.FinishFiltered, ""
			}
		}
		if want.Finish == llm.FinishEnd && len(want.Calls) > 0 {
			want.Finish = llm.FinishCalls
		}
		stream := anthropicWrite(t, r, events)
		if err := anthropicCheck(stream); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, stream)
		}
		got, done := anthropicEvents(t, stream, 1+r.IntN(100))
		said := anthropicSay(got)
		if diff := cmp.Diff(want, said, anthropicCompare); diff != "" || !done {
			t.Fatalf("seed %d, done %v (-want +got):\n%s\n%s", seed, done, diff, stream)
		}
		anthropicAccumulate(t, stream, want)
	}
}

// anthropicAccumulate reads a stream with the vendor's own client.
func anthropicAccumulate(t *testing.T, stream []byte, want anthropicSaid) {
	t.Helper()
	for _, arguments := range want.Calls {
		if !json.Valid([]byte(arguments)) {
			return // what was cut off is nothing for it
		}
	}
	reader := ssestream.NewStream[sdk.MessageStreamEventUnion](ssestream.NewDecoder(&http.Response{
		Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(bytes.NewReader(stream)),
	}), nil)
	var message sdk.Message
	for reader.Next() {
		if err := message.Accumulate(reader.Current()); err != nil {
			t.Fatalf("%v\n%s", err, stream)
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatalf("%v\n%s", err, stream)
	}
	got := anthropicSaid{Calls: map[string]string{}, Finish: anthropicReason(string(message.StopReason)), StopText: message.StopSequence,
		Input: message.Usage.InputTokens + message.Usage.CacheReadInputTokens, Output: message.Usage.OutputTokens}
	for _, block := range message.Content {
		switch block.Type {
		case "text":
			got.Text += block.Text
		case "thinking":
			got.Thoughts += block.Thinking
			got.Signatures += block.Signature
		case "redacted_thinking":
			got.Redacted = append(got.Redacted, block.Data)
		case "tool_use":
			got.Calls[block.ID+" "+block.Name] = string(block.Input)
		}
	}
	for call, arguments := range want.Calls {
		want.Calls[call] = string(appendAnthropicCompact(nil, []byte(arguments)))
	}
	for call, arguments := range got.Calls {
		got.Calls[call] = string(appendAnthropicCompact(nil, []byte(arguments)))
	}
	if diff := cmp.Diff(want, got, anthropicCompare); diff != "" {
		t.Fatalf("the vendor's client (-want +got):\n%s\n%s", diff, stream)
	}
}

// TestAnthropicPassing checks that callers of the format get the vendor's stream
// byte for byte.
func TestAnthropicPassing(t *testing.T) {
	stream := anthropicWrite(t, rand.New(rand.NewPCG(1, 2)), anthropicTangle(rand.New(rand.NewPCG(3, 4))))
	cut := llm.EventReader{}
	reader := anthropic(t).Stream(&Call{Settings: &Settings{Route: llm.Chat}, Format: llm.Anthropic})
	w := anthropicReader.Writer(&llm.Request{}, "m")
	var out []byte
	if err := cut.Read(stream, func(event llm.ServerEvent) error {
		frame, ok := reader.Read(event)
		if !ok {
			return fmt.Errorf("%s was not read", event.Data)
		}
		out = w.Append(out, frame)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if out = w.AppendEnd(out); !bytes.Equal(out, stream) {
		t.Errorf("got\n%s\nwant\n%s", out, stream)
	}
}
