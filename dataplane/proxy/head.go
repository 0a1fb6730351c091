package proxy

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/internal/listener"
)

// amendable gives the client's connection when the lines of an answer's head can
// go straight to it: see listener.Conn's Amend. nil: all of them have to pass
// through net/http.
func (x *exchange) amendable() *listener.Conn {
	if x.in.ProtoMajor != 1 {
		return nil
	}
	return listener.FromContext(x.in.Context())
}

// appendHead appends the lines of a header, in the order of their names, except
// for those that net/http looks at or writes itself: they are put into rest. A
// nil value there keeps it from making up one of its own.
func appendHead(dst []byte, h, rest http.Header) []byte {
	var space [32]string
	names := space[:0]
	for name, values := range h {
		switch name {
		case "Connection", "Content-Length", "Transfer-Encoding", "Trailer":
			rest[name] = values
			continue
		case "Content-Type", "Date":
			rest[name] = nil
		}
		if isToken(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range h[name] {
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = appendValue(dst, value)
			dst = append(dst, '\r', '\n')
		}
	}
	return dst
}

// isToken says that a name can stand in a header line. Plugins may have made up
// others; net/http leaves those out, and so does appendHead.
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' {
			continue
		}
		if strings.IndexByte("!#$%&'*+.^_`|~", c) < 0 {
			return false
		}
	}
	return name != ""
}

// appendValue appends the value of a header line, which cannot end the line: like
// net/http it writes a space for each line end and drops spaces around.
func appendValue(dst []byte, value string) []byte {
	if value != "" && (isSpace(value[0]) || isSpace(value[len(value)-1])) {
		value = strings.Trim(value, " \t\r\n")
	}
	start := len(dst)
	dst = append(dst, value...)
	for i, c := range dst[start:] {
		if c == '\r' || c == '\n' {
			dst[start+i] = ' '
		}
	}
	return dst
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
