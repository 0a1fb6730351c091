//go:build unix

package gibbon

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, l *Log, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", part, n, err)
		}
	}
}

func TestLogPutsLinesTogether(t *testing.T) {
	l := newLog()
	write(t, l, "a b", " c\nsecond", " line\nx b")
	if got, want := l.Len(), 2; got != want {
		t.Errorf("Len = %d, want %d", got, want)
	}
	if diff := cmp.Diff([]string{"a b c"}, l.Find("a", "c")); diff != "" {
		t.Errorf("Find (-want +got):\n%s", diff)
	}
	if got, want := l.String(), "a b c\nsecond line\nx b"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
}

func TestLogWaitsForALine(t *testing.T) {
	l := newLog()
	write(t, l, "early b\n")
	from := l.Len()
	var writing sync.WaitGroup
	writing.Go(func() {
		for _, part := range []string{"late", " b\n", "later b\n"} {
			if _, err := l.Write([]byte(part)); err != nil {
				t.Error(err)
			}
		}
	})
	if got, want := l.Wait(t, from, "b"), "late b"; got != want {
		t.Errorf("Wait = %q, want %q", got, want)
	}
	writing.Wait()
}

func TestLogTellsVersions(t *testing.T) {
	l := newLog()
	write(t, l, `{"msg":"configuration applied from the cache","config_version":3}`+"\n",
		`{"msg":"something else","config_version":9}`+"\n", `{"msg":"configuration applied","config_version":5}`+"\n")
	if got, want := l.Applied(t), []uint64{3, 5}; !slices.Equal(got, want) {
		t.Errorf("Applied = %d, want %d", got, want)
	}
}

func TestLogFindsAlarms(t *testing.T) {
	l := newLog()
	write(t, l, "Gibbon is ready\nWARNING: DATA RACE\npanic: no\n", `{"level":"error","msg":"a word like panic: inside"}`+"\n",
		"fatal error: all goroutines\n", `{"level":"error","msg":"panic in a request"}`+"\n")
	want := []string{"WARNING: DATA RACE", "panic: no", "fatal error: all goroutines", `{"level":"error","msg":"panic in a request"}`}
	if diff := cmp.Diff(want, l.Alarms()); diff != "" {
		t.Errorf("Alarms (-want +got):\n%s", diff)
	}
}

func TestFreePortsAreDifferent(t *testing.T) {
	seen := make(map[string]bool)
	for _, address := range FreePorts(t, 20) {
		if seen[address] {
			t.Errorf("%s came twice", address)
		}
		seen[address] = true
	}
}
