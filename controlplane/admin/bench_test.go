package admin_test

import (
	"fmt"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// BenchmarkList reads a full page.
func BenchmarkList(b *testing.B) {
	s := newServer(b, nil)
	for i := range 1000 {
		must(b, s, 201, "POST", "/services", "", fmt.Sprintf(`{"name":"s%d","host":"h"}`, i))
	}
	for b.Loop() {
		if code, _, _ := call(b, s, "GET", "/services?size=1000", "", ""); code != 200 {
			b.Fatalf("got %d", code)
		}
	}
}

// BenchmarkGet reads one entity by its name.
func BenchmarkGet(b *testing.B) {
	s := newServer(b, nil)
	must(b, s, 201, "POST", "/services", "", `{"name":"s","host":"h"}`)
	for b.Loop() {
		if code, _, _ := call(b, s, "GET", "/services/s", "", ""); code != 200 {
			b.Fatalf("got %d", code)
		}
	}
}

// BenchmarkPatch changes one entity, on disk.
func BenchmarkPatch(b *testing.B) {
	s := newServer(b, nil)
	must(b, s, 201, "POST", "/services", "", `{"name":"s","host":"h"}`)
	for b.Loop() {
		if code, _, _ := call(b, s, "PATCH", "/services/s", "", `{"retries":3}`); code != 200 {
			b.Fatalf("got %d", code)
		}
	}
}

// BenchmarkListSorted reads one page in the order of a field, and BenchmarkListSearched
// one of what a search finds, out of 10,000 services each.
func BenchmarkListSorted(b *testing.B)   { benchmarkNarrowed(b, "/services?sort_by=name&size=100") }
func BenchmarkListSearched(b *testing.B) { benchmarkNarrowed(b, "/services?name=s99&size=1000") }

func benchmarkNarrowed(b *testing.B, path string) {
	st := openStore(b)
	s := newServerOn(b, st, nil)
	one := must(b, s, 201, "POST", "/services", "", `{"name":"first","host":"h","tags":["a","b"]}`)
	_, err := st.Update(b.Context(), "bench", func(tx store.Tx) error {
		for i := range 10_000 {
			id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
			doc := one.With(schema.String(id), "id").With(schema.String(fmt.Sprint("s", i)), "name")
			if err := tx.Insert(store.Entity{Workspace: "default", Kind: "services", ID: id, Document: doc.AppendJSON(nil)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if code, _, _ := call(b, s, "GET", path, "", ""); code != 200 {
			b.Fatalf("got %d", code)
		}
	}
}
