package schema

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/go-jose/go-jose/v4"
)

// publicKey is a PEM text of a public key.
func publicKey(text string) string {
	if _, err := parsePublicKey(text); err != nil {
		return "invalid key"
	}
	return ""
}

// parsePublicKey reads the first public key of a PEM text.
func parsePublicKey(text string) (crypto.PublicKey, error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no public key in the PEM text")
		}
		switch block.Type {
		case "PUBLIC KEY":
			return x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			return x509.ParsePKCS1PublicKey(block.Bytes)
		}
	}
}

// samePublic reports that a private key belongs to a public one.
func samePublic(private crypto.Signer, public crypto.PublicKey) bool {
	own, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && own.Equal(public)
}

// jwkLoads wants the JSON Web Key of an entity to be one, under the entity's
// own id.
func jwkLoads(doc Document) string {
	if doc.Get("jwk").unset() {
		return ""
	}
	text := []byte(doc.Get("jwk").Text())
	jwk, err := Parse(text)
	if err != nil || jwk.Kind() != KindObject {
		return "could not json decode jwk string"
	}
	if !Equal(jwk.Get("kid"), doc.Get("kid")) {
		return "kid in jwk.kid must be equal to keys.kid"
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(text); err != nil || !key.Valid() {
		return "could not load JWK, likely not a valid key"
	}
	return ""
}

// pemKeysLoad wants the PEM texts of an entity to be the halves of one pair,
// as far as they are given.
func pemKeysLoad(doc Document) string {
	pair := doc.Get("pem")
	if pair.unset() {
		return ""
	}
	public, private := pair.Get("public_key"), pair.Get("private_key")
	if public.unset() && private.unset() {
		return "need to supply a PEM formatted public and/or private key."
	}
	var loaded crypto.PublicKey
	var signer crypto.Signer
	var err error
	if !public.unset() {
		if loaded, err = parsePublicKey(public.Text()); err != nil {
			return "could not load public key"
		}
	}
	if !private.unset() {
		if signer, err = parseKey(private.Text()); err != nil {
			return "could not load private key"
		}
	}
	if loaded != nil && signer != nil && !samePublic(signer, loaded) {
		return "public key does not match private key"
	}
	return ""
}
