package upstream

import (
	"net/http"
	"strings"
)

// tokenBytes are the bytes that methods and header names are made of.
var tokenBytes = func() (set [256]bool) {
	for c := '0'; c <= '9'; c++ {
		set[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		set[c], set[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		set[c] = true
	}
	return set
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// isFieldValue says that a text has no control bytes but tabs.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isVisible says that a text has neither spaces nor control bytes.
func isVisible(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// trimSpace removes what may stand around a header's value.
func trimSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// hasToken says whether a lower-case word is in a header that is a list.
func hasToken(lines []string, word string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(trimSpace(item), word) {
				return true
			}
		}
	}
	return false
}

// canonical gives a header name in the form that http.Header has it, and says
// whether it is a name at all. The usual names cost no memory.
func canonical(name string) (string, bool) {
	upper, same := true, true
	for i := range len(name) {
		c := name[i]
		if !tokenBytes[c] {
			return "", false
		}
		if upper && 'a' <= c && c <= 'z' || !upper && 'A' <= c && c <= 'Z' {
			same = false
		}
		upper = c == '-'
	}
	if name == "" {
		return "", false
	}
	if same {
		return name, true
	}
	var room [64]byte
	b := append(room[:0], name...)
	upper = true
	for i, c := range b {
		if upper && 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		} else if !upper && 'A' <= c && c <= 'Z' {
			b[i] = c - 'A' + 'a'
		}
		upper = c == '-'
	}
	if known, ok := knownNames[string(b)]; ok {
		return known, true
	}
	return string(b), true
}

// knownNames are the header names that answers often have.
var knownNames = func() map[string]string {
	names := make(map[string]string)
	for _, name := range []string{
		"Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
		"Access-Control-Allow-Methods", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers",
		"Age", "Allow", "Alt-Svc", "Anthropic-Organization-Id", "Apim-Request-Id",
		"Cache-Control", "Cf-Cache-Status", "Cf-Ray", "Connection", "Content-Disposition",
		"Content-Encoding", "Content-Language", "Content-Length", "Content-Security-Policy",
		"Content-Type", "Date", "Etag", "Expires", "Keep-Alive", "Last-Modified", "Link", "Location",
		"Openai-Model", "Openai-Organization", "Openai-Processing-Ms", "Openai-Project", "Openai-Version",
		"Pragma", "Referrer-Policy", "Request-Id", "Retry-After", "Server", "Server-Timing", "Set-Cookie",
		"Strict-Transport-Security", "Trailer", "Transfer-Encoding", "Vary", "Via", "Www-Authenticate",
		"X-Accel-Buffering", "X-Amzn-Requestid", "X-Content-Type-Options", "X-Frame-Options",
		"X-Powered-By", "X-Ratelimit-Limit-Requests", "X-Ratelimit-Limit-Tokens",
		"X-Ratelimit-Remaining-Requests", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Requests",
		"X-Ratelimit-Reset-Tokens", "X-Request-Id", "X-Runtime", "X-Xss-Protection",
	} {
		names[http.CanonicalHeaderKey(name)] = name
	}
	return names
}()
