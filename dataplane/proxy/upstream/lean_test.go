package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// ask sends a request and reads the whole answer.
func ask(ctx context.Context, c Client, r *Request) (int, string, error) {
	in, err := c.Do(ctx, r)
	if err != nil {
		return 0, "", err
	}
	data, err := io.ReadAll(in.Body)
	if closeErr := in.Body.Close(); err == nil {
		err = closeErr
	}
	return in.Status, string(data), err
}

func mustAsk(t *testing.T, c Client, r *Request) {
	t.Helper()
	if status, data, err := ask(t.Context(), c, r); status != 200 || data != "ok" || err != nil {
		t.Fatalf("got %d %q, %v", status, data, err)
	}
}

// streamed hides the length of a body from everything but its reader.
type streamed struct {
	parts  []string
	err    error
	closed atomic.Int32
}

func (s *streamed) Read(p []byte) (int, error) {
	if len(s.parts) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		return 0, io.EOF
	}
	n := copy(p, s.parts[0])
	if s.parts[0] = s.parts[0][n:]; s.parts[0] == "" {
		s.parts = s.parts[1:]
	}
	return n, nil
}

func (s *streamed) Close() error { s.closed.Add(1); return nil }

func TestRequestOnTheWire(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", wholeBody/16+2000)
	for _, tt := range []struct {
		name   string
		change func(r *Request)
		pool   int
		want   []string // the writes
		closes bool
	}{
		{name: "plain", change: func(*Request) {}, want: []string{"GET / HTTP/1.1\r\nHost: up.test\r\n\r\n"}},
		{name: "no method, no host, a query", change: func(r *Request) { r.Method, r.Host, r.Target = "", "", "//a%2F?b;c=d?" },
			want: []string{"GET //a%2F?b;c=d? HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n"}},
		{name: "header", change: func(r *Request) { r.Header = http.Header{"X-A": {" 1 ", "2\t3"}, "User-Agent": nil} },
			want: []string{"GET / HTTP/1.1\r\nHost: up.test\r\nX-A: 1\r\nX-A: 2\t3\r\n\r\n"}},
		{name: "framing is not taken from the header", change: func(r *Request) {
			r.Header = http.Header{"Host": {"x"}, "content-length": {"7"}, "Content-Length": {"8"}, "Transfer-Encoding": {"chunked"}, "Trailer": {"A"}}
		}, want: []string{"GET / HTTP/1.1\r\nHost: up.test\r\n\r\n"}},
		{name: "keep-alive", change: func(r *Request) { r.Header.Set("Connection", "keep-alive") },
			want: []string{"GET / HTTP/1.1\r\nHost: up.test\r\nConnection: keep-alive\r\n\r\n"}},
		{name: "close", change: func(r *Request) { r.Header.Set("Connection", "close") }, closes: true,
			want: []string{"GET / HTTP/1.1\r\nHost: up.test\r\nConnection: close\r\n\r\n"}},
		{name: "POST without a body", change: func(r *Request) { r.Method = "POST" },
			want: []string{"POST / HTTP/1.1\r\nHost: up.test\r\nContent-Length: 0\r\n\r\n"}},
		{name: "body", change: func(r *Request) { r.Method, r.Body, r.Length = "PUT", &streamed{parts: []string{"he", "llo"}}, 5 },
			want: []string{"PUT / HTTP/1.1\r\nHost: up.test\r\nContent-Length: 5\r\n\r\nhello"}},
		{name: "a body of 100 KB is one write", change: func(r *Request) { r.Body, r.Length = &streamed{parts: []string{big[:100_000]}}, 100_000 },
			want: []string{"GET / HTTP/1.1\r\nHost: up.test\r\nContent-Length: 100000\r\n\r\n" + big[:100_000]}},
		{name: "a body of unknown length", change: func(r *Request) { r.Body, r.Length = &streamed{parts: []string{"hello", " world!"}}, -1 },
			want: []string{
				"GET / HTTP/1.1\r\nHost: up.test\r\nTransfer-Encoding: chunked\r\n\r\n00000005\r\nhello\r\n",
				"00000007\r\n world!\r\n", "0\r\n\r\n",
			}},
		{name: "an empty body of unknown length", change: func(r *Request) { r.Body, r.Length = &streamed{}, -1 },
			want: []string{"GET / HTTP/1.1\r\nHost: up.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &wire{in: [][]byte{[]byte(okAnswer)}, room: -1}
			l := newLean(t, Config{})
			plug(t, l, anywhere, w)
			r := get(anywhere)
			tt.change(r)
			sent := 0
			r.Sent = func() { sent++ }
			mustAsk(t, l, r)
			var got []string
			for _, p := range w.writes {
				got = append(got, string(p))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			if sent != 1 || w.closed.Load() != tt.closes {
				t.Errorf("Sent was called %d times; connection closed: %v", sent, w.closed.Load())
			}
			if s, ok := r.Body.(*streamed); ok && s.closed.Load() != 1 {
				t.Errorf("the body was closed %d times", s.closed.Load())
			}
		})
	}
	t.Run("a long body leaves in pieces", func(t *testing.T) {
		w := &wire{in: [][]byte{[]byte(okAnswer)}, room: -1}
		l := newLean(t, Config{})
		plug(t, l, anywhere, w)
		r := get(anywhere)
		r.Body, r.Length = &streamed{parts: []string{big}}, int64(len(big))
		mustAsk(t, l, r)
		var got strings.Builder
		for _, p := range w.writes {
			got.Write(p)
		}
		if _, body, _ := strings.Cut(got.String(), "\r\n\r\n"); body != big || len(w.writes) < 5 {
			t.Errorf("%d bytes in %d writes; want %d bytes", len(body), len(w.writes), len(big))
		}
	})
}

func TestRefusedRequests(t *testing.T) {
	for name, change := range map[string]func(r *Request){
		"method":         func(r *Request) { r.Method = "GET / HTTP/1.1\r\nX: y\r\n\r\nGET" },
		"CONNECT":        func(r *Request) { r.Method = "CONNECT" },
		"target":         func(r *Request) { r.Target = "/ HTTP/1.1\r\nX: y" },
		"no target":      func(r *Request) { r.Target = "" },
		"host":           func(r *Request) { r.Host = "a\r\nX: y" },
		"name":           func(r *Request) { r.Header["X\r\nY"] = []string{"z"} },
		"name, space":    func(r *Request) { r.Header["X "] = []string{"z"} },
		"value":          func(r *Request) { r.Header["X"] = []string{"a\r\nb: c"} },
		"value, NUL":     func(r *Request) { r.Header["X"] = []string{"\x00"} },
		"body, short":    func(r *Request) { r.Body, r.Length = &streamed{parts: []string{"a"}}, 2 },
		"body, long":     func(r *Request) { r.Body, r.Length = &streamed{parts: []string{"abc"}}, 2 },
		"body, breaks":   func(r *Request) { r.Body, r.Length = &streamed{err: errSource}, 2 },
		"stream, breaks": func(r *Request) { r.Body, r.Length = &streamed{err: errSource, parts: []string{"a"}}, -1 },
		"pieces, short":  func(r *Request) { r.Body, r.Length = &streamed{parts: []string{"a"}}, wholeBody+1 },
		"pieces, too long": func(r *Request) {
			r.Body, r.Length = &streamed{parts: []string{strings.Repeat("a", wholeBody+2)}}, wholeBody+1
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{in: [][]byte{[]byte(okAnswer)}, room: -1}
			l := newLean(t, Config{})
			plug(t, l, anywhere, w)
			r := get(anywhere)
			change(r)
			r.Sent = func() { t.Error("Sent was called") }
			in, err := l.Do(t.Context(), r)
			if err == nil {
				t.Fatalf("got %d", in.Status)
			}
			s, has := r.Body.(*streamed)
			if has && (s.closed.Load() != 1 || !w.closed.Load()) {
				t.Errorf("body closed %d times, connection closed: %v", s.closed.Load(), w.closed.Load())
			}
			if has && s.err != nil && !errors.Is(err, s.err) {
				t.Errorf("got %v, want %v", err, s.err)
			}
			if !has && len(w.writes) > 0 {
				t.Errorf("sent %q", w.writes)
			}
		})
	}
}

var errSource = errors.New("the client is gone")

// The server answers and closes before it has the whole request.
func TestEarlyAnswer(t *testing.T) {
	const early = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
	broken := &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}
	for _, tt := range []struct {
		name, in string
		room     int
		want     int
	}{
		{"it says why", early, 100, 413},
		{"it says nothing", "", 100, 0},
		{"nothing was sent", early, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &wire{in: [][]byte{[]byte(tt.in)}, room: tt.room, outErr: broken}
			l := newLean(t, Config{PoolSize: 1})
			c, err := newConn(w, Config{}.orDefault())
			if err != nil {
				t.Fatal(err)
			}
			r := post(anywhere, strings.Repeat("x", 1000))
			r.Sent = func() { t.Error("Sent was called") }
			m, err := newMessage(r, false)
			if err != nil {
				t.Fatal(err)
			}
			defer m.release()
			in, err := l.exchange(t.Context(), c, r, m)
			if tt.want == 0 {
				if !errors.Is(err, syscall.EPIPE) || !w.closed.Load() {
					t.Errorf("got %v, connection closed: %v", err, w.closed.Load())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(in.Body)
			if in.Status != tt.want || string(data) != "no" || err != nil {
				t.Errorf("got %d %q, %v", in.Status, data, err)
			}
			if err := in.Body.Close(); err != nil || !w.closed.Load() {
				t.Errorf("Close: %v, connection closed: %v", err, w.closed.Load())
			}
		})
	}
}

// waitFor waits until something that must happen has happened.
func waitFor(t *testing.T, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	tooLong := time.After(20 * time.Second)
	for !happened() {
		select {
		case <-tooLong:
			t.Fatal("it has not happened")
		case <-tick.C:
		}
	}
}

// A connection that dies as a request is written.
func TestStaleConnections(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		body         int    // length of the body
		says         string // what the server says before it closes the second time
		fresh        bool   // the connection has not served before
		always       bool   // the server closes every later connection too
		want         int    // requests that the server sees
		ok           bool
	}{
		{name: "GET is sent again", method: "GET", want: 3, ok: true},
		{name: "PUT is sent again with its body", method: "PUT", body: 100_000, want: 3, ok: true},
		{name: "POST is not", method: "POST", body: 5, want: 2},
		{name: "PATCH is not", method: "PATCH", body: 5, want: 2},
		{name: "LOCK is not", method: "LOCK", want: 2},
		{name: "not after a byte of the answer", method: "GET", says: "H", want: 2},
		{name: "not on a new connection", method: "GET", fresh: true, want: 1},
		{name: "only once", method: "GET", always: true, want: 3},
		{name: "not what is no longer in memory", method: "PUT", body: wholeBody + 1, want: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen atomic.Int32
			var lengths sync.Map
			s := serve(t, func(p *peer) {
				for first := true; ; first = false {
					r := p.request()
					if r == nil {
						return
					}
					lengths.Store(seen.Add(1), int(r.ContentLength))
					if p.n == 0 && (!first || tt.fresh) || p.n > 0 && tt.always {
						p.say(tt.says)
						return
					}
					p.say(okAnswer)
				}
			})
			l := newLean(t, Config{})
			if !tt.fresh {
				mustAsk(t, l, get(s.address))
			}
			r := get(s.address)
			if tt.body > 0 {
				r = post(s.address, strings.Repeat("x", tt.body))
			}
			r.Method = tt.method
			_, data, err := ask(t.Context(), l, r)
			if (err == nil) != tt.ok || tt.ok && data != "ok" {
				t.Errorf("got %q, %v", data, err)
			}
			if n := int(seen.Load()); n != tt.want {
				t.Errorf("the server saw %d requests, want %d", n, tt.want)
			}
			if length, _ := lengths.Load(int32(tt.want)); tt.ok && length != tt.body {
				t.Errorf("the last request had %v bytes, want %d", length, tt.body)
			}
			if connect := new(ConnectError); errors.As(err, &connect) {
				t.Errorf("%v says that nothing was sent", err)
			}
		})
	}
}

// Times are those of a bubble, so nothing waits.
func TestTimes(t *testing.T) {
	const second = time.Second
	// talk gives a client whose next connection ends at a server that does as told.
	talk := func(t *testing.T, c Config, server func(far net.Conn)) *Lean {
		l := newLean(t, c)
		near, far := net.Pipe()
		plug(t, l, anywhere, near)
		var running sync.WaitGroup
		running.Go(func() { server(far) })
		t.Cleanup(func() {
			far.Close()
			running.Wait()
		})
		return l
	}
	hear := func(t *testing.T, far net.Conn) {
		if _, err := far.Read(make([]byte, 4096)); err != nil {
			t.Errorf("the server reads: %v", err)
		}
	}
	say := func(t *testing.T, far net.Conn, text string) {
		if _, err := io.WriteString(far, text); err != nil {
			t.Errorf("the server writes: %v", err)
		}
	}
	t.Run("silence before the answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := talk(t, Config{}, func(far net.Conn) { hear(t, far) })
			r := get(anywhere)
			r.Read = 3 * second
			start := time.Now()
			_, _, err := ask(t.Context(), l, r)
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 3*second {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		})
	})
	t.Run("a head that drips", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := talk(t, Config{}, func(far net.Conn) {
				hear(t, far)
				for _, c := range okAnswer {
					time.Sleep(second)
					if _, err := far.Write([]byte{byte(c)}); err != nil {
						return
					}
				}
			})
			r := get(anywhere)
			r.Read = 5*second + second/2
			start := time.Now()
			_, _, err := ask(t.Context(), l, r)
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != r.Read {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		})
	})
	t.Run("a stream lasts as long as it goes on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := talk(t, Config{}, func(far net.Conn) {
				hear(t, far)
				say(t, far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				for range 100 {
					time.Sleep(2 * second)
					say(t, far, "1\r\nx\r\n")
				}
			})
			r := get(anywhere)
			r.Read = 3 * second
			start := time.Now()
			_, data, err := ask(t.Context(), l, r)
			if !errors.Is(err, os.ErrDeadlineExceeded) || data != strings.Repeat("x", 100) || time.Since(start) != 203*second {
				t.Errorf("got %q, %v after %v", data, err, time.Since(start))
			}
		})
	})
	t.Run("no bound, after a call that had one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := talk(t, Config{}, func(far net.Conn) {
				for range 2 {
					hear(t, far)
					say(t, far, okAnswer[:20])
					time.Sleep(2 * second)
					say(t, far, okAnswer[20:])
				}
			})
			r := get(anywhere)
			r.Read = 3 * second
			mustAsk(t, l, r)
			r.Read = 0
			time.Sleep(2 * second)
			mustAsk(t, l, r)
		})
	})
	t.Run("a server that does not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := talk(t, Config{Write: 4 * second}, func(net.Conn) {})
			start := time.Now()
			_, _, err := ask(t.Context(), l, post(anywhere, "hello"))
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 4*second {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		})
	})
	t.Run("a server that stops reading and says why", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := talk(t, Config{Write: 4 * second}, func(far net.Conn) {
				hear(t, far)
				say(t, far, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
			})
			status, data, err := ask(t.Context(), l, post(anywhere, strings.Repeat("x", 10_000)))
			if status != 413 || data != "no" || err != nil {
				t.Errorf("got %d %q, %v", status, data, err)
			}
		})
	})
	t.Run("idle connections grow old", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLean(t, Config{IdleTime: 10 * second})
			conns := make([]*wire, 3)
			for i := range conns {
				conns[i] = &wire{}
				plug(t, l, anywhere, conns[i])
				time.Sleep(4 * second)
			}
			var got []bool
			for range 3 { // after 12, 14.5 and 17 seconds
				for _, w := range conns {
					got = append(got, w.closed.Load())
				}
				time.Sleep(2 * second)
				synctest.Wait()
				time.Sleep(second / 2)
			}
			want := []bool{true, false, false, true, true, false, true, true, false}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("closed (-want +got):\n%s", diff)
			}
			time.Sleep(10 * second)
			synctest.Wait()
			l.idle.mu.Lock()
			defer l.idle.mu.Unlock()
			if !conns[2].closed.Load() || len(l.idle.stacks) != 0 || l.idle.armed {
				t.Errorf("left: %d addresses, timer armed: %v, closed: %v", len(l.idle.stacks), l.idle.armed, conns[2].closed.Load())
			}
		})
	})
}

func TestPool(t *testing.T) {
	fill := func(t *testing.T, l *Lean, n int) []*wire {
		conns := make([]*wire, n)
		for i := range conns {
			conns[i] = &wire{}
			plug(t, l, anywhere, conns[i])
		}
		return conns
	}
	closed := func(conns []*wire) (n int) {
		for _, w := range conns {
			if w.closed.Load() {
				n++
			}
		}
		return n
	}
	t.Run("no more than its size", func(t *testing.T) {
		conns := fill(t, newLean(t, Config{PoolSize: 2}), 3)
		if n := closed(conns); n != 1 || conns[0].closed.Load() {
			t.Errorf("%d closed, the first: %v", n, conns[0].closed.Load())
		}
	})
	t.Run("the last first", func(t *testing.T) {
		l := newLean(t, Config{})
		conns := fill(t, l, 3)
		for i := 2; i >= 0; i-- {
			c := l.idle.take(anywhere)
			if c == nil || c.net != net.Conn(conns[i]) {
				t.Fatalf("take %d: %v", i, c)
			}
		}
		if c := l.idle.take(anywhere); c != nil {
			t.Errorf("one too many: %v", c)
		}
	})
	t.Run("none of another address", func(t *testing.T) {
		l := newLean(t, Config{})
		fill(t, l, 1)
		if c := l.idle.take(netip.MustParseAddrPort("192.0.2.1:81")); c != nil {
			t.Errorf("took %v", c)
		}
	})
	t.Run("closed", func(t *testing.T) {
		l := NewLean(Config{})
		conns := fill(t, l, 2)
		if err := l.Close(); err != nil || closed(conns) != 2 {
			t.Errorf("Close: %v, %d closed", err, closed(conns))
		}
		if later := fill(t, l, 1); closed(later) != 1 {
			t.Error("a connection went back to a closed pool")
		}
	})
	t.Run("keeps none", func(t *testing.T) {
		s := answering(t, okAnswer)
		l := newLean(t, Config{PoolSize: -1})
		mustAsk(t, l, get(s.address))
		mustAsk(t, l, get(s.address))
		if n := s.accepted(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}

// Close may come while another goroutine reads. The connection is closed then,
// and the reader returns.
func TestCloseWhileReading(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		p.gone()
	})
	l := newLean(t, Config{})
	in, err := l.Do(t.Context(), get(s.address))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1)
	if _, err := io.ReadFull(in.Body, p); err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		if n, err := in.Body.Read(p); err == nil || err == io.EOF {
			t.Errorf("Read: %d, %v", n, err)
		}
	})
	waitFor(t, func() bool { return in.Body.(*body).use.Load() == reading })
	if err := in.Body.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	reader.Wait()
	if _, err := in.Body.Read(p); !errors.Is(err, errBodyClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if err := in.Body.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

func TestWhoTakesWhat(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *Request)
		want   bool
	}{
		{"plain", func(*Request) {}, true},
		{"https", func(r *Request) { r.Scheme = "https" }, false},
		{"upgrade", func(r *Request) { r.Header.Set("Upgrade", "websocket") }, false},
		{"trailers", func(r *Request) { r.Header.Set("Te", "trailers") }, false},
		{"CONNECT", func(r *Request) { r.Method = "CONNECT" }, false},
		{"a host that is not ASCII", func(r *Request) { r.Host = "bücher.test" }, false},
	} {
		r := get(anywhere)
		tt.change(r)
		if got := isPlain(r); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
