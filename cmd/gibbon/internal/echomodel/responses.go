package echomodel

import (
	"encoding/json"
	"net/http"
)

// responsesPart is the text of a part of an item.
func responsesPart(part json.RawMessage) (string, bool) {
	var p struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(part, &p) != nil {
		return "", false
	}
	switch p.Type {
	case "input_text", "output_text":
		return p.Text, true
	case "input_image":
		return "[image]", true
	case "input_file":
		return "[file]", true
	}
	return "", false
}

// respond answers POST /v1/responses. Nothing is stored.
func respond(w *faultWriter, c *call) error {
	pace := c.pace()
	var q struct {
		Model        string          `json:"model"`
		Input        json.RawMessage `json:"input"`
		Instructions string          `json:"instructions"`
		MaxTokens    *int            `json:"max_output_tokens"`
		Stream       bool            `json:"stream"`
		Previous     string          `json:"previous_response_id"`
		Tools        []struct {
			Type        string          `json:"type"`
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		} `json:"tools"`
		ToolChoice json.RawMessage `json:"tool_choice"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	if q.Previous != "" {
		return invalid("previous_response_id", "the echo model keeps no responses").withStatus(http.StatusNotFound, "previous_response_not_found")
	}
	chat := &chatRequest{Model: q.Model, MaxTokens: q.MaxTokens, Stream: q.Stream}
	if q.Instructions != "" {
		chat.Messages = append(chat.Messages, message{Role: "system", Content: content(q.Instructions)})
	}
	var text string
	var items []struct {
		Role    string          `json:"role"`
		Type    string          `json:"type"`
		Content json.RawMessage `json:"content"`
		Output  json.RawMessage `json:"output"`
	}
	switch {
	case json.Unmarshal(q.Input, &text) == nil && text != "":
		chat.Messages = append(chat.Messages, message{Role: "user", Content: content(text)})
	case json.Unmarshal(q.Input, &items) == nil && len(items) > 0:
		for i, item := range items {
			said, role := item.Content, item.Role
			if item.Type == "function_call_output" {
				said, role = item.Output, "tool"
			}
			text, ok := textOf(said, responsesPart)
			if !ok {
				return invalid("input", "input[%d] has content of an unknown type", i)
			}
			if role != "" {
				chat.Messages = append(chat.Messages, message{Role: role, Content: content(text)})
			}
		}
	default:
		return invalid("input", "the request has no input")
	}
	for _, t := range q.Tools {
		if t.Type == "function" {
			chat.Tools = append(chat.Tools, function(t.Name, t.Description, t.Parameters))
		}
	}
	var choice struct {
		Name string `json:"name"`
	}
	if string(q.ToolChoice) == `"required"` {
		chat.ToolChoice = toolChoice{given: true, required: true}
	} else if json.Unmarshal(q.ToolChoice, &choice) == nil && choice.Name != "" {
		chat.ToolChoice = toolChoice{given: true, required: true, allowed: []string{choice.Name}}
	}
	a, err := chat.answer(c.digest())
	if err != nil {
		return err
	}
	r := &response{id: "resp_" + c.digest(), answer: a}
	if q.Stream {
		return r.send(newStream(w, c), pace)
	}
	if err := pace.wait(c.Context(), a.made.tokens); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, r.body(r.status(), r.item(true)))
}

// response is one answer of the Responses API.
type response struct {
	id       string
	answer   *chatAnswer
	sequence int
}

func (r *response) status() string {
	if r.answer.made.finish == finishLength {
		return "incomplete"
	}
	return "completed"
}

// body is the whole object with one item, or with none when item is nil.
func (r *response) body(status string, item object) object {
	a := r.answer
	b := object{
		"id": r.id, "object": "response", "created_at": created, "status": status, "error": nil, "incomplete_details": nil,
		"model": a.model, "output": []object{}, "parallel_tool_calls": true, "tool_choice": "auto", "tools": []any{}, "usage": nil,
	}
	if status == "incomplete" {
		b["incomplete_details"] = object{"reason": "max_output_tokens"}
	}
	if item != nil {
		b["output"] = []object{item}
		b["usage"] = object{
			"input_tokens": a.prompt, "input_tokens_details": object{"cached_tokens": 0},
			"output_tokens": a.made.tokens, "output_tokens_details": object{"reasoning_tokens": 0},
			"total_tokens": a.prompt + a.made.tokens,
		}
	}
	return b
}

func (r *response) part(text string) object {
	return object{"type": "output_text", "text": text, "annotations": []any{}, "logprobs": []any{}}
}

// item is the one thing in the answer, whole or as it begins.
func (r *response) item(whole bool) object {
	a, status := r.answer, "in_progress"
	if whole {
		status = r.status()
	}
	if a.tool != nil {
		call := object{"type": "function_call", "id": "fc_" + digest(r.id), "call_id": a.callID(0), "name": a.tool.Function.Name, "arguments": "", "status": status}
		if whole {
			call["arguments"] = a.made.text
		}
		return call
	}
	said := object{"type": "message", "id": "msg_" + digest(r.id), "status": status, "role": "assistant", "content": []object{}}
	if whole {
		said["content"] = []object{r.part(a.made.text)}
	}
	return said
}

// send streams the answer as the events of its making.
func (r *response) send(out *stream, pace pace) error {
	a := r.answer
	event := func(kind string, v object) error {
		v["type"], v["sequence_number"] = kind, r.sequence
		r.sequence++
		return out.sendEvent(kind, v)
	}
	begun := r.item(false)
	within := func(v object) object {
		v["item_id"], v["output_index"] = begun["id"], 0
		if a.tool == nil {
			v["content_index"] = 0
		}
		return v
	}
	type step struct {
		kind string
		v    object
	}
	all := func(steps ...step) error {
		for _, s := range steps {
			if err := event(s.kind, s.v); err != nil {
				return err
			}
		}
		return nil
	}
	if err := all(
		step{"response.created", object{"response": r.body("in_progress", nil)}},
		step{"response.in_progress", object{"response": r.body("in_progress", nil)}},
		step{"response.output_item.added", object{"output_index": 0, "item": begun}},
	); err != nil {
		return err
	}
	kind := "response.function_call_arguments.delta"
	ending := []step{{"response.function_call_arguments.done", within(object{"arguments": a.made.text})}}
	if a.tool == nil {
		kind = "response.output_text.delta"
		ending = []step{
			{"response.output_text.done", within(object{"text": a.made.text, "logprobs": []any{}})},
			{"response.content_part.done", within(object{"part": r.part(a.made.text)})},
		}
		if err := event("response.content_part.added", within(object{"part": r.part("")})); err != nil {
			return err
		}
	}
	if err := a.say(out.call.Context(), pace, func(token string) error { return event(kind, within(object{"delta": token})) }); err != nil {
		return err
	}
	whole := r.item(true)
	return all(append(ending,
		step{"response.output_item.done", object{"output_index": 0, "item": whole}},
		step{"response." + r.status(), object{"response": r.body(r.status(), whole)}},
	)...)
}
