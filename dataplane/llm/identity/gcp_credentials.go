package identity

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount"
	"golang.org/x/oauth2/jwt"
)

const (
	gcpScope         = "https://www.googleapis.com/auth/cloud-platform"
	gcpTokenURL      = "https://oauth2.googleapis.com/token"
	gcpMetadataURL   = "http://metadata.google.internal"
	gcpMetadataToken = "/computeMetadata/v1/instance/service-accounts/default/token"
)

// gcpFile is a file of credentials as Google hands them out, of any of the kinds
// that are read.
type gcpFile struct {
	Type string `json:"type"`

	ClientEmail  string `json:"client_email"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	TokenURI     string `json:"token_uri"`

	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`

	Audience         string `json:"audience"`
	SubjectTokenType string `json:"subject_token_type"`
	TokenURL         string `json:"token_url"`
	TokenInfoURL     string `json:"token_info_url"`
	ImpersonationURL string `json:"service_account_impersonation_url"`
	Impersonation    struct {
		Lifetime int `json:"token_lifetime_seconds"`
	} `json:"service_account_impersonation"`
	Source           *externalaccount.CredentialSource `json:"credential_source"`
	WorkforceProject string                            `json:"workforce_pool_user_project"`
	Universe         string                            `json:"universe_domain"`
}

// gcpCredentials gets tokens with a file of credentials: the key of a service
// account, an identity of another cloud that Google trusts (workload identity
// federation), or what gcloud keeps of a user.
func gcpCredentials(text []byte, tokenURL string, rt http.RoundTripper) (gcpFetch, error) {
	var file gcpFile
	if json.Unmarshal(text, &file) != nil {
		return nil, errors.New("credentials are no JSON object") // json's error may quote them
	}
	first := func(texts ...string) string {
		for _, text := range texts {
			if text != "" {
				return text
			}
		}
		return ""
	}
	switch file.Type {
	case "service_account":
		if file.ClientEmail == "" || !gcpKeyReadable(file.PrivateKey) {
			return nil, errors.New("service account has no client_email, or a private_key that cannot be read")
		}
		config := &jwt.Config{
			Email: file.ClientEmail, PrivateKey: []byte(file.PrivateKey), PrivateKeyID: file.PrivateKeyID,
			Scopes: []string{gcpScope}, TokenURL: first(tokenURL, file.TokenURI, gcpTokenURL),
		}
		return gcpThrough(rt, func(ctx context.Context) (oauth2.TokenSource, error) { return config.TokenSource(ctx), nil }), nil
	case "authorized_user":
		config := &oauth2.Config{
			ClientID: file.ClientID, ClientSecret: file.ClientSecret, Scopes: []string{gcpScope},
			Endpoint: oauth2.Endpoint{TokenURL: first(tokenURL, file.TokenURI, gcpTokenURL), AuthStyle: oauth2.AuthStyleInParams},
		}
		refresh := &oauth2.Token{RefreshToken: file.RefreshToken}
		return gcpThrough(rt, func(ctx context.Context) (oauth2.TokenSource, error) { return config.TokenSource(ctx, refresh), nil }), nil
	case "external_account":
		if file.Source == nil || file.Audience == "" || file.SubjectTokenType == "" {
			return nil, errors.New("external account has no audience, subject_token_type or credential_source")
		}
		config := externalaccount.Config{
			Audience: file.Audience, SubjectTokenType: file.SubjectTokenType, TokenURL: first(tokenURL, file.TokenURL),
			TokenInfoURL: file.TokenInfoURL, ServiceAccountImpersonationURL: file.ImpersonationURL,
			ServiceAccountImpersonationLifetimeSeconds: file.Impersonation.Lifetime,
			ClientID: file.ClientID, ClientSecret: file.ClientSecret, CredentialSource: file.Source,
			Scopes: []string{gcpScope}, WorkforcePoolUserProject: file.WorkforceProject, UniverseDomain: file.Universe,
		}
		return gcpThrough(rt, func(ctx context.Context) (oauth2.TokenSource, error) {
			return externalaccount.NewTokenSource(ctx, config)
		}), nil
	}
	return nil, fmt.Errorf("credentials of type %q are not supported", file.Type)
}

// gcpKeyReadable says whether a key of RSA can be read, in either form.
func gcpKeyReadable(text string) bool {
	der := []byte(text)
	if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return true
	}
	_, err := x509.ParsePKCS1PrivateKey(der)
	return err == nil
}

// gcpThrough gets tokens of oauth2's sources. What these say of failures may quote
// a token endpoint's answer or an assertion, so that only what the transport saw
// is told.
func gcpThrough(rt http.RoundTripper, open func(context.Context) (oauth2.TokenSource, error)) gcpFetch {
	return func(ctx context.Context) (gcpToken, error) {
		seen := &gcpTransport{ctx: ctx, rt: rt}
		source, err := open(context.WithValue(ctx, oauth2.HTTPClient, seen.client()))
		if err != nil {
			return gcpToken{}, errors.New("credentials cannot be used")
		}
		token, err := source.Token()
		switch {
		case err == nil && token.AccessToken != "":
			return gcpToken{text: token.AccessToken, expires: token.Expiry}, nil
		case seen.err != nil:
			return gcpToken{}, seen.err
		case seen.status != 0:
			return gcpToken{}, gcpStatusError(seen.status)
		}
		return gcpToken{}, errors.New("the token endpoint's answer holds no token")
	}
}

func gcpStatusError(status int) error {
	return fmt.Errorf("the token endpoint answered with status %d", status)
}

// gcpTransport sends the requests of one attempt: they end with it, which those
// of oauth2 do not by themselves. It notes what went wrong last.
type gcpTransport struct {
	ctx    context.Context
	rt     http.RoundTripper
	status int
	err    error
}

// client follows no redirects: what it sends are credentials.
func (t *gcpTransport) client() *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// RoundTrip sends one request.
func (t *gcpTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.status, t.err = 0, nil
	response, err := t.rt.RoundTrip(r.WithContext(t.ctx))
	if err != nil {
		if of, ok := errors.AsType[*url.Error](err); ok {
			err = of.Err // its text quotes the address, which may hold credentials
		}
		t.err = err
		return nil, err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		t.status = response.StatusCode
	}
	return response, nil
}

// gcpMetadata gets tokens of the service account that the machine, or the pod on
// it, runs as. An address without a path is a server, one with a path the token's
// own.
func gcpMetadata(address string, rt http.RoundTripper) gcpFetch {
	if address == "" {
		address = gcpMetadataURL
		if host := os.Getenv("GCE_METADATA_HOST"); host != "" {
			address = "http://" + host
		}
	}
	address = strings.TrimSuffix(address, "/")
	if _, rest, ok := strings.Cut(address, "://"); ok && !strings.Contains(rest, "/") {
		address += gcpMetadataToken
	}
	return func(ctx context.Context) (gcpToken, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?scopes="+url.QueryEscape(gcpScope), nil)
		if err != nil {
			return gcpToken{}, errors.New("the metadata server's address cannot be read")
		}
		request.Header["Metadata-Flavor"] = []string{"Google"}
		seen := &gcpTransport{ctx: ctx, rt: rt}
		response, err := seen.client().Do(request)
		if err != nil {
			if seen.err == nil {
				seen.err = errors.New("its address cannot be used")
			}
			return gcpToken{}, fmt.Errorf("ask the metadata server: %w", seen.err)
		}
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		if closing := response.Body.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return gcpToken{}, fmt.Errorf("read the metadata server's answer: %w", err)
		}
		if response.StatusCode != http.StatusOK {
			return gcpToken{}, fmt.Errorf("the metadata server answered with status %d", response.StatusCode)
		}
		var token struct {
			Text    string `json:"access_token"`
			Seconds int64  `json:"expires_in"`
		}
		if json.Unmarshal(body, &token) != nil || token.Text == "" {
			return gcpToken{}, errors.New("the metadata server's answer holds no token")
		}
		out := gcpToken{text: token.Text}
		if token.Seconds > 0 {
			out.expires = time.Now().Add(time.Duration(token.Seconds) * time.Second)
		}
		return out, nil
	}
}
