package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Picker chooses the address for one try at a host. It stands where the host of
// a service becomes an address: a host name here, an upstream entity with
// targets and health in a balancer.
type Picker interface {
	// Pick gives an address that is best not among those tried before, which are
	// in the order of the tries. ErrUnknownHost and ErrNoPeer are told apart from
	// other errors by errors.Is.
	Pick(ctx context.Context, host string, port int, tried []netip.AddrPort) (netip.AddrPort, error)
}

const (
	// A name that was resolved is good for freshTime; when it cannot be resolved
	// again the old addresses serve for staleTime more. A name that does not
	// exist is asked for again after failTime.
	freshTime = 5 * time.Second
	staleTime = time.Hour
	failTime  = time.Second
	// lookupTime bounds one question to the resolver.
	lookupTime = 10 * time.Second
	// maxNames bounds the cache. Names come from the configuration, but also from
	// templates that clients have a say in.
	maxNames = 10_000
)

// Resolver is a Picker that resolves host names and takes their addresses in
// turn. It prefers IPv4, as Kong does. Make one with NewResolver; Close ends its
// questions.
type Resolver struct {
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	asking sync.WaitGroup

	mu    sync.Mutex
	names map[string]*name
}

// name is what is known of a host name. All fields are guarded by Resolver.mu.
type name struct {
	addrs []netip.Addr
	err   error
	until time.Time // when the answer is no longer fresh
	stale time.Time // when the addresses are no longer of use
	next  int       // the address whose turn it is
	done  chan struct{}
}

// NewResolver makes a resolver that asks the operating system's, or lookup when
// that is not nil.
func NewResolver(lookup func(ctx context.Context, host string) ([]netip.Addr, error)) *Resolver {
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Resolver{lookup: lookup, ctx: ctx, cancel: cancel, names: make(map[string]*name)}
}

// Close ends the questions that are under way and waits for them.
func (r *Resolver) Close() error {
	r.cancel()
	r.asking.Wait()
	return nil
}

// Pick implements Picker.
func (r *Resolver) Pick(ctx context.Context, host string, port int, tried []netip.AddrPort) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(addr, uint16(port)), nil
	}
	now := time.Now()
	r.mu.Lock()
	n := r.names[host]
	if n == nil {
		r.trim()
		n = &name{}
		r.names[host] = n
	}
	if now.After(n.until) && n.done == nil && r.ctx.Err() == nil {
		n.done = make(chan struct{})
		r.asking.Go(func() { r.ask(host, n) })
	}
	// Old addresses are used while the question is under way: a request waits
	// for the resolver only when there is nothing else.
	if wait := n.done; wait != nil && (len(n.addrs) == 0 || now.After(n.stale)) {
		r.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return netip.AddrPort{}, context.Cause(ctx)
		}
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if len(n.addrs) == 0 || time.Now().After(n.stale) {
		err := n.err
		if err == nil {
			err = ErrUnknownHost
		}
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(n.turn(uint16(port), tried), uint16(port)), nil
}

// turn takes the next address, going past those that were tried as long as
// there are others.
func (n *name) turn(port uint16, tried []netip.AddrPort) netip.Addr {
	chosen := n.addrs[n.next%len(n.addrs)]
search:
	for range n.addrs {
		candidate := n.addrs[n.next%len(n.addrs)]
		n.next++
		for _, t := range tried {
			if t == netip.AddrPortFrom(candidate, port) {
				continue search
			}
		}
		return candidate
	}
	return chosen
}

// ask puts one question and notes the answer.
func (r *Resolver) ask(host string, n *name) {
	ctx, cancel := context.WithTimeout(r.ctx, lookupTime)
	defer cancel()
	addrs, err := r.lookup(ctx, host)
	addrs = prefer4(addrs)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	close(n.done)
	n.done = nil
	switch {
	case err == nil && len(addrs) > 0:
		n.addrs, n.err = addrs, nil
		n.until, n.stale = now.Add(freshTime), now.Add(freshTime+staleTime)
	default:
		n.until = now.Add(failTime)
		n.err = resolveError(host, err)
	}
}

func resolveError(host string, err error) error {
	var dns *net.DNSError
	if err == nil || errors.As(err, &dns) && dns.IsNotFound {
		return fmt.Errorf("%q: %w", host, ErrUnknownHost)
	}
	return fmt.Errorf("resolve %q: %w", host, err)
}

func prefer4(addrs []netip.Addr) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	if len(v4) > 0 {
		return v4
	}
	return v6
}

// trim makes room for one more name. It is called with the lock held.
func (r *Resolver) trim() {
	if len(r.names) < maxNames {
		return
	}
	for host, n := range r.names {
		if n.done == nil {
			delete(r.names, host)
			return
		}
	}
}
