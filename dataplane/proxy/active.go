package proxy

import (
	"errors"
	"sync"
)

// errStopping is the cause with which requests end when the node cannot wait
// for them any longer.
var errStopping = errors.New("the node is stopping")

// active is the list of the requests in progress.
type active struct {
	mu      sync.Mutex
	first   *exchange
	n       int
	streams int
	changed chan struct{} // closed and replaced when a request ends, if someone waits
}

func (a *active) add(x *exchange) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x.next, x.prev = a.first, nil
	if a.first != nil {
		a.first.prev = x
	}
	a.first = x
	a.n++
}

func (a *active) remove(x *exchange) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		a.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	x.next, x.prev = nil, nil
	a.n--
	if x.stream {
		a.streams--
		x.stream = false
	}
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// becomesStream notes that a request has turned into a stream, which is given
// more time when the node stops.
func (a *active) becomesStream(x *exchange) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !x.stream {
		x.stream = true
		a.streams++
	}
}

func (a *active) count() (all, streams int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n, a.streams
}

// cut ends the requests in progress, streams only when asked to. It gives how
// many it ended.
func (a *active) cut(streams bool) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for x := a.first; x != nil; x = x.next {
		if x.stream && !streams || x.cut {
			continue
		}
		x.cut = true
		x.cancel(errStopping)
		n++
	}
	return n
}

// change gives a channel that closes when a request ends, and how many are in
// progress now.
func (a *active) change() (changed <-chan struct{}, all, streams int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed, a.n, a.streams
}
