// Package history makes sense of the versions that a store keeps: in what two of
// them differ, and how one of them becomes the newest again. The store knows
// documents; what they mean is in the schemas.
package history

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// Difference is what became of one entity between two versions.
type Difference struct {
	Workspace, Kind, ID string

	// Name is what people call the entity; "" when it has no name, or none that
	// is no secret.
	Name string

	// Op says how the entity came from the first version to the second.
	Op store.Op

	// Changes are the fields, with their secrets masked. All that have a value
	// are listed of an entity that one of the versions does not have, and none
	// of a kind that has no schema.
	Changes []schema.Difference
}

// Counts are how many entities a restored version created, updated and deleted.
type Counts struct{ Created, Updated, Deleted int }

// Living are the entities of a version that have not expired at a time, with
// ExpiresAt, which the store leaves out of versions.
func Living(catalogue *schema.Catalogue, version iter.Seq2[store.Entity, error], at time.Time) iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		for e, err := range version {
			if s, ok := catalogue.Entity(e.Kind); err == nil && ok && s.TTL() {
				var doc schema.Document
				if doc, err = parse(e); err == nil {
					e.ExpiresAt = s.Index(doc).ExpiresAt
				}
			}
			if !e.ExpiresAt.IsZero() && !e.ExpiresAt.After(at) {
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func parse(e store.Entity) (schema.Document, error) {
	doc, err := schema.Parse(e.Document)
	if err != nil {
		return doc, fmt.Errorf("read %s %q: %w", e.Kind, e.ID, err)
	}
	return doc, nil
}

// Diff compares two versions and returns what differs, by kind and id. Both must
// be ordered like that. After an error it ends.
func Diff(catalogue *schema.Catalogue, from, to iter.Seq2[store.Entity, error]) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		before, stop := iter.Pull2(from)
		defer stop()
		after, stop := iter.Pull2(to)
		defer stop()
		a, aErr, aOK := before()
		b, bErr, bOK := after()
		for aOK || bOK {
			if err := cmp.Or(aErr, bErr); err != nil {
				yield(Difference{}, err)
				return
			}
			order := 1
			switch {
			case !bOK:
				order = -1
			case aOK:
				order = cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
			}
			var was, is *store.Entity
			if order <= 0 {
				e := a
				was = &e
				a, aErr, aOK = before()
			}
			if order >= 0 {
				e := b
				is = &e
				b, bErr, bOK = after()
			}
			d, differs, err := compare(catalogue, was, is)
			if err != nil {
				yield(Difference{}, err)
				return
			}
			if differs && !yield(d, nil) {
				return
			}
		}
	}
}

// compare compares what an entity was with what it is; one of them may be nil.
func compare(catalogue *schema.Catalogue, was, is *store.Entity) (d Difference, differs bool, err error) {
	newest := is
	switch {
	case is == nil:
		newest, d.Op = was, store.Deleted
	case was == nil:
		d.Op = store.Inserted
	default:
		d.Op = store.Updated
		if was.Workspace == is.Workspace && bytes.Equal(was.Document, is.Document) {
			return d, false, nil
		}
	}
	d.Workspace, d.Kind, d.ID = newest.Workspace, newest.Kind, newest.ID
	s, ok := catalogue.Entity(d.Kind)
	if !ok {
		return d, true, nil
	}
	var docs [2]schema.Document
	for i, e := range []*store.Entity{was, is} {
		if e == nil {
			continue
		}
		if docs[i], err = parse(*e); err != nil {
			return d, false, err
		}
		d.Name = s.Label(docs[i])
	}
	d.Changes = s.Compare(docs[0], docs[1])
	return d, d.Op != store.Updated || len(d.Changes) > 0 || was.Workspace != is.Workspace, nil
}

// Broken is an entity of an older version that cannot come back.
type Broken struct {
	Workspace, Kind, ID, Name string

	// Err says why: a *schema.ViolationError, or that there is no such kind.
	Err error
}

// BrokenError says that a version cannot be restored, since today's schemas and
// settings refuse some of its entities.
type BrokenError struct {
	Number   uint64
	Entities []Broken
}

// Error says how many there are, and what is wrong with the first.
func (e *BrokenError) Error() string {
	first := e.Entities[0]
	return fmt.Sprintf("version %d cannot be restored: %d of its entities are refused, the first one is %s %q: %s",
		e.Number, len(e.Entities), first.Kind, cmp.Or(first.Name, first.ID), first.Err)
}

type key struct{ kind, id string }

// Restore makes the state of a version the newest one, and writes only what
// differs. Entities whose ttl has passed at the given time stay gone. The error
// is a *store.VersionError when there is no such version, and a *BrokenError when
// some of it is not valid any more; nothing is to be committed then. The
// transaction must be a new one.
func Restore(tx store.Tx, catalogue *schema.Catalogue, number uint64, at time.Time) (Counts, error) {
	var counts Counts
	if err := tx.Hold(); err != nil {
		return counts, err
	}
	rest := map[key]store.Entity{}
	for e, err := range tx.All() {
		if err != nil {
			return counts, err
		}
		rest[key{e.Kind, e.ID}] = e
	}
	var wanted []store.Entity
	broken := &BrokenError{Number: number}
	for e, err := range Living(catalogue, tx.At(number), at) {
		if err != nil {
			return counts, err
		}
		k := key{e.Kind, e.ID}
		old, present := rest[k]
		stays := present && old.Workspace == e.Workspace
		if stays && bytes.Equal(old.Document, e.Document) {
			delete(rest, k)
			continue
		}
		back, name, err := revive(catalogue, e)
		if err != nil {
			broken.Entities = append(broken.Entities, Broken{e.Workspace, e.Kind, e.ID, name, err})
			continue
		}
		switch {
		case !present:
			counts.Created++
		case stays:
			delete(rest, k)
			counts.Updated++
		default:
			// It goes from one workspace to another: what is there has to make room.
			counts.Updated++
			counts.Deleted--
		}
		wanted = append(wanted, back)
	}
	if len(broken.Entities) > 0 {
		return counts, broken
	}
	for _, k := range slices.SortedFunc(maps.Keys(rest), func(a, b key) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.id, b.id))
	}) {
		if err := tx.Remove(k.kind, k.id); err != nil {
			return counts, err
		}
		counts.Deleted++
	}
	for _, e := range wanted {
		if err := tx.Put(e); err != nil {
			return counts, err
		}
	}
	return counts, nil
}

// revive is an entity of an older version as it is written today. It keeps its
// bytes where that makes no difference.
func revive(catalogue *schema.Catalogue, e store.Entity) (back store.Entity, name string, err error) {
	s, ok := catalogue.Entity(e.Kind)
	if !ok {
		return back, "", fmt.Errorf("there is no kind %q", e.Kind)
	}
	doc, err := parse(e)
	if err != nil {
		return back, "", err
	}
	name = s.Label(doc)
	today := s.Renewed(doc)
	if err := s.Validate(today, schema.Upsert); err != nil {
		return back, name, err
	}
	back = store.EntityOf(s, e.Workspace, today)
	if schema.Equal(doc, today) {
		back.Document = e.Document
	}
	return back, name, nil
}
