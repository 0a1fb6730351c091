package provider

import (
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// What is read of an answer: that of Converse, and those that models themselves
// give to InvokeModel.
var (
	bedrockAnswerNames = llm.NewLenientNames("output", "stopReason", "usage", "trace", "additionalModelResponseFields",
		"embedding", "embeddings", "inputTextTokenCount", "content", "amazon-bedrock-invocationMetrics",
		"prompt_token_count", "generation_token_count", "generation", "results")
	bedrockOutputNames  = llm.NewLenientNames("message")
	bedrockMessageNames = llm.NewLenientNames("content")
	bedrockUsageNames   = llm.NewLenientNames("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "cacheDetails")
	bedrockClaudeUsage  = llm.NewLenientNames("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens_details", "cache_creation")
	bedrockMetrics      = llm.NewLenientNames("inputTokenCount", "outputTokenCount", "cacheReadInputTokenCount", "cacheWriteInputTokenCount")
	bedrockThoughtNames = llm.NewLenientNames("thinking_tokens")
	bedrockWrittenNames = llm.NewLenientNames("ttl", "inputTokens")
	bedrockClaudeWrites = llm.NewLenientNames("ephemeral_1h_input_tokens")
	bedrockResultNames  = llm.NewLenientNames("outputText", "tokenCount")
)

// The places of the names above.
const (
	bedrockOutput = iota
	bedrockStopReason
	bedrockUsage
	bedrockTrace
	bedrockMore
	bedrockEmbedding
	bedrockEmbeddings
	bedrockTextTokens
	bedrockContent
	bedrockMetric
	bedrockPromptTokens
	bedrockAnswerTokens
	bedrockGeneration
	bedrockResults
)

var errBedrockEmpty = &AnswerError{Reason: "no generation candidates received from Bedrock, or max_tokens too short"}

// bedrockFinish reads a stopReason.
func bedrockFinish(word string) llm.FinishReason {
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
	case "content_filtered", "guardrail_intervened", "refusal":
		return llm.FinishFiltered
	case "pause_turn":
		return llm.FinishPaused
	case "malformed_model_output", "malformed_tool_use":
		return llm.FinishFailed
	}
	return llm.FinishEnd
}

// bedrockChat reads a whole answer of Converse.
func bedrockChat(object *llm.Object) (*llm.ChatAnswer, error) {
	var message llm.Object
	if output := object.Value(bedrockOutput); output == nil || output[0] != '{' ||
		message.Read(output, bedrockOutputNames) != nil || message.Kind(0) != '{' ||
		message.Read(message.Value(0), bedrockMessageNames) != nil || message.Count(0) == 0 {
		return nil, errBedrockEmpty
	}
	answer := &llm.ChatAnswer{Origin: llm.Bedrock, Choices: []llm.Choice{{Message: llm.Message{Role: llm.RoleAssistant}}}}
	choice := &answer.Choices[0]
	formed := false
	llm.Elements(message.Value(0), func(block []byte) bool {
		if bedrockBlock(&choice.Message, block) && !formed {
			formed = true
			// What a model says before it answers in the form is no part of the form.
			parts := choice.Message.Parts
			kept := slices.DeleteFunc(parts[:len(parts)-1], func(p llm.Part) bool { return p.Kind == llm.PartText })
			choice.Message.Parts = append(kept, parts[len(parts)-1])
		}
		return true
	})
	word, _ := object.Text(bedrockStopReason)
	choice.Finish = bedrockFinish(word)
	if formed && len(choice.Message.Calls) == 0 && choice.Finish == llm.FinishCalls {
		choice.Finish = llm.FinishEnd
	}
	answer.Usage, _ = bedrockCounts(object)
	extra := func(at int, name string) {
		if kind := object.Kind(at); kind != 0 && kind != 'n' {
			answer.Extra = append(answer.Extra, llm.Member{Name: name, Value: object.Value(at)})
		}
	}
	extra(bedrockTrace, "trace")
	extra(bedrockMore, "additionalModelResponseFields")
	return answer, nil
}

// bedrockBlock reads one block of an answer. formed says that it is an answer in
// the form that was asked for.
func bedrockBlock(m *llm.Message, block []byte) (formed bool) {
	llm.Members(block, func(kind string, value []byte) bool {
		switch {
		case kind == "text" && value[0] == '"':
			if len(value) > 2 {
				m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: llm.Unquote(value)})
			}
		case kind == "toolUse":
			call := bedrockToolUse(value)
			if formed = call.Name == bedrockAnswerTool; formed {
				m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: call.Arguments})
			} else {
				m.Calls = append(m.Calls, call)
			}
		case kind == "reasoningContent":
			bedrockThought(m, value)
		case kind == "citationsContent":
			// What the answer cites stands around its text.
			llm.Members(value, func(name string, value []byte) bool {
				if name == "content" {
					llm.Elements(value, func(text []byte) bool {
						bedrockBlock(m, text)
						return true
					})
				}
				return true
			})
		}
		return true
	})
	return formed
}

func bedrockToolUse(value []byte) (c llm.ToolCall) {
	c.Arguments = "{}"
	llm.Members(value, func(name string, value []byte) bool {
		switch {
		case name == "toolUseId" && value[0] == '"':
			c.ID = llm.Unquote(value)
		case name == "name" && value[0] == '"':
			c.Name = llm.Unquote(value)
		case name == "input" && value[0] != 'n':
			c.Arguments = string(bedrockCompact(nil, value))
		}
		return true
	})
	return c
}

func bedrockThought(m *llm.Message, value []byte) {
	llm.Members(value, func(name string, value []byte) bool {
		switch {
		case name == "reasoningText":
			part := llm.Part{Kind: llm.PartReasoning}
			llm.Members(value, func(name string, value []byte) bool {
				switch {
				case name == "text" && value[0] == '"':
					part.Text = llm.Unquote(value)
				case name == "signature" && value[0] == '"':
					part.Signature = llm.Unquote(value)
				}
				return true
			})
			m.Parts = append(m.Parts, part)
		case name == "redactedContent" && value[0] == '"':
			m.Parts = append(m.Parts, llm.Part{Kind: llm.PartRedacted, Data: []byte(llm.Unquote(value))})
		}
		return true
	})
}

// bedrockCompact appends JSON without the white space between its parts, which a
// model's words do not have.
func bedrockCompact(dst, text []byte) []byte {
	quoted, escaped := false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped = c == '\\'
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// bedrockTokens reads a member that is a whole number.
func bedrockTokens(o *llm.Object, at int) llm.Tokens {
	n := int64(0)
	digits := o.Value(at)
	for _, c := range digits {
		if c < '0' || c > '9' || n > 1<<50 {
			return llm.Tokens{}
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) == 0 {
		return llm.Tokens{}
	}
	return llm.Count(n)
}

// bedrockCounts reads what an answer used: in Converse's words, or in those of the
// model itself. ok is false when it counts nothing.
func bedrockCounts(object *llm.Object) (u llm.Usage, ok bool) {
	if value := object.Value(bedrockUsage); value != nil && value[0] == '{' {
		ok = bedrockReadUsage(&u, value)
	}
	if value := object.Value(bedrockMetric); value != nil && value[0] == '{' {
		ok = bedrockRead(&u, value, bedrockMetrics) || ok
	}
	// Titan, and Llama.
	input, output := bedrockTokens(object, bedrockTextTokens), bedrockTokens(object, bedrockAnswerTokens)
	if !input.Known() {
		input = bedrockTokens(object, bedrockPromptTokens)
	}
	if !ok && input.Known() {
		u.Input, u.Fresh, ok = llm.Reported, input, true
	}
	if u.Output != llm.Reported {
		llm.Elements(object.Value(bedrockResults), func(element []byte) bool {
			var result llm.Object
			if result.Read(element, bedrockResultNames) == nil {
				if n := bedrockTokens(&result, 1); n.Known() {
					output = llm.Count(output.N() + n.N())
				}
			}
			return true
		})
		if output.Known() {
			u.Output, u.Answer, ok = llm.Reported, output, true
		}
	}
	return u, ok
}

// bedrockReadUsage reads a usage member in Converse's words or in Anthropic's.
// What it does not say stays as it is.
func bedrockReadUsage(u *llm.Usage, value []byte) bool {
	return bedrockRead(u, value, bedrockUsageNames) || bedrockRead(u, value, bedrockClaudeUsage)
}

// bedrockRead reads counts whose names are those of input, output, and what was
// read from and written to the cache, in this order. The input is without both
// caches, and the totals that Bedrock gives are not to be trusted.
func bedrockRead(u *llm.Usage, value []byte, names *llm.Names) bool {
	var o, details llm.Object
	if o.Read(value, names) != nil {
		return false
	}
	input, output := bedrockTokens(&o, 0), bedrockTokens(&o, 1)
	if input.Known() {
		u.Input, u.Fresh = llm.Reported, input
	}
	for at, bucket := range []*llm.Tokens{2: &u.CacheRead, 3: &u.CacheWrite} {
		if bucket == nil {
			continue
		}
		if n := bedrockTokens(&o, at); n.Known() {
			u.Input, *bucket = llm.Reported, n
		}
	}
	if long := bedrockLongWrites(&o, names); long.Known() {
		u.CacheWriteLong = long
	}
	if !output.Known() {
		return input.Known()
	}
	if names == bedrockClaudeUsage && o.Kind(4) == '{' && details.Read(o.Value(4), bedrockThoughtNames) == nil {
		if n := bedrockTokens(&details, 0); n.Known() {
			u.Reasoning = n
		}
	}
	u.Output, u.Answer = llm.Reported, llm.Count(output.N()-u.Reasoning.N())
	return true
}

// bedrockLongWrites counts what was written to the cache for an hour.
func bedrockLongWrites(usage *llm.Object, names *llm.Names) (long llm.Tokens) {
	var o llm.Object
	switch names {
	case bedrockUsageNames:
		llm.Elements(usage.Value(4), func(detail []byte) bool {
			if o.Read(detail, bedrockWrittenNames) == nil {
				if ttl, _ := o.Text(0); ttl == "1h" && bedrockTokens(&o, 1).Known() {
					long = llm.Count(long.N() + bedrockTokens(&o, 1).N())
				}
			}
			return true
		})
	case bedrockClaudeUsage:
		if usage.Kind(5) == '{' && o.Read(usage.Value(5), bedrockClaudeWrites) == nil {
			long = bedrockTokens(&o, 0)
		}
	}
	return long
}

// bedrockTextLength measures the texts of an answer that counts no tokens, for a
// guess.
func bedrockTextLength(object *llm.Object) int {
	var length llm.TextLength
	add := func(value []byte) {
		if len(value) > 1 && value[0] == '"' {
			length.Add([]byte(llm.Unquote(value)))
		}
	}
	if chat, err := bedrockChat(object); err == nil {
		return chat.TextLength()
	}
	add(object.Value(bedrockGeneration))
	texts := func(name string) func([]byte) bool {
		return func(element []byte) bool {
			llm.Members(element, func(member string, value []byte) bool {
				if member == name {
					add(value)
				}
				return true
			})
			return true
		}
	}
	llm.Elements(object.Value(bedrockContent), texts("text"))
	llm.Elements(object.Value(bedrockResults), texts("outputText"))
	return length.Len()
}

// bedrockFailure reads an exception inside a stream.
func bedrockFailure(name, payload []byte) *llm.Failure {
	f := Failure(0, payload)
	f.Type = string(name)
	// The names of exceptions begin small in a stream and large in a header.
	f.Status = bedrockStatuses[strings.ToLower(f.Type)]
	return f
}

var bedrockStatuses = map[string]int{
	"internalserverexception": 500, "modelstreamerrorexception": 424, "throttlingexception": 429,
	"validationexception": 400, "serviceunavailableexception": 503, "modeltimeoutexception": 408,
	"accessdeniedexception": 403, "resourcenotfoundexception": 404, "modelerrorexception": 424,
	"modelnotreadyexception": 429, "servicequotaexceededexception": 400,
}
