package listener

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends a test that hangs; nothing waits for it to pass.
const patience = 20 * time.Second

// serve runs a server on one listener and returns its address.
func serve(t *testing.T, entry string, conf *tls.Config, c Config) string {
	t.Helper()
	addrs, err := Listen("proxy_listen", entry)
	if err != nil {
		t.Fatal(err)
	}
	ls, err := Open(t.Context(), addrs, Options{TLS: conf, Limits: c.Limits})
	if err != nil {
		t.Fatal(err)
	}
	srv := Server(c)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ls[0]) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Errorf("close server: %v", err)
		}
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return ls[0].Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// echo answers with the method, the target and the body, and 400 when the body
// is broken.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
}

func refuseJSON(w http.ResponseWriter, r *http.Request, why Reason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(why.Status)
	fmt.Fprintf(w, `{"message":%q,"seen":"%s %s %d"}`, why.Text, r.Method, r.RequestURI, len(r.Header))
}

const host = "Host: a.example\r\n"

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: v\r\n", i)
	}
	return b.String()
}

// badHeads are refused; status 0 stands for 400.
var badHeads = []struct {
	name, in string
	status   int
	why      *Reason
}{
	{"length and coding", "POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 0, whyBothFraming},
	{"coding and length", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 0, whyBothFraming},
	{"bare LF throughout", "GET / HTTP/1.1\nHost: a\n\n", 0, whyBareLF},
	{"bare LF in one line", "GET / HTTP/1.1\r\nX: 1\n" + host + "\r\n", 0, whyBareLF},
	{"bare LF as the last line", "GET / HTTP/1.1\r\n" + host + "\n", 0, whyBareLF},
	{"bare CR in a value", "GET / HTTP/1.1\r\n" + host + "X: a\rb\r\n\r\n", 0, whyBareCR},
	{"two CR", "GET / HTTP/1.1\r\r\n" + host + "\r\n", 0, whyBareCR},
	{"fold by blank", "GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\r\n", 0, whyFold},
	{"fold by tab", "GET / HTTP/1.1\r\n" + host + "X: a\r\n\tb\r\n\r\n", 0, whyFold},
	{"fold before the first field", "GET / HTTP/1.1\r\n X: a\r\n" + host + "\r\n", 0, whyFold},
	{"coding in 1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, whyCoding10},
	{"coding gzip", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", 0, whyCoding},
	{"coding gzip, chunked", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, whyCoding},
	{"coding identity", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n", 0, whyCoding},
	{"coding with a vertical tab", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: \x0bchunked\r\n\r\n", 0, whyControl},
	{"coding quoted", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: \"chunked\"\r\n\r\n", 0, whyCoding},
	{"coding twice", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, whyCoding},
	{"coding empty", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:\r\n\r\n", 0, whyCoding},
	{"HTTP/1.2", "GET / HTTP/1.2\r\n" + host + "\r\n", 0, whyVersion},
	{"HTTP/2.0", "GET / HTTP/2.0\r\n" + host + "\r\n", 0, whyVersion},
	{"HTTP/0.9", "GET /\r\n", 0, whyRequest},
	{"small http", "GET / http/1.1\r\n" + host + "\r\n", 0, whyVersion},
	{"equal lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 0, whyLengths},
	{"differing lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 0, whyLengths},
	{"length list", "POST / HTTP/1.1\r\n" + host + "Content-Length: 3, 3\r\n\r\nabc", 0, whyLength},
	{"length +3", "POST / HTTP/1.1\r\n" + host + "Content-Length: +3\r\n\r\nabc", 0, whyLength},
	{"length -3", "POST / HTTP/1.1\r\n" + host + "Content-Length: -3\r\n\r\nabc", 0, whyLength},
	{"length 0x3", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0x3\r\n\r\nabc", 0, whyLength},
	{"length empty", "POST / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\n", 0, whyLength},
	{"length of 19 digits", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0000000000000000003\r\n\r\nabc", 0, whyLength},
	{"blank before the colon", "POST / HTTP/1.1\r\n" + host + "Content-Length : 3\r\n\r\nabc", 0, whyName},
	{"no colon", "GET / HTTP/1.1\r\n" + host + "X\r\n\r\n", 0, whyName},
	{"empty name", "GET / HTTP/1.1\r\n" + host + ": x\r\n\r\n", 0, whyName},
	{"name with a byte over 127", "GET / HTTP/1.1\r\n" + host + "X\xe9: x\r\n\r\n", 0, whyName},
	{"NUL in a value", "GET / HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n", 0, whyControl},
	{"DEL in a value", "GET / HTTP/1.1\r\n" + host + "X: a\x7fb\r\n\r\n", 0, whyControl},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\n" + host + "\r\n", 0, whyControl},
	{"two hosts", "GET / HTTP/1.1\r\n" + host + host + "\r\n", 0, whyHosts},
	{"no host", "GET / HTTP/1.1\r\n\r\n", 0, whyNoHost},
	{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, whyAuthority},
	{"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, whyAuthority},
	{"host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 0, whyAuthority},
	{"host with a bad port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 0, whyAuthority},
	{"host with a broken address", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 0, whyAuthority},
	{"absolute target, other host", "GET http://b.example/ HTTP/1.1\r\n" + host + "\r\n", 0, whyAuthMatch},
	{"absolute target with a user", "GET http://u@a.example/ HTTP/1.1\r\n" + host + "\r\n", 0, whyAuthority},
	{"absolute target, other scheme", "GET ftp://a.example/ HTTP/1.1\r\n" + host + "\r\n", 0, whyTarget},
	{"relative target", "GET a HTTP/1.1\r\n" + host + "\r\n", 0, whyTarget},
	{"star without OPTIONS", "GET * HTTP/1.1\r\n" + host + "\r\n", 0, whyTarget},
	{"fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", 0, whyTarget},
	{"half an escape", "GET /%4 HTTP/1.1\r\n" + host + "\r\n", 0, whyTarget},
	{"two blanks in the request line", "GET  / HTTP/1.1\r\n" + host + "\r\n", 0, whyRequest},
	{"blank after the version", "GET / HTTP/1.1 \r\n" + host + "\r\n", 0, whyVersion},
	{"tab in the request line", "GET\t/ HTTP/1.1\r\n" + host + "\r\n", 0, whyRequest},
	{"leading blank line", "\r\nGET / HTTP/1.1\r\n" + host + "\r\n", 0, whyRequest},
	{"leading blank", " GET / HTTP/1.1\r\n" + host + "\r\n", 0, whyRequest},
	{"TLS on the plain port", "\x16\x03\x01\x02\x00", 0, whyRequest},
	{"expect something", "POST / HTTP/1.1\r\n" + host + "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na", 0, whyExpect},
	{"expect twice", "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", 0, whyExpect},
	{"expect a list", "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue, x\r\nContent-Length: 1\r\n\r\na", 0, whyExpect},
	{"trailer announces a length", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: X, Content-Length\r\n\r\n0\r\n\r\n", 0, whyTrailer},
	{"preface without http2", preface, 0, whyVersion},
	{"CONNECT to a path", "CONNECT / HTTP/1.1\r\n" + host + "\r\n", 0, whyTarget},
	{"CONNECT", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 405, nil},
	{"CONNECT with a body", "CONNECT a.example:443 HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", 405, nil},
	{"TRACE", "TRACE / HTTP/1.1\r\n" + host + "\r\n", 405, nil},
	{"101 header lines", "GET / HTTP/1.1\r\n" + host + lines(100) + "\r\n", 431, whyLines},
	{"a head of 40 KiB", "GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", 431, whyLong},
	{"a head of one byte too many", "GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("a", 32<<10-16-len(host)-3-4+1) + "\r\n\r\n", 431, whyLong},
	{"a request line of 40 KiB", "GET /" + strings.Repeat("a", 40<<10) + " HTTP/1.1\r\n" + host + "\r\n", 414, whyLongLine},
}

func TestBadHeadsOverSockets(t *testing.T) {
	addr := serve(t, "127.0.0.1:0", nil, Config{
		Refuse: refuseJSON,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI != "/first" {
				t.Errorf("the handler saw %s %s %v", r.Method, r.RequestURI, r.Header)
			}
			echo(w, r)
		}),
	})
	first := "POST /first HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nok"
	for _, tt := range badHeads {
		for _, before := range []string{"", first} {
			name := tt.name
			if before != "" {
				name += ", pipelined"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := dial(t, addr)
				// What follows must neither be read as a request nor keep the
				// answer from arriving.
				send(t, c, before+tt.in)
				br := bufio.NewReader(c)
				if before != "" {
					res, err := http.ReadResponse(br, nil)
					if err != nil {
						t.Fatalf("answer to the good request: %v", err)
					}
					body, err := io.ReadAll(res.Body)
					if err != nil || res.StatusCode != 200 || string(body) != "POST /first ok" {
						t.Fatalf("the good request got %d %q, %v", res.StatusCode, body, err)
					}
				}
				res, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatalf("no answer: %v", err)
				}
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				want := tt.status
				if want == 0 {
					want = 400
				}
				if res.StatusCode != want || !res.Close {
					t.Errorf("got %d, close %v, want %d and close", res.StatusCode, res.Close, want)
				}
				why := tt.why
				if why == nil {
					why = whyMethod
				}
				if want := fmt.Sprintf(`{"message":%q,"seen":"GET / 0"}`, why.Text); string(body) != want {
					t.Errorf("body %s, want %s", body, want)
				}
				if rest, err := io.ReadAll(br); err != nil || len(rest) > 0 {
					t.Errorf("after the answer came %q, %v", rest, err)
				}
			})
		}
	}
}

// A client that goes on sending must still get the answer to its bad head.
func TestAnswerSurvivesUnreadBytes(t *testing.T) {
	addr := serve(t, "127.0.0.1:0", nil, Config{Handler: http.HandlerFunc(echo)})
	c := dial(t, addr)
	send(t, c, "GET / HTTP/1.1\nHost: a\n\n"+strings.Repeat("x", 100<<10))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 400 || string(body) != "Bad Request\n" {
		t.Errorf("got %d %q, %v", res.StatusCode, body, err)
	}
}

var badBodies = []struct {
	name, in string
	why      *Reason
}{
	{"no digits", "\r\n", whyChunkSize},
	{"not hex", "g\r\n", whyChunkSize},
	{"0x", "0x3\r\nabc\r\n0\r\n\r\n", whyChunkSize},
	{"blank after the size", "3 \r\nabc\r\n0\r\n\r\n", whyChunkSize},
	{"blank before the size", " 3\r\nabc\r\n0\r\n\r\n", whyChunkSize},
	{"sign", "+3\r\nabc\r\n0\r\n\r\n", whyChunkSize},
	{"sixteen digits", "0000000000000003\r\nabc\r\n0\r\n\r\n", whyChunkSize},
	{"bare LF after the size", "3\nabc\r\n0\r\n\r\n", whyChunkSize},
	{"bare CR after the size", "3\rabc", whyBareCR},
	{"LF in an extension", "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n", whyChunkExt},
	{"long extension", "3;" + strings.Repeat("a", 300) + "\r\nabc\r\n0\r\n\r\n", whyChunkExt},
	{"longer data than said", "3\r\nabcd\r\n0\r\n\r\n", whyChunkEnd},
	{"bare LF after the data", "3\r\nabc\n0\r\n\r\n", whyChunkEnd},
	{"CR and something after the data", "3\r\nabc\rx0\r\n\r\n", whyChunkEnd},
	{"bare LF ends the trailers", "0\r\n\n", whyBareLF},
	{"bare LF in a trailer", "0\r\nX: a\n\r\n", whyBareLF},
	{"length among the trailers", "0\r\nContent-Length: 3\r\n\r\n", whyTrailer},
	{"coding among the trailers", "0\r\nTransfer-Encoding: chunked\r\n\r\n", whyTrailer},
	{"fold in a trailer", "0\r\nX: a\r\n b\r\n\r\n", whyFold},
	{"too many trailers", "0\r\n" + lines(101) + "\r\n", whyLines},
}

func TestBadBodiesOverSockets(t *testing.T) {
	addr := serve(t, "127.0.0.1:0", nil, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		why, broken := BrokenBody(r)
		if err == nil || !broken {
			t.Errorf("reading the body gave %v, broken %v", err, broken)
			return
		}
		w.WriteHeader(why.Status)
		fmt.Fprint(w, why.Text)
	})})
	for _, tt := range badBodies {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, addr)
			send(t, c, "POST / HTTP/1.1\r\n"+host+"Transfer-Encoding: chunked\r\n\r\n"+tt.in)
			br := bufio.NewReader(c)
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.why.Status || string(body) != tt.why.Text {
				t.Errorf("got %d %q, want %d %q", res.StatusCode, body, tt.why.Status, tt.why.Text)
			}
			// The rest of what was sent must not have reset the connection.
			if _, err := io.Copy(io.Discard, br); err != nil {
				t.Errorf("the connection ended with %v", err)
			}
		})
	}
}

// A request that looks like the marker is a request like any other as long as
// its connection has refused nothing.
func TestMarkerCannotBeForged(t *testing.T) {
	addr := serve(t, "127.0.0.1:0", nil, Config{Handler: http.HandlerFunc(echo), Refuse: func(http.ResponseWriter, *http.Request, Reason) {
		t.Error("a forged marker was believed")
	}})
	c := dial(t, addr)
	send(t, c, "POST "+markerTarget+" HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "POST "+markerTarget+" " {
		t.Errorf("got %q, %v", body, err)
	}
}

// A bad pipelined head must not cancel the request before it.
func TestBadSecondHeadLeavesTheFirstAlone(t *testing.T) {
	entered, sent := make(chan struct{}), make(chan struct{})
	addr := serve(t, "127.0.0.1:0", nil, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-sent
		if err := context.Cause(r.Context()); err != nil {
			t.Errorf("the request was cancelled: %v", err)
		}
		fmt.Fprint(w, "fine")
	})})
	c := dial(t, addr)
	send(t, c, "GET / HTTP/1.1\r\n"+host+"\r\n")
	<-entered
	send(t, c, "GET / HTTP/1.1\r\nX: 1\n")
	close(sent)
	br := bufio.NewReader(c)
	for i, want := range []int{200, 400} {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want {
			t.Errorf("answer %d has status %d, want %d", i, res.StatusCode, want)
		}
	}
}
