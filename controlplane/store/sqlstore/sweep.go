package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

const (
	// sweeper is the actor of the transactions of Sweep.
	sweeper = "ttl"

	// sweepSize is how many entities Sweep deletes in one transaction.
	sweepSize = 200
)

// Sweep implements store.Store.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	total := 0
	var after lapsed
	for {
		// The look outside comes first, so that a sweep without work, which is
		// the usual one, locks nothing.
		page, err := s.expired(ctx, after)
		if err != nil || len(page) == 0 {
			return total, err
		}
		count := 0
		_, err = s.update(ctx, sweeper, func(t *tx) error {
			count = 0
			for _, e := range page {
				err := t.delete(e.key, true)
				referenced := new(store.ReferencedError)
				switch {
				case errors.As(err, &referenced), errors.Is(err, store.ErrNotFound):
				case err != nil:
					return err
				default:
					count++
				}
			}
			return nil
		})
		total += count
		if err != nil || len(page) < sweepSize {
			return total, err
		}
		after = page[len(page)-1]
	}
}

// lapsed is an entity that has expired, and when.
type lapsed struct {
	at int64
	key
}

// expired returns the entities that expired after the given one.
func (s *Store) expired(ctx context.Context, after lapsed) ([]lapsed, error) {
	ses, err := s.newSession(ctx, s.readers)
	if err != nil {
		return nil, err
	}
	defer ses.release()
	var page []lapsed
	err = ses.query(`select expires_at, kind, id from entity
		where expires_at <= $1 and (expires_at, kind, id) > ($2, $3, $4) order by expires_at, kind, id limit $5`,
		[]any{now(), after.at, after.kind, after.id, sweepSize}, func(rows *sql.Rows) error {
			var e lapsed
			err := rows.Scan(&e.at, &e.kind, &e.id)
			page = append(page, e)
			return err
		})
	return page, err
}
