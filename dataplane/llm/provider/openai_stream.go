package provider

import (
	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Stream starts the reading of a streamed answer.
func (o *OpenAI) Stream(call *Call) StreamReader {
	switch call.Route {
	case llm.Chat, llm.Completions, llm.Preserve:
		return &openAIStream{}
	}
	return &openAIEventStream{}
}

// openAIStream reads one stream of OpenAI's chunks.
type openAIStream struct {
	frame llm.Frame
	text  []byte // what the events' texts point into
	begun bool   // the answer is open
	whole bool   // the event is a whole answer
	chunk []byte // one that was made into a chunk
	calls []openAICall
	fixes []openAIFix // what the calls of the event lack, in their order
	lacks bool        // one of the fixes changes something
	fixed []byte      // a chunk whose calls were completed
}

// openAICall is a call that has begun. Servers differ on what they repeat and on
// what they leave out.
type openAICall struct {
	choice, block int
	index         int // the server's; -1: it gave none
	id            string
}

// openAICalls is how many calls one answer may hold.
const openAICalls = 1 << 10

// Read says what one chunk means.
func (s *openAIStream) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	s.text, s.whole, s.fixes, s.lacks = s.text[:0], false, s.fixes[:0], false
	s.frame = llm.Frame{Format: llm.OpenAI, Data: event.Data, Events: s.frame.Events[:0]}
	if string(event.Data) == "[DONE]" {
		s.frame.Done = true
		return &s.frame, true
	}
	var chunk llm.Object
	if chunk.Read(event.Data, answerNames) != nil {
		return nil, false
	}
	if !s.begun {
		// Every chunk repeats who answers; once is enough. Azure's first chunk may
		// leave it empty, as it is about the prompt.
		model, _ := chunk.Text(answerModel)
		id, _ := chunk.Text(answerID)
		if model != "" || id != "" {
			s.begun = true
			s.add(llm.Event{Kind: llm.EventStart, ID: id, Model: model, Created: openAIInteger(chunk.Value(answerCreated))})
		}
	}
	if kind := chunk.Kind(answerError); kind != 0 && kind != 'n' && kind != 'f' {
		s.add(llm.Event{Kind: llm.EventError, Failure: Failure(0, event.Data)})
	}
	s.choices(chunk.Value(answerChoices))
	if s.whole {
		s.cut(&chunk)
	}
	if s.lacks {
		s.complete()
	}
	s.frame.HoldsUsage = chunk.Has(answerUsage)
	if chunk.Kind(answerUsage) == '{' {
		if usage, ok := llm.ReadOpenAIUsage(chunk.Value(answerUsage)); ok {
			usage.Tier, _ = chunk.Text(answerTier)
			s.add(llm.Event{Kind: llm.EventUsage, Usage: usage})
			s.frame.UsageOnly = chunk.Kind(answerChoices) == '[' && chunk.Count(answerChoices) == 0
		}
	}
	return &s.frame, true
}

// cut makes the chunk of a whole answer, which servers that know no streams send
// all the same: readers of a stream look for deltas and not for messages.
func (s *openAIStream) cut(answer *llm.Object) {
	choices := []byte{'['}
	llm.Elements(answer.Value(answerChoices), func(text []byte) bool {
		if len(choices) > 1 {
			choices = append(choices, ',')
		}
		var choice llm.Object
		if choice.Read(text, choiceNames) != nil {
			choices = append(choices, text...)
			return true
		}
		var edits llm.Edits
		if !choice.Has(choiceDelta) && choice.Has(choiceMessage) {
			edits.Rename(choiceMessage, "delta")
		}
		choices = edits.AppendTo(choices, &choice)
		return true
	})
	var edits llm.Edits
	edits.Set(answerChoices, string(append(choices, ']')))
	if answer.Has(answerObject) {
		edits.Set(answerObject, `"chat.completion.chunk"`)
	}
	s.chunk = edits.AppendTo(s.chunk[:0], answer)
	s.frame.Data = s.chunk
}

func (s *openAIStream) add(event llm.Event) { s.frame.Events = append(s.frame.Events, event) }

func (s *openAIStream) choices(choices []byte) {
	llm.Elements(choices, func(text []byte) bool {
		var choice llm.Object
		if choice.Read(text, choiceNames) != nil {
			return true
		}
		index := number(&choice, choiceIndex)
		s.piece(llm.EventText, index, &choice, choiceText)
		s.delta(index, choice.Value(choiceDelta))
		s.delta(index, choice.Value(choiceMessage))
		s.whole = s.whole || choice.Kind(choiceMessage) == '{' && !choice.Has(choiceDelta)
		if word, ok := choice.Text(choiceFinish); ok && word != "" {
			s.finish(index, llm.FinishReasonOpenAI(word))
		}
		return true
	})
}

// finish closes a choice. Some servers give stop as the reason of an answer that
// asks for calls.
func (s *openAIStream) finish(choice int, reason llm.FinishReason) {
	if reason == llm.FinishEnd {
		for i := range s.calls {
			if s.calls[i].choice == choice {
				reason = llm.FinishCalls
				break
			}
		}
	}
	s.add(llm.Event{Kind: llm.EventFinish, Choice: choice, Finish: reason})
}

func (s *openAIStream) delta(choice int, text []byte) {
	var delta llm.Object
	if len(text) == 0 || text[0] != '{' || delta.Read(text, deltaNames) != nil {
		return
	}
	if delta.Kind(deltaReasoning) == '"' {
		s.piece(llm.EventReasoning, choice, &delta, deltaReasoning)
	} else {
		s.piece(llm.EventReasoning, choice, &delta, deltaReasoningShort)
	}
	s.piece(llm.EventText, choice, &delta, deltaContent)
	if delta.Kind(deltaContent) == '[' {
		openAIParts(delta.Value(deltaContent), func(thinking bool, quoted []byte) {
			kind := llm.EventText
			if thinking {
				kind = llm.EventReasoning
			}
			s.quoted(llm.Event{Kind: kind, Choice: choice}, quoted)
		})
	}
	s.piece(llm.EventRefusal, choice, &delta, deltaRefusal)
	if function := delta.Value(deltaFunction); len(function) > 0 && function[0] == '{' {
		s.call(choice, &llm.Object{}, function)
	}
	llm.Elements(delta.Value(deltaCalls), func(text []byte) bool {
		var call llm.Object
		var fix openAIFix
		if call.Read(text, callNames) == nil {
			fix = s.call(choice, &call, call.Value(callFunction))
		}
		s.fixes = append(s.fixes, fix)
		s.lacks = s.lacks || fix != openAIFix{}
		return true
	})
}

// call reads a piece of a call, and says what it lacks.
func (s *openAIStream) call(choice int, call *llm.Object, text []byte) (fix openAIFix) {
	var function llm.Object
	if len(text) > 0 && (text[0] != '{' || function.Read(text, nameNames) != nil) {
		return fix
	}
	at := s.find(choice, call, &function)
	if at < 0 {
		if len(s.calls) == openAICalls {
			return fix
		}
		at = len(s.calls)
		block := 0
		for i := range s.calls {
			if s.calls[i].choice == choice {
				block++
			}
		}
		id, _ := call.Text(callID)
		name, _ := function.Text(functionName)
		index := -1
		if call.Has(callIndex) {
			index = number(call, callIndex)
		}
		s.calls = append(s.calls, openAICall{choice: choice, block: block, index: index, id: id})
		if id == "" {
			id = openAICallID()
			fix.id = id
		}
		fix.kind = call.Kind(callType) != '"'
		s.add(llm.Event{Kind: llm.EventCallStart, Choice: choice, Block: block, ID: id, Name: name})
	}
	block := s.calls[at].block
	if !call.Has(callIndex) || number(call, callIndex) != block {
		fix.index = block + 1
	}
	if call.Kind(callExtra) == '{' {
		s.quoted(llm.Event{Kind: llm.EventSignature, Choice: choice, Block: block, OfCall: true}, openAISignature(call.Value(callExtra)))
	}
	switch function.Kind(functionArguments) {
	case '"':
		s.quoted(llm.Event{Kind: llm.EventCallArguments, Choice: choice, Block: block}, function.Value(functionArguments))
	case '{':
		// Servers that take the text for JSON send all of it at once.
		s.add(llm.Event{Kind: llm.EventCallArguments, Choice: choice, Block: block, Text: function.Value(functionArguments)})
	}
	return fix
}

// find says which call a piece belongs to; -1: to a new one. The server's index
// tells, unless it gives all calls the same one, which a new id shows; without an
// index the id tells, and without either a new name.
func (s *openAIStream) find(choice int, call, function *llm.Object) int {
	id, _ := openAIRaw(call, callID)
	named := function.Kind(functionName) == '"' && len(function.Value(functionName)) > 2
	index := -1
	if call.Has(callIndex) {
		index = number(call, callIndex)
	}
	last := -1
	for at := len(s.calls) - 1; at >= 0; at-- {
		c := &s.calls[at]
		if c.choice != choice {
			continue
		}
		if last < 0 {
			last = at
		}
		switch same := string(id) == c.id; {
		case index >= 0 && c.index == index:
			if len(id) > 0 && c.id != "" && !same && named && !s.has(choice, id) {
				return -1
			}
			if len(id) == 0 || same || c.id == "" || !named {
				return at
			}
		case index < 0 && len(id) > 0 && same:
			return at
		}
	}
	if index >= 0 || len(id) > 0 || named {
		return -1
	}
	return last
}

// has says whether a call of an id has begun.
func (s *openAIStream) has(choice int, id []byte) bool {
	for i := range s.calls {
		if s.calls[i].choice == choice && s.calls[i].id == string(id) {
			return true
		}
	}
	return false
}

// openAIRaw is what stands in a member that is a text, escapes and all: ids have none.
func openAIRaw(object *llm.Object, at int) ([]byte, bool) {
	value := object.Value(at)
	if object.Kind(at) != '"' {
		return nil, false
	}
	return value[1 : len(value)-1], true
}

// piece adds an event for a member that is a text with something in it.
func (s *openAIStream) piece(kind llm.EventKind, choice int, object *llm.Object, at int) {
	if object.Kind(at) == '"' {
		s.quoted(llm.Event{Kind: kind, Choice: choice}, object.Value(at))
	}
}

// quoted adds an event with a text, given as a JSON string, that is not empty.
func (s *openAIStream) quoted(event llm.Event, quoted []byte) {
	if len(quoted) == 2 {
		return
	}
	// Earlier events keep pointing into the old memory when it must grow.
	start := len(s.text)
	s.text = llm.AppendUnquoted(s.text, quoted[1:len(quoted)-1])
	event.Text = s.text[start:len(s.text):len(s.text)]
	s.add(event)
}

// number reads a small whole number; anything else is 0.
func number(object *llm.Object, at int) int {
	n := 0
	for _, c := range object.Value(at) {
		if c < '0' || c > '9' || n > 1<<20 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}
