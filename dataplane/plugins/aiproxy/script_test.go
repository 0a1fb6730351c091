package aiproxy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// script is what a provider answers, as a file in testdata/providers says it: a
// line with the status, lines with headers, an empty line, the body. Two headers
// are for the one who plays it:
//
//	Play-Lines: crlf   lines of the body end in CR LF
//	Play-Cut: yes      the connection ends in the middle of the body
//
// The body of an AWS event stream is written as JSON, a frame a line: event (or
// exception) is its type, payload its payload; torn says that only so many of its
// bytes are sent.
type script struct {
	status int
	kind   string
	header string // further header lines, each with its end
	body   string
	cut    bool
}

func readScript(t testing.TB, path string) script {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		t.Fatalf("%s has no head", path)
	}
	var s script
	lines := strings.Split(head, "\n")
	if s.status, err = strconv.Atoi(lines[0]); err != nil {
		t.Fatalf("%s: status %q", path, lines[0])
	}
	crlf := false
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Content-Type":
			s.kind = value
		case "Play-Lines":
			crlf = value == "crlf"
		case "Play-Cut":
			s.cut = value == "yes"
		default:
			s.header += line + "\r\n"
		}
	}
	switch {
	case s.kind == "application/vnd.amazon.eventstream":
		body = scriptFrames(t, path, body)
	case crlf:
		body = strings.ReplaceAll(body, "\n", "\r\n")
	}
	s.body = body
	return s
}

// scriptFrames writes an AWS event stream.
func scriptFrames(t testing.TB, path, lines string) string {
	t.Helper()
	var out []byte
	for line := range strings.Lines(lines) {
		var frame struct {
			Event, Exception string
			Payload          json.RawMessage
			Torn             int
		}
		if err := json.Unmarshal([]byte(line), &frame); err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		begin := len(out)
		if frame.Exception != "" {
			out = llm.AppendExceptionFrame(out, frame.Exception, "application/json", frame.Payload)
		} else {
			out = llm.AppendFrame(out, frame.Event, "application/json", frame.Payload)
		}
		if frame.Torn > 0 {
			out = out[:begin+frame.Torn]
		}
	}
	return string(out)
}

// player is a provider that plays one script after the other.
type player struct {
	url string

	mu     sync.Mutex
	script script
	piece  int  // the length of the pieces of the body; 0: it is sent whole
	asked  *ask // the last call
}

// ask is a call as the player got it.
type ask struct {
	target, body string
	header       http.Header
}

// newPlayer starts a provider. Each request to it opens a connection.
func newPlayer(t testing.TB) *player {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &player{url: "http://" + l.Addr().String()}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				p.answer(conn)
			})
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		served.Wait()
	})
	return p
}

// play says what comes next.
func (p *player) play(s script, piece int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script, p.piece, p.asked = s, piece, nil
}

// heard is the last call since play; nil when none came.
func (p *player) heard() *ask {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *player) answer(conn net.Conn) {
	reader := bufio.NewReader(conn)
	in, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return
	}
	p.mu.Lock()
	s, piece := p.script, p.piece
	p.asked = &ask{target: in.Method + " " + in.RequestURI, body: string(body), header: in.Header}
	p.mu.Unlock()
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%sTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
		s.status, http.StatusText(s.status), s.kind, s.header); err != nil {
		return
	}
	if piece == 0 {
		piece = len(s.body)
	}
	var chunk bytes.Buffer
	for rest := s.body; rest != ""; {
		n := min(piece, len(rest))
		chunk.Reset()
		fmt.Fprintf(&chunk, "%x\r\n%s\r\n", n, rest[:n])
		if _, err := conn.Write(chunk.Bytes()); err != nil {
			return
		}
		rest = rest[n:]
	}
	if s.cut {
		return
	}
	if _, err := io.WriteString(conn, "0\r\n\r\n"); err != nil {
		return
	}
	// The gateway closes the connection when it has what it wants.
	_, _ = reader.ReadByte()
}
