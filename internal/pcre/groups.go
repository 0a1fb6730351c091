package pcre

import (
	"strconv"
	"strings"
)

// open reads what begins with a parenthesis.
func (t *translator) open() error {
	rest := t.in[t.at:]
	parent := *t.top()
	g := group{flags: parent.flags, look: parent.look, branches: -1}
	lookaround := func(text string, size int) error {
		t.backtracks = true
		g.assertion = true
		g.look = g.look || strings.Contains(text, "<")
		return t.push(g, "(?:", text, size)
	}
	switch {
	case strings.HasPrefix(rest, "(*"):
		return t.fail("verbs are not supported")
	case !strings.HasPrefix(rest, "(?"):
		return t.capture(g, "", 1)
	case strings.HasPrefix(rest, "(?#"):
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			return t.fail("missing ) behind (?#")
		}
		t.at += end + 1
		return nil
	case strings.HasPrefix(rest, "(?:"):
		return t.push(g, "(?:", "(?:", 3)
	case strings.HasPrefix(rest, "(?>"):
		t.backtracks = true
		return t.push(g, "(?:", "(?>", 3)
	case strings.HasPrefix(rest, "(?="), strings.HasPrefix(rest, "(?!"):
		return lookaround(rest[:3], 3)
	case strings.HasPrefix(rest, "(?<="), strings.HasPrefix(rest, "(?<!"):
		return lookaround(rest[:4], 4)
	case strings.HasPrefix(rest, "(?|"):
		return t.fail("branch reset is not supported")
	case strings.HasPrefix(rest, "(?("):
		return t.conditional(g)
	case strings.HasPrefix(rest, "(?P="):
		name, _, found := strings.Cut(rest[4:], ")")
		if !found || t.names[name] == 0 {
			return t.fail("reference to a group that does not exist")
		}
		t.refer(t.names[name])
		t.at += 5 + len(name)
		return nil
	}
	for _, form := range []struct{ begin, end string }{{"(?P<", ">"}, {"(?<", ">"}, {"(?'", "'"}} {
		if after, ok := strings.CutPrefix(rest, form.begin); ok {
			name, _, found := strings.Cut(after, form.end)
			if !found || !identifier(name) {
				return t.fail("bad name of a group")
			}
			return t.capture(g, name, len(form.begin)+len(name)+1)
		}
	}
	if len(rest) > 2 && strings.IndexByte("R&P+0123456789", rest[2]) >= 0 || len(rest) > 3 && rest[2] == '-' && digit(rest[3]) {
		return t.fail("recursion is not supported")
	}
	return t.setFlags(g)
}

// identifier says whether a group can have the name.
func identifier(name string) bool {
	if name == "" || digit(name[0]) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !letter(c) && !digit(c) && c != '_' {
			return false
		}
	}
	return true
}

// capture opens a group that captures. In what is written groups go by number.
func (t *translator) capture(g group, name string, size int) error {
	t.captures++
	if name != "" {
		if t.names[name] != 0 {
			return t.fail("two groups have the same name")
		}
		if t.names == nil {
			t.names = make(map[string]int)
		}
		t.names[name] = t.captures
	}
	// What is captured is of no use to Go's engine, whose own groups tell of the
	// newline before the end.
	return t.push(g, "(?:", "(", size)
}

func (t *translator) push(g group, linear, other string, size int) error {
	if len(t.groups) > 200 {
		return t.fail("groups are nested too deeply")
	}
	t.begin()
	g.linear, g.other = t.linear.Len(), t.other.Len()
	t.linear.WriteString(linear)
	t.other.WriteString(other)
	t.groups = append(t.groups, g)
	t.at += size
	t.item = false
	return nil
}

func (t *translator) close() error {
	if len(t.groups) == 1 {
		return t.fail("unmatched closing parenthesis")
	}
	g := *t.top()
	t.groups = t.groups[:len(t.groups)-1]
	t.linear.WriteByte(')')
	t.other.WriteByte(')')
	t.at++
	t.item, t.itemLinear, t.itemOther = true, g.linear, g.other
	t.itemEnds = g.ends || g.ended
	if t.itemEnds && !g.assertion {
		t.top().ended = true
	}
	return nil
}

// conditional opens (?(n)yes|no) and (?(<name>)yes|no).
func (t *translator) conditional(g group) error {
	condition, _, found := strings.Cut(t.in[t.at+3:], ")")
	if !found {
		return t.fail("missing closing parenthesis for a condition")
	}
	name := condition
	if n := len(name); n > 2 && (name[0] == '<' && name[n-1] == '>' || name[0] == '\'' && name[n-1] == '\'') {
		name = name[1 : n-1]
	}
	n, err := strconv.Atoi(name)
	if err != nil {
		n = t.names[name]
	}
	if n <= 0 || name[0] == '+' {
		return t.fail("condition of a kind that is not supported")
	}
	if n > t.highest {
		t.highest, t.referred = n, t.at
	}
	t.backtracks = true
	g.branches = 1
	return t.push(g, "(?:", "(?("+strconv.Itoa(n)+")", 4+len(condition))
}

// setFlags reads (?flags) and (?flags:.
func (t *translator) setFlags(g group) error {
	on := true
	for i := t.at + 2; i < len(t.in); i++ {
		switch c := t.in[i]; c {
		case 'i':
			g.fold = on
		case 'm':
			g.lines = on
		case 's':
			g.dotAll = on
		case 'x':
			g.spaced = on
		case '-':
			if !on {
				t.at = i
				return t.fail("unknown flag")
			}
			on = false
		case ')':
			t.top().flags = g.flags
			t.at, t.item = i+1, false
			return nil
		case ':':
			return t.push(g, "(?:", "(?:", i+1-t.at)
		default:
			t.at = i
			return t.fail("unknown flag")
		}
	}
	t.at = len(t.in)
	return t.fail("missing closing parenthesis")
}

// class reads a class in brackets. Case is settled in it.
func (t *translator) class() (s set, err error) {
	start := t.at
	t.at++
	negative := strings.HasPrefix(t.in[t.at:], "^")
	if negative {
		t.at++
	}
	quoted := false
	for first := true; ; first = false {
		rest := t.in[min(t.at, len(t.in)):]
		if rest == "" {
			t.at = start
			return s, t.fail("missing ] behind a class")
		}
		if quoted {
			if strings.HasPrefix(rest, `\E`) {
				quoted = false
				t.at += 2
				continue
			}
			s.add(rest[0])
			t.at++
			continue
		}
		switch {
		case rest[0] == ']' && !first:
			t.at++
			if t.top().fold {
				s.fold()
			}
			if negative {
				s = s.not()
			}
			return s, nil
		case strings.HasPrefix(rest, `\Q`):
			quoted = true
			t.at += 2
			continue
		case strings.HasPrefix(rest, `\E`):
			t.at += 2
			continue
		}
		many, from, err := t.member()
		if err != nil {
			return s, err
		}
		if many != nil {
			s.union(*many)
			continue
		}
		rest = t.in[t.at:]
		if len(rest) < 2 || rest[0] != '-' || rest[1] == ']' {
			s.add(from)
			continue
		}
		t.at++
		many, to, err := t.member()
		switch {
		case err != nil:
			return s, err
		case many != nil:
			// A hyphen beside a class is only a hyphen.
			s.add(from)
			s.add('-')
			s.union(*many)
		case to < from:
			return s, t.fail("range out of order in a class")
		default:
			s.addRange(from, to)
		}
	}
}

// member reads one member of a class: a byte, or a class in itself.
func (t *translator) member() (many *set, b byte, err error) {
	rest := t.in[t.at:]
	if strings.HasPrefix(rest, "[:") || strings.HasPrefix(rest, "[.") || strings.HasPrefix(rest, "[=") {
		if name, _, found := strings.Cut(rest[2:], rest[1:2]+"]"); found && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz^") == "" {
			plain, negative := strings.CutPrefix(name, "^")
			ranges, ok := named[plain]
			if !ok || rest[1] != ':' {
				return nil, 0, t.fail("unknown class name")
			}
			s := of(ranges)
			if t.top().fold {
				s.fold()
			}
			if negative {
				s = s.not()
			}
			t.at += len(name) + 4
			return &s, 0, nil
		}
	}
	if rest[0] != '\\' {
		t.at++
		return nil, rest[0], nil
	}
	if len(rest) < 2 {
		return nil, 0, t.fail("missing ] behind a class")
	}
	switch c := rest[1]; c {
	case 'b':
		t.at += 2
		return nil, '\b', nil
	case 'p', 'P':
		s, err := t.property()
		return &s, 0, err
	case 'N', 'C', 'R', 'X', 'B':
		return nil, 0, t.fail("escape has no meaning in a class")
	default:
		if s, ok := shorthand(c); ok {
			t.at += 2
			return &s, 0, nil
		}
	}
	b, err = t.byteEscape()
	return nil, b, err
}
