package provider

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// openAIEventStream reads a stream of events that each name their type: that of
// the responses API, and those of speech, transcriptions and images. They pass
// byte for byte; what is read of them is who answers, the text, and the counts.
type openAIEventStream struct {
	frame llm.Frame
	name  string
	text  []byte
	calls []openAICall
}

var (
	openAIEventNames = llm.NewLenientNames("type", "delta", "response", "usage", "item", "output_index", "item_id", "code", "message", "error", "text", "model")
	openAIItemNames  = llm.NewLenientNames("type", "call_id", "name", "id")
	openAIReplyNames = llm.NewLenientNames("id", "model", "created_at", "usage", "status", "incomplete_details", "error", "service_tier", "output")
)

const (
	openAIEventType = iota
	openAIEventDelta
	openAIEventResponse
	openAIEventUsage
	openAIEventItem
	openAIEventIndex
	openAIEventItemID
	openAIEventCode
	openAIEventMessage
	openAIEventError
	openAIEventText
	openAIEventModel
)

const (
	openAIReplyID = iota
	openAIReplyModel
	openAIReplyCreated
	openAIReplyUsage
	openAIReplyStatus
	openAIReplyIncomplete
	openAIReplyError
	openAIReplyTier
	openAIReplyOutput
)

// Read says what one event means.
func (s *openAIEventStream) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	s.text = s.text[:0]
	s.frame = llm.Frame{Format: llm.OpenAI, Data: event.Data, Events: s.frame.Events[:0]}
	if string(event.Name) != s.name {
		s.name = string(event.Name) // the same for most events in a row
	}
	s.frame.Name = s.name
	if string(event.Data) == "[DONE]" {
		s.frame.Done = true
		return &s.frame, true
	}
	var object llm.Object
	if object.Read(event.Data, openAIEventNames) != nil {
		return nil, false
	}
	kind, _ := openAIRaw(&object, openAIEventType)
	switch string(kind) {
	case "response.output_text.delta", "transcript.text.delta":
		s.quoted(llm.Event{Kind: llm.EventText}, &object, openAIEventDelta)
	case "response.refusal.delta":
		s.quoted(llm.Event{Kind: llm.EventRefusal}, &object, openAIEventDelta)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		s.quoted(llm.Event{Kind: llm.EventReasoning}, &object, openAIEventDelta)
	case "response.output_item.added":
		s.item(&object)
	case "response.function_call_arguments.delta":
		for i := range s.calls {
			if s.calls[i].index == number(&object, openAIEventIndex) {
				s.quoted(llm.Event{Kind: llm.EventCallArguments, Block: i}, &object, openAIEventDelta)
			}
		}
	case "response.created":
		s.reply(object.Value(openAIEventResponse), true, false)
	case "response.completed", "response.incomplete", "response.cancelled":
		s.reply(object.Value(openAIEventResponse), false, true)
	case "response.failed":
		s.reply(object.Value(openAIEventResponse), false, false)
		s.add(llm.Event{Kind: llm.EventError, Failure: openAIReplyFailure(object.Value(openAIEventResponse))})
	case "error":
		f := Failure(0, event.Data)
		if code, ok := object.Text(openAIEventCode); ok && f.Code == "" {
			f.Code = code
		}
		s.add(llm.Event{Kind: llm.EventError, Failure: f})
	case "speech.audio.done", "transcript.text.done", "image_generation.completed", "image_edit.completed":
		s.usage(object.Value(openAIEventUsage))
		s.add(llm.Event{Kind: llm.EventFinish, Finish: llm.FinishEnd})
	}
	return &s.frame, true
}

func (s *openAIEventStream) add(event llm.Event) { s.frame.Events = append(s.frame.Events, event) }

func (s *openAIEventStream) quoted(event llm.Event, object *llm.Object, at int) {
	if quoted, ok := openAIRaw(object, at); ok && len(quoted) > 0 {
		s.text = llm.AppendUnquoted(s.text, quoted)
		event.Text = s.text
		s.add(event)
	}
}

// item opens a call.
func (s *openAIEventStream) item(object *llm.Object) {
	var item llm.Object
	text := object.Value(openAIEventItem)
	if len(text) == 0 || text[0] != '{' || item.Read(text, openAIItemNames) != nil || len(s.calls) == openAICalls {
		return
	}
	if kind, _ := openAIRaw(&item, 0); string(kind) != "function_call" {
		return
	}
	id, _ := item.Text(1)
	name, _ := item.Text(2)
	s.add(llm.Event{Kind: llm.EventCallStart, Block: len(s.calls), ID: id, Name: name})
	s.calls = append(s.calls, openAICall{index: number(object, openAIEventIndex), id: id})
}

// reply reads the response that an event carries whole.
func (s *openAIEventStream) reply(text []byte, start, finish bool) {
	var reply llm.Object
	if len(text) == 0 || text[0] != '{' || reply.Read(text, openAIReplyNames) != nil {
		return
	}
	if start {
		id, _ := reply.Text(openAIReplyID)
		model, _ := reply.Text(openAIReplyModel)
		s.add(llm.Event{Kind: llm.EventStart, ID: id, Model: model, Created: openAIInteger(reply.Value(openAIReplyCreated))})
		return
	}
	s.usage(reply.Value(openAIReplyUsage))
	if n := len(s.frame.Events); n > 0 && s.frame.Events[n-1].Kind == llm.EventUsage {
		s.frame.Events[n-1].Usage.Tier, _ = reply.Text(openAIReplyTier)
	}
	if finish {
		s.add(llm.Event{Kind: llm.EventFinish, Finish: openAIReplyFinish(&reply, len(s.calls) > 0)})
	}
}

func (s *openAIEventStream) usage(text []byte) {
	if len(text) == 0 || text[0] != '{' {
		return
	}
	if usage, ok := openAIReadUsage(text); ok {
		s.frame.HoldsUsage = true
		s.add(llm.Event{Kind: llm.EventUsage, Usage: usage})
	}
}

// openAIReplyFinish says why a response ended.
func openAIReplyFinish(reply *llm.Object, calls bool) llm.FinishReason {
	status, _ := openAIRaw(reply, openAIReplyStatus)
	switch string(status) {
	case "incomplete":
		reason := llm.FinishLength
		llm.Members(reply.Value(openAIReplyIncomplete), func(name string, value []byte) bool {
			if name == "reason" && string(value) == `"content_filter"` {
				reason = llm.FinishFiltered
			}
			return true
		})
		return reason
	case "failed", "cancelled":
		return llm.FinishFailed
	}
	if calls {
		return llm.FinishCalls
	}
	return llm.FinishEnd
}

func openAIReplyFailure(response []byte) *llm.Failure {
	f := Failure(0, response)
	var reply llm.Object
	if reply.Read(response, openAIReplyNames) != nil || reply.Kind(openAIReplyError) != '{' {
		f.Message = "the response failed"
	}
	return f
}

// openAINoteResponse takes what a whole response says of itself.
func openAINoteResponse(answer *Answer, object *llm.Object, body []byte) {
	answer.Model, _ = object.Text(answerModel)
	if object.Kind(answerUsage) == '{' {
		answer.Usage, _ = openAIReadUsage(object.Value(answerUsage))
	}
	answer.Usage.Tier, _ = object.Text(answerTier)
	if answer.Usage.Output == llm.Reported {
		return
	}
	var reply llm.Object
	if reply.Read(body, openAIReplyNames) != nil {
		return
	}
	var length llm.TextLength
	llm.Elements(reply.Value(openAIReplyOutput), func(item []byte) bool {
		llm.Members(item, func(name string, value []byte) bool {
			if name == "content" {
				openAIParts(value, func(_ bool, quoted []byte) { length.Add([]byte(llm.Unquote(quoted))) })
			}
			return true
		})
		return true
	})
	answer.TextLength = length.Len()
}
