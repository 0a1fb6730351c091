package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"
)

// Lean is a Client for HTTP/1.1 over plain TCP that costs about a third of
// Transport: it has no goroutine per connection, writes a request of ordinary
// size with one system call, and keeps the idle connections of each address in a
// stack. It does not speak TLS and does not switch protocols; see Connections for
// what goes where. Close it when its last user is gone.
//
// A connection serves again only after its answer was read to the end, its
// request was sent whole, and the context of the call had not ended.
//
// An answer is refused when it can be read in two ways or is no HTTP/1.0 or 1.1:
// both lengths, lengths that differ, a transfer encoding other than one chunked,
// folded lines, a space before the colon, control bytes, bad chunks, heads of
// more than HeadSize, an unasked change of protocol. Trailers are checked and
// dropped.
//
// The whole request is written before the answer is read. A server that answers
// early and goes on reading is noticed at the end of the request, one that stops
// reading when a write fails.
type Lean struct {
	dialer dialer
	idle   idlePool
}

// lateReply is how long a server that would not take the rest of a request may
// take to say why.
const lateReply = time.Second

// NewLean makes a client that dials by itself. It has no use for the TLS part of
// the configuration.
func NewLean(c Config) *Lean {
	c = c.orDefault()
	l := &Lean{dialer: dialer{config: c}}
	l.idle.size, l.idle.keep, l.idle.most = c.PoolSize, c.IdleTime, c.MaxRequests
	return l
}

// Close closes the idle connections. Those in use close with their request.
func (l *Lean) Close() error {
	l.idle.close()
	return nil
}

// Do implements Client. The request's body is closed when it returns.
//
// A request that meets a connection which the server has closed meanwhile is
// sent once more, over a new connection: when nothing of it was sent, or when it
// is in memory and its method may be repeated as Kong repeats it. No byte of an
// answer may have come.
func (l *Lean) Do(ctx context.Context, r *Request) (*Response, error) {
	if r.Body != nil {
		// What closing a body that was read, or is not wanted, has to say is of no
		// use to anybody.
		defer func() { _ = r.Body.Close() }()
	}
	m, err := newMessage(r, l.idle.size < 0)
	if err != nil {
		return nil, err
	}
	defer m.release()
	c := l.idle.take(r.Address)
	for {
		if ctx.Err() != nil {
			if c != nil {
				l.idle.put(r.Address, c)
			}
			return nil, fmt.Errorf("ask %s: %w", r.Address, context.Cause(ctx))
		}
		if c == nil {
			if c, err = l.dial(ctx, r.Address); err != nil {
				return nil, err
			}
		}
		response, err := l.exchange(ctx, c, r, m)
		if err == nil {
			return response, nil
		}
		if !c.reused || !m.mayResend(c, r.Method, err) {
			return nil, fmt.Errorf("ask %s: %w", r.Address, err)
		}
		// Others of the pool may be as dead as this one.
		c = nil
	}
}

// dial opens a connection.
func (l *Lean) dial(ctx context.Context, address netip.AddrPort) (*conn, error) {
	ctx, cancel := l.dialer.bound(ctx)
	defer cancel()
	plain, err := l.dialer.net.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil, connectError(ctx, address.String(), err)
	}
	c, err := newConn(plain, l.dialer.config)
	if err != nil {
		_ = plain.Close()
		return nil, &ConnectError{Address: address.String(), Err: err}
	}
	return c, nil
}

// exchange sends the request over a connection and reads the head of the answer.
// When it fails the connection is closed.
func (l *Lean) exchange(ctx context.Context, c *conn, r *Request, m *message) (*Response, error) {
	c.begin(r.Read)
	stop := context.AfterFunc(ctx, func() { c.abort(context.Cause(ctx)) })
	h, f, err := converse(c, r, m)
	if err != nil {
		stop()
		c.close()
		return nil, c.reason(err)
	}
	if f.empty() {
		// Nobody has to close such a body for the connection to go back.
		if stop() && f.keep && c.atRest() {
			l.idle.put(r.Address, c)
		} else {
			c.close()
		}
		return &Response{Status: h.status, Header: h.header, Body: http.NoBody, Length: f.length}, nil
	}
	answer := &struct {
		response Response
		body     body
	}{
		response: Response{Status: h.status, Header: h.header, Length: f.length},
		body:     body{conn: c, pool: &l.idle, address: r.Address, stop: stop, framing: f, left: max(f.length, 0)},
	}
	answer.response.Body = &answer.body
	return &answer.response, nil
}

// converse does the talking of exchange.
func converse(c *conn, r *Request, m *message) (head, framing, error) {
	sendErr := m.send(c, r)
	switch {
	case sendErr == nil:
		if r.Sent != nil {
			r.Sent()
		}
	case c.sent == 0 || errors.As(sendErr, new(*sourceError)):
		return head{}, framing{}, sendErr
	default:
		// The server may have answered before the request was there whole, and
		// then have closed or stopped reading.
		c.read = lateReply
	}
	h, f, err := c.readHead(r.Method)
	if err != nil && sendErr != nil {
		return h, f, sendErr
	}
	f.keep = f.keep && sendErr == nil && !m.last
	c.read = r.Read
	return h, f, err
}

// isStale says that an error is what a connection gives that the other side
// closed while nobody looked.
func isStale(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return false
	}
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}
