package sqlstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/controlplane/store/storetest"
	"github.com/gibbon-gateway/gibbon/internal/testpg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options poll faster than users need, so that tests of polling are fast.
var options = sqlstore.Options{Poll: 100 * time.Millisecond}

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return openSQLite(t) })
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	testpg.New(t) // skips here, not in each case
	storetest.Run(t, func(t *testing.T) store.Store { return openPostgres(t, testpg.New(t)) })
}

// openSQLite opens a new store in a file.
func openSQLite(t testing.TB) *sqlstore.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gibbon.db")
	if _, err := sqlstore.NewSQLiteMigrator(path, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatalf("bootstrap: %v", err)
	}
	s, err := sqlstore.OpenSQLite(t.Context(), path, options)
	return closing(t, s, err)
}

// openPostgres opens a new store in an empty database.
func openPostgres(t testing.TB, dsn string) *sqlstore.Store {
	t.Helper()
	if _, err := sqlstore.NewPostgresMigrator(dsn, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatalf("bootstrap: %v", err)
	}
	s, err := sqlstore.OpenPostgres(t.Context(), dsn, options)
	return closing(t, s, err)
}

func closing(t testing.TB, s *sqlstore.Store, err error) *sqlstore.Store {
	t.Helper()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
