package echomodel

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

type chatRequest struct {
	Model               string          `json:"model"`
	Messages            []message       `json:"messages"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	N                   *int            `json:"n"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	Stop                stops           `json:"stop"`
	Stream              bool            `json:"stream"`
	StreamOptions       *streamOptions  `json:"stream_options"`
	Tools               []tool          `json:"tools"`
	ToolChoice          toolChoice      `json:"tool_choice"`
	ResponseFormat      *responseFormat `json:"response_format"`
}

type message struct {
	Role      string     `json:"role"`
	Name      string     `json:"name"`
	Content   content    `json:"content"`
	ToolCalls []toolCall `json:"tool_calls"`
}

// content is what a message says, as one text. A part that is no text stands
// there as its kind in brackets.
type content string

func (c *content) UnmarshalJSON(data []byte) error {
	var text string // stays empty for null
	if json.Unmarshal(data, &text) == nil {
		*c = content(text)
		return nil
	}
	var parts []struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
		File    struct {
			Filename string `json:"filename"`
		} `json:"file"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return invalid("messages", "the content of a message must be a string, an array of parts or null")
	}
	texts := make([]string, 0, len(parts))
	for _, part := range parts {
		switch part.Type {
		case "text":
			texts = append(texts, part.Text)
		case "refusal":
			texts = append(texts, part.Refusal)
		case "image_url":
			texts = append(texts, "[image]")
		case "input_audio":
			texts = append(texts, "[audio]")
		case "file":
			texts = append(texts, strings.TrimRight("[file "+part.File.Filename, " ")+"]")
		default:
			return invalid("messages", "a part of a message has the unknown type %q", part.Type)
		}
	}
	*c = content(strings.Join(texts, "\n"))
	return nil
}

// responseFormat is the request member of that name.
type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// check refuses what the endpoint refuses, and settles the common part.
func (q *chatRequest) check() (common, error) {
	c := common{
		model: q.Model, n: q.N, maxTokens: q.MaxTokens, maxTokensName: "max_tokens",
		temperature: q.Temperature, topP: q.TopP, stream: q.Stream, streamOptions: q.StreamOptions,
	}
	if q.MaxCompletionTokens != nil {
		c.maxTokens, c.maxTokensName = q.MaxCompletionTokens, "max_completion_tokens"
	}
	if err := c.settle(); err != nil {
		return c, err
	}
	if len(q.Messages) == 0 {
		return c, invalid("messages", "the request has no messages")
	}
	for i, m := range q.Messages {
		switch m.Role {
		case "system", "developer", "user", "assistant", "tool", "function":
		default:
			return c, invalid("messages["+strconv.Itoa(i)+"].role", "there is no role %q", m.Role)
		}
	}
	return c, nil
}

// heard is the text to repeat: the last user message, or the last message
// when no user spoke.
func (q *chatRequest) heard() string {
	for i := len(q.Messages) - 1; i >= 0; i-- {
		if q.Messages[i].Role == "user" {
			return string(q.Messages[i].Content)
		}
	}
	return string(q.Messages[len(q.Messages)-1].Content)
}

// promptTokens counts what the request says, three tokens more per message
// for its frame, and three for the answer's.
func (q *chatRequest) promptTokens() int {
	const frame = 3
	n := frame
	for _, m := range q.Messages {
		n += frame + countTokens(m.Role) + countTokens(m.Name) + countTokens(string(m.Content))
		for _, call := range m.ToolCalls {
			n += countTokens(call.Function.Name) + countTokens(call.Function.Arguments)
		}
	}
	for _, t := range q.Tools {
		n += countTokens(t.Function.Name) + countTokens(t.Function.Description) + countTokens(string(t.Function.Parameters))
	}
	return n
}

// chatAnswer is one answer, of which all choices are copies.
type chatAnswer struct {
	common
	id     string
	made   generated // the content, or the arguments when tool is set
	tool   *tool
	prompt int
}

// answer works out the whole answer before any of it is sent.
func (q *chatRequest) answer(digest string) (*chatAnswer, error) {
	c, err := q.check()
	if err != nil {
		return nil, err
	}
	a := &chatAnswer{common: c, id: "chatcmpl-" + digest, prompt: q.promptTokens()}
	heard := q.heard()
	if a.tool, err = q.ToolChoice.pick(q.Tools); err != nil {
		return nil, err
	}
	text, stops, limit := echoed+heard, q.Stop, c.limit
	nameTokens := 0
	switch {
	case a.tool != nil:
		// A stop text inside arguments would only make broken JSON.
		stops = nil
		nameTokens = countTokens(a.tool.Function.Name)
		if limit != noLimit {
			limit = max(limit-nameTokens, 0)
		}
		text, err = exampleOf("tools", a.tool.Function.Parameters, heard)
	case q.ResponseFormat == nil || q.ResponseFormat.Type == "text":
	case q.ResponseFormat.Type == "json_object":
		var body []byte
		body, err = marshal(struct {
			Echo string `json:"echo"`
		}{heard})
		text = string(body)
	case q.ResponseFormat.Type == "json_schema":
		text, err = exampleOf("response_format", q.ResponseFormat.JSONSchema.Schema, heard)
	default:
		err = invalid("response_format.type", "there is no response format %q", q.ResponseFormat.Type)
	}
	if err != nil {
		return nil, err
	}
	a.made = generate(text, stops, limit)
	a.made.tokens += nameTokens
	if a.tool != nil && a.made.finish == finishStop {
		a.made.finish = finishToolCalls
	}
	return a, tooMuch("n", len(a.made.text), a.choices)
}

func (a *chatAnswer) usage() *usage {
	completion := a.made.tokens * a.choices
	return &usage{
		PromptTokens: a.prompt, CompletionTokens: completion, TotalTokens: a.prompt + completion,
		PromptTokensDetails:     &promptDetails{},
		CompletionTokensDetails: &completionDetail{},
	}
}

func (a *chatAnswer) callID(choice int) string {
	return "call_" + digest(a.id, strconv.Itoa(choice))
}

// chat answers POST /v1/chat/completions.
func chat(w *faultWriter, c *call) error {
	pace := c.pace()
	var q chatRequest
	if err := c.parse(&q); err != nil {
		return err
	}
	a, err := q.answer(c.digest())
	if err != nil {
		return err
	}
	if a.stream {
		return a.sendStream(newStream(w, c), pace)
	}
	if err := pace.wait(c.Context(), a.made.tokens); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.whole())
}

type chatCompletion struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"`
	Created           int64        `json:"created"`
	Model             string       `json:"model"`
	Choices           []chatChoice `json:"choices"`
	Usage             *usage       `json:"usage"`
	ServiceTier       string       `json:"service_tier"`
	SystemFingerprint string       `json:"system_fingerprint"`
}

type chatChoice struct {
	Index        int             `json:"index"`
	Message      answerMessage   `json:"message"`
	Logprobs     json.RawMessage `json:"logprobs"`
	FinishReason string          `json:"finish_reason"`
}

type answerMessage struct {
	Role        string     `json:"role"`
	Content     *string    `json:"content"`
	ToolCalls   []toolCall `json:"tool_calls,omitempty"`
	Refusal     *string    `json:"refusal"`
	Annotations []string   `json:"annotations"` // always empty
}

const (
	serviceTier = "default"
	fingerprint = "fp_echo"
)

// whole is the answer in one piece.
func (a *chatAnswer) whole() *chatCompletion {
	answer := &chatCompletion{
		ID: a.id, Object: "chat.completion", Created: created, Model: a.model,
		Usage: a.usage(), ServiceTier: serviceTier, SystemFingerprint: fingerprint,
	}
	for i := range a.choices {
		m := answerMessage{Role: "assistant", Annotations: []string{}}
		if a.tool == nil {
			m.Content = &a.made.text
		} else {
			m.ToolCalls = []toolCall{{ID: a.callID(i), Type: "function",
				Function: toolCallFunction{Name: a.tool.Function.Name, Arguments: a.made.text}}}
		}
		answer.Choices = append(answer.Choices, chatChoice{
			Index: i, Message: m, Logprobs: jsonNull, FinishReason: a.made.finish,
		})
	}
	return answer
}

type chatChunk struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	Created           int64             `json:"created"`
	Model             string            `json:"model"`
	ServiceTier       string            `json:"service_tier"`
	SystemFingerprint string            `json:"system_fingerprint"`
	Choices           []chatChunkChoice `json:"choices"`
	Usage             json.RawMessage   `json:"usage,omitempty"`
}

type chatChunkChoice struct {
	Index        int             `json:"index"`
	Delta        delta           `json:"delta"`
	Logprobs     json.RawMessage `json:"logprobs"`
	FinishReason *string         `json:"finish_reason"`
}

// delta tells absent from null: a member of no bytes is left out.
type delta struct {
	Role      string          `json:"role,omitempty"`
	Content   json.RawMessage `json:"content,omitempty"`
	Refusal   json.RawMessage `json:"refusal,omitempty"`
	ToolCalls []toolDelta     `json:"tool_calls,omitempty"`
}

// toolDelta has id, type and name only where the call opens.
type toolDelta struct {
	Index    int               `json:"index"`
	ID       string            `json:"id,omitempty"`
	Type     string            `json:"type,omitempty"`
	Function toolDeltaFunction `json:"function"`
}

type toolDeltaFunction struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

// sendStream sends the answer token by token, the choices side by side.
func (a *chatAnswer) sendStream(out *stream, pace pace) error {
	chunk := chatChunk{
		ID: a.id, Object: "chat.completion.chunk", Created: created, Model: a.model,
		ServiceTier: serviceTier, SystemFingerprint: fingerprint,
	}
	if a.includeUsage {
		chunk.Usage = jsonNull
	}
	// each sends one chunk per choice.
	each := func(finish *string, of func(choice int) delta) error {
		for i := range a.choices {
			chunk.Choices = []chatChunkChoice{{Index: i, Delta: of(i), Logprobs: jsonNull, FinishReason: finish}}
			if err := out.send(&chunk); err != nil {
				return err
			}
		}
		return nil
	}

	opening := delta{Role: "assistant", Content: json.RawMessage(`""`), Refusal: jsonNull}
	if a.tool != nil {
		opening.Content = jsonNull
	}
	if err := each(nil, func(int) delta { return opening }); err != nil {
		return err
	}
	number := 0 // of the token that was sent last
	if a.tool != nil {
		number = countTokens(a.tool.Function.Name)
		if err := pace.wait(out.call.Context(), number); err != nil {
			return err
		}
		err := each(nil, func(choice int) delta {
			return delta{ToolCalls: []toolDelta{{ID: a.callID(choice), Type: "function",
				Function: toolDeltaFunction{Name: a.tool.Function.Name}}}}
		})
		if err != nil {
			return err
		}
	}
	for token := range tokens(a.made.text) {
		number++
		if err := pace.wait(out.call.Context(), number); err != nil {
			return err
		}
		d := delta{ToolCalls: []toolDelta{{Function: toolDeltaFunction{Arguments: token}}}}
		if a.tool == nil {
			text, err := marshal(token)
			if err != nil {
				return err
			}
			d = delta{Content: text}
		}
		if err := each(nil, func(int) delta { return d }); err != nil {
			return err
		}
	}
	if err := each(&a.made.finish, func(int) delta { return delta{} }); err != nil {
		return err
	}
	if a.includeUsage {
		counts, err := marshal(a.usage())
		if err != nil {
			return err
		}
		chunk.Choices, chunk.Usage = []chatChunkChoice{}, counts
		if err := out.send(&chunk); err != nil {
			return err
		}
	}
	return out.end()
}
