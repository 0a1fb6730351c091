package declarative_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/internal/testpg"
)

// sqlite opens a new store.
func sqlite(t testing.TB) store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gibbon.db")
	if _, err := sqlstore.NewSQLiteMigrator(path, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := sqlstore.OpenSQLite(t.Context(), path, sqlstore.Options{})
	return closing(t, s, err)
}

func postgres(t testing.TB) store.Store {
	t.Helper()
	dsn := testpg.New(t)
	if _, err := sqlstore.NewPostgresMigrator(dsn, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := sqlstore.OpenPostgres(t.Context(), dsn, sqlstore.Options{})
	return closing(t, s, err)
}

func closing(t testing.TB, s *sqlstore.Store, err error) store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func apply(t testing.TB, s store.Store, c *declarative.Config, exact bool) (counts declarative.Counts, version uint64) {
	t.Helper()
	v, err := s.Update(t.Context(), "test", func(tx store.Tx) (err error) {
		counts, err = c.Apply(tx, exact)
		return err
	})
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return counts, v.Number
}

func exported(t testing.TB, s store.Store, format declarative.Format) (text string) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) error {
		text = export(t, format, r.All())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestGoodFiles shows what files come to, and that an export is a fixed point:
// whoever reads it has the same configuration, and writes the same bytes.
func TestGoodFiles(t *testing.T) {
	for _, name := range files(t, "good") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			s := sqlite(t)
			c := mustParse(t, read(t, name))
			counts, _ := apply(t, s, c, false)
			if counts != (declarative.Counts{Inserted: c.Len()}) {
				t.Errorf("into an empty store: %+v of %d", counts, c.Len())
			}
			yaml, json := exported(t, s, declarative.YAML), exported(t, s, declarative.JSON)
			// What everything looks like is for the kinds' own goldens to say.
			if filepath.Base(name) != "everything.yaml" {
				golden(t, strings.TrimSuffix(name, ".yaml")+".export", withoutDefault(yaml))
			}
			for form, text := range map[string]string{"YAML": yaml, "JSON": json} {
				other := sqlite(t)
				again := mustParse(t, text)
				apply(t, other, again, true)
				if diff := cmp.Diff(yaml, exported(t, other, declarative.YAML)); diff != "" {
					t.Errorf("another store that read the %s (-want +got):\n%s", form, diff)
				}
				if diff := cmp.Diff(json, exported(t, other, declarative.JSON)); diff != "" {
					t.Errorf("another store that read the %s (-want +got):\n%s", form, diff)
				}
				before := current(t, s)
				counts, version := apply(t, s, again, true)
				if counts != (declarative.Counts{Unchanged: again.Len()}) || version != before {
					t.Errorf("the same again, as %s: %+v of %d in version %d after %d", form, counts, again.Len(), version, before)
				}
			}
			// Derived ids and kept times make the file itself no news either. What
			// ends after a while is the exception: it begins anew.
			if counts, _ := apply(t, s, c, false); counts.Inserted > 0 || counts.Updated > strings.Count(yaml, "ttl: ") {
				t.Errorf("the file again: %+v", counts)
			}
		})
	}
}

// withoutDefault leaves out when the workspace was made that is always there.
func withoutDefault(text string) string {
	lines := strings.Split(text, "\n")
	inside := false
	kept := lines[:0]
	for _, line := range lines {
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "-") {
			inside = line == "workspaces:"
		}
		if inside && strings.Contains(line, "ated_at: ") {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

func current(t testing.TB, s store.Store) (number uint64) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) error {
		v, err := r.Version()
		number = v.Number
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return number
}

const head = "_format_version: \"3.0\"\n"

// TestApplyExact replaces one configuration by another.
func TestApplyExact(t *testing.T) {
	for _, tt := range []struct {
		name, before, after string
		want                declarative.Counts
	}{
		{"nothing", ``, ``, declarative.Counts{}},
		{"all is gone", `services: [{name: a, host: h, routes: [{name: r, paths: [/], plugins: [{name: key-auth}]}]}]`, ``,
			declarative.Counts{Deleted: 3}},
		{"one changes", `services: [{name: a, host: h}, {name: b, host: h}]`, `services: [{name: a, host: h}, {name: b, host: i}]`,
			declarative.Counts{Unchanged: 1, Updated: 1}},
		{"a route moves away from a service that goes", `services: [{name: a, host: h, routes: [{name: r, paths: [/]}]}]`,
			`services: [{name: b, host: h, routes: [{name: r, paths: [/]}]}]`,
			declarative.Counts{Inserted: 1, Deleted: 1, Updated: 1}},
		{"a plugin stays when its route goes", `
routes: [{name: r, paths: [/]}]
plugins: [{id: 1a1a1a1a-0000-4000-8000-000000000001, name: key-auth, route: r}]`, `
plugins: [{id: 1a1a1a1a-0000-4000-8000-000000000001, name: key-auth}]`,
			declarative.Counts{Deleted: 1, Updated: 1}},
		{"a name goes to another entity", `services: [{name: a, host: h, id: 1a1a1a1a-0000-4000-8000-000000000001}]`,
			`services: [{name: a, host: h, id: 1a1a1a1a-0000-4000-8000-000000000002}]`,
			declarative.Counts{Inserted: 1, Deleted: 1}},
		{"two swap their names", `
services: [{name: a, host: h, id: 1a1a1a1a-0000-4000-8000-000000000001}, {name: b, host: h, id: 1a1a1a1a-0000-4000-8000-000000000002}]`, `
services: [{name: b, host: h, id: 1a1a1a1a-0000-4000-8000-000000000001}, {name: a, host: h, id: 1a1a1a1a-0000-4000-8000-000000000002}]`,
			declarative.Counts{Updated: 2}},
		{"an entity moves to another workspace", `
workspaces: [{id: 1a1a1a1a-0000-4000-8000-000000000001, name: w}]
services: [{name: a, host: h}]`, `
workspaces: [{id: 1a1a1a1a-0000-4000-8000-000000000001, name: w}]
services: [{name: a, host: h, ws_id: 1a1a1a1a-0000-4000-8000-000000000001}]`,
			declarative.Counts{Unchanged: 2}},
		{"a workspace goes with what it holds", `
workspaces: [{id: 1a1a1a1a-0000-4000-8000-000000000001, name: w}]
services: [{name: a, host: h, ws_id: 1a1a1a1a-0000-4000-8000-000000000001}]`, ``,
			declarative.Counts{Deleted: 2}},
		{"a workspace has another id", `
workspaces: [{id: 1a1a1a1a-0000-4000-8000-000000000001, name: w}]
services: [{name: a, host: h, ws_id: 1a1a1a1a-0000-4000-8000-000000000001}]`, `
workspaces: [{id: 2b2b2b2b-0000-4000-8000-000000000002, name: w}, {id: 2b2b2b2b-0000-4000-8000-000000000003, name: default}]
services: [{name: a, host: h, ws_id: 2b2b2b2b-0000-4000-8000-000000000002}, {name: b, host: h, ws_id: 2b2b2b2b-0000-4000-8000-000000000003}]`,
			declarative.Counts{Unchanged: 3, Inserted: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sqlite(t)
			apply(t, s, mustParse(t, head+tt.before), true)
			before := current(t, s)
			after := mustParse(t, head+tt.after)
			counts, version := apply(t, s, after, true)
			if counts != tt.want {
				t.Errorf("counts are %+v, want %+v", counts, tt.want)
			}
			if version > before+1 {
				t.Errorf("version %d after %d, want one at most", version, before)
			}
			fresh := sqlite(t)
			apply(t, fresh, mustParse(t, strings.ReplaceAll(head+tt.after, "2b2b2b2b-0000-4000-8000-000000000002", "1a1a1a1a-0000-4000-8000-000000000001")), true)
			if diff := cmp.Diff(withoutDefault(exported(t, fresh, declarative.YAML)), withoutDefault(exported(t, s, declarative.YAML))); diff != "" {
				t.Errorf("not what a fresh store has (-want +got):\n%s", diff)
			}
		})
	}
}

// TestApplyKeeps: without exact nothing is deleted, and what collides with that
// is an error.
func TestApplyKeeps(t *testing.T) {
	s := sqlite(t)
	apply(t, s, mustParse(t, head+`services: [{name: a, host: h}]`), false)
	apply(t, s, mustParse(t, head+`services: [{name: b, host: h}]`), false)
	if text := exported(t, s, declarative.YAML); !strings.Contains(text, "name: a\n") || !strings.Contains(text, "name: b\n") {
		t.Errorf("not both are there:\n%s", text)
	}
	c := mustParse(t, head+`services: [{name: b, host: h, id: 1a1a1a1a-0000-4000-8000-000000000002}]`)
	_, err := s.Update(t.Context(), "test", func(tx store.Tx) error {
		_, err := c.Apply(tx, false)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "the value of name is taken") {
		t.Errorf("a name that is taken: %v", err)
	}
}

func TestApplyToWorkspace(t *testing.T) {
	s := sqlite(t)
	text := []byte(head + `services: [{name: a, host: h, routes: [{name: r, paths: [/]}]}]`)
	into := func(workspace string) error {
		c, err := declarative.Parse(load(t), text, declarative.Options{Workspace: workspace, At: noon})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Update(t.Context(), "test", func(tx store.Tx) error {
			_, err := c.Apply(tx, false)
			return err
		})
		return err
	}
	if err := into("w"); err == nil || err.Error() != `there is no workspace "w"` {
		t.Errorf("a workspace that is missing: %v", err)
	}
	apply(t, s, mustParse(t, head+`workspaces: [{name: w}]`), false)
	for _, workspace := range []string{"w", "default", "w"} {
		if err := into(workspace); err != nil {
			t.Errorf("into %s: %v", workspace, err)
		}
	}
	err := s.View(t.Context(), func(r store.Reader) error {
		for _, workspace := range []string{"default", "w"} {
			counts, err := r.Count(workspace)
			if err != nil {
				return err
			}
			if diff := cmp.Diff(map[string]int{"services": 1, "routes": 1}, counts); diff != "" {
				t.Errorf("%s (-want +got):\n%s", workspace, diff)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
