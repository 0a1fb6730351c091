package provider

import (
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var (
	geminiAnswerNames = llm.NewLenientNames("candidates", "usageMetadata", "modelVersion", "responseId",
		"promptFeedback", "error", "embeddings", "predictions", "embedding")
	geminiFeedbackNames  = llm.NewLenientNames("blockReason")
	geminiCandidateNames = llm.NewLenientNames("content", "finishReason", "index")
	geminiContentNames   = llm.NewLenientNames("parts")
	geminiAnswerPart     = llm.NewLenientNames("text", "thought", "thoughtSignature", "functionCall", "inlineData")
	geminiCallNames      = llm.NewLenientNames("name", "args", "id")
	geminiBlobNames      = llm.NewLenientNames("mimeType", "data")
)

// The places of the names above.
const (
	geminiCandidates = iota
	geminiUsageMetadata
	geminiModelVersion
	geminiResponseID
	geminiPromptFeedback
	geminiError
	geminiEmbeddings
	geminiPredictions
	geminiEmbedding
)

const (
	geminiContent = iota
	geminiFinishReason
	geminiIndex
)

const (
	geminiText = iota
	geminiThought
	geminiSignature
	geminiFunctionCall
	geminiInlineData
)

const (
	geminiCallName = iota
	geminiCallArgs
	geminiCallOwnID
)

// geminiParts calls f for each part of a candidate that was read. part is where
// each is read into, so that the readers of streams need no new memory for it.
func geminiParts(candidate, part *llm.Object, f func(part *llm.Object)) {
	var content llm.Object
	if candidate.Kind(geminiContent) != '{' || content.Read(candidate.Value(geminiContent), geminiContentNames) != nil {
		return
	}
	llm.Elements(content.Value(0), func(text []byte) bool {
		if part.Read(text, geminiAnswerPart) == nil {
			f(part)
		}
		return true
	})
}

// geminiChat reads a whole answer. A candidate with nothing in it, such as one
// that Google's filters stopped, is left out, as by Kong.
func geminiChat(call *Call, object *llm.Object) (*llm.ChatAnswer, error) {
	answer := &llm.ChatAnswer{Origin: llm.Gemini, Model: call.Model}
	answer.ID, _ = object.Text(geminiResponseID)
	var u geminiUsage
	if object.Kind(geminiUsageMetadata) == '{' {
		u.read(object.Value(geminiUsageMetadata))
	}
	answer.Usage = u.usage()
	candidates := 0
	llm.Elements(object.Value(geminiCandidates), func(text []byte) bool {
		choice := geminiReader{id: answer.ID, at: candidates}
		candidates++
		var candidate, part llm.Object
		if candidate.Read(text, geminiCandidateNames) != nil {
			return true
		}
		if geminiParts(&candidate, &part, choice.take); !choice.found {
			return true
		}
		choice.message.Role = llm.RoleAssistant
		answer.Choices = append(answer.Choices, llm.Choice{
			Message: choice.message,
			Finish:  geminiFinish(&candidate, len(choice.message.Calls) > 0),
		})
		return true
	})
	if candidates > 0 {
		return answer, nil
	}
	if geminiBlocked(object) {
		answer.Choices = []llm.Choice{{Message: llm.Message{Role: llm.RoleAssistant}, Finish: llm.FinishFiltered}}
		return answer, nil
	}
	return nil, &AnswerError{Reason: "no generation candidates received from Gemini, or max_tokens too short"}
}

// geminiReader gathers the parts of one candidate of a whole answer.
type geminiReader struct {
	id      string
	at      int
	found   bool // there is a part of a kind that is known
	message llm.Message
}

func (c *geminiReader) take(part *llm.Object) {
	m := &c.message
	signature, _ := part.Text(geminiSignature)
	switch {
	case part.Kind(geminiFunctionCall) == '{':
		var function llm.Object
		if function.Read(part.Value(geminiFunctionCall), geminiCallNames) != nil {
			return
		}
		c.vouch(signature, len(m.Calls) == 0)
		call := llm.ToolCall{Arguments: "{}", Signature: signature}
		call.Name, _ = function.Text(geminiCallName)
		if function.Kind(geminiCallArgs) == '{' {
			call.Arguments = string(geminiCompact(nil, function.Value(geminiCallArgs)))
		}
		if call.ID, _ = function.Text(geminiCallOwnID); call.ID == "" {
			call.ID = string(geminiAppendCallID(nil, c.id, c.at, len(m.Calls)))
		}
		m.Calls = append(m.Calls, call)
	case part.Kind(geminiText) == '"' && part.Kind(geminiThought) == 't':
		text, _ := part.Text(geminiText)
		p := llm.Part{Kind: llm.PartReasoning, Text: text}
		if signature != "" {
			p.Signature = geminiSigned + signature
		}
		m.Parts = append(m.Parts, p)
	case part.Kind(geminiText) == '"':
		c.vouch(signature, true)
		text, _ := part.Text(geminiText)
		m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: text})
	case part.Kind(geminiInlineData) == '{':
		var blob llm.Object
		if blob.Read(part.Value(geminiInlineData), geminiBlobNames) != nil || blob.Kind(1) != '"' {
			return
		}
		p := llm.Part{Kind: llm.PartImage}
		p.MediaType, _ = blob.Text(0)
		if format, ok := strings.CutPrefix(p.MediaType, "audio/"); ok {
			p.Kind, p.Format = llm.PartAudio, format
		}
		data := blob.Value(1)
		p.Data = data[1 : len(data)-1]
		m.Parts = append(m.Parts, p)
	default:
		return
	}
	c.found = true
}

// vouch gives the thought before a part the part's signature, so that callers who
// can only give thoughts back have it.
func (c *geminiReader) vouch(signature string, first bool) {
	if n := len(c.message.Parts); signature != "" && first && n > 0 {
		if last := &c.message.Parts[n-1]; last.Kind == llm.PartReasoning && last.Signature == "" {
			last.Signature = geminiSigned + signature
		}
	}
}

// geminiAppendCallID makes up the id of a call. It names the answer where that
// has an id, so that calls of several turns differ, and stays within the 40
// characters that OpenAI allows.
func geminiAppendCallID(dst []byte, answer string, choice, call int) []byte {
	dst = append(dst, "call_"...)
	if answer != "" {
		for i := range min(len(answer), 24) {
			c := answer[i]
			if c != '-' && (c < '0' || c > '9' && (c|0x20 < 'a' || c|0x20 > 'z')) {
				c = '_'
			}
			dst = append(dst, c)
		}
		dst = append(dst, '_')
	}
	if choice > 0 {
		dst = append(strconv.AppendInt(dst, int64(choice), 10), '_')
	}
	return strconv.AppendInt(dst, int64(call), 10)
}

// geminiFinish is why a candidate ended. Google says STOP also where it wants
// tools used.
func geminiFinish(candidate *llm.Object, calls bool) llm.FinishReason {
	if calls {
		return llm.FinishCalls
	}
	switch word, _ := candidate.Text(geminiFinishReason); word {
	case "", "FINISH_REASON_UNSPECIFIED":
		return llm.FinishUnknown
	case "MAX_TOKENS":
		return llm.FinishLength
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR",
		"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
		return llm.FinishFiltered
	case "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
		"MALFORMED_RESPONSE", "NO_IMAGE", "IMAGE_OTHER", "OTHER":
		return llm.FinishFailed
	}
	return llm.FinishEnd
}

// geminiBlocked says whether Google's filters stopped the prompt.
func geminiBlocked(object *llm.Object) bool {
	var feedback llm.Object
	if object.Kind(geminiPromptFeedback) != '{' || feedback.Read(object.Value(geminiPromptFeedback), geminiFeedbackNames) != nil {
		return false
	}
	reason, _ := feedback.Text(0)
	return reason != "" && reason != "BLOCK_REASON_UNSPECIFIED"
}

// geminiCounts reads what an answer that passes through is counted by.
func geminiCounts(object *llm.Object) (usage llm.Usage, length int) {
	var u geminiUsage
	if object.Kind(geminiUsageMetadata) == '{' {
		u.read(object.Value(geminiUsageMetadata))
	}
	if usage = u.usage(); usage.Output == llm.Reported {
		return usage, 0
	}
	var total llm.TextLength
	var text []byte
	var candidate, part llm.Object
	llm.Elements(object.Value(geminiCandidates), func(one []byte) bool {
		if candidate.Read(one, geminiCandidateNames) != nil {
			return true
		}
		geminiParts(&candidate, &part, func(part *llm.Object) {
			if part.Kind(geminiText) == '"' && part.Kind(geminiThought) != 't' {
				quoted := part.Value(geminiText)
				text = llm.AppendUnquoted(text[:0], quoted[1:len(quoted)-1])
				total.Add(text)
			}
		})
		return true
	})
	return usage, total.Len()
}

// geminiCompact appends valid JSON without the white space between its values,
// which Google's pretty printing is full of.
func geminiCompact(dst, text []byte) []byte {
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			dst = append(dst, text[start:i]...)
			start = i + 1
		}
	}
	return append(dst, text[start:]...)
}
