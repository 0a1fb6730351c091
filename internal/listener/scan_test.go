package listener

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// pieces is a client whose bytes arrive size at a time, or all at once when size
// is 0, followed by the end.
type pieces struct {
	net.Conn // nil: only what is below may be called
	data     []byte
	size     int
	read     int // bytes handed out
}

func (c *pieces) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := len(c.data)
	if c.size > 0 {
		n = min(n, c.size)
	}
	n = copy(p, c.data[:n])
	c.data = c.data[n:]
	c.read += n
	return n, nil
}

func (c *pieces) SetReadDeadline(time.Time) error { return nil }

// verdict is all that can be seen of a connection.
type verdict struct {
	passed string // without the marker
	why    *Reason
	marked bool
	err    string
}

// judge reads data through a Conn, in steps of size at the socket and of buf at
// the reader.
func judge(t *testing.T, data []byte, size, buf int, h2c bool) verdict {
	t.Helper()
	c := newConn(&pieces{data: bytes.Clone(data), size: size}, Limits{}, h2c)
	var out bytes.Buffer
	p := make([]byte, buf)
	for {
		n, err := c.Read(p)
		out.Write(p[:n])
		if err == nil {
			continue
		}
		v := verdict{passed: out.String(), why: c.scan.why, err: err.Error()}
		v.passed, v.marked = strings.CutSuffix(v.passed, marker)
		if (c.refused.Load() != nil) != v.marked || (c.broken.Load() != nil) != (v.why != nil && !v.marked) {
			t.Errorf("refused %v, broken %v, marker seen %v, verdict %v", c.refused.Load(), c.broken.Load(), v.marked, v.why)
		}
		if c.mem != nil && v.why != nil {
			t.Error("memory held after the verdict")
		}
		return v
	}
}

// allWays checks that the verdict does not depend on how bytes arrive or are
// asked for, and returns it.
func allWays(t *testing.T, data []byte, h2c bool) verdict {
	t.Helper()
	want := judge(t, data, 0, 64<<10, h2c)
	for _, way := range []struct{ size, buf int }{{1, 4096}, {0, 2}, {1, 2}, {7, 14}, {4096, 4096}} {
		if got := judge(t, data, way.size, way.buf, h2c); got != want {
			t.Errorf("arriving by %d and read by %d: %+v\nin one piece: %+v", way.size, way.buf, got, want)
		}
	}
	return want
}

var goodHead = "POST /v1/chat HTTP/1.1\r\n" + host

var goodMessages = []struct{ name, in string }{
	{"get", "GET / HTTP/1.1\r\n" + host + "\r\n"},
	{"1.0 without host", "GET / HTTP/1.0\r\n\r\n"},
	{"absolute", "GET HTTP://A.example:80/x?y HTTP/1.1\r\nHost: a.example:80\r\n\r\n"},
	{"absolute without a path", "GET http://a.example HTTP/1.1\r\n" + host + "\r\n"},
	{"two slashes", "GET //a/../b HTTP/1.1\r\n" + host + "\r\n"},
	{"escapes and query", "GET /a%2Fb?x=%zz;y HTTP/1.1\r\n" + host + "\r\n"},
	{"raw utf-8", "GET /ü HTTP/1.1\r\n" + host + "X: ü\r\n\r\n"},
	{"host with underscore and port", "GET / HTTP/1.1\r\nHost: a_b:8000\r\n\r\n"},
	{"host ipv6", "GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n"},
	{"options star", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n"},
	{"underscore in a name", "GET / HTTP/1.1\r\n" + host + "X_Y: 1\r\n\r\n"},
	{"empty value", "GET / HTTP/1.1\r\n" + host + "X:\r\nY: \t \r\n\r\n"},
	{"no blank after the colon", "GET / HTTP/1.1\r\nhOST:a\r\n\r\n"},
	{"length", goodHead + "Content-Length: 3\r\n\r\nabc"},
	{"length 0", goodHead + "Content-Length: 0\r\n\r\n"},
	{"length with a body like a head", goodHead + "content-length:  0015\t\r\n\r\nGET / HTTP/1.\n\n"},
	{"pipelined", goodHead + "Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" + host + "\r\n" + goodHead + "Content-Length: 1\r\n\r\nx"},
	{"chunked", goodHead + "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n"},
	{"chunk extension", goodHead + "Transfer-Encoding: chunked\r\n\r\n3;a=\"b c\"\r\nabc\r\n000;z\r\n\r\n"},
	{"trailers", goodHead + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n"},
	{"expect", goodHead + "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na"},
	{"100 header lines", "GET / HTTP/1.1\r\n" + host + lines(99) + "\r\n"},
	{"a head of exactly 32 KiB", "GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("a", 32<<10-16-len(host)-3-4) + "\r\n\r\n"},
	{"unfinished", "GET / HTTP/1.1\r\n" + host + "\r\nGET /2 HT"},
}

func TestGoodMessagesPassUnchanged(t *testing.T) {
	for _, tt := range goodMessages {
		t.Run(tt.name, func(t *testing.T) {
			v := allWays(t, []byte(tt.in), false)
			want := strings.TrimSuffix(tt.in, "GET /2 HT")
			if v.why != nil || v.passed != want {
				t.Errorf("refused for %v, passed\n%q, want\n%q", v.why, v.passed, want)
			}
			if v.err != io.EOF.Error() {
				t.Errorf("ended with %q", v.err)
			}
		})
	}
}

func TestVerdictDoesNotDependOnPieces(t *testing.T) {
	for _, tt := range badHeads {
		if tt.why == nil {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			for _, before := range []string{"", "GET /1 HTTP/1.1\r\n" + host + "\r\n"} {
				v := allWays(t, []byte(before+tt.in), false)
				if v.why != tt.why || !v.marked || v.passed != before {
					t.Errorf("refused for %v, want %v; marker %v; passed %q", v.why, tt.why, v.marked, v.passed)
				}
			}
		})
	}
	for _, tt := range badBodies {
		t.Run(tt.name, func(t *testing.T) {
			head := goodHead + "Transfer-Encoding: chunked\r\n\r\n"
			v := allWays(t, []byte(head+tt.in), false)
			if v.why != tt.why || v.marked || !strings.HasPrefix(head+tt.in, v.passed) || len(v.passed) < len(head) {
				t.Errorf("broken for %v, want %v; marker %v; passed %q", v.why, tt.why, v.marked, v.passed)
			}
		})
	}
}

func TestPrefaceEndsJudging(t *testing.T) {
	frames := preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00\n\n\r\r"
	if v := allWays(t, []byte(frames), true); v.why != nil || v.passed != frames {
		t.Errorf("refused for %v, passed %q", v.why, v.passed)
	}
	// The preface is one only at the start of a connection.
	get := "GET / HTTP/1.1\r\n" + host + "\r\n"
	if v := allWays(t, []byte(get+frames), true); v.why != whyVersion || v.passed != get {
		t.Errorf("refused for %v, passed %q", v.why, v.passed)
	}
	if v := allWays(t, []byte("PRI * HTTP/2.0\r\n\r\nSX"), true); v.why != whyVersion || v.passed != "" {
		t.Errorf("refused for %v, passed %q", v.why, v.passed)
	}
}

func TestLimitsAreClamped(t *testing.T) {
	if got, want := (Limits{}).orDefault(), (Limits{HeadBytes: 32 << 10, Lines: 100, Time: 10 * time.Second}); got != want {
		t.Errorf("defaults %v, want %v", got, want)
	}
	if got := (Limits{Lines: 5000}).orDefault().Lines; got != 1000 {
		t.Errorf("5000 lines became %d", got)
	}
}

// script is a client that is given bytes and errors one read at a time.
type script struct {
	pieces
	steps    []any // string or error
	deadline []time.Time
}

func (c *script) Read(p []byte) (int, error) {
	if len(c.steps) == 0 {
		return 0, io.EOF
	}
	switch s := c.steps[0].(type) {
	case error:
		c.steps = c.steps[1:]
		return 0, s
	case string:
		n := copy(p, s)
		c.steps[0] = s[n:]
		if n == len(s) {
			c.steps = c.steps[1:]
		}
		return n, nil
	}
	panic("neither text nor error")
}

func (c *script) SetReadDeadline(t time.Time) error {
	c.deadline = append(c.deadline, t)
	return nil
}

// net/http's watch for leaving clients reads one byte and is broken off by a
// deadline in the past; nothing of the next head may be lost to it.
func TestBackgroundReadKeepsTheNextHead(t *testing.T) {
	get := "GET / HTTP/1.1\r\n" + host + "\r\n"
	one, all := make([]byte, 1), make([]byte, 4096)
	t.Run("broken off inside a head", func(t *testing.T) {
		in := &script{steps: []any{get[:9], os.ErrDeadlineExceeded, get[9:]}}
		c := newConn(in, Limits{}, false)
		if n, err := c.Read(one); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if len(in.deadline) > 0 {
			t.Error("the watch set a deadline of its own")
		}
		if n, err := c.Read(all); err != nil || string(all[:n]) != get {
			t.Errorf("got %q, %v", all[:n], err)
		}
		if n := len(in.deadline); n != 2 || in.deadline[0].IsZero() || !in.deadline[1].IsZero() {
			t.Errorf("deadlines %v, want one for the head and none after it", in.deadline)
		}
	})
	t.Run("bad head gives no byte and no error", func(t *testing.T) {
		in := &script{steps: []any{"GET / HTTP/1.1\n", "more", os.ErrDeadlineExceeded, "even more"}}
		c := newConn(in, Limits{}, false)
		if n, err := c.Read(one); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if n, err := c.Read(all); err != nil || string(all[:n]) != marker {
			t.Errorf("got %q, %v, want the marker", all[:n], err)
		}
		if n, err := c.Read(all); n != 0 || err != errRefused {
			t.Errorf("after the marker came %d bytes, %v", n, err)
		}
	})
	t.Run("frames of another protocol reach the tunnel", func(t *testing.T) {
		in := &script{steps: []any{"\x81\x05hello", os.ErrDeadlineExceeded, "\r\r\n\n"}}
		c := newConn(in, Limits{}, false)
		if n, err := c.Read(one); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		c.Tunnel()
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "\x81\x05hello\r\r\n\n" {
			t.Errorf("the tunnel gave %q, %v", got, err)
		}
	})
	t.Run("endless garbage is bounded", func(t *testing.T) {
		in := &pieces{data: bytes.Repeat([]byte("\x81"), 1<<20)}
		c := newConn(in, Limits{}, false)
		if n, err := c.Read(one); n != 1 || err != nil || one[0] != marker[0] {
			t.Errorf("%d bytes, %v, %q", n, err, one)
		}
		if in.read > 64<<10 {
			t.Errorf("%d bytes were read", in.read)
		}
	})
}

func TestEarlierDeadlineWins(t *testing.T) {
	soon, late := time.Now().Add(time.Second), time.Now().Add(time.Hour)
	in := &script{steps: []any{"GET", os.ErrDeadlineExceeded}}
	c := newConn(in, Limits{}, false)
	for _, d := range []time.Time{late, soon} {
		if err := c.SetReadDeadline(d); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Read(make([]byte, 14)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(late); err != nil {
		t.Fatal(err)
	}
	want := []string{"late", "soon", "soon", "head"}
	for i, d := range in.deadline {
		got := "head"
		switch {
		case d.Equal(late):
			got = "late"
		case d.Equal(soon):
			got = "soon"
		case d.IsZero() || d.After(late):
			got = d.String()
		}
		if i >= len(want) || got != want[i] {
			t.Errorf("deadline %d is %s, want %v", i, got, want)
		}
	}
}

// usualRequest has a head of about 700 bytes and a body of 2 KB.
func usualRequest() []byte {
	var b bytes.Buffer
	b.WriteString("POST /v1/chat/completions HTTP/1.1\r\n" + host)
	for b.Len() < 640 {
		b.WriteString("X-Some-Header: a value of an ordinary length\r\n")
	}
	b.WriteString("Content-Length: 2048\r\n\r\n")
	b.Write(bytes.Repeat([]byte("x"), 2048))
	return b.Bytes()
}

// loop is a client that sends the same request for ever, size bytes at a time.
type loop struct {
	net.Conn
	data     []byte
	at, step int
}

func (c *loop) Read(p []byte) (int, error) {
	n := len(c.data) - c.at
	if c.step > 0 {
		n = min(n, c.step)
	}
	n = copy(p, c.data[c.at:c.at+n])
	c.at = (c.at + n) % len(c.data)
	return n, nil
}

func (c *loop) SetReadDeadline(time.Time) error { return nil }

func TestReadAllocatesNothing(t *testing.T) {
	chunked := []byte(goodHead + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	for _, tt := range []struct {
		name string
		data []byte
		size int
		want float64
	}{
		{"a request in one piece", usualRequest(), 0, 0},
		{"a chunked request in one piece", chunked, 0, 0},
		// The memory for an unfinished head comes from a pool.
		{"a request in small pieces", usualRequest(), 100, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if raceDetector {
				t.Skip("the race detector drops values from pools at random")
			}
			in := &loop{data: tt.data, step: tt.size}
			c := newConn(in, Limits{}, false)
			p := make([]byte, 4096)
			got := testing.AllocsPerRun(100, func() {
				for left := len(tt.data); left > 0; {
					n, err := c.Read(p)
					if err != nil {
						t.Fatal(err, c.scan.why)
					}
					left -= n
				}
			})
			if got != tt.want {
				t.Errorf("%v allocations, want %v", got, tt.want)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, bm := range []struct {
		name string
		size int
	}{{"whole", 0}, {"pieces of 512", 512}} {
		b.Run(bm.name, func(b *testing.B) {
			data := usualRequest()
			c := newConn(&loop{data: data, step: bm.size}, Limits{}, false)
			p := make([]byte, 4096)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				for left := len(data); left > 0; {
					n, err := c.Read(p)
					if err != nil {
						b.Fatal(err)
					}
					left -= n
				}
			}
		})
	}
}

// counted counts what a bufio.Reader has taken from it.
type counted struct {
	r io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// sameAsNetHTTP reads passed, which a Conn let through, with net/http, and checks
// that every request the scanner saw the end of ends there for net/http too.
func sameAsNetHTTP(t *testing.T, passed []byte, h2c bool) {
	s := newScanner(Limits{}, h2c)
	var ends []int
	for i := 0; i < len(passed); {
		// Found by asking for one good byte at a time: where the scanner stands
		// before a head, a message has ended.
		n := i + 1
		for s.feed(passed[i:n]) == 0 && s.why == nil && n < len(passed) {
			n++
		}
		if s.why != nil {
			t.Fatalf("refused at %d for %v what was let through before", i, s.why)
		}
		i = n
		if s.state == inHead {
			ends = append(ends, i)
		}
		if s.state == passing {
			return
		}
	}
	in := &counted{r: bytes.NewReader(passed)}
	br := bufio.NewReaderSize(in, len(passed)+16)
	for k, end := range ends {
		r, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("request %d: net/http refuses what was let through: %v\n%q", k, err, passed)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			if strings.Contains(err.Error(), "too much non-data") {
				return // net/http's own limit on tiny chunks; it closes as well
			}
			t.Fatalf("request %d: body: %v\n%q", k, err, passed)
		}
		if got := in.n - br.Buffered(); got != end {
			t.Fatalf("request %d ends at %d, for net/http at %d\n%q", k, end, got, passed)
		}
	}
}

func TestBordersAreThoseOfNetHTTP(t *testing.T) {
	for _, tt := range goodMessages {
		t.Run(tt.name, func(t *testing.T) {
			sameAsNetHTTP(t, []byte(judge(t, []byte(tt.in), 0, 64<<10, false).passed), false)
		})
	}
}

func FuzzHeadCheck(f *testing.F) {
	for _, tt := range goodMessages {
		f.Add([]byte(tt.in), false)
	}
	for _, tt := range badHeads {
		f.Add([]byte(tt.in), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, h2c bool) {
		sameAsNetHTTP(t, []byte(allWays(t, data, h2c).passed), h2c)
	})
}

func FuzzChunkedBody(f *testing.F) {
	for _, tt := range badBodies {
		f.Add([]byte(tt.in))
	}
	f.Add([]byte("3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nX: 1\r\n\r\n"))
	head := goodHead + "Transfer-Encoding: chunked\r\n\r\n"
	next := "GET /next HTTP/1.1\r\n" + host + "\r\n"
	f.Fuzz(func(t *testing.T, body []byte) {
		sameAsNetHTTP(t, []byte(allWays(t, []byte(head+string(body)+next), false).passed), false)
	})
}
