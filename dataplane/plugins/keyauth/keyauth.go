// Package keyauth admits requests that carry a known API key.
package keyauth

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Plugin is key-auth's entry in the list of plugins.
var Plugin = plugin.Of("key-auth", New)

// Handler is one configured instance.
type Handler struct {
	names     []string // as configured, for query and body
	headers   []string // the same as canonical header names
	inHeader  bool
	inQuery   bool
	inBody    bool
	hide      bool
	preflight bool
	anonymous string
	challenge http.Header
	consumers *plugin.Consumers
}

var _ plugin.Accessor = (*Handler)(nil) // runs in the access phase, and in no other

// New readies a handler for one configured instance.
func New(cfg *pluginpb.KeyAuth, env plugin.Env) (*Handler, error) {
	h := &Handler{
		names:     cfg.GetKeyNames(),
		inHeader:  cfg.GetKeyInHeader(),
		inQuery:   cfg.GetKeyInQuery(),
		inBody:    cfg.GetKeyInBody(),
		hide:      cfg.GetHideCredentials(),
		preflight: cfg.GetRunOnPreflight(),
		anonymous: cfg.GetAnonymous(),
		consumers: env.Consumers,
	}
	for _, name := range h.names {
		h.headers = append(h.headers, http.CanonicalHeaderKey(name))
	}
	scheme := "Key"
	if cfg.GetRealm() != "" {
		scheme = `Key realm="` + cfg.GetRealm() + `"`
	}
	h.challenge = http.Header{"Www-Authenticate": {scheme}}
	return h, nil
}

// Access lets the request pass as the consumer whose key it carries.
func (h *Handler) Access(r *plugin.Request) error {
	r.Secret(h.names...)
	if !h.preflight && r.Method == http.MethodOptions {
		return nil
	}
	if h.anonymous != "" && r.Credential != nil {
		// Another authentication plugin has admitted the request already: with
		// anonymous set, one of them is enough.
		return nil
	}
	err := h.authenticate(r)
	var reject *plugin.Reject
	if err == nil || h.anonymous == "" || !errors.As(err, &reject) {
		return err
	}
	consumer, ok := h.consumers.Find(h.anonymous)
	if !ok {
		return fmt.Errorf("anonymous consumer %s is configured but doesn't exist", h.anonymous)
	}
	r.Authenticate(consumer, nil, "")
	return nil
}

func (h *Handler) authenticate(r *plugin.Request) error {
	key, err := h.find(r)
	if err != nil {
		return err
	}
	if key == "" {
		return h.refuse("No API key found in request")
	}
	credential, ok := h.consumers.Key(key, time.Now())
	if !ok {
		return h.refuse("Unauthorized")
	}
	r.Authenticate(credential.Consumer, credential, credential.ID)
	return nil
}

func (h *Handler) refuse(message string) *plugin.Reject {
	return &plugin.Reject{Status: http.StatusUnauthorized, Message: message, Header: h.challenge}
}

// find looks for the key: for each name in the headers, in the query, in the
// body. The first name that has a value decides, even if that is empty.
func (h *Handler) find(r *plugin.Request) (string, error) {
	var fields body
	if h.inBody {
		var err error
		if fields, err = readBody(r); err != nil {
			return "", err
		}
	}
	for i, name := range h.names {
		values := h.values(r, i, fields)
		switch len(values) {
		case 0:
			continue
		case 1:
		default:
			return "", h.refuse("Duplicate API key found")
		}
		if h.hide {
			if err := h.conceal(r, i, name, fields); err != nil {
				return "", err
			}
		}
		return values[0], nil
	}
	return "", nil
}

// values are the values of a name in the first place that has any.
func (h *Handler) values(r *plugin.Request, i int, fields body) []string {
	if h.inHeader {
		if values := r.Header[h.headers[i]]; len(values) > 0 {
			return values
		}
	}
	if h.inQuery {
		var values []string
		for arg := range plugin.Args(r.Upstream.Query) {
			// A bare name has no value that could be a key.
			if arg.Name == h.names[i] && !arg.Bare {
				values = append(values, arg.Value)
			}
		}
		if len(values) > 0 {
			return values
		}
	}
	if fields != nil {
		return fields.values(h.names[i])
	}
	return nil
}

// conceal takes the key out of all places where it may be.
func (h *Handler) conceal(r *plugin.Request, i int, name string, fields body) error {
	delete(r.Header, h.headers[i])
	r.Upstream.Query = plugin.WithoutArg(r.Upstream.Query, name)
	if fields == nil || len(fields.values(name)) == 0 {
		return nil
	}
	rest, err := fields.without(name)
	if err != nil {
		return fmt.Errorf("take the key out of the body: %w", err)
	}
	r.SetBody(rest)
	return nil
}
