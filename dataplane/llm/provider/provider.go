// Package provider speaks with the vendors of models, each in its own format.
// Providers.go lists them; a vendor that speaks another one's format at another
// address is a row there and no code.
package provider

import (
	"errors"
	"net/http"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Provider is a vendor of models. It keeps no state of a call, so that all calls
// share it. Which kinds of calls it runs is known when a configuration is built,
// not in the middle of a request.
type Provider interface {
	// Name is the vendor's name in configurations.
	Name() string
	// Format is what the vendor speaks for a kind of call; ok is false when it has
	// no such calls.
	Format(route llm.Route) (format llm.Format, ok bool)
	// Endpoint is where a call goes when the configuration names no other address.
	// Its error says what the configuration or the call lacks.
	Endpoint(call *Call) (Endpoint, error)
	// AcceptEncoding is the header that asks the vendor for encodings that the
	// gateway can read; empty: the caller's own stays.
	AcceptEncoding() string
	// Headers sets the headers that the vendor asks for, beside credentials.
	Headers(call *Call, header http.Header)
	// Request writes the body to send. A request in the vendor's own format passes
	// with the edits that are needed and keeps every other byte; another one is
	// read by its Decoder. An error that is a *CallError is told to the caller as
	// it is; of another one, its text follows Kong's words for the failure.
	Request(call *Call, request *llm.Request) ([]byte, error)
	// Response reads a whole answer with status 200. Its error is an *AnswerError.
	Response(call *Call, body []byte) (Answer, error)
	// Stream starts the reading of a streamed answer.
	Stream(call *Call) StreamReader
}

// Variant is a Provider that speaks several formats, of which the configuration
// chooses one.
type Variant interface {
	Provider
	// Of gives the provider that speaks the configured format.
	Of(options *pluginpb.AiModelOptions) (Provider, error)
}

// PathOwner is a Provider that has a say in the paths that configurations name.
type PathOwner interface {
	Provider
	// ConfiguredPath is the path to call, escaped, where the configuration names
	// one: that of upstream_url, then whole is set, or upstream_path.
	ConfiguredPath(call *Call, path string, whole bool) string
}

// Endpoint is an address at a vendor.
type Endpoint struct {
	Scheme, Host string
	Port         int
	// Path is escaped. Empty: the caller's own path. Query is raw and may be empty.
	Path, Query string
}

// StreamReader reads the events of one streamed answer, whatever framing they
// came in: the events of an SSE stream, the values of a JSON stream, the frames
// of an AWS event stream.
type StreamReader interface {
	// Read says what one event means. The frame is valid until the next call. ok
	// is false when the event means nothing that can be read.
	Read(event llm.ServerEvent) (frame *llm.Frame, ok bool)
}

// StreamEnder is a StreamReader of a stream that does not tell in time which of
// its events is the last.
type StreamEnder interface {
	StreamReader
	// End is called when all of the stream was read and it had no end mark. It gives
	// what is left to be said, with no bytes of the vendor's; the frame may have no
	// events.
	End() *llm.Frame
}

// Settings are what a configuration says about every call, ready to be written:
// JSON numbers as text, empty where the configuration says nothing.
type Settings struct {
	Route                              llm.Route
	MaxTokens, Temperature, TopP, TopK string
	ParamName                          string // the member of the body that carries credentials
	ParamValue                         string // its value, JSON text; empty: there is none
	ParamOverride                      bool   // the caller's own win
	Limits                             llm.Limits
}

// Call is one call to a model.
type Call struct {
	*Settings
	// Options are the configured options of the model, placeholders filled in. May
	// be nil.
	Options *pluginpb.AiModelOptions
	// Format is what the caller speaks and is answered in.
	Format llm.Format
	// Operation is the part of the vendor's path that the caller asked for:
	// llm.Request.Operation.
	Operation string
	// Model is the model that is asked.
	Model string
	// Streams says that the answer is to be streamed.
	Streams bool
}

// Answer is a whole answer as it was read.
type Answer struct {
	// Body is the vendor's, which a caller of its format gets as it is.
	Body []byte
	// Chat is the answer in neutral terms, and Embedding that to a call for
	// vectors, when the caller speaks another format; else both are nil.
	Chat      *llm.ChatAnswer
	Embedding *llm.EmbeddingAnswer
	// Model is the model that answered, empty when the answer does not say.
	Model string
	Usage llm.Usage
	// TextLength is the length in bytes of the texts in the answer, for guesses.
	TextLength int
}

// CallError is a call that the vendor cannot run, in the words that the caller
// is told.
type CallError struct{ Message string }

// Error is the message.
func (e *CallError) Error() string { return e.Message }

// AnswerError says that a vendor's answer with status 200 is none.
type AnswerError struct{ Reason string }

// Error is the reason.
func (e *AnswerError) Error() string { return e.Reason }

// ErrNotJSON says that a body has no members that could be edited.
var ErrNotJSON = errors.New("body is no JSON object")

// Find gives the provider of a name as the options of a model want it; ok is
// false when this version runs none.
func Find(name string, options *pluginpb.AiModelOptions) (p Provider, ok bool) {
	for _, p := range All {
		if p.Name() != name {
			continue
		}
		if v, choose := p.(Variant); choose {
			chosen, err := v.Of(options)
			return chosen, err == nil
		}
		return p, true
	}
	return nil, false
}

// Failure reads what a vendor's error says, whichever of the usual shapes it has.
// The message of a body that has none of them is its beginning.
func Failure(status int, body []byte) *llm.Failure {
	f := &llm.Failure{Status: status}
	read := func(name string, value []byte, into *string) {
		if len(value) > 2 && value[0] == '"' && *into == "" {
			*into = llm.Unquote(value)
		}
	}
	var object llm.Object
	if object.Read(body, failureNames) == nil {
		inner := object.Value(failureError)
		if object.Kind(failureError) == '{' {
			llm.Members(inner, func(name string, value []byte) bool {
				switch name {
				case "message":
					read(name, value, &f.Message)
				case "type", "status":
					read(name, value, &f.Type)
				case "code":
					read(name, value, &f.Code)
				}
				return true
			})
		}
		for _, at := range []int{failureError, failureMessage, failureMessageUpper, failureDetail} {
			read("", object.Value(at), &f.Message)
		}
		llm.Elements(object.Value(failureDetail), func(detail []byte) bool {
			llm.Members(detail, func(name string, value []byte) bool {
				if name == "msg" {
					read(name, value, &f.Message)
				}
				return true
			})
			return f.Message == ""
		})
	}
	if f.Message == "" {
		f.Message = string(body[:min(len(body), 1000)])
	}
	return f
}

var failureNames = llm.NewLenientNames("error", "message", "Message", "detail")

const (
	failureError = iota
	failureMessage
	failureMessageUpper
	failureDetail
)
