package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// originsOf cuts addresses down to their origins. A default port is kept as it
// was given, as Kong does.
func originsOf(addresses []string) []string {
	var origins []string
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err == nil && u.Host != "" {
			address = u.Scheme + "://" + u.Host
		}
		origins = append(origins, address)
	}
	return origins
}

// refuseForeign keeps web pages of strangers from driving the API through a
// browser that can reach it. Form bodies need no preflight, so a page could
// write without ever being asked; and a page whose name suddenly means this
// machine would be of the same origin.
func (s *Server) refuseForeign(r *http.Request) error {
	if s.loopback(r) && !s.localName(r.Host) {
		return plain(http.StatusForbidden, "Forbidden: this host name is not allowed, see admin_allowed_hosts")
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil // the answer gives no page leave to read it
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			return errForeign()
		}
		return nil
	}
	for _, origin := range origins {
		if !s.friendly(origin, r) {
			return errForeign()
		}
	}
	return nil
}

func errForeign() *Error {
	return plain(http.StatusForbidden, "Forbidden: a page of another origin must not write, see admin_gui_url")
}

// friendly tells whether pages of an origin may use the API.
func (s *Server) friendly(origin string, r *http.Request) bool {
	if slices.Contains(s.cfg.GUIOrigins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	if u.Host == r.Host {
		return true // its own
	}
	if len(s.cfg.GUIOrigins) > 0 {
		return false
	}
	theirs, ours := u.Hostname(), hostname(r.Host)
	return strings.EqualFold(theirs, ours) || isLoopbackName(theirs) && isLoopbackName(ours)
}

// allowOrigin is the value of Access-Control-Allow-Origin, which every answer
// has. It is the request's origin where that may read the answer; a stranger
// gets an origin that is not its own, which gives it nothing.
func (s *Server) allowOrigin(r *http.Request) string {
	origin := r.Header.Get("Origin")
	switch {
	case origin != "" && s.friendly(origin, r):
		return origin
	case len(s.cfg.GUIOrigins) > 0:
		return s.cfg.GUIOrigins[0]
	case origin == "":
		return "*"
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// allowHeaders is the value of Access-Control-Allow-Headers.
func allowHeaders(r *http.Request) string {
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		return asked
	}
	return "Content-Type"
}

// loopback tells whether a request came to a listener for this machine only.
func (s *Server) loopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	if s.cfg.Loopback != nil {
		return s.cfg.Loopback(local)
	}
	return isLoopbackName(hostname(local.String()))
}

// localName tells whether a Host header is one that a listener on a loopback
// address answers to. A request without one comes from no browser.
func (s *Server) localName(host string) bool {
	name := hostname(host)
	if name == "" || isLoopbackName(name) {
		return true
	}
	if slices.ContainsFunc(s.cfg.AllowedHosts, func(allowed string) bool { return strings.EqualFold(hostname(allowed), name) }) {
		return true
	}
	return slices.ContainsFunc(s.cfg.GUIOrigins, func(origin string) bool {
		u, err := url.Parse(origin)
		return err == nil && strings.EqualFold(u.Hostname(), name)
	})
}

func isLoopbackName(name string) bool {
	if strings.EqualFold(strings.TrimSuffix(name, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// hostname is a Host header without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
