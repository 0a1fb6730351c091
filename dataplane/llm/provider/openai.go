package provider

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// OpenAI is a vendor that speaks OpenAI's format: OpenAI itself, and with other
// values in its row those who copied it.
type OpenAI struct {
	name, host string
	paths      map[llm.Route]string
	// hostOf gives the host where the options of the model have a say in it; nil:
	// host is it. A vendor with neither runs where upstream_url says.
	hostOf func(*pluginpb.AiModelOptions) (string, error)
	// dropStreamOptions takes stream_options out, for a vendor that refuses them.
	dropStreamOptions bool
	// countsWhen says whether the tokens of streams may be asked for; nil: always.
	countsWhen func(*pluginpb.AiModelOptions) bool
	// strict says that the vendor's own address refuses members that it does not
	// know, stream_options and max_completion_tokens among them, and counts the
	// tokens of streams unasked. Other servers at a configured address do not.
	strict bool
}

var _ Provider = (*OpenAI)(nil)

// Name is the vendor's name in configurations.
func (o *OpenAI) Name() string { return o.name }

// Format is OpenAI's for all that the vendor runs.
func (o *OpenAI) Format(route llm.Route) (llm.Format, bool) {
	_, ok := o.paths[route]
	return llm.OpenAI, ok
}

// Endpoint is the vendor's public address.
func (o *OpenAI) Endpoint(call *Call) (Endpoint, error) {
	host := o.host
	if o.hostOf != nil && call.Options.GetUpstreamUrl() == "" {
		var err error
		if host, err = o.hostOf(call.Options); err != nil {
			return Endpoint{}, err
		}
	}
	if host == "" && call.Options.GetUpstreamUrl() == "" {
		return Endpoint{}, fmt.Errorf("%s has no public address, so upstream_url must be set", o.name)
	}
	return Endpoint{Scheme: "https", Host: host, Port: 443, Path: o.paths[call.Route]}, nil
}

// Headers names the version of the API where OpenAI asks for it. A caller that
// names one knows which it speaks.
func (o *OpenAI) Headers(call *Call, header http.Header) {
	if call.Route == llm.Assistants && len(header["Openai-Beta"]) == 0 {
		header["Openai-Beta"] = []string{"assistants=v2"}
	}
}

// AcceptEncoding leaves out what the gateway cannot read: brotli and zstd.
func (o *OpenAI) AcceptEncoding() string { return "gzip, identity" }

// Request is the caller's body with the members changed that the gateway answers
// for; the rest stays byte for byte. A call in another format is written anew.
func (o *OpenAI) Request(call *Call, request *llm.Request) ([]byte, error) {
	if request.Format != "" && request.Format != llm.OpenAI {
		return o.translate(call, request)
	}
	if request.Body == nil {
		return nil, ErrNotJSON
	}
	fields := &request.Fields
	var edits llm.Edits
	switch call.Route {
	case llm.Preserve:
		if call.Streams && !request.Streams {
			edits.Set(llm.FieldStream, "true")
		}
	case llm.Chat, llm.Completions:
		o.edit(call, request, &edits)
	default:
		o.editOther(call, request, &edits)
	}
	if call.ParamValue != "" && !(call.ParamOverride && fields.Has(llm.FieldParam)) {
		edits.Set(llm.FieldParam, call.ParamValue)
	}
	extra := call.Route != llm.Preserve && fields.Kind(llm.FieldExtraBody) == '{'
	if extra {
		edits.Remove(llm.FieldExtraBody)
	}
	if edits.Empty() {
		return request.Body, nil
	}
	body := edits.AppendTo(make([]byte, 0, len(request.Body)+edits.Size(fields)), fields)
	if extra {
		body = openAIMerge(body, fields.Value(llm.FieldExtraBody), call.ParamName)
	}
	return body, nil
}

func (o *OpenAI) edit(call *Call, request *llm.Request, edits *llm.Edits) {
	fields := &request.Fields
	openAIModel(call, request, edits)
	if stream := "false"; !call.Streams {
		if fields.Kind(llm.FieldStream) != 'f' {
			edits.Set(llm.FieldStream, stream)
		}
	} else if !request.Streams {
		edits.Set(llm.FieldStream, "true")
	}
	if call.Temperature != "" {
		edits.Set(llm.FieldTemperature, call.Temperature)
	}
	if call.TopP != "" {
		edits.Set(llm.FieldTopP, call.TopP)
	}
	if fields.Has(llm.FieldTopK) {
		edits.Remove(llm.FieldTopK) // OpenAI knows no top_k, and refuses it
	}
	o.limit(call, fields, edits)
	if messages := fields.Value(llm.FieldMessages); !o.own() && bytes.Contains(messages, []byte(openAIDeveloper)) {
		edits.Set(llm.FieldMessages, openAIWithoutDevelopers(messages))
	}
	if o.dropStreamOptions || o.isStrict(call) {
		if fields.Has(llm.FieldStreamOptions) {
			edits.Remove(llm.FieldStreamOptions)
		}
	} else if call.Streams && !request.WantsUsage && o.counts(call) {
		edits.Set(llm.FieldStreamOptions, askForUsage(fields.Value(llm.FieldStreamOptions)))
	}
}

const openAIDeveloper = `"developer"`

var openAIRole = llm.NewLenientNames("role")

// openAIWithoutDevelopers gives the messages with developers called system, as the
// models of other makers know them; the rest stays byte for byte.
func openAIWithoutDevelopers(messages []byte) string {
	out := append(make([]byte, 0, len(messages)), '[')
	llm.Elements(messages, func(message []byte) bool {
		if len(out) > 1 {
			out = append(out, ',')
		}
		var m llm.Object
		if m.Read(message, openAIRole) != nil || string(m.Value(0)) != openAIDeveloper {
			out = append(out, message...)
			return true
		}
		var edits llm.Edits
		edits.Set(0, `"system"`)
		out = edits.AppendTo(out, &m)
		return true
	})
	return string(append(out, ']'))
}

// counts says whether the vendor may be asked to count the tokens of a stream.
func (o *OpenAI) counts(call *Call) bool {
	return !o.dropStreamOptions && !o.isStrict(call) && (o.countsWhen == nil || o.countsWhen(call.Options))
}

// openAIUnnamed is what a model is called that nobody named.
const openAIUnnamed = "UNSPECIFIED"

// openAIModel names the model. One that the caller named is the one that is
// asked, or the call would have been refused; then its spelling stays.
func openAIModel(call *Call, request *llm.Request, edits *llm.Edits) {
	if (request.Model == "" || request.Model != call.Model) && call.Model != openAIUnnamed {
		edits.Set(llm.FieldModel, llm.Quote(call.Model))
	}
}

// editOther makes the edits of the calls that are neither chats nor completions.
func (o *OpenAI) editOther(call *Call, request *llm.Request, edits *llm.Edits) {
	if call.Operation != "" || call.Route == llm.Files || call.Route == llm.Batches || call.Route == llm.Assistants {
		// What is asked of a member of a collection may take no model at all.
		if request.Model != "" {
			openAIModel(call, request, edits)
		}
		return
	}
	openAIModel(call, request, edits)
	if call.Streams && !request.Streams {
		edits.Set(llm.FieldStream, "true")
	}
	switch call.Route {
	case llm.Embeddings:
		if n := call.Options.GetEmbeddingsDimensions(); n > 0 {
			edits.Set(llm.FieldDimensions, strconv.FormatInt(int64(n), 10))
		}
	case llm.Responses:
		if call.Temperature != "" {
			edits.Set(llm.FieldTemperature, call.Temperature)
		}
		if call.TopP != "" {
			edits.Set(llm.FieldTopP, call.TopP)
		}
		if call.MaxTokens != "" {
			edits.Set(llm.FieldMaxOutputTokens, call.MaxTokens)
		}
	}
}

// limit writes the most tokens that an answer may have. The two names mean the
// same, the newer one wins at the vendor, and the models that reason refuse the
// older one: what goes up has one of them, so that a caller cannot get around
// the configured limit by the other name.
func (o *OpenAI) limit(call *Call, fields *llm.Object, edits *llm.Edits) {
	use, other := llm.FieldMaxTokens, llm.FieldMaxCompletionTokens
	if reasons(call.Model) {
		use, other = other, use
	}
	switch {
	case call.MaxTokens != "":
		edits.Set(use, call.MaxTokens)
		if fields.Has(other) {
			edits.Remove(other)
		}
	case (use == llm.FieldMaxCompletionTokens || o.isStrict(call)) && fields.Has(other):
		if fields.Has(use) {
			edits.Remove(other)
		} else {
			edits.Rename(other, llm.RequestFields[use])
		}
	}
}

// isStrict says whether a call goes where members that are not known are refused.
func (o *OpenAI) isStrict(call *Call) bool { return o.strict && call.Options.GetUpstreamUrl() == "" }

// reasons says whether a model is one of those that take max_completion_tokens
// only: o1, o3-mini, gpt-5 and the like.
func reasons(model string) bool {
	if len(model) >= 2 && model[0] == 'o' && model[1] >= '0' && model[1] <= '9' {
		return true
	}
	const gpt5 = "gpt-5"
	return len(model) >= len(gpt5) && model[:len(gpt5)] == gpt5
}

var streamOptions = llm.NewLenientNames("include_usage")

// askForUsage is the stream_options that make the vendor count the tokens of a
// stream, with what the caller asked for besides.
func askForUsage(options []byte) string {
	var object llm.Object
	if len(options) == 0 || object.Read(options, streamOptions) != nil {
		return `{"include_usage":true}`
	}
	var edits llm.Edits
	edits.Set(0, "true")
	return string(edits.AppendTo(nil, &object))
}
