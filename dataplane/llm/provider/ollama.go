package provider

import (
	"fmt"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// ollamaFormat speaks the API of Ollama's own server, which other vendors' models
// are run with too.
type ollamaFormat struct {
	nativePassing
	// host is the public host; empty: servers run where upstream_url says.
	host string
}

var _ Provider = (*ollamaFormat)(nil)

func newOllama(name, host string) *ollamaFormat {
	return &ollamaFormat{nativePassing: nativePass(name), host: host}
}

// Format is Ollama's, except where nothing is converted.
func (o *ollamaFormat) Format(route llm.Route) (llm.Format, bool) {
	switch route {
	case llm.Chat, llm.Completions, llm.Embeddings:
		return llm.Ollama, true
	}
	return o.nativePassing.Format(route)
}

// Endpoint is an address at the configured server.
func (o *ollamaFormat) Endpoint(call *Call) (Endpoint, error) {
	if o.host == "" && call.Options.GetUpstreamUrl() == "" {
		return Endpoint{}, fmt.Errorf("%s has no public address, so upstream_url must be set", o.name)
	}
	path := map[llm.Route]string{
		llm.Chat: "/api/chat", llm.Completions: "/api/generate", llm.Embeddings: "/api/embed",
	}[call.Route]
	return Endpoint{Scheme: "https", Host: o.host, Port: 443, Path: path}, nil
}

// Request writes a call in Ollama's format.
func (o *ollamaFormat) Request(call *Call, request *llm.Request) ([]byte, error) {
	if call.Route == llm.Preserve {
		return o.nativePassing.Request(call, request)
	}
	b := nativeStart(request)
	switch call.Route {
	case llm.Completions:
		c, err := request.Decoder.Completion(request)
		if err != nil {
			return nil, err
		}
		return o.completion(call, c, b)
	case llm.Embeddings:
		c, err := request.Decoder.Embedding(request)
		if err != nil {
			return nil, err
		}
		return o.embedding(call, c, b)
	}
	c, err := request.Chat()
	if err != nil {
		return nil, err
	}
	return o.chat(call, c, b)
}

func (o *ollamaFormat) chat(call *Call, c *llm.ChatCall, b *nativeBody) ([]byte, error) {
	if c.Origin == llm.OpenAI && nativeHas(c.Extra, "prompt") {
		return nil, errPromptAndMessages
	}
	b.text("model", call.Model)
	var err error
	b.list("messages", len(c.Messages), func(i int) {
		if err == nil {
			err = b.ollamaMessage(c, i)
		}
	})
	if err != nil {
		return nil, err
	}
	b.truth("stream", call.Streams)
	// A server that knows no tool_choice would let the model use tools all the same.
	if tools := nativeTools(c); len(tools) > 0 && c.ToolChoice.Mode != "none" {
		b.list("tools", len(tools), func(i int) { b.tool(c.Origin, &tools[i]) })
		switch choice := &c.ToolChoice; {
		case choice.Mode == "function":
			b.raw("tool_choice", append(llm.AppendQuoted([]byte(`{"type":"function","function":{"name":`), choice.Name), "}}"...))
		case choice.Mode != "":
			b.text("tool_choice", choice.Mode)
		case choice.JSON != nil && c.Origin == llm.OpenAI:
			b.raw("tool_choice", choice.JSON)
		}
	}
	switch {
	case c.Output.Kind == "json_schema" && c.Output.Schema != nil:
		b.raw("format", c.Output.Schema)
	case c.Output.Kind == "json_schema", c.Output.Kind == "json_object":
		b.text("format", "json")
	}
	b.ollamaThink(call.Model, &c.Reasoning)
	return b.ollamaFinish(call, c.Origin, c.Options, c.Extra), nil
}

// ollamaThink asks for thinking or for none. Only one family of models takes how
// much; the others refuse a text there.
func (b *nativeBody) ollamaThink(model string, r *llm.Reasoning) {
	level := ""
	switch r.Effort {
	case "minimal", "low":
		level = "low"
	case "medium":
		level = "medium"
	case "high", "xhigh", "max":
		level = "high"
	}
	switch {
	case r.Mode == "disabled" || r.Effort == "none":
		b.truth("think", false)
	case level != "" && strings.HasPrefix(model, "gpt-oss"):
		b.text("think", level)
	case level != "" || r.Mode == "enabled":
		b.truth("think", true)
	}
}

func (b *nativeBody) ollamaMessage(c *llm.ChatCall, at int) (err error) {
	m := &c.Messages[at]
	b.element(func(b *nativeBody) {
		role := m.Role
		if role == llm.RoleDeveloper {
			role = llm.RoleSystem
		}
		b.text("role", string(role))
		var text, thinking []string
		var images []*llm.Part
		for i := range m.Parts {
			switch p := &m.Parts[i]; p.Kind {
			case llm.PartText, llm.PartRefusal:
				text = append(text, p.Text)
			case llm.PartReasoning:
				thinking = append(thinking, p.Text)
			case llm.PartImage:
				images = append(images, p)
			case llm.PartRedacted:
			default:
				err = errMultiModal
			}
		}
		b.text("content", strings.Join(text, "\n"))
		if len(thinking) > 0 {
			b.text("thinking", strings.Join(thinking, "\n"))
		}
		if len(images) > 0 {
			b.list("images", len(images), func(i int) {
				data, _, ok := nativeImage(images[i])
				if !ok {
					err = &CallError{Message: "images must be data: URLs, ollama does not fetch any"}
				}
				b.out = llm.AppendQuoted(b.out, data)
			})
		}
		if len(m.Calls) > 0 {
			b.list("tool_calls", len(m.Calls), func(i int) { b.ollamaCall(&m.Calls[i]) })
		}
		if m.Role == llm.RoleTool {
			if name := nativeToolName(c, at); name != "" {
				b.text("tool_name", name)
			}
			if m.CallID != "" {
				b.text("tool_call_id", m.CallID)
			}
		}
	})
	return err
}

func (b *nativeBody) ollamaCall(call *llm.ToolCall) {
	b.element(func(b *nativeBody) {
		if call.ID != "" {
			b.text("id", call.ID)
		}
		b.object("function", func(b *nativeBody) {
			b.text("name", call.Name)
			b.raw("arguments", nativeArguments(call.Arguments))
		})
	})
}

// nativeToolName is the function whose result a message holds: the one of the
// latest call of that id before it.
func nativeToolName(c *llm.ChatCall, at int) string {
	id := c.Messages[at].CallID
	for i := at - 1; i >= 0; i-- {
		for j := range c.Messages[i].Calls {
			if call := &c.Messages[i].Calls[j]; call.ID == id {
				return call.Name
			}
		}
	}
	return ""
}

// ollamaMembers are Ollama's own members, which a caller may write into a body of
// OpenAI's format.
var ollamaMembers = map[string]bool{"format": true, "keep_alive": true, "raw": true, "suffix": true, "think": true, "truncate": true}

// ollamaSampling are the options that OpenAI's format has at the top.
var ollamaSampling = map[string]bool{"seed": true, "presence_penalty": true, "frequency_penalty": true}

func (b *nativeBody) ollamaFinish(call *Call, origin llm.Format, options llm.Options, extra []llm.Member) []byte {
	options = nativeOptions(call, options)
	b.object("options", func(b *nativeBody) {
		b.number("num_predict", options.MaxTokens)
		b.number("temperature", options.Temperature)
		b.number("top_p", options.TopP)
		b.number("top_k", options.TopK)
		b.texts("stop", options.Stop)
		for _, m := range extra {
			if origin == llm.OpenAI && ollamaSampling[m.Name] && m.Value[0] != 'n' {
				b.add(m.Name, m.Value)
			}
		}
		own := func(object []byte) {
			llm.Members(object, func(name string, value []byte) bool {
				b.add(name, value)
				return true
			})
		}
		own(nativeExtra(extra, "options", '{'))
		llm.Members(nativeExtra(extra, "extra_body", '{'), func(name string, value []byte) bool {
			if name == "options" {
				own(value)
			}
			return true
		})
	})
	return b.ollamaEnd(call, origin, extra)
}

func (b *nativeBody) ollamaEnd(call *Call, origin llm.Format, extra []llm.Member) []byte {
	for _, m := range extra {
		if origin == llm.OpenAI && ollamaMembers[m.Name] {
			b.add(m.Name, m.Value)
		}
	}
	b.names = append(b.names, "options") // merged already
	return b.finish(call, extra)
}

func (o *ollamaFormat) completion(call *Call, c *llm.CompletionCall, b *nativeBody) ([]byte, error) {
	if nativeHas(c.Extra, "messages") {
		return nil, errPromptAndMessages
	}
	if len(c.Prompts) != 1 {
		return nil, &CallError{Message: fmt.Sprintf("%s takes one prompt that is a text", o.name)}
	}
	b.text("model", call.Model)
	b.text("prompt", c.Prompts[0])
	b.truth("stream", call.Streams)
	return b.ollamaFinish(call, c.Origin, c.Options, c.Extra), nil
}

func (o *ollamaFormat) embedding(call *Call, c *llm.EmbeddingCall, b *nativeBody) ([]byte, error) {
	if len(c.Texts) == 0 {
		return nil, &CallError{Message: fmt.Sprintf("%s embeds texts only", o.name)}
	}
	b.text("model", call.Model)
	if c.List {
		b.texts("input", c.Texts)
	} else {
		b.text("input", c.Texts[0])
	}
	b.number("dimensions", nativeDimensions(call, c))
	return b.ollamaEnd(call, c.Origin, c.Extra), nil
}

var (
	ollamaNames = llm.NewLenientNames("model", "created_at", "message", "response", "thinking", "done", "done_reason",
		"prompt_eval_count", "eval_count", "error", "embeddings", "embedding", "logprobs")
	ollamaMessageNames  = llm.NewLenientNames("content", "thinking", "tool_calls")
	ollamaCallNames     = llm.NewLenientNames("id", "function")
	ollamaFunctionNames = llm.NewLenientNames("name", "arguments")
)

// The places of the names above.
const (
	ollamaModel = iota
	ollamaCreated
	ollamaMessage
	ollamaResponse
	ollamaThinking
	ollamaDone
	ollamaDoneReason
	ollamaPromptCount
	ollamaCount
	ollamaError
	ollamaEmbeddings
	ollamaEmbedding
	ollamaLogprobs
)

const (
	ollamaContent = iota
	ollamaThought
	ollamaCalls
)

const (
	ollamaCallID = iota
	ollamaCallFunction
)

const (
	ollamaFunctionName = iota
	ollamaFunctionArguments
)

var errOllamaAnswer = &AnswerError{Reason: "failed to decode ollama response"}

// Response reads a whole answer.
func (o *ollamaFormat) Response(call *Call, body []byte) (Answer, error) {
	if call.Route == llm.Preserve {
		return o.nativePassing.Response(call, body)
	}
	var object llm.Object
	if object.ReadWithin(body, ollamaNames, call.Limits) != nil {
		return Answer{Body: body}, errOllamaAnswer
	}
	if call.Route == llm.Embeddings {
		vectors, ok := nativeVectors(object.Value(ollamaEmbeddings))
		if !ok && object.Kind(ollamaEmbedding) == '[' {
			// The older address answers with one vector.
			vectors, ok = [][]byte{object.Value(ollamaEmbedding)}, true
		}
		if !ok {
			return Answer{Body: body}, errOllamaAnswer
		}
		model, _ := object.Text(ollamaModel)
		return nativeEmbedding(body, vectors, model, nativeTokens(&object, ollamaPromptCount)), nil
	}
	chat := &llm.ChatAnswer{Origin: llm.Ollama}
	chat.Model, _ = object.Text(ollamaModel)
	chat.Created = ollamaTime(&object)
	choice := llm.Choice{Message: llm.Message{Role: llm.RoleAssistant}}
	m := &choice.Message
	add := func(kind llm.PartKind, object *llm.Object, at int) {
		if text, ok := object.Text(at); ok && (text != "" || kind == llm.PartText) {
			m.Parts = append(m.Parts, llm.Part{Kind: kind, Text: text})
		}
	}
	var message llm.Object
	switch {
	case object.Kind(ollamaMessage) == '{' && message.ReadWithin(object.Value(ollamaMessage), ollamaMessageNames, call.Limits) == nil:
		add(llm.PartReasoning, &message, ollamaThought)
		add(llm.PartText, &message, ollamaContent)
		ollamaEachCall(message.Value(ollamaCalls), func(id, name string, arguments []byte) {
			m.Calls = append(m.Calls, llm.ToolCall{ID: id, Name: name, Arguments: ollamaArguments(arguments)})
		})
	case object.Kind(ollamaResponse) == '"':
		add(llm.PartReasoning, &object, ollamaThinking)
		add(llm.PartText, &object, ollamaResponse)
	default:
		return Answer{Body: body}, errOllamaAnswer
	}
	m.Plain = len(m.Parts) == 1 && m.Parts[0].Kind == llm.PartText
	choice.Finish = ollamaFinishReason(call, &object, len(m.Calls) > 0)
	chat.Choices = []llm.Choice{choice}
	chat.Usage = ollamaUsage(&object)
	return nativeAnswer(body, chat), nil
}

// ollamaArguments is the JSON text of arguments, which come as an object.
func ollamaArguments(value []byte) string {
	switch {
	case len(value) == 0 || value[0] == 'n':
		return "{}"
	case value[0] == '"':
		return llm.Unquote(value)
	}
	return string(value)
}

func ollamaEachCall(calls []byte, f func(id, name string, arguments []byte)) {
	llm.Elements(calls, func(text []byte) bool {
		var call, function llm.Object
		if call.Read(text, ollamaCallNames) != nil || call.Kind(ollamaCallFunction) != '{' ||
			function.Read(call.Value(ollamaCallFunction), ollamaFunctionNames) != nil {
			return true
		}
		id, _ := call.Text(ollamaCallID)
		if id == "" {
			id = nativeCallID()
		}
		name, _ := function.Text(ollamaFunctionName)
		f(id, name, function.Value(ollamaFunctionArguments))
		return true
	})
}

// ollamaTime is when an answer was made; 0 when it does not say.
func ollamaTime(object *llm.Object) int64 {
	text, ok := object.Text(ollamaCreated)
	if !ok {
		return 0
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return at.Unix()
}

// ollamaFinishReason is why an answer ended. Ollama has no word for calls; older
// servers have none at all, so that only the count tells of a limit.
func ollamaFinishReason(call *Call, object *llm.Object, calls bool) llm.FinishReason {
	word, _ := object.Text(ollamaDoneReason)
	switch {
	case word == "load" || word == "unload":
		return llm.FinishFailed
	case word == "length":
		return llm.FinishLength
	case calls:
		return llm.FinishCalls
	case word == "" && call.MaxTokens != "" && string(object.Value(ollamaCount)) == call.MaxTokens:
		return llm.FinishLength
	}
	return llm.FinishEnd
}

// ollamaUsage reads the counts of the last line. A prompt that is all in the
// server's cache is not counted.
func ollamaUsage(object *llm.Object) llm.Usage {
	prompt, completion := nativeTokens(object, ollamaPromptCount), nativeTokens(object, ollamaCount)
	if completion.Known() && !prompt.Known() {
		prompt = llm.Count(0)
	}
	return nativeUsage(prompt, completion)
}

// Stream starts the reading of a streamed answer.
func (o *ollamaFormat) Stream(call *Call) StreamReader {
	if call.Route == llm.Preserve {
		return o.nativePassing.Stream(call)
	}
	return &ollamaStream{call: call}
}

// ollamaStream reads the lines of one streamed answer.
type ollamaStream struct {
	call     *Call
	frame    nativeFrame
	begun    bool
	finished bool
	calls    int
}

// Read says what one line means.
func (s *ollamaStream) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	f := &s.frame
	f.reset(llm.Ollama, event)
	var object, message llm.Object
	if object.Read(event.Data, ollamaNames) != nil {
		return nil, false
	}
	if kind := object.Kind(ollamaError); kind == '"' || kind == '{' {
		f.failure(event.Data)
		return &f.Frame, true
	}
	if s.finished {
		return &f.Frame, true
	}
	if !s.begun {
		s.begun = true
		model, _ := object.Text(ollamaModel)
		f.add(llm.Event{Kind: llm.EventStart, Model: model, Created: ollamaTime(&object)})
	}
	if object.Kind(ollamaMessage) == '{' && message.Read(object.Value(ollamaMessage), ollamaMessageNames) == nil {
		f.piece(llm.EventReasoning, message.Value(ollamaThought))
		f.piece(llm.EventText, message.Value(ollamaContent))
		ollamaEachCall(message.Value(ollamaCalls), func(id, name string, arguments []byte) {
			f.call(s.calls, id, name, arguments)
			s.calls++
		})
	}
	f.piece(llm.EventReasoning, object.Value(ollamaThinking))
	f.piece(llm.EventText, object.Value(ollamaResponse))
	if object.Kind(ollamaDone) == 't' {
		// There is no mark behind this line: the end of the stream is the end.
		s.finished = true
		f.add(llm.Event{Kind: llm.EventFinish, Finish: ollamaFinishReason(s.call, &object, s.calls > 0)})
		if usage := ollamaUsage(&object); usage.Output == llm.Reported {
			f.HoldsUsage = true
			f.add(llm.Event{Kind: llm.EventUsage, Usage: usage})
		}
	}
	return &f.Frame, true
}
