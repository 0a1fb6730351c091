package aipromptdecorator

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// appender appends a message as an element of a list.
type appender func(dst []byte, m message) []byte

// shape is how a format says who says what, when it keeps the system's words
// apart from the turns.
type shape struct {
	turns, system int    // their members
	name          string // of a system member that is not there yet
	turn, part    appender
	// plain says that the system's words may be one text, wrapped that their list
	// is the parts of an object.
	plain, wrapped bool
}

var (
	anthropic = shape{turns: fieldMessages, system: fieldSystem, name: "system", turn: appendOpenAI, part: appendBlock, plain: true}
	bedrock   = shape{turns: fieldMessages, system: fieldSystem, name: "system", turn: appendBedrock, part: appendPart}
	gemini    = shape{turns: fieldContents, system: fieldSystemInstruction, name: "systemInstruction", turn: appendGemini, part: appendPart, wrapped: true}
)

// appendSystem appends the system's words where none were.
func (s *shape) appendSystem(dst []byte, before, behind []message) []byte {
	if s.wrapped {
		dst = append(dst, `{"parts":`...)
	}
	dst = appendList(dst, append(before[:len(before):len(before)], behind...), s.part)
	if s.wrapped {
		dst = append(dst, '}')
	}
	return dst
}

func appendList(dst []byte, all []message, element appender) []byte {
	dst = append(dst, '[')
	for i, m := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = element(dst, m)
	}
	return append(dst, ']')
}

// appendOpenAI serves Anthropic and Cohere's second API too.
func appendOpenAI(dst []byte, m message) []byte {
	dst = append(dst, `{"role":`...)
	dst = llm.AppendQuoted(dst, string(m.role))
	dst = append(dst, `,"content":`...)
	dst = llm.AppendQuoted(dst, m.content)
	return append(dst, '}')
}

func appendBedrock(dst []byte, m message) []byte {
	dst = append(dst, `{"role":`...)
	dst = llm.AppendQuoted(dst, string(m.role))
	dst = append(dst, `,"content":[`...)
	dst = appendPart(dst, m)
	return append(dst, "]}"...)
}

func appendGemini(dst []byte, m message) []byte {
	role := "user"
	if m.role == llm.RoleAssistant {
		role = "model"
	}
	dst = append(dst, `{"role":"`...)
	dst = append(dst, role...)
	dst = append(dst, `","parts":[`...)
	dst = appendPart(dst, m)
	return append(dst, "]}"...)
}

func appendCohereHistory(dst []byte, m message) []byte {
	role := map[llm.Role]string{llm.RoleUser: "USER", llm.RoleAssistant: "CHATBOT", llm.RoleSystem: "SYSTEM"}[m.role]
	dst = append(dst, `{"role":"`...)
	dst = append(dst, role...)
	dst = append(dst, `","message":`...)
	dst = llm.AppendQuoted(dst, m.content)
	return append(dst, '}')
}

// appendPart appends a part that is a text by its only member, appendBlock one
// that says so.
func appendPart(dst []byte, m message) []byte {
	dst = append(dst, `{"text":`...)
	dst = llm.AppendQuoted(dst, m.content)
	return append(dst, '}')
}

func appendBlock(dst []byte, m message) []byte {
	dst = append(dst, `{"type":"text","text":`...)
	dst = llm.AppendQuoted(dst, m.content)
	return append(dst, '}')
}
