package schema

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/gibbon-gateway/gibbon/internal/vault"
)

// Texts of Kong that stand in more than one place.
const (
	textRequired = "required field missing"
	textUnknown  = "unknown field"
	textRecord   = "expected a record"
	textUUID     = "expected a valid UUID"
)

// failures are the texts about one record.
type failures struct {
	entity []string
	fields []Member
	whole  string // stands in the record's own place
}

// put says something about a field; an absent text says nothing. The later
// text wins.
func (f *failures) put(text Document, path ...string) {
	if !text.IsAbsent() {
		f.fields = Object(f.fields...).With(text, path...).Members()
	}
}

// has reports that something was said about the field at the path, about what
// it is in, or about what is in it.
func (f *failures) has(path []string) bool {
	d := Object(f.fields...)
	for _, name := range path {
		if d = d.Get(name); d.Kind() == KindString {
			return true
		}
	}
	return !d.IsAbsent()
}

// document is the record's place in the error body; absent when all is well.
func (f *failures) document() Document {
	if f.whole != "" {
		return String(f.whole)
	}
	if len(f.entity) == 0 && len(f.fields) == 0 {
		return Document{}
	}
	e := ViolationError{f.entity, Object(f.fields...)}
	return e.Document()
}

func (f *failures) error() error {
	if f.whole != "" { // an entity stands in no place of its own
		f.entity = append([]string{f.whole}, f.entity...)
	}
	if len(f.entity) == 0 && len(f.fields) == 0 {
		return nil
	}
	return &ViolationError{f.entity, Object(f.fields...)}
}

// holes are the texts about the elements of an array, by position.
type holes []Document

func (h *holes) put(i int, text Document) {
	if text.IsAbsent() {
		return
	}
	for len(*h) < i {
		*h = append(*h, Null())
	}
	*h = append(*h, text)
}

func (h holes) document() Document {
	if h == nil {
		return Document{}
	}
	return List(h...)
}

// Validate judges an entity that Complete or Merge made. The error is nil or a
// *ViolationError that names everything that is wrong, except that nothing
// else is looked at when the field that picks the subschema is.
func (s *Schema) Validate(doc Document, op Op) error {
	return s.validate(Document{}, doc, op)
}

// ValidateUpdate is Validate for a PATCH that also refuses a change of
// immutable fields; current is the stored entity.
func (s *Schema) ValidateUpdate(current, doc Document) error {
	return s.validate(current, doc, Update)
}

func (s *Schema) validate(current, doc Document, op Op) error {
	var fail failures
	if doc.Kind() != KindObject {
		fail.entity = []string{textRecord}
		return fail.error()
	}
	rec, v := s.shape(doc)
	if v == nil && len(s.variants) > 0 || v != nil && v.off {
		fail.put(s.subschemaText(doc), s.entity.GetSubschemaKey())
		return fail.error()
	}
	j := judge{op: op}
	fail = j.fields(rec, doc)
	if !current.IsAbsent() {
		rec.immutable(current, doc, &fail)
	}
	j.checks(rec.checks, doc, &fail)
	if v != nil {
		j.checks(v.checks, doc, &fail)
	}
	return fail.error()
}

// ValidateReplace refuses a PUT over an entity that changes immutable fields:
// what is built on them, such as the workspace of an entity, would be lost. It
// is asked beside Validate. The error is nil or a *ViolationError.
func (s *Schema) ValidateReplace(current, doc Document) error {
	var fail failures
	s.record.immutable(current, doc, &fail)
	return fail.error()
}

func (r *record) immutable(current, doc Document, fail *failures) {
	for _, f := range r.fields {
		if f.rules.GetImmutable() && !Equal(current.Get(f.name), doc.Get(f.name)) {
			fail.put(String("immutable field cannot be updated"), f.name)
		}
	}
}

// subschemaText says why the subschema key picks none.
func (s *Schema) subschemaText(doc Document) Document {
	f := s.record.byName[s.entity.GetSubschemaKey()]
	value := doc.Get(f.name)
	if value.unset() {
		return String(textRequired)
	}
	if f.typ == typeString && value.Kind() != KindString || f.elem != nil && len(value.Elements()) == 0 {
		return f.judge(value)
	}
	key, _ := s.variantKey(doc)
	return String(strings.ReplaceAll(orText(s.entity.GetSubschemaErr(), "unknown type: %s"), "%s", key))
}

// ValidKey judges a text from a URL that stands for the endpoint key. The
// error is nil or a *KeyError.
func (s *Schema) ValidKey(text string) error {
	return s.ValidValue(s.EndpointKey(), text)
}

// ValidValue judges a text as the value of a field; the error is nil or a
// *KeyError. A field that the schema does not have takes no value.
func (s *Schema) ValidValue(name, text string) error {
	f := s.record.byName[name]
	if f == nil {
		return &KeyError{name, textUnknown}
	}
	if why := f.judge(String(text)); !why.IsAbsent() {
		return &KeyError{name, show(why)}
	}
	return nil
}

// judge walks an entity and collects what is wrong.
type judge struct {
	op Op
	// partial judges what is there and misses nothing: an object that stands
	// for a reference.
	partial bool
}

// judge is the text about one value, or absent.
func (f *field) judge(v Document) Document {
	j := judge{}
	return j.field(f, v)
}

func (j *judge) fields(rec *record, doc Document) (fail failures) {
	cursor := cursor{members: doc.Members()}
	for _, f := range rec.fields {
		v := cursor.get(f.name)
		if v.IsAbsent() && j.partial {
			continue
		}
		if text := j.field(f, v); !text.IsAbsent() {
			fail.fields = append(fail.fields, Member{f.name, text})
		}
	}
	for _, m := range doc.Members() {
		if rec.byName[m.Name] == nil && !rec.hides(m.Name) {
			fail.fields = append(fail.fields, Member{m.Name, String(textUnknown)})
		}
	}
	return fail
}

func (r *record) hides(name string) bool {
	for _, f := range r.hidden {
		if f.name == name {
			return true
		}
	}
	return false
}

// field is the text about a field's value, or the tree of texts about what is
// in it, or absent.
func (j *judge) field(f *field, v Document) Document {
	if v.unset() {
		return f.null()
	}
	if f.eq.IsNull() {
		return String(f.say("value must be null"))
	}
	if text := j.inside(f, v); !text.IsAbsent() {
		return text
	}
	if f.rules.GetReferenceable() && vault.IsReference(v.Text()) {
		return Document{}
	}
	if text := f.rule(v); text != "" {
		return String(f.say(text))
	}
	return Document{}
}

// say is the field's own text instead of a rule's, if it has one.
func (f *field) say(text string) string {
	if err := f.rules.GetErr(); err != "" {
		return err
	}
	return text
}

// null judges a value that is not there.
func (f *field) null() Document {
	switch {
	case f.ne.IsNull():
		return String(f.say("value must not be null"))
	case !f.eq.IsAbsent() && !f.eq.IsNull():
		return String(f.say("value must be " + show(f.eq)))
	case f.required():
		return String(textRequired)
	}
	return Document{}
}

// inside judges the type, and what is inside a container.
func (j *judge) inside(f *field, v Document) Document {
	kind, text := KindString, "expected a string"
	switch f.typ {
	case typeJSON:
		return Document{}
	case typeBoolean:
		kind, text = KindBool, "expected a boolean"
	case typeNumber:
		kind, text = KindNumber, "expected a number"
		if _, ok := v.Float(); v.Kind() == KindNumber && !ok {
			return String(text) // 1e999
		}
	case typeInteger:
		kind, text = KindNumber, "expected an integer"
		if !f.fits(v) && !f.outOfRange(v) {
			return String(text)
		}
	case typeArray:
		kind, text = KindList, "expected an array"
	case typeSet:
		kind, text = KindList, "expected a set"
	case typeMap:
		kind, text = KindObject, "expected a map"
	case typeRecord, typeConfig:
		kind, text = KindObject, textRecord
	case typeForeign:
		return j.foreign(f, v)
	}
	if v.Kind() != kind {
		return String(text)
	}
	switch {
	case f.typ == typeString:
		if at := badUTF8(v.Text()); at >= 0 {
			return String(utf8Text(at))
		}
	case f.record != nil:
		fail := j.fields(f.record, v)
		j.checks(f.record.checks, v, &fail)
		return fail.document()
	case f.elem != nil:
		return j.elements(f, v)
	case f.values != nil:
		return j.entries(f, v)
	}
	return Document{}
}

// fits reports that a number is an integer that the message has room for.
func (f *field) fits(v Document) bool {
	n, ok := v.Int()
	return ok && (f.bits != 32 || math.MinInt32 <= n && n <= math.MaxInt32)
}

// outOfRange reports a whole number that its range refuses, however long it is:
// Kong takes any for an integer, and has the range speak.
func (f *field) outOfRange(v Document) bool {
	n, ok := v.Float()
	b := f.rules.GetBetween()
	return ok && v.Kind() == KindNumber && n == math.Trunc(n) && b != nil && (n < b.GetMin() || n > b.GetMax())
}

// element is field for what stands in an array or map, where null is never a
// value.
func (j *judge) element(f *field, v Document) Document {
	if v.unset() {
		return String(textRequired)
	}
	return j.field(f, v)
}

func (j *judge) elements(f *field, v Document) Document {
	var broken holes
	for i, e := range v.Elements() {
		broken.put(i, j.element(f.elem, e))
	}
	return broken.document()
}

// entries judges a map; the whole map has one text, that of its first key or
// value that is wrong.
func (j *judge) entries(f *field, v Document) Document {
	for _, m := range v.Members() {
		if text := j.element(f.keys, String(m.Name)); !text.IsAbsent() {
			return text
		}
		if text := j.element(f.values, m.Value); !text.IsAbsent() {
			return text
		}
	}
	return Document{}
}

// foreign judges a reference. With a valid id nothing else in it counts: clients
// send further members of the entity that they mean. An object without one is
// judged as far as it goes by the schema that it refers to, as Kong does, before
// the id is missed.
func (j *judge) foreign(f *field, v Document) Document {
	id := v.Get("id")
	text := "missing primary key"
	var strange []string
	switch {
	case id.IsNull():
		text = textRequired
	case isUUID(id.Text()):
		return Document{}
	case !id.IsAbsent():
		text = textUUID
		if id.Kind() != KindString {
			text = "expected a string"
		}
		strange = f.strange(v)
	}
	broken := Document{}
	if v.Kind() == KindObject && f.target != nil {
		known := v
		for _, name := range strange {
			known = known.Without(name)
		}
		broken = f.target.partial(known)
	}
	if broken.IsAbsent() {
		broken = Object(Member{"id", String(text)})
	}
	for _, name := range strange {
		broken = broken.With(String("not a primary key"), name)
	}
	return broken
}

// strange are the names in a reference that the entity which it means has no
// field for.
func (f *field) strange(v Document) (names []string) {
	if f.target == nil {
		return nil
	}
	for _, m := range v.Members() {
		if f.target.record.inputField(m.Name) == nil {
			names = append(names, m.Name)
		}
	}
	return names
}

// partial judges the fields of an object that are there.
func (s *Schema) partial(v Document) Document {
	var fail failures
	rec := s.record
	if len(s.variants) > 0 {
		// The shape does not fall back on the key's default here: Kong asks
		// for the key of an entity that is only referred to.
		_, chosen := s.variantKey(v)
		if chosen == nil {
			fail.put(s.subschemaText(v), s.entity.GetSubschemaKey())
			return fail.document()
		}
		rec = chosen.record
	}
	j := judge{partial: true}
	fail = j.fields(rec, v)
	return fail.document()
}

// rule is the text of the first rule that a value of the right type breaks, in
// Kong's order, or "".
func (f *field) rule(v Document) string {
	switch {
	case !f.eq.IsAbsent() && !Equal(f.eq, v):
		return "value must be " + show(f.eq)
	case !f.ne.IsAbsent() && Equal(f.ne, v):
		return "value must not be " + show(f.ne)
	case len(f.notOneOf) > 0 && f.notOneOfSet[scalar(v)]:
		return f.notText
	case len(f.oneOf) > 0 && !f.oneOfSet[scalar(v)]:
		return f.oneOfText
	}
	if text := f.numberRule(v); text != "" {
		return text
	}
	if text := f.lengthRule(v); text != "" {
		return text
	}
	if v.Kind() == KindString {
		if text := f.textRule(v.Text()); text != "" {
			return text
		}
	}
	if !f.contains.IsAbsent() && !contains(v, f.contains) {
		return "expected to contain: " + show(f.contains)
	}
	if f.paths[v.Text()] != nil {
		return "must not be the path of an entity: " + v.Text()
	}
	if f.check != nil && v.Kind() == KindString {
		if text := f.check(v.Text()); text != "" {
			return text
		}
	}
	if text := f.distinctRule(v); text != "" {
		return text
	}
	return f.exclusiveRule(v)
}

// distinctRule names the first element that the list has already.
func (f *field) distinctRule(v Document) string {
	if !f.rules.GetDistinct() {
		return ""
	}
	seen := map[string]bool{}
	for _, e := range v.Elements() {
		if key := e.String(); seen[key] {
			return show(e) + " is duplicated"
		} else {
			seen[key] = true
		}
	}
	return ""
}

// scalar is how a value stands in a one_of list.
func scalar(v Document) string {
	if v.Kind() == KindNumber {
		return canonicalNumber(v).Text()
	}
	return show(v)
}

func (f *field) numberRule(v Document) string {
	r := f.rules
	if r.Gt == nil && !r.GetTimestamp() && r.Between == nil && !r.GetUuid() && !r.GetIsRegex() {
		return ""
	}
	n, isNumber := v.Float()
	switch {
	case r.Gt != nil && isNumber && n <= r.GetGt():
		return "value must be greater than " + limit(r.GetGt())
	case r.GetTimestamp() && isNumber && n <= 0:
		return "expected a valid timestamp"
	case r.GetUuid() && !isUUID(v.Text()):
		return textUUID
	case r.GetIsRegex():
		if _, err := regexp.Compile(v.Text()); err != nil {
			return "not a valid regex: " + v.Text()
		}
	}
	if b := r.Between; b != nil && isNumber && (n < b.GetMin() || n > b.GetMax()) {
		return "value should be between " + whole(b.GetMin()) + " and " + whole(b.GetMax())
	}
	return ""
}

func (f *field) lengthRule(v Document) string {
	r := f.rules
	var n int64
	switch v.Kind() {
	case KindString:
		n = int64(len(v.Text()))
		if n == 0 && f.typ == typeString && r.LenMin == nil && r.LenEq == nil {
			return "length must be at least 1"
		}
	case KindList:
		n = int64(len(v.Elements()))
	case KindObject:
		n = int64(len(v.Members()))
	default:
		return ""
	}
	switch {
	case r.LenEq != nil && n != r.GetLenEq():
		return fmt.Sprintf("length must be %d", r.GetLenEq())
	case r.LenMin != nil && n < r.GetLenMin():
		return fmt.Sprintf("length must be at least %d", r.GetLenMin())
	case r.LenMax != nil && n > r.GetLenMax():
		return fmt.Sprintf("length must be at most %d", r.GetLenMax())
	}
	return ""
}

func (f *field) textRule(text string) string {
	if p := f.rules.GetStartsWith(); p != "" && !strings.HasPrefix(text, p) {
		return "should start with: " + p
	}
	invalid := "invalid value: " + text
	if f.notMatch != nil && f.notMatch.MatchString(text) {
		return invalid
	}
	for _, p := range f.matchNone {
		if p.re.MatchString(text) {
			return orText(p.err, invalid)
		}
	}
	if f.match != nil && !f.match.MatchString(text) {
		return invalid
	}
	for _, p := range f.matchAll {
		if !p.re.MatchString(text) {
			return orText(p.err, invalid)
		}
	}
	if len(f.matchAny) == 0 {
		return ""
	}
	for _, re := range f.matchAny {
		if re.MatchString(text) {
			return ""
		}
	}
	return orText(f.rules.GetMatchAny().GetErr(), invalid)
}

func orText(own, standard string) string {
	if own != "" {
		return own
	}
	return standard
}

func contains(list, element Document) bool {
	for _, e := range list.Elements() {
		if Equal(e, element) {
			return true
		}
	}
	return false
}

// exclusiveRule names the groups when elements come from more than one.
func (f *field) exclusiveRule(v Document) string {
	if len(f.exclusive) == 0 {
		return ""
	}
	var hit []string
	for _, group := range f.exclusive {
		for _, e := range v.Elements() {
			if group.set[e.Text()] {
				hit = append(hit, "("+quotedList(group.names)+")")
				break
			}
		}
	}
	if len(hit) < 2 {
		return ""
	}
	return "these sets are mutually exclusive: " + strings.Join(hit, ", ")
}

// badUTF8 is the position of the first byte that is no UTF-8, or -1.
func badUTF8(text string) int {
	if utf8.ValidString(text) {
		return -1
	}
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

// utf8Text counts positions from 1, as Kong does.
func utf8Text(at int) string {
	return fmt.Sprintf("invalid utf-8 character sequence detected at position %d", at+1)
}
