package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// list reads all pages of a query and checks that they are full.
func list(t *testing.T, r store.Reader, q store.Query) []string {
	t.Helper()
	var found []string
	for {
		page, more, err := r.List(q)
		noError(t, err)
		found = append(found, ids(page)...)
		if !more {
			return found
		}
		if len(page) != q.Limit {
			t.Fatalf("a page that is not the last has %d entities, want %d", len(page), q.Limit)
		}
		q.AfterID = page[len(page)-1].ID
	}
}

func testList(t *testing.T, s store.Store) {
	// The order is that of bytes, not of any language.
	want := []string{"-", "10", "2", "A", "Z", "_", "a", "ab", "b", "é"}
	for _, i := range rand.Perm(len(want)) {
		insert(t, s, entity("services", want[i]))
	}
	insert(t, s, entity("services", "other", workspace("second")), entity("routes", "other"))
	view(t, s, func(r store.Reader) error {
		for limit := 1; limit <= len(want)+1; limit++ {
			equal(t, fmt.Sprintf("pages of %d", limit),
				list(t, r, store.Query{Workspace: "default", Kind: "services", Limit: limit}), want)
		}
		equal(t, "the other workspace", list(t, r, store.Query{Workspace: "second", Kind: "services", Limit: 5}), []string{"other"})
		equal(t, "no such kind", list(t, r, store.Query{Workspace: "default", Kind: "plugins", Limit: 5}), []string(nil))
		equal(t, "after an id that is not there", list(t, r,
			store.Query{Workspace: "default", Kind: "services", Limit: 3, AfterID: "aa"}), []string{"ab", "b", "é"})
		return nil
	})
}

func testListTags(t *testing.T, s store.Store) {
	insert(t, s,
		entity("services", "s1", tags("a")), entity("services", "s2", tags("a", "b", "a")),
		entity("services", "s3", tags("b", "c")), entity("services", "s4", tags("A")), entity("services", "s5"),
		entity("services", "s6", tags("a", "b"), workspace("second")), entity("routes", "r1", tags("a", "b")))
	check := func(any bool, tags []string, want ...string) {
		t.Helper()
		view(t, s, func(r store.Reader) error {
			for limit := 1; limit <= 3; limit++ {
				q := store.Query{Workspace: "default", Kind: "services", Limit: limit, Tags: tags, AnyTag: any}
				equal(t, fmt.Sprintf("tags %v, any %v, limit %d", tags, any, limit), list(t, r, q), want)
			}
			return nil
		})
	}
	check(false, []string{"a"}, "s1", "s2")
	check(false, []string{"a", "b"}, "s2")
	check(false, []string{"a", "a"}, "s1", "s2")
	check(false, []string{"a", "b", "c"})
	check(true, []string{"a", "b"}, "s1", "s2", "s3")
	check(true, []string{"c", "A"}, "s3", "s4")
	check(true, []string{"%", "*"})
	update(t, s, func(tx store.Tx) error { return tx.Put(entity("services", "s2", tags("b"))) })
	check(false, []string{"a"}, "s1")
}

func testListParent(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1"), entity("services", "s2"), entity("consumers", "s1"))
	for i := range 5 {
		insert(t, s,
			entity("routes", fmt.Sprintf("r%d", i), tags("t"), parent("service", "services", "s1", store.Restrict)),
			entity("routes", fmt.Sprintf("x%d", i), parent("service", "services", "s2", store.Restrict)),
			entity("plugins", fmt.Sprintf("p%d", i), parent("service", "services", "s1", store.Cascade)),
			entity("routes", fmt.Sprintf("y%d", i), parent("second", "services", "s1", store.Restrict)),
			entity("routes", fmt.Sprintf("c%d", i), parent("service", "consumers", "s1", store.Restrict)))
	}
	view(t, s, func(r store.Reader) error {
		for limit := 1; limit <= 6; limit++ {
			q := store.Query{Workspace: "default", Kind: "routes", Limit: limit,
				Parent: &store.Reference{Field: "service", Kind: "services", ID: "s1"}}
			equal(t, "routes of s1", list(t, r, q), []string{"r0", "r1", "r2", "r3", "r4"})
			q.Tags = []string{"t"}
			equal(t, "with a tag", len(list(t, r, q)), 5)
			q.Tags = []string{"u"}
			equal(t, "with another tag", len(list(t, r, q)), 0)
			q.Parent.ID, q.Tags = "s3", nil
			equal(t, "routes of nobody", len(list(t, r, q)), 0)
		}
		return nil
	})
}

func testTags(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", tags("b", "a")), entity("routes", "r2", tags("b")), entity("services", "s0", tags("b")),
		entity("services", "w", tags("b"), workspace("second")))
	want := []store.TagUse{{Tag: "a", Kind: "services", ID: "s1"}, {Tag: "b", Kind: "routes", ID: "r2"},
		{Tag: "b", Kind: "services", ID: "s0"}, {Tag: "b", Kind: "services", ID: "s1"}}
	view(t, s, func(r store.Reader) error {
		for limit := 1; limit <= 5; limit++ {
			for tag, want := range map[string][]store.TagUse{"": want, "a": want[:1], "b": want[1:], "c": nil} {
				q := store.TagQuery{Workspace: "default", Limit: limit, Tag: tag}
				var got []store.TagUse
				for {
					page, more, err := r.Tags(q)
					noError(t, err)
					got = append(got, page...)
					if !more {
						break
					}
					q.After = page[len(page)-1]
				}
				equal(t, fmt.Sprintf("uses of tag %q in pages of %d", tag, limit), got, want)
			}
		}
		return nil
	})
}

func testPaging(t *testing.T, s store.Store) {
	var before []string
	var first []store.Entity
	for range 60 {
		id := fmt.Sprintf("%016x", rand.Uint64())
		before = append(before, id)
		first = append(first, entity("services", id))
	}
	insert(t, s, first...)
	slices.Sort(before)

	stop := make(chan struct{})
	var writers sync.WaitGroup
	defer writers.Wait()
	defer close(stop)
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%016x", rand.Uint64())
				if _, err := s.Update(t.Context(), "writer", func(tx store.Tx) error {
					return tx.Insert(entity("services", id))
				}); err != nil {
					t.Errorf("insert: %v", err)
					return
				}
			}
		})
	}
	for range 3 {
		q := store.Query{Workspace: "default", Kind: "services", Limit: 7}
		var found []string
		for more := true; more; {
			view(t, s, func(r store.Reader) error { // a view for each page, as the Admin API has
				page, next, err := r.List(q)
				more = next
				if len(page) > 0 {
					q.AfterID = page[len(page)-1].ID
				}
				found = append(found, ids(page)...)
				return err
			})
		}
		if !slices.IsSortedFunc(found, func(a, b string) int {
			if a == b {
				return 1 // the same entity twice
			}
			return strings.Compare(a, b)
		}) {
			t.Error("an entity came twice or out of order")
		}
		for _, id := range before {
			if _, ok := slices.BinarySearch(found, id); !ok {
				t.Errorf("%s was there from the start and is not on any page", id)
			}
		}
	}
}

func testAll(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "b"), entity("services", "a", workspace("second")), entity("routes", "z"),
		entity("Services", "x"), entity("services", "c", workspace("")))
	equal(t, "everything", names(t, s), []string{"Services/x", "routes/z", "services/a", "services/b", "services/c"})
	view(t, s, func(r store.Reader) error {
		for e, err := range r.All() {
			noError(t, err)
			// Other reads go on meanwhile.
			again, err := r.Get(e.Kind, e.ID)
			noError(t, err)
			equal(t, "the same entity", again, e)
			if e.ID == "a" {
				break // and an early end is fine
			}
		}
		return nil
	})
}

func testView(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1", document(`1`), name("n")), entity("services", "s2"))
	view(t, s, func(r store.Reader) error {
		v, err := r.Version()
		noError(t, err)
		update(t, s, func(tx store.Tx) error { return tx.Put(entity("services", "s1", document(`2`))) })
		update(t, s, deleting("services", "s2"))
		insert(t, s, entity("services", "s3"))

		again, err := r.Version()
		noError(t, err)
		equal(t, "the version", again, v)
		e, err := r.Get("services", "s1")
		noError(t, err)
		equal(t, "the document", string(e.Document), `1`)
		_, err = r.Find("default", "services", "name", "n")
		noError(t, err)
		equal(t, "the list", list(t, r, store.Query{Workspace: "default", Kind: "services", Limit: 1}), []string{"s1", "s2"})
		equal(t, "all", ids(all(t, r)), []string{"s1", "s2"})
		log, err := r.Changes(0, 100)
		noError(t, err)
		equal(t, "changes", len(log), 2)
		return nil
	})
	equal(t, "afterwards", names(t, s), []string{"services/s1", "services/s3"})
}

func testChildren(t *testing.T, s store.Store) {
	insert(t, s, entity("services", "s1"), entity("services", "s2"), entity("services", "s3"), entity("consumers", "s1"),
		entity("routes", "r3", parent("service", "services", "s1", store.Restrict)),
		entity("routes", "r1", parent("service", "services", "s2", store.Restrict)),
		entity("routes", "r2", parent("service", "services", "s1", store.Restrict), parent("backup", "services", "s3", store.Restrict)),
		entity("routes", "r4", parent("service", "services", "s3", store.Restrict)),
		entity("plugins", "p1", parent("service", "services", "s1", store.Cascade)),
		entity("plugins", "p2", parent("consumer", "consumers", "s1", store.Cascade)))
	check := func(r store.Reader, want []string, kind, field, parentKind string, parents ...string) {
		t.Helper()
		found, err := r.Children(kind, field, parentKind, parents...)
		noError(t, err)
		equal(t, fmt.Sprintf("%s by %s of %s", kind, field, parentKind), ids(found), want)
		counts, err := r.CountChildren(kind, field, parentKind, parents...)
		noError(t, err)
		n := 0
		for _, one := range counts {
			n += one
		}
		equal(t, fmt.Sprintf("the number of %s by %s of %s", kind, field, parentKind), n, len(want))
	}
	view(t, s, func(r store.Reader) error {
		check(r, []string{"r1", "r2", "r3"}, "routes", "service", "services", "s1", "s2")
		check(r, []string{"r2"}, "routes", "backup", "services", "s1", "s2", "s3")
		check(r, []string{"p1"}, "plugins", "service", "services", "s1", "none")
		check(r, nil, "plugins", "consumer", "services", "s1")
		check(r, nil, "routes", "service", "services")
		many := []string{"s3"}
		for i := range 2500 {
			many = append(many, fmt.Sprint("none", i))
		}
		check(r, []string{"r2", "r3", "r4"}, "routes", "service", "services", append(many, "s1")...)
		counts, err := r.CountChildren("routes", "service", "services", "s1", "s2", "none")
		noError(t, err)
		equal(t, "counts", counts, map[string]int{"s1": 2, "s2": 1})
		found, err := r.Several("routes", append(many, "r4", "r1", "p1")...)
		noError(t, err)
		equal(t, "several", ids(found), []string{"r1", "r4"})
		return nil
	})
	update(t, s, func(tx store.Tx) error {
		noError(t, tx.Delete("routes", "r3"))
		noError(t, tx.Insert(entity("routes", "r0", parent("service", "services", "s1", store.Restrict))))
		check(tx, []string{"r0", "r2"}, "routes", "service", "services", "s1")
		return nil
	})
}
