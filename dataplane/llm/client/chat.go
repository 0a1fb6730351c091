package client

import (
	"bytes"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Chat reads a call that Read has read as a chat in neutral terms. What has
// another shape than expected is kept as it came.
func (o *OpenAI) Chat(r *llm.Request) (*llm.ChatCall, error) {
	c := &llm.ChatCall{Origin: llm.OpenAI}
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "model":
			known = word(&c.Model, value)
		case "messages":
			known = list(value, '{', func(message []byte) { c.Messages = append(c.Messages, readMessage(message)) })
		case "tools":
			known = list(value, '{', func(tool []byte) { c.Tools = append(c.Tools, readTool(tool)) })
		case "tool_choice":
			c.ToolChoice, known = readToolChoice(value), true
		default:
			known = readOption(&c.Options, name, value)
		}
		if !known {
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return c, nil
}

// Completion reads a call that Read has read as a completion in neutral terms.
func (o *OpenAI) Completion(r *llm.Request) (*llm.CompletionCall, error) {
	c := &llm.CompletionCall{Origin: llm.OpenAI}
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "model":
			known = word(&c.Model, value)
		case "prompt":
			c.Prompts, c.List, known = texts(value)
		default:
			known = readOption(&c.Options, name, value)
		}
		if !known {
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return c, nil
}

func readOption(o *llm.Options, name string, value []byte) bool {
	switch name {
	case "max_tokens":
		return number(&o.MaxTokens, value)
	case "max_completion_tokens":
		return number(&o.MaxCompletionTokens, value)
	case "temperature":
		return number(&o.Temperature, value)
	case "top_p":
		return number(&o.TopP, value)
	case "top_k":
		return number(&o.TopK, value)
	case "stop":
		var known bool
		o.Stop, o.StopList, known = texts(value)
		return known
	case "stream":
		return truth(&o.Stream, value)
	}
	return false
}

func readMessage(message []byte) (m llm.Message) {
	llm.Members(message, func(name string, value []byte) bool {
		known := false
		switch name {
		case "role":
			var role string
			known = word(&role, value)
			m.Role = llm.Role(role)
		case "content":
			if value[0] == '"' {
				m.Plain, known = true, true
				m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: llm.Unquote(value)})
			} else {
				known = list(value, '{', func(part []byte) { m.Parts = append(m.Parts, readPart(part)) })
			}
		case "tool_calls":
			known = list(value, '{', func(call []byte) { m.Calls = append(m.Calls, readCall(call)) })
		case "tool_call_id":
			known = word(&m.CallID, value)
		}
		if !known {
			m.Extra = append(m.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return m
}

func readPart(part []byte) llm.Part {
	var p llm.Part
	var kind, data string
	whole := true // the fields hold all of it
	llm.Members(part, func(name string, value []byte) bool {
		switch {
		case name == "type":
			whole = text(&kind, value) && whole
		case name == "text" || name == "refusal":
			whole = p.Kind == 0 && text(&p.Text, value) && whole
			p.Kind = map[string]llm.PartKind{"text": llm.PartText, "refusal": llm.PartRefusal}[name]
		case name == "image_url":
			whole = p.Kind == 0 && pair(value, "url", &p.URL, "detail", &p.Detail) && p.URL != "" && whole
			p.Kind = llm.PartImage
		case name == "input_audio":
			whole = p.Kind == 0 && pair(value, "data", &data, "format", &p.Format) && data != "" && p.Format != "" && whole
			p.Kind, p.Data = llm.PartAudio, []byte(data)
		default:
			whole = false
		}
		return true
	})
	if kind != partTypes[p.Kind] || p.Kind == llm.PartOther {
		p.Kind, whole = llm.PartOther, false
	}
	if !whole {
		p.JSON = part
	}
	return p
}

var partTypes = map[llm.PartKind]string{
	llm.PartText: "text", llm.PartImage: "image_url", llm.PartAudio: "input_audio", llm.PartRefusal: "refusal",
}

func readCall(call []byte) llm.ToolCall {
	var c llm.ToolCall
	var kind string
	whole, function, named, arguments := true, false, false, false
	llm.Members(call, func(name string, value []byte) bool {
		switch name {
		case "id":
			whole = text(&c.ID, value) && whole
		case "type":
			whole = text(&kind, value) && whole
		case "function":
			function = value[0] == '{'
			llm.Members(value, func(name string, value []byte) bool {
				switch name {
				case "name":
					named = text(&c.Name, value)
				case "arguments":
					arguments = text(&c.Arguments, value)
				default:
					whole = false
				}
				return true
			})
		default:
			whole = false
		}
		return true
	})
	if !whole || !function || !named || !arguments || kind != "function" || c.ID == "" {
		c.JSON = call
	}
	return c
}

func readTool(tool []byte) llm.Tool {
	var out llm.Tool
	var kind string
	whole, named, described := true, false, true
	llm.Members(tool, func(name string, value []byte) bool {
		switch name {
		case "type":
			whole = text(&kind, value) && whole
		case "function":
			llm.Members(value, func(name string, value []byte) bool {
				switch name {
				case "name":
					named = text(&out.Name, value)
				case "description":
					described = text(&out.Description, value) && out.Description != ""
				case "parameters":
					out.Parameters = value
				case "strict":
					whole = truth(&out.Strict, value) && whole
				default:
					whole = false
				}
				return true
			})
		default:
			whole = false
		}
		return true
	})
	if !whole || !named || !described || kind != "function" {
		out.JSON = tool
	}
	return out
}

func readToolChoice(value []byte) (c llm.ToolChoice) {
	var mode string
	if text(&mode, value) {
		switch mode {
		case "none", "auto", "required":
			c.Mode = mode
			return c
		}
	}
	named, kind := false, ""
	whole := value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		switch name {
		case "type":
			whole = text(&kind, value) && whole
		case "function":
			var none string
			named = pair(value, "name", &c.Name, "", &none) && c.Name != ""
		default:
			whole = false
		}
		return true
	})
	if whole && named && kind == "function" {
		c.Mode = kind
		return c
	}
	return llm.ToolChoice{JSON: value}
}

// pair reads an object that has one or two texts and nothing else.
func pair(value []byte, first string, a *string, second string, b *string) bool {
	whole := value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		switch {
		case name == first:
			whole = text(a, value) && whole
		case name == second && second != "":
			// An empty text would be left out again.
			whole = text(b, value) && *b != "" && whole
		default:
			whole = false
		}
		return true
	})
	return whole
}

func text(into *string, value []byte) bool {
	if value[0] != '"' {
		return false
	}
	*into = llm.Unquote(value)
	return true
}

// word reads a text that says something: an empty one would be left out when it
// is written.
func word(into *string, value []byte) bool { return len(value) > 2 && text(into, value) }

func number(into *string, value []byte) bool {
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return false
	}
	*into = string(value)
	return true
}

func truth(into **bool, value []byte) bool {
	is := value[0] == 't'
	if !is && value[0] != 'f' {
		return false
	}
	*into = &is
	return true
}

// texts reads a text or a list of nothing but texts.
func texts(value []byte) (all []string, isList, ok bool) {
	if value[0] == '"' {
		return []string{llm.Unquote(value)}, false, true
	}
	ok = list(value, '"', func(element []byte) { all = append(all, llm.Unquote(element)) })
	return all, ok, ok
}

// list reads a list whose elements are all of the kind that starts with a byte,
// and which has some; it calls f only when that is so.
func list(value []byte, kind byte, f func(element []byte)) bool {
	if value[0] != '[' {
		return false
	}
	count, fits := 0, true
	llm.Elements(value, func(element []byte) bool {
		count++
		fits = element[0] == kind
		return fits
	})
	if !fits || count == 0 {
		return false
	}
	llm.Elements(value, func(element []byte) bool {
		f(element)
		return true
	})
	return true
}

// AppendChat appends a chat in OpenAI's format.
func AppendChat(dst []byte, c *llm.ChatCall) []byte {
	w := writer{out: append(dst, '{')}
	w.text("model", c.Model, c.Model != "")
	if len(c.Messages) > 0 {
		w.name("messages")
		w.list(len(c.Messages), func(i int) { w.message(&c.Messages[i]) })
	}
	if len(c.Tools) > 0 {
		w.name("tools")
		w.list(len(c.Tools), func(i int) { w.tool(&c.Tools[i]) })
	}
	switch choice := &c.ToolChoice; {
	case choice.JSON != nil:
		w.raw("tool_choice", choice.JSON)
	case choice.Mode == "function":
		w.name("tool_choice")
		w.out = append(w.out, `{"type":"function","function":{"name":`...)
		w.out = append(llm.AppendQuoted(w.out, choice.Name), "}}"...)
	case choice.Mode != "":
		w.text("tool_choice", choice.Mode, true)
	}
	w.options(&c.Options)
	return append(w.extra(c.Extra), '}')
}

// AppendCompletion appends a completion in OpenAI's format.
func AppendCompletion(dst []byte, c *llm.CompletionCall) []byte {
	w := writer{out: append(dst, '{')}
	w.text("model", c.Model, c.Model != "")
	w.texts("prompt", c.Prompts, c.List)
	w.options(&c.Options)
	return append(w.extra(c.Extra), '}')
}

// writer appends the members of objects.
type writer struct{ out []byte }

// name starts a member, with a comma when it is not the first.
func (w *writer) name(name string) {
	if last := w.out[len(w.out)-1]; last != '{' {
		w.out = append(w.out, ',')
	}
	w.out = append(llm.AppendQuoted(w.out, name), ':')
}

func (w *writer) text(name, value string, when bool) {
	if when {
		w.name(name)
		w.out = llm.AppendQuoted(w.out, value)
	}
}

func (w *writer) raw(name string, value []byte) {
	w.name(name)
	w.out = append(w.out, value...)
}

func (w *writer) number(name, value string) {
	if value != "" {
		w.raw(name, []byte(value))
	}
}

func (w *writer) truth(name string, value *bool) {
	if value == nil {
		return
	}
	w.name(name)
	if *value {
		w.out = append(w.out, "true"...)
	} else {
		w.out = append(w.out, "false"...)
	}
}

func (w *writer) list(n int, element func(int)) {
	w.out = append(w.out, '[')
	for i := range n {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		element(i)
	}
	w.out = append(w.out, ']')
}

func (w *writer) texts(name string, values []string, asList bool) {
	switch {
	case len(values) == 0:
	case len(values) == 1 && !asList:
		w.text(name, values[0], true)
	default:
		w.name(name)
		w.list(len(values), func(i int) { w.out = llm.AppendQuoted(w.out, values[i]) })
	}
}

func (w *writer) extra(members []llm.Member) []byte {
	for _, m := range members {
		w.raw(m.Name, m.Value)
	}
	return w.out
}

func (w *writer) options(o *llm.Options) {
	w.number("max_tokens", o.MaxTokens)
	w.number("max_completion_tokens", o.MaxCompletionTokens)
	w.number("temperature", o.Temperature)
	w.number("top_p", o.TopP)
	w.number("top_k", o.TopK)
	w.texts("stop", o.Stop, o.StopList)
	w.truth("stream", o.Stream)
}

func (w *writer) message(m *llm.Message) {
	w.out = append(w.out, '{')
	w.text("role", string(m.Role), m.Role != "")
	switch {
	case m.Plain && len(m.Parts) == 1:
		w.text("content", m.Parts[0].Text, true)
	case len(m.Parts) > 0:
		w.name("content")
		w.list(len(m.Parts), func(i int) { w.part(&m.Parts[i]) })
	}
	if len(m.Calls) > 0 {
		w.name("tool_calls")
		w.list(len(m.Calls), func(i int) { w.call(&m.Calls[i]) })
	}
	w.text("tool_call_id", m.CallID, m.CallID != "")
	w.out = append(w.extra(m.Extra), '}')
}

func (w *writer) part(p *llm.Part) {
	if p.JSON != nil {
		w.out = append(w.out, bytes.TrimSpace(p.JSON)...)
		return
	}
	w.out = append(w.out, '{')
	w.text("type", partTypes[p.Kind], true)
	switch p.Kind {
	case llm.PartText:
		w.text("text", p.Text, true)
	case llm.PartRefusal:
		w.text("refusal", p.Text, true)
	case llm.PartImage:
		w.name("image_url")
		w.out = append(w.out, '{')
		w.text("url", p.URL, true)
		w.text("detail", p.Detail, p.Detail != "")
		w.out = append(w.out, '}')
	case llm.PartAudio:
		w.name("input_audio")
		w.out = append(w.out, '{')
		w.text("data", string(p.Data), true)
		w.text("format", p.Format, true)
		w.out = append(w.out, '}')
	}
	w.out = append(w.out, '}')
}

func (w *writer) call(c *llm.ToolCall) {
	if c.JSON != nil {
		w.out = append(w.out, c.JSON...)
		return
	}
	w.out = append(w.out, '{')
	w.text("id", c.ID, true)
	w.text("type", "function", true)
	w.name("function")
	w.out = append(w.out, '{')
	w.text("name", c.Name, true)
	w.text("arguments", c.Arguments, true)
	w.out = append(w.out, "}}"...)
}

func (w *writer) tool(t *llm.Tool) {
	if t.JSON != nil {
		w.out = append(w.out, t.JSON...)
		return
	}
	w.out = append(w.out, '{')
	w.text("type", "function", true)
	w.name("function")
	w.out = append(w.out, '{')
	w.text("name", t.Name, true)
	w.text("description", t.Description, t.Description != "")
	if t.Parameters != nil {
		w.raw("parameters", t.Parameters)
	}
	w.truth("strict", t.Strict)
	w.out = append(w.out, "}}"...)
}

// Embedding reads a call that Read has read as one for vectors in neutral terms.
func (o *OpenAI) Embedding(r *llm.Request) (*llm.EmbeddingCall, error) {
	c := &llm.EmbeddingCall{Origin: llm.OpenAI}
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "model":
			known = word(&c.Model, value)
		case "input":
			if c.Texts, c.List, known = texts(value); known {
				break
			}
			// Tokens: one list of numbers, or a list of such lists.
			if known = list(value, '[', func(tokens []byte) { c.Tokens = append(c.Tokens, tokens) }); known {
				c.List = true
			} else if value[0] == '[' {
				c.Tokens, known = [][]byte{value}, true
			}
		case "dimensions":
			known = number(&c.Dimensions, value)
		case "encoding_format":
			known = word(&c.Encoding, value)
		case "user":
			known = word(&c.User, value)
		}
		if !known {
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return c, nil
}
