package sqlstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/internal/testpg"
)

// eachMigrator runs a test on an empty database of each kind. open opens the
// store on it.
func eachMigrator(t *testing.T, f func(t *testing.T, m *Migrator, open func() (*Store, error))) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "gibbon.db")
		f(t, NewSQLiteMigrator(path, MigratorOptions{}),
			func() (*Store, error) { return OpenSQLite(t.Context(), path, Options{}) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := testpg.New(t)
		f(t, NewPostgresMigrator(dsn, MigratorOptions{}),
			func() (*Store, error) { return OpenPostgres(t.Context(), dsn, Options{}) })
	})
}

// tables lists all tables of the database.
func tables(t *testing.T, m *Migrator) (names []string) {
	t.Helper()
	err := m.with(t.Context(), func(s *Store) error {
		query := "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name"
		if m.d == postgres {
			query = "select tablename from pg_tables where schemaname = 'public' order by tablename"
		}
		rows, err := s.readers.QueryContext(t.Context(), query)
		if err != nil {
			return err
		}
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return errors.Join(err, rows.Close())
			}
			names = append(names, name)
		}
		return errors.Join(rows.Err(), rows.Close())
	})
	if err != nil {
		t.Fatalf("list the tables: %v", err)
	}
	return names
}

// shipped names the migrations of this binary.
func shipped(t *testing.T, m *Migrator) []string {
	t.Helper()
	names, err := fs.Glob(m.files, "*.sql")
	if err != nil || len(names) == 0 || names[0] != "0001_init.sql" {
		t.Fatalf("the migrations are %q, %v", names, err)
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, ".sql")
	}
	return names
}

// first makes the Migrator one of the first release, which had one migration.
func first(t *testing.T, m *Migrator) {
	t.Helper()
	text, err := fs.ReadFile(m.files, "0001_init.sql")
	if err != nil {
		t.Fatal(err)
	}
	m.files = fstest.MapFS{"0001_init.sql": {Data: text}}
}

func status(t *testing.T, m *Migrator) State {
	t.Helper()
	state, err := m.Status(t.Context())
	if err != nil {
		t.Fatalf("Status: %v", err)
	}
	return state
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func is(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func opens(t *testing.T, open func() (*Store, error), want error) {
	t.Helper()
	s, err := open()
	is(t, "open", err, want)
	if err == nil {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	eachMigrator(t, func(t *testing.T, m *Migrator, open func() (*Store, error)) {
		ctx := t.Context()
		equal(t, "status of nothing", status(t, m), State{NeedsBootstrap: true, New: shipped(t, m)})
		if m.path != "" {
			if _, err := os.Stat(m.path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("looking at the state made the file: %v", err)
			}
		}
		_, err := m.Up(ctx)
		is(t, "Up before Bootstrap", err, ErrNotBootstrapped)
		_, err = m.Finish(ctx)
		is(t, "Finish before Bootstrap", err, ErrNotBootstrapped)
		is(t, "Reset before Bootstrap", m.Reset(ctx), ErrNotBootstrapped)
		opens(t, open, ErrNotBootstrapped)

		ran, err := m.Bootstrap(ctx)
		is(t, "Bootstrap", err, nil)
		equal(t, "what ran", ran, shipped(t, m))
		equal(t, "status", status(t, m), State{Executed: shipped(t, m)})
		_, err = m.Bootstrap(ctx)
		is(t, "Bootstrap again", err, ErrBootstrapped)
		ran, err = m.Up(ctx)
		is(t, "Up", err, nil)
		equal(t, "what ran", ran, []string(nil))
		opens(t, open, nil)

		is(t, "Reset", m.Reset(ctx), nil)
		equal(t, "tables that Reset left", tables(t, m), []string(nil))
		equal(t, "status after Reset", status(t, m).NeedsBootstrap, true)
		_, err = m.Bootstrap(ctx)
		is(t, "Bootstrap after Reset", err, nil)
		opens(t, open, nil)
	})
}

func file(table string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\ncreate table " + table + " (x text);\n")}
}

func TestMigrateInSteps(t *testing.T) {
	t.Parallel()
	eachMigrator(t, func(t *testing.T, m *Migrator, open func() (*Store, error)) {
		first(t, m)
		ctx := t.Context()
		if _, err := m.Bootstrap(ctx); err != nil {
			t.Fatalf("Bootstrap: %v", err)
		}
		// A newer binary, whose third migration takes two steps, with a fourth
		// of the release after that.
		newer := *m
		newer.files = fstest.MapFS{
			"0001_init.sql": file("never"), "0002_more.sql": file("more"), "0003_less_finish.sql": file("less"),
			"0004_again.sql": file("again"),
		}
		equal(t, "status", status(t, &newer), State{
			Executed: []string{"0001_init"}, New: []string{"0002_more", "0003_less_finish", "0004_again"},
		})
		for _, step := range []struct {
			name string
			run  func(context.Context) ([]string, error)
			ran  []string
			err  error
			want State
		}{
			{"nothing to finish", newer.Finish, nil, nil, State{
				Executed: []string{"0001_init"}, New: []string{"0002_more", "0003_less_finish", "0004_again"},
			}},
			{"up", newer.Up, []string{"0002_more"}, nil, State{
				Executed: []string{"0001_init", "0002_more"}, Pending: []string{"0003_less_finish"}, New: []string{"0004_again"},
			}},
			{"up again", newer.Up, nil, ErrPending, State{
				Executed: []string{"0001_init", "0002_more"}, Pending: []string{"0003_less_finish"}, New: []string{"0004_again"},
			}},
			{"finish", newer.Finish, []string{"0003_less_finish"}, nil, State{
				Executed: []string{"0001_init", "0002_more", "0003_less_finish"}, New: []string{"0004_again"},
			}},
			{"up to the end", newer.Up, []string{"0004_again"}, nil, State{
				Executed: []string{"0001_init", "0002_more", "0003_less_finish", "0004_again"},
			}},
		} {
			ran, err := step.run(ctx)
			is(t, step.name, err, step.err)
			equal(t, step.name+": what ran", ran, step.ran)
			equal(t, step.name+": status", status(t, &newer), step.want)
		}
		// The old binary does not touch what it does not know.
		equal(t, "status, by the old binary", status(t, m),
			State{Executed: []string{"0001_init"}, Missing: []string{"0002", "0003", "0004"}})
		opens(t, open, ErrNewerSchema)
		_, err := m.Up(ctx)
		is(t, "Up by the old binary", err, ErrNewerSchema)
	})
}

func TestFailedMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	eachMigrator(t, func(t *testing.T, m *Migrator, _ func() (*Store, error)) {
		first(t, m)
		if _, err := m.Bootstrap(t.Context()); err != nil {
			t.Fatalf("Bootstrap: %v", err)
		}
		before := tables(t, m)
		broken := *m
		broken.files = fstest.MapFS{
			"0001_init.sql":   file("never"),
			"0002_broken.sql": {Data: []byte("-- +goose Up\ncreate table half (x text);\ncreate table half (x text);\n")},
		}
		if _, err := broken.Up(t.Context()); err == nil {
			t.Error("a broken migration went through")
		}
		equal(t, "the tables", tables(t, m), before)
		equal(t, "status", status(t, &broken), State{Executed: []string{"0001_init"}, New: []string{"0002_broken"}})
	})
}

func TestOpenWantsNewMigrations(t *testing.T) {
	t.Parallel()
	is(t, "a state with new migrations", State{Executed: []string{"a"}, New: []string{"b"}}.check(), ErrNewMigrations)
	is(t, "a state with pending migrations", State{Executed: []string{"a"}, Pending: []string{"b"}}.check(), nil)
}

func TestTwoMigrators(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := testpg.New(t)
		m := NewPostgresMigrator(dsn, MigratorOptions{LockTimeout: time.Nanosecond})
		err := m.locked(t.Context(), func(*Store) error {
			_, err := m.Bootstrap(t.Context())
			is(t, "Bootstrap while another one works", err, ErrLocked)
			return nil
		})
		is(t, "the one that works", err, nil)
		// Both want to bootstrap: one does, the other finds it done.
		results := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := NewPostgresMigrator(dsn, MigratorOptions{}).Bootstrap(t.Context())
				results <- err
			}()
		}
		if a, b := <-results, <-results; !(a == nil && errors.Is(b, ErrBootstrapped) || b == nil && errors.Is(a, ErrBootstrapped)) {
			t.Errorf("two at once: %v and %v", a, b)
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		m := NewSQLiteMigrator(filepath.Join(t.TempDir(), "gibbon.db"), MigratorOptions{})
		err := m.locked(t.Context(), func(*Store) error {
			_, err := m.Bootstrap(t.Context())
			is(t, "Bootstrap while another one works", err, ErrInUse)
			return nil
		})
		is(t, "the one that works", err, nil)
	})
}

func TestMigrateHistory(t *testing.T) {
	t.Parallel()
	eachMigrator(t, func(t *testing.T, m *Migrator, open func() (*Store, error)) {
		old := *m
		first(t, &old)
		if _, err := old.Bootstrap(t.Context()); err != nil {
			t.Fatalf("Bootstrap: %v", err)
		}
		// Two versions that a store of the first release made: an entity that
		// came and went, one that was changed twice, one deleted, one made.
		err := m.with(t.Context(), func(s *Store) error {
			_, err := s.writers.ExecContext(t.Context(), `
				insert into entity (kind, id, workspace, document) values ('services', 'b', 'default', '3'), ('services', 'd', 'default', '1');
				insert into change (version, ordinal, time, actor, workspace, kind, id, op, document_before, document_after) values
					(1, 0, 1000000, 'one', 'default', 'services', 'a', 'insert', null, '1'),
					(1, 1, 1000000, 'one', 'default', 'services', 'b', 'insert', null, '1'),
					(2, 0, 2000000, 'two', 'default', 'services', 'b', 'update', '1', '2'),
					(2, 1, 2000000, 'two', 'default', 'services', 'c', 'insert', null, '1'),
					(2, 2, 2000000, 'two', 'default', 'services', 'c', 'delete', '1', null),
					(2, 3, 2000000, 'two', 'default', 'services', 'd', 'insert', null, '1'),
					(2, 4, 2000000, 'two', 'default', 'services', 'b', 'update', '2', '3'),
					(2, 5, 2000000, 'two', 'default', 'services', 'a', 'delete', '1', null);
				update config_version set number = 2, epoch = 'e'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatalf("Up: %v", err)
		}
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { is(t, "close", s.Close(), nil) }()
		err = s.View(t.Context(), func(r store.Reader) error {
			page, _, err := r.Versions(0, 10)
			equal(t, "the versions", page, []store.Past{
				{Version: store.Version{Epoch: "e", Number: 2}, Time: time.Unix(2, 0).UTC(), Actor: "two", Created: 1, Updated: 1, Deleted: 1},
				{Version: store.Version{Epoch: "e", Number: 1}, Time: time.Unix(1, 0).UTC(), Actor: "one", Created: 2},
			})
			for number, want := range []map[string]string{{}, {"a": "1", "b": "1"}, {"b": "3", "d": "1"}} {
				got := map[string]string{}
				for e, err := range r.At(uint64(number)) {
					if err != nil {
						return err
					}
					if e.Kind != "workspaces" {
						got[e.ID] = string(e.Document)
					}
				}
				equal(t, "a version", got, want)
			}
			return err
		})
		is(t, "View", err, nil)
	})
}
