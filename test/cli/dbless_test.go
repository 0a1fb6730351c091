//go:build unix

package cli_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// answering is a configuration with one path, where requests without a key are
// refused, so that nothing has to stand behind it.
func answering(path string) string {
	return `_format_version: "3.0"
services:
- name: upstream
  url: http://127.0.0.1:9
  routes:
  - name: route
    paths: [` + path + `]
    plugins:
    - name: key-auth
`
}

// TestWithoutDatabase starts a node with a file, changes its configuration over
// the Admin API and by a reload, and looks at what it serves each time.
func TestWithoutDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kong.yml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(answering("/first"))
	n := gibbon.Run(t)
	n.Settings["KONG_DATABASE"] = "off"
	n.Settings["KONG_DECLARATIVE_CONFIG"] = path
	n.Start()

	// A path with a route asks for a key, one without is not found.
	serves := func(served string, others ...string) {
		t.Helper()
		if got := gibbon.Call(t, http.MethodGet, n.ProxyURL(served), nil); got.Status != http.StatusUnauthorized {
			t.Errorf("%s is not served: %v", served, got)
		}
		for _, other := range others {
			if got := gibbon.Call(t, http.MethodGet, n.ProxyURL(other), nil); got.Status != http.StatusNotFound {
				t.Errorf("%s is served: %v", other, got)
			}
		}
	}
	serves("/first", "/second", "/third")

	// What is answered with 201 is served at once.
	got := gibbon.Call(t, http.MethodPost, n.AdminURL("/config"), gibbon.JSON{"config": answering("/second")})
	if got.Status != http.StatusCreated {
		t.Fatalf("POST /config: %v", got)
	}
	serves("/second", "/first", "/third")
	got = gibbon.Call(t, http.MethodPost, n.AdminURL("/config"), gibbon.JSON{"config": "_format_version: \"3.0\"\nservices:\n- name: a\n"})
	if got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "required field missing") {
		t.Errorf("POST /config of a broken one: %v", got)
	}
	serves("/second", "/first")
	got = gibbon.Call(t, http.MethodPost, n.AdminURL("/services"), gibbon.JSON{"name": "a", "host": "h"})
	if got.Status != http.StatusMethodNotAllowed || !strings.Contains(got.Body, "cannot create 'services' entities when not using a database") {
		t.Errorf("POST /services: %v", got)
	}

	// A reload reads the file; one that is broken changes nothing.
	write(answering("/third"))
	from := n.Log.Len()
	expect(t, "reload", gibbon.Command(t, nil, "reload", "--prefix", n.Prefix), 0, "Gibbon reloaded\n", "")
	n.Log.Wait(t, from, `"msg":"reloaded`)
	gibbon.Eventually(t, "the file to be served", func() error {
		if got := gibbon.Call(t, http.MethodGet, n.ProxyURL("/third"), nil); got.Status != http.StatusUnauthorized {
			return errors.New(got.String())
		}
		return nil
	})
	serves("/third", "/second")
	write("_format_version: \"3.0\"\nservices:\n- name: a\n")
	from = n.Log.Len()
	expect(t, "reload of a broken file", gibbon.Command(t, nil, "reload", "--prefix", n.Prefix), 0, "Gibbon reloaded\n", "")
	n.Log.Wait(t, from, `"level":"error"`, "the configuration stays as it was", "in 'host': required field missing")
	serves("/third")

	// With it a start fails, and says where the mistake is.
	if code := n.Stop(); code != 0 {
		t.Errorf("it ended with exit code %d", code)
	}
	expect(t, "a start with a broken file", gibbon.Command(t, n.Settings, "run", "--prefix", n.Prefix), 1, "",
		"Error: error parsing declarative config file "+path+":\nin 'services':\n  - in entry 1 of 'services':\n    in 'host': required field missing"+hint)

	// What came over the Admin API before is forgotten; a text may stand in the
	// settings themselves.
	delete(n.Settings, "KONG_DECLARATIVE_CONFIG")
	n.Settings["KONG_DECLARATIVE_CONFIG_STRING"] = answering("/first")
	n.Start()
	serves("/first", "/second", "/third")
	if code := n.Stop(); code != 0 {
		t.Errorf("it ended with exit code %d", code)
	}
	// And with neither there is nothing yet, and the node is not ready until
	// something comes.
	delete(n.Settings, "KONG_DECLARATIVE_CONFIG_STRING")
	n.Launch()
	n.WaitStatus("to say that it has no configuration", func(status int, body string) bool {
		return status == http.StatusServiceUnavailable && strings.Contains(body, "no configuration available (empty configuration present)")
	})
	if got := gibbon.Call(t, http.MethodGet, n.AdminURL("/services"), nil); got.Status != http.StatusOK || !strings.Contains(got.Body, `"data":[]`) {
		t.Errorf("GET /services of an empty configuration: %v", got)
	}
	got = gibbon.Call(t, http.MethodPost, n.AdminURL("/config"), gibbon.JSON{"config": answering("/fourth")})
	if got.Status != http.StatusCreated {
		t.Fatalf("POST /config: %v", got)
	}
	n.WaitReady()
	serves("/fourth", "/first")
}
