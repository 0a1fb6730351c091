package pcre

import (
	"strconv"
	"strings"
)

// flags are what (?imsx) sets. They hold to the end of the group they stand in.
type flags struct{ fold, lines, dotAll, spaced bool }

// group is a group that is open.
type group struct {
	flags
	// look says that the group is a look-behind or stands in one.
	look bool
	// ended says that a $ stands before, in the same alternative, and ends that one
	// did in any of the alternatives.
	ended, ends bool
	// linear and other are where the group begins in what was written.
	linear, other int
	// branches are how many | of a conditional may follow; -1: any number.
	branches int
	// assertion says that the group matches no text.
	assertion bool
}

// translator reads a pattern and writes it for both engines.
type translator struct {
	in            string
	at            int
	linear, other strings.Builder
	// backtracks says that linear is of no use.
	backtracks bool
	groups     []group // the last one is the innermost

	captures int // the groups that capture, so far
	names    map[string]int
	highest  int // the highest group that is referred to
	referred int // where that stands

	// The last item, which a quantifier would be about. There is none at the start
	// of an alternative and behind a quantifier.
	item                  bool
	itemLinear, itemOther int
	itemEnds              bool // a $ stands in it
}

func (t *translator) top() *group { return &t.groups[len(t.groups)-1] }

func (t *translator) fail(reason string) error {
	return &Error{Offset: min(t.at, len(t.in)), Reason: reason}
}

// emit writes an item that both engines read alike.
func (t *translator) emit(text string) { t.emitBoth(text, text) }

func (t *translator) emitBoth(linear, other string) {
	t.begin()
	t.linear.WriteString(linear)
	t.other.WriteString(other)
}

// begin notes that an item begins.
func (t *translator) begin() {
	if t.top().ended {
		// Behind $ more may match, which Go's engine cannot do: its $ is written so
		// that it takes the newline.
		t.backtracks = true
	}
	t.item, t.itemEnds = true, false
	t.itemLinear, t.itemOther = t.linear.Len(), t.other.Len()
}

// only writes an item that Go's engine does not know.
func (t *translator) only(text string) {
	t.backtracks = true
	t.emitBoth("", text)
}

func (t *translator) emitByte(b byte) {
	if t.top().fold && letter(b) {
		s := of(string([]byte{b, b}))
		t.emitSet(s)
		return
	}
	t.emit(char(b))
}

func (t *translator) emitSet(s set) {
	if t.top().fold {
		s.fold()
	}
	t.emit(s.text())
}

func (t *translator) run() error {
	if strings.HasPrefix(t.in, "(*") {
		return t.fail("verbs are not supported")
	}
	for t.at < len(t.in) {
		if err := t.next(); err != nil {
			return err
		}
	}
	if len(t.groups) > 1 {
		return t.fail("missing closing parenthesis")
	}
	if t.highest > t.captures {
		t.at = t.referred
		return t.fail("reference to a group that does not exist")
	}
	return nil
}

// next reads one item or one mark.
func (t *translator) next() error {
	c := t.in[t.at]
	g := t.top()
	switch {
	case g.spaced && (c == ' ' || c >= '\t' && c <= '\r'):
		t.at++
		return nil
	case g.spaced && c == '#':
		end := strings.IndexByte(t.in[t.at:], '\n')
		if end < 0 {
			end = len(t.in) - t.at - 1
		}
		t.at += end + 1
		return nil
	}
	switch c {
	case '\\':
		return t.escape()
	case '[':
		s, err := t.class()
		if err == nil {
			t.emit(s.text())
		}
		return err
	case '(':
		return t.open()
	case ')':
		return t.close()
	case '|':
		if g.branches == 0 {
			return t.fail("conditional group with more than two branches")
		}
		g.branches--
		g.ends = g.ends || g.ended
		g.ended, t.item = false, false
		t.linear.WriteByte('|')
		t.other.WriteByte('|')
	case '*', '+', '?':
		return t.quantifier()
	case '{':
		if _, ok := t.braces(); ok {
			return t.quantifier()
		}
		t.emitByte(c)
	case '.':
		if g.dotAll {
			t.emitSet(of("\x00\xff"))
		} else {
			t.emitSet(of("\n\n").not())
		}
	case '^':
		if g.lines {
			// There is no line behind a newline that ends the text, of which Go's
			// engine cannot be told.
			t.only(`(?:\A|(?<=\n)(?!\z))`)
		} else {
			t.emit(`\A`)
		}
	case '$':
		if g.lines {
			t.emitBoth(`(?m:$)`, `(?=\n|\z)`)
		} else {
			t.end()
		}
	default:
		t.emitByte(c)
	}
	t.at++
	return nil
}

// end writes the end of the text, before which one newline may stand.
func (t *translator) end() {
	t.emitBoth(`(?:(\n?)\z)`, `(?=\n?\z)`)
	t.itemEnds = true
	t.top().ended = true
}

const (
	wordBoundary   = `(?:(?<=[0-9A-Z_a-z])(?![0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?=[0-9A-Z_a-z]))`
	noWordBoundary = `(?:(?<=[0-9A-Z_a-z])(?=[0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?![0-9A-Z_a-z]))`
)

// escape reads what begins with a backslash, outside a class.
func (t *translator) escape() error {
	if t.at+1 >= len(t.in) {
		return t.fail(`\ at the end of the pattern`)
	}
	c := t.in[t.at+1]
	if s, ok := shorthand(c); ok {
		t.at += 2
		t.emitSet(s)
		return nil
	}
	switch c {
	case 'Q':
		end := strings.Index(t.in[t.at+2:], `\E`)
		text := t.in[t.at+2:]
		if end >= 0 {
			text = text[:end]
		}
		for i := range len(text) {
			t.emitByte(text[i])
		}
		if t.at += 2 + len(text); end >= 0 {
			t.at += 2
		}
		return nil
	case 'E':
		t.at += 2
		return nil
	case 'A', 'z':
		t.emit(`\` + string(rune(c)))
	case 'Z':
		t.end()
	case 'b':
		t.emitBoth(`\b`, wordBoundary)
	case 'B':
		t.emitBoth(`\B`, noWordBoundary)
	case 'R':
		if t.top().look {
			return t.fail("look-behind of no fixed length")
		}
		t.only(`(?>\r\n|[\n-\r\x85])`)
	case 'p', 'P':
		s, err := t.property()
		if err == nil {
			t.emit(s.text())
		}
		return err
	case 'g', 'k':
		return t.reference()
	default:
		if c >= '1' && c <= '9' {
			end := t.at + 2
			for end < len(t.in) && digit(t.in[end]) {
				end++
			}
			n, err := strconv.Atoi(t.in[t.at+1 : end])
			switch {
			case err == nil && (n < 10 || n <= t.captures):
				t.refer(n)
				t.at = end
				return nil
			case c >= '8':
				return t.fail("reference to a group that does not exist")
			}
			// Else it is the number of a byte in octal.
		}
		b, err := t.byteEscape()
		if err == nil {
			t.emitByte(b)
		}
		return err
	}
	t.at += 2
	return nil
}

// byteEscape reads an escape that stands for one byte.
func (t *translator) byteEscape() (byte, error) {
	c := t.in[t.at+1]
	number := func(from, most, base int) (byte, error) {
		end := from
		for end < len(t.in) && end < from+most {
			if _, err := strconv.ParseUint(t.in[end:end+1], base, 8); err != nil {
				break
			}
			end++
		}
		n, err := strconv.ParseUint("0"+t.in[from:end], base, 32)
		if err != nil || n > 255 {
			return 0, t.fail("character beyond 255")
		}
		t.at = end
		return byte(n), nil
	}
	braced := func(base int) (byte, error) {
		b, err := number(t.at+3, 8, base)
		if err == nil && (t.at >= len(t.in) || t.in[t.at] != '}') {
			return 0, t.fail("closing brace expected")
		}
		t.at++
		return b, err
	}
	simple := strings.IndexByte("aefnrt", c)
	switch {
	case simple >= 0:
		t.at += 2
		return "\a\x1b\f\n\r\t"[simple], nil
	case c == 'x' && t.at+2 < len(t.in) && t.in[t.at+2] == '{':
		return braced(16)
	case c == 'x':
		return number(t.at+2, 2, 16)
	case c == 'o' && t.at+2 < len(t.in) && t.in[t.at+2] == '{':
		return braced(8)
	case c == 'c':
		if t.at+2 >= len(t.in) || t.in[t.at+2] < ' ' || t.in[t.at+2] > '~' {
			return 0, t.fail(`character expected behind \c`)
		}
		b := t.in[t.at+2]
		if b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		}
		t.at += 3
		return b ^ 0x40, nil
	case c >= '0' && c <= '7':
		return number(t.at+1, 3, 8)
	case letter(c) || digit(c):
		return 0, t.fail(`unknown escape \` + string(rune(c)))
	}
	t.at += 2
	return c, nil
}

// property reads \p or \P.
func (t *translator) property() (set, error) {
	rest := t.in[t.at+2:]
	name, size := "", 0
	switch {
	case strings.HasPrefix(rest, "{"):
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return set{}, t.fail("closing brace expected")
		}
		name, size = rest[1:end], end+1
	case rest != "":
		name, size = rest[:1], 1
	}
	s, ok := property(name)
	if !ok {
		return s, t.fail("unknown property")
	}
	if t.in[t.at+1] == 'P' {
		s = s.not()
	}
	t.at += 2 + size
	return s, nil
}

// reference reads \g or \k: a reference to a group by number or by name.
func (t *translator) reference() error {
	rest := t.in[t.at+2:]
	closing := byte(0)
	if rest != "" {
		closing = map[byte]byte{'{': '}', '<': '>', '\'': '\''}[rest[0]]
	}
	name, size := "", 0
	switch {
	case closing != 0 && (closing == '}' || t.in[t.at+1] == 'k'):
		end := strings.IndexByte(rest[1:], closing)
		if end < 0 {
			return t.fail("reference without an end")
		}
		name, size = rest[1:end+1], end+2
	case t.in[t.at+1] == 'g' && closing == 0:
		for size < len(rest) && (digit(rest[size]) || size == 0 && rest[0] == '-') {
			size++
		}
		name = rest[:size]
	default:
		// \g<name> runs the group again.
		return t.fail("subroutine calls are not supported")
	}
	n, err := strconv.Atoi(name)
	switch {
	case t.in[t.at+1] == 'k' || err != nil:
		n = t.names[name]
	case name[0] == '-':
		n += t.captures + 1
	case name[0] == '+':
		n = 0
	}
	if n <= 0 {
		return t.fail("reference to a group that does not exist")
	}
	t.refer(n)
	t.at += 2 + size
	return nil
}

// refer writes a reference to what a group has matched.
func (t *translator) refer(n int) {
	if n > t.highest {
		t.highest, t.referred = n, t.at
	}
	text := `(?:\k<` + strconv.Itoa(n) + `>)`
	if t.top().fold {
		text = `(?i:\k<` + strconv.Itoa(n) + `>)`
	}
	t.only(text)
}

// braces reads a quantifier in braces, and says whether it is one.
func (t *translator) braces() (text string, ok bool) {
	end := strings.IndexByte(t.in[t.at:], '}')
	if end < 0 {
		return "", false
	}
	from, to, ranged := strings.Cut(t.in[t.at+1:t.at+end], ",")
	if from == "" || strings.Trim(from+to, "0123456789") != "" {
		return "", false
	}
	// The engines take no zeros in front.
	plain := func(digits string) string {
		if short := strings.TrimLeft(digits, "0"); short != "" || digits == "" {
			return short
		}
		return "0"
	}
	text = "{" + plain(from)
	if ranged {
		text += "," + plain(to)
	}
	return text + "}", true
}

// quantifier reads how often the last item may stand.
func (t *translator) quantifier() error {
	if !t.item {
		return t.fail("quantifier does not follow a repeatable item")
	}
	text := t.in[t.at : t.at+1]
	size := 1
	if text == "{" {
		text, _ = t.braces()
		size = strings.IndexByte(t.in[t.at:], '}') + 1
		least, most, ranged := strings.Cut(strings.Trim(text, "{}"), ",")
		from, err := strconv.Atoi(least)
		to := from
		if err == nil && most != "" {
			to, err = strconv.Atoi(most)
		}
		if err != nil || from > 65535 || to > 65535 {
			return t.fail("number too big in a quantifier")
		}
		if to < from {
			return t.fail("numbers out of order in a quantifier")
		}
		if ranged && from != to && t.top().look {
			return t.fail("look-behind of no fixed length")
		}
	} else if t.top().look {
		return t.fail("look-behind of no fixed length")
	}
	t.at += size
	if t.itemEnds {
		t.backtracks = true
	}
	possessive := false
	if t.at < len(t.in) && (t.in[t.at] == '?' || t.in[t.at] == '+') {
		possessive = t.in[t.at] == '+'
		if !possessive {
			text += "?"
		}
		t.at++
	}
	t.linear.WriteString(text)
	t.other.WriteString(text)
	if possessive {
		t.backtracks = true
		item := t.other.String()
		t.other.Reset()
		t.other.WriteString(item[:t.itemOther] + "(?>" + item[t.itemOther:] + ")")
	}
	t.item = false
	return nil
}
