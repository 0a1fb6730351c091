package sqlstore

import (
	"errors"
	"slices"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// statement is one statement that is sent together with others.
type statement struct {
	sql  string
	args []any

	// taken is what a duplicate means here; nil where none can happen.
	taken *takenError

	// missing is what an empty result means; nil for statements without one.
	missing *store.ReferenceError

	// found receives the entity that a query for columns finds; nil for all
	// other statements.
	found **store.Entity

	// version receives the result of takeVersion; nil for all others.
	version *store.Version

	// form is what the statement is one row of; nil for those that are not to be
	// gathered.
	form *form

	// gathered tells that the statement stands for many, so that nobody knows
	// which of them a duplicate is about.
	gathered bool
}

// takenError is a UniqueError that is not settled yet: the holder may have
// expired.
type takenError struct {
	store.UniqueError

	// workspace is where the value has to be unique; "" is everywhere.
	workspace string

	// id is the id of the entity that was to have the value.
	id string

	// put tells that a duplicate id is a collision: Put saw no such entity.
	put bool
}

// holds tells whether the transaction itself wrote the value to another entity.
func (t *tx) holds(taken *takenError) bool {
	for k, r := range t.rows {
		if k.kind != taken.Kind || k.id == taken.id || r.gone {
			continue
		}
		for _, u := range r.entity.Uniques {
			if u.Field == taken.Field && u.Value == taken.Value && realm(&r.entity, u) == taken.workspace {
				return true
			}
		}
	}
	return false
}

// realm is the workspace in which an entity's value has to be unique; "" is
// everywhere.
func realm(e *store.Entity, u store.Unique) string {
	if u.Everywhere {
		return ""
	}
	return e.Workspace
}

// rules are the names of the delete rules in the table reference.
var rules = [...]string{store.Restrict: "restrict", store.Cascade: "cascade", store.SetNull: "set_null"}

// flush sends what was written so far, so that a read sees it.
func (t *tx) flush() error {
	if err := t.begin(); err != nil {
		return err
	}
	if len(t.queue) == 0 && len(t.order) == 0 {
		return nil
	}
	if err := t.lockUnknown(); err != nil {
		return err
	}
	return t.ses.store.d.send(t.ses, t.gather(t.pending()))
}

// gather makes few statements of many, where that can be done. When the
// transaction runs again it is not: it may run again to learn which statement met
// a duplicate.
func (t *tx) gather(statements []statement) []statement {
	if t.locking || !t.ses.store.d.gathers {
		return statements
	}
	return gather(statements)
}

// finish sends what is left, takes the version and commits.
func (t *tx) finish() (store.Version, error) {
	if err := t.lockUnknown(); err != nil {
		return store.Version{}, err
	}
	parents, err := t.parents()
	if err != nil {
		return store.Version{}, err
	}
	return t.ses.store.d.finish(t.ses, append(t.gather(t.pending()), parents...), t.changes)
}

// pending returns the statements that make the database what rows says it
// shall be, and marks them as sent.
//
// All old keys go before any new one comes, so that entities can swap values;
// all entities come before the references to them.
func (t *tx) pending() []statement {
	out := t.queue
	var dirty []*row
	for _, k := range t.order {
		// An entity that was deleted after it had been written has a new row.
		if r := t.rows[k]; r.dirty {
			dirty = append(dirty, r)
		}
	}
	var old [3][]statement
	for _, r := range dirty {
		switch {
		case !r.stored:
			continue
		case r.gone:
			out = append(out, r.removal())
			continue
		}
		for i, f := range []*form{deleteUniques, deleteReferences, deleteTags} {
			old[i] = append(old[i], f.of(r.entity.Kind, r.entity.ID))
		}
	}
	out = slices.Concat(append([][]statement{out}, old[:]...)...)
	var inserts, updates []statement
	var keys keys
	for _, r := range dirty {
		switch {
		case r.gone:
		case r.stored:
			updates = append(updates, r.statement())
		default:
			inserts = append(inserts, r.statement())
		}
		if !r.gone {
			keys.add(&r.entity)
		}
		r.stored, r.dirty = !r.gone, false
	}
	t.queue, t.order = nil, nil
	return slices.Concat(out, inserts, updates, keys.uniques, keys.references, keys.tags)
}

// removal deletes the row of the table entity, and its keys with it.
func (r *row) removal() statement { return deleteEntity.of(r.entity.Kind, r.entity.ID) }

// statement writes the row of the table entity.
func (r *row) statement() statement {
	e := &r.entity
	var expires any
	if !e.ExpiresAt.IsZero() {
		expires = e.ExpiresAt.UnixMicro()
	}
	args := []any{e.Kind, e.ID, e.Workspace, string(e.Document), expires}
	if r.stored {
		return updateEntity.of(args...)
	}
	s := insertEntity.of(args...)
	s.taken = &takenError{
		UniqueError: store.UniqueError{Kind: e.Kind, Field: idField, Value: e.ID},
		workspace:   e.Workspace, id: e.ID, put: r.put,
	}
	return s
}

// keys are the statements that write what entities are found by.
type keys struct{ uniques, references, tags []statement }

func (k *keys) add(e *store.Entity) {
	for _, u := range e.Uniques {
		s := insertUnique.of(realm(e, u), e.Kind, u.Field, u.Value, e.ID)
		s.taken = &takenError{
			UniqueError: store.UniqueError{Kind: e.Kind, Field: u.Field, Value: u.Value},
			workspace:   realm(e, u), id: e.ID,
		}
		k.uniques = append(k.uniques, s)
	}
	for _, r := range e.References {
		k.references = append(k.references, insertReference.of(e.Kind, e.ID, r.Field, r.Kind, r.ID, rules[r.OnDelete]))
	}
	for _, tag := range e.Tags {
		k.tags = append(k.tags, insertTag.of(e.Workspace, tag, e.Kind, e.ID))
	}
}

// parents returns statements that lock the parents of what was written and
// tell which of them is missing; the foreign keys would not say. They would
// not mind a parent of another workspace either.
func (t *tx) parents() ([]statement, error) {
	type wanted struct {
		key
		workspace string
	}
	var out []statement
	locked := map[wanted]bool{}
	for _, c := range t.changes {
		r := t.rows[key{c.Kind, c.ID}]
		if r == nil || r.gone {
			continue
		}
		for _, ref := range r.entity.References {
			k := wanted{key{ref.Kind, ref.ID}, r.entity.Workspace}
			if locked[k] {
				continue
			}
			locked[k] = true
			missing := &store.ReferenceError{Kind: c.Kind, Field: ref.Field, ReferencedKind: ref.Kind, ID: ref.ID}
			if parent, ok := t.rows[k.key]; ok && !parent.gone { // This transaction holds it.
				if w := parent.entity.Workspace; w != "" && w != k.workspace {
					return nil, missing
				}
				continue
			}
			out = append(out, statement{
				sql:     t.ses.store.d.lockParent,
				args:    []any{ref.Kind, ref.ID, k.workspace},
				missing: missing,
			})
		}
	}
	return out, nil
}

// missingParent picks the error to report when a transaction that lacks a
// parent was refused: the first that was noted, or else what the database said.
func missingParent(noted []*store.ReferenceError, err error) error {
	collided := new(collisionError)
	if len(noted) > 0 && (err == nil || errors.As(err, &collided)) {
		return noted[0]
	}
	return err
}
