package llm

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// maxNames is how many members an Object can look for.
const maxNames = 16

// ErrNotObject says that a JSON text is valid but holds something else than an
// object.
var ErrNotObject = errors.New("JSON text is no object")

// SyntaxError says where a text stops being JSON. It does not quote the text,
// which may be a prompt.
type SyntaxError struct {
	Offset int
	Reason string
}

// Error says what is wrong, and where.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}

// AmbiguousError says that a member of interest stands more than once in an
// object, or in another spelling of upper and lower case. Parsers differ on
// which of them counts, so such a body means two things at once.
type AmbiguousError struct{ Name string }

// Error names the member.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("field '%s' must appear once and in this spelling", e.Name)
}

// Names is a set of member names to look for at the top level of an object. It
// never changes once it is made, so that many goroutines can share it.
type Names struct {
	list    []string
	lengths uint64 // bit n: a name of n bytes is in the list
	lenient bool
}

// NewNames makes a set of at most 16 names. Objects read with it are refused
// when one of the names stands in them twice or in another case. An empty name is
// a place that no member takes.
func NewNames(names ...string) *Names {
	if len(names) > maxNames {
		panic(fmt.Sprintf("llm: %d names, at most %d", len(names), maxNames))
	}
	n := &Names{list: names}
	for _, name := range names {
		if name != "" {
			n.lengths |= 1 << min(len(name), 63)
		}
	}
	return n
}

// NewLenientNames makes a set for texts that the gateway only reports on, such
// as a provider's answer: of several members of one name the last counts, as
// for most parsers, and other spellings are other names.
func NewLenientNames(names ...string) *Names {
	n := NewNames(names...)
	n.lenient = true
	return n
}

// field is a member that was found; all are offsets into the text.
type field struct {
	key, keyEnd int32 // the name with its quotes
	value, end  int32
	comma       int32 // the comma before the member; -1 for the first
	next        int32 // the next member's name; -1 for the last
	index       int32 // the how manieth member it is
	count       int32 // elements, when the value is an array
	found       bool
}

// Object is what one pass over the JSON text of an object found. The zero value
// is empty; Read fills it. It holds on to the text.
type Object struct {
	text    []byte
	names   *Names
	fields  [maxNames]field
	members int
	end     int // behind the last member, or behind the opening brace
}

// Read checks the text, all of it and strictly, and notes where the members of
// interest are. The error is a *SyntaxError, an *AmbiguousError or ErrNotObject.
// After an error the object is empty.
func (o *Object) Read(text []byte, names *Names) error {
	return o.ReadWithin(text, names, Limits{})
}

// ReadWithin is Read with other limits than the usual ones.
func (o *Object) ReadWithin(text []byte, names *Names, l Limits) error {
	*o = Object{}
	s := scanner{text: text, limits: l}
	i := s.space(0)
	if i < len(text) && text[i] != '{' {
		end := s.value(i, 1)
		if end >= 0 {
			end = s.space(end)
			if end < len(text) {
				s.fail(end, "more text behind the value")
			}
		}
		if s.err != nil {
			return s.err
		}
		return ErrNotObject
	}
	if i >= len(text) {
		return &SyntaxError{Offset: i, Reason: "unexpected end"}
	}
	if err := o.read(&s, i, names); err != nil {
		*o = Object{}
		return err
	}
	o.text, o.names = text, names
	return nil
}

func (o *Object) read(s *scanner, i int, names *Names) error {
	text := s.text
	var ambiguous *AmbiguousError
	last, comma := -1, -1
	s.values++
	i = s.space(i + 1)
	o.end = i
	if i < len(text) && text[i] == '}' {
		return s.close(i + 1)
	}
	o.end = 0
	for {
		if i >= len(text) || text[i] != '"' {
			s.fail(i, "expected a member's name")
			return s.err
		}
		key := i
		i = s.str(i + 1)
		if i < 0 {
			return s.err
		}
		keyEnd := i
		if last >= 0 {
			o.fields[last].next = int32(key)
		}
		i = s.colon(i)
		if i < 0 {
			return s.err
		}
		value := i
		i = s.value(i, 2)
		if i < 0 {
			return s.err
		}
		last = -1
		at, exact := names.find(text[key+1 : keyEnd-1])
		if at >= 0 && !names.lenient && (!exact || o.fields[at].found) && ambiguous == nil {
			ambiguous = &AmbiguousError{Name: names.list[at]}
		}
		if at >= 0 && exact {
			last = at
			o.fields[at] = field{
				key: int32(key), keyEnd: int32(keyEnd), value: int32(value), end: int32(i),
				comma: int32(comma), next: -1, index: int32(o.members), found: true,
			}
			if text[value] == '[' {
				o.fields[at].count = int32(s.count)
			}
		}
		o.members++
		o.end = i
		i = s.space(i)
		switch {
		case i < len(text) && text[i] == ',':
			comma = i
			i = s.space(i + 1)
		case i < len(text) && text[i] == '}':
			if err := s.close(i + 1); err != nil {
				return err
			}
			// A broken text is reported as such before an ambiguous one.
			if ambiguous != nil {
				return ambiguous
			}
			return nil
		default:
			s.fail(i, "expected a comma or the end of the object")
			return s.err
		}
	}
}

// find gives the place of a raw name, without quotes, in the list, and whether
// it is spelled as in the list; -1 when no spelling of it is there.
func (n *Names) find(raw []byte) (at int, exact bool) {
	plain := true
	for _, c := range raw {
		if c == '\\' || c >= 0x80 {
			plain = false
			break
		}
	}
	if plain && n.lengths&(1<<min(len(raw), 63)) == 0 {
		return -1, false
	}
	key := string(raw) // does not escape: no allocation for short names
	if !plain {
		// A name may hide behind escapes, or behind letters that fold to ASCII.
		key = string(AppendUnquoted(nil, raw))
	}
	if key == "" {
		return -1, false
	}
	for i, name := range n.list {
		if key == name {
			return i, true
		}
	}
	if n.lenient {
		return -1, false
	}
	for i, name := range n.list {
		if strings.EqualFold(key, name) {
			return i, false
		}
	}
	return -1, false
}

// Has says whether the member is there.
func (o *Object) Has(at int) bool { return o.fields[at].found }

// Value is the JSON text of a member's value; nil when the member is missing.
func (o *Object) Value(at int) []byte {
	f := &o.fields[at]
	if !f.found {
		return nil
	}
	return o.text[f.value:f.end]
}

// Span is where a member's value stands in the text; 0, 0 when the member is
// missing.
func (o *Object) Span(at int) (from, to int) {
	f := &o.fields[at]
	return int(f.value), int(f.end)
}

// Kind is the first byte of the member's value, which tells its type: one of
// { [ " t f n, a digit or a minus sign. It is 0 when the member is missing.
func (o *Object) Kind(at int) byte {
	f := &o.fields[at]
	if !f.found {
		return 0
	}
	return o.text[f.value]
}

// Text is the member's value when it is a string.
func (o *Object) Text(at int) (text string, ok bool) {
	if o.Kind(at) != '"' {
		return "", false
	}
	return Unquote(o.Value(at)), true
}

// Count is how many elements the member's value has when it is an array.
func (o *Object) Count(at int) int { return int(o.fields[at].count) }

// Members is how many members the object has, whatever their names.
func (o *Object) Members() int { return o.members }

// Elements calls f with the text of each element of an array that is known to
// be valid, until f says stop.
func Elements(array []byte, f func(element []byte) bool) {
	s := scanner{text: array, valid: true}
	i := s.space(0)
	if i >= len(array) || array[i] != '[' {
		return
	}
	i = s.space(i + 1)
	for i < len(array) && array[i] != ']' {
		end := s.value(i, 1)
		if end < 0 || !f(array[i:end]) {
			return
		}
		i = s.space(end)
		if i < len(array) && array[i] == ',' {
			i = s.space(i + 1)
		}
	}
}

// scanner steps over JSON, checking it as strictly as encoding/json does.
type scanner struct {
	text   []byte
	values int
	count  int // elements of the array that ended last
	limits Limits
	err    error
	valid  bool // the text has been checked
}

func (s *scanner) fail(at int, reason string) int {
	if at >= len(s.text) {
		at, reason = len(s.text), "unexpected end"
	}
	s.err = &SyntaxError{Offset: at, Reason: reason}
	return -1
}

// close makes sure that only white space follows.
func (s *scanner) close(i int) error {
	if i = s.space(i); i < len(s.text) {
		s.fail(i, "more text behind the object")
	}
	return s.err
}

func (s *scanner) space(i int) int {
	for i < len(s.text) {
		switch s.text[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

func (s *scanner) colon(i int) int {
	i = s.space(i)
	if i >= len(s.text) || s.text[i] != ':' {
		return s.fail(i, "expected a colon")
	}
	return s.space(i + 1)
}

// value steps over one value and gives the offset behind it, or -1.
func (s *scanner) value(i, depth int) int {
	text := s.text
	if i >= len(text) {
		return s.fail(i, "")
	}
	if s.values++; s.values > cmp.Or(s.limits.Values, MaxValues) {
		return s.fail(i, "too many values")
	}
	switch c := text[i]; {
	case c == '"':
		return s.str(i + 1)
	case c == '{':
		if depth > cmp.Or(s.limits.Depth, MaxDepth) {
			return s.fail(i, "nested too deeply")
		}
		return s.object(i, depth)
	case c == '[':
		if depth > cmp.Or(s.limits.Depth, MaxDepth) {
			return s.fail(i, "nested too deeply")
		}
		return s.array(i, depth)
	case c == '-' || c >= '0' && c <= '9':
		return s.number(i)
	case c == 't':
		return s.literal(i, "true")
	case c == 'f':
		return s.literal(i, "false")
	case c == 'n':
		return s.literal(i, "null")
	}
	return s.fail(i, "expected a value")
}

func (s *scanner) object(i, depth int) int {
	text := s.text
	i = s.space(i + 1)
	if i < len(text) && text[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(text) || text[i] != '"' {
			return s.fail(i, "expected a member's name")
		}
		if i = s.str(i + 1); i < 0 {
			return -1
		}
		if i = s.colon(i); i < 0 {
			return -1
		}
		if i = s.value(i, depth+1); i < 0 {
			return -1
		}
		i = s.space(i)
		switch {
		case i < len(text) && text[i] == ',':
			i = s.space(i + 1)
		case i < len(text) && text[i] == '}':
			return i + 1
		default:
			return s.fail(i, "expected a comma or the end of an object")
		}
	}
}

func (s *scanner) array(i, depth int) int {
	text := s.text
	count := 0
	i = s.space(i + 1)
	if i < len(text) && text[i] == ']' {
		s.count = 0
		return i + 1
	}
	for {
		if i = s.value(i, depth+1); i < 0 {
			return -1
		}
		count++
		i = s.space(i)
		switch {
		case i < len(text) && text[i] == ',':
			i = s.space(i + 1)
		case i < len(text) && text[i] == ']':
			s.count = count
			return i + 1
		default:
			return s.fail(i, "expected a comma or the end of an array")
		}
	}
}

func (s *scanner) literal(i int, word string) int {
	if len(s.text)-i < len(word) || string(s.text[i:i+len(word)]) != word {
		return s.fail(i, "expected a value")
	}
	return i + len(word)
}

func (s *scanner) number(i int) int {
	text := s.text
	if text[i] == '-' {
		i++
	}
	switch {
	case i < len(text) && text[i] == '0':
		i++
	case i < len(text) && text[i] >= '1' && text[i] <= '9':
		i = s.digits(i)
	default:
		return s.fail(i, "expected a digit")
	}
	if i < len(text) && text[i] == '.' {
		end := s.digits(i + 1)
		if end == i+1 {
			return s.fail(end, "expected a digit")
		}
		i = end
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		end := s.digits(i)
		if end == i {
			return s.fail(end, "expected a digit")
		}
		i = end
	}
	return i
}

func (s *scanner) digits(i int) int {
	for i < len(s.text) && s.text[i] >= '0' && s.text[i] <= '9' {
		i++
	}
	return i
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x80 * everyByte
)

// str steps over a string; i is behind its opening quote. Eight bytes are looked
// at in one go: a prompt is mostly text in which nothing happens.
func (s *scanner) str(i int) int {
	text := s.text
	if s.valid {
		return s.known(i)
	}
	for {
		for i+8 <= len(text) {
			w := binary.LittleEndian.Uint64(text[i:])
			quote := w ^ '"'*everyByte
			slash := w ^ '\\'*everyByte
			// A byte's high bit is set when the byte is below 0x20, a quote or a
			// backslash. Borrows can set it wrongly only above a right one, and the
			// lowest is the one that counts.
			hit := ((w-0x20*everyByte)&^w | (quote-everyByte)&^quote | (slash-everyByte)&^slash) & highBits
			if hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				break
			}
			i += 8
		}
		if i >= len(text) {
			return s.fail(i, "")
		}
		switch c := text[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i + 1); i < 0 {
				return -1
			}
		case c < 0x20:
			return s.fail(i, "control byte in a string")
		default:
			i++
		}
	}
}

// known is str for a text that has been checked: what ends a string is the first
// quote behind an even number of backslashes.
func (s *scanner) known(i int) int {
	for {
		n := bytes.IndexByte(s.text[i:], '"')
		if n < 0 {
			return s.fail(len(s.text), "")
		}
		i += n + 1
		slashes := i - 1
		for s.text[slashes-1] == '\\' {
			slashes--
		}
		if (i-1-slashes)&1 == 0 {
			return i
		}
	}
}

func (s *scanner) escape(i int) int {
	if i >= len(s.text) {
		return s.fail(i, "")
	}
	switch s.text[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for range 4 {
			i++
			if i >= len(s.text) || !isHex(s.text[i]) {
				return s.fail(i, "expected a hex digit")
			}
		}
		return i + 1
	}
	return s.fail(i, "unknown escape")
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
