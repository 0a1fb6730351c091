package provider

import (
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var (
	anthropicEventNames = llm.NewLenientNames("type", "index", "delta", "content_block", "message", "usage", "error",
		"completion", "stop_reason", "model", "stop")
	anthropicDeltaNames = llm.NewLenientNames("type", "text", "thinking", "signature", "partial_json", "stop_reason", "stop_sequence")
	anthropicErrorNames = llm.NewLenientNames("type", "message")
)

const (
	anthropicEventType = iota
	anthropicEventIndex
	anthropicEventDelta
	anthropicEventBlock
	anthropicEventMessage
	anthropicEventUsage
	anthropicEventError
	anthropicEventCompletion
	anthropicEventReason
	anthropicEventModel
	anthropicEventStop
)

const (
	anthropicDeltaType = iota
	anthropicDeltaText
	anthropicDeltaThinking
	anthropicDeltaSignature
	anthropicDeltaJSON
	anthropicDeltaReason
	anthropicDeltaSequence
)

// anthropicOpenCalls is how many calls may be open at a time: the vendor has one,
// and what else is kept of a stream must have a bound.
const anthropicOpenCalls = 64

// Stream starts the reading of a streamed answer.
func (*Anthropic) Stream(*Call) StreamReader { return &anthropicStream{} }

// anthropicStream reads one stream of messages' events, or of a completion's.
type anthropicStream struct {
	frame  llm.Frame
	text   []byte // what the events' texts point into
	counts anthropicCounts
	open   []anthropicOpen // the calls whose blocks are open
	calls  int             // the calls so far
	begun  bool            // a completion has begun
}

// anthropicOpen is a block that is a call: the vendor's number for it and ours.
type anthropicOpen struct {
	index, call int
	input       []byte // what it began with, nil when it is an empty object
	pieces      bool   // a piece of its arguments has come
}

// Read says what one event means.
func (s *anthropicStream) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	s.text = s.text[:0]
	s.frame = llm.Frame{Format: llm.Anthropic, Data: event.Data, Events: s.frame.Events[:0]}
	var object llm.Object
	if object.Read(event.Data, anthropicEventNames) != nil {
		return nil, false
	}
	kind := object.Value(anthropicEventType)
	if len(kind) < 2 || kind[0] != '"' {
		kind = nil
	} else {
		kind = kind[1 : len(kind)-1]
	}
	s.frame.Name = anthropicEventName(event.Name)
	if len(kind) == 0 {
		kind = event.Name
	} else if s.frame.Name == "" {
		s.frame.Name = anthropicEventName(kind) // callers go by the name
	}
	switch string(kind) {
	case "message_start":
		s.start(object.Value(anthropicEventMessage))
	case "content_block_start":
		s.block(number(&object, anthropicEventIndex), object.Value(anthropicEventBlock))
	case "content_block_delta":
		s.delta(number(&object, anthropicEventIndex), object.Value(anthropicEventDelta))
	case "content_block_stop":
		s.stop(number(&object, anthropicEventIndex))
	case "message_delta":
		s.finish(object.Value(anthropicEventDelta))
		s.usage(object.Value(anthropicEventUsage), true)
		s.frame.UsageOnly = len(s.frame.Events) == 1 && s.frame.Events[0].Kind == llm.EventUsage
	case "message_stop":
		s.frame.Done = true
	case "error":
		s.fail(object.Value(anthropicEventError))
	case "completion", "":
		s.completion(&object)
	}
	return &s.frame, true
}

// anthropicEventName is the name of an event as a text that costs no memory.
func anthropicEventName(name []byte) string {
	switch string(name) {
	case "content_block_delta":
		return "content_block_delta"
	case "content_block_start":
		return "content_block_start"
	case "content_block_stop":
		return "content_block_stop"
	case "ping":
		return "ping"
	}
	return string(name)
}

func (s *anthropicStream) add(event llm.Event) { s.frame.Events = append(s.frame.Events, event) }

// start reads the message as far as it is known at its begin.
func (s *anthropicStream) start(text []byte) {
	var message llm.Object
	if len(text) == 0 || message.Read(text, anthropicAnswerNames) != nil {
		return
	}
	event := llm.Event{Kind: llm.EventStart}
	event.ID, _ = message.Text(anthropicAnswerID)
	event.Model, _ = message.Text(anthropicAnswerModel)
	s.add(event)
	s.usage(message.Value(anthropicAnswerUsage), false)
}

func (s *anthropicStream) usage(text []byte, final bool) {
	if len(text) == 0 || text[0] != '{' {
		return
	}
	s.frame.HoldsUsage = true
	s.counts.read(text, final)
	s.add(llm.Event{Kind: llm.EventUsage, Usage: s.counts.usage()})
}

// block reads how a block begins, which may have something in it already.
func (s *anthropicStream) block(index int, text []byte) {
	var block llm.Object
	if len(text) == 0 || block.Read(text, anthropicBlockNames) != nil {
		return
	}
	kind, _ := block.Text(anthropicBlockType)
	switch kind {
	case "text":
		s.piece(llm.EventText, &block, anthropicBlockText)
	case "thinking":
		s.piece(llm.EventReasoning, &block, anthropicBlockThinking)
		s.piece(llm.EventSignature, &block, anthropicBlockSignature)
	case "redacted_thinking":
		s.piece(llm.EventRedacted, &block, anthropicBlockData)
	case "tool_use":
		if len(s.open) == anthropicOpenCalls {
			return
		}
		event := llm.Event{Kind: llm.EventCallStart, Block: s.calls}
		event.ID, _ = block.Text(anthropicBlockID)
		event.Name, _ = block.Text(anthropicBlockName)
		s.add(event)
		open := anthropicOpen{index: index, call: s.calls}
		if input := block.Value(anthropicBlockInput); len(input) > 2 && input[0] == '{' {
			open.input = appendAnthropicCompact(nil, input)
		}
		s.open = append(s.open, open)
		s.calls++
	}
}

// call gives the place of an open call among the open ones, -1 when a block is
// none.
func (s *anthropicStream) call(index int) int {
	for i := range s.open {
		if s.open[i].index == index {
			return i
		}
	}
	return -1
}

func (s *anthropicStream) delta(index int, text []byte) {
	var delta llm.Object
	if len(text) == 0 || delta.Read(text, anthropicDeltaNames) != nil {
		return
	}
	switch kind := delta.Value(anthropicDeltaType); string(kind) {
	case `"text_delta"`:
		s.piece(llm.EventText, &delta, anthropicDeltaText)
	case `"thinking_delta"`:
		s.piece(llm.EventReasoning, &delta, anthropicDeltaThinking)
	case `"signature_delta"`:
		s.piece(llm.EventSignature, &delta, anthropicDeltaSignature)
	case `"input_json_delta"`:
		at := s.call(index)
		if at < 0 {
			return // of a tool that the vendor runs itself
		}
		before := len(s.frame.Events)
		s.piece(llm.EventCallArguments, &delta, anthropicDeltaJSON)
		if len(s.frame.Events) > before {
			s.frame.Events[before].Block = s.open[at].call
			s.open[at].pieces = true
		}
	}
}

// stop closes a block. A call of which no argument came has those that it began
// with, or none, which is an empty object.
func (s *anthropicStream) stop(index int) {
	at := s.call(index)
	if at < 0 {
		return
	}
	open := &s.open[at]
	if !open.pieces {
		input := open.input
		if input == nil {
			input = []byte("{}")
		}
		s.add(llm.Event{Kind: llm.EventCallArguments, Block: open.call, Text: input})
	}
	s.add(llm.Event{Kind: llm.EventCallEnd, Block: open.call})
	s.open = append(s.open[:at], s.open[at+1:]...)
}

func (s *anthropicStream) finish(text []byte) {
	var delta llm.Object
	if len(text) == 0 || delta.Read(text, anthropicDeltaNames) != nil {
		return
	}
	if reason, ok := delta.Text(anthropicDeltaReason); ok && reason != "" {
		event := llm.Event{Kind: llm.EventFinish, Finish: anthropicReason(reason)}
		event.StopText, _ = delta.Text(anthropicDeltaSequence)
		s.add(event)
	}
}

func (s *anthropicStream) fail(text []byte) {
	failure := &llm.Failure{}
	var object llm.Object
	if len(text) > 0 && object.Read(text, anthropicErrorNames) == nil {
		failure.Type, _ = object.Text(0)
		failure.Message, _ = object.Text(1)
	}
	s.add(llm.Event{Kind: llm.EventError, Failure: failure})
}

// completion reads an event of the old completions: a piece of text, with the
// reason for the end on the last.
func (s *anthropicStream) completion(object *llm.Object) {
	if object.Kind(anthropicEventCompletion) != '"' {
		return
	}
	if !s.begun {
		s.begun = true
		event := llm.Event{Kind: llm.EventStart}
		event.Model, _ = object.Text(anthropicEventModel)
		s.add(event)
	}
	s.piece(llm.EventText, object, anthropicEventCompletion)
	if reason, ok := object.Text(anthropicEventReason); ok && reason != "" {
		event := llm.Event{Kind: llm.EventFinish, Finish: anthropicReason(reason)}
		stop, _ := object.Text(anthropicEventStop)
		if strings.TrimSpace(stop) != "Human:" { // the end of the turn, which the vendor adds by itself
			event.StopText = stop
		}
		s.add(event)
	}
}

// piece adds an event for a member that is a text with something in it.
func (s *anthropicStream) piece(kind llm.EventKind, object *llm.Object, at int) {
	quoted := object.Value(at)
	if len(quoted) <= 2 || quoted[0] != '"' {
		return
	}
	// Earlier events keep pointing into the old memory when it must grow.
	start := len(s.text)
	s.text = llm.AppendUnquoted(s.text, quoted[1:len(quoted)-1])
	s.add(llm.Event{Kind: kind, Text: s.text[start:len(s.text):len(s.text)]})
}
