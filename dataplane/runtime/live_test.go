package runtime

import (
	"log/slog"
	"testing"
)

func TestLive(t *testing.T) {
	var l Live
	if rt := l.Acquire(); rt != nil {
		t.Fatal("a runtime where none was swapped in")
	}
	l.Advance("1") // nothing to advance
	if _, ok := l.Version(); ok {
		t.Fatal("a version where no runtime is")
	}
	var keeper Keeper
	build := func(version string) *Runtime {
		t.Helper()
		rt, err := BuildConfig(&Config{}, Options{Version: version, Keeper: &keeper, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return rt
	}
	l.Swap(build("1"))
	held := l.Acquire()
	l.Advance("2")
	if v, _ := l.Version(); v != "2" || held.Version() != "2" {
		t.Errorf("version %q, held %q; want 2", v, held.Version())
	}
	l.Swap(build("3"))
	if v, _ := l.Version(); v != "3" || held.Version() != "2" {
		t.Errorf("version %q, held %q; want 3 and 2", v, held.Version())
	}
	held.Release()
	l.Swap(nil)
}
