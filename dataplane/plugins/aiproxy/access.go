package aiproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/target"
)

// call is what the handler notes about one request. It is the exchange's owner.
type call struct {
	exchange.Exchange
	handler *Handler
	call    target.Call

	acceptsGzip bool
	named       bool      // the answer is to name the model
	name        [1]string // the header that does so
	words       int       // of the prompt, counted when an answer without counts may come
	status      int       // the provider's, of an error that is told anew

	answerID string             // the provider's; empty: not known
	reasons  []llm.FinishReason // why its choices ended, as far as it is known

	answered      bool      // the answer is one of the model's, with status 200
	done          time.Time // when the last of the answer was there
	firstToken    time.Time
	requestLogged []byte // the bodies, with log_payloads
	answerLogged  []byte

	stream stream
}

// Access checks the call and sends it to the provider.
func (h *Handler) Access(r *plugin.Request) error {
	if h.refusal != nil {
		return h.refusal
	}
	c := &call{handler: h, acceptsGzip: acceptsGzip(r.Header)}
	c.Route, c.Provider = h.route, h.providerName
	if err := h.access(r, c); err != nil {
		return h.told(err)
	}
	c.Owner = c
	exchange.Begin(r, &c.Exchange)
	return nil
}

// asksForModels says that a request that is no call asks for the list of models, or
// for what is known of one, as OpenAI's and Anthropic's APIs have them.
func asksForModels(r *plugin.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	segments := strings.Split(strings.TrimRight(r.Path, "/"), "/")
	return slices.Contains(segments[max(0, len(segments)-2):], "models")
}

// told makes the answer of what went wrong before the call was sent.
func (h *Handler) told(err error) error {
	if told, ok := errors.AsType[*client.Error](err); ok {
		return h.refuse(http.StatusBadRequest, told.Message)
	}
	if proof, ok := errors.AsType[*target.ProofError](err); ok {
		reject := h.refuse(http.StatusInternalServerError, target.Failed)
		reject.Cause = proof
		return reject
	}
	return err
}

func (h *Handler) access(r *plugin.Request, c *call) error {
	form, err := h.read(r, &c.Request)
	if errors.Is(err, client.ErrUnreadable) && h.translator != nil && asksForModels(r) {
		// SDKs ask this of any address that they are given, and Kong's answer sends
		// people looking for a mistake in a body that there is none of.
		return h.refuse(http.StatusNotFound, fmt.Sprintf("path %s is not served: the gateway does not list models", r.Path))
	}
	if err != nil {
		return err
	}
	if h.conduct.collection && c.Request.Operation == "" {
		c.Request.Operation = member(r, h.route)
	}
	if h.foreign && c.Request.Format == llm.Anthropic && !client.AnthropicMessage(&c.Request) {
		// Nobody else counts Anthropic's tokens or knows its batches.
		return &client.Error{Message: fmt.Sprintf("%s is not supported by provider %s", c.Request.Operation, h.providerName)}
	}
	if !h.caller.HasPrompt(&c.Request) {
		return client.ErrNoPrompt
	}
	if err := h.target.Begin(r, &c.call); err != nil {
		return err
	}
	asked := c.Request.Model
	if c.Request.Body == nil && asked == "" {
		asked = form.model
	}
	nameless := h.conduct.nameless || c.Request.Body == nil || h.conduct.collection && c.Request.Operation != ""
	if err := h.target.Choose(&c.call, asked, nameless); err != nil {
		return err
	}
	c.RequestModel = c.call.Model
	if err := h.caller.Judge(&c.Request); err != nil {
		return err
	}
	asks := c.Request.Streams || form.streams
	switch {
	case h.streaming == "always" && !asks:
		// What cannot be streamed is not; a form passes as it is.
		c.call.Streams = c.Request.Body != nil && (h.conduct.counted || h.route == llm.Responses || h.route == llm.Preserve)
	case h.streaming == "deny" && asks:
		return &client.Error{Message: "response streaming is not enabled for this LLM"}
	default:
		c.call.Streams = asks
	}
	c.Streams = c.call.Streams
	c.call.Operation = c.Request.Operation
	if h.foreign && h.translator == nil {
		return &client.Error{Message: fmt.Sprintf("no transformer for %s://%s", h.providerName, h.route)}
	}
	if err := h.locate(r, c); err != nil {
		return err
	}
	if err := h.convert(r, c); err != nil {
		return err
	}
	_, debug := r.Header["Kong-Debug"]
	c.named = h.nameHeader || debug
	encodings := r.Header["Accept-Encoding"]
	if err := h.target.Aim(r, &c.call); err != nil {
		return err
	}
	switch {
	case c.Streams:
		r.Upstream.Patience = h.env.Limits.Streams.FirstToken
	case h.conduct.held:
		r.HoldResponse(0)
	default:
		// Nobody here reads the answer, so its encoding is the caller's to choose.
		if encodings == nil {
			delete(r.Header, "Accept-Encoding")
		} else {
			r.Header["Accept-Encoding"] = encodings
		}
	}
	return nil
}

// locate settles the address. What is wrong with a configured one is none of the
// caller's business.
func (h *Handler) locate(r *plugin.Request, c *call) error {
	err := h.target.Locate(r, &c.call)
	if err == nil {
		return nil
	}
	if _, caller := errors.AsType[*client.Error](err); caller {
		return err
	}
	return &plugin.Reject{Status: http.StatusInternalServerError, Cause: err}
}

// read reads the call. A multipart form goes up as it is; then what it says of
// model and stream is given.
func (h *Handler) read(r *plugin.Request, into *llm.Request) (form, error) {
	read, err := exchange.Inspect(r, h.caller, h.bodyLimit)
	if err != nil {
		return form{}, err
	}
	*into = *read
	if into.Route == "" {
		into.Route = h.route // a form says nothing of it
	}
	if read.Decoder != nil {
		return form{}, nil
	}
	body, err := r.Body(h.bodyLimit)
	if err != nil {
		return form{}, err
	}
	return readForm(r.Header.Get("Content-Type"), body)
}

// form is what a multipart form says of a call.
type form struct {
	model   string
	streams bool
}

// formParts is how many parts of a form are looked at, and formField how much of
// one that is.
const (
	formParts = 100
	formField = 1 << 10
)

// readForm finds the short fields of a multipart form that matter. A form that
// cannot be read is passed on as it is, as by Kong, so that it names nothing; one
// that names a field twice means two things.
func readForm(contentType string, body []byte) (form, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return form{}, nil
	}
	var found form
	seen := map[string]bool{}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for range formParts {
		part, err := parts.NextRawPart()
		if err != nil {
			return found, nil
		}
		name := part.FormName()
		if name != "model" && name != "stream" {
			continue
		}
		if seen[name] {
			return form{}, &client.Error{Message: (&llm.AmbiguousError{Name: name}).Error()}
		}
		seen[name] = true
		text, err := io.ReadAll(io.LimitReader(part, formField))
		if err != nil {
			return form{}, nil
		}
		if name == "model" {
			found.model = string(text)
		} else {
			found.streams = strings.EqualFold(strings.TrimSpace(string(text)), "true")
		}
	}
	return form{}, client.ErrUnreadable
}

// convert writes the body that goes upstream.
func (h *Handler) convert(r *plugin.Request, c *call) error {
	logged := c.Request.Body
	if c.Request.Body != nil {
		body, err := h.target.Body(&c.call, &c.Request)
		if err != nil {
			h.env.Log.Debug("call cannot be converted", "error", err)
			return err
		}
		if len(body) != len(c.Request.Body) || &body[0] != &c.Request.Body[0] {
			r.SetBody(body)
		}
		logged = body
	}
	if h.logPayload && logged != nil {
		if fields := &c.Request.Fields; h.target.Param() != "" && fields.Kind(llm.FieldParam) == '"' {
			// The caller's own credential, which an answer may repeat.
			r.SecretValue(llm.Unquote(fields.Value(llm.FieldParam)))
		}
		shown := h.target.Shown(&c.call, &c.Request, logged)
		c.requestLogged = slices.Clone(shown[:min(len(shown), loggedPayload)])
	}
	return nil
}

// acceptsGzip says whether the client can read gzip.
func acceptsGzip(header http.Header) bool {
	for _, line := range header["Accept-Encoding"] {
		for item := range strings.SplitSeq(line, ",") {
			coding, quality, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			key, value, _ := strings.Cut(strings.TrimSpace(quality), "=")
			return !strings.EqualFold(key, "q") || strings.Trim(value, "0.") != ""
		}
	}
	return false
}

// of gives the handler's own notes on a request; nil when the call was not its
// own or was never sent.
func (h *Handler) of(r *plugin.Request) *call {
	e := exchange.Of(r)
	if e == nil {
		return nil
	}
	c, ok := e.Owner.(*call)
	if !ok || c.handler != h {
		return nil
	}
	return c
}
