package expression

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Request is what expressions look at. A text that is empty, an address that is
// the zero value and a port of 0 stand for a field without a value; the path and
// query of a request over HTTP always have one.
//
// A Request remembers what was worked out of it, so it is for one goroutine, and
// its fields must not change once an expression has looked at it.
type Request struct {
	// Protocol is http or https for the HTTP context, or tcp, tls or udp.
	Protocol string
	// SNI is the server name of TLS, without a dot at its end.
	SNI string
	// Source and Destination are the ends of the connection. The source is the
	// client as far as trusted peers name it.
	Source, Destination netip.AddrPort

	Method string
	Host   string // without the port
	Path   string // in normal form
	Query  string // as it was received, without the question mark
	Header http.Header

	pairs      []pair // of the query
	split      bool   // pairs are there
	underscore tristate
}

// Reset makes the Request one of nothing, for use with another request. It keeps
// memory of its own.
func (r *Request) Reset() {
	clear(r.pairs[:cap(r.pairs)])
	*r = Request{pairs: r.pairs[:0]}
}

// pair is an argument of the query.
type pair struct{ name, value string }

type tristate uint8

const (
	unknown tristate = iota
	no
	yes
)

// maxPairs is how many arguments of a query are looked at, as in Kong. What comes
// behind them is not seen by any expression.
const maxPairs = 100

// Match says whether the request is one that the expression describes.
func (e *Expression) Match(r *Request) bool { return e.root.match(r) }

func (n *node) match(r *Request) bool {
	switch n.logic {
	case isAnd:
		for i := range n.kids {
			if !n.kids[i].match(r) {
				return false
			}
		}
		return true
	case isOr:
		for i := range n.kids {
			if n.kids[i].match(r) {
				return true
			}
		}
		return false
	case isNot:
		return !n.kids[0].match(r)
	}
	return n.test.match(r)
}

func (t *test) match(r *Request) bool {
	switch t.field.kind {
	case netProtocol:
		return t.optional(r.Protocol)
	case tlsSNI:
		return t.optional(r.SNI)
	case httpMethod:
		return t.optional(r.Method)
	case httpHost:
		return t.optional(r.Host)
	case httpPath:
		return t.compare(r.Path)
	case httpHeader:
		return t.header(r)
	case httpQuery:
		return t.query(r)
	case httpSegments:
		text, ok := segments(r.Path, t.field.from, t.field.to)
		return ok && t.compare(text)
	case httpSegmentsLen:
		return t.order(int64(countSegments(r.Path)))
	case netSrcIP:
		return t.addr(r.Source.Addr())
	case netDstIP:
		return t.addr(r.Destination.Addr())
	case netSrcPort:
		return r.Source.Port() != 0 && t.order(int64(r.Source.Port()))
	case netDstPort:
		return r.Destination.Port() != 0 && t.order(int64(r.Destination.Port()))
	}
	return false
}

// optional compares a text that is no value when it is empty.
func (t *test) optional(value string) bool { return value != "" && t.compare(value) }

// compare compares one text.
func (t *test) compare(value string) bool {
	if t.lower || t.field.folds {
		return t.compareLower(value)
	}
	switch t.op {
	case opEqual:
		return value == t.want
	case opUnequal:
		return value != t.want
	case opMatches:
		return t.re.MatchString(value)
	case opPrefix:
		return strings.HasPrefix(value, t.want)
	case opSuffix:
		return strings.HasSuffix(value, t.want)
	default:
		return strings.Contains(value, t.want)
	}
}

// compareLower is compare for the value in lower case, which is not written out
// but for regular expressions.
func (t *test) compareLower(value string) bool {
	switch t.op {
	case opEqual, opUnequal:
		n, ok := lowerPrefix(value, t.want)
		return (ok && n == len(value)) == (t.op == opEqual)
	case opMatches:
		if !t.lower {
			return t.re.MatchString(value) // the pattern itself pays no regard to case
		}
		return t.re.MatchString(lower(value))
	case opPrefix:
		_, ok := lowerPrefix(value, t.want)
		return ok
	default:
		for i := 0; ; {
			n, ok := lowerPrefix(value[i:], t.want)
			if ok && (t.op == opContains || i+n == len(value)) {
				return true
			}
			if i == len(value) {
				return false
			}
			_, size := utf8.DecodeRuneInString(value[i:])
			i += size
		}
	}
}

// lowerPrefix says how many bytes of the text make the prefix, which is in lower
// case, when they are put in lower case themselves.
func lowerPrefix(text, prefix string) (n int, ok bool) {
	for prefix != "" {
		if n == len(text) {
			return 0, false
		}
		if c := text[n]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != prefix[0] {
				return 0, false
			}
			n++
			prefix = prefix[1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text[n:])
		var buf [utf8.UTFMax]byte
		low := append(buf[:0], text[n:n+size]...)
		if r != utf8.RuneError {
			low = utf8.AppendRune(buf[:0], unicode.ToLower(r))
		}
		if len(prefix) < len(low) || prefix[:len(low)] != string(low) {
			return 0, false
		}
		n += size
		prefix = prefix[len(low):]
	}
	return n, true
}

// lower is a text in lower case. Unlike in strings.ToLower, bytes that are no
// UTF-8 stay as they are: a path may have some.
func lower(text string) string {
	if utf8.ValidString(text) {
		return strings.ToLower(text)
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError {
			b.WriteString(text[:size])
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
		text = text[size:]
	}
	return b.String()
}

func (t *test) order(value int64) bool {
	switch t.op {
	case opEqual:
		return value == t.number
	case opUnequal:
		return value != t.number
	case opGreater:
		return value > t.number
	case opGreaterEqual:
		return value >= t.number
	case opLess:
		return value < t.number
	default:
		return value <= t.number
	}
}

// addr compares an address. One of another family is neither equal to the literal
// nor in its range.
func (t *test) addr(value netip.Addr) bool {
	if !value.IsValid() {
		return false
	}
	value = value.Unmap().WithZone("")
	switch t.op {
	case opEqual:
		return value == t.address
	case opUnequal:
		return value != t.address
	case opIn:
		return t.network.Contains(value)
	default:
		return !t.network.Contains(value)
	}
}

// several gathers the verdicts about the values of a field.
type several struct{ seen, decided, verdict bool }

// take compares one more value, unless the verdict is settled.
func (s *several) take(t *test, value string) {
	if s.decided {
		return
	}
	s.seen = true
	if t.compare(value) == t.any {
		// One that passes is enough for any(); one that does not is too many else.
		s.decided, s.verdict = true, t.any
	}
}

func (s *several) result(t *test) bool {
	if s.decided {
		return s.verdict
	}
	return s.seen && !t.any
}

// header compares the values of a header. To Kong a_b and a-b are one name.
func (t *test) header(r *Request) bool {
	var s several
	for _, v := range r.Header[t.field.key] {
		s.take(t, v)
	}
	if !s.decided && r.hasUnderscore() {
		for name, values := range r.Header {
			if name != t.field.key && sameHeader(name, t.field.key) {
				for _, v := range values {
					s.take(t, v)
				}
			}
		}
	}
	return s.result(t)
}

// hasUnderscore says whether a name of a header has one, which is rare.
func (r *Request) hasUnderscore() bool {
	if r.underscore == unknown {
		r.underscore = no
		for name := range r.Header {
			if strings.IndexByte(name, '_') >= 0 {
				r.underscore = yes
				break
			}
		}
	}
	return r.underscore == yes
}

// sameHeader compares names but for case and the difference of - and _.
func sameHeader(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if headerByte(a[i]) != headerByte(b[i]) {
			return false
		}
	}
	return true
}

func headerByte(c byte) byte {
	switch {
	case c == '_':
		return '-'
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	}
	return c
}

func (t *test) query(r *Request) bool {
	if !r.split {
		r.split = true
		r.pairs = appendPairs(r.pairs, r.Query)
	}
	var s several
	for i := range r.pairs {
		if r.pairs[i].name == t.field.key {
			s.take(t, r.pairs[i].value)
		}
	}
	return s.result(t)
}

// appendPairs takes a query apart. A flag has the empty value; what has no name is
// left out.
func appendPairs(pairs []pair, query string) []pair {
	for query != "" && len(pairs) < maxPairs {
		var part string
		part, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(part, "=")
		if name = unescape(name); name != "" {
			pairs = append(pairs, pair{name, unescape(value)})
		}
	}
	return pairs
}

// unescape resolves triplets and plus signs. A text with a broken triplet stays as
// it came.
func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// countSegments counts the parts of a path between its slashes; empty ones at its
// end do not count.
func countSegments(path string) int {
	path = strings.TrimRight(path, "/")
	if path == "" {
		return 0
	}
	return strings.Count(strings.TrimPrefix(path, "/"), "/") + 1
}

// segments are those from one to another, joined as they are in the path. There
// are none unless the path has all of them.
func segments(path string, from, to int) (string, bool) {
	path = strings.TrimPrefix(strings.TrimRight(path, "/"), "/")
	if path == "" {
		return "", false
	}
	begin := 0
	for n := 0; ; n++ {
		end := strings.IndexByte(path[begin:], '/')
		last := end < 0
		if last {
			end = len(path)
		} else {
			end += begin
		}
		if n == from {
			path = path[begin:]
			end -= begin
			begin = 0
		}
		if n == to {
			return path[:end], true
		}
		if last {
			return "", false
		}
		begin = end + 1
	}
}
