package sqlstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gibbon-gateway/gibbon/migrations"
)

var (
	// ErrNotBootstrapped says that the database has no tables of Gibbon's yet.
	ErrNotBootstrapped = errors.New("the database needs bootstrapping")

	// ErrBootstrapped says that a database that was to be bootstrapped has its
	// tables already.
	ErrBootstrapped = errors.New("the database is bootstrapped already")

	// ErrNewMigrations says that this binary has migrations that the database
	// has not seen.
	ErrNewMigrations = errors.New("the database needs newer tables: there are new migrations")

	// ErrPending says that the first half of a migration ran, and that the
	// second has to follow before anything else.
	ErrPending = errors.New("the database has pending migrations")

	// ErrNewerSchema says that a newer binary migrated the database.
	ErrNewerSchema = errors.New("the database has tables of a newer version of Gibbon")

	// ErrLocked says that another process was changing the tables all the time.
	ErrLocked = errors.New("another node is performing database changes")
)

const (
	// migrationTable is where goose records what ran.
	migrationTable = "schema_migration"

	// finishSuffix marks migrations that only Finish runs.
	finishSuffix = "_finish"

	// migrationLock is the key of the advisory lock on PostgreSQL. It says
	// nothing; it only has to be the same in every version.
	migrationLock = 0x676962626f6e

	// migrationLockPoll is how often a busy lock is tried again.
	migrationLockPoll = 100 * time.Millisecond
)

// ownTables are all tables that migrations have made, children first.
var ownTables = []string{
	"history", "change", "entity_tag", "reference", "unique_value", "entity", "config_version", migrationTable,
}

// State says which migrations a database has seen. Migrations are named by
// their files without the ending: "0001_init".
type State struct {
	// NeedsBootstrap tells that none has run.
	NeedsBootstrap bool

	// Executed have run, Pending wait for Finish, New wait for Up, Missing have
	// run but are not known to this binary. All in ascending order.
	Executed, Pending, Missing, New []string
}

// check tells whether this binary can work on the tables.
func (s State) check() error {
	switch {
	case len(s.Missing) > 0:
		return fmt.Errorf("%w (unknown migrations: %s): use that version, or a newer one",
			ErrNewerSchema, strings.Join(s.Missing, ", "))
	case s.NeedsBootstrap:
		return ErrNotBootstrapped
	case len(s.New) > 0:
		return fmt.Errorf("%w (%s)", ErrNewMigrations, strings.Join(s.New, ", "))
	}
	return nil
}

// MigratorOptions are the settings of a Migrator. The zero value is the default.
type MigratorOptions struct {
	// Timeout bounds connecting and reading; 0 is 4 s. The migrations
	// themselves take as long as they need.
	Timeout time.Duration

	// LockTimeout is how long to wait while another process changes the
	// tables; 0 is 60 s. An SQLite file that is in use is refused at once.
	LockTimeout time.Duration

	// TLS is that of Options.
	TLS *tls.Config
}

// Migrator makes and changes the tables of one database. It connects when one
// of its methods is called, and keeps nothing open between them.
type Migrator struct {
	d       *dialect
	goose   goose.Dialect
	files   fs.FS
	opts    Options
	patient time.Duration // how long to wait for the lock
	dsn     string        // PostgreSQL
	path    string        // SQLite
}

// NewPostgresMigrator returns the Migrator of a PostgreSQL database.
func NewPostgresMigrator(dsn string, opts MigratorOptions) *Migrator {
	m := newMigrator(postgres, goose.DialectPostgres, migrations.Postgres(), opts)
	m.dsn = dsn
	return m
}

// NewSQLiteMigrator returns the Migrator of an SQLite file. The file need not
// exist; its folder has to.
func NewSQLiteMigrator(path string, opts MigratorOptions) *Migrator {
	m := newMigrator(sqliteDialect, goose.DialectSQLite3, migrations.SQLite(), opts)
	m.path = path
	return m
}

func newMigrator(d *dialect, gooseDialect goose.Dialect, files fs.FS, opts MigratorOptions) *Migrator {
	return &Migrator{
		d: d, goose: gooseDialect, files: files, opts: Options{Timeout: opts.Timeout, TLS: opts.TLS}.withDefaults(),
		patient: cmp.Or(opts.LockTimeout, time.Minute),
	}
}

// Status reports the state without changing anything.
func (m *Migrator) Status(ctx context.Context) (State, error) {
	if m.path != "" {
		if exists, err := fileExists(m.path); err != nil {
			return State{}, err
		} else if !exists {
			return m.state(nil)
		}
	}
	var state State
	err := m.with(ctx, func(s *Store) (err error) {
		state, err = m.read(ctx, s)
		return err
	})
	return state, err
}

// Bootstrap makes the tables in a database that has none, and returns the
// migrations that ran. It returns ErrBootstrapped if there are tables.
func (m *Migrator) Bootstrap(ctx context.Context) ([]string, error) {
	return m.apply(ctx, func(state State) ([]string, error) {
		if !state.NeedsBootstrap {
			return nil, ErrBootstrapped
		}
		return append(state.Pending, state.New...), nil
	})
}

// Up runs the new migrations up to the next one that is left to Finish, and
// returns those that ran; none if the tables are up to date. It returns
// ErrNotBootstrapped where there are no tables, and ErrPending where Finish has
// to come first.
func (m *Migrator) Up(ctx context.Context) ([]string, error) {
	return m.apply(ctx, func(state State) ([]string, error) {
		switch {
		case state.NeedsBootstrap:
			return nil, ErrNotBootstrapped
		case len(state.Pending) > 0:
			return nil, ErrPending
		}
		for i, name := range state.New {
			if strings.HasSuffix(name, finishSuffix) {
				return state.New[:i], nil
			}
		}
		return state.New, nil
	})
}

// Finish runs the pending migrations and returns them. No control plane of the
// release before may still be running.
func (m *Migrator) Finish(ctx context.Context) ([]string, error) {
	return m.apply(ctx, func(state State) ([]string, error) {
		if state.NeedsBootstrap {
			return nil, ErrNotBootstrapped
		}
		return state.Pending, nil
	})
}

// Reset removes the tables and all that is in them. It returns
// ErrNotBootstrapped if there is nothing to remove.
func (m *Migrator) Reset(ctx context.Context) error {
	if state, err := m.Status(ctx); err != nil {
		return err
	} else if state.NeedsBootstrap {
		return ErrNotBootstrapped // and no file was made by looking
	}
	return m.locked(ctx, func(s *Store) error {
		ses, err := s.newSession(ctx, s.writers)
		if err != nil {
			return err
		}
		defer ses.release()
		if err := ses.begin(m.d.beginUpdate); err != nil {
			return err
		}
		for _, table := range ownTables {
			if err := ses.exec("drop table if exists " + table); err != nil {
				return err
			}
		}
		return ses.commit()
	})
}

// apply runs the migrations that choose picks; they are a beginning of those
// that have not run.
func (m *Migrator) apply(ctx context.Context, choose func(State) ([]string, error)) ([]string, error) {
	var ran []string
	err := m.locked(ctx, func(s *Store) error {
		state, err := m.read(ctx, s)
		if err != nil {
			return err
		}
		if len(state.Missing) > 0 {
			return state.check()
		}
		chosen, err := choose(state)
		if err != nil || len(chosen) == 0 {
			return err
		}
		provider, err := goose.NewProvider(m.goose, s.writers, m.files,
			goose.WithDisableGlobalRegistry(true), goose.WithTableName(migrationTable))
		if err != nil {
			return fmt.Errorf("read the migrations: %w", err)
		}
		last, err := goose.NumericComponent(chosen[len(chosen)-1] + ".sql")
		if err != nil {
			return fmt.Errorf("read the migrations: %w", err)
		}
		results, err := provider.UpTo(ctx, last)
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		for _, r := range results {
			ran = append(ran, strings.TrimSuffix(r.Source.Path, ".sql"))
		}
		return nil
	})
	return ran, err
}

// with runs f on the open database.
func (m *Migrator) with(ctx context.Context, f func(*Store) error) error {
	s, err := m.open()
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

func (m *Migrator) open() (*Store, error) {
	if m.d == postgres {
		config, err := postgresConfig(m.dsn, m.opts)
		if err != nil {
			return nil, err
		}
		return openPostgresPool(config, m.opts), nil
	}
	return openSQLite(m.path, m.opts)
}

// locked is with, while no other process can change the tables.
func (m *Migrator) locked(ctx context.Context, f func(*Store) error) (err error) {
	if m.d == postgres {
		return m.with(ctx, func(s *Store) error { return m.lockPostgres(ctx, s, f) })
	}
	var lock *os.File
	lock, err = lockFile(m.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlockFile(lock)) }()
	return m.with(ctx, func(s *Store) error {
		if err := quickCheck(ctx, s.readers, m.path); err != nil {
			return err
		}
		return f(s)
	})
}

// lockPostgres runs f while it holds the lock. The server drops the lock when
// the connection ends, however that comes.
func (m *Migrator) lockPostgres(ctx context.Context, s *Store, f func(*Store) error) error {
	ses, err := s.newSession(ctx, s.writers)
	if err != nil {
		return err
	}
	defer ses.release()
	// The connection takes the lock with it: giving it back to the pool would
	// leave the lock on it.
	defer ses.discard()
	deadline := time.Now().Add(m.patient)
	for {
		held := false
		err := ses.query(`select pg_try_advisory_lock($1)`, []any{int64(migrationLock)}, func(rows *sql.Rows) error {
			return rows.Scan(&held)
		})
		if err != nil {
			return err
		}
		if held {
			return f(s)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w (waited %s)", ErrLocked, m.patient)
		}
		if err := pause(ctx, migrationLockPoll); err != nil {
			return err
		}
	}
}

// read reads the state of the database.
func (m *Migrator) read(ctx context.Context, s *Store) (State, error) {
	ses, err := s.newSession(ctx, s.readers)
	if err != nil {
		return State{}, err
	}
	defer ses.release()
	exists := false
	err = ses.query(m.d.hasTable, []any{migrationTable}, func(*sql.Rows) error {
		exists = true
		return nil
	})
	if err != nil || !exists {
		return m.stateOr(err)
	}
	var applied []int64
	// goose's own first row has the number 0.
	err = ses.query(`select version_id from `+migrationTable+` where version_id > 0 order by version_id`, nil,
		func(rows *sql.Rows) error {
			var n int64
			err := rows.Scan(&n)
			applied = append(applied, n)
			return err
		})
	if err != nil {
		return State{}, err
	}
	return m.state(applied)
}

func (m *Migrator) stateOr(err error) (State, error) {
	if err != nil {
		return State{}, err
	}
	return m.state(nil)
}

// state compares what ran with the files.
func (m *Migrator) state(applied []int64) (State, error) {
	names, err := fs.Glob(m.files, "*.sql") // in ascending order
	if err != nil {
		return State{}, fmt.Errorf("read the migrations: %w", err)
	}
	ran := map[int64]bool{}
	for _, n := range applied {
		ran[n] = true
	}
	state := State{NeedsBootstrap: len(applied) == 0}
	for _, name := range names {
		number, err := goose.NumericComponent(name)
		if err != nil {
			return State{}, fmt.Errorf("read the migrations: %w", err)
		}
		name = strings.TrimSuffix(name, ".sql")
		switch {
		case ran[number]:
			state.Executed = append(state.Executed, name)
			delete(ran, number)
		case strings.HasSuffix(name, finishSuffix) && len(state.New) == 0:
			state.Pending = append(state.Pending, name)
		default:
			state.New = append(state.New, name)
		}
	}
	for _, n := range applied {
		if ran[n] {
			state.Missing = append(state.Missing, fmt.Sprintf("%04d", n))
		}
	}
	return state, nil
}

// checkSchema tells whether the store's tables are those of this binary.
func (s *Store) checkSchema(ctx context.Context) error {
	m := newMigrator(s.d, "", migrations.SQLite(), MigratorOptions{})
	if s.d == postgres {
		m.files = migrations.Postgres()
	}
	state, err := m.read(ctx, s)
	if err != nil {
		return err
	}
	return state.check()
}
