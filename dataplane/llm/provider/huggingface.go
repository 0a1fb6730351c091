package provider

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// HuggingFace speaks with Hugging Face's router and with the servers that run
// models for it: chats in OpenAI's format, completions and vectors in the
// servers' own.
type HuggingFace struct {
	// openAI answers for what is in OpenAI's format.
	openAI *OpenAI
}

var (
	_ Provider  = (*HuggingFace)(nil)
	_ PathOwner = (*HuggingFace)(nil)
)

const huggingFaceChat = "/v1/chat/completions"

var huggingFace = &HuggingFace{openAI: &OpenAI{
	name: "huggingface", host: "router.huggingface.co",
	paths: map[llm.Route]string{
		llm.Chat:        huggingFaceChat,
		llm.Completions: "/", // as Endpoint says
		llm.Videos:      "/v1/videos",
		llm.Preserve:    "",
	},
}}

// Name is the vendor's name in configurations.
func (h *HuggingFace) Name() string { return h.openAI.name }

// Format is the vendor's own, whose callers may send it too, though its chats are
// OpenAI's with few differences.
func (h *HuggingFace) Format(route llm.Route) (llm.Format, bool) {
	switch route {
	case llm.Chat, llm.Completions, llm.Embeddings:
		return llm.HuggingFace, true
	}
	return h.openAI.Format(route)
}

// AcceptEncoding leaves out what the gateway cannot read: brotli and zstd.
func (h *HuggingFace) AcceptEncoding() string { return h.openAI.AcceptEncoding() }

// Headers says what chats, whose bodies are OpenAI's, have no member for.
func (h *HuggingFace) Headers(call *Call, header http.Header) {
	o := call.Options.GetHuggingface()
	if call.Route != llm.Chat || o == nil {
		return
	}
	if o.UseCache != nil {
		header["X-Use-Cache"] = []string{huggingFaceTruth(o.GetUseCache())}
	}
	if o.WaitForModel != nil {
		header["X-Wait-For-Model"] = []string{huggingFaceTruth(o.GetWaitForModel())}
	}
}

func huggingFaceTruth(v bool) string {
	if v {
		return "true"
	}
	return "false"
}

var errHuggingFaceModel = &CallError{Message: "Could not parse the Hugging Face model endponit"} // so spelled by Kong

// Endpoint is an address at the router.
func (h *HuggingFace) Endpoint(call *Call) (Endpoint, error) {
	at, err := h.openAI.Endpoint(call)
	if err != nil {
		return at, err
	}
	tail := ""
	switch {
	case call.Format == llm.HuggingFace && call.Route != llm.Preserve:
		tail = call.Operation
	case call.Route == llm.Embeddings:
		tail = "/pipeline/feature-extraction"
	case call.Route != llm.Completions:
		return at, nil
	}
	model, err := huggingFaceModel(call.Model)
	if err != nil && call.Options.GetUpstreamUrl() == "" {
		return at, err
	}
	at.Path = "/hf-inference/models/" + model + tail
	return at, nil
}

// huggingFaceModel is a model's name as a path has it: an owner's name may stand
// before it, and nothing in it may climb.
func huggingFaceModel(name string) (string, error) {
	segments := strings.Split(name, "/")
	for i, segment := range segments {
		if segment == "" || segment == "." || segment == ".." {
			return "", errHuggingFaceModel
		}
		segments[i] = url.PathEscape(segment)
	}
	return strings.Join(segments, "/"), nil
}

// ConfiguredPath puts what is called behind the path of a configured server, and
// passes over upstream_path, as Kong does.
func (h *HuggingFace) ConfiguredPath(call *Call, path string, whole bool) string {
	if !whole {
		if at, err := h.Endpoint(call); err == nil && at.Path != "" {
			return at.Path
		}
		return path
	}
	tail := ""
	switch {
	case call.Route == llm.Preserve:
	case call.Format == llm.HuggingFace:
		tail = call.Operation
	case call.Route == llm.Chat:
		tail = huggingFaceChat
	}
	if strings.HasSuffix(path, tail) {
		return path
	}
	return strings.TrimSuffix(path, "/") + tail
}

// Request writes a call: a chat in OpenAI's format, others in that of the servers.
// A call that came in the latter passes.
func (h *HuggingFace) Request(call *Call, request *llm.Request) ([]byte, error) {
	switch {
	case request.Format == llm.HuggingFace:
		return nativeSame(call, request)
	case call.Route == llm.Completions:
		c, err := request.Decoder.Completion(request)
		if err != nil {
			return nil, err
		}
		return huggingFaceCompletion(call, c, nativeStart(request))
	case call.Route == llm.Embeddings:
		c, err := request.Decoder.Embedding(request)
		if err != nil {
			return nil, err
		}
		if len(c.Texts) == 0 {
			return nil, &CallError{Message: "huggingface embeds texts only"}
		}
		b := nativeStart(request)
		if c.List {
			b.texts("inputs", c.Texts)
		} else {
			b.text("inputs", c.Texts[0])
		}
		b.huggingFaceOptions(call)
		return b.finish(call, c.Extra), nil
	}
	return h.openAI.Request(call, request)
}

func huggingFaceCompletion(call *Call, c *llm.CompletionCall, b *nativeBody) ([]byte, error) {
	if len(c.Prompts) != 1 {
		return nil, &CallError{Message: "huggingface takes one prompt that is a text"}
	}
	options := nativeOptions(call, c.Options)
	b.text("inputs", c.Prompts[0])
	b.object("parameters", func(b *nativeBody) {
		// What a caller names here is in the server's own words, and wins.
		llm.Members(nativeExtra(c.Extra, "parameters", '{'), func(name string, value []byte) bool {
			b.add(name, value)
			return true
		})
		add := func(name, value string) {
			if value != "" {
				b.add(name, []byte(value))
			}
		}
		add("max_new_tokens", options.MaxTokens)
		add("temperature", options.Temperature)
		add("top_p", options.TopP)
		add("top_k", options.TopK)
		if !b.has("stop") {
			b.texts("stop", options.Stop)
		}
		for _, m := range c.Extra {
			if c.Origin == llm.OpenAI && (m.Name == "seed" || m.Name == "frequency_penalty") && m.Value[0] != 'n' {
				b.add(m.Name, m.Value)
			}
		}
	})
	b.huggingFaceOptions(call)
	b.text("model", call.Model)
	b.truth("stream", call.Streams)
	return b.finish(call, c.Extra), nil
}

func (b *nativeBody) huggingFaceOptions(call *Call) {
	o := call.Options.GetHuggingface()
	b.object("options", func(b *nativeBody) {
		b.truth("use_cache", o.GetUseCache())
		b.truth("wait_for_model", o.GetWaitForModel())
	})
}
