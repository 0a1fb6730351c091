package admin

import (
	"errors"
	"slices"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// checkOverlaps judges the rules that need more than the entity itself: it must
// share an element of a set with what it refers to, as a plugin must share a
// protocol with its route to be able to run at all.
func (w *work) checkOverlaps(s *schema.Schema, doc schema.Document) error {
	for _, o := range s.Overlaps() {
		own, id := doc.Get(o.Field).Elements(), doc.Get(o.Reference, "id").Text()
		if doc.Get(o.Field).IsNull() || !isID(id) {
			continue
		}
		ok, err := w.overlaps(o, own, id)
		if err != nil || ok {
			return err
		}
		return violation(o.Text, o.Field)
	}
	return nil
}

// overlaps reports that the entity that id names shares one of the elements, or
// that one of its children does. Where there is nothing to compare with, nothing
// is wrong: of a reference that leads nowhere the store will speak.
func (w *work) overlaps(o schema.Overlap, own []schema.Document, id string) (bool, error) {
	if o.Children == nil {
		other, err := find(w.view, o.Target, id)
		if errors.Is(err, store.ErrNotFound) {
			return true, nil
		}
		return err == nil && shares(own, other.doc.Get(o.Field)), err
	}
	alone, shared := true, false
	parent := &relation{stored{schema: o.Target, id: id}, o.Through}
	err := walk(w.view, o.Children, parent, func(e store.Entity) (bool, error) {
		child, err := open(o.Children, e)
		if err != nil {
			return false, err
		}
		alone, shared = false, shares(own, child.doc.Get(o.Field))
		return !shared, nil
	})
	return alone || shared, err
}

func shares(own []schema.Document, set schema.Document) bool {
	return slices.ContainsFunc(set.Elements(), func(e schema.Document) bool {
		return slices.ContainsFunc(own, func(mine schema.Document) bool { return schema.Equal(mine, e) })
	})
}
