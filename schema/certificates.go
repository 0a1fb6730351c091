package schema

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// customs are the checks that protos name in "custom", with the fields that
// must be right for them to run.
var customs = map[string]struct {
	fields []string
	run    func(doc Document) string
}{
	"certificate_matches_key":     {[]string{"cert", "key"}, certificateMatchesKey},
	"alt_certificate_matches_key": {[]string{"cert_alt", "key_alt"}, altCertificateMatchesKey},
	"certificates_differ_in_type": {[]string{"cert", "cert_alt"}, certificatesDiffer},
	"single_ca_certificate":       {[]string{"cert"}, singleCACertificate},
	"jwk_loads":                   {[]string{"jwk", "kid"}, jwkLoads},
	"order_holds":                 {[]string{"name", "ordering"}, orderHolds},
	"pem_keys_load":               {[]string{"pem", "pem.private_key", "pem.public_key"}, pemKeysLoad},
	"router_expression":           {append([]string{"expression", "priority", "regex_priority", "protocols"}, classicMatchers...), routerExpression},
}

// certificate is a PEM chain whose certificates all parse.
func certificate(text string) string {
	if _, err := parseChain(text); err != nil {
		return "invalid certificate: " + err.Error()
	}
	return ""
}

func privateKey(text string) string {
	if _, err := parseKey(text); err != nil {
		return "invalid key: " + err.Error()
	}
	return ""
}

var errNoCertificate = errors.New("no certificate in the PEM text")

// parseChain reads all certificates of a PEM text, the leaf first.
func parseChain(text string) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errNoCertificate
	}
	return chain, nil
}

// parseKey reads the first private key of a PEM text, in any of the three
// encodings that are in use. The errors name no byte of the key.
func parseKey(text string) (crypto.Signer, error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no private key in the PEM text")
		}
		switch block.Type {
		case "RSA PRIVATE KEY":
			return x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			return x509.ParseECPrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			signer, ok := key.(crypto.Signer)
			if !ok {
				return nil, fmt.Errorf("a %T signs nothing", key)
			}
			return signer, nil
		}
	}
}

func matches(cert, key Document) bool {
	if cert.unset() || key.unset() {
		return true
	}
	chain, err := parseChain(cert.Text())
	if err != nil {
		return true // the field has its own text
	}
	signer, err := parseKey(key.Text())
	if err != nil {
		return true
	}
	return samePublic(signer, chain[0].PublicKey)
}

func certificateMatchesKey(doc Document) string {
	if !matches(doc.Get("cert"), doc.Get("key")) {
		return "certificate does not match key"
	}
	return ""
}

func altCertificateMatchesKey(doc Document) string {
	if !matches(doc.Get("cert_alt"), doc.Get("key_alt")) {
		return "alternative certificate does not match key"
	}
	return ""
}

// certificatesDiffer: the second certificate is there for clients that cannot
// use the first one's kind of key.
func certificatesDiffer(doc Document) string {
	one, err := parseChain(doc.Get("cert").Text())
	if err != nil {
		return ""
	}
	two, err := parseChain(doc.Get("cert_alt").Text())
	if err != nil {
		return ""
	}
	if keyType(one[0]) == keyType(two[0]) {
		return "certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), the provided certificates were both of the same type"
	}
	return ""
}

func keyType(c *x509.Certificate) string {
	switch c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "rsa"
	case *ecdsa.PublicKey:
		return "ecdsa"
	case ed25519.PublicKey:
		return "ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}
