package target

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/identity"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/internal/uri"
)

// auth is how a call proves itself, in a header or in the query; credentials for
// the body are in provider.Settings.
type auth struct {
	header, headerValue string // header in canonical form
	query, queryValue   string
	override            bool // the caller's own win
}

func (a *auth) any() bool { return a.header != "" || a.query != "" }

// credentialed says that calls carry credentials of the gateway's.
func (t *Target) credentialed() bool {
	return t.auth.any() || t.settings.ParamValue != "" || t.proof != nil
}

// callers are the headers in which callers prove themselves to the gateway, or to
// vendors. Beside credentials of the gateway's own they are nothing for a vendor,
// who might even look at them first.
var callers = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Cookie"}

// setAuth readies the credentials.
func (t *Target) setAuth(cfg *pluginpb.AiAuth) {
	switch t.name {
	case "bedrock", "gemini", "huggingface":
		// Kong's drivers of these always replace what a caller sends.
	default:
		t.auth.override = cfg.GetAllowOverride()
	}
	if cfg.GetHeaderName() != "" && cfg.HeaderValue != nil {
		t.auth.header = http.CanonicalHeaderKey(cfg.GetHeaderName())
		t.auth.headerValue = cfg.GetHeaderValue()
	}
	if cfg.GetParamName() == "" || cfg.ParamValue == nil {
		return
	}
	switch cfg.GetParamLocation() {
	case "query":
		t.auth.query, t.auth.queryValue = cfg.GetParamName(), cfg.GetParamValue()
	case "body":
		t.settings.ParamName = cfg.GetParamName()
		t.settings.ParamValue = llm.Quote(cfg.GetParamValue())
		t.settings.ParamOverride = t.auth.override
	}
}

// Locate settles where the call goes; its model and whether it streams are known
// by now. The error is a *client.Error when the request is at fault.
func (t *Target) Locate(r *plugin.Request, call *Call) error {
	if !t.runs && !t.passes() {
		return &client.Error{Message: t.words.none(t.name, t.route)}
	}
	at, err := t.places.resolve(r, t.provider, &call.Call)
	if err == nil {
		call.Address = at
	}
	return err
}

// Aim sends the request itself to the model: address, headers and credentials.
// The request has its final body. The error is a *ProofError.
func (t *Target) Aim(r *plugin.Request, call *Call) error {
	at := &call.Address
	r.Upstream.SetTarget(at.Scheme, at.Host, at.Port)
	r.Upstream.Outside = t.places.moves || t.places.tainted
	if at.Path != "" {
		r.Upstream.Path = at.Path
	} else {
		// A preserve route passes the caller's path, also where the route strips a
		// prefix from it for ordinary services.
		r.Upstream.Path = uri.Escape(r.Path)
	}
	query := r.Upstream.Query
	if at.Query != "" {
		query = strings.Trim(at.Query+"&"+query, "&")
	}
	query = withDefaults(query, at.Defaults)
	if a := &t.auth; a.query != "" {
		r.Secret(a.query)
		if _, own := queryParam(r.Query, a.query); !own || !a.override {
			query = setQueryParam(query, a.query, a.queryValue)
		}
	}
	r.Upstream.Query = query
	if t.settings.ParamValue != "" {
		r.SecretValue(llm.Unquote([]byte(t.settings.ParamValue)))
	}
	if encodings := t.provider.AcceptEncoding(); encodings != "" {
		r.Header["Accept-Encoding"] = []string{encodings}
	}
	t.provider.Headers(&call.Call, r.Header)
	if t.credentialed() && !t.auth.override {
		for _, name := range callers {
			delete(r.Header, name)
		}
	}
	if a := &t.auth; a.header != "" {
		r.Secret(a.header)
		if _, own := r.Header[a.header]; !own || !a.override {
			r.Header[a.header] = []string{a.headerValue}
		}
	}
	if t.proof == nil {
		return nil
	}
	body, err := r.Body(0)
	if err != nil {
		return &ProofError{err}
	}
	out := &identity.Outgoing{
		Method: r.Method, Scheme: at.Scheme, Host: at.hostText(),
		Path: r.Upstream.Path, Query: query, Header: r.Header, Body: body,
	}
	err = t.prove(r.Context(), out)
	r.Upstream.Query = out.Query // without credentials that the caller sent in it
	return err
}

func (t *Target) prove(ctx context.Context, out *identity.Outgoing) error {
	if err := t.proof.Authorize(ctx, out); err != nil {
		return &ProofError{err}
	}
	return nil
}

// Request makes the HTTP request of a call that a plugin sends on its own account:
// a POST of the body, with the credentials, and with nothing of the caller's.
// Send it through plugin.Env.HTTP. The error is a *ProofError.
func (t *Target) Request(ctx context.Context, call *Call, body []byte) (*http.Request, error) {
	at := &call.Address
	query := withDefaults(at.Query, at.Defaults)
	if a := &t.auth; a.query != "" {
		query = setQueryParam(query, a.query, a.queryValue)
	}
	path := at.Path
	if path == "" {
		path = "/"
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		plain = path
	}
	if addr, err := netip.ParseAddr(at.Host); err == nil && t.places.tainted && plugin.IsMetadata(addr) {
		return nil, &ProofError{errHost}
	}
	to := &url.URL{Scheme: at.Scheme, Host: at.hostText(), Path: plain, RawPath: path, RawQuery: query}
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		// Its text would show the query.
		return nil, &ProofError{errors.New("the address cannot be called")}
	}
	out.Header["Content-Type"] = []string{"application/json"}
	out.Header["Accept"] = []string{"application/json"}
	t.provider.Headers(&call.Call, out.Header)
	if t.auth.header != "" {
		out.Header[t.auth.header] = []string{t.auth.headerValue}
	}
	if t.proof == nil {
		return out, nil
	}
	err = t.prove(ctx, &identity.Outgoing{
		Method: out.Method, Scheme: at.Scheme, Host: at.hostText(),
		Path: out.URL.EscapedPath(), Query: query, Header: out.Header, Body: body,
	})
	return out, err
}

// withDefaults adds the arguments of defaults that a raw query does not have.
func withDefaults(query, defaults string) string {
	if defaults == "" {
		return query
	}
	for pair := range strings.SplitSeq(defaults, "&") {
		name, _, ok := queryPair(pair)
		if !ok {
			continue
		}
		if _, own := queryParam(query, name); own {
			continue
		}
		if query != "" {
			query += "&"
		}
		query += pair
	}
	return query
}
