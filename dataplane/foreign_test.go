package dataplane

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

// TestForeignPagesDrainNothing sends what a page of another origin can make a
// browser send: a form, which needs no leave.
func TestForeignPagesDrainNothing(t *testing.T) {
	log, err := telemetry.NewLog(telemetry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, header, value string
		want                int
	}{
		{"curl", "", "", http.StatusNoContent},
		{"a page of another site", "Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		{"an older browser", "Origin", "https://evil.example", http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &DataPlane{cfg: Config{Log: log}}
			r := httptest.NewRequest(http.MethodPost, "http://localhost:8007/status/ready", strings.NewReader("status=draining"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if tt.header != "" {
				r.Header.Set(tt.header, tt.value)
			}
			w := httptest.NewRecorder()
			d.statusHandler().ServeHTTP(w, r)
			if w.Code != tt.want || d.draining.Load() != (tt.want == http.StatusNoContent) {
				t.Errorf("%d, draining %t, want %d", w.Code, d.draining.Load(), tt.want)
			}
		})
	}
}
