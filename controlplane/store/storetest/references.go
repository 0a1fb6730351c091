package storetest

import (
	"errors"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

func testMissingParent(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1"), entity("routes", "r1"))
	child := entity("routes", "r2", parent("service", "services", "s9", store.Cascade))
	missing := &store.ReferenceError{Kind: "routes", Field: "service", ReferencedKind: "services", ID: "s9"}
	for _, write := range []func(store.Tx, store.Entity) error{store.Tx.Insert, store.Tx.Put} {
		refused(t, s, missing, func(tx store.Tx) error { return write(tx, child) })
	}
	// Sent in the middle of the transaction, and with others.
	refused(t, s, missing, func(tx store.Tx) error {
		if err := errors.Join(tx.Insert(entity("services", "s2")), tx.Insert(child)); err != nil {
			return err
		}
		_, _, err := tx.List(store.Query{Workspace: "default", Kind: "routes", Limit: 1})
		return err
	})
	// An id of another kind is not the parent.
	refused(t, s, &store.ReferenceError{Kind: "routes", Field: "service", ReferencedKind: "services", ID: "r1"},
		func(tx store.Tx) error {
			return tx.Put(entity("routes", "r1", parent("service", "services", "r1", store.Restrict)))
		})
	// A parent that this very transaction deletes.
	refused(t, s, &store.ReferenceError{Kind: "routes", Field: "service", ReferencedKind: "services", ID: "s1"},
		func(tx store.Tx) error {
			return errors.Join(tx.Delete("services", "s1"),
				tx.Insert(entity("routes", "r2", parent("service", "services", "s1", store.Restrict))))
		})
	equal(t, "what is there", names(t, s), []string{"routes/r1", "services/s1"})
}

func testForeignParent(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "global", workspace("")), entity("services", "s1"),
		entity("services", "s2", workspace("second")))
	child := func(id, w, parentID string) store.Entity {
		return entity("routes", id, workspace(w), parent("service", "services", parentID, store.Cascade))
	}
	for _, tt := range []struct{ workspace, parent string }{
		{"default", "s2"}, {"second", "s1"}, {"", "s1"}, {"", "s2"},
	} {
		missing := &store.ReferenceError{Kind: "routes", Field: "service", ReferencedKind: "services", ID: tt.parent}
		for _, write := range []func(store.Tx, store.Entity) error{store.Tx.Insert, store.Tx.Put} {
			refused(t, s, missing, func(tx store.Tx) error { return write(tx, child("r", tt.workspace, tt.parent)) })
			// After one that may refer to it, and while the transaction has the
			// parent itself.
			refused(t, s, missing, func(tx store.Tx) error {
				e, err := tx.Lock("services", tt.parent)
				if err != nil {
					return err
				}
				return errors.Join(write(tx, child("q", e.Workspace, tt.parent)), write(tx, child("r", tt.workspace, tt.parent)))
			})
		}
	}
	missing := &store.ReferenceError{Kind: "routes", Field: "service", ReferencedKind: "services", ID: "new"}
	refused(t, s, missing, func(tx store.Tx) error {
		return errors.Join(tx.Insert(child("r", "second", "new")), tx.Insert(entity("services", "new")))
	})
	insert(t, s, child("r1", "default", "s1"), child("r2", "second", "s2"),
		child("r3", "default", "global"), child("r4", "second", "global"), child("r5", "", "global"))
	update(t, s, deleting("services", "global"))
	equal(t, "what is there", names(t, s), []string{"routes/r1", "routes/r2", "services/s1", "services/s2"})
}

func testChildFirst(t *testing.T, s store.Store) {
	for _, between := range []func(store.Tx) error{
		func(store.Tx) error { return nil },
		func(tx store.Tx) error { return second(tx.Version()) },
		func(tx store.Tx) error {
			_, _, err := tx.List(store.Query{Workspace: "default", Kind: "routes", Limit: 1})
			return err
		},
	} {
		update(t, s, func(tx store.Tx) error {
			if err := tx.Put(entity("routes", "r1", parent("service", "services", "s1", store.Restrict))); err != nil {
				return err
			}
			if err := between(tx); err != nil {
				return err
			}
			return tx.Put(entity("services", "s1"))
		})
		update(t, s, deleting("routes", "r1"))
		update(t, s, deleting("services", "s1"))
	}
}

func testRestrict(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1"),
		entity("routes", "r1", parent("service", "services", "s1", store.Restrict)),
		entity("loops", "l1", parent("self", "loops", "l1", store.Restrict)))
	referenced := &store.ReferencedError{Kind: "services", ID: "s1", By: "routes", ByID: "r1"}
	refused(t, s, referenced, deleting("services", "s1"))
	// The transaction may go on.
	update(t, s, func(tx store.Tx) error {
		got := new(store.ReferencedError)
		if err := tx.Delete("services", "s1"); !errors.As(err, &got) {
			t.Errorf("Delete: %v, want %v", err, referenced)
		}
		return tx.Put(entity("services", "s1", document(`"still here"`)))
	})
	equal(t, "the parent", get(t, s, "services", "s1"), `"still here"`)

	// Refusal further down the chain, and nothing of the chain falls.
	insert(t, s, entity("consumers", "c1"),
		entity("certificates", "x1", parent("consumer", "consumers", "c1", store.Cascade)),
		entity("upstreams", "u1", parent("certificate", "certificates", "x1", store.Restrict)))
	refused(t, s, &store.ReferencedError{Kind: "certificates", ID: "x1", By: "upstreams", ByID: "u1"}, deleting("consumers", "c1"))

	// A reference that falls too does not hinder.
	update(t, s, func(tx store.Tx) error {
		return tx.Put(entity("upstreams", "u1", parent("certificate", "certificates", "x1", store.Restrict),
			parent("consumer", "consumers", "c1", store.Cascade)))
	})
	update(t, s, deleting("consumers", "c1"))
	update(t, s, deleting("loops", "l1"))

	// A reference that was moved away does not hinder either.
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Put(entity("routes", "r1")), tx.Delete("services", "s1"))
	})
	equal(t, "what is there", names(t, s), []string{"routes/r1"})
}

func testCascade(t *testing.T, s store.Store) {
	insert(t, s,
		entity("services", "s1"), entity("services", "s2"),
		entity("routes", "r1", name("one"), tags("t"), parent("service", "services", "s1", store.Cascade)),
		entity("routes", "r2", parent("service", "services", "s2", store.Cascade)),
		// Two ways to the same end: it falls once.
		entity("plugins", "p1", parent("service", "services", "s1", store.Cascade), parent("route", "routes", "r1", store.Cascade)),
		entity("plugins", "p2", parent("route", "routes", "r1", store.Cascade)),
		entity("plugins", "p3", parent("route", "routes", "r2", store.Cascade)),
		// A ring.
		entity("loops", "l1", parent("next", "loops", "l2", store.Cascade)),
		entity("loops", "l2", parent("next", "loops", "l1", store.Cascade)))
	v := update(t, s, deleting("services", "s1"))
	equal(t, "what is left", names(t, s), []string{"loops/l1", "loops/l2", "plugins/p3", "routes/r2", "services/s2"})
	fell := map[string]int{}
	log := changes(t, s, v.Number-1, 100)
	for _, c := range log {
		equal(t, "the operation", c.Op, store.Deleted)
		if len(c.Before) == 0 || c.After != nil {
			t.Errorf("the log has before %q and after %q", c.Before, c.After)
		}
		fell[c.Kind+"/"+c.ID]++
	}
	equal(t, "what the log says", fell, map[string]int{"services/s1": 1, "routes/r1": 1, "plugins/p1": 1, "plugins/p2": 1})
	equal(t, "the last in the log", log[len(log)-1].ID, "s1")
	update(t, s, deleting("loops", "l1"))
	// What they were found by is free again.
	insert(t, s, entity("routes", "r9", name("one")))
	view(t, s, func(r store.Reader) error {
		used, _, err := r.Tags(store.TagQuery{Workspace: "default", Limit: 10})
		equal(t, "tags left", used, []store.TagUse(nil))
		return err
	})
}

func testSetNull(t *testing.T, s store.Store) {
	insert(t, s, entity("certificates", "c1"), entity("certificates", "c2"),
		entity("services", "s1", name("n"), tags("t"),
			document(`{"id":"s1", "cert" : {"id":"c1"},"other":{"cert":{"id":"c1"}},"x":1e2}`),
			parent("cert", "certificates", "c1", store.SetNull), parent("second", "certificates", "c2", store.Restrict)),
		// Both rules at once: the one that falls is not edited.
		entity("snis", "n1", document(`{"cert":1,"b":2}`),
			parent("cert", "certificates", "c1", store.SetNull), parent("b", "certificates", "c1", store.Cascade)),
		// Two fields that refer to the same entity.
		entity("services", "s2", document(`{"cert":1,"b":2,"c":3}`),
			parent("cert", "certificates", "c1", store.SetNull), parent("b", "certificates", "c1", store.SetNull)))
	v := update(t, s, deleting("certificates", "c1"))
	const want = `{"id":"s1", "cert" : null,"other":{"cert":{"id":"c1"}},"x":1e2}`
	equal(t, "the document", get(t, s, "services", "s1"), want)
	equal(t, "the other document", get(t, s, "services", "s2"), `{"cert":null,"b":null,"c":3}`)
	equal(t, "what is left", names(t, s), []string{"certificates/c2", "services/s1", "services/s2"})
	var ops []string
	for _, c := range changes(t, s, v.Number-1, 100) {
		ops = append(ops, string(c.Op)+" "+c.ID)
		if c.ID == "s1" {
			equal(t, "after, in the log", string(c.After), want)
		}
	}
	equal(t, "the log", ops, []string{"update s1", "update s2", "update s2", "delete n1", "delete c1"})

	// All else that belongs to the entity is as before.
	refused(t, s, &store.ReferencedError{Kind: "certificates", ID: "c2", By: "services", ByID: "s1"}, deleting("certificates", "c2"))
	view(t, s, func(r store.Reader) error {
		e, err := r.Find("default", "services", "name", "n")
		noError(t, err)
		equal(t, "found by name", e.ID, "s1")
		page, _, err := r.List(store.Query{Workspace: "default", Kind: "services", Limit: 9, Tags: []string{"t"}})
		equal(t, "found by tag", ids(page), []string{"s1"})
		return err
	})
	update(t, s, deleting("services", "s1"))
}

func testDeleteAndWrite(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", name("n"), document(`1`)),
		entity("routes", "r1", document(`{"service":1}`), parent("service", "services", "s1", store.SetNull)))
	v := update(t, s, func(tx store.Tx) error {
		return errors.Join(
			tx.Put(entity("services", "s1", name("n"), document(`2`))),
			tx.Delete("services", "s1"),
			tx.Insert(entity("services", "s1", name("n"), document(`3`))),
			tx.Put(entity("routes", "r2", parent("service", "services", "s1", store.Cascade))))
	})
	equal(t, "the document", get(t, s, "services", "s1"), "3")
	equal(t, "the child's document", get(t, s, "routes", "r1"), `{"service":null}`)
	var ops []string
	for _, c := range changes(t, s, v.Number-1, 100) {
		ops = append(ops, string(c.Op)+" "+c.ID+" "+string(c.Before)+"→"+string(c.After))
	}
	equal(t, "the log", ops, []string{"update s1 1→2", `update r1 {"service":1}→{"service":null}`,
		"delete s1 2→", "insert s1 →3", `insert r2 →{"id":"r2"}`})
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Insert(entity("services", "s5")), tx.Delete("services", "s5"))
	})
	equal(t, "deleting twice", second(s.Update(t.Context(), "tester", func(tx store.Tx) error {
		return errors.Join(tx.Delete("services", "s1"), tx.Delete("services", "s1"))
	})) != nil, true)
	equal(t, "what is there", names(t, s), []string{"routes/r1", "routes/r2", "services/s1"})
}
