package upstream

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// readBuffer is the size of a connection's buffer, which lives as long as the
	// connection; an answer's head may make it grow for a while. Large reads of
	// a body go past it.
	readBuffer = 4 << 10
	// maxInformational is how many answers with status 1xx may come before the
	// one that counts.
	maxInformational = 16
)

var errHeadTooLarge = errors.New("the head of the answer is too large")

// conn is a connection of a Lean client. It belongs to one call at a time; only
// abort may be called by others.
type conn struct {
	net   net.Conn
	probe probe
	write time.Duration // bounds one write; 0: no bound
	head  int           // bounds the head of an answer, in bytes

	buf  []byte
	r, w int // what was read and not yet used is buf[r:w]

	// About the call in progress.
	read     time.Duration // bounds one read; 0: no bound
	armed    bool          // the connection has a read deadline
	reused   bool          // the connection has served before
	sent     int64         // bytes of the request that were written
	answered bool          // a byte of the answer has come

	served int                   // how many calls there were
	since  time.Time             // when it became idle
	cause  atomic.Pointer[error] // why it was aborted
}

func newConn(plain net.Conn, config Config) (*conn, error) {
	c := &conn{net: plain, write: config.Write, head: config.HeadSize, buf: make([]byte, readBuffer)}
	if s, ok := plain.(syscall.Conn); ok {
		if err := c.probe.init(s); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// begin readies the connection for a call.
func (c *conn) begin(read time.Duration) {
	c.read, c.sent, c.answered = read, 0, false
	c.served++
}

// atRest says that the other side has sent no more than was asked for.
func (c *conn) atRest() bool { return c.r == c.w }

// rest readies the connection for the pool.
func (c *conn) rest() {
	c.reused, c.r, c.w = true, 0, 0
	if len(c.buf) > readBuffer {
		c.buf = make([]byte, readBuffer)
	}
}

// usable says whether an idle connection can serve: the other side has neither
// closed it nor sent anything.
func (c *conn) usable() bool {
	if c.armed {
		// A deadline that has passed would keep the probe from looking.
		c.armed = false
		if err := c.net.SetReadDeadline(time.Time{}); err != nil {
			return false
		}
	}
	return c.probe.silent()
}

// abort ends whatever the connection is doing.
func (c *conn) abort(cause error) {
	c.cause.CompareAndSwap(nil, &cause)
	c.close()
}

// close closes the connection. It cannot fail in a way that matters: whoever
// closes has no more use for what was or was not sent.
func (c *conn) close() { _ = c.net.Close() }

// reason gives the cause of an abort in place of the error it led to.
func (c *conn) reason(err error) error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	return err
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (int, error) {
	if c.write > 0 {
		if err := c.net.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
			return 0, err
		}
	}
	n, err := c.net.Write(p)
	c.sent += int64(n)
	return n, err
}

// arm begins a wait for bytes.
func (c *conn) arm() error {
	switch {
	case c.read > 0:
		c.armed = true
		return c.net.SetReadDeadline(time.Now().Add(c.read))
	case c.armed:
		c.armed = false
		return c.net.SetReadDeadline(time.Time{})
	}
	return nil
}

// readNet reads from the network into p, which must have room.
func (c *conn) readNet(p []byte) (int, error) {
	n, err := c.net.Read(p)
	if n > 0 {
		// An error comes again with the next read.
		c.answered = true
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, err
}

// fill reads more into the buffer; there must be room, at its end or at its
// start.
func (c *conn) fill() error {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.w == len(c.buf):
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	n, err := c.readNet(c.buf[c.w:])
	c.w += n
	return err
}

// readHead reads the head of the answer to a request with the given method,
// past those with status 1xx. Read bounds the whole of it.
func (c *conn) readHead(method string) (head, framing, error) {
	if err := c.arm(); err != nil {
		return head{}, framing{}, err
	}
	budget := c.head
	for range maxInformational + 1 {
		block, err := c.headBlock(budget)
		if err != nil {
			return head{}, framing{}, err
		}
		budget -= len(block)
		h, err := parseHead(block)
		if err != nil {
			return head{}, framing{}, err
		}
		f, err := frame(&h, method)
		if err != nil {
			return head{}, framing{}, err
		}
		if h.status/100 != 1 {
			return h, f, nil
		}
	}
	return head{}, framing{}, errHeadTooLarge
}

// headBlock reads up to the empty line that ends a head. What it returns is
// valid until the next read.
func (c *conn) headBlock(budget int) ([]byte, error) {
	for seen := 0; ; {
		end, next := headEnd(c.buf[c.r:c.w], seen)
		if end > budget || end < 0 && c.w-c.r >= budget {
			return nil, errHeadTooLarge
		}
		if end >= 0 {
			block := c.buf[c.r : c.r+end]
			c.r += end
			return block, nil
		}
		seen = next
		if c.w-c.r == len(c.buf) {
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
		if err := c.fill(); err != nil {
			if err == io.EOF && c.answered {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}
