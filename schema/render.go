package schema

import (
	"time"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

// Render is a stored entity as clients see it at that time: every field of the
// schema in its order, null when unset; nothing that the schema does not have;
// no hidden fields. A ttl is shown as the seconds left. Deprecated names that
// are translated backwards stand beside the new ones.
func (s *Schema) Render(doc Document, at time.Time) Document {
	rec, _ := s.shape(doc)
	out := renderer{old: true}.record(rec, doc)
	if !s.TTL() {
		return out
	}
	left := Null()
	if end, ok := doc.Get("expires_at").Int(); ok && end > 0 {
		left = Int(max(0, end-at.Unix()))
	}
	return Object(append(out.Members(), Member{"ttl", left})...)
}

// Renewed is a stored entity in the shape that the schema has now, hidden
// fields included: what another release knew is dropped, which would be an
// unknown field of every PATCH, and what it did not know is filled in.
func (s *Schema) Renewed(stored Document) Document {
	rec, _ := s.shape(stored)
	out := renderer{}.record(rec, stored)
	for _, f := range s.record.hidden {
		if v := stored.Get(f.name); !v.IsAbsent() {
			out = out.With(v, f.name)
		}
	}
	return out
}

// renderer brings stored documents into the shape that the schema has now.
type renderer struct {
	old bool // show deprecated names
}

func (r renderer) record(rec *record, doc Document) Document {
	if rec == nil || doc.Kind() != KindObject {
		return doc
	}
	out := make([]Member, 0, len(rec.fields)+1)
	cursor := cursor{members: doc.Members()}
	for _, f := range rec.fields {
		v := cursor.get(f.name)
		if f.rules.GetTransient() && v.IsAbsent() {
			continue
		}
		out = append(out, Member{f.name, r.field(f, v)})
	}
	if r.old {
		for _, sh := range rec.shorthands {
			if !sh.rules.GetTranslateBackwards() || rec.byName[sh.field.name] != nil {
				continue
			}
			v := Object(out...).Get(sh.paths[0]...)
			if v.IsAbsent() {
				v = Null()
			}
			out = append(out, Member{sh.field.name, v})
		}
	}
	return Object(out...)
}

func (r renderer) field(f *field, v Document) Document {
	if v.unset() {
		if !f.required() {
			return Null()
		}
		// A required field without a value was stored before the schema had
		// it; Kong shows the default then.
		filled := (&filler{}).missing(f)
		if filled.IsAbsent() {
			return Null()
		}
		v = filled
	}
	return r.value(f, v)
}

func (r renderer) value(f *field, v Document) Document {
	switch {
	case v.unset():
		return Null()
	case f.record != nil:
		return r.record(f.record, v)
	case (f.typ == typeInteger || f.typ == typeNumber) && v.Kind() == KindNumber:
		return canonicalNumber(v)
	case f.elem != nil && f.elem.nests() && v.Kind() == KindList:
		elements := make([]Document, len(v.Elements()))
		for i, e := range v.Elements() {
			elements[i] = r.value(f.elem, e)
		}
		return List(elements...)
	case f.values != nil && f.values.nests() && v.Kind() == KindObject:
		members := make([]Member, len(v.Members()))
		for i, m := range v.Members() {
			members[i] = Member{m.Name, r.value(f.values, m.Value)}
		}
		return Object(members...)
	}
	return v
}

// nests reports that values of the field may need rendering; texts never do.
func (f *field) nests() bool {
	return f.typ != typeString && f.typ != typeBoolean && f.typ != typeJSON && f.typ != typeForeign
}

// Index is what a store keeps beside an entity to find it again.
type Index struct {
	Uniques    []Unique
	References []Reference
	Tags       []string
	ExpiresAt  time.Time // zero: never
}

// Unique is a value that no other entity of the kind may have.
type Unique struct {
	// Field is the field's name; for a composite key the names with commas.
	Field string
	// Key is what Kong shows when the value is taken: {"name":"x"}.
	Key Document
	// Text is the value in one text, the same for equal values.
	Text string
	// Everywhere says that no entity of another workspace may have it either.
	Everywhere bool
}

// Reference is one entity that an entity refers to.
type Reference struct {
	Field, Kind, ID string
	OnDelete        schemapb.OnDelete
}

// Index lists what is to be kept beside a stored entity.
func (s *Schema) Index(doc Document) Index {
	var x Index
	for _, name := range s.Unique() {
		if v := doc.Get(name); !v.unset() {
			x.Uniques = append(x.Uniques, Unique{name, Object(Member{name, v}), UniqueText(v), s.Everywhere(name)})
		}
	}
	for _, names := range s.entity.GetUniqueTogether() {
		x.Uniques = append(x.Uniques, composite(names.GetValues(), doc))
	}
	for _, f := range s.foreign {
		if id := doc.Get(f.Field, "id").Text(); id != "" {
			x.References = append(x.References, Reference{f.Field, f.Kind, id, f.OnDelete})
		}
	}
	for _, t := range doc.Get("tags").Elements() {
		x.Tags = append(x.Tags, t.Text())
	}
	if end, ok := doc.Get("expires_at").Int(); ok && end > 0 && s.TTL() {
		x.ExpiresAt = time.Unix(end, 0).UTC()
	}
	return x
}

// UniqueText is how a unique value is written in Unique.Text: a text stands
// for itself, so that a text from a URL can be looked up.
func UniqueText(v Document) string { return show(v) }

func composite(names []string, doc Document) Unique {
	u := Unique{}
	members := make([]Member, len(names))
	for i, name := range names {
		v := doc.Get(name)
		if v.IsAbsent() {
			v = Null()
		}
		members[i] = Member{name, v}
		if i > 0 {
			u.Field += ","
		}
		u.Field += name
	}
	u.Key = Object(members...)
	u.Text = LuaLiteral(u.Key)
	return u
}

// Lookup is a reference by a unique field instead of the id.
type Lookup struct {
	Field  string   // the foreign field of the entity
	Kind   string   // of the entity that is meant
	Unique string   // the unique field of that entity
	Value  Document // its value
}

// Lookups are the references of an entity that have no id but a unique field
// of the entity they mean, for the caller to resolve: put {"id": …} in place
// of each with With. Objects that break rules of the schema they refer to are
// left out; Validate has the texts.
func (s *Schema) Lookups(doc Document) []Lookup {
	var out []Lookup
	for _, f := range s.foreign {
		v := doc.Get(f.Field)
		if v.Kind() != KindObject || !v.Get("id").unset() {
			continue
		}
		target := s.catalogue.byKind[f.Kind]
		for _, name := range target.Unique() {
			value := v.Get(name)
			if value.unset() {
				continue
			}
			// Kong judges all that is there first, except that it does not ask
			// for a subschema key when a unique field says which one is meant.
			j := judge{partial: true}
			fail := j.fields(target.record, v)
			if broken := fail.document(); broken.IsAbsent() {
				out = append(out, Lookup{f.Field, f.Kind, name, value})
			}
			break
		}
	}
	return out
}
