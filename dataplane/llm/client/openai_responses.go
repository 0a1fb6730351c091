package client

import (
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// openAIResponses reads a call of the responses API as a chat in neutral terms:
// the instructions are what the system says, the input's items are messages.
func (o *OpenAI) openAIResponses(r *llm.Request) *llm.ChatCall {
	c := &llm.ChatCall{Origin: llm.OpenAI}
	var system, turns []llm.Message
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "model":
			known = word(&c.Model, value)
		case "instructions":
			system, known = o.openAIItems(system, llm.RoleSystem, value)
		case "input":
			turns, known = o.openAIItems(turns, llm.RoleUser, value)
		case "tools":
			known = list(value, '{', func(tool []byte) { c.Tools = append(c.Tools, readOpenAIFlatTool(tool)) })
		case "tool_choice":
			c.ToolChoice, known = readOpenAIFlatChoice(value), true
		case "parallel_tool_calls":
			known = truth(&c.ParallelCalls, value)
		case "reasoning":
			var none string
			known = pair(value, "effort", &c.Reasoning.Effort, "", &none) && c.Reasoning.Effort != ""
		case "text":
			known = readOpenAITextForm(&c.Output, value)
		case "user":
			known = word(&c.User, value)
		case "max_output_tokens":
			known = number(&c.MaxCompletionTokens, value)
		case "temperature", "top_p", "stream":
			known = readOption(&c.Options, name, value)
		}
		if !known {
			c.Extra = append(c.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	c.Messages = append(system, turns...)
	return c
}

// openAIItems appends what a text or a list of items says. The text is said by
// role. Elements that are no items are kept as they came, as role's too.
func (o *OpenAI) openAIItems(to []llm.Message, role llm.Role, value []byte) ([]llm.Message, bool) {
	switch value[0] {
	case '"':
		return append(to, llm.Message{
			Role: role, Plain: true,
			Parts: []llm.Part{{Kind: llm.PartText, Text: llm.Unquote(value)}},
		}), true
	case '[':
		llm.Elements(value, func(item []byte) bool {
			to = o.openAIItem(to, role, item)
			return true
		})
		return to, true
	}
	return to, false
}

// Members of an item.
const (
	openAIItemType = iota
	openAIItemRole
	openAIItemContent
	openAIItemCallID
	openAIItemName
	openAIItemArguments
	openAIItemOutput
	openAIItemSummary
)

var openAIItemNames = llm.NewNames("type", "role", "content", "call_id", "name", "arguments", "output", "summary")

// openAIItem appends what an item says. One that is not understood, or that means
// two things at once, is role's, as it came: whoever looks at messages does not
// miss it.
func (o *OpenAI) openAIItem(to []llm.Message, role llm.Role, item []byte) []llm.Message {
	whole := llm.Part{Kind: llm.PartOther, JSON: item}
	other := func(role llm.Role) []llm.Message {
		return append(to, llm.Message{Role: role, Parts: []llm.Part{whole}})
	}
	var f llm.Object
	if f.ReadWithin(item, openAIItemNames, o.Limits) != nil {
		return other(role)
	}
	kind, typed := f.Text(openAIItemType)
	switch {
	case kind == "message" || !typed && f.Has(openAIItemRole):
		speaker, ok := f.Text(openAIItemRole)
		m := llm.Message{Role: llm.Role(speaker)}
		if !ok || !o.openAISaid(&m, &f, openAIItemContent) {
			return other(role)
		}
		return append(to, m)
	case kind == "function_call":
		call := llm.ToolCall{}
		call.ID, _ = f.Text(openAIItemCallID)
		name, named := f.Text(openAIItemName)
		arguments, argued := f.Text(openAIItemArguments)
		if !named || !argued {
			return other(llm.RoleAssistant)
		}
		call.Name, call.Arguments = name, arguments
		// What an assistant says and the calls that it then asks for are one turn.
		if last := len(to) - 1; last >= 0 && to[last].Role == llm.RoleAssistant {
			to[last].Calls = append(to[last].Calls, call)
			return to
		}
		return append(to, llm.Message{Role: llm.RoleAssistant, Calls: []llm.ToolCall{call}})
	case kind == "function_call_output":
		m := llm.Message{Role: llm.RoleTool}
		m.CallID, _ = f.Text(openAIItemCallID)
		if !o.openAISaid(&m, &f, openAIItemOutput) {
			return other(llm.RoleTool)
		}
		return append(to, m)
	case kind == "reasoning":
		m := llm.Message{Role: llm.RoleAssistant}
		for _, at := range []int{openAIItemSummary, openAIItemContent} {
			llm.Elements(f.Value(at), func(part []byte) bool {
				p := o.readOpenAIResponsesPart(part)
				if p.Kind == llm.PartText {
					p.Kind = llm.PartReasoning
				}
				m.Parts = append(m.Parts, p)
				return true
			})
		}
		if len(m.Parts) == 0 {
			return to // sealed: only the vendor can read it
		}
		return append(to, m)
	case strings.HasSuffix(kind, "_call_output"):
		return other(llm.RoleTool)
	case strings.HasSuffix(kind, "_call"):
		return other(llm.RoleAssistant)
	}
	return other(role)
}

// openAISaid reads a member that is a text or a list of parts.
func (o *OpenAI) openAISaid(m *llm.Message, f *llm.Object, at int) bool {
	switch f.Kind(at) {
	case '"':
		said, _ := f.Text(at)
		m.Plain, m.Parts = true, []llm.Part{{Kind: llm.PartText, Text: said}}
		return true
	case '[':
		llm.Elements(f.Value(at), func(part []byte) bool {
			m.Parts = append(m.Parts, o.readOpenAIResponsesPart(part))
			return true
		})
		return true
	}
	return false
}

// Members of a part in the responses API.
const (
	openAIPartType = iota
	openAIPartText
	openAIPartRefusal
	openAIPartImage
	openAIPartDetail
	openAIPartFileID
	openAIPartFileName
	openAIPartFileData
	openAIPartFileURL
	openAIPartAudio
)

var openAIPartNames = llm.NewNames("type", "text", "refusal", "image_url", "detail", "file_id", "filename", "file_data", "file_url",
	"input_audio")

// readOpenAIResponsesPart reads a part of an item's content, which differs from one
// of a chat in its names and has no objects inside.
func (o *OpenAI) readOpenAIResponsesPart(part []byte) llm.Part {
	var f llm.Object
	var p llm.Part
	if f.ReadWithin(part, openAIPartNames, o.Limits) != nil {
		return llm.Part{JSON: part}
	}
	kind, _ := f.Text(openAIPartType)
	ok, members := true, 1
	take := func(into *string, at int) bool {
		found := f.Has(at) && text(into, f.Value(at))
		if found {
			members++
		}
		return found
	}
	switch kind {
	case "input_text", "output_text", "summary_text", "reasoning_text", "text":
		p.Kind = llm.PartText
		ok = take(&p.Text, openAIPartText)
	case "refusal":
		p.Kind = llm.PartRefusal
		ok = take(&p.Text, openAIPartRefusal)
	case "input_image":
		p.Kind = llm.PartImage
		take(&p.Detail, openAIPartDetail)
		address := f.Kind(openAIPartImage) == '"'
		if address && readData(&p, f.Value(openAIPartImage)) {
			members++
		}
		ok = take(&p.FileID, openAIPartFileID) || address
	case "input_file":
		p.Kind = llm.PartFile
		take(&p.Name, openAIPartFileName)
		id, address := take(&p.FileID, openAIPartFileID), take(&p.URL, openAIPartFileURL)
		data := f.Kind(openAIPartFileData) == '"'
		if data {
			var inner llm.Part
			if readData(&inner, f.Value(openAIPartFileData)) && inner.URL == "" {
				members++
			}
			if p.Data, p.MediaType = inner.Data, inner.MediaType; inner.URL != "" {
				p.Data = openAIContents(f.Value(openAIPartFileData)) // without what it is
			}
		}
		ok = id || address || data
	case "input_audio":
		p.Kind = llm.PartAudio
		if ok = f.Kind(openAIPartAudio) == '{'; ok && readAudio(&p, f.Value(openAIPartAudio)) {
			members++
		}
	default:
		ok = false
	}
	if !ok {
		return llm.Part{JSON: part}
	}
	if f.Members() != members {
		p.JSON = part // there is more in it than the fields hold
	}
	return p
}

// readOpenAIFlatTool reads a tool whose name stands beside its type.
func readOpenAIFlatTool(tool []byte) (out llm.Tool) {
	var kind string
	whole, named := true, false
	llm.Members(tool, func(name string, value []byte) bool {
		switch name {
		case "type":
			whole = text(&kind, value) && whole
		case "name":
			named = text(&out.Name, value)
		case "description":
			whole = word(&out.Description, value) && whole
		case "parameters":
			out.Parameters = value
		case "strict":
			whole = truth(&out.Strict, value) && whole
		default:
			whole = false
		}
		return true
	})
	if !whole || !named || kind != "function" {
		out.JSON = tool
	}
	return out
}

// readOpenAIFlatChoice reads a choice of tools that names one beside its type.
func readOpenAIFlatChoice(value []byte) llm.ToolChoice {
	if value[0] == '"' {
		return readToolChoice(value)
	}
	c := llm.ToolChoice{Mode: "function"}
	var kind string
	if pair(value, "type", &kind, "name", &c.Name) && kind == c.Mode && c.Name != "" {
		return c
	}
	return llm.ToolChoice{JSON: value}
}

// readOpenAITextForm reads the form that an answer must have out of the member
// text. Only what the fields hold whole is known.
func readOpenAITextForm(out *llm.Output, value []byte) bool {
	var form []byte
	whole := value[0] == '{'
	llm.Members(value, func(name string, value []byte) bool {
		if whole = whole && name == "format" && value[0] == '{'; whole {
			form = value
		}
		return true
	})
	if !whole || form == nil {
		return false
	}
	var found llm.Output
	llm.Members(form, func(name string, value []byte) bool {
		switch name {
		case "type":
			whole = word(&found.Kind, value) && whole
		case "name":
			whole = word(&found.Name, value) && whole
		case "schema":
			found.Schema = value
		case "strict":
			whole = truth(&found.Strict, value) && whole
		default:
			whole = false
		}
		return true
	})
	switch {
	case found.Kind == "json_schema" && found.Name != "" && found.Schema != nil:
	case (found.Kind == "text" || found.Kind == "json_object") && found.Name == "" && found.Schema == nil && found.Strict == nil:
	default:
		whole = false
	}
	if whole {
		*out = found
	}
	return whole
}

// openAIResponsesWords counts the words of the instructions and of what the items
// of the input say.
func openAIResponsesWords(r *llm.Request) int {
	words := 0
	llm.Members(r.Body, func(name string, value []byte) bool {
		if name == "instructions" || name == "input" {
			words += textWords(value)
			llm.Elements(value, func(item []byte) bool {
				words += contentWords(item)
				return true
			})
		}
		return true
	})
	return words
}
