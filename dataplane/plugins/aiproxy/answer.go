package aiproxy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Header reads a whole answer, or readies the passage of a stream.
func (h *Handler) Header(r *plugin.Request) error {
	c := h.of(r)
	if c == nil || !r.Response.FromUpstream {
		return nil
	}
	delete(r.Response.Header, "Set-Cookie") // the provider's, of no use to its caller
	if c.Streams {
		h.openStream(r, c)
		return nil
	}
	c.done = time.Now()
	body, held := r.Response.Body()
	if !held {
		c.answered = r.Response.Status == http.StatusOK
		h.name(r, c)
		return nil
	}
	return h.answer(r, c, body)
}

// name tells the caller which model was asked.
func (h *Handler) name(r *plugin.Request, c *call) {
	if c.named && r.Response.Status == http.StatusOK {
		c.name[0] = h.providerName + "/" + headerText(c.RequestModel)
		r.Response.Header["X-Kong-Llm-Model"] = c.name[:]
	}
}

// answer handles a whole answer.
func (h *Handler) answer(r *plugin.Request, c *call, body []byte) error {
	response := &r.Response
	packed := isGzip(response.Header)
	if response.Status != http.StatusOK && !h.explains() {
		if h.logPayload {
			c.answerLogged = slices.Clone(body[:min(len(body), loggedPayload)])
		}
		return h.recode(r, c, body, packed)
	}
	plain := body
	if packed {
		unpacked, err := h.unpack(body)
		if errors.Is(err, plugin.ErrBodyTooLarge) {
			return &plugin.Reject{Status: http.StatusBadGateway, Cause: err}
		}
		if err == nil {
			plain = unpacked
		}
		// A body that is no gzip after all is found to be no JSON below.
	}
	if response.Status != http.StatusOK {
		if h.logPayload {
			c.answerLogged = slices.Clone(plain[:min(len(plain), loggedPayload)])
		}
		told := h.caller.AppendError(nil, provider.Failure(response.Status, plain))
		h.readyError(r)
		response.SetBody(told)
		return h.recode(r, c, told, false)
	}
	h.name(r, c)
	if !h.target.Runs() {
		c.answered = true // on its way through, by a provider that is known to nobody
		return h.recode(r, c, body, packed)
	}
	if len(plain) == 0 && c.Route != llm.Preserve {
		h.fail(r, "no response body found when transforming response")
		return nil
	}
	answer, err := h.provider.Response(&c.call.Call, plain)
	if err != nil {
		h.fail(r, fmt.Sprintf("transformation failed from type %s://%s: %s", h.providerName, c.Route, err))
		return nil
	}
	if h.foreign {
		if answer.Body = h.translate(c, &answer); answer.Body == nil {
			h.fail(r, fmt.Sprintf("no transformer available from format %s://%s", h.providerName, c.Route))
			return nil
		}
	}
	c.answered = true
	c.ResponseModel, c.Usage = answer.Model, answer.Usage
	if answer.Chat != nil {
		c.answerID = answer.Chat.ID
		for i := range answer.Chat.Choices[:min(len(answer.Chat.Choices), maxReasons)] {
			c.reasons = append(c.reasons, answer.Chat.Choices[i].Finish)
		}
	}
	if h.conduct.counted {
		if c.Usage.Input != llm.Reported {
			c.Usage.EstimateInput(llm.EstimatePrompt(h.caller.Words(&c.Request), false))
		}
		c.Usage.EstimateOutput(llm.EstimateCompletion(answer.TextLength))
	}
	c.Request = llm.Request{}
	if h.logPayload {
		c.answerLogged = slices.Clone(answer.Body[:min(len(answer.Body), loggedPayload)])
	}
	if len(answer.Body) == len(plain) && (len(plain) == 0 || &answer.Body[0] == &plain[0]) {
		return h.recode(r, c, body, packed)
	}
	response.SetBody(answer.Body)
	delete(response.Header, "Content-Encoding")
	return h.recode(r, c, answer.Body, false)
}

// translate writes an answer in the caller's format; nil when that has no words
// for it.
func (h *Handler) translate(c *call, a *provider.Answer) []byte {
	switch {
	case a.Chat != nil:
		if a.TextLength == 0 {
			a.TextLength = a.Chat.TextLength()
		}
		if a.Chat.Model == "" {
			a.Chat.Model = c.call.Model
		}
		return h.translator.AppendAnswer(nil, &c.Request, a.Chat)
	case a.Embedding != nil:
		if a.Embedding.Model == "" {
			a.Embedding.Model = c.call.Model
		}
		if w, ok := h.caller.(client.EmbeddingWriter); ok {
			return w.AppendEmbedding(nil, &c.Request, a.Embedding)
		}
	}
	return nil
}

// explains says that callers cannot read the provider's errors, so that they are
// told anew. Callers of OpenAI's format get them as they are, as from Kong.
func (h *Handler) explains() bool { return h.foreign && h.caller.Name() != llm.OpenAI }

// readyError readies the head of the answer for an error in the caller's format.
func (h *Handler) readyError(r *plugin.Request) {
	response := &r.Response
	switch {
	case response.Status == 529 && h.caller.Name() != llm.Anthropic:
		// A status that only Anthropic's callers know.
		response.Status = http.StatusServiceUnavailable
	case response.Status == http.StatusRequestTimeout && h.caller.Name() == llm.Anthropic:
		response.Status = http.StatusGatewayTimeout
	}
	delete(response.Header, "Content-Encoding")
	delete(response.Header, "Etag")
	response.Header["Content-Type"] = []string{"application/json"}
}

// fail replaces the answer by an error of the gateway's, as Kong does: with the
// headers that came with the answer.
func (h *Handler) fail(r *plugin.Request, message string) {
	const status = http.StatusInternalServerError
	r.Response.Status = status
	delete(r.Response.Header, "Content-Encoding")
	delete(r.Response.Header, "Etag")
	r.Response.Header["Content-Type"] = []string{"application/json; charset=utf-8"}
	r.Response.SetBody(h.caller.AppendError(nil, &llm.Failure{Status: status, Message: message}))
}

// recode makes the encoding of a whole body what the client accepts. A body that
// is packed already, and may stay so, is left alone. What cannot be unpacked is
// passed on as it came.
func (h *Handler) recode(r *plugin.Request, c *call, body []byte, packed bool) error {
	response := &r.Response
	switch {
	case packed && !c.acceptsGzip:
		plain, err := h.unpack(body)
		if errors.Is(err, plugin.ErrBodyTooLarge) {
			return &plugin.Reject{Status: http.StatusBadGateway, Cause: err}
		}
		if err != nil {
			return nil
		}
		delete(response.Header, "Content-Encoding")
		response.SetBody(plain)
	case !packed && c.acceptsGzip && len(body) > 0 && len(response.Header["Content-Encoding"]) == 0 && c.Route != llm.Preserve:
		response.Header["Content-Encoding"] = []string{"gzip"}
		response.SetBody(pack(body))
	}
	return nil
}

func isGzip(header http.Header) bool {
	values := header["Content-Encoding"]
	return len(values) == 1 && strings.EqualFold(strings.TrimSpace(values[0]), "gzip")
}

var (
	packers   = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}
	unpackers = sync.Pool{New: func() any { return new(gzip.Reader) }}
)

func pack(body []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(body)/2 + 64)
	w := packers.Get().(*gzip.Writer)
	defer packers.Put(w)
	w.Reset(&out)
	// A bytes.Buffer takes everything.
	_, _ = w.Write(body)
	_ = w.Close()
	return out.Bytes()
}

// Limits of unpacking: from which size on a body may be how many times larger
// than it came.
const (
	ratioFrom  = 1 << 20
	ratioLimit = 100
)

// unpack undoes gzip. What grows beyond the limits, or beyond what may be held of
// an answer, is plugin.ErrBodyTooLarge.
func (h *Handler) unpack(body []byte) ([]byte, error) {
	z := unpackers.Get().(*gzip.Reader)
	defer unpackers.Put(z)
	if err := z.Reset(bytes.NewReader(body)); err != nil {
		return nil, fmt.Errorf("unpack answer: %w", err)
	}
	limit := int64(max(ratioFrom, len(body)*ratioLimit))
	limit = min(limit, cmp.Or(h.env.Limits.Response, plugin.MaxHeldResponse))
	var out bytes.Buffer
	out.Grow(min(len(body)*4, ratioFrom))
	n, err := io.Copy(&out, io.LimitReader(z, limit+1))
	if err != nil {
		return nil, fmt.Errorf("unpack answer: %w", err)
	}
	if n > limit {
		return nil, plugin.ErrBodyTooLarge
	}
	return out.Bytes(), nil
}

// headerText makes a name fit for a header: printable ASCII, at most 256 bytes,
// anything else percent-encoded.
func headerText(name string) string {
	for i := range len(name) {
		if c := name[i]; c <= 0x20 || c >= 0x7f {
			name = url.PathEscape(name)
			break
		}
	}
	return name[:min(len(name), 256)]
}
