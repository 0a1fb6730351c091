package client

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var _ Translator = (*OpenAI)(nil)

// AppendAnswer writes a whole answer to a chat or a completion.
func (o *OpenAI) AppendAnswer(dst []byte, r *llm.Request, a *llm.ChatAnswer) []byte {
	kind, prefix := "chat.completion", "chatcmpl-"
	if o.route == llm.Completions {
		kind, prefix = "text_completion", "cmpl-"
	}
	own := a.Origin == llm.OpenAI
	w := writer{out: appendOpenAIHead(dst, a.ID, prefix, kind, a.Created, cmp.Or(a.Model, r.Model))}
	w.name("choices")
	w.list(len(a.Choices), func(i int) {
		c := &a.Choices[i]
		w.out = append(w.out, `{"index":`...)
		w.out = strconv.AppendInt(w.out, int64(i), 10)
		if o.route == llm.Completions {
			w.completion(&c.Message)
		} else {
			w.name("message")
			w.answer(&c.Message, own)
		}
		w.rawOrNull("logprobs", c.Logprobs)
		finish := c.Finish
		if finish == llm.FinishUnknown && len(c.Message.Calls) > 0 {
			finish = llm.FinishCalls
		}
		w.text("finish_reason", finish.OpenAI(), true)
		w.out = append(w.out, '}')
	})
	if a.Usage.Input != llm.Unknown || a.Usage.Output != llm.Unknown {
		w.name("usage")
		w.out = llm.AppendOpenAIUsage(w.out, &a.Usage)
	}
	if own {
		w.text("service_tier", a.Usage.Tier, a.Usage.Tier != "")
		w.extra(a.Extra)
	}
	if a.Origin == llm.Bedrock {
		// What a guardrail found, which comes only where the caller asked for it. Kong
		// has it under this name too.
		for i := range a.Extra {
			if m := &a.Extra[i]; m.Name == "trace" {
				w.raw(m.Name, m.Value)
			}
		}
	}
	return append(w.out, '}')
}

func (w *writer) rawOrNull(name string, value []byte) {
	if value == nil {
		value = []byte("null")
	}
	w.raw(name, value)
}

// completion writes the text of an answer to a completion.
func (w *writer) completion(m *llm.Message) {
	w.name("text")
	w.joined(m.Parts, "", llm.PartText, llm.PartRefusal)
}

// answer writes the message of an answer: its text is null where nothing but
// calls, or a refusal, was given, and never missing.
func (w *writer) answer(m *llm.Message, own bool) {
	w.out = append(w.out, '{')
	w.text("role", string(llm.RoleAssistant), true)
	switch refused := openAIHolds(m.Parts, llm.PartRefusal); {
	case openAIHolds(m.Parts, llm.PartText), len(m.Calls) == 0 && !refused:
		w.name("content")
		w.joined(m.Parts, "", llm.PartText)
	default:
		w.rawOrNull("content", nil)
	}
	if openAIHolds(m.Parts, llm.PartRefusal) {
		w.name("refusal")
		w.joined(m.Parts, "", llm.PartRefusal)
	} else {
		w.rawOrNull("refusal", nil)
	}
	if openAIHolds(m.Parts, llm.PartReasoning) {
		w.name("reasoning_content")
		w.joined(m.Parts, "", llm.PartReasoning)
	}
	if openAIHolds(m.Parts, llm.PartImage) {
		// The format has no word for images in answers; this one is what clients of
		// the models that draw look for.
		w.name("images")
		w.out = append(w.out, '[')
		for i := range m.Parts {
			if p := &m.Parts[i]; p.Kind == llm.PartImage && (p.URL != "" || len(p.Data) > 0) {
				if w.out[len(w.out)-1] != '[' {
					w.out = append(w.out, ',')
				}
				w.image(p)
			}
		}
		w.out = append(w.out, ']')
	}
	if len(m.Calls) > 0 {
		w.name("tool_calls")
		w.list(len(m.Calls), func(i int) { w.call(&m.Calls[i], own, true) })
	}
	if own {
		w.extra(m.Extra)
	}
	w.out = append(w.out, '}')
}

func openAIHolds(parts []llm.Part, kind llm.PartKind) bool {
	for i := range parts {
		if parts[i].Kind == kind {
			return true
		}
	}
	return false
}

// joined writes the texts of the parts of some kinds as one text.
func (w *writer) joined(parts []llm.Part, between string, kinds ...llm.PartKind) {
	w.out = append(w.out, '"')
	begun := false
	for i := range parts {
		fits := false
		for _, kind := range kinds {
			fits = fits || parts[i].Kind == kind
		}
		if !fits {
			continue
		}
		if begun && between != "" {
			w.splice(between)
		}
		begun = true
		w.splice(parts[i].Text)
	}
	w.out = append(w.out, '"')
}

// splice appends a text to a string that has begun.
func (w *writer) splice(text string) {
	at := len(w.out)
	w.out = llm.AppendQuoted(w.out, text)
	// The quotes of the piece go: one at its start, one at its end.
	w.out = append(w.out[:at], w.out[at+1:len(w.out)-1]...)
}

// AppendEmbedding writes the answer to a call for vectors.
func (o *OpenAI) AppendEmbedding(dst []byte, r *llm.Request, a *llm.EmbeddingAnswer) []byte {
	encoded := false
	llm.Members(r.Body, func(name string, value []byte) bool {
		if name == "encoding_format" {
			encoded = string(value) == `"base64"`
		}
		return true
	})
	w := writer{out: append(dst, `{"object":"list","data":`...)}
	w.list(len(a.Vectors), func(i int) {
		w.out = append(w.out, `{"object":"embedding","index":`...)
		w.out = strconv.AppendInt(w.out, int64(i), 10)
		w.name("embedding")
		if encoded {
			w.out = appendOpenAIVector(w.out, a.Vectors[i])
		} else {
			w.out = append(w.out, a.Vectors[i]...)
		}
		w.out = append(w.out, '}')
	})
	w.text("model", cmp.Or(a.Model, r.Model), true)
	w.out = append(w.out, `,"usage":{"prompt_tokens":`...)
	w.out = strconv.AppendInt(w.out, a.Usage.Prompt(), 10)
	w.out = append(w.out, `,"total_tokens":`...)
	w.out = strconv.AppendInt(w.out, a.Usage.Total(), 10)
	return append(w.out, "}}"...)
}

// appendOpenAIVector appends a vector as the base64 of its 32 bit floats, little endian,
// which is what several SDKs ask for and what some of them insist on. A vector
// that is no array of numbers stays as it is.
func appendOpenAIVector(dst, vector []byte) []byte {
	var raw []byte
	ok := len(vector) > 0 && vector[0] == '['
	llm.Elements(vector, func(element []byte) bool {
		// A number that is too large for the type becomes an infinity, as for whoever
		// reads the array.
		f, err := strconv.ParseFloat(string(element), 32)
		ok = ok && (err == nil || math.IsInf(f, 0))
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(f)))
		return ok
	})
	if !ok {
		return append(dst, vector...)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, raw)
	return append(dst, '"')
}

// AppendError appends the body of an error. One that the gateway makes itself,
// which has no type, is in Kong's shape.
func (o *OpenAI) AppendError(dst []byte, f *llm.Failure) []byte {
	if f.Type == "" && f.Code == "" {
		return AppendError(dst, f.Message)
	}
	return appendOpenAIFailure(dst, f)
}
