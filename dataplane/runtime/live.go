package runtime

import (
	"sync"
	"sync/atomic"
)

// Live is the place where the runtime in force stands. Its zero value is ready
// and holds none.
type Live struct {
	current atomic.Pointer[Runtime]
	swaps   sync.Mutex
}

// Acquire gives the runtime in force, for one request that keeps it to its end
// and then calls Release. It is nil as long as there is no configuration.
func (l *Live) Acquire() *Runtime {
	for {
		rt := l.current.Load()
		// A runtime that is already closed was replaced between the load and the
		// attempt to hold it, so the next load gives another.
		if rt == nil || rt.acquire() {
			return rt
		}
	}
}

// Swap puts another runtime in force. The one before is closed when its last
// request has ended. nil takes the configuration away.
func (l *Live) Swap(next *Runtime) {
	l.swaps.Lock()
	defer l.swaps.Unlock()
	if old := l.current.Swap(next); old != nil {
		old.Release()
	}
}

// Advance says that the runtime in force has another version from now on, with
// the same content.
func (l *Live) Advance(version string) {
	l.swaps.Lock()
	defer l.swaps.Unlock()
	if rt := l.current.Load(); rt != nil {
		rt.version.Store(&version)
	}
}

// Version is the version of the runtime in force; ok is false when there is
// none.
func (l *Live) Version() (version string, ok bool) {
	rt := l.current.Load()
	if rt == nil {
		return "", false
	}
	return rt.Version(), true
}
