package schema

import (
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/internal/pcre"
	"github.com/gibbon-gateway/gibbon/internal/uri"
)

// formatFunc judges a text that is valid UTF-8 and has passed all other rules;
// it returns what is wrong, or "".
type formatFunc func(text string) string

// formats are the checks that protos name in "format".
var formats = map[string]formatFunc{
	"utf8_name":               utf8Name,
	"tag":                     tag,
	"host":                    host,
	"host_with_optional_port": hostWithOptionalPort,
	"wildcard_host":           wildcardHost,
	"sni":                     sni,
	"route_host":              routeHost,
	"ip":                      ip,
	"ip_or_cidr":              ipOrCIDR,
	"path":                    path,
	"router_path":             routerPath,
	"http_method":             httpMethod,
	"header_name":             headerName,
	"route_header_name":       routeHeaderName,
	"route_header_value":      routeHeaderValue,
	"certificate":             certificate,
	"key":                     privateKey,
	"public_key":              publicKey,
	"redirect_uri":            redirectURI,
	"json_object":             jsonObject,
	"url":                     fullURL,
	"pcre":                    pcrePattern,
	"upstream_name":           upstreamName,
	"cookie_name":             cookieName,
	"target":                  target,
	"wasm_filter":             wasmFilter,
}

// pcrePattern is a regular expression of PCRE's syntax that the data plane can run.
func pcrePattern(text string) string {
	if _, err := pcre.Compile(text, pcre.Options{}); err != nil {
		return "invalid regex: " + err.Error()
	}
	return ""
}

// utf8Name is a name usable in a URL: letters, digits and four marks of ASCII,
// and anything beyond ASCII.
func utf8Name(text string) string {
	for i := range len(text) {
		if c := text[i]; c < 0x80 && !isAlphanumeric(c) && !strings.ContainsRune(".-_~", rune(c)) {
			return "invalid value '" + text + "': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
		}
	}
	return ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// tag keeps the two characters out that tag filters are made of.
func tag(text string) string {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == 0x7f || c == ',' || c == '/' {
			return "invalid tag '" + text + "': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
		}
	}
	return ""
}

func isIP(text string) bool {
	addr, err := netip.ParseAddr(text)
	return err == nil && addr.Zone() == ""
}

// isHostname has the characters and lengths of DNS; underscores are usual in
// container names.
func isHostname(text string) bool {
	text = strings.TrimSuffix(text, ".")
	if text == "" || len(text) > 253 {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// isNumericHost reports a name that is made like an IPv4 address; such a name
// is an address or nothing.
func isNumericHost(text string) bool {
	return strings.Trim(text, "0123456789.") == "" && strings.Contains(text, ".")
}

// splitPort takes a port off a name or address. A bare IPv6 address has none;
// brackets belong around one only.
func splitPort(text string) (host, port string, has bool) {
	if inside, bracketed := strings.CutPrefix(text, "["); bracketed {
		address, rest, closed := strings.Cut(inside, "]")
		port, has = strings.CutPrefix(rest, ":")
		if !closed || !isIP(address) || !strings.Contains(address, ":") || rest != "" && !has {
			return text, "", false
		}
		return address, port, has
	}
	if strings.Count(text, ":") != 1 {
		return text, "", false
	}
	host, port, has = strings.Cut(text, ":")
	return host, port, has
}

func host(text string) string {
	name, port, has := splitPort(text)
	switch {
	case has && isPort(port) && (isIP(name) || isHostname(name)):
		return "must not have a port"
	case isIP(name), isHostname(text) && !isNumericHost(text):
		return ""
	}
	return "invalid value: " + text
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n <= 65535
}

func hostWithOptionalPort(text string) string {
	name, port, has := splitPort(text)
	switch {
	case has && !isPort(port):
		return "invalid port number"
	case isIP(name), isHostname(name) && !isNumericHost(name):
		return ""
	case isNumericHost(name):
		return "invalid ipv4 address: " + text
	case strings.Count(text, ":") > 1:
		return "invalid ipv6 address: " + text
	}
	return "invalid hostname: " + text
}

func sni(text string) string {
	name, port, has := splitPort(text)
	switch {
	case isIP(name):
		return "must not be an IP"
	case has && isPort(port):
		return "must not have a port"
	case !isHostname(name) || isNumericHost(name) || has:
		return "invalid value: " + text
	}
	return ""
}

// wildcardHost is a name of which one label at either end may be an asterisk.
func wildcardHost(text string) string {
	switch strings.Count(text, "*") {
	case 0:
		return sni(text)
	case 1:
	default:
		return "only one wildcard must be specified"
	}
	rest, left := strings.CutPrefix(text, "*.")
	if !left {
		var right bool
		if rest, right = strings.CutSuffix(text, ".*"); !right {
			return "wildcard must be leftmost or rightmost character"
		}
	}
	if _, port, has := splitPort(rest); has && isPort(port) {
		return "must not have a port"
	}
	if !isHostname(rest) {
		return "invalid value: " + text
	}
	return ""
}

// routeHost is a name, perhaps with a port, of which the whole first or last
// label may be an asterisk.
func routeHost(text string) string {
	name, port, has := splitPort(text)
	if has && !isPort(port) {
		return "invalid port number"
	}
	switch strings.Count(name, "*") {
	case 0:
		return hostWithOptionalPort(text)
	case 1:
	default:
		return "invalid wildcard: must have at most one wildcard"
	}
	rest, left := strings.CutPrefix(name, "*.")
	if !left {
		var right bool
		if rest, right = strings.CutSuffix(name, ".*"); !right {
			return "invalid wildcard: must be placed at leftmost or rightmost label"
		}
	}
	if !isHostname(rest) {
		return "invalid hostname: " + text
	}
	return ""
}

func ip(text string) string {
	if isIP(text) {
		return ""
	}
	return "not an ip address: " + text
}

func ipOrCIDR(text string) string {
	if isIP(text) {
		return ""
	}
	// Kong takes 10.0.0.1/8 for 10.0.0.0/8.
	if _, err := netip.ParsePrefix(text); err == nil {
		return ""
	}
	return "invalid ip or cidr range: '" + text + "'"
}

// path has the characters that RFC 3986 allows in one, and whole triplets.
func path(text string) string {
	for i := range len(text) {
		c := text[i]
		if !isAlphanumeric(c) && !strings.ContainsRune("-._~!$&'()*+,;=:@/%", rune(c)) {
			return "invalid path: '" + text + "' (characters outside of the reserved list of RFC 3986 found)"
		}
	}
	return badTriplet(text)
}

func badTriplet(text string) string {
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			continue
		}
		end := min(i+3, len(text))
		if end < i+3 || strings.Trim(text[i+1:end], "0123456789abcdefABCDEF") != "" {
			return "invalid url-encoded value: '" + text[i:end] + "'"
		}
		i += 2
	}
	return ""
}

// routerPath is a prefix in normal form, or a regular expression behind a
// tilde. Requests are matched in normal form, so a prefix in any other would
// never match.
func routerPath(text string) string {
	switch {
	case strings.HasPrefix(text, "~/"):
		return regexPath(text[1:])
	case !strings.HasPrefix(text, "/"):
		return "should start with: / (fixed path) or ~/ (regex path)"
	}
	if why := badTriplet(text); why != "" {
		return why
	}
	if normal := uri.Normalize(text); normal != text {
		return "non-normalized path, consider use '" + normal + "' instead"
	}
	return ""
}

func regexPath(text string) string {
	if _, err := regexp.Compile(text); err != nil {
		return "invalid regex: '" + text + "' (PCRE returned: " + regexpCause(err) + ")"
	}
	return ""
}

// routeHeaderValue is a text to be compared, or a regular expression behind two
// marks. As in Kong the pattern is lower-cased before it is used, which may break
// it: (?P<n>x) is one, (?p<n>x) is none.
func routeHeaderValue(text string) string {
	if pattern, ok := strings.CutPrefix(text, "~*"); ok {
		return regexPath(strings.ToLower(pattern))
	}
	return ""
}

// regexpCause is the cause without the words that Go puts before it.
func regexpCause(err error) string {
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

func httpMethod(text string) string {
	for i := range len(text) {
		if text[i] < 'A' || text[i] > 'Z' {
			return "invalid value: " + text
		}
	}
	return ""
}

func headerName(text string) string {
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return "bad header name '" + text + "', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
		}
	}
	return ""
}

// routeHeaderName keeps the Host header out, which has a field of its own.
func routeHeaderName(text string) string {
	if strings.EqualFold(text, "host") {
		return "cannot contain 'host' header, which must be specified in the 'hosts' attribute"
	}
	return headerName(text)
}

// redirectURI is where an OAuth 2.0 server may send a browser. The server adds
// parameters to it, which would be lost in a fragment.
func redirectURI(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "":
		return "cannot parse '" + text + "'"
	case strings.Contains(text, "#"):
		return "fragment not allowed in '" + text + "'"
	}
	return ""
}

func jsonObject(text string) string {
	if d, err := Parse([]byte(text)); err != nil || d.Kind() != KindObject {
		return "expected the text of a JSON object"
	}
	return ""
}

func fullURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which may hold a password
		}
		return "could not parse url. " + err.Error()
	case u.Scheme == "":
		return "missing scheme in url"
	case u.Host == "":
		return "missing host in url"
	}
	return ""
}
