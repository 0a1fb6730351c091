package admin

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// traffic counts the connections and requests that GET /status shows.
type traffic struct {
	requests           atomic.Int64
	accepted, handled  atomic.Int64
	mu                 sync.Mutex
	states             map[net.Conn]http.ConnState
	reading, answering int64
	waiting            int64
}

// ConnState counts connections; it is for http.Server.ConnState.
func (s *Server) ConnState(c net.Conn, state http.ConnState) { s.traffic.note(c, state) }

func (t *traffic) note(c net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.states == nil {
		t.states = map[net.Conn]http.ConnState{}
	}
	before, known := t.states[c]
	if known {
		*t.counter(before)--
	} else {
		t.accepted.Add(1)
		t.handled.Add(1)
	}
	if state == http.StateClosed || state == http.StateHijacked {
		delete(t.states, c)
		return
	}
	t.states[c] = state
	*t.counter(state)++
}

// counter is where connections of that state are counted. t.mu is held.
func (t *traffic) counter(state http.ConnState) *int64 {
	switch state {
	case http.StateActive:
		return &t.answering
	case http.StateIdle:
		return &t.waiting
	}
	return &t.reading
}

// counts are the numbers that GET /status shows.
type counts struct {
	accepted, handled, active, reading, writing, waiting, requests int64
}

func (t *traffic) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return counts{
		accepted: t.accepted.Load(), handled: t.handled.Load(), active: int64(len(t.states)),
		reading: t.reading, writing: t.answering, waiting: t.waiting, requests: t.requests.Load(),
	}
}
