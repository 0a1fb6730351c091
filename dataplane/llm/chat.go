package llm

// ChatCall is a chat in neutral terms: what a client's format is read into and a
// provider's format is written from when the two differ. What the neutral terms
// have no word for is kept as it came, in Extra, so that a format that knows it
// can write it again.
//
// Numbers are the JSON text that the caller wrote, empty where it wrote none.
type ChatCall struct {
	// Origin is the format that the call was read from: Extra, and the JSON of
	// parts, calls, tools and choices, are in it.
	Origin   Format
	Model    string
	Messages []Message
	Tools    []Tool
	// ToolChoice says whether and which tool must be used.
	ToolChoice ToolChoice
	// ParallelCalls says whether several tools may be used at once; nil: nothing
	// was said.
	ParallelCalls *bool
	Reasoning     Reasoning
	Output        Output
	// User names the end user to the provider. May be empty.
	User string
	Options
	Extra []Member
}

// Reasoning says how much a model should think before it answers. The zero value
// says nothing.
type Reasoning struct {
	// Mode is enabled, adaptive or disabled; empty: nothing was said.
	Mode string
	// Effort is none, minimal, low, medium, high, xhigh or max; Budget is the most
	// tokens to think with. Either may be empty.
	Effort, Budget string
}

// Output is the form that an answer must have. The zero value is free text.
type Output struct {
	// Kind is text, json_object or json_schema; empty: nothing was said.
	Kind string
	// Name, Schema (JSON) and Strict describe the form, with json_schema.
	Name   string
	Schema []byte
	Strict *bool
	// JSON is the form as it came when the fields above do not hold it, else nil.
	JSON []byte
}

// CompletionCall is the completion of a bare text in neutral terms.
type CompletionCall struct {
	Origin Format
	Model  string
	// Prompts are the texts to go on with. List says that they came as a list,
	// which a single one may.
	Prompts []string
	List    bool
	Options
	Extra []Member
}

// Options tune an answer.
type Options struct {
	// MaxTokens bounds the answer; MaxCompletionTokens is the newer name of the
	// same, which wins where both are given.
	MaxTokens, MaxCompletionTokens string
	Temperature, TopP, TopK        string
	// Stop are texts at which the answer ends. StopList says that they came as a
	// list.
	Stop     []string
	StopList bool
	// Stream asks for a stream; nil: nothing was said.
	Stream *bool
}

// Limit is the most tokens that the answer may have; empty when there is no bound.
func (o *Options) Limit() string {
	if o.MaxCompletionTokens != "" {
		return o.MaxCompletionTokens
	}
	return o.MaxTokens
}

// Role is who speaks in a message.
type Role string

// The roles of OpenAI's format, which the others are mapped to.
const (
	RoleSystem    Role = "system"
	RoleDeveloper Role = "developer"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

// Message is one turn of a chat.
type Message struct {
	Role Role
	// Parts are what is said. Plain says that it came as one text and not as a
	// list of parts.
	Parts []Part
	Plain bool
	// Calls are the tools that an assistant wants used; CallID is the call that a
	// tool's message answers.
	// Failed says that the tool did not do what it was asked to.
	Calls  []ToolCall
	CallID string
	Failed bool
	Extra  []Member
}

// PartKind is what a part of a message is.
type PartKind uint8

// The kinds of parts. A part of another kind is carried as it came.
const (
	PartOther PartKind = iota
	PartText
	PartImage
	PartAudio
	PartFile
	PartRefusal
	// PartReasoning is the model's own thinking, with the signature that its maker
	// wants back; PartRedacted is thinking that only its maker can read.
	PartReasoning
	PartRedacted
)

// Part is a piece of a message. Images, audio and files are either at a URL, or
// kept by the provider under a FileID, or in Data.
type Part struct {
	Kind PartKind
	// Text is the text of a text, a refusal or a thought.
	Text string
	// URL is where the thing is. It is empty when Data holds the thing.
	URL, FileID string
	// Data is the thing itself in base64, and MediaType what it is: image/png. Data
	// may point into the caller's body, so that a large image is not copied, and is
	// never to be changed. Of redacted thinking it is what came.
	Data      []byte
	MediaType string
	// Format is the format of audio as OpenAI names it: wav.
	Format string
	// Name is a file's name, Detail how closely to look at an image.
	Name, Detail string
	// Signature vouches for a thought.
	Signature string
	// Cache is the JSON of a cache_control mark; nil when there is none.
	Cache []byte
	// JSON is the part as it came, for a kind or a shape that the fields above do
	// not hold; it is nil for a part that they hold whole.
	JSON []byte
}

// ToolCall is a use of a tool that a model asks for. Arguments is JSON text, never
// decoded: numbers in it must not pass through floats.
type ToolCall struct {
	ID, Name, Arguments string
	// Signature vouches for the thought behind the call (Gemini). May be empty.
	Signature string
	// JSON is the call as it came when it is no call of a function, else nil.
	JSON []byte
}

// Tool is a function that a model may ask for. Parameters is its JSON schema.
type Tool struct {
	Name, Description string
	Parameters        []byte
	Strict            *bool
	// Cache is the JSON of a cache_control mark; nil when there is none.
	Cache []byte
	// JSON is the tool as it came when it is no function, else nil.
	JSON []byte
}

// ToolChoice is which tools a model may or must use. Mode is none, auto, required
// or function, then with the function's name; empty: nothing was said.
type ToolChoice struct {
	Mode, Name string
	// JSON is the choice as it came when it is of another kind, else nil.
	JSON []byte
}

// Member is a member of an object that the neutral terms have no word for.
type Member struct {
	Name  string
	Value []byte // JSON text
}

// Members calls f with the name and the text of each member of an object that is
// known to be valid, in order, until f says stop.
func Members(object []byte, f func(name string, value []byte) bool) {
	s := scanner{text: object, valid: true}
	i := s.space(0)
	if i >= len(object) || object[i] != '{' {
		return
	}
	i = s.space(i + 1)
	for i < len(object) && object[i] == '"' {
		key := i
		if i = s.str(i + 1); i < 0 {
			return
		}
		keyEnd := i
		if i = s.colon(i); i < 0 {
			return
		}
		value := i
		if i = s.value(i, 1); i < 0 || !f(Unquote(object[key:keyEnd]), object[value:i]) {
			return
		}
		i = s.space(i)
		if i < len(object) && object[i] == ',' {
			i = s.space(i + 1)
		}
	}
}
