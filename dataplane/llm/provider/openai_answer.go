package provider

import (
	"crypto/rand"
	"errors"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var (
	answerNames = llm.NewLenientNames("choices", "model", "usage", "service_tier", "error", "object", "id", "created", "data")
	choiceNames = llm.NewLenientNames("index", "delta", "message", "text", "finish_reason", "logprobs")
	deltaNames  = llm.NewLenientNames("content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call")
	callNames   = llm.NewLenientNames("index", "id", "function", "extra_content", "type")
	nameNames   = llm.NewLenientNames("name", "arguments")

	openAIPartNames      = llm.NewLenientNames("type", "text", "thinking")
	openAISignatureNames = llm.NewLenientNames("google", "thought_signature")
	openAIVectorNames    = llm.NewLenientNames("embedding")
)

// The places of the names above.
const (
	answerChoices = iota
	answerModel
	answerUsage
	answerTier
	answerError
	answerObject
	answerID
	answerCreated
	answerData
)

const (
	choiceIndex = iota
	choiceDelta
	choiceMessage
	choiceText
	choiceFinish
	choiceLogprobs
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
	callExtra
	callType
)

const (
	functionName = iota
	functionArguments
)

const (
	openAIPartType = iota
	openAIPartText
	openAIPartThinking
)

// Response checks that an answer is one, and passes it on byte for byte to callers
// of OpenAI's format; for others it is read.
func (o *OpenAI) Response(call *Call, body []byte) (Answer, error) {
	answer := Answer{Body: body}
	var object llm.Object
	err := object.ReadWithin(body, answerNames, call.Limits)
	foreign := call.Format != "" && call.Format != llm.OpenAI
	switch call.Route {
	case llm.Chat, llm.Completions:
		if err != nil && !errors.Is(err, llm.ErrNotObject) {
			return answer, &AnswerError{Reason: "failed to decode " + string(call.Route) + " response"}
		}
		if !object.Has(answerChoices) || object.Kind(answerChoices) == 'n' {
			return answer, &AnswerError{Reason: "'choices' not in " + string(call.Route) + " response"}
		}
		o.note(&answer, &object)
		if foreign {
			answer.Chat = openAIChatAnswer(&object, answer.Usage)
		}
	case llm.Embeddings:
		if err != nil {
			return answer, &AnswerError{Reason: "failed to decode " + string(call.Route) + " response"}
		}
		o.note(&answer, &object)
		if foreign {
			answer.Embedding = openAIEmbeddingAnswer(&object, answer.Usage)
		}
	case llm.Responses:
		if call.Operation == "" && err != nil {
			return answer, &AnswerError{Reason: "failed to decode " + string(call.Route) + " response"}
		}
		if err == nil {
			openAINoteResponse(&answer, &object, body)
		}
	default:
		// Whatever it is, it passes: sound, files, lists of files. It is read for its
		// counts only.
		if err == nil {
			o.note(&answer, &object)
		}
	}
	return answer, nil
}

func (o *OpenAI) note(answer *Answer, object *llm.Object) {
	answer.Model, _ = object.Text(answerModel)
	if object.Kind(answerUsage) == '{' {
		answer.Usage, _ = openAIReadUsage(object.Value(answerUsage))
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

// openAIChatAnswer reads a whole answer in neutral terms.
func openAIChatAnswer(object *llm.Object, usage llm.Usage) *llm.ChatAnswer {
	a := &llm.ChatAnswer{Usage: usage, Created: openAIInteger(object.Value(answerCreated)), Origin: llm.OpenAI, Choices: []llm.Choice{}}
	a.ID, _ = object.Text(answerID)
	a.Model, _ = object.Text(answerModel)
	llm.Elements(object.Value(answerChoices), func(text []byte) bool {
		var choice llm.Object
		if choice.Read(text, choiceNames) != nil {
			return true
		}
		var c llm.Choice
		c.Message = openAIMessage(choice.Value(choiceMessage))
		if text, ok := choice.Text(choiceText); ok {
			c.Message.Parts = append(c.Message.Parts, llm.Part{Kind: llm.PartText, Text: text})
		}
		if word, ok := choice.Text(choiceFinish); ok {
			c.Finish = llm.FinishReasonOpenAI(word)
		}
		if len(c.Message.Calls) > 0 && (c.Finish == llm.FinishEnd || c.Finish == llm.FinishUnknown) {
			c.Finish = llm.FinishCalls // some servers say stop all the same
		}
		if kind := choice.Kind(choiceLogprobs); kind == '{' {
			c.Logprobs = choice.Value(choiceLogprobs)
		}
		a.Choices = append(a.Choices, c)
		return true
	})
	return a
}

// openAIMessage reads the message of an answer.
func openAIMessage(text []byte) llm.Message {
	m := llm.Message{Role: llm.RoleAssistant}
	var message llm.Object
	if len(text) == 0 || text[0] != '{' || message.Read(text, deltaNames) != nil {
		return m
	}
	add := func(kind llm.PartKind, text string) {
		if text != "" {
			m.Parts = append(m.Parts, llm.Part{Kind: kind, Text: text})
		}
	}
	for _, at := range []int{deltaReasoning, deltaReasoningShort} {
		if thought, ok := message.Text(at); ok && thought != "" {
			add(llm.PartReasoning, thought)
			break
		}
	}
	if content, ok := message.Text(deltaContent); ok {
		add(llm.PartText, content)
	} else if message.Kind(deltaContent) == '[' {
		openAIParts(message.Value(deltaContent), func(thinking bool, quoted []byte) {
			kind := llm.PartText
			if thinking {
				kind = llm.PartReasoning
			}
			add(kind, llm.Unquote(quoted))
		})
	}
	if refusal, ok := message.Text(deltaRefusal); ok {
		add(llm.PartRefusal, refusal)
	}
	call := func(function []byte, id, signature string, whole []byte) {
		c := llm.ToolCall{ID: id, Signature: signature}
		var object llm.Object
		if len(function) == 0 || function[0] != '{' || object.Read(function, nameNames) != nil {
			c.JSON = whole
		}
		c.Name, _ = object.Text(functionName)
		c.Arguments, _ = object.Text(functionArguments)
		if object.Kind(functionArguments) == '{' {
			c.Arguments = string(object.Value(functionArguments)) // servers that take the text for JSON
		}
		if c.ID == "" {
			c.ID = openAICallID()
		}
		m.Calls = append(m.Calls, c)
	}
	if message.Kind(deltaFunction) == '{' {
		call(message.Value(deltaFunction), "", "", message.Value(deltaFunction))
	}
	llm.Elements(message.Value(deltaCalls), func(text []byte) bool {
		var object llm.Object
		if object.Read(text, callNames) == nil {
			id, _ := object.Text(callID)
			call(object.Value(callFunction), id, llm.Unquote(openAISignature(object.Value(callExtra))), text)
		}
		return true
	})
	return m
}

// openAICallID makes the id of a call up that came without one.
func openAICallID() string { return "call_" + rand.Text() }

// openAISignature finds what vouches for a call, as a JSON string; an empty one
// when there is nothing.
func openAISignature(extra []byte) []byte {
	var object llm.Object
	if len(extra) > 0 && extra[0] == '{' && object.Read(extra, openAISignatureNames) == nil && object.Kind(0) == '{' {
		if google := object.Value(0); object.Read(google, openAISignatureNames) == nil && object.Kind(1) == '"' {
			return object.Value(1)
		}
	}
	return []byte(`""`)
}

// openAIParts calls f with the texts of a content that is a list of parts, as
// Mistral's models that think give it.
func openAIParts(list []byte, f func(thinking bool, quoted []byte)) {
	llm.Elements(list, func(text []byte) bool {
		var part llm.Object
		if part.Read(text, openAIPartNames) != nil {
			return true
		}
		if part.Kind(openAIPartText) == '"' {
			f(false, part.Value(openAIPartText))
		}
		llm.Elements(part.Value(openAIPartThinking), func(text []byte) bool {
			var thought llm.Object
			if thought.Read(text, openAIPartNames) == nil && thought.Kind(openAIPartText) == '"' {
				f(true, thought.Value(openAIPartText))
			}
			return true
		})
		return true
	})
}

// openAIEmbeddingAnswer reads an answer of vectors in neutral terms.
func openAIEmbeddingAnswer(object *llm.Object, usage llm.Usage) *llm.EmbeddingAnswer {
	a := &llm.EmbeddingAnswer{Usage: usage}
	a.Model, _ = object.Text(answerModel)
	llm.Elements(object.Value(answerData), func(text []byte) bool {
		var element llm.Object
		if element.Read(text, openAIVectorNames) == nil && element.Has(0) {
			a.Vectors = append(a.Vectors, element.Value(0))
		}
		return true
	})
	return a
}
