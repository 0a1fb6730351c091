package provider

import (
	"encoding/base64"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// bedrockStream reads one streamed answer: the events of Converse, or the chunks
// in which InvokeModel wraps the events of a model itself.
type bedrockStream struct {
	frame llm.Frame
	text  []byte // what the events' texts point into
	chunk []byte // what stands in a chunk
	// calls counts the tool calls so far, and open are the blocks that have begun
	// and not ended, by the vendor's numbers, which count texts too.
	calls int
	open  []bedrockOpen
	// formed says that the answer has the form that was asked for.
	formed bool
	usage  llm.Usage
}

// bedrockOpen is a block that is a call: its number among all blocks and that
// among the calls. answer says that it is no call but the answer.
type bedrockOpen struct {
	block, call int
	answer      bool
}

var (
	bedrockEventNames = llm.NewLenientNames("contentBlockIndex", "start", "delta", "stopReason", "usage", "bytes",
		"type", "index", "content_block", "message", "amazon-bedrock-invocationMetrics", "generation", "outputText")
	bedrockStartNames = llm.NewLenientNames("toolUse")
	bedrockUseNames   = llm.NewLenientNames("toolUseId", "name", "input")
	bedrockDeltaNames = llm.NewLenientNames("text", "toolUse", "reasoningContent", "type", "thinking", "signature",
		"partial_json", "stop_reason", "stop_sequence")
	bedrockReasoningNames = llm.NewLenientNames("text", "signature", "redactedContent")
	bedrockClaudeBlock    = llm.NewLenientNames("type", "id", "name", "data")
	bedrockClaudeMessage  = llm.NewLenientNames("id", "model", "usage")
)

// The places of the names of events.
const (
	bedrockEventBlock = iota
	bedrockEventStart
	bedrockEventDelta
	bedrockEventStop
	bedrockEventUsage
	bedrockEventBytes
	bedrockEventType
	bedrockEventIndex
	bedrockEventContent
	bedrockEventMessage
	bedrockEventMetrics
	bedrockEventGeneration
	bedrockEventOutput
)

const (
	bedrockDeltaText = iota
	bedrockDeltaUse
	bedrockDeltaReasoning
	bedrockDeltaType
	bedrockDeltaThinking
	bedrockDeltaSignature
	bedrockDeltaJSON
	bedrockDeltaStop
	bedrockDeltaStopText
)

// Read says what one event means.
func (s *bedrockStream) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	s.text = s.text[:0]
	s.frame = llm.Frame{Format: llm.Bedrock, Name: bedrockEventName(event.Name), Data: event.Data, Events: s.frame.Events[:0]}
	if event.Failed {
		s.add(llm.Event{Kind: llm.EventError, Failure: bedrockFailure(event.Name, event.Data)})
		return &s.frame, true
	}
	var object llm.Object
	if object.Read(event.Data, bedrockEventNames) != nil {
		return nil, false
	}
	switch s.frame.Name {
	case "messageStart":
		s.add(llm.Event{Kind: llm.EventStart})
	case "contentBlockStart":
		s.start(&object)
	case "contentBlockDelta":
		s.delta(&object)
	case "contentBlockStop":
		s.stop(number(&object, bedrockEventBlock))
	case "messageStop":
		word, _ := object.Text(bedrockEventStop)
		s.finish(bedrockFinish(word), "")
	case "metadata":
		// The last event of every stream.
		s.frame.Done = true
		if value := object.Value(bedrockEventUsage); value != nil && value[0] == '{' {
			s.frame.HoldsUsage, s.frame.UsageOnly = true, true
			s.counts(bedrockReadUsage(&s.usage, value))
		}
	case "chunk":
		return &s.frame, s.wrapped(&object)
	}
	return &s.frame, true
}

// bedrockEventName is a name as a text, without memory of its own for the usual
// ones.
func bedrockEventName(name []byte) string {
	switch string(name) {
	case "messageStart":
		return "messageStart"
	case "contentBlockStart":
		return "contentBlockStart"
	case "contentBlockDelta":
		return "contentBlockDelta"
	case "contentBlockStop":
		return "contentBlockStop"
	case "messageStop":
		return "messageStop"
	case "metadata":
		return "metadata"
	case "chunk":
		return "chunk"
	}
	return string(name)
}

func (s *bedrockStream) add(event llm.Event) { s.frame.Events = append(s.frame.Events, event) }

func (s *bedrockStream) counts(ok bool) {
	if ok {
		s.add(llm.Event{Kind: llm.EventUsage, Usage: s.usage})
	}
}

// call opens a call in a block.
func (s *bedrockStream) call(block int, id, name string) {
	open := bedrockOpen{block: block, call: s.calls, answer: name == bedrockAnswerTool}
	s.stop(block)
	s.open = append(s.open, open)
	if open.answer {
		s.formed = true
		return
	}
	s.calls++
	s.add(llm.Event{Kind: llm.EventCallStart, Block: open.call, ID: id, Name: name})
}

// find gives the place of a block among the open ones, or -1.
func (s *bedrockStream) find(block int) int {
	for i := range s.open {
		if s.open[i].block == block {
			return i
		}
	}
	return -1
}

func (s *bedrockStream) stop(block int) {
	at := s.find(block)
	if at < 0 {
		return
	}
	if !s.open[at].answer {
		s.add(llm.Event{Kind: llm.EventCallEnd, Block: s.open[at].call})
	}
	s.open = append(s.open[:at], s.open[at+1:]...)
}

func (s *bedrockStream) finish(reason llm.FinishReason, stopText string) {
	if s.formed && s.calls == 0 && reason == llm.FinishCalls {
		reason = llm.FinishEnd
	}
	s.add(llm.Event{Kind: llm.EventFinish, Finish: reason, StopText: stopText})
}

// start reads the beginning of a block; only calls have one that says something.
func (s *bedrockStream) start(event *llm.Object) {
	var start, use llm.Object
	if event.Kind(bedrockEventStart) != '{' || start.Read(event.Value(bedrockEventStart), bedrockStartNames) != nil ||
		start.Kind(0) != '{' || use.Read(start.Value(0), bedrockUseNames) != nil {
		return
	}
	id, _ := use.Text(0)
	name, _ := use.Text(1)
	s.call(number(event, bedrockEventBlock), id, name)
}

// delta reads a piece of a block.
func (s *bedrockStream) delta(event *llm.Object) {
	var delta llm.Object
	if event.Kind(bedrockEventDelta) != '{' || delta.Read(event.Value(bedrockEventDelta), bedrockDeltaNames) != nil {
		return
	}
	s.say(llm.EventText, delta.Value(bedrockDeltaText))
	if delta.Kind(bedrockDeltaUse) == '{' {
		var use llm.Object
		if use.Read(delta.Value(bedrockDeltaUse), bedrockUseNames) == nil {
			s.arguments(number(event, bedrockEventBlock), use.Value(2))
		}
	}
	if delta.Kind(bedrockDeltaReasoning) == '{' {
		var reasoning llm.Object
		if reasoning.Read(delta.Value(bedrockDeltaReasoning), bedrockReasoningNames) == nil {
			s.say(llm.EventReasoning, reasoning.Value(0))
			s.say(llm.EventSignature, reasoning.Value(1))
			s.say(llm.EventRedacted, reasoning.Value(2))
		}
	}
}

// arguments reads a piece of what a call is made with.
func (s *bedrockStream) arguments(block int, quoted []byte) {
	at := s.find(block)
	switch {
	case at < 0:
	case s.open[at].answer:
		s.say(llm.EventText, quoted)
	default:
		if n := len(s.frame.Events); s.say(llm.EventCallArguments, quoted) {
			s.frame.Events[n].Block = s.open[at].call
		}
	}
}

// say adds an event for a member that is a text with something in it.
func (s *bedrockStream) say(kind llm.EventKind, quoted []byte) bool {
	if len(quoted) <= 2 || quoted[0] != '"' {
		return false
	}
	// Earlier events keep pointing into the old memory when it must grow.
	start := len(s.text)
	s.text = llm.AppendUnquoted(s.text, quoted[1:len(quoted)-1])
	s.add(llm.Event{Kind: kind, Text: s.text[start:len(s.text):len(s.text)]})
	return true
}

// wrapped reads a chunk, which holds an event of the model itself in base64.
func (s *bedrockStream) wrapped(chunk *llm.Object) bool {
	quoted := chunk.Value(bedrockEventBytes)
	if len(quoted) < 2 || quoted[0] != '"' {
		return false
	}
	var err error
	// Base64 in JSON has no escapes but for slashes, which nobody escapes here.
	if s.chunk, err = base64.StdEncoding.AppendDecode(s.chunk[:0], quoted[1:len(quoted)-1]); err != nil {
		return false
	}
	var event llm.Object
	if event.Read(s.chunk, bedrockEventNames) != nil {
		return false
	}
	kind, _ := event.Text(bedrockEventType)
	switch kind {
	case "message_start":
		s.claudeStart(&event)
	case "content_block_start":
		s.claudeBlock(&event)
	case "content_block_delta":
		s.claudeDelta(&event)
	case "content_block_stop":
		s.stop(number(&event, bedrockEventIndex))
	case "message_delta":
		s.claudeEnd(&event)
	case "error":
		s.add(llm.Event{Kind: llm.EventError, Failure: Failure(0, s.chunk)})
	case "":
		s.say(llm.EventText, event.Value(bedrockEventGeneration))
		s.say(llm.EventText, event.Value(bedrockEventOutput))
	}
	if event.Kind(bedrockEventMetrics) == '{' {
		s.frame.Done = true
		s.counts(bedrockRead(&s.usage, event.Value(bedrockEventMetrics), bedrockMetrics))
	}
	return true
}

func (s *bedrockStream) claudeStart(event *llm.Object) {
	var message llm.Object
	if event.Kind(bedrockEventMessage) != '{' || message.Read(event.Value(bedrockEventMessage), bedrockClaudeMessage) != nil {
		return
	}
	start := llm.Event{Kind: llm.EventStart}
	start.ID, _ = message.Text(0)
	start.Model, _ = message.Text(1)
	s.add(start)
	if message.Kind(2) == '{' {
		s.counts(bedrockRead(&s.usage, message.Value(2), bedrockClaudeUsage))
	}
}

func (s *bedrockStream) claudeBlock(event *llm.Object) {
	var block llm.Object
	if event.Kind(bedrockEventContent) != '{' || block.Read(event.Value(bedrockEventContent), bedrockClaudeBlock) != nil {
		return
	}
	switch kind, _ := block.Text(0); kind {
	case "tool_use":
		id, _ := block.Text(1)
		name, _ := block.Text(2)
		s.call(number(event, bedrockEventIndex), id, name)
	case "redacted_thinking":
		s.say(llm.EventRedacted, block.Value(3))
	}
}

func (s *bedrockStream) claudeDelta(event *llm.Object) {
	var delta llm.Object
	if event.Kind(bedrockEventDelta) != '{' || delta.Read(event.Value(bedrockEventDelta), bedrockDeltaNames) != nil {
		return
	}
	s.say(llm.EventText, delta.Value(bedrockDeltaText))
	s.say(llm.EventReasoning, delta.Value(bedrockDeltaThinking))
	s.say(llm.EventSignature, delta.Value(bedrockDeltaSignature))
	s.arguments(number(event, bedrockEventIndex), delta.Value(bedrockDeltaJSON))
}

func (s *bedrockStream) claudeEnd(event *llm.Object) {
	var delta llm.Object
	if event.Kind(bedrockEventDelta) == '{' && delta.Read(event.Value(bedrockEventDelta), bedrockDeltaNames) == nil {
		if word, ok := delta.Text(bedrockDeltaStop); ok {
			stopText, _ := delta.Text(bedrockDeltaStopText)
			s.finish(bedrockFinish(word), stopText)
		}
	}
	if value := event.Value(bedrockEventUsage); value != nil && value[0] == '{' {
		s.counts(bedrockRead(&s.usage, value, bedrockClaudeUsage))
	}
}
