package sqlstore_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/controlplane/store/storetest"
)

func openScratch(t testing.TB, path string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.OpenScratch(t.Context(), path, options)
	return closing(t, s, err)
}

func TestScratch(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return openScratch(t, filepath.Join(t.TempDir(), "scratch.db")) })
}

// TestScratchBeginsAnew wants nothing to be left of what was in the file, and a
// file in use to stay as it is.
func TestScratchBeginsAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "scratch.db")
	first, err := sqlstore.OpenScratch(t.Context(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	e := store.Entity{Workspace: "default", Kind: "services", ID: "1", Document: []byte(`{"id":"1"}`)}
	before, err := first.Update(t.Context(), "test", func(tx store.Tx) error { return tx.Insert(e) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.OpenScratch(t.Context(), path, options); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("a second store in the file: %v", err)
	}
	get := func(s *sqlstore.Store) (version store.Version, err error) {
		err = s.View(t.Context(), func(r store.Reader) (err error) {
			if version, err = r.Version(); err == nil {
				_, err = r.Get(e.Kind, e.ID)
			}
			return err
		})
		return version, err
	}
	if _, err := get(first); err != nil {
		t.Errorf("after the second one was refused: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := get(openScratch(t, path))
	if !errors.Is(err, store.ErrNotFound) || after.Number != 0 || after.Epoch == before.Epoch {
		t.Errorf("opened again: version %v after %v, %v", after, before, err)
	}
}
