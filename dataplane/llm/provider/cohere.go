package provider

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// cohere speaks both versions of Cohere's API. Which one a chat is written for
// follows from where it goes: the second at Cohere's own address, and the one
// that a configured address names, or the first where it names none, as it was
// before there were two. A chat with tools is always in the second one's terms,
// since the first has no words for an OpenAI caller's. Bare texts are completed
// by the first version only. What comes back tells by itself what it is.
type cohere struct{ nativePassing }

var _ Provider = (*cohere)(nil)

// Format is Cohere's, except where nothing is converted.
func (c *cohere) Format(route llm.Route) (llm.Format, bool) {
	switch route {
	case llm.Chat, llm.Completions, llm.Embeddings:
		return llm.Cohere, true
	}
	return c.nativePassing.Format(route)
}

// Endpoint is Cohere's public address. A caller of Cohere's own format chooses
// the path.
func (c *cohere) Endpoint(call *Call) (Endpoint, error) {
	at := Endpoint{Scheme: "https", Host: "api.cohere.com", Port: 443}
	switch {
	case call.Format == llm.Cohere && call.Operation != "":
		at.Path = call.Operation
	case call.Route == llm.Chat:
		at.Path = "/v2/chat"
	case call.Route == llm.Completions:
		at.Path = "/v1/generate"
	case call.Route == llm.Embeddings:
		at.Path = "/v2/embed"
	}
	return at, nil
}

// cohereFirst says whether a chat goes to the first version of the API.
func cohereFirst(call *Call) bool {
	path := call.Options.GetUpstreamPath()
	if whole := call.Options.GetUpstreamUrl(); whole != "" {
		path = ""
		if u, err := url.Parse(whole); err == nil {
			path = u.Path
		}
	} else if path == "" {
		return false
	}
	return !strings.Contains(path+"/", "/v2/")
}

// Request writes a call in Cohere's format. A call that came in it passes.
func (c *cohere) Request(call *Call, request *llm.Request) ([]byte, error) {
	switch {
	case call.Route == llm.Preserve && request.Format != llm.Cohere:
		return c.nativePassing.Request(call, request)
	case request.Format == llm.Cohere:
		return nativeSame(call, request)
	}
	b := nativeStart(request)
	switch call.Route {
	case llm.Completions:
		completion, err := request.Decoder.Completion(request)
		if err != nil {
			return nil, err
		}
		return b.cohereCompletion(call, completion)
	case llm.Embeddings:
		embedding, err := request.Decoder.Embedding(request)
		if err != nil {
			return nil, err
		}
		return b.cohereEmbedding(call, embedding)
	}
	chat, err := request.Chat()
	if err != nil {
		return nil, err
	}
	if chat.Origin == llm.OpenAI && nativeHas(chat.Extra, "prompt") {
		return nil, &CallError{Message: "cannot run a 'prompt' and a history of 'messages' at the same time - refer to schema"}
	}
	if cohereFirst(call) && !cohereHasTools(chat) {
		return b.cohereFirstChat(call, chat)
	}
	return b.cohereChat(call, chat)
}

func cohereHasTools(c *llm.ChatCall) bool {
	if len(c.Tools) > 0 {
		return true
	}
	for i := range c.Messages {
		if m := &c.Messages[i]; len(m.Calls) > 0 || m.Role == llm.RoleTool {
			return true
		}
	}
	return false
}

// cohereFirstChat writes a chat for the first version: the last message is what
// is asked, and all before it the history, in which the system's words are the
// user's, as for Kong.
func (b *nativeBody) cohereFirstChat(call *Call, c *llm.ChatCall) ([]byte, error) {
	texts := make([]string, len(c.Messages))
	for i := range c.Messages {
		var ok bool
		if texts[i], ok = nativeText(&c.Messages[i]); !ok {
			return nil, errMultiModal
		}
	}
	last := len(texts) - 1
	if last < 0 {
		return nil, &CallError{Message: "request body doesn't contain valid prompts"}
	}
	b.text("message", texts[last])
	if last > 0 {
		b.list("chat_history", last, func(i int) {
			b.element(func(b *nativeBody) {
				role := "USER"
				if r := c.Messages[i].Role; r == llm.RoleAssistant || strings.EqualFold(string(r), "chatbot") {
					role = "CHATBOT"
				}
				b.text("role", role)
				b.text("message", texts[i])
			})
		})
	}
	b.cohereFormat(&c.Output)
	return b.cohereFinish(call, c.Origin, c.Options, c.Extra), nil
}

// cohereChat writes a chat for the second version.
func (b *nativeBody) cohereChat(call *Call, c *llm.ChatCall) ([]byte, error) {
	var err error
	b.list("messages", len(c.Messages), func(i int) {
		if err == nil {
			err = b.cohereMessage(c, i)
		}
	})
	if err != nil {
		return nil, err
	}
	tools := nativeTools(c)
	if choice := &c.ToolChoice; choice.Mode == "function" {
		// There is no word for one tool, but for one of those that are given.
		var one []llm.Tool
		for i := range tools {
			if tools[i].Name == choice.Name {
				one = append(one, tools[i])
			}
		}
		tools = one
	}
	if len(tools) > 0 {
		b.list("tools", len(tools), func(i int) { b.tool(c.Origin, &tools[i]) })
		switch c.ToolChoice.Mode {
		case "required", "function":
			b.text("tool_choice", "REQUIRED")
		case "none":
			b.text("tool_choice", "NONE")
		}
	}
	b.cohereFormat(&c.Output)
	switch r := &c.Reasoning; {
	case r.Mode == "disabled" || r.Effort == "none":
		b.raw("thinking", []byte(`{"type":"disabled"}`))
	case r.Budget != "":
		b.object("thinking", func(b *nativeBody) {
			b.text("type", "enabled")
			b.number("token_budget", r.Budget)
		})
	case r.Mode == "enabled":
		b.raw("thinking", []byte(`{"type":"enabled"}`))
	}
	return b.cohereFinish(call, c.Origin, c.Options, c.Extra), nil
}

func (b *nativeBody) cohereMessage(c *llm.ChatCall, at int) (err error) {
	m := &c.Messages[at]
	b.element(func(b *nativeBody) {
		switch m.Role {
		case llm.RoleDeveloper:
			b.text("role", string(llm.RoleSystem))
		default:
			b.text("role", string(m.Role))
		}
		text, plain := nativeText(m)
		thinks := false
		for i := range m.Parts {
			thinks = thinks || m.Parts[i].Kind == llm.PartReasoning && m.Parts[i].Text != ""
		}
		switch {
		case len(m.Calls) > 0 && plain:
			// What the model says before it calls is its plan of the calls.
			if text != "" {
				b.text("tool_plan", text)
			}
		case plain && !thinks:
			b.text("content", text)
		default:
			err = b.cohereParts(m)
		}
		if len(m.Calls) > 0 {
			b.list("tool_calls", len(m.Calls), func(i int) {
				call := &m.Calls[i]
				b.element(func(b *nativeBody) {
					b.text("id", call.ID)
					b.text("type", "function")
					b.object("function", func(b *nativeBody) {
						b.text("name", call.Name)
						b.text("arguments", call.Arguments)
					})
				})
			})
		}
		if m.CallID != "" {
			b.text("tool_call_id", m.CallID)
		}
	})
	return err
}

func (b *nativeBody) cohereParts(m *llm.Message) error {
	parts := make([]*llm.Part, 0, len(m.Parts))
	for i := range m.Parts {
		switch p := &m.Parts[i]; p.Kind {
		case llm.PartText, llm.PartRefusal, llm.PartImage, llm.PartReasoning:
			parts = append(parts, p)
		case llm.PartRedacted:
		default:
			return errMultiModal
		}
	}
	var err error
	b.list("content", len(parts), func(i int) {
		p := parts[i]
		b.element(func(b *nativeBody) {
			switch p.Kind {
			case llm.PartReasoning:
				b.text("type", "thinking")
				b.text("thinking", p.Text)
			case llm.PartImage:
				b.text("type", "image_url")
				b.object("image_url", func(b *nativeBody) {
					switch {
					case p.URL != "":
						b.text("url", p.URL)
					case len(p.Data) > 0:
						b.name("url")
						// The image is written straight into the body: it may be large.
						b.out = llm.AppendQuoted(b.out, "data:"+p.MediaType+";base64,")
						b.out = append(b.out[:len(b.out)-1], p.Data...)
						b.out = append(b.out, '"')
						if bytes.ContainsAny(p.Data, "\"\\\n\r") {
							err = errMultiModal
						}
					default:
						err = errMultiModal
					}
					if p.Detail != "" {
						b.text("detail", p.Detail)
					}
				})
			default:
				b.text("type", "text")
				b.text("text", p.Text)
			}
		})
	})
	return err
}

// cohereFormat says which form the answer must have.
func (b *nativeBody) cohereFormat(output *llm.Output) {
	if output.Kind != "json_object" && output.Kind != "json_schema" {
		return
	}
	b.object("response_format", func(b *nativeBody) {
		b.text("type", "json_object")
		if output.Schema != nil {
			b.raw("schema", output.Schema)
		}
	})
}

func (b *nativeBody) cohereCompletion(call *Call, c *llm.CompletionCall) ([]byte, error) {
	if nativeHas(c.Extra, "messages") {
		return nil, &CallError{Message: "cannot run a 'prompt' and a history of 'messages' at the same time - refer to schema"}
	}
	if len(c.Prompts) != 1 {
		return nil, &CallError{Message: "cohere takes one prompt that is a text"}
	}
	b.text("prompt", c.Prompts[0])
	return b.cohereFinish(call, c.Origin, c.Options, c.Extra), nil
}

// cohereDropped are members of OpenAI's format that mean nothing to Cohere, which
// refuses what it does not know.
var cohereDropped = map[string]bool{
	"audio": true, "echo": true, "best_of": true, "extra_body": true, "functions": true, "function_call": true,
	"logit_bias": true, "logprobs": true, "metadata": true, "modalities": true, "n": true, "parallel_tool_calls": true,
	"prediction": true, "prompt_cache_key": true, "prompt_cache_retention": true, "reasoning_effort": true,
	"response_format": true, "safety_identifier": true, "service_tier": true, "store": true, "stream_options": true,
	"suffix": true, "thinking": true, "tool_choice": true, "top_logprobs": true, "tools": true, "user": true,
	"verbosity": true, "web_search_options": true,
}

// cohereFinish writes the options, and what else the caller sent: many of Cohere's
// own members have no counterpart, and callers write them into OpenAI's bodies.
func (b *nativeBody) cohereFinish(call *Call, origin llm.Format, options llm.Options, extra []llm.Member) []byte {
	options = nativeOptions(call, options)
	b.text("model", call.Model)
	b.truth("stream", call.Streams)
	b.number("max_tokens", options.MaxTokens)
	b.number("temperature", options.Temperature)
	b.number("p", options.TopP)
	b.number("k", options.TopK)
	b.texts("stop_sequences", options.Stop)
	for _, m := range extra {
		if slices.Contains(nativeAsked, m.Name) {
			continue
		}
		if origin == llm.OpenAI && !cohereDropped[m.Name] && m.Name != call.ParamName && m.Value[0] != 'n' {
			b.add(m.Name, m.Value)
		}
	}
	return b.finish(call, extra)
}

func (b *nativeBody) cohereEmbedding(call *Call, c *llm.EmbeddingCall) ([]byte, error) {
	if len(c.Texts) == 0 {
		return nil, &CallError{Message: "cohere embeds texts only"}
	}
	purpose := "classification"
	if configured := call.Options.GetCohere().GetEmbeddingInputType(); configured != "" {
		purpose = configured
	}
	b.text("model", call.Model)
	b.texts("texts", c.Texts)
	b.text("input_type", purpose)
	b.texts("embedding_types", []string{"float"})
	b.number("output_dimension", nativeDimensions(call, c))
	return b.finish(call, c.Extra), nil
}
