package plugin

import (
	"bytes"
	"strings"
)

// redacted stands where a secret would in logs.
const redacted = "REDACTED"

// Secret says that the values of these headers and query arguments are secrets
// which must not get into logs. Case does not matter.
func (r *Request) Secret(names ...string) {
	r.secrets = append(r.secrets, names...)
}

// isSecret says that the value of a header or an argument is not for logs: by a
// plugin's word, or because it is known to carry credentials.
func (r *Request) isSecret(name string) bool {
	for _, secret := range usualSecrets {
		if len(secret) == len(name) && strings.EqualFold(secret, name) {
			return true
		}
	}
	for _, secret := range r.secrets {
		if strings.EqualFold(secret, name) {
			return true
		}
	}
	return false
}

// usualSecrets are the names under which credentials travel.
var usualSecrets = [...]string{
	"authorization", "proxy-authorization", "cookie", "set-cookie",
	"apikey", "api-key", "api_key", "x-api-key", "x-goog-api-key", "ocp-apim-subscription-key",
	"access_token", "refresh_token", "id_token", "client_secret", "password", "passwd", "secret", "sig", "signature",
	"x-amz-security-token", "x-amz-signature", "x-amz-credential", "x-goog-signature", "x-goog-credential",
	"kong-admin-token", "aws_secret_access_key",
}

// keyArg is a credential in queries only: the key of Google's interfaces.
const keyArg = "key"

// shortestSecret is the least that a value must have, in bytes, to be looked for
// in texts: what is shorter would be found everywhere.
const shortestSecret = 8

// SecretValue says that a text is a secret wherever it turns up: a credential
// that goes into a body, say.
func (r *Request) SecretValue(values ...string) {
	r.secretValues = append(r.secretValues, values...)
}

// WithoutSecrets is a text, such as a body, with the values of the request's
// secrets written over, in case whoever got a credential repeats it. The text
// itself stays as it is; it is given back when it holds none.
func (r *Request) WithoutSecrets(text []byte) []byte {
	hide := func(value string) {
		if len(value) >= shortestSecret && bytes.Contains(text, []byte(value)) {
			text = bytes.ReplaceAll(text, []byte(value), []byte(redacted))
		}
	}
	if len(text) == 0 {
		return text
	}
	for name, values := range r.Header {
		if !r.isSecret(name) {
			continue
		}
		for _, value := range values {
			hide(value)
			// The scheme in front is no secret, and may be missing elsewhere.
			if _, token, ok := strings.Cut(value, " "); ok {
				hide(token)
			}
		}
	}
	for _, query := range []string{r.Query, r.Upstream.Query} {
		for arg := range Args(query) {
			if !arg.Bare && r.isSecretArg(arg.Name) {
				hide(arg.Value)
			}
		}
	}
	for _, value := range r.secretValues {
		hide(value)
	}
	return text
}

// isSecretArg is isSecret for an argument of a query.
func (r *Request) isSecretArg(name string) bool {
	return strings.EqualFold(name, keyArg) || r.isSecret(name)
}

// redactQuery is a raw query with the values of secret arguments replaced.
func (r *Request) redactQuery(query string) string {
	var b strings.Builder
	hidden := false
	for arg := range Args(query) {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		if arg.Bare || !r.isSecretArg(arg.Name) {
			b.WriteString(arg.Raw)
			continue
		}
		hidden = true
		name, _, _ := strings.Cut(arg.Raw, "=")
		b.WriteString(name)
		b.WriteString("=" + redacted)
	}
	if !hidden {
		return query
	}
	return b.String()
}

// redactTarget does the same for a request target.
func (r *Request) redactTarget(target string) string {
	path, query, found := strings.Cut(target, "?")
	if !found {
		return target
	}
	shown := r.redactQuery(query)
	if shown == query {
		return target
	}
	return path + "?" + shown
}
