package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

func testDefaultWorkspace(t *testing.T, s store.Store) {
	equal(t, "the version", version(t, s).Number, uint64(0))
	equal(t, "the change log", changes(t, s, 0, 10), []store.Change(nil))
	view(t, s, func(r store.Reader) error {
		e, err := r.Find("", "workspaces", "name", "default")
		noError(t, err)
		equal(t, "its kind, workspace and end", []any{e.Kind, e.Workspace, e.ExpiresAt}, []any{"workspaces", "", time.Time{}})
		page, _, err := r.List(store.Query{Kind: "workspaces", Limit: 10})
		noError(t, err)
		equal(t, "all workspaces", page, []store.Entity{e})
		var document struct {
			ID, Name  string
			Comment   *string
			Config    map[string]any
			Meta      map[string]any
			CreatedAt int64 `json:"created_at"`
			UpdatedAt int64 `json:"updated_at"`
		}
		decoder := json.NewDecoder(bytes.NewReader(e.Document))
		decoder.DisallowUnknownFields()
		noError(t, decoder.Decode(&document))
		if since := time.Since(time.Unix(document.CreatedAt, 0)); since < -time.Minute || since > 10*time.Minute {
			t.Errorf("it was made %v ago", since)
		}
		equal(t, "when it was changed", document.UpdatedAt, document.CreatedAt)
		equal(t, "its name", document.Name, "default")
		equal(t, "its id", document.ID, e.ID)
		equal(t, "its config", document.Config, map[string]any{})
		equal(t, "its meta", document.Meta, map[string]any{"color": nil, "thumbnail": nil})
		return nil
	})
	// It is an entity like any other.
	refused(t, s, &store.UniqueError{Kind: "workspaces", Field: "name", Value: "default"}, func(tx store.Tx) error {
		return tx.Insert(entity("workspaces", "w", workspace(""), name("default")))
	})
}

func testRoundTrip(t *testing.T, s store.Store) {
	// The bytes are the caller's business: order, spaces, numbers, escapes.
	const text = `{"b": 1e2, "a":"\u0000é🦍", "a2":[ ] }`
	full := entity("services", "s1", document(text), name("x"), tags("t"), expires(time.Hour))
	insert(t, s, full)
	want := store.Entity{Workspace: "default", Kind: "services", ID: "s1", Document: []byte(text), ExpiresAt: full.ExpiresAt}
	view(t, s, func(r store.Reader) error {
		got, err := r.Get("services", "s1")
		noError(t, err)
		equal(t, "Get", got, want)
		got, err = r.Find("default", "services", "name", "x")
		noError(t, err)
		equal(t, "Find", got, want)
		page, more, err := r.List(store.Query{Workspace: "default", Kind: "services", Limit: 1})
		noError(t, err)
		equal(t, "List", page, []store.Entity{want})
		equal(t, "List's more", more, false)
		equal(t, "All", all(t, r), []store.Entity{want})
		for _, err := range []error{
			second(r.Get("services", "s2")), second(r.Get("routes", "s1")),
			second(r.Find("default", "services", "name", "X")), second(r.Find("other", "services", "name", "x")),
			second(r.Find("default", "routes", "name", "x")), second(r.Find("default", "services", "host", "x")),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("looking for what is not there: %v, want ErrNotFound", err)
			}
		}
		return nil
	})
	failure := errors.New("the closure's own")
	if err := s.View(t.Context(), func(store.Reader) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("View returned %v, want the closure's error", err)
	}
}

func second[T any](_ T, err error) error { return err }

func testInsertPut(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", document(`1`)))
	// Another kind may have the same id.
	insert(t, s, entity("routes", "s1", document(`2`)))
	refused(t, s, &store.UniqueError{Kind: "services", Field: "id", Value: "s1"}, func(tx store.Tx) error {
		return tx.Insert(entity("services", "s1", document(`3`)))
	})
	refused(t, s, &store.UniqueError{Kind: "services", Field: "id", Value: "s2"}, func(tx store.Tx) error {
		return errors.Join(tx.Insert(entity("services", "s2")), tx.Insert(entity("services", "s2")))
	})
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Put(entity("services", "s1", document(`4`))), tx.Put(entity("services", "s3", document(`5`))))
	})
	equal(t, "replaced", get(t, s, "services", "s1"), "4")
	equal(t, "put anew", get(t, s, "services", "s3"), "5")
	equal(t, "the other kind", get(t, s, "routes", "s1"), "2")

	// The document is the caller's again once Put has returned.
	mine := entity("services", "s4", document(`"mine"`))
	update(t, s, func(tx store.Tx) error {
		err := tx.Put(mine)
		copy(mine.Document, `"nine"`)
		return err
	})
	equal(t, "a document that the caller changed", get(t, s, "services", "s4"), `"mine"`)
}

func testBadArguments(t *testing.T, s store.Store) {
	for what, e := range map[string]store.Entity{
		"no kind":              entity("", "x"),
		"no id":                entity("services", "", document(`{}`)),
		"no document":          entity("services", "x", document(``)),
		"NUL in the document":  entity("services", "x", document("\"\x00\"")),
		"not UTF-8":            entity("services", "x", document("\"\xff\"")),
		"NUL in a value":       entity("services", "x", name("a\x00")),
		"a value is not UTF-8": entity("services", "x", name("\xff")),
		"a tag is not UTF-8":   entity("services", "x", tags("\xff")),
		"an empty tag":         entity("services", "x", tags("")),
		"two in one field":     entity("services", "x", parent("f", "a", "b", 0), parent("f", "a", "c", 0)),
		"an unknown rule":      entity("services", "x", parent("f", "a", "b", 9)),
	} {
		for _, write := range []func(store.Tx, store.Entity) error{store.Tx.Insert, store.Tx.Put} {
			if _, err := s.Update(t.Context(), "tester", func(tx store.Tx) error { return write(tx, e) }); err == nil {
				t.Errorf("%s: the entity was taken", what)
			}
		}
	}
	view(t, s, func(r store.Reader) error {
		if _, _, err := r.List(store.Query{Kind: "services"}); err == nil {
			t.Error("List took a limit of 0")
		}
		if _, _, err := r.Tags(store.TagQuery{}); err == nil {
			t.Error("Tags took a limit of 0")
		}
		if _, err := r.Changes(0, 0); err == nil {
			t.Error("Changes took a limit of 0")
		}
		return nil
	})
	equal(t, "the version", version(t, s).Number, uint64(0))
}

func testRollback(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", name("taken")))
	refused(t, s, &store.UniqueError{Kind: "services", Field: "name", Value: "taken"}, func(tx store.Tx) error {
		return errors.Join(
			tx.Insert(entity("services", "s2", name("free"))),
			tx.Insert(entity("services", "s3", name("taken"))),
			tx.Insert(entity("services", "s4", name("free too"))))
	})
	failure := errors.New("the closure's own")
	_, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
		noError(t, tx.Insert(entity("services", "s5")))
		noError(t, tx.Delete("services", "s1"))
		_, _, err := tx.List(store.Query{Workspace: "default", Kind: "services", Limit: 10}) // sends what was written
		return errors.Join(err, failure)
	})
	if !errors.Is(err, failure) {
		t.Errorf("Update returned %v, want the closure's error", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the closure's panic was swallowed")
			}
		}()
		_, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
			noError(t, tx.Put(entity("services", "s1", document(`"panic"`))))
			panic("on purpose")
		})
		t.Errorf("Update returned %v after a panic", err)
	}()
	equal(t, "what is there", names(t, s), []string{"services/s1"})
	equal(t, "the document", get(t, s, "services", "s1"), `{"id":"s1"}`)
	// The connections are clean: the next write gets the next version.
	equal(t, "the next version", insert(t, s, entity("services", "s2", name("free"))).Number, uint64(2))
}

func testStickyError(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", name("taken")))
	refused(t, s, &store.UniqueError{Kind: "services", Field: "name", Value: "taken"}, func(tx store.Tx) error {
		_ = tx.Insert(entity("services", "s2", name("taken")))
		_, _, _ = tx.List(store.Query{Workspace: "default", Kind: "services", Limit: 10})
		_ = tx.Put(entity("services", "s3"))
		return nil // A closure that hears nothing still fails.
	})
	equal(t, "what is there", names(t, s), []string{"services/s1"})
}

func testOwnWrites(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", name("one"), tags("t")), entity("services", "s2", name("two")))
	update(t, s, func(tx store.Tx) error {
		noError(t, tx.Put(entity("services", "s1", document(`"new"`), name("uno"))))
		noError(t, tx.Insert(entity("services", "s3", name("three"), tags("t"))))
		noError(t, tx.Delete("services", "s2"))
		for _, read := range []func(kind, id string) (store.Entity, error){tx.Get, tx.Lock} {
			e, err := read("services", "s1")
			noError(t, err)
			equal(t, "own put", string(e.Document), `"new"`)
			if _, err := read("services", "s2"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("own delete: %v, want ErrNotFound", err)
			}
		}
		e, err := tx.Find("default", "services", "name", "uno")
		noError(t, err)
		equal(t, "found by its new name", e.ID, "s1")
		if _, err := tx.Find("default", "services", "name", "one"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("found by its old name: %v, want ErrNotFound", err)
		}
		page, _, err := tx.List(store.Query{Workspace: "default", Kind: "services", Limit: 10, Tags: []string{"t"}})
		noError(t, err)
		equal(t, "list by tag", ids(page), []string{"s3"})
		equal(t, "all", ids(all(t, tx)), []string{"s1", "s3"})
		v, err := tx.Version()
		noError(t, err)
		equal(t, "the version inside", v.Number, uint64(1))
		used, _, err := tx.Tags(store.TagQuery{Workspace: "default", Limit: 10})
		noError(t, err)
		equal(t, "tags", used, []store.TagUse{{Tag: "t", Kind: "services", ID: "s3"}})
		changes, err := tx.Changes(0, 10)
		noError(t, err)
		equal(t, "changes of the transaction itself are not in the log yet", len(changes), 2)
		return nil
	})
	equal(t, "afterwards", names(t, s), []string{"services/s1", "services/s3"})
}

func testVersions(t *testing.T, s store.Store) {
	first := version(t, s)
	if first.Epoch == "" || first.Number != 0 {
		t.Errorf("an empty store is at %+v, want an epoch and number 0", first)
	}
	step := func(what string, want uint64, f func(store.Tx) error) {
		t.Helper()
		equal(t, "version after "+what, update(t, s, f), store.Version{Epoch: first.Epoch, Number: want})
	}
	step("nothing", 0, func(store.Tx) error { return nil })
	step("an insert", 1, func(tx store.Tx) error { return tx.Insert(entity("services", "s1")) })
	step("a read", 1, func(tx store.Tx) error { return second(tx.Lock("services", "s1")) })
	step("the same document again", 2, func(tx store.Tx) error { return tx.Put(entity("services", "s1")) })
	step("two writes", 3, func(tx store.Tx) error {
		return errors.Join(tx.Insert(entity("services", "s2")), tx.Insert(entity("services", "s3")))
	})
	step("a delete of nothing", 3, func(tx store.Tx) error {
		if err := tx.Delete("services", "s9"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Delete of nothing: %v, want ErrNotFound", err)
		}
		return nil
	})
	step("a delete", 4, deleting("services", "s1"))
	equal(t, "version in a view", version(t, s), store.Version{Epoch: first.Epoch, Number: 4})
}

func changes(t *testing.T, s store.Store, after uint64, limit int) (found []store.Change) {
	t.Helper()
	view(t, s, func(r store.Reader) (err error) {
		found, err = r.Changes(after, limit)
		return err
	})
	return found
}

func testChanges(t *testing.T, s store.Store) {
	start := time.Now().Add(-time.Second)
	insert(t, s, entity("services", "s1", document(`1`), workspace("")))
	_, err := s.Update(t.Context(), "someone else", func(tx store.Tx) error {
		return errors.Join(
			tx.Put(entity("services", "s1", document(`2`), workspace(""))),
			tx.Put(entity("services", "s1", document(`3`), workspace(""))),
			tx.Insert(entity("routes", "r1", document(`4`), workspace("w"), parent("service", "services", "s1", store.Cascade))),
			tx.Put(entity("routes", "r2", document(`5`))))
	})
	noError(t, err)
	update(t, s, deleting("services", "s1"))
	got := changes(t, s, 0, 100)
	for i, c := range got {
		if c.Time.Before(start) || c.Time.After(time.Now().Add(time.Second)) {
			t.Errorf("change %d happened at %v", i, c.Time)
		}
	}
	want := []store.Change{
		{Version: 1, Ordinal: 0, Actor: "tester", Kind: "services", ID: "s1", Op: store.Inserted, After: []byte(`1`)},
		{Version: 2, Ordinal: 0, Actor: "someone else", Kind: "services", ID: "s1", Op: store.Updated, Before: []byte(`1`), After: []byte(`2`)},
		{Version: 2, Ordinal: 1, Actor: "someone else", Kind: "services", ID: "s1", Op: store.Updated, Before: []byte(`2`), After: []byte(`3`)},
		{Version: 2, Ordinal: 2, Actor: "someone else", Workspace: "w", Kind: "routes", ID: "r1", Op: store.Inserted, After: []byte(`4`)},
		{Version: 2, Ordinal: 3, Actor: "someone else", Workspace: "default", Kind: "routes", ID: "r2", Op: store.Inserted, After: []byte(`5`)},
		{Version: 3, Ordinal: 0, Actor: "tester", Workspace: "w", Kind: "routes", ID: "r1", Op: store.Deleted, Before: []byte(`4`)},
		{Version: 3, Ordinal: 1, Actor: "tester", Kind: "services", ID: "s1", Op: store.Deleted, Before: []byte(`3`)},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Change{}, "Time")); diff != "" {
		t.Errorf("the change log (-want +got):\n%s", diff)
	}
}

func testChangePages(t *testing.T, s store.Store) {
	for size := range 4 { // versions 1 to 4 with 1 to 4 changes
		var entities []store.Entity
		for i := range size + 1 {
			entities = append(entities, entity("services", fmt.Sprintf("s%d-%d", size, i)))
		}
		insert(t, s, entities...)
	}
	for _, tt := range []struct {
		after uint64
		limit int
		want  []uint64
	}{
		{0, 100, []uint64{1, 2, 2, 3, 3, 3, 4, 4, 4, 4}},
		{0, 10, []uint64{1, 2, 2, 3, 3, 3, 4, 4, 4, 4}},
		{0, 9, []uint64{1, 2, 2, 3, 3, 3}},
		{0, 1, []uint64{1}},
		{0, 2, []uint64{1}},
		{0, 3, []uint64{1, 2, 2}},
		{2, 1, []uint64{3, 3, 3}},
		{3, 3, []uint64{4, 4, 4, 4}},
		{4, 3, nil},
	} {
		var got []uint64
		for i, c := range changes(t, s, tt.after, tt.limit) {
			got = append(got, c.Version)
			if c.Ordinal == 0 && i > 0 && got[i-1] == c.Version {
				t.Errorf("ordinals of version %d do not rise", c.Version)
			}
		}
		equal(t, fmt.Sprintf("versions after %d, limit %d", tt.after, tt.limit), got, tt.want)
	}
}

func testUnique(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", name("x"), unique("name,route", "x:1")))
	insert(t, s,
		entity("services", "s2", name("X")),                      // case matters
		entity("services", "s3", unique("host", "x")),            // another field
		entity("routes", "r1", name("x")),                        // another kind
		entity("services", "s4", name("x"), workspace("second")), // another workspace
		entity("services", "s5"), entity("services", "s6"))       // no value at all
	for _, write := range []func(store.Tx, store.Entity) error{store.Tx.Insert, store.Tx.Put} {
		refused(t, s, &store.UniqueError{Kind: "services", Field: "name", Value: "x"}, func(tx store.Tx) error {
			return write(tx, entity("services", "s7", name("x")))
		})
		refused(t, s, &store.UniqueError{Kind: "services", Field: "name,route", Value: "x:1"}, func(tx store.Tx) error {
			return write(tx, entity("services", "s7", name("y"), unique("name,route", "x:1")))
		})
	}
	refused(t, s, &store.UniqueError{Kind: "services", Field: "name", Value: "x"}, func(tx store.Tx) error {
		return tx.Put(entity("services", "s5", name("x")))
	})
	// Two entities of one transaction, sent together or apart.
	for _, between := range []func(store.Tx) error{
		func(store.Tx) error { return nil },
		func(tx store.Tx) error {
			_, _, err := tx.List(store.Query{Workspace: "default", Kind: "services", Limit: 1})
			return err
		},
	} {
		refused(t, s, &store.UniqueError{Kind: "services", Field: "name", Value: "z"}, func(tx store.Tx) error {
			if err := tx.Insert(entity("services", "s8", name("z"))); err != nil {
				return err
			}
			if err := between(tx); err != nil {
				return err
			}
			return tx.Insert(entity("services", "s9", name("z")))
		})
	}
	// What the error says must not give secrets away.
	if text := (&store.UniqueError{Kind: "k", Field: "f", Value: "secret"}).Error(); strings.Contains(text, "secret") {
		t.Errorf("the error tells the value: %s", text)
	}
}

func testUniqueEverywhere(t *testing.T, s store.Store) {
	insert(t, s,
		entity("snis", "a", everywhere("name", "x"), name("x")), // two values, of which one counts within the workspace
		entity("snis", "b", workspace("second"), everywhere("name", "y"), unique("host", "h")),
		entity("vaults", "a", everywhere("name", "x"))) // another kind
	taken := &store.UniqueError{Kind: "snis", Field: "name", Value: "x"}
	for _, write := range []func(store.Tx, store.Entity) error{store.Tx.Insert, store.Tx.Put} {
		for _, w := range []string{"default", "second", "third"} {
			refused(t, s, taken, func(tx store.Tx) error { return write(tx, entity("snis", "c", workspace(w), everywhere("name", "x"))) })
		}
	}
	// Two entities of one transaction that lie in different workspaces.
	refused(t, s, &store.UniqueError{Kind: "snis", Field: "name", Value: "z"}, func(tx store.Tx) error {
		return errors.Join(tx.Insert(entity("snis", "c", everywhere("name", "z"))),
			tx.Insert(entity("snis", "d", workspace("second"), everywhere("name", "z"))))
	})
	find := func(workspace, value, want string) {
		t.Helper()
		view(t, s, func(r store.Reader) error {
			e, err := r.Find(workspace, "snis", "name", value)
			if want == "" {
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("find %q in %q: %v, want ErrNotFound", value, workspace, err)
				}
				return nil
			}
			noError(t, err)
			equal(t, "who is found", e.Workspace+"/"+e.ID, want)
			return nil
		})
	}
	find("", "x", "default/a")
	find("default", "x", "default/a")
	find("", "y", "second/b")
	find("second", "y", "")
	// The value moves to another workspace, and goes with its holder.
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Put(entity("snis", "b", workspace("second"), everywhere("name", "x"))), tx.Put(entity("snis", "a")))
	})
	find("", "x", "second/b")
	find("", "y", "")
	update(t, s, deleting("snis", "b"))
	find("", "x", "")
}

func testForeignID(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1"), entity("services", "old", expires(-time.Second)))
	taken := &store.UniqueError{Kind: "services", Field: "id", Value: "s1"}
	other := entity("services", "s1", workspace("second"))
	refused(t, s, taken, func(tx store.Tx) error { return tx.Insert(other) })
	refused(t, s, taken, func(tx store.Tx) error { return tx.Put(other) })
	refused(t, s, taken, func(tx store.Tx) error {
		if _, err := tx.Lock("services", "s1"); err != nil {
			return err
		}
		return tx.Put(other)
	})
	// Nobody has the id of one that expired or was deleted.
	update(t, s, func(tx store.Tx) error { return tx.Put(entity("services", "old", workspace("second"))) })
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.Delete("services", "s1"), tx.Put(other)) })
	equal(t, "what is there", names(t, s), []string{"services/old", "services/s1"})
}

func testUniqueMoves(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", name("a")), entity("services", "s2", name("b")))
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Put(entity("services", "s1", name("b"))), tx.Put(entity("services", "s2", name("a"))))
	})
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Delete("services", "s1"), tx.Insert(entity("services", "s3", name("b"))))
	})
	// Replacing an entity with another id by the same name, in one go.
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Put(entity("services", "s3")), tx.Insert(entity("services", "s4", name("b"))))
	})
	view(t, s, func(r store.Reader) error {
		for value, want := range map[string]string{"a": "s2", "b": "s4"} {
			e, err := r.Find("default", "services", "name", value)
			noError(t, err)
			equal(t, "who is "+value, e.ID, want)
		}
		return nil
	})
}

func testCancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Update(ctx, "tester", func(tx store.Tx) error {
		noError(t, tx.Insert(entity("services", "s1")))
		cancel()
		_, err := tx.Find("default", "services", "name", "x")
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update returned %v, want context.Canceled", err)
	}
	if err := s.View(ctx, func(store.Reader) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("View returned %v, want context.Canceled", err)
	}
	equal(t, "what is there", names(t, s), []string(nil))
	equal(t, "the next version", insert(t, s, entity("services", "s1")).Number, uint64(1))
}

func testBig(t *testing.T, s store.Store) {
	const count = 1100 // more than one batch, on any store
	pad := strings.Repeat("x", 500)
	var all []string
	for i := range count {
		all = append(all, fmt.Sprintf("s%04d", i))
	}
	v := update(t, s, func(tx store.Tx) error {
		for i, id := range all {
			e := entity("services", id, document(`"`+pad+`"`), name(id), tags("t"))
			if i > 0 {
				parent("before", "services", all[i-1], store.Cascade)(&e)
			}
			if err := tx.Insert(e); err != nil {
				return err
			}
		}
		return nil
	})
	equal(t, "the version", v.Number, uint64(1))
	log := changes(t, s, 0, 1)
	equal(t, "how many changes", len(log), count)
	for i, c := range log {
		if c.Ordinal != i || c.ID != all[i] {
			t.Fatalf("change %d is %d of %s, want %d of %s", i, c.Ordinal, c.ID, i, all[i])
		}
	}
	// The first name that is taken is found among many.
	refused(t, s, &store.UniqueError{Kind: "services", Field: "name", Value: "s0345"}, func(tx store.Tx) error {
		for i := range count {
			n := fmt.Sprintf("n%04d", i)
			if i == 1050 {
				n = "s0345"
			}
			if err := tx.Insert(entity("services", fmt.Sprintf("n%04d", i), name(n))); err != nil {
				return err
			}
		}
		return nil
	})
	// A chain of that length falls with its first link.
	equal(t, "the version", update(t, s, deleting("services", all[0])).Number, uint64(2))
	equal(t, "what is left", names(t, s), []string(nil))
	equal(t, "the last to fall", slices.MaxFunc(changes(t, s, 1, 1), func(a, b store.Change) int { return a.Ordinal - b.Ordinal }).ID, all[0])
}

// testBigReplacement writes many entities over others, so that stores that write
// many rows at once do so for each kind of row.
func testBigReplacement(t *testing.T, s store.Store) {
	const count = 300
	id := func(i int) string { return fmt.Sprintf("s%03d", i) }
	load := func(tx store.Tx, first int, round string, options ...func(*store.Entity)) error {
		for i := first; i < count; i++ {
			e := entity("services", id(i), document(`"`+round+`"`), name(round+id((i+1)%count)), everywhere("host", id((i+7)%count)),
				tags("t", round, "t"), parent("before", "services", id(max(first, i-1)), store.Cascade))
			for _, option := range options {
				option(&e)
			}
			if err := tx.Put(e); err != nil {
				return err
			}
		}
		return nil
	}
	far := expires(time.Hour)
	update(t, s, func(tx store.Tx) error { return load(tx, 0, "one") })
	update(t, s, func(tx store.Tx) error { return load(tx, 0, "two", far) })
	check := func(first int, round string) {
		t.Helper()
		view(t, s, func(r store.Reader) error {
			found := all(t, r)
			equal(t, "how many", len(found), count-first)
			for _, e := range found {
				equal(t, "the document", string(e.Document), `"`+round+`"`)
				equal(t, "an end", e.ExpiresAt.IsZero(), round == "one")
			}
			e, err := r.Find("default", "services", "name", round+id(100))
			noError(t, err)
			equal(t, "who has the name", e.ID, id(99))
			e, err = r.Find("", "services", "host", id(107))
			noError(t, err)
			equal(t, "who has the host", e.ID, id(100))
			for tag, want := range map[string]int{"t": count - first, round: count - first, "one": map[bool]int{true: count}[round == "one"]} {
				equal(t, "the tag "+tag, len(list(t, r, store.Query{Workspace: "default", Kind: "services", Limit: 1000, Tags: []string{tag}})), want)
			}
			equal(t, "children", list(t, r, store.Query{
				Workspace: "default", Kind: "services", Limit: 10, Parent: &store.Reference{Field: "before", Kind: "services", ID: id(200)},
			}), []string{id(201)})
			return nil
		})
	}
	check(0, "two")
	v := update(t, s, func(tx store.Tx) error {
		all(t, tx)
		for i := range 90 {
			if err := tx.Remove("services", id(i)); err != nil {
				return err
			}
		}
		return load(tx, 90, "two", far)
	})
	check(90, "two")
	log := changes(t, s, v.Number-1, 1)
	equal(t, "how many changes", len(log), count)
	for i, c := range log {
		want, before := store.Updated, `"two"`
		if i < 90 {
			want = store.Deleted
		}
		equal(t, "a change", []any{c.ID, c.Op, string(c.Before)}, []any{id(i), want, before})
	}
	// What is refused among many is named, and so is who is in the way.
	refused(t, s, &store.UniqueError{Kind: "services", Field: "name", Value: "two" + id(100)}, func(tx store.Tx) error {
		for i := range count {
			n := fmt.Sprint("new", i)
			if i == 250 {
				n = "two" + id(100)
			}
			if err := tx.Insert(entity("services", fmt.Sprint("new", i), name(n))); err != nil {
				return err
			}
		}
		return nil
	})
	refused(t, s, &store.ReferenceError{Kind: "services", Field: "before", ReferencedKind: "services", ID: "nobody"}, func(tx store.Tx) error {
		for i := range count {
			e := entity("services", fmt.Sprint("new", i), name(fmt.Sprint("new", i)))
			if i == 250 {
				parent("before", "services", "nobody", store.Cascade)(&e)
			}
			if err := tx.Put(e); err != nil {
				return err
			}
		}
		return nil
	})
	// An expired holder makes room for one of many.
	insert(t, s, entity("services", "old", name("kept"), expires(-time.Second)))
	update(t, s, func(tx store.Tx) error {
		for i := range count {
			n := fmt.Sprint("late", i)
			if i == 250 {
				n = "kept"
			}
			if err := tx.Insert(entity("services", fmt.Sprint("late", i), name(n))); err != nil {
				return err
			}
		}
		return nil
	})
}
