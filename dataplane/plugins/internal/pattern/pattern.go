// Package pattern matches strangers' texts against the regular expressions of
// plugins within a budget of time. What the patterns mean is internal/pcre's.
package pattern

import (
	"errors"
	"io"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/pcre"
)

// Options are what would otherwise be said in front of a pattern by (?im).
type Options = pcre.Options

// ErrBudget says that a match took too long, so that its outcome is not known. It
// must never be taken for a text that does not match.
var ErrBudget = errors.New("pattern takes too long on this text")

const (
	// Budget is how long all the costly matches of one text may take together.
	Budget = 200 * time.Millisecond
	// costly is the product of program size and length of text from which on a
	// match with Go's engine is watched: about 100 ms at worst.
	costly = 4_000_000
	// checkEvery is how many characters lie between two looks at the time.
	checkEvery = 256
)

// Pattern is a compiled pattern, for use by many goroutines.
type Pattern struct{ program *pcre.Program }

// Compile compiles a pattern of PCRE's syntax. The error says what is wrong with
// it, or that it uses what is not supported.
func Compile(text string, o Options) (*Pattern, error) {
	program, err := pcre.Compile(text, o)
	if err != nil {
		return nil, err
	}
	return &Pattern{program: program}, nil
}

// Text is a text to match, readied once for many patterns, and the time that is
// left for them. It belongs to one goroutine.
type Text struct {
	wide   string
	left   time.Duration
	costly int // as the constant
}

// NewText readies a text.
func NewText(text string) *Text { return &Text{wide: pcre.Widen(text), left: Budget, costly: costly} }

// Find gives the first match of the pattern in the text. The error is ErrBudget.
func (p *Pattern) Find(t *Text) (match string, ok bool, err error) {
	if p.program.Backtracking != nil {
		found, err := p.program.Backtracking.FindStringMatch(t.wide)
		if err != nil {
			// Out of time or out of room: whatever it is, it is no outcome.
			return "", false, ErrBudget
		}
		if found == nil {
			return "", false, nil
		}
		return pcre.Narrow(found.String()), true, nil
	}
	var at []int
	if !p.costly(t) {
		at = p.program.Linear.FindStringSubmatchIndex(t.wide)
	} else if err := t.watch(func(r io.RuneReader) { at = p.program.Linear.FindReaderSubmatchIndex(r) }); err != nil {
		return "", false, err
	}
	if at == nil {
		return "", false, nil
	}
	end := at[1]
	for i := 2; i < len(at); i += 2 {
		if at[i] < at[i+1] {
			end-- // the newline that $ has let pass
		}
	}
	return pcre.Narrow(t.wide[at[0]:end]), true, nil
}

// Match says whether the pattern matches anywhere in the text. The error is
// ErrBudget.
func (p *Pattern) Match(t *Text) (matches bool, err error) {
	switch {
	case p.program.Backtracking != nil:
		if matches, err = p.program.Backtracking.MatchString(t.wide); err != nil {
			return false, ErrBudget
		}
	case p.costly(t):
		err = t.watch(func(r io.RuneReader) { matches = p.program.Linear.MatchReader(r) })
	default:
		matches = p.program.Linear.MatchString(t.wide)
	}
	return matches && err == nil, err
}

func (p *Pattern) costly(t *Text) bool { return p.program.Size*len(t.wide) > t.costly }

// watch runs a match that reads the text through a reader which stops when the
// time is up.
func (t *Text) watch(match func(io.RuneReader)) error {
	start := time.Now()
	r := &reader{text: t.wide, deadline: start.Add(t.left)}
	match(r)
	t.left -= time.Since(start)
	if r.late {
		return ErrBudget
	}
	return nil
}

// reader reads the characters of a widened text until the deadline.
type reader struct {
	text     string
	at, read int
	deadline time.Time
	late     bool
}

func (r *reader) ReadRune() (rune, int, error) {
	if r.read%checkEvery == 0 && !time.Now().Before(r.deadline) {
		r.late = true
	}
	if r.late || r.at >= len(r.text) {
		return 0, 0, io.EOF
	}
	r.read++
	b := r.text[r.at]
	if b < 0x80 {
		r.at++
		return rune(b), 1, nil
	}
	// A widened text has no characters above 255, and so two bytes for one at most.
	c := rune(b&0x1f)<<6 | rune(r.text[r.at+1]&0x3f)
	r.at += 2
	return c, 2, nil
}
