//go:build unix

package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gibbon-gateway/gibbon/internal/testpg"
	"github.com/gibbon-gateway/gibbon/migrations"
	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

const needsBootstrap = "Database needs bootstrapping or is older than Gibbon 0.1.\n\n" +
	"  To start a new database from scratch, run 'gibbon migrations bootstrap'."

// database is one that the migrations command is pointed at.
type database struct {
	settings map[string]string
	args     []string
}

func (d database) migrations(t *testing.T, words ...string) gibbon.Result {
	t.Helper()
	return gibbon.Command(t, d.settings, append(append([]string{"migrations"}, words...), d.args...)...)
}

// databases make an empty database of each kind.
var databases = map[string]func(t *testing.T) database{
	"sqlite": func(t *testing.T) database {
		return database{map[string]string{"KONG_DATABASE": "sqlite"}, []string{"--prefix", t.TempDir()}}
	},
	"postgres": func(t *testing.T) database { d, _ := postgres(t); return d },
}

// postgres is an empty database, with a URL for SQL.
func postgres(t *testing.T) (d database, dsn string) {
	t.Helper()
	dsn = testpg.New(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	return database{settings: map[string]string{
		"KONG_DATABASE": "postgres", "KONG_PG_HOST": u.Hostname(), "KONG_PG_PORT": u.Port(),
		"KONG_PG_USER": u.User.Username(), "KONG_PG_PASSWORD": password, "KONG_PG_DATABASE": u.Path[1:],
	}}, dsn
}

// state is what "migrations status" prints.
type state struct {
	NeedsBootstrap bool     `json:"needs_bootstrap"`
	Executed       []string `json:"executed_migrations"`
	Pending        []string `json:"pending_migrations"`
	Missing        []string `json:"missing_migrations"`
	New            []string `json:"new_migrations"`
}

func (d database) expectState(t *testing.T, want state) {
	t.Helper()
	r := d.migrations(t, "status")
	var got state
	if err := json.Unmarshal([]byte(r.Out), &got); err != nil || r.Code != 0 {
		t.Fatalf("migrations status: %+v: %v", r, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("migrations status (-want +got):\n%s", diff)
	}
}

// TestMigrations takes a database through its life. The first half of an upgrade,
// exit code 4, needs a release with a second migration; the store's tests have
// made-up ones.
func TestMigrations(t *testing.T) {
	t.Parallel()
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			none := []string{}
			all := shipped(t)

			expect(t, "list of an empty database", d.migrations(t, "list"), 3, needsBootstrap+"\n", "")
			d.expectState(t, state{true, none, none, none, all})
			for _, command := range []string{"up", "finish"} {
				expect(t, command+" of an empty database", d.migrations(t, command), 1, "", "Error: Cannot run migrations: "+needsBootstrap+hint)
			}
			expect(t, "reset of an empty database", d.migrations(t, "reset", "--yes"), 1, "Database not bootstrapped, nothing to reset\n", "")

			expect(t, "bootstrap", d.migrations(t, "bootstrap"), 0,
				"Bootstrapping database...\nmigrated: "+strings.Join(all, "\nmigrated: ")+
					fmt.Sprintf("\n%d migrations processed\nDatabase is up-to-date\n", len(all)), "")
			expect(t, "bootstrap again", d.migrations(t, "bootstrap"), 0, "Database already bootstrapped\n", "")
			expect(t, "list", d.migrations(t, "list"), 0, "Executed migrations:\n  "+strings.Join(all, "\n  ")+"\n", "")
			d.expectState(t, state{false, all, none, none, none})
			expect(t, "up", d.migrations(t, "up"), 0, "Database is already up-to-date\n", "")
			expect(t, "finish", d.migrations(t, "finish"), 0, "No pending migrations to finish\n", "")

			// Standard input is no terminal here, so that nobody can be asked.
			expect(t, "reset without --yes", d.migrations(t, "reset"), 1, "",
				"Error: not a tty: invoke 'reset' non-interactively with the --yes flag"+hint)
			expect(t, "list after a reset that was refused", d.migrations(t, "list", "--quiet"), 0, "", "")
			expect(t, "reset", d.migrations(t, "reset", "--yes"), 0, "Database successfully reset\n", "")
			expect(t, "quiet list after reset", d.migrations(t, "list", "--quiet"), 3, "", "")
		})
	}
}

// shipped names the migrations of this release.
func shipped(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(migrations.Postgres(), "*.sql")
	if err != nil || len(names) < 2 {
		t.Fatalf("the migrations are %q, %v", names, err)
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, ".sql")
	}
	return names
}

// TestUnreadyPostgres has control planes and migrations meet a database that they
// do not fit.
func TestUnreadyPostgres(t *testing.T) {
	t.Parallel()
	d, dsn := postgres(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	control := gibbon.ControlPlane(t)
	for name, value := range d.settings {
		control.Settings[name] = value
	}
	start := func() gibbon.Result {
		t.Helper()
		return gibbon.Command(t, control.Settings, "controlplane", "--prefix", control.Prefix)
	}

	expect(t, "controlplane on an empty database", start(), 1, "", "Error: "+needsBootstrap+hint)
	if r := d.migrations(t, "bootstrap", "-q"); r.Code != 0 || r.Out != "" {
		t.Fatalf("bootstrap: %+v", r)
	}
	// As if a release to come had migrated it.
	exec(`update schema_migration set version_id = 999 where version_id = 1`)
	expect(t, "list with a new migration", d.migrations(t, "list", "-q"), 5, "", "")
	r := d.migrations(t, "list")
	if r.Code != 5 || !strings.Contains(r.Out, "New migrations available:\n  0001_init\n") || !strings.Contains(r.Out, "Run 'gibbon migrations up' to proceed") {
		t.Errorf("list with a new migration: %+v", r)
	}
	if r := start(); r.Code != 1 {
		t.Errorf("controlplane on a database with a new migration: %+v, want exit code 1", r)
	}
	exec(`insert into schema_migration (version_id, is_applied) values (1, true)`)
	r = d.migrations(t, "list")
	if r.Code != 0 || !strings.Contains(r.Out, "Migrations of a newer version:\n  0999") {
		t.Errorf("list of a newer database: %+v", r)
	}
	if r := start(); r.Code != 1 || !strings.Contains(r.ErrOut, "newer version") {
		t.Errorf("controlplane on a newer database: %+v, want exit code 1 and why", r)
	}
	exec(`delete from schema_migration where version_id = 999`)
	control.Start()
	if code := control.Stop(); code != 0 {
		t.Errorf("the control plane ended with exit code %d", code)
	}
}

// TestNoPostgres wants commands to end, with the reason, when no server answers.
func TestNoPostgres(t *testing.T) {
	t.Parallel()
	address := gibbon.FreePorts(t, 1)[0]
	settings := map[string]string{
		"KONG_DATABASE": "postgres", "KONG_PG_HOST": "127.0.0.1", "KONG_PG_PORT": address[strings.LastIndexByte(address, ':')+1:],
		"KONG_PG_PASSWORD": "not-to-be-shown",
	}
	for _, command := range []string{"bootstrap", "up", "finish", "list", "status"} {
		r := database{settings: settings}.migrations(t, command)
		if r.Code != 1 || !strings.HasPrefix(r.ErrOut, "Error: ") || !strings.Contains(r.ErrOut, "refused") || strings.Contains(r.ErrOut, "not-to-be-shown") {
			t.Errorf("migrations %s without a server: %+v", command, r)
		}
	}
}
