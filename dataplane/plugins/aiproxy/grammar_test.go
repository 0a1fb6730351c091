package aiproxy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// streamEvents cuts a stream that a caller got into its events.
func streamEvents(stream string, each func(name string, data []byte) error) error {
	var cut llm.EventReader
	take := func(e llm.ServerEvent) error { return each(string(e.Name), e.Data) }
	if err := cut.Read([]byte(stream), take); err != nil {
		return err
	}
	if !strings.HasSuffix(stream, "\n\n") && stream != "" {
		return errors.New("the last event is not closed")
	}
	return cut.Close(take)
}

// wireCall is a call to a tool as OpenAI's format has it, whole or in pieces.
type wireCall struct {
	Index    *int
	ID       *string
	Type     *string
	Function *struct{ Name, Arguments *string }
}

// wireUsage are the counts of OpenAI's format.
type wireUsage struct {
	Prompt     *int `json:"prompt_tokens"`
	Completion *int `json:"completion_tokens"`
	Total      *int `json:"total_tokens"`
}

func (u *wireUsage) check() error {
	if u.Prompt == nil || u.Completion == nil || u.Total == nil {
		return errors.New("usage lacks a count")
	}
	return nil
}

// openAIReasons are the reasons for an end that official clients know.
var openAIReasons = map[string]bool{"stop": true, "length": true, "tool_calls": true, "content_filter": true, "function_call": true}

// openAIStream checks a stream of chat.completion.chunk objects. passed says that
// the provider's own events were passed on, which may say more than they must:
// the role again, a text in parts. It says whether the stream told of a failure.
func openAIStream(stream string, passed bool) (failed bool, err error) {
	type choice struct {
		role, closed bool
		calls        int
		arguments    []string
	}
	choices := map[int]*choice{}
	var id, model string
	var created json.Number
	var chunks, counts int
	done := false
	err = streamEvents(stream, func(name string, data []byte) error {
		if done || failed {
			return fmt.Errorf("%s behind the end", data)
		}
		if name != "" {
			return fmt.Errorf("event named %q", name)
		}
		switch string(data) {
		case "[DONE]":
			done = true
			return nil
		case `{"error": true, "message": "empty or unsupported transformer response"}`:
			failed = true // Kong's words for a stream of which nothing can be read
			if chunks > 0 {
				return fmt.Errorf("%s behind something that could be read", data)
			}
			return nil
		}
		var c struct {
			ID, Object, Model string
			Created           json.Number
			Error             *struct{ Message, Type string }
			Usage             *wireUsage
			Choices           *[]struct {
				Index  *int
				Reason *string `json:"finish_reason"`
				Delta  *struct {
					Role      *string
					Content   json.RawMessage
					Reasoning *string    `json:"reasoning_content"`
					Calls     []wireCall `json:"tool_calls"`
				}
			}
		}
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("%s: %w", data, err)
		}
		if c.Error != nil {
			failed = true
			if c.Error.Message == "" {
				return fmt.Errorf("%s says nothing", data)
			}
			return nil
		}
		if c.Choices == nil {
			return fmt.Errorf("%s has no choices", data)
		}
		if passed && len(*c.Choices) == 0 && c.Usage == nil {
			return nil // Azure's words about the prompt
		}
		if chunks++; chunks == 1 {
			id, model, created = c.ID, c.Model, c.Created
		}
		if c.Object != "chat.completion.chunk" || c.ID == "" && !passed || c.ID != id || c.Model == "" || c.Model != model || c.Created == "" || c.Created != created {
			return fmt.Errorf("%s is another answer than %s of %s, %s", data, id, model, created)
		}
		if c.Usage != nil {
			counts++
			if err := c.Usage.check(); err != nil {
				return err
			}
		}
		for _, got := range *c.Choices {
			if got.Index == nil || got.Delta == nil {
				return fmt.Errorf("%s has a choice without index or delta", data)
			}
			at := choices[*got.Index]
			if at == nil {
				at = new(choice)
				choices[*got.Index] = at
			}
			if at.closed {
				return fmt.Errorf("%s behind the closing chunk", data)
			}
			if got.Delta.Role != nil {
				if at.role && !passed || *got.Delta.Role != "assistant" {
					return fmt.Errorf("%s names a role again, or a wrong one", data)
				}
				at.role = true
			}
			if !at.role {
				return fmt.Errorf("%s before the role", data)
			}
			if text := got.Delta.Content; len(text) > 0 && text[0] != '"' && text[0] != 'n' && !passed {
				return fmt.Errorf("%s says something that is no text", data)
			}
			for _, call := range got.Delta.Calls {
				if call.Index == nil || *call.Index > at.calls || *call.Index < 0 {
					return fmt.Errorf("%s has a call out of order", data)
				}
				if *call.Index == at.calls {
					at.calls++
					at.arguments = append(at.arguments, "")
					if call.ID == nil || *call.ID == "" || call.Type == nil || *call.Type != "function" || call.Function == nil || call.Function.Name == nil || *call.Function.Name == "" {
						return fmt.Errorf("%s opens a call that is not whole", data)
					}
				} else if call.ID != nil || call.Function != nil && call.Function.Name != nil {
					return fmt.Errorf("%s names a call again", data)
				}
				if call.Function != nil && call.Function.Arguments != nil {
					at.arguments[*call.Index] += *call.Function.Arguments
				}
			}
			if got.Reason != nil {
				at.closed = true
				if !openAIReasons[*got.Reason] || at.calls > 0 != (*got.Reason == "tool_calls") {
					return fmt.Errorf("%s ends an answer with %d calls", data, at.calls)
				}
				for _, text := range at.arguments {
					if !json.Valid([]byte(text)) {
						return fmt.Errorf("arguments %q", text)
					}
				}
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return failed, err
	case done == failed:
		return failed, fmt.Errorf("end mark %v, failure %v", done, failed)
	case done && len(choices) == 0:
		return failed, errors.New("no choices")
	case done && counts == 0:
		return failed, errors.New("no counts, though they were asked for")
	case counts > 1:
		return failed, errors.New("counts twice")
	}
	for index, c := range choices {
		if done && !c.closed {
			return failed, fmt.Errorf("choice %d is not closed", index)
		}
	}
	return failed, nil
}

// openAIAnswer checks a whole chat.completion.
func openAIAnswer(body string) error {
	var a struct {
		ID, Object, Model string
		Created           json.Number
		Usage             *wireUsage
		Choices           []struct {
			Index   *int
			Reason  *string `json:"finish_reason"`
			Message map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		return err
	}
	if a.ID == "" || a.Object != "chat.completion" || a.Model == "" || a.Created == "" || len(a.Choices) == 0 {
		return errors.New("something is missing")
	}
	if _, err := a.Created.Int64(); err != nil {
		return err
	}
	for _, c := range a.Choices {
		var calls []wireCall
		if text, ok := c.Message["tool_calls"]; ok {
			if err := json.Unmarshal(text, &calls); err != nil {
				return err
			}
		}
		if _, ok := c.Message["content"]; !ok || c.Index == nil || string(c.Message["role"]) != `"assistant"` {
			return errors.New("content, index or role is missing")
		}
		if c.Reason == nil || !openAIReasons[*c.Reason] || len(calls) > 0 != (*c.Reason == "tool_calls") {
			return fmt.Errorf("an end with %d calls", len(calls))
		}
		for _, call := range calls {
			if call.ID == nil || *call.ID == "" || call.Type == nil || *call.Type != "function" || call.Function == nil || call.Function.Name == nil || call.Function.Arguments == nil || !json.Valid([]byte(*call.Function.Arguments)) {
				return errors.New("a call is not whole")
			}
		}
	}
	if a.Usage == nil {
		return nil // the provider counts nothing
	}
	return a.Usage.check()
}

// anthropicBlock is a block of an answer in Anthropic's format.
type anthropicBlock struct {
	Type, ID, Name       string
	Text, Thinking, Data *string
	Signature            *string
	Input                map[string]any
}

var anthropicReasons = map[string]bool{"end_turn": true, "max_tokens": true, "stop_sequence": true, "tool_use": true, "pause_turn": true, "refusal": true, "model_context_window_exceeded": true}

// anthropicStream checks a stream against the grammar of Anthropic's format: names
// that match the data, one block at a time, numbers that rise by one, pieces that
// fit their block, one end and nothing behind it. passed says that the provider's
// own events were passed on, among which may be new ones.
func anthropicStream(stream string, passed bool) (failed bool, err error) {
	var started, delta, stopped, signed bool
	var open, arguments string
	var uses int
	next := 0
	err = streamEvents(stream, func(name string, data []byte) error {
		var e struct {
			Type    string
			Index   *int
			Message *struct {
				ID, Type, Role, Model string
				Content               []any
				Usage                 map[string]any
			}
			Block *anthropicBlock `json:"content_block"`
			Delta *struct {
				Type                      string
				Text, Thinking, Signature *string
				Partial                   *string `json:"partial_json"`
				Reason                    *string `json:"stop_reason"`
			}
			Usage map[string]any
			Error *struct{ Type, Message string }
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("%s: %w", data, err)
		}
		wrong := func(why string) error { return fmt.Errorf("%s: %s", data, why) }
		switch {
		case name != e.Type:
			return wrong("named " + name)
		case stopped || failed:
			return wrong("behind the end")
		case name == "error":
			failed = true
			if e.Error == nil || e.Error.Type == "" || e.Error.Message == "" {
				return wrong("says nothing")
			}
			return nil
		case !started:
			started = true
			m := e.Message
			if name != "message_start" || m == nil || m.Type != "message" || m.Role != "assistant" || m.ID == "" || m.Model == "" || m.Content == nil || m.Usage == nil {
				return wrong("is no beginning")
			}
			return nil
		case name == "ping":
			return nil
		case delta && name != "message_delta" && name != "message_stop":
			return wrong("behind the message_delta")
		case strings.HasPrefix(name, "content_block_") && (e.Index == nil || *e.Index != next):
			return wrong(fmt.Sprintf("where block %d is due", next))
		}
		switch name {
		case "content_block_start":
			if open != "" || e.Block == nil {
				return wrong("while a block is open")
			}
			open, signed, arguments = e.Block.Type, false, ""
			return e.Block.check(true)
		case "content_block_delta":
			if e.Delta == nil || signed {
				return wrong("is no piece, or follows a signature")
			}
			switch open + " " + e.Delta.Type {
			case "text text_delta":
				if e.Delta.Text == nil {
					return wrong("lacks its text")
				}
			case "thinking thinking_delta":
				if e.Delta.Thinking == nil {
					return wrong("lacks its text")
				}
			case "thinking signature_delta":
				signed = true
			case "tool_use input_json_delta":
				if e.Delta.Partial == nil {
					return wrong("lacks its text")
				}
				arguments += *e.Delta.Partial
			default:
				if !passed {
					return wrong("in a " + open)
				}
			}
		case "content_block_stop":
			if open == "" {
				return wrong("nothing is open")
			}
			if open == "tool_use" {
				uses++
				var input map[string]any
				if arguments != "" && json.Unmarshal([]byte(arguments), &input) != nil {
					return wrong("input " + arguments)
				}
			}
			open = ""
			next++
		case "message_delta":
			if open != "" || e.Delta == nil || e.Delta.Reason == nil || e.Usage == nil {
				return wrong("is no end")
			}
			if !anthropicReasons[*e.Delta.Reason] || uses > 0 != (*e.Delta.Reason == "tool_use") {
				return wrong(fmt.Sprintf("ends an answer with %d calls", uses))
			}
			delta = true
		case "message_stop":
			if !delta {
				return wrong("without a message_delta")
			}
			stopped = true
		default:
			if !passed {
				return wrong("unknown")
			}
		}
		return nil
	})
	if err == nil && stopped == failed {
		err = fmt.Errorf("end mark %v, failure %v", stopped, failed)
	}
	return failed, err
}

// check checks a block; opens says that it has just begun, and is to be empty.
func (b *anthropicBlock) check(opens bool) error {
	ok := false
	switch b.Type {
	case "text":
		ok = b.Text != nil && (*b.Text == "") == opens
	case "thinking":
		ok = b.Thinking != nil && b.Signature != nil
	case "redacted_thinking":
		ok = b.Data != nil && *b.Data != ""
	case "tool_use":
		ok = b.ID != "" && b.Name != "" && b.Input != nil && (!opens || len(b.Input) == 0)
	}
	if !ok {
		return fmt.Errorf("a %s is no block", b.Type)
	}
	return nil
}

// anthropicAnswer checks a whole message.
func anthropicAnswer(body string) error {
	var m struct {
		ID, Type, Role, Model string
		Content               []anthropicBlock
		Reason                string `json:"stop_reason"`
		Usage                 *struct {
			Input  *int `json:"input_tokens"`
			Output *int `json:"output_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return err
	}
	if m.ID == "" || m.Type != "message" || m.Role != "assistant" || m.Model == "" || m.Content == nil || m.Usage == nil || m.Usage.Input == nil || m.Usage.Output == nil {
		return errors.New("something is missing")
	}
	uses := 0
	for i := range m.Content {
		if err := m.Content[i].check(false); err != nil {
			return err
		}
		if m.Content[i].Type == "tool_use" {
			uses++
		}
	}
	if !anthropicReasons[m.Reason] || uses > 0 != (m.Reason == "tool_use") {
		return fmt.Errorf("%s ends a message with %d calls", m.Reason, uses)
	}
	return nil
}
