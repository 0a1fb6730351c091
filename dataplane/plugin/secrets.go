package plugin

import "strings"

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
	"access_token", "client_secret", "password", "sig", "signature",
	"x-amz-security-token", "x-amz-signature", "x-amz-credential",
}

// redactQuery is a raw query with the values of secret arguments replaced.
func (r *Request) redactQuery(query string) string {
	var b strings.Builder
	hidden := false
	for arg := range Args(query) {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		if arg.Bare || !r.isSecret(arg.Name) {
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
