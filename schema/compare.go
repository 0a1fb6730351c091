package schema

import (
	"slices"
	"strings"
)

// Masked stands in the place of a secret that must not be shown.
const Masked = "******"

// Difference is one field in which two states of an entity differ.
type Difference struct {
	// Path leads to the field from the top of the entity. Fields of records and
	// the entries of maps are told one by one; arrays and sets are one value.
	Path []string
	// From and To are the two values; null where there is none. Secrets in them
	// are Masked.
	From, To Document
}

// Compare lists in what two stored states of an entity differ, in the order of
// the schema's fields. An absent state has no values at all. It is about what
// the states mean: the id and the times that are noted of every entity are no
// difference, neither is the order of a set, and a state that another release
// stored counts in the shape that the schema has now.
func (s *Schema) Compare(before, after Document) []Difference {
	newest := after
	if after.unset() {
		newest = before
	}
	rec, _ := s.shape(newest)
	c := comparison{}
	c.record(nil, rec, s.shown(before), s.shown(after))
	for _, f := range s.record.hidden {
		c.field([]string{f.name}, f, before.Get(f.name), after.Get(f.name))
	}
	return c.found
}

// shown is a stored state in the shape that the schema has now; absent for none.
func (s *Schema) shown(stored Document) Document {
	if stored.unset() {
		return Document{}
	}
	rec, _ := s.shape(stored)
	return renderer{}.record(rec, stored)
}

type comparison struct{ found []Difference }

func (c *comparison) record(path []string, rec *record, before, after Document) {
	for _, f := range rec.fields {
		if path == nil && (f.name == "id" || f.rules.GetTimestamp() && f.rules.GetAuto()) {
			continue
		}
		c.field(append(slices.Clip(path), f.name), f, before.Get(f.name), after.Get(f.name))
	}
}

func (c *comparison) field(path []string, f *field, before, after Document) {
	switch {
	case before.unset() && after.unset() || Equal(before, after) || f.typ == typeSet && sameSet(before, after):
	case f.record != nil:
		c.record(path, f.record, before, after)
	case f.values != nil && f.typ == typeMap:
		for _, m := range before.Members() {
			c.field(append(slices.Clip(path), m.Name), f.values, m.Value, after.Get(m.Name))
		}
		for _, m := range after.Members() {
			if before.Get(m.Name).IsAbsent() {
				c.field(append(slices.Clip(path), m.Name), f.values, Document{}, m.Value)
			}
		}
		if len(before.Members())+len(after.Members()) == 0 {
			c.found = append(c.found, Difference{path, masked(f, before), masked(f, after)}) // {} and null
		}
	default:
		c.found = append(c.found, Difference{path, masked(f, before), masked(f, after)})
	}
}

// sameSet tells whether two lists have the same elements.
func sameSet(a, b Document) bool {
	if a.Kind() != KindList || b.Kind() != KindList || len(a.Elements()) != len(b.Elements()) {
		return false
	}
	sorted := func(d Document) []string {
		texts := make([]string, len(d.Elements()))
		for i, e := range d.Elements() {
			texts[i] = e.String()
		}
		slices.Sort(texts)
		return texts
	}
	return slices.Equal(sorted(a), sorted(b))
}

// masked is a value without its secrets. A configuration whose schema is not
// known, that of a plugin which this build or its settings do not have, is a
// secret as a whole: nobody can tell what in it is one.
func masked(f *field, v Document) Document {
	switch {
	case v.unset():
		return Null()
	case f.rules.GetEncrypted(), f.typ == typeConfig && f.record == nil:
		return String(Masked)
	case f.record != nil:
		return maskedRecord(f.record, v)
	case f.elem != nil && v.Kind() == KindList:
		elements := make([]Document, len(v.Elements()))
		for i, e := range v.Elements() {
			elements[i] = masked(f.elem, e)
		}
		return List(elements...)
	case f.values != nil && v.Kind() == KindObject:
		members := make([]Member, len(v.Members()))
		for i, m := range v.Members() {
			members[i] = Member{m.Name, masked(f.values, m.Value)}
		}
		return Object(members...)
	}
	return v
}

func maskedRecord(rec *record, v Document) Document {
	if v.Kind() != KindObject {
		return v
	}
	members := slices.Clone(v.Members())
	for i, m := range members {
		if f := rec.byName[m.Name]; f != nil {
			members[i].Value = masked(f, m.Value)
		}
	}
	return Object(members...)
}

// Secret reports that the values of a field are secrets.
func (s *Schema) Secret(field string) bool {
	f := s.record.byName[field]
	return f != nil && f.rules.GetEncrypted()
}

// Label is what people call an entity: its endpoint key, unless that is a
// secret, else its name; "" when it has neither.
func (s *Schema) Label(stored Document) string {
	for _, name := range []string{s.EndpointKey(), "name"} {
		if s.record.byName[name] == nil || s.Secret(name) {
			continue
		}
		if text := stored.Get(name).Text(); strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}
