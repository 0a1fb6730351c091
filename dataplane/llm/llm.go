// Package llm is the hub in which the formats of callers and the formats of
// providers meet: what a call to a model is, what comes back, how streams are
// cut into events, and how tokens are counted. It knows no vendor; client reads
// and writes what callers speak, provider what vendors speak.
//
// When caller and provider speak the same format the bytes pass through: one
// pass finds and checks the members that matter (Object), and one splice makes
// the edits (Edits). Numbers stay text, and members keep their order.
package llm

// Route is the kind of call that a route carries, by Kong's name.
type Route string

// The kinds of calls.
const (
	Chat           Route = "llm/v1/chat"
	Completions    Route = "llm/v1/completions"
	Embeddings     Route = "llm/v1/embeddings"
	Responses      Route = "llm/v1/responses"
	Assistants     Route = "llm/v1/assistants"
	Files          Route = "llm/v1/files"
	Batches        Route = "llm/v1/batches"
	Speech         Route = "audio/v1/audio/speech"
	Transcriptions Route = "audio/v1/audio/transcriptions"
	Translations   Route = "audio/v1/audio/translations"
	Images         Route = "image/v1/images/generations"
	ImageEdits     Route = "image/v1/images/edits"
	Videos         Route = "video/v1/videos/generations"
	Realtime       Route = "realtime/v1/realtime"
	// Preserve converts nothing: bodies pass as they are.
	Preserve Route = "preserve"
)

// Format is a wire format that callers or providers speak.
type Format string

// The formats. The first six are those that callers may speak, by Kong's names.
const (
	// OpenAI is the format of OpenAI's API.
	OpenAI Format = "openai"
	// Anthropic is the format of Anthropic's Messages API.
	Anthropic   Format = "anthropic"
	Gemini      Format = "gemini"
	Bedrock     Format = "bedrock"
	Cohere      Format = "cohere"
	HuggingFace Format = "huggingface"
	// Ollama is that of Ollama's own API, Raw that of bare text generation servers.
	Ollama Format = "ollama"
	Raw    Format = "raw"
	// Neutral is no wire format: who is said to speak it takes answers in neutral
	// terms, as the gateway's own plugins do.
	Neutral Format = "neutral"
)

// Limits bound what is read of JSON and of streams, where the node's operator
// chose. A zero bound is the constant below.
type Limits struct {
	Depth  int // instead of MaxDepth
	Values int // instead of MaxValues
	Event  int // instead of MaxEvent
}

// Limits of what is read, so that one request cannot hold the node up.
const (
	// MaxDepth is how deeply JSON may nest.
	MaxDepth = 200
	// MaxValues is how many values one JSON text may hold.
	MaxValues = 1_000_000
	// MaxMessages is how many messages one chat may hold.
	MaxMessages = 10_000
	// MaxEvent is the largest event of a stream, in bytes.
	MaxEvent = 1 << 20
)

// Request is a caller's call as it was read: the body and where its members of
// interest are.
type Request struct {
	// Format is what the body is written in.
	Format Format
	// Route is the kind of call.
	Route Route
	// Operation is the part of the caller's path that belongs to the provider's API,
	// escaped: the tail behind a gateway's route, such as
	// /v1beta/models/m:generateContent, or the /{id}/content behind a collection.
	// Empty where the route alone says what is asked.
	Operation string
	// Body is the JSON text, and Fields what was found in it, by the names that the
	// reader of the format looks for (for OpenAI's: the Field constants). Body is
	// nil when the call has no body that could be read as JSON (a multipart form on
	// its way through, a GET).
	Body   []byte
	Fields Object
	// Model is the model that the caller named; empty when it named none.
	Model string
	// Streams says that the caller asked for a stream, and WantsUsage that it
	// asked for the token counts at its end.
	Streams, WantsUsage bool
	// Decoder reads the body in neutral terms. Nil when it cannot be.
	Decoder Decoder

	chat *ChatCall
}

// Decoder reads the requests of one format in neutral terms. Its errors are for
// the caller to read.
type Decoder interface {
	Chat(*Request) (*ChatCall, error)
	Completion(*Request) (*CompletionCall, error)
	Embedding(*Request) (*EmbeddingCall, error)
}

// Chat is the chat in neutral terms, read once however often it is asked for. It
// is shared: nobody changes it.
func (r *Request) Chat() (*ChatCall, error) {
	if r.chat != nil {
		return r.chat, nil
	}
	chat, err := r.Decoder.Chat(r)
	if err == nil {
		r.chat = chat
	}
	return chat, err
}

// Members of a request in OpenAI's format that the gateway looks at or changes;
// they index Request.Fields.
const (
	FieldModel = iota
	FieldStream
	FieldMessages
	FieldPrompt
	FieldTemperature
	FieldMaxTokens
	FieldMaxCompletionTokens
	FieldTopP
	FieldTopK
	FieldStreamOptions
	FieldInput
	FieldMaxOutputTokens
	FieldDimensions
	FieldExtraBody
	// FieldParam is the parameter that carries credentials, when a configuration
	// names one that goes into the body.
	FieldParam
)

// RequestFields are the names of the members above, without FieldParam.
var RequestFields = []string{
	FieldModel:               "model",
	FieldStream:              "stream",
	FieldMessages:            "messages",
	FieldPrompt:              "prompt",
	FieldTemperature:         "temperature",
	FieldMaxTokens:           "max_tokens",
	FieldMaxCompletionTokens: "max_completion_tokens",
	FieldTopP:                "top_p",
	FieldTopK:                "top_k",
	FieldStreamOptions:       "stream_options",
	FieldInput:               "input",
	FieldMaxOutputTokens:     "max_output_tokens",
	FieldDimensions:          "dimensions",
	FieldExtraBody:           "extra_body",
}
