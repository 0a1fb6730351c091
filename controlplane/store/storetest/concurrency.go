package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

const (
	writers = 8
	rounds  = 10

	// crowd is how many write at once when all have to get through.
	crowd = 50
)

// together runs f in several goroutines at once and waits for them.
func together(f func(writer int)) {
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// testCounter lets many writers add to one number.
func testCounter(t *testing.T, s store.Store, read func(tx store.Tx) (store.Entity, error)) {
	insert(t, s, entity("counters", "c", document(`0`), name("n")))
	together(func(int) {
		for range rounds {
			for {
				_, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
					e, err := read(tx)
					if err != nil {
						return err
					}
					n, err := strconv.Atoi(string(e.Document))
					if err != nil {
						return err
					}
					return tx.Put(entity("counters", "c", document(strconv.Itoa(n+1)), name("n")))
				})
				if errors.Is(err, store.ErrConflict) {
					continue // Nothing was written, and the caller heard it.
				}
				if err != nil {
					t.Errorf("Update: %v", err)
				}
				break
			}
		}
	})
	equal(t, "the counter", get(t, s, "counters", "c"), strconv.Itoa(writers*rounds))
	equal(t, "the version", version(t, s).Number, uint64(1+writers*rounds))
}

func testCounterLocked(t *testing.T, s store.Store) {
	testCounter(t, s, func(tx store.Tx) (store.Entity, error) { return tx.Lock("counters", "c") })
}

func testCounterUnlocked(t *testing.T, s store.Store) {
	reads := []func(tx store.Tx) (store.Entity, error){
		func(tx store.Tx) (store.Entity, error) { return tx.Get("counters", "c") },
		func(tx store.Tx) (store.Entity, error) { return tx.Find("default", "counters", "name", "n") },
		func(tx store.Tx) (store.Entity, error) {
			page, _, err := tx.List(store.Query{Workspace: "default", Kind: "counters", Limit: 1})
			if err != nil {
				return store.Entity{}, err
			}
			return page[0], nil
		},
	}
	var mu sync.Mutex
	next := 0
	testCounter(t, s, func(tx store.Tx) (store.Entity, error) {
		mu.Lock()
		read := reads[next%len(reads)]
		next++
		mu.Unlock()
		return read(tx)
	})
}

func testPutRace(t *testing.T, s store.Store) {
	together(func(writer int) {
		if _, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
			return tx.Put(entity("services", "s1", document(strconv.Itoa(writer)), name("n")))
		}); err != nil {
			t.Errorf("Put: %v", err)
		}
	})
	log := changes(t, s, 0, 100)
	equal(t, "how many changes", len(log), writers)
	equal(t, "the first is an insert", log[0].Op, store.Inserted)
	for i, c := range log[1:] {
		equal(t, "the others are updates", c.Op, store.Updated)
		equal(t, "each replaced the one before", string(c.Before), string(log[i].After))
	}
	equal(t, "the last one is kept", get(t, s, "services", "s1"), string(log[len(log)-1].After))

	var mu sync.Mutex
	inserted := 0
	together(func(writer int) {
		_, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
			return tx.Insert(entity("services", fmt.Sprintf("i%d", writer), name("wanted")))
		})
		mu.Lock()
		defer mu.Unlock()
		taken := new(store.UniqueError)
		switch {
		case err == nil:
			inserted++
		case !errors.As(err, &taken):
			t.Errorf("Insert: %v, want a UniqueError", err)
		}
	})
	equal(t, "how many got the name", inserted, 1)
}

func testWriters(t *testing.T, s store.Store) {
	var mu sync.Mutex
	got := map[uint64]bool{}
	together(func(writer int) {
		last := uint64(0)
		for i := range rounds {
			id := fmt.Sprintf("s%d-%d", writer, i)
			v, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
				return tx.Insert(entity("services", id, name(id)))
			})
			if err != nil {
				t.Errorf("Update: %v", err)
				return
			}
			if v.Number <= last {
				t.Errorf("version %d came after %d", v.Number, last)
			}
			last = v.Number
			mu.Lock()
			if got[v.Number] {
				t.Errorf("version %d was given twice", v.Number)
			}
			got[v.Number] = true
			mu.Unlock()
			// What is acknowledged is there, at that version or later.
			if err := s.View(t.Context(), func(r store.Reader) error {
				now, err := r.Version()
				if err == nil && now.Number < v.Number {
					t.Errorf("version %d is acknowledged, but %d is current", v.Number, now.Number)
				}
				return errors.Join(err, second(r.Get("services", id)))
			}); err != nil {
				t.Errorf("read own write: %v", err)
			}
		}
	})
	for n := uint64(1); n <= writers*rounds; n++ {
		if !got[n] {
			t.Errorf("version %d is missing", n)
		}
	}
	for i, c := range changes(t, s, 0, 1000) {
		equal(t, "the version of a change", c.Version, uint64(i+1))
	}
}

func testCrowd(t *testing.T, s store.Store) {
	var all sync.WaitGroup
	for writer := range crowd {
		all.Go(func() {
			for i := range 4 {
				id := fmt.Sprintf("s%d-%d", writer, i)
				if _, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
					return tx.Insert(entity("services", id, name(id), tags("t")))
				}); err != nil {
					t.Errorf("writer %d: %v", writer, err)
				}
			}
		})
	}
	all.Wait()
	equal(t, "the version", version(t, s).Number, uint64(4*crowd))
}

func testParentRace(t *testing.T, s store.Store) {
	// Some make children, others change the parent, others delete and make it.
	together(func(writer int) {
		for i := range rounds {
			_, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
				switch writer % 4 {
				case 0:
					if err := tx.Delete("services", "s1"); !errors.Is(err, store.ErrNotFound) {
						return err
					}
					return nil
				case 1:
					if _, err := tx.Lock("services", "s1"); err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					return tx.Put(entity("services", "s1", document(strconv.Itoa(i))))
				default:
					return tx.Insert(entity("routes", fmt.Sprintf("r%d-%d", writer, i),
						parent("service", "services", "s1", store.Cascade)))
				}
			})
			missing := new(store.ReferenceError)
			if err != nil && !errors.As(err, &missing) && !errors.Is(err, store.ErrConflict) {
				t.Errorf("Update: %v", err)
			}
		}
	})
	// The log leads to what is there, and no child is without its parent.
	there := map[string]bool{}
	for _, c := range changes(t, s, 0, 10000) {
		there[c.Kind+"/"+c.ID] = c.Op != store.Deleted
	}
	children := 0
	for _, name := range names(t, s) {
		if !there[name] {
			t.Errorf("%s is there, but not by the log", name)
		}
		delete(there, name)
		if name != "services/s1" {
			children++
		}
	}
	for name, present := range there {
		if present {
			t.Errorf("%s is there by the log, but is not", name)
		}
	}
	if children > 0 && get(t, s, "services", "s1") == "" {
		t.Errorf("%d children have no parent", children)
	}
}

func testWatch(t *testing.T, s store.Store) {
	start := insert(t, s, entity("services", "s0"))
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	const watchers = 3
	seen := make([]chan store.Version, watchers)
	var running sync.WaitGroup
	for i := range seen {
		seen[i] = make(chan store.Version, 1000)
		running.Go(func() {
			if err := s.Watch(ctx, func(v store.Version) { seen[i] <- v }); err != nil {
				t.Errorf("Watch: %v", err)
			}
		})
	}
	var last [watchers]store.Version
	until := func(want store.Version) {
		t.Helper()
		for i, versions := range seen {
			for last[i] != want {
				select {
				case v := <-versions:
					if v.Epoch != start.Epoch || v.Number <= last[i].Number {
						t.Errorf("watcher %d saw %+v after %+v", i, v, last[i])
					}
					last[i] = v
				case <-ctx.Done():
					t.Fatalf("watcher %d last saw %+v, want %+v", i, last[i], want)
				}
			}
		}
	}
	until(start) // the current version comes first
	for round := range 3 {
		together(func(writer int) {
			for i := range 3 {
				if _, err := s.Update(ctx, "tester", func(tx store.Tx) error {
					return tx.Insert(entity("services", fmt.Sprintf("s%d-%d-%d", round, writer, i)))
				}); err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
		until(version(t, s))
	}
	cancel()
	running.Wait()
}

func testWatchEnds(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, func(store.Version) { cancel() }) }()
	select {
	case err := <-done:
		noError(t, err)
	case <-time.After(patience):
		t.Fatal("Watch does not end with its context")
	}
	// A context that has ended already.
	noError(t, s.Watch(ctx, func(v store.Version) { t.Errorf("Watch saw %+v after its end", v) }))
}
