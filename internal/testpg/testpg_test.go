package testpg

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/gibbon-gateway/gibbon/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect opens a connection that ends with the test.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	// A test that kills the server breaks the connection first, so what
	// closing says of it is of no interest.
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func one(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	var got string
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func TestNewGivesEachCallerItsOwnDatabase(t *testing.T) {
	t.Parallel()
	const callers = 4
	var dsns [callers]string
	var wg sync.WaitGroup
	New(t) // ends the test here, on its own goroutine, when there is no server
	for i := range callers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			dsn, err := createDatabase(ctx, sharedServer(t))
			if err != nil {
				t.Errorf("create database: %v", err)
			}
			dsns[i] = dsn
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for i, dsn := range dsns {
		conn := connect(t, dsn)
		// A database that two callers shared would have the table already.
		exec(t, conn, "create table mine (caller int)")
		exec(t, conn, fmt.Sprintf("insert into mine values (%d)", i))
		if got, want := one(t, conn, "select string_agg(caller::text, ' ') from mine"), fmt.Sprint(i); got != want {
			t.Errorf("database %d holds callers %q, want %q", i, got, want)
		}
		if got := one(t, conn, "show server_encoding"); got != "UTF8" {
			t.Errorf("server_encoding = %q, want UTF8", got)
		}
	}
}

func TestServerKeepsCommitsOverStopAndKill(t *testing.T) {
	t.Parallel()
	server := Server(t)
	dsn := server.DSN()
	exec(t, connect(t, dsn), "create table promised (what text)")

	for _, end := range []struct {
		name string
		how  func() error
	}{
		{"stop", server.Stop},
		{"kill", server.Kill},
		{"kill again", server.Kill},
	} {
		exec(t, connect(t, dsn), fmt.Sprintf("insert into promised values ('before %s')", end.name))
		if err := end.how(); err != nil {
			t.Fatalf("%s: %v", end.name, err)
		}
		if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
			t.Errorf("after %s the server still answers", end.name)
			_ = conn.Close(t.Context())
		}
		if err := server.Start(); err != nil {
			t.Fatalf("start after %s: %v", end.name, err)
		}
		if got := server.DSN(); got != dsn {
			t.Errorf("after %s the address is %q, want the old one %q", end.name, got, dsn)
		}
	}
	got := one(t, connect(t, dsn), "select string_agg(what, ', ' order by what) from promised")
	if want := "before kill, before kill again, before stop"; got != want {
		t.Errorf("committed rows after restarts: %q, want %q", got, want)
	}
}

func TestEndingAStoppedServerIsNothing(t *testing.T) {
	t.Parallel()
	server := Server(t)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"start a running one", server.Start},
		{"stop", server.Stop},
		{"stop again", server.Stop},
		{"kill", server.Kill},
		{"close", server.Close},
		{"close again", server.Close},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

func TestWithDatabase(t *testing.T) {
	for _, tt := range []struct{ server, want string }{
		{"postgres://me:pw@h:5/postgres?sslmode=disable", "postgres://me:pw@h:5/x?sslmode=disable"},
		{"postgresql://h", "postgresql://h/x"},
		{"host=h dbname=postgres", ""},
		{"mysql://h/db", ""},
		{"postgres:///db", ""},
		{"postgres://h:port/db", ""},
	} {
		got, err := withDatabase(tt.server, "x")
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("withDatabase(%q) = %q, %v, want %q", tt.server, got, err, tt.want)
		}
	}
}

func TestRequired(t *testing.T) {
	for _, tt := range []struct {
		environ map[string]string
		want    bool
	}{
		{nil, false},
		{map[string]string{"CI": "true"}, true},
		{map[string]string{"CI": "1"}, false},
		{map[string]string{"GIBBON_REQUIRE_SERVICES": "1"}, true},
		{map[string]string{testenv.PostgresVariable: "postgres://h"}, false},
	} {
		if got := required(func(name string) string { return tt.environ[name] }); got != tt.want {
			t.Errorf("required with %v = %t, want %t", tt.environ, got, tt.want)
		}
	}
}
