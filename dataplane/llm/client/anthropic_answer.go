package client

import (
	"cmp"
	"crypto/rand"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// AppendAnswer writes a whole answer. The format has one answer to a call, so of
// several the first is written.
func (a *Anthropic) AppendAnswer(dst []byte, r *llm.Request, answer *llm.ChatAnswer) []byte {
	var choice llm.Choice
	if len(answer.Choices) > 0 {
		choice = answer.Choices[0]
	}
	dst = append(dst, `{"id":`...)
	dst = llm.AppendQuoted(dst, anthropicMessageID(answer.ID))
	dst = append(dst, `,"type":"message","role":"assistant","model":`...)
	dst = llm.AppendQuoted(dst, cmp.Or(answer.Model, r.Model))
	dst = append(dst, `,"content":[`...)
	empty := len(dst)
	next := func() {
		if len(dst) > empty {
			dst = append(dst, ',')
		}
	}
	parts := choice.Message.Parts
	if anthropicAsksThinking(r) {
		for i := range parts {
			switch p := &parts[i]; {
			case p.Kind == llm.PartReasoning && (p.Text != "" || p.Signature != ""):
				next()
				dst = append(dst, `{"type":"thinking","thinking":`...)
				dst = llm.AppendQuoted(dst, p.Text)
				dst = append(dst, `,"signature":`...)
				dst = append(llm.AppendQuoted(dst, p.Signature), '}')
			case p.Kind == llm.PartRedacted && len(p.Data) > 0:
				next()
				dst = append(dst, `{"type":"redacted_thinking","data":`...)
				dst = append(llm.AppendQuoted(dst, p.Data), '}')
			}
		}
	}
	refused, text := false, -2 // the place of the last text
	for i := range parts {
		p := &parts[i]
		if p.Kind != llm.PartText && p.Kind != llm.PartRefusal || p.Text == "" {
			continue
		}
		refused = refused || p.Kind == llm.PartRefusal
		if answer.Origin == llm.Gemini && text == i-1 {
			// Gemini's parts are pieces of one text, cut anywhere, and many callers read
			// no more than the first block.
			end := len(dst) - len(`"}`)
			dst = append(llm.AppendQuoted(dst[:end], p.Text), '}')
			dst = append(dst[:end], dst[end+1:]...) // without the quotation mark that opened it
		} else {
			next()
			dst = append(dst, `{"type":"text","text":`...)
			dst = append(llm.AppendQuoted(dst, p.Text), '}')
		}
		text = i
	}
	calls := 0
	for i := range choice.Message.Calls {
		c := &choice.Message.Calls[i]
		if c.Name == "" {
			continue // no call of a function, which is all that this format knows
		}
		calls++
		next()
		dst = append(dst, `{"type":"tool_use","id":`...)
		dst = llm.AppendQuoted(dst, anthropicCallID(c.ID))
		dst = append(dst, `,"name":`...)
		dst = llm.AppendQuoted(dst, c.Name)
		dst = append(dst, `,"input":`...)
		dst = append(appendAnthropicInput(dst, c.Arguments), '}')
	}
	dst = append(dst, "],"...)
	dst = appendAnthropicReason(dst, anthropicReason(choice.Finish, refused, calls > 0), choice.StopText)
	dst = append(dst, `,"usage":`...)
	dst = appendAnthropicUsage(dst, &answer.Usage)
	return append(dst, '}')
}

// anthropicAsksThinking says whether the caller asked to see thoughts: a caller
// that did not may not know the blocks that they are in.
func anthropicAsksThinking(r *llm.Request) bool {
	var object llm.Object
	if r.Fields.Kind(anthropicThinking) != '{' || object.Read(r.Fields.Value(anthropicThinking), anthropicTypeNames) != nil {
		return false
	}
	kind, ok := object.Text(0)
	return ok && kind != "disabled"
}

// anthropicMessageID makes the id of a message out of a provider's, which stays
// readable in it.
func anthropicMessageID(id string) string {
	const prefix = "msg_"
	switch {
	case id == "":
		return prefix + rand.Text()
	case strings.HasPrefix(id, prefix):
		return id
	}
	return prefix + id
}

// anthropicCallID is the id of a call as the provider gave it, since it comes back
// with the result; a made-up one when there is none.
func anthropicCallID(id string) string {
	if id == "" {
		return "toolu_" + rand.Text()
	}
	return id
}

// appendAnthropicReason appends the two members that say why an answer ended. The
// text that it stopped at is null unless that is why.
func appendAnthropicReason(dst []byte, reason, stopText string) []byte {
	dst = append(dst, `"stop_reason":`...)
	dst = llm.AppendQuoted(dst, reason)
	dst = append(dst, `,"stop_sequence":`...)
	if reason != "stop_sequence" || stopText == "" {
		return append(dst, "null"...)
	}
	return llm.AppendQuoted(dst, stopText)
}

var anthropicNoNames = llm.NewLenientNames()

// appendAnthropicInput appends the arguments of a call, which must be an object.
// No arguments are an empty one; a text that is none, such as one that was cut
// off, is kept inside of one.
func appendAnthropicInput(dst []byte, arguments string) []byte {
	var object llm.Object
	switch text := []byte(strings.TrimSpace(arguments)); {
	case len(text) == 0 || string(text) == "null":
		return append(dst, "{}"...)
	case object.Read(text, anthropicNoNames) == nil:
		return appendAnthropicCompact(dst, text)
	}
	dst = append(dst, `{"arguments":`...)
	return append(llm.AppendQuoted(dst, arguments), '}')
}

// anthropicReason is the stop_reason for the end of an answer, which is never
// null.
func anthropicReason(reason llm.FinishReason, refused, calls bool) string {
	switch {
	case refused:
		return "refusal"
	case calls && (reason == llm.FinishEnd || reason == llm.FinishUnknown):
		return "tool_use"
	}
	switch reason {
	case llm.FinishStop:
		return "stop_sequence"
	case llm.FinishLength:
		return "max_tokens"
	case llm.FinishContext:
		return "model_context_window_exceeded"
	case llm.FinishCalls:
		return "tool_use"
	case llm.FinishFiltered:
		return "refusal"
	case llm.FinishPaused:
		return "pause_turn"
	}
	return "end_turn"
}

// appendAnthropicUsage appends the token counts: input without what was read from
// the cache or written to it, output with the thoughts.
func appendAnthropicUsage(dst []byte, u *llm.Usage) []byte {
	dst = append(dst, `{"input_tokens":`...)
	dst = strconv.AppendInt(dst, u.Fresh.N()+u.AudioIn.N()+u.ImageIn.N(), 10)
	dst = append(dst, `,"cache_creation_input_tokens":`...)
	dst = strconv.AppendInt(dst, u.CacheWrite.N(), 10)
	dst = append(dst, `,"cache_read_input_tokens":`...)
	dst = strconv.AppendInt(dst, u.CacheRead.N(), 10)
	dst = append(dst, `,"output_tokens":`...)
	dst = strconv.AppendInt(dst, u.Completion(), 10)
	return append(dst, '}')
}
