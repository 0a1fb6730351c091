package client

import (
	"bytes"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Chat reads a call that Read has read as a chat in neutral terms. What has
// another shape than expected is kept as it came.
func (a *Anthropic) Chat(r *llm.Request) (*llm.ChatCall, error) {
	c := &llm.ChatCall{Origin: llm.Anthropic}
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "model":
			known = word(&c.Model, value)
		case "system":
			var m llm.Message
			if m, known = anthropicSystemMessage(value); known {
				// The system speaks first, wherever in the body it stands.
				c.Messages = append([]llm.Message{m}, c.Messages...)
			}
		case "messages":
			known = list(value, '{', func(message []byte) { c.Messages = anthropicTurn(c.Messages, message) })
		case "tools":
			known = list(value, '{', func(tool []byte) { c.Tools = append(c.Tools, anthropicTool(tool)) })
		case "tool_choice":
			known = anthropicChoice(c, value)
		case "thinking":
			known = anthropicThought(&c.Reasoning, value)
		case "output_config":
			known = anthropicOutput(c, value)
		case "metadata":
			var none string
			known = pair(value, "user_id", &c.User, "", &none) && c.User != ""
		case "stop_sequences":
			c.Stop, c.StopList, known = texts(value)
		case "max_tokens", "temperature", "top_p", "top_k", "stream":
			known = readOption(&c.Options, name, value)
		}
		if !known {
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return c, nil
}

// anthropicSystemMessage reads what the system says. Blocks that are plain texts
// become one text; their marks for the cache, if they have any, keep them apart.
func anthropicSystemMessage(value []byte) (m llm.Message, ok bool) {
	m.Role = llm.RoleSystem
	if value[0] == '"' {
		m.Plain = true
		m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: llm.Unquote(value)})
		return m, len(value) > 2
	}
	plain := true
	ok = list(value, '{', func(block []byte) {
		p := anthropicPart(block)
		plain = plain && p.Kind == llm.PartText && p.Cache == nil && p.JSON == nil
		m.Parts = append(m.Parts, p)
	})
	if plain && ok {
		lines := make([]string, len(m.Parts))
		for i := range m.Parts {
			lines[i] = m.Parts[i].Text
		}
		m.Plain = true
		m.Parts = []llm.Part{{Kind: llm.PartText, Text: strings.Join(lines, "\n")}}
	}
	return m, ok
}

// anthropicTurn adds a turn to the messages: the results of tools first, each a
// message of its own, then the rest of it.
func anthropicTurn(messages []llm.Message, text []byte) []llm.Message {
	var m llm.Message
	results := false
	llm.Members(text, func(name string, value []byte) bool {
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
				break
			}
			known = list(value, '{', func(block []byte) {
				switch kind, _ := anthropicKind(block); kind {
				case "tool_use":
					m.Calls = append(m.Calls, anthropicCall(block))
				case "tool_result":
					results = true
					messages = append(messages, anthropicResult(block))
				default:
					m.Parts = append(m.Parts, anthropicPart(block))
				}
			})
		}
		if !known {
			m.Extra = append(m.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	if results && len(m.Parts) == 0 && len(m.Calls) == 0 {
		return messages // nothing but results
	}
	return append(messages, m)
}

var anthropicTypeNames = llm.NewLenientNames("type")

// anthropicKind is the type of a block.
func anthropicKind(block []byte) (kind string, ok bool) {
	var object llm.Object
	if object.Read(block, anthropicTypeNames) != nil {
		return "", false
	}
	return object.Text(0)
}

// anthropicPart reads a block that is no tool's.
func anthropicPart(block []byte) llm.Part {
	kind, _ := anthropicKind(block)
	p := llm.Part{}
	whole, read := true, false // the fields hold all of it; what makes it the kind it is was read
	llm.Members(block, func(name string, value []byte) bool {
		switch {
		case name == "type":
		case name == "cache_control" && value[0] == '{':
			p.Cache = value
		case value[0] == 'n':
			// null says nothing.
		case name == "text" && kind == "text":
			read = text(&p.Text, value)
		case name == "thinking" && kind == "thinking":
			read = text(&p.Text, value)
		case name == "signature" && kind == "thinking":
			whole = text(&p.Signature, value) && whole
		case name == "data" && kind == "redacted_thinking":
			p.Data, read = anthropicBytes(value), value[0] == '"'
		case name == "source" && (kind == "image" || kind == "document"):
			read = anthropicSource(&p, value)
		case name == "title" && kind == "document":
			whole = text(&p.Name, value) && whole
		default:
			whole = false
		}
		return true
	})
	switch {
	case kind == "search_result":
		// What was found is there to be read, so a model without such blocks reads it
		// as a text.
		p.Kind, p.Text, p.JSON = llm.PartText, anthropicFound(block), block
		return p
	case kind == "document" && read && p.Kind == llm.PartText:
		// So is a document that is a text.
		p.JSON = block
		return p
	case read:
		p.Kind = map[string]llm.PartKind{
			"text": llm.PartText, "thinking": llm.PartReasoning, "redacted_thinking": llm.PartRedacted,
			"image": llm.PartImage, "document": llm.PartFile,
		}[kind]
	}
	if !whole || p.Kind == llm.PartOther {
		p.JSON = block
	}
	return p
}

// anthropicBytes is the text of a quoted value; it points into it when nothing in
// it is escaped, as in base64, so that a large image is not copied.
func anthropicBytes(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	raw := value[1 : len(value)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	return llm.AppendUnquoted(nil, raw)
}

// anthropicSource reads where an image or a document is. One that is a text, or
// made of blocks, becomes the text of the part, whose kind then says so.
func anthropicSource(p *llm.Part, source []byte) bool {
	var kind string
	var data, content []byte
	llm.Members(source, func(name string, value []byte) bool {
		switch name {
		case "type":
			text(&kind, value)
		case "media_type":
			text(&p.MediaType, value)
		case "data":
			data = anthropicBytes(value)
		case "url":
			text(&p.URL, value)
		case "file_id":
			text(&p.FileID, value)
		case "content":
			content = value
		}
		return true
	})
	switch kind {
	case "base64":
		p.Data = data
		return data != nil && p.MediaType != ""
	case "url":
		return p.URL != ""
	case "file":
		return p.FileID != ""
	case "text":
		p.Kind, p.Text, p.MediaType = llm.PartText, string(data), ""
		return data != nil
	case "content":
		p.Kind, p.Text = llm.PartText, anthropicJoined(content)
		return content != nil
	}
	return false
}

// anthropicJoined is the text of a content: a text, or the texts of blocks, a line
// each.
func anthropicJoined(content []byte) string {
	if len(content) > 0 && content[0] == '"' {
		return llm.Unquote(content)
	}
	var lines []string
	llm.Elements(content, func(block []byte) bool {
		if p := anthropicPart(block); p.Kind == llm.PartText {
			lines = append(lines, p.Text)
		}
		return true
	})
	return strings.Join(lines, "\n")
}

// anthropicFound is what a search found, as a text: title, source and content.
func anthropicFound(block []byte) string {
	var title, source, content string
	llm.Members(block, func(name string, value []byte) bool {
		switch name {
		case "title":
			text(&title, value)
		case "source":
			text(&source, value)
		case "content":
			content = anthropicJoined(value)
		}
		return true
	})
	var lines []string
	for _, line := range []string{title, source, content} {
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// anthropicCall reads a call that the assistant made.
func anthropicCall(block []byte) llm.ToolCall {
	c := llm.ToolCall{Arguments: "{}"}
	llm.Members(block, func(name string, value []byte) bool {
		switch name {
		case "id":
			text(&c.ID, value)
		case "name":
			text(&c.Name, value)
		case "input":
			if value[0] == '{' {
				c.Arguments = string(appendAnthropicCompact(nil, value))
			}
		}
		return true
	})
	if c.ID == "" || c.Name == "" {
		c.JSON = block
	}
	return c
}

// appendAnthropicCompact appends a valid JSON text without the white space between
// its tokens; numbers and texts keep their spelling.
func appendAnthropicCompact(dst, json []byte) []byte {
	quoted := false
	for i := 0; i < len(json); i++ {
		switch c := json[i]; {
		case quoted && c == '\\':
			dst = append(dst, c, json[i+1])
			i++
			continue
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		dst = append(dst, json[i])
	}
	return dst
}

// anthropicResult reads what a tool answered as a message of the tool's.
func anthropicResult(block []byte) llm.Message {
	m := llm.Message{Role: llm.RoleTool}
	llm.Members(block, func(name string, value []byte) bool {
		known := false
		switch name {
		case "type":
			known = true
		case "tool_use_id":
			known = word(&m.CallID, value)
		case "is_error":
			var failed *bool
			if known = truth(&failed, value); known {
				m.Failed = *failed
			}
		case "content":
			if value[0] == '"' {
				m.Plain, known = true, true
				m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: llm.Unquote(value)})
				break
			}
			known = list(value, '{', func(block []byte) { m.Parts = append(m.Parts, anthropicPart(block)) })
		}
		if !known {
			m.Extra = append(m.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return m
}

// anthropicTool reads a tool. One with a type of its own is run by the vendor and
// stays as it came.
func anthropicTool(tool []byte) llm.Tool {
	var out llm.Tool
	kind := "custom"
	llm.Members(tool, func(name string, value []byte) bool {
		switch name {
		case "type":
			if value[0] != 'n' && !text(&kind, value) {
				kind = ""
			}
		case "name":
			text(&out.Name, value)
		case "description":
			text(&out.Description, value)
		case "input_schema":
			out.Parameters = value
		case "cache_control":
			if value[0] == '{' {
				out.Cache = value
			}
		case "strict":
			truth(&out.Strict, value)
		}
		return true
	})
	if kind != "custom" || out.Name == "" {
		return llm.Tool{JSON: tool}
	}
	return out
}

// anthropicChoice reads which tools must be used, and whether several at once.
func anthropicChoice(c *llm.ChatCall, value []byte) bool {
	var kind, name string
	var alone *bool
	llm.Members(value, func(member string, value []byte) bool {
		switch member {
		case "type":
			text(&kind, value)
		case "name":
			text(&name, value)
		case "disable_parallel_tool_use":
			truth(&alone, value)
		}
		return true
	})
	switch kind {
	case "auto", "none":
		c.ToolChoice.Mode = kind
	case "any":
		c.ToolChoice.Mode = "required"
	case "tool":
		c.ToolChoice.Mode, c.ToolChoice.Name = "function", name
	default:
		c.ToolChoice.JSON = value
	}
	if alone != nil && *alone {
		several := false
		c.ParallelCalls = &several
	}
	return true
}

// anthropicThought reads how much to think.
func anthropicThought(r *llm.Reasoning, value []byte) bool {
	llm.Members(value, func(name string, value []byte) bool {
		switch name {
		case "type":
			text(&r.Mode, value)
		case "budget_tokens":
			number(&r.Budget, value)
		}
		return true
	})
	return r.Mode != ""
}

// anthropicOutput reads the effort and the form of the answer.
func anthropicOutput(c *llm.ChatCall, value []byte) bool {
	whole := value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		switch name {
		case "effort":
			whole = text(&c.Reasoning.Effort, value) && whole
		case "format":
			if value[0] == 'n' {
				break
			}
			var kind string
			llm.Members(value, func(name string, value []byte) bool {
				switch name {
				case "type":
					text(&kind, value)
				case "schema":
					c.Output.Schema = value
				}
				return true
			})
			if kind == "json_schema" && c.Output.Schema != nil {
				c.Output.Kind = kind
			} else {
				c.Output = llm.Output{JSON: value}
			}
		default:
			whole = false
		}
		return true
	})
	return whole
}
