package plugin

import (
	"net/http"
	"strings"
	"testing"
)

func TestWithoutSecrets(t *testing.T) {
	r := &Request{
		Header: http.Header{"Authorization": {"Bearer token-of-caller"}, "X-Own": {"configured-one"}, "Cookie": {"short"}, "X-Plain": {"plain-value"}},
		Query:  "key=key-of-caller&q=what-is-asked",
	}
	r.Upstream.Query = "sig=signed-by-us"
	r.Secret("x-own")
	r.SecretValue("in-the-body")
	text := "Bearer token-of-caller, token-of-caller, configured-one, short, plain-value, key-of-caller, what-is-asked, signed-by-us, in-the-body"
	before := []byte(text)
	got := string(r.WithoutSecrets(before))
	want := "REDACTED, REDACTED, REDACTED, short, plain-value, REDACTED, what-is-asked, REDACTED, REDACTED"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if string(before) != text {
		t.Error("the text itself was changed")
	}
	clean := []byte("nothing of interest")
	if got := r.WithoutSecrets(clean); &got[0] != &clean[0] {
		t.Error("a clean text was copied")
	}
	if r.WithoutSecrets(nil) != nil {
		t.Error("no text became one")
	}
	r.Reset()
	if got := string(r.WithoutSecrets([]byte("in-the-body"))); got != "in-the-body" {
		t.Errorf("the next request still hides %s", got)
	}
}

// Google's key is hidden in queries, where it is one, and not in headers.
func TestKeyArgument(t *testing.T) {
	r := &Request{Target: "/x?Key=very-secret", Query: "Key=very-secret", Header: http.Header{"Key": {"harmless"}}}
	line := string(r.AppendLog(nil))
	if strings.Contains(line, "very-secret") || !strings.Contains(line, "harmless") {
		t.Errorf("the log line is %s", line)
	}
}
