package schema

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"slices"
	"strconv"
	"strings"
)

// maxArguments is Kong's limit for a form.
const maxArguments = 1000

// argument is one key of a form and its value; a key without an equals sign
// has none, and Kong reads it as true.
type argument struct {
	key, value string
	flag       bool
}

// FormValue is the last value of an argument of a form that belongs to no schema;
// false when it has none, or is no form.
func FormValue(contentType string, body []byte, name string) (value string, given bool) {
	args, err := readForm(contentType, body)
	if err != nil {
		return "", false
	}
	for _, a := range args {
		if a.key == name {
			value, given = a.value, true
		}
	}
	return value, given
}

func readForm(contentType string, body []byte) ([]argument, error) {
	if strings.HasPrefix(contentType, "multipart/") {
		_, params, err := mime.ParseMediaType(contentType)
		if err != nil || params["boundary"] == "" {
			return nil, fmt.Errorf("%w: multipart without a boundary", ErrBadForm)
		}
		return readMultipart(body, params["boundary"])
	}
	return readURLEncoded(string(body))
}

func readURLEncoded(body string) ([]argument, error) {
	var args []argument
	for part := range strings.SplitSeq(body, "&") {
		key, value, has := strings.Cut(part, "=")
		if key == "" {
			continue
		}
		if len(args) == maxArguments {
			return nil, ErrTooManyArguments
		}
		args = append(args, argument{unescape(key), unescape(value), !has})
	}
	return args, nil
}

// unescape decodes plus signs and triplets; what is no triplet stays, as any
// other byte does.
func unescape(text string) string {
	if !strings.ContainsAny(text, "+%") {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '+':
			out = append(out, ' ')
		case c == '%' && i+2 < len(text):
			if n, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
			out = append(out, c)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// readMultipart takes each part for a text, whatever content type it has; a
// file gives its content.
func readMultipart(body []byte, boundary string) ([]argument, error) {
	var args []argument
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	for r := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return args, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadForm, err)
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadForm, err)
		}
		name := part.FormName()
		if name == "" {
			continue
		}
		if len(args) == maxArguments {
			return nil, ErrTooManyArguments
		}
		args = append(args, argument{key: name, value: string(value)})
	}
}

// step is one step of a form key: a name, a position, or the next element.
type step struct {
	name     string
	position int // 1-based; 0 when it is a name; next for []
}

const next = -1

// parseFormKey takes a form key apart: a.b, a[], a[1], a[key], a[1].b. A key that
// begins or ends with a dot, is not well-formed, or nests deeper than a JSON
// body may, is one name as it stands, so that it is refused as an unknown
// field.
func parseFormKey(key string) []step {
	whole := []step{{name: key}}
	var steps []step
	rest := key
	for {
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 || len(steps) >= maxDepth {
			return whole // an empty name, or too deep
		}
		steps = append(steps, step{name: rest[:end]})
		rest = rest[end:]
		for strings.HasPrefix(rest, "[") {
			end := strings.IndexByte(rest, ']')
			if end < 0 || len(steps) >= maxDepth {
				return whole
			}
			steps = append(steps, bracket(rest[1:end]))
			rest = rest[end+1:]
		}
		if rest == "" {
			return steps
		}
		if rest[0] != '.' {
			return whole
		}
		rest = rest[1:]
	}
}

func bracket(text string) step {
	if text == "" {
		return step{position: next}
	}
	if n, err := strconv.Atoi(text); err == nil && n > 0 && text[0] != '+' && text[0] != '0' {
		return step{position: n}
	}
	return step{name: text}
}

// formNode is what a form says about one place: texts, elements and members
// that are told apart only when the schema says what the place is.
type formNode struct {
	values   []Document // texts and appended elements, in order
	appended []*formNode
	indexed  map[int]*formNode
	named    map[string]*formNode
	order    []string // of named
}

func (n *formNode) add(a argument) {
	for _, s := range parseFormKey(a.key) {
		n = n.child(s)
	}
	if a.flag {
		n.values = append(n.values, Bool(true))
		return
	}
	n.values = append(n.values, String(a.value))
}

func (n *formNode) child(s step) *formNode {
	switch {
	case s.position == next:
		c := &formNode{}
		n.appended = append(n.appended, c)
		return c
	case s.position > 0:
		if n.indexed == nil {
			n.indexed = map[int]*formNode{}
		}
		if n.indexed[s.position] == nil {
			n.indexed[s.position] = &formNode{}
		}
		return n.indexed[s.position]
	}
	if n.named == nil {
		n.named = map[string]*formNode{}
	}
	if n.named[s.name] == nil {
		n.named[s.name] = &formNode{}
		n.order = append(n.order, s.name)
	}
	return n.named[s.name]
}

// free is a field without a schema: nothing is coerced, and an empty text
// is null.
var free = &field{typ: typeJSON}

// record reads the node as an object of that record; unknown members are kept
// for Validate to refuse.
func (n *formNode) record(rec *record, ttl bool) Document {
	members := make([]Member, 0, len(n.order))
	for _, name := range n.order {
		f := rec.inputField(name)
		if f == nil && ttl && name == "ttl" {
			f = &field{typ: typeInteger}
		}
		if f == nil {
			f = free
		}
		members = append(members, Member{name, n.named[name].coerce(f)})
	}
	return n.withPositions(members, free)
}

// inputField is the field or shorthand of that name, or nil.
func (r *record) inputField(name string) *field {
	if r == nil {
		return nil
	}
	if f := r.byName[name]; f != nil {
		return f
	}
	for _, sh := range r.shorthands {
		if sh.field.name == name {
			return sh.field
		}
	}
	return nil
}

// positions are those given, in order.
func (n *formNode) positions() []int {
	return sortedKeys(n.indexed)
}

// isObject reports that only members were given, by name or, for maps whose
// keys are numbers, by position.
func (n *formNode) isObject() bool {
	return len(n.values) == 0 && len(n.appended) == 0 && len(n.named)+len(n.indexed) > 0
}

// coerce makes a document of what the form says, as the field wants it. What
// does not fit stays as it is and is refused when the entity is judged.
func (n *formNode) coerce(f *field) Document {
	switch f.typ {
	case typeRecord, typeConfig:
		if n.isObject() {
			return n.record(f.record, false)
		}
	case typeForeign:
		if n.isObject() && f.target != nil {
			return n.record(f.target.record, false)
		}
	case typeMap:
		if n.isObject() {
			return n.entries(f.values)
		}
	case typeArray, typeSet:
		return n.list(f.elem)
	}
	if one, ok := n.single(); ok {
		return coerceText(f, one)
	}
	if n.isObject() && len(n.named) > 0 {
		return n.entries(free)
	}
	return n.list(free)
}

// single is the only text that was given, if that is all there is.
func (n *formNode) single() (Document, bool) {
	if len(n.values) == 1 && len(n.appended)+len(n.indexed)+len(n.named) == 0 {
		return n.values[0], true
	}
	return Document{}, false
}

func (n *formNode) entries(f *field) Document {
	members := make([]Member, 0, len(n.order)+len(n.indexed))
	for _, name := range n.order {
		members = append(members, Member{name, n.named[name].coerce(f)})
	}
	return n.withPositions(members, f)
}

// withPositions adds the positions as names. A name that was given in both
// ways gets both values, as a list that the schema refuses.
func (n *formNode) withPositions(members []Member, f *field) Document {
	for _, i := range n.positions() {
		name := strconv.Itoa(i)
		value := n.indexed[i].coerce(f)
		if n.named[name] == nil {
			members = append(members, Member{name, value})
			continue
		}
		at := slices.IndexFunc(members, func(m Member) bool { return m.Name == name })
		members[at].Value = List(members[at].Value, value)
	}
	return Object(members...)
}

// list reads the node as an array. A lone empty text is null, which clears it;
// names, and positions with gaps, are no array.
func (n *formNode) list(elem *field) Document {
	if one, ok := n.single(); ok && one.Text() == "" && one.Kind() == KindString {
		return Null()
	}
	positions := n.positions()
	if n.isObject() && (len(n.named) > 0 || positions[len(positions)-1] != len(positions)) {
		return n.entries(elem)
	}
	var elements []Document
	for _, i := range positions {
		elements = append(elements, n.indexed[i].coerce(elem))
	}
	for _, v := range n.values {
		elements = append(elements, (&formNode{values: []Document{v}}).coerce(elem))
	}
	for _, c := range n.appended {
		elements = append(elements, c.coerce(elem))
	}
	if len(n.named) > 0 {
		// Texts and members for the same place contradict each other: as an
		// element too many, the members make sure that it is refused.
		elements = append(elements, (&formNode{named: n.named, order: n.order}).entries(free))
	}
	return List(elements...)
}

func coerceText(f *field, v Document) Document {
	if v.Kind() != KindString {
		return v
	}
	text := v.Text()
	switch {
	case text == "":
		return Null()
	case f.typ == typeBoolean && (text == "true" || text == "false"):
		return Bool(text == "true")
	case f.typ == typeInteger || f.typ == typeNumber:
		return coerceNumber(text)
	}
	return v
}

// coerceNumber reads decimal text; what is none stays a text.
func coerceNumber(text string) Document {
	if d, err := Parse([]byte(text)); err == nil && d.Kind() == KindNumber {
		return d
	}
	// Leading zeros, a plus sign, .5 and 5. are numbers to Kong, not to JSON.
	trimmed := strings.TrimSpace(text)
	if trimmed == "" || strings.Trim(trimmed, "0123456789+-.eE") != "" {
		return String(text)
	}
	f, err := strconv.ParseFloat(trimmed, 64)
	if err != nil || math.IsInf(f, 0) {
		return String(text)
	}
	return Float(f)
}
