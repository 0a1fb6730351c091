package proxy

import (
	"net/http"
	"strings"
)

// takeHop removes what concerns only the client's connection from a request's
// headers, and all that would let a client claim to be somebody. It tells whether
// the client asks for a websocket and whether it takes trailers.
func takeHop(h http.Header, trusted bool) (websocket, trailers bool) {
	upgrade := false
	for _, line := range h["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			option = strings.TrimSpace(option)
			switch {
			case strings.EqualFold(option, "upgrade"):
				upgrade = true
			case option == "" || keptThough(option):
			default:
				h.Del(option)
			}
		}
	}
	if upgrade {
		for _, line := range h["Upgrade"] {
			websocket = websocket || strings.EqualFold(strings.TrimSpace(line), "websocket")
		}
	}
	for _, line := range h["Te"] {
		for coding := range strings.SplitSeq(line, ",") {
			coding, _, _ = strings.Cut(coding, ";")
			trailers = trailers || strings.EqualFold(strings.TrimSpace(coding), "trailers")
		}
	}
	for name := range h {
		if isHop(name) || isIdentity(name) || !trusted && isForwarded(name) {
			delete(h, name)
		}
	}
	return websocket, trailers
}

// keptThough lists the options of Connection that remove no header: they are no
// header's name, or removing that header would change what the request means.
func keptThough(option string) bool {
	switch strings.ToLower(option) {
	case "close", "keep-alive", "te",
		"content-length", "content-type", "content-encoding", "host", "authorization", "cookie", "via":
		return true
	}
	return len(option) >= len("x-forwarded-") && strings.EqualFold(option[:len("x-forwarded-")], "x-forwarded-")
}

// isHop says that a header, by its canonical name, is about one connection only.
func isHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Upgrade", "Te", "Trailer", "Transfer-Encoding",
		"Expect", "Proxy", "Proxy-Connection", "Http2-Settings":
		return true
	}
	return false
}

// isIdentity says that a header is one that only the gateway may set: it tells an
// upstream who the caller is. Some servers take an underscore for a dash, so both
// spellings count.
func isIdentity(name string) bool {
	return sharesPrefix(name, "x-consumer-") || sharesPrefix(name, "x-credential-") ||
		sharesPrefix(name, "x-anonymous-") || sharesPrefix(name, "x-authenticated-")
}

// isForwarded says that a header tells of the hops before the gateway and is
// believed only when a trusted peer sends it. X-Forwarded-For is not among them,
// since each hop adds to it; only its other spellings are.
func isForwarded(name string) bool {
	if name == "X-Forwarded-For" {
		return false
	}
	return sharesPrefix(name, "x-forwarded-") || sharesPrefix(name, "x-real-ip")
}

// sharesPrefix compares the start of a header's name with a lower-case prefix,
// an underscore being as good as a dash.
func sharesPrefix(name, prefix string) bool {
	if len(name) < len(prefix) || name[0]|0x20 != prefix[0] {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c == '_' {
			c = '-'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// takeHopAnswer removes what concerns only the upstream's connection from an
// answer's headers.
func takeHopAnswer(h http.Header) {
	for _, line := range h["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			option = strings.TrimSpace(option)
			if option != "" && !keptThough(option) {
				h.Del(option)
			}
		}
	}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		delete(h, name)
	}
}

// joined gives all values of a header as one list.
func joined(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values, ", ")
}

// headSize is the number of bytes that header lines take on the wire.
func headSize(h http.Header) int64 {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return int64(n)
}
