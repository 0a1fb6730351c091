package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readAnswer reads an answer from bytes that come in pieces of the given size.
// kept says whether the connection would serve again.
func readAnswer(method string, text []byte, size int) (status int, header http.Header, length int64, data []byte, kept bool, err error) {
	w := &wire{in: pieces(text, size), room: -1}
	c, err := newConn(w, Config{}.orDefault())
	if err != nil {
		return 0, nil, 0, nil, false, err
	}
	h, f, err := c.readHead(method)
	if err != nil {
		return 0, nil, 0, nil, false, err
	}
	pool := idlePool{size: 1, keep: defaultIdleTime}
	b := &body{conn: c, pool: &pool, address: anywhere, stop: func() bool { return true }, framing: f, left: max(f.length, 0)}
	if f.empty() {
		b.end = io.EOF
	}
	data, err = io.ReadAll(b)
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	kept = !w.closed.Load()
	pool.close()
	return h.status, h.header, f.length, data, kept, err
}

func TestAnswers(t *testing.T) {
	const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	big := strings.Repeat("0123456789abcdef", 3000)
	for _, tt := range []struct {
		name, method, text string
		status             int
		header             http.Header
		length             int64
		body               string
		closes             bool
	}{
		{name: "length", text: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-a: 1\r\nx-A: 2\r\n\r\nhello",
			status: 200, header: http.Header{"Content-Length": {"5"}, "X-A": {"1", "2"}}, length: 5, body: "hello"},
		{name: "length larger than the buffer", text: "HTTP/1.1 200 OK\r\nContent-Length: 48000\r\n\r\n" + big,
			status: 200, header: http.Header{"Content-Length": {"48000"}}, length: 48000, body: big},
		{name: "the same length twice", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
			status: 200, header: http.Header{"Content-Length": {"1"}}, length: 1, body: "x"},
		{name: "length 0", text: "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
			status: 500, header: http.Header{"Content-Length": {"0"}}},
		{name: "chunked", text: chunkedHead + "\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
			status: 200, header: http.Header{}, length: -1, body: "hello world"},
		{name: "chunk larger than the buffer", text: chunkedHead + "\r\nbb80\r\n" + big + "\r\n0\r\n\r\n",
			status: 200, header: http.Header{}, length: -1, body: big},
		{name: "extensions and trailers", text: chunkedHead + "Trailer: X-T\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0000;last\r\nX-T: 1\r\nY: 2\r\n\r\n",
			status: 200, header: http.Header{}, length: -1, body: "hello"},
		{name: "no length", text: "HTTP/1.1 200 OK\r\n\r\nhello",
			status: 200, header: http.Header{}, length: -1, body: "hello", closes: true},
		{name: "HEAD", method: "HEAD", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
			status: 200, header: http.Header{"Content-Length": {"5"}}, length: 5},
		{name: "HEAD, chunked", method: "HEAD", text: chunkedHead + "\r\n",
			status: 200, header: http.Header{}, length: -1},
		{name: "204", text: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, header: http.Header{}},
		{name: "304 with a length", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
			status: 304, header: http.Header{"Content-Length": {"9"}}},
		{name: "after 1xx", text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
			status: 200, header: http.Header{"Content-Length": {"1"}}, length: 1, body: "x"},
		{name: "close", text: "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\nx",
			status: 200, header: http.Header{"Connection": {"x, Close"}, "Content-Length": {"1"}}, length: 1, body: "x", closes: true},
		{name: "HTTP/1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
			status: 200, header: http.Header{"Content-Length": {"1"}}, length: 1, body: "x", closes: true},
		{name: "HTTP/1.0, kept", text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
			status: 200, header: http.Header{"Connection": {"keep-alive"}, "Content-Length": {"1"}}, length: 1, body: "x"},
		{name: "no reason, LF, spaces, bytes above ASCII", text: "HTTP/1.1 200\nA: \t b\xff \nB:\nContent-Length:0\n\n",
			status: 200, header: http.Header{"A": {"b\xff"}, "B": {""}, "Content-Length": {"0"}}},
		{name: "more than asked for", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n",
			status: 200, header: http.Header{"Content-Length": {"1"}}, length: 1, body: "x", closes: true},
		{name: "a large head", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA: " + big + "\r\n\r\nx",
			status: 200, header: http.Header{"Content-Length": {"1"}, "A": {big}}, length: 1, body: "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 7, 1 << 20} {
				method := tt.method
				if method == "" {
					method = "GET"
				}
				status, header, length, data, kept, err := readAnswer(method, []byte(tt.text), size)
				if err != nil {
					t.Fatalf("pieces of %d: %v", size, err)
				}
				if status != tt.status || length != tt.length || string(data) != tt.body {
					t.Errorf("pieces of %d: got %d, %d, %q; want %d, %d, %q", size, status, length, data, tt.status, tt.length, tt.body)
				}
				if diff := cmp.Diff(tt.header, header); diff != "" {
					t.Errorf("pieces of %d: header (-want +got):\n%s", size, diff)
				}
				// What comes later is found by the probe when the connection is taken.
				if whole := size == 1<<20; kept == tt.closes && (whole || tt.name != "more than asked for") {
					t.Errorf("pieces of %d: connection kept: %v", size, kept)
				}
			}
		})
	}
}

func TestRefusedAnswers(t *testing.T) {
	ok := func(lines string) string { return "HTTP/1.1 200 OK\r\n" + lines + "\r\n\r\n" }
	chunks := func(text string) string { return ok("Transfer-Encoding: chunked") + text }
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"nothing", "", io.EOF},
		{"not HTTP", "SSH-2.0-x\r\n\r\n", errStatusLine},
		{"an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", errStatusLine},
		{"HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", errVersion},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", errVersion},
		{"HTTP/1.10", "HTTP/1.10 200 OK\r\n\r\n", errStatusLine},
		{"two digits", "HTTP/1.1 20 OK\r\n\r\n", errStatusLine},
		{"four digits", "HTTP/1.1 2000 OK\r\n\r\n", errStatusLine},
		{"a sign", "HTTP/1.1 +20 OK\r\n\r\n", errStatusLine},
		{"status 099", "HTTP/1.1 099 OK\r\n\r\n", errStatusLine},
		{"control byte in the reason", "HTTP/1.1 200 O\x07K\r\n\r\n", errControlByte},
		{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", errSwitch},
		{"both lengths", ok("Content-Length: 5\r\nTransfer-Encoding: chunked"), errBothLengths},
		{"lengths that differ", ok("Content-Length: 5\r\nContent-Length: 6"), errLength},
		{"list of lengths", ok("Content-Length: 5, 5"), errLength},
		{"negative length", ok("Content-Length: -5"), errLength},
		{"signed length", ok("Content-Length: +5"), errLength},
		{"hexadecimal length", ok("Content-Length: 0x5"), errLength},
		{"empty length", ok("Content-Length:"), errLength},
		{"length of 2^63", ok("Content-Length: 9223372036854775808"), errLength},
		{"gzip, chunked", ok("Transfer-Encoding: gzip, chunked"), errEncoding},
		{"identity", ok("Transfer-Encoding: identity"), errEncoding},
		{"chunked twice", ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), errEncoding},
		{"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errEncoding},
		{"length in the trailer", ok("Transfer-Encoding: chunked\r\nTrailer: x, content-length"), errTrailerName},
		{"folded", ok("A: b\r\n c"), errFolded},
		{"folded at once", ok(" A: b"), errFolded},
		{"space before the colon", ok("A : b"), errHeaderLine},
		{"no colon", ok("A"), errHeaderLine},
		{"no name", ok(": b"), errHeaderLine},
		{"name above ASCII", ok("\xc3\xa4: b"), errHeaderLine},
		{"NUL", ok("A: \x00b"), errControlByte},
		{"DEL", ok("A: b\x7f"), errControlByte},
		{"bare CR", ok("A: b\rC: d"), errControlByte},
		{"CR before CR LF", ok("A: b\r"), errControlByte},
		{"endless 1xx", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 40), errHeadTooLarge},
		{"large head", ok("A: " + strings.Repeat("x", maxHead)), errHeadTooLarge},
		{"large head without an end", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxHead), errHeadTooLarge},
		{"large heads together", strings.Repeat("HTTP/1.1 102 Processing\r\nA: "+strings.Repeat("x", maxHead/4)+"\r\n\r\n", 5), errHeadTooLarge},
		{"too many lines", ok(strings.Repeat("A: b\r\n", maxLines) + "A: b"), errHeadTooLarge},

		{"chunk without a length", chunks("\r\nx\r\n0\r\n\r\n"), errChunk},
		{"only an extension", chunks(";a\r\nx\r\n0\r\n\r\n"), errChunk},
		{"chunk of length g", chunks("g\r\n"), errChunk},
		{"0x", chunks("0x1\r\nx\r\n0\r\n\r\n"), errChunk},
		{"negative chunk", chunks("-1\r\nx\r\n0\r\n\r\n"), errChunk},
		{"space before the length", chunks(" 1\r\nx\r\n0\r\n\r\n"), errChunk},
		{"many digits", chunks("00000000000000001\r\nx\r\n0\r\n\r\n"), errChunk},
		{"huge chunk", chunks("ffffffffffffffff\r\nx"), errChunk},
		{"LF before a chunk", chunks("1\nx\r\n0\r\n\r\n"), errChunkLine},
		{"CR in the line", chunks("1;\ra\r\nx\r\n0\r\n\r\n"), errChunkLine},
		{"LF after a chunk", chunks("1\r\nx\n0\r\n\r\n"), errChunk},
		{"more than announced", chunks("1\r\nxy\r\n0\r\n\r\n"), errChunk},
		{"a long line", chunks("1;" + strings.Repeat("x", maxChunkLine+1) + "\r\nx\r\n0\r\n\r\n"), errChunkLine},
		{"mostly extensions", chunks(strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\nx\r\n", 30)), errOverhead},
		{"long trailer", chunks("0\r\n" + strings.Repeat("A: "+strings.Repeat("x", 1000)+"\r\n", 20)), errChunkLine},
		{"trailer without a colon", chunks("0\r\nA\r\n\r\n"), errHeaderLine},
		{"trailer with NUL", chunks("0\r\nA: \x00\r\n\r\n"), errControlByte},
		{"trailer with LF", chunks("0\r\nA: b\n\r\n"), errChunkLine},
		{"cut length", ok("Content-Length: 5") + "hell", io.ErrUnexpectedEOF},
		{"cut chunks", chunks("1\r\nx\r\n0\r\n"), io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 13, 1 << 20} {
				_, _, _, data, kept, err := readAnswer("GET", []byte(tt.text), size)
				if !errors.Is(err, tt.want) {
					t.Errorf("pieces of %d: got %q, %v; want %v", size, data, err, tt.want)
				}
				if kept {
					t.Errorf("pieces of %d: the connection was kept", size)
				}
			}
		})
	}
}

// An answer that breaks off anywhere is an error and never a short success.
func TestCutAnywhere(t *testing.T) {
	for name, text := range map[string]string{
		"length":  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\nA: b\r\n\r\nhello world",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: u\r\n\r\n",
		"empty":   "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
		"large":   "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + strings.Repeat("x", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 3, 1 << 20} {
				step := 1 + len(text)/300
				for cut := 0; cut < len(text); cut += step {
					_, _, _, data, kept, err := readAnswer("GET", []byte(text[:cut]), size)
					if err == nil || kept {
						t.Fatalf("cut at %d, pieces of %d: got %q, %v, kept %v", cut, size, data, err, kept)
					}
				}
				if _, _, _, _, kept, err := readAnswer("GET", []byte(text), size); err != nil || !kept {
					t.Fatalf("whole, pieces of %d: %v, kept %v", size, err, kept)
				}
			}
		})
	}
}

// A chunk's end that has come already is told with the data, and a reader is
// never kept waiting while there is data.
func TestChunksDoNotWait(t *testing.T) {
	w := &wire{room: -1, in: [][]byte{
		[]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
		[]byte("3\r\none\r\n3\r\ntwo\r\n5\r\nthr"), []byte("ee\r\n0\r"), []byte("\n\r\n"),
	}}
	c, err := newConn(w, Config{}.orDefault())
	if err != nil {
		t.Fatal(err)
	}
	_, f, err := c.readHead("GET")
	if err != nil {
		t.Fatal(err)
	}
	b := &body{conn: c, stop: func() bool { return false }, framing: f}
	var got []string
	for p := make([]byte, 100); err == nil; {
		var n int
		n, err = b.Read(p)
		got = append(got, fmt.Sprintf("%s %v", p[:n], err))
	}
	want := []string{"onetwothr <nil>", "ee <nil>", " EOF"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	if err := b.Close(); err != nil || !w.closed.Load() {
		t.Errorf("Close: %v, connection closed: %v", err, w.closed.Load())
	}
}

func TestCanonical(t *testing.T) {
	for _, name := range []string{
		"content-type", "CONTENT-TYPE", "Content-Type", "x-RateLimit-limit-Requests", "a", "-", "a--b", "etag", "ETag",
		"x_y", "x.y-z", "", "a b", "ä", strings.Repeat("long-", 30) + "name",
	} {
		got, ok := canonical(name)
		if want := http.CanonicalHeaderKey(name); ok && got != want {
			t.Errorf("canonical(%q) = %q, want %q", name, got, want)
		}
		if ok != isToken(name) {
			t.Errorf("canonical(%q) takes it for a name: %v", name, ok)
		}
	}
}
