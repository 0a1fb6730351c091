package sqlstore

import (
	"bytes"
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// idField is the field of a UniqueError that is about the id itself.
const idField = "id"

// key names an entity.
type key struct{ kind, id string }

// row is what a transaction knows of an entity that it locked or wrote.
type row struct {
	entity store.Entity

	// gone tells that there is no such entity, or no longer.
	gone bool

	// stored tells that the database has a row for it, after the statements
	// that are queued.
	stored bool

	// dirty tells that entity has not been sent yet.
	dirty bool

	// put tells that the row is new because Put, not Insert, found none.
	put bool

	// unknown tells that Put wrote the entity before anybody looked whether
	// there is one, or that Remove has only seen it. The rows of many such calls
	// are then locked in one exchange.
	unknown bool

	// change is the index of the change that waits for that look.
	change int
}

// glimpse is what an entity was when it was read without a lock.
type glimpse struct {
	workspace string
	document  []byte
	present   bool
}

// tx implements store.Tx. It collects what is written: rows holds the state
// that each entity shall have, queue the statements of deletions. Both are
// sent before a read that could depend on them, and at the end.
type tx struct {
	reader
	locking bool // every read locks

	rows  map[key]*row
	order []key // of the dirty rows, in the order of their first write
	seen  map[key]glimpse
	queue []statement

	changes []store.Change // without Version and Time
}

var _ store.Tx = (*tx)(nil)

func newTx(ses *session, locking bool) *tx {
	return &tx{reader: reader{ses: ses}, locking: locking, rows: map[key]*row{}, seen: map[key]glimpse{}}
}

// run runs f and ends the transaction.
func (t *tx) run(actor string, f func(*tx) error) (store.Version, error) {
	if t.ses.store.d.beginEarly {
		if err := t.begin(); err != nil {
			return store.Version{}, err
		}
	}
	err := f(t)
	if t.ses.failed != nil {
		return store.Version{}, t.ses.failed
	}
	if err != nil {
		return store.Version{}, err
	}
	if len(t.changes) == 0 {
		return t.ses.version()
	}
	if !text(actor) {
		return store.Version{}, errNotText
	}
	at := time.Now()
	for i := range t.changes {
		c := &t.changes[i]
		c.Ordinal, c.Time, c.Actor = i, at, actor
	}
	return t.finish()
}

func (t *tx) begin() error { return t.ses.begin(t.ses.store.d.beginUpdate) }

// Version implements store.Reader.
func (t *tx) Version() (store.Version, error) {
	if err := t.begin(); err != nil {
		return store.Version{}, err
	}
	return t.reader.Version()
}

// Get implements store.Reader.
func (t *tx) Get(kind, id string) (store.Entity, error) {
	if t.locking {
		return t.Lock(kind, id)
	}
	if r, ok := t.rows[key{kind, id}]; ok {
		return r.read()
	}
	if err := t.begin(); err != nil {
		return store.Entity{}, err
	}
	e, err := t.reader.Get(kind, id)
	if err == nil || errors.Is(err, store.ErrNotFound) {
		t.glimpse(key{kind, id}, e, err == nil)
	}
	return e, err
}

// Lock implements store.Tx.
func (t *tx) Lock(kind, id string) (store.Entity, error) {
	r, err := t.lock(key{kind, id})
	if err != nil {
		return store.Entity{}, err
	}
	return r.read()
}

// read returns what a reader sees of the row.
func (r *row) read() (store.Entity, error) {
	e := r.entity
	if r.gone || !e.ExpiresAt.IsZero() && e.ExpiresAt.UnixMicro() <= now() {
		return store.Entity{}, store.ErrNotFound
	}
	e.Document = bytes.Clone(e.Document)
	e.Uniques, e.References, e.Tags = nil, nil, nil
	return e, nil
}

// lock locks an entity's row, unless that has happened already.
func (t *tx) lock(k key) (*row, error) {
	if r, ok := t.rows[k]; ok {
		return r, nil
	}
	if err := t.begin(); err != nil {
		return nil, err
	}
	e, err := t.one(t.lockQuery(), k.kind, k.id, now())
	present := err == nil
	if !present && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err := t.compare(k, e, present); err != nil {
		return nil, err
	}
	r := &row{entity: e, gone: !present, stored: present}
	t.rows[k] = r
	return r, nil
}

// glimpse remembers what was read without a lock.
func (t *tx) glimpse(k key, e store.Entity, present bool) {
	if _, ok := t.rows[k]; !ok {
		t.seen[k] = glimpse{workspace: e.Workspace, document: e.Document, present: present}
	}
}

// compare fails the transaction when an entity is no longer what it was when
// the closure read it: what the closure writes would undo another's change.
func (t *tx) compare(k key, e store.Entity, present bool) error {
	g, ok := t.seen[k]
	if !ok || g.present == present && bytes.Equal(g.document, e.Document) {
		return nil
	}
	t.ses.failed = &collisionError{cause: fmt.Errorf("%s %q changed after it was read", k.kind, k.id)}
	return t.ses.failed
}

// Find implements store.Reader.
func (t *tx) Find(workspace, kind, field, value string) (store.Entity, error) {
	if err := t.flush(); err != nil {
		return store.Entity{}, err
	}
	e, err := t.reader.Find(workspace, kind, field, value)
	if err != nil {
		return store.Entity{}, err
	}
	if t.locking {
		return t.Lock(e.Kind, e.ID)
	}
	t.glimpse(key{e.Kind, e.ID}, e, true)
	return e, nil
}

// List implements store.Reader.
func (t *tx) List(query store.Query) ([]store.Entity, bool, error) {
	if err := t.flush(); err != nil {
		return nil, false, err
	}
	page, more, err := t.reader.List(query)
	if err != nil {
		return nil, false, err
	}
	page, err = t.noted(page)
	return page, more, err
}

// Children implements store.Reader.
func (t *tx) Children(kind, field, parentKind string, parentIDs ...string) ([]store.Entity, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	found, err := t.reader.Children(kind, field, parentKind, parentIDs...)
	if err != nil {
		return nil, err
	}
	return t.noted(found)
}

// CountChildren implements store.Reader.
func (t *tx) CountChildren(kind, field, parentKind string, parentIDs ...string) (map[string]int, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	return t.reader.CountChildren(kind, field, parentKind, parentIDs...)
}

// Several implements store.Reader.
func (t *tx) Several(kind string, ids ...string) ([]store.Entity, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	found, err := t.reader.Several(kind, ids...)
	if err != nil {
		return nil, err
	}
	return t.noted(found)
}

// noted notes entities that were read without a lock, or locks them.
func (t *tx) noted(page []store.Entity) ([]store.Entity, error) {
	if !t.locking {
		for _, e := range page {
			t.glimpse(key{e.Kind, e.ID}, e, true)
		}
		return page, nil
	}
	locked := page[:0]
	for _, e := range page {
		e, err := t.Lock(e.Kind, e.ID)
		switch {
		case errors.Is(err, store.ErrNotFound): // It fell before we had the lock.
		case err != nil:
			return nil, err
		default:
			locked = append(locked, e)
		}
	}
	return locked, nil
}

// Count implements store.Reader.
func (t *tx) Count(workspace string) (map[string]int, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	return t.reader.Count(workspace)
}

// Tags implements store.Reader.
func (t *tx) Tags(query store.TagQuery) ([]store.TagUse, bool, error) {
	if err := t.flush(); err != nil {
		return nil, false, err
	}
	return t.reader.Tags(query)
}

// All implements store.Reader.
func (t *tx) All() iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		if err := t.flush(); err != nil {
			yield(store.Entity{}, err)
			return
		}
		for e, err := range t.reader.All() {
			if err == nil {
				t.glimpse(key{e.Kind, e.ID}, e, true)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// Changes implements store.Reader.
func (t *tx) Changes(after uint64, limit int) ([]store.Change, error) {
	if err := t.begin(); err != nil {
		return nil, err
	}
	return t.reader.Changes(after, limit)
}

// Versions implements store.Reader.
func (t *tx) Versions(before uint64, limit int) ([]store.Past, bool, error) {
	if err := t.begin(); err != nil {
		return nil, false, err
	}
	return t.reader.Versions(before, limit)
}

// At implements store.Reader.
func (t *tx) At(number uint64) iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		if len(t.changes) > 0 {
			yield(store.Entity{}, errWritten)
			return
		}
		if err := t.begin(); err != nil {
			yield(store.Entity{}, err)
			return
		}
		t.reader.At(number)(yield)
	}
}

// Hold implements store.Tx.
func (t *tx) Hold() error {
	if err := t.begin(); err != nil {
		return err
	}
	return t.ses.query(`select 1 from config_version`+t.ses.store.d.lockRow, nil, func(*sql.Rows) error { return nil })
}

// Insert implements store.Tx.
func (t *tx) Insert(e store.Entity) error {
	if err := check(e); err != nil {
		return err
	}
	k := key{e.Kind, e.ID}
	r, ok := t.rows[k]
	if !ok {
		r = &row{gone: true}
		t.rows[k] = r
	} else if !r.gone {
		t.ses.failed = &store.UniqueError{Kind: e.Kind, Field: idField, Value: e.ID}
		return t.ses.failed
	}
	r.put = false
	t.write(k, r, e)
	return nil
}

// Put implements store.Tx.
func (t *tx) Put(e store.Entity) error {
	if err := check(e); err != nil {
		return err
	}
	k := key{e.Kind, e.ID}
	r, ok := t.rows[k]
	if !ok {
		r = &row{gone: true, unknown: true, change: len(t.changes)}
		t.rows[k] = r
	}
	if !r.gone && r.entity.Workspace != e.Workspace {
		return t.foreign(e)
	}
	r.put = r.gone
	t.write(k, r, e)
	return nil
}

// foreign fails the transaction that puts an entity whose id belongs to one of
// another workspace.
func (t *tx) foreign(e store.Entity) error {
	t.ses.failed = &store.UniqueError{Kind: e.Kind, Field: idField, Value: e.ID}
	return t.ses.failed
}

// lockUnknown locks the rows that were put unseen, and completes the log.
func (t *tx) lockUnknown() error {
	var unknown []key
	for _, k := range t.order {
		if t.rows[k].unknown {
			unknown = append(unknown, k)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	if err := t.begin(); err != nil {
		return err
	}
	// Whoever locks in the same order cannot meet another one half-way.
	slices.SortFunc(unknown, func(a, b key) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.id, b.id))
	})
	found, err := t.lockAll(unknown)
	if err != nil {
		return err
	}
	for _, k := range unknown {
		before := found[k]
		present := before != nil
		if !present {
			before = new(store.Entity)
		}
		if err := t.compare(k, *before, present); err != nil {
			return err
		}
		r := t.rows[k]
		r.unknown = false
		if r.stored {
			continue // Remove knew what it was.
		}
		if present {
			if before.Workspace != r.entity.Workspace {
				return t.foreign(r.entity)
			}
			r.stored, r.put = true, false
			c := &t.changes[r.change]
			c.Op, c.Before = store.Updated, before.Document
		}
	}
	return nil
}

// lockAll locks the rows of keys, and returns the entities of those that there
// are.
func (t *tx) lockAll(keys []key) (map[key]*store.Entity, error) {
	found := make(map[key]*store.Entity, len(keys))
	at := now()
	if !t.ses.store.d.gathers || len(keys) < gatherLeast {
		entities := make([]*store.Entity, len(keys))
		statements := make([]statement, len(keys))
		for i, k := range keys {
			statements[i] = statement{sql: t.lockQuery(), args: []any{k.kind, k.id, at}, found: &entities[i]}
		}
		err := t.ses.store.d.send(t.ses, statements)
		for i, k := range keys {
			found[k] = entities[i]
		}
		return found, err
	}
	for part := range slices.Chunk(keys, batchStatements) {
		kinds, ids := make([]string, len(part)), make([]string, len(part))
		for i, k := range part {
			kinds[i], ids[i] = k.kind, k.id
		}
		page, err := t.entities(lockMany, kinds, ids, at)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			found[key{e.Kind, e.ID}] = &e
		}
	}
	return found, nil
}

// lockQuery finds and locks one row.
func (t *tx) lockQuery() string {
	return `select ` + columns + ` from entity e where e.kind = $1 and e.id = $2 and ` + visible + `$3)` + t.ses.store.d.lockRow
}

// write gives a row its new entity and logs that.
func (t *tx) write(k key, r *row, e store.Entity) {
	// The caller keeps its document.
	e.Document = bytes.Clone(e.Document)
	c := store.Change{Workspace: e.Workspace, Kind: e.Kind, ID: e.ID, Op: store.Inserted, After: e.Document}
	if !r.gone {
		c.Op, c.Before = store.Updated, r.entity.Document
	}
	t.changes = append(t.changes, c)
	if !r.dirty {
		t.order = append(t.order, k)
	}
	r.entity, r.gone, r.dirty = e, false, true
}

var (
	errNotText  = errors.New("a value is not UTF-8 or holds a NUL byte")
	errUnnamed  = errors.New("an entity needs a kind, an id and a document")
	errRule     = errors.New("a reference has an unknown rule")
	errTwice    = errors.New("an entity has two references in one field")
	errTooShort = errors.New("a tag must not be empty")
	errWritten  = errors.New("a transaction that has written cannot read an older version")
)

// check refuses what only one of the two databases would take, and what the
// tables cannot hold.
func check(e store.Entity) error {
	if e.Kind == "" || e.ID == "" || len(e.Document) == 0 {
		return errUnnamed
	}
	ok := text(e.Workspace) && text(e.Kind) && text(e.ID) && utf8.Valid(e.Document) && bytes.IndexByte(e.Document, 0) < 0
	for _, u := range e.Uniques {
		ok = ok && text(u.Field) && text(u.Value)
	}
	for i, r := range e.References {
		ok = ok && text(r.Field) && text(r.Kind) && text(r.ID)
		if int(r.OnDelete) >= len(rules) {
			return errRule
		}
		for _, other := range e.References[:i] {
			if other.Field == r.Field {
				return errTwice
			}
		}
	}
	for _, tag := range e.Tags {
		ok = ok && text(tag)
		if tag == "" {
			return errTooShort
		}
	}
	if !ok {
		return errNotText
	}
	return nil
}

func text(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// Delete implements store.Tx.
func (t *tx) Delete(kind, id string) error { return t.delete(key{kind, id}, false) }

// doomed lists what falls with an entity. It is followed by the query that
// uses it, and its parameters are $1 and $2.
const doomed = `with recursive doomed (kind, id) as (
	select kind, id from entity where kind = $1 and id = $2
	union
	select r.kind, r.id from reference r join doomed d on r.target_kind = d.kind and r.target_id = d.id
	where r.rule = 'cascade') `

// delete deletes an entity that has expired, or one that has not.
func (t *tx) delete(root key, expired bool) error {
	if err := t.flush(); err != nil {
		return err
	}
	falling, err := t.entities(doomed+`select `+columns+` from doomed d join entity e on e.kind = d.kind and e.id = d.id
		order by d.kind, d.id`+t.ses.store.d.lockDoomed, root.kind, root.id)
	if err != nil {
		return err
	}
	found := false
	for _, e := range falling {
		k := key{e.Kind, e.ID}
		if _, ok := t.rows[k]; !ok {
			if err := t.compare(k, e, true); err != nil {
				return err
			}
		}
		lapsed := !e.ExpiresAt.IsZero() && e.ExpiresAt.UnixMicro() <= now()
		found = found || k == root && lapsed == expired
	}
	if !found {
		return store.ErrNotFound
	}
	staying, err := t.referrers(root, falling)
	if err != nil {
		return err
	}
	for _, r := range staying {
		if r.rule == rules[store.Restrict] {
			return &store.ReferencedError{Kind: r.target.kind, ID: r.target.id, By: r.from.kind, ByID: r.from.id}
		}
	}
	for _, r := range staying {
		if err := t.setNull(r); err != nil {
			return err
		}
	}
	for _, e := range falling {
		if k := (key{e.Kind, e.ID}); k != root {
			t.remove(k, e)
		}
	}
	for _, e := range falling {
		if k := (key{e.Kind, e.ID}); k == root {
			t.remove(k, e)
		}
	}
	return nil
}

// Remove implements store.Tx.
func (t *tx) Remove(kind, id string) error {
	k := key{kind, id}
	r, ok := t.rows[k]
	if g, seen := t.seen[k]; !ok && seen && g.present {
		r = &row{entity: store.Entity{Workspace: g.workspace, Kind: kind, ID: id, Document: g.document}, stored: true, unknown: true}
		t.rows[k] = r
	}
	switch {
	case r == nil:
		var err error
		if r, err = t.lock(k); err != nil {
			return err
		}
	case ok && r.unknown && !r.stored: // What Put replaced has to be known.
		if err := t.lockUnknown(); err != nil {
			return err
		}
	}
	if _, err := r.read(); err != nil {
		return err
	}
	t.changes = append(t.changes, store.Change{
		Workspace: r.entity.Workspace, Kind: kind, ID: id, Op: store.Deleted, Before: r.entity.Document,
	})
	if !r.dirty {
		t.order = append(t.order, k)
	}
	r.gone, r.dirty = true, true
	return nil
}

// referrer is a reference from an entity that stays to one that falls.
type referrer struct {
	from, target key
	field, rule  string
}

// referrers returns the references to what falls with root. Who falls too has
// no say; that is found out here because SQLite would search the list of the
// falling from its start for each reference.
func (t *tx) referrers(root key, falling []store.Entity) ([]referrer, error) {
	falls := make(map[key]bool, len(falling))
	for _, e := range falling {
		falls[key{e.Kind, e.ID}] = true
	}
	var found []referrer
	err := t.ses.query(doomed+`select r.kind, r.id, r.field, r.rule, r.target_kind, r.target_id
		from reference r join doomed d on r.target_kind = d.kind and r.target_id = d.id
		where r.rule <> 'cascade' order by d.kind, d.id, r.kind, r.id, r.field`, []any{root.kind, root.id}, func(rows *sql.Rows) error {
		var r referrer
		err := rows.Scan(&r.from.kind, &r.from.id, &r.field, &r.rule, &r.target.kind, &r.target.id)
		if !falls[r.from] {
			found = append(found, r)
		}
		return err
	})
	return found, err
}

// remove deletes one row and logs that.
func (t *tx) remove(k key, e store.Entity) {
	t.changes = append(t.changes, store.Change{
		Workspace: e.Workspace, Kind: e.Kind, ID: e.ID, Op: store.Deleted, Before: e.Document,
	})
	r := &row{entity: e, gone: true}
	t.queue = append(t.queue, r.removal())
	t.rows[k] = r
}

// setNull takes a reference out of an entity that stays.
func (t *tx) setNull(from referrer) error {
	r, err := t.lock(from.from)
	if err != nil {
		return err
	}
	if r.gone {
		return nil // It has expired and keeps its document; the reference goes with the row.
	}
	document, err := nullMember(r.entity.Document, from.field)
	if err != nil {
		return fmt.Errorf("take %s out of %s %q: %w", from.field, from.from.kind, from.from.id, err)
	}
	t.changes = append(t.changes, store.Change{
		Workspace: r.entity.Workspace, Kind: from.from.kind, ID: from.from.id,
		Op: store.Updated, Before: r.entity.Document, After: document,
	})
	t.queue = append(t.queue,
		statement{
			sql:  `update entity set document = $3 where kind = $1 and id = $2`,
			args: []any{from.from.kind, from.from.id, string(document)},
		},
		statement{
			sql:  `delete from reference where kind = $1 and id = $2 and field = $3`,
			args: []any{from.from.kind, from.from.id, from.field},
		})
	r.entity.Document = document
	return nil
}
