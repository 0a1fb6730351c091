package provider

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// translate writes a call that came in another format. Configured options win, as
// for calls in OpenAI's own.
func (o *OpenAI) translate(call *Call, request *llm.Request) ([]byte, error) {
	if request.Decoder == nil {
		return nil, ErrNotJSON
	}
	// An image in the call is copied once, by the writing.
	out := make([]byte, 0, len(request.Body)+1<<10)
	switch call.Route {
	case llm.Chat:
		read, err := request.Chat()
		if err != nil {
			return nil, err
		}
		chat := *read
		chat.Model = call.Model
		o.tune(call, &chat.Options)
		if o.own() && !reasons(call.Model) || o.isStrict(call) {
			// Models that do not reason refuse to be told how much.
			chat.Reasoning = llm.Reasoning{}
		}
		if o.isStrict(call) {
			chat.User = ""
		}
		out = client.AppendChat(out, &chat)
	case llm.Completions:
		read, err := request.Decoder.Completion(request)
		if err != nil {
			return nil, err
		}
		completion := *read
		completion.Model = call.Model
		o.tune(call, &completion.Options)
		out = client.AppendCompletion(out, &completion)
	case llm.Embeddings:
		read, err := request.Decoder.Embedding(request)
		if err != nil {
			return nil, err
		}
		embedding := *read
		embedding.Model = call.Model
		out = client.AppendEmbeddingCall(out, &embedding)
	default:
		return nil, ErrNotJSON
	}
	if call.Route != llm.Embeddings && call.Streams && o.counts(call) {
		out = openAIMember(out, "stream_options", []byte(`{"include_usage":true}`))
	}
	if call.ParamValue != "" && call.ParamName != "" {
		out = openAIMember(out, call.ParamName, []byte(call.ParamValue))
	}
	return out, nil
}

// own says that the vendor is OpenAI itself, or Azure, which runs its models.
func (o *OpenAI) own() bool { return o.name == "openai" || o.name == "azure" }

// tune sets the options of a call that is written anew.
func (o *OpenAI) tune(call *Call, options *llm.Options) {
	limit := cmp.Or(call.MaxTokens, options.Limit())
	options.MaxTokens, options.MaxCompletionTokens = limit, ""
	if reasons(call.Model) {
		options.MaxTokens, options.MaxCompletionTokens = "", limit
	}
	options.Temperature = cmp.Or(call.Temperature, options.Temperature)
	options.TopP = cmp.Or(call.TopP, options.TopP)
	options.TopK = ""
	options.Stream = &call.Streams
}

// openAIMember adds a member to an object that ends the text.
func openAIMember(object []byte, name string, value []byte) []byte {
	object = bytes.TrimRight(object[:len(object)-1], " \t\r\n")
	if object[len(object)-1] != '{' {
		object = append(object, ',')
	}
	object = append(llm.AppendQuoted(object, name), ':')
	return append(append(object, value...), '}')
}

// openAIMerge adds the members of extra_body to a body, for what only one vendor
// knows. It changes nothing that is there, and nothing that the gateway answers
// for: whoever looked at the call must have seen what is asked.
func openAIMerge(body, extra []byte, param string) []byte {
	there := make(map[string]bool)
	for _, name := range llm.RequestFields {
		there[name] = true
	}
	if param != "" {
		there[strings.ToLower(param)] = true
	}
	llm.Members(body, func(name string, _ []byte) bool {
		there[strings.ToLower(name)] = true
		return true
	})
	body = bytes.TrimRight(body, " \t\r\n")
	llm.Members(extra, func(name string, value []byte) bool {
		if key := strings.ToLower(name); !there[key] {
			there[key] = true
			body = openAIMember(body, name, value)
		}
		return true
	})
	return body
}
