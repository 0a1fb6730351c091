// Package pcre compiles the regular expressions that Kong takes in places where
// they are PCRE: those of prompt guards, for one. It owns what such a pattern
// means, and which patterns are refused; the control plane judges them with it on
// write, the data plane compiles them with it.
//
// Kong compiles these patterns without the UTF flag, so that a character is a
// byte. Both engines behind this package work on characters of Unicode instead.
// So a text is first turned into one whose characters have the numbers of its
// bytes (Widen), and a pattern is read here, down to the last class, and written
// anew for the engine: classes become plain lists of characters, and so does a
// letter whose case does not count. What an engine thinks of \w, \s, \b, $ or of
// the case of letters beyond ASCII has no part in the outcome.
//
// Go's own engine, whose time is linear, runs all that it can say. The rest (look
// around, back references, atomic groups) goes to a backtracking engine.
package pcre

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// Options are what would otherwise be said in front of a pattern by (?im).
type Options struct{ IgnoreCase, MultiLine bool }

// Program is a pattern that has been compiled. One of its engines is set.
type Program struct {
	// Linear is set when Go's engine runs the pattern. A group of it that is not
	// empty is the newline before the end that $ has let pass, which is not part of
	// the match.
	Linear *regexp.Regexp
	// Size is the number of Linear's instructions. Its time is at most about in
	// proportion to Size times the length of the text.
	Size int
	// Backtracking is set otherwise. Its time has no bound but MatchTimeout.
	Backtracking *regexp2.Regexp
}

// MaxSize is the largest program for Go's engine; a larger one (a long bounded
// repetition) is left to the other, which does not write repetitions out.
const MaxSize = 2000

// Timeout is how long the backtracking engine may look at one text.
const Timeout = 50 * time.Millisecond

// stack is how many places the backtracking engine may remember to return to.
const stack = 1 << 20

// Error says why a pattern is refused, and where. It does not quote the pattern.
type Error struct {
	Offset int
	Reason string
}

// Error is the reason with its place.
func (e *Error) Error() string { return fmt.Sprintf("%s at offset %d", e.Reason, e.Offset) }

// tick sets how often the clock of the backtracking engine looks at the time. The
// engine has one clock for the whole process, and its own choice is too coarse.
var tick = sync.OnceFunc(func() { regexp2.SetTimeoutCheckPeriod(5 * time.Millisecond) })

// Compile compiles a pattern. The error is an *Error: the pattern is wrong, or it
// uses what no engine here can do as PCRE does it.
func Compile(pattern string, o Options) (*Program, error) {
	t := translator{in: pattern}
	t.groups = []group{{flags: flags{fold: o.IgnoreCase, lines: o.MultiLine}, branches: -1}}
	if err := t.run(); err != nil {
		return nil, err
	}
	if !t.backtracks {
		if p := linear(t.linear.String()); p != nil {
			return p, nil
		}
	}
	tick()
	re, err := regexp2.Compile(t.other.String(), regexp2.OptionMaxBacktrackingStackSize(stack))
	if err != nil {
		return nil, &Error{Reason: "pattern cannot be compiled"}
	}
	re.MatchTimeout = Timeout
	return &Program{Backtracking: re}, nil
}

// linear compiles for Go's engine; nil when that has no room for the pattern.
func linear(text string) *Program {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil || len(prog.Inst) > MaxSize {
		return nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil
	}
	return &Program{Linear: re, Size: len(prog.Inst)}
}

// Widen is a text whose characters have the numbers of the given text's bytes.
// For ASCII it is the text itself.
func Widen(text string) string {
	high := 0
	for i := range len(text) {
		high += int(text[i] >> 7)
	}
	if high == 0 {
		return text
	}
	var out strings.Builder
	out.Grow(len(text) + high)
	for i := range len(text) {
		out.WriteRune(rune(text[i]))
	}
	return out.String()
}

// Narrow undoes Widen.
func Narrow(wide string) string {
	plain := true
	for i := range len(wide) {
		plain = plain && wide[i] < 0x80
	}
	if plain {
		return wide
	}
	out := make([]byte, 0, len(wide))
	for _, r := range wide {
		out = append(out, byte(r))
	}
	return string(out)
}
