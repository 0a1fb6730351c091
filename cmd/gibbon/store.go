package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

// Kong's texts for a database that is not ready.
const (
	needsBootstrapping = "Database needs bootstrapping or is older than Gibbon 0.1.\n\n" +
		"  To start a new database from scratch, run 'gibbon migrations bootstrap'."
	newMigrations     = "New migrations available; run 'gibbon migrations up' to proceed"
	pendingMigrations = "Database has pending migrations; run 'gibbon migrations finish'"
	lockLost          = "aborted: another node is performing database changes"
)

// openStore opens the database of the settings. An SQLite file is made and
// migrated on the way: on one machine nobody else uses it.
func openStore(ctx context.Context, s *settings.Settings, log *slog.Logger) (*sqlstore.Store, error) {
	switch s.Database {
	case "sqlite":
		if err := migrateSQLite(ctx, s); err != nil {
			return nil, fmt.Errorf("database %s: %w", s.SQLitePath, err)
		}
		st, err := sqlstore.OpenSQLite(ctx, s.SQLitePath, sqlstore.Options{Poll: s.DBUpdateEvery, Log: log})
		return st, storeError(err)
	case "postgres":
		options, err := postgresOptions(s, log)
		if err != nil {
			return nil, err
		}
		st, err := sqlstore.OpenPostgres(ctx, s.Postgres().DSN(), options)
		return st, storeError(err)
	}
	// The configuration is a file, or comes whole over the Admin API. The store
	// holds it for as long as the process runs.
	path := filepath.Join(s.Prefix, "declarative.db")
	st, err := sqlstore.OpenScratch(ctx, path, sqlstore.Options{Poll: s.DBUpdateEvery, Log: log})
	if err != nil {
		return nil, fmt.Errorf("store of the declarative configuration %s: %w", path, err)
	}
	return st, nil
}

// withStore opens the database of the settings for f.
func (c *cli) withStore(ctx context.Context, s *settings.Settings, f func(*sqlstore.Store) error) error {
	log, err := telemetry.NewLog(telemetry.Config{Level: c.logLevel("error"), Format: s.LogFormat, Output: c.err})
	if err != nil {
		return err
	}
	st, err := openStore(ctx, s, log.Logger)
	if errors.Is(err, sqlstore.ErrInUse) {
		return fmt.Errorf("the database %s is locked by another process (its lock is %s.lock): "+
			"stop that process, 'gibbon run' for instance, and try again, or use its Admin API", s.SQLitePath, s.SQLitePath)
	}
	if err != nil {
		return err
	}
	return errors.Join(f(st), st.Close())
}

// postgresOptions are what the connection string of the settings cannot carry.
func postgresOptions(s *settings.Settings, log *slog.Logger) (sqlstore.Options, error) {
	tls, err := s.Postgres().TLSConfig()
	return sqlstore.Options{Poll: s.DBUpdateEvery, Timeout: s.PGTimeout, MaxConns: s.PGMaxQueries, TLS: tls, Log: log}, err
}

func migrateSQLite(ctx context.Context, s *settings.Settings) error {
	if err := settings.PreparePrefix(filepath.Dir(s.SQLitePath)); err != nil {
		return err
	}
	m := sqlstore.NewSQLiteMigrator(s.SQLitePath, sqlstore.MigratorOptions{})
	state, err := m.Status(ctx)
	switch {
	case err != nil:
		return err
	case state.NeedsBootstrap:
		_, err = m.Bootstrap(ctx)
	case len(state.New) > 0:
		_, err = m.Up(ctx)
	}
	if err != nil {
		return err
	}
	_, err = m.Finish(ctx)
	return err
}

// migrator is that of the database of the settings. A timeout of 0 is the
// setting's.
func migrator(s *settings.Settings, timeout, lockTimeout time.Duration) (*sqlstore.Migrator, error) {
	options := sqlstore.MigratorOptions{Timeout: timeout, LockTimeout: lockTimeout}
	switch s.Database {
	case "sqlite":
		if err := settings.PreparePrefix(filepath.Dir(s.SQLitePath)); err != nil {
			return nil, err
		}
		return sqlstore.NewSQLiteMigrator(s.SQLitePath, options), nil
	case "postgres":
		pg := s.Postgres()
		options.Timeout = cmp.Or(timeout, s.PGTimeout)
		var err error
		if options.TLS, err = pg.TLSConfig(); err != nil {
			return nil, err
		}
		return sqlstore.NewPostgresMigrator(pg.DSN(), options), nil
	}
	return nil, fmt.Errorf("database = %s has no migrations: use sqlite or postgres", s.Database)
}

// storeError says what to do about a database that is not ready.
func storeError(err error) error {
	switch {
	case errors.Is(err, sqlstore.ErrNotBootstrapped):
		return say("%s", needsBootstrapping)
	case errors.Is(err, sqlstore.ErrNewMigrations):
		return say("%s", newMigrations)
	case errors.Is(err, sqlstore.ErrPending):
		return say("%s", pendingMigrations)
	case errors.Is(err, sqlstore.ErrLocked):
		return say("%s", lockLost)
	}
	return err
}
