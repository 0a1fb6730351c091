package provider

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// anthropicLimit is the most tokens of an answer when neither the configuration
// nor the caller says: the vendor wants a number.
const anthropicLimit = 4096

var (
	errAnthropicAudio = errors.New("audio input is not supported")
	errAnthropicTool  = errors.New("only functions are supported as tools")
)

// anthropicWriter appends the members of a request.
type anthropicWriter struct {
	out  []byte
	call *Call
	// origin is the format that the JSON of parts and tools is in.
	origin llm.Format
	// calls and results count the calls, and the results of calls, that have no id.
	calls, results int
	err            error
}

func (w *anthropicWriter) name(name string) {
	if last := w.out[len(w.out)-1]; last != '{' {
		w.out = append(w.out, ',')
	}
	w.out = append(llm.AppendQuoted(w.out, name), ':')
}

func (w *anthropicWriter) text(name, value string) {
	w.name(name)
	w.out = llm.AppendQuoted(w.out, value)
}

func (w *anthropicWriter) raw(name, json string) {
	if json != "" {
		w.name(name)
		w.out = append(w.out, json...)
	}
}

// open starts an element of a list that is an object.
func (w *anthropicWriter) open(kind string) {
	if last := w.out[len(w.out)-1]; last != '[' {
		w.out = append(w.out, ',')
	}
	w.out = append(w.out, '{')
	if kind != "" {
		w.text("type", kind)
	}
}

// element adds an element of a list as it came.
func (w *anthropicWriter) element(json []byte) {
	if last := w.out[len(w.out)-1]; last != '[' {
		w.out = append(w.out, ',')
	}
	w.out = append(w.out, json...)
}

func (w *anthropicWriter) stops(texts []string) {
	written := false
	for _, text := range texts {
		if text == "" {
			continue // the vendor refuses it, and it stops nothing
		}
		if !written {
			written = true
			w.name("stop_sequences")
			w.out = append(w.out, '[')
		} else {
			w.out = append(w.out, ',')
		}
		w.out = llm.AppendQuoted(w.out, text)
	}
	if written {
		w.out = append(w.out, ']')
	}
}

// stream says what the gateway decided, so that no default can differ from it.
func (w *anthropicWriter) stream() { w.raw("stream", strconv.FormatBool(w.call.Streams)) }

// sampling writes temperature, top_p and top_k, configured ones first, as far as
// the model takes them.
func (w *anthropicWriter) sampling(o *llm.Options, thinks bool) {
	model := anthropicModelOf(w.call.Model)
	if model.refusesSampling() || thinks {
		return
	}
	temperature := cmp.Or(w.call.Temperature, o.Temperature)
	w.raw("temperature", temperature)
	if p := cmp.Or(w.call.TopP, o.TopP); !anthropicIsOne(p) && (temperature == "" || !model.refusesBoth()) {
		w.raw("top_p", p)
	}
	w.raw("top_k", cmp.Or(w.call.TopK, o.TopK))
}

// appendAnthropicCompletion appends a completion of a text, in the form of a talk
// that the older models were made for.
func appendAnthropicCompletion(dst []byte, call *Call, c *llm.CompletionCall) ([]byte, error) {
	if len(c.Prompts) > 1 {
		return nil, errAnthropicPrompts
	}
	prompt := ""
	if len(c.Prompts) == 1 {
		prompt = c.Prompts[0]
	}
	w := anthropicWriter{out: append(dst, '{'), call: call}
	w.text("model", call.Model)
	w.text("prompt", "Human: "+prompt+"\n\nAssistant:")
	w.raw("max_tokens_to_sample", cmp.Or(call.MaxTokens, c.Limit(), strconv.Itoa(anthropicLimit)))
	w.sampling(&c.Options, false)
	w.stops(c.Stop)
	w.stream()
	return anthropicMerge(append(w.out, '}'), c.Extra, call.ParamName), nil
}

// appendAnthropicChat appends a chat as the vendor wants it.
func appendAnthropicChat(dst []byte, call *Call, c *llm.ChatCall) ([]byte, error) {
	w := anthropicWriter{out: append(dst, '{'), call: call, origin: c.Origin}
	w.text("model", call.Model)
	w.system(c.Messages)
	w.messages(c.Messages)
	limit := cmp.Or(call.MaxTokens, c.Limit())
	thought := anthropicThought(call, c, &limit)
	w.raw("max_tokens", cmp.Or(limit, strconv.Itoa(anthropicLimit)))
	w.sampling(&c.Options, anthropicThinks([]byte(thought.thinking)))
	w.stops(c.Stop)
	w.stream()
	w.tools(c)
	w.raw("thinking", thought.thinking)
	w.output(c, thought.effort)
	if c.User != "" {
		w.name("metadata")
		w.out = append(w.out, '{')
		w.text("user_id", c.User)
		w.out = append(w.out, '}')
	}
	w.out = append(w.out, '}')
	if c.Origin == llm.OpenAI {
		w.out = anthropicMerge(w.out, c.Extra, call.ParamName)
	}
	return w.out, w.err
}

// anthropicExtra is the value of a member that the neutral terms have no word for;
// nil when there is none that is an object.
func anthropicExtra(extra []llm.Member, name string) []byte {
	for i := range extra {
		if m := &extra[i]; m.Name == name && m.Value[0] == '{' {
			return m.Value
		}
	}
	return nil
}

// anthropicAnswered are the members that a caller cannot get past the gateway in
// extra_body: it decides about them, or guards look at them.
var anthropicAnswered = []string{
	"model", "messages", "system", "prompt", "stream", "max_tokens", "max_tokens_to_sample", "temperature", "top_p", "top_k", "extra_body",
}

// anthropicMerge adds the members of a caller's extra_body, which is how users of
// OpenAI's clients reach what only the vendor knows. It changes nothing that is
// there.
func anthropicMerge(body []byte, extra []llm.Member, param string) []byte {
	more := anthropicExtra(extra, "extra_body")
	if more == nil {
		return body
	}
	there := map[string]bool{strings.ToLower(param): true}
	for _, name := range anthropicAnswered {
		there[name] = true
	}
	llm.Members(body, func(name string, _ []byte) bool {
		there[name] = true
		return true
	})
	body = body[:len(body)-1]
	llm.Members(more, func(name string, value []byte) bool {
		if key := strings.ToLower(name); !there[key] {
			there[key] = true
			body = append(llm.AppendQuoted(append(body, ','), name), ':')
			body = append(body, value...)
		}
		return true
	})
	return append(body, '}')
}

// system writes what the system, and everybody who is neither user, assistant nor
// tool, says: one text, or a list when parts of it are marked for the cache.
func (w *anthropicWriter) system(messages []llm.Message) {
	parts, marked := 0, false
	each := func(f func(p *llm.Part)) {
		for i := range messages {
			if anthropicRole(messages[i].Role) != llm.RoleSystem {
				continue
			}
			for j := range messages[i].Parts {
				if p := &messages[i].Parts[j]; !anthropicBlank(p.Text) {
					f(p)
				}
			}
		}
	}
	each(func(p *llm.Part) {
		parts++
		marked = marked || anthropicCache(p) != nil
	})
	if parts == 0 {
		return
	}
	w.name("system")
	if marked {
		w.out = append(w.out, '[')
		each(w.textBlock)
		w.out = append(w.out, ']')
		return
	}
	var joined strings.Builder
	each(func(p *llm.Part) {
		if joined.Len() > 0 {
			joined.WriteByte('\n')
		}
		joined.WriteString(p.Text)
	})
	w.out = llm.AppendQuoted(w.out, joined.String())
}

// anthropicRole is one of the four kinds of speakers that are told apart.
func anthropicRole(role llm.Role) llm.Role {
	switch role {
	case llm.RoleUser, llm.RoleAssistant, llm.RoleTool:
		return role
	}
	return llm.RoleSystem
}

func (w *anthropicWriter) messages(messages []llm.Message) {
	w.name("messages")
	w.out = append(w.out, '[')
	for i := 0; i < len(messages); i++ {
		m := &messages[i]
		switch anthropicRole(m.Role) {
		case llm.RoleTool:
			// The results of one turn's calls make one message of the user's.
			w.open("")
			w.out = append(w.out, `"role":"user","content":[`...)
			for ; i < len(messages) && messages[i].Role == llm.RoleTool; i++ {
				w.result(&messages[i])
			}
			i--
			w.out = append(w.out, "]}"...)
		case llm.RoleUser, llm.RoleAssistant:
			w.turn(m)
		}
	}
	w.out = append(w.out, ']')
}

// turn writes a message, unless there is nothing in it that the vendor takes.
func (w *anthropicWriter) turn(m *llm.Message) {
	if m.Plain && len(m.Parts) == 1 && len(m.Calls) == 0 && m.Parts[0].Cache == nil && m.Parts[0].JSON == nil {
		if !anthropicBlank(m.Parts[0].Text) {
			w.open("")
			w.text("role", string(m.Role))
			w.text("content", m.Parts[0].Text)
			w.out = append(w.out, '}')
		}
		return
	}
	before := len(w.out)
	w.open("")
	w.text("role", string(m.Role))
	w.name("content")
	w.out = append(w.out, '[')
	empty := len(w.out)
	// Thoughts come first, wherever the caller had them.
	for i := range m.Parts {
		w.thought(&m.Parts[i])
	}
	for i := range m.Parts {
		w.part(&m.Parts[i])
	}
	for i := range m.Calls {
		w.use(&m.Calls[i])
	}
	if len(w.out) == empty {
		w.out = w.out[:before]
		return
	}
	w.out = append(w.out, "]}"...)
}

// thought writes a thought that its maker vouched for. One without a signature is
// another model's, or was made up, and is refused.
func (w *anthropicWriter) thought(p *llm.Part) {
	switch {
	case p.Kind == llm.PartReasoning && p.Signature != "":
		w.open("thinking")
		w.text("thinking", p.Text)
		w.text("signature", p.Signature)
	case p.Kind == llm.PartRedacted && len(p.Data) > 0:
		w.open("redacted_thinking")
		w.text("data", string(p.Data))
	default:
		return
	}
	w.out = append(w.out, '}')
}

func (w *anthropicWriter) part(p *llm.Part) {
	if p.JSON != nil && w.origin == llm.Anthropic && p.Kind != llm.PartReasoning && p.Kind != llm.PartRedacted {
		w.element(p.JSON)
		return
	}
	switch p.Kind {
	case llm.PartReasoning, llm.PartRedacted:
		return // see thought
	case llm.PartText, llm.PartRefusal:
		if !anthropicBlank(p.Text) {
			w.textBlock(p)
		}
	case llm.PartImage:
		w.media(p, "image")
	case llm.PartFile:
		w.media(p, "document")
	case llm.PartAudio:
		w.err = errAnthropicAudio
	case llm.PartOther:
		// Kong sends the parts of callers as they are, so that callers who know the
		// vendor can use its own.
		if p.JSON != nil {
			w.element(p.JSON)
		}
	}
}

func (w *anthropicWriter) textBlock(p *llm.Part) {
	w.open("text")
	w.text("text", p.Text)
	w.cache(anthropicCache(p))
	w.out = append(w.out, '}')
}

func (w *anthropicWriter) cache(mark []byte) {
	if mark != nil {
		w.raw("cache_control", string(mark))
	}
}

// anthropicCache is the mark of a part for the cache; nil when it has none.
func anthropicCache(p *llm.Part) []byte {
	if p.Cache != nil || p.JSON == nil {
		return p.Cache
	}
	return anthropicMember(p.JSON, "cache_control")
}

// anthropicMember is the value of a member; nil when there is none, or null.
func anthropicMember(object []byte, member string) (found []byte) {
	llm.Members(object, func(name string, value []byte) bool {
		if name == member && value[0] != 'n' {
			found = value
		}
		return found == nil
	})
	return found
}

// media writes an image or a document.
func (w *anthropicWriter) media(p *llm.Part, kind string) {
	mediaType, data, url := p.MediaType, p.Data, p.URL
	if data == nil && len(url) >= 5 && strings.EqualFold(url[:5], "data:") {
		head, body, _ := strings.Cut(url[5:], ",")
		mediaType, _, _ = strings.Cut(head, ";")
		data, url = []byte(body), ""
	}
	if strings.HasPrefix(mediaType, "image/") {
		kind = "image"
	}
	w.open(kind)
	w.name("source")
	w.out = append(w.out, '{')
	switch {
	case data != nil:
		if strings.HasPrefix(mediaType, "text/") {
			if plain, err := base64.StdEncoding.AppendDecode(nil, data); err == nil {
				// The vendor takes base64 of PDF, and texts as texts.
				w.text("type", "text")
				w.text("media_type", "text/plain")
				w.text("data", string(plain))
				break
			}
		}
		if mediaType == "" {
			mediaType = map[string]string{"image": "image/png", "document": "application/pdf"}[kind]
		}
		w.text("type", "base64")
		w.text("media_type", mediaType)
		// Base64 has nothing in it that would need an escape; what is none is
		// refused by the vendor and must not break the body here.
		w.name("data")
		w.out = llm.AppendQuoted(w.out, data)
	case p.FileID != "":
		w.text("type", "file")
		w.text("file_id", p.FileID)
	default:
		w.text("type", "url")
		w.text("url", url)
	}
	w.out = append(w.out, '}')
	if kind == "document" && p.Name != "" {
		w.text("title", p.Name)
	}
	w.cache(anthropicCache(p))
	w.out = append(w.out, '}')
}

// use writes a call that the assistant made.
func (w *anthropicWriter) use(c *llm.ToolCall) {
	if c.Name == "" {
		if c.JSON != nil && w.origin == llm.Anthropic {
			w.element(c.JSON)
		}
		return
	}
	w.open("tool_use")
	w.text("id", anthropicID(c.ID, &w.calls))
	w.text("name", c.Name)
	w.name("input")
	w.out = appendAnthropicInput(w.out, c.Arguments)
	w.out = append(w.out, '}')
}

var anthropicNoNames = llm.NewLenientNames()

// appendAnthropicInput appends the arguments of a call, which must be an object.
// No arguments are an empty one; a text that is none is kept inside of one.
func appendAnthropicInput(dst []byte, arguments string) []byte {
	arguments = strings.TrimSpace(arguments)
	var object llm.Object
	switch {
	case arguments == "" || arguments == "null":
		return append(dst, "{}"...)
	case object.Read([]byte(arguments), anthropicNoNames) == nil:
		return append(dst, arguments...)
	}
	dst = append(dst, `{"arguments":`...)
	return append(llm.AppendQuoted(dst, arguments), '}')
}

// result writes what a tool answered.
func (w *anthropicWriter) result(m *llm.Message) {
	w.open("tool_result")
	w.text("tool_use_id", anthropicID(m.CallID, &w.results))
	if m.Plain && len(m.Parts) == 1 {
		w.text("content", m.Parts[0].Text)
	} else if len(m.Parts) > 0 {
		w.name("content")
		w.out = append(w.out, '[')
		for i := range m.Parts {
			w.part(&m.Parts[i])
		}
		w.out = append(w.out, ']')
	}
	if m.Failed {
		w.raw("is_error", "true")
	}
	w.out = append(w.out, '}')
}

// anthropicID makes the id of a call one that the vendor takes: letters, digits,
// underscores and hyphens. Ids that differ stay different. Calls without one are
// numbered, and so are their results.
func anthropicID(id string, unnamed *int) string {
	if id == "" {
		*unnamed++
		return "call_" + strconv.Itoa(*unnamed)
	}
	clean := []byte(id)
	changed := false
	for i, c := range clean {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			continue
		}
		clean[i], changed = '_', true
	}
	if !changed {
		return id
	}
	sum := fnv.New64a()
	sum.Write([]byte(id))
	return string(strconv.AppendUint(append(clean, '_'), sum.Sum64(), 36))
}

// anthropicBlank says whether a text has nothing but white space in it, which the
// vendor refuses.
func anthropicBlank(text string) bool { return strings.TrimSpace(text) == "" }

func (w *anthropicWriter) tools(c *llm.ChatCall) {
	if len(c.Tools) == 0 {
		return
	}
	w.name("tools")
	w.out = append(w.out, '[')
	for i := range c.Tools {
		w.tool(&c.Tools[i])
	}
	w.out = append(w.out, ']')
	choice := ""
	switch c.ToolChoice.Mode {
	case "none", "auto":
		choice = c.ToolChoice.Mode
	case "required":
		choice = "any"
	case "function":
		choice = "tool"
	}
	alone := c.ParallelCalls != nil && !*c.ParallelCalls && choice != "none"
	if choice == "" && alone {
		choice = "auto"
	}
	if choice == "" {
		return // nothing was said, or, as for Kong, nothing that the vendor knows
	}
	w.name("tool_choice")
	w.out = append(w.out, '{')
	w.text("type", choice)
	if choice == "tool" {
		w.text("name", c.ToolChoice.Name)
	}
	if alone {
		w.raw("disable_parallel_tool_use", "true")
	}
	w.out = append(w.out, '}')
}

func (w *anthropicWriter) tool(t *llm.Tool) {
	if t.JSON != nil && (w.origin == llm.Anthropic || t.Name == "") {
		// A tool that the vendor runs itself has its name beside its type, whoever
		// asks for it.
		if anthropicMember(t.JSON, "name") == nil {
			w.err = errAnthropicTool
			return
		}
		w.element(t.JSON)
		return
	}
	w.open("")
	w.text("name", t.Name)
	if t.Description != "" {
		w.text("description", t.Description)
	}
	parameters := t.Parameters
	if parameters == nil || bytes.Equal(parameters, []byte("null")) {
		parameters = []byte(`{"type":"object","properties":{}}`)
	}
	w.raw("input_schema", string(parameters))
	if t.Strict != nil {
		w.raw("strict", strconv.FormatBool(*t.Strict))
	}
	mark := t.Cache
	if mark == nil && t.JSON != nil {
		mark = anthropicMember(t.JSON, "cache_control")
	}
	w.cache(mark)
	w.out = append(w.out, '}')
}

// output writes the form that the answer must have. The vendor's own option for it
// is used, and not a tool that the model is forced to call: the answer stays a
// text, streams as one, and goes together with tools and with thinking. A model
// that is too old for it says so, where free text would pass for the form. There
// is no counterpart of json_object, whose callers ask for JSON in words as well.
func (w *anthropicWriter) output(c *llm.ChatCall, effort string) {
	schema := c.Output.Kind == "json_schema" && c.Output.Schema != nil
	if !schema && effort == "" {
		return
	}
	w.name("output_config")
	w.out = append(w.out, '{')
	if effort != "" {
		w.text("effort", effort)
	}
	if schema {
		w.name("format")
		w.out = append(w.out, '{')
		w.text("type", "json_schema")
		w.raw("schema", string(c.Output.Schema))
		w.out = append(w.out, '}')
	}
	w.out = append(w.out, '}')
}
