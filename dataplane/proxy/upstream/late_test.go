package upstream

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The short wait for the words of a server that takes no more of a request ends
// with their head: the body has the time that the call gives it.
func TestLateReplyEndsWithItsHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLean(t, Config{Write: 4 * time.Second})
		near, far := net.Pipe()
		plug(t, l, anywhere, near)
		var server sync.WaitGroup
		server.Go(func() {
			if _, err := far.Read(make([]byte, 4096)); err != nil {
				t.Errorf("the server reads: %v", err)
			}
			for _, text := range []string{"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n", "n", "o"} {
				if _, err := io.WriteString(far, text); err != nil {
					t.Errorf("the server writes: %v", err)
				}
				time.Sleep(5 * lateReply)
			}
		})
		status, data, err := ask(t.Context(), l, post(anywhere, strings.Repeat("x", 10_000)))
		if status != 413 || data != "no" || err != nil {
			t.Errorf("got %d %q, %v", status, data, err)
		}
		if err := far.Close(); err != nil {
			t.Error(err)
		}
		server.Wait()
	})
}
