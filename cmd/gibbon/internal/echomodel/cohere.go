package echomodel

import (
	"encoding/json"
	"net/http"
)

// chatCohere1 answers POST /v1/chat, Cohere's first API: a message and the turns
// before it.
func chatCohere1(w *faultWriter, c *call) error {
	pace := c.pace()
	var q struct {
		Model   string `json:"model"`
		Message string `json:"message"`
		History []struct {
			Role    string `json:"role"`
			Message string `json:"message"`
		} `json:"chat_history"`
		MaxTokens   *int     `json:"max_tokens"`
		Temperature *float64 `json:"temperature"`
		P           *float64 `json:"p"`
		Stops       []string `json:"stop_sequences"`
		Stream      bool     `json:"stream"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	if q.Message == "" {
		return invalid("message", "message must be at least 1 token long")
	}
	chat := &chatRequest{Model: q.Model, MaxTokens: q.MaxTokens, Temperature: q.Temperature, TopP: q.P, Stop: q.Stops, Stream: q.Stream}
	for i, turn := range q.History {
		role := map[string]string{"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system"}[turn.Role]
		if role == "" {
			return invalid("chat_history", "chat_history[%d] has no role USER, CHATBOT or SYSTEM", i)
		}
		chat.Messages = append(chat.Messages, message{Role: role, Content: content(turn.Message)})
	}
	chat.Messages = append(chat.Messages, message{Role: "user", Content: content(q.Message)})
	a, err := chat.answer(c.digest())
	if err != nil {
		return err
	}
	finish := "COMPLETE"
	if a.made.finish == finishLength {
		finish = "MAX_TOKENS"
	}
	units := object{"input_tokens": a.prompt, "output_tokens": a.made.tokens}
	answer := object{
		"response_id": c.digest(), "generation_id": digest(a.id), "text": a.made.text, "finish_reason": finish,
		"meta": object{"api_version": object{"version": "1"}, "billed_units": units, "tokens": units},
	}
	if !q.Stream {
		if err := pace.wait(c.Context(), a.made.tokens); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, answer)
	}
	out := newStreamOf(w, c, "application/stream+json")
	send := func(v object) error {
		data, err := marshal(v)
		if err != nil {
			return err
		}
		return out.write(append(data, '\n'))
	}
	if err := send(object{"event_type": "stream-start", "generation_id": digest(a.id), "is_finished": false}); err != nil {
		return err
	}
	if err := a.say(c.Context(), pace, func(token string) error {
		return send(object{"event_type": "text-generation", "is_finished": false, "text": token})
	}); err != nil {
		return err
	}
	return send(object{"event_type": "stream-end", "finish_reason": finish, "is_finished": true, "response": answer})
}

// chatCohere2 answers POST /v2/chat.
func chatCohere2(w *faultWriter, c *call) error {
	pace := c.pace()
	var q struct {
		Model       string    `json:"model"`
		Messages    []message `json:"messages"`
		MaxTokens   *int      `json:"max_tokens"`
		Temperature *float64  `json:"temperature"`
		P           *float64  `json:"p"`
		Stops       []string  `json:"stop_sequences"`
		Stream      bool      `json:"stream"`
		Tools       []tool    `json:"tools"`
		ToolChoice  string    `json:"tool_choice"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	chat := &chatRequest{Model: q.Model, Messages: q.Messages, MaxTokens: q.MaxTokens, Temperature: q.Temperature,
		TopP: q.P, Stop: q.Stops, Stream: q.Stream, Tools: q.Tools}
	if q.ToolChoice == "REQUIRED" {
		chat.ToolChoice = toolChoice{given: true, required: true}
	}
	a, err := chat.answer(c.digest())
	if err != nil {
		return err
	}
	finish := "COMPLETE"
	switch {
	case a.made.finish == finishLength:
		finish = "MAX_TOKENS"
	case a.made.finish == finishToolCalls:
		finish = "TOOL_CALL"
	case a.made.stop != "":
		finish = "STOP_SEQUENCE"
	}
	units := object{"input_tokens": a.prompt, "output_tokens": a.made.tokens}
	usage := object{"billed_units": units, "tokens": units}
	call := toolCall{ID: "call_" + digest(a.id), Type: "function"}
	if a.tool != nil {
		call.Function = toolCallFunction{Name: a.tool.Function.Name, Arguments: a.made.text}
	}
	if !q.Stream {
		if err := pace.wait(c.Context(), a.made.tokens); err != nil {
			return err
		}
		said := object{"role": "assistant", "content": []any{textBlock{"text", a.made.text}}}
		if a.tool != nil {
			said = object{"role": "assistant", "tool_calls": []toolCall{call}, "tool_plan": "I will call a tool."}
		}
		return writeJSON(w, http.StatusOK, object{"id": c.digest(), "finish_reason": finish, "message": said, "usage": usage})
	}
	out := newStream(w, c)
	send := func(kind string, v object) error {
		v["type"] = kind
		return out.sendEvent(kind, v)
	}
	message := func(v object) object { return object{"message": v} }
	if err := send("message-start", object{"id": c.digest(), "delta": message(object{"role": "assistant"})}); err != nil {
		return err
	}
	begin, end := "content-start", "content-end"
	first := message(object{"content": textBlock{Type: "text"}})
	piece := func(token string) error {
		return send("content-delta", object{"index": 0, "delta": message(object{"content": object{"text": token}})})
	}
	if a.tool != nil {
		begin, end = "tool-call-start", "tool-call-end"
		call.Function.Arguments = ""
		first = message(object{"tool_calls": call})
		piece = func(token string) error {
			return send("tool-call-delta", object{"index": 0, "delta": message(object{
				"tool_calls": object{"function": object{"arguments": token}},
			})})
		}
	}
	if err := send(begin, object{"index": 0, "delta": first}); err != nil {
		return err
	}
	if err := a.say(c.Context(), pace, piece); err != nil {
		return err
	}
	if err := send(end, object{"index": 0}); err != nil {
		return err
	}
	return send("message-end", object{"delta": object{"finish_reason": finish, "usage": usage}})
}

// generateCohere answers POST /v1/generate.
func generateCohere(w *faultWriter, c *call) error {
	pace := c.pace()
	var q struct {
		Model     string   `json:"model"`
		Prompt    string   `json:"prompt"`
		MaxTokens *int     `json:"max_tokens"`
		Stops     []string `json:"stop_sequences"`
		Stream    bool     `json:"stream"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	if q.Prompt == "" {
		return invalid("prompt", "the request has no prompt")
	}
	settings := common{model: q.Model, maxTokens: q.MaxTokens, maxTokensName: "max_tokens"}
	if err := settings.settle(); err != nil {
		return err
	}
	a := chatAnswer{made: generate(echoed+q.Prompt, q.Stops, settings.limit)}
	units := object{"input_tokens": countTokens(q.Prompt), "output_tokens": a.made.tokens}
	answer := object{
		"id":          c.digest(),
		"generations": []object{{"id": digest(c.digest()), "text": a.made.text, "finish_reason": "COMPLETE"}},
		"prompt":      q.Prompt,
		"meta":        object{"api_version": object{"version": "1"}, "billed_units": units},
	}
	if !q.Stream {
		if err := pace.wait(c.Context(), a.made.tokens); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, answer)
	}
	out := newStreamOf(w, c, "application/stream+json")
	send := func(v object) error {
		data, err := marshal(v)
		if err != nil {
			return err
		}
		return out.write(append(data, '\n'))
	}
	if err := a.say(c.Context(), pace, func(token string) error {
		return send(object{"event_type": "text-generation", "is_finished": false, "text": token})
	}); err != nil {
		return err
	}
	return send(object{"event_type": "stream-end", "finish_reason": "COMPLETE", "is_finished": true, "response": answer})
}

// embedCohere answers POST /v2/embed.
func embedCohere(w *faultWriter, c *call) error {
	var q struct {
		Model      string   `json:"model"`
		Texts      []string `json:"texts"`
		InputType  string   `json:"input_type"`
		Dimensions *int     `json:"output_dimension"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	if q.InputType == "" {
		return invalid("input_type", "input_type must be given")
	}
	vectors, total, err := embedAll(c, q.Texts, q.Dimensions)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, object{
		"id": c.digest(), "embeddings": map[string][]json.RawMessage{"float": vectors}, "texts": q.Texts,
		"meta": object{"billed_units": object{"input_tokens": total}},
	})
}

// cohereFailure is Cohere's form of an error.
func cohereFailure(w *faultWriter, e *apiError) error {
	return writeJSON(w, e.status, object{"message": e.Message})
}
