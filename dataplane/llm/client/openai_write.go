package client

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// AppendChat appends a chat in OpenAI's format. One that was read from it comes
// back as it was. Of one that was read from another format, what only that
// format knows is left out: thoughts and their signatures, marks for caches, and
// everything that is kept as JSON. What OpenAI would refuse is left out or put
// into words that it takes, but the options are written as they are; which of
// them a vendor knows is for its provider to say.
func AppendChat(dst []byte, c *llm.ChatCall) []byte {
	own := c.Origin == llm.OpenAI
	w := writer{out: append(dst, '{')}
	w.text("model", c.Model, c.Model != "")
	if len(c.Messages) > 0 {
		w.name("messages")
		if own {
			w.list(len(c.Messages), func(i int) { w.message(&c.Messages[i]) })
		} else {
			w.foreignMessages(c.Messages)
		}
	}
	w.tools(c, own)
	w.text("reasoning_effort", openAIEffort(&c.Reasoning), openAIEffort(&c.Reasoning) != "")
	w.output(&c.Output, own)
	w.text("user", c.User, c.User != "")
	w.options(&c.Options, own)
	if own {
		w.extra(c.Extra)
	}
	return append(w.out, '}')
}

// AppendCompletion appends a completion in OpenAI's format.
func AppendCompletion(dst []byte, c *llm.CompletionCall) []byte {
	w := writer{out: append(dst, '{')}
	w.text("model", c.Model, c.Model != "")
	w.texts("prompt", c.Prompts, c.List)
	own := c.Origin == llm.OpenAI
	w.options(&c.Options, own)
	if own {
		w.extra(c.Extra)
	}
	return append(w.out, '}')
}

// AppendEmbeddingCall appends a call for vectors in OpenAI's format.
func AppendEmbeddingCall(dst []byte, c *llm.EmbeddingCall) []byte {
	w := writer{out: append(dst, '{')}
	w.text("model", c.Model, c.Model != "")
	switch {
	case len(c.Tokens) == 1 && !c.List:
		w.raw("input", c.Tokens[0])
	case len(c.Tokens) > 0:
		w.name("input")
		w.list(len(c.Tokens), func(i int) { w.out = append(w.out, c.Tokens[i]...) })
	default:
		w.texts("input", c.Texts, c.List)
	}
	w.number("dimensions", c.Dimensions)
	w.text("encoding_format", c.Encoding, c.Encoding != "")
	w.text("user", c.User, c.User != "")
	if c.Origin == llm.OpenAI {
		w.extra(c.Extra)
	}
	return append(w.out, '}')
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
	if value != nil {
		w.name(name)
		w.out = strconv.AppendBool(w.out, *value)
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

func (w *writer) extra(members []llm.Member) {
	for _, m := range members {
		w.raw(m.Name, m.Value)
	}
}

// openAIStops is how many texts to stop at OpenAI takes.
const openAIStops = 4

func (w *writer) options(o *llm.Options, own bool) {
	w.number("max_tokens", o.MaxTokens)
	w.number("max_completion_tokens", o.MaxCompletionTokens)
	w.number("temperature", o.Temperature)
	w.number("top_p", o.TopP)
	w.number("top_k", o.TopK)
	stop := o.Stop
	if !own && len(stop) > openAIStops {
		stop = stop[:openAIStops]
	}
	w.texts("stop", stop, o.StopList)
	w.truth("stream", o.Stream)
}

// openAIEffort is how much to think, guessed from the tokens for it where the caller
// gave those.
func openAIEffort(r *llm.Reasoning) string {
	switch {
	case r.Effort != "" || r.Mode != "enabled" || r.Budget == "":
		return r.Effort
	}
	budget, err := strconv.ParseInt(r.Budget, 10, 64)
	switch {
	case err != nil:
		return ""
	case budget < 4096:
		return "low"
	case budget < 16384:
		return "medium"
	}
	return "high"
}

func (w *writer) output(o *llm.Output, own bool) {
	switch {
	case own && o.JSON != nil:
		w.raw("response_format", o.JSON)
	case o.Kind == "json_schema":
		w.name("response_format")
		w.out = append(w.out, `{"type":"json_schema","json_schema":{`...)
		name := o.Name
		if name == "" {
			name = "answer" // OpenAI insists on one
		}
		w.text("name", name, true)
		if o.Schema != nil {
			w.raw("schema", o.Schema)
		}
		w.truth("strict", o.Strict)
		w.out = append(w.out, "}}"...)
	case o.Kind != "":
		w.name("response_format")
		w.out = append(w.out, `{"type":`...)
		w.out = append(llm.AppendQuoted(w.out, o.Kind), '}')
	}
}

// tools writes the tools and what is said about their use, which means nothing
// without any, and which OpenAI refuses then.
func (w *writer) tools(c *llm.ChatCall, own bool) {
	begun := false
	for i := range c.Tools {
		t := &c.Tools[i]
		if !own && t.Name == "" {
			continue // a tool that only its own vendor runs
		}
		if !begun {
			begun = true
			w.name("tools")
			w.out = append(w.out, '[')
		} else {
			w.out = append(w.out, ',')
		}
		w.tool(t, own)
	}
	if begun {
		w.out = append(w.out, ']')
	} else if !own {
		return
	}
	switch choice := &c.ToolChoice; {
	case choice.JSON != nil:
		if own {
			w.raw("tool_choice", choice.JSON)
		}
	case choice.Mode == "function":
		w.name("tool_choice")
		w.out = append(w.out, `{"type":"function","function":{"name":`...)
		w.out = append(llm.AppendQuoted(w.out, choice.Name), "}}"...)
	case choice.Mode != "":
		w.text("tool_choice", choice.Mode, true)
	}
	w.truth("parallel_tool_calls", c.ParallelCalls)
}

// message writes a message that was read from this format.
func (w *writer) message(m *llm.Message) {
	w.out = append(w.out, '{')
	w.text("role", string(m.Role), m.Role != "")
	content := m.Parts
	if len(content) > 0 && content[0].Kind == llm.PartReasoning {
		w.text("reasoning_content", content[0].Text, true)
		content = content[1:]
	}
	switch {
	case m.Plain && len(content) == 1:
		w.text("content", content[0].Text, true)
	case len(content) > 0:
		w.name("content")
		w.list(len(content), func(i int) { w.part(&content[i], true) })
	}
	if len(m.Calls) > 0 {
		w.name("tool_calls")
		w.list(len(m.Calls), func(i int) { w.call(&m.Calls[i], true, true) })
	}
	w.text("tool_call_id", m.CallID, m.CallID != "")
	w.extra(m.Extra)
	w.out = append(w.out, '}')
}

// foreignMessages writes messages that were read from another format. The results
// of tools are texts here, so that the images among them follow in a message of
// the user's, behind the results that answer one turn.
func (w *writer) foreignMessages(messages []llm.Message) {
	w.out = append(w.out, '[')
	var images []*llm.Part
	flush := func() {
		if len(images) == 0 {
			return
		}
		w.comma()
		w.out = append(w.out, `{"role":"user","content":`...)
		w.list(len(images), func(i int) { w.part(images[i], false) })
		w.out = append(w.out, '}')
		images = images[:0]
	}
	for i := range messages {
		m := &messages[i]
		if m.Role != llm.RoleTool {
			flush()
		}
		if !w.foreignMessage(m) {
			continue
		}
		for j := range m.Parts {
			if p := &m.Parts[j]; m.Role == llm.RoleTool && (p.Kind == llm.PartImage || p.Kind == llm.PartFile) && openAIWritable(p) {
				images = append(images, p)
			}
		}
	}
	flush()
	w.out = append(w.out, ']')
}

// comma separates an element from the one before it.
func (w *writer) comma() {
	if w.out[len(w.out)-1] != '[' {
		w.out = append(w.out, ',')
	}
}

// foreignMessage writes one message; it is false for one that holds nothing that
// could be said in this format.
func (w *writer) foreignMessage(m *llm.Message) bool {
	calls, parts, texts := 0, 0, 0
	for i := range m.Calls {
		if m.Calls[i].Name != "" {
			calls++
		}
	}
	for i := range m.Parts {
		p := &m.Parts[i]
		if p.Kind == llm.PartText {
			texts++
		}
		if openAIWritable(p) && (m.Role != llm.RoleAssistant || p.Kind == llm.PartText || p.Kind == llm.PartRefusal) {
			parts++
		}
	}
	if m.Role == llm.RoleAssistant && calls+parts == 0 {
		return false
	}
	w.comma()
	w.out = append(w.out, '{')
	w.text("role", string(m.Role), true)
	w.name("content")
	switch {
	case m.Role == llm.RoleTool:
		w.result(m)
	case m.Role == llm.RoleSystem || m.Role == llm.RoleDeveloper:
		w.joined(m.Parts, "\n", llm.PartText)
	case parts == 0 && calls > 0:
		w.out = append(w.out, "null"...)
	case parts == texts && texts <= 1:
		w.joined(m.Parts, "", llm.PartText)
	default:
		w.out = append(w.out, '[')
		for i := range m.Parts {
			p := &m.Parts[i]
			if !openAIWritable(p) || m.Role == llm.RoleAssistant && p.Kind != llm.PartText && p.Kind != llm.PartRefusal {
				continue
			}
			w.comma()
			w.part(p, false)
		}
		w.out = append(w.out, ']')
	}
	if calls > 0 {
		w.name("tool_calls")
		w.out = append(w.out, '[')
		for i := range m.Calls {
			if m.Calls[i].Name != "" {
				w.comma()
				w.call(&m.Calls[i], false, false)
			}
		}
		w.out = append(w.out, ']')
	}
	w.text("tool_call_id", m.CallID, m.Role == llm.RoleTool)
	w.out = append(w.out, '}')
	return true
}

// result writes what a tool gave back. That it failed can only be said in its
// text.
func (w *writer) result(m *llm.Message) {
	w.out = append(w.out, '"')
	begun := false
	for i := range m.Parts {
		if m.Parts[i].Kind != llm.PartText {
			continue
		}
		text := m.Parts[i].Text
		if begun {
			w.splice("\n")
		} else if m.Failed && !strings.HasPrefix(strings.ToLower(text[:min(len(text), 5)]), "error") {
			w.splice("Error: ")
		}
		begun = true
		w.splice(text)
	}
	if m.Failed && !begun {
		w.splice("Error")
	}
	w.out = append(w.out, '"')
}

// openAIWritable says whether a part of another format has a form in this one.
func openAIWritable(p *llm.Part) bool {
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		return true
	case llm.PartImage:
		return p.URL != "" || len(p.Data) > 0
	case llm.PartAudio:
		return len(p.Data) > 0
	case llm.PartFile:
		return p.FileID != "" || len(p.Data) > 0
	}
	return false
}

func (w *writer) part(p *llm.Part, own bool) {
	if own && p.JSON != nil {
		w.out = append(w.out, bytes.TrimSpace(p.JSON)...)
		return
	}
	if p.Kind == llm.PartImage {
		w.image(p)
		return
	}
	w.out = append(w.out, '{')
	w.text("type", partTypes[p.Kind], true)
	switch p.Kind {
	case llm.PartText:
		w.text("text", p.Text, true)
	case llm.PartRefusal:
		w.text("refusal", p.Text, true)
	case llm.PartAudio:
		w.name("input_audio")
		w.out = append(w.out, `{"data":`...)
		w.out = llm.AppendQuoted(w.out, p.Data)
		w.text("format", openAIAudioFormat(p), true)
		w.out = append(w.out, '}')
	case llm.PartFile:
		w.name("file")
		w.out = append(w.out, '{')
		w.text("file_id", p.FileID, p.FileID != "")
		name := p.Name
		if name == "" && len(p.Data) > 0 && !own {
			name = "document" // OpenAI wants to know what to call it
		}
		w.text("filename", name, name != "")
		if len(p.Data) > 0 {
			w.name("file_data")
			w.data(p)
		}
		w.out = append(w.out, '}')
	}
	w.out = append(w.out, '}')
}

func (w *writer) image(p *llm.Part) {
	w.out = append(w.out, `{"type":"image_url","image_url":{"url":`...)
	if len(p.Data) > 0 {
		w.data(p)
	} else {
		w.out = llm.AppendQuoted(w.out, p.URL)
	}
	w.text("detail", p.Detail, p.Detail != "")
	w.out = append(w.out, "}}"...)
}

// data writes a thing as the address that holds it.
func (w *writer) data(p *llm.Part) {
	kind := p.MediaType
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.out = append(w.out, '"')
	w.splice("data:" + kind + ";base64")
	// The comma takes the place of the quote in front, so that a large thing is not
	// moved about.
	at := len(w.out)
	w.out = llm.AppendQuoted(w.out, p.Data)
	w.out[at] = ','
}

func openAIAudioFormat(p *llm.Part) string {
	if p.Format != "" {
		return p.Format
	}
	switch kind := strings.TrimPrefix(p.MediaType, "audio/"); kind {
	case "mpeg":
		return "mp3"
	case "x-wav", "wave", "":
		return "wav"
	default:
		return kind
	}
}

// call writes a call. signed keeps what vouches for it, which only its maker
// wants to see again.
func (w *writer) call(c *llm.ToolCall, own, signed bool) {
	if own && c.JSON != nil {
		w.out = append(w.out, c.JSON...)
		return
	}
	w.out = append(w.out, '{')
	w.text("id", openAIID(c.ID, "call_"), true)
	w.text("type", "function", true)
	w.name("function")
	w.out = append(w.out, '{')
	w.text("name", c.Name, true)
	arguments := c.Arguments
	if arguments == "" && !own {
		arguments = "{}"
	}
	w.text("arguments", arguments, true)
	w.out = append(w.out, '}')
	if signed && c.Signature != "" {
		w.out = append(w.out, `,"extra_content":{"google":{"thought_signature":`...)
		w.out = append(llm.AppendQuoted(w.out, c.Signature), "}}"...)
	}
	w.out = append(w.out, '}')
}

func (w *writer) tool(t *llm.Tool, own bool) {
	if own && t.JSON != nil {
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
