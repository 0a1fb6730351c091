package aipromptguard

import (
	"errors"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
)

// Why a call is refused before its prompt is matched.
var (
	errNoPrompt = errors.New("request holds no prompt of a chat or a completion")
	errBoth     = errors.New("request holds more than one of messages, a prompt and an input")
	errTokens   = errors.New("request for vectors holds no texts that could be matched")
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
	switch {
	case givenMany(f):
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

func given(f *llm.Object, at int) bool { return f.Has(at) && f.Kind(at) != 'n' }

// givenMany says that a body has members of several kinds of calls. Which of them
// counts is the route's to say, which is not known here: one of them would pass
// without having been looked at. It holds for the prompts that OpenAI keeps too,
// whose variables go beside an input.
func givenMany(f *llm.Object) bool {
	count := 0
	for _, at := range []int{llm.FieldMessages, llm.FieldPrompt, llm.FieldInput} {
		if given(f, at) {
			count++
		}
	}
	return count > 1
}

// promptOf is the text under test. The error says why there is none.
func (h *Handler) promptOf(r *plugin.Request, call *llm.Request) (string, error) {
	if h.vectors {
		return vectorTexts(call)
	}
	if call.Format != llm.OpenAI {
		return h.prompt(call)
	}
	if !given(&call.Fields, llm.FieldInput) || givenMany(&call.Fields) {
		return h.openAIPrompt(call)
	}
	// A call of the responses API, whose contents mostly come in parts.
	call, err := exchange.Inspect(r, h.responses, h.bodyLimit)
	if err != nil {
		return "", err
	}
	return h.prompt(call)
}

// vectorTexts are the texts of a call for vectors, with a blank behind each.
// Tokens cannot be judged, and are refused.
func vectorTexts(call *llm.Request) (string, error) {
	if call.Decoder == nil || call.Format == llm.OpenAI && givenMany(&call.Fields) {
		return "", errBoth
	}
	vectors, err := call.Decoder.Embedding(call)
	if err != nil {
		return "", errTokens
	}
	var c collector
	for _, text := range vectors.Texts {
		c.add(text)
	}
	if call.Format != llm.OpenAI {
		// What else a vendor's own format has texts in: Cohere's inputs of many kinds.
		for i := range vectors.Extra {
			if value := vectors.Extra[i].Value; value[0] == '[' || value[0] == '{' {
				eachText(value, c.add)
			}
		}
	}
	if c.out.Len() == 0 || len(vectors.Tokens) > 0 {
		return "", errTokens
	}
	return c.out.String(), nil
}

// eachText calls f with every text in a JSON value, names of members left out.
func eachText(value []byte, f func(text string)) {
	switch value[0] {
	case '"':
		f(llm.Unquote(value))
	case '[':
		llm.Elements(value, func(element []byte) bool {
			eachText(element, f)
			return true
		})
	case '{':
		llm.Members(value, func(_ string, value []byte) bool {
			eachText(value, f)
			return true
		})
	}
}

// prompt is the text under test of a call in another format. Parts that are no
// text are left out, save those that nobody here understands, of which all texts
// count.
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
				eachText(p.JSON, func(text string) { texts = append(texts, text) })
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
