package upstream

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// TestLimitsOfConnections counts the connections that requests take, and sends
// heads about the limit, with both clients.
func TestLimitsOfConnections(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The head of the answer is this header and less than 200 bytes.
		w.Header().Set("X-Long", strings.Repeat("x", len(r.URL.Path)))
		_, _ = io.WriteString(w, r.RemoteAddr)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	client := New(Config{MaxRequests: 2, HeadSize: 8 << 10})
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	for scheme, server := range map[string]*httptest.Server{"http": plain, "https": secure} {
		t.Run(scheme, func(t *testing.T) {
			do := func(path string) (string, error) {
				res, err := client.Do(t.Context(), &Request{
					Address: netip.MustParseAddrPort(server.Listener.Addr().String()), Scheme: scheme, ServerName: "example.com",
					Method: http.MethodGet, Target: path, Host: "a.example", Header: http.Header{"Connection": {"keep-alive"}},
				})
				if err != nil {
					return "", err
				}
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Error(err)
				}
				if err := res.Body.Close(); err != nil {
					t.Error(err)
				}
				return string(body), nil
			}
			var used [4]string
			for i := range used {
				var err error
				if used[i], err = do("/"); err != nil {
					t.Fatal(err)
				}
			}
			if used[0] != used[1] || used[1] == used[2] || used[2] != used[3] {
				t.Errorf("the connections were %v, want two requests over each", used)
			}
			if _, err := do("/" + strings.Repeat("x", 7<<10)); err != nil {
				t.Errorf("a head within the limit: %v", err)
			}
			if _, err := do("/" + strings.Repeat("x", 16<<10)); err == nil {
				t.Error("a head beyond the limit was taken")
			}
		})
	}
}
