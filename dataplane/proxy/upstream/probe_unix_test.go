//go:build unix

package upstream

import (
	"net/netip"
	"syscall"
	"testing"
)

// A connection that the server has closed, or over which it talks unasked, is
// found out before a request is risked on it.
func TestDeadConnectionsAreNotTaken(t *testing.T) {
	for name, between := range map[string]func(p *peer){
		"closed":       func(p *peer) { p.Close() },
		"half closed":  func(p *peer) { p.CloseWrite() },
		"talks":        func(p *peer) { p.say("HTTP/1.1 408 Request Timeout\r\n\r\n") },
		"one byte":     func(p *peer) { p.say("\r") },
		"reset":        func(p *peer) { p.SetLinger(0); p.Close() },
		"second reply": func(p *peer) { p.say(okAnswer) },
	} {
		t.Run(name, func(t *testing.T) {
			done, look := make(chan struct{}), make(chan struct{})
			s := serve(t, func(p *peer) {
				if p.n == 0 {
					p.request()
					p.say(okAnswer)
					<-look
					between(p)
					close(done)
					p.gone()
					return
				}
				for p.request() != nil {
					p.say(okAnswer)
				}
			})
			l := newLean(t, Config{})
			mustAsk(t, l, post(s.address, "a"))
			close(look)
			<-done
			// What the server did arrives when it arrives.
			waitFor(t, func() bool { return !isSilent(t, peek(l, s.address)) })
			mustAsk(t, l, post(s.address, "b"))
			mustAsk(t, l, post(s.address, "c"))
			if n := s.accepted(); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
		})
	}
}

// peek gives the connection that would be taken next.
func peek(l *Lean, address netip.AddrPort) *conn {
	l.idle.mu.Lock()
	defer l.idle.mu.Unlock()
	s := l.idle.stacks[address]
	return s.conns[len(s.conns)-1]
}

// isSilent is what the probe finds out, but leaves what has come where it is.
func isSilent(t *testing.T, c *conn) bool {
	var found error
	if err := c.probe.raw.Read(func(fd uintptr) bool {
		_, _, found = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return found == syscall.EAGAIN
}
