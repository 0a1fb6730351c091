package proxy

import (
	"context"
	"time"
)

// Drain makes answers over HTTP/1 end their connections and waits for the
// requests in progress: at most ordinary for plain ones and stream for streams.
// What is not done by then is cut: plugins may write an error event, the upstream
// call is cancelled and the client sees an unclean end. When ctx ends, all is cut
// at once. Drain returns when no request is left and says how many were cut. The
// listeners must take in no more connections meanwhile.
func (p *Proxy) Drain(ctx context.Context, ordinary, stream time.Duration) (cut int) {
	p.draining.Store(true)
	plain := time.NewTimer(ordinary)
	defer plain.Stop()
	all := time.NewTimer(max(ordinary, stream))
	defer all.Stop()
	done := ctx.Done()
	cutPlain, cutAll := false, false
	for {
		changed, n, _ := p.active.change()
		if n == 0 {
			break
		}
		// A request that came in on an open connection after the deadline has no
		// time at all.
		if cutPlain || cutAll {
			cut += p.active.cut(cutAll)
		}
		select {
		case <-changed:
		case <-plain.C:
			cutPlain = true
		case <-all.C:
			cutAll = true
		case <-done:
			cutAll, done = true, nil
		}
	}
	p.cut.Add(uint64(cut))
	return cut
}

// BeginDrain makes answers over HTTP/1 end their connections from now on.
func (p *Proxy) BeginDrain() { p.draining.Store(true) }
