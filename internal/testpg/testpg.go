// Package testpg gives tests a real PostgreSQL: an empty database for each
// test on a server that somebody else started ([New]), or a whole server that
// one test may stop and kill ([Server]).
//
// "make test" starts the shared server with the program test/services and
// names it in the environment variable GIBBON_TEST_POSTGRES, a postgres:// URL
// of a role that may create databases. Without that variable the tests that
// need PostgreSQL skip, so that "make check" runs anywhere; where CI=true or
// GIBBON_REQUIRE_SERVICES=1 says that nothing may be skipped, they fail.
//
// This is test support: the store's tests and those under test/ import it, and
// nothing that ships does, which arch_test.go checks.
package testpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gibbon-gateway/gibbon/internal/testenv"
)

// patience bounds each single thing that is asked of a server. It is far above
// what a loaded machine needs, because running into it fails a test.
const patience = time.Minute

// New makes an empty database for this test alone on the shared server and
// returns its URL. Nobody drops it: dropping costs more than creating, and the
// whole cluster goes when the test run ends. Tests may call it in parallel.
//
// It skips the test when there is no shared server, or fails it where services
// are required.
func New(t testing.TB) string {
	t.Helper()
	server := sharedServer(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dsn, err := createDatabase(ctx, server)
	if err != nil {
		t.Fatalf("make a database for the test: %v", err)
	}
	return dsn
}

// Server starts a PostgreSQL for this test alone, which the test may stop,
// kill and start again; it costs about a second and a half, so a test that
// only wants a database calls New. The server and its files are gone when the
// test ends.
//
// It skips, or fails, exactly where New does: a run that has no shared server
// is one without PostgreSQL.
func Server(t testing.TB) *testenv.Postgres {
	t.Helper()
	sharedServer(t)
	server, err := testenv.NewPostgres()
	if err != nil {
		t.Fatalf("make a server for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("clean up the test's server: %v", err)
		}
	})
	if err := server.Start(); err != nil {
		t.Fatalf("start the test's server: %v", err)
	}
	return server
}

// sharedServer returns the shared server's URL, or ends the test.
func sharedServer(t testing.TB) string {
	t.Helper()
	if server := os.Getenv(testenv.PostgresVariable); server != "" {
		return server
	}
	if required(os.Getenv) {
		t.Fatalf("%s is not set, and this run may not skip what needs PostgreSQL", testenv.PostgresVariable)
	}
	t.Skipf("needs PostgreSQL: %s is not set (make test sets it)", testenv.PostgresVariable)
	return ""
}

// required tells whether a missing service is a failure in this run.
func required(getenv func(string) string) bool {
	return getenv("CI") == "true" || getenv("GIBBON_REQUIRE_SERVICES") == "1"
}

// createDatabase makes an empty database with a name of its own on the server
// and returns the URL that leads to it.
func createDatabase(ctx context.Context, server string) (string, error) {
	name := "t_" + strings.ToLower(rand.Text())
	dsn, err := withDatabase(server, name)
	if err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", fmt.Errorf("connect to the server: %w", err)
	}
	if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", fmt.Errorf("create database %q: %w", name, errors.Join(err, conn.Close(ctx)))
	}
	if err := conn.Close(ctx); err != nil {
		return "", fmt.Errorf("close the connection to the server: %w", err)
	}
	return dsn, nil
}

// withDatabase returns the server's URL with another database in it.
func withDatabase(server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		// The text may hold a password, so it stays out of the message.
		return "", fmt.Errorf("%s is no postgres:// URL with a host", testenv.PostgresVariable)
	}
	u.Path = "/" + name
	return u.String(), nil
}
