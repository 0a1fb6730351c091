package settings

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goodToken = "0123456789abcdef"

func TestAdminTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	text := "# people\n\n  bob:read-only:" + goodToken + "-bob\nci:monitor:sha256:" + fmt.Sprintf("%X", sha256.Sum256([]byte("pipeline"))) + "\r\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, err := load(t, Source{Command: "run", Environ: []string{
		"GIBBON_ADMIN_TOKENS={vault://env/tokens}", "TOKENS=ann:full:" + goodToken + ":with:colons, eve:full:" + goodToken,
		"GIBBON_ADMIN_TOKENS_FILE=" + file,
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.AdminTokenList()
	if err != nil {
		t.Fatal(err)
	}
	want := []AdminToken{
		{"ann", "full", sha256.Sum256([]byte(goodToken + ":with:colons"))},
		{"eve", "full", sha256.Sum256([]byte(goodToken))},
		{"bob", "read-only", sha256.Sum256([]byte(goodToken + "-bob"))},
		{"ci", "monitor", sha256.Sum256([]byte("pipeline"))},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
	if !s.AsksAdmins() || s.AdminExposed() {
		t.Errorf("asks is %t, exposed is %t", s.AsksAdmins(), s.AdminExposed())
	}
	if shown := s.Public()["admin_tokens"]; shown != Mask {
		t.Errorf("GET / shows admin_tokens as %v", shown)
	}
}

// TestBadAdminAccess also sees to it that no problem quotes a token.
func TestBadAdminAccess(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	empty, broken := write("empty", "# nothing\n"), write("broken", "ann:full:"+goodToken+"\nbob:"+goodToken+"\n")
	ca, key := clusterPair(t)
	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"no role", []string{"GIBBON_ADMIN_TOKENS=ann:" + goodToken}, "admin_tokens, entry 1: a token is written name:role:token"},
		{"a bare token", []string{"GIBBON_ADMIN_TOKENS=" + goodToken}, "admin_tokens, entry 1: a token is written name:role:token"},
		{"a bad name", []string{"GIBBON_ADMIN_TOKENS=a/b:full:" + goodToken}, "admin_tokens, entry 1: a token's name has letters, digits, '.', '_' and '-', at most 64, and begins with one of the first two"},
		{"a name of ours", []string{"GIBBON_ADMIN_TOKENS=admin:full:" + goodToken}, "admin_tokens, entry 1: the name 'admin' is taken: the change log writes it where nobody was asked"},
		{"an unknown role", []string{"GIBBON_ADMIN_TOKENS=eve:full:" + goodToken + ",ann:root:x"}, "admin_tokens, entry 2: the role is none of monitor, read-only, full"},
		{"role and token swapped", []string{"GIBBON_ADMIN_TOKENS=ann:" + goodToken + ":full"}, "admin_tokens, entry 1: the role is none of monitor, read-only, full"},
		{"name and token swapped", []string{"GIBBON_ADMIN_TOKENS=" + goodToken + ":full:ann"}, "admin_tokens, entry 1: the token is shorter than 16 characters; 'openssl rand -hex 32' makes a good one"},
		{"token, name, role", []string{"GIBBON_ADMIN_TOKENS=" + goodToken + ":ann:full"}, "admin_tokens, entry 1: the role is none of monitor, read-only, full"},
		{"a reference for a token", []string{"GIBBON_ADMIN_TOKENS=ann:full:{vault://env/ann-token}"}, "admin_tokens, entry 1: the token is a vault reference: only admin_tokens as a whole can be one"},
		{"a short token", []string{"GIBBON_ADMIN_TOKENS=ann:full:" + goodToken[1:]}, "admin_tokens, entry 1: the token is shorter than 16 characters; 'openssl rand -hex 32' makes a good one"},
		{"a blank in a token", []string{"GIBBON_ADMIN_TOKENS=ann:full:" + goodToken + " x"}, "admin_tokens, entry 1: the token has a character that a header cannot carry"},
		{"a name twice", []string{"GIBBON_ADMIN_TOKENS=ann:full:" + goodToken + ",ann:full:x" + goodToken}, "admin_tokens, entry 2: the name 'ann' has a token already"},
		{"a token twice", []string{"GIBBON_ADMIN_TOKENS=ann:full:" + goodToken + ",bob:monitor:" + goodToken}, "admin_tokens, entry 2: 'ann' and 'bob' have the same token"},
		{"no token at all", []string{"GIBBON_ADMIN_TOKENS=,"}, "admin_tokens has no token in it"},
		{"a key where the authority belongs", []string{"GIBBON_ADMIN_CLIENT_CA=" + key, "GIBBON_ADMIN_CLIENT_ROLES=*:full"}, "admin_client_ca: there is no certificate in it"},
		{"no file", []string{"GIBBON_ADMIN_TOKENS_FILE=" + dir + "/none"}, "admin_tokens_file: open " + dir + "/none: no such file or directory"},
		{"an empty file", []string{"GIBBON_ADMIN_TOKENS_FILE=" + empty}, "admin_tokens_file: " + empty + " has no token in it"},
		{"a bad line", []string{"GIBBON_ADMIN_TOKENS_FILE=" + broken}, "admin_tokens_file: " + broken + ", line 2: a token is written name:role:token"},
		{"an authority that is none", []string{"GIBBON_ADMIN_CLIENT_CA=" + empty, "GIBBON_ADMIN_CLIENT_ROLES=*:full"}, "admin_client_ca: no PEM block found"},
		{"no roles", []string{"GIBBON_ADMIN_CLIENT_CA=" + ca}, "admin_client_ca and admin_client_roles must be given together: without a role a certificate opens nothing"},
		{"no authority", []string{"GIBBON_ADMIN_CLIENT_ROLES=ann:full"}, "admin_client_ca and admin_client_roles must be given together: without a role a certificate opens nothing"},
		{"a name without a role", []string{"GIBBON_ADMIN_CLIENT_CA=" + ca, "GIBBON_ADMIN_CLIENT_ROLES=ann"}, "admin_client_roles: 'ann' is not of the form name:role"},
		{"a certificate's unknown role", []string{"GIBBON_ADMIN_CLIENT_CA=" + ca, "GIBBON_ADMIN_CLIENT_ROLES=ann:root"}, "admin_client_roles: the role of 'ann' is none of monitor, read-only, full"},
		{"a certificate's name twice", []string{"GIBBON_ADMIN_CLIENT_CA=" + ca, "GIBBON_ADMIN_CLIENT_ROLES=ann:full,ann:monitor"}, "admin_client_roles: 'ann' is given twice"},
		{"no TLS", []string{"GIBBON_ADMIN_CLIENT_CA=" + ca, "GIBBON_ADMIN_CLIENT_ROLES=ann:full", "GIBBON_ADMIN_LISTEN=127.0.0.1:8001"}, "admin_client_ca needs an address with ssl in admin_listen: certificates are shown over TLS only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, Source{Command: "run", Environ: tt.env})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), goodToken[1:]) {
				t.Errorf("the problem quotes a token: %v", err)
			}
		})
	}
}

func TestAdminClientRoles(t *testing.T) {
	ca, _ := clusterPair(t)
	s, warnings, err := load(t, Source{Command: "run", Environ: []string{
		"GIBBON_ADMIN_CLIENT_CA=" + ca, "GIBBON_ADMIN_CLIENT_ROLES=ann:full, spiffe://x/bob:read-only, *:monitor",
		"GIBBON_ADMIN_REQUIRE_AUTH=on", "GIBBON_ADMIN_LISTEN=0.0.0.0:8001, 0.0.0.0:8444 ssl",
	}})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("got %q, %v", warnings, err)
	}
	got, err := s.AdminClientRoleMap()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"ann": "full", "spiffe://x/bob": "read-only", "*": "monitor"}, got); d != "" {
		t.Errorf("roles (-want +got):\n%s", d)
	}
	if pool, err := s.AdminClientAuthorities(); err != nil || pool == nil {
		t.Errorf("authorities: %v, %v", pool, err)
	}
	if exposed := s.Public()["admin_exposed"]; exposed != false {
		t.Errorf("admin_exposed is %v", exposed)
	}
}
