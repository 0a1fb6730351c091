// Package provider speaks with the vendors of models, each in its own format.
// Providers.go lists them; a vendor that speaks another one's format at another
// address is a row there and no code.
//
// What a provider can do it says by the interfaces it implements, one for each
// capability, so that a vendor is found unable when a configuration is built
// and not in the middle of a request.
package provider

import (
	"errors"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Provider is a vendor of models.
type Provider interface {
	// Name is the vendor's name in configurations.
	Name() string
	// Endpoint is where calls of a kind go when the configuration names no other
	// address. ok is false when the vendor has no such calls.
	Endpoint(route llm.Route, options *pluginpb.AiModelOptions) (endpoint Endpoint, ok bool)
	// AcceptEncoding is the header that asks the vendor for encodings that the
	// gateway can read.
	AcceptEncoding() string
}

// Endpoint is an address at a vendor.
type Endpoint struct {
	Scheme, Host string
	Port         int
	// Path is escaped. Empty: the caller's own path.
	Path string
}

// Texter runs chats and completions.
type Texter interface {
	Provider
	// Request writes the body to send for a call.
	Request(call *Call, request *llm.Request) ([]byte, error)
	// Response checks a whole answer with status 200 and writes the one that the
	// caller gets. Its error is an *AnswerError.
	Response(call *Call, body []byte) (Answer, error)
	// Stream starts the reading of a streamed answer.
	Stream(call *Call) StreamReader
}

// StreamReader reads the events of one streamed answer.
type StreamReader interface {
	// Read says what one event means. The frame is valid until the next call. ok
	// is false when the event means nothing that can be read.
	Read(event llm.ServerEvent) (frame *llm.Frame, ok bool)
}

// Settings are what a configuration says about every call, ready to be written:
// JSON numbers as text, empty where the configuration says nothing.
type Settings struct {
	Route                              llm.Route
	MaxTokens, Temperature, TopP, TopK string
	ParamValue                         string // credentials for the body, JSON text
	ParamOverride                      bool   // the caller's own win
	Limits                             llm.Limits
}

// Call is one call to a model.
type Call struct {
	*Settings
	// Model is the model that is asked.
	Model string
	// Streams says that the answer is to be streamed.
	Streams bool
}

// Answer is a whole answer as the caller gets it.
type Answer struct {
	Body []byte
	// Model is the model that answered, empty when the answer does not say.
	Model string
	Usage llm.Usage
	// TextLength is the length in bytes of the texts in the answer, for guesses.
	TextLength int
}

// AnswerError says that a vendor's answer with status 200 is none.
type AnswerError struct{ Reason string }

// Error is the reason.
func (e *AnswerError) Error() string { return e.Reason }

// ErrNotJSON says that a body has no members that could be edited.
var ErrNotJSON = errors.New("body is no JSON object")

// Find gives the provider of a name; ok is false when this version runs none.
func Find(name string) (p Provider, ok bool) {
	for _, p := range All {
		if p.Name() == name {
			return p, true
		}
	}
	return nil, false
}
