package provider

import (
	"fmt"
	"net/http"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Gemini is Google's API for its models: the public one, and Vertex AI where the
// configuration names a project.
type Gemini struct{}

var _ Provider = (*Gemini)(nil)

// Name is the vendor's name in configurations.
func (g *Gemini) Name() string { return "gemini" }

// Format is Google's own for nearly all that it runs. Files, batches and videos
// have no counterpart in another format, so that only callers of this one get
// them. Images have none in neutral terms: they are asked for and given in
// OpenAI's format, which is translated here.
func (g *Gemini) Format(route llm.Route) (llm.Format, bool) {
	switch route {
	case llm.Images:
		return llm.OpenAI, true
	case llm.Chat, llm.Completions, llm.Embeddings, llm.Files, llm.Batches, llm.Videos, llm.Preserve:
		return llm.Gemini, true
	}
	return "", false
}

// AcceptEncoding asks for plain text, as Kong does.
func (g *Gemini) AcceptEncoding() string { return "identity" }

// Headers sets none: Google asks for none beside credentials.
func (g *Gemini) Headers(*Call, http.Header) {}

// Request writes the body of a call. A caller of Google's format gets through as
// it is: configured options tune it as little as in Kong.
func (g *Gemini) Request(call *Call, request *llm.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, ErrNotJSON
	}
	if request.Format == llm.Gemini || call.Route == llm.Preserve {
		return geminiPass(call, request), nil
	}
	w := geminiWriter{out: append(make([]byte, 0, len(request.Body)+geminiSlack), '{')}
	var err error
	switch call.Route {
	case llm.Chat:
		err = g.writeChat(&w, call, request)
	case llm.Completions:
		err = g.writeCompletion(&w, call, request)
	case llm.Embeddings:
		err = g.writeEmbedding(&w, call, request)
	case llm.Images:
		err = g.writeImage(&w, request)
	default:
		err = fmt.Errorf("%s is only for callers of Gemini's own format", call.Route)
	}
	if err != nil {
		return nil, err
	}
	if call.ParamValue != "" {
		w.raw(call.ParamName, call.ParamValue)
	}
	return append(w.out, '}'), nil
}

// geminiSlack is how much longer a body may get in Google's format before its
// memory must grow.
const geminiSlack = 1 << 10

// geminiPass is the caller's body, with the credentials that go into it.
func geminiPass(call *Call, request *llm.Request) []byte {
	fields := &request.Fields
	if call.ParamValue == "" || call.ParamOverride && fields.Has(llm.FieldParam) {
		return request.Body
	}
	var edits llm.Edits
	edits.Set(llm.FieldParam, call.ParamValue)
	return edits.AppendTo(make([]byte, 0, len(request.Body)+edits.Size(fields)), fields)
}

// Response reads a whole answer. One that passes to a caller of its own format
// is never refused: it is read for its counts.
func (g *Gemini) Response(call *Call, body []byte) (Answer, error) {
	answer := Answer{Body: body}
	var object llm.Object
	err := object.ReadWithin(body, geminiAnswerNames, call.Limits)
	passes := call.Route == llm.Preserve || call.Format == llm.Gemini
	if err != nil {
		if passes {
			return answer, nil
		}
		return answer, &AnswerError{Reason: "failed to decode response from Gemini"}
	}
	answer.Model, _ = object.Text(geminiModelVersion)
	if passes {
		answer.Usage, answer.TextLength = geminiCounts(&object)
		return answer, nil
	}
	if call.Route == llm.Images {
		err = geminiImages(&answer, &object)
		return answer, err
	}
	if call.Route == llm.Embeddings {
		answer.Embedding, err = geminiVectors(call, &object)
		if err == nil {
			answer.Usage = answer.Embedding.Usage
		}
		return answer, err
	}
	answer.Chat, err = geminiChat(call, &object)
	if err == nil {
		answer.Usage, answer.TextLength = answer.Chat.Usage, answer.Chat.TextLength()
	}
	return answer, err
}
