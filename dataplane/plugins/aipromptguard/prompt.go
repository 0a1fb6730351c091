package aipromptguard

import (
	"errors"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Why a call is refused before its prompt is matched.
var (
	errNoPrompt = errors.New("request holds no prompt of a chat or a completion")
	errBoth     = errors.New("request holds both messages and a prompt")
	errMessage  = errors.New("a message is no object whose role and content are texts, each given once")
	errNone     = errors.New("request holds no message of a role that is looked at")
)

const (
	fieldRole = iota
	fieldContent
)

var messageNames = llm.NewNames("role", "content")

// openAIPrompt is the text under test of a call in OpenAI's format. As for Kong,
// what is no plain text cannot be judged, and is refused.
func (h *Handler) openAIPrompt(call *llm.Request) (string, error) {
	f := &call.Fields
	given := func(at int) bool { return f.Has(at) && f.Kind(at) != 'n' }
	switch {
	case given(llm.FieldMessages) && given(llm.FieldPrompt):
		// One of them would pass without having been looked at.
		return "", errBoth
	case f.Kind(llm.FieldMessages) != '[':
		prompt, ok := f.Text(llm.FieldPrompt)
		if !ok {
			return "", errNoPrompt
		}
		return prompt, nil
	}
	var messages [][]byte
	llm.Elements(f.Value(llm.FieldMessages), func(message []byte) bool {
		messages = append(messages, message)
		return true
	})
	var c collector
	for _, message := range slices.Backward(messages) {
		var o llm.Object
		if err := o.ReadWithin(message, messageNames, h.limits); err != nil {
			return "", errMessage
		}
		role, ok := o.Text(fieldRole)
		if !ok {
			return "", errMessage
		}
		if !h.allRoles && role != string(llm.RoleUser) {
			continue
		}
		content, ok := o.Text(fieldContent)
		if !ok {
			return "", errMessage
		}
		if h.newest {
			return content, nil
		}
		c.add(content)
	}
	return h.collected(&c)
}

// prompt is the text under test of a call in another format. Parts that are no
// text are left out, save those that nobody here understands, which count as they
// came.
func (h *Handler) prompt(call *llm.Request) (string, error) {
	if call.Decoder == nil {
		return "", errNoPrompt
	}
	chat, err := call.Chat()
	if err != nil || len(chat.Messages) == 0 {
		completion, err := call.Decoder.Completion(call)
		if err != nil || len(completion.Prompts) == 0 {
			return "", errNoPrompt
		}
		return strings.Join(completion.Prompts, " "), nil
	}
	var c collector
	for i := range slices.Backward(chat.Messages) {
		m := &chat.Messages[i]
		if !h.allRoles && m.Role != llm.RoleUser {
			continue
		}
		var texts []string
		for j := range m.Parts {
			switch p := &m.Parts[j]; p.Kind {
			case llm.PartText, llm.PartRefusal, llm.PartReasoning:
				texts = append(texts, p.Text)
			case llm.PartOther:
				texts = append(texts, string(p.JSON))
			}
		}
		content := strings.Join(texts, " ")
		if h.newest {
			return content, nil
		}
		c.add(content)
	}
	return h.collected(&c)
}

// collector joins contents. Kong puts a blank behind each, the last one too.
type collector struct{ out strings.Builder }

func (c *collector) add(content string) {
	c.out.WriteString(content)
	c.out.WriteByte(' ')
}

// collected is what was joined: nothing is a text too, unless one message was to
// be looked at and there is none.
func (h *Handler) collected(c *collector) (string, error) {
	if h.newest {
		return "", errNone
	}
	return c.out.String(), nil
}
