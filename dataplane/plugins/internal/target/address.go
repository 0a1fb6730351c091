package target

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// errAddress says that no address can be made of the configuration, and errHost
// that the request would name another host than the configuration lets it.
var (
	errAddress = errors.New("upstream_url is no absolute http or https URL")
	errHost    = errors.New("the request's values give no host that the configuration allows")
)

// Address is where a call goes.
type Address struct {
	Scheme, Host string
	Port         int
	// Path is escaped; empty: the caller's own.
	Path string
	// Query is the configured URL's own, raw. Defaults are arguments that the
	// provider wants, raw, of which a caller's own win.
	Query, Defaults string
}

// hostText is the host as a Host header has it.
func (a *Address) hostText() string {
	standard := 80
	if a.Scheme == "https" {
		standard = 443
	}
	if a.Port != standard {
		return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
	}
	if addr, err := netip.ParseAddr(a.Host); err == nil && addr.Is6() {
		return "[" + a.Host + "]"
	}
	return a.Host
}

// places makes addresses. What does not depend on the request is settled when it
// is made.
type places struct {
	owner provider.PathOwner // nil: the provider takes configured paths as they are
	whole bool               // upstream_url is configured
	fixed Address            // of upstream_url or upstream_path, without placeholders
	err   error              // why there is no address
	url   template           // upstream_url, when it has placeholders
	path  template           // upstream_path, when it has placeholders
	named bool               // upstream_path is configured
	// moves says that the request has a say in the host: then its name must end
	// in zone. tainted says that it may name any host at all.
	moves, tainted bool
	zone           string
}

func newPlaces(options *pluginpb.AiModelOptions, p provider.Provider) places {
	t := places{}
	t.owner, _ = p.(provider.PathOwner)
	if whole := options.GetUpstreamUrl(); whole != "" {
		t.whole = true
		if t.url = parseTemplate(whole); t.url.parts == nil {
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
		t.named = true
		if t.path = parseTemplate(path); t.path.parts == nil {
			t.fixed.Path, t.fixed.Query = parsePath(path)
		}
	}
	return t
}

// probe finds out what placeholders in the options do to the provider's host, by
// trying two values. A caller that chooses a name below one of the vendor's stays
// with the vendor; one that chooses more does not.
func (t *places) probe(host func(value string) (string, error)) {
	one, err := host("a1")
	other, err2 := host("b2")
	if err != nil || err2 != nil {
		// The provider checks its values, so that these two say nothing.
		t.moves, t.tainted = true, true
		return
	}
	if one == other {
		return
	}
	t.moves = true
	n := 0
	for n < min(len(one), len(other)) && one[len(one)-1-n] == other[len(other)-1-n] {
		n++
	}
	t.zone = one[len(one)-n:]
	t.tainted = !strings.HasPrefix(t.zone, ".") || strings.Count(t.zone, ".") < 2
}

// resolve gives the address for one call. Its error is a *client.Error when the
// request is at fault.
func (t *places) resolve(r *plugin.Request, p provider.Provider, call *provider.Call) (Address, error) {
	if t.err != nil {
		return Address{}, t.err
	}
	endpoint, err := p.Endpoint(call)
	if _, runs := p.Format(call.Route); !runs {
		endpoint.Path = "" // it is not the path of this kind of calls
	}
	if err != nil && !t.whole {
		if told, ok := errors.AsType[*provider.CallError](err); ok {
			return Address{}, &client.Error{Message: told.Message}
		}
		return Address{}, err
	}
	at := Address{Scheme: endpoint.Scheme, Host: endpoint.Host, Port: endpoint.Port, Path: endpoint.Path, Defaults: endpoint.Query}
	if t.moves && !t.whole && (!isHostText(at.Host) || !strings.HasSuffix(at.Host, t.zone)) {
		return Address{}, &client.Error{Message: errHost.Error()}
	}
	switch {
	case t.url.parts != nil:
		text, err := resolveURL(&t.url, inScheme, r)
		if err != nil {
			return Address{}, err
		}
		defaults := at.Defaults
		if at, err = parseAddress(text); err != nil {
			return Address{}, err
		}
		at.Defaults = defaults
	case t.whole:
		defaults := at.Defaults
		at = t.fixed
		at.Defaults = defaults
	case t.path.parts != nil:
		text, err := resolveURL(&t.path, inPath, r)
		if err != nil {
			return Address{}, err
		}
		at.Path, at.Query = parsePath(text)
	case t.named:
		at.Path, at.Query = t.fixed.Path, t.fixed.Query
	}
	if (t.whole || t.named) && t.owner != nil {
		at.Path = t.owner.ConfiguredPath(call, at.Path, t.whole)
	}
	if call.Operation != "" && collection(call.Route) && !strings.HasSuffix(at.Path, call.Operation) {
		at.Path = strings.TrimSuffix(at.Path, "/") + call.Operation
	}
	return at, nil
}

// collection says that calls of a kind are made to the members of a collection
// too, named behind its path.
func collection(route llm.Route) bool {
	switch route {
	case llm.Files, llm.Batches, llm.Assistants, llm.Responses, llm.Videos:
		return true
	}
	return false
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

func parseAddress(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		// The URL may hold credentials, so it is not quoted.
		return Address{}, errAddress
	}
	// Kong falls back to 443 for either scheme; no server speaks plain http there.
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
			return Address{}, errAddress
		}
	}
	return Address{
		Scheme: u.Scheme, Host: u.Hostname(), Port: port,
		Path: oneSlash(u.EscapedPath()), Query: u.RawQuery,
	}, nil
}

func parsePath(text string) (path, query string) {
	text, query, _ = strings.Cut(text, "?")
	plain, err := url.PathUnescape(text)
	if err != nil {
		plain = text
	}
	return oneSlash((&url.URL{Path: plain, RawPath: text}).EscapedPath()), query
}

// oneSlash makes a path start with exactly one slash.
func oneSlash(path string) string { return "/" + strings.TrimLeft(path, "/") }
