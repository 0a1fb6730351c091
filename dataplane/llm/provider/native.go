package provider

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// What the vendors with small formats of their own have in common: Cohere,
// Hugging Face, Ollama, and bare text generation servers.

// The refusals that several of them share, in Kong's words where Kong has some.
var (
	errMultiModal        = &CallError{Message: "multi-modal input is not supported by current provider"}
	errPromptAndMessages = &CallError{Message: "cannot run raw 'prompt' and chat history 'messages' requests at the same time - refer to schema"}
)

// nativePassing answers for preserve routes, which convert nothing and so need no
// vendor.
type nativePassing struct{ *OpenAI }

func nativePass(name string) nativePassing {
	return nativePassing{&OpenAI{name: name, paths: map[llm.Route]string{llm.Preserve: ""}}}
}

// AcceptEncoding leaves out what the gateway cannot read: brotli and zstd.
func (nativePassing) AcceptEncoding() string { return "gzip, identity" }

// Headers sets none.
func (nativePassing) Headers(*Call, http.Header) {}

// nativeBody appends the members of one object, each name at most once: what is
// merged in later, from a caller's extra_body, cannot take the place of what the
// gateway wrote.
type nativeBody struct {
	out   []byte
	names []string
}

// nativeStart starts the body of a request. Room for all of the caller's body is
// made at once, so that an image in it is copied once.
func nativeStart(request *llm.Request) *nativeBody {
	return &nativeBody{out: append(make([]byte, 0, len(request.Body)+512), '{')}
}

// nativeSame is the body of a call that came in the vendor's own format: every
// byte of it passes, but for the model, the stream and the credentials.
func nativeSame(call *Call, request *llm.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, ErrNotJSON
	}
	fields := &request.Fields
	var edits llm.Edits
	named := fields.Has(llm.FieldModel) || request.Format == llm.Cohere // others name it in the path
	if call.Model != "" && call.Model != request.Model && named {
		edits.Set(llm.FieldModel, llm.Quote(call.Model))
	}
	if call.Streams && !request.Streams && request.Format == llm.Cohere && !strings.HasSuffix(request.Operation, "/rerank") {
		edits.Set(llm.FieldStream, "true")
	}
	if call.ParamValue != "" && !(call.ParamOverride && fields.Has(llm.FieldParam)) {
		edits.Set(llm.FieldParam, call.ParamValue)
	}
	if edits.Empty() {
		return request.Body, nil
	}
	return edits.AppendTo(make([]byte, 0, len(request.Body)+edits.Size(fields)), fields), nil
}

func (b *nativeBody) has(name string) bool {
	for _, n := range b.names {
		// Some servers read names in any case.
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// name starts a member, with a comma when it is not the first.
func (b *nativeBody) name(name string) {
	if b.out[len(b.out)-1] != '{' {
		b.out = append(b.out, ',')
	}
	b.out = append(llm.AppendQuoted(b.out, name), ':')
	b.names = append(b.names, name)
}

func (b *nativeBody) text(name, value string) {
	b.name(name)
	b.out = llm.AppendQuoted(b.out, value)
}

// number writes a member that is JSON text; an empty one is left out.
func (b *nativeBody) number(name, value string) {
	if value != "" {
		b.name(name)
		b.out = append(b.out, value...)
	}
}

func (b *nativeBody) raw(name string, value []byte) {
	b.name(name)
	b.out = append(b.out, bytes.TrimSpace(value)...)
}

func (b *nativeBody) truth(name string, value bool) {
	b.name(name)
	if value {
		b.out = append(b.out, "true"...)
	} else {
		b.out = append(b.out, "false"...)
	}
}

func (b *nativeBody) texts(name string, values []string) {
	if len(values) > 0 {
		b.list(name, len(values), func(i int) { b.out = llm.AppendQuoted(b.out, values[i]) })
	}
}

func (b *nativeBody) list(name string, n int, element func(int)) {
	b.name(name)
	b.out = append(b.out, '[')
	for i := range n {
		if i > 0 {
			b.out = append(b.out, ',')
		}
		element(i)
	}
	b.out = append(b.out, ']')
}

// object writes a member that is an object; without members it is left out.
func (b *nativeBody) object(name string, f func(*nativeBody)) {
	before, names := len(b.out), len(b.names)
	b.name(name)
	start := len(b.out)
	b.element(f)
	if len(b.out) == start+len("{}") {
		b.out, b.names = b.out[:before], b.names[:names]
	}
}

// element writes an object that has no name.
func (b *nativeBody) element(f func(*nativeBody)) {
	inner := nativeBody{out: append(b.out, '{')}
	f(&inner)
	b.out = append(inner.out, '}')
}

// add writes a member that came from the caller, unless there is one of its name.
func (b *nativeBody) add(name string, value []byte) {
	if !b.has(name) {
		b.raw(name, value)
	}
}

// nativeAsked are the members that say what is asked, in all these formats: whoever
// looked at the call must have seen that.
var nativeAsked = []string{"model", "stream", "messages", "message", "chat_history", "prompt", "input", "inputs", "texts",
	"system", "preamble", "template", "context", "tool_results", "extra_body"}

// finish merges in what the caller wrote for the vendor alone, under the name
// extra_body, and gives the body.
func (b *nativeBody) finish(call *Call, extra []llm.Member) []byte {
	if call.ParamValue != "" {
		own := -1
		for i := range extra {
			if extra[i].Name == call.ParamName {
				own = i
			}
		}
		if own >= 0 && call.ParamOverride {
			b.add(call.ParamName, extra[own].Value)
		} else if !b.has(call.ParamName) {
			b.number(call.ParamName, call.ParamValue)
		}
	}
	b.names = append(b.names, nativeAsked...)
	llm.Members(nativeExtra(extra, "extra_body", '{'), func(name string, value []byte) bool {
		b.add(name, value)
		return true
	})
	return append(b.out, '}')
}

// nativeExtra is the value of a caller's member when it is of the kind that starts
// with a byte, else nil.
func nativeExtra(extra []llm.Member, name string, kind byte) []byte {
	for i := range extra {
		if extra[i].Name == name && extra[i].Value[0] == kind {
			return extra[i].Value
		}
	}
	return nil
}

func nativeHas(extra []llm.Member, name string) bool {
	for i := range extra {
		if extra[i].Name == name && extra[i].Value[0] != 'n' {
			return true
		}
	}
	return false
}

// nativeOptions are a caller's options under what is configured, which wins.
func nativeOptions(call *Call, options llm.Options) llm.Options {
	options.MaxTokens = cmp.Or(call.MaxTokens, options.Limit())
	options.MaxCompletionTokens = ""
	options.Temperature = cmp.Or(call.Temperature, options.Temperature)
	options.TopP = cmp.Or(call.TopP, options.TopP)
	options.TopK = cmp.Or(call.TopK, options.TopK)
	return options
}

// nativeText is the text of a message, its parts joined by line ends. ok is false
// when there is something else to see or hear in it.
func nativeText(m *llm.Message) (text string, ok bool) {
	ok = true
	first := true
	for i := range m.Parts {
		switch p := &m.Parts[i]; p.Kind {
		case llm.PartText, llm.PartRefusal:
			if first {
				text = p.Text
			} else {
				text += "\n" + p.Text
			}
			first = false
		case llm.PartReasoning, llm.PartRedacted:
		default:
			ok = false
		}
	}
	return text, ok
}

// nativeImage is the base64 text of an image that came along, and what it is; ok
// is false when it is somewhere else.
func nativeImage(p *llm.Part) (data []byte, mediaType string, ok bool) {
	if len(p.Data) > 0 {
		return p.Data, p.MediaType, true
	}
	rest, ok := strings.CutPrefix(p.URL, "data:")
	if !ok {
		return nil, "", false
	}
	head, text, ok := strings.Cut(rest, ",")
	mediaType, ok2 := strings.CutSuffix(head, ";base64")
	return []byte(text), mediaType, ok && ok2
}

// nativeArguments are the arguments of a call as an object. Models do write
// other things at times; such a text is kept as the one argument of its name.
func nativeArguments(text string) []byte {
	var object llm.Object
	switch {
	case strings.TrimSpace(text) == "":
		return []byte("{}")
	case object.Read([]byte(text), nativeNone) == nil:
		return []byte(text)
	}
	return append(llm.AppendQuoted([]byte(`{"arguments":`), text), '}')
}

var nativeNone = llm.NewLenientNames()

// tool writes a function in OpenAI's form, or as it came where that is
// OpenAI's too.
func (b *nativeBody) tool(origin llm.Format, t *llm.Tool) {
	if t.JSON != nil && origin == llm.OpenAI {
		b.out = append(b.out, bytes.TrimSpace(t.JSON)...)
		return
	}
	b.element(func(b *nativeBody) {
		b.text("type", "function")
		b.object("function", func(b *nativeBody) {
			b.text("name", t.Name)
			if t.Description != "" {
				b.text("description", t.Description)
			}
			if t.Parameters != nil {
				b.raw("parameters", t.Parameters)
			}
			if t.Strict != nil {
				b.truth("strict", *t.Strict)
			}
		})
	})
}

// nativeTools are the tools that have a meaning outside of the format that they
// came in.
func nativeTools(c *llm.ChatCall) []llm.Tool {
	tools := make([]llm.Tool, 0, len(c.Tools))
	for _, t := range c.Tools {
		if t.JSON == nil || t.Name != "" || c.Origin == llm.OpenAI {
			tools = append(tools, t)
		}
	}
	return tools
}

// nativeCallID makes an id for a call that came without one. Callers send it back
// with the result, so it must differ from those of earlier turns.
func nativeCallID() string { return "call_" + rand.Text() }

// nativeTokens reads a number of tokens. Some vendors write 12.0 for twelve.
func nativeTokens(object *llm.Object, at int) llm.Tokens {
	n := int64(0)
	value := object.Value(at)
	for i, c := range value {
		if c == '.' && i > 0 {
			break
		}
		if c < '0' || c > '9' || n > 1<<50 {
			return llm.Tokens{}
		}
		n = n*10 + int64(c-'0')
	}
	if len(value) == 0 {
		return llm.Tokens{}
	}
	return llm.Count(n)
}

// nativeUsage makes the usage of two counts, of which either may be unknown.
func nativeUsage(prompt, completion llm.Tokens) (u llm.Usage) {
	if prompt.Known() {
		u.Input, u.Fresh = llm.Reported, prompt
	}
	if completion.Known() {
		u.Output, u.Answer = llm.Reported, completion
	}
	return u
}

// nativeFrame collects the events of one frame. Texts live in memory that is used
// again for the next frame.
type nativeFrame struct {
	llm.Frame
	texts []byte
}

// reset readies the frame for the next event.
func (f *nativeFrame) reset(format llm.Format, event llm.ServerEvent) {
	f.Frame = llm.Frame{Format: format, Name: string(event.Name), Data: event.Data, Events: f.Events[:0]}
	f.texts = f.texts[:0]
}

func (f *nativeFrame) add(event llm.Event) { f.Events = append(f.Events, event) }

// piece adds an event for a quoted text with something in it.
func (f *nativeFrame) piece(kind llm.EventKind, quoted []byte) {
	if len(quoted) <= 2 || quoted[0] != '"' {
		return
	}
	// Earlier events keep pointing into the old memory when it must grow.
	start := len(f.texts)
	f.texts = llm.AppendUnquoted(f.texts, quoted[1:len(quoted)-1])
	f.add(llm.Event{Kind: kind, Text: f.texts[start:len(f.texts):len(f.texts)]})
}

// call adds the events of a call that came whole.
func (f *nativeFrame) call(block int, id, name string, arguments []byte) {
	f.add(llm.Event{Kind: llm.EventCallStart, Block: block, ID: id, Name: name})
	if len(arguments) == 0 || arguments[0] == 'n' {
		arguments = []byte("{}")
	}
	f.arguments(block, arguments)
	f.add(llm.Event{Kind: llm.EventCallEnd, Block: block})
}

// arguments adds a piece of arguments, which are an object or a text that holds
// one.
func (f *nativeFrame) arguments(block int, arguments []byte) {
	at := len(f.Events)
	if len(arguments) > 0 && arguments[0] == '"' {
		f.piece(llm.EventCallArguments, arguments)
	} else if len(arguments) > 0 && arguments[0] != 'n' {
		f.add(llm.Event{Kind: llm.EventCallArguments, Text: arguments})
	}
	if len(f.Events) > at {
		f.Events[at].Block = block
	}
}

// failure adds the error that a vendor tells in the middle of a stream.
func (f *nativeFrame) failure(body []byte) {
	f.add(llm.Event{Kind: llm.EventError, Failure: Failure(0, body)})
}

// answer adds what a whole answer says, which servers that know no streams send
// all the same.
func (f *nativeFrame) answer(a *llm.ChatAnswer) {
	for i := range a.Choices {
		choice := &a.Choices[i]
		for j := range choice.Message.Parts {
			part := &choice.Message.Parts[j]
			kind := llm.EventText
			if part.Kind == llm.PartReasoning {
				kind = llm.EventReasoning
			}
			if part.Text != "" {
				f.add(llm.Event{Kind: kind, Choice: i, Text: []byte(part.Text)})
			}
		}
		for j := range choice.Message.Calls {
			call := &choice.Message.Calls[j]
			f.add(llm.Event{Kind: llm.EventCallStart, Choice: i, Block: j, ID: call.ID, Name: call.Name})
			f.add(llm.Event{Kind: llm.EventCallArguments, Choice: i, Block: j, Text: []byte(call.Arguments)})
			f.add(llm.Event{Kind: llm.EventCallEnd, Choice: i, Block: j})
		}
		f.add(llm.Event{Kind: llm.EventFinish, Choice: i, Finish: choice.Finish})
	}
	if a.Usage.Input == llm.Reported || a.Usage.Output == llm.Reported {
		f.add(llm.Event{Kind: llm.EventUsage, Usage: a.Usage})
	}
}

// nativeChat is an answer of one text.
func nativeChat(text string, finish llm.FinishReason) llm.Choice {
	return llm.Choice{
		Message: llm.Message{Role: llm.RoleAssistant, Plain: true, Parts: []llm.Part{{Kind: llm.PartText, Text: text}}},
		Finish:  finish,
	}
}

// nativeAnswer is what the gateway reports of an answer that was read.
func nativeAnswer(body []byte, chat *llm.ChatAnswer) Answer {
	return Answer{Body: body, Chat: chat, Model: chat.Model, Usage: chat.Usage, TextLength: chat.TextLength()}
}

// nativeVectors reads a list of vectors; it is false when there are none.
func nativeVectors(list []byte) (vectors [][]byte, ok bool) {
	ok = len(list) > 0 && list[0] == '['
	llm.Elements(list, func(vector []byte) bool {
		if vector[0] != '[' {
			ok = false
			return false
		}
		vectors = append(vectors, vector)
		return true
	})
	return vectors, ok && len(vectors) > 0
}

// nativeEmbedding is what the gateway reports of an answer that holds vectors.
func nativeEmbedding(body []byte, vectors [][]byte, model string, prompt llm.Tokens) Answer {
	usage := llm.Usage{}
	if prompt.Known() {
		// Vectors are no tokens: the output is known to be none.
		usage = nativeUsage(prompt, llm.Count(0))
	}
	return Answer{
		Body: body, Model: model, Usage: usage,
		Embedding: &llm.EmbeddingAnswer{Model: model, Vectors: vectors, Usage: usage},
	}
}

// nativeDimensions is the length of vectors to ask for; what is configured wins.
func nativeDimensions(call *Call, c *llm.EmbeddingCall) string {
	if n := call.Options.GetEmbeddingsDimensions(); n > 0 {
		return strconv.FormatInt(n, 10)
	}
	return c.Dimensions
}
