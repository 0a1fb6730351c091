package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// Azure says who the gateway is to Azure. The zero value is the identity that the
// machine itself was given.
type Azure struct {
	// TenantID, ClientID and ClientSecret are those of an application. Without a
	// secret the identity is a managed one, which ClientID chooses where the machine
	// has several.
	TenantID, ClientID, ClientSecret string
	// ManagedIdentity asks for the managed identity although there is a secret.
	ManagedIdentity bool
	// Scope is what the tokens are for; empty: Azure's AI services.
	Scope string
	// Authority is where applications get their tokens, an https URL; empty: that of
	// the public cloud.
	Authority string
}

const (
	azureScope = "https://cognitiveservices.azure.com/.default"
	// azureEarly is how long before its end a token is replaced. Azure's own cache
	// gives out a token up to five minutes before its end and no longer.
	azureEarly = 4 * time.Minute
	// azureAgain is how soon another token is asked for when one that is still good
	// could not be replaced.
	azureAgain = 30 * time.Second
	// azurePatience bounds one attempt to get a token.
	azurePatience = 30 * time.Second
)

// NewAzure makes a source of bearer tokens for Azure. calls carries what is asked
// of Azure's token endpoints; nil: http.DefaultTransport. No token is asked for
// before the first request needs one.
func NewAzure(cfg Azure, calls http.RoundTripper) (Source, error) {
	options := azcore.ClientOptions{Transport: &http.Client{Transport: calls}}
	var credential azcore.TokenCredential
	var err error
	if cfg.ClientSecret != "" && !cfg.ManagedIdentity {
		if cfg.TenantID == "" || cfg.ClientID == "" {
			return nil, errors.New("an Azure client secret needs a tenant id and a client id")
		}
		if cfg.Authority != "" {
			options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: cfg.Authority}
		}
		credential, err = azidentity.NewClientSecretCredential(cfg.TenantID, cfg.ClientID, cfg.ClientSecret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions: options,
			// Whoever configures an authority vouches for it.
			DisableInstanceDiscovery: true,
		})
	} else {
		managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if cfg.ClientID != "" {
			managed.ID = azidentity.ClientID(cfg.ClientID)
		}
		credential, err = azidentity.NewManagedIdentityCredential(managed)
	}
	if err != nil {
		return nil, fmt.Errorf("ready Azure's identity: %w", err)
	}
	scope := cfg.Scope
	if scope == "" {
		scope = azureScope
	}
	s := &azureSource{credential: credential, scope: scope}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// azureSource keeps one token.
type azureSource struct {
	credential azcore.TokenCredential
	scope      string

	// The context of the flights, which serve many requests and end with the source.
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	token    string
	ends     time.Time
	replace  time.Time // when to ask for the next one
	inFlight *azureFlight
}

// azureFlight is one attempt to get a token; err is set when done is closed.
type azureFlight struct {
	done chan struct{}
	err  error
}

var errAzureClosed = errors.New("identity is closed")

// Authorize sets the bearer token.
func (s *azureSource) Authorize(ctx context.Context, out *Outgoing) error {
	token, err := s.get(ctx)
	if err != nil {
		return err
	}
	delete(out.Header, "Api-Key") // Azure would look at it first
	out.Header["Authorization"] = []string{"Bearer " + token}
	return nil
}

// Close ends an attempt that is on its way, and waits for it.
func (s *azureSource) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	return nil
}

// get gives a token that is good. One that should be replaced soon is still given
// while the next is on its way.
func (s *azureSource) get(ctx context.Context) (string, error) {
	for tried := false; ; tried = true {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return "", errAzureClosed
		}
		now := time.Now()
		good := s.token != "" && now.Before(s.ends)
		if s.inFlight == nil && !(good && now.Before(s.replace)) && !tried {
			s.inFlight = &azureFlight{done: make(chan struct{})}
			s.running.Add(1)
			go s.fly(s.inFlight)
		}
		token, flight := s.token, s.inFlight
		s.mu.Unlock()
		if good {
			return token, nil
		}
		if flight == nil {
			return "", errors.New("Azure gave a token that has ended already")
		}
		select {
		case <-flight.done:
			if flight.err != nil {
				return "", flight.err
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// fly asks for a token.
func (s *azureSource) fly(flight *azureFlight) {
	defer s.running.Done()
	ctx, cancel := context.WithTimeout(s.ctx, azurePatience)
	defer cancel()
	got, err := s.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{s.scope}})
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if err == nil {
		s.token, s.ends = got.Token, got.ExpiresOn
		s.replace = got.RefreshOn
		if s.replace.IsZero() {
			early := min(azureEarly, got.ExpiresOn.Sub(now)/2)
			s.replace = got.ExpiresOn.Add(-early)
		}
	}
	if soonest := now.Add(azureAgain); s.replace.Before(soonest) {
		s.replace = soonest
	}
	flight.err = azureError(err)
	s.inFlight = nil
	close(flight.done)
}

// azureError says what went wrong without the whole of Azure's answer.
func azureError(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && refused.RawResponse != nil {
		return fmt.Errorf("get a token from Azure: status %d", refused.RawResponse.StatusCode)
	}
	return fmt.Errorf("get a token from Azure: %w", err)
}
