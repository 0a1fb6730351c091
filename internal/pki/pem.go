// Package pki owns certificates and the TLS rules between Gibbon's parts: it
// reads and makes key pairs, and says whom a control plane and a data plane let
// in. It keeps no state; certificates are read when a config is made.
package pki

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

var errNoPEM = errors.New("neither the path of a file nor PEM text nor base64 of PEM text")

// IsInline reports whether text is PEM, or base64 of PEM, rather than a path.
func IsInline(text string) bool { return inline(text) != nil }

// inline returns the PEM that text is or encodes, or nil.
func inline(text string) []byte {
	if strings.Contains(text, "-----BEGIN ") {
		return []byte(text)
	}
	// Kong takes standard base64; line breaks in it are what shells and secret
	// stores add.
	compact := strings.Join(strings.Fields(text), "")
	raw, err := base64.StdEncoding.DecodeString(compact)
	if err != nil || !strings.Contains(string(raw), "-----BEGIN ") {
		return nil
	}
	return raw
}

// ReadPEM returns the PEM bytes that text leads to: the content of the file at
// that path, the text itself, or its base64 decoding. What comes back holds at
// least one PEM block. Errors never quote content.
func ReadPEM(text string) ([]byte, error) {
	data := inline(text)
	if data == nil {
		// Content that went wrong may be long and secret: it must not turn up
		// in the error of a failed open.
		if text == "" || len(text) > 4096 || strings.ContainsAny(text, "\n\x00") {
			return nil, errNoPEM
		}
		var err error
		if data, err = os.ReadFile(text); err != nil {
			if looksLikeContent(text) {
				return nil, errNoPEM
			}
			return nil, fmt.Errorf("read certificate or key: %w", err)
		}
		// A file may hold the base64 form as well.
		if decoded := inline(string(data)); decoded != nil {
			data = decoded
		}
	}
	if block, _ := pem.Decode(data); block == nil {
		return nil, errors.New("no PEM block found")
	}
	return data, nil
}

// looksLikeContent tells what is probably a key without its armour from a path
// that does not exist.
func looksLikeContent(text string) bool {
	if len(text) > 255 || !strings.ContainsAny(text, "/.") {
		return true
	}
	_, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(text) >= 64
}
