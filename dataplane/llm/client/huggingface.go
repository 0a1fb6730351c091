package client

import (
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// HuggingFace reads the format of callers of Hugging Face's text generation
// servers, for one route. They say in the path whether they want a stream:
// /generate or /generate_stream.
type HuggingFace struct {
	// Limits bound the calls that are read.
	Limits llm.Limits

	route llm.Route
	names *llm.Names
}

var _ Format = (*HuggingFace)(nil)

const (
	huggingFaceInputs = iota + llm.FieldStream + 1
	huggingFaceParameters
)

var huggingFaceFields = []string{
	llm.FieldModel: "model", llm.FieldStream: "stream",
	huggingFaceInputs: "inputs", huggingFaceParameters: "parameters",
}

// The calls that these servers take.
const (
	huggingFaceWhole  = "/generate"
	huggingFaceStream = "/generate_stream"
)

// NewHuggingFace makes a reader of calls. param is the name of a member of the
// body that carries credentials; empty when there is none.
func NewHuggingFace(route llm.Route, param string) *HuggingFace {
	return &HuggingFace{route: route, names: nativeNames(huggingFaceFields, route, param)}
}

// Name is the format's name.
func (h *HuggingFace) Name() llm.Format { return llm.HuggingFace }

// Read reads a call. Its error is an *Error.
func (h *HuggingFace) Read(in Incoming, into *llm.Request) error {
	*into = llm.Request{Format: llm.HuggingFace, Route: h.route, Decoder: h}
	path := strings.TrimSuffix(in.Path, "/")
	if named := in.Named["operation"]; named != "" {
		path = "/" + strings.Trim(named, "/")
	}
	for _, op := range []string{huggingFaceWhole, huggingFaceStream} {
		if strings.HasSuffix(path, op) {
			into.Operation = op
		}
	}
	if err := nativeRead(in, into, h.names, h.Limits); err != nil {
		return err
	}
	into.Streams = into.Operation == huggingFaceStream || into.Operation == "" && into.Streams
	if into.Model == "" {
		into.Model = in.Named["model"]
	}
	if into.Model == "" && into.Operation != "" {
		into.Model = nativeModel(path, "/models/", into.Operation)
	}
	return nil
}

// HasPrompt says whether the call holds anything to answer.
func (h *HuggingFace) HasPrompt(r *llm.Request) bool {
	if h.route == llm.Preserve || r.Body == nil {
		return true
	}
	kind := r.Fields.Kind(huggingFaceInputs)
	return kind == '"' || kind == '{' || kind == '[' && r.Fields.Count(huggingFaceInputs) > 0
}

// Judge finds nothing wrong: the server does.
func (h *HuggingFace) Judge(*llm.Request) error { return nil }

// Words counts the words of the prompt.
func (h *HuggingFace) Words(r *llm.Request) int { return textWords(r.Fields.Value(huggingFaceInputs)) }

// AppendError appends the body of an error.
func (h *HuggingFace) AppendError(dst []byte, f *llm.Failure) []byte {
	kind := "generation"
	switch {
	case f.Status == 429 || f.Status == 503:
		kind = "overloaded"
	case f.Status >= 400 && f.Status < 500:
		kind = "validation"
	}
	dst = nativeFailure(dst, f, `"error_type":`)
	return append(llm.AppendQuoted(dst, kind), '}')
}

// Chat reads a call as a chat of one message in neutral terms.
func (h *HuggingFace) Chat(r *llm.Request) (*llm.ChatCall, error) {
	completion, err := h.Completion(r)
	if err != nil {
		return nil, err
	}
	out := &llm.ChatCall{Origin: llm.HuggingFace, Model: completion.Model, Options: completion.Options, Extra: completion.Extra}
	if len(completion.Prompts) > 0 {
		m := llm.Message{Role: llm.RoleUser, Plain: !completion.List && len(completion.Prompts) == 1}
		for _, prompt := range completion.Prompts {
			m.Parts = append(m.Parts, llm.Part{Kind: llm.PartText, Text: prompt})
		}
		out.Messages = []llm.Message{m}
	}
	return out, nil
}

// Completion reads a call as a completion in neutral terms.
func (h *HuggingFace) Completion(r *llm.Request) (*llm.CompletionCall, error) {
	out := &llm.CompletionCall{Origin: llm.HuggingFace}
	llm.Members(r.Body, func(name string, value []byte) bool {
		known := false
		switch name {
		case "model":
			known = word(&out.Model, value)
		case "inputs":
			out.Prompts, out.List, known = texts(value)
		case "parameters":
			known = value[0] == '{'
			llm.Members(value, func(name string, value []byte) bool {
				switch name {
				case "max_new_tokens":
					known = number(&out.MaxTokens, value) && known
				case "temperature":
					known = number(&out.Temperature, value) && known
				case "top_p":
					known = number(&out.TopP, value) && known
				case "top_k":
					known = number(&out.TopK, value) && known
				case "stop":
					var list bool
					out.Stop, out.StopList, list = texts(value)
					known = list && known
				default:
					known = false // there is more in it than the neutral terms hold
				}
				return true
			})
		case "stream":
			known = truth(&out.Stream, value)
		}
		if !known {
			out.Extra = append(out.Extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	return out, nil
}

// Embedding reads a call for vectors in neutral terms.
func (h *HuggingFace) Embedding(r *llm.Request) (*llm.EmbeddingCall, error) {
	completion, err := h.Completion(r)
	if err != nil {
		return nil, err
	}
	return &llm.EmbeddingCall{
		Origin: llm.HuggingFace, Model: completion.Model,
		Texts: completion.Prompts, List: completion.List, Extra: completion.Extra,
	}, nil
}
