package schema

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Complete makes of a body the entity that an insert or an upsert stores: it
// has every field, in the schema's order; missing ones got their default, a
// generated value or null; sets have no duplicates; a ttl became the hidden
// time of expiry, counted from at. A required field that is missing and has no
// default stays absent, and what the schema does not know stays as it is, for
// Validate to find. The body must have gone through Expand.
func (s *Schema) Complete(in Document, at time.Time) Document {
	rec, _ := s.shape(in)
	f := filler{at: at, generate: true}
	return s.expiry(f.record(rec, in), in.Get("ttl"), at)
}

// Merge makes of a stored entity and a PATCH's body the entity to store:
// records are merged field by field at every depth, everything else that the
// patch has replaces what there was, and null clears. The id stays; updated_at
// becomes at. The patch must have gone through Expand.
func (s *Schema) Merge(current, patch Document, at time.Time) Document {
	current = s.Renewed(current)
	key := s.entity.GetSubschemaKey()
	chosen := current
	if k := patch.Get(key); key != "" && !k.IsAbsent() {
		chosen = chosen.With(k, key)
	}
	rec, _ := s.shape(chosen)
	merged := mergeRecord(rec, current, patch)
	// The URL says which entity it is. An id in the body must be one, though.
	if id := patch.Get("id"); id.unset() || isUUID(id.Text()) {
		merged = merged.With(current.Get("id"), "id")
	}
	f := filler{at: at}
	ttl := patch.Get("ttl")
	out := f.record(rec, merged)
	if s.TTL() && !ttl.IsAbsent() {
		out = out.Without("expires_at")
	}
	return s.expiry(out, ttl, at)
}

// Stored is the entity without its transient fields, which are judged with the
// others but not kept.
func (s *Schema) Stored(doc Document) Document {
	for _, f := range s.record.fields {
		if f.rules.GetTransient() {
			doc = doc.Without(f.name)
		}
	}
	return doc
}

// expiry turns a ttl into the hidden time of expiry, in seconds since the
// epoch. A ttl of 0 or null means that the entity never ends.
func (s *Schema) expiry(doc, ttl Document, at time.Time) Document {
	if !s.TTL() {
		return doc
	}
	doc = doc.Without("ttl")
	if seconds, ok := ttl.Int(); ok && seconds > 0 {
		return doc.With(Int(at.Unix()+seconds), "expires_at")
	}
	return doc
}

func mergeRecord(rec *record, current, patch Document) Document {
	out := slices.Clone(current.Members())
	for _, m := range patch.Members() {
		i := current.index(m.Name)
		if i < 0 {
			out = append(out, m)
			continue
		}
		var inner *record
		deep := false
		if rec != nil && rec.byName[m.Name] != nil {
			f := rec.byName[m.Name]
			inner, deep = f.record, f.typ == typeRecord || f.typ == typeConfig
		}
		if deep && m.Value.Kind() == KindObject && out[i].Value.Kind() == KindObject {
			out[i].Value = mergeRecord(inner, out[i].Value, m.Value)
		} else {
			out[i].Value = m.Value
		}
	}
	return Object(out...)
}

// filler fills in what a body leaves out.
type filler struct {
	at       time.Time
	generate bool // ids, keys and times of creation; else only updated_at
	keep     bool // an updated_at that is given
}

func (fl *filler) record(rec *record, in Document) Document {
	given := in.Members()
	out := make([]Member, 0, max(len(given), len(rec.fields)))
	cursor := cursor{members: given}
	for _, f := range rec.fields {
		if v := fl.field(f, cursor.get(f.name)); !v.IsAbsent() {
			out = append(out, Member{f.name, v})
		}
	}
	for _, m := range given {
		if rec.byName[m.Name] == nil {
			out = append(out, m)
		}
	}
	return Object(out...)
}

func (fl *filler) field(f *field, v Document) Document {
	if f.rules.GetAutoUpdate() && (!fl.keep || v.unset()) {
		return fl.now(f)
	}
	switch v.Kind() {
	case Absent:
		return fl.missing(f)
	case KindNull:
		// Kong takes a null time of creation for a missing one. A null id can
		// mean nothing else either.
		if fl.generate && f.rules.GetAuto() && (f.rules.GetTimestamp() || f.rules.GetUuid()) {
			return fl.missing(f)
		}
		return v
	}
	return fl.value(f, v)
}

func (fl *filler) missing(f *field) Document {
	r := f.rules
	if fl.generate && r.GetAuto() {
		switch {
		case r.GetTimestamp():
			return fl.now(f)
		case r.GetUuid():
			return String(uuid.NewString())
		case f.typ == typeString:
			return String(randomText())
		}
	}
	if !f.def.IsAbsent() {
		return fl.value(f, f.def)
	}
	if !r.GetRequired() {
		return Null()
	}
	if f.record != nil || f.typ == typeConfig {
		return fl.value(f, Object())
	}
	return Document{}
}

// now is the time in whole seconds, or in seconds and milliseconds for a
// number.
func (fl *filler) now(f *field) Document {
	if f.typ == typeNumber {
		return Float(float64(fl.at.UnixMilli()) / 1000)
	}
	return Int(fl.at.Unix())
}

// value brings a value that is there into the form that is stored, and fills
// in the records inside it. A value of a wrong type is left alone.
func (fl *filler) value(f *field, v Document) Document {
	switch {
	case f.record != nil && v.Kind() == KindObject:
		return fl.record(f.record, v)
	case (f.typ == typeInteger || f.typ == typeNumber) && v.Kind() == KindNumber:
		return canonicalNumber(v)
	case f.typ == typeString && f.rules.GetUuid() && isUUID(v.Text()):
		return String(strings.ToLower(v.Text()))
	case f.typ == typeForeign:
		// A reference needs the id only; the rest is dropped.
		if id := v.Get("id"); isUUID(id.Text()) {
			return Object(Member{"id", String(strings.ToLower(id.Text()))})
		}
	case f.elem != nil && v.Kind() == KindList:
		return fl.list(f, v)
	case f.values != nil && v.Kind() == KindObject:
		members := make([]Member, 0, len(v.Members()))
		for _, m := range v.Members() {
			members = append(members, Member{m.Name, fl.inner(f.values, m.Value)})
		}
		// A map has no order; sorted, equal maps are equal bytes.
		slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
		return Object(members...)
	}
	return v
}

// inner is value for what stands in an array or map: null there stays null.
func (fl *filler) inner(f *field, v Document) Document {
	if v.unset() {
		return v
	}
	return fl.value(f, v)
}

func (fl *filler) list(f *field, v Document) Document {
	elements := make([]Document, 0, len(v.Elements()))
	seen := map[string]bool{}
	for _, e := range v.Elements() {
		e = fl.inner(f.elem, e)
		if f.typ == typeSet {
			key := e.String()
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		elements = append(elements, e)
	}
	return List(elements...)
}

// cursor finds members by name. Documents mostly have their members in the
// schema's order, so that the next one asked for is the next one there.
type cursor struct {
	members []Member
	next    int
}

func (c *cursor) get(name string) Document {
	if c.next < len(c.members) && c.members[c.next].Name == name {
		c.next++
		return c.members[c.next-1].Value
	}
	for i, m := range c.members {
		if m.Name == name {
			c.next = i + 1
			return m.Value
		}
	}
	return Document{}
}
