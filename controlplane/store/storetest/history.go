package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// versions reads the numbers of all versions in pages of a size.
func versions(t *testing.T, s store.Store, limit int) (numbers []uint64) {
	t.Helper()
	view(t, s, func(r store.Reader) error {
		before := uint64(0)
		for {
			page, more, err := r.Versions(before, limit)
			noError(t, err)
			for _, p := range page {
				numbers = append(numbers, p.Number)
			}
			if !more {
				return nil
			}
			if len(page) != limit {
				t.Fatalf("a page that is not the last has %d versions, want %d", len(page), limit)
			}
			before = page[len(page)-1].Number
		}
	})
	return numbers
}

// at reads a version: documents by workspace, kind and id, without those that
// are there from the start.
func at(r store.Reader, number uint64) (map[string]string, error) {
	state := map[string]string{}
	last := ""
	for e, err := range r.At(number) {
		if err != nil {
			return nil, err
		}
		if key := e.Kind + "\x00" + e.ID; key <= last {
			return nil, fmt.Errorf("%q came after %q", key, last)
		} else {
			last = key
		}
		if e.Kind != "workspaces" {
			state[e.Workspace+"/"+e.Kind+"/"+e.ID] = string(e.Document)
		}
	}
	return state, nil
}

// current is at for what All returns.
func current(t *testing.T, r store.Reader) map[string]string {
	state := map[string]string{}
	for _, e := range all(t, r) {
		state[e.Workspace+"/"+e.Kind+"/"+e.ID] = string(e.Document)
	}
	return state
}

func testPast(t *testing.T, s store.Store) {
	equal(t, "versions of an empty store", versions(t, s, 10), []uint64(nil))
	start := time.Now().Add(-time.Second)
	insert(t, s, entity("services", "s1"), entity("services", "s2"), entity("routes", "r1", parent("service", "services", "s1", store.Cascade)))
	_, err := s.Update(t.Context(), "someone else", func(tx store.Tx) error {
		return errors.Join(
			tx.Put(entity("services", "s2", document(`1`))), tx.Put(entity("services", "s2", document(`2`))), // one update
			tx.Insert(entity("services", "s3")), tx.Put(entity("services", "s3", document(`1`))), // one creation
			tx.Insert(entity("services", "s4")), tx.Delete("services", "s4"), // nothing
			tx.Delete("services", "s1"),         // two deletions
			tx.Insert(entity("services", "s1"))) // of which one is an update
	})
	noError(t, err)
	epoch := version(t, s).Epoch
	want := []store.Past{
		{Version: store.Version{Epoch: epoch, Number: 2}, Actor: "someone else", Created: 1, Updated: 2, Deleted: 1},
		{Version: store.Version{Epoch: epoch, Number: 1}, Actor: "tester", Created: 3},
	}
	view(t, s, func(r store.Reader) error {
		page, more, err := r.Versions(0, 10)
		noError(t, err)
		equal(t, "more", more, false)
		if diff := cmp.Diff(want, page, cmpopts.IgnoreFields(store.Past{}, "Time")); diff != "" {
			t.Errorf("the versions (-want +got):\n%s", diff)
		}
		for _, p := range page {
			if p.Time.Before(start) || p.Time.After(time.Now().Add(time.Second)) {
				t.Errorf("version %d was made at %v", p.Number, p.Time)
			}
		}
		return nil
	})
	for i := range 3 {
		insert(t, s, entity("services", fmt.Sprint("x", i)))
	}
	for limit := 1; limit <= 6; limit++ {
		equal(t, fmt.Sprintf("pages of %d", limit), versions(t, s, limit), []uint64{5, 4, 3, 2, 1})
	}
	view(t, s, func(r store.Reader) error {
		for before, want := range map[uint64]int{1: 0, 2: 1, 3: 2, 100: 5, math.MaxUint64: 5} {
			page, _, err := r.Versions(before, 10)
			noError(t, err)
			equal(t, fmt.Sprintf("how many before %d", before), len(page), want)
		}
		if _, _, err := r.Versions(0, 0); err == nil {
			t.Error("Versions took a limit of 0")
		}
		return nil
	})
}

func testPublished(t *testing.T, s store.Store) {
	v := insert(t, s, entity("services", "s1"))
	for _, publish := range []struct {
		version store.Version
		hash    string
	}{
		{v, "aa"},
		{v, "bb"}, // by a later release, perhaps
		{store.Version{Epoch: v.Epoch, Number: 2}, "cc"}, // there is none
		{store.Version{Epoch: "another", Number: 1}, "dd"},
		{store.Version{Epoch: v.Epoch}, "ee"},
	} {
		noError(t, s.Published(t.Context(), publish.version, publish.hash))
	}
	equal(t, "the version", insert(t, s, entity("services", "s2")).Number, uint64(2))
	view(t, s, func(r store.Reader) error {
		page, _, err := r.Versions(0, 10)
		noError(t, err)
		equal(t, "the hashes", []string{page[0].Hash, page[1].Hash}, []string{"", "aa"})
		return nil
	})
}

// randomWrite is a transaction of a few writes, of which some are refused.
func randomWrite(random *rand.Rand) func(store.Tx) error {
	id := func() string { return string(rune('a' + random.IntN(6))) }
	one := func(tx store.Tx) error {
		text := document(fmt.Sprintf(`{"n":%d,"certificate":1}`, random.IntN(1000)))
		e := entity("services", id(), text, name(id()), tags(id()))
		switch random.IntN(8) {
		case 0, 1:
			parent("certificate", "certificates", id(), store.SetNull)(&e)
		case 2, 3:
			e = entity("routes", id(), text, name(id()), parent("service", "services", id(), store.Restrict))
		case 4:
			e = entity("plugins", id(), text, parent("route", "routes", id(), store.Cascade), parent("consumer", "consumers", id(), store.Cascade))
		case 5:
			e = entity("consumers", id(), text)
		case 6:
			e = entity("certificates", id(), text, workspace(""), everywhere("name", id()))
		}
		switch random.IntN(4) {
		case 0:
			return tx.Insert(e)
		case 1:
			if err := tx.Delete(e.Kind, e.ID); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			return nil
		default:
			return tx.Put(e)
		}
	}
	steps := 1 + random.IntN(4)
	return func(tx store.Tx) error {
		for range steps {
			if err := one(tx); err != nil {
				return err
			}
		}
		return nil
	}
}

// restore makes the state of a version the newest one.
func restore(t *testing.T, s store.Store, number uint64) (store.Version, error) {
	return s.Update(t.Context(), "restorer", func(tx store.Tx) error {
		if err := tx.Hold(); err != nil {
			return err
		}
		there := map[[2]string]store.Entity{}
		for _, e := range all(t, tx) {
			there[[2]string{e.Kind, e.ID}] = e
		}
		var wanted []store.Entity
		for e, err := range tx.At(number) {
			if err != nil {
				return err
			}
			if e.Kind == "workspaces" {
				continue
			}
			old, ok := there[[2]string{e.Kind, e.ID}]
			delete(there, [2]string{e.Kind, e.ID})
			if !ok || string(old.Document) != string(e.Document) {
				wanted = append(wanted, e)
			}
		}
		for _, e := range there {
			if err := tx.Remove(e.Kind, e.ID); err != nil {
				return err
			}
		}
		for _, e := range wanted {
			if err := tx.Put(e); err != nil {
				return err
			}
		}
		return nil
	})
}

func testAt(t *testing.T, s store.Store) {
	random := rand.New(rand.NewPCG(1, 2))
	states := []map[string]string{{}}
	for len(states) <= 100 {
		before := version(t, s).Number
		v, err := s.Update(t.Context(), "tester", randomWrite(random))
		taken, missing, used := new(store.UniqueError), new(store.ReferenceError), new(store.ReferencedError)
		if err != nil && !errors.As(err, &taken) && !errors.As(err, &missing) && !errors.As(err, &used) {
			t.Fatalf("Update: %v", err)
		}
		if err != nil || v.Number == before {
			continue
		}
		view(t, s, func(r store.Reader) error {
			states = append(states, current(t, r))
			return nil
		})
	}
	check := func() {
		t.Helper()
		view(t, s, func(r store.Reader) error {
			for number, want := range states {
				got, err := at(r, uint64(number))
				noError(t, err)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("version %d (-want +got):\n%s", number, diff)
				}
			}
			return nil
		})
	}
	check()
	// Any state can come back, and the way there is history too.
	for range 10 {
		number := random.IntN(len(states))
		before := len(states) - 1
		v, err := restore(t, s, uint64(number))
		noError(t, err)
		if v.Number != uint64(before) { // else there was nothing to do
			states = append(states, states[number])
		}
	}
	check()
}

func testAtRefused(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1"), entity("keys", "k", document(`"old"`), expires(-time.Second)))
	update(t, s, deleting("services", "s1"))
	view(t, s, func(r store.Reader) error {
		_, err := at(r, 3)
		got := new(store.VersionError)
		if !errors.As(err, &got) {
			t.Fatalf("a version to come: %v, want a *VersionError", err)
		}
		equal(t, "the error", *got, store.VersionError{Number: 3, Oldest: 0, Newest: 2})
		for number, want := range []map[string]string{
			{}, {"default/services/s1": `{"id":"s1"}`, "default/keys/k": `"old"`}, {"default/keys/k": `"old"`},
		} {
			got, err := at(r, uint64(number))
			noError(t, err)
			equal(t, fmt.Sprintf("version %d, with what has expired since", number), got, want)
		}
		for range r.At(1) {
			break // an early end is fine
		}
		return nil
	})
	if _, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
		noError(t, tx.Put(entity("services", "s2")))
		return second(at(tx, 1))
	}); err == nil {
		t.Error("a transaction that has written read an older version")
	}
	n, err := s.Sweep(t.Context())
	noError(t, err)
	equal(t, "how many fell", n, 1)
	view(t, s, func(r store.Reader) error {
		got, err := at(r, 2)
		equal(t, "after the sweep", got, map[string]string{"default/keys/k": `"old"`})
		return err
	})
}

func testPrune(t *testing.T, s store.Store) {
	prune := func(keep store.Retention, want int) {
		t.Helper()
		n, err := s.Prune(t.Context(), keep)
		noError(t, err)
		equal(t, fmt.Sprintf("how many versions %+v takes away", keep), n, want)
	}
	for _, keep := range []store.Retention{{}, {Age: time.Nanosecond}, {Versions: 1}} {
		prune(keep, 0) // There is nothing yet.
	}
	for i := range 10 {
		insert(t, s, entity("services", fmt.Sprint("s", i)), entity("routes", fmt.Sprint("r", i)))
	}
	update(t, s, deleting("services", "s0"))
	before := version(t, s)
	prune(store.Retention{}, 0)
	prune(store.Retention{Age: time.Hour}, 0)
	prune(store.Retention{Versions: 11}, 0)
	equal(t, "the versions", len(versions(t, s, 100)), 11)

	prune(store.Retention{Age: time.Hour, Versions: 4}, 7)
	prune(store.Retention{Versions: 4}, 0)
	equal(t, "the versions", versions(t, s, 100), []uint64{11, 10, 9, 8})
	log := changes(t, s, 0, 100)
	equal(t, "the first change", log[0].Version, uint64(8))
	equal(t, "how many changes", len(log), 7)
	view(t, s, func(r store.Reader) error {
		for number := range uint64(13) {
			state, err := at(r, number)
			if number >= 8 && number <= 11 {
				noError(t, err)
				want := 2 * number
				if number == 11 {
					want = 19
				}
				equal(t, fmt.Sprintf("entities in version %d", number), uint64(len(state)), want)
				continue
			}
			got := new(store.VersionError)
			if !errors.As(err, &got) {
				t.Fatalf("version %d: %v, want a *VersionError", number, err)
			}
			equal(t, "the error", *got, store.VersionError{Number: number, Oldest: 8, Newest: 11})
		}
		return nil
	})
	// All but the newest version are old by now.
	prune(store.Retention{Age: time.Nanosecond}, 3)
	equal(t, "the versions", versions(t, s, 100), []uint64{11})
	equal(t, "the version", version(t, s), before)
	equal(t, "the next version", insert(t, s, entity("services", "new")).Number, uint64(12))
	view(t, s, func(r store.Reader) error {
		state, err := at(r, 11)
		equal(t, "entities in version 11", len(state), 19)
		return err
	})
}

func testPruneMuch(t *testing.T, s store.Store) {
	var many []store.Entity
	for i := range 1200 { // more than one transaction's worth
		many = append(many, entity("services", fmt.Sprint("s", i)))
	}
	insert(t, s, many...)
	update(t, s, deleting("services", "s0"))
	n, err := s.Prune(t.Context(), store.Retention{Versions: 1})
	noError(t, err)
	equal(t, "how many went", n, 1)
	equal(t, "what the log has", len(changes(t, s, 0, 10)), 1)
	equal(t, "what is there", len(names(t, s)), 1199)
}

func testRemove(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", name("n"), tags("t")), entity("services", "s2"), entity("consumers", "c"),
		entity("routes", "r1", parent("service", "services", "s1", store.Cascade)),
		entity("routes", "r2", parent("service", "services", "s1", store.Restrict)))
	// No rule is carried out: what refers to it has to be seen to.
	if _, err := s.Update(t.Context(), "tester", func(tx store.Tx) error { return tx.Remove("services", "s1") }); !errors.Is(err, store.ErrConflict) {
		t.Errorf("removing what others refer to: %v, want ErrConflict", err)
	}
	for what, see := range map[string]func(store.Tx) error{
		"unseen": func(store.Tx) error { return nil },
		"got":    func(tx store.Tx) error { return second(tx.Get("services", "s1")) },
		"locked": func(tx store.Tx) error { return second(tx.Lock("services", "s1")) },
		"all":    func(tx store.Tx) error { all(t, tx); return nil },
	} {
		failure := errors.New("enough seen")
		_, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
			noError(t, see(tx))
			noError(t, tx.Remove("services", "s1"))
			for _, err := range []error{tx.Remove("services", "s1"), tx.Remove("services", "s9"), second(tx.Get("services", "s1"))} {
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s: what is not there: %v, want ErrNotFound", what, err)
				}
			}
			noError(t, tx.Insert(entity("services", "s3", name("n")))) // the name is free
			equal(t, what+": all", ids(all(t, tx)), []string{"c", "r1", "r2", "s2", "s3"})
			noError(t, tx.Put(entity("services", "s1", document(`"back"`))))
			equal(t, what+": all", ids(all(t, tx)), []string{"c", "r1", "r2", "s1", "s2", "s3"})
			return failure
		})
		if !errors.Is(err, failure) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	v := update(t, s, func(tx store.Tx) error {
		all(t, tx)
		return errors.Join(
			tx.Remove("services", "s1"), tx.Remove("routes", "r1"),
			tx.Put(entity("routes", "r2", document(`2`), parent("service", "services", "s2", store.Restrict))),
			tx.Put(entity("consumers", "c", document(`3`))), tx.Remove("consumers", "c"), // put unseen
			tx.Insert(entity("services", "s3", name("n"))))
	})
	equal(t, "what is left", names(t, s), []string{"routes/r2", "services/s2", "services/s3"})
	var log []string
	for _, c := range changes(t, s, v.Number-1, 10) {
		log = append(log, fmt.Sprintf("%s %s/%s %s→%s", c.Op, c.Workspace, c.ID, c.Before, c.After))
	}
	equal(t, "the log", log, []string{`delete default/s1 {"id":"s1"}→`, `delete default/r1 {"id":"r1"}→`, `update default/r2 {"id":"r2"}→2`,
		`update default/c {"id":"c"}→3`, `delete default/c 3→`, `insert default/s3 →{"id":"s3"}`})
}

// testHold copies a whole that others change all the time.
func testHold(t *testing.T, s store.Store) {
	insert(t, s, entity("pair", "left", document(`0`)), entity("pair", "right", document(`0`)))
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var all sync.WaitGroup
	for writer := range 3 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				// Both sides always change together.
				text := document(fmt.Sprintf(`"%d-%d"`, writer, i))
				if _, err := s.Update(ctx, "tester", func(tx store.Tx) error {
					return errors.Join(tx.Put(entity("pair", "left", text)), tx.Put(entity("pair", "right", text)))
				}); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrConflict) {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	for i := range 10 {
		v, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
			noError(t, tx.Hold())
			before, err := tx.Version()
			noError(t, err)
			left, err := tx.Get("pair", "left")
			noError(t, err)
			right, err := tx.Get("pair", "right")
			noError(t, err)
			equal(t, "the two sides", string(left.Document), string(right.Document))
			after, err := tx.Version()
			noError(t, err)
			equal(t, "the version", after, before)
			return tx.Put(entity("copies", fmt.Sprint(i), document(fmt.Sprint(before.Number))))
		})
		noError(t, err)
		equal(t, "nobody came between", get(t, s, "copies", fmt.Sprint(i)), fmt.Sprint(v.Number-1))
	}
	cancel()
	all.Wait()
}
