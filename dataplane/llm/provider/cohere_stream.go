package provider

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

var (
	cohereEventNames = llm.NewLenientNames("event_type", "type", "id", "generation_id", "index", "delta", "text",
		"tool_calls", "is_finished", "finish_reason", "response", "message", "tool_call_delta")
	cohereDeltaNames  = llm.NewLenientNames("message", "finish_reason", "usage", "error")
	cohereNestedNames = llm.NewLenientNames("content", "tool_plan", "tool_calls")
)

// The places of the names above.
const (
	cohereEventType = iota
	cohereType
	cohereEventID
	cohereEventGeneration
	cohereIndex
	cohereDelta
	cohereEventText
	cohereEventCalls
	cohereFinished
	cohereEventFinish
	cohereResponse
	cohereEventMessage
	cohereCallDelta
)

const (
	cohereDeltaMessage = iota
	cohereDeltaFinish
	cohereDeltaUsage
	cohereDeltaError
)

// Stream starts the reading of a streamed answer.
func (c *cohere) Stream(call *Call) StreamReader {
	if call.Route == llm.Preserve && call.Format != llm.Cohere {
		return c.nativePassing.Stream(call)
	}
	return &cohereStream{call: call}
}

// cohereStream reads one streamed answer of either version: the first names its
// events by event_type, the second by type.
type cohereStream struct {
	call     *Call
	frame    nativeFrame
	blocks   []int // the vendor's numbers of the calls, in the order they began
	begun    bool
	finished bool
}

// Read says what one event means.
func (s *cohereStream) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	f := &s.frame
	f.reset(llm.Cohere, event)
	if string(event.Data) == "[DONE]" {
		f.Done = true
		return &f.Frame, true
	}
	var object llm.Object
	if object.Read(event.Data, cohereEventNames) != nil {
		return nil, false
	}
	if s.finished {
		return &f.Frame, true
	}
	if kind, ok := object.Text(cohereType); ok {
		s.second(kind, &object)
	} else if kind, ok := object.Text(cohereEventType); ok {
		s.first(kind, &object)
	} else {
		s.untyped(event, &object)
	}
	return &f.Frame, true
}

func (s *cohereStream) start(object *llm.Object, at int) {
	if !s.begun {
		s.begun = true
		id, _ := object.Text(at)
		s.frame.add(llm.Event{Kind: llm.EventStart, ID: id})
	}
}

// first reads an event of the first version's chats.
func (s *cohereStream) first(kind string, object *llm.Object) {
	f := &s.frame
	switch kind {
	case "stream-start":
		s.start(object, cohereEventGeneration)
	case "text-generation":
		s.start(object, cohereEventGeneration)
		f.piece(llm.EventText, object.Value(cohereEventText))
	case "tool-calls-generation":
		cohereEachCall(object.Value(cohereEventCalls), func(id, name string, arguments []byte) {
			s.blocks = append(s.blocks, len(s.blocks))
			f.call(len(s.blocks)-1, id, name, arguments)
		})
	case "stream-end":
		s.end(object)
	}
}

// end reads the last event of the first version, which repeats the answer.
func (s *cohereStream) end(object *llm.Object) {
	s.finished = true
	word, _ := object.Text(cohereEventFinish)
	s.frame.add(llm.Event{Kind: llm.EventFinish, Finish: cohereReason(word, len(s.blocks) > 0)})
	var response llm.Object
	if object.Kind(cohereResponse) == '{' && response.Read(object.Value(cohereResponse), cohereNames) == nil {
		s.usage(cohereReadUsage(&response, false))
	}
}

func (s *cohereStream) usage(usage llm.Usage) {
	if usage.Input == llm.Reported || usage.Output == llm.Reported {
		s.frame.HoldsUsage = true
		s.frame.add(llm.Event{Kind: llm.EventUsage, Usage: usage})
	}
}

// untyped reads what has no type: the pieces of a completion, a whole answer, and
// errors.
func (s *cohereStream) untyped(event llm.ServerEvent, object *llm.Object) {
	f := &s.frame
	switch object.Kind(cohereFinished) {
	case 't':
		s.start(object, cohereEventID)
		f.piece(llm.EventText, object.Value(cohereEventText))
		s.end(object)
		return
	case 'f':
		s.start(object, cohereEventID)
		f.piece(llm.EventText, object.Value(cohereEventText))
		return
	}
	if object.Kind(cohereEventMessage) == '"' {
		f.failure(event.Data)
		return
	}
	var answer llm.Object
	if answer.Read(event.Data, cohereNames) != nil {
		return
	}
	if chat := cohereReadAnswer(s.call, &answer); chat != nil {
		s.finished = true
		f.add(llm.Event{Kind: llm.EventStart, ID: chat.ID})
		f.answer(chat)
	}
}

// second reads an event of the second version.
func (s *cohereStream) second(kind string, object *llm.Object) {
	f := &s.frame
	var delta, message, part llm.Object
	if object.Kind(cohereDelta) == '{' && delta.Read(object.Value(cohereDelta), cohereDeltaNames) != nil {
		return
	}
	if delta.Kind(cohereDeltaMessage) == '{' && message.Read(delta.Value(cohereDeltaMessage), cohereNestedNames) != nil {
		return
	}
	switch kind {
	case "message-start":
		s.start(object, cohereEventID)
	case "content-start", "content-delta":
		if message.Kind(cohereContent) == '{' && part.Read(message.Value(cohereContent), coherePartNames) == nil {
			f.piece(llm.EventReasoning, part.Value(coherePartThinking))
			f.piece(llm.EventText, part.Value(coherePartText))
		}
	case "tool-plan-delta":
		f.piece(llm.EventReasoning, message.Value(coherePlan))
	case "tool-call-start":
		cohereEachCall(message.Value(cohereMessageCalls), func(id, name string, arguments []byte) {
			s.blocks = append(s.blocks, number(object, cohereIndex))
			block := len(s.blocks) - 1
			f.add(llm.Event{Kind: llm.EventCallStart, Block: block, ID: id, Name: name})
			f.arguments(block, arguments)
		})
	case "tool-call-delta":
		s.arguments(s.block(object), message.Value(cohereMessageCalls))
	case "tool-call-end":
		if block := s.block(object); block >= 0 {
			f.add(llm.Event{Kind: llm.EventCallEnd, Block: block})
		}
	case "message-end":
		s.finished = true
		if text := delta.Value(cohereDeltaError); len(text) > 2 && text[0] == '"' {
			f.add(llm.Event{Kind: llm.EventError, Failure: &llm.Failure{Message: llm.Unquote(text)}})
			return
		}
		word, _ := delta.Text(cohereDeltaFinish)
		f.add(llm.Event{Kind: llm.EventFinish, Finish: cohereReason(word, len(s.blocks) > 0)})
		if usage, ok := cohereBilled(delta.Value(cohereDeltaUsage)); ok {
			s.usage(usage)
		}
	}
}

// block is which call an event goes on with: the latest one of its number.
func (s *cohereStream) block(object *llm.Object) int {
	index := number(object, cohereIndex)
	for i := len(s.blocks) - 1; i >= 0; i-- {
		if s.blocks[i] == index {
			return i
		}
	}
	return -1
}

func (s *cohereStream) arguments(block int, calls []byte) {
	var call, function llm.Object
	if block < 0 || len(calls) == 0 || calls[0] != '{' || call.Read(calls, cohereCallNames) != nil ||
		call.Kind(cohereCallFunction) != '{' || function.Read(call.Value(cohereCallFunction), cohereFunctionNames) != nil {
		return
	}
	s.frame.arguments(block, function.Value(1))
}
