package provider

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// geminiMostChoices is how many answers to one call are told apart; Google gives
// at most 8.
const geminiMostChoices = 64

// Stream starts the reading of a streamed answer: the events of an SSE stream, or
// the elements of a JSON array.
func (g *Gemini) Stream(call *Call) StreamReader {
	s := &geminiStream{limits: call.Limits}
	if call.Format != llm.Gemini {
		s.model = call.Model
	}
	return s
}

var _ StreamEnder = (*geminiStream)(nil)

// geminiStream reads one stream of Google's. It has no end mark, and early models
// give a reason for the end with every piece, so that reasons wait for the end of
// the stream.
type geminiStream struct {
	limits llm.Limits
	model  string // to name as the one that answers; empty: the answer's own
	frame  llm.Frame
	text   []byte // what the events' texts point into
	begun  bool
	id     string
	usage  geminiUsage

	choices []geminiStreamed
	at      int        // the choice that is being read
	object  llm.Object // the part that is being read
}

// geminiStreamed is the state of one choice.
type geminiStreamed struct {
	calls    int
	thinking bool             // the last piece was a thought without a signature
	reason   llm.FinishReason // why it ended, by the last piece that says so
}

// Read says what one piece of the answer means.
func (s *geminiStream) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	s.text = s.text[:0]
	s.frame = llm.Frame{Format: llm.Gemini, Data: event.Data, Events: s.frame.Events[:0]}
	if string(event.Data) == "[DONE]" {
		s.End()
		s.frame.Data, s.frame.Done = event.Data, true // Google sends none, but servers in front of it may
		return &s.frame, true
	}
	var chunk llm.Object
	if chunk.ReadWithin(event.Data, geminiAnswerNames, s.limits) != nil {
		return nil, false
	}
	if !s.begun && !chunk.Has(geminiError) {
		s.begun = true
		s.id, _ = chunk.Text(geminiResponseID)
		model := s.model
		if model == "" {
			model, _ = chunk.Text(geminiModelVersion)
		}
		s.add(llm.Event{Kind: llm.EventStart, ID: s.id, Model: model})
	}
	if chunk.Kind(geminiError) == '{' {
		s.add(llm.Event{Kind: llm.EventError, Failure: geminiFailure(event.Data, chunk.Value(geminiError))})
	}
	order := 0
	llm.Elements(chunk.Value(geminiCandidates), func(text []byte) bool {
		s.candidate(text, order)
		order++
		return order < geminiMostChoices
	})
	if order == 0 && geminiBlocked(&chunk) {
		s.choose(0).reason = llm.FinishFiltered
	}
	s.frame.HoldsUsage = chunk.Has(geminiUsageMetadata)
	if chunk.Kind(geminiUsageMetadata) == '{' && s.usage.read(chunk.Value(geminiUsageMetadata)) {
		s.add(llm.Event{Kind: llm.EventUsage, Usage: s.usage.usage()})
		s.frame.UsageOnly = order == 0 && len(s.frame.Events) == 1
	}
	return &s.frame, true
}

func (s *geminiStream) add(event llm.Event) { s.frame.Events = append(s.frame.Events, event) }

// choose makes a choice the one that is read.
func (s *geminiStream) choose(index int) *geminiStreamed {
	for len(s.choices) <= index {
		s.choices = append(s.choices, geminiStreamed{})
	}
	s.at = index
	return &s.choices[index]
}

// candidate reads a piece of one choice. Google leaves the index out where it is
// 0; the piece's place in the list tells more where all lack it.
func (s *geminiStream) candidate(text []byte, order int) {
	var candidate llm.Object
	if candidate.Read(text, geminiCandidateNames) != nil {
		return
	}
	index := order
	if candidate.Has(geminiIndex) {
		index = number(&candidate, geminiIndex)
	}
	if index >= geminiMostChoices {
		return
	}
	s.choose(index)
	geminiParts(&candidate, &s.object, s.take)
	if reason := geminiFinish(&candidate, false); reason != llm.FinishUnknown {
		s.choices[index].reason = reason
	}
}

// End closes the choices that came to their end.
func (s *geminiStream) End() *llm.Frame {
	s.frame = llm.Frame{Format: llm.Gemini, Events: s.frame.Events[:0]}
	for i := range s.choices {
		switch choice := &s.choices[i]; {
		case choice.reason == llm.FinishUnknown: // it broke off
		case choice.calls > 0:
			s.add(llm.Event{Kind: llm.EventFinish, Choice: i, Finish: llm.FinishCalls})
		default:
			s.add(llm.Event{Kind: llm.EventFinish, Choice: i, Finish: choice.reason})
		}
	}
	return &s.frame
}

// take reads a part of the choice.
func (s *geminiStream) take(part *llm.Object) {
	choice := &s.choices[s.at]
	switch {
	case part.Kind(geminiFunctionCall) == '{':
		s.call(choice, part)
	case part.Kind(geminiText) != '"':
	case part.Kind(geminiThought) == 't':
		s.say(llm.EventReasoning, part.Value(geminiText))
		choice.thinking = true
		s.vouch(choice, part.Value(geminiSignature))
	default:
		s.vouch(choice, part.Value(geminiSignature))
		s.say(llm.EventText, part.Value(geminiText))
		// A last piece often has an empty text, and the signature with it.
		choice.thinking = choice.thinking && len(part.Value(geminiText)) == 2
	}
}

// vouch signs the thought before a piece with the piece's signature, so that
// callers who can only give thoughts back have it.
func (s *geminiStream) vouch(choice *geminiStreamed, quoted []byte) {
	if choice.thinking && len(quoted) > 2 && quoted[0] == '"' {
		choice.thinking = false
		start := len(s.text)
		s.text = append(s.text, geminiSigned...)
		s.text = llm.AppendUnquoted(s.text, quoted[1:len(quoted)-1])
		s.add(llm.Event{Kind: llm.EventSignature, Choice: s.at, Text: s.text[start:len(s.text):len(s.text)]})
	}
}

// call adds a call, which Google sends whole.
func (s *geminiStream) call(choice *geminiStreamed, part *llm.Object) {
	var function llm.Object
	if function.Read(part.Value(geminiFunctionCall), geminiCallNames) != nil {
		return
	}
	s.vouch(choice, part.Value(geminiSignature))
	choice.thinking = false
	block := choice.calls
	choice.calls++
	id, _ := function.Text(geminiCallOwnID)
	if id == "" {
		id = string(geminiAppendCallID(nil, s.id, s.at, block))
	}
	name, _ := function.Text(geminiCallName)
	s.add(llm.Event{Kind: llm.EventCallStart, Choice: s.at, Block: block, ID: id, Name: name})
	start := len(s.text)
	if function.Kind(geminiCallArgs) == '{' {
		s.text = geminiCompact(s.text, function.Value(geminiCallArgs))
	} else {
		s.text = append(s.text, "{}"...)
	}
	s.add(llm.Event{Kind: llm.EventCallArguments, Choice: s.at, Block: block, Text: s.text[start:len(s.text):len(s.text)]})
	if quoted := part.Value(geminiSignature); len(quoted) > 2 && quoted[0] == '"' {
		start = len(s.text)
		s.text = llm.AppendUnquoted(s.text, quoted[1:len(quoted)-1])
		s.add(llm.Event{Kind: llm.EventSignature, Choice: s.at, Block: block, OfCall: true, Text: s.text[start:len(s.text):len(s.text)]})
	}
	s.add(llm.Event{Kind: llm.EventCallEnd, Choice: s.at, Block: block})
}

// say adds an event for a text with something in it. Earlier events keep pointing
// into the old memory when it must grow.
func (s *geminiStream) say(kind llm.EventKind, quoted []byte) {
	if len(quoted) == 2 {
		return
	}
	start := len(s.text)
	s.text = llm.AppendUnquoted(s.text, quoted[1:len(quoted)-1])
	s.add(llm.Event{Kind: kind, Choice: s.at, Text: s.text[start:len(s.text):len(s.text)]})
}

var geminiErrorNames = llm.NewLenientNames("code")

// geminiFailure reads an error in the middle of a stream.
func geminiFailure(body, inner []byte) *llm.Failure {
	status := 0
	var o llm.Object
	if o.Read(inner, geminiErrorNames) == nil {
		status = number(&o, 0)
	}
	return Failure(status, body)
}
