package llm

import (
	"errors"
	"strings"
	"testing"
)

// TestChosenLimits reads what is at a limit that is not the usual one, and what
// is beyond it.
func TestChosenLimits(t *testing.T) {
	json := func(l Limits, text string) error { return new(Object).ReadWithin([]byte(text), testNames, l) }
	event := func(limit int, text string) error {
		return (&EventReader{Max: limit}).Read([]byte(text), func(ServerEvent) error { return nil })
	}
	value := func(limit int, text string) error {
		return (&ValueReader{Max: limit}).Read([]byte(text), func([]byte) error { return nil })
	}
	for _, tt := range []struct {
		name string
		err  error
		ok   bool
	}{
		{"depth", json(Limits{Depth: 3}, `{"a":[[0]]}`), true},
		{"depth beyond", json(Limits{Depth: 3}, `{"a":[[[0]]]}`), false},
		{"more depth than usual", json(Limits{Depth: MaxDepth + 10}, `{"a":`+strings.Repeat("[", MaxDepth+5)+strings.Repeat("]", MaxDepth+5)+`}`), true},
		{"values", json(Limits{Values: 4}, `{"a":[0,0]}`), true},
		{"values beyond", json(Limits{Values: 4}, `{"a":[0,0,0]}`), false},
		{"event", event(20, "data: 012345678\n\n"), true},
		{"line beyond", event(20, "data: 0123456789012345\n\n"), false},
		{"lines beyond", event(20, "data: 012345678\ndata: 01234567890\n\n"), false},
		{"more than usual", event(2*MaxEvent, "data: "+strings.Repeat("x", MaxEvent)+"\n\n"), true},
		{"value", value(10, `{"a":1234}`), true},
		{"value beyond", value(10, `{"a":12345}`), false},
	} {
		if (tt.err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, tt.err)
		}
		if !tt.ok && strings.Contains(tt.name, "line") && !errors.Is(tt.err, ErrEventTooLarge) {
			t.Errorf("%s: %v, want ErrEventTooLarge", tt.name, tt.err)
		}
	}
}
