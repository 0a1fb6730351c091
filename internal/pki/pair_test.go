package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestGenerateClusterPair(t *testing.T) {
	certPEM, keyPEM, err := GenerateClusterPair(DefaultClusterDays)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	leaf := pair.Leaf
	pub, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P384() || leaf.Subject.CommonName != "kong_clustering" || leaf.Issuer.CommonName != "kong_clustering" {
		t.Errorf("got %T, subject %v, issuer %v", leaf.PublicKey, leaf.Subject, leaf.Issuer)
	}
	if days := time.Until(leaf.NotAfter).Hours() / 24; days < 1094 || days > 1095 {
		t.Errorf("valid for %v days, want 1095", days)
	}
	for _, days := range []int{0, -1, 1 << 30} {
		if _, _, err := GenerateClusterPair(days); err == nil {
			t.Errorf("%d days were accepted", days)
		}
	}
}

func TestWritePair(t *testing.T) {
	certPEM, keyPEM, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cluster.crt"), filepath.Join(dir, "cluster.key")
	old := syscall.Umask(0o077)
	err = WritePair(cert, key, certPEM, keyPEM)
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{cert: 0o644, key: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info, err, want)
		}
	}
	if _, err := LoadPair(cert, key); err != nil {
		t.Error(err)
	}
	fresh := filepath.Join(dir, "fresh")
	for _, tt := range []struct{ name, cert, key, want string }{
		{"one name only", cert, "", "both cert and key path needs to be provided"},
		{"certificate in the way", cert, fresh, cert + " already exists. Will not overwrite it."},
		{"key in the way", fresh, key, key + " already exists. Will not overwrite it."},
	} {
		err := WritePair(tt.cert, tt.key, certPEM, keyPEM)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if _, err := os.Lstat(fresh); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: half a pair was left behind", tt.name)
		}
	}
	// A certificate that can not be written takes its key with it.
	if err := WritePair(filepath.Join(dir, "none", "c"), fresh, certPEM, keyPEM); err == nil {
		t.Error("a missing folder was accepted")
	}
	if _, err := os.Lstat(fresh); !errors.Is(err, os.ErrNotExist) {
		t.Error("the key was left behind")
	}
}

func TestDefaultPair(t *testing.T) {
	dir := t.TempDir()
	cert, key, err := DefaultPair(dir, "admin")
	if err != nil {
		t.Fatal(err)
	}
	first, err := LoadPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := first.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := DefaultPair(dir, "admin"); err != nil {
		t.Fatal(err)
	}
	again, err := LoadPair(cert, key)
	if err != nil || !again.Leaf.Equal(first.Leaf) {
		t.Errorf("the pair changed at the second start: %v", err)
	}
	if err := os.WriteFile(key, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := DefaultPair(dir, "admin"); err != nil {
		t.Fatal(err)
	}
	third, err := LoadPair(cert, key)
	if err != nil || third.Leaf.Equal(first.Leaf) {
		t.Errorf("a torn pair was not replaced: %v", err)
	}
	info, err := os.Stat(key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v; want mode 0600", info, err)
	}
}

func TestReadPEM(t *testing.T) {
	certPEM, keyPEM, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	encoded := base64.StdEncoding.EncodeToString(certPEM)
	for name, text := range map[string]string{
		"text": string(certPEM), "base64": encoded, "folded base64": encoded[:76] + "\n" + encoded[76:],
		"path": write("a.crt", string(certPEM)), "path of base64": write("b.crt", encoded),
	} {
		got, err := ReadPEM(text)
		if err != nil || string(got) != string(certPEM) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if want := !strings.HasPrefix(name, "path"); IsInline(text) != want {
			t.Errorf("%s: IsInline = %v", name, !want)
		}
	}
	bare := strings.Join(strings.Split(strings.TrimSpace(string(keyPEM)), "\n")[1:4], "")
	for name, text := range map[string]string{
		"nothing": "", "key without its armour": bare, "half a key": strings.TrimPrefix(string(keyPEM), "-----BEGIN "),
		"empty block": "-----BEGIN PRIVATE KEY-----", "not PEM": write("c.crt", "hello"), "missing": filepath.Join(dir, "d.crt"), "folder": dir,
	} {
		got, err := ReadPEM(text)
		if err == nil {
			t.Errorf("%s: got %q", name, got)
		} else if strings.Contains(err.Error(), bare[:20]) {
			t.Errorf("%s: the error quotes content: %v", name, err)
		}
	}
}

func TestCertificates(t *testing.T) {
	certPEM, keyPEM, err := GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	certs, keys := []string{string(certPEM)}, []string{string(keyPEM)}
	var c Certificates
	if _, err := c.choose(&tls.ClientHelloInfo{}); err == nil {
		t.Error("a certificate was found where none was loaded")
	}
	if err := c.Load(certs, keys); err != nil {
		t.Fatal(err)
	}
	for suite, want := range map[string]uint16{"modern": tls.VersionTLS13, "intermediate": tls.VersionTLS12, "old": tls.VersionTLS10, "custom": tls.VersionTLS12} {
		if got := c.TLS(suite).MinVersion; got != want {
			t.Errorf("%s: lowest version %x, want %x", suite, got, want)
		}
	}
	before := c.current.Load()
	if err := c.Load(certs, nil); err == nil {
		t.Error("a certificate without a key was accepted")
	}
	if err := c.Load(keys, keys); err == nil {
		t.Error("a key as certificate was accepted")
	}
	if c.current.Load() != before {
		t.Error("a failed load replaced what was in use")
	}
	if got, err := c.choose(&tls.ClientHelloInfo{}); err != nil || got != &(*before)[0] {
		t.Errorf("choose = %v, %v; want the default", got, err)
	}
}
