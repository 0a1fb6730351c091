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
		return nil
	}
	return h.answer(r, c, body)
}

// answer handles a whole answer.
func (h *Handler) answer(r *plugin.Request, c *call, body []byte) error {
	response := &r.Response
	packed := isGzip(response.Header)
	if response.Status != http.StatusOK {
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
	if c.named {
		response.Header["X-Kong-Llm-Model"] = []string{h.providerName + "/" + headerText(c.RequestModel)}
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
	c.answered = true
	c.ResponseModel, c.Usage = answer.Model, answer.Usage
	if c.Route != llm.Preserve {
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

// fail replaces the answer by an error of the gateway's, as Kong does: with the
// headers that came with the answer.
func (h *Handler) fail(r *plugin.Request, message string) {
	r.Response.Status = http.StatusInternalServerError
	delete(r.Response.Header, "Content-Encoding")
	delete(r.Response.Header, "Etag")
	r.Response.Header["Content-Type"] = []string{"application/json; charset=utf-8"}
	r.Response.SetBody(client.AppendError(nil, message))
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
