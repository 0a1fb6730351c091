package sqlstore

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/gibbon-gateway/gibbon/internal/pki"
)

// tlsServer is as much of a PostgreSQL server as it takes to agree on TLS. It
// tells of each connection whether the client proved itself, and hangs up.
func tlsServer(t *testing.T) (host string, port int, pair tls.Certificate, seen <-chan error) {
	t.Helper()
	cert, key, err := pki.GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.X509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	result, done := make(chan error, 8), make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			result <- errors.Join(agree(c, &tls.Config{
				Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert,
			}, pair), c.Close())
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	at := l.Addr().(*net.TCPAddr)
	return at.IP.String(), at.Port, pair, result
}

// agree is the server's side of a start in TLS, up to the client's first message.
func agree(c net.Conn, config *tls.Config, want tls.Certificate) error {
	const askTLS = 80877103
	var ask [8]byte
	if _, err := io.ReadFull(c, ask[:]); err != nil {
		return err
	}
	if code := binary.BigEndian.Uint32(ask[4:]); code != askTLS {
		return fmt.Errorf("the client began with message %d, not with the wish for TLS", code)
	}
	if _, err := c.Write([]byte("S")); err != nil {
		return err
	}
	secure := tls.Server(c, config)
	if err := secure.Handshake(); err != nil {
		return err
	}
	if !secure.ConnectionState().PeerCertificates[0].Equal(want.Leaf) {
		return errors.New("the client showed another certificate")
	}
	_, err := io.ReadFull(secure, ask[:]) // it goes on only when it believes the server
	return err
}

// TestTLSFromContent connects with a certificate and an authority that exist in
// memory only, which no address can name.
func TestTLSFromContent(t *testing.T) {
	host, port, pair, seen := tlsServer(t)
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: pair.Leaf.DNSNames[0]}
	dsn := fmt.Sprintf("host=%s port=%d user=u dbname=d sslmode=prefer", host, port)

	t.Run("store", func(t *testing.T) {
		if _, err := OpenPostgres(t.Context(), dsn, Options{TLS: config}); err == nil {
			t.Error("a server that hangs up was opened")
		}
		if err := <-seen; err != nil {
			t.Error(err)
		}
	})
	t.Run("migrator", func(t *testing.T) {
		if _, err := NewPostgresMigrator(dsn, MigratorOptions{TLS: config}).Status(t.Context()); err == nil {
			t.Error("a server that hangs up was asked")
		}
		if err := <-seen; err != nil {
			t.Error(err)
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		strange := config.Clone()
		strange.RootCAs = x509.NewCertPool()
		_, err := OpenPostgres(t.Context(), dsn, Options{TLS: strange})
		if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
			t.Errorf("got %v, want an unknown authority", err)
		}
	})
	t.Run("socket file", func(t *testing.T) {
		got, err := postgresConfig("host=/tmp user=u dbname=d sslmode=require", Options{TLS: config})
		if err != nil || got.TLSConfig != nil {
			t.Errorf("got %v, %v, want no TLS", got.TLSConfig, err)
		}
	})
}

func TestMaxConns(t *testing.T) {
	config, err := postgresConfig("host=db user=u dbname=d", Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := openPostgresPool(config, Options{MaxConns: 3}.withDefaults())
	if got := s.readers.Stats().MaxOpenConnections; got != 3 {
		t.Errorf("%d connections, want 3", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
