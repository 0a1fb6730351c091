// Package store says what keeps Gibbon's configuration and how it is asked:
// the interface, the values that pass through it and its errors, nothing else.
// The one implementation is sqlstore, and storetest holds the rules that every
// implementation has to pass.
//
// The store is generic. It knows no entity by name and never looks into a
// document; whoever writes an entity says which values must be unique, which
// other entities it refers to and what its tags are.
//
// Every transaction that changes anything takes the next version, and the
// versions of committed transactions have no gap. A reader sees all of a
// version or nothing of it.
package store

import (
	"context"
	"iter"
	"time"
)

// Version names one state of the whole configuration. Within an epoch a higher
// number is newer; numbers of different epochs cannot be compared.
type Version struct {
	// Epoch changes when the store's history was cut, for instance because an
	// older backup was restored. It is a UUID.
	Epoch string

	// Number is 0 in a store that was never written to.
	Number uint64
}

// OnDelete says what becomes of an entity when one that it refers to is
// deleted. The zero value is Restrict.
type OnDelete uint8

const (
	// Restrict refuses the deletion as long as the reference exists.
	Restrict OnDelete = iota

	// Cascade deletes the referring entity too.
	Cascade

	// SetNull keeps the referring entity and writes null into the member of
	// its document that has the reference's field name. Unique values of the
	// referring entity stay as they are, so a field that is part of a
	// composite unique key should not have this rule.
	SetNull
)

// Unique is a value that no other entity of the same workspace and kind may
// have in the same field.
type Unique struct {
	// Field is the field's name. A composite key has the names of all its
	// fields, joined by commas: "name,route,service,consumer".
	Field string
	Value string

	// Everywhere makes the value unique over all workspaces. Reader.Find finds
	// its holder under the workspace "".
	Everywhere bool
}

// Reference is an entity's pointer to another one, its parent, which lies in
// the same workspace or in none. One of another workspace is as good as missing.
type Reference struct {
	// Field is the name of the referring member at the top of the document.
	Field string

	// Kind and ID name the parent.
	Kind, ID string

	// OnDelete is what happens when the parent is deleted.
	OnDelete OnDelete
}

// Entity is one stored entity. A kind and an id name it; ids of different
// kinds, but not of different workspaces, may be equal.
//
// An entity that a Reader returns has no Uniques, References and Tags: they
// follow from the document, and only a writer needs them. Whoever writes an
// entity back has to fill them in again.
type Entity struct {
	// Workspace is "" for a kind that is the same in all workspaces.
	Workspace string
	Kind, ID  string

	// Document is the entity as JSON. The store returns the bytes it was given.
	// They must be UTF-8 without NUL, as all strings here.
	Document []byte

	Uniques    []Unique
	References []Reference
	Tags       []string

	// ExpiresAt is when the entity ceases to be visible, in microseconds
	// precision. The zero time means never. Until Sweep has deleted it, an
	// expired entity is counted neither as present nor as the holder of its
	// unique values.
	ExpiresAt time.Time
}

// Op is what a transaction did to an entity.
type Op string

// The operations that the change log knows.
const (
	Inserted Op = "insert"
	Updated  Op = "update"
	Deleted  Op = "delete"
)

// Change is one entry of the change log. The log is only ever appended to, and
// cut at its old end.
type Change struct {
	// Version is the number of the version that the change belongs to.
	Version uint64

	// Ordinal counts the changes of one version from 0, in the order in which
	// the transaction made them. The entities that fall with another one come
	// directly before it.
	Ordinal int

	// Time is when the transaction ended, by the clock of the process that ran
	// it. It may jump; Version and Ordinal are the order.
	Time time.Time

	// Actor is who ran the transaction, as given to Update.
	Actor string

	Workspace, Kind, ID string
	Op                  Op

	// Before and After are the documents; nil where there was or is none.
	Before, After []byte
}

// Query asks for one page of the entities of one workspace and kind, in
// ascending byte order of their ids.
type Query struct {
	Workspace, Kind string

	// AfterID is the last id of the page before; "" asks for the first page.
	AfterID string

	// Limit is the size of the page. It must be at least 1.
	Limit int

	// Tags keeps the entities that have all of these tags, or with AnyTag at
	// least one of them. Comparison is exact. None means no filter.
	Tags   []string
	AnyTag bool

	// Parent, when not nil, keeps the entities that refer to the entity Kind
	// and ID by the field Field. Its OnDelete is ignored.
	Parent *Reference
}

// TagUse is one tag of one entity.
type TagUse struct{ Tag, Kind, ID string }

// TagQuery asks for one page of the tags in use in one workspace, in ascending
// byte order of tag, kind and id.
type TagQuery struct {
	Workspace string

	// Tag, when not "", keeps the uses of this tag.
	Tag string

	// After is the last use of the page before; the zero value asks for the
	// first page.
	After TagUse

	// Limit is the size of the page. It must be at least 1.
	Limit int
}

// Reader reads the configuration. Its methods may be called only while the
// closure runs that received it, from one goroutine. Expired entities are
// invisible to it.
type Reader interface {
	// Version returns the version that is being read. In a Tx it is the one
	// that was committed last before the transaction's own.
	Version() (Version, error)

	// Get returns the entity, or ErrNotFound.
	Get(kind, id string) (Entity, error)

	// Find returns the entity that holds a unique value, or ErrNotFound.
	Find(workspace, kind, field, value string) (Entity, error)

	// List returns a page and whether another one follows it.
	List(Query) (page []Entity, more bool, err error)

	// Children returns all entities of a kind, of any workspace, that refer by the
	// field to one of the entities with the parent kind and these ids, ordered by
	// their own ids. The caller sees to it that there are not too many.
	Children(kind, field, parentKind string, parentIDs ...string) ([]Entity, error)

	// CountChildren returns how many entities Children finds for each parent id;
	// ids without any are left out.
	CountChildren(kind, field, parentKind string, parentIDs ...string) (map[string]int, error)

	// Several returns the entities of a kind with these ids, ordered by id. What
	// is not there is left out.
	Several(kind string, ids ...string) ([]Entity, error)

	// Tags returns a page of tags in use and whether another one follows it.
	Tags(TagQuery) (page []TagUse, more bool, err error)

	// Count returns how many entities a workspace has, by kind; kinds without any
	// are left out.
	Count(workspace string) (map[string]int, error)

	// All returns every entity of every workspace, ordered by kind and id. It
	// reads page by page, so other methods may be called meanwhile. After an
	// error it ends.
	All() iter.Seq2[Entity, error]

	// Changes returns the changes of the versions after the given number, in
	// order. It always returns whole versions: as many as limit changes can
	// hold, but at least one if there is one, whatever its size. Versions that
	// Prune took away are left out.
	Changes(after uint64, limit int) ([]Change, error)

	// Versions returns a page of the versions before the given number, or of
	// all when it is 0, newest first, and whether another page follows it.
	Versions(before uint64, limit int) (page []Past, more bool, err error)

	// At returns every entity as it was in a version, ordered by kind and id,
	// like All. It goes by the change log, so entities that have expired since
	// are among them, and ExpiresAt is always zero: whoever needs it finds it in
	// the document. The error for a version that cannot be read is a
	// *VersionError. A Tx has it only as long as it wrote nothing.
	At(number uint64) iter.Seq2[Entity, error]
}

// Tx is a transaction that may write. A transaction sees what it has written.
// What it writes is checked when it is convenient for the store, at the latest
// when the transaction ends: a *UniqueError or *ReferenceError may come out of
// the call that caused it, of a later one, or of Update. Only the end state is
// checked, so two entities may swap a unique value, and a child may be written
// before its parent.
//
// Once a method has returned an error other than ErrNotFound, *ReferencedError
// or a complaint about its arguments, the transaction can only fail: Update
// returns that error even when the closure does not.
type Tx interface {
	Reader

	// Lock is Get, and keeps others from writing the entity until the
	// transaction ends. Whoever reads an entity in order to change it should
	// call Lock. After a plain Get the store notices that another transaction
	// wrote in between and runs the closure again, which costs more.
	Lock(kind, id string) (Entity, error)

	// Insert adds an entity. If one with the kind and id exists, the error is a
	// *UniqueError with the field "id".
	Insert(Entity) error

	// Put inserts the entity, or replaces the one with its kind and id. An
	// identical document is written and logged like any other. If the one with
	// its kind and id is of another workspace, the error is Insert's.
	Put(Entity) error

	// Delete deletes the entity and all that falls with it by the rules of the
	// references to it. It returns ErrNotFound, or a *ReferencedError when a
	// rule forbids it; in both cases nothing happened and the transaction may
	// go on.
	Delete(kind, id string) error

	// Remove deletes one entity and carries out no rule: for whoever writes a
	// whole state and knows what becomes of all that refers to it. What still
	// does at the end makes the transaction collide. It returns ErrNotFound if
	// there is no such entity.
	Remove(kind, id string) error

	// Hold keeps all other transactions from committing until this one ends, so
	// that what is read from now on is one version and the last one. It is for
	// transactions about the whole configuration, before their first read.
	Hold() error
}

// Store keeps the configuration. Its methods are safe for concurrent use.
//
// Where the database cannot be reached or does not answer in time, errors wrap
// ErrUnavailable.
type Store interface {
	// View runs f on one consistent view of one version: what others write
	// meanwhile is invisible to it. It returns f's error.
	View(ctx context.Context, f func(Reader) error) error

	// Update runs f in a transaction and returns the version that it made, or,
	// when f wrote nothing, the version that is current; such a transaction
	// takes no number. When Update returns nil the change is on disk. When f
	// returns an error, nothing happened and Update returns that error.
	//
	// When transactions collide in a way that only another run can settle (a
	// deadlock, for instance), f runs again, up to three more times; so f must
	// start from its arguments each time and have no effects outside. If that
	// does not help the error wraps ErrConflict.
	//
	// After an error that wraps ErrUnavailable it is unknown whether the
	// transaction was committed, if the connection broke during the commit.
	//
	// f must not call Update: a store may have room for one writer only.
	Update(ctx context.Context, actor string, f func(Tx) error) (Version, error)

	// Watch calls f with the current version, and then whenever it has changed,
	// always with the newest: versions that come and go between two calls are
	// left out, the last one never. The numbers that f sees within an epoch
	// strictly rise. It watches until ctx ends and then returns nil; while the
	// database is down it keeps trying. f is called from Watch's goroutine.
	Watch(ctx context.Context, f func(Version)) error

	// Published notes the hash, in hex, of a version's snapshot. A version that
	// has one already keeps it. It makes no version.
	Published(ctx context.Context, v Version, hash string) error

	// Prune takes the versions away that need no longer be kept, oldest first,
	// and returns how many. It works in small transactions, none of which makes
	// a version or keeps others waiting for long. The owner of the store calls
	// it now and then.
	Prune(ctx context.Context, keep Retention) (int, error)

	// Sweep deletes the expired entities in logged transactions by the actor
	// "ttl", and returns how many fell. Expired entities that others refer to
	// with Restrict stay. The owner of the store calls it now and then.
	Sweep(ctx context.Context) (int, error)

	// Ping tells whether the database answers.
	Ping(ctx context.Context) error

	// Close ends the store. No call may be in progress.
	Close() error
}
