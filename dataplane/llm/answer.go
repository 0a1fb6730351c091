package llm

// ChatAnswer is a whole answer to a chat or a completion in neutral terms: what a
// provider's answer is read into and a caller's is written from when their
// formats differ.
type ChatAnswer struct {
	// ID and Model are the provider's. Either may be empty.
	ID, Model string
	// Created is when the answer was made, in seconds of Unix time; 0: not said.
	Created int64
	// Choices are the answers; a provider that could give none gives an empty list.
	Choices []Choice
	Usage   Usage
	// Origin is the provider's format, which Extra is in: members that the neutral
	// terms have no word for.
	Origin Format
	Extra  []Member
}

// Choice is one of several answers to one call. The answer to a completion is a
// message of one text.
type Choice struct {
	Message Message
	Finish  FinishReason
	// StopText is the text that the answer stopped at. May be empty.
	StopText string
	// Logprobs is the JSON of the probabilities in OpenAI's format, nil when there
	// are none.
	Logprobs []byte
}

// TextLength is the length in bytes of the visible text of all choices, white
// space at the ends left out: what completion tokens are guessed from.
func (a *ChatAnswer) TextLength() int {
	var length TextLength
	for i := range a.Choices {
		for j := range a.Choices[i].Message.Parts {
			if p := &a.Choices[i].Message.Parts[j]; p.Kind == PartText {
				length.Add([]byte(p.Text))
			}
		}
	}
	return length.Len()
}

// EmbeddingCall asks for the vectors of texts, in neutral terms.
type EmbeddingCall struct {
	Origin Format
	Model  string
	// Texts are what to embed; nil when the caller sent tokens, which are then in
	// Tokens, each a JSON array. List says that they came as a list.
	Texts  []string
	Tokens [][]byte
	List   bool
	// Dimensions is JSON text; Encoding is float or base64. Either may be empty.
	Dimensions, Encoding string
	User                 string
	Extra                []Member
}

// EmbeddingAnswer holds one vector for each text, in their order.
type EmbeddingAnswer struct {
	Model string
	// Vectors are JSON arrays of numbers, which keep their spelling.
	Vectors [][]byte
	Usage   Usage
}

// Failure is an error that a provider, or the gateway in its place, tells a
// caller.
type Failure struct {
	// Status is the HTTP status; 0 when the failure came inside a stream without
	// one.
	Status int
	// Type and Code are the provider's words for it. Either may be empty.
	Type, Code string
	Message    string
}
