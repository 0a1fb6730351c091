package upstream

import (
	"net/netip"
	"sync"
	"time"
)

// idlePool keeps the idle connections of a Lean client: for each address a stack,
// so that the connection used last serves first and the others can grow old. One
// timer closes what is too old, and runs only while there are connections.
type idlePool struct {
	size int           // for one address; negative: none is kept
	keep time.Duration // how long one is kept
	most int           // requests of one connection; 0: any number

	mu     sync.Mutex
	stacks map[netip.AddrPort]*stack
	timer  *time.Timer // runs sweep
	armed  bool
	closed bool
}

// stack holds connections in the order in which they became idle.
type stack struct{ conns []*conn }

// take gives a connection that can serve, or nil.
func (p *idlePool) take(address netip.AddrPort) *conn {
	for {
		c := p.pop(address)
		if c == nil {
			return nil
		}
		if time.Since(c.since) < p.keep && c.usable() {
			return c
		}
		c.close()
	}
}

func (p *idlePool) pop(address netip.AddrPort) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stacks[address]
	if s == nil || len(s.conns) == 0 {
		return nil
	}
	top := len(s.conns) - 1
	c := s.conns[top]
	s.conns[top] = nil
	s.conns = s.conns[:top]
	return c
}

// put takes a connection over, to keep it or to close it.
func (p *idlePool) put(address netip.AddrPort, c *conn) {
	c.rest()
	if !p.push(address, c) {
		c.close()
	}
}

func (p *idlePool) push(address netip.AddrPort, c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stacks[address]
	switch {
	case p.closed || p.size < 0 || p.most > 0 && c.served >= p.most:
		return false
	case s == nil:
		if p.stacks == nil {
			p.stacks = make(map[netip.AddrPort]*stack)
		}
		s = &stack{}
		p.stacks[address] = s
	case len(s.conns) >= p.size:
		return false
	}
	c.since = time.Now()
	s.conns = append(s.conns, c)
	if !p.armed {
		p.armed = true
		if p.timer == nil {
			p.timer = time.AfterFunc(p.keep, p.sweep)
		} else {
			p.timer.Reset(p.keep)
		}
	}
	return true
}

// sweep closes what is too old, forgets addresses without connections, and sets
// the timer for the next that grows old.
func (p *idlePool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	if p.closed {
		return
	}
	now := time.Now()
	var oldest time.Time
	for address, s := range p.stacks {
		old := 0
		for old < len(s.conns) && now.Sub(s.conns[old].since) >= p.keep {
			s.conns[old].close()
			old++
		}
		rest := copy(s.conns, s.conns[old:])
		clear(s.conns[rest:])
		s.conns = s.conns[:rest]
		if rest == 0 {
			delete(p.stacks, address)
			continue
		}
		if since := s.conns[0].since; oldest.IsZero() || since.Before(oldest) {
			oldest = since
		}
	}
	if !oldest.IsZero() {
		p.armed = true
		p.timer.Reset(p.keep - now.Sub(oldest))
	}
}

// close closes what is idle, now and from now on.
func (p *idlePool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, s := range p.stacks {
		for _, c := range s.conns {
			c.close()
		}
	}
	p.stacks = nil
}
