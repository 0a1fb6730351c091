package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/internal/testpg"
)

func TestCollisionsEndAfterThreeRetries(t *testing.T) {
	t.Parallel()
	dsn := testpg.New(t)
	if _, err := NewPostgresMigrator(dsn, MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := OpenPostgres(t.Context(), dsn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	for _, code := range []string{"40001", "40P01"} {
		for _, failures := range []int{0, 1, 3, 4} {
			runs := 0
			_, err := s.update(t.Context(), "tester", func(tx *tx) error {
				runs++
				if runs > failures {
					return nil
				}
				if err := tx.begin(); err != nil {
					return err
				}
				return tx.ses.exec("do $$ begin raise exception 'on purpose' using errcode = '" + code + "'; end $$")
			})
			if failures <= retries {
				if err != nil || runs != failures+1 {
					t.Errorf("%s, %d times: %d runs, %v, want %d runs and success", code, failures, runs, err, failures+1)
				}
				continue
			}
			refused := new(pgconn.PgError)
			if !errors.Is(err, store.ErrConflict) || !errors.As(err, &refused) || runs != retries+1 {
				t.Errorf("%s, %d times: %d runs, %v, want %d runs and ErrConflict", code, failures, runs, err, retries+1)
			}
		}
	}
}

func TestPauseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	is(t, "pause", pause(ctx, time.Hour), context.Canceled)
}

func TestSQLiteFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gibbon.db")
	if _, err := NewSQLiteMigrator(path, MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	insert := func(id string, size int) error {
		_, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
			return tx.Insert(store.Entity{Kind: "services", ID: id, Document: bytes.Repeat([]byte("1"), size)})
		})
		return err
	}
	is(t, "a write with room", insert("a", 1), nil)
	// A limit of the file stands in for a disk without room: same error.
	if _, err := s.writers.ExecContext(t.Context(), "pragma max_page_count = 40"); err != nil {
		t.Fatal(err)
	}
	is(t, "a write without room", insert("b", 1<<20), store.ErrUnavailable)
	is(t, "what fits still goes in", insert("c", 1), nil)
	is(t, "reading", s.View(t.Context(), func(r store.Reader) error {
		v, err := r.Version()
		equal(t, "the version", v.Number, uint64(2))
		_, missing := r.Get("services", "b")
		is(t, "what did not fit", missing, store.ErrNotFound)
		return err
	}), nil)
}
