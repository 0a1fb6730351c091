package provider

import (
	"fmt"
	"net/http"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Bedrock is Amazon Bedrock. Chats and completions go to Converse, which is one
// format for the models of many makers; vectors to InvokeModel, where each model
// has its own.
type Bedrock struct{}

var _ Provider = (*Bedrock)(nil)

// Name is the vendor's name in configurations.
func (b *Bedrock) Name() string { return "bedrock" }

// Format is Bedrock's own for all that it runs. Of images, videos and batches it
// runs what callers of its own format ask for.
func (b *Bedrock) Format(route llm.Route) (llm.Format, bool) {
	switch route {
	case llm.Chat, llm.Completions, llm.Embeddings, llm.Images, llm.ImageEdits, llm.Videos, llm.Batches, llm.Preserve:
		return llm.Bedrock, true
	}
	return "", false
}

// AcceptEncoding leaves out what the gateway cannot read: brotli and zstd.
func (b *Bedrock) AcceptEncoding() string { return "gzip, identity" }

// Headers says what the answer is to be: Bedrock hands the caller's own wish to
// the model, which may not grant it. Callers of Bedrock's format know what to ask.
func (b *Bedrock) Headers(call *Call, header http.Header) {
	switch {
	case call.Format == llm.Bedrock || call.Route == llm.Preserve:
	case call.Streams && call.Route != llm.Embeddings:
		header.Set("Accept", "application/vnd.amazon.eventstream")
	default:
		header.Set("Accept", "application/json")
	}
}

// bedrockSlack is how much longer a body of Bedrock's may be than the caller's,
// so that a large image is copied once.
const bedrockSlack = 1024

// Request writes the body to send. What came in Bedrock's own format passes as it
// is.
func (b *Bedrock) Request(call *Call, request *llm.Request) ([]byte, error) {
	if request.Format == llm.Bedrock || call.Route == llm.Preserve {
		// Not all of Bedrock's calls have a body.
		return request.Body, nil
	}
	if request.Body == nil {
		return nil, ErrNotJSON
	}
	w := bedrockWriter{out: append(make([]byte, 0, len(request.Body)+bedrockSlack), '{'), caches: bedrockCaches(call.Model)}
	var err error
	switch call.Route {
	case llm.Embeddings:
		err = bedrockEmbed(&w, call, request)
	case llm.Completions:
		err = bedrockComplete(&w, call, request)
	case llm.Chat:
		err = bedrockConverse(&w, call, request)
	default:
		err = fmt.Errorf("%s is only for callers of Bedrock's own format", call.Route)
	}
	if err != nil {
		return nil, err
	}
	if call.ParamValue != "" {
		w.raw(call.ParamName, call.ParamValue)
	}
	return append(w.out, '}'), nil
}

// Response reads a whole answer.
func (b *Bedrock) Response(call *Call, body []byte) (Answer, error) {
	answer := Answer{Body: body}
	var object llm.Object
	err := object.ReadWithin(body, bedrockAnswerNames, call.Limits)
	if call.Format == llm.Bedrock || call.Route == llm.Preserve {
		// Whatever it is, it passes; it is read for its counts only.
		if err == nil {
			answer.Usage, _ = bedrockCounts(&object)
			if answer.Usage.Output != llm.Reported {
				answer.TextLength = bedrockTextLength(&object)
			}
		}
		return answer, nil
	}
	if err != nil {
		return answer, &AnswerError{Reason: "failed to decode response from Bedrock"}
	}
	if call.Route == llm.Embeddings {
		answer.Embedding, err = bedrockVectors(&object)
		if err != nil {
			return answer, err
		}
		answer.Usage = answer.Embedding.Usage
		return answer, nil
	}
	answer.Chat, err = bedrockChat(&object)
	if err != nil {
		return answer, err
	}
	answer.Usage, answer.TextLength = answer.Chat.Usage, answer.Chat.TextLength()
	return answer, nil
}

// Stream starts the reading of a streamed answer.
func (b *Bedrock) Stream(*Call) StreamReader { return &bedrockStream{} }

// bedrockWriter writes JSON.
type bedrockWriter struct {
	out []byte
	// caches says that the model has a cache.
	caches bool
}

func (w *bedrockWriter) comma() {
	if c := w.out[len(w.out)-1]; c != '{' && c != '[' && c != ':' {
		w.out = append(w.out, ',')
	}
}

// name begins a member of an object.
func (w *bedrockWriter) name(name string) {
	w.comma()
	w.out = append(llm.AppendQuoted(w.out, name), ':')
}

// open begins an object or a list, as a member's value or as an element.
func (w *bedrockWriter) open(bracket byte) {
	w.comma()
	w.out = append(w.out, bracket)
}

func (w *bedrockWriter) close(brackets string) { w.out = append(w.out, brackets...) }

// text writes a member that is a text.
func (w *bedrockWriter) text(name, value string) {
	w.name(name)
	w.out = llm.AppendQuoted(w.out, value)
}

// raw writes a member whose value is JSON text; an empty one is left out.
func (w *bedrockWriter) raw(name, value string) {
	if value == "" {
		return
	}
	w.name(name)
	w.out = append(w.out, value...)
}
