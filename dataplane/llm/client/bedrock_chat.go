package client

import (
	"bytes"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Chat reads a call that Read has read as a chat in neutral terms. What has
// another shape than expected is kept as it came. A body that a model itself
// takes is read as that of Anthropic's models, or as one message of the user.
func (b *Bedrock) Chat(r *llm.Request) (*llm.ChatCall, error) {
	streams := r.Streams
	if r.Fields.Has(bedrockVersion) && bedrockVerbOf(r) != bedrockConverse && bedrockVerbOf(r) != bedrockConverseStream {
		c, err := (&Anthropic{}).Chat(r)
		if err == nil {
			c.Model, c.Stream = r.Model, &streams
		}
		return c, err
	}
	c := &llm.ChatCall{Origin: llm.Bedrock, Model: r.Model, Options: llm.Options{Stream: &streams}}
	var system *llm.Message
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "messages":
			known = list(value, '{', func(message []byte) { c.Messages = appendBedrockMessages(c.Messages, message) })
		case "system":
			known = list(value, '{', func(block []byte) {
				if system == nil {
					system = &llm.Message{Role: llm.RoleSystem}
				}
				system.Parts = appendBedrockPart(system.Parts, block)
			})
		case "inferenceConfig":
			known = readBedrockInference(&c.Options, value)
		case "toolConfig":
			known = readBedrockTools(c, value)
		case "prompt", "inputText":
			var prompt string
			if known = word(&prompt, value); known {
				c.Messages = append(c.Messages, llm.Message{Role: llm.RoleUser, Plain: true, Parts: []llm.Part{{Kind: llm.PartText, Text: prompt}}})
			}
		}
		if !known {
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	if system != nil {
		c.Messages = append([]llm.Message{*system}, c.Messages...)
	}
	return c, nil
}

// Completion reads a call with a bare text, which some models take.
func (b *Bedrock) Completion(r *llm.Request) (*llm.CompletionCall, error) {
	streams := r.Streams
	c := &llm.CompletionCall{Origin: llm.Bedrock, Model: r.Model, Options: llm.Options{Stream: &streams}}
	llm.Members(r.Body, func(name string, value []byte) bool {
		var prompt string
		if (name == "prompt" || name == "inputText") && word(&prompt, value) {
			c.Prompts = append(c.Prompts, prompt)
		} else {
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return c, nil
}

// Embedding reads a call for vectors of Titan or Cohere in neutral terms.
func (b *Bedrock) Embedding(r *llm.Request) (*llm.EmbeddingCall, error) {
	c := &llm.EmbeddingCall{Origin: llm.Bedrock, Model: r.Model}
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "inputText":
			c.Texts, _, known = texts(value)
		case "texts":
			c.Texts, c.List, known = texts(value)
		case "dimensions", "output_dimension":
			known = number(&c.Dimensions, value)
		}
		if !known {
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return c, nil
}

// appendBedrockMessages appends the messages that one is: one for each result of a
// tool, and one for the rest.
func appendBedrockMessages(messages []llm.Message, message []byte) []llm.Message {
	m := llm.Message{Role: llm.RoleUser}
	results := false
	llm.Members(message, func(name string, value []byte) bool {
		known := false
		switch name {
		case "role":
			var role string
			if known = word(&role, value); known {
				m.Role = llm.Role(role)
			}
		case "content":
			known = list(value, '{', func(block []byte) {
				switch kind, inner := bedrockBlock(block); kind {
				case "toolUse":
					m.Calls = append(m.Calls, readBedrockCall(inner))
				case "toolResult":
					results = true
					messages = append(messages, readBedrockResult(inner))
				default:
					m.Parts = appendBedrockPart(m.Parts, block)
				}
			})
		}
		if !known {
			m.Extra = append(m.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	if results && len(m.Parts) == 0 && len(m.Calls) == 0 {
		return messages
	}
	return append(messages, m)
}

// bedrockBlock is the kind of a block, which its first member names, and what it
// holds. A block with several members is of no kind.
func bedrockBlock(block []byte) (kind string, inner []byte) {
	members := 0
	llm.Members(block, func(name string, value []byte) bool {
		members++
		kind, inner = name, value
		return true
	})
	if members != 1 {
		return "", nil
	}
	return kind, inner
}

// appendBedrockPart appends the part that a block is, or marks the one before it.
func appendBedrockPart(parts []llm.Part, block []byte) []llm.Part {
	p := llm.Part{JSON: block}
	switch kind, inner := bedrockBlock(block); kind {
	case "text":
		if inner[0] == '"' {
			p = llm.Part{Kind: llm.PartText, Text: llm.Unquote(inner)}
		}
	case "image":
		readBedrockMedia(&p, llm.PartImage, "image/", inner)
	case "document":
		readBedrockMedia(&p, llm.PartFile, "application/", inner)
	case "audio":
		readBedrockMedia(&p, llm.PartAudio, "audio/", inner)
	case "reasoningContent":
		readBedrockThought(&p, inner)
	case "guardContent":
		// What a guard of Amazon's is to look at is text for other guards too.
		llm.Members(inner, func(name string, value []byte) bool {
			if name == "text" {
				llm.Members(value, func(name string, value []byte) bool {
					if name == "text" && text(&p.Text, value) {
						p.Kind = llm.PartText
					}
					return true
				})
			}
			return true
		})
	case "cachePoint":
		if len(parts) > 0 {
			parts[len(parts)-1].Cache = readBedrockCache(inner)
			return parts
		}
	}
	return append(parts, p)
}

func readBedrockCache(point []byte) []byte {
	mark := []byte(`{"type":"ephemeral"`)
	llm.Members(point, func(name string, value []byte) bool {
		if name == "ttl" && value[0] == '"' {
			mark = append(append(mark, `,"ttl":`...), value...)
		}
		return true
	})
	return append(mark, '}')
}

// readBedrockMedia reads a thing that is no text. What the fields do not hold of it
// is in p.JSON, which is there already.
func readBedrockMedia(p *llm.Part, kind llm.PartKind, prefix string, value []byte) {
	whole := value[0] == '{'
	format := ""
	llm.Members(value, func(name string, value []byte) bool {
		switch name {
		case "format":
			whole = word(&format, value) && whole
		case "name":
			whole = word(&p.Name, value) && whole
		case "source":
			llm.Members(value, func(name string, value []byte) bool {
				switch {
				case name == "bytes" && value[0] == '"':
					p.Data = openAIContents(value)
				case name == "text" && value[0] == '"':
					p.Text, whole = llm.Unquote(value), false
				case name == "s3Location":
					llm.Members(value, func(name string, value []byte) bool {
						whole = name == "uri" && word(&p.URL, value) && whole
						return true
					})
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
	p.Kind = kind
	switch format {
	case "":
		whole = false
	case "txt", "md", "html", "csv":
		p.MediaType = "text/" + map[string]string{"txt": "plain", "md": "markdown", "html": "html", "csv": "csv"}[format]
	default:
		p.MediaType = prefix + format
	}
	if kind == llm.PartAudio {
		p.Format = format
	}
	if whole && (len(p.Data) > 0 || p.URL != "") {
		p.JSON = nil
	}
}

func readBedrockThought(p *llm.Part, value []byte) {
	llm.Members(value, func(name string, value []byte) bool {
		switch {
		case name == "reasoningText":
			p.Kind, p.JSON = llm.PartReasoning, nil
			llm.Members(value, func(name string, value []byte) bool {
				switch name {
				case "text":
					text(&p.Text, value)
				case "signature":
					text(&p.Signature, value)
				}
				return true
			})
		case name == "redactedContent" && value[0] == '"':
			p.Kind, p.Data, p.JSON = llm.PartRedacted, openAIContents(value), nil
		}
		return true
	})
}

func readBedrockCall(value []byte) llm.ToolCall {
	c := llm.ToolCall{Arguments: "{}"}
	llm.Members(value, func(name string, value []byte) bool {
		switch name {
		case "toolUseId":
			text(&c.ID, value)
		case "name":
			text(&c.Name, value)
		case "input":
			c.Arguments = string(value)
		}
		return true
	})
	return c
}

func readBedrockResult(value []byte) llm.Message {
	m := llm.Message{Role: llm.RoleTool}
	llm.Members(value, func(name string, value []byte) bool {
		known := false
		switch name {
		case "toolUseId":
			known = word(&m.CallID, value)
		case "status":
			m.Failed, known = string(value) == `"error"`, true
		case "content":
			known = list(value, '{', func(block []byte) {
				if kind, inner := bedrockBlock(block); kind == "json" {
					m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: string(inner)})
				} else {
					m.Parts = appendBedrockPart(m.Parts, block)
				}
			})
		}
		if !known {
			m.Extra = append(m.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return m
}

// readBedrockInference reads what tunes an answer. known says that the fields hold
// all of it.
func readBedrockInference(o *llm.Options, value []byte) (known bool) {
	known = value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		ok := false
		switch name {
		case "maxTokens":
			ok = number(&o.MaxTokens, value)
		case "temperature":
			ok = number(&o.Temperature, value)
		case "topP":
			ok = number(&o.TopP, value)
		case "stopSequences":
			if ok = bytes.Equal(value, []byte("[]")); !ok {
				o.Stop, o.StopList, ok = texts(value)
			}
		}
		known = known && ok
		return true
	})
	return known
}

func readBedrockTools(c *llm.ChatCall, value []byte) (known bool) {
	known = value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		switch name {
		case "tools":
			known = list(value, '{', func(tool []byte) { c.Tools = appendBedrockTool(c.Tools, tool) }) && known
		case "toolChoice":
			c.ToolChoice = readBedrockChoice(value)
		default:
			known = false
		}
		return true
	})
	return known
}

func appendBedrockTool(tools []llm.Tool, tool []byte) []llm.Tool {
	kind, inner := bedrockBlock(tool)
	if kind == "cachePoint" && len(tools) > 0 {
		tools[len(tools)-1].Cache = readBedrockCache(inner)
		return tools
	}
	t := llm.Tool{}
	if kind == "toolSpec" {
		llm.Members(inner, func(name string, value []byte) bool {
			switch name {
			case "name":
				text(&t.Name, value)
			case "description":
				text(&t.Description, value)
			case "inputSchema":
				if kind, schema := bedrockBlock(value); kind == "json" {
					t.Parameters = schema
				}
			}
			return true
		})
	}
	if t.Name == "" {
		t.JSON = tool
	}
	return append(tools, t)
}

func readBedrockChoice(value []byte) (c llm.ToolChoice) {
	switch kind, inner := bedrockBlock(value); kind {
	case "auto":
		c.Mode = "auto"
	case "any":
		c.Mode = "required"
	case "tool":
		c.Mode = "function"
		llm.Members(inner, func(name string, value []byte) bool {
			if name == "name" {
				text(&c.Name, value)
			}
			return true
		})
	default:
		c.JSON = value
	}
	return c
}
