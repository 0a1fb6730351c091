package schema

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// hashPassword keeps of a password its SHA-1, salted with the consumer's id, in
// lower-case hex. It is a weak hash; what Kong exported must stay valid.
func hashPassword(doc Document) (Document, error) {
	sum := sha1.Sum([]byte(doc.Get("password").Text() + doc.Get("consumer", "id").Text()))
	return doc.With(String(hex.EncodeToString(sum[:])), "password"), nil
}

// secretHash begins a hashed secret, in the form of the PHC: the algorithm, its
// iterations and length, then salt and hash in base64 without padding.
const (
	secretHash       = "$pbkdf2-sha512$i=10000,l=32$"
	secretIterations = 10000
	secretLength     = 32
	secretSalt       = 16
)

// hashClientSecret keeps a hash of an application's secret, if the application
// asks for it. A secret that is a hash already stays: clients send back what
// they were shown.
func hashClientSecret(doc Document) (Document, error) {
	secret := doc.Get("client_secret")
	wanted, _ := doc.Get("hash_secret").Truth()
	if !wanted || secret.unset() || isSecretHash(secret.Text()) {
		return doc, nil
	}
	salt := make([]byte, secretSalt)
	rand.Read(salt) // never fails: it ends the program instead
	key, err := pbkdf2.Key(sha512.New, secret.Text(), salt, secretIterations, secretLength)
	if err != nil {
		return doc, fmt.Errorf("hash the client secret: %w", err)
	}
	b64 := base64.RawStdEncoding
	return doc.With(String(secretHash+b64.EncodeToString(salt)+"$"+b64.EncodeToString(key)), "client_secret"), nil
}

func isSecretHash(text string) bool {
	salt, hash, two := strings.Cut(strings.TrimPrefix(text, secretHash), "$")
	if !two || !strings.HasPrefix(text, secretHash) {
		return false
	}
	b64 := base64.RawStdEncoding
	_, saltErr := b64.DecodeString(salt)
	key, keyErr := b64.DecodeString(hash)
	return saltErr == nil && keyErr == nil && len(key) == secretLength
}
