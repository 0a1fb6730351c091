package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issue signs a certificate like tmpl, by parent or, without one, by itself.
type issued struct {
	certPEM, keyPEM string
	leaf            *x509.Certificate
	key             *ecdsa.PrivateKey
}

func issue(t *testing.T, tmpl x509.Certificate, parent *issued) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if tmpl.SerialNumber == nil {
		tmpl.SerialNumber = big.NewInt(time.Now().UnixNano())
	}
	if tmpl.NotAfter.IsZero() {
		tmpl.NotAfter = time.Now().Add(time.Hour)
	}
	tmpl.NotBefore = tmpl.NotAfter.Add(-48 * time.Hour)
	tmpl.BasicConstraintsValid = true
	by, signer := &tmpl, key
	if parent != nil {
		by, signer = parent.leaf, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, by, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{
		certPEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		keyPEM:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
		leaf:    leaf, key: key,
	}
}

func newCluster(t *testing.T, mode string, own *issued, ca *issued, serverName string) *Cluster {
	t.Helper()
	cfg := ClusterConfig{Mode: mode, Cert: own.certPEM, Key: own.keyPEM, ServerName: serverName}
	if ca != nil {
		cfg.CA = ca.certPEM
	}
	c, err := NewCluster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// handshake runs both sides over a loopback connection, then one byte each way,
// since with TLS 1.3 a client learns of its refusal only by reading. It returns
// both sides' errors.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		defer raw.Close()
		conn := tls.Server(raw, server)
		if err = raw.SetDeadline(time.Now().Add(10 * time.Second)); err == nil {
			if err = conn.Handshake(); err == nil {
				if _, err = conn.Write([]byte("x")); err == nil {
					_, err = io.ReadFull(conn, make([]byte, 1))
				}
			}
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, client)
	if clientErr = raw.SetDeadline(time.Now().Add(10 * time.Second)); clientErr == nil {
		if clientErr = conn.Handshake(); clientErr == nil {
			if _, clientErr = io.ReadFull(conn, make([]byte, 1)); clientErr == nil {
				_, clientErr = conn.Write([]byte("y"))
			}
		}
	}
	if clientErr != nil {
		// The other side may wait for bytes that will not come.
		_ = raw.Close()
	}
	serverErr = <-done
	_ = raw.Close()
	return serverErr, clientErr
}

var both = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}

func TestCluster(t *testing.T) {
	certPEM, keyPEM, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	generated := &issued{certPEM: string(certPEM), keyPEM: string(keyPEM)}
	named := x509.Certificate{Subject: pkix.Name{CommonName: ClusterName}, ExtKeyUsage: both}
	with := func(change func(*x509.Certificate)) x509.Certificate { c := named; change(&c); return c }
	// As Kong makes it: no alternative name, no purposes, not an authority.
	kongs := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: ClusterName}}, nil)
	other := issue(t, named, nil)
	expired := issue(t, with(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), nil)
	early := issue(t, with(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(72 * time.Hour) }), nil)
	serverOnly := issue(t, with(func(c *x509.Certificate) { c.ExtKeyUsage = both[:1] }), nil)
	clientOnly := issue(t, with(func(c *x509.Certificate) { c.ExtKeyUsage = both[1:] }), nil)

	authority := x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	ca, ca2 := issue(t, authority, nil), issue(t, authority, nil)
	cp := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "cp"}, DNSNames: []string{"cp.example"}, ExtKeyUsage: both[:1]}, ca)
	cpLocal := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "cp"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: both[:1]}, ca)
	dp := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "dp"}, DNSNames: []string{"dp.example"}, ExtKeyUsage: both[1:]}, ca)
	dpExpired := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "dp"}, ExtKeyUsage: both[1:], NotAfter: time.Now().Add(-time.Minute)}, ca)
	dpForeign := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "dp"}, ExtKeyUsage: both[1:]}, ca2)

	shared := func(own *issued) *Cluster { return newCluster(t, "shared", own, nil, "") }
	inPKI := func(own, ca *issued, name string) *Cluster { return newCluster(t, "pki", own, ca, name) }
	for _, tt := range []struct {
		name           string
		server, client *tls.Config
		refusedBy      string // "", server or client
		why            string
	}{
		{"shared, generated", shared(generated).Server(), shared(generated).Client("10.0.0.1:8005"), "", ""},
		{"shared, as Kong makes it", shared(kongs).Server(), shared(kongs).Client("x"), "", ""},
		{"shared, client with another", shared(generated).Server(), skipCheck(shared(other).Client("x")), "server", "is not the shared one"},
		{"shared, server with another", skipServerCheck(shared(other).Server()), shared(generated).Client("x"), "client", "is not the shared one"},
		{"shared, expired at the server", skipServerCheck(shared(expired).Server()), shared(expired).Client("x"), "client", "expired"},
		{"shared, expired at the client", shared(expired).Server(), skipCheck(shared(expired).Client("x")), "server", "expired"},
		{"shared, not yet valid", shared(early).Server(), skipCheck(shared(early).Client("x")), "server", "expired or is not yet valid"},
		{"shared, only for servers", shared(serverOnly).Server(), skipCheck(shared(serverOnly).Client("x")), "server", "usage"},
		{"shared, only for clients", shared(clientOnly).Server(), shared(clientOnly).Client("x"), "client", "usage"},
		{"shared, no certificate", shared(generated).Server(), without(shared(generated).Client("x")), "server", "didn't provide a certificate"},
		{"shared, TLS 1.2", shared(generated).Server(), oldTLS(shared(generated).Client("x")), "server", "unsupported versions"},
		{"pki, by server name", inPKI(cp, ca, "").Server(), inPKI(dp, ca, "cp.example").Client("10.0.0.1:8005"), "", ""},
		{"pki, by host", inPKI(cpLocal, ca, "").Server(), inPKI(dp, ca, "").Client("127.0.0.1:8005"), "", ""},
		{"pki, wrong name", inPKI(cp, ca, "").Server(), inPKI(dp, ca, "").Client("cp2.example:8005"), "client", "cp2.example"},
		{"pki, client of another authority", inPKI(cp, ca, "").Server(), inPKI(dpForeign, ca, "cp.example").Client("x"), "server", "unknown authority"},
		{"pki, server of another authority", inPKI(cp, ca, "").Server(), inPKI(dp, ca2, "cp.example").Client("x"), "client", "unknown authority"},
		{"pki, expired client", inPKI(cp, ca, "").Server(), inPKI(dpExpired, ca, "cp.example").Client("x"), "server", "expired"},
		{"pki, server's certificate as client's", inPKI(cp, ca, "").Server(), inPKI(cp, ca, "cp.example").Client("x"), "server", "usage"},
		{"pki, client's certificate as server's", inPKI(dp, ca, "").Server(), inPKI(dp, ca, "dp.example").Client("x"), "client", "usage"},
		{"pki, no certificate", inPKI(cp, ca, "").Server(), without(inPKI(dp, ca, "cp.example").Client("x")), "server", "didn't provide a certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			serverErr, clientErr := handshake(t, tt.server, tt.client)
			switch tt.refusedBy {
			case "":
				if serverErr != nil || clientErr != nil {
					t.Errorf("server: %v; client: %v; want a connection", serverErr, clientErr)
				}
			case "server":
				if serverErr == nil || !strings.Contains(serverErr.Error(), tt.why) {
					t.Errorf("server: %v, want an error with %q", serverErr, tt.why)
				}
				if clientErr == nil {
					t.Error("the client got a byte from a server that refused it")
				}
			case "client":
				if clientErr == nil || !strings.Contains(clientErr.Error(), tt.why) {
					t.Errorf("client: %v, want an error with %q", clientErr, tt.why)
				}
			}
		})
	}
}

// skipCheck lets a client trust any server, so that the server's verdict is the
// one that is seen.
func skipCheck(cfg *tls.Config) *tls.Config {
	cfg.VerifyConnection = nil
	return cfg
}

func skipServerCheck(cfg *tls.Config) *tls.Config {
	cfg.VerifyConnection = nil
	return cfg
}

func without(cfg *tls.Config) *tls.Config {
	cfg.Certificates = nil
	return skipCheck(cfg)
}

func oldTLS(cfg *tls.Config) *tls.Config {
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	return skipCheck(cfg)
}

// TestNoResumption connects twice with a session cache, which a hostile client
// may well have: the second handshake must be a whole one.
func TestNoResumption(t *testing.T) {
	certPEM, keyPEM, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, "shared", &issued{certPEM: string(certPEM), keyPEM: string(keyPEM)}, nil, "")
	client := c.Client("x")
	client.SessionTicketsDisabled = false
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumed := false
	check := client.VerifyConnection
	client.VerifyConnection = func(state tls.ConnectionState) error {
		resumed = resumed || state.DidResume
		return check(state)
	}
	for range 2 {
		if serverErr, clientErr := handshake(t, c.Server(), client); serverErr != nil || clientErr != nil {
			t.Fatalf("server: %v; client: %v", serverErr, clientErr)
		}
	}
	if resumed {
		t.Error("a session was resumed")
	}
}

func TestCheckClientWithoutHandshake(t *testing.T) {
	certPEM, keyPEM, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, "shared", &issued{certPEM: string(certPEM), keyPEM: string(keyPEM)}, nil, "")
	leaf := []*x509.Certificate{c.own.Leaf}
	for name, state := range map[string]tls.ConnectionState{
		"old version": {Version: tls.VersionTLS12, PeerCertificates: leaf},
		"nobody":      {Version: tls.VersionTLS13},
	} {
		if err := c.CheckClient(state); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := c.CheckClient(tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: leaf}); err != nil {
		t.Error(err)
	}
	if left := time.Until(c.Expiry()); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("Expiry is %v away, want a day", left)
	}
}

func TestNewClusterRefuses(t *testing.T) {
	certPEM, keyPEM, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	_, key2, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := string(certPEM), string(keyPEM)
	for name, cfg := range map[string]ClusterConfig{
		"no mode":          {Cert: cert, Key: key},
		"no key":           {Mode: "shared", Cert: cert},
		"key of another":   {Mode: "shared", Cert: cert, Key: string(key2)},
		"no authority":     {Mode: "pki", Cert: cert, Key: key},
		"key as authority": {Mode: "pki", Cert: cert, Key: key, CA: key},
	} {
		_, err := NewCluster(cfg)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: the error quotes content: %v", name, err)
		}
	}
	if _, err := NewCluster(ClusterConfig{Mode: "shared", Cert: "/nowhere/c.crt", Key: key}); err == nil || errors.Is(err, errNoPEM) {
		t.Errorf("missing file: got %v, want its name", err)
	}
}

func TestSecret(t *testing.T) {
	secret := func(cert, key []byte, purpose string) string {
		c, err := NewCluster(ClusterConfig{Mode: "shared", Cert: string(cert), Key: string(key)})
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Secret(purpose)
		if err != nil {
			t.Fatal(err)
		}
		if len(s) != 32 {
			t.Fatalf("%d bytes, want 32", len(s))
		}
		return string(s)
	}
	cert, key, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	otherCert, otherKey, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	one := secret(cert, key, "cache")
	if secret(cert, key, "cache") != one {
		t.Error("the same key gives another secret")
	}
	if secret(cert, key, "other") == one || secret(otherCert, otherKey, "cache") == one {
		t.Error("another purpose or key gives the same secret")
	}
}
