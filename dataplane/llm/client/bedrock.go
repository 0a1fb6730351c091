package client

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Bedrock reads the format of the callers of Amazon's own SDKs, for one route.
// They say in the path which model is asked and what it is to do; their bodies
// pass as they are, and are read for what guards and counts want to know.
type Bedrock struct {
	// Limits bound the calls that are read.
	Limits llm.Limits

	route llm.Route
	names *llm.Names
}

var _ Format = (*Bedrock)(nil)

// Members of a body that are looked at: of Converse, and of the bodies that models
// themselves take. The credentials stand where those of OpenAI's format do: at
// llm.FieldParam.
const (
	bedrockMessages = iota
	bedrockSystem
	bedrockInference
	bedrockTools
	bedrockPrompt
	bedrockInputText
	bedrockTexts
	bedrockVersion
	bedrockInput
	bedrockQueries
)

var bedrockFields = []string{
	bedrockMessages: "messages", bedrockSystem: "system", bedrockInference: "inferenceConfig", bedrockTools: "toolConfig",
	bedrockPrompt: "prompt", bedrockInputText: "inputText", bedrockTexts: "texts", bedrockVersion: "anthropic_version",
	bedrockInput: "input", bedrockQueries: "queries",
}

// NewBedrock makes a reader of calls. param is the name of a member of the body
// that carries credentials; empty when there is none.
func NewBedrock(route llm.Route, param string) *Bedrock {
	names := make([]string, llm.FieldParam, llm.FieldParam+1)
	if route != llm.Preserve {
		copy(names, bedrockFields)
	}
	if param != "" {
		names = append(names, param)
	}
	return &Bedrock{route: route, names: llm.NewNames(names...)}
}

// Name is the format's name.
func (b *Bedrock) Name() llm.Format { return llm.Bedrock }

// The calls to a model that Bedrock's callers make. Streamed ones say so.
const (
	bedrockConverse       = "converse"
	bedrockConverseStream = "converse-stream"
	bedrockInvoke         = "invoke"
	bedrockInvokeStream   = "invoke-with-response-stream"
)

// bedrockOthers are the calls to something else than a model, by the first
// segments of their paths, and the routes that are theirs alone; empty: any
// route carries them.
var bedrockOthers = map[string]llm.Route{
	"retrieveAndGenerate": "", "retrieveAndGenerateStream": "", "rerank": "", "async-invoke": "",
	"model-invocations": llm.Batches, "model-invocation-job": llm.Batches, "model-invocation-jobs": llm.Batches,
}

// Read reads a call. Its error is an *Error.
func (b *Bedrock) Read(in Incoming, into *llm.Request) error {
	*into = llm.Request{Format: llm.Bedrock, Route: b.route, Decoder: b}
	var verb string
	into.Operation, into.Model, verb = bedrockOperation(in)
	into.Streams = verb == bedrockConverseStream || verb == bedrockInvokeStream || verb == "retrieveAndGenerateStream"
	if b.route != llm.Preserve {
		if err := b.permit(verb); err != nil {
			return err
		}
	}
	if len(in.Body) == 0 {
		return nil
	}
	if err := into.Fields.ReadWithin(in.Body, b.names, b.Limits); err != nil {
		if ambiguous, ok := errors.AsType[*llm.AmbiguousError](err); ok {
			return &Error{Message: ambiguous.Error()}
		}
		return ErrUnreadable
	}
	into.Body = in.Body
	if b.route == llm.Preserve {
		return nil
	}
	return b.named(verb, into)
}

// bedrockNamed are the places in the bodies of calls, by what they do, that name
// the model which the path does not.
var bedrockNamed = map[string][][]string{
	"async-invoke":              {{"modelId"}},
	"model-invocation-job":      {{"modelId"}},
	"model-invocations":         {{"modelId"}},
	"retrieveAndGenerate":       bedrockRetrievals,
	"retrieveAndGenerateStream": bedrockRetrievals,
	"rerank":                    {{"rerankingConfiguration", "bedrockRerankingConfiguration", "modelConfiguration", "modelArn"}},
}

var bedrockRetrievals = [][]string{
	{"retrieveAndGenerateConfiguration", "knowledgeBaseConfiguration", "modelArn"},
	{"retrieveAndGenerateConfiguration", "externalSourcesConfiguration", "modelArn"},
}

// named reads the model out of the body of a call whose path names none, so that
// a route for one model cannot be used to ask another.
func (b *Bedrock) named(verb string, into *llm.Request) error {
	for _, path := range bedrockNamed[verb] {
		text := into.Body
		for _, name := range path {
			var o llm.Object
			if err := o.ReadWithin(text, llm.NewNames(name), b.Limits); err != nil {
				if ambiguous, ok := errors.AsType[*llm.AmbiguousError](err); ok {
					return &Error{Message: ambiguous.Error()}
				}
				return ErrUnreadable
			}
			if text = o.Value(0); !o.Has(0) || o.Kind(0) == 'n' {
				text = nil
				break
			}
			if o.Kind(0) != '{' && o.Kind(0) != '"' {
				return ErrUnreadable
			}
		}
		switch {
		case len(text) == 0 || text[0] != '"':
		case into.Model == "":
			into.Model = llm.Unquote(text)
		case into.Model != llm.Unquote(text):
			return &Error{Message: (&llm.AmbiguousError{Name: path[len(path)-1]}).Error()}
		}
	}
	return nil
}

// bedrockVerb says whether a word is a call to a model.
func bedrockVerb(word string) bool {
	return word == bedrockConverse || word == bedrockConverseStream || word == bedrockInvoke || word == bedrockInvokeStream
}

// bedrockOperation is the part of a path that is Bedrock's, the model that it
// names, and what is to be done. Named captures of the route win. All are empty
// where the path says nothing.
func bedrockOperation(in Incoming) (operation, model, verb string) {
	named := in.Named["model"]
	if plain, err := url.PathUnescape(named); err == nil {
		named = plain
	}
	segments := strings.Split(strings.Trim(in.Path, "/"), "/")
	last := len(segments) - 1
	if verb = in.Named["operation"]; !bedrockVerb(verb) {
		verb = ""
		if bedrockVerb(segments[last]) {
			verb = segments[last]
		}
	}
	if verb == "" {
		for i, segment := range segments {
			if _, ok := bedrockOthers[segment]; ok {
				return "/" + strings.Join(segments[i:], "/"), named, segment
			}
		}
		return "", named, ""
	}
	if model = named; model == "" {
		// The slashes of an ARN may have lost their escapes on the way.
		for i := last - 1; i >= 0; i-- {
			if segments[i] == "model" {
				model = strings.Join(segments[i+1:last], "/")
				break
			}
		}
		if plain, err := url.PathUnescape(model); err == nil {
			model = plain
		}
	}
	return "/model/" + strings.ReplaceAll(url.PathEscape(model), ":", "%3A") + "/" + verb, model, verb
}

// permit says whether a call is one that the route carries. The gateway lends its
// credentials to what it knows only.
func (b *Bedrock) permit(verb string) error {
	var found llm.Route
	switch verb {
	case "":
		return nil // the route is what says what is asked
	case bedrockConverse, bedrockConverseStream:
		if b.route == llm.Completions {
			return nil
		}
		found = llm.Chat
	default:
		if found = bedrockOthers[verb]; found == "" {
			if b.route != llm.Batches && b.route != llm.Files {
				return nil
			}
			found = llm.Chat
		}
	}
	if found != b.route {
		return &Error{Message: fmt.Sprintf("[%s] message format is not compatible with [%s] route type", found, b.route)}
	}
	return nil
}

// bedrockVerbOf is what a call that was read is to do.
func bedrockVerbOf(r *llm.Request) string {
	if first, _, _ := strings.Cut(strings.TrimPrefix(r.Operation, "/"), "/"); first != "model" {
		return first
	}
	return r.Operation[strings.LastIndexByte(r.Operation, '/')+1:]
}

// HasPrompt says whether the call holds anything to answer.
func (b *Bedrock) HasPrompt(r *llm.Request) bool {
	if b.route == llm.Preserve {
		return true
	}
	switch verb := bedrockVerbOf(r); verb {
	case bedrockConverse, bedrockConverseStream:
		// A prompt that Bedrock keeps is asked by its name, and says all itself.
		return r.Fields.Kind(bedrockMessages) == '[' && r.Fields.Count(bedrockMessages) > 0 || strings.Contains(r.Model, ":prompt/")
	case bedrockInvoke, bedrockInvokeStream, "retrieveAndGenerate", "retrieveAndGenerateStream", "rerank":
		return r.Body != nil
	case "":
		if b.route == llm.Chat || b.route == llm.Completions {
			return r.Fields.Kind(bedrockMessages) == '[' && r.Fields.Count(bedrockMessages) > 0
		}
		return r.Body != nil
	}
	return true // to look after something needs no body
}

// Judge checks that a call that was read is one that can be carried. Its error is
// an *Error.
func (b *Bedrock) Judge(r *llm.Request) error {
	if r.Fields.Count(bedrockMessages) > llm.MaxMessages {
		return &Error{Message: fmt.Sprintf("request body holds more than %d messages", llm.MaxMessages)}
	}
	return nil
}

var bedrockWordNames = llm.NewLenientNames("text", "content")

// Words counts the words of the prompt: of the texts of all messages, with what the
// system says, or of what a model itself takes for one.
func (b *Bedrock) Words(r *llm.Request) int {
	words := 0
	count := func(block []byte) bool {
		var o llm.Object
		if block[0] == '{' && o.Read(block, bedrockWordNames) == nil && o.Kind(0) == '"' {
			words += llm.Words(o.Value(0))
		}
		return true
	}
	if r.Fields.Kind(bedrockSystem) == '"' {
		words += llm.Words(r.Fields.Value(bedrockSystem))
	}
	llm.Elements(r.Fields.Value(bedrockSystem), count)
	llm.Elements(r.Fields.Value(bedrockMessages), func(message []byte) bool {
		var o llm.Object
		if message[0] == '{' && o.Read(message, bedrockWordNames) == nil {
			if o.Kind(1) == '"' {
				words += llm.Words(o.Value(1))
			}
			llm.Elements(o.Value(1), count)
		}
		return true
	})
	for _, at := range []int{bedrockPrompt, bedrockInputText, bedrockTexts} {
		if r.Fields.Has(at) {
			words += textWords(r.Fields.Value(at))
		}
	}
	return words
}

// AppendError appends the body of an error in Amazon's shape.
func (b *Bedrock) AppendError(dst []byte, f *llm.Failure) []byte {
	dst = append(dst, `{"message":`...)
	return append(llm.AppendQuoted(dst, f.Message), '}')
}
