package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// GCP says where tokens of Google Cloud come from. The zero value uses what the
// machine has.
type GCP struct {
	// ServiceAccountJSON is the whole key of a service account. Empty: that in the
	// environment's GCP_SERVICE_ACCOUNT, else the application default credentials
	// (GOOGLE_APPLICATION_CREDENTIALS or gcloud's own file; workload identity
	// federation is one kind of them), else the metadata server.
	ServiceAccountJSON string
	// MetadataURL is the metadata server's address, and TokenURL that of the token
	// endpoint; empty: Google's.
	MetadataURL, TokenURL string
}

const (
	// gcpAhead is how long before a token expires a new one is asked for.
	gcpAhead = 5 * time.Minute
	// gcpMargin is how long before its end a token is not used any more, as it must
	// still be good when it arrives.
	gcpMargin = 10 * time.Second
	// gcpPause is the time between a failed attempt to renew a token that is still
	// good and the next one.
	gcpPause = 10 * time.Second
	// gcpTimeout bounds one attempt.
	gcpTimeout = 30 * time.Second
	// gcpUnsaid is how long a token is taken to be good that does not say.
	gcpUnsaid = 5 * time.Minute
)

// errGCPClosed is given to who asks a source that is closed.
var errGCPClosed = errors.New("google cloud identity is closed")

// NewGCP makes a source of tokens that are got through rt; nil: http's own. Which
// credentials are used is settled here, and nothing is asked for yet. Its error
// holds no secret.
func NewGCP(config GCP, rt http.RoundTripper) (Source, error) {
	if rt == nil {
		rt = http.DefaultTransport
	}
	key, from := config.ServiceAccountJSON, "gcp_service_account_json"
	if key == "" {
		key, from = os.Getenv("GCP_SERVICE_ACCOUNT"), "GCP_SERVICE_ACCOUNT"
	}
	if key == "" {
		file, err := gcpDefault()
		if err != nil {
			return nil, err
		}
		key, from = file, "application default credentials"
	}
	if key == "" {
		return &gcp{fetch: gcpMetadata(config.MetadataURL, rt)}, nil
	}
	fetch, err := gcpCredentials([]byte(key), config.TokenURL, rt)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return &gcp{fetch: fetch}, nil
}

// gcpDefault is the text of the application default credentials; empty when there
// are none.
func gcpDefault() (string, error) {
	if path := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("GOOGLE_APPLICATION_CREDENTIALS: %w", err)
		}
		return string(text), nil
	}
	folder := os.Getenv("CLOUDSDK_CONFIG")
	if folder == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", nil // a process without a home has no file there
		}
		folder = filepath.Join(home, ".config", "gcloud")
	}
	text, err := os.ReadFile(filepath.Join(folder, "application_default_credentials.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("application default credentials: %w", err)
	}
	return string(text), nil
}

// gcpToken is a token and when it ends; a zero time: it does not say.
type gcpToken struct {
	text    string
	expires time.Time
}

// gcpFetch gets a new token. It gives up when ctx ends. Its error holds no secret.
type gcpFetch func(ctx context.Context) (gcpToken, error)

// gcp keeps the token of one identity.
type gcp struct {
	fetch gcpFetch

	mu      sync.Mutex
	token   string
	renew   time.Time // when a new one is asked for
	expires time.Time // when the token is not used any more
	flight  *gcpFlight
	closed  bool
}

// gcpFlight is one attempt to get a token; all who need it wait for the same.
// token and err are set before done is closed.
type gcpFlight struct {
	cancel context.CancelFunc
	done   chan struct{}
	token  string
	err    error
}

// Authorize sets the token, in place of any credentials of the caller's own.
func (g *gcp) Authorize(ctx context.Context, out *Outgoing) error {
	token, err := g.get(ctx)
	if err != nil {
		return fmt.Errorf("get token for google cloud: %w", err)
	}
	// A key would name another project than the token's, and so would the header
	// that says who pays.
	delete(out.Header, "X-Goog-Api-Key")
	delete(out.Header, "X-Goog-User-Project")
	out.Query = gcpQuery(out.Query)
	out.Header["Authorization"] = []string{"Bearer " + token}
	return nil
}

// gcpQuery is a query without credentials.
func gcpQuery(query string) string {
	if !strings.Contains(query, "key") && !strings.Contains(query, "token") && !strings.Contains(query, "%") {
		return query
	}
	kept := make([]string, 0, 4)
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		switch name {
		case "key", "access_token", "oauth_token":
		default:
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// get gives the token, and waits for a new one when there is none that is good. A
// token that is about to expire is used while a new one is on its way.
func (g *gcp) get(ctx context.Context) (string, error) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return "", errGCPClosed
	}
	now := time.Now()
	good := g.token != "" && now.Before(g.expires)
	if g.flight == nil && (!good || !now.Before(g.renew)) {
		g.start()
	}
	token, flight := g.token, g.flight
	g.mu.Unlock()
	if good {
		return token, nil
	}
	select {
	case <-flight.done:
		return flight.token, flight.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// start sends for a token; the caller holds the lock. The attempt belongs to no
// request, so that one that leaves does not take the others' token along; Close
// waits for it.
func (g *gcp) start() {
	ctx, cancel := context.WithTimeout(context.Background(), gcpTimeout)
	flight := &gcpFlight{cancel: cancel, done: make(chan struct{})}
	g.flight = flight
	go func() {
		defer close(flight.done)
		defer cancel()
		token, err := g.fetch(ctx)
		flight.token, flight.err = token.text, err
		g.mu.Lock()
		defer g.mu.Unlock()
		g.flight = nil
		now := time.Now()
		if err != nil {
			g.renew = now.Add(gcpPause)
			return
		}
		if token.expires.IsZero() {
			token.expires = now.Add(gcpUnsaid)
		}
		// The metadata server may give a token with little time left; that is renewed
		// at half time and not at once.
		left := token.expires.Sub(now)
		g.token, g.expires = token.text, token.expires.Add(-gcpMargin)
		g.renew = token.expires.Add(-min(gcpAhead, left/2))
	}()
}

// Close ends an attempt that is on its way, and waits for its end.
func (g *gcp) Close() error {
	g.mu.Lock()
	g.closed, g.token = true, ""
	flight := g.flight
	g.mu.Unlock()
	if flight != nil {
		flight.cancel()
		<-flight.done
	}
	return nil
}
