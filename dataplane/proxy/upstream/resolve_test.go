package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func addrs(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// pickOne picks an address of a host and gives it as text, or the error.
func pickOne(t *testing.T, r *Resolver, host string, tried ...netip.AddrPort) string {
	t.Helper()
	addr, err := r.Pick(t.Context(), host, 80, tried)
	if err != nil {
		return err.Error()
	}
	return addr.String()
}

func TestResolverTurns(t *testing.T) {
	for _, tt := range []struct {
		name  string
		addrs []netip.Addr
		want  []string
	}{
		{"in turn", addrs("10.0.0.1", "10.0.0.2"), []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"}},
		{"IPv4 first", addrs("::1", "::ffff:127.0.0.1"), []string{"127.0.0.1:80", "127.0.0.1:80"}},
		{"IPv6 alone", addrs("::1"), []string{"[::1]:80"}},
		{"none", nil, []string{`"host": name resolution failed`}},
	} {
		r := NewResolver(func(context.Context, string) ([]netip.Addr, error) { return tt.addrs, nil })
		for _, want := range tt.want {
			if got := pickOne(t, r, "host"); got != want {
				t.Errorf("%s: %s, want %s", tt.name, got, want)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What was tried is tried again only when there is nothing else.
func TestResolverTried(t *testing.T) {
	r := NewResolver(func(context.Context, string) ([]netip.Addr, error) {
		return addrs("10.0.0.1", "10.0.0.2", "10.0.0.3"), nil
	})
	defer r.Close()
	var tried []netip.AddrPort
	for range 3 {
		addr, err := r.Pick(t.Context(), "host", 80, tried)
		if err != nil || slices.Contains(tried, addr) {
			t.Fatalf("after %v: %v, %v", tried, addr, err)
		}
		tried = append(tried, addr)
	}
	if addr, err := r.Pick(t.Context(), "host", 80, tried); err != nil || !slices.Contains(tried, addr) {
		t.Errorf("after all: %v, %v", addr, err)
	}
	if got := pickOne(t, r, "192.0.2.7"); got != "192.0.2.7:80" {
		t.Errorf("an address is resolved to %s", got)
	}
}

// Answers are kept for a while, old ones are used while new ones are asked for
// and when there are none, and names that do not exist are asked for again soon.
func TestResolverAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		var answer atomic.Pointer[[]netip.Addr]
		first := addrs("10.0.0.1")
		answer.Store(&first)
		r := NewResolver(func(context.Context, string) ([]netip.Addr, error) {
			asked.Add(1)
			if now := answer.Load(); now != nil {
				return *now, nil
			}
			return nil, errors.New("no server")
		})
		expect := func(what, want string, questions int64) {
			t.Helper()
			got := pickOne(t, r, "host")
			synctest.Wait() // for a question that was put beside
			if got != want || asked.Load() != questions {
				t.Errorf("%s: %s after %d questions, want %s after %d", what, got, asked.Load(), want, questions)
			}
		}
		expect("first", "10.0.0.1:80", 1)
		time.Sleep(freshTime - time.Second)
		expect("fresh", "10.0.0.1:80", 1)
		second := addrs("10.0.0.2")
		answer.Store(&second)
		time.Sleep(2 * time.Second)
		expect("old, asked beside", "10.0.0.1:80", 2)
		expect("new", "10.0.0.2:80", 2)
		answer.Store(nil)
		time.Sleep(freshTime + time.Second)
		expect("the resolver fails", "10.0.0.2:80", 3)
		expect("not asked again at once", "10.0.0.2:80", 3)
		time.Sleep(staleTime + freshTime + time.Second)
		expect("too old", `resolve "host": no server`, 4)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// One question serves all who wait for it, and nobody waits longer than the
// caller's context.
func TestResolverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		r := NewResolver(func(ctx context.Context, _ string) ([]netip.Addr, error) {
			asked.Add(1)
			<-ctx.Done()
			return nil, &net.DNSError{Err: "timeout", IsTimeout: true}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		results := make(chan error)
		for range 10 {
			go func() { _, err := r.Pick(ctx, "host", 80, nil); results <- err }()
		}
		for range 10 {
			if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want the context's end", err)
			}
		}
		if asked.Load() != 1 {
			t.Errorf("%d questions, want 1", asked.Load())
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}
