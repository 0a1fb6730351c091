package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// testClient holds a client to what Client promises.
func testClient(t *testing.T, open func() interface {
	Client
	io.Closer
}) {
	start := func(t *testing.T) Client {
		c := open()
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return c
	}
	t.Run("requests and answers", func(t *testing.T) {
		s := serve(t, func(p *peer) {
			for {
				r := p.request()
				if r == nil {
					return
				}
				data, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				text := fmt.Sprintf("%s %s %s %q %d %d", r.Method, r.Host, r.RequestURI, r.Header["X-A"], r.ContentLength, len(data))
				p.say(fmt.Sprintf("HTTP/1.1 201 Created\r\nX-b: 1\r\nx-B: 2\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
			}
		})
		c := start(t)
		for _, tt := range []struct{ size, length int }{{0, 0}, {5, 5}, {100_000, 100_000}, {1 << 20, 1 << 20}, {5, -1}, {1 << 20, -1}} {
			r := get(s.address)
			r.Method, r.Target, r.Host = "PUT", "/a%2Fb//c?d;e", "h.test:81"
			r.Header = http.Header{"X-A": {"1", "2"}, "User-Agent": nil}
			var sent sync.WaitGroup
			sent.Add(1)
			r.Sent = sync.OnceFunc(sent.Done)
			if tt.size > 0 {
				r.Body, r.Length = io.NopCloser(strings.NewReader(strings.Repeat("x", tt.size))), int64(tt.length)
			}
			in, err := c.Do(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(in.Body)
			if err != nil {
				t.Fatal(err)
			}
			if err := in.Body.Close(); err != nil {
				t.Error(err)
			}
			sent.Wait()
			want := fmt.Sprintf("PUT h.test:81 /a%%2Fb//c?d;e [\"1\" \"2\"] %d %d", tt.length, tt.size)
			if in.Status != 201 || string(data) != want || in.Length != int64(len(want)) || strings.Join(in.Header["X-B"], " ") != "1 2" {
				t.Errorf("got %d %q %v %d, want %q", in.Status, data, in.Header, in.Length, want)
			}
		}
		if n := s.accepted(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
	t.Run("no connection", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().(*net.TCPAddr).AddrPort()
		l.Close()
		body := &streamed{parts: []string{"a"}}
		r := get(address)
		r.Body, r.Length = body, 1
		_, err = start(t).Do(t.Context(), r)
		var connect *ConnectError
		if !errors.As(err, &connect) || connect.Timeout || connect.Address != address.String() {
			t.Errorf("got %v", err)
		}
		if body.closed.Load() == 0 || len(body.parts) == 0 {
			t.Errorf("the body was closed %d times, and read: %v", body.closed.Load(), len(body.parts) == 0)
		}
	})
	t.Run("no time to connect", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		if _, err := start(t).Do(ctx, get(netip.MustParseAddrPort("127.0.0.1:9"))); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cut", func(t *testing.T) {
		for _, text := range []string{
			"", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		} {
			s := serve(t, func(p *peer) {
				if p.request() != nil {
					p.say(text)
				}
			})
			if _, data, err := ask(t.Context(), start(t), get(s.address)); err == nil {
				t.Errorf("cut after %q: read %q without an error", text, data)
			}
		}
	})
	t.Run("the context ends before the answer", func(t *testing.T) {
		asked, left := make(chan struct{}), make(chan struct{})
		s := serve(t, func(p *peer) {
			p.request()
			close(asked)
			p.gone()
			close(left)
		})
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		go func() { <-asked; cancel(errSource) }()
		if _, _, err := ask(ctx, start(t), get(s.address)); !errors.Is(err, errSource) {
			t.Errorf("got %v", err)
		}
		<-left
	})
	t.Run("the context ends a silent stream", func(t *testing.T) {
		left := make(chan struct{})
		s := serve(t, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			p.gone()
			close(left)
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		in, err := start(t).Do(ctx, get(s.address))
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 100)
		if n, err := in.Body.Read(p); string(p[:n]) != "hello" || err != nil {
			t.Fatalf("got %q, %v", p[:n], err)
		}
		var canceller sync.WaitGroup
		canceller.Go(cancel)
		if n, err := in.Body.Read(p); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("got %q, %v", p[:n], err)
		}
		canceller.Wait()
		<-left
		if err := in.Body.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("after 400 streams that were left", func(t *testing.T) {
		var left sync.WaitGroup
		s := serve(t, func(p *peer) {
			for {
				r := p.request()
				switch {
				case r == nil:
					return
				case r.URL.Path == "/stream":
					p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
					p.gone()
					left.Done()
					return
				default:
					p.say(okAnswer)
				}
			}
		})
		c := start(t)
		var callers sync.WaitGroup
		for caller := range 8 {
			callers.Go(func() {
				for i := range 50 {
					left.Add(1)
					ctx, cancel := context.WithCancel(t.Context())
					r := get(s.address)
					r.Target = "/stream"
					in, err := c.Do(ctx, r)
					if err != nil {
						t.Errorf("caller %d, stream %d: %v", caller, i, err)
						cancel()
						return
					}
					if i%3 > 0 {
						if _, err := io.ReadFull(in.Body, make([]byte, i%3)); err != nil {
							t.Errorf("caller %d, stream %d: %v", caller, i, err)
						}
					}
					if i%2 == 0 {
						cancel()
					}
					if err := in.Body.Close(); err != nil {
						t.Error(err)
					}
					cancel()
					if status, data, err := ask(t.Context(), c, get(s.address)); status != 200 || data != "ok" || err != nil {
						t.Errorf("caller %d, after stream %d: %d %q, %v", caller, i, status, data, err)
					}
				}
			})
		}
		callers.Wait()
		left.Wait() // every one of them was seen to be left
	})
	t.Run("an answer read in time outlives its context", func(t *testing.T) {
		s := answering(t, okAnswer)
		c := start(t)
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			if _, data, err := ask(ctx, c, get(s.address)); data != "ok" || err != nil {
				t.Fatalf("got %q, %v", data, err)
			}
			cancel()
		}
		if n := s.accepted(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

func TestClients(t *testing.T) {
	type client = interface {
		Client
		io.Closer
	}
	config := Config{Connect: 10 * time.Second, Write: 10 * time.Second}
	t.Run("Lean", func(t *testing.T) { testClient(t, func() client { return NewLean(config) }) })
	t.Run("Transport", func(t *testing.T) { testClient(t, func() client { return NewTransport(config) }) })
	t.Run("Connections", func(t *testing.T) { testClient(t, func() client { return New(config) }) })
}
