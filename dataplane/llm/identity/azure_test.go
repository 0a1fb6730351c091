package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// azureCloud answers for Azure's token endpoints.
type azureCloud struct {
	t       *testing.T
	asked   atomic.Int32
	forms   chan url.Values
	lasts   int // seconds
	refuses atomic.Bool
	hold    chan struct{} // when set, answers wait for it
}

func (c *azureCloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
		fmt.Fprint(w, `{"token_endpoint":"https://login.microsoftonline.com/t1/oauth2/v2.0/token","authorization_endpoint":"https://login.microsoftonline.com/t1/oauth2/v2.0/authorize","issuer":"https://login.microsoftonline.com/t1/v2.0"}`)
		return
	}
	if err := r.ParseForm(); err != nil {
		c.t.Error(err)
	}
	n := c.asked.Add(1)
	if c.hold != nil {
		<-c.hold
	}
	if c.forms != nil {
		c.forms <- r.Form
	}
	if c.refuses.Load() {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client","error_description":"secret s1 is wrong"}`)
		return
	}
	fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":%d,"access_token":"token-%d","resource":"https://cognitiveservices.azure.com"}`, c.lasts, n)
}

// RoundTrip answers without a network.
func (c *azureCloud) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	res := w.Result()
	res.Request = r
	return res, nil
}

func azureToken(t *testing.T, s Source) (string, error) {
	t.Helper()
	out := &Outgoing{Header: http.Header{"Authorization": {"forged"}, "Api-Key": {"forged"}}}
	err := s.Authorize(t.Context(), out)
	if len(out.Header["Api-Key"]) > 0 && err == nil {
		t.Error("the caller's key is left")
	}
	return out.Header.Get("Authorization"), err
}

func azureOpen(t *testing.T, cfg Azure, calls http.RoundTripper) Source {
	t.Helper()
	s, err := NewAzure(cfg, calls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var azureApp = Azure{TenantID: "t1", ClientID: "c1", ClientSecret: "s1"}

// TestAzureEndpoints shows what is asked of a real server, by way of a transport
// that leads all hosts to it.
func TestAzureEndpoints(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := &azureCloud{t: t, lasts: 3600, forms: make(chan url.Values, 1)}
	server := httptest.NewServer(c)
	defer server.Close()
	var hosts []string
	lead := leading(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Host)
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = "http", server.Listener.Addr().String()
		return server.Client().Transport.RoundTrip(r)
	})
	for _, tt := range []struct {
		cfg  Azure
		host string
		want map[string]string
	}{
		{azureApp, "login.microsoftonline.com", map[string]string{"client_id": "c1", "client_secret": "s1", "grant_type": "client_credentials", "scope": "https://cognitiveservices.azure.com/.default openid offline_access profile"}},
		{Azure{ManagedIdentity: true}, "169.254.169.254", map[string]string{"resource": "https://cognitiveservices.azure.com", "client_id": ""}},
		{Azure{ManagedIdentity: true, ClientID: "c2"}, "169.254.169.254", map[string]string{"resource": "https://cognitiveservices.azure.com", "client_id": "c2"}},
		{Azure{ManagedIdentity: true, Scope: "https://ai.azure.com/.default"}, "169.254.169.254", map[string]string{"resource": "https://ai.azure.com"}},
	} {
		hosts = nil
		s := azureOpen(t, tt.cfg, lead)
		if token, err := azureToken(t, s); err != nil || !strings.HasPrefix(token, "Bearer token-") {
			t.Fatalf("%+v: %q, %v", tt.cfg, token, err)
		}
		form := <-c.forms
		for name, want := range tt.want {
			if got := form.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if hosts[len(hosts)-1] != tt.host {
			t.Errorf("asked %v, want %s", hosts, tt.host)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

type leading func(*http.Request) (*http.Response, error)

func (l leading) RoundTrip(r *http.Request) (*http.Response, error) { return l(r) }

// TestAzureTokensAreKept checks that a token serves until shortly before its end,
// and that a failure to replace it costs nobody anything while it is good.
func TestAzureTokensAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &azureCloud{t: t, lasts: 3600}
		s := azureOpen(t, azureApp, c)
		want := func(token string, asked int32) {
			t.Helper()
			got, err := azureToken(t, s)
			synctest.Wait()
			if err != nil || got != "Bearer "+token || c.asked.Load() != asked {
				t.Fatalf("%q, %v, asked %d times, want %s and %d", got, err, c.asked.Load(), token, asked)
			}
		}
		want("token-1", 1)
		time.Sleep(50 * time.Minute)
		want("token-1", 1)
		time.Sleep(6*time.Minute + time.Second)
		want("token-1", 2) // still good, and the next is fetched
		want("token-2", 2)
		time.Sleep(57 * time.Minute)
		c.refuses.Store(true)
		want("token-2", 3)
		want("token-2", 3) // not asked at once again
		time.Sleep(4 * time.Minute)
		got, err := azureToken(t, s)
		if err == nil || strings.Contains(err.Error(), "s1") || !strings.Contains(err.Error(), "401") {
			t.Fatalf("%q, %v after the end", got, err)
		}
		c.refuses.Store(false)
		if got, err := azureToken(t, s); err != nil || got != "Bearer token-5" {
			t.Fatalf("%q, %v when Azure is back", got, err)
		}
	})
}

// TestAzureOneFlight checks that many requests wait for one token, that one which
// gives up does not take it from the others, and that Close ends the wait.
func TestAzureOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &azureCloud{t: t, lasts: 3600, hold: make(chan struct{})}
		s := azureOpen(t, azureApp, c)
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { gone <- s.Authorize(ctx, &Outgoing{Header: http.Header{}}) }()
		synctest.Wait()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if token, err := azureToken(t, s); err != nil || token != "Bearer token-1" {
					t.Errorf("%q, %v", token, err)
				}
			})
		}
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that the request was given up", err)
		}
		close(c.hold)
		all.Wait()
		if n := c.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := azureToken(t, s); !errors.Is(err, errAzureClosed) {
			t.Errorf("%v from a closed source", err)
		}
	})
}

// TestAzureClose checks that a source closes while Azure is silent.
func TestAzureClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := azureOpen(t, azureApp, leading(func(r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return nil, err
				}
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		done := make(chan error, 1)
		go func() { done <- s.Authorize(t.Context(), &Outgoing{Header: http.Header{}}) }()
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil {
			t.Error("a token came from nowhere")
		}
	})
}

func TestAzureConfig(t *testing.T) {
	if _, err := NewAzure(Azure{ClientSecret: "s"}, nil); err == nil || strings.Contains(err.Error(), `"s"`) {
		t.Errorf("%v", err)
	}
}
