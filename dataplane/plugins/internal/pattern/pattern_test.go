package pattern

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/dlclark/regexp2/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	regexp2.StopTimeoutClock()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func compile(t *testing.T, text string, o Options) *Pattern {
	t.Helper()
	p, err := Compile(text, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFind(t *testing.T) {
	long := strings.Repeat("x", 5000) + "\u00e9 end\n"
	for _, tt := range []struct {
		pattern, text, want string
		o                   Options
		ok                  bool
	}{
		{pattern: "b+", text: "abbc", want: "bb", ok: true},
		{pattern: "b+$", text: "abb\n", want: "bb", ok: true},
		{pattern: "B+", text: "abbc", want: "bb", o: Options{IgnoreCase: true}, ok: true},
		{pattern: "^b", text: "a\nb", want: "b", o: Options{MultiLine: true}, ok: true},
		{pattern: "^b", text: "a\nb"},
		{pattern: "(?<=\u00e9)b", text: "\u00e9b", want: "b", ok: true},
		{pattern: "(?<=a)b", text: "b"},
		{pattern: "z", text: "abc"},
		{pattern: "\\W+ end$", text: long, want: "\u00e9 end", ok: true},
		{pattern: "nothing", text: long},
	} {
		p, text := compile(t, tt.pattern, tt.o), NewText(tt.text)
		text.left, text.costly = 1<<40, 20_000 // the machine may be slow
		match, ok, err := p.Find(text)
		if err != nil || ok != tt.ok || match != tt.want {
			t.Errorf("Find(%q) = %q, %t, %v; want %q, %t", tt.pattern, match, ok, err, tt.want, tt.ok)
		}
		if ok, err = p.Match(text); err != nil || ok != tt.ok {
			t.Errorf("Match(%q) = %t, %v; want %t", tt.pattern, ok, err, tt.ok)
		}
	}
}

// What is costly is told by program and text together.
func TestCostly(t *testing.T) {
	p := compile(t, "[a-z]{100}", Options{})
	for length, want := range map[int]bool{100: false, costly: true} {
		if got := p.costly(NewText(strings.Repeat("x", length))); got != want {
			t.Errorf("costly on %d bytes = %t, want %t", length, got, want)
		}
	}
}

// A match that takes too long is an error, and never "no match".
func TestBudget(t *testing.T) {
	for _, tt := range []struct{ name, pattern, text string }{
		{"backtracking", `^(?=a)(a|aa|a(?=a))+\1(?<=b)c$`, strings.Repeat("a", 5000)},
		{"linear", `(x+x+)+y`, strings.Repeat("x", 5000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, text := compile(t, tt.pattern, Options{}), NewText(tt.text)
			text.left, text.costly = 0, 20_000
			if ok, err := p.Match(text); ok || !errors.Is(err, ErrBudget) {
				t.Errorf("Match = %t, %v; want ErrBudget", ok, err)
			}
			if _, ok, err := p.Find(text); ok || !errors.Is(err, ErrBudget) {
				t.Errorf("Find = %t, %v; want ErrBudget", ok, err)
			}
		})
	}
	// What one costly match took is not there for the next.
	p, text := compile(t, "y", Options{}), NewText(strings.Repeat("x", 5000))
	text.costly = 0
	if _, err := p.Match(text); err == nil && text.left >= Budget {
		t.Errorf("%v are left of %v", text.left, Budget)
	}
}

func TestCompileRefuses(t *testing.T) {
	if _, err := Compile("a(", Options{}); err == nil {
		t.Error("half a group is a pattern")
	}
}
