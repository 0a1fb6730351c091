package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Gemini reads the format of Google's own callers, of its public API and of
// Vertex AI, for one route. They say in the path which model is asked and what it
// is to do; their bodies pass as they are, and are read for what guards and
// counts want to know. Names are read in both spellings that Google takes:
// generationConfig and generation_config.
type Gemini struct {
	// Limits bound the calls that are read.
	Limits llm.Limits

	route llm.Route
	names *llm.Names
}

var _ Format = (*Gemini)(nil)

// Members of a body that are looked at. The credentials stand where those of
// OpenAI's format do: at llm.FieldParam.
const (
	geminiModel = iota
	geminiContent
	geminiContents
	geminiInstances
	geminiSystem
	geminiSystemSnake
	geminiConfig
	geminiConfigSnake
	geminiTools
	geminiRequests
)

var geminiFields = []string{
	geminiModel: "model", geminiContent: "content", geminiContents: "contents", geminiInstances: "instances",
	geminiSystem: "systemInstruction", geminiSystemSnake: "system_instruction",
	geminiConfig: "generationConfig", geminiConfigSnake: "generation_config",
	geminiTools: "tools", geminiRequests: "requests",
}

// NewGemini makes a reader of calls. param is the name of a member of the body
// that carries credentials; empty when there is none.
func NewGemini(route llm.Route, param string) *Gemini {
	names := make([]string, llm.FieldParam, llm.FieldParam+1)
	if route != llm.Preserve {
		copy(names, geminiFields)
	}
	if param != "" {
		names = append(names, param)
	}
	return &Gemini{route: route, names: llm.NewNames(names...)}
}

// Name is the format's name.
func (g *Gemini) Name() llm.Format { return llm.Gemini }

// Read reads a call. Its error is an *Error.
func (g *Gemini) Read(in Incoming, into *llm.Request) error {
	*into = llm.Request{Format: llm.Gemini, Route: g.route, Decoder: g}
	into.Operation = geminiOperation(in)
	verb := geminiVerb(into.Operation)
	into.Streams = strings.HasPrefix(verb, "stream")
	if into.Model = in.Named["model"]; into.Model == "" && verb != "" {
		into.Model = geminiPathModel(into.Operation)
	}
	if g.route != llm.Preserve {
		if err := g.permit(in.Method, into.Operation, verb); err != nil {
			return err
		}
	}
	if len(in.Body) == 0 {
		return nil
	}
	if err := into.Fields.ReadWithin(in.Body, g.names, g.Limits); err != nil {
		if ambiguous, ok := errors.AsType[*llm.AmbiguousError](err); ok {
			return &Error{Message: ambiguous.Error()}
		}
		return ErrUnreadable
	}
	for _, at := range []int{geminiSystem, geminiConfig} {
		// The two spellings of a name stand side by side in the list.
		if into.Fields.Has(at) && into.Fields.Has(at+1) {
			return &Error{Message: (&llm.AmbiguousError{Name: geminiFields[at]}).Error()}
		}
	}
	into.Body = in.Body
	return nil
}

// geminiOperation is the part of a path that is Google's: from the version of the
// API on, or from what it names where a route has cut the version off. Named
// captures of the route win.
func geminiOperation(in Incoming) string {
	if model, verb := in.Named["model"], strings.TrimPrefix(in.Named["operation"], ":"); model != "" && verb != "" {
		return "/v1beta/models/" + strings.ReplaceAll(url.PathEscape(model), ":", "%3A") + ":" + verb
	}
	segments := strings.Split(strings.Trim(in.Path, "/"), "/")
	from := -1
	for i, segment := range segments {
		if geminiVersion(segment) && i+1 < len(segments) {
			if from = i; i > 0 && segments[i-1] == "upload" {
				from = i - 1
			}
		}
	}
	if n := len(segments); from < 0 && n > 1 && strings.Contains(segments[n-1], ":") && geminiCollections[segments[n-2]] {
		from = n - 2
	}
	for i := 0; from < 0 && i < len(segments); i++ {
		if geminiCollections[segments[i]] {
			from = i
		}
	}
	if from < 0 {
		return ""
	}
	return "/" + strings.Join(segments[from:], "/")
}

// geminiVersion says whether a segment of a path is a version of the API: v1,
// v1beta, v1beta1, v1alpha.
func geminiVersion(segment string) bool {
	rest, ok := strings.CutPrefix(segment, "v1")
	if !ok {
		return false
	}
	rest = strings.TrimRight(rest, "0123456789")
	return rest == "" || rest == "beta" || rest == "alpha"
}

// geminiCollections are the things that Google's paths name first or last before
// a method.
var geminiCollections = map[string]bool{
	"upload": true, "projects": true, "publishers": true, "models": true, "endpoints": true, "files": true, "batches": true,
	"batchPredictionJobs": true, "rankingConfigs": true, "operations": true, "cachedContents": true,
}

// geminiVerb is the method of a model that an operation runs, such as
// generateContent; empty when it is about something else than a model.
func geminiVerb(operation string) string {
	head, named := operation, ""
	if i := strings.LastIndexByte(operation, '/'); i >= 0 {
		head, named = operation[:i], operation[i+1:]
	}
	_, verb, ok := strings.Cut(named, ":")
	if !ok || !strings.HasSuffix(head, "/models") && !strings.HasSuffix(head, "/endpoints") {
		return ""
	}
	return verb[strings.LastIndexByte(verb, ':')+1:]
}

// geminiPathModel is the model that an operation names; empty when it names an
// endpoint.
func geminiPathModel(operation string) string {
	_, named, ok := strings.Cut(operation, "/models/")
	if !ok {
		return ""
	}
	named = named[:max(strings.LastIndexByte(named, ':'), 0)]
	if plain, err := url.PathUnescape(named); err == nil {
		return plain
	}
	return named
}

// permit says whether a path is one that the route carries. The gateway lends its
// credentials to what it knows only, so that a route for chats deletes no files.
func (g *Gemini) permit(method, operation, verb string) error {
	if operation == "" {
		return nil // the route is what says what is asked
	}
	var found llm.Route
	switch verb {
	case "":
		switch kind := geminiKind(operation); kind {
		case "batches", "batchPredictionJobs":
			found = llm.Batches
		case "files", "upload":
			found = llm.Files
		case "operations", "rankingConfigs", "cachedContents":
			return nil
		case "models":
			if method == http.MethodGet || method == http.MethodHead {
				return nil
			}
			fallthrough
		default:
			return &Error{Message: fmt.Sprintf("path %s is not supported", operation)}
		}
	case "generateContent", "streamGenerateContent", "rawPredict", "streamRawPredict":
		switch g.route {
		case llm.Embeddings, llm.Batches, llm.Files:
			found = llm.Chat
		default:
			return nil
		}
	case "embedContent", "batchEmbedContents", "batchEmbedContent", "asyncBatchEmbedContent":
		found = llm.Embeddings
	case "batchGenerateContent":
		found = llm.Batches
	case "countTokens", "computeTokens", "predict", "predictLongRunning", "fetchPredictOperation":
		return nil
	default:
		return &Error{Message: fmt.Sprintf("method %s is not supported", verb)}
	}
	if found != g.route {
		return &Error{Message: fmt.Sprintf("[%s] message format is not compatible with [%s] route type", found, g.route)}
	}
	return nil
}

// geminiKind is what an operation is about, where it is about no model.
func geminiKind(operation string) string {
	segments := strings.Split(strings.TrimPrefix(operation, "/"), "/")
	if geminiVersion(segments[0]) {
		segments = segments[1:]
	}
	if len(segments) > 4 && segments[0] == "projects" && segments[2] == "locations" {
		segments = segments[4:]
	}
	return segments[0]
}

// HasPrompt says whether the call holds anything to answer.
func (g *Gemini) HasPrompt(r *llm.Request) bool {
	if g.route == llm.Preserve {
		return true
	}
	switch verb := geminiVerb(r.Operation); verb {
	case "generateContent", "streamGenerateContent":
		return geminiSome(r, geminiContents)
	case "embedContent":
		return geminiSome(r, geminiContent)
	case "batchEmbedContents", "batchEmbedContent":
		return geminiSome(r, geminiRequests)
	case "predict", "predictLongRunning":
		return geminiSome(r, geminiInstances)
	default:
		if r.Operation == "" && (g.route == llm.Chat || g.route == llm.Completions) {
			return geminiSome(r, geminiContents)
		}
		return verb == "" || r.Body != nil
	}
}

// geminiSome says whether a member is a list with something in it, or the one
// element that Google takes in place of a list.
func geminiSome(r *llm.Request, at int) bool {
	return r.Fields.Kind(at) == '{' || r.Fields.Kind(at) == '[' && r.Fields.Count(at) > 0
}

// Judge checks that a call that was read is one that can be carried. Its error is
// an *Error.
func (g *Gemini) Judge(r *llm.Request) error {
	if r.Fields.Count(geminiContents) > llm.MaxMessages {
		return &Error{Message: fmt.Sprintf("request body holds more than %d messages", llm.MaxMessages)}
	}
	return nil
}

var (
	geminiTurnNames = llm.NewLenientNames("parts", "content")
	geminiWordNames = llm.NewLenientNames("text")
)

// Words counts the words of the prompt: of the texts of all turns, with what the
// system says, or of what vectors are wanted of.
func (g *Gemini) Words(r *llm.Request) int {
	words := 0
	parts := func(turn []byte) {
		var o, p llm.Object
		if o.Read(turn, geminiTurnNames) != nil {
			return
		}
		geminiEach(o.Value(0), func(part []byte) {
			if p.Read(part, geminiWordNames) == nil && p.Kind(0) == '"' {
				words += llm.Words(p.Value(0))
			}
		})
	}
	for _, at := range []int{geminiSystem, geminiSystemSnake, geminiContents, geminiContent} {
		geminiEach(r.Fields.Value(at), parts)
	}
	for _, at := range []int{geminiRequests, geminiInstances} {
		geminiEach(r.Fields.Value(at), func(one []byte) {
			var o llm.Object
			if o.Read(one, geminiTurnNames) != nil {
				return
			}
			if o.Kind(1) == '"' {
				words += llm.Words(o.Value(1))
			} else if o.Kind(1) == '{' {
				parts(o.Value(1))
			}
		})
	}
	return words
}

// geminiEach calls f for each object of a list, or for the one that stands in
// place of a list.
func geminiEach(value []byte, f func(element []byte)) {
	if len(value) > 0 && value[0] == '{' {
		f(value)
		return
	}
	llm.Elements(value, func(element []byte) bool {
		if element[0] == '{' {
			f(element)
		}
		return true
	})
}

// AppendError appends the body of an error in Google's shape.
func (g *Gemini) AppendError(dst []byte, f *llm.Failure) []byte {
	code := f.Status
	switch code {
	case 0:
		code = http.StatusInternalServerError
	case 529: // Anthropic's alone
		code = http.StatusServiceUnavailable
	}
	dst = append(dst, `{"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"message":`...)
	dst = llm.AppendQuoted(dst, f.Message)
	dst = append(dst, `,"status":`...)
	dst = llm.AppendQuoted(dst, geminiStatus(code))
	return append(dst, "}}"...)
}

// geminiStatus is Google's word for an HTTP status.
func geminiStatus(code int) string {
	switch code {
	case 401:
		return "UNAUTHENTICATED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 402, 429:
		return "RESOURCE_EXHAUSTED"
	case 408, 504:
		return "DEADLINE_EXCEEDED"
	case 409:
		return "ABORTED"
	case 499:
		return "CANCELLED"
	case 503:
		return "UNAVAILABLE"
	}
	if code >= 400 && code < 500 && code != 424 {
		return "INVALID_ARGUMENT"
	}
	return "INTERNAL"
}
