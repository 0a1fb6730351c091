package listener

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// BodyError is what a connection returns when the client broke the framing of a
// chunked body. Reading the request's body gives it, except in the trailers,
// where net/http puts an error of its own in its place: ask BrokenBody.
type BodyError struct{ Reason Reason }

func (e *BodyError) Error() string { return "request body: " + e.Reason.Text }

// errRefused is all a connection gives once its marker has been handed out.
var errRefused = errors.New("connection refused for a bad request head")

// The marker is the request that stands in for a refused one. Nobody can forge
// it: its target is drawn when the process starts, and Refused believes it only
// on a connection whose scanner has refused something.
//
// It announces a body that never comes, more than net/http would wait for. So
// net/http does not watch the connection while the marker is answered, says
// that it closes, and closes gently: its own side first, and the rest after a
// while. Otherwise a reset, caused by what the client is still sending, could
// overtake the answer. "Connection: close" would undo that.
var (
	markerTarget = "/" + rand.Text()
	marker       = "POST " + markerTarget + " HTTP/1.1\r\nHost: refused.invalid\r\nContent-Length: 1048576\r\n\r\n"
)

// holdSize is the first size of the memory for unfinished heads, and the only
// one that is pooled.
const holdSize = 4 << 10

var holds = sync.Pool{New: func() any { return new([holdSize]byte) }}

// Conn is a server's side of an HTTP/1 connection that lets only unambiguous
// messages through. A head is handed on when it is whole and good; a bad one is
// never handed on, not even in part: a marker request takes its place, and
// after that the connection yields nothing more.
//
// As with any connection that net/http serves, one goroutine reads at a time.
type Conn struct {
	net.Conn
	scan scanner

	// What has been read and not yet handed on: mem[r:g] may be, mem[g:w] is
	// an unfinished or refused section. mem is nil while nothing is held.
	mem     []byte
	pooled  *[holdSize]byte // mem's array, when it came from the pool
	r, g, w int

	marked bool   // the marker's delivery has begun
	marker string // what is left of it

	tunnel  atomic.Bool
	refused atomic.Pointer[Reason] // set when the marker begins
	broken  atomic.Pointer[Reason] // set when a body's framing failed

	amend *amendment // of the next answer's head; nil: none

	// net/http starts its own limit on the time for a head when it has seen the
	// first bytes of one. It sees them only when the head is whole, so the
	// limit is kept here as well.
	headTime time.Duration
	armed    bool // the reader's own copy of "until is set"
	mu       sync.Mutex
	asked    time.Time // the deadline that was asked for
	until    time.Time // the deadline of the head being read
}

func newConn(c net.Conn, l Limits, h2c bool) *Conn {
	return &Conn{Conn: c, scan: newScanner(l, h2c), headTime: l.orDefault().Time}
}

// Read hands on bytes that were found good. It allocates nothing as long as
// whole heads arrive in one piece.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case c.tunnel.Load():
			return c.readRaw(p)
		case c.r < c.g:
			n := copy(p, c.mem[c.r:c.g])
			c.r += n
			if c.r == c.w {
				c.release()
			}
			return n, nil
		case c.scan.why != nil && c.scan.inBody():
			c.release()
			c.broken.Store(c.scan.why)
			return 0, &BodyError{*c.scan.why}
		case c.scan.why != nil:
			n, err := c.readRefused(p)
			if n > 0 || err != nil {
				return n, err
			}
		case c.r == c.w:
			n, err := c.readInPlace(p)
			if n > 0 || err != nil {
				return n, err
			}
		default:
			if err := c.readMore(p); err != nil {
				return 0, err
			}
		}
	}
}

// readInPlace is the usual case: nothing is held, and what arrives is judged
// where the caller wants it. Both results are zero when all of it must wait.
func (c *Conn) readInPlace(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return 0, err
	}
	// An error beside bytes comes again with the next read.
	if c.tunnel.Load() {
		return n, nil
	}
	good := c.scan.feed(p[:n])
	if good < n {
		c.grow(n - good)
		c.w += copy(c.mem[c.w:], p[good:n])
	}
	return good, nil
}

// readMore reads the continuation of a held section.
func (c *Conn) readMore(p []byte) error {
	// A read of one byte is net/http watching for the client to leave while a
	// handler runs. An error there cancels the request in progress, so a slow
	// next head must not time out now; its time starts with the next real read.
	if c.scan.state == inHead && len(p) > 1 {
		if err := c.arm(); err != nil {
			return err
		}
	}
	c.grow(1)
	n, err := c.Conn.Read(c.mem[c.w:])
	if n == 0 {
		return err
	}
	c.w += n
	if c.tunnel.Load() {
		return nil
	}
	c.g += c.scan.feed(c.mem[c.g:c.w])
	if c.r < c.g || c.scan.why != nil {
		return c.disarm()
	}
	return nil
}

// readRefused is for a connection whose next head was refused.
func (c *Conn) readRefused(p []byte) (int, error) {
	if !c.marked {
		// net/http watching for the client to leave, with a handler at work. It
		// may be about to take the connection over for another protocol, whose
		// first bytes were mistaken for a head: keep them for Tunnel as long as
		// there is room, and do not let the marker begin.
		if len(p) == 1 && c.w-c.r < c.scan.limits.HeadBytes+holdSize {
			c.grow(1)
			n, err := c.Conn.Read(c.mem[c.w:])
			c.w += n
			if n == 0 {
				return 0, err
			}
			return 0, nil
		}
		c.release()
		c.marked, c.marker = true, marker
		c.refused.Store(c.scan.why)
	}
	if c.marker == "" {
		return 0, errRefused
	}
	n := copy(p, c.marker)
	c.marker = c.marker[n:]
	return n, nil
}

func (c *Conn) readRaw(p []byte) (int, error) {
	if c.r == c.w {
		c.release()
		return c.Conn.Read(p)
	}
	n := copy(p, c.mem[c.r:c.w])
	c.r += n
	c.g = max(c.g, c.r)
	return n, nil
}

// grow makes room for n more bytes behind mem[w].
func (c *Conn) grow(n int) {
	switch held := c.w - c.r; {
	case c.mem == nil && n <= holdSize:
		c.pooled = holds.Get().(*[holdSize]byte)
		c.mem = c.pooled[:]
	case len(c.mem)-c.w >= n:
	case c.r > 0 && len(c.mem)-held >= max(n, len(c.mem)/4):
		copy(c.mem, c.mem[c.r:c.w])
		c.r, c.g, c.w = 0, c.g-c.r, held
	default:
		mem := make([]byte, max(2*len(c.mem), held+n))
		copy(mem, c.mem[c.r:c.w])
		r, g := c.r, c.g
		c.release()
		c.mem, c.g, c.w = mem, g-r, held
	}
}

// release forgets what is held.
func (c *Conn) release() {
	if c.pooled != nil {
		holds.Put(c.pooled)
	}
	c.pooled, c.mem = nil, nil
	c.r, c.g, c.w = 0, 0, 0
}

// Tunnel ends all judging: from now on every byte passes as it comes, also
// those that were read and held back. A handler calls it when it takes the
// connection over for another protocol, before or after the hijack.
func (c *Conn) Tunnel() { c.tunnel.Store(true) }

// CloseWrite closes the sending side, so that the client can still read the
// last answer.
func (c *Conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline of reads. A head that is being read may end
// the wait earlier.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = t
	return c.apply()
}

func (c *Conn) arm() error {
	if c.armed {
		return nil
	}
	c.armed = true
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Now().Add(c.headTime)
	return c.apply()
}

func (c *Conn) disarm() error {
	if !c.armed {
		return nil
	}
	c.armed = false
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Time{}
	return c.apply()
}

func (c *Conn) apply() error {
	t := c.asked
	if !c.until.IsZero() && (t.IsZero() || c.until.Before(t)) {
		t = c.until
	}
	return c.Conn.SetReadDeadline(t)
}

// tlsConn is a Conn over TLS. It is a type of its own because net/http takes a
// request for an encrypted one as soon as the method is there.
type tlsConn struct {
	*Conn
	tls *tls.Conn
}

// ConnectionState is where net/http takes http.Request.TLS from.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

type connKey struct{}

// ConnContext is for http.Server.ConnContext: it lets Refused and FromContext
// find the connection.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	switch c := c.(type) {
	case *Conn:
		return context.WithValue(ctx, connKey{}, c)
	case *tlsConn:
		return context.WithValue(ctx, connKey{}, c.Conn)
	}
	return ctx
}

// FromContext returns the connection of a request, or nil when it is not one of
// this package's: HTTP/2 over TLS, which cannot be hijacked either.
func FromContext(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// Refused tells whether r stands in for a request that was refused, and why.
// Nothing else in r means anything then. It needs ConnContext in the server;
// handlers behind Server never see such a request.
func Refused(r *http.Request) (Reason, bool) {
	c := FromContext(r.Context())
	if c == nil || r.ProtoMajor != 1 || r.RequestURI != markerTarget {
		return Reason{}, false
	}
	why := c.refused.Load()
	if why == nil {
		return Reason{}, false
	}
	return *why, true
}

// BrokenBody tells whether the client broke the framing of r's body, and how.
// It is known once reading the body has failed. The fault is the client's: the
// answer is the reason's Status, whatever an upstream was doing meanwhile.
// net/http ends the request's context at the moment of the failure, and closes
// the connection after the answer.
func BrokenBody(r *http.Request) (Reason, bool) {
	c := FromContext(r.Context())
	if c == nil {
		return Reason{}, false
	}
	why := c.broken.Load()
	if why == nil {
		return Reason{}, false
	}
	return *why, true
}
