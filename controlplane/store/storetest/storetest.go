// Package storetest holds the rules that every store has to pass.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// patience bounds what is expected to happen soon. It is only reached by a
// test that fails.
const patience = 30 * time.Second

// Run runs the rules. open returns a store as migrations leave it, for one test
// alone, and closes it when the test ends; its Watch has to poll at least each
// second.
func Run(t *testing.T, open func(*testing.T) store.Store) {
	for name, rule := range map[string]func(*testing.T, store.Store){
		"the default workspace is there":             testDefaultWorkspace,
		"what is written is read back":               testRoundTrip,
		"insert and put":                             testInsertPut,
		"bad arguments":                              testBadArguments,
		"a failed transaction leaves nothing":        testRollback,
		"an error sticks":                            testStickyError,
		"a transaction sees its own writes":          testOwnWrites,
		"versions have no gap":                       testVersions,
		"change log":                                 testChanges,
		"pages of the change log are whole versions": testChangePages,
		"versions, newest first":                     testPast,
		"the hash of what was published":             testPublished,
		"any version can be read and restored":       testAt,
		"versions that cannot be read":               testAtRefused,
		"prune":                                      testPrune,
		"prune big versions":                         testPruneMuch,
		"remove without rules":                       testRemove,
		"hold":                                       testHold,
		"unique values":                              testUnique,
		"unique values move and swap":                testUniqueMoves,
		"unique over all workspaces":                 testUniqueEverywhere,
		"an id of another workspace is taken":        testForeignID,
		"parents must exist":                         testMissingParent,
		"parents of other workspaces are missing":    testForeignParent,
		"children may come first":                    testChildFirst,
		"restrict":                                   testRestrict,
		"cascade":                                    testCascade,
		"set null":                                   testSetNull,
		"delete and write in one transaction":        testDeleteAndWrite,
		"list":                                       testList,
		"list by tags":                               testListTags,
		"list by parent":                             testListParent,
		"children of several parents":                testChildren,
		"tags in use":                                testTags,
		"pages while others insert":                  testPaging,
		"all is ordered":                             testAll,
		"a view does not move":                       testView,
		"expired entities are invisible":             testExpiry,
		"an expired holder makes room":               testExpiredHolder,
		"sweep":                                      testSweep,
		"no lost update, locked":                     testCounterLocked,
		"no lost update, read without a lock":        testCounterUnlocked,
		"one put of many wins":                       testPutRace,
		"many writers, no gap":                       testWriters,
		"a crowd of writers":                         testCrowd,
		"a parent and its children at once":          testParentRace,
		"watch sees the last version":                testWatch,
		"watch ends with its context":                testWatchEnds,
		"a cancelled context":                        testCancelled,
		"a big transaction is one version":           testBig,
		"many rows at once":                          testBigReplacement,
		"ping":                                       func(t *testing.T, s store.Store) { noError(t, s.Ping(t.Context())) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule(t, open(t))
		})
	}
}

// entity makes an entity of a kind with an id and a name.
func entity(kind, id string, options ...func(*store.Entity)) store.Entity {
	e := store.Entity{Workspace: "default", Kind: kind, ID: id, Document: fmt.Appendf(nil, `{"id":%q}`, id)}
	for _, option := range options {
		option(&e)
	}
	return e
}

func document(text string) func(*store.Entity) {
	return func(e *store.Entity) { e.Document = []byte(text) }
}

func unique(field, value string) func(*store.Entity) {
	return func(e *store.Entity) { e.Uniques = append(e.Uniques, store.Unique{Field: field, Value: value}) }
}

func everywhere(field, value string) func(*store.Entity) {
	return func(e *store.Entity) {
		e.Uniques = append(e.Uniques, store.Unique{Field: field, Value: value, Everywhere: true})
	}
}

func name(value string) func(*store.Entity) { return unique("name", value) }

func parent(field, kind, id string, rule store.OnDelete) func(*store.Entity) {
	return func(e *store.Entity) {
		e.References = append(e.References, store.Reference{Field: field, Kind: kind, ID: id, OnDelete: rule})
	}
}

func tags(tags ...string) func(*store.Entity) {
	return func(e *store.Entity) { e.Tags = tags }
}

func workspace(name string) func(*store.Entity) {
	return func(e *store.Entity) { e.Workspace = name }
}

func expires(in time.Duration) func(*store.Entity) {
	return func(e *store.Entity) { e.ExpiresAt = time.Now().Add(in).UTC().Truncate(time.Microsecond) }
}

// insert commits entities in one transaction.
func insert(t *testing.T, s store.Store, entities ...store.Entity) store.Version {
	t.Helper()
	return update(t, s, func(tx store.Tx) error {
		for _, e := range entities {
			if err := tx.Insert(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// update commits a transaction.
func update(t *testing.T, s store.Store, f func(store.Tx) error) store.Version {
	t.Helper()
	v, err := s.Update(t.Context(), "tester", f)
	noError(t, err)
	return v
}

// view reads.
func view(t *testing.T, s store.Store, f func(store.Reader) error) {
	t.Helper()
	noError(t, s.View(t.Context(), f))
}

// deleting is a transaction that deletes one entity.
func deleting(kind, id string) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.Delete(kind, id) }
}

// version is the current version.
func version(t *testing.T, s store.Store) (v store.Version) {
	t.Helper()
	view(t, s, func(r store.Reader) (err error) {
		v, err = r.Version()
		return err
	})
	return v
}

// all returns what All does but for what is there from the start.
func all(t *testing.T, r store.Reader) (found []store.Entity) {
	t.Helper()
	for e, err := range r.All() {
		noError(t, err)
		if e.Kind != "workspaces" {
			found = append(found, e)
		}
	}
	return found
}

// names returns "kind/id" of all entities that were written, in order.
func names(t *testing.T, s store.Store) []string {
	t.Helper()
	var found []string
	view(t, s, func(r store.Reader) error {
		for _, e := range all(t, r) {
			found = append(found, e.Kind+"/"+e.ID)
		}
		return nil
	})
	return found
}

func ids(entities []store.Entity) []string {
	var ids []string
	for _, e := range entities {
		ids = append(ids, e.ID)
	}
	return ids
}

// get returns a document, or "" when there is none.
func get(t *testing.T, s store.Store, kind, id string) (text string) {
	t.Helper()
	view(t, s, func(r store.Reader) error {
		e, err := r.Get(kind, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		text = string(e.Document)
		return err
	})
	return text
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// refused runs a transaction that has to fail with an error like want, which
// is a pointer to the error's type, and leave no trace.
func refused[E error](t *testing.T, s store.Store, want E, f func(store.Tx) error) {
	t.Helper()
	before := version(t, s)
	_, err := s.Update(t.Context(), "tester", f)
	var got E
	if !errors.As(err, &got) {
		t.Fatalf("Update returned %v, want a %T", err, want)
	}
	equal(t, "the error", got, want)
	equal(t, "the version after a refused transaction", version(t, s), before)
}

// within returns a context that ends before the test hangs.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
