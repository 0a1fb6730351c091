package pki

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// ClusterConfig says how control plane and data planes prove themselves to each
// other. Certificates and keys are paths or content.
type ClusterConfig struct {
	// Mode is shared (both sides hold one certificate) or pki (each holds one of
	// its own that CA has signed).
	Mode      string
	Cert, Key string
	// CA is needed in pki mode only.
	CA string
	// ServerName is, in pki mode, the name that the control plane's certificate
	// must carry; empty means the host that is dialled.
	ServerName string
}

// Cluster holds the loaded certificates of one side. It never changes; build a
// new one to take up renewed files.
type Cluster struct {
	shared     bool
	own        tls.Certificate
	digest     [sha256.Size]byte // of our own certificate
	roots      *x509.CertPool
	serverName string
}

// NewCluster loads the certificates. Our own may have expired: that is for the
// peer to refuse, and a data plane must be able to start from its cache then.
func NewCluster(cfg ClusterConfig) (*Cluster, error) {
	own, err := LoadPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("cluster %w", err)
	}
	c := &Cluster{own: own, digest: sha256.Sum256(own.Leaf.Raw), roots: x509.NewCertPool(), serverName: cfg.ServerName}
	switch cfg.Mode {
	case "shared":
		c.shared = true
		c.roots.AddCert(own.Leaf)
	case "pki":
		ca, err := ReadPEM(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("cluster authority: %w", err)
		}
		if !c.roots.AppendCertsFromPEM(ca) {
			return nil, errors.New("cluster authority: no certificate found")
		}
	default:
		return nil, fmt.Errorf("cluster mode %q is neither shared nor pki", cfg.Mode)
	}
	return c, nil
}

// Expiry is when our own certificate ends.
func (c *Cluster) Expiry() time.Time { return c.own.Leaf.NotAfter }

// Server returns the control plane's side: TLS 1.3 only, no session is ever
// resumed, and only clients that CheckClient accepts complete a handshake.
func (c *Cluster) Server() *tls.Config {
	cfg := c.base()
	// The handshake asks for any certificate; whom to believe is decided in one
	// place, CheckClient, which also runs where crypto/tls skips its own check.
	cfg.ClientAuth = tls.RequireAnyClientCert
	cfg.VerifyConnection = c.CheckClient
	return cfg
}

// Client returns the data plane's side of a connection to host, which may carry
// a port.
func (c *Cluster) Client(host string) *tls.Config {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	cfg := c.base()
	cfg.ServerName = host
	switch {
	case c.shared:
		cfg.ServerName = ClusterName
	case c.serverName != "":
		cfg.ServerName = c.serverName
	}
	// Replaced, not skipped: VerifyConnection below checks all that crypto/tls
	// would, and in shared mode more.
	cfg.InsecureSkipVerify = true // see above
	name := cfg.ServerName
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		return c.check(state, x509.ExtKeyUsageServerAuth, name)
	}
	return cfg
}

func (c *Cluster) base() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{c.own},
		NextProtos:             []string{"h2"},
		SessionTicketsDisabled: true,
	}
}

// CheckClient judges the certificate that a data plane showed. It may be called
// again at any time of a connection's life: a certificate that has expired since
// is then refused.
func (c *Cluster) CheckClient(state tls.ConnectionState) error {
	return c.check(state, x509.ExtKeyUsageClientAuth, "")
}

// check applies version, dates, purpose, trust and, unless it is empty, name.
func (c *Cluster) check(state tls.ConnectionState, usage x509.ExtKeyUsage, name string) error {
	if state.Version < tls.VersionTLS13 {
		return errors.New("cluster peer: TLS 1.3 is required")
	}
	if len(state.PeerCertificates) == 0 {
		return errors.New("cluster peer: no certificate was shown")
	}
	peer := state.PeerCertificates[0]
	opts := x509.VerifyOptions{Roots: c.roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}}
	if c.shared {
		// The digest says more than a name could; and a certificate that Kong
		// made has its name in the subject alone, where Go does not look.
		if digest := sha256.Sum256(peer.Raw); !bytes.Equal(digest[:], c.digest[:]) {
			return fmt.Errorf("cluster peer: certificate %q is not the shared one", peer.Subject)
		}
	} else {
		opts.DNSName = name
		for _, cert := range state.PeerCertificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
	}
	if _, err := peer.Verify(opts); err != nil {
		return fmt.Errorf("cluster peer: %w", err)
	}
	return nil
}

// Secret derives a key of 32 bytes for one purpose from our own private key:
// the same one as long as that key is not replaced. What it seals can be opened
// by whoever holds the private key, and by nobody else.
func (c *Cluster) Secret(purpose string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.own.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	return hkdf.Key(sha256.New, der, nil, "gibbon "+purpose, 32)
}
