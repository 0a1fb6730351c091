package aiproxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/internal/uri"
)

// errTarget says that no address can be made of the configuration.
var errTarget = errors.New("upstream_url is no absolute http or https URL")

// address is where a call goes.
type address struct {
	scheme, host string
	port         int
	path         string // escaped; empty: the caller's own
	query        string // raw, put before the caller's
}

// target makes addresses. What does not depend on the request is settled when it
// is made.
type target struct {
	fixed address
	err   error    // why there is no address
	url   template // upstream_url, when it has placeholders
	path  template // upstream_path, when it has placeholders
	// tainted says that the request has a say in the host.
	tainted bool
}

func newTarget(endpoint provider.Endpoint, options *pluginpb.AiModelOptions) target {
	t := target{fixed: address{
		scheme: endpoint.Scheme, host: endpoint.Host, port: endpoint.Port, path: endpoint.Path,
	}}
	if whole := options.GetUpstreamUrl(); whole != "" {
		t.url = parseTemplate(whole)
		if t.url.parts == nil {
			t.fixed, t.err = parseAddress(whole)
			return t
		}
		place := inScheme
		for i := range t.url.parts {
			if t.url.parts[i].placeholder {
				t.tainted = t.tainted || place < inPath
				continue
			}
			place = place.after(t.url.parts[i].text)
		}
		return t
	}
	if path := options.GetUpstreamPath(); path != "" {
		t.path = parseTemplate(path)
		if t.path.parts == nil {
			t.fixed.path, t.fixed.query, t.err = parsePath(path)
		}
	}
	return t
}

// resolve gives the address for one request. Its error is a *client.Error when
// the request is at fault.
func (t *target) resolve(r *plugin.Request) (address, error) {
	switch {
	case t.err != nil:
		return address{}, t.err
	case t.url.parts != nil:
		text, err := resolveURL(&t.url, inScheme, r)
		if err != nil {
			return address{}, err
		}
		return parseAddress(text)
	case t.path.parts != nil:
		text, err := resolveURL(&t.path, inPath, r)
		if err != nil {
			return address{}, err
		}
		at := t.fixed
		at.path, at.query, err = parsePath(text)
		return at, err
	}
	return t.fixed, nil
}

// urlPlace is a part of a URL, in the order in which they come.
type urlPlace uint8

const (
	inScheme urlPlace = iota
	inAuthority
	inPath
	inQuery
)

// after is where in a URL one is when a text has been passed.
func (p urlPlace) after(text string) urlPlace {
	if p == inScheme {
		_, rest, ok := strings.Cut(text, "://")
		if !ok {
			return p
		}
		p, text = inAuthority, rest
	}
	if p == inAuthority {
		i := strings.IndexAny(text, "/?#")
		if i < 0 {
			return p
		}
		p, text = inPath, text[i:]
	}
	if p == inPath && strings.ContainsRune(text, '?') {
		return inQuery
	}
	return p
}

// resolveURL fills placeholders in so that what a request brings stays within
// the part of the URL where its placeholder stands.
func resolveURL(t *template, place urlPlace, r *plugin.Request) (string, error) {
	var out strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		if !p.placeholder {
			out.WriteString(p.text)
			place = place.after(p.text)
			continue
		}
		value, err := t.value(p, r)
		if err != nil {
			return "", err
		}
		fits := true
		switch place {
		case inScheme, inAuthority:
			fits = isHostText(value)
		case inPath:
			value, fits = escapePath(value)
		default:
			value = url.QueryEscape(value)
		}
		if !fits {
			return "", &client.Error{Message: fmt.Sprintf("%s key %s cannot be used in an address", p.source, p.key)}
		}
		out.WriteString(value)
	}
	return out.String(), nil
}

func isHostText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.':
		default:
			return false
		}
	}
	return s != ""
}

// escapePath escapes a value for a path; slashes and what is escaped already
// stay. Steps upwards do not fit.
func escapePath(s string) (string, bool) {
	var out strings.Builder
	for i, segment := range strings.Split(s, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			plain, segment = segment, url.PathEscape(segment)
		} else if !strings.Contains(segment, "%") {
			segment = url.PathEscape(segment)
		} else {
			segment = (&url.URL{Path: plain, RawPath: segment}).EscapedPath()
		}
		if plain == "." || plain == ".." || strings.ContainsFunc(plain, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return "", false
		}
		if i > 0 {
			out.WriteByte('/')
		}
		out.WriteString(segment)
	}
	return out.String(), true
}

func parseAddress(text string) (address, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		// The URL may hold credentials, so it is not quoted.
		return address{}, errTarget
	}
	// Kong falls back to 443 for either scheme; no server speaks plain http there.
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
			return address{}, errTarget
		}
	}
	return address{
		scheme: u.Scheme, host: u.Hostname(), port: port,
		path: oneSlash(u.EscapedPath()), query: u.RawQuery,
	}, nil
}

func parsePath(text string) (path, query string, err error) {
	text, query, _ = strings.Cut(text, "?")
	plain, err := url.PathUnescape(text)
	if err != nil {
		plain = text
	}
	return oneSlash((&url.URL{Path: plain, RawPath: text}).EscapedPath()), query, nil
}

// oneSlash makes a path start with exactly one slash.
func oneSlash(path string) string { return "/" + strings.TrimLeft(path, "/") }

// aim sends the request to the address, with the credentials that go into the
// query or a header.
func (h *Handler) aim(r *plugin.Request, to address) {
	r.Upstream.SetTarget(to.scheme, to.host, to.port)
	if to.path != "" {
		r.Upstream.Path = to.path
	} else {
		// A preserve route passes the caller's path, also where the route strips a
		// prefix from it for ordinary services.
		r.Upstream.Path = uri.Escape(r.Path)
	}
	query := r.Upstream.Query
	if to.query != "" {
		query = strings.Trim(to.query+"&"+query, "&")
	}
	if a := &h.auth; a.query != "" {
		r.Secret(a.query)
		if _, own := queryParam(r.Query, a.query); !own || !a.override {
			query = setQueryParam(query, a.query, a.queryValue)
		}
	}
	r.Upstream.Query = query
	if a := &h.auth; a.header != "" {
		r.Secret(a.header)
		if _, own := r.Header[a.header]; !own || !a.override {
			r.Header[a.header] = []string{a.headerValue}
		}
	}
}

// setAuth readies the credentials and gives the name of the member of the body
// that carries some; empty when none does.
func (h *Handler) setAuth(cfg *pluginpb.AiAuth) (param string) {
	h.auth.override = cfg.GetAllowOverride()
	if cfg.GetHeaderName() != "" && cfg.HeaderValue != nil {
		h.auth.header = http.CanonicalHeaderKey(cfg.GetHeaderName())
		h.auth.headerValue = cfg.GetHeaderValue()
	}
	if cfg.GetParamName() == "" || cfg.ParamValue == nil {
		return ""
	}
	switch cfg.GetParamLocation() {
	case "query":
		h.auth.query, h.auth.queryValue = cfg.GetParamName(), cfg.GetParamValue()
	case "body":
		h.settings.ParamValue = llm.Quote(cfg.GetParamValue())
		h.settings.ParamOverride = h.auth.override
		return cfg.GetParamName()
	}
	return ""
}
