package listener

import (
	"bytes"
	"net/http"
	"net/netip"
	"time"
)

// Limits bounds a request head, and the trailers of a chunked body alike. The
// zero value means the defaults.
type Limits struct {
	// HeadBytes counts the request line and all header lines with their line
	// ends. Default 32 KiB.
	HeadBytes int
	// Lines counts header lines, the request line not among them. Default 100;
	// more than 1,000 is taken as 1,000.
	Lines int
	// Time is how long a client may take to send a request head, not a trailer.
	// Default 10 s.
	Time time.Duration
}

const (
	defaultHeadBytes = 32 << 10
	defaultLines     = 100
	defaultHeadTime  = 10 * time.Second
	hardLines        = 1000
)

func (l Limits) orDefault() Limits {
	if l.HeadBytes <= 0 {
		l.HeadBytes = defaultHeadBytes
	}
	if l.Lines <= 0 {
		l.Lines = defaultLines
	}
	l.Lines = min(l.Lines, hardLines)
	if l.Time <= 0 {
		l.Time = defaultHeadTime
	}
	return l
}

// Reason says why a request was refused.
type Reason struct {
	// Status is what the client should be answered: 400, 405, 414 or 431.
	Status int
	// Text is for logs. It is one of a fixed set and holds nothing the client
	// sent.
	Text string
}

func bad(text string) *Reason { return &Reason{http.StatusBadRequest, text} }

var (
	whyAuthority   = bad("malformed host")
	whyAuthMatch   = bad("host differs from the one in the target")
	whyBareCR      = bad("carriage return without line feed")
	whyBareLF      = bad("line feed without carriage return")
	whyBothFraming = bad("both content-length and transfer-encoding")
	whyChunkEnd    = bad("chunk data without line end")
	whyChunkExt    = bad("malformed or too long chunk extension")
	whyChunkSize   = bad("malformed chunk size")
	whyControl     = bad("control byte")
	whyCoding      = bad("transfer-encoding other than one chunked")
	whyCoding10    = bad("transfer-encoding in HTTP/1.0")
	whyExpect      = bad("expect other than one 100-continue")
	whyFold        = bad("folded header line")
	whyLength      = bad("malformed content-length")
	whyLengths     = bad("more than one content-length")
	whyHosts       = bad("more than one host")
	whyName        = bad("malformed header name")
	whyNoHost      = bad("no host")
	whyRequest     = bad("malformed request line")
	whyTarget      = bad("malformed request target")
	whyTrailer     = bad("framing field among the trailers")
	whyVersion     = bad("protocol version other than HTTP/1.0 and HTTP/1.1")

	whyLongLine = &Reason{http.StatusRequestURITooLong, "request line over the size limit"}
	whyLong     = &Reason{http.StatusRequestHeaderFieldsTooLarge, "head over the size limit"}
	whyLines    = &Reason{http.StatusRequestHeaderFieldsTooLarge, "more header lines than allowed"}
	whyMethod   = &Reason{http.StatusMethodNotAllowed, "method not allowed"}
)

// preface is what an HTTP/2 client with prior knowledge sends first.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

type state uint8

const (
	inHead state = iota
	inLength
	inChunkSize
	inChunkExt
	inChunkLF
	inChunkData
	inDataCR
	inDataLF
	inTrailer
	passing // HTTP/2: no longer ours to judge
)

// scanner follows the messages of one HTTP/1 connection and stops at the first
// thing that two parsers could read in two ways. It keeps no bytes: a section
// (a head, or the trailers of a chunked body) is fed from its start until it is
// whole, and the scanner remembers how far it has looked.
//
// Its verdict depends on the bytes alone, never on how they were cut.
type scanner struct {
	limits Limits
	h2c    bool // the preface of HTTP/2 is welcome
	begun  bool // the first bytes of the connection were not the preface

	state state
	why   *Reason // set once, never cleared

	// The section being read. Offsets count from its start.
	seen, line int
	lines      int
	request    bool // the request line has been read

	// What the head has said so far.
	http10, host, chunked, expect bool
	length                        int64 // -1: not given
	authFrom, authTo              int   // where an absolute target's authority stands

	rest   uint64 // bytes left of the body, or of the chunk
	digits int    // of a chunk size
	ext    int    // length of a chunk extension
}

func newScanner(l Limits, h2c bool) scanner {
	return scanner{limits: l.orDefault(), h2c: h2c, length: -1}
}

// feed looks at the bytes that follow those it called good before: b starts
// with the section that was left unfinished, if there was one. It returns how
// many bytes of b are good. The others are an unfinished section, or, with why
// set, start with the section or the byte that is refused.
func (s *scanner) feed(b []byte) (good int) {
	for good < len(b) && s.why == nil {
		n := 0
		rest := b[good:]
		switch s.state {
		case inHead:
			if !s.begun && s.h2c {
				k := min(len(rest), len(preface))
				if string(rest[:k]) == preface[:k] {
					if k < len(preface) {
						return good
					}
					s.state = passing
					continue
				}
			}
			s.begun = true
			n = s.section(rest)
		case inTrailer:
			n = s.section(rest)
		case passing:
			return len(b)
		case inLength, inChunkData:
			n = len(rest)
			if uint64(n) >= s.rest {
				n = int(s.rest)
				if s.state == inLength {
					s.state = inHead
				} else {
					s.state = inDataCR
				}
			}
			s.rest -= uint64(n)
		default:
			n = s.chunkLine(rest)
		}
		if n == 0 {
			return good
		}
		good += n
	}
	return good
}

// inBody tells whether the scanner stands inside a message whose head it has
// let through.
func (s *scanner) inBody() bool { return s.state != inHead && s.state != passing }

func (s *scanner) refuse(why *Reason) int {
	s.why = why
	return 0
}

// chunkLine reads what stands between the data of chunks, as far as it goes in
// b, and returns the number of good bytes.
func (s *scanner) chunkLine(b []byte) int {
	for i, c := range b {
		switch s.state {
		case inChunkSize:
			v := hexValue[c]
			switch {
			case v >= 0:
				// Fifteen digits cannot overflow anybody's 64 bits, signed or not.
				if s.digits++; s.digits > 15 {
					s.why = whyChunkSize
					return i
				}
				s.rest = s.rest<<4 | uint64(v)
			case s.digits > 0 && c == '\r':
				s.state = inChunkLF
			case s.digits > 0 && c == ';':
				s.state, s.ext = inChunkExt, 0
			default:
				s.why = whyChunkSize
				return i
			}
		case inChunkExt:
			s.ext++
			switch {
			case c == '\r':
				s.state = inChunkLF
			case s.ext > 256 || c < ' ' && c != '\t' || c >= 0x7f:
				s.why = whyChunkExt
				return i
			}
		case inChunkLF:
			if c != '\n' {
				s.why = whyBareCR
				return i
			}
			s.digits = 0
			if s.rest == 0 {
				s.startSection(inTrailer)
			} else {
				s.state = inChunkData
			}
			return i + 1
		case inDataCR:
			if c != '\r' {
				s.why = whyChunkEnd
				return i
			}
			s.state = inDataLF
		case inDataLF:
			if c != '\n' {
				s.why = whyChunkEnd
				return i
			}
			s.state = inChunkSize
		}
	}
	return len(b)
}

func (s *scanner) startSection(st state) {
	s.state = st
	s.seen, s.line, s.lines = 0, 0, 0
	if st == inHead {
		s.request = false
		s.http10, s.host, s.chunked, s.expect = false, false, false, false
		s.length, s.authFrom, s.authTo = -1, 0, 0
	}
}

// section looks at b, which starts where the section starts, and returns the
// section's length once it is whole, else 0.
func (s *scanner) section(b []byte) int {
	if s.state == inHead && s.seen == 0 && !token[b[0]] {
		// Said at once, without waiting for a line end: a TLS client on the
		// plain port would otherwise be left hanging.
		return s.refuse(whyRequest)
	}
	end := min(len(b), s.limits.HeadBytes)
	i := s.seen
	for i < end {
		c := b[i]
		if !control[c] {
			i++
			continue
		}
		switch c {
		case '\r':
			if i+1 >= end {
				// Looked at again when the next byte is here.
				s.seen = i
				return s.tooLong(b)
			}
			if b[i+1] != '\n' {
				return s.refuse(whyBareCR)
			}
			whole := s.endLine(b, b[s.line:i])
			if s.why != nil {
				return 0
			}
			i += 2
			if whole {
				return i
			}
			s.line = i
		case '\n':
			return s.refuse(whyBareLF)
		default:
			return s.refuse(whyControl)
		}
	}
	s.seen = i
	return s.tooLong(b)
}

func (s *scanner) tooLong(b []byte) int {
	switch {
	case len(b) <= s.limits.HeadBytes:
		return 0
	case s.state == inHead && !s.request:
		return s.refuse(whyLongLine)
	}
	return s.refuse(whyLong)
}

// endLine judges one line, without its line end, and tells whether it was the
// last one of the section. A refusal stands in s.why.
func (s *scanner) endLine(b, line []byte) (whole bool) {
	switch {
	case s.state == inHead && !s.request:
		s.request = true
		s.requestLine(line)
		return false
	case len(line) > 0:
		if s.lines++; s.lines > s.limits.Lines {
			s.why = whyLines
			return false
		}
		s.field(b, line)
		return false
	case s.state == inTrailer:
		s.startSection(inHead)
		return true
	}
	s.endHead()
	return s.why == nil
}

func (s *scanner) requestLine(line []byte) {
	sp1 := bytes.IndexByte(line, ' ')
	sp2 := bytes.LastIndexByte(line, ' ')
	if sp1 < 1 || sp2 == sp1 || !isToken(line[:sp1]) {
		s.why = whyRequest
		return
	}
	method, target := line[:sp1], line[sp1+1:sp2]
	switch string(line[sp2+1:]) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		s.http10 = true
	default:
		s.why = whyVersion
		return
	}
	if len(target) == 0 || bytes.IndexByte(target, ' ') >= 0 || bytes.IndexByte(target, '\t') >= 0 {
		s.why = whyRequest
		return
	}
	// A fragment is never sent; who drops it and who keeps it would route the
	// same request differently.
	if bytes.IndexByte(target, '#') >= 0 {
		s.why = whyTarget
		return
	}
	path := target
	switch {
	case string(method) == http.MethodConnect:
		if !isAuthority(target) || target[len(target)-1] == ']' || bytes.IndexByte(target, ':') < 0 {
			s.why = whyTarget
		}
		return
	case string(target) == "*":
		if string(method) != http.MethodOptions {
			s.why = whyTarget
		}
		return
	case target[0] == '/':
	default:
		n := schemeLen(target)
		if n == 0 {
			s.why = whyTarget
			return
		}
		stop := bytes.IndexAny(target[n:], "/?")
		if stop < 0 {
			stop = len(target) - n
		}
		if !isAuthority(target[n : n+stop]) {
			s.why = whyAuthority
			return
		}
		s.authFrom = sp1 + 1 + n
		s.authTo = s.authFrom + stop
		path = target[n+stop:]
	}
	if q := bytes.IndexByte(path, '?'); q >= 0 {
		path = path[:q]
	}
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		if i+2 >= len(path) || hexValue[path[i+1]] < 0 || hexValue[path[i+2]] < 0 {
			s.why = whyTarget
			return
		}
		i += 2
	}
}

// schemeLen is the length of http:// or https:// in front of b.
func schemeLen(b []byte) int {
	switch {
	case len(b) > 7 && equalFold(b[:7], "http://"):
		return 7
	case len(b) > 8 && equalFold(b[:8], "https://"):
		return 8
	}
	return 0
}

func (s *scanner) field(b, line []byte) {
	if line[0] == ' ' || line[0] == '\t' {
		s.why = whyFold
		return
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !isToken(line[:colon]) {
		s.why = whyName
		return
	}
	name, value := line[:colon], trim(line[colon+1:])
	if s.state == inTrailer {
		if isName(name, "content-length") || isName(name, "transfer-encoding") || isName(name, "trailer") || isName(name, "host") {
			s.why = whyTrailer
		}
		return
	}
	// The length picks at most two candidates, so most lines cost one compare.
	switch len(name) {
	case len("host"):
		if isName(name, "host") {
			s.hostField(b, value)
		}
	case len("expect"):
		if isName(name, "expect") {
			if s.expect || !equalFold(value, "100-continue") {
				s.why = whyExpect
			}
			s.expect = true
		}
	case len("trailer"):
		if isName(name, "trailer") {
			s.trailerField(value)
		}
	case len("content-length"):
		if isName(name, "content-length") {
			s.lengthField(value)
		}
	case len("transfer-encoding"):
		if isName(name, "transfer-encoding") {
			if s.chunked || !equalFold(value, "chunked") {
				s.why = whyCoding
			}
			s.chunked = true
		}
	}
}

func (s *scanner) hostField(b, value []byte) {
	switch {
	case s.host:
		s.why = whyHosts
	case !isAuthority(value):
		s.why = whyAuthority
	case s.authTo > 0 && !sameFold(value, b[s.authFrom:s.authTo]):
		s.why = whyAuthMatch
	}
	s.host = true
}

// trailerField refuses an announcement of trailers that would change how the
// message is read.
func (s *scanner) trailerField(value []byte) {
	for len(value) > 0 {
		one := value
		if i := bytes.IndexByte(value, ','); i >= 0 {
			one, value = value[:i], value[i+1:]
		} else {
			value = nil
		}
		one = trim(one)
		if isName(one, "content-length") || isName(one, "transfer-encoding") || isName(one, "trailer") || isName(one, "host") {
			s.why = whyTrailer
			return
		}
	}
}

func (s *scanner) lengthField(value []byte) {
	if s.length >= 0 {
		// Two equal ones too: a proxy in front may have used the other one.
		s.why = whyLengths
		return
	}
	if len(value) == 0 || len(value) > 18 {
		s.why = whyLength
		return
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			s.why = whyLength
			return
		}
		n = n*10 + int64(c-'0')
	}
	s.length = n
}

func (s *scanner) endHead() {
	switch {
	case s.chunked && s.length >= 0:
		s.why = whyBothFraming
	case s.chunked && s.http10:
		s.why = whyCoding10
	case !s.host && !s.http10:
		s.why = whyNoHost
	}
	if s.why != nil {
		return
	}
	chunked, length := s.chunked, s.length
	s.startSection(inHead)
	switch {
	case chunked:
		s.state, s.rest, s.digits = inChunkSize, 0, 0
	case length > 0:
		s.state, s.rest = inLength, uint64(length)
	}
}

var (
	token    = tokenTable()
	control  = controlTable()
	hexValue = hexTable()
)

func tokenTable() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}

// controlTable marks the bytes at which the scan of a section must stop and
// look: all control bytes but the tab.
func controlTable() (t [256]bool) {
	for c := range 0x20 {
		t[c] = c != '\t'
	}
	t[0x7f] = true
	return t
}

func hexTable() (t [256]int8) {
	for c := range t {
		t[c] = -1
	}
	for i := range 10 {
		t['0'+i] = int8(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = int8(10+i), int8(10+i)
	}
	return t
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !token[c] {
			return false
		}
	}
	return len(b) > 0
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func isName(b []byte, lower string) bool { return equalFold(b, lower) }

// equalFold compares with a lower-case text, ASCII letters without case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if lowerByte(c) != lower[i] {
			return false
		}
	}
	return true
}

func sameFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// isAuthority tells whether b is a host with or without a port: a name, an IPv4
// address, or an IPv6 address in brackets. Percent escapes, user names and the
// punctuation that the RFC would allow are no host that anybody serves.
func isAuthority(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 || bytes.IndexByte(b[:i], '%') >= 0 {
			return false
		}
		ip, err := netip.ParseAddr(string(b[1:i]))
		return err == nil && ip.Is6() && (i+1 == len(b) || isPort(b[i+1:]))
	}
	for i, c := range b {
		switch {
		case c == ':':
			return i > 0 && isPort(b[i:])
		case c == '-' || c == '.' || c == '_' || c == '~':
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		default:
			return false
		}
	}
	return true
}

// isPort wants a colon and one to five digits.
func isPort(b []byte) bool {
	if b[0] != ':' || len(b) < 2 || len(b) > 6 {
		return false
	}
	n := 0
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}
