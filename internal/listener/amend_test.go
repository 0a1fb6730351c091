package listener

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Amended lines are part of the answer that they were meant for and of no other,
// also with a body that is larger than net/http's buffer and after an interim
// answer.
func TestAmend(t *testing.T) {
	large := strings.Repeat("x", 20<<10)
	many := strings.Repeat("X-Many: "+strings.Repeat("m", 90)+"\r\n", 200)
	addr := serve(t, "127.0.0.1:0", nil, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		switch c := FromContext(r.Context()); r.URL.Path {
		case "/plain":
			fmt.Fprint(w, "plain")
		case "/large":
			c.Amend([]byte("X-One: 1\r\n"))
			fmt.Fprint(w, large)
		case "/many":
			c.Amend([]byte(many))
			w.Header().Set("Content-Length", "4")
			fmt.Fprint(w, "many")
		case "/none":
			c.Amend([]byte("X-One: 1\r\n"))
			w.WriteHeader(http.StatusNoContent)
		}
	})})
	c := dial(t, addr)
	br := bufio.NewReader(c)
	for _, tt := range []struct {
		name, request, body string
		one, many           int // lines
	}{
		{"none", "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n", "plain", 0, 0},
		{"one", "GET /large HTTP/1.1\r\nHost: h\r\n\r\n", large, 1, 0},
		{"none behind it", "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n", "plain", 0, 0},
		{"larger than the buffer", "GET /many HTTP/1.1\r\nHost: h\r\n\r\n", "many", 0, 200},
		{"no body", "GET /none HTTP/1.1\r\nHost: h\r\n\r\n", "", 1, 0},
		{"an interim answer", "POST /large HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n?", large, 1, 0},
	} {
		if _, err := io.WriteString(c, tt.request); err != nil {
			t.Fatal(err)
		}
		res, body := answer(t, br)
		if res.StatusCode == http.StatusContinue {
			res, body = answer(t, br)
		}
		if one, many := len(res.Header["X-One"]), len(res.Header["X-Many"]); one != tt.one || many != tt.many || body != tt.body {
			t.Errorf("%s: %d and %d lines and a body of %d bytes, want %d, %d and %d bytes",
				tt.name, one, many, len(body), tt.one, tt.many, len(tt.body))
		}
	}
}

func TestHeadFront(t *testing.T) {
	for _, tt := range []struct{ name, front, rest string }{
		{"status line", "HTTP/1.1 200 OK\r\n", "Date: today\r\n\r\n"},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "Date: today\r\n\r\nok"},
		{"both", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n", "Content-Type: a\r\n\r\n"},
		{"nothing else", "HTTP/1.0 204 No Content\r\n", "\r\n"},
		{"cut off", "HTTP/1.1 200 OK\r\n", "Content-Length: 2"},
		{"a long value", "HTTP/1.1 200 OK\r\n", "Connection: " + strings.Repeat("a", frontRoom) + "\r\n\r\n"},
		{"interim", "", "HTTP/1.1 100 Continue\r\n\r\n"},
		{"a very long status", "", "HTTP/1.1 200 " + strings.Repeat("a", frontRoom) + "\r\n"},
		{"short", "", "HTTP\n"},
	} {
		if got := headFront([]byte(tt.front + tt.rest)); got != len(tt.front) {
			t.Errorf("%s: %d, want %d", tt.name, got, len(tt.front))
		}
	}
}
