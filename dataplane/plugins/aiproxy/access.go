package aiproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
)

// unspecified is what a model is called that neither the call nor the
// configuration names.
const unspecified = "UNSPECIFIED"

// call is what the handler notes about one request. It is the exchange's owner.
type call struct {
	exchange.Exchange
	handler *Handler
	call    provider.Call

	acceptsGzip bool
	named       bool // the answer is to name the model
	words       int  // of the prompt, counted when an answer without counts may come

	answered      bool      // the answer is one of the model's, with status 200
	done          time.Time // when the last of the answer was there
	firstToken    time.Time
	latencyKnown  bool
	requestLogged []byte // JSON texts of the bodies, with log_payloads
	answerLogged  []byte

	stream stream
}

// Access checks the call and sends it to the provider.
func (h *Handler) Access(r *plugin.Request) error {
	if h.refusal != nil {
		return h.refusal
	}
	c := &call{handler: h, acceptsGzip: acceptsGzip(r.Header)}
	c.Route, c.Provider = h.settings.Route, h.providerName
	c.call.Settings, c.call.Format = &h.settings, llm.OpenAI
	if err := h.access(r, c); err != nil {
		if told, ok := errors.AsType[*client.Error](err); ok {
			return refuse(http.StatusBadRequest, told.Message)
		}
		return err
	}
	c.Owner = c
	exchange.Begin(r, &c.Exchange)
	return nil
}

func (h *Handler) access(r *plugin.Request, c *call) error {
	formModel, err := h.read(r, &c.Request)
	if err != nil {
		return err
	}
	if !h.caller.HasPrompt(&c.Request) {
		return client.ErrNoPrompt
	}
	if err := h.chooseModel(r, c, formModel); err != nil {
		return err
	}
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
	to, err := h.resolve(r)
	if err != nil {
		return err
	}
	if err := h.convert(r, c); err != nil {
		return err
	}
	_, debug := r.Header["Kong-Debug"]
	c.named = h.nameHeader || debug
	r.Header["Accept-Encoding"] = []string{h.texter.AcceptEncoding()}
	h.aim(r, to)
	if !c.Streams {
		r.HoldResponse(0)
	}
	return nil
}

// resolve fills in the placeholders of the options, and gives the address.
func (h *Handler) resolve(r *plugin.Request) (address, error) {
	for i := range h.options {
		if _, err := h.options[i].resolve(r); err != nil {
			return address{}, err
		}
	}
	to, err := h.target.resolve(r)
	if err == nil {
		return to, nil
	}
	if _, caller := errors.AsType[*client.Error](err); caller {
		return address{}, err
	}
	return address{}, &plugin.Reject{Status: http.StatusInternalServerError, Cause: err}
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
	case kind == "" && len(body) > 0 && h.settings.Route != llm.Preserve:
		// It is read as JSON, and so the provider must read it.
		r.Header["Content-Type"] = []string{"application/json"}
	case kind == "", kind == "application/json":
	case strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"):
	case len(body) == 0 && h.settings.Route == llm.Preserve:
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

// chooseModel settles which model is asked: the configured one, which a caller may
// only repeat, else the caller's.
func (h *Handler) chooseModel(r *plugin.Request, c *call, formModel string) error {
	model, err := h.model.resolve(r)
	if err != nil {
		return err
	}
	asked := c.Request.Model
	if c.Request.Body == nil {
		asked = formModel
	}
	allowed := model
	if h.alias != "" {
		allowed = h.alias
	}
	switch {
	case allowed != "" && asked != "" && asked != allowed:
		return &client.Error{Message: fmt.Sprintf("cannot use own model - must be: %s", allowed)}
	case model != "":
	case asked != "":
		model = asked
	case c.Route == llm.Preserve || c.Request.Body == nil:
		model = unspecified
	default:
		return &client.Error{Message: "model parameter not found in request, nor in gateway configuration"}
	}
	c.RequestModel, c.call.Model = model, model
	return nil
}

// convert writes the body that goes upstream.
func (h *Handler) convert(r *plugin.Request, c *call) error {
	logged := c.Request.Body
	if c.Request.Body != nil {
		body, err := h.texter.Request(&c.call, &c.Request)
		if err != nil {
			h.env.Log.Debug("call cannot be converted", "error", err)
			return &client.Error{Message: fmt.Sprintf("error transforming to %s://%s", h.providerName, c.Route)}
		}
		if &body[0] != &c.Request.Body[0] {
			r.SetBody(body)
		}
		logged = body
	}
	if h.logPayload && logged != nil {
		c.requestLogged = h.loggable(h.withoutSecret(c, logged))
	}
	return nil
}

// withoutSecret is the body as it may be logged: credentials in it, the
// configured ones or the caller's, are written over.
func (h *Handler) withoutSecret(c *call, body []byte) []byte {
	if h.settings.ParamValue == "" || c.Request.Body == nil {
		return body
	}
	settings := h.settings
	settings.ParamValue, settings.ParamOverride = `"REDACTED"`, false
	shown := c.call
	shown.Settings = &settings
	body, err := h.texter.Request(&shown, &c.Request)
	if err != nil {
		return nil
	}
	return body
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
