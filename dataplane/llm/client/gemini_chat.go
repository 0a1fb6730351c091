package client

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Chat reads a call that Read has read as a chat in neutral terms. What has
// another shape than expected is kept as it came.
func (g *Gemini) Chat(r *llm.Request) (*llm.ChatCall, error) {
	streams := r.Streams
	c := &llm.ChatCall{Origin: llm.Gemini, Model: r.Model, Options: llm.Options{Stream: &streams}}
	var system *llm.Message
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := value[0] == '{' || value[0] == '['
		switch {
		case name == "contents" && known:
			geminiEach(value, func(turn []byte) { c.Messages = appendGeminiTurn(c.Messages, turn) })
		case geminiIs(name, "systemInstruction") && value[0] == '{':
			system = &llm.Message{Role: llm.RoleSystem}
			llm.Members(value, func(name string, value []byte) bool {
				if name == "parts" {
					geminiEach(value, func(part []byte) { system.Parts = append(system.Parts, readGeminiPart(part)) })
				}
				return true
			})
		case geminiIs(name, "generationConfig") && value[0] == '{':
			readGeminiConfig(c, value)
		case name == "tools" && known:
			geminiEach(value, func(tool []byte) { c.Tools = appendGeminiTools(c.Tools, tool) })
		case geminiIs(name, "toolConfig") && value[0] == '{':
			c.ToolChoice = readGeminiChoice(value)
		case name == "model":
		default:
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	if system != nil {
		c.Messages = append([]llm.Message{*system}, c.Messages...)
	}
	return c, nil
}

// Completion is refused: Google has no completions of bare texts.
func (g *Gemini) Completion(*llm.Request) (*llm.CompletionCall, error) {
	return nil, &Error{Message: "Gemini's format has no completions"}
}

// Embedding reads a call that Read has read as one for vectors in neutral terms.
func (g *Gemini) Embedding(r *llm.Request) (*llm.EmbeddingCall, error) {
	c := &llm.EmbeddingCall{Origin: llm.Gemini, Model: r.Model}
	// text takes the texts of one content, which stand for one vector.
	text := func(content []byte) {
		if content[0] == '"' {
			c.Texts = append(c.Texts, llm.Unquote(content))
			return
		}
		var texts []string
		llm.Members(content, func(name string, value []byte) bool {
			if name == "parts" {
				geminiEach(value, func(part []byte) {
					if p := readGeminiPart(part); p.Kind == llm.PartText {
						texts = append(texts, p.Text)
					}
				})
			}
			return true
		})
		c.Texts = append(c.Texts, strings.Join(texts, " "))
	}
	// one takes one request for a vector.
	one := func(object []byte) {
		llm.Members(object, func(name string, value []byte) bool {
			switch {
			case name == "content":
				text(value)
			case geminiIs(name, "outputDimensionality"):
				number(&c.Dimensions, value)
			}
			return true
		})
	}
	llm.Members(r.Body, func(name string, value []byte) bool {
		switch {
		case name == "content":
			text(value)
		case name == "requests" || name == "instances":
			c.List = true
			geminiEach(value, one)
		case name == "parameters":
			one(value)
		case geminiIs(name, "outputDimensionality"):
			number(&c.Dimensions, value)
		case name == "model":
		default:
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return c, nil
}

// geminiIs says whether a name is the one that is given in camelCase, in that
// spelling or in snake_case.
func geminiIs(name, camel string) bool {
	i := 0
	for j := range len(camel) {
		c := camel[j]
		if i < len(name) && name[i] == '_' && c >= 'A' && c <= 'Z' {
			i++
			c |= 0x20
		}
		if i >= len(name) || name[i] != c {
			return false
		}
		i++
	}
	return i == len(name)
}

// appendGeminiTurn appends the messages that a turn is: one for each result of a
// tool, and one for the rest.
func appendGeminiTurn(messages []llm.Message, turn []byte) []llm.Message {
	m := llm.Message{Role: llm.RoleUser}
	parts := false
	llm.Members(turn, func(name string, value []byte) bool {
		switch name {
		case "role":
			if string(value) == `"model"` {
				m.Role = llm.RoleAssistant
			}
		case "parts":
			geminiEach(value, func(part []byte) {
				parts = true
				if response, ok := readGeminiResponse(part); ok {
					messages = append(messages, response)
				} else if call, ok := readGeminiCall(part); ok {
					m.Calls = append(m.Calls, call)
				} else {
					m.Parts = append(m.Parts, readGeminiPart(part))
				}
			})
		default:
			m.Extra = append(m.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	if parts && len(m.Parts) == 0 && len(m.Calls) == 0 {
		return messages
	}
	return append(messages, m)
}

// readGeminiResponse reads a part that is a result of a tool.
func readGeminiResponse(part []byte) (m llm.Message, ok bool) {
	llm.Members(part, func(name string, value []byte) bool {
		if !geminiIs(name, "functionResponse") || value[0] != '{' {
			return true
		}
		ok = true
		m.Role = llm.RoleTool
		var id, function string
		llm.Members(value, func(name string, value []byte) bool {
			switch name {
			case "id":
				text(&id, value)
			case "name":
				text(&function, value)
			case "response":
				m.Plain = true
				m.Parts = []llm.Part{{Kind: llm.PartText, Text: string(bytes.TrimSpace(value))}}
			default:
				m.Extra = append(m.Extra, llm.Member{Name: name, Value: value})
			}
			return true
		})
		m.CallID = cmp.Or(id, function)
		return false
	})
	return m, ok
}

// readGeminiCall reads a part that is a call. Calls without an id are known by
// the function's name, as by Kong.
func readGeminiCall(part []byte) (c llm.ToolCall, ok bool) {
	llm.Members(part, func(name string, value []byte) bool {
		switch {
		case geminiIs(name, "functionCall") && value[0] == '{':
			ok = true
			c.Arguments = "{}"
			llm.Members(value, func(name string, value []byte) bool {
				switch name {
				case "id":
					text(&c.ID, value)
				case "name":
					text(&c.Name, value)
				case "args":
					if value[0] == '{' {
						c.Arguments = string(value)
					}
				}
				return true
			})
		case geminiIs(name, "thoughtSignature"):
			text(&c.Signature, value)
		}
		return true
	})
	c.ID = cmp.Or(c.ID, c.Name)
	return c, ok
}

// readGeminiPart reads any other part.
func readGeminiPart(part []byte) llm.Part {
	var p llm.Part
	thought, whole := false, true // whole: the fields hold all of it
	llm.Members(part, func(name string, value []byte) bool {
		switch {
		case name == "text" && value[0] == '"':
			whole = whole && p.Kind == llm.PartOther
			p.Kind, p.Text = llm.PartText, llm.Unquote(value)
		case name == "thought":
			thought = value[0] == 't'
		case geminiIs(name, "thoughtSignature"):
			whole = text(&p.Signature, value) && whole
		case (geminiIs(name, "inlineData") || geminiIs(name, "fileData")) && value[0] == '{':
			whole = whole && p.Kind == llm.PartOther
			llm.Members(value, func(name string, value []byte) bool {
				switch {
				case geminiIs(name, "mimeType"):
					whole = text(&p.MediaType, value) && whole
				case geminiIs(name, "fileUri"):
					whole = text(&p.URL, value) && whole
				case name == "data" && value[0] == '"':
					// It is not copied, as it may be large.
					if p.Data = value[1 : len(value)-1]; bytes.IndexByte(p.Data, '\\') >= 0 {
						p.Data = []byte(llm.Unquote(value))
					}
				default:
					whole = false
				}
				return true
			})
			kind, format, _ := strings.Cut(p.MediaType, "/")
			switch kind {
			case "audio":
				p.Kind, p.Format = llm.PartAudio, format
			case "image", "":
				p.Kind = llm.PartImage
			default:
				p.Kind = llm.PartFile
			}
		default:
			whole = false
		}
		return true
	})
	if !whole || p.Kind == llm.PartOther {
		p.JSON = part
	}
	if thought && p.Kind == llm.PartText {
		p.Kind = llm.PartReasoning
	}
	return p
}

// appendGeminiTools appends the functions that an entry of the tools declares; an
// entry that declares none is kept as it came.
func appendGeminiTools(tools []llm.Tool, entry []byte) []llm.Tool {
	before := len(tools)
	llm.Members(entry, func(name string, value []byte) bool {
		if !geminiIs(name, "functionDeclarations") {
			return true
		}
		geminiEach(value, func(function []byte) {
			var t llm.Tool
			llm.Members(function, func(name string, value []byte) bool {
				switch {
				case name == "name":
					text(&t.Name, value)
				case name == "description":
					text(&t.Description, value)
				case name == "parameters" || geminiIs(name, "parametersJsonSchema"):
					t.Parameters = value
				}
				return true
			})
			tools = append(tools, t)
		})
		return true
	})
	if len(tools) == before {
		tools = append(tools, llm.Tool{JSON: entry})
	}
	return tools
}

func readGeminiChoice(config []byte) (c llm.ToolChoice) {
	c.JSON = config
	llm.Members(config, func(name string, value []byte) bool {
		if !geminiIs(name, "functionCallingConfig") {
			return true
		}
		var mode string
		var names []string
		llm.Members(value, func(name string, value []byte) bool {
			switch {
			case name == "mode":
				text(&mode, value)
			case geminiIs(name, "allowedFunctionNames"):
				names, _, _ = texts(value)
			}
			return true
		})
		switch strings.ToUpper(mode) {
		case "AUTO":
			c = llm.ToolChoice{Mode: "auto"}
		case "NONE":
			c = llm.ToolChoice{Mode: "none"}
		case "ANY":
			if len(names) == 0 {
				c = llm.ToolChoice{Mode: "required"}
			} else if len(names) == 1 {
				c = llm.ToolChoice{Mode: "function", Name: names[0]}
			}
		}
		return true
	})
	return c
}

// readGeminiConfig reads the options of the answer; what the neutral terms have
// no word for is kept under the name that it came under.
func readGeminiConfig(c *llm.ChatCall, config []byte) {
	var mime string
	var rest []byte
	llm.Members(config, func(name string, value []byte) bool {
		known := false
		switch {
		case name == "temperature":
			known = number(&c.Temperature, value)
		case geminiIs(name, "maxOutputTokens"):
			known = number(&c.MaxTokens, value)
		case geminiIs(name, "topP"):
			known = number(&c.TopP, value)
		case geminiIs(name, "topK"):
			known = number(&c.TopK, value)
		case geminiIs(name, "stopSequences"):
			c.Stop, c.StopList, known = texts(value)
		case geminiIs(name, "responseMimeType"):
			known = text(&mime, value)
		case geminiIs(name, "responseSchema") || geminiIs(name, "responseJsonSchema"):
			c.Output.Schema, known = value, true
		case geminiIs(name, "thinkingConfig"):
			readGeminiThinking(&c.Reasoning, value)
			known = true
		}
		if !known {
			rest = append(rest, "{,"[min(len(rest), 1)])
			rest = append(llm.AppendQuoted(rest, name), ':')
			rest = append(rest, value...)
		}
		return true
	})
	if rest != nil {
		c.Extra = append(c.Extra, llm.Member{Name: "generationConfig", Value: append(rest, '}')})
	}
	switch {
	case c.Output.Schema != nil:
		c.Output.Kind = "json_schema"
	case mime == "application/json":
		c.Output.Kind = "json_object"
	}
}

func readGeminiThinking(r *llm.Reasoning, config []byte) {
	llm.Members(config, func(name string, value []byte) bool {
		switch {
		case geminiIs(name, "thinkingBudget"):
			switch string(value) {
			case "0":
				r.Mode = "disabled"
			case "-1":
				r.Mode = "adaptive"
			default:
				r.Mode = "enabled"
				number(&r.Budget, value)
			}
		case geminiIs(name, "thinkingLevel"):
			text(&r.Effort, value)
			r.Effort = strings.ToLower(r.Effort)
		}
		return true
	})
}
