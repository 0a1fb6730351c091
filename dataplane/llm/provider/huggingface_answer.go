package provider

import (
	"errors"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var (
	huggingFaceNames      = llm.NewLenientNames("token", "generated_text", "details", "choices", "error", "message", "data", "model")
	huggingFaceTokenNames = llm.NewLenientNames("text", "special")
	huggingFaceDetails    = llm.NewLenientNames("finish_reason", "generated_tokens", "input_length", "prefill")
)

// The places of the names above.
const (
	huggingFaceToken = iota
	huggingFaceText
	huggingFaceDetail
	huggingFaceChoices
	huggingFaceError
	huggingFaceMessage
	huggingFaceData
	huggingFaceName
)

var (
	errHuggingFaceJSON   = &AnswerError{Reason: "Failed to decode response"}
	errHuggingFaceFormat = &AnswerError{Reason: "Invalid response format"}
)

// Response reads a whole answer.
func (h *HuggingFace) Response(call *Call, body []byte) (Answer, error) {
	switch call.Route {
	case llm.Chat, llm.Completions, llm.Embeddings:
	default:
		return h.openAI.Response(call, body)
	}
	answer := Answer{Body: body}
	var object llm.Object
	err := object.ReadWithin(body, huggingFaceNames, call.Limits)
	isList := errors.Is(err, llm.ErrNotObject)
	if err != nil && !isList {
		return answer, errHuggingFaceJSON
	}
	if !isList && (huggingFaceSays(&object, huggingFaceError) || huggingFaceSays(&object, huggingFaceMessage)) {
		return answer, &AnswerError{Reason: "API error: " + Failure(0, body).Message}
	}
	if call.Route == llm.Embeddings {
		return h.vectors(call, body, &object, isList)
	}
	if object.Kind(huggingFaceChoices) == '[' {
		// Read as for a caller of another format: the answer to a call for a
		// completion may be a chat's, and is told in the caller's own terms.
		foreign := *call
		foreign.Format = llm.HuggingFace
		return h.openAI.Response(&foreign, body)
	}
	chat := &llm.ChatAnswer{Origin: llm.HuggingFace}
	chat.Model, _ = object.Text(huggingFaceName)
	take := func(object *llm.Object) bool {
		text, ok := object.Text(huggingFaceText)
		if !ok {
			return false
		}
		finish, usage := huggingFaceEnd(object)
		chat.Choices = append(chat.Choices, nativeChat(text, finish))
		chat.Usage = usage
		return true
	}
	if isList {
		llm.Elements(body, func(element []byte) bool {
			var item llm.Object
			return item.Read(element, huggingFaceNames) == nil && take(&item)
		})
	} else {
		take(&object)
	}
	if len(chat.Choices) == 0 {
		return answer, errHuggingFaceFormat
	}
	answer = nativeAnswer(body, chat)
	if call.Format == llm.HuggingFace {
		answer.Chat = nil // the caller gets the body as it is
	}
	return answer, nil
}

func huggingFaceSays(object *llm.Object, at int) bool {
	kind := object.Kind(at)
	return kind != 0 && kind != 'n'
}

// vectors reads the vectors of texts: a list of them, or the one of a single text.
func (h *HuggingFace) vectors(call *Call, body []byte, object *llm.Object, isList bool) (Answer, error) {
	if !isList && object.Kind(huggingFaceData) == '[' {
		foreign := *call
		foreign.Format = llm.HuggingFace
		return h.openAI.Response(&foreign, body)
	}
	flat, deep := true, false
	var vectors [][]byte
	llm.Elements(body, func(element []byte) bool {
		if element[0] == '[' {
			flat = false
			llm.Elements(element, func(inner []byte) bool {
				// A vector for each token of a text is no vector of the text.
				deep = inner[0] != '-' && (inner[0] < '0' || inner[0] > '9')
				return false
			})
			vectors = append(vectors, element)
		} else if element[0] != '-' && (element[0] < '0' || element[0] > '9') {
			deep = true
		}
		return !deep
	})
	if flat && !deep && isList && len(vectors) == 0 {
		llm.Elements(body, func([]byte) bool {
			vectors = [][]byte{body}
			return false
		})
	}
	if deep || len(vectors) == 0 {
		return Answer{Body: body}, errHuggingFaceFormat
	}
	answer := nativeEmbedding(body, vectors, "", llm.Tokens{})
	if call.Format == llm.HuggingFace {
		answer.Embedding = nil
	}
	return answer, nil
}

// huggingFaceEnd is why a text ended, and what it took, as far as its details say.
func huggingFaceEnd(object *llm.Object) (llm.FinishReason, llm.Usage) {
	var details llm.Object
	if object.Kind(huggingFaceDetail) != '{' || details.Read(object.Value(huggingFaceDetail), huggingFaceDetails) != nil {
		return llm.FinishEnd, llm.Usage{}
	}
	finish := llm.FinishEnd
	switch word, _ := details.Text(0); word {
	case "length":
		finish = llm.FinishLength
	case "stop_sequence":
		finish = llm.FinishStop
	}
	prompt := nativeTokens(&details, 2)
	if n := details.Count(3); !prompt.Known() && n > 0 {
		prompt = llm.Count(int64(n)) // one for each token that was read
	}
	return finish, nativeUsage(prompt, nativeTokens(&details, 1))
}

// Stream starts the reading of a streamed answer.
func (h *HuggingFace) Stream(call *Call) StreamReader {
	switch call.Route {
	case llm.Chat, llm.Completions:
		return &huggingFaceReader{openAI: h.openAI.Stream(call)}
	}
	return h.openAI.Stream(call)
}

// huggingFaceReader reads one streamed answer: OpenAI's chunks, or the tokens of
// the servers' own format.
type huggingFaceReader struct {
	openAI   StreamReader
	frame    nativeFrame
	begun    bool
	spoken   bool // tokens came
	finished bool
}

// Read says what one event means.
func (s *huggingFaceReader) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	f := &s.frame
	f.reset(llm.HuggingFace, event)
	if string(event.Data) == "[DONE]" {
		return s.openAI.Read(event)
	}
	var object, token llm.Object
	if object.Read(event.Data, huggingFaceNames) != nil {
		return nil, false
	}
	if !huggingFaceSays(&object, huggingFaceToken) && !huggingFaceSays(&object, huggingFaceText) {
		if huggingFaceSays(&object, huggingFaceError) || object.Kind(huggingFaceMessage) == '"' {
			f.failure(event.Data)
			return &f.Frame, true
		}
		return s.openAI.Read(event)
	}
	if s.finished {
		return &f.Frame, true
	}
	if !s.begun {
		s.begun = true
		model, _ := object.Text(huggingFaceName)
		f.add(llm.Event{Kind: llm.EventStart, Model: model})
	}
	if object.Kind(huggingFaceToken) == '{' && token.Read(object.Value(huggingFaceToken), huggingFaceTokenNames) == nil {
		s.spoken = true
		if token.Kind(1) != 't' { // marks such as the end of the text are not part of it
			f.piece(llm.EventText, token.Value(0))
		}
	}
	if huggingFaceSays(&object, huggingFaceText) || huggingFaceSays(&object, huggingFaceDetail) {
		s.finished = true
		if !s.spoken {
			f.piece(llm.EventText, object.Value(huggingFaceText))
		}
		finish, usage := huggingFaceEnd(&object)
		f.add(llm.Event{Kind: llm.EventFinish, Finish: finish})
		if usage.Input == llm.Reported || usage.Output == llm.Reported {
			f.HoldsUsage = true
			f.add(llm.Event{Kind: llm.EventUsage, Usage: usage})
		}
	}
	return &f.Frame, true
}
