package controlplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gibbon-gateway/gibbon/controlplane/snapshot"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// TestFollow compares what the publish loop keeps with a configuration that is
// read anew, after writes of all kinds, and after the log has lost some.
func TestFollow(t *testing.T) {
	cfg := config(t, nil)
	kept := compiled{catalogue: cfg.Catalogue}
	random := rand.New(rand.NewPCG(1, 2))
	var services, routes []string
	entity := func(kind, id string, references []store.Reference, body string) store.Entity {
		s, ok := cfg.Catalogue.Entity(kind)
		if !ok {
			t.Fatalf("no entity %s", kind)
		}
		doc, err := schema.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		doc = s.Complete(doc.With(schema.String(id), "id"), time.Unix(1_700_000_000, 0))
		return store.Entity{Workspace: "default", Kind: kind, ID: id, Document: doc.AppendJSON(nil), References: references}
	}
	write := func(tx store.Tx) error {
		switch n := random.IntN(10); {
		case n < 4 || len(services) == 0:
			id := uuid.NewString()
			services = append(services, id)
			return tx.Insert(entity("services", id, nil, `{"host":"h"}`))
		case n < 6:
			id, parent := uuid.NewString(), services[random.IntN(len(services))]
			routes = append(routes, id)
			references := []store.Reference{{Field: "service", Kind: "services", ID: parent, OnDelete: store.Cascade}}
			return tx.Insert(entity("routes", id, references, fmt.Sprintf(`{"paths":["/%d"],"service":{"id":%q}}`, n, parent)))
		case n < 8:
			return tx.Put(entity("services", services[random.IntN(len(services))], nil, fmt.Sprintf(`{"host":"h%d"}`, random.IntN(100))))
		}
		i := random.IntN(len(services))
		id := services[i]
		services = append(services[:i], services[i+1:]...)
		return tx.Delete("services", id)
	}
	same := func(when string) {
		t.Helper()
		err := cfg.Store.View(t.Context(), func(r store.Reader) error {
			version, err := r.Version()
			if err != nil {
				return err
			}
			if err := kept.follow(r, version); err != nil {
				return err
			}
			got, err := kept.compiler.Snapshot()
			if err != nil {
				return err
			}
			want, err := snapshot.Compile(cfg.Catalogue, r.All())
			if err == nil && got.Hash != want.Hash {
				err = errors.New("what is kept differs from what is stored")
			}
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	before := kept.compiler
	for round := range 60 {
		for range random.IntN(4) {
			if _, err := cfg.Store.Update(t.Context(), "test", write); err != nil {
				t.Fatal(err)
			}
		}
		same(fmt.Sprintf("round %d", round))
		if round > 0 && kept.compiler != before {
			t.Fatalf("round %d: everything was read anew", round)
		}
		before = kept.compiler
	}
	for range 20 {
		if _, err := cfg.Store.Update(t.Context(), "test", write); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cfg.Store.Prune(t.Context(), store.Retention{Versions: 2}); err != nil {
		t.Fatal(err)
	}
	same("after pruning")
	if kept.compiler == before {
		t.Error("changes were followed that the log no longer has")
	}
}
