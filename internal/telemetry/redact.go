package telemetry

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Mask is what stands where a secret was.
const Mask = "******"

// secretNames are headers, query parameters and settings whose values are
// credentials wherever they turn up, in canonical form.
var secretNames = []string{
	"authorization", "proxy-authorization", "cookie", "set-cookie",
	"x-api-key", "api-key", "apikey", "x-goog-api-key", "kong-admin-token",
	"x-amz-security-token", "x-amz-signature", "x-amz-credential", "x-goog-signature", "x-goog-credential",
	"access-token", "refresh-token", "id-token", "client-secret", "aws-secret-access-key",
	"password", "passwd", "secret", "token", "pg-password", "header-value", "param-value",
}

// queryOnly are parameter names too short to mean a credential elsewhere: the
// key of Google's APIs, the signatures of Azure and of older AWS URLs.
var queryOnly = []string{"key", "sig", "signature"}

// IsSecretName reports whether a header, parameter, setting or log attribute of
// this name holds a credential. Case does not count, and "_" is as "-".
func IsSecretName(name string) bool { return slices.Contains(secretNames, canonical(name)) }

var (
	// userinfo is what stands between the scheme of a URL and its host. The host
	// ends at the first of /?#, so an @ behind that is none of ours.
	userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s"'<>@]*(?:@[^/?#\s"'<>@]*)*@`)
	// parameter is one name=value of a query string.
	parameter = regexp.MustCompile(`([?&])([^=&\s"'<>?#]+)=([^&\s"'<>#]+)`)
	// schemeToken is a credential written as a header's value.
	schemeToken = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/-]{8,}=*`)
)

// Redact takes out of text what is recognisably a credential: the user and
// password of URLs, the values of query parameters with the name of a secret,
// and bearer and basic tokens. Text without any comes back as it is. It is a net
// under code that should not log such text, not a licence to.
func Redact(text string) string {
	if strings.Contains(text, "://") {
		text = userinfo.ReplaceAllString(text, "${1}"+Mask+"@")
	}
	if strings.ContainsAny(text, "?&") {
		text = parameter.ReplaceAllStringFunc(text, func(match string) string {
			parts := parameter.FindStringSubmatch(match)
			name, err := url.QueryUnescape(parts[2])
			if err != nil {
				name = parts[2]
			}
			if IsSecretName(name) || slices.Contains(queryOnly, canonical(name)) {
				return parts[1] + parts[2] + "=" + Mask
			}
			return match
		})
	}
	return schemeToken.ReplaceAllString(text, "${1} "+Mask)
}

// RedactHeader returns a copy of h whose secret values are masked: the names
// that are secret anywhere, and more that the caller knows, such as the key
// names of a plugin.
func RedactHeader(h http.Header, more ...string) http.Header {
	out := h.Clone()
	for name, values := range out {
		secret := IsSecretName(name)
		for _, m := range more {
			secret = secret || canonical(m) == canonical(name)
		}
		for i := range values {
			if secret {
				values[i] = Mask
			} else {
				values[i] = Redact(values[i])
			}
		}
	}
	return out
}
