package settings

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
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
