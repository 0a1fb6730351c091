//go:build unix

package gibbon

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Log has the lines that a node wrote to its standard output and standard error.
// Its methods may be called from any goroutine.
type Log struct {
	mu      sync.Mutex
	lines   []string
	partial string
	changed chan struct{} // closed, and replaced, with each write
}

func newLog() *Log { return &Log{changed: make(chan struct{})} }

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(l.partial+string(b), "\n")
	l.partial = lines[len(lines)-1]
	l.lines = append(l.lines, lines[:len(lines)-1]...)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(b), nil
}

func (l *Log) String() string {
	lines, partial, _ := l.snapshot()
	return strings.Join(append(lines, partial), "\n")
}

func (l *Log) snapshot() (lines []string, partial string, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines), l.partial, l.changed
}

// Len is the number of whole lines so far, from which Wait may look on.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// Wait returns the first line, from number on, that has all the parts, when it is
// there.
func (l *Log) Wait(t testing.TB, from int, parts ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		lines, _, changed := l.snapshot()
		for _, line := range lines[min(from, len(lines)):] {
			if hasAll(line, parts) {
				return line
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("no line with %q in the log", parts)
		}
	}
}

// Find returns the lines that have all the parts.
func (l *Log) Find(parts ...string) []string {
	lines, _, _ := l.snapshot()
	return slices.DeleteFunc(lines, func(line string) bool { return !hasAll(line, parts) })
}

func hasAll(line string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(line, part) {
			return false
		}
	}
	return true
}

// Applied are the versions of the configurations that a data plane took up, from
// its cache too, in the order of its log.
func (l *Log) Applied(t testing.TB) []uint64 {
	t.Helper()
	var versions []uint64
	for _, line := range l.Find(`"msg":"configuration applied`) {
		var entry struct {
			Version uint64 `json:"config_version"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("read the log line %s: %v", line, err)
		}
		versions = append(versions, entry.Version)
	}
	return versions
}

// Alarms are the lines by which a program says that it is wrong.
func (l *Log) Alarms() []string {
	lines, _, _ := l.snapshot()
	return slices.DeleteFunc(lines, func(line string) bool {
		return !strings.Contains(line, "DATA RACE") && !strings.HasPrefix(line, "panic:") &&
			!strings.HasPrefix(line, "fatal error:") && !strings.Contains(line, `"msg":"panic`)
	})
}
