package pki

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// ServerTLS returns the base of a public listener's TLS: certificates with their
// keys, in the same order, as paths or content, the first one the default, and
// the lowest version that suite, the value of ssl_cipher_suite, allows. The
// caller sets the protocols it speaks.
func ServerTLS(certs, keys []string, suite string) (*tls.Config, error) {
	if len(certs) == 0 || len(certs) != len(keys) {
		return nil, errors.New("as many certificates as keys are needed, and at least one")
	}
	cfg := &tls.Config{}
	switch suite {
	case "modern":
		cfg.MinVersion = tls.VersionTLS13
	case "old":
		cfg.MinVersion = tls.VersionTLS10 //nolint:gosec // what the operator asked for by this word
	default:
		cfg.MinVersion = tls.VersionTLS12
	}
	for i := range certs {
		pair, err := LoadPair(certs[i], keys[i])
		if err != nil {
			return nil, fmt.Errorf("load certificate %d of %d: %w", i+1, len(certs), err)
		}
		cfg.Certificates = append(cfg.Certificates, pair)
	}
	return cfg, nil
}
