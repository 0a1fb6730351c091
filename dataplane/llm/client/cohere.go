package client

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Cohere reads the format of Cohere's own callers, both versions of it, for one
// route. They say in the path what they ask for: a chat, a ranking, vectors.
type Cohere struct {
	// Limits bound the calls that are read.
	Limits llm.Limits

	route llm.Route
	names *llm.Names
}

var _ Format = (*Cohere)(nil)

const (
	cohereMessages = iota + llm.FieldStream + 1
	cohereMessage
	cohereHistory
	coherePrompt
	cohereQuery
	cohereTexts
	cohereInputs
	cohereImages
	cohereResults
)

var cohereFields = []string{
	llm.FieldModel: "model", llm.FieldStream: "stream",
	cohereMessages: "messages", cohereMessage: "message", cohereHistory: "chat_history", coherePrompt: "prompt",
	cohereQuery: "query", cohereTexts: "texts", cohereInputs: "inputs", cohereImages: "images", cohereResults: "tool_results",
}

// cohereCalls are the calls that the gateway lends its credentials to.
var cohereCalls = []string{"/v1/chat", "/v2/chat", "/v1/rerank", "/v2/rerank", "/v1/embed", "/v2/embed", "/v1/generate"}

// NewCohere makes a reader of calls. param is the name of a member of the body
// that carries credentials; empty when there is none.
func NewCohere(route llm.Route, param string) *Cohere {
	return &Cohere{route: route, names: nativeNames(cohereFields, route, param)}
}

// Name is the format's name.
func (c *Cohere) Name() llm.Format { return llm.Cohere }

// Read reads a call. Its error is an *Error.
func (c *Cohere) Read(in Incoming, into *llm.Request) error {
	*into = llm.Request{Format: llm.Cohere, Route: c.route, Decoder: c, Operation: cohereOperation(in)}
	if op := into.Operation; op != "" && !slices.Contains(cohereCalls, op) && c.route != llm.Preserve {
		return &Error{Message: fmt.Sprintf("path %s is not supported", op)}
	}
	if err := nativeRead(in, into, c.names, c.Limits); err != nil {
		return err
	}
	if into.Model == "" {
		into.Model = in.Named["model"]
	}
	return nil
}

// cohereOperation is the part of a path that is Cohere's: from the version of its
// API on. A named capture of the route wins. It is empty when neither names a
// version.
func cohereOperation(in Incoming) string {
	path := in.Path
	if named := in.Named["operation"]; named != "" {
		path = "/" + strings.TrimPrefix(named, "/")
	}
	path = strings.TrimSuffix(path, "/")
	at := max(strings.LastIndex(path, "/v1/"), strings.LastIndex(path, "/v2/"))
	if at < 0 {
		return ""
	}
	return path[at:]
}

// HasPrompt says whether the call holds anything to answer.
func (c *Cohere) HasPrompt(r *llm.Request) bool {
	if c.route == llm.Preserve || r.Body == nil {
		return true
	}
	f := &r.Fields
	for _, at := range []int{cohereMessages, cohereTexts, cohereInputs, cohereImages, cohereResults} {
		if f.Kind(at) == '[' && f.Count(at) > 0 {
			return true
		}
	}
	return f.Kind(cohereMessage) == '"' || f.Kind(coherePrompt) == '"' || f.Kind(cohereQuery) == '"' || f.Kind(cohereQuery) == '{'
}

// Judge checks that a call that was read can be run. Its error is an *Error.
func (c *Cohere) Judge(r *llm.Request) error {
	if c.route == llm.Preserve || r.Body == nil {
		return nil
	}
	f := &r.Fields
	if f.Kind(cohereMessages) == '[' && (f.Kind(cohereMessage) == '"' || f.Kind(coherePrompt) == '"') {
		return ErrManyForms
	}
	if f.Count(cohereMessages) > llm.MaxMessages || f.Count(cohereHistory) > llm.MaxMessages {
		return &Error{Message: fmt.Sprintf("request body holds more than %d messages", llm.MaxMessages)}
	}
	return nil
}

// Words counts the words of what is asked.
func (c *Cohere) Words(r *llm.Request) int {
	f := &r.Fields
	words := 0
	llm.Elements(f.Value(cohereMessages), func(message []byte) bool {
		words += contentWords(message)
		return true
	})
	llm.Elements(f.Value(cohereHistory), func(turn []byte) bool {
		llm.Members(turn, func(name string, value []byte) bool {
			if name == "message" {
				words += textWords(value)
			}
			return true
		})
		return true
	})
	for _, at := range []int{cohereMessage, coherePrompt, cohereQuery, cohereTexts} {
		words += textWords(f.Value(at))
	}
	return words
}

// AppendError appends the body of an error.
func (c *Cohere) AppendError(dst []byte, f *llm.Failure) []byte {
	dst = nativeFailure(dst, f, `"message":`)
	return append(llm.AppendQuoted(dst, f.Message), '}')
}

// Chat reads a call as a chat in neutral terms. What asks for a ranking or for
// vectors is a chat of one message, so that guards see its words.
func (c *Cohere) Chat(r *llm.Request) (*llm.ChatCall, error) {
	out := &llm.ChatCall{Origin: llm.Cohere}
	var before, last []llm.Message // those of the first version stand apart
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "model":
			known = word(&out.Model, value)
		case "messages":
			known = list(value, '{', func(message []byte) { out.Messages = append(out.Messages, readMessage(message)) })
		case "preamble":
			var words string
			if known = text(&words, value); known {
				before = append([]llm.Message{nativeMessage(llm.RoleSystem, words)}, before...)
			}
		case "chat_history":
			known = list(value, '{', func(turn []byte) { before = append(before, cohereTurn(turn)) })
		case "message", "query", "prompt":
			var words string
			if known = text(&words, value); known {
				last = append(last, nativeMessage(llm.RoleUser, words))
			}
		case "texts":
			all, _, ok := texts(value)
			if known = ok; known {
				m := llm.Message{Role: llm.RoleUser}
				for _, words := range all {
					m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: words})
				}
				last = append(last, m)
			}
		case "tools":
			known = list(value, '{', func(tool []byte) { out.Tools = append(out.Tools, readTool(tool)) })
		default:
			known = cohereOption(&out.Options, name, value)
		}
		if !known {
			out.Extra = append(out.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	out.Messages = append(append(before, out.Messages...), last...)
	return out, nil
}

// cohereTurn reads a turn of the first version's history.
func cohereTurn(turn []byte) (m llm.Message) {
	llm.Members(turn, func(name string, value []byte) bool {
		var words string
		known := false
		switch name {
		case "role":
			if known = text(&words, value); known {
				switch strings.ToUpper(words) {
				case "CHATBOT":
					m.Role = llm.RoleAssistant
				case "SYSTEM":
					m.Role = llm.RoleSystem
				case "TOOL":
					m.Role = llm.RoleTool
				default:
					m.Role = llm.RoleUser
				}
			}
		case "message":
			if known = text(&words, value); known {
				m.Plain = true
				m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: words})
			}
		}
		if !known {
			m.Extra = append(m.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return m
}

func cohereOption(o *llm.Options, name string, value []byte) bool {
	switch name {
	case "max_tokens":
		return number(&o.MaxTokens, value)
	case "temperature":
		return number(&o.Temperature, value)
	case "p":
		return number(&o.TopP, value)
	case "k":
		return number(&o.TopK, value)
	case "stop_sequences":
		var known bool
		o.Stop, o.StopList, known = texts(value)
		return known
	case "stream":
		return truth(&o.Stream, value)
	}
	return false
}

// Completion reads a call as a completion in neutral terms.
func (c *Cohere) Completion(r *llm.Request) (*llm.CompletionCall, error) {
	out := &llm.CompletionCall{Origin: llm.Cohere}
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "model":
			known = word(&out.Model, value)
		case "prompt", "message":
			var words string
			if known = text(&words, value); known {
				out.Prompts = append(out.Prompts, words)
			}
		default:
			known = cohereOption(&out.Options, name, value)
		}
		if !known {
			out.Extra = append(out.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return out, nil
}

// Embedding reads a call for vectors in neutral terms.
func (c *Cohere) Embedding(r *llm.Request) (*llm.EmbeddingCall, error) {
	out := &llm.EmbeddingCall{Origin: llm.Cohere}
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "model":
			known = word(&out.Model, value)
		case "texts":
			out.Texts, out.List, known = texts(value)
		case "output_dimension":
			known = number(&out.Dimensions, value)
		}
		if !known {
			out.Extra = append(out.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return out, nil
}
