package schema

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind tells what a Document is.
type Kind uint8

// The kinds of a Document. Absent is the zero value: a member that is not
// there, which is something else than one that is null.
const (
	Absent Kind = iota
	KindNull
	KindBool
	KindNumber
	KindString
	KindList
	KindObject
)

// Document is an immutable JSON tree that tells absent, null and empty apart.
// The zero value is absent. It is a small value: copy it freely, share it
// between goroutines, and compare it with Equal.
type Document struct {
	_    [0]func() // == would compare pointers, so it does not compile
	kind Kind
	text string // a string's text, a number's digits, "true" or "false"
	tree *tree  // members or elements; nil when there are none
}

type tree struct {
	members  []Member
	elements []Document
}

// Member is one name of an object and its value.
type Member struct {
	Name  string
	Value Document
}

// Null is the explicit null.
func Null() Document { return Document{kind: KindNull} }

// String is a text.
func String(text string) Document { return Document{kind: KindString, text: text} }

// Number is a number given by its JSON text, which is kept as it is; text that
// is no JSON number makes AppendJSON write what no parser accepts.
func Number(text string) Document { return Document{kind: KindNumber, text: text} }

// Int is a whole number.
func Int(value int64) Document { return Number(strconv.FormatInt(value, 10)) }

// Float is a number; whole numbers of up to 2^53 are written without fraction
// and exponent. NaN and the infinities become null, since JSON has no such
// numbers.
func Float(value float64) Document {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return Null()
	}
	if value == math.Trunc(value) && math.Abs(value) <= maxExact {
		return Int(int64(value))
	}
	format := byte('f')
	if size := math.Abs(value); size < 1e-6 || size >= 1e21 {
		format = 'e' // as JavaScript and encoding/json do
	}
	return Number(strconv.FormatFloat(value, format, -1, 64))
}

// Bool is a truth value.
func Bool(value bool) Document {
	return Document{kind: KindBool, text: strconv.FormatBool(value)}
}

// List is an array of these elements, which the caller gives away.
func List(elements ...Document) Document {
	return Document{kind: KindList, tree: &tree{elements: elements}}
}

// Object is an object of these members in this order. The caller gives the
// slice away and sees to it that no name comes twice.
func Object(members ...Member) Document {
	return Document{kind: KindObject, tree: &tree{members: members}}
}

// Kind tells what the document is.
func (d Document) Kind() Kind { return d.kind }

// IsAbsent reports that there is no such document, not even a null.
func (d Document) IsAbsent() bool { return d.kind == Absent }

// IsNull reports an explicit null; an absent document is not null.
func (d Document) IsNull() bool { return d.kind == KindNull }

// unset reports that the document is absent or null.
func (d Document) unset() bool { return d.kind <= KindNull }

// Members are an object's members in their order, nil for anything else. The
// slice is shared and not to be changed.
func (d Document) Members() []Member {
	if d.tree == nil {
		return nil
	}
	return d.tree.members
}

// Elements are a list's elements, nil for anything else. The slice is shared
// and not to be changed.
func (d Document) Elements() []Document {
	if d.tree == nil {
		return nil
	}
	return d.tree.elements
}

// Get follows names through objects; it is absent when a step is missing or
// leads through something that is no object.
func (d Document) Get(path ...string) Document {
	for _, name := range path {
		i := d.index(name)
		if i < 0 {
			return Document{}
		}
		d = d.tree.members[i].Value
	}
	return d
}

func (d Document) index(name string) int {
	for i, m := range d.Members() {
		if m.Name == name {
			return i
		}
	}
	return -1
}

// Text is a string's text or a number's digits; "" for anything else.
func (d Document) Text() string {
	if d.kind == KindString || d.kind == KindNumber {
		return d.text
	}
	return ""
}

// Int is a number as an integer. It is false for anything that is no number,
// for numbers with a fraction, and for those that do not fit.
func (d Document) Int() (int64, bool) {
	if d.kind != KindNumber {
		return 0, false
	}
	if n, err := strconv.ParseInt(d.text, 10, 64); err == nil {
		return n, true
	}
	// 80.0 and 8e1 are integers too. Beyond 2^53 such a spelling is not exact.
	f, err := strconv.ParseFloat(d.text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > maxExact {
		return 0, false
	}
	return int64(f), true
}

// maxExact is the largest integer up to which every float64 is exact.
const maxExact = 1 << 53

// Float is a number as a float64; false for anything that is no number and
// for numbers out of range.
func (d Document) Float() (float64, bool) {
	if d.kind != KindNumber {
		return 0, false
	}
	f, err := strconv.ParseFloat(d.text, 64)
	return f, err == nil
}

// Truth is a truth value; ok is false for anything else.
func (d Document) Truth() (value, ok bool) {
	return d.kind == KindBool && d.text == "true", d.kind == KindBool
}

// With is a copy with the value at that path. Steps that are missing, or are
// no objects, become objects. A new name goes to the end. An absent value
// removes the member.
func (d Document) With(value Document, path ...string) Document {
	if len(path) == 0 {
		return value
	}
	if value.IsAbsent() {
		return d.Without(path...)
	}
	old := d.Members()
	i := d.index(path[0])
	if i < 0 {
		members := make([]Member, len(old), len(old)+1)
		copy(members, old)
		return Object(append(members, Member{path[0], Document{}.With(value, path[1:]...)})...)
	}
	members := slices.Clone(old)
	members[i].Value = old[i].Value.With(value, path[1:]...)
	return Object(members...)
}

// Without is a copy in which the member at that path is absent.
func (d Document) Without(path ...string) Document {
	if len(path) == 0 {
		return Document{}
	}
	i := d.index(path[0])
	if i < 0 {
		return d
	}
	old := d.Members()
	if len(path) == 1 {
		members := make([]Member, 0, len(old)-1)
		members = append(members, old[:i]...)
		return Object(append(members, old[i+1:]...)...)
	}
	if old[i].Value.Get(path[1:]...).IsAbsent() {
		return d
	}
	members := slices.Clone(old)
	members[i].Value = old[i].Value.Without(path[1:]...)
	return Object(members...)
}

// Equal reports that two documents say the same: the order of an object's
// members means nothing, numbers are compared by value, and absent differs
// from null.
func Equal(a, b Document) bool {
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case KindNumber:
		return a.text == b.text || equalNumbers(a, b)
	case KindString, KindBool:
		return a.text == b.text
	case KindList:
		return slices.EqualFunc(a.Elements(), b.Elements(), Equal)
	case KindObject:
		return equalMembers(a, b)
	}
	return true
}

func equalNumbers(a, b Document) bool {
	x, xok := a.Int()
	y, yok := b.Int()
	if xok || yok {
		return xok && yok && x == y
	}
	f, fok := a.Float()
	g, gok := b.Float()
	return fok && gok && f == g
}

func equalMembers(a, b Document) bool {
	as, bs := a.Members(), b.Members()
	if len(as) != len(bs) {
		return false
	}
	for i, m := range as {
		other := bs[i].Value
		if bs[i].Name != m.Name {
			other = b.Get(m.Name)
		}
		if !Equal(m.Value, other) {
			return false
		}
	}
	return true
}

// sorted is an object with its members ordered by name.
func (d Document) sorted() Document {
	members := slices.Clone(d.Members())
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return Object(members...)
}

// String is the compact JSON text; "" when absent.
func (d Document) String() string { return string(d.AppendJSON(nil)) }

// AppendJSON appends the compact JSON text, members in their order. An absent
// document appends nothing, and one inside another is left out of an object
// and null in a list. Bytes that are no UTF-8 become U+FFFD.
func (d Document) AppendJSON(dst []byte) []byte {
	switch d.kind {
	case KindNull:
		return append(dst, "null"...)
	case KindBool, KindNumber:
		return append(dst, d.text...)
	case KindString:
		return appendQuoted(dst, d.text)
	case KindList:
		dst = append(dst, '[')
		for i, e := range d.Elements() {
			if i > 0 {
				dst = append(dst, ',')
			}
			if e.IsAbsent() {
				e = Null()
			}
			dst = e.AppendJSON(dst)
		}
		return append(dst, ']')
	case KindObject:
		dst = append(dst, '{')
		first := true
		for _, m := range d.Members() {
			if m.Value.IsAbsent() {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(appendQuoted(dst, m.Name), ':')
			dst = m.Value.AppendJSON(dst)
		}
		return append(dst, '}')
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes a JSON string: the two characters that must be escaped
// and the control characters are, everything else stands as it is.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// LuaLiteral writes a document the way Kong writes values inside its messages:
// {name="x",route=null}, keys sorted, identifiers bare.
func LuaLiteral(d Document) string {
	var b strings.Builder
	writeLua(&b, d)
	return b.String()
}

func writeLua(b *strings.Builder, d Document) {
	switch d.kind {
	case Absent, KindNull:
		b.WriteString("null")
	case KindBool, KindNumber:
		b.WriteString(d.text)
	case KindString:
		b.Write(appendQuoted(nil, d.text))
	case KindList:
		b.WriteByte('{')
		for i, e := range d.Elements() {
			if i > 0 {
				b.WriteByte(',')
			}
			writeLua(b, e)
		}
		b.WriteByte('}')
	case KindObject:
		b.WriteByte('{')
		for i, m := range d.sorted().Members() {
			if i > 0 {
				b.WriteByte(',')
			}
			writeLuaKey(b, m.Name)
			b.WriteByte('=')
			writeLua(b, m.Value)
		}
		b.WriteByte('}')
	}
}

func writeLuaKey(b *strings.Builder, name string) {
	if isIdentifier(name) {
		b.WriteString(name)
		return
	}
	b.WriteByte('[')
	b.Write(appendQuoted(nil, name))
	b.WriteByte(']')
}

func isIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
