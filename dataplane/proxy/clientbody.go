package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/internal/listener"
)

// clientBody reads the client's body: it counts, keeps the limit and does not
// wait for ever. It is not pooled, since a transport may hold it a little longer
// than the request lasts.
type clientBody struct {
	rc    http.ResponseController
	body  io.ReadCloser
	idle  time.Duration
	limit int64 // 0: none
	read  atomic.Int64
	ended bool
	// fault is why the body cannot be read to its end, when that is the client's
	// doing. A transport does not always say so.
	fault atomic.Pointer[error]
}

// readBody gives the request its body, and the bounds on what may be held.
func (x *exchange) readBody() {
	x.req.SetLimits(x.p.o.Limits)
	in := x.in
	if in.Body == nil || in.Body == http.NoBody || in.ContentLength == 0 {
		x.req.SetSource(nil, 0)
		return
	}
	x.source = &clientBody{rc: x.rc, body: in.Body, idle: x.p.o.BodyIdle, limit: x.p.o.MaxBody}
	x.req.SetSource(x.source, in.ContentLength)
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	// Where the connection knows no deadlines the body's own end has to do.
	if err := b.rc.SetReadDeadline(time.Now().Add(b.idle)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := b.body.Read(p)
	if total := b.read.Add(int64(n)); b.limit > 0 && total > b.limit {
		err = plugin.ErrBodyTooLarge
	}
	switch {
	case err == io.EOF:
		b.ended = true
		// From here on the server waits for the client to leave, which may take as
		// long as the answer does.
		if err := b.rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return n, err
		}
	case err != nil:
		var broken *listener.BodyError
		if errors.As(err, &broken) {
			err = &plugin.ClientError{Status: broken.Reason.Status, Err: err}
		}
		b.fault.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close does nothing: the body is the server's.
func (b *clientBody) Close() error { return nil }

// idleTimer ends a call when nothing has come for a while. It is not pooled, so
// that a late alarm cannot meet another request.
type idleTimer struct {
	mu     sync.Mutex
	timer  *time.Timer
	alarm  func()
	called bool // the call was answered, or is over
	closed bool
}

func newIdleTimer() *idleTimer { return &idleTimer{} }

// onAlarm says what to do when the time is over. The timer must be at rest.
func (t *idleTimer) onAlarm(alarm func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alarm, t.called = alarm, false
}

// sent begins the wait for an answer: the request has been written. That may be
// heard of when the answer is already there, and then it is of no interest.
func (t *idleTimer) sent(d time.Duration) {
	t.mu.Lock()
	called := t.called
	t.mu.Unlock()
	if !called {
		t.start(d)
	}
}

// start begins a wait, or begins it anew.
func (t *idleTimer) start(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed || t.alarm == nil:
	case t.timer == nil:
		t.timer = time.AfterFunc(d, t.ring)
	default:
		t.timer.Reset(d)
	}
}

func (t *idleTimer) ring() {
	t.mu.Lock()
	alarm := t.alarm
	t.mu.Unlock()
	if alarm != nil {
		alarm()
	}
}

// stop ends a wait.
func (t *idleTimer) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.called = true
	if t.timer != nil {
		t.timer.Stop()
	}
}

// rest ends a wait and forgets the alarm: a call that is over.
func (t *idleTimer) rest() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alarm = nil
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *idleTimer) close() {
	t.rest()
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
}
