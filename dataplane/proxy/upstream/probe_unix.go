//go:build unix

package upstream

import "syscall"

// probe looks at an idle connection without waiting and without a goroutine that
// reads from it all the time.
type probe struct {
	raw  syscall.RawConn // nil: nothing to look at
	look func(fd uintptr) bool
	n    int
	err  error
	one  [1]byte
}

func (p *probe) init(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	p.raw = raw
	p.look = func(fd uintptr) bool {
		for {
			p.n, p.err = syscall.Read(int(fd), p.one[:])
			if p.err != syscall.EINTR {
				return true
			}
		}
	}
	return nil
}

// silent says that the connection is open and nothing has come over it. The
// sockets of package net do not block, so that reading one that is silent says
// EAGAIN at once.
func (p *probe) silent() bool {
	if p.raw == nil {
		return true
	}
	if err := p.raw.Read(p.look); err != nil {
		return false
	}
	return p.err == syscall.EAGAIN
}
