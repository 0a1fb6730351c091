//go:build unix

// Package hybrid_test runs a control plane and data planes as processes of their
// own and takes away what they stand on: the control plane, the database, the
// cache, the certificate.
package hybrid_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gibbon-gateway/gibbon/internal/testenv"
	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

func TestMain(m *testing.M) { gibbon.Main(m) }

// apiKey is that of the one consumer.
const apiKey = "alices-key"

// certificate makes a pair that nodes can share and returns the settings that
// name it.
func certificate(t *testing.T) map[string]string {
	t.Helper()
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "cluster.crt"), filepath.Join(folder, "cluster.key")
	if r := gibbon.Command(t, nil, "hybrid", "gen_cert", cert, key); r.Code != 0 {
		t.Fatalf("gibbon hybrid gen_cert: %d %s", r.Code, r.ErrOut)
	}
	return map[string]string{"KONG_CLUSTER_CERT": cert, "KONG_CLUSTER_CERT_KEY": key}
}

func give(n *gibbon.Node, settings map[string]string) {
	for name, value := range settings {
		n.Settings[name] = value
	}
}

// postgres are the settings for a server's database.
func postgres(t *testing.T, server *testenv.Postgres) map[string]string {
	t.Helper()
	u, err := url.Parse(server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"KONG_DATABASE": "postgres", "KONG_PG_HOST": u.Hostname(), "KONG_PG_PORT": u.Port(),
		"KONG_PG_USER": u.User.Username(), "KONG_PG_DATABASE": u.Path[1:],
	}
}

// bootstrap prepares a control plane's database.
func bootstrap(t *testing.T, n *gibbon.Node) {
	t.Helper()
	if r := gibbon.Command(t, n.Settings, "migrations", "bootstrap", "--prefix", n.Prefix); r.Code != 0 {
		t.Fatalf("gibbon migrations bootstrap: %d %s%s", r.Code, r.Out, r.ErrOut)
	}
}

// configured is the version of the configuration after configure: each write makes
// one, and none is left out.
const configured = 6

// configure sets up a chat with a model for whoever has the key.
func configure(control, echo *gibbon.Node) {
	control.Create("/services", gibbon.JSON{"name": "ai", "url": "http://localhost:32000"})
	control.Create("/services/ai/routes", gibbon.JSON{"name": "chat", "paths": []string{"/chat"}})
	control.Create("/routes/chat/plugins", gibbon.Model("http://"+echo.Echo+"/v1/chat/completions"))
	control.Create("/routes/chat/plugins", gibbon.JSON{"name": "key-auth"})
	control.Create("/consumers", gibbon.JSON{"username": "alice"})
	control.Create("/consumers/alice/key-auth", gibbon.JSON{"key": apiKey})
}

// fleetNode is a data plane as the control plane shows it.
type fleetNode struct {
	ID            string `json:"id"`
	Connected     bool   `json:"connected"`
	ConfigVersion uint64 `json:"config_version"`
	ConfigHash    string `json:"config_hash"`
	SyncStatus    string `json:"sync_status"`
	ConfigError   string `json:"config_error"`
}

func fleet(t *testing.T, control *gibbon.Node) []fleetNode {
	t.Helper()
	var list struct{ Data []fleetNode }
	answer := gibbon.Call(t, http.MethodGet, control.AdminURL("/clustering/data-planes"), nil)
	if answer.Status != http.StatusOK {
		t.Fatalf("GET /clustering/data-planes: %s", answer)
	}
	answer.Decode(t, &list)
	return list.Data
}

// position is the newest version that the control plane published.
func position(t *testing.T, control *gibbon.Node) (version uint64) {
	t.Helper()
	var status struct {
		Version uint64 `json:"config_version"`
	}
	gibbon.Call(t, http.MethodGet, "http://"+control.Status+"/status", nil).Decode(t, &status)
	return status.Version
}

// inStep waits until the control plane has published a version, and so many data
// planes are connected and serve it.
func inStep(t *testing.T, control *gibbon.Node, nodes int, version uint64) {
	t.Helper()
	gibbon.Eventually(t, fmt.Sprintf("%d connected data planes with version %d", nodes, version), func() error {
		published := position(t, control)
		list := slices.DeleteFunc(fleet(t, control), func(n fleetNode) bool {
			return !n.Connected || n.ConfigVersion != version || n.SyncStatus != "normal" || n.ConfigError != ""
		})
		if published != version || len(list) != nodes {
			return fmt.Errorf("version %d, in step are %+v", published, list)
		}
		return nil
	})
}

// rising fails the test unless each version is above the one before it.
func rising(t *testing.T, whose string, versions []uint64) {
	t.Helper()
	for i := 1; i < len(versions); i++ {
		if versions[i] <= versions[i-1] {
			t.Errorf("%s applied the versions %d, which do not strictly rise", whose, versions)
			return
		}
	}
}

// serves fails the test unless a data plane answers a chat.
func serves(t *testing.T, n *gibbon.Node) {
	t.Helper()
	answer := gibbon.Call(t, http.MethodPost, n.ProxyURL("/chat"), gibbon.Chat("Hello!"), "apikey: "+apiKey)
	if answer.Status != http.StatusOK {
		t.Errorf("chat through %s: %s", n.Name, answer)
	}
}
