package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const (
	// A request whose body is known to be no longer than wholeBody is put
	// together in memory and leaves with one write; it can be sent again.
	wholeBody = 256 << 10
	// Longer ones leave in pieces as they come.
	sendPiece = 32 << 10
	// Buffers are pooled by size, so that small requests do not hold large ones.
	smallMessage = 16 << 10
	largeMessage = wholeBody + smallMessage
	// chunkRoom is what the frame of a chunk takes: its length in up to eight
	// digits and a line end before it.
	chunkRoom = 10
)

var smallMessages = sync.Pool{New: func() any { return &message{buf: make([]byte, 0, smallMessage/4)} }}

var largeMessages = sync.Pool{New: func() any { return &message{buf: make([]byte, 0, 2*sendPiece)} }}

// message is a request on its way into a connection.
type message struct {
	buf  []byte // the head, and behind it the body or what is sent next of it
	head int    // length of the head
	// whole says that the buffer holds the complete request, so that it can be
	// sent once more.
	whole bool
	// last says that the connection is to be closed afterwards.
	last bool
}

// sourceError says that a request's body could not be read: the fault of whoever
// delivers it, not of the upstream.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "read the request's body: " + e.err.Error() }

func (e *sourceError) Unwrap() error { return e.err }

var (
	errBodyShort = errors.New("the body is shorter than announced")
	errBodyLong  = errors.New("the body is longer than announced")
)

// newMessage writes the head of a request. last asks the server to close the
// connection afterwards. A request that cannot be written so that it is read the
// same way is refused.
func newMessage(r *Request, last bool) (*message, error) {
	pool := &smallMessages
	if r.Body != nil && (r.Length < 0 || r.Length > smallMessage/2) {
		pool = &largeMessages
	}
	m := pool.Get().(*message)
	m.whole, m.last = false, last
	if err := m.compose(r, last); err != nil {
		m.release()
		return nil, err
	}
	return m, nil
}

// release gives the memory back.
func (m *message) release() {
	switch m.buf = m.buf[:0]; {
	case cap(m.buf) <= smallMessage:
		smallMessages.Put(m)
	case cap(m.buf) <= largeMessage:
		largeMessages.Put(m)
	}
}

func (m *message) compose(r *Request, last bool) error {
	method, host := r.Method, r.Host
	if method == "" {
		method = http.MethodGet
	}
	if host == "" {
		host = r.Address.String()
	}
	switch {
	case !isToken(method) || method == http.MethodConnect:
		return fmt.Errorf("method %q cannot be sent", method)
	case r.Target == "" || !isVisible(r.Target):
		return fmt.Errorf("target %q cannot be sent", r.Target)
	case !isVisible(host):
		return fmt.Errorf("host %q cannot be sent", host)
	}
	b := append(m.buf[:0], method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\n"...)
	m.buf = b
	for name, values := range r.Header {
		if len(values) == 0 || isFraming(name) {
			continue
		}
		if strings.EqualFold(name, "Connection") {
			if last {
				continue // the line is written below
			}
			m.last = hasToken(values, "close")
		}
		if !isToken(name) {
			return fmt.Errorf("header name %q cannot be sent", name)
		}
		for _, value := range values {
			if !isFieldValue(value) {
				return fmt.Errorf("the value of header %q cannot be sent", name)
			}
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, trimSpace(value)...)
			b = append(b, "\r\n"...)
		}
	}
	if last {
		b = append(b, "Connection: close\r\n"...)
	}
	switch {
	case r.Body == nil || r.Length == 0:
		// A server may wait for a body, or refuse the request, when a method that
		// usually has one comes without a length.
		if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
			b = append(b, "Content-Length: 0\r\n"...)
		}
		m.whole = true
	case r.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.Length, 10)
		b = append(b, "\r\n"...)
	}
	m.buf = append(b, "\r\n"...)
	m.head = len(m.buf)
	return nil
}

// isFraming lists the headers that are not taken from the request's, since what
// frames a message follows from the message.
func isFraming(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// send writes the request. Errors of its body are a *sourceError.
func (m *message) send(c *conn, r *Request) error {
	switch {
	case m.whole:
		_, err := c.Write(m.buf)
		return err
	case r.Length < 0:
		return m.sendChunks(c, r.Body)
	case r.Length > wholeBody:
		return m.sendPieces(c, r.Body, r.Length)
	}
	if err := m.load(r.Body, int(r.Length)); err != nil {
		return &sourceError{err}
	}
	_, err := c.Write(m.buf)
	return err
}

// load puts a body of length bytes behind the head. The body is read to its end:
// only then does a server notice that its client hangs up.
func (m *message) load(body io.Reader, length int) error {
	m.grow(length + 1)
	b := m.buf[:m.head]
	for {
		n, err := body.Read(b[len(b) : m.head+length+1])
		b = b[:len(b)+n]
		switch {
		case len(b) > m.head+length:
			return errBodyLong
		case err == io.EOF && len(b) < m.head+length:
			return errBodyShort
		case err == io.EOF:
			m.buf, m.whole = b, true
			return nil
		case err != nil:
			return err
		}
	}
}

// grow makes room for n bytes behind the head.
func (m *message) grow(n int) {
	if need := m.head + n; cap(m.buf) < need {
		m.buf = append(make([]byte, 0, max(need, 2*cap(m.buf))), m.buf...)
	}
}

// sendPieces writes head and body as the body comes.
func (m *message) sendPieces(c *conn, body io.Reader, length int64) error {
	m.grow(sendPiece)
	b := m.buf[:m.head]
	for sent := int64(0); ; {
		n, err := body.Read(b[len(b) : len(b)+sendPiece])
		sent += int64(n)
		switch {
		case sent > length:
			return &sourceError{errBodyLong}
		case err == io.EOF && sent < length:
			return &sourceError{errBodyShort}
		case err != nil && err != io.EOF:
			return &sourceError{err}
		}
		if b = b[:len(b)+n]; len(b) > 0 {
			if _, err := c.Write(b); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		b = b[:0]
	}
}

// sendChunks writes head and body as the body comes, each piece as a chunk.
func (m *message) sendChunks(c *conn, body io.Reader) error {
	const lastChunk = "0\r\n\r\n"
	m.grow(chunkRoom + sendPiece + len("\r\n"+lastChunk))
	b := m.buf[:m.head]
	for {
		start := len(b) + chunkRoom
		n, err := body.Read(b[start : start+sendPiece])
		if err != nil && err != io.EOF {
			return &sourceError{err}
		}
		if n > 0 {
			// The length has leading zeros, so that its room is always the same.
			b = fmt.Appendf(b, "%08x\r\n", n)
			b = append(b[:start+n], "\r\n"...)
		}
		if err == io.EOF {
			b = append(b, lastChunk...)
		}
		if len(b) > 0 {
			if _, err := c.Write(b); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		b = b[:0]
	}
}

// mayResend says whether a call that failed on a connection which had served
// before may be made again on a new one.
func (m *message) mayResend(c *conn, method string, err error) bool {
	if !m.whole || c.answered || !isStale(err) {
		return false
	}
	switch method {
	case http.MethodPost, http.MethodPatch, "LOCK":
		// What was sent may have been understood, and be paid for.
		return c.sent == 0
	}
	return true
}
