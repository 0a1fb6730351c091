package client

import (
	"bytes"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Chat reads a call that Read has read as a chat in neutral terms. What has
// another shape than expected is kept as it came.
func (o *OpenAI) Chat(r *llm.Request) (*llm.ChatCall, error) {
	if o.route == llm.Responses {
		return o.openAIResponses(r), nil
	}
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
		case "parallel_tool_calls":
			known = truth(&c.ParallelCalls, value)
		case "reasoning_effort":
			known = word(&c.Reasoning.Effort, value)
		case "response_format":
			known = readOutput(&c.Output, value)
		case "user":
			known = word(&c.User, value)
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
		case "reasoning_content":
			// No member of OpenAI's: what the servers that speak its format call the
			// thoughts of their models.
			var thought string
			if known = word(&thought, value); known {
				m.Parts = append([]llm.Part{{Kind: llm.PartReasoning, Text: thought}}, m.Parts...)
			}
		}
		if !known {
			m.Extra = append(m.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return m
}

// readPart reads a part of a message. What its shape adds to the fields is kept
// in JSON; the fields are filled all the same, for formats that know no better.
func readPart(part []byte) llm.Part {
	var p llm.Part
	var kind string
	whole := true // the fields hold all of it
	llm.Members(part, func(name string, value []byte) bool {
		first := p.Kind == llm.PartOther
		switch name {
		case "type":
			whole = text(&kind, value) && whole
		case "text":
			whole = first && text(&p.Text, value) && whole
			p.Kind = llm.PartText
		case "refusal":
			whole = first && text(&p.Text, value) && whole
			p.Kind = llm.PartRefusal
		case "image_url":
			whole = first && readImage(&p, value) && whole
			p.Kind = llm.PartImage
		case "input_audio":
			whole = first && readAudio(&p, value) && whole
			p.Kind = llm.PartAudio
		case "file":
			whole = first && readFile(&p, value) && whole
			p.Kind = llm.PartFile
		default:
			whole = false
		}
		return true
	})
	if kind != partTypes[p.Kind] || p.Kind == llm.PartOther {
		p, whole = llm.Part{}, false
	}
	if !whole {
		p.JSON = part
	}
	return p
}

var partTypes = map[llm.PartKind]string{
	llm.PartText: "text", llm.PartImage: "image_url", llm.PartAudio: "input_audio", llm.PartRefusal: "refusal",
	llm.PartFile: "file",
}

// readImage reads where an image is, or the image itself. Some clients write the
// address without the object around it.
func readImage(p *llm.Part, value []byte) bool {
	if value[0] == '"' {
		readData(p, value)
		return false
	}
	whole := value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		switch name {
		case "url":
			whole = readData(p, value) && whole
		case "detail":
			whole = word(&p.Detail, value) && whole
		default:
			whole = false
		}
		return true
	})
	return whole && (p.URL != "" || len(p.Data) > 0)
}

// readData reads an address. The data of one that holds the thing itself is kept
// apart, where it stands.
func readData(p *llm.Part, quoted []byte) bool {
	if quoted[0] != '"' {
		return false
	}
	data := openAIContents(quoted)
	const scheme, base64 = "data:", ";base64,"
	if !bytes.HasPrefix(data, []byte(scheme)) {
		p.URL = llm.Unquote(quoted)
		return true
	}
	// What stands before the comma is short.
	at := bytes.IndexByte(data[:min(len(data), 256)], ',')
	if at < len(base64)-1 || !bytes.HasSuffix(data[:at+1], []byte(base64)) || at+1 == len(data) {
		p.URL = llm.Unquote(quoted)
		return true
	}
	kind, _, more := strings.Cut(string(data[len(scheme):at+1-len(base64)]), ";")
	p.MediaType, p.Data = kind, data[at+1:]
	return kind != "" && !more
}

// openAIContents is what stands in a string: the bytes of the body themselves where
// they hold no escapes, as those of large things do.
func openAIContents(quoted []byte) []byte {
	raw := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[:len(raw):len(raw)]
	}
	return llm.AppendUnquoted(make([]byte, 0, len(raw)), raw)
}

func readAudio(p *llm.Part, value []byte) bool {
	whole := value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		switch {
		case name == "data" && value[0] == '"':
			p.Data = openAIContents(value)
		case name == "format":
			whole = word(&p.Format, value) && whole
		default:
			whole = false
		}
		return true
	})
	if p.Format != "" {
		p.MediaType = "audio/" + p.Format
	}
	return whole && len(p.Data) > 0 && p.Format != ""
}

func readFile(p *llm.Part, value []byte) bool {
	whole := value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		switch name {
		case "file_id":
			whole = word(&p.FileID, value) && whole
		case "filename":
			whole = word(&p.Name, value) && whole
		case "file_data":
			whole = readData(p, value) && whole
		default:
			whole = false
		}
		return true
	})
	if p.URL != "" {
		// Not an address but the bare data, of a kind that at most the name tells.
		p.Data, p.URL, whole = []byte(p.URL), "", false
		if strings.HasSuffix(strings.ToLower(p.Name), ".pdf") {
			p.MediaType = "application/pdf"
		}
	}
	return whole && (p.FileID != "" || len(p.Data) > 0 || p.Name != "")
}

// readCall reads a call. One of a function has its name in any case; JSON is what
// came where the fields do not hold all of it.
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
		case "extra_content":
			whole = readSignature(&c.Signature, value) && whole
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

// readSignature reads what vouches for a call, in the place where clients of
// Gemini keep it.
func readSignature(into *string, value []byte) bool {
	whole := value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		if name != "google" || value[0] != '{' {
			whole = false
			return true
		}
		llm.Members(value, func(name string, value []byte) bool {
			whole = name == "thought_signature" && word(into, value) && whole
			return true
		})
		return true
	})
	return whole && *into != ""
}

// readOutput reads the form that an answer must have. A form that the fields do
// not hold whole is kept as it came too.
func readOutput(o *llm.Output, value []byte) bool {
	whole, kind := value[0] == '{', ""
	if !whole {
		return false
	}
	described := false
	llm.Members(value, func(name string, value []byte) bool {
		switch {
		case name == "type":
			whole = text(&kind, value) && whole
		case name == "json_schema" && value[0] == '{':
			described = true
			llm.Members(value, func(name string, value []byte) bool {
				switch name {
				case "name":
					whole = word(&o.Name, value) && whole
				case "schema":
					o.Schema = value
				case "strict":
					whole = truth(&o.Strict, value) && whole
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
	switch kind {
	case "text", "json_object":
		whole = whole && !described
	case "json_schema":
		whole = whole && described && o.Name != ""
	default:
		*o = llm.Output{}
		return false
	}
	o.Kind = kind
	if !whole {
		o.JSON = value
	}
	return true
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
	var few [16][]byte
	elements, fits := few[:0], true
	llm.Elements(value, func(element []byte) bool {
		elements = append(elements, element)
		fits = element[0] == kind
		return fits
	})
	if !fits || len(elements) == 0 {
		return false
	}
	for _, element := range elements {
		f(element)
	}
	return true
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
