package pki

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
)

// Certificates are the certificates of public listeners, replaceable while they
// are in use. The zero value has none.
type Certificates struct {
	current atomic.Pointer[[]tls.Certificate]
}

// Load reads certificates with their keys, in the same order, as paths or
// content; the first one is the default. When one of them cannot be read, those
// that were in use stay.
func (c *Certificates) Load(certs, keys []string) error {
	if len(certs) == 0 || len(certs) != len(keys) {
		return errors.New("as many certificates as keys are needed, and at least one")
	}
	loaded := make([]tls.Certificate, len(certs))
	for i := range certs {
		var err error
		if loaded[i], err = LoadPair(certs[i], keys[i]); err != nil {
			return fmt.Errorf("load certificate %d of %d: %w", i+1, len(certs), err)
		}
	}
	c.current.Store(&loaded)
	return nil
}

// TLS returns the base of a public listener's TLS with these certificates and
// the lowest version that suite, the value of ssl_cipher_suite, allows. The
// caller sets the protocols it speaks.
func (c *Certificates) TLS(suite string) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.choose}
	switch suite {
	case "modern":
		cfg.MinVersion = tls.VersionTLS13
	case "old":
		cfg.MinVersion = tls.VersionTLS10 // what the operator asked for by this word
	}
	return cfg
}

// choose is the first certificate that the client can use, or the default.
func (c *Certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := c.current.Load()
	if all == nil {
		return nil, errors.New("no certificate loaded")
	}
	for i := range *all {
		if hello.SupportsCertificate(&(*all)[i]) == nil {
			return &(*all)[i], nil
		}
	}
	return &(*all)[0], nil
}
