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
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// ClusterName is the name in the certificate that control plane and data planes
// share, and the server name that data planes ask for in that mode.
const ClusterName = "kong_clustering"

// DefaultClusterDays is how long a generated cluster certificate is valid.
const DefaultClusterDays = 1095

// clockSkew is how much earlier than now a new certificate becomes valid, for
// peers whose clocks are behind.
const clockSkew = time.Hour

// GenerateClusterPair makes a self-signed certificate on P-384 and its key, both
// as PEM. It serves both sides of a cluster connection: in shared mode they
// present the same one.
func GenerateClusterPair(days int) (certPEM, keyPEM []byte, err error) {
	const most = 100 * 365
	if days < 1 || days > most {
		return nil, nil, fmt.Errorf("days must be from 1 to %d", most)
	}
	return selfSigned(elliptic.P384(), &x509.Certificate{
		Subject:     pkix.Name{CommonName: ClusterName},
		DNSNames:    []string{ClusterName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, time.Duration(days)*24*time.Hour)
}

// generateServerPair makes the certificate that is served until an operator
// brings one of their own.
func generateServerPair(host string) (certPEM, keyPEM []byte, err error) {
	names := []string{"localhost"}
	if host != "" && host != "localhost" {
		names = append(names, host)
	}
	return selfSigned(elliptic.P256(), &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost", Organization: []string{"Gibbon self-signed"}},
		DNSNames:    names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, 20*365*24*time.Hour)
}

// selfSigned completes and signs tmpl with a new key.
func selfSigned(curve elliptic.Curve, tmpl *x509.Certificate, life time.Duration) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	if tmpl.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, fmt.Errorf("generate serial number: %w", err)
	}
	now := time.Now().UTC()
	tmpl.NotBefore = now.Add(-clockSkew)
	tmpl.NotAfter = now.Add(life)
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign
	tmpl.BasicConstraintsValid = true
	tmpl.IsCA = true
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	return certPEM, keyPEM, nil
}

// ErrExists is wrapped by the error of WritePair when a file is in the way.
var ErrExists = errors.New("already exists")

// WritePair writes the key for its owner alone (0600) and the certificate for
// all (0644), and never overwrites: a file that exists is refused by name and
// nothing is left behind.
func WritePair(certPath, keyPath string, certPEM, keyPEM []byte) error {
	if certPath == "" || keyPath == "" {
		return errors.New("both cert and key path needs to be provided")
	}
	for _, path := range []string{certPath, keyPath} {
		if _, err := os.Lstat(path); err == nil {
			//lint:ignore ST1005 the text is Kong's
			return fmt.Errorf("%s %w. Will not overwrite it.", path, ErrExists)
		}
	}
	// The key comes first: a certificate without one is the useless half.
	if err := writeNew(keyPath, keyPEM, 0o600); err != nil {
		return err
	}
	if err := writeNew(certPath, certPEM, 0o644); err != nil {
		return errors.Join(err, os.Remove(keyPath))
	}
	return nil
}

// writeNew creates path with exactly this mode, whatever the umask, and removes
// it again when it can not be written whole.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		//lint:ignore ST1005 the text is Kong's
		return fmt.Errorf("%s %w. Will not overwrite it.", path, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("write pair: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("write pair: %w", err), os.Remove(path))
	}
	return nil
}

// LoadPair reads a certificate chain and its key, each as a path or as content.
func LoadPair(cert, key string) (tls.Certificate, error) {
	certPEM, err := ReadPEM(cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	keyPEM, err := ReadPEM(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate and key: %w", err)
	}
	return pair, nil
}

// DefaultPair returns the paths of the self-signed server certificate of this
// name ("default" for the proxy, "admin" and so on) in <prefix>/ssl, making it
// at the first start and again when it has expired. The prefix must exist.
func DefaultPair(prefix, name string) (certPath, keyPath string, err error) {
	dir := filepath.Join(prefix, "ssl")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", fmt.Errorf("make default certificate: %w", err)
	}
	certPath = filepath.Join(dir, "gibbon-"+name+".crt")
	keyPath = filepath.Join(dir, "gibbon-"+name+".key")
	pair, err := LoadPair(certPath, keyPath)
	if err == nil && time.Now().Before(pair.Leaf.NotAfter) {
		return certPath, keyPath, nil
	}
	// Missing, torn by a crash, or expired: these files are ours to replace.
	host, err := os.Hostname()
	if err != nil {
		host = "" // the certificate is good for localhost all the same
	}
	certPEM, keyPEM, err := generateServerPair(host)
	if err != nil {
		return "", "", fmt.Errorf("make default certificate: %w", err)
	}
	if err := replace(keyPath, keyPEM, 0o600); err != nil {
		return "", "", err
	}
	if err := replace(certPath, certPEM, 0o644); err != nil {
		return "", "", err
	}
	return certPath, keyPath, nil
}

// replace writes path in one step.
func replace(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("make default certificate: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make default certificate: %w", err), os.Remove(f.Name()))
	}
	return nil
}
