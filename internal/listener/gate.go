package listener

import (
	"net"
	"net/netip"
	"sync"
)

// Gate bounds the number of open connections, in all and for one client. One
// gate may stand before several listeners. A connection beyond a bound is
// closed at once, without an answer.
type Gate struct {
	total, perClient int

	mu      sync.Mutex
	open    int
	clients map[netip.Prefix]int
	refused uint64
}

// NewGate makes a gate; a bound of 0 means none. A client is an IPv4 address, or
// an IPv6 /64, which is the least that one subscriber has.
func NewGate(total, perClient int) *Gate {
	return &Gate{total: total, perClient: perClient, clients: make(map[netip.Prefix]int)}
}

// Open is the number of connections inside.
func (g *Gate) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// Refused counts the connections that were turned away.
func (g *Gate) Refused() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

// admit returns c as a connection that leaves the gate when it is closed, or
// nil when it may not enter; then c is still the caller's to close. A nil gate
// admits all.
func (g *Gate) admit(c net.Conn) net.Conn {
	if g == nil {
		return c
	}
	key := client(c.RemoteAddr())
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total > 0 && g.open >= g.total || g.perClient > 0 && g.clients[key] >= g.perClient {
		g.refused++
		return nil
	}
	g.open++
	g.clients[key]++
	return &admitted{Conn: c, gate: g, key: key}
}

func (g *Gate) leave(key netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.clients[key]--; g.clients[key] == 0 {
		delete(g.clients, key)
	}
}

func client(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	// Only an address that is no address has no prefix; those count together.
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

type admitted struct {
	net.Conn
	gate *Gate
	key  netip.Prefix
	once sync.Once
}

func (c *admitted) Close() error {
	c.once.Do(func() { c.gate.leave(c.key) })
	return c.Conn.Close()
}

func (c *admitted) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}
