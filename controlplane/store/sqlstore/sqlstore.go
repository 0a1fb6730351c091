// Package sqlstore is the store on PostgreSQL and on SQLite. It owns the
// tables, the locks and connections to them, their migrations and the change
// log; package store says what callers may rely on.
//
// One code base serves both databases; dialect.go holds all that differs. The
// order of work in a transaction follows from two measurements: a round trip
// costs more than the statement it carries, and whoever holds the row with the
// version counter stops all other writers. So writes are collected and leave
// together, and the counter is taken at the very end.
package sqlstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// Options are the settings of a store. The zero value is the default.
type Options struct {
	// Poll is how often Watch asks for the version by itself; 0 is 5 s.
	Poll time.Duration

	// Timeout bounds connecting and each single exchange with the database;
	// 0 is 4 s, so that an answer can be given within 5 s. A transaction of
	// many exchanges may take longer: the caller's context bounds it.
	Timeout time.Duration

	// MaxConns is how many connections may be open at once, besides one for
	// each Watch; 0 is 16. On SQLite it is the number of readers.
	MaxConns int

	// TLS, when not nil, is how a PostgreSQL server is spoken to, in place of
	// what the address says: it carries certificates and authorities that are
	// no files. There is no falling back to the clear. A socket file is spoken
	// to without, since servers have no TLS there.
	TLS *tls.Config

	// Log hears what the store gets over by itself; nil discards it.
	Log *slog.Logger

	// scratch is for a file that does not outlive the process.
	scratch bool
}

func (o Options) withDefaults() Options {
	o.Poll = cmp.Or(o.Poll, 5*time.Second)
	o.Timeout = cmp.Or(o.Timeout, 4*time.Second)
	o.MaxConns = cmp.Or(o.MaxConns, 16)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// retries is how often a transaction runs again after a collision.
const retries = 3

// Store implements store.Store.
type Store struct {
	d       *dialect
	opts    Options
	writers *sql.DB
	readers *sql.DB // on PostgreSQL the same as writers

	// turn holds a value while somebody has SQLite's only connection for
	// writers; nil on PostgreSQL. Who waits to send one gets the connection in
	// the order of coming, however long those before take. The pool itself
	// would serve the waiting in any order.
	turn chan struct{}

	// listen is where Watch listens; nil on SQLite.
	listen *pgx.ConnConfig

	// lock keeps other processes away from an SQLite file; nil on PostgreSQL.
	lock *os.File

	// trouble is when the database was last unavailable, in Unix nanoseconds.
	trouble atomic.Int64

	mu      sync.Mutex
	changed chan struct{} // closed and replaced after each commit
}

var _ store.Store = (*Store)(nil)

func newStore(d *dialect, writers, readers *sql.DB, opts Options) *Store {
	return &Store{d: d, opts: opts, writers: writers, readers: readers, changed: make(chan struct{})}
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, f func(store.Reader) error) error {
	ses, err := s.newSession(ctx, s.readers)
	if err != nil {
		return err
	}
	defer ses.release()
	if err := ses.begin(s.d.beginView); err != nil {
		return err
	}
	if err := f(&reader{ses: ses}); err != nil {
		return err
	}
	return ses.failed
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, actor string, f func(store.Tx) error) (store.Version, error) {
	return s.update(ctx, actor, func(t *tx) error { return f(t) })
}

func (s *Store) update(ctx context.Context, actor string, f func(*tx) error) (store.Version, error) {
	for attempt := 0; ; attempt++ {
		version, err := s.attempt(ctx, actor, f, attempt > 0)
		collided := new(collisionError)
		switch {
		case err == nil:
			return version, nil
		case !errors.As(err, &collided):
			return store.Version{}, err
		case attempt == retries:
			return store.Version{}, fmt.Errorf("%w: %w", store.ErrConflict, collided.cause)
		}
		// Writers that met once would meet again if all started at once.
		if err := pause(ctx, time.Duration(rand.Int64N(int64(5*time.Millisecond)<<attempt))); err != nil {
			return store.Version{}, err
		}
	}
}

// attempt runs f once. With locking, what f reads is locked, so that a
// collision over a row that was only read cannot happen a second time.
func (s *Store) attempt(ctx context.Context, actor string, f func(*tx) error, locking bool) (store.Version, error) {
	ses, err := s.newSession(ctx, s.writers)
	if err != nil {
		return store.Version{}, err
	}
	t := newTx(ses, locking)
	version, err := func() (store.Version, error) {
		// The connection goes back first, even when f panics: settling a
		// violation needs another one, and SQLite has one for all writers.
		defer ses.release()
		return t.run(actor, f)
	}()
	if err != nil {
		return store.Version{}, s.settle(ctx, t, err)
	}
	if len(t.changes) > 0 {
		s.announce()
	}
	return version, nil
}

// settle finds out what a duplicate means after the transaction that met it
// was rolled back. The holder may have been one that expired, or may be gone.
func (s *Store) settle(ctx context.Context, t *tx, err error) error {
	taken := new(takenError)
	if !errors.As(err, &taken) {
		return err
	}
	if t.holds(taken) {
		return &taken.UniqueError
	}
	present, expired, lookErr := s.holder(ctx, taken)
	switch {
	case lookErr != nil:
		return lookErr
	case !present:
		return &collisionError{cause: err}
	case expired:
		if _, err := s.Sweep(ctx); err != nil {
			return err
		}
		return &collisionError{cause: err}
	case taken.put:
		// Somebody inserted the entity after Put had found none.
		return &collisionError{cause: err}
	}
	return &taken.UniqueError
}

// holder tells whether a committed entity holds the value, and whether it has
// expired.
func (s *Store) holder(ctx context.Context, taken *takenError) (present, expired bool, err error) {
	ses, err := s.newSession(ctx, s.readers)
	if err != nil {
		return false, false, err
	}
	defer ses.release()
	query, args := `select expires_at from entity where kind = $1 and id = $2`, []any{taken.Kind, taken.id}
	if taken.Field != idField {
		query = `select e.expires_at from unique_value u join entity e on e.kind = u.kind and e.id = u.id
			where u.workspace = $1 and u.kind = $2 and u.field = $3 and u.value = $4`
		args = []any{taken.workspace, taken.Kind, taken.Field, taken.Value}
	}
	var at sql.NullInt64
	err = ses.query(query, args, func(rows *sql.Rows) error {
		present = true
		return rows.Scan(&at)
	})
	return present, at.Valid && at.Int64 <= now(), err
}

// announce wakes the watchers of this process.
func (s *Store) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// nextChange returns a channel that is closed when this process has committed
// its next version.
func (s *Store) nextChange() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// version reads the current version.
func (s *Store) version(ctx context.Context) (store.Version, error) {
	ses, err := s.newSession(ctx, s.readers)
	if err != nil {
		return store.Version{}, err
	}
	defer ses.release()
	return ses.version()
}

// renewEpoch starts a new epoch, unless somebody else did so already: the
// database is at a lower number than one that was seen in this epoch.
func (s *Store) renewEpoch(ctx context.Context, seen store.Version) error {
	ses, err := s.newSession(ctx, s.writers)
	if err != nil {
		return err
	}
	defer ses.release()
	return ses.exec(`update config_version set epoch = $1 where epoch = $2 and number < $3`,
		uuid.NewString(), seen.Epoch, int64(seen.Number))
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	ses, err := s.newSession(ctx, s.readers)
	if err != nil {
		return err
	}
	defer ses.release()
	return ses.query(`select 1`, nil, func(*sql.Rows) error { return nil })
}

// Close implements store.Store.
func (s *Store) Close() error {
	err := s.writers.Close()
	if s.readers != s.writers {
		err = errors.Join(err, s.readers.Close())
	}
	if s.lock != nil {
		err = errors.Join(err, unlockFile(s.lock))
	}
	if err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

// now is the current time as the tables hold it.
func now() int64 { return time.Now().UnixMicro() }

// pause waits, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
