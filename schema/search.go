package schema

import "strings"

// Searchable are the fields by which a list can be narrowed down to the entities
// in whose value a text occurs.
func (s *Schema) Searchable() []string {
	var names []string
	for _, f := range s.record.fields {
		if f.rules.GetSearchable() {
			names = append(names, f.name)
		}
	}
	return names
}

// Sortable reports that a list can be ordered by a field: it is a text, a number
// or a truth value, and no secret, of which an order would tell something.
func (s *Schema) Sortable(field string) bool {
	f := s.record.byName[field]
	if f == nil || f.rules.GetEncrypted() || f.rules.GetTransient() {
		return false
	}
	switch f.typ {
	case typeString, typeInteger, typeNumber, typeBoolean:
		return true
	}
	return false
}

// Mentions reports that a text occurs in a value, in upper or lower case: in a
// text, in a number as it is written, in a truth value, or in an element of a
// list of those.
func Mentions(value Document, text string) bool {
	switch value.Kind() {
	case KindString, KindNumber, KindBool:
		return containsFold(value.text, text)
	case KindList:
		for _, e := range value.Elements() {
			if e.Kind() != KindList && Mentions(e, text) {
				return true
			}
		}
	}
	return false
}

func containsFold(s, part string) bool {
	return strings.Contains(s, part) || strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// NestedKey is the field that may stand for the id in a URL below a parent
// only, or "".
func (s *Schema) NestedKey() string { return s.entity.GetNestedKey() }

// Below is the unique value of an entity that has that nested key and refers
// to a parent by the field; ok is false when the two are not unique together.
func (s *Schema) Below(field, parent, key string) (u Unique, ok bool) {
	for _, names := range s.entity.GetUniqueTogether() {
		v := names.GetValues()
		if len(v) == 2 && (v[0] == field && v[1] == s.NestedKey() || v[1] == field && v[0] == s.NestedKey()) {
			doc := Object(Member{field, Object(Member{"id", String(parent)})}, Member{s.NestedKey(), String(key)})
			return composite(v, doc), true
		}
	}
	return Unique{}, false
}
