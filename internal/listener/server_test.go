package listener

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// certificate is a fresh self-signed one for 127.0.0.1, as server and as client
// config.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, from, from, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

// answer reads one response and its body.
func answer(t *testing.T, br *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestGoodRequestsOverSockets(t *testing.T) {
	addr := serve(t, "127.0.0.1:0 http2", nil, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if FromContext(r.Context()) == nil {
			t.Error("no connection in the context")
		}
		echo(w, r)
		fmt.Fprintf(w, " %s", r.Trailer.Get("X-Sum"))
	})})
	c := dial(t, addr)
	br := bufio.NewReader(c)
	chunks := "POST /c HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 7\r\n\r\n"
	for _, tt := range []struct {
		name string
		in   []string
		want []string
	}{
		{"keep-alive", []string{"GET /a HTTP/1.1\r\n" + host + "\r\n"}, []string{"GET /a  "}},
		{"length", []string{"POST /b HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\n", "hi"}, []string{"POST /b hi "}},
		{"chunked with trailers", []string{chunks}, []string{"POST /c abcde 7"}},
		{"chunked, byte by byte", strings.Split(chunks, ""), []string{"POST /c abcde 7"}},
		{"pipelined", []string{"POST /d HTTP/1.1\r\n" + host + "Content-Length: 1\r\n\r\nxGET /e HTTP/1.1\r\n" + host + "\r\n" + chunks + "GET /f HT", "TP/1.1\r\n" + host + "\r\n"},
			[]string{"POST /d x ", "GET /e  ", "POST /c abcde 7", "GET /f  "}},
		{"absolute target", []string{"GET http://a.example/g HTTP/1.1\r\n" + host + "\r\n"}, []string{"GET http://a.example/g  "}},
		{"options star", []string{"OPTIONS * HTTP/1.1\r\n" + host + "\r\n"}, []string{"OPTIONS *  "}},
		{"large head and body", []string{"POST /h HTTP/1.1\r\n" + host + "X: " + strings.Repeat("a", 20<<10) + "\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("b", 70000)},
			[]string{"POST /h " + strings.Repeat("b", 70000) + " "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range tt.in {
				send(t, c, piece)
			}
			for _, want := range tt.want {
				if res, got := answer(t, br); res.StatusCode != 200 || got != want || res.Close {
					t.Errorf("got %d %.60q, close %v, want %.60q", res.StatusCode, got, res.Close, want)
				}
			}
		})
	}
	t.Run("100-continue", func(t *testing.T) {
		send(t, c, "POST /i HTTP/1.1\r\n"+host+"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		if line, err := br.ReadString('\n'); err != nil || line != "\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		send(t, c, "ok")
		if res, got := answer(t, br); res.StatusCode != 200 || got != "POST /i ok " {
			t.Errorf("got %d %q", res.StatusCode, got)
		}
	})
}

func TestProtocols(t *testing.T) {
	server, client := certificate(t)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		alpn := "none"
		if r.TLS != nil {
			alpn = r.TLS.NegotiatedProtocol
		}
		fmt.Fprintf(w, "HTTP/%d tls %v %s", r.ProtoMajor, r.TLS != nil, alpn)
	})
	for _, tt := range []struct {
		name, entry, scheme string
		h1, h2, h2c         bool
		want                string // or empty: the client cannot be served
	}{
		{"plain", "127.0.0.1:0", "http", true, false, false, "HTTP/1 tls false none"},
		{"h2c", "127.0.0.1:0 http2", "http", false, false, true, "HTTP/2 tls false none"},
		{"plain beside h2c", "127.0.0.1:0 http2", "http", true, false, false, "HTTP/1 tls false none"},
		{"h2c without http2", "127.0.0.1:0", "http", false, false, true, ""},
		{"h2", "127.0.0.1:0 ssl http2", "https", true, true, false, "HTTP/2 tls true h2"},
		{"1.1 beside h2", "127.0.0.1:0 ssl http2", "https", true, false, false, "HTTP/1 tls true "}, // a client that negotiates nothing
		{"ssl without http2", "127.0.0.1:0 ssl", "https", true, true, false, "HTTP/1 tls true http/1.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, tt.entry, server, Config{Handler: handler})
			p := new(http.Protocols)
			p.SetHTTP1(tt.h1)
			p.SetHTTP2(tt.h2)
			p.SetUnencryptedHTTP2(tt.h2c)
			tr := &http.Transport{Protocols: p, TLSClientConfig: client.Clone()}
			defer tr.CloseIdleConnections()
			for range 3 { // the same connection
				res, err := (&http.Client{Transport: tr, Timeout: patience}).Get(tt.scheme + "://" + addr + "/")
				if err != nil {
					if tt.want != "" {
						t.Fatal(err)
					}
					return
				}
				body, err := io.ReadAll(res.Body)
				if cerr := res.Body.Close(); err != nil || cerr != nil {
					t.Fatal(err, cerr)
				}
				if string(body) != tt.want {
					t.Errorf("got %q, want %q", body, tt.want)
				}
			}
		})
	}
}

func TestTLSRefusesBadHeads(t *testing.T) {
	server, client := certificate(t)
	addr := serve(t, "127.0.0.1:0 ssl http2", server, Config{Handler: http.HandlerFunc(echo), Refuse: refuseJSON})
	c := tls.Client(dial(t, addr), client)
	send(t, c, "GET / HTTP/1.1\nHost: a\n\n")
	if res, body := answer(t, bufio.NewReader(c)); res.StatusCode != 400 || !strings.Contains(body, whyBareLF.Text) {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

func TestPlainHTTPToTLSPort(t *testing.T) {
	server, _ := certificate(t)
	addr := serve(t, "127.0.0.1:0 ssl", server, Config{Handler: http.HandlerFunc(echo)})
	c := dial(t, addr)
	send(t, c, "GET / HTTP/1.1\r\n"+host+"\r\n")
	if res, body := answer(t, bufio.NewReader(c)); res.StatusCode != 400 || body != "This port speaks HTTPS.\n" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// HTTP/2 has no ambiguous heads of this kind, but its requests meet the same
// rules on methods and header lines.
func TestHTTP2MeetsTheGuard(t *testing.T) {
	addr := serve(t, "127.0.0.1:0 http2", nil, Config{Handler: http.HandlerFunc(echo), Refuse: refuseJSON})
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p}
	defer tr.CloseIdleConnections()
	for _, tt := range []struct {
		method string
		lines  int
		status int
	}{{"GET", 90, 200}, {"GET", 101, 431}, {"TRACE", 0, 405}, {"GET", 0, 200}} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range tt.lines {
			req.Header.Add("X", fmt.Sprint(i))
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if res.StatusCode != tt.status {
			t.Errorf("%s with %d lines got %d, want %d", tt.method, tt.lines, res.StatusCode, tt.status)
		}
	}
}

// After a hijack the bytes are no longer HTTP.
func TestTunnel(t *testing.T) {
	entered, sent := make(chan struct{}), make(chan struct{})
	addr := serve(t, "127.0.0.1:0", nil, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-sent
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		FromContext(r.Context()).Tunnel()
		if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); err != nil {
			t.Error(err)
		}
		if _, err := io.Copy(c, rw.Reader); err != nil {
			t.Error(err)
		}
	})})
	c := dial(t, addr)
	send(t, c, "GET / HTTP/1.1\r\n"+host+"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	<-entered
	// An impatient client speaks the new protocol before the answer is here.
	send(t, c, "\x81\x03one\n\n")
	close(sent)
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	send(t, c, "\r\r two")
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(br); err != nil || string(got) != "\x81\x03one\n\n\r\r two" {
		t.Errorf("the tunnel gave %q, %v", got, err)
	}
}

// A client that leaves ends the context of its request, through the wrapper too.
func TestLeavingClientIsNoticed(t *testing.T) {
	for _, entry := range []string{"127.0.0.1:0", "127.0.0.1:0 ssl"} {
		server, client := certificate(t)
		entered, ended := make(chan struct{}), make(chan struct{})
		addr := serve(t, entry, server, Config{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
			close(ended)
		})})
		c := dial(t, addr)
		if strings.Contains(entry, "ssl") {
			c = tls.Client(c, client)
		}
		send(t, c, "GET / HTTP/1.1\r\n"+host+"\r\n")
		<-entered
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s: the handler never heard", entry)
		}
	}
}

// mustBeClosed checks that the server has closed c without a word.
func mustBeClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("instead of a closed connection came %d bytes, %v", n, err)
	}
}

func TestGate(t *testing.T) {
	gate := NewGate(2, 0)
	perClient := NewGate(0, 1)
	for _, tt := range []struct {
		gate *Gate
		room int
	}{{gate, 2}, {perClient, 1}} {
		ls, err := Open(t.Context(), []Addr{{Host: "127.0.0.1"}}, Options{Gate: tt.gate})
		if err != nil {
			t.Fatal(err)
		}
		accepted := make(chan net.Conn, 8)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				c, err := ls[0].Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		addr := ls[0].Addr().String()
		var inside []net.Conn
		for range tt.room {
			dial(t, addr)
			inside = append(inside, <-accepted)
		}
		mustBeClosed(t, dial(t, addr))
		if open, refused := tt.gate.Open(), tt.gate.Refused(); open != tt.room || refused != 1 {
			t.Errorf("%d open, %d refused, want %d and 1", open, refused, tt.room)
		}
		for range 2 { // closing twice leaves once
			_ = inside[0].Close()
		}
		dial(t, addr)
		inside = append(inside, <-accepted)
		for _, c := range inside {
			_ = c.Close()
		}
		if tt.gate.Open() != 0 || len(tt.gate.clients) != 0 {
			t.Errorf("%d open, clients %v after all have closed", tt.gate.Open(), tt.gate.clients)
		}
		if err := ls[0].Close(); err != nil {
			t.Error(err)
		}
		<-ended
	}
}

func TestClientKey(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:5":          "192.0.2.1/32",
		"[::ffff:192.0.2.1]:5": "192.0.2.1/32",
		"[2001:db8::1:2]:5":    "2001:db8::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := client(a).String(); got != want {
			t.Errorf("client(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	port := busy.Addr().(*net.TCPAddr).Port
	for _, tt := range []struct {
		addr Addr
		want string
	}{
		{Addr{Host: "127.0.0.1", ProxyProtocol: true}, "listen on 127.0.0.1:0: the flag proxy_protocol is not supported"},
		{Addr{Host: "127.0.0.1", SSL: true}, "listen on 127.0.0.1:0: the flag ssl needs a certificate"},
		{Addr{Host: "127.0.0.1", Keepalive: "x"}, `listen on 127.0.0.1:0: so_keepalive "x" is malformed`},
		{Addr{Host: "127.0.0.1", Port: port}, "address already in use"},
	} {
		// A good one before it must be closed again.
		ls, err := Open(t.Context(), []Addr{{Host: "127.0.0.1", Keepalive: "60::5"}, tt.addr}, Options{})
		if err == nil || ls != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Open(%v) = %v, %v, want %q", tt.addr, ls, err, tt.want)
		}
	}
}

// Close breaks off handshakes and waits for them; TestMain would see one left.
func TestCloseDuringHandshakes(t *testing.T) {
	server, client := certificate(t)
	ls, err := Open(t.Context(), []Addr{{Host: "127.0.0.1", SSL: true}}, Options{TLS: server, Gate: NewGate(10, 10)})
	if err != nil {
		t.Fatal(err)
	}
	l := ls[0]
	silent := dial(t, l.Addr().String())
	// One that has shaken hands and that nobody accepts.
	ready := tls.Client(dial(t, l.Addr().String()), client)
	if err := ready.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.Accept(); err == nil {
		t.Error("Accept works after Close")
	}
	mustBeClosed(t, silent)
	mustBeClosed(t, ready)
	if n := l.opt.Gate.Open(); n != 0 {
		t.Errorf("%d connections inside the gate", n)
	}
}

// tired is a socket that is short of file descriptors once.
type tired struct {
	net.Listener
	once sync.Once
}

func (l *tired) Accept() (net.Conn, error) {
	var err error
	l.once.Do(func() {
		err = &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	})
	if err != nil {
		return nil, err
	}
	return l.Listener.Accept()
}

func TestAcceptingGoesOnAfterAShortage(t *testing.T) {
	server, client := certificate(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(t.Context(), &tired{Listener: inner}, Addr{Host: "127.0.0.1", SSL: true}, Options{TLS: server, Log: slog.New(slog.DiscardHandler)})
	c := tls.Client(dial(t, l.Addr().String()), client)
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(got.Close(), l.Close()); err != nil {
		t.Error(err)
	}
}

func TestListenerSaysWhyAcceptingEnded(t *testing.T) {
	server, _ := certificate(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(t.Context(), inner, Addr{Host: "127.0.0.1", SSL: true}, Options{TLS: server, Log: slog.New(slog.DiscardHandler)})
	if err := inner.Close(); err != nil { // as if the system had taken it away
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept gives %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close gives %v", err)
	}
}
