package settings

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gibbon-gateway/gibbon/internal/pki"
)

func TestDSN(t *testing.T) {
	for _, tt := range []struct {
		name string
		pg   Postgres
		want string
		tls  bool
	}{
		{"plain", Postgres{Host: "127.0.0.1", Port: 5432, Database: "kong", User: "kong", ConnectTimeout: 5 * time.Second},
			"host='127.0.0.1' port='5432' user='kong' dbname='kong' sslmode='disable' connect_timeout='5' application_name='gibbon'", false},
		{"awkward characters", Postgres{Host: "/var/run/pg", Port: 1, Database: "a b", User: `o'neil\`, Password: `p' w\d=`, Schema: `s"x`, ConnectTimeout: time.Millisecond},
			`host='/var/run/pg' port='1' user='o\'neil\\' password='******' dbname='a b' sslmode='disable' connect_timeout='1' search_path='"s""x"' application_name='gibbon'`, false},
		{"tls", Postgres{Host: "db", Port: 1, Database: "k", User: "k", SSL: true}, "host='db' port='1' user='k' dbname='k' sslmode='require' application_name='gibbon'", true},
		{"verified tls", Postgres{Host: "db", Port: 1, Database: "k", User: "k", SSL: true, Verify: true}, "host='db' port='1' user='k' dbname='k' sslmode='verify-full' application_name='gibbon'", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, tt.pg.String()); d != "" {
				t.Errorf("String (-want +got):\n%s", d)
			}
			cfg, err := pgx.ParseConfig(tt.pg.DSN())
			if err != nil {
				t.Fatal(err)
			}
			got := []any{cfg.Host, int(cfg.Port), cfg.Database, cfg.User, cfg.Password, cfg.TLSConfig != nil, len(cfg.Fallbacks)}
			want := []any{tt.pg.Host, tt.pg.Port, tt.pg.Database, tt.pg.User, tt.pg.Password.Reveal(), tt.tls, 0}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("as pgx reads it (-want +got):\n%s", d)
			}
		})
	}
}

// TestDSNNamesFiles lets pgx read a string with every file in it.
func TestDSNNamesFiles(t *testing.T) {
	cert, key := clusterPair(t)
	dir := t.TempDir()
	certPath, keyPath := filepath.Join(dir, "c.crt"), filepath.Join(dir, "c.key")
	if err := pki.WritePair(certPath, keyPath, []byte(cert), []byte(key)); err != nil {
		t.Fatal(err)
	}
	pg := Postgres{Host: "db", Port: 1, Database: "k", User: "k", SSL: true, Verify: true, Cert: Material(certPath), Key: Material(keyPath), Trusted: []Material{Material(certPath)}}
	cfg, err := pgx.ParseConfig(pg.DSN())
	if err != nil {
		t.Fatal(err)
	}
	if c := cfg.TLSConfig; c.ServerName != "db" || c.InsecureSkipVerify || c.RootCAs == nil || len(c.Certificates) != 1 {
		t.Errorf("pgx read %+v from %s", c, pg)
	}
	inline := Postgres{Host: "db", SSL: true, Verify: true, Cert: Material(cert), Key: Material(key), Trusted: []Material{Material(cert)}}
	if text := inline.DSN(); strings.Contains(text, "BEGIN") || !strings.Contains(text, "verify-full") {
		t.Errorf("content in the string, or unchecked: %s", text)
	}
}

func TestPostgresTLS(t *testing.T) {
	cert, key := clusterPair(t)
	off, err := Postgres{}.TLSConfig()
	if off != nil || err != nil {
		t.Errorf("without pg_ssl: %v, %v", off, err)
	}
	cfg, err := Postgres{Host: "db", SSL: true, Cert: Material(cert), Key: Material(key)}.TLSConfig()
	if err != nil || !cfg.InsecureSkipVerify || len(cfg.Certificates) != 1 {
		t.Errorf("without pg_ssl_verify: %+v, %v", cfg, err)
	}
	cfg, err = Postgres{Host: "db", SSL: true, Verify: true, Trusted: []Material{Material(cert)}}.TLSConfig()
	if err != nil || cfg.InsecureSkipVerify || cfg.ServerName != "db" || cfg.RootCAs == nil {
		t.Errorf("with pg_ssl_verify: %+v, %v", cfg, err)
	}
	if _, err := (Postgres{SSL: true, Verify: true, Trusted: []Material{Material(key)}}).TLSConfig(); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a key for an authority gave %v", err)
	}
}
