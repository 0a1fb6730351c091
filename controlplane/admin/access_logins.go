package admin

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// freeLogins is how many bad logins within loginWindow cost no wait.
	freeLogins  = 5
	loginWindow = time.Minute
	// The first wait, which doubles with each further bad login, and the longest.
	firstWait = time.Second
	maxWait   = 15 * time.Minute
	// maxSources bounds how many addresses and names are remembered.
	maxSources = 4096
)

// logins slows down who guesses tokens. The zero value is ready. A source is an
// address or a name; good logins neither count nor forgive, or a caller with one
// token could go on guessing another.
type logins struct {
	mu  sync.Mutex
	bad map[string]*badLogins
}

// badLogins are those of one source.
type badLogins struct {
	count int
	first time.Time // of the current window
	until time.Time // when the next try is let in; zero before the first wait
}

// forgotten tells whether a source is as good as new.
func (b *badLogins) forgotten(now time.Time) bool {
	if b.until.IsZero() {
		return now.Sub(b.first) > loginWindow
	}
	return now.Sub(b.until) > loginWindow
}

// try runs check unless one of the sources has to wait. It holds a lock
// meanwhile, so that many tries at once count as many. The wait is how long the
// sources must stay away; begins says that this try, which was let in, is why.
func (l *logins) try(now time.Time, sources []string, check func() bool) (wait time.Duration, begins bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, source := range sources {
		if b := l.bad[source]; b != nil {
			wait = max(wait, b.until.Sub(now))
		}
	}
	if wait > 0 {
		return wait, false
	}
	if check() {
		return 0, false
	}
	for _, source := range sources {
		wait = max(wait, l.count(now, source))
	}
	return wait, wait > 0
}

// count notes a bad login and returns the wait that follows. l.mu is held.
func (l *logins) count(now time.Time, source string) time.Duration {
	b := l.bad[source]
	if b == nil || b.forgotten(now) {
		b = &badLogins{first: now}
		if l.bad == nil {
			l.bad = map[string]*badLogins{}
		}
		l.makeRoom(now)
		l.bad[source] = b
	}
	if b.count++; b.count < freeLogins {
		return 0
	}
	wait := firstWait
	for range b.count - freeLogins {
		if wait = min(2*wait, maxWait); wait == maxWait {
			break
		}
	}
	b.until = now.Add(wait)
	return wait
}

// makeRoom forgets sources until there is room for one more: those that have
// nothing to wait for, and then the one that is let in first. l.mu is held.
func (l *logins) makeRoom(now time.Time) {
	if len(l.bad) < maxSources {
		return
	}
	soonest, until := "", time.Time{}
	for name, b := range l.bad {
		if b.forgotten(now) {
			delete(l.bad, name)
		} else if soonest == "" || b.until.Before(until) {
			soonest, until = name, b.until
		}
	}
	if len(l.bad) >= maxSources {
		delete(l.bad, soonest)
	}
}

// addressOf is the source of a connection. Whoever has one IPv6 address has all
// of its network.
func addressOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return network.String()
}

// nameSource is the source of a name that a caller says. No token has a name of
// more than 64 bytes.
func nameSource(name string) string {
	return "name " + string([]byte(name)[:min(len(name), 64)])
}
