package identity

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// gcpAlone takes away what the machine that runs the tests may have.
func gcpAlone(t *testing.T) {
	t.Helper()
	for _, name := range []string{"GCP_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST"} {
		t.Setenv(name, "")
	}
	t.Setenv("CLOUDSDK_CONFIG", t.TempDir())
}

// gcpKey is the file of a service account, of which the private key is given too.
func gcpKey(t *testing.T, tokenURL string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "me@example.com", "private_key_id": "k1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": tokenURL,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// gcpServer answers as token endpoints, as Google's security token service and as
// the metadata server.
type gcpServer struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newGCPServer(t *testing.T) *gcpServer {
	t.Helper()
	s := &gcpServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			form = url.Values{}
		}
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+r.URL.Path+" "+form.Get("grant_type"))
		s.mu.Unlock()
		token := ""
		switch {
		case r.URL.Path == "/refused":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_grant","error_description":%q}`, form.Get("assertion"))
			return
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/token", http.StatusTemporaryRedirect)
			return
		case r.URL.Path == "/empty":
			io.WriteString(w, `{}`)
			return
		case strings.HasPrefix(r.URL.Path, "/computeMetadata/") || r.URL.Path == "/own/token":
			if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Query().Get("scopes") != gcpScope {
				t.Errorf("metadata server was asked with %v for %s", r.Header, r.URL)
			}
			token = "from-metadata"
		case strings.Count(form.Get("assertion"), ".") == 2:
			token = "from-key"
		case form.Get("refresh_token") == "refresh-secret":
			token = "from-user"
		case form.Get("subject_token") == "subject-secret":
			w.Header()["Content-Type"] = []string{"application/json"}
			io.WriteString(w, `{"access_token":"from-federation","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`)
			return
		default:
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600,"token_type":"Bearer"}`, token)
	}))
	t.Cleanup(s.Close)
	return s
}

// gcpAuthorize gives the header that a source sets.
func gcpAuthorize(ctx context.Context, s Source) (string, error) {
	out := &Outgoing{Method: "POST", Scheme: "https", Host: "example.com", Path: "/", Header: http.Header{}}
	err := s.Authorize(ctx, out)
	return out.Header.Get("Authorization"), err
}

// TestGCPOrder shows which credentials are used when there are several.
func TestGCPOrder(t *testing.T) {
	server := newGCPServer(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	key := gcpKey(t, server.URL+"/token")
	user := `{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"refresh-secret"}`
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	subject := write("subject", "subject-secret")
	federation := fmt.Sprintf(`{"type":"external_account","audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",`+
		`"subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"%s/sts","credential_source":{"file":%q}}`, server.URL, subject)
	for _, tt := range []struct {
		name   string
		config GCP
		env    map[string]string
		want   string
	}{
		{"the configured key wins", GCP{ServiceAccountJSON: key, MetadataURL: server.URL},
			map[string]string{"GCP_SERVICE_ACCOUNT": user, "GOOGLE_APPLICATION_CREDENTIALS": write("a.json", federation)}, "from-key"},
		{"then the environment's", GCP{TokenURL: server.URL + "/token", MetadataURL: server.URL},
			map[string]string{"GCP_SERVICE_ACCOUNT": user, "GOOGLE_APPLICATION_CREDENTIALS": write("b.json", federation)}, "from-user"},
		{"then workload identity", GCP{MetadataURL: server.URL}, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": write("c.json", federation)}, "from-federation"},
		{"then gcloud's file", GCP{MetadataURL: server.URL},
			map[string]string{"CLOUDSDK_CONFIG": filepath.Dir(write("application_default_credentials.json", key))}, "from-key"},
		{"then the metadata server", GCP{MetadataURL: server.URL + "/"}, nil, "from-metadata"},
		{"the metadata server's own path", GCP{MetadataURL: server.URL + "/own/token"}, nil, "from-metadata"},
		{"the metadata server of the environment", GCP{}, map[string]string{"GCE_METADATA_HOST": strings.TrimPrefix(server.URL, "http://")}, "from-metadata"},
		{"the configured token endpoint wins", GCP{ServiceAccountJSON: gcpKey(t, "http://127.0.0.1:1/"), TokenURL: server.URL + "/other"}, nil, "from-key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gcpAlone(t)
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			source, err := NewGCP(tt.config, transport)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if got, err := gcpAuthorize(t.Context(), source); err != nil || got != "Bearer "+tt.want {
					t.Errorf("%q, %v, want %s", got, err, tt.want)
				}
			}
			if err := source.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if want := 8; len(server.asked) != want {
		t.Errorf("%d requests for tokens, want %d: %q", len(server.asked), want, server.asked)
	}
}

// TestGCPCallerCredentials shows that a caller's own credentials go.
func TestGCPCallerCredentials(t *testing.T) {
	source := &gcp{fetch: func(context.Context) (gcpToken, error) { return gcpToken{text: "t"}, nil }}
	out := &Outgoing{Query: "alt=sse&key=own&access_token=x&k%65y=own&%61ccess_token=x&keyword=a", Header: http.Header{
		"Authorization": {"Bearer own", "Bearer two"}, "X-Goog-Api-Key": {"own"}, "X-Goog-User-Project": {"p"}, "Accept": {"a"},
	}}
	if err := source.Authorize(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if len(out.Header) != 2 || len(out.Header["Authorization"]) != 1 || out.Header.Get("Authorization") != "Bearer t" || out.Query != "alt=sse&keyword=a" {
		t.Errorf("%+v", out)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	if err := source.Authorize(t.Context(), out); !errors.Is(err, errGCPClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// TestGCPErrors shows that errors name what is wrong and hold no secret.
func TestGCPErrors(t *testing.T) {
	gcpAlone(t)
	server := newGCPServer(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	for _, tt := range []struct{ key, want string }{
		{"secret-not-json", "gcp_service_account_json: credentials are no JSON object"},
		{`{"type":"service_account","client_email":"a","private_key":"secret"}`, "gcp_service_account_json: service account has no client_email, or a private_key that cannot be read"},
		{`{"type":"external_account"}`, "gcp_service_account_json: external account has no audience, subject_token_type or credential_source"},
		{`{"type":"gdch_service_account"}`, `gcp_service_account_json: credentials of type "gdch_service_account" are not supported`},
	} {
		if _, err := NewGCP(GCP{ServiceAccountJSON: tt.key}, transport); err == nil || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none"))
	if _, err := NewGCP(GCP{}, transport); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	for _, tt := range []struct {
		name, want string
		config     GCP
	}{
		{"refused", "get token for google cloud: the token endpoint answered with status 401", GCP{ServiceAccountJSON: gcpKey(t, server.URL+"/refused")}},
		{"redirect", "get token for google cloud: the token endpoint answered with status 307", GCP{ServiceAccountJSON: gcpKey(t, server.URL+"/moved")}},
		{"no token", "get token for google cloud: the token endpoint's answer holds no token", GCP{ServiceAccountJSON: gcpKey(t, server.URL+"/empty")}},
		{"no metadata", "get token for google cloud: the metadata server answered with status 401", GCP{MetadataURL: server.URL + "/refused"}},
		{"no token in metadata", "get token for google cloud: the metadata server's answer holds no token", GCP{MetadataURL: server.URL + "/empty"}},
		{"bad address", "get token for google cloud: the metadata server's address cannot be read", GCP{MetadataURL: "http://a b/?secret"}},
	} {
		source, err := NewGCP(tt.config, transport)
		if err != nil {
			t.Fatal(err)
		}
		if header, err := gcpAuthorize(t.Context(), source); err == nil || err.Error() != tt.want || header != "" {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}
	broken := errors.New("no route")
	source, err := NewGCP(GCP{ServiceAccountJSON: gcpKey(t, "http://example.com/?key=secret")}, gcpTrip(func(r *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: broken}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gcpAuthorize(t.Context(), source); !errors.Is(err, broken) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a server that is not there: %v", err)
	}
}

type gcpTrip func(*http.Request) (*http.Response, error)

func (f gcpTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestGCPRenewal shows when tokens are asked for.
func TestGCPRenewal(t *testing.T) {
	gcpAlone(t)
	synctest.Test(t, func(t *testing.T) {
		flights, fail := 0, false
		source, err := NewGCP(GCP{MetadataURL: "http://metadata.test"}, gcpTrip(func(r *http.Request) (*http.Response, error) {
			flights++
			number := flights
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			status, body := http.StatusOK, fmt.Sprintf(`{"access_token":"t%d","expires_in":3600}`, number)
			if fail {
				status, body = http.StatusServiceUnavailable, ""
			}
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		expect := func(when, token string, want int) {
			t.Helper()
			got, err := gcpAuthorize(t.Context(), source)
			synctest.Wait()
			if err != nil || got != "Bearer "+token || flights != want {
				t.Errorf("%s: %q, %v, after %d flights, want %s after %d", when, got, err, flights, token, want)
			}
		}
		// All who wait share one flight, and who leaves takes nobody along.
		impatient, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				ctx := t.Context()
				if i == 0 {
					ctx = impatient
				}
				got, err := gcpAuthorize(ctx, source)
				if i == 0 {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("who left: %q, %v", got, err)
					}
				} else if err != nil || got != "Bearer t1" {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		synctest.Wait()
		leave()
		all.Wait()
		expect("at once", "t1", 1)
		time.Sleep(54 * time.Minute)
		expect("before the last five minutes", "t1", 1)
		time.Sleep(2 * time.Minute)
		expect("in the last five minutes", "t1", 2) // the old one, while a new one is asked for
		time.Sleep(2 * time.Second)
		expect("after that", "t2", 2)
		// A token that cannot be renewed is used to its end, and asked for anew with a
		// pause between.
		fail = true
		time.Sleep(56 * time.Minute)
		expect("when renewal fails", "t2", 3)
		time.Sleep(2 * time.Second)
		expect("right after the failure", "t2", 3)
		time.Sleep(10 * time.Second)
		expect("after a pause", "t2", 4)
		time.Sleep(5 * time.Minute)
		if _, err := gcpAuthorize(t.Context(), source); err == nil || flights != 5 {
			t.Errorf("at the end: %v after %d flights", err, flights)
		}
		fail = false
		expect("when it is back", "t6", 6)
		// Close ends what is on its way.
		time.Sleep(time.Hour)
		waiting := make(chan error)
		go func() {
			_, err := gcpAuthorize(t.Context(), source)
			waiting <- err
		}()
		synctest.Wait()
		if err := source.Close(); err != nil {
			t.Error(err)
		}
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited when it was closed: %v", err)
		}
	})
}

// TestGCPShortToken shows that a token with little time left is not asked for
// again at once, and that an attempt does not hang.
func TestGCPShortToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flights := 0
		source := &gcp{fetch: func(ctx context.Context) (gcpToken, error) {
			flights++
			if flights > 2 {
				<-ctx.Done()
				return gcpToken{}, ctx.Err()
			}
			return gcpToken{text: "t", expires: time.Now().Add(time.Duration(flights) * 4 * time.Minute)}, nil
		}}
		for _, want := range []int{1, 1, 2, 2} {
			if _, err := gcpAuthorize(t.Context(), source); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if flights != want {
				t.Errorf("%d flights, want %d", flights, want)
			}
			time.Sleep(90 * time.Second)
		}
		time.Sleep(time.Hour)
		start := time.Now()
		if _, err := gcpAuthorize(t.Context(), source); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != gcpTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestGCPLeavesNothing shows that no goroutine stays behind.
func TestGCPLeavesNothing(t *testing.T) {
	gcpAlone(t)
	before := goleak.IgnoreCurrent()
	server := newGCPServer(t)
	transport := &http.Transport{}
	source, err := NewGCP(GCP{MetadataURL: server.URL}, transport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gcpAuthorize(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
	transport.CloseIdleConnections()
	server.Close()
	goleak.VerifyNone(t, before)
}
