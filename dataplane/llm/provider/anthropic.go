package provider

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Anthropic is Anthropic's own API: messages, and the completions of older models.
type Anthropic struct{}

var _ Provider = (*Anthropic)(nil)

const (
	anthropicHost     = "api.anthropic.com"
	anthropicMessages = "/v1/messages"
	anthropicBatches  = "/v1/messages/batches"
	anthropicCount    = "/v1/messages/count_tokens"
	anthropicComplete = "/v1/complete"
	// anthropicVersion is the version of the API that is spoken here. The schema
	// wants one configured, so this one is for calls that name none.
	anthropicVersion = "2023-06-01"
)

// Name is the vendor's name in configurations.
func (*Anthropic) Name() string { return "anthropic" }

// Format is Anthropic's for all that the vendor runs.
func (*Anthropic) Format(route llm.Route) (llm.Format, bool) {
	switch route {
	case llm.Chat, llm.Completions, llm.Batches, llm.Preserve:
		return llm.Anthropic, true
	}
	return llm.Anthropic, false
}

// Endpoint is the vendor's public address. A caller of its own format says by the
// tail of its path what it asks for beside a message: to count tokens, or a batch.
func (*Anthropic) Endpoint(call *Call) (Endpoint, error) {
	e := Endpoint{Scheme: "https", Host: anthropicHost, Port: 443}
	switch {
	case call.Route == llm.Preserve:
	case strings.HasPrefix(call.Operation, anthropicMessages):
		e.Path = call.Operation
	case call.Route == llm.Batches:
		e.Path = anthropicBatches + call.Operation
	case call.Route == llm.Completions:
		e.Path = anthropicComplete
	default:
		e.Path = anthropicMessages
	}
	return e, nil
}

// AcceptEncoding leaves out what the gateway cannot read: brotli and zstd.
func (*Anthropic) AcceptEncoding() string { return "gzip, identity" }

// Headers names the version of the API: the configured one, else the caller's own.
func (*Anthropic) Headers(call *Call, header http.Header) {
	if version := call.Options.GetAnthropicVersion(); version != "" {
		header.Set("Anthropic-Version", version)
	} else if header.Get("Anthropic-Version") == "" {
		header.Set("Anthropic-Version", anthropicVersion)
	}
}

// passes says that the bodies of a call are nobody's to change: what is asked is
// no message.
func (*Anthropic) passes(call *Call) bool {
	return call.Route == llm.Preserve || call.Route == llm.Batches ||
		strings.HasPrefix(call.Operation, anthropicBatches)
}

// Request writes the body to send.
func (a *Anthropic) Request(call *Call, request *llm.Request) ([]byte, error) {
	if a.passes(call) {
		return a.pass(call, request)
	}
	if request.Format == llm.Anthropic && call.Route == llm.Chat {
		return a.edit(call, request)
	}
	if request.Decoder == nil {
		return nil, ErrNotJSON
	}
	if call.Route == llm.Completions {
		completion, err := request.Decoder.Completion(request)
		if err != nil {
			return nil, err
		}
		body, err := appendAnthropicCompletion(nil, call, completion)
		return a.credit(call, body, err)
	}
	chat, err := request.Chat()
	if err != nil {
		return nil, err
	}
	// The body as the caller wrote it is a good guess of the size; images make up
	// most of a large one, and are as large in either format.
	body, err := appendAnthropicChat(make([]byte, 0, len(request.Body)+min(len(request.Body)/8, 64<<10)+512), call, chat)
	return a.credit(call, body, err)
}

// pass gives the body as it came, with nothing added but credentials.
func (*Anthropic) pass(call *Call, request *llm.Request) ([]byte, error) {
	if call.ParamValue == "" || call.ParamOverride && request.Fields.Has(llm.FieldParam) {
		return request.Body, nil
	}
	if request.Body == nil {
		return nil, ErrNotJSON
	}
	var edits llm.Edits
	edits.Set(llm.FieldParam, call.ParamValue)
	return edits.AppendTo(make([]byte, 0, len(request.Body)+edits.Size(&request.Fields)), &request.Fields), nil
}

// credit puts the credentials into a body that was written here.
func (*Anthropic) credit(call *Call, body []byte, err error) ([]byte, error) {
	if err != nil || call.ParamValue == "" {
		return body, err
	}
	body = append(body[:len(body)-1], ',')
	body = append(llm.AppendQuoted(body, call.ParamName), ':')
	return append(append(body, call.ParamValue...), '}'), nil
}

// edit passes a message on with the members changed that the gateway answers for.
// Everything else stays byte for byte: the vendor checks the signatures of the
// thoughts that come back to it.
func (*Anthropic) edit(call *Call, request *llm.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, ErrNotJSON
	}
	fields := &request.Fields
	var edits llm.Edits
	if request.Model == "" || request.Model != call.Model {
		edits.Set(llm.FieldModel, llm.Quote(call.Model))
	}
	// Where tokens are counted, the vendor refuses what tunes an answer.
	if call.Operation != anthropicCount {
		switch {
		case call.Streams && !request.Streams:
			edits.Set(llm.FieldStream, "true")
		case !call.Streams && request.Streams:
			edits.Set(llm.FieldStream, "false")
		}
		if call.MaxTokens != "" {
			edits.Set(llm.FieldMaxTokens, call.MaxTokens)
		}
		anthropicTune(call, fields, &edits)
	}
	if call.ParamValue != "" && !(call.ParamOverride && fields.Has(llm.FieldParam)) {
		edits.Set(llm.FieldParam, call.ParamValue)
	}
	if edits.Empty() {
		return request.Body, nil
	}
	return edits.AppendTo(make([]byte, 0, len(request.Body)+edits.Size(fields)), fields), nil
}

// anthropicThinking is the place of the member thinking among the fields of a
// request in Anthropic's format. The members that both formats know are at the
// places that they have in OpenAI's.
const anthropicThinking = llm.FieldMaxCompletionTokens

// anthropicTune sets the configured sampling, as far as the model and the call can
// stand it: a configuration for all callers must not make the thinking of some
// impossible.
func anthropicTune(call *Call, fields *llm.Object, edits *llm.Edits) {
	model := anthropicModelOf(call.Model)
	if model.refusesSampling() || anthropicThinks(fields.Value(anthropicThinking)) {
		return
	}
	if call.Temperature != "" {
		edits.Set(llm.FieldTemperature, call.Temperature)
		if call.TopP == "" && model.refusesBoth() && fields.Has(llm.FieldTopP) {
			edits.Remove(llm.FieldTopP)
		}
	}
	if call.TopP != "" && !anthropicIsOne(call.TopP) && !(call.Temperature != "" && model.refusesBoth()) {
		edits.Set(llm.FieldTopP, call.TopP)
		if model.refusesBoth() && fields.Has(llm.FieldTemperature) {
			edits.Remove(llm.FieldTemperature)
		}
	}
	if call.TopK != "" {
		edits.Set(llm.FieldTopK, call.TopK)
	}
}

var anthropicThinkingNames = llm.NewLenientNames("type")

// anthropicThinks says whether a member thinking turns thinking on.
func anthropicThinks(thinking []byte) bool {
	var object llm.Object
	if len(thinking) == 0 || thinking[0] != '{' || object.Read(thinking, anthropicThinkingNames) != nil {
		return false
	}
	kind, ok := object.Text(0)
	return ok && kind != "disabled"
}

// anthropicIsOne says whether a number is 1. A top_p of 1 is what holds without
// one, and is never written: no model is spoiled by it, and Kong's requests to
// old models have none.
func anthropicIsOne(number string) bool {
	whole, fraction, _ := strings.Cut(number, ".")
	return whole == "1" && strings.Trim(fraction, "0") == ""
}

// anthropicModel is the version of a model: 407 for claude-opus-4-7. It is 0 when the name
// tells none.
type anthropicModel int

// anthropicModelOf reads the version from a model's name, new and old:
// claude-opus-4-7, claude-sonnet-4-20250514, claude-3-7-sonnet-latest, claude-2.1.
func anthropicModelOf(model string) anthropicModel {
	_, name, ok := strings.Cut(strings.ToLower(model), "claude-")
	if !ok {
		return 0
	}
	major, seen := 0, false
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '-' || r == '.' || r == '@' || r == ':' }) {
		n, ok := anthropicNumber(word)
		switch {
		case seen && ok:
			return anthropicModel(major*100 + n)
		case seen:
			return anthropicModel(major * 100)
		case ok:
			major, seen = n, true
		}
	}
	switch {
	case seen:
		return anthropicModel(major * 100)
	case strings.HasPrefix(name, "fable"), strings.HasPrefix(name, "mythos"):
		return anthropicNewest // families that began with the newest rules
	}
	return 0
}

// anthropicNumber reads a number of a version; a date is none.
func anthropicNumber(word string) (n int, ok bool) {
	if word == "" || len(word) > 2 {
		return 0, false
	}
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

const anthropicNewest = anthropicModel(500)

// refusesSampling says that the model takes no temperature, top_p and top_k.
func (m anthropicModel) refusesSampling() bool { return m >= 407 }

// refusesBoth says that the model takes temperature or top_p, and not both.
func (m anthropicModel) refusesBoth() bool { return m >= 401 }

// adapts says that the model itself decides how much to think, by an effort.
func (m anthropicModel) adapts() bool { return m >= 406 }

// thinks says that the model can think before it answers. Of one whose name tells
// nothing it is assumed: if it cannot, its maker says so.
func (m anthropicModel) thinks() bool { return m == 0 || m >= 307 }

var errAnthropicPrompts = errors.New("several prompts in one call are not supported")
