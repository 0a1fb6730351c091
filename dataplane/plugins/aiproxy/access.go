package aiproxy

import (
	"bytes"
	"errors"
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
	named       bool // the answer is to name the model
	words       int  // of the prompt, counted when an answer without counts may come

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

// told makes the answer of what went wrong before the call was sent.
func (h *Handler) told(err error) error {
	if told, ok := errors.AsType[*client.Error](err); ok {
		return refuse(http.StatusBadRequest, told.Message)
	}
	if proof, ok := errors.AsType[*target.ProofError](err); ok {
		reject := refuse(http.StatusInternalServerError, target.Failed)
		reject.Cause = proof
		return reject
	}
	return err
}

func (h *Handler) access(r *plugin.Request, c *call) error {
	formModel, err := h.read(r, &c.Request)
	if err != nil {
		return err
	}
	if !h.caller.HasPrompt(&c.Request) {
		return client.ErrNoPrompt
	}
	if err := h.target.Begin(r, &c.call); err != nil {
		return err
	}
	asked := c.Request.Model
	if c.Request.Body == nil {
		asked = formModel
	}
	if err := h.target.Choose(&c.call, asked, c.Route == llm.Preserve || c.Request.Body == nil); err != nil {
		return err
	}
	c.RequestModel = c.call.Model
	if err := h.caller.Judge(&c.Request); err != nil {
		return err
	}
	switch {
	case h.streaming == "always":
		c.call.Streams = c.Request.Body != nil
	case h.streaming == "deny" && c.Request.Streams:
		return &client.Error{Message: "response streaming is not enabled for this LLM"}
	default:
		c.call.Streams = c.Request.Streams
	}
	c.Streams = c.call.Streams
	c.call.Operation = c.Request.Operation
	if err := h.locate(r, c); err != nil {
		return err
	}
	if err := h.convert(r, c); err != nil {
		return err
	}
	_, debug := r.Header["Kong-Debug"]
	c.named = h.nameHeader || debug
	if err := h.target.Aim(r, &c.call); err != nil {
		return err
	}
	if !c.Streams {
		r.HoldResponse(0)
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

// read reads the call. For a multipart form, which goes up as it is, it gives the
// model that the form names.
func (h *Handler) read(r *plugin.Request, into *llm.Request) (formModel string, err error) {
	body, err := r.Body(h.bodyLimit)
	if errors.Is(err, plugin.ErrBodyTooLarge) {
		// For Kong a body that is too large to be read is one that cannot be read.
		return "", client.ErrUnreadable
	}
	if err != nil {
		return "", err
	}
	full := r.Header.Get("Content-Type")
	kind, _, _ := strings.Cut(full, ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); {
	case kind == "multipart/form-data":
		into.Format = llm.OpenAI
		return formField(full, body, "model")
	case kind == "application/x-www-form-urlencoded":
		if body, err = client.FormObject(string(body)); err != nil {
			return "", err
		}
		r.SetBody(body)
		r.Header["Content-Type"] = []string{"application/json"}
	case kind == "" && len(body) > 0 && h.route != llm.Preserve:
		// It is read as JSON, and so the provider must read it.
		r.Header["Content-Type"] = []string{"application/json"}
	case kind == "", kind == "application/json":
	case strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"):
	case len(body) == 0 && h.route == llm.Preserve:
	default:
		return "", client.ErrUnreadable
	}
	return "", h.caller.Read(client.Incoming{Method: r.Method, Path: r.Path, Named: r.Named, Body: body}, into)
}

// formField finds a short field of a multipart form. A form that cannot be read
// is passed on as it is, as by Kong, so that it names none; one that names the
// field twice means two things.
func formField(contentType string, body []byte, name string) (value string, err error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return "", nil
	}
	form, found := multipart.NewReader(bytes.NewReader(body), params["boundary"]), false
	for range 100 {
		part, err := form.NextRawPart()
		if err != nil {
			return value, nil
		}
		if part.FormName() != name {
			continue
		}
		if found {
			return "", &client.Error{Message: (&llm.AmbiguousError{Name: name}).Error()}
		}
		text, err := io.ReadAll(io.LimitReader(part, 1<<10))
		if err != nil {
			return "", nil
		}
		found, value = true, string(text)
	}
	return "", client.ErrUnreadable
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
