package pcre

import (
	"fmt"
	"strings"
	"unicode"
)

// set is a set of bytes.
type set [4]uint64

func (s *set) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *set) has(b byte) bool { return s[b>>6]>>(b&63)&1 == 1 }

func (s *set) addRange(from, to byte) {
	for b := int(from); b <= int(to); b++ {
		s.add(byte(b))
	}
}

func (s *set) union(o set) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s set) not() set {
	for i := range s {
		s[i] = ^s[i]
	}
	return s
}

// fold adds the other case of each letter of ASCII.
func (s *set) fold() {
	for b := byte('a'); b <= 'z'; b++ {
		if upper := b - 'a' + 'A'; s.has(b) || s.has(upper) {
			s.add(b)
			s.add(upper)
		}
	}
}

// text is the set as both engines read it.
func (s *set) text() string {
	var out strings.Builder
	out.WriteByte('[')
	empty := true
	for b := 0; b < 256; b++ {
		if !s.has(byte(b)) {
			continue
		}
		from := b
		for b < 255 && s.has(byte(b+1)) {
			b++
		}
		empty = false
		if out.WriteString(char(byte(from))); b > from {
			out.WriteByte('-')
			out.WriteString(char(byte(b)))
		}
	}
	if empty {
		// No class may be empty, but a text has no character beyond 255.
		return `[^\x00-\xff]`
	}
	out.WriteByte(']')
	return out.String()
}

// char is one character as both engines read it, in a class and outside.
func char(b byte) string {
	if letter(b) || b >= '0' && b <= '9' {
		return string(rune(b))
	}
	return fmt.Sprintf(`\x%02x`, b)
}

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func digit(b byte) bool  { return b >= '0' && b <= '9' }

// of is the set of the bytes that a list of ranges holds, two bytes each.
func of(ranges string) (s set) {
	for i := 0; i < len(ranges); i += 2 {
		s.addRange(ranges[i], ranges[i+1])
	}
	return s
}

// shorthand is the class that a letter behind a backslash stands for.
func shorthand(c byte) (s set, ok bool) {
	switch c {
	case 'd', 'D':
		s = of("09")
	case 'w', 'W':
		s = of("09AZaz__")
	case 's', 'S':
		s = of("\t\r  ")
	case 'h', 'H':
		s = of("\t\t  \xa0\xa0")
	case 'v', 'V':
		s = of("\n\r\x85\x85")
	case 'N':
		return of("\n\n").not(), true
	case 'C':
		return of("\x00\xff"), true
	default:
		return s, false
	}
	if c < 'a' {
		s = s.not()
	}
	return s, true
}

// named are the classes that are written [:name:].
var named = map[string]string{
	"alnum": "09AZaz", "alpha": "AZaz", "ascii": "\x00\x7f", "blank": "\t\t  ", "cntrl": "\x00\x1f\x7f\x7f", "digit": "09",
	"graph": "!~", "lower": "az", "print": " ~", "punct": "!/:@[`{~", "space": "\t\r  ", "upper": "AZ", "word": "09AZaz__", "xdigit": "09AFaf",
}

// property is the set of the bytes that have a property of Unicode: without the
// UTF flag a byte is the character of its number.
func property(name string) (s set, ok bool) {
	name, negative := strings.CutPrefix(name, "^")
	table := unicode.Categories[name]
	if table == nil {
		table = unicode.Scripts[name]
	}
	switch {
	case name == "Any":
		s = of("\x00\xff")
	case name == "L&":
		for _, in := range []*unicode.RangeTable{unicode.Lu, unicode.Ll, unicode.Lt} {
			s.union(in256(in))
		}
	case table == nil:
		return s, false
	default:
		s = in256(table)
	}
	if negative {
		s = s.not()
	}
	return s, true
}

func in256(table *unicode.RangeTable) (s set) {
	for b := range 256 {
		if unicode.Is(table, rune(b)) {
			s.add(byte(b))
		}
	}
	return s
}
