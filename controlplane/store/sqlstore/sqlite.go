package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrInUse says that another process (or another store of this one) has the
// SQLite file open.
var ErrInUse = errors.New("the database is in use by another process")

// OpenSQLite opens the store in an SQLite file, which only its owner may read.
// It keeps every other process from opening it, by a lock on the file beside
// it whose name ends in ".lock". It fails when the file is damaged, and, with
// ErrNotBootstrapped, ErrNewMigrations or ErrNewerSchema, when the tables are
// not those of this binary. The caller closes it.
func OpenSQLite(ctx context.Context, path string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	s, err := openSQLite(path, opts)
	if err != nil {
		return nil, errors.Join(err, unlockFile(lock))
	}
	s.lock = lock
	if err := errors.Join(quickCheck(ctx, s.readers, path), s.checkSchema(ctx)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// writerCache is how many KiB of pages the writer may keep. A large transaction
// that does not fit reads and writes its pages over and over.
const writerCache = "65536"

// openSQLite opens the pools. The caller holds the lock.
func openSQLite(path string, opts Options) (*Store, error) {
	if err := ownFile(path); err != nil {
		return nil, err
	}
	durable := "synchronous(FULL)"
	if opts.scratch {
		durable = "synchronous(OFF)"
	}
	writers, err := openSQLitePool(path, 1, durable, "cache_size(-"+writerCache+")")
	if err != nil {
		return nil, err
	}
	readers, err := openSQLitePool(path, opts.MaxConns, "query_only(1)")
	if err != nil {
		return nil, errors.Join(err, writers.Close())
	}
	s := newStore(sqliteDialect, writers, readers, opts)
	s.turn = make(chan struct{}, 1)
	return s, nil
}

// openSQLitePool opens a pool whose connections all have the same pragmas.
func openSQLitePool(path string, conns int, pragmas ...string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the database file: %w", err)
	}
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	pragmas = append(pragmas, "busy_timeout(5000)", "journal_mode(WAL)", "foreign_keys(1)")
	dsn.RawQuery = "_pragma=" + strings.Join(pragmas, "&_pragma=")
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open the database file %q: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// ownFile makes the file if there is none, and takes it away from others. It
// must not run while SQLite has the file open in this process: closing any
// handle of a file drops the locks that a process has on it.
func ownFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the database file: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("protect the database file: %w", err)
	}
	return nil
}

// lockFile takes the lock of an SQLite file, which unlockFile gives up. The lock
// file stays: removing it would let two processes hold locks on two files of that
// name.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file of the database: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s", ErrInUse, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the database: %w", err), f.Close())
	}
	return f, nil
}

// unlockFile gives a lock up. Closing the file alone might leave it in a child
// process that is about to start, for the moment until that runs its program.
func unlockFile(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// quickCheck looks for damage in the file.
func quickCheck(ctx context.Context, db *sql.DB, path string) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "pragma quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check the database file %q: %w", path, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("the database file %q is damaged: %s", path, verdict)
	}
	return nil
}

// fileExists tells whether there is a database file.
func fileExists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the database file: %w", err)
	}
	return true, nil
}
