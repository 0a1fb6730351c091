package aiproxy_test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// endless is a provider that begins an answer and goes on only when nobody is
// there any more. It counts those who came and those who left.
type endless struct {
	url        string
	came, left atomic.Int64
}

func begin(t testing.TB, kind, first string) *endless {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &endless{url: "http://" + l.Addr().String()}
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + kind + "\r\nTransfer-Encoding: chunked\r\n\r\n" +
		fmt.Sprintf("%x\r\n%s\r\n", len(first), first)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				reader := bufio.NewReader(conn)
				for {
					line, err := reader.ReadString('\n')
					if err != nil {
						return
					}
					if line == "\r\n" {
						break
					}
				}
				e.came.Add(1)
				if _, err := io.WriteString(conn, head); err != nil {
					return
				}
				// The rest of the call, then the end of the connection.
				_, _ = io.Copy(io.Discard, reader)
				e.left.Add(1)
			})
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		served.Wait()
	})
	return e
}

// aborted opens a stream, reads the beginning of the answer and leaves.
func aborted(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		len(streamRequest), streamRequest); err != nil {
		return err
	}
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read the beginning: %w", err)
		}
		if strings.Contains(line, "Two, ") {
			return nil
		}
	}
}

// held is what a process holds.
type held struct {
	goroutines, files int
	heap              uint64
}

func hold() held {
	goruntime.GC()
	goruntime.GC() // what finalizers and pools held
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	h := held{goroutines: goruntime.NumGoroutine(), heap: m.HeapAlloc}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		h.files = len(files)
	}
	return h
}

// TestAbortedStreams checks that callers who leave in the middle of their answers
// leave nothing behind: every call to the provider is ended, and goroutines,
// sockets and memory are what they were. It does so for answers that pass, and for
// those that are written in another format, from events and from binary frames.
func TestAbortedStreams(t *testing.T) {
	for _, tt := range costs {
		if tt.caller != "openai" || tt.provider != "openai" && tt.provider != "gemini" && tt.provider != "bedrock" {
			continue
		}
		t.Run(tt.provider, func(t *testing.T) {
			e := begin(t, tt.kind, tt.begin+tt.event)
			g := serveOn(t, node{silent: true}, strings.ReplaceAll(before(t, tt.caller, tt.provider), "%s", e.url))
			leaveStreams(t, e, g)
		})
	}
}

// leaveStreams opens streams and leaves them, many at a time.
func leaveStreams(t *testing.T, e *endless, g *gateway) {
	t.Helper()
	const workers = 32
	streams := int64(300)
	if os.Getenv("GIBBON_REQUIRE_SERVICES") != "" {
		streams = 10_000 // "make test" has the time
	}
	run := func(n int64) {
		t.Helper()
		var next atomic.Int64
		var done sync.WaitGroup
		for range workers {
			done.Go(func() {
				for next.Add(1) <= n {
					if err := aborted(g.addr); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		done.Wait()
	}
	// settled waits until what is held is no more than that.
	settled := func(most held) held {
		deadline := time.Now().Add(5 * time.Second)
		for {
			h := hold()
			if e.came.Load() == e.left.Load() && h.goroutines <= most.goroutines && h.files <= most.files && h.heap <= most.heap ||
				time.Now().After(deadline) {
				return h
			}
			goruntime.Gosched()
		}
	}
	run(workers * 4) // pools and buffers have their memory from here on
	before := settled(held{goroutines: math.MaxInt, files: math.MaxInt, heap: math.MaxUint64})
	run(streams)
	most := held{goroutines: before.goroutines + 5, files: before.files + 5, heap: before.heap + 5<<20}
	after := settled(most)
	if came, left := e.came.Load(), e.left.Load(); came < streams || came != left {
		t.Errorf("%d calls came to the provider and %d ended, want %d of each", came, left, streams)
	}
	if after.goroutines > most.goroutines || after.files > most.files || after.heap > most.heap {
		t.Errorf("held %+v before and %+v after", before, after)
	}
	t.Logf("held %+v before and %+v after", before, after)
}
