package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Error is a call that cannot be run, in the words that the caller is told. The
// texts that do not speak of JSON's details are Kong's.
type Error struct{ Message string }

// Error is the message.
func (e *Error) Error() string { return e.Message }

// The answers to bodies that are no call to a model.
var (
	ErrUnreadable = &Error{Message: "content-type header does not match request body, or bad JSON formatting"}
	ErrNoPrompt   = &Error{Message: "request body doesn't contain valid prompts"}
	ErrManyForms  = &Error{Message: "request matches multiple LLM request formats"}
)

// OpenAI reads and writes OpenAI's format for one kind of call.
type OpenAI struct {
	// Limits bound the calls that are read.
	Limits llm.Limits

	route llm.Route
	param string
	names *llm.Names
}

// NewOpenAI makes a reader of calls. param is the name of a member of the body
// that carries credentials; empty when there is none.
func NewOpenAI(route llm.Route, param string) *OpenAI {
	// Nothing but what a route has a use for is looked at, and so nothing else can
	// be ambiguous; the others keep their places without a name.
	names := make([]string, len(llm.RequestFields))
	for _, at := range openAIFields(route) {
		names[at] = llm.RequestFields[at]
	}
	if param != "" {
		names = append(names[:len(names):len(names)], param)
	}
	return &OpenAI{route: route, param: param, names: llm.NewNames(names...)}
}

// Equal says that another format reads calls just as this one does, so that what
// one has read serves the other.
func (o *OpenAI) Equal(other Format) bool {
	p, ok := other.(*OpenAI)
	return ok && o.Limits == p.Limits && o.route == p.route && o.param == p.param
}

// openAIFields are the members that matter to a kind of call.
func openAIFields(route llm.Route) []int {
	switch route {
	case llm.Preserve:
		return []int{llm.FieldModel, llm.FieldStream}
	case llm.Chat, llm.Completions:
		return []int{
			llm.FieldModel, llm.FieldStream, llm.FieldMessages, llm.FieldPrompt, llm.FieldTemperature, llm.FieldMaxTokens,
			llm.FieldMaxCompletionTokens, llm.FieldTopP, llm.FieldTopK, llm.FieldStreamOptions, llm.FieldExtraBody,
			// Of no use to these calls, but to plugins that are not told the kind of
			// call: it is how they know the others.
			llm.FieldInput,
		}
	}
	return []int{
		llm.FieldModel, llm.FieldStream, llm.FieldPrompt, llm.FieldInput, llm.FieldTemperature, llm.FieldTopP,
		llm.FieldMaxOutputTokens, llm.FieldDimensions, llm.FieldExtraBody,
	}
}

// Read reads a call. Its error is an *Error.
//
// On a preserve route a body may be missing, and what it says is not judged.
func (o *OpenAI) Read(in Incoming, into *llm.Request) error {
	body := in.Body
	*into = llm.Request{Format: llm.OpenAI, Route: o.route, Decoder: o}
	if o.isCollection() {
		operation, err := openAIOperation(o.route, in)
		if err != nil {
			return err
		}
		into.Operation = operation
	}
	if len(body) == 0 && o.bodiless(into.Operation, in) {
		return nil
	}
	if err := into.Fields.ReadWithin(body, o.names, o.Limits); err != nil {
		if ambiguous, ok := errors.AsType[*llm.AmbiguousError](err); ok {
			return &Error{Message: ambiguous.Error()}
		}
		return ErrUnreadable
	}
	into.Body = body
	// The model counts when it is a string that says something; null and the
	// empty string are the same as none.
	into.Model, _ = into.Fields.Text(llm.FieldModel)
	into.Streams = into.Fields.Kind(llm.FieldStream) == 't'
	switch o.route {
	case llm.Chat, llm.Completions, llm.Preserve:
		if into.Fields.Kind(llm.FieldStreamOptions) == '{' {
			into.WantsUsage = wantsUsage(into.Fields.Value(llm.FieldStreamOptions))
		}
	default:
		into.WantsUsage = true // the other streams always end with it
	}
	return nil
}

// bodiless says that a call may come without a body: one that is whatever the
// caller likes, or that asks for a member of a collection or for a list of them.
// Where a route gives the collection another name, who is asked cannot be told
// from the path, and so the provider judges.
func (o *OpenAI) bodiless(operation string, in Incoming) bool {
	switch {
	case o.route == llm.Preserve || o.route == llm.Realtime:
		return true
	case o.isCollection():
		return operation != "" || in.Method != http.MethodPost ||
			!strings.Contains(in.Path+"/", openAICollections[o.route]+"/")
	}
	return false
}

// isCollection says that calls go to the members of a collection too.
func (o *OpenAI) isCollection() bool { return openAICollections[o.route] != "" }

// openAICollections are the last segments of the paths of collections.
var openAICollections = map[llm.Route]string{
	llm.Files: "/files", llm.Batches: "/batches", llm.Assistants: "/assistants", llm.Responses: "/responses", llm.Videos: "/videos",
}

// openAIOperation is what the caller's path names behind a collection: the part
// that the route's pattern captures as operation, else what follows the
// collection's own name.
func openAIOperation(route llm.Route, in Incoming) (string, error) {
	operation, ok := in.Named["operation"]
	if !ok {
		name := openAICollections[route]
		for at, rest := 0, in.Path; ; {
			i := strings.Index(rest, name)
			if i < 0 {
				return "", nil
			}
			at += i + len(name)
			rest = in.Path[at:]
			if rest == "" || rest[0] == '/' {
				operation = rest
				break
			}
		}
	}
	operation = strings.Trim(operation, "/")
	if operation == "" {
		return "", nil
	}
	for segment := range strings.SplitSeq(operation, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\?#") {
			return "", &Error{Message: "path names no member of the collection"}
		}
	}
	return "/" + operation, nil
}

// Name is the format's name.
func (o *OpenAI) Name() llm.Format { return llm.OpenAI }

// Judge checks that a call that was read is one that its route can carry. Its
// error is an *Error.
func (o *OpenAI) Judge(r *llm.Request) error {
	if r.Body == nil {
		return nil
	}
	if o.route != llm.Chat && o.route != llm.Completions {
		if !o.HasPrompt(r) {
			return ErrNoPrompt
		}
		return nil
	}
	chat, completion := forms(r)
	var found llm.Route
	switch {
	case chat && completion:
		return ErrManyForms
	case chat:
		found = llm.Chat
	case completion:
		found = llm.Completions
	default:
		return ErrNoPrompt
	}
	if found != o.route {
		return &Error{Message: fmt.Sprintf("[%s] message format is not compatible with [%s] route type", found, o.route)}
	}
	if r.Fields.Count(llm.FieldMessages) > llm.MaxMessages {
		return &Error{Message: fmt.Sprintf("request body holds more than %d messages", llm.MaxMessages)}
	}
	return nil
}

// HasPrompt says whether the call holds anything to answer: the first thing that
// is judged, before the model. Calls that store or list things have nothing.
func (o *OpenAI) HasPrompt(r *llm.Request) bool {
	if r.Body == nil {
		return true
	}
	switch o.route {
	case llm.Chat, llm.Completions:
		chat, completion := forms(r)
		return chat || completion
	case llm.Embeddings:
		return openAIInput(r)
	case llm.Responses:
		// A prompt that the vendor keeps may stand for the input.
		return r.Operation != "" || openAIInput(r) || r.Fields.Kind(llm.FieldPrompt) == '{'
	}
	return true
}

// openAIInput says that the input is a text or a list that holds something.
func openAIInput(r *llm.Request) bool {
	kind := r.Fields.Kind(llm.FieldInput)
	return kind == '"' || kind == '[' && r.Fields.Count(llm.FieldInput) > 0
}

// forms says which kinds of calls a body looks like. Prompts in a list are what
// newer releases of Kong take too.
func forms(r *llm.Request) (chat, completion bool) {
	chat = r.Fields.Kind(llm.FieldMessages) == '[' && r.Fields.Count(llm.FieldMessages) > 0
	completion = r.Fields.Kind(llm.FieldPrompt) == '"' ||
		r.Fields.Kind(llm.FieldPrompt) == '[' && r.Fields.Count(llm.FieldPrompt) > 0
	return chat, completion
}

var streamOptions = llm.NewLenientNames("include_usage")

func wantsUsage(options []byte) bool {
	var o llm.Object
	return o.Read(options, streamOptions) == nil && o.Kind(0) == 't'
}

var (
	messageNames = llm.NewLenientNames("content", "output")
	partNames    = llm.NewLenientNames("text")
)

// Words counts the words of the prompt: of the text parts of all messages, or of
// the prompt of a completion.
func (o *OpenAI) Words(r *llm.Request) int {
	switch o.route {
	case llm.Chat:
		words := 0
		llm.Elements(r.Fields.Value(llm.FieldMessages), func(message []byte) bool {
			words += contentWords(message)
			return true
		})
		return words
	case llm.Completions:
		return textWords(r.Fields.Value(llm.FieldPrompt))
	case llm.Embeddings:
		return textWords(r.Fields.Value(llm.FieldInput))
	case llm.Responses:
		return openAIResponsesWords(r)
	}
	return 0
}

func contentWords(message []byte) int {
	var m, p llm.Object
	if m.Read(message, messageNames) != nil {
		return 0
	}
	said := 0
	if !m.Has(said) {
		said = 1 // the result of a tool, in the responses API
	}
	if m.Kind(said) == '"' {
		return llm.Words(m.Value(said))
	}
	words := 0
	llm.Elements(m.Value(said), func(part []byte) bool {
		if p.Read(part, partNames) == nil && p.Kind(0) == '"' {
			words += llm.Words(p.Value(0))
		}
		return true
	})
	return words
}

func textWords(value []byte) int {
	if len(value) > 0 && value[0] == '"' {
		return llm.Words(value)
	}
	words := 0
	llm.Elements(value, func(element []byte) bool {
		if element[0] == '"' {
			words += llm.Words(element)
		}
		return true
	})
	return words
}

// FormObject turns a form-encoded body into the JSON object that it stands for:
// flat, every value a string, and a list of strings where a name is repeated.
func FormObject(body string) ([]byte, error) {
	type member struct {
		name   string
		values []string
	}
	var members []member
	places := make(map[string]int)
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(key)
		if err != nil {
			return nil, ErrUnreadable
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			return nil, ErrUnreadable
		}
		at, ok := places[name]
		if !ok {
			at = len(members)
			places[name] = at
			members = append(members, member{name: name})
		}
		members[at].values = append(members[at].values, text)
	}
	if len(members) == 0 {
		return nil, ErrUnreadable
	}
	out := append(make([]byte, 0, len(body)+len(members)*8), '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(llm.AppendQuoted(out, m.name), ':')
		if len(m.values) == 1 {
			out = llm.AppendQuoted(out, m.values[0])
			continue
		}
		for j, value := range m.values {
			out = append(out, "[,"[min(j, 1)])
			out = llm.AppendQuoted(out, value)
		}
		out = append(out, ']')
	}
	return append(out, '}'), nil
}

// AppendError appends the body of an error that the gateway makes itself, in
// Kong's shape.
func AppendError(dst []byte, message string) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = llm.AppendQuoted(dst, message)
	return append(dst, "}}"...)
}
