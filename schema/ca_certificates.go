package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// singleCACertificate wants one certificate, of an authority, that has not ended.
func singleCACertificate(doc Document) string {
	chain, err := parseChain(doc.Get("cert").Text())
	switch {
	case err != nil:
		return "" // the field has its own text
	case len(chain) > 1:
		return "please submit only one certificate at a time"
	case time.Now().After(chain[0].NotAfter):
		return `certificate expired, "Not After" time is in the past`
	case !chain[0].BasicConstraintsValid || !chain[0].IsCA:
		return `certificate does not appear to be a CA because it is missing the "CA" basic constraint`
	}
	return ""
}

// certDigest computes the digest by which a certificate is unique, however its
// text is wrapped.
func certDigest(doc Document) (Document, error) {
	chain, err := parseChain(doc.Get("cert").Text())
	if err != nil {
		return doc, &ViolationError{Fields: Object(Member{"cert", String("invalid certificate: " + err.Error())})}
	}
	sum := sha256.Sum256(chain[0].Raw)
	return doc.With(String(hex.EncodeToString(sum[:])), "cert_digest"), nil
}
