package client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Anthropic reads and writes the format of Anthropic's Messages API for one route.
type Anthropic struct {
	// Limits bound the calls that are read.
	Limits llm.Limits

	route llm.Route
	names *llm.Names
}

var _ Translator = (*Anthropic)(nil)

// Members of a request that OpenAI's format has no place for. The members that
// both formats know are at the places of the llm.Field constants.
const (
	anthropicSystem   = llm.FieldPrompt              // OpenAI's completions have prompts, messages have none
	anthropicThinking = llm.FieldMaxCompletionTokens // the other name of a limit that this format has one name for
)

var anthropicFields = []string{
	llm.FieldModel:       "model",
	llm.FieldStream:      "stream",
	llm.FieldMessages:    "messages",
	anthropicSystem:      "system",
	llm.FieldTemperature: "temperature",
	llm.FieldMaxTokens:   "max_tokens",
	anthropicThinking:    "thinking",
	llm.FieldTopP:        "top_p",
	llm.FieldTopK:        "top_k",
	llm.FieldParam:       "",
	// Places of members that only OpenAI's other APIs have.
	llm.FieldStreamOptions:   "output_config",
	llm.FieldInput:           "tools",
	llm.FieldMaxOutputTokens: "tool_choice",
	llm.FieldDimensions:      "stop_sequences",
	llm.FieldExtraBody:       "metadata",
}

// NewAnthropic makes a reader of calls. param is the name of a member of the body
// that carries credentials; empty when there is none.
func NewAnthropic(route llm.Route, param string) *Anthropic {
	names := make([]string, len(anthropicFields))
	if route == llm.Preserve || route == llm.Batches {
		// Nothing but these two is looked at, and so nothing else can be ambiguous.
		names[llm.FieldModel], names[llm.FieldStream] = "model", "stream"
	} else {
		copy(names, anthropicFields)
	}
	names[llm.FieldParam] = param
	return &Anthropic{route: route, names: llm.NewNames(names...)}
}

// Name is the format's name.
func (a *Anthropic) Name() llm.Format { return llm.Anthropic }

// The calls of the API, by the tails of their paths.
const (
	anthropicMessages = "/v1/messages"
	anthropicCount    = anthropicMessages + "/count_tokens"
	anthropicBatches  = anthropicMessages + "/batches"
)

// anthropicOperation is the tail of a path that belongs to the API, whatever a
// route puts in front of it. It is empty when the path has none: then the route
// alone says what is asked.
func anthropicOperation(path string) string {
	at := strings.LastIndex(path, anthropicMessages)
	if at < 0 {
		return ""
	}
	tail := strings.TrimSuffix(path[at:], "/")
	if tail == anthropicMessages || tail == anthropicCount || tail == anthropicBatches {
		return tail
	}
	id, ok := strings.CutPrefix(tail, anthropicBatches+"/")
	if !ok {
		return ""
	}
	id, action, _ := strings.Cut(id, "/")
	if action != "" && action != "results" && action != "cancel" {
		return ""
	}
	// An id of other characters could lead elsewhere at the vendor.
	for _, c := range id {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return ""
		}
	}
	return tail
}

// AnthropicMessage says that a call in Anthropic's format asks for a message, which
// providers of other formats can write too, and not for a batch of them or a count
// of one's tokens.
func AnthropicMessage(r *llm.Request) bool {
	return r.Operation == "" || r.Operation == anthropicMessages
}

// Read reads a call. Its error is an *Error.
//
// What is no message (a batch, and all on a preserve route) may lack a body, and
// what it says is not judged.
func (a *Anthropic) Read(in Incoming, into *llm.Request) error {
	*into = llm.Request{Format: llm.Anthropic, Route: a.route, Decoder: a, Operation: anthropicOperation(in.Path), WantsUsage: true}
	if strings.HasPrefix(into.Operation, anthropicBatches) && a.route == llm.Chat {
		into.Route = llm.Batches
	}
	if len(in.Body) == 0 && anthropicUnjudged(into) {
		return nil
	}
	if err := into.Fields.ReadWithin(in.Body, a.names, a.Limits); err != nil {
		if ambiguous, ok := errors.AsType[*llm.AmbiguousError](err); ok {
			return &Error{Message: ambiguous.Error()}
		}
		return ErrUnreadable
	}
	into.Body = in.Body
	into.Model, _ = into.Fields.Text(llm.FieldModel)
	into.Streams = into.Fields.Kind(llm.FieldStream) == 't' && into.Operation != anthropicCount && into.Route != llm.Batches
	return nil
}

// anthropicUnjudged says that a call is no message and no count of one's tokens.
func anthropicUnjudged(r *llm.Request) bool {
	return r.Route == llm.Preserve || r.Route == llm.Batches
}

// HasPrompt says whether the call holds anything to answer.
func (a *Anthropic) HasPrompt(r *llm.Request) bool {
	if anthropicUnjudged(r) {
		return true
	}
	return r.Fields.Kind(llm.FieldMessages) == '[' && r.Fields.Count(llm.FieldMessages) > 0
}

// Judge checks that a call that was read is one that its route can carry. Its
// error is an *Error.
func (a *Anthropic) Judge(r *llm.Request) error {
	switch {
	case anthropicUnjudged(r):
		return nil
	case !a.HasPrompt(r):
		return ErrNoPrompt
	case a.route != llm.Chat:
		return &Error{Message: fmt.Sprintf("[%s] message format is not compatible with [%s] route type", llm.Chat, a.route)}
	case r.Fields.Count(llm.FieldMessages) > llm.MaxMessages:
		return &Error{Message: fmt.Sprintf("request body holds more than %d messages", llm.MaxMessages)}
	}
	return nil
}

var (
	anthropicMessageNames = llm.NewLenientNames("content")
	anthropicWordNames    = llm.NewLenientNames("text", "content")
)

// Words counts the words of what the system says and of the texts of all messages,
// results of tools included.
func (a *Anthropic) Words(r *llm.Request) int {
	if anthropicUnjudged(r) {
		return 0
	}
	words := anthropicWords(r.Fields.Value(anthropicSystem), 1)
	llm.Elements(r.Fields.Value(llm.FieldMessages), func(text []byte) bool {
		var message llm.Object
		if message.Read(text, anthropicMessageNames) == nil {
			words += anthropicWords(message.Value(0), 1)
		}
		return true
	})
	return words
}

// anthropicWords counts the words of a content: a text, or a list of blocks, of
// which those of a tool have contents of their own, so many levels deep.
func anthropicWords(content []byte, levels int) int {
	if len(content) == 0 {
		return 0
	}
	if content[0] == '"' {
		return llm.Words(content)
	}
	words := 0
	llm.Elements(content, func(text []byte) bool {
		var block llm.Object
		if block.Read(text, anthropicWordNames) != nil {
			return true
		}
		if block.Kind(0) == '"' {
			words += llm.Words(block.Value(0))
		}
		if levels > 0 {
			words += anthropicWords(block.Value(1), levels-1)
		}
		return true
	})
	return words
}

// AppendError appends the body of an error.
func (a *Anthropic) AppendError(dst []byte, f *llm.Failure) []byte {
	dst = append(dst, `{"type":"error","error":{"type":`...)
	dst = llm.AppendQuoted(dst, anthropicErrorType(f))
	dst = append(dst, `,"message":`...)
	dst = llm.AppendQuoted(dst, f.Message)
	return append(dst, "}}"...)
}

// anthropicErrorType is the format's word for a failure.
func anthropicErrorType(f *llm.Failure) string {
	switch f.Status {
	case 0:
		// The word of a provider of this format, or none of its words.
		switch f.Type {
		case "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
			"request_too_large", "rate_limit_error", "timeout_error", "overloaded_error":
			return f.Type
		}
		return "api_error"
	case 401:
		return "authentication_error"
	case 402:
		return "billing_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 408, 504:
		return "timeout_error"
	case 413:
		return "request_too_large"
	case 424:
		return "api_error"
	case 429:
		return "rate_limit_error"
	case 503, 529:
		return "overloaded_error"
	}
	if f.Status < 500 {
		return "invalid_request_error"
	}
	return "api_error"
}

// Completion cannot be: the format has none.
func (a *Anthropic) Completion(*llm.Request) (*llm.CompletionCall, error) {
	return nil, &Error{Message: "messages are no completion of a text"}
}

// Embedding cannot be: the format has none.
func (a *Anthropic) Embedding(*llm.Request) (*llm.EmbeddingCall, error) {
	return nil, &Error{Message: "messages are no texts to embed"}
}
