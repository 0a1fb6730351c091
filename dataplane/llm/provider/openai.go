package provider

import (
	"errors"
	"fmt"
	"net/http"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// OpenAI is a vendor that speaks OpenAI's format: OpenAI itself, and with other
// values in its row those who copied it.
type OpenAI struct {
	name, host string
	paths      map[llm.Route]string
	// hostOf gives the host where the options of the model have a say in it; nil:
	// host is it. A vendor with neither runs where upstream_url says.
	hostOf func(*pluginpb.AiModelOptions) (string, error)
	// dropStreamOptions takes stream_options out, for a vendor that refuses them.
	dropStreamOptions bool
	// strict says that the vendor's own address refuses members that it does not
	// know, stream_options and max_completion_tokens among them, and counts the
	// tokens of streams unasked. Other servers at a configured address do not.
	strict bool
}

var _ Provider = (*OpenAI)(nil)

// Name is the vendor's name in configurations.
func (o *OpenAI) Name() string { return o.name }

// Format is OpenAI's for all that the vendor runs.
func (o *OpenAI) Format(route llm.Route) (llm.Format, bool) {
	_, ok := o.paths[route]
	return llm.OpenAI, ok
}

// Endpoint is the vendor's public address.
func (o *OpenAI) Endpoint(call *Call) (Endpoint, error) {
	host := o.host
	if o.hostOf != nil && call.Options.GetUpstreamUrl() == "" {
		var err error
		if host, err = o.hostOf(call.Options); err != nil {
			return Endpoint{}, err
		}
	}
	if host == "" && call.Options.GetUpstreamUrl() == "" {
		return Endpoint{}, fmt.Errorf("%s has no public address, so upstream_url must be set", o.name)
	}
	return Endpoint{Scheme: "https", Host: host, Port: 443, Path: o.paths[call.Route]}, nil
}

// Headers sets none: OpenAI asks for none.
func (o *OpenAI) Headers(*Call, http.Header) {}

// AcceptEncoding leaves out what the gateway cannot read: brotli and zstd.
func (o *OpenAI) AcceptEncoding() string { return "gzip, identity" }

// Request is the caller's body with the members changed that the gateway answers
// for; the rest stays byte for byte.
func (o *OpenAI) Request(call *Call, request *llm.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, ErrNotJSON
	}
	fields := &request.Fields
	var edits llm.Edits
	if call.Route == llm.Preserve {
		if call.Streams && !request.Streams {
			edits.Set(llm.FieldStream, "true")
		}
	} else {
		o.edit(call, request, &edits)
	}
	if call.ParamValue != "" && !(call.ParamOverride && fields.Has(llm.FieldParam)) {
		edits.Set(llm.FieldParam, call.ParamValue)
	}
	if edits.Empty() {
		return request.Body, nil
	}
	return edits.AppendTo(make([]byte, 0, len(request.Body)+edits.Size(fields)), fields), nil
}

func (o *OpenAI) edit(call *Call, request *llm.Request, edits *llm.Edits) {
	fields := &request.Fields
	// A model that the caller named is the one that is asked, or the call would
	// have been refused; then its spelling stays.
	if request.Model == "" || request.Model != call.Model {
		edits.Set(llm.FieldModel, llm.Quote(call.Model))
	}
	if stream := "false"; !call.Streams {
		if fields.Kind(llm.FieldStream) != 'f' {
			edits.Set(llm.FieldStream, stream)
		}
	} else if !request.Streams {
		edits.Set(llm.FieldStream, "true")
	}
	if call.Temperature != "" {
		edits.Set(llm.FieldTemperature, call.Temperature)
	}
	if call.TopP != "" {
		edits.Set(llm.FieldTopP, call.TopP)
	}
	if fields.Has(llm.FieldTopK) {
		edits.Remove(llm.FieldTopK) // OpenAI knows no top_k, and refuses it
	}
	o.limit(call, fields, edits)
	if o.dropStreamOptions || o.isStrict(call) {
		if fields.Has(llm.FieldStreamOptions) {
			edits.Remove(llm.FieldStreamOptions)
		}
	} else if call.Streams && !request.WantsUsage {
		edits.Set(llm.FieldStreamOptions, askForUsage(fields.Value(llm.FieldStreamOptions)))
	}
}

// limit writes the most tokens that an answer may have. The two names mean the
// same, the newer one wins at the vendor, and the models that reason refuse the
// older one: what goes up has one of them, so that a caller cannot get around
// the configured limit by the other name.
func (o *OpenAI) limit(call *Call, fields *llm.Object, edits *llm.Edits) {
	use, other := llm.FieldMaxTokens, llm.FieldMaxCompletionTokens
	if reasons(call.Model) {
		use, other = other, use
	}
	switch {
	case call.MaxTokens != "":
		edits.Set(use, call.MaxTokens)
		if fields.Has(other) {
			edits.Remove(other)
		}
	case (use == llm.FieldMaxCompletionTokens || o.isStrict(call)) && fields.Has(other):
		if fields.Has(use) {
			edits.Remove(other)
		} else {
			edits.Rename(other, llm.RequestFields[use])
		}
	}
}

// isStrict says whether a call goes where members that are not known are refused.
func (o *OpenAI) isStrict(call *Call) bool { return o.strict && call.Options.GetUpstreamUrl() == "" }

// reasons says whether a model is one of those that take max_completion_tokens
// only: o1, o3-mini, gpt-5 and the like.
func reasons(model string) bool {
	if len(model) >= 2 && model[0] == 'o' && model[1] >= '0' && model[1] <= '9' {
		return true
	}
	const gpt5 = "gpt-5"
	return len(model) >= len(gpt5) && model[:len(gpt5)] == gpt5
}

var streamOptions = llm.NewLenientNames("include_usage")

// askForUsage is the stream_options that make the vendor count the tokens of a
// stream, with what the caller asked for besides.
func askForUsage(options []byte) string {
	var object llm.Object
	if len(options) == 0 || object.Read(options, streamOptions) != nil {
		return `{"include_usage":true}`
	}
	var edits llm.Edits
	edits.Set(0, "true")
	return string(edits.AppendTo(nil, &object))
}

var (
	answerNames = llm.NewLenientNames("choices", "model", "usage", "service_tier", "error", "object")
	choiceNames = llm.NewLenientNames("index", "delta", "message", "text", "finish_reason")
	deltaNames  = llm.NewLenientNames("content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call")
	callNames   = llm.NewLenientNames("index", "id", "function")
	nameNames   = llm.NewLenientNames("name", "arguments")
)

// The places of the names above.
const (
	answerChoices = iota
	answerModel
	answerUsage
	answerTier
	answerError
	answerObject
)

const (
	choiceIndex = iota
	choiceDelta
	choiceMessage
	choiceText
	choiceFinish
)

const (
	deltaContent = iota
	deltaRefusal
	deltaReasoning
	deltaReasoningShort
	deltaCalls
	deltaFunction
)

const (
	callIndex = iota
	callID
	callFunction
)

const (
	functionName = iota
	functionArguments
)

// Response checks that an answer is one, and passes it on byte for byte.
func (o *OpenAI) Response(call *Call, body []byte) (Answer, error) {
	answer := Answer{Body: body}
	var object llm.Object
	err := object.ReadWithin(body, answerNames, call.Limits)
	if call.Route == llm.Preserve {
		// Whatever it is, it passes; it is read for its counts only.
		if err == nil {
			o.note(&answer, &object)
		}
		return answer, nil
	}
	if err != nil && !errors.Is(err, llm.ErrNotObject) {
		return answer, &AnswerError{Reason: "failed to decode " + string(call.Route) + " response"}
	}
	if !object.Has(answerChoices) || object.Kind(answerChoices) == 'n' {
		return answer, &AnswerError{Reason: "'choices' not in " + string(call.Route) + " response"}
	}
	o.note(&answer, &object)
	return answer, nil
}

func (o *OpenAI) note(answer *Answer, object *llm.Object) {
	answer.Model, _ = object.Text(answerModel)
	if object.Kind(answerUsage) == '{' {
		answer.Usage, _ = llm.ReadOpenAIUsage(object.Value(answerUsage))
	}
	answer.Usage.Tier, _ = object.Text(answerTier)
	if answer.Usage.Output == llm.Reported {
		return
	}
	reader := openAIStream{}
	reader.choices(object.Value(answerChoices))
	var length llm.TextLength
	for i := range reader.frame.Events {
		if reader.frame.Events[i].Kind == llm.EventText {
			length.Add(reader.frame.Events[i].Text)
		}
	}
	answer.TextLength = length.Len()
}

// Stream starts the reading of a streamed answer.
func (o *OpenAI) Stream(*Call) StreamReader { return &openAIStream{} }

// openAIStream reads one stream of OpenAI's chunks.
type openAIStream struct {
	frame llm.Frame
	text  []byte // what the events' texts point into
	begun bool   // the model is known
	whole bool   // the event is a whole answer
	chunk []byte // one that was made into a chunk
}

// Read says what one chunk means.
func (s *openAIStream) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	s.text, s.whole = s.text[:0], false
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
		// Every chunk repeats the model; once is enough.
		if model, ok := chunk.Text(answerModel); ok && model != "" {
			s.begun = true
			s.add(llm.Event{Kind: llm.EventStart, Model: model})
		}
	}
	if kind := chunk.Kind(answerError); kind != 0 && kind != 'n' && kind != 'f' {
		s.add(llm.Event{Kind: llm.EventError})
	}
	s.choices(chunk.Value(answerChoices))
	if s.whole {
		s.cut(&chunk)
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
			s.add(llm.Event{Kind: llm.EventFinish, Choice: index, Finish: llm.FinishReasonOpenAI(word)})
		}
		return true
	})
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
	s.piece(llm.EventRefusal, choice, &delta, deltaRefusal)
	s.call(choice, 0, delta.Value(deltaFunction), "")
	order := 0
	llm.Elements(delta.Value(deltaCalls), func(text []byte) bool {
		var call llm.Object
		if call.Read(text, callNames) != nil {
			return true
		}
		// Servers that send whole calls may leave the index out: then the order
		// counts.
		block := order
		if call.Has(callIndex) {
			block = number(&call, callIndex)
		}
		order++
		id, _ := call.Text(callID)
		s.call(choice, block, call.Value(callFunction), id)
		return true
	})
}

func (s *openAIStream) call(choice, block int, text []byte, id string) {
	var function llm.Object
	if len(text) == 0 || text[0] != '{' || function.Read(text, nameNames) != nil {
		return
	}
	if name, ok := function.Text(functionName); ok || id != "" {
		s.add(llm.Event{Kind: llm.EventCallStart, Choice: choice, Block: block, ID: id, Name: name})
	}
	at := len(s.frame.Events)
	s.piece(llm.EventCallArguments, choice, &function, functionArguments)
	if len(s.frame.Events) > at {
		s.frame.Events[at].Block = block
	}
}

// piece adds an event for a member that is a text with something in it.
func (s *openAIStream) piece(kind llm.EventKind, choice int, object *llm.Object, at int) {
	if object.Kind(at) != '"' {
		return
	}
	quoted := object.Value(at)
	if len(quoted) == 2 {
		return
	}
	// Earlier events keep pointing into the old memory when it must grow.
	start := len(s.text)
	s.text = llm.AppendUnquoted(s.text, quoted[1:len(quoted)-1])
	s.add(llm.Event{Kind: kind, Choice: choice, Text: s.text[start:len(s.text):len(s.text)]})
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
