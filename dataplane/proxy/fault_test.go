package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
	gateways "github.com/gibbon-gateway/gibbon/dataplane/runtime"
)

// recorder keeps what the log phase sees.
type recorder struct{ lines chan string }

func newRecorder() *recorder { return &recorder{lines: make(chan string, 1000)} }

func (r *recorder) Log(q *plugin.Request) {
	codes := make([]string, 0, len(q.Record.Tries))
	for _, try := range q.Record.Tries {
		codes = append(codes, fmt.Sprint(max(try.Status, try.Code)))
	}
	source := "kong"
	if q.Response.FromUpstream {
		source = "upstream"
	}
	r.lines <- fmt.Sprintf("%d %s tries=%s aborted=%v", q.Response.Status, source, strings.Join(codes, ","), q.Record.Aborted)
}

// next is the next line that was logged.
func (r *recorder) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-r.lines:
		return line
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was logged")
		return ""
	}
}

func TestUpstreamFaults(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, tt := range []struct {
		name, method string
		script       func(conn net.Conn, try int)
		status       int
		body         string // that the answer begins with
		log          string
		retries      int32
	}{
		{
			name: "garbage", method: "POST", retries: 5,
			script: func(c net.Conn, _ int) { io.WriteString(c, "garbage\r\n\r\n") },
			status: 502, body: "An invalid response", log: "502 kong tries=502 aborted=false",
		},
		{
			name: "closed after a POST is not repeated", method: "POST", retries: 5,
			script: func(net.Conn, int) {},
			status: 502, body: "An invalid response", log: "502 kong tries=502 aborted=false",
		},
		{
			name: "closed after a GET is repeated", method: "GET", retries: 5,
			script: func(c net.Conn, try int) {
				if try > 2 {
					io.WriteString(c, good)
				}
			},
			status: 200, body: "ok", log: "200 upstream tries=502,502,200 aborted=false",
		},
		{
			name: "no retries", method: "GET", retries: 0,
			script: func(c net.Conn, try int) {},
			status: 502, body: "An invalid response", log: "502 kong tries=502 aborted=false",
		},
		{
			name: "upstream statuses are not repeated", method: "GET", retries: 5,
			script: func(c net.Conn, _ int) { io.WriteString(c, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy") },
			status: 503, body: "busy", log: "503 upstream tries=503 aborted=false",
		},
		{
			name: "interim answers", method: "GET",
			script: func(c net.Conn, _ int) { io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+good) },
			status: 200, body: "ok", log: "200 upstream tries=200 aborted=false",
		},
		{
			name: "chunked with extensions and trailers", method: "GET",
			script: func(c net.Conn, _ int) {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2;a=b\r\nok\r\n0\r\nX-T: v\r\n\r\n")
			},
			status: 200, body: "ok", log: "200 upstream tries=200 aborted=false",
		},
		{
			name: "until the connection closes", method: "GET",
			script: func(c net.Conn, _ int) { io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nok") },
			status: 200, body: "ok", log: "200 upstream tries=200 aborted=false",
		},
		{
			name: "two lengths", method: "POST",
			script: func(c net.Conn, _ int) {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok")
			},
			status: 502, body: "An invalid response", log: "502 kong tries=502 aborted=false",
		},
		{
			name: "a head without end", method: "POST",
			script: func(c net.Conn, _ int) {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 100<<10)+"\r\n\r\n")
			},
			status: 502, body: "An invalid response", log: "502 kong tries=502 aborted=false",
		},
		{
			name: "HEAD", method: "HEAD",
			script: func(c net.Conn, _ int) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n") },
			status: 200, log: "200 upstream tries=200 aborted=false",
		},
		{
			name: "no content", method: "GET",
			script: func(c net.Conn, _ int) { io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n") },
			status: 204, log: "204 upstream tries=204 aborted=false",
		},
		{
			name: "switches protocols unasked", method: "GET",
			script: func(c net.Conn, _ int) {
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
			},
			status: 502, body: "An invalid response", log: "502 kong tries=502 aborted=false",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tries := 0
			up := scripted(t, func(c net.Conn, _ *http.Request) { tries++; tt.script(c, tries) })
			config := one(t, up)
			config.Services[0].Retries = proto.Int32(tt.retries)
			config.Plugins = []*entitypb.Plugin{everywhere("p1", "file-log")}
			log := newRecorder()
			g := start(t, config, []plugin.Plugin{testPlugin("file-log", log)}, nil)
			var body io.Reader
			if tt.method == "POST" {
				body = strings.NewReader("{}")
			}
			answer, got := g.do(tt.method, "/", nil, body)
			if answer.StatusCode != tt.status || !strings.HasPrefix(got, tt.body) {
				t.Errorf("answered %d %q, want %d %q", answer.StatusCode, got, tt.status, tt.body)
			}
			if line := log.next(t); line != tt.log {
				t.Errorf("logged %q, want %q", line, tt.log)
			}
		})
	}
}

func TestReadTimeout(t *testing.T) {
	release := make(chan struct{})
	for _, tt := range []struct {
		name, script, want string
	}{
		{"before the head", "", "504 kong tries=504 aborted=false"},
		{"within a body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "200 upstream tries=200 aborted=true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			release := make(chan struct{})
			up := scripted(t, func(c net.Conn, _ *http.Request) { io.WriteString(c, tt.script); <-release })
			defer close(release)
			config := one(t, up)
			config.Services[0].ReadTimeout = proto.Int32(50)
			config.Plugins = []*entitypb.Plugin{everywhere("p1", "file-log")}
			log := newRecorder()
			g := start(t, config, []plugin.Plugin{testPlugin("file-log", log)}, nil)
			answer := g.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			if strings.Contains(tt.want, "504") && !strings.Contains(answer, "\r\n\r\nThe upstream server is timing out\n") {
				t.Errorf("answered %q", answer)
			}
			if line := log.next(t); line != tt.want {
				t.Errorf("logged %q, want %q", line, tt.want)
			}
		})
	}
	close(release)
}

// A host with several addresses is tried at all of them.
func TestNextAddress(t *testing.T) {
	up := echo(t)
	config := one(t, up.URL)
	config.Services[0].Host = "localhost"
	g := start(t, config, nil, nil)
	answer, body := g.do("POST", "/x", nil, strings.NewReader("hello"))
	if answer.StatusCode != 200 || !strings.HasSuffix(body, "\nhello") {
		t.Errorf("answered %d %q", answer.StatusCode, body)
	}
}

// words says its last words when an answer breaks off.
type words struct{ *recorder }

func (words) Cut(_ *plugin.Request, cause error) []byte { return []byte("data: {\"error\":true}\n\n") }

// An upstream that breaks off within a stream must not look like one that is
// done.
func TestCutMidStream(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"chunked", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"},
		{"within a chunk", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nff\r\ndata: 1\n\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := scripted(t, func(c net.Conn, _ *http.Request) { io.WriteString(c, tt.script) })
			config := one(t, up)
			config.Plugins = []*entitypb.Plugin{everywhere("p1", "file-log")}
			log := newRecorder()
			g := start(t, config, []plugin.Plugin{testPlugin("file-log", words{log})}, nil)
			answer, err := g.client.Get("http://" + g.addr + "/")
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the stream ended with %v, want an unexpected end", err)
			}
			if got, want := string(body), "data: 1\n\ndata: {\"error\":true}\n\n"; got != want {
				t.Errorf("the client got %q, want %q", got, want)
			}
			if line, want := log.next(t), "200 upstream tries=200 aborted=true"; line != want {
				t.Errorf("logged %q, want %q", line, want)
			}
		})
	}
}

// The first event of a stream reaches the client before the upstream has sent the
// second.
func TestStreamsAsItComes(t *testing.T) {
	more := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-more
		}
	}))
	defer up.Close()
	g := start(t, one(t, up.URL), nil, nil)
	answer, err := g.client.Get("http://" + g.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	reader := bufio.NewReader(answer.Body)
	for i := range 3 {
		line, err := reader.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); line != want || err != nil {
			t.Fatalf("read %q, %v; want %q", line, err, want)
		}
		if blank, err := reader.ReadString('\n'); blank != "\n" || err != nil {
			t.Fatalf("read %q, %v", blank, err)
		}
		more <- struct{}{}
	}
	if rest, err := io.ReadAll(reader); len(rest) > 0 || err != nil {
		t.Errorf("rest %q, %v", rest, err)
	}
}

// Clients that leave take their upstream calls along, whether the answer has begun
// or not, and nothing stays behind.
func TestClientLeaves(t *testing.T) {
	var calls sync.WaitGroup
	begun := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer calls.Done()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case "/quick":
			io.WriteString(w, "quick")
			return
		case "/stream":
			io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
		}
		begun <- struct{}{}
		<-r.Context().Done()
	}))
	defer up.Close()
	config := one(t, up.URL)
	config.Plugins = []*entitypb.Plugin{everywhere("p1", "file-log")}
	log := newRecorder()
	g := start(t, config, []plugin.Plugin{testPlugin("file-log", log)}, nil)
	before := runtime.NumGoroutine()
	for range 20 {
		for path, want := range map[string]string{
			"/stream": "200 upstream tries=200 aborted=true",
			"/silent": "499 kong tries=502 aborted=true",
		} {
			calls.Add(1)
			ctx, cancel := context.WithCancel(t.Context())
			done, answered := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				r, err := http.NewRequestWithContext(ctx, "POST", "http://"+g.addr+path, strings.NewReader("{}"))
				if err != nil {
					t.Error(err)
					return
				}
				answer, err := g.client.Do(r)
				if err == nil {
					close(answered)
					io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
				}
			}()
			<-begun
			if path == "/stream" {
				<-answered
			}
			cancel()
			<-done
			calls.Wait()
			if line := log.next(t); line != want {
				t.Fatalf("%s: logged %q, want %q", path, line, want)
			}
		}
		// The connection of a stream that was left is not used for the next request.
		calls.Add(1)
		if answer, body := g.do("GET", "/quick", nil, nil); answer.StatusCode != 200 || body != "quick" {
			t.Fatalf("after an aborted stream: %d %q", answer.StatusCode, body)
		}
		if line, want := log.next(t), "200 upstream tries=200 aborted=false"; line != want {
			t.Fatalf("logged %q, want %q", line, want)
		}
	}
	g.client.CloseIdleConnections()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+5; {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}

// stamper puts the version of the configuration that it was built for into
// request and answer.
type stamper struct{ version string }

func (s stamper) Access(r *plugin.Request) error {
	r.Header.Set("X-Access", s.version)
	return nil
}

func (s stamper) Header(r *plugin.Request) error {
	r.Response.Header.Set("X-Header", s.version)
	r.Response.Header.Set("X-Config", r.Record.ConfigVersion)
	r.Response.Header.Del("Content-Length")
	return nil
}

func (s stamper) Body(_ *plugin.Request, chunk []byte, last bool) ([]byte, error) {
	if last {
		return append(chunk, s.version...), nil
	}
	return chunk, nil
}

// No request sees two configurations, and none fails, while they change.
func TestSwapUnderLoad(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Access")+" "+r.Header.Get("X-Route")+" ")
	}))
	defer up.Close()
	configFor := func(version string) (*gateways.Config, []plugin.Plugin) {
		config := one(t, up.URL)
		config.Routes[0].Name = proto.String(version)
		config.Plugins = []*entitypb.Plugin{everywhere("p1", "key-auth")}
		return config, []plugin.Plugin{testPlugin("key-auth", stamper{version})}
	}
	config, plugins := configFor("1")
	g := start(t, config, plugins, nil)
	var stop atomic.Bool
	var clients sync.WaitGroup
	seen := make([]int, 4)
	for i := range seen {
		clients.Go(func() {
			for !stop.Load() {
				answer, err := g.client.Get("http://" + g.addr + "/")
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				version := answer.Header.Get("X-Config")
				if want := version + "  " + version; err != nil || string(body) != want || answer.Header.Get("X-Header") != version {
					t.Errorf("version %q: body %q, X-Header %q, %v", version, body, answer.Header.Get("X-Header"), err)
					return
				}
				seen[i]++
			}
		})
	}
	for version := 2; version <= 100; version++ {
		config, plugins := configFor(fmt.Sprint(version))
		g.swap(config, plugins, fmt.Sprint(version))
		runtime.Gosched()
	}
	stop.Store(true)
	clients.Wait()
	for i, n := range seen {
		if n == 0 {
			t.Errorf("client %d saw nothing", i)
		}
	}
}

// Drain waits for what is in progress, and cuts what is not done in time so that
// the client sees it.
func TestDrain(t *testing.T) {
	finish := make(chan struct{})
	begun := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		select {
		case <-finish:
			io.WriteString(w, "data: 2\n\n")
		case <-r.Context().Done():
		}
	}))
	defer up.Close()
	config := one(t, up.URL)
	config.Plugins = []*entitypb.Plugin{everywhere("p1", "file-log")}
	g := start(t, config, []plugin.Plugin{testPlugin("file-log", words{newRecorder()})}, nil)
	read := func() (string, error) {
		answer, err := g.client.Get("http://" + g.addr + "/")
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		begun <- struct{}{}
		body, err := io.ReadAll(answer.Body)
		return string(body), err
	}
	type result struct {
		body string
		err  error
	}
	results := make(chan result)
	ask := func() {
		go func() { body, err := read(); results <- result{body, err} }()
		<-begun
	}
	ask()
	cut := make(chan int)
	go func() { cut <- g.proxy.Drain(t.Context(), time.Minute, time.Minute) }()
	finish <- struct{}{}
	if got := <-results; got.err != nil || got.body != "data: 1\n\ndata: 2\n\n" {
		t.Errorf("a stream that had time ended with %q, %v", got.body, got.err)
	}
	if n := <-cut; n != 0 {
		t.Errorf("%d were cut, want 0", n)
	}
	ask()
	if n := g.proxy.Drain(t.Context(), 0, 0); n != 1 {
		t.Errorf("%d were cut, want 1", n)
	}
	if got := <-results; !errors.Is(got.err, io.ErrUnexpectedEOF) || got.body != "data: 1\n\ndata: {\"error\":true}\n\n" {
		t.Errorf("a stream that was cut ended with %q, %v", got.body, got.err)
	}
	if counts := g.proxy.Counts(); counts.Cut != 1 || counts.Active != 0 || counts.Streams != 0 {
		t.Errorf("counts are %+v", counts)
	}
}

// A client that takes nothing is given up, and so is the upstream's answer.
func TestClientTakesNothing(t *testing.T) {
	gone := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		block := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer up.Close()
	g := start(t, one(t, up.URL), nil, func(o *proxy.Options) { o.WriteStall = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-gone
}

// A client that takes a large answer slowly gets all of it, as long as it takes
// some: the time is for each piece, not for the whole.
func TestClientTakesSlowly(t *testing.T) {
	const size, stall = 16 << 20, 400 * time.Millisecond
	for _, held := range []bool{false, true} {
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			w.Write(make([]byte, size))
		}))
		config := one(t, up.URL)
		config.Plugins = []*entitypb.Plugin{everywhere("p1", "key-auth")}
		hold := accessFunc(func(r *plugin.Request) error {
			if held {
				r.HoldResponse(0)
			}
			return nil
		})
		g := start(t, config, []plugin.Plugin{testPlugin("key-auth", hold)}, func(o *proxy.Options) { o.WriteStall = stall })
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		// A small window, so that what the client does not take is not taken for it.
		if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		var got int64
		pace := time.NewTicker(stall / 20)
		for ; ; <-pace.C {
			n, err := io.CopyN(io.Discard, conn, size/40)
			got += n
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("held %v: after %d bytes: %v", held, got, err)
			}
		}
		pace.Stop()
		if got < size {
			t.Errorf("held %v: %d bytes came, want %d at least", held, got, size)
		}
		if took := time.Since(began); took < stall {
			t.Errorf("held %v: it took %v, too little to tell anything", held, took)
		}
		conn.Close()
		up.Close()
	}
}

// A body that does not come is not waited for without end.
func TestBodyStalls(t *testing.T) {
	up := echo(t)
	g := start(t, one(t, up.URL), nil, func(o *proxy.Options) { o.BodyIdle = 50 * time.Millisecond })
	answer := g.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	if !strings.HasPrefix(answer, "HTTP/1.1 408 ") || !strings.Contains(answer, "\r\n\r\nRequest timeout\n") {
		t.Errorf("answered %q", answer)
	}
}
