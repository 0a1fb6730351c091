package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	handshakeTime = 10 * time.Second
	maxHandshakes = 4096
	lingerTime    = 500 * time.Millisecond
)

// Options are what all listeners of one plane have in common. The zero value
// works for entries without ssl.
type Options struct {
	// TLS serves the entries with ssl. It is copied, and the protocols to
	// negotiate are filled in from the entry's flags; a config that its
	// GetConfigForClient returns must bring its own NextProtos.
	TLS *tls.Config
	// Limits bounds request heads.
	Limits Limits
	// Gate bounds connections; nil means no bound.
	Gate *Gate
	// Log hears of connections that came to nothing, at level debug. Nil means
	// no log.
	Log *slog.Logger
}

// Open opens all sockets, or none. Whoever gets the listeners closes them;
// http.Server.Serve does it for those it serves.
func Open(ctx context.Context, addrs []Addr, o Options) ([]*Listener, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var all []*Listener
	for _, a := range addrs {
		l, err := open(ctx, a, o)
		if err != nil {
			err = fmt.Errorf("listen on %s: %w", a.HostPort(), err)
			for _, l := range all {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// Listener accepts the connections of one entry. Each one that Accept returns
// is strict (see Conn), or is a *tls.Conn that has shaken hands on HTTP/2.
type Listener struct {
	addr  Addr
	inner net.Listener
	opt   Options

	// The rest is for TLS, where handshakes run beside each other.
	tls   *tls.Config // nil: plain
	ready chan net.Conn
	slots chan struct{} // holds one value per running handshake
	done  chan struct{} // closed by Close
	ended chan struct{} // closed when the accept loop ends
	fault error         // why it ended; read after ended is closed
	stop  context.CancelFunc
	wg    sync.WaitGroup
	once  sync.Once
	err   error // what closing inner gave
}

func open(ctx context.Context, a Addr, o Options) (*Listener, error) {
	if a.ProxyProtocol {
		return nil, errors.New("the flag proxy_protocol is not supported")
	}
	if a.SSL && o.TLS == nil {
		return nil, errors.New("the flag ssl needs a certificate")
	}
	alive, ok := keepalive(a.Keepalive)
	if !ok {
		return nil, fmt.Errorf("so_keepalive %q is malformed", a.Keepalive)
	}
	conf := net.ListenConfig{KeepAliveConfig: alive}
	if !alive.Enable {
		conf.KeepAlive = -1
	}
	inner, err := conf.Listen(ctx, a.network(), a.HostPort())
	if err != nil {
		return nil, err
	}
	return newListener(ctx, inner, a, o), nil
}

func newListener(ctx context.Context, inner net.Listener, a Addr, o Options) *Listener {
	l := &Listener{addr: a, inner: inner, opt: o, done: make(chan struct{})}
	if !a.SSL {
		return l
	}
	l.tls = o.TLS.Clone()
	l.tls.NextProtos = []string{"http/1.1"}
	if a.HTTP2 {
		l.tls.NextProtos = []string{"h2", "http/1.1"}
	}
	l.ready = make(chan net.Conn)
	l.slots = make(chan struct{}, maxHandshakes)
	l.ended = make(chan struct{})
	// The listener lives until Close, not until the context of its opening ends.
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.wg.Go(func() { l.acceptTLS(run) })
	return l
}

// Addr is the address that was bound, with the port that was chosen.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Entry is the listen entry that was opened.
func (l *Listener) Entry() Addr { return l.addr }

// Accept returns the next connection, for which all that is due before HTTP has
// been done.
func (l *Listener) Accept() (net.Conn, error) {
	if l.tls == nil {
		raw, err := l.next()
		if err != nil {
			return nil, err
		}
		return newConn(raw, l.opt.Limits, l.addr.HTTP2), nil
	}
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-l.ended:
		return nil, l.fault
	}
}

// next accepts a connection that the gate admits.
func (l *Listener) next() (net.Conn, error) {
	for {
		raw, err := l.inner.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.opt.Gate.admit(raw); c != nil {
			return c, nil
		}
		l.drop(raw, "too many connections")
	}
}

func (l *Listener) drop(c net.Conn, why string) {
	l.opt.Log.Debug("connection dropped", "client", c.RemoteAddr().String(), "reason", why)
	if err := c.Close(); err != nil {
		l.opt.Log.Debug("close connection", "client", c.RemoteAddr().String(), "error", err)
	}
}

// acceptTLS accepts until the listener closes. Handshakes take round trips, so
// each has a goroutine of its own, which acceptTLS's owner waits for.
func (l *Listener) acceptTLS(ctx context.Context) {
	defer close(l.ended)
	pause := time.Duration(0)
	for {
		raw, err := l.next()
		if err != nil {
			if ctx.Err() != nil || !passes(err) {
				l.fault = err
				return
			}
			// Out of file descriptors, most likely: wait for some to come back.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			l.opt.Log.Error("accept", "listener", l.addr.HostPort(), "error", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		select {
		case l.slots <- struct{}{}:
			l.wg.Go(func() {
				// Kept until the connection is handed over, so that goroutines are
				// bounded whatever the server does.
				defer func() { <-l.slots }()
				c := l.shake(ctx, raw)
				if c == nil {
					return
				}
				select {
				case l.ready <- c:
				case <-l.done:
					l.drop(c, "listener closed")
				}
			})
		default:
			l.drop(raw, "too many handshakes")
		}
	}
}

// passes tells whether accepting may work again later.
func passes(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	//lint:ignore SA1019 net/http's Serve judges accept errors by the same method.
	return ok && ne.Temporary()
}

// shake does the handshake and returns nil when it failed.
func (l *Listener) shake(ctx context.Context, raw net.Conn) net.Conn {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	c := tls.Server(raw, l.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		if record, ok := errors.AsType[tls.RecordHeaderError](err); ok && record.Conn != nil && isHTTP(record.RecordHeader) {
			err = errors.Join(err, l.answerPlain(record.Conn))
		}
		l.drop(raw, err.Error())
		return nil
	}
	if c.ConnectionState().NegotiatedProtocol == "h2" {
		// net/http looks for this type, and serves HTTP/2 on nothing else.
		return c
	}
	return &tlsConn{Conn: newConn(c, l.opt.Limits, false), tls: c}
}

// isHTTP tells whether what should have been a TLS record starts like an HTTP
// request.
func isHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO":
		return true
	}
	return false
}

// answerPlain tells a client that speaks HTTP to a TLS port what is wrong. Kong
// answers 400 as well.
func (l *Listener) answerPlain(c net.Conn) error {
	const text = "This port speaks HTTPS.\n"
	if err := c.SetDeadline(time.Now().Add(lingerTime)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
	if err != nil {
		return err
	}
	if cw, ok := c.(interface{ CloseWrite() error }); ok {
		if err := cw.CloseWrite(); err != nil {
			return err
		}
	}
	// Closing with unread bytes would reset the connection, and the answer with it.
	_, err = io.CopyN(io.Discard, c, 64<<10)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Close stops accepting, breaks off the handshakes that are running and waits
// for their goroutines. Connections that Accept has returned are not touched.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		if l.stop != nil {
			l.stop()
		}
		l.err = l.inner.Close()
		l.wg.Wait()
	})
	return l.err
}
