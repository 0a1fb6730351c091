package proxy

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// pulse asks the idle filters of a streamed answer what to do while nothing comes
// from the upstream. Whoever holds its lock owns the exchange: the loop that
// passes the answer on lets go of it only while it waits for the upstream. It is
// not pooled, so that a late beat cannot meet another request.
//
// The timer is not set anew for each piece that comes: a beat finds out how long
// the silence is and sets the next one.
type pulse struct {
	x     *exchange
	mu    sync.Mutex
	timer *time.Timer
	over  bool
	lost  error // why the client cannot be written to
}

// startPulse takes the lock of a pulse that beats; nil when no filter wants one.
func (x *exchange) startPulse() *pulse {
	wanted := false
	for _, instance := range x.chosen {
		wanted = wanted || instance != nil && instance.Handler.Idle != nil
	}
	if !wanted || x.unfiltered || x.cancelTry == nil {
		return nil
	}
	p := &pulse{x: x}
	p.mu.Lock()
	p.ask()
	return p
}

// stop ends the pulse and gives its lock back.
func (p *pulse) stop() {
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
}

// beat is the timer's.
func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.ask()
	}
}

// ask asks the filters, does what they say, and sets the next beat. Where that
// fails the call to the upstream ends, which wakes the loop.
func (p *pulse) ask() {
	x := p.x
	words, again, err := x.idleFilters(now())
	if err != nil {
		x.cancelTry(err)
		return
	}
	if len(words) > 0 {
		if err := x.write(words); err == nil {
			err = x.flush()
			p.lost = err
		} else {
			p.lost = err
		}
		if p.lost != nil {
			x.cancelTry(p.lost)
			return
		}
	}
	switch {
	case again <= 0:
	case p.timer == nil:
		p.timer = time.AfterFunc(again, p.beat)
	default:
		p.timer.Reset(again)
	}
}

// idleFilters asks all of them. The earliest time to ask again counts.
func (x *exchange) idleFilters(at time.Time) (words []byte, again time.Duration, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			// Beats run on a goroutine of their own, where nobody else would catch it.
			x.p.panics.Add(1)
			x.p.o.Log.Error("a plugin panicked", "request_id", x.req.ID, "panic", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("a plugin panicked: %v", cause)
		}
	}()
	for _, instance := range x.chosen {
		if instance == nil || instance.Handler.Idle == nil {
			continue
		}
		more, wait, err := instance.Handler.Idle.Idle(&x.req, at)
		if err != nil {
			return nil, 0, err
		}
		if words == nil {
			words = more
		} else {
			words = append(words[:len(words):len(words)], more...)
		}
		if wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
	}
	return words, again, nil
}

// await reads the next piece of the upstream's body, during which the pulse may
// beat. p may be nil.
func (x *exchange) await(p *pulse, piece []byte) (n int, err error) {
	if p == nil {
		return x.readPiece(piece)
	}
	p.mu.Unlock()
	defer p.mu.Lock()
	return x.readPiece(piece)
}
