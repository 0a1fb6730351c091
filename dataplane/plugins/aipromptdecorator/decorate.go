package aipromptdecorator

import (
	"bytes"
	"errors"
	"slices"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// message is one configured message.
type message struct {
	role    llm.Role // system, user or assistant
	content string
}

// prompts are the configured messages.
type prompts struct{ prepend, append []message }

// errNoChat says that a body holds no chat that could be decorated.
var errNoChat = errors.New("body holds no chat")

// Members of bodies, of whatever format, that the plugin looks at.
const (
	fieldMessages = iota
	fieldSystem
	fieldContents
	fieldSystemInstruction
	fieldSystemInstructionSnake
	fieldAnthropicVersion
	fieldMessage
	fieldChatHistory
	fieldInputs
	fieldInput
	fieldPrompt
)

var (
	bodyNames = llm.NewNames("messages", "system", "contents", "systemInstruction", "system_instruction", "anthropic_version",
		"message", "chat_history", "inputs", "input", "prompt")
	partsName = llm.NewNames("parts")
)

// decorate is the body, which is known to be valid, with the messages put in. The
// error is errNoChat or an *llm.AmbiguousError.
func decorate(format llm.Format, body []byte, p *prompts, limits llm.Limits) ([]byte, error) {
	d := decorator{body: body, limits: limits}
	if err := d.object.ReadWithin(body, bodyNames, limits); err != nil {
		return nil, err
	}
	has, err := d.object.Has, error(nil)
	switch {
	case format == llm.Anthropic, format == llm.Bedrock && has(fieldAnthropicVersion):
		// The body of Bedrock's InvokeModel is that of the model's own vendor.
		err = d.turns(p, &anthropic)
	case format == llm.Bedrock:
		err = d.turns(p, &bedrock)
	case format == llm.Gemini && has(fieldSystemInstruction) && has(fieldSystemInstructionSnake):
		err = &llm.AmbiguousError{Name: "systemInstruction"}
	case format == llm.Gemini && has(fieldSystemInstructionSnake):
		snake := gemini
		snake.system = fieldSystemInstructionSnake
		err = d.turns(p, &snake)
	case format == llm.Gemini:
		err = d.turns(p, &gemini)
	case format == llm.Cohere && !has(fieldMessages) && d.object.Kind(fieldMessage) == '"':
		err = d.history(p)
	case format == llm.HuggingFace && !has(fieldMessages) && d.object.Kind(fieldInputs) == '"':
		d.inputs(p)
	case format == llm.OpenAI && d.given(fieldInput):
		err = d.input(p)
	default:
		err = d.list(fieldMessages, p.prepend, p.append, appendOpenAI)
	}
	if err != nil {
		return nil, err
	}
	return d.result(), nil
}

// given says that a member is there and not null.
func (d *decorator) given(at int) bool { return d.object.Has(at) && d.object.Kind(at) != 'n' }

// decorator collects insertions into a body.
type decorator struct {
	body    []byte
	limits  llm.Limits
	object  llm.Object
	inserts []insert
}

// insert is a text to put at an offset, in place of the next drop bytes.
type insert struct {
	at, drop int
	text     []byte
}

func (d *decorator) put(at, drop int, text []byte) {
	d.inserts = append(d.inserts, insert{at: at, drop: drop, text: text})
}

// result is the body with all insertions, in one copy.
func (d *decorator) result() []byte {
	slices.SortStableFunc(d.inserts, func(a, b insert) int { return a.at - b.at })
	size := len(d.body)
	for _, i := range d.inserts {
		size += len(i.text)
	}
	out, done := make([]byte, 0, size), 0
	for _, i := range d.inserts {
		out = append(append(out, d.body[done:i.at]...), i.text...)
		done = i.at + i.drop
	}
	return append(out, d.body[done:]...)
}

// list puts messages before and behind the elements of a member, which must be a
// list that has some.
func (d *decorator) list(at int, before, behind []message, element appender) error {
	if d.object.Kind(at) != '[' || d.object.Count(at) == 0 {
		return errNoChat
	}
	from, to := d.object.Span(at)
	d.around(from, to, before, behind, element)
	return nil
}

// around puts messages into the list between two offsets, which has elements.
func (d *decorator) around(from, to int, before, behind []message, element appender) {
	var first, last []byte
	for _, m := range before {
		first = append(element(first, m), ',')
	}
	for _, m := range behind {
		last = element(append(last, ','), m)
	}
	d.put(from+1, 0, first)
	d.put(to-1, 0, last)
}

// turns decorates a format that keeps the system's words apart from the turns.
func (d *decorator) turns(p *prompts, s *shape) error {
	before, systemBefore := split(p.prepend)
	behind, systemBehind := split(p.append)
	if err := d.list(s.turns, before, behind, s.turn); err != nil || len(systemBefore)+len(systemBehind) == 0 {
		return err
	}
	from, to := d.object.Span(s.system)
	switch d.object.Kind(s.system) {
	case 0:
		// In front of all others: there are some, so that a comma can follow.
		text := append(llm.AppendQuoted(nil, s.name), ':')
		text = append(s.appendSystem(text, systemBefore, systemBehind), ',')
		d.put(bytes.IndexByte(d.body, '{')+1, 0, text)
		return nil
	case 'n':
		d.put(from, to-from, s.appendSystem(nil, systemBefore, systemBehind))
		return nil
	case '"':
		if !s.plain {
			return errNoChat
		}
		// The text becomes one part of several.
		text := []byte{'['}
		for _, m := range systemBefore {
			text = append(s.part(text, m), ',')
		}
		d.put(from, 0, append(text, `{"type":"text","text":`...))
		text = []byte{'}'}
		for _, m := range systemBehind {
			text = s.part(append(text, ','), m)
		}
		d.put(to, 0, append(text, ']'))
		return nil
	case '[':
		if s.wrapped {
			return errNoChat
		}
		d.parts(from, to, d.object.Count(s.system), systemBefore, systemBehind, s)
		return nil
	case '{':
		if !s.wrapped {
			return errNoChat
		}
		return d.wrappedParts(from, to, systemBefore, systemBehind, s)
	}
	return errNoChat
}

// parts puts the system's words into the list of them between two offsets.
func (d *decorator) parts(from, to, count int, before, behind []message, s *shape) {
	if count == 0 {
		d.put(from, to-from, appendList(nil, slices.Concat(before, behind), s.part))
		return
	}
	d.around(from, to, before, behind, s.part)
}

// wrappedParts does the same where the list is a member of an object.
func (d *decorator) wrappedParts(from, to int, before, behind []message, s *shape) error {
	var o llm.Object
	if err := o.ReadWithin(d.body[from:to], partsName, d.limits); err != nil {
		return err
	}
	first, last := o.Span(0)
	switch o.Kind(0) {
	case '[':
		d.parts(from+first, from+last, o.Count(0), before, behind, s)
	case 0:
		text := appendList([]byte(`"parts":`), slices.Concat(before, behind), s.part)
		if o.Members() > 0 {
			text = append(text, ',')
		}
		d.put(from+1, 0, text)
	default:
		return errNoChat
	}
	return nil
}

// split tells what is said in turns from what the system says.
func split(all []message) (turns, system []message) {
	for _, m := range all {
		if m.role == llm.RoleSystem {
			system = append(system, m)
		} else {
			turns = append(turns, m)
		}
	}
	return turns, system
}

// history decorates a chat of Cohere's first API, whose newest message stands
// alone: there is no room behind it, so what is to be last is last in the history.
func (d *decorator) history(p *prompts) error {
	from, to := d.object.Span(fieldChatHistory)
	switch d.object.Kind(fieldChatHistory) {
	case '[':
		if d.object.Count(fieldChatHistory) > 0 {
			d.around(from, to, p.prepend, p.append, appendCohereHistory)
			return nil
		}
		fallthrough
	case 'n':
		d.put(from, to-from, appendList(nil, slices.Concat(p.prepend, p.append), appendCohereHistory))
	case 0:
		text := appendList([]byte(`"chat_history":`), slices.Concat(p.prepend, p.append), appendCohereHistory)
		d.put(bytes.IndexByte(d.body, '{')+1, 0, append(text, ','))
	default:
		return errNoChat
	}
	return nil
}

// input decorates a call of the responses API, whose items may be written as
// messages of a chat are. Beside an input there are no messages: one of the two
// would go its way without what was to go with it. Nor are a completion's prompt
// or the texts of a call for vectors items; an embedding of one text looks just
// like a call of this API, and ends as one that the vendor refuses.
func (d *decorator) input(p *prompts) error {
	if d.given(fieldMessages) || d.object.Kind(fieldPrompt) == '"' || d.object.Kind(fieldPrompt) == '[' {
		return errNoChat
	}
	from, to := d.object.Span(fieldInput)
	switch d.object.Kind(fieldInput) {
	case '"':
		// The text becomes one item of several.
		text := []byte{'['}
		for _, m := range p.prepend {
			text = append(appendOpenAI(text, m), ',')
		}
		d.put(from, 0, append(text, `{"role":"user","content":`...))
		text = []byte{'}'}
		for _, m := range p.append {
			text = appendOpenAI(append(text, ','), m)
		}
		d.put(to, 0, append(text, ']'))
		return nil
	case '[':
		items := true
		llm.Elements(d.object.Value(fieldInput), func(item []byte) bool {
			items = item[0] == '{'
			return items
		})
		if !items {
			return errNoChat
		}
	}
	return d.list(fieldInput, p.prepend, p.append, appendOpenAI)
}

// inputs decorates a bare text, which knows no roles: each message is a line.
func (d *decorator) inputs(p *prompts) {
	inside := func(text string) []byte {
		quoted := llm.AppendQuoted(nil, text)
		return quoted[1 : len(quoted)-1]
	}
	from, to := d.object.Span(fieldInputs)
	var first, last []byte
	for _, m := range p.prepend {
		first = append(first, inside(m.content+"\n")...)
	}
	for _, m := range p.append {
		last = append(last, inside("\n"+m.content)...)
	}
	d.put(from+1, 0, first)
	d.put(to-1, 0, last)
}
