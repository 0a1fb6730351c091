package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stricter are the reasons for which Lean refuses what net/http takes.
var stricter = []error{
	errVersion,     // net/http takes HTTP/0.9, HTTP/1.9, HTTP/2.0 …
	errStatusLine,  // +20, 099, several spaces
	errControlByte, // in the reason, or in a trailer's value
	errHeaderLine,  // a space before the colon
	errFolded,
	errBothLengths,
	errEncoding,     // in HTTP/1.0
	errHeadTooLarge, // net/http is not told a limit here
	errSwitch,
	errChunkLine, // lines and trailers that are too long, LF in trailers
	errOverhead,
}

// netHTTP reads an answer with net/http, as Lean would give it.
func netHTTP(method string, text []byte) (*http.Response, []byte, error) {
	in := bufio.NewReaderSize(bytes.NewReader(text), 1<<20)
	for range maxInformational + 1 {
		r, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return nil, nil, err
		}
		if r.StatusCode/100 == 1 {
			continue
		}
		data, err := io.ReadAll(r.Body)
		return r, data, err
	}
	return nil, nil, errHeadTooLarge
}

// FuzzResponse holds Lean's reader against net/http's: the same answers are taken
// but for those that Lean refuses on purpose, and they read the same, in pieces of
// any size.
func FuzzResponse(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: now\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.0 200\nConnection: keep-alive\n\nuntil the end",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\nPragma: no-cache\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nx : y\r\n\r\n",
	} {
		f.Add([]byte(text), uint16(3), false)
		f.Add([]byte(text), uint16(4000), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint16, isHead bool) {
		method := "GET"
		if isHead {
			method = "HEAD"
		}
		status, header, length, data, _, err := readAnswer(method, text, int(size)+1)
		want, wantData, wantErr := netHTTP(method, text)
		if err != nil {
			if wantErr != nil {
				return
			}
			for _, reason := range stricter {
				if errors.Is(err, reason) {
					return
				}
			}
			t.Fatalf("refused for %v; net/http reads %d %q", err, want.StatusCode, wantData)
		}
		if wantErr != nil {
			t.Fatalf("read %d %q; net/http says %v", status, data, wantErr)
		}
		if status != want.StatusCode || !bytes.Equal(data, wantData) {
			t.Fatalf("read %d %q; net/http reads %d %q", status, data, want.StatusCode, wantData)
		}
		if length != want.ContentLength {
			t.Fatalf("length %d; net/http says %d", length, want.ContentLength)
		}
		// net/http takes "Connection: close" out, and adds Cache-Control where
		// there is a Pragma.
		for _, h := range []http.Header{header, want.Header} {
			delete(h, "Connection")
			if h.Get("Pragma") == "no-cache" && h.Get("Cache-Control") == "no-cache" {
				delete(h, "Cache-Control")
			}
		}
		if diff := cmp.Diff(want.Header, header); diff != "" {
			t.Fatalf("header (-net/http +got):\n%s", diff)
		}
	})
}
