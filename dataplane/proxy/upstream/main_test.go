package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a scripted upstream: each connection runs serve, which gets the
// connection's number, from 0.
type server struct {
	address netip.AddrPort
	mu      sync.Mutex
	conns   []net.Conn
}

// accepted is the number of connections so far.
func (s *server) accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// peer is one connection of a scripted upstream.
type peer struct {
	*net.TCPConn
	in *bufio.Reader
	n  int
}

// request reads a request, to the end of its body. nil: the client is gone.
func (p *peer) request() *http.Request {
	r, err := http.ReadRequest(p.in)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r
}

func (p *peer) say(text string) {
	// The client may be gone, which is what some tests are about.
	_, _ = io.WriteString(p, text)
}

// gone waits for the client to close the connection and tells whether it sent
// anything first.
func (p *peer) gone() (silent bool) {
	n, err := io.Copy(io.Discard, p.in)
	return n == 0 || err != nil && !errors.Is(err, io.EOF)
}

func serve(t testing.TB, handle func(p *peer)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: l.Addr().(*net.TCPAddr).AddrPort()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			n := len(s.conns)
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			running.Go(func() {
				defer c.Close()
				handle(&peer{TCPConn: c.(*net.TCPConn), in: bufio.NewReader(c), n: n})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		running.Wait()
	})
	return s
}

// answering serves every request with the same bytes.
func answering(t *testing.T, text string) *server {
	return serve(t, func(p *peer) {
		for p.request() != nil {
			p.say(text)
		}
	})
}

func newLean(t *testing.T, c Config) *Lean {
	l := NewLean(c)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

func get(address netip.AddrPort) *Request {
	return &Request{Method: "GET", Scheme: "http", Address: address, Host: "up.test", Target: "/", Header: http.Header{}}
}

func post(address netip.AddrPort, body string) *Request {
	r := get(address)
	r.Method, r.Body, r.Length = "POST", io.NopCloser(bytes.NewBufferString(body)), int64(len(body))
	return r
}

// wire is the network as a script: what is read from it, piece by piece, and what
// was written to it.
type wire struct {
	net.Conn // nil: nothing else is called
	in       [][]byte
	inErr    error // after in; nil: io.EOF
	writes   [][]byte
	room     int   // bytes that can be written; negative: all
	outErr   error // when room is used up
	closed   atomic.Bool
}

func (w *wire) Read(p []byte) (int, error) {
	for len(w.in) > 0 && len(w.in[0]) == 0 {
		w.in = w.in[1:]
	}
	if len(w.in) == 0 {
		if w.inErr == nil {
			return 0, io.EOF
		}
		return 0, w.inErr
	}
	n := copy(p, w.in[0])
	w.in[0] = w.in[0][n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	if w.room >= 0 && len(p) > w.room {
		n := w.room
		w.room = 0
		return n, w.outErr
	}
	if w.room >= 0 {
		w.room -= len(p)
	}
	w.writes = append(w.writes, bytes.Clone(p))
	return len(p), nil
}

func (w *wire) Close() error                     { w.closed.Store(true); return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// pieces cuts a text into pieces of at most n bytes.
func pieces(text []byte, n int) [][]byte {
	var all [][]byte
	for len(text) > n {
		all, text = append(all, bytes.Clone(text[:n])), text[n:]
	}
	return append(all, bytes.Clone(text))
}

// plug gives a client a connection as if it had been used before.
func plug(t *testing.T, l *Lean, address netip.AddrPort, n net.Conn) {
	t.Helper()
	c, err := newConn(n, l.dialer.config)
	if err != nil {
		t.Fatal(err)
	}
	l.idle.put(address, c)
}

var anywhere = netip.MustParseAddrPort("192.0.2.1:80")
