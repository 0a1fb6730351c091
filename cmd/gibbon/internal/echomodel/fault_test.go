package echomodel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// faultCase is one fault, asked for by config or by headers.
type faultCase struct {
	name    string
	cfg     Config
	headers []string
}

func both(name string, cfg Config, header, value string) []faultCase {
	return []faultCase{{name + " by config", cfg, nil}, {name + " by header", Config{}, []string{header, value}}}
}

func TestResetAfter(t *testing.T) {
	for _, stream := range []string{"", `,"stream":true`} {
		for _, n := range []int64{1, 100, 250} {
			for _, tt := range both(fmt.Sprintf("%d%s", n, stream), Config{ResetAfter: &n}, HeaderResetAfter, fmt.Sprint(n)) {
				t.Run(tt.name, func(t *testing.T) {
					base := start(t, tt.cfg)
					resp, err := newClient(t).Do(newRequest(t, "POST", base+chatPath, longWords+stream+`}`, tt.headers...))
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					got, err := io.ReadAll(resp.Body)
					if resp.StatusCode != 200 || int64(len(got)) != n {
						t.Errorf("status %d and %d bytes, want 200 and %d", resp.StatusCode, len(got), n)
					}
					if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("body ended with %v, want a reset", err)
					}
				})
			}
		}
	}
}

// TestResetIsNoClose looks below HTTP: the connection ends with RST, not FIN.
func TestResetIsNoClose(t *testing.T) {
	base := start(t, Config{})
	for _, n := range []string{"0", "1", "200"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		req := newRequest(t, "POST", base+chatPath, longWords+`,"stream":true}`, HeaderResetAfter, n)
		if err := req.Write(conn); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reset after %s: %q, then %v", n, got, err)
		}
		if (len(got) == 0) != (n == "0") {
			t.Errorf("reset after %s: %d bytes came", n, len(got))
		}
	}
}

func TestResetBeforeHead(t *testing.T) {
	for _, tt := range both("reset", Config{ResetAfter: new(int64(0))}, HeaderResetAfter, "0") {
		t.Run(tt.name, func(t *testing.T) {
			base := start(t, tt.cfg)
			resp, err := newClient(t).Do(newRequest(t, "POST", base+chatPath, walk, tt.headers...))
			if err == nil {
				resp.Body.Close()
				t.Fatalf("status %d, want no answer", resp.StatusCode)
			}
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("error %v, want a reset", err)
			}
		})
	}
}

// TestFaultsLeaveOthersAlone: an answer shorter than the fault's byte, a
// fault turned off, and a path that is not the model's come whole.
func TestFaultsLeaveOthersAlone(t *testing.T) {
	base := start(t, Config{Status: 500, ResetAfter: new(int64(0)), StallAfter: new(int64(0)), TokensPerSecond: 1e-6, Latency: time.Hour})
	off := []string{HeaderStatus, "off", HeaderResetAfter, "off", HeaderStallAfter, "off", HeaderTokensPerSecond, "off", HeaderLatency, "off"}
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
	}{
		{"all off", "POST", chatPath, walk, off},
		{"late reset", "POST", chatPath, walk, append(off[:len(off):len(off)], HeaderResetAfter, "100000")},
		{"late stall", "POST", chatPath, walk, append(off[:len(off):len(off)], HeaderStallAfter, "100000")},
		{"root", "GET", "/", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if resp, body := do(t, tt.method, base+tt.path, tt.body, tt.headers...); resp.StatusCode != 200 {
				t.Errorf("status %d %s, want 200", resp.StatusCode, body)
			}
		})
	}
}

func TestStallEndsWhenClientLeaves(t *testing.T) {
	for _, tt := range both("stall", Config{StallAfter: new(int64(40))}, HeaderStallAfter, "40") {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Listen = "127.0.0.1:0"
			s, err := New(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			// This server knows nothing of the Server's stop: its Close waits
			// for the handler, which only the client's leaving can end.
			server := httptest.NewServer(s.Handler())
			t.Cleanup(server.Close)
			base := server.URL
			ctx, leave := context.WithCancel(t.Context())
			req := newRequest(t, "POST", base+chatPath, walk, tt.headers...).WithContext(ctx)
			resp, err := newClient(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got := make([]byte, 40)
			if _, err := io.ReadFull(resp.Body, got); err != nil {
				t.Fatal(err)
			}
			leave()
			if n, err := resp.Body.Read(got); n != 0 || !errors.Is(err, context.Canceled) {
				t.Errorf("after the stall came %q, %v", got[:n], err)
			}
		})
	}
}

func TestStopEndsStall(t *testing.T) {
	for _, after := range []string{"0", "40"} {
		t.Run(after, func(t *testing.T) {
			base, stop := startStoppable(t, Config{Grace: time.Hour})
			failed := make(chan error, 1)
			arrived := make(chan struct{})
			req := newRequest(t, "POST", base+chatPath, walk, HeaderStallAfter, after)
			req.Body = &notify{ReadCloser: req.Body, done: arrived}
			client := newClient(t)
			go func() {
				resp, err := client.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				failed <- err
			}()
			<-arrived
			for len(requests(t, base)) == 0 { // until the handler has the request
			}
			stop()
			if err := <-failed; err == nil {
				t.Error("the client took a stalled answer for a whole one")
			}
		})
	}
}

// notify closes done when the body has been read to its end.
type notify struct {
	io.ReadCloser
	done chan struct{}
}

func (n *notify) Close() error {
	select {
	case <-n.done:
	default:
		close(n.done)
	}
	return n.ReadCloser.Close()
}

// TestCancelStopsGeneration: a client that leaves a slow stream ends it. The
// server's stop, which waits an hour for handlers, is the proof.
func TestCancelStopsGeneration(t *testing.T) {
	for _, tt := range both("pace", Config{TokensPerSecond: 1e-6}, HeaderTokensPerSecond, "0.000001") {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Grace = time.Hour
			base := start(t, tt.cfg)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			req := newRequest(t, "POST", base+chatPath, longWords+`,"stream":true}`, tt.headers...).WithContext(ctx)
			resp, err := newClient(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			// The opening chunk is there before the first token is made.
			line, err := bufio.NewReader(resp.Body).ReadString('\n')
			if err != nil || !strings.Contains(line, `"role":"assistant"`) {
				t.Errorf("first line %q, %v", line, err)
			}
		})
	}
}

// TestGraceCutsSlowAnswers: an answer that does not finish in time is cut in
// a way that the client notices.
func TestGraceCutsSlowAnswers(t *testing.T) {
	base, stop := startStoppable(t, Config{TokensPerSecond: 1e-6, Grace: -1})
	resp, err := newClient(t).Do(newRequest(t, "POST", base+chatPath, longWords+`,"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stop()
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the client took a cut stream for a whole one: %s", got)
	}
}

func TestStatusByConfig(t *testing.T) {
	base := start(t, Config{Status: 503})
	resp, body := do(t, "POST", base+chatPath, walk)
	if resp.StatusCode != 503 || !strings.Contains(body, `"code":"overloaded"`) {
		t.Errorf("status %d %s", resp.StatusCode, body)
	}
}
