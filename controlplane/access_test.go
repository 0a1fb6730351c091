package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// TestRolesAgree pairs the words that the settings accept with the roles that
// there are.
func TestRolesAgree(t *testing.T) {
	var words []string
	for role := admin.Monitor; role <= admin.Full; role++ {
		words = append(words, role.String())
	}
	if !slices.Equal(words, settings.AdminRoles) {
		t.Errorf("the settings know the roles %q, the Admin API %q", settings.AdminRoles, words)
	}
}

// authority signs certificates of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// issue signs a certificate for a client, which change may adapt.
func (a *authority) issue(subject pkix.Name, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// start runs a control plane until the test ends.
func start(t *testing.T, cfg Config) *ControlPlane {
	t.Helper()
	c, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c
}

// client sends requests over connections of its own, with a certificate or none.
func client(t *testing.T, certs ...tls.Certificate) func(method, url, body string, headers ...string) (int, string) {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs}}
	t.Cleanup(transport.CloseIdleConnections)
	return func(method, url, body string, headers ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, url, err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
}

// TestClientCertificates shows certificates of all sorts to a real listener.
func TestClientCertificates(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("ci:full:0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, map[string]string{
		"admin_listen": "127.0.0.1:0, 127.0.0.1:0 ssl", "admin_client_ca": ca.pem, "admin_tokens_file": tokens,
		"admin_client_roles": "ann:full, bob:read-only, spiffe://x/y:full", "admin_require_auth": "on",
	})
	c := start(t, cfg)
	plain, secure := c.Addresses()[0], c.Addresses()[1]
	spiffe := func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/y"}} }
	server := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	for _, tt := range []struct {
		name  string
		certs []tls.Certificate
		want  int
	}{
		{"none", nil, 401},
		{"full", []tls.Certificate{ca.issue(pkix.Name{CommonName: "ann", Organization: []string{"Acme"}}, nil)}, 201},
		{"read-only", []tls.Certificate{ca.issue(pkix.Name{CommonName: "bob"}, nil)}, 403},
		{"a name that is not listed", []tls.Certificate{ca.issue(pkix.Name{CommonName: "eve"}, nil)}, 403},
		{"a URI for a name", []tls.Certificate{ca.issue(pkix.Name{}, spiffe)}, 201},
		{"expired", []tls.Certificate{ca.issue(pkix.Name{CommonName: "ann"}, expired)}, 401},
		{"for servers", []tls.Certificate{ca.issue(pkix.Name{CommonName: "ann"}, server)}, 401},
		{"of a stranger", []tls.Certificate{stranger.issue(pkix.Name{CommonName: "ann"}, nil)}, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			send := client(t, tt.certs...)
			if code, body := send("POST", secure+"/services", `{"host":"h"}`); code != tt.want {
				t.Errorf("POST: %d %s, want %d", code, body, tt.want)
			}
			if code, body := send("POST", secure+"/services", `{"host":"h"}`, "Kong-Admin-Token", "0123456789abcdef"); code != 201 {
				t.Errorf("with a token besides: %d %s", code, body)
			}
		})
	}
	if code, _ := client(t)("GET", plain+"/", ""); code != 401 {
		t.Errorf("in plaintext, where no certificate is shown: %d", code)
	}
	var names []string
	if err := cfg.Store.View(t.Context(), func(r store.Reader) error {
		changes, err := r.Changes(0, 100)
		for _, change := range changes {
			if change.Actor != "ci" {
				names = append(names, change.Actor)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"CN=ann,O=Acme", "SAN=spiffe://x/y"}; !slices.Equal(names, want) {
		t.Errorf("the change log names %q, want %q", names, want)
	}
}

// TestReloadAccess changes tokens while the control plane runs; connections that
// are open see it too.
func TestReloadAccess(t *testing.T) {
	cfg := config(t, map[string]string{"admin_tokens": "ann:full:0123456789abcdef"})
	c := start(t, cfg)
	send := client(t)
	as := func(token string) int {
		t.Helper()
		code, _ := send("GET", c.Addresses()[0]+"/", "", "Authorization", "Bearer "+token)
		return code
	}
	if code := as("0123456789abcdef"); code != 200 {
		t.Fatalf("the token: %d", code)
	}
	load := func(tokens string) *settings.Settings {
		t.Helper()
		flags := map[string]string{"database": "sqlite", "cluster_listen": "127.0.0.1:0"}
		if tokens != "" {
			flags["admin_tokens"] = tokens
		}
		s, _, err := settings.Load(settings.Source{Command: "controlplane", Prefix: cfg.Settings.Prefix, Flags: flags, SearchPaths: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c.Reload(t.Context(), load("ann:full:fedcba9876543210"))
	for token, want := range map[string]int{"0123456789abcdef": 401, "fedcba9876543210": 200} {
		if code := as(token); code != want {
			t.Errorf("after the reload token %s: %d, want %d", token, code, want)
		}
	}
	c.Reload(t.Context(), load(""))
	for token, want := range map[string]int{"": 401, "fedcba9876543210": 200} {
		if code := as(token); code != want {
			t.Errorf("after a reload without tokens, token %q: %d, want %d", token, code, want)
		}
	}
}

// TestExposed tells what GET / says of an API that everybody can reach.
func TestExposed(t *testing.T) {
	for _, tt := range []struct {
		listen, tokens string
		want           bool
	}{
		{"127.0.0.1:0", "", false},
		{"0.0.0.0:0", "", true},
		{"0.0.0.0:0", "ann:full:0123456789abcdef", false},
	} {
		set := map[string]string{"admin_listen": tt.listen}
		if tt.tokens != "" {
			set["admin_tokens"] = tt.tokens
		}
		c := start(t, config(t, set))
		at, err := url.Parse(c.Addresses()[0])
		if err != nil {
			t.Fatal(err)
		}
		code, body := client(t)("GET", "http://127.0.0.1:"+at.Port()+"/", "", "Kong-Admin-Token", "0123456789abcdef")
		if want := fmt.Sprintf(`"admin_exposed":%t`, tt.want); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%+v: %d %s, want %s", tt, code, body, want)
		}
	}
}
