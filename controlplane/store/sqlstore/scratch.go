package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// OpenScratch opens an empty store in an SQLite file that is thrown away when it
// is opened the next time: what was in it is gone then, and after a crash of the
// machine it may be damaged. Writing costs less for that.
func OpenScratch(ctx context.Context, path string, opts Options) (*Store, error) {
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	for _, part := range []string{"", "-wal", "-shm"} {
		if e := os.Remove(path + part); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("throw the old file away: %w", e))
		}
	}
	if err = errors.Join(err, unlockFile(lock)); err != nil {
		return nil, err
	}
	if _, err := NewSQLiteMigrator(path, MigratorOptions{}).Bootstrap(ctx); err != nil {
		return nil, err
	}
	opts.scratch = true
	return OpenSQLite(ctx, path, opts)
}
