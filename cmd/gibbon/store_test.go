package main

import (
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/pki"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// TestPostgresOptions looks at what goes to the store beside the connection
// string, the content of certificates above all.
func TestPostgresOptions(t *testing.T) {
	cert, key, err := pki.GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := settings.Load(settings.Source{Command: "run", Prefix: t.TempDir(), SearchPaths: []string{}, Flags: map[string]string{
		"database": "postgres", "pg_max_concurrent_queries": "7", "pg_timeout": "1500", "db_update_frequency": "2",
		"pg_ssl": "on", "pg_ssl_verify": "on", "pg_ssl_cert": string(cert), "pg_ssl_cert_key": string(key),
		"lua_ssl_trusted_certificate": "system," + string(cert),
	}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := postgresOptions(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.MaxConns != 7 || o.Timeout != 1500*time.Millisecond || o.Poll != 2*time.Second {
		t.Errorf("got %+v", o)
	}
	if o.TLS == nil || o.TLS.InsecureSkipVerify || len(o.TLS.Certificates) != 1 || o.TLS.RootCAs == nil {
		t.Errorf("TLS is %+v", o.TLS)
	}
	s.PGSSL = false
	if o, err = postgresOptions(s, nil); err != nil || o.TLS != nil {
		t.Errorf("without pg_ssl: %+v, %v", o.TLS, err)
	}
}
