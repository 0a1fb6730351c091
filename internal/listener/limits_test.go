package listener

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestHeadTime(t *testing.T) {
	for _, tt := range []struct {
		limits Limits
		want   time.Duration
	}{
		{Limits{}, 10 * time.Second},
		{Limits{Time: 1500 * time.Millisecond}, 1500 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer func() { _ = client.Close() }()
			go func() { _, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHos") }()
			start := time.Now()
			_, err := newConn(server, tt.limits, false).Read(make([]byte, 100))
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != tt.want {
				t.Errorf("an unfinished head gave %v after %v, want %v", err, time.Since(start), tt.want)
			}
		})
		// Where HTTP/2 over TLS is served this package reads no heads.
		if got := Server(Config{Limits: tt.limits}).ReadHeaderTimeout; got != tt.want {
			t.Errorf("the server waits %v, want %v", got, tt.want)
		}
	}
}

func TestRequestsOfOneConnection(t *testing.T) {
	addr := serve(t, "127.0.0.1:0", nil, Config{Requests: 3, Handler: http.HandlerFunc(echo)})
	c := dial(t, addr)
	br := bufio.NewReader(c)
	for i := range 3 {
		send(t, c, "GET / HTTP/1.1\r\n"+host+"\r\n")
		if res, _ := answer(t, br); res.StatusCode != 200 || res.Close != (i == 2) {
			t.Errorf("answer %d has status %d, close %v", i+1, res.StatusCode, res.Close)
		}
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after the last answer: %v", err)
	}
	// Each connection has a count of its own.
	c = dial(t, addr)
	send(t, c, "GET / HTTP/1.1\r\n"+host+"\r\n")
	if res, _ := answer(t, bufio.NewReader(c)); res.Close {
		t.Error("the first answer of another connection is its last")
	}
}

// watched tells when a connection has ended.
type watched struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.once.Do(func() { close(w.ended) })
	}
	return n, err
}

// Close ends it too: after TLS's own notice of the end nobody reads any more.
func (w *watched) Close() error {
	w.once.Do(func() { close(w.ended) })
	return w.Conn.Close()
}

func TestRequestsOfOneConnectionOverHTTP2(t *testing.T) {
	server, roots := certificate(t)
	for _, entry := range []string{"127.0.0.1:0 http2", "127.0.0.1:0 ssl http2"} {
		t.Run(entry, func(t *testing.T) {
			addr := serve(t, entry, server, Config{Requests: 1, Handler: http.HandlerFunc(echo)})
			w := &watched{ended: make(chan struct{})}
			client := &http.Transport{
				TLSClientConfig: roots, Protocols: new(http.Protocols),
				DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, addr)
					w.Conn = c
					return w, err
				},
			}
			defer client.CloseIdleConnections()
			scheme := "https"
			client.Protocols.SetHTTP2(true)
			if entry == "127.0.0.1:0 http2" {
				scheme = "http"
				client.Protocols.SetUnencryptedHTTP2(true)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+addr, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 || res.ProtoMajor != 2 {
				t.Errorf("HTTP/%d status %d, %v", res.ProtoMajor, res.StatusCode, err)
			}
			if err := res.Body.Close(); err != nil {
				t.Error(err)
			}
			select {
			case <-w.ended:
			case <-time.After(patience):
				t.Error("the connection stays open")
			}
		})
	}
}

func TestStreamsOfOneConnection(t *testing.T) {
	for _, tt := range []struct {
		conf Config
		want uint32
	}{{Config{}, 100}, {Config{Streams: 7}, 7}} {
		tt.conf.Handler = http.HandlerFunc(echo)
		c := dial(t, serve(t, "127.0.0.1:0 http2", nil, tt.conf))
		send(t, c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		var head [9]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			t.Fatal(err)
		}
		settings := make([]byte, int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(c, settings); err != nil || head[3] != 4 {
			t.Fatalf("the first frame is of type %d, %v", head[3], err)
		}
		got := uint32(0)
		for ; len(settings) >= 6; settings = settings[6:] {
			if binary.BigEndian.Uint16(settings) == 3 { // SETTINGS_MAX_CONCURRENT_STREAMS
				got = binary.BigEndian.Uint32(settings[2:])
			}
		}
		if got != tt.want {
			t.Errorf("the server announces %d streams, want %d", got, tt.want)
		}
	}
}
