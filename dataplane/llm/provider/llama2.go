package provider

import (
	"fmt"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// llama2Raw speaks with bare text generation servers: the chat is one text with
// the marks that the model was trained with.
type llama2Raw struct{ nativePassing }

var _ Provider = (*llama2Raw)(nil)

// Format is that of bare servers, except where nothing is converted.
func (l *llama2Raw) Format(route llm.Route) (llm.Format, bool) {
	switch route {
	case llm.Chat, llm.Completions:
		return llm.Raw, true
	}
	return l.nativePassing.Format(route)
}

// Request writes a call for a bare server.
func (l *llama2Raw) Request(call *Call, request *llm.Request) ([]byte, error) {
	if call.Route == llm.Preserve {
		return l.nativePassing.Request(call, request)
	}
	b := nativeStart(request)
	if call.Route == llm.Completions {
		c, err := request.Decoder.Completion(request)
		if err != nil {
			return nil, err
		}
		if nativeHas(c.Extra, "messages") {
			return nil, errPromptAndMessages
		}
		if len(c.Prompts) != 1 {
			return nil, &CallError{Message: fmt.Sprintf("%s takes one prompt that is a text", l.name)}
		}
		b.text("inputs", "<s> [INST] <<SYS>> You are a helpful assistant. <<SYS>> "+c.Prompts[0]+" [/INST]")
		return b.llama2Finish(call, c.Options, c.Extra), nil
	}
	c, err := request.Chat()
	if err != nil {
		return nil, err
	}
	if c.Origin == llm.OpenAI && nativeHas(c.Extra, "prompt") {
		return nil, errPromptAndMessages
	}
	inputs, err := llama2Inputs(c)
	if err != nil {
		return nil, err
	}
	b.text("inputs", inputs)
	return b.llama2Finish(call, c.Options, c.Extra), nil
}

// llama2Inputs writes a chat as one text, as Kong does: the first message is the
// system's, the second the user's, whatever their roles, and what the assistant
// said later is left out.
func llama2Inputs(c *llm.ChatCall) (string, error) {
	var out strings.Builder
	for i := range c.Messages {
		m := &c.Messages[i]
		text, ok := nativeText(m)
		if !ok {
			return "", errMultiModal
		}
		switch {
		case i == 0:
			out.WriteString("<s>[INST] <<SYS>> " + text + " <</SYS>>")
		case i == 1:
			out.WriteString(" " + text + " [/INST]")
		case m.Role == llm.RoleUser:
			out.WriteString(" <s>[INST] " + text + " [/INST]")
		case m.Role == llm.RoleSystem || m.Role == llm.RoleDeveloper:
			out.WriteString(" " + text + " </s>")
		}
	}
	return out.String(), nil
}

func (b *nativeBody) llama2Finish(call *Call, options llm.Options, extra []llm.Member) []byte {
	options = nativeOptions(call, options)
	b.object("parameters", func(b *nativeBody) {
		b.number("max_new_tokens", options.MaxTokens)
		b.number("top_p", options.TopP)
		b.number("top_k", options.TopK)
		b.number("temperature", options.Temperature)
		// These servers have no stream that could be read. Who wants one gets the
		// whole answer as its only piece.
		b.truth("stream", false)
	})
	return b.finish(call, extra)
}

// Endpoint is an address at the configured server.
func (l *llama2Raw) Endpoint(call *Call) (Endpoint, error) {
	if call.Options.GetUpstreamUrl() == "" {
		return Endpoint{}, fmt.Errorf("%s has no public address, so upstream_url must be set", l.name)
	}
	path := "/"
	if call.Route == llm.Preserve {
		path = ""
	}
	return Endpoint{Scheme: "https", Port: 443, Path: path}, nil
}

var (
	llama2Names     = llm.NewLenientNames("data", "error")
	llama2ItemNames = llm.NewLenientNames("generated_text")
)

// Response reads a whole answer.
func (l *llama2Raw) Response(call *Call, body []byte) (Answer, error) {
	if call.Route == llm.Preserve {
		return l.nativePassing.Response(call, body)
	}
	chat, err := llama2Answer(body, call.Limits)
	if err != nil {
		return Answer{Body: body}, err
	}
	return nativeAnswer(body, chat), nil
}

func llama2Answer(body []byte, limits llm.Limits) (*llm.ChatAnswer, error) {
	var object, item llm.Object
	if object.ReadWithin(body, llama2Names, limits) != nil {
		return nil, &AnswerError{Reason: "failed to decode llama2 response"}
	}
	if object.Count(0) > 1 {
		return nil, &AnswerError{Reason: "cannot parse response from llama2 endpoint"}
	}
	text, found := "", false
	llm.Elements(object.Value(0), func(element []byte) bool {
		if item.Read(element, llama2ItemNames) == nil {
			text, found = item.Text(0)
		}
		return true
	})
	if !found {
		return nil, &AnswerError{Reason: "response data is empty from llama2 endpoint"}
	}
	// The server repeats the prompt in front of what it made up.
	const mark = "[/INST]"
	if i := strings.LastIndex(text, mark); i >= 0 {
		text = text[i+len(mark):]
	}
	return &llm.ChatAnswer{
		Origin:  llm.Raw,
		Choices: []llm.Choice{nativeChat(strings.TrimSpace(text), llm.FinishEnd)},
	}, nil
}

// Stream starts the reading of an answer to a call that asked for a stream, which
// comes whole.
func (l *llama2Raw) Stream(call *Call) StreamReader {
	if call.Route == llm.Preserve {
		return l.nativePassing.Stream(call)
	}
	return &llama2Stream{limits: call.Limits}
}

// llama2Stream makes the events of a whole answer.
type llama2Stream struct {
	frame    nativeFrame
	limits   llm.Limits
	finished bool
}

// Read says what the answer says.
func (s *llama2Stream) Read(event llm.ServerEvent) (*llm.Frame, bool) {
	f := &s.frame
	f.reset(llm.Raw, event)
	var object llm.Object
	if object.Read(event.Data, llama2Names) == nil && (object.Kind(1) == '"' || object.Kind(1) == '{') {
		f.failure(event.Data)
		return &f.Frame, true
	}
	chat, err := llama2Answer(event.Data, s.limits)
	if err != nil {
		return nil, false
	}
	if !s.finished {
		s.finished = true
		f.add(llm.Event{Kind: llm.EventStart})
		f.answer(chat)
	}
	return &f.Frame, true
}
