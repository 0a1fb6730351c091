package provider

import (
	"errors"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var (
	anthropicAnswerNames = llm.NewLenientNames("id", "model", "content", "stop_reason", "stop_sequence", "usage", "completion")
	anthropicBlockNames  = llm.NewLenientNames("type", "text", "thinking", "signature", "data", "id", "name", "input")
)

const (
	anthropicAnswerID = iota
	anthropicAnswerModel
	anthropicAnswerContent
	anthropicAnswerReason
	anthropicAnswerSequence
	anthropicAnswerUsage
	anthropicAnswerCompletion
)

const (
	anthropicBlockType = iota
	anthropicBlockText
	anthropicBlockThinking
	anthropicBlockSignature
	anthropicBlockData
	anthropicBlockID
	anthropicBlockName
	anthropicBlockInput
)

// Response reads a whole answer.
func (a *Anthropic) Response(call *Call, body []byte) (Answer, error) {
	answer := Answer{Body: body}
	var object llm.Object
	err := object.ReadWithin(body, anthropicAnswerNames, call.Limits)
	if a.passes(call) || call.Operation == anthropicCount {
		// Whatever it is, it passes; a message in it is read for its counts.
		if err == nil {
			anthropicNote(&answer, &object)
		}
		return answer, nil
	}
	if err != nil && !errors.Is(err, llm.ErrNotObject) {
		return answer, &AnswerError{Reason: "failed to decode anthropic response"}
	}
	if call.Route == llm.Completions {
		if object.Kind(anthropicAnswerCompletion) != '"' {
			// Kong names the route of chats here too.
			return answer, &AnswerError{Reason: "'completion' not in anthropic://llm/v1/chat response"}
		}
	} else if object.Kind(anthropicAnswerContent) != '[' {
		return answer, &AnswerError{Reason: "'content' not in anthropic://llm/v1/chat response"}
	}
	anthropicNote(&answer, &object)
	if call.Format != llm.Anthropic || call.Route == llm.Completions {
		answer.Chat = anthropicChat(&answer, &object)
	}
	return answer, nil
}

// anthropicNote reads what is counted and logged of an answer.
func anthropicNote(answer *Answer, object *llm.Object) {
	answer.Model, _ = object.Text(anthropicAnswerModel)
	if object.Kind(anthropicAnswerUsage) == '{' {
		var counts anthropicCounts
		counts.read(object.Value(anthropicAnswerUsage), true)
		answer.Usage = counts.usage()
	}
	if answer.Usage.Output == llm.Reported {
		return
	}
	var length llm.TextLength
	add := func(quoted []byte) {
		if len(quoted) > 2 && quoted[0] == '"' {
			length.Add(llm.AppendUnquoted(nil, quoted[1:len(quoted)-1]))
		}
	}
	add(object.Value(anthropicAnswerCompletion))
	llm.Elements(object.Value(anthropicAnswerContent), func(text []byte) bool {
		var block llm.Object
		if block.Read(text, anthropicBlockNames) == nil {
			if kind, _ := block.Text(anthropicBlockType); kind == "text" {
				add(block.Value(anthropicBlockText))
			}
		}
		return true
	})
	answer.TextLength = length.Len()
}

// anthropicChat reads an answer in neutral terms.
func anthropicChat(answer *Answer, object *llm.Object) *llm.ChatAnswer {
	chat := &llm.ChatAnswer{Model: answer.Model, Usage: answer.Usage, Origin: llm.Anthropic}
	chat.ID, _ = object.Text(anthropicAnswerID)
	choice := llm.Choice{Message: llm.Message{Role: llm.RoleAssistant}}
	reason, _ := object.Text(anthropicAnswerReason)
	choice.Finish = anthropicReason(reason)
	choice.StopText, _ = object.Text(anthropicAnswerSequence)
	m := &choice.Message
	if text, ok := object.Text(anthropicAnswerCompletion); ok {
		m.Plain = true
		m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: text})
	}
	llm.Elements(object.Value(anthropicAnswerContent), func(text []byte) bool {
		anthropicBlock(m, text)
		return true
	})
	chat.Choices = append(chat.Choices, choice)
	return chat
}

// anthropicBlock adds a block of an answer to a message. What the vendor did by
// itself, such as a search, stays as it came.
func anthropicBlock(m *llm.Message, text []byte) {
	var block llm.Object
	if block.Read(text, anthropicBlockNames) != nil {
		return
	}
	kind, _ := block.Text(anthropicBlockType)
	switch kind {
	case "text":
		p := llm.Part{Kind: llm.PartText}
		p.Text, _ = block.Text(anthropicBlockText)
		m.Parts = append(m.Parts, p)
	case "thinking":
		p := llm.Part{Kind: llm.PartReasoning}
		p.Text, _ = block.Text(anthropicBlockThinking)
		p.Signature, _ = block.Text(anthropicBlockSignature)
		m.Parts = append(m.Parts, p)
	case "redacted_thinking":
		data, _ := block.Text(anthropicBlockData)
		m.Parts = append(m.Parts, llm.Part{Kind: llm.PartRedacted, Data: []byte(data)})
	case "tool_use":
		var c llm.ToolCall
		c.ID, _ = block.Text(anthropicBlockID)
		c.Name, _ = block.Text(anthropicBlockName)
		c.Arguments = "{}"
		if block.Kind(anthropicBlockInput) == '{' {
			c.Arguments = string(appendAnthropicCompact(nil, block.Value(anthropicBlockInput)))
		}
		m.Calls = append(m.Calls, c)
	default:
		m.Parts = append(m.Parts, llm.Part{Kind: llm.PartOther, JSON: text})
	}
}

// appendAnthropicCompact appends a valid JSON text without the white space between
// its tokens; numbers and texts keep their spelling.
func appendAnthropicCompact(dst, text []byte) []byte {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			dst = append(dst, c, text[i+1])
			i++
			continue
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		dst = append(dst, text[i])
	}
	return dst
}

// anthropicReason reads a stop_reason.
func anthropicReason(word string) llm.FinishReason {
	switch word {
	case "":
		return llm.FinishUnknown
	case "stop_sequence":
		return llm.FinishStop
	case "max_tokens":
		return llm.FinishLength
	case "model_context_window_exceeded":
		return llm.FinishContext
	case "tool_use":
		return llm.FinishCalls
	case "refusal":
		return llm.FinishFiltered
	case "pause_turn":
		return llm.FinishPaused
	}
	return llm.FinishEnd
}

var (
	anthropicUsageNames = llm.NewLenientNames("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens",
		"output_tokens", "output_tokens_details", "service_tier", "iterations", "cache_creation")
	anthropicDetailNames = llm.NewLenientNames("thinking_tokens")
	anthropicCacheNames  = llm.NewLenientNames("ephemeral_1h_input_tokens")
)

const (
	anthropicUsageInput = iota
	anthropicUsageWrite
	anthropicUsageRead
	anthropicUsageOutput
	anthropicUsageDetails
	anthropicUsageTier
	anthropicUsageIterations
	anthropicUsageLifetimes
)

// anthropicCounts are the token counts of one answer, which come in pieces: a
// later one replaces an earlier one, and what a piece leaves out stays.
type anthropicCounts struct {
	input, write, long, cached, output, thinking anthropicTokens
	tier                                         string
}

// read takes a member usage. final is false for the counts at a stream's begin,
// whose output is not counted yet whatever it says.
func (c *anthropicCounts) read(text []byte, final bool) {
	var usage, details llm.Object
	if usage.Read(text, anthropicUsageNames) != nil {
		return
	}
	c.input.replace(&usage, anthropicUsageInput)
	c.write.replace(&usage, anthropicUsageWrite)
	c.long.replace(anthropicLong(&usage), 0)
	c.cached.replace(&usage, anthropicUsageRead)
	if tier, ok := usage.Text(anthropicUsageTier); ok {
		c.tier = tier
	}
	if !final {
		return
	}
	c.output.replace(&usage, anthropicUsageOutput)
	if usage.Kind(anthropicUsageDetails) == '{' && details.Read(usage.Value(anthropicUsageDetails), anthropicDetailNames) == nil {
		c.thinking.replace(&details, 0)
	}
	if usage.Count(anthropicUsageIterations) == 0 {
		return
	}
	// A call whose context was compacted on the way is several, and the numbers
	// above are the last one's only.
	var all anthropicCounts
	llm.Elements(usage.Value(anthropicUsageIterations), func(iteration []byte) bool {
		var one llm.Object
		if one.Read(iteration, anthropicUsageNames) == nil {
			all.input.add(&one, anthropicUsageInput)
			all.write.add(&one, anthropicUsageWrite)
			all.long.add(anthropicLong(&one), 0)
			all.cached.add(&one, anthropicUsageRead)
			all.output.add(&one, anthropicUsageOutput)
		}
		return true
	})
	if all.input.Known() && all.output.Known() {
		c.input, c.write, c.long, c.cached, c.output = all.input, all.write, all.long, all.cached, all.output
	}
}

// anthropicLong finds how much is to stay in the cache for an hour.
func anthropicLong(usage *llm.Object) *llm.Object {
	var lifetimes llm.Object
	if usage.Kind(anthropicUsageLifetimes) == '{' && lifetimes.Read(usage.Value(anthropicUsageLifetimes), anthropicCacheNames) != nil {
		return &llm.Object{}
	}
	return &lifetimes
}

// usage is what is known of the counts, in disjoint buckets.
func (c *anthropicCounts) usage() llm.Usage {
	u := llm.Usage{Tier: c.tier}
	if c.input.Known() {
		u.Input = llm.Reported
		u.Fresh, u.CacheRead, u.CacheWrite, u.CacheWriteLong = c.input.Tokens, c.cached.Tokens, c.write.Tokens, c.long.Tokens
	}
	if c.output.Known() {
		u.Output = llm.Reported
		u.Reasoning = c.thinking.Tokens
		u.Answer = llm.Count(c.output.N() - c.thinking.N())
	}
	return u
}

// anthropicTokens is one count.
type anthropicTokens struct{ llm.Tokens }

// replace takes a member that is a whole number, and leaves the count when there
// is none.
func (t *anthropicTokens) replace(o *llm.Object, at int) {
	value := o.Value(at)
	if len(value) == 0 || len(value) > 15 {
		return
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return
		}
		n = n*10 + int64(c-'0')
	}
	t.Tokens = llm.Count(n)
}

// add counts a member in.
func (t *anthropicTokens) add(o *llm.Object, at int) {
	var more anthropicTokens
	if more.replace(o, at); more.Known() {
		t.Tokens = llm.Count(t.N() + more.N())
	}
}
