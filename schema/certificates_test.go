package schema

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// selfSigned makes a certificate for the key, and the key in the encoding that
// its type is usually found in.
func selfSigned(t *testing.T, key crypto.Signer) (cert, keyPEM string) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "PRIVATE KEY"}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		block = &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}
	default:
		if block.Bytes, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
			t.Fatal(err)
		}
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(block))
}

func TestCertificates(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec2, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecCert, ecKey := selfSigned(t, ec)
	ec2Cert, ec2Key := selfSigned(t, ec2)
	rsCert, rsKey := selfSigned(t, rs)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	ecKeySEC1 := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}))
	broken := strings.Replace(ecCert, "\nM", "\nN", 1)

	s := entity(t, "certificates")
	for _, tt := range []struct {
		name   string
		fields []string // cert, key, cert_alt, key_alt
		want   string   // a part of the message
	}{
		{"ecdsa", []string{ecCert, ecKey}, ""},
		{"ecdsa, SEC 1", []string{ecCert, ecKeySEC1}, ""},
		{"rsa, PKCS 1", []string{rsCert, rsKey}, ""},
		{"a chain", []string{ecCert + rsCert, ecKey}, ""},
		{"both kinds", []string{rsCert, rsKey, ecCert, ecKey}, ""},
		{"in a vault", []string{ecCert, "{vault://env/key}"}, ""},
		{"another key", []string{ecCert, ec2Key}, "schema violation (certificate does not match key)"},
		{"a key of another kind", []string{ecCert, rsKey}, "schema violation (certificate does not match key)"},
		{"alternative without key", []string{rsCert, rsKey, ecCert}, "schema violation (all or none of these fields must be set: 'cert_alt', 'key_alt')"},
		{"no key", []string{ecCert}, "schema violation (key: required field missing)"},
		{"broken", []string{broken, ecKey}, "schema violation (cert: invalid certificate: "},
		{"swapped", []string{ecKey, ecCert}, "2 schema violations (cert: invalid certificate: no certificate in the PEM text; key: invalid key: no private key in the PEM text)"},
		{"another alternative key", []string{rsCert, rsKey, ecCert, ec2Key}, "schema violation (alternative certificate does not match key)"},
		{"alternative of the same kind", []string{ecCert, ecKey, ec2Cert, ec2Key}, "schema violation (certificate and alternative certificate need to have different type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := Object()
			for i, name := range []string{"cert", "key", "cert_alt", "key_alt"} {
				if i < len(tt.fields) {
					body = body.With(String(tt.fields[i]), name)
				}
			}
			message := ""
			if err := s.Validate(s.Complete(body, noon), Insert); err != nil {
				message = err.Error()
			}
			if message != tt.want && (tt.want == "" || !strings.HasPrefix(message, tt.want)) {
				t.Errorf("got %q, want %q", message, tt.want)
			}
			if strings.Contains(message, "PRIVATE KEY") && !strings.Contains(message, "no private key") {
				t.Errorf("the message shows a key: %q", message)
			}
		})
	}
}
