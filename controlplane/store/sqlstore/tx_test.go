package sqlstore

import (
	"context"
	"errors"
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
