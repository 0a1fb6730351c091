// Package client reads and writes the wire formats that callers speak, one file
// for each: requests in, answers, streams and errors out.
package client

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// Incoming is a caller's request as far as it says what is asked.
type Incoming struct {
	Method string
	// Path is the path that the client asked for, escaped. Named are the named
	// captures of the route's pattern; nil when there are none.
	Path  string
	Named map[string]string
	// Body is the JSON text; empty when there is none.
	Body []byte
}

// Format is a format that callers may speak. It is the llm.Decoder of its
// requests, and safe for use by many requests at a time.
type Format interface {
	llm.Decoder
	// Name is the format's name.
	Name() llm.Format
	// Read reads a call. Its error is an *Error.
	Read(in Incoming, into *llm.Request) error
	// HasPrompt says whether a call that was read holds anything to answer: the
	// first thing that is judged, before the model. Judge checks the rest; its
	// error is an *Error.
	HasPrompt(*llm.Request) bool
	Judge(*llm.Request) error
	// Words counts the words of a prompt, for guesses at tokens.
	Words(*llm.Request) int
	// AppendError appends the body of an error.
	AppendError(dst []byte, f *llm.Failure) []byte
}

// Translator is a Format whose callers can be served by any provider.
type Translator interface {
	Format
	// AppendAnswer writes a whole answer to a call.
	AppendAnswer(dst []byte, r *llm.Request, a *llm.ChatAnswer) []byte
	// Writer starts a streamed answer. model is the name to write where the
	// provider names none.
	Writer(r *llm.Request, model string) StreamWriter
}

// StreamWriter writes one streamed answer in the caller's format. Each Append is
// called once for each event of the provider, and what it appends is sent at
// once.
type StreamWriter interface {
	// Append appends one frame of the provider's: as it came where the formats are
	// the same, else what its events say. It may append nothing.
	Append(dst []byte, frame *llm.Frame) []byte
	// AppendEnd appends the end of a complete answer: what was held back, and the
	// mark of the end. It is called once, for a frame that is Done as well as when
	// the provider's format has no mark.
	AppendEnd(dst []byte) []byte
	// AppendFailure appends the event that tells that the answer is not whole and
	// will not be. Nothing may follow it.
	AppendFailure(dst []byte, f *llm.Failure) []byte
	// AppendKeepAlive appends what keeps a silent connection alive and means
	// nothing to the caller.
	AppendKeepAlive(dst []byte) []byte
}
