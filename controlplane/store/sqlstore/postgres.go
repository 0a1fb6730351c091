package sqlstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// OpenPostgres opens the store in a PostgreSQL database, named by a URL or a
// keyword string. It fails when the server does not answer, and, with
// ErrNotBootstrapped, ErrNewMigrations or ErrNewerSchema, when the tables are
// not those of this binary. The caller closes it.
func OpenPostgres(ctx context.Context, dsn string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	config, err := postgresConfig(dsn, opts)
	if err != nil {
		return nil, err
	}
	s := openPostgresPool(config, opts)
	if err := s.checkSchema(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func postgresConfig(dsn string, opts Options) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// pgx takes the password out of the text.
		return nil, fmt.Errorf("read the address of the database: %w", err)
	}
	if config.ConnectTimeout == 0 || config.ConnectTimeout > opts.Timeout {
		config.ConnectTimeout = opts.Timeout
	}
	if opts.TLS != nil {
		config.TLSConfig = withTLS(config.Host, config.Port, opts.TLS)
		for _, f := range config.Fallbacks {
			f.TLSConfig = withTLS(f.Host, f.Port, opts.TLS)
		}
	}
	return config, nil
}

// withTLS is the TLS to speak with a host: none where it is a socket file.
func withTLS(host string, port uint16, config *tls.Config) *tls.Config {
	if network, _ := pgconn.NetworkAddress(host, port); network == "unix" {
		return nil
	}
	return config.Clone()
}

// openPostgresPool makes the store; the connections come when they are needed.
func openPostgresPool(config *pgx.ConnConfig, opts Options) *Store {
	s := newStore(postgres, nil, nil, opts)
	s.listen = config
	db := stdlib.OpenDB(*config, stdlib.OptionShouldPing(
		func(_ context.Context, p stdlib.ShouldPingParams) bool { return s.suspicious(p.IdleDuration) }))
	db.SetMaxOpenConns(opts.MaxConns)
	db.SetMaxIdleConns(opts.MaxConns)
	s.writers, s.readers = db, db
	return s
}
