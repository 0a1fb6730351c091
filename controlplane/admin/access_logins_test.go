package admin

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func wrong() bool { return false }
func right() bool { return true }

// TestLoginsWait guesses as fast as it is let in and compares the waits.
func TestLoginsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logins
		ask := func(check func() bool) (time.Duration, bool) { return l.try(time.Now(), []string{"a"}, check) }
		for i := range freeLogins - 1 {
			if wait, begins := ask(wrong); wait != 0 || begins {
				t.Fatalf("bad login %d: wait %s, begins %t", i+1, wait, begins)
			}
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
			want *= time.Second
			if wait, begins := ask(wrong); wait != want || !begins {
				t.Fatalf("wait %s, begins %t; want %s", wait, begins, want)
			}
			time.Sleep(want - time.Millisecond)
			if wait, begins := ask(func() bool { t.Error("a token was looked at too early"); return true }); wait != time.Millisecond || begins {
				t.Fatalf("a millisecond before: wait %s, begins %t", wait, begins)
			}
			time.Sleep(time.Millisecond)
		}
		// The right token is let in, and changes nothing for the wrong ones.
		if wait, _ := ask(right); wait != 0 {
			t.Errorf("the right token has to wait %s", wait)
		}
		if wait, _ := ask(wrong); wait != maxWait {
			t.Errorf("after a good login: wait %s, want %s", wait, maxWait)
		}
		time.Sleep(maxWait + loginWindow + time.Millisecond)
		if wait, _ := ask(wrong); wait != 0 {
			t.Errorf("after a quiet minute: wait %s", wait)
		}
	})
}

// TestSlowGuessesAreFree makes four bad logins a minute for an hour.
func TestSlowGuessesAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logins
		for i := range 240 {
			if wait, _ := l.try(time.Now(), []string{"a"}, wrong); wait != 0 {
				t.Fatalf("bad login %d: wait %s", i+1, wait)
			}
			time.Sleep(15*time.Second + time.Millisecond)
		}
	})
}

// TestSourcesWaitApart has an address and a name wait for what was done in their
// name, and nobody else.
func TestSourcesWaitApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logins
		for i := range freeLogins {
			l.try(time.Now(), []string{fmt.Sprintf("10.0.0.%d", i), nameSource("ann")}, wrong)
		}
		if wait, _ := l.try(time.Now(), []string{"10.0.0.9", nameSource("ann")}, right); wait != firstWait {
			t.Errorf("the name waits %s, want %s", wait, firstWait)
		}
		if wait, _ := l.try(time.Now(), []string{"10.0.0.1", nameSource("bob")}, right); wait != 0 {
			t.Errorf("another name waits %s", wait)
		}
	})
}

// TestManyGuessesAtOnce lets no more in than one after the other would be.
func TestManyGuessesAtOnce(t *testing.T) {
	var l logins
	var checked atomic.Int64
	var wg sync.WaitGroup
	now := time.Now()
	for range 100 {
		wg.Go(func() { l.try(now, []string{"a"}, func() bool { checked.Add(1); return false }) })
	}
	wg.Wait()
	if n := checked.Load(); n != freeLogins {
		t.Errorf("%d tokens were looked at, want %d", n, freeLogins)
	}
}

// TestLoginsAreBounded comes from more addresses than are remembered; who has to
// wait is kept longest.
func TestLoginsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logins
		for range freeLogins + 3 {
			wait, _ := l.try(time.Now(), []string{"guesser"}, wrong)
			time.Sleep(wait)
		}
		wait, _ := l.try(time.Now(), []string{"guesser"}, wrong)
		for i := range maxSources + 100 {
			l.try(time.Now(), []string{fmt.Sprint(i)}, wrong)
			if len(l.bad) > maxSources {
				t.Fatalf("%d sources are remembered, want %d at most", len(l.bad), maxSources)
			}
		}
		if got, _ := l.try(time.Now(), []string{"guesser"}, right); got != wait {
			t.Errorf("who guessed most waits %s, want %s", got, wait)
		}
		time.Sleep(time.Hour)
		l.try(time.Now(), []string{"late"}, wrong)
		if len(l.bad) != 1 {
			t.Errorf("%d sources are remembered after an hour, want 1", len(l.bad))
		}
	})
}

func TestAddressOf(t *testing.T) {
	for remote, want := range map[string]string{
		"10.1.2.3:4":              "10.1.2.3",
		"[::ffff:10.1.2.3]:4":     "10.1.2.3",
		"[2001:db8:1:2:3::4]:5":   "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:5": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5":        "fe80::/64",
		"@":                       "@",
	} {
		if got := addressOf(remote); got != want {
			t.Errorf("addressOf(%q) = %q, want %q", remote, got, want)
		}
	}
}
