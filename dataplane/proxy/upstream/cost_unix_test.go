//go:build unix

package upstream

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// providerAnswer is an answer as a provider gives it, with a body of 2 KB.
var providerAnswer = "HTTP/1.1 200 OK\r\nserver: nginx\r\ndate: Tue, 01 Jan 2030 00:00:00 GMT\r\n" +
	"content-type: application/json\r\nx-request-id: 0123456789\r\nopenai-processing-ms: 200\r\n" +
	"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\nx-ratelimit-reset-requests: 6ms\r\n" +
	"x-ratelimit-limit-tokens: 200000\r\nx-ratelimit-remaining-tokens: 199000\r\n" +
	"content-length: " + strconv.Itoa(2000) + "\r\n\r\n" + strings.Repeat("x", 2000)

// cheap is a server that allocates nothing. It answers whenever what it has read
// ends a line, so requests must come in one piece, as they do over loopback.
func cheap(tb testing.TB) *server {
	return serve(tb, func(p *peer) {
		answer := []byte(providerAnswer)
		buf := make([]byte, 64<<10)
		for {
			n, err := p.TCPConn.Read(buf)
			if err != nil {
				return
			}
			if buf[n-1] == '\n' {
				if _, err := p.TCPConn.Write(answer); err != nil {
					return
				}
			}
		}
	})
}

// caller makes one call after another, as the proxy makes them.
type caller struct {
	client  Client
	request Request
	body    []byte
	buf     []byte
}

func newCaller(client Client, s *server) *caller {
	c := &caller{client: client, buf: make([]byte, 8<<10)}
	c.body = append(bytes.Repeat([]byte("y"), 1999), '\n')
	c.request = Request{
		Method: "POST", Scheme: "http", Address: s.address, Host: "up.test", Target: "/v1/chat/completions",
		Header: http.Header{
			"Content-Type": {"application/json"}, "Authorization": {"Bearer x"}, "User-Agent": nil,
			"Connection": {"keep-alive"}, "X-Forwarded-For": {"127.0.0.1"}, "Accept": {"*/*"},
		},
		Length: int64(len(c.body)), Read: time.Minute,
	}
	return c
}

func (c *caller) call(tb testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := c.request
	r.Body = io.NopCloser(bytes.NewReader(c.body))
	in, err := c.client.Do(ctx, &r)
	if err != nil {
		tb.Fatal(err)
	}
	for {
		_, err := in.Body.Read(c.buf)
		if err == io.EOF {
			break
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := in.Body.Close(); err != nil {
		tb.Fatal(err)
	}
}

// maxAllocations is what a call of Lean may allocate, the reading of the body,
// the context and the body of the request included.
const maxAllocations = 18

func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	s := cheap(t)
	config := Config{Connect: time.Minute, Write: time.Minute}
	lean, transport := NewLean(config), NewTransport(config)
	defer lean.Close()
	defer transport.Close()
	count := func(client Client) float64 {
		c := newCaller(client, s)
		c.call(t)
		return testing.AllocsPerRun(200, func() { c.call(t) })
	}
	ours, theirs := count(lean), count(transport)
	t.Logf("allocations per call: Lean %v, Transport %v", ours, theirs)
	if ours > maxAllocations || ours > theirs/2 {
		t.Errorf("Lean allocates %v times a call, Transport %v times; want no more than %d", ours, theirs, maxAllocations)
	}
}

// BenchmarkCall measures a call of each client, and of bare: the same bytes over
// a connection without a client, which is the share of the kernel and the server.
// Ratio takes the three in turn and compares their CPU.
func BenchmarkCall(b *testing.B) {
	s := cheap(b)
	config := Config{Connect: time.Minute, Write: time.Minute}
	lean, transport := NewLean(config), NewTransport(config)
	defer lean.Close()
	defer transport.Close()
	plain, err := net.Dial("tcp", s.address.String())
	if err != nil {
		b.Fatal(err)
	}
	defer plain.Close()
	ours, theirs := newCaller(lean, s), newCaller(transport, s)
	request, answer := bytes.Repeat([]byte("\n"), 2300), make([]byte, len(providerAnswer))
	bare := func(tb testing.TB) {
		if _, err := plain.Write(request); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.ReadFull(plain, answer); err != nil {
			tb.Fatal(err)
		}
	}
	calls := []func(tb testing.TB){bare, ours.call, theirs.call}
	for i, name := range []string{"bare", "Lean", "Transport"} {
		b.Run(name, func(b *testing.B) {
			calls[i](b)
			b.ReportAllocs()
			for b.Loop() {
				calls[i](b)
			}
		})
	}
	b.Run("Ratio", func(b *testing.B) {
		var used [3]time.Duration
		for b.Loop() {
			for i, call := range calls {
				before := cpu(b)
				for range 1000 {
					call(b)
				}
				used[i] += cpu(b) - before
			}
		}
		b.ReportMetric(float64(used[1])/float64(used[2]), "Lean/Transport")
		b.ReportMetric(float64(used[1]-used[0])/float64(used[2]-used[0]), "without-bare")
	})
}

// cpu is the processor time that the process has used.
func cpu(tb testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
