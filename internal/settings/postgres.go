package settings

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/pki"
)

// Postgres says how to reach the database server.
type Postgres struct {
	Host           string
	Port           int
	Database       string
	User           string
	Password       Secret
	Schema         string // "" leaves it to the user's search path
	ConnectTimeout time.Duration
	SSL, Verify    bool
	Cert, Key      Material
	Trusted        []Material
}

// Postgres returns the pg_* settings.
func (s *Settings) Postgres() Postgres {
	return Postgres{
		Host: s.PGHost, Port: s.PGPort, Database: s.PGDatabase, User: s.PGUser, Password: s.PGPassword,
		Schema: s.PGSchema, ConnectTimeout: s.PGTimeout, SSL: s.PGSSL, Verify: s.PGSSLVerify,
		Cert: s.PGSSLCert, Key: s.PGSSLCertKey, Trusted: s.TrustedCerts,
	}
}

// DSN returns the connection string for pgx, the password in it. It asks for
// TLS as the settings do and names certificates that are PEM files. It can not
// carry their content, nor more than one authority beside or instead of the
// system's: TLSConfig does, which takes the place of all that the string says
// of TLS. Without it a connection that should be checked fails; it is never made
// unchecked.
func (p Postgres) DSN() string { return p.dsn(p.Password.Reveal()) }

// String is the connection string without the password.
func (p Postgres) String() string { return p.dsn(p.Password.String()) }

// GoString hides the password from %#v.
func (p Postgres) GoString() string { return p.String() }

func (p Postgres) dsn(password string) string {
	var b strings.Builder
	add := func(key, value string) {
		if value == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(key + "='" + dsnQuote.Replace(value) + "'")
	}
	add("host", p.Host)
	add("port", strconv.Itoa(p.Port))
	add("user", p.User)
	add("password", password)
	add("dbname", p.Database)
	switch {
	case !p.SSL:
		add("sslmode", "disable")
	case p.Verify:
		add("sslmode", "verify-full")
	default:
		add("sslmode", "require")
	}
	if p.SSL {
		add("sslcert", p.Cert.Path())
		add("sslkey", p.Key.Path())
		// With sslmode=require an authority would mean to check after all.
		if p.Verify && len(p.Trusted) == 1 && p.Trusted[0] != "system" {
			add("sslrootcert", p.Trusted[0].Path())
		}
	}
	if p.ConnectTimeout > 0 {
		// The string counts whole seconds, of which 0 would mean for ever.
		add("connect_timeout", strconv.Itoa(int(math.Ceil(p.ConnectTimeout.Seconds()))))
	}
	if p.Schema != "" {
		add("search_path", `"`+strings.ReplaceAll(p.Schema, `"`, `""`)+`"`)
	}
	add("application_name", "gibbon")
	return b.String()
}

var dsnQuote = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// TLSConfig returns how to speak TLS with the server, or nil for the clear.
func (p Postgres) TLSConfig() (*tls.Config, error) {
	if !p.SSL {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: p.Host}
	if !p.Verify {
		cfg.InsecureSkipVerify = true // the operator's choice, Kong's default: encrypted, the peer not proved
	} else {
		var err error
		if cfg.RootCAs, err = trustedPool(p.Trusted); err != nil {
			return nil, fmt.Errorf("lua_ssl_trusted_certificate: %w", err)
		}
	}
	if p.Cert != "" {
		pair, err := pki.LoadPair(string(p.Cert), string(p.Key))
		if err != nil {
			return nil, fmt.Errorf("pg_ssl_cert: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// TrustedPool returns the authorities that outgoing connections trust.
func (s *Settings) TrustedPool() (*x509.CertPool, error) {
	pool, err := trustedPool(s.TrustedCerts)
	if err != nil {
		return nil, fmt.Errorf("lua_ssl_trusted_certificate: %w", err)
	}
	return pool, nil
}

func trustedPool(list []Material) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, m := range list {
		if m == "system" {
			system, err := x509.SystemCertPool()
			if err != nil {
				return nil, fmt.Errorf("read the system's certificate authorities: %w", err)
			}
			pool = system
		}
	}
	for _, m := range list {
		if m == "system" {
			continue
		}
		pem, err := m.PEM()
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("no certificate found")
		}
	}
	return pool, nil
}
