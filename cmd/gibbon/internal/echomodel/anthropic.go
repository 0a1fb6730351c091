package echomodel

import (
	"encoding/json"
	"net/http"
	"strings"
)

// anthropicRequest is a call of Anthropic's Messages API.
type anthropicRequest struct {
	Model     string          `json:"model"`
	MaxTokens *int            `json:"max_tokens"`
	System    json.RawMessage `json:"system"`
	Messages  []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Stops       []string `json:"stop_sequences"`
	Stream      bool     `json:"stream"`
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
	Tools       []struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		InputSchema json.RawMessage `json:"input_schema"`
	} `json:"tools"`
	ToolChoice struct {
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"tool_choice"`
	Thinking struct {
		Type string `json:"type"`
	} `json:"thinking"`
}

// thought is what the model thinks when it is asked to, always the same; only a
// signature made of it is believed when it comes back.
const thought = "The task is to repeat what was said last."

func signature() string { return digest("thought", thought) }

// anthropicPart is the text of one block of a message.
func anthropicPart(block json.RawMessage) (string, bool) {
	var b struct {
		Type      string          `json:"type"`
		Text      string          `json:"text"`
		Title     string          `json:"title"`
		Signature string          `json:"signature"`
		Thinking  string          `json:"thinking"`
		Content   json.RawMessage `json:"content"`
	}
	if json.Unmarshal(block, &b) != nil {
		return "", false
	}
	switch b.Type {
	case "text":
		return b.Text, b.Text != ""
	case "image":
		return "[image]", true
	case "document":
		return strings.TrimRight("[file "+b.Title, " ") + "]", true
	case "tool_result":
		return textOf(b.Content, anthropicPart)
	case "thinking":
		return "", b.Signature == signature() && b.Thinking == thought
	case "tool_use", "redacted_thinking", "server_tool_use":
		return "", true
	}
	return "", false
}

// chat is the call in OpenAI's terms.
func (q *anthropicRequest) chat() (*chatRequest, error) {
	if q.MaxTokens == nil {
		return nil, invalid("max_tokens", "max_tokens: Field required")
	}
	out := &chatRequest{
		Model: q.Model, MaxTokens: q.MaxTokens, Temperature: q.Temperature, TopP: q.TopP,
		Stop: q.Stops, Stream: q.Stream,
	}
	system, ok := textOf(q.System, anthropicPart)
	if !ok {
		return nil, invalid("system", "system: Input should be a text or a list of text blocks")
	}
	if system != "" {
		out.Messages = append(out.Messages, message{Role: "system", Content: content(system)})
	}
	for i, m := range q.Messages {
		text, ok := textOf(m.Content, anthropicPart)
		if !ok || m.Role != "user" && m.Role != "assistant" {
			return nil, invalid("messages", "messages.%d: a block cannot be read, or is empty, or its signature is not one of ours", i)
		}
		out.Messages = append(out.Messages, message{Role: m.Role, Content: content(text)})
	}
	for _, t := range q.Tools {
		out.Tools = append(out.Tools, function(t.Name, t.Description, t.InputSchema))
	}
	switch q.ToolChoice.Type {
	case "", "auto", "none":
	case "any":
		out.ToolChoice = toolChoice{given: true, required: true}
	case "tool":
		out.ToolChoice = toolChoice{given: true, required: true, allowed: []string{q.ToolChoice.Name}}
	default:
		return nil, invalid("tool_choice", "tool_choice: there is no type %q", q.ToolChoice.Type)
	}
	return out, nil
}

type anthropicUsage struct {
	Input         int `json:"input_tokens"`
	CacheCreation int `json:"cache_creation_input_tokens"`
	CacheRead     int `json:"cache_read_input_tokens"`
	Output        int `json:"output_tokens"`
}

type anthropicMessage struct {
	ID           string         `json:"id"`
	Type         string         `json:"type"`
	Role         string         `json:"role"`
	Model        string         `json:"model"`
	Content      []any          `json:"content"`
	StopReason   *string        `json:"stop_reason"`
	StopSequence *string        `json:"stop_sequence"`
	Usage        anthropicUsage `json:"usage"`
}

type textBlock struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type thinkingBlock struct {
	Type      string `json:"type"`
	Thinking  string `json:"thinking"`
	Signature string `json:"signature"`
}

type toolUseBlock struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

// stopReason is why the answer ended, in Anthropic's words.
func (a *chatAnswer) stopReason() (reason string, sequence *string) {
	switch {
	case a.made.finish == finishLength:
		return "max_tokens", nil
	case a.made.finish == finishToolCalls:
		return "tool_use", nil
	case a.made.stop != "":
		return "stop_sequence", &a.made.stop
	}
	return "end_turn", nil
}

// messages answers POST /v1/messages.
func messages(w *faultWriter, c *call) error {
	pace := c.pace()
	var q anthropicRequest
	if err := c.parse(&q); err != nil {
		return err
	}
	chat, err := q.chat()
	if err != nil {
		return err
	}
	a, err := chat.answer(c.digest())
	if err != nil {
		return err
	}
	reason, sequence := a.stopReason()
	m := anthropicMessage{ID: "msg_" + c.digest(), Type: "message", Role: "assistant", Model: a.model, Content: []any{},
		Usage: anthropicUsage{Input: a.prompt, Output: a.made.tokens}}
	var blocks []any
	if q.Thinking.Type == "enabled" || q.Thinking.Type == "adaptive" {
		blocks = append(blocks, thinkingBlock{"thinking", thought, signature()})
		m.Usage.Output += countTokens(thought)
	}
	if a.tool != nil {
		blocks = append(blocks, toolUseBlock{"tool_use", "toolu_" + digest(a.id), a.tool.Function.Name, a.arguments()})
	} else if a.made.text != "" {
		blocks = append(blocks, textBlock{"text", a.made.text})
	}
	if !q.Stream {
		if err := pace.wait(c.Context(), a.made.tokens); err != nil {
			return err
		}
		m.Content, m.StopReason, m.StopSequence = append(m.Content, blocks...), &reason, sequence
		return writeJSON(w, http.StatusOK, &m)
	}
	out := newStream(w, c)
	total := m.Usage.Output
	m.Usage.Output = 1
	if err := out.sendEvent("message_start", struct {
		Type    string            `json:"type"`
		Message *anthropicMessage `json:"message"`
	}{"message_start", &m}); err != nil {
		return err
	}
	if err := out.sendEvent("ping", struct {
		Type string `json:"type"`
	}{"ping"}); err != nil {
		return err
	}
	for i, block := range blocks {
		if err := sendBlock(out, i, block, a, pace); err != nil {
			return err
		}
	}
	type ending struct {
		StopReason   string  `json:"stop_reason"`
		StopSequence *string `json:"stop_sequence"`
	}
	if err := out.sendEvent("message_delta", struct {
		Type  string `json:"type"`
		Delta ending `json:"delta"`
		Usage struct {
			Output int `json:"output_tokens"`
		} `json:"usage"`
	}{"message_delta", ending{reason, sequence}, struct {
		Output int `json:"output_tokens"`
	}{total}}); err != nil {
		return err
	}
	return out.sendEvent("message_stop", struct {
		Type string `json:"type"`
	}{"message_stop"})
}

// sendBlock streams one block of an answer.
func sendBlock(out *stream, index int, block any, a *chatAnswer, pace pace) error {
	delta := func(v any) error {
		return out.sendEvent("content_block_delta", struct {
			Type  string `json:"type"`
			Index int    `json:"index"`
			Delta any    `json:"delta"`
		}{"content_block_delta", index, v})
	}
	type piece map[string]string // maps are written in the order of their keys
	var begin any
	var pieces func() error
	switch b := block.(type) {
	case thinkingBlock:
		begin = thinkingBlock{Type: b.Type}
		pieces = func() error {
			for token := range tokens(b.Thinking) {
				if err := delta(piece{"type": "thinking_delta", "thinking": token}); err != nil {
					return err
				}
			}
			return delta(piece{"type": "signature_delta", "signature": b.Signature})
		}
	case toolUseBlock:
		begin = toolUseBlock{b.Type, b.ID, b.Name, json.RawMessage("{}")}
		pieces = func() error {
			if err := delta(piece{"type": "input_json_delta", "partial_json": ""}); err != nil {
				return err
			}
			return a.say(out.call.Context(), pace, func(token string) error {
				return delta(piece{"type": "input_json_delta", "partial_json": token})
			})
		}
	case textBlock:
		begin = textBlock{Type: b.Type}
		pieces = func() error {
			return a.say(out.call.Context(), pace, func(token string) error {
				return delta(piece{"type": "text_delta", "text": token})
			})
		}
	}
	if err := out.sendEvent("content_block_start", struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
		Block any    `json:"content_block"`
	}{"content_block_start", index, begin}); err != nil {
		return err
	}
	if err := pieces(); err != nil {
		return err
	}
	return out.sendEvent("content_block_stop", struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
	}{"content_block_stop", index})
}

// countMessages answers POST /v1/messages/count_tokens.
func countMessages(w *faultWriter, c *call) error {
	var q anthropicRequest
	if err := c.parse(&q); err != nil {
		return err
	}
	one := 1
	q.MaxTokens = &one
	chat, err := q.chat()
	if err != nil {
		return err
	}
	if _, err := chat.check(); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Input int `json:"input_tokens"`
	}{chat.promptTokens()})
}

// completeAnthropic answers POST /v1/complete, Anthropic's older API.
func completeAnthropic(w *faultWriter, c *call) error {
	pace := c.pace()
	var q struct {
		Model     string   `json:"model"`
		Prompt    string   `json:"prompt"`
		MaxTokens *int     `json:"max_tokens_to_sample"`
		Stops     []string `json:"stop_sequences"`
		Stream    bool     `json:"stream"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	if q.MaxTokens == nil || !strings.Contains(q.Prompt, "\n\nHuman:") && !strings.HasPrefix(q.Prompt, "Human:") {
		return invalid("prompt", "max_tokens_to_sample and a prompt with a turn of a Human are required")
	}
	settings := common{model: q.Model, maxTokens: q.MaxTokens, maxTokensName: "max_tokens_to_sample", stream: q.Stream}
	if err := settings.settle(); err != nil {
		return err
	}
	said := q.Prompt[strings.LastIndex(q.Prompt, "Human:")+len("Human:"):]
	said = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(said), "Assistant:"))
	made := generate(echoed+said, q.Stops, settings.limit)
	reason := "stop_sequence"
	if made.finish == finishLength {
		reason = "max_tokens"
	}
	type completion struct {
		Type       string  `json:"type"`
		ID         string  `json:"id"`
		Completion string  `json:"completion"`
		StopReason *string `json:"stop_reason"`
		Model      string  `json:"model"`
	}
	answer := completion{Type: "completion", ID: "compl_" + c.digest(), Model: q.Model}
	if !q.Stream {
		if err := pace.wait(c.Context(), made.tokens); err != nil {
			return err
		}
		answer.Completion, answer.StopReason = made.text, &reason
		return writeJSON(w, http.StatusOK, &answer)
	}
	out := newStream(w, c)
	a := chatAnswer{made: made}
	if err := a.say(c.Context(), pace, func(token string) error {
		answer.Completion = token
		return out.sendEvent("completion", &answer)
	}); err != nil {
		return err
	}
	answer.Completion, answer.StopReason = "", &reason
	return out.sendEvent("completion", &answer)
}

// anthropicFailure is Anthropic's form of an error.
func anthropicFailure(w *faultWriter, e *apiError) error {
	kind := "invalid_request_error"
	switch e.status {
	case http.StatusUnauthorized:
		kind = "authentication_error"
	case http.StatusPaymentRequired:
		kind = "billing_error"
	case http.StatusForbidden:
		kind = "permission_error"
	case http.StatusNotFound:
		kind = "not_found_error"
	case http.StatusRequestEntityTooLarge:
		kind = "request_too_large"
	case http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case http.StatusGatewayTimeout:
		kind = "timeout_error"
	case http.StatusServiceUnavailable, 529:
		kind = "overloaded_error"
	case http.StatusInternalServerError, http.StatusBadGateway:
		kind = "api_error"
	}
	type inner struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return writeJSON(w, e.status, struct {
		Type      string `json:"type"`
		Error     inner  `json:"error"`
		RequestID string `json:"request_id"`
	}{"error", inner{kind, e.Message}, w.Header().Get("X-Request-Id")})
}
