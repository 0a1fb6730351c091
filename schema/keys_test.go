package schema

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestKeys has the kinds of keys that load, in either form.
func TestKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := entity(t, "keys")
	for name, key := range map[string]any{
		"":    []byte("0123456789abcdef"), // a shared secret is no key pair
		"RSA": rsaKey, "public RSA": &rsaKey.PublicKey, "EC": ecKey, "public EC": &ecKey.PublicKey,
		"Ed25519": edPrivate, "public Ed25519": edPublic,
	} {
		jwk, err := jose.JSONWebKey{Key: key, KeyID: "k"}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		body := Object(Member{"kid", String("k")}, Member{"jwk", String(string(jwk))})
		if err := s.Validate(s.Complete(body, noon), Insert); (err == nil) != (name != "") {
			t.Errorf("%q as a JSON Web Key: %v", name, err)
		}
	}
	der := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	text := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	rsaPublic := text("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)))
	for _, tt := range []struct{ name, public, private, want string }{
		{"RSA", rsaPublic, text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), ""},
		{"RSA in the older form", text("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)), text("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(rsaKey))), ""},
		{"EC", text("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(&ecKey.PublicKey))), text("EC PRIVATE KEY", der(x509.MarshalECPrivateKey(ecKey))), ""},
		{"after another block", text("EC PARAMETERS", []byte{6, 0}) + rsaPublic, "", ""},
		{"of two kinds", rsaPublic, text("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(edPrivate))), "public key does not match private key"},
		{"no key in the block", text("PUBLIC KEY", []byte("x")), "", "could not load public key"},
		{"no private key in the block", "", text("PRIVATE KEY", []byte("x")), "could not load private key"},
	} {
		pair := Object()
		if tt.public != "" {
			pair = pair.With(String(tt.public), "public_key")
		}
		if tt.private != "" {
			pair = pair.With(String(tt.private), "private_key")
		}
		body := Object(Member{"kid", String("k")}, Member{"pem", pair})
		got := violation(s.Validate(s.Complete(body, noon), Insert)).Get("@entity").String()
		want := ""
		if tt.want != "" {
			want = `["` + tt.want + `"]`
		}
		if got != want {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
	}
}

// FuzzKeys has texts of strangers as keys: each is a key or has one of Kong's
// texts, and a private key that loads belongs to its own public half only.
func FuzzKeys(f *testing.F) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	f.Add(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"k"}`)
	f.Add(`{"kty":"RSA","n":"AA","e":"AQAB","kid":"k","x5c":[""]}`)
	f.Add("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		value := String(text)
		switch why := jwkLoads(Object(Member{"kid", String("k")}, Member{"jwk", value})); why {
		case "", "could not json decode jwk string", "kid in jwk.kid must be equal to keys.kid", "could not load JWK, likely not a valid key":
		default:
			t.Errorf("as a JSON Web Key: %q", why)
		}
		public := pemKeysLoad(Object(Member{"pem", Object(Member{"public_key", value})}))
		if (public == "") != (publicKey(text) == "") {
			t.Errorf("as a public key: %q, as the key of a JWT: %q", public, publicKey(text))
		}
		if pemKeysLoad(Object(Member{"pem", Object(Member{"private_key", value})})) != "" {
			return
		}
		signer, err := parseKey(text)
		if err != nil {
			t.Fatalf("loads, but %v", err)
		}
		other, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !samePublic(signer, signer.Public()) || samePublic(signer, other) {
			t.Error("does not belong to its public half alone")
		}
	})
}
