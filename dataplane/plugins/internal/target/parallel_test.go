package target

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
)

// TestParallel has many requests use one target while its source of identity is
// closed under them, as when a configuration goes. Those that are late fail; the
// race detector finds the rest.
func TestParallel(t *testing.T) {
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
	for name, to := range map[string]*Target{
		"gcp": build(t, llm.Chat, `{"provider":"gemini","name":"$(headers.m)","options":{"gemini":{"api_endpoint":"vertex.test","project_id":"$(headers.m)","location_id":"l"}}}`,
			`{"gcp_use_service_account":true,"gcp_metadata_url":"`+metadata.URL+`"}`),
		"aws": build(t, llm.Chat, `{"provider":"bedrock","name":"$(headers.m)","options":{"bedrock":{"aws_region":"eu-west-1"}}}`,
			`{"aws_access_key_id":"K","aws_secret_access_key":"S"}`),
	} {
		t.Run(name, func(t *testing.T) {
			begun := make(chan struct{})
			var once sync.Once
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for i := range 50 {
						r := plugintest.Request(t, "POST", "/", `{}`)
						r.Header.Set("m", string(rune('a'+i%26)))
						var call Call
						var err error
						for _, step := range []func(*plugin.Request, *Call) error{to.Begin, to.Locate, to.Aim} {
							if err = step(r, &call); err != nil {
								break
							}
						}
						if err == nil && (call.Model != r.Header.Get("m") || r.Header.Get("Authorization") == "") {
							t.Errorf("model %q for %q, header %v", call.Model, r.Header.Get("m"), r.Header)
						}
						once.Do(func() { close(begun) })
					}
				})
			}
			<-begun
			if err := to.proof.Close(); err != nil {
				t.Error(err)
			}
			all.Wait()
		})
	}
}
