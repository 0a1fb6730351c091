package llm

// EventKind says what a piece of a streamed answer is.
type EventKind uint8

// The kinds of events, whatever the provider.
const (
	// EventStart opens the answer: ID, Model and Created, as far as they are known.
	EventStart EventKind = iota + 1
	// EventText is a piece of visible text.
	EventText
	// EventReasoning is a piece of the model's thinking.
	EventReasoning
	// EventRefusal is a piece of a refusal.
	EventRefusal
	// EventCallStart opens a tool call: Block, ID and Name.
	EventCallStart
	// EventCallArguments is a piece of the JSON text of a call's arguments.
	EventCallArguments
	// EventCallEnd closes a tool call, for providers that say when: Block.
	EventCallEnd
	// EventSignature vouches for the thought that came before it, or, with a Block
	// that is a call's, for that call: Text.
	EventSignature
	// EventRedacted is a whole thought that only its maker can read: Text.
	EventRedacted
	// EventFinish closes a choice: Finish and StopText. No text follows for it.
	EventFinish
	// EventUsage counts tokens for the whole request; later counts replace
	// earlier ones.
	EventUsage
	// EventError says that the provider failed in the middle of the answer:
	// Failure.
	EventError
)

// Event is one piece of a streamed answer in neutral terms. Text is valid until
// the reader that gave it is used again.
type Event struct {
	Kind   EventKind
	Choice int // which of several answers, from 0
	// Block is which tool call of the choice, from 0: a reader counts calls, not
	// its provider's blocks. OfCall says that a signature is a call's.
	Block    int
	OfCall   bool
	ID       string // the answer's id, or a call's
	Name     string // a function's name
	Model    string // the model that answers
	Created  int64  // in seconds of Unix time; 0: not said
	Text     []byte
	Finish   FinishReason
	StopText string
	Usage    Usage
	Failure  *Failure
}

// Frame is one event of a provider's stream: the bytes as they came, and what
// they say.
type Frame struct {
	// Format is what Data is written in.
	Format Format
	// Name is the event's type where the format names events, and Data its payload.
	// A caller of the same format gets both as they are.
	Name string
	Data []byte
	// Events is what the payload says; empty when it says nothing of interest.
	Events []Event
	// Done says that this is the provider's end mark.
	Done bool
	// UsageOnly says that the frame holds token counts and nothing else, and
	// HoldsUsage that it has a member for them at all.
	UsageOnly, HoldsUsage bool
}

// FinishReason is why an answer ended.
type FinishReason string

// The reasons, named as llm clients of several vendors would understand them.
const (
	FinishUnknown  FinishReason = ""
	FinishEnd      FinishReason = "end"
	FinishStop     FinishReason = "stop text met"
	FinishLength   FinishReason = "length"
	FinishContext  FinishReason = "context full"
	FinishCalls    FinishReason = "calls"
	FinishFiltered FinishReason = "filtered"
	FinishPaused   FinishReason = "paused"
	FinishFailed   FinishReason = "failed"
)

// FinishReasonOpenAI reads a finish_reason of OpenAI's format and of the servers
// that speak it with words of their own.
func FinishReasonOpenAI(word string) FinishReason {
	switch word {
	case "":
		return FinishUnknown
	case "stop":
		return FinishEnd
	case "length", "model_length":
		return FinishLength
	case "tool_calls", "function_call":
		return FinishCalls
	case "content_filter":
		return FinishFiltered
	case "error", "insufficient_system_resource":
		return FinishFailed
	}
	return FinishEnd
}

// OpenAI is the finish_reason that an OpenAI caller understands.
func (f FinishReason) OpenAI() string {
	switch f {
	case FinishLength, FinishContext:
		return "length"
	case FinishCalls:
		return "tool_calls"
	case FinishFiltered:
		return "content_filter"
	}
	return "stop"
}

// TextLength measures a text that comes in pieces, without keeping it: its
// length in bytes, white space at both ends left out. The zero value is the
// empty text.
type TextLength struct {
	length, trailing int
}

// Add takes the next piece.
func (l *TextLength) Add(piece []byte) {
	if l.length == 0 {
		for len(piece) > 0 && blank(piece[0]) {
			piece = piece[1:]
		}
	}
	end := len(piece)
	for end > 0 && blank(piece[end-1]) {
		end--
	}
	if end == 0 {
		if l.length > 0 {
			l.trailing += len(piece)
		}
		return
	}
	l.length += l.trailing + end
	l.trailing = len(piece) - end
}

// Len is the length so far.
func (l *TextLength) Len() int { return l.length }

// EstimateCompletion guesses the tokens of a text of so many bytes: one for every
// four begun, as Kong does.
func EstimateCompletion(length int) int64 { return int64((length + 3) / 4) }

// EstimatePrompt guesses the tokens of a prompt of so many words as Kong does: 1.8
// for a word when the answer is streamed, else 1, rounded half up.
func EstimatePrompt(words int, streams bool) int64 {
	if !streams {
		return int64(words)
	}
	return (int64(words)*18 + 5) / 10
}
