package schema

import (
	"crypto/pbkdf2"
	"crypto/sha512"
	"encoding/base64"
	"strings"
	"testing"
)

// transformed is what is stored of a POST (no current) or a PATCH.
func transformed(t *testing.T, s *Schema, current Document, body string) Document {
	t.Helper()
	given := mustParse(t, body)
	doc := s.Complete(given, noon)
	if !current.IsAbsent() {
		doc = s.Merge(current, given, noon)
	}
	if err := s.Validate(doc, Insert); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	doc, err := s.Transform(doc, given)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return doc
}

const consumer = `"consumer":{"id":"` + someID + `"}`

func TestHashPassword(t *testing.T) {
	s := entity(t, "basicauth_credentials")
	// printf 'p%s' "$id" | sha1sum
	const hash = "7e73189e91c19913c6539568ce47742bebf86a9d"
	stored := transformed(t, s, Document{}, `{"username":"u","password":"p",`+consumer+`}`)
	for _, tt := range []struct{ body, want string }{
		{`{}`, hash},
		{`{"username":"v"}`, hash},
		{`{"consumer":{"id":"00000000-0000-4000-8000-000000000002"}}`, hash},
		{`{"password":"p"}`, hash},
		// Kong hashes what it is given, even a hash.
		{`{"password":"` + hash + `"}`, "dffdc07ec296269d0b1984bfdd169a4d45abcb89"},
	} {
		if got := transformed(t, s, stored, tt.body).Get("password").Text(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.body, got, tt.want)
		}
	}
	// The body decides, not what is stored: an import passes no body.
	doc := s.Complete(mustParse(t, `{"username":"u","password":"`+hash+`",`+consumer+`}`), noon)
	got, err := s.Transform(doc, Document{})
	if err != nil || got.Get("password").Text() != hash {
		t.Errorf("without a body: %s, %v", got.Get("password"), err)
	}
}

func TestHashClientSecret(t *testing.T) {
	s := entity(t, "oauth2_credentials")
	one := transformed(t, s, Document{}, `{"name":"a","client_secret":"s","hash_secret":true,`+consumer+`}`)
	two := transformed(t, s, Document{}, `{"name":"a","client_secret":"s","hash_secret":true,`+consumer+`}`)
	plain := transformed(t, s, Document{}, `{"name":"a","client_secret":"s",`+consumer+`}`)
	if got := plain.Get("client_secret").Text(); got != "s" {
		t.Errorf("without hash_secret: %q", got)
	}
	hash := one.Get("client_secret").Text()
	if hash == two.Get("client_secret").Text() {
		t.Error("two secrets have one salt")
	}
	if !verifies(t, hash, "s") || verifies(t, hash, "t") {
		t.Errorf("%s is not the hash of the secret", hash)
	}
	for _, tt := range []struct {
		name    string
		current Document
		body    string
		secret  string // "": the hash stays
	}{
		{"another field", one, `{"name":"b"}`, ""},
		{"another secret", one, `{"client_secret":"new"}`, "new"},
		{"the hash that was shown", one, `{"client_secret":"` + hash + `","hash_secret":true}`, ""},
		{"hashed from now on", plain, `{"hash_secret":true}`, "s"},
		{"hashed still", one, `{"hash_secret":true}`, ""},
		{"looks like a hash", one, `{"client_secret":"` + secretHash + `a$b"}`, secretHash + "a$b"},
		{"begins like a hash", one, `{"client_secret":"` + secretHash + `"}`, secretHash},
	} {
		got := transformed(t, s, tt.current, tt.body).Get("client_secret").Text()
		switch {
		case tt.secret == "" && got != hash:
			t.Errorf("%s: the hash became %s", tt.name, got)
		case tt.secret != "" && !verifies(t, got, tt.secret):
			t.Errorf("%s: %s is not the hash of %q", tt.name, got, tt.secret)
		}
	}
	// No secret is a public application's choice.
	if got := transformed(t, s, Document{}, `{"name":"a","client_secret":null,"hash_secret":true,`+consumer+`}`); !got.Get("client_secret").IsNull() {
		t.Errorf("no secret became %s", got.Get("client_secret"))
	}
}

// verifies reads the text as whoever checks a secret does.
func verifies(t *testing.T, text, secret string) bool {
	t.Helper()
	parts := strings.Split(text, "$")
	if len(parts) != 5 || parts[1] != "pbkdf2-sha512" || parts[2] != "i=10000,l=32" {
		t.Fatalf("%q is not in the form of the PHC", text)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[3])
	if err != nil || len(salt) != 16 {
		t.Fatalf("salt %q: %d bytes, %v", parts[3], len(salt), err)
	}
	key, err := pbkdf2.Key(sha512.New, secret, salt, 10000, 32)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawStdEncoding.EncodeToString(key) == parts[4]
}
