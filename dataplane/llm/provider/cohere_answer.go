package provider

import (
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var (
	cohereNames = llm.NewLenientNames("id", "generation_id", "text", "generations", "message", "finish_reason", "usage",
		"meta", "token_count", "prompt", "embeddings", "tool_calls", "logprobs", "results")
	cohereMessageNames  = llm.NewLenientNames("content", "tool_plan", "tool_calls")
	coherePartNames     = llm.NewLenientNames("type", "text", "thinking")
	cohereCallNames     = llm.NewLenientNames("id", "function", "name", "parameters")
	cohereFunctionNames = llm.NewLenientNames("name", "arguments")
	cohereUsageNames    = llm.NewLenientNames("billed_units", "tokens", "cached_tokens")
	cohereCountNames    = llm.NewLenientNames("input_tokens", "output_tokens")
	cohereTokenNames    = llm.NewLenientNames("prompt_tokens", "response_tokens")
	cohereTextNames     = llm.NewLenientNames("text", "finish_reason")
	cohereFloatNames    = llm.NewLenientNames("float")
)

// The places of the names above.
const (
	cohereID = iota
	cohereGeneration
	cohereText
	cohereGenerations
	cohereMessage
	cohereFinish
	cohereUsage
	cohereMeta
	cohereTokenCount
	coherePrompt
	cohereEmbeddings
	cohereCalls
	cohereLogprobs
	cohereResults
)

const (
	cohereContent = iota
	coherePlan
	cohereMessageCalls
)

const (
	coherePartType = iota
	coherePartText
	coherePartThinking
)

const (
	cohereCallID = iota
	cohereCallFunction
	cohereCallName
	cohereCallParameters
)

var errCohereAnswer = &AnswerError{Reason: "failed to decode cohere response"}

// Response reads a whole answer.
func (c *cohere) Response(call *Call, body []byte) (Answer, error) {
	if call.Route == llm.Preserve && call.Format != llm.Cohere {
		return c.nativePassing.Response(call, body)
	}
	var object llm.Object
	if object.ReadWithin(body, cohereNames, call.Limits) != nil {
		if call.Route == llm.Preserve {
			return Answer{Body: body}, nil
		}
		return Answer{Body: body}, errCohereAnswer
	}
	if call.Format == llm.Cohere {
		answer := Answer{Body: body, Usage: cohereReadUsage(&object, false)}
		if chat := cohereReadAnswer(call, &object); chat != nil {
			answer.TextLength = chat.TextLength()
		}
		return answer, nil
	}
	if call.Route == llm.Embeddings {
		list := object.Value(cohereEmbeddings)
		var kinds llm.Object
		if object.Kind(cohereEmbeddings) == '{' && kinds.Read(list, cohereFloatNames) == nil {
			list = kinds.Value(0)
		}
		vectors, ok := nativeVectors(list)
		if !ok {
			return Answer{Body: body}, errCohereAnswer
		}
		usage := cohereReadUsage(&object, false)
		return nativeEmbedding(body, vectors, "", usage.Fresh), nil
	}
	chat := cohereReadAnswer(call, &object)
	if chat == nil {
		return Answer{Body: body}, &AnswerError{Reason: "'text' or 'generations' missing from cohere response body"}
	}
	return nativeAnswer(body, chat), nil
}

// cohereReadAnswer reads an answer to a chat or a completion, of either version;
// nil when it is neither.
func cohereReadAnswer(call *Call, object *llm.Object) *llm.ChatAnswer {
	chat := &llm.ChatAnswer{Origin: llm.Cohere}
	chat.ID, _ = object.Text(cohereID)
	word, _ := object.Text(cohereFinish)
	switch {
	case object.Kind(cohereGenerations) == '[':
		llm.Elements(object.Value(cohereGenerations), func(element []byte) bool {
			var generation llm.Object
			if generation.Read(element, cohereTextNames) == nil {
				text, _ := generation.Text(0)
				word, _ := generation.Text(1)
				chat.Choices = append(chat.Choices, nativeChat(text, cohereReason(word, false)))
			}
			return true
		})
	case object.Kind(cohereText) == '"':
		text, _ := object.Text(cohereText)
		chat.ID, _ = object.Text(cohereGeneration)
		choice := nativeChat(text, llm.FinishUnknown)
		cohereEachCall(object.Value(cohereCalls), func(id, name string, arguments []byte) {
			choice.Message.Calls = append(choice.Message.Calls, llm.ToolCall{ID: id, Name: name, Arguments: ollamaArguments(arguments)})
		})
		choice.Finish = cohereReason(word, len(choice.Message.Calls) > 0)
		chat.Choices = []llm.Choice{choice}
	case object.Kind(cohereMessage) == '{':
		choice := cohereReadMessage(object.Value(cohereMessage))
		choice.Finish = cohereReason(word, len(choice.Message.Calls) > 0)
		chat.Choices = []llm.Choice{choice}
	default:
		return nil
	}
	chat.Usage = cohereReadUsage(object, call.Route == llm.Completions && object.Kind(cohereText) == '"')
	return chat
}

// cohereReadMessage reads the message of the second version. A plan of calls is
// what Kong gives as the content.
func cohereReadMessage(text []byte) (choice llm.Choice) {
	m := &choice.Message
	m.Role = llm.RoleAssistant
	var message llm.Object
	if message.Read(text, cohereMessageNames) != nil {
		return choice
	}
	plan, planned := message.Text(coherePlan)
	if planned && plan != "" {
		m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: plan})
	}
	if content, ok := message.Text(cohereContent); ok {
		m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: content})
	}
	llm.Elements(message.Value(cohereContent), func(element []byte) bool {
		var part llm.Object
		if part.Read(element, coherePartNames) != nil {
			return true
		}
		if text, ok := part.Text(coherePartThinking); ok {
			m.Parts = append(m.Parts, llm.Part{Kind: llm.PartReasoning, Text: text})
		} else if text, ok := part.Text(coherePartText); ok {
			m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: text})
		}
		return true
	})
	cohereEachCall(message.Value(cohereMessageCalls), func(id, name string, arguments []byte) {
		m.Calls = append(m.Calls, llm.ToolCall{ID: id, Name: name, Arguments: ollamaArguments(arguments)})
	})
	m.Plain = len(m.Parts) == 1 && m.Parts[0].Kind == llm.PartText
	return choice
}

// cohereEachCall reads calls: of the second version, with a function as OpenAI
// has it, and of the first, with parameters that are an object.
func cohereEachCall(calls []byte, f func(id, name string, arguments []byte)) {
	each := func(text []byte) bool {
		var call, function llm.Object
		if call.Read(text, cohereCallNames) != nil {
			return true
		}
		id, _ := call.Text(cohereCallID)
		if id == "" {
			id = nativeCallID()
		}
		if call.Kind(cohereCallFunction) == '{' && function.Read(call.Value(cohereCallFunction), cohereFunctionNames) == nil {
			name, _ := function.Text(0)
			f(id, name, function.Value(1))
		} else if name, ok := call.Text(cohereCallName); ok {
			f(id, name, call.Value(cohereCallParameters))
		}
		return true
	}
	if len(calls) > 0 && calls[0] == '{' {
		each(calls)
		return
	}
	llm.Elements(calls, each)
}

// cohereReason reads a finish_reason of either version.
func cohereReason(word string, calls bool) llm.FinishReason {
	switch strings.ToUpper(word) {
	case "MAX_TOKENS":
		return llm.FinishLength
	case "STOP_SEQUENCE":
		return llm.FinishStop
	case "TOOL_CALL":
		return llm.FinishCalls
	case "ERROR_LIMIT":
		return llm.FinishContext
	case "ERROR", "TIMEOUT", "USER_CANCEL":
		return llm.FinishFailed
	case "ERROR_TOXIC":
		return llm.FinishFiltered
	}
	if calls {
		return llm.FinishCalls
	}
	return llm.FinishEnd
}

// cohereReadUsage reads the counts of an answer of either version: those that are
// billed, since others hold the vendor's own template. counted prefers the count
// of all tokens, where the first version has one: Kong's choice for a chat's
// answer to a completion.
func cohereReadUsage(object *llm.Object, counted bool) llm.Usage {
	var counts llm.Object
	if object.Kind(cohereTokenCount) == '{' && counts.Read(object.Value(cohereTokenCount), cohereTokenNames) == nil && counted {
		return nativeUsage(nativeTokens(&counts, 0), nativeTokens(&counts, 1))
	}
	for _, at := range []int{cohereUsage, cohereMeta} {
		if u, ok := cohereBilled(object.Value(at)); ok {
			return u
		}
	}
	if object.Kind(cohereTokenCount) == '{' {
		return nativeUsage(nativeTokens(&counts, 0), nativeTokens(&counts, 1))
	}
	return llm.Usage{}
}

func cohereBilled(text []byte) (llm.Usage, bool) {
	var usage, counts llm.Object
	if len(text) == 0 || text[0] != '{' || usage.Read(text, cohereUsageNames) != nil {
		return llm.Usage{}, false
	}
	for _, at := range []int{0, 1} {
		if usage.Kind(at) != '{' || counts.Read(usage.Value(at), cohereCountNames) != nil {
			continue
		}
		u := nativeUsage(nativeTokens(&counts, 0), nativeTokens(&counts, 1))
		if u.Input != llm.Reported && u.Output != llm.Reported {
			continue
		}
		if cached := nativeTokens(&usage, 2); cached.Known() && u.Input == llm.Reported {
			// What is billed as input is not what the cache had.
			u.CacheRead = cached
		}
		return u, true
	}
	return llm.Usage{}, false
}
