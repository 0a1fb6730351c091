package target

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
)

// TestGCPProof checks that a call to Vertex AI carries the gateway's token, and
// none of the caller's credentials.
func TestGCPProof(t *testing.T) {
	for _, name := range []string{"GCP_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"} {
		t.Setenv(name, "")
	}
	t.Setenv("CLOUDSDK_CONFIG", t.TempDir())
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, `{"access_token":"T","expires_in":3600}`); err != nil {
			t.Error(err)
		}
	}))
	defer metadata.Close()
	to := build(t, llm.Chat, `{"provider":"gemini","name":"m","options":{"gemini":{"api_endpoint":"vertex.test","project_id":"p","location_id":"l"}}}`,
		`{"gcp_use_service_account":true,"gcp_metadata_url":"`+metadata.URL+`"}`)
	r := plugintest.Request(t, "POST", "/?key=own&q=1", `{}`)
	r.Header["Authorization"] = []string{"Bearer own"}
	r.Header["X-Goog-Api-Key"] = []string{"own"}
	var call Call
	for _, step := range []func(*plugin.Request, *Call) error{to.Begin, to.Locate, to.Aim} {
		if err := step(r, &call); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer T" || r.Header["X-Goog-Api-Key"] != nil || r.Upstream.Query != "q=1" {
		t.Errorf("header %v, query %s", r.Header, r.Upstream.Query)
	}
	if want := "/v1/projects/p/locations/l/publishers/google/models/m:generateContent"; r.Upstream.Path != want {
		t.Errorf("path %s, want %s", r.Upstream.Path, want)
	}
	refused := build(t, llm.Chat, `{"provider":"gemini","name":"m"}`, `{"gcp_use_service_account":true,"gcp_service_account_json":"x"}`)
	if refused.Begin(r, &call) == nil {
		t.Error("a key that cannot be read is not refused")
	}
}
