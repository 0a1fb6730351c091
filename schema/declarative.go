package schema

import (
	"slices"
	"strings"
	"time"
)

// NamePart is a field whose value is part of the name from which a declarative
// file derives the id of an entity that has none.
type NamePart struct {
	Field string
	// Generated values are new each time, and so is the id then.
	Generated bool
	Required  bool
	// Silent parts add nothing to the name when they are not given.
	Silent bool
}

// NameParts are the fields that make the name of an entity; none when its name
// is the endpoint key alone, or when it has no name.
func (s *Schema) NameParts() []NamePart {
	var parts []NamePart
	for _, name := range s.entity.GetNameParts() {
		name, silent := strings.CutSuffix(name, "?")
		f := s.record.byName[name]
		if f == nil {
			continue // a scope that this build has no entity for
		}
		parts = append(parts, NamePart{name, f.rules.GetAuto(), f.required(), silent})
	}
	return parts
}

// Generated reports that a field gets a random value when none is given.
func (s *Schema) Generated(name string) bool {
	f := s.record.byName[name]
	return f != nil && f.rules.GetAuto() && !f.rules.GetTimestamp()
}

// Internal reports that the entity is none that is stored.
func (s *Schema) Internal() bool { return s.entity.GetInternal() }

// Restore is Complete for an entity out of a declarative file, which keeps the
// time of the last change that the file gives.
func (s *Schema) Restore(in Document, at time.Time) Document {
	rec, _ := s.shape(in)
	f := filler{at: at, generate: true, keep: true}
	return s.expiry(f.record(rec, in), in.Get("ttl"), at)
}

// Settle compares an entity with the stored one that it is to replace. Given is
// what the file says of it: times that the file leaves out are no difference,
// and the time of creation stays what it is. It returns what to store, and
// whether that is anything new.
func (s *Schema) Settle(doc, given, stored Document) (settled Document, differs bool) {
	same := doc
	for _, f := range s.record.fields {
		if !f.rules.GetTimestamp() || !f.rules.GetAuto() || !given.Get(f.name).unset() {
			continue
		}
		old := stored.Get(f.name)
		if old.unset() {
			continue
		}
		same = same.With(old, f.name)
		if !f.rules.GetAutoUpdate() {
			doc = doc.With(old, f.name)
		}
	}
	if Equal(same, stored) {
		return stored, false
	}
	return doc, true
}

// Portable is a stored entity as a declarative file says it: what the file
// leaves out comes back as it was, so that only a null in the place of a
// default or a generated value is written. A ttl is the seconds left.
func (s *Schema) Portable(stored Document, at time.Time) Document {
	rec, _ := s.shape(stored)
	out := portableRecord(rec, renderer{}.record(rec, stored))
	if end, ok := stored.Get("expires_at").Int(); ok && end > 0 && s.TTL() {
		// 0 would mean that it never ends.
		out = out.With(Int(max(1, end-at.Unix())), "ttl")
	}
	return out
}

func portableRecord(rec *record, doc Document) Document {
	if rec == nil || doc.Kind() != KindObject {
		return doc
	}
	fill := filler{generate: true}
	out := make([]Member, 0, len(doc.Members()))
	cursor := cursor{members: doc.Members()}
	for _, f := range rec.fields {
		v := cursor.get(f.name)
		if v.IsAbsent() || v.IsNull() && fill.missing(f).IsNull() {
			continue
		}
		out = append(out, Member{f.name, portableValue(f, v)})
	}
	return Object(out...)
}

func portableValue(f *field, v Document) Document {
	switch {
	case f.record != nil:
		return portableRecord(f.record, v)
	case f.elem != nil && f.elem.hasRecords() && v.Kind() == KindList:
		elements := make([]Document, len(v.Elements()))
		for i, e := range v.Elements() {
			elements[i] = portableValue(f.elem, e)
		}
		return List(elements...)
	case f.values != nil && f.values.hasRecords() && v.Kind() == KindObject:
		members := make([]Member, len(v.Members()))
		for i, m := range v.Members() {
			members[i] = Member{m.Name, portableValue(f.values, m.Value)}
		}
		return Object(members...)
	}
	return v
}

// MarkRegexes puts the mark of a regular expression before those paths of a
// body that cannot be meant literally: files in the formats before 3.0 have no
// mark.
func (s *Schema) MarkRegexes(in Document) Document {
	for _, f := range s.record.fields {
		if f.elem == nil || f.elem.rules.GetFormat() != "router_path" {
			continue
		}
		list := in.Get(f.name)
		if list.Kind() != KindList {
			continue
		}
		elements := slices.Clone(list.Elements())
		for i, e := range elements {
			if e.Kind() == KindString && !strings.HasPrefix(e.Text(), "~") && !isPlainPath(e.Text()) {
				elements[i] = String("~" + e.Text())
			}
		}
		in = in.With(List(elements...), f.name)
	}
	return in
}

// isPlainPath reports that a path has no character that a regular expression
// needs, the dot aside, which stands in many literal ones.
func isPlainPath(path string) bool {
	for i := range len(path) {
		c := path[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("._~/%-", rune(c)) {
			return false
		}
	}
	return true
}
