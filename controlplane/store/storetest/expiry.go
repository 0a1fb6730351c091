package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

func testExpiry(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1"),
		entity("keys", "old", name("old"), tags("t"), expires(-time.Second), parent("service", "services", "s1", store.Cascade)),
		entity("keys", "young", name("young"), tags("t"), expires(time.Hour), parent("service", "services", "s1", store.Cascade)))
	check := func(r store.Reader) {
		t.Helper()
		for _, err := range []error{second(r.Get("keys", "old")), second(r.Find("default", "keys", "name", "old"))} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("an expired entity: %v, want ErrNotFound", err)
			}
		}
		for what, q := range map[string]store.Query{
			"plain": {}, "by tag": {Tags: []string{"t"}},
			"by parent": {Parent: &store.Reference{Field: "service", Kind: "services", ID: "s1"}},
		} {
			q.Workspace, q.Kind, q.Limit = "default", "keys", 10
			equal(t, "list "+what, list(t, r, q), []string{"young"})
		}
		used, _, err := r.Tags(store.TagQuery{Workspace: "default", Limit: 10})
		noError(t, err)
		equal(t, "tags", used, []store.TagUse{{Tag: "t", Kind: "keys", ID: "young"}})
		for e, err := range r.All() {
			noError(t, err)
			if e.ID == "old" {
				t.Error("All shows an expired entity")
			}
		}
	}
	view(t, s, func(r store.Reader) error {
		check(r)
		return nil
	})
	update(t, s, func(tx store.Tx) error {
		check(tx)
		for what, err := range map[string]error{"Lock": second(tx.Lock("keys", "old")), "Delete": tx.Delete("keys", "old")} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s of an expired entity: %v, want ErrNotFound", what, err)
			}
		}
		return nil
	})
	// It still falls with its parent, and the log knows.
	v := update(t, s, deleting("services", "s1"))
	equal(t, "how many fell", len(changes(t, s, v.Number-1, 10)), 3)
}

func testExpiredHolder(t *testing.T, s store.Store) {
	for i, write := range []func(store.Tx) error{
		func(tx store.Tx) error { return tx.Insert(entity("keys", "new", name("n"))) }, // its value
		func(tx store.Tx) error { return tx.Insert(entity("keys", "old")) },            // its id
		func(tx store.Tx) error { return tx.Put(entity("keys", "old", name("n"))) },    // both
	} {
		insert(t, s, entity("keys", "old", name("n"), expires(-time.Second)))
		v := update(t, s, write)
		log := changes(t, s, v.Number-2, 10)
		equal(t, fmt.Sprintf("case %d: the log", i),
			[]string{log[0].Actor, string(log[0].Op), log[1].Actor, string(log[1].Op)},
			[]string{"ttl", "delete", "tester", "insert"})
		for _, name := range names(t, s) {
			update(t, s, deleting("keys", name[len("keys/"):]))
		}
	}
}

func testSweep(t *testing.T, s store.Store) {
	sweep := func(want int) {
		t.Helper()
		got, err := s.Sweep(t.Context())
		noError(t, err)
		equal(t, "how many fell", got, want)
	}
	insert(t, s, entity("keys", "forever"), entity("keys", "young", expires(time.Hour)))
	before := version(t, s)
	sweep(0)
	equal(t, "a sweep without work takes no version", version(t, s), before)

	var old []store.Entity
	for i := range 205 {
		old = append(old, entity("keys", fmt.Sprintf("old%d", i), expires(-time.Minute)))
	}
	insert(t, s, old...)
	insert(t, s,
		entity("held", "h", expires(-time.Hour)), entity("holders", "x", parent("held", "held", "h", store.Restrict)),
		entity("parents", "p", expires(-time.Hour)), entity("children", "c", parent("parent", "parents", "p", store.Cascade)))
	sweep(206)
	equal(t, "what is left", names(t, s), []string{"holders/x", "keys/forever", "keys/young"})
	sweep(0) // What is held stays, and is no endless work.
	update(t, s, deleting("holders", "x"))
	sweep(1)
	log := changes(t, s, version(t, s).Number-1, 10)
	equal(t, "the last change", log[0].Actor+" "+string(log[0].Op)+" "+log[0].ID, "ttl delete h")
}
