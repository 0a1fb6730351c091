package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

func TestVaultGet(t *testing.T) {
	prefix := t.TempDir()
	s, _, err := settings.Load(settings.Source{Command: "vault", Prefix: prefix, SearchPaths: []string{}, Flags: map[string]string{"database": "sqlite"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MY_KEY", "one")
	t.Setenv("APP_MY_KEY", "two")
	t.Setenv("CREDS", `{"password":"three"}`)
	run := func(args ...string) string {
		var out, bad bytes.Buffer
		code := execute(append([]string{"vault", "-p", prefix, "--set", "database=sqlite"}, args...), strings.NewReader(""), &out, &bad)
		first, _, _ := strings.Cut(bad.String(), "\n")
		return fmt.Sprintf("%d %s%s", code, out.String(), first)
	}
	const unset = "1 Error: could not get value from external vault (variable UNSET is not set)"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"get", "{vault://env/my-key}"}, "0 one\n"},
		{[]string{"get", "env/my-key"}, "0 one\n"},
		{[]string{"get", "env/creds/password"}, "0 three\n"},
		{[]string{"get", "env/my-key?prefix=app_"}, "0 two\n"},
		{[]string{"get", "env/my-key", "--set", "vault_env_prefix=app_"}, "0 two\n"},
		{[]string{"get", "env/unset"}, unset},
		{[]string{"get", "mine/my-key"}, "1 Error: could not find vault (mine)"},
		{[]string{"get", "mine/my-key", "--set", "database=off"}, "1 Error: could not find vault (mine)"},
		{[]string{"get", "env"}, "1 Error: reference url is missing path [{vault://env}]"},
		{[]string{"get", "env/"}, "1 Error: reference url has empty path [{vault://env/}]"},
		{[]string{"get", "env/a#b"}, "1 Error: reference url has invalid version [{vault://env/a#b}]"},
		{[]string{"get", ""}, "1 Error: not a reference [{vault://}]"},
		{[]string{"get"}, "1 Error: the 'get' command needs a <reference> argument"},
		{[]string{"put", "x"}, "1 Error: unknown command 'put'"},
	} {
		if got := run(tt.args...); got != tt.want {
			t.Errorf("vault %q: %q, want %q", tt.args, got, tt.want)
		}
	}

	// A vault of the configuration lies in the database, which vault get does not
	// make by itself.
	ctx := t.Context()
	if err := migrateSQLite(ctx, s); err != nil {
		t.Fatal(err)
	}
	st, err := sqlstore.OpenSQLite(ctx, s.SQLitePath, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Update(ctx, "test", func(tx store.Tx) error {
		return tx.Insert(store.Entity{
			Workspace: "default", Kind: "vaults", ID: "5fd1c5d1-60b2-4d1b-9a4e-9f2b7a0c3e11",
			Document: []byte(`{"id":"5fd1c5d1-60b2-4d1b-9a4e-9f2b7a0c3e11","prefix":"mine","name":"env","config":{"prefix":"app-"}}`),
			Uniques:  []store.Unique{{Field: "prefix", Value: "mine", Everywhere: true}},
		})
	})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ ref, want string }{
		{"mine/my-key", "0 two\n"},
		{"{vault://mine/my-key?prefix=}", "0 one\n"},
		{"other/my-key", "1 Error: could not find vault (other)"},
		{"env/my-key", "0 one\n"},
	} {
		if got := run("get", tt.ref); got != tt.want {
			t.Errorf("vault get %s: %q, want %q", tt.ref, got, tt.want)
		}
	}
}
