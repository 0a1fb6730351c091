package admin

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// liveTime is how long an answer waits for a write to reach the data planes.
const liveTime = 500 * time.Millisecond

// work is one transaction that writes, from reading what there was to handing
// the new state to the store.
type work struct {
	view   // what the transaction has come to, as its workspace sees it
	server *Server
	tx     store.Tx
	now    time.Time

	// skipHash says that a body has the hash of a secret in the place of the
	// secret.
	skipHash bool

	// uniques are those of what was written: the store says which one is taken,
	// and only we know how Kong shows it.
	uniques map[takenKey]schema.Document
}

type takenKey struct{ kind, field, value string }

// update runs a transaction of the call's workspace and waits until its version
// is live.
func (s *Server) update(ctx context.Context, f func(*work) error) error {
	uniques := map[takenKey]schema.Document{}
	_, err := s.commit(ctx, func(tx store.Tx) error {
		w := &work{view: view{tx, workspaceIn(ctx), s.cfg.Catalogue}, server: s, tx: tx, now: time.Now(), uniques: uniques}
		if err := w.hold(); err != nil {
			return err
		}
		return f(w)
	})
	var taken *store.UniqueError
	if errors.As(err, &taken) {
		if fields, ok := uniques[takenKey{taken.Kind, taken.Field, taken.Value}]; ok {
			return errTaken(fields)
		}
	}
	return err
}

// commit runs a transaction of the caller's, waits until its version is live, and
// returns that.
func (s *Server) commit(ctx context.Context, f func(store.Tx) error) (store.Version, error) {
	run := f
	if s.cfg.Declarative != nil {
		refused, _ := ctx.Value(refusalKey{}).(refusal)
		run = func(tx store.Tx) error { return f(&frozen{tx, refused}) }
	}
	version, err := s.cfg.Store.Update(ctx, actorOf(ctx), run)
	if err == nil {
		s.live(ctx, version)
	}
	return version, err
}

// live waits until a version that is on disk is live. Whether it is so in time or
// not, the change is done.
func (s *Server) live(ctx context.Context, version store.Version) {
	if s.cfg.Live == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, liveTime)
	defer cancel()
	s.cfg.Live(ctx, version)
}

// insert adds an entity.
func (w *work) insert(s *schema.Schema, body schema.Document) (stored, error) {
	writeAside, err := w.aside(s, "", body, schema.Insert)
	if err != nil {
		return stored{}, err
	}
	doc, err := w.complete(s, body, schema.Insert)
	if err != nil {
		return stored{}, err
	}
	e, err := w.entity(s, doc)
	if err != nil {
		return stored{}, err
	}
	if err := w.tx.Insert(e); err != nil {
		return stored{}, err
	}
	return stored{s, e.ID, doc}, writeAside(e.ID)
}

// aside judges what a body says that is kept in other entities, before all else
// in it, and returns what writes those once their entity is written. Id is that
// of the entity, or "" for a new one.
func (w *work) aside(s *schema.Schema, id string, body schema.Document, op schema.Op) (write func(id string) error, err error) {
	if aside := hooksOf(s).aside; aside != nil {
		return aside(w, id, body, op)
	}
	return func(string) error { return nil }, nil
}

// given is the body for which a valid entity is transformed.
func (w *work) given(s *schema.Schema, body schema.Document) schema.Document {
	if w.skipHash && hooksOf(s).hashed {
		return schema.Object()
	}
	return body
}

// complete makes of a body what an insert or upsert stores.
func (w *work) complete(s *schema.Schema, body schema.Document, op schema.Op) (schema.Document, error) {
	w.warn(s, body, schema.Document{})
	body, err := s.Expand(body, schema.Document{})
	if err != nil {
		return body, err
	}
	doc, err := resolve(w.view, w.server.paths, s, s.Complete(body, w.now))
	if err != nil {
		return doc, err
	}
	if err := w.checkOverlaps(s, doc); err != nil {
		return doc, err
	}
	if err := s.Validate(doc, op); err != nil {
		return doc, err
	}
	if doc, err = s.Transform(doc, w.given(s, body)); err != nil {
		return doc, err
	}
	return s.Stored(doc), nil
}

// warn logs that a body sets fields which a later release will not have.
func (w *work) warn(s *schema.Schema, body, current schema.Document) {
	for _, text := range s.Deprecated(body, current) {
		w.server.cfg.Log.Warn("deprecated field", "kind", s.Kind(), "warning", text)
	}
}

// put replaces the entity that ref names, or adds it. The body refers to the
// parent already, which may be nil.
func (w *work) put(s *schema.Schema, parent *relation, ref string, body schema.Document) (stored, error) {
	if k := hooksOf(s); k.alias != nil && !isID(ref) {
		id, err := k.alias(w.view, ref)
		switch {
		case errors.Is(err, store.ErrNotFound):
			id = uuid.NewString()
		case err != nil:
			return stored{}, err
		}
		ref, body = id, k.withAlias(body, ref)
	}
	var (
		field string
		by    schema.Document
		old   stored
		err   error
	)
	if parent.names(s, ref) {
		field, by = s.NestedKey(), key(s.NestedKey(), schema.String(ref))
		old, err = findNamed(w.view, s, parent, ref)
	} else if field, by, err = keyOf(s, ref); err == nil {
		old, err = find(w.view, s, ref)
	}
	exists := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return stored{}, err
	}
	body = body.With(by.Get(field), field).With(withID(body, field, by, old), "id")
	id := old.id
	if field == "id" {
		id = by.Get("id").Text()
	}
	writeAside, err := w.aside(s, id, body, schema.Upsert)
	if err != nil {
		return stored{}, err
	}
	doc, err := w.complete(s, body, schema.Upsert)
	if err != nil {
		return stored{}, err
	}
	e, err := w.entity(s, doc)
	if err != nil {
		return stored{}, err
	}
	out := stored{s, e.ID, doc}
	if exists {
		if err := s.ValidateReplace(old.doc, doc); err != nil {
			return stored{}, err
		}
	}
	if !exists && field != "id" {
		// The body may name the id of another entity, which is not to be
		// replaced under a new name.
		err = w.tx.Insert(e)
	} else {
		err = w.tx.Put(e)
	}
	if err != nil {
		return stored{}, err
	}
	return out, writeAside(e.ID)
}

// withID is the id of what a PUT leaves: the URL's, or that of the entity found
// by its key. Else it is the body's. An id in the body that is none is kept, so
// that it is refused.
func withID(body schema.Document, field string, by schema.Document, old stored) schema.Document {
	given := body.Get("id")
	if !given.IsAbsent() && !given.IsNull() && !isID(given.Text()) {
		return given
	}
	switch {
	case field == "id":
		return by.Get("id")
	case old.id != "":
		return schema.String(old.id)
	}
	return given
}

// patch changes the members of an entity that the body has.
func (w *work) patch(s *schema.Schema, parent *relation, ref string, read input) (stored, error) {
	found, err := findIn(w.view, s, parent, ref)
	if err == nil {
		found, err = w.lock(found)
	}
	if errors.Is(err, store.ErrNotFound) {
		return stored{}, w.absent(s, parent, read, err)
	}
	if err != nil {
		return stored{}, err
	}
	body, err := read(s, found.doc)
	if err != nil {
		return stored{}, err
	}
	return w.change(found, body)
}

// lock reads an entity again in a way that keeps it from changing before it is
// written: two PATCHes of different members must both survive.
func (w *work) lock(found stored) (stored, error) {
	e, err := w.tx.Lock(found.schema.Kind(), found.id)
	if errors.Is(err, store.ErrNotFound) {
		return stored{}, &missingError{key("id", schema.String(found.id))}
	}
	if err != nil {
		return stored{}, err
	}
	return open(found.schema, e)
}

// absent is the answer to a PATCH of what is not there. Kong looks at the body's
// shorthands first, and has a code only where it did not need the entity to
// read the body.
func (w *work) absent(s *schema.Schema, parent *relation, read input, err error) error {
	body, bodyErr := read(s, schema.Document{})
	if bodyErr != nil {
		return bodyErr
	}
	if _, bodyErr = w.aside(s, "", body, schema.Update); bodyErr != nil {
		return bodyErr
	}
	if parent != nil || hooksOf(s).decidedFirst && s.Undecided(body) {
		return errNotFound()
	}
	if _, bodyErr = s.Expand(body, schema.Document{}); bodyErr != nil {
		return bodyErr
	}
	var missing *missingError
	if errors.As(err, &missing) {
		return errMissing(missing.by)
	}
	return err
}

// change merges a body into a locked entity.
func (w *work) change(old stored, body schema.Document) (stored, error) {
	s := old.schema
	w.warn(s, body, old.doc)
	writeAside, err := w.aside(s, old.id, body, schema.Update)
	if err != nil {
		return stored{}, err
	}
	body, err = s.Expand(body, old.doc)
	if err != nil {
		return stored{}, err
	}
	doc, err := resolve(w.view, w.server.paths, s, s.Merge(old.doc, body, w.now))
	if err != nil {
		return stored{}, err
	}
	if err := w.checkOverlaps(s, doc); err != nil {
		return stored{}, err
	}
	if err := s.ValidateUpdate(old.doc, doc); err != nil {
		return stored{}, err
	}
	if doc, err = s.Transform(doc, w.given(s, body)); err != nil {
		return stored{}, err
	}
	doc = s.Stored(doc)
	e, err := w.entity(s, doc)
	if err != nil {
		return stored{}, err
	}
	if err := w.tx.Put(e); err != nil {
		return stored{}, err
	}
	return stored{s, e.ID, doc}, writeAside(e.ID)
}

// putField replaces the entity that a field of the parent names. When the field
// is null it adds one, and makes the parent refer to it.
func (w *work) putField(t target, read input) (stored, error) {
	owner, err := t.owner(w.view)
	if err != nil {
		return stored{}, err
	}
	if owner, err = w.lock(owner); err != nil {
		return stored{}, err
	}
	body, err := read(t.schema, schema.Document{})
	if err != nil {
		return stored{}, err
	}
	if id := owner.doc.Get(t.field, "id").Text(); id != "" {
		return w.put(t.schema, nil, id, body)
	}
	added, err := w.insert(t.schema, body)
	if err != nil {
		return stored{}, err
	}
	if _, err := w.change(owner, key(t.field, key("id", schema.String(added.id)))); err != nil {
		return stored{}, err
	}
	return added, nil
}

// entity is a valid document as the store takes it.
func (w *work) entity(s *schema.Schema, doc schema.Document) (store.Entity, error) {
	e := store.EntityOf(s, w.of(s), doc)
	for _, u := range s.Index(doc).Uniques {
		if strings.IndexByte(u.Text, 0) >= 0 {
			return e, violation("must not contain a NUL byte", u.Field)
		}
		w.uniques[takenKey{e.Kind, u.Field, u.Text}] = u.Key
	}
	return e, nil
}
