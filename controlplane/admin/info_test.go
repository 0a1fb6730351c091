package admin_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// TestInfoIsKongs compares GET / with an example of Kong's form, key by key and
// type by type: what is in the example must be in the answer, as the same kind of
// JSON. Gibbon may show more.
func TestInfoIsKongs(t *testing.T) {
	set, _, err := settings.Load(settings.Source{Command: "run", Prefix: "/var/lib/gibbon", SearchPaths: []string{}, Flags: map[string]string{
		"database": "postgres", "pg_password": "hunter2",
		"proxy_listen":  "0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384",
		"admin_listen":  "127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384",
		"status_listen": "127.0.0.1:8007 reuseport backlog=16384",
		"admin_tokens":  "ann:full:hunter2hunter2hunter2",
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(cfg *admin.Config) { cfg.Configuration, cfg.LogLevel = set.Public, discardLog() })
	must(t, s, 201, "POST", "/plugins", "", `{"name":"key-auth"}`)
	got := decode(t, must(t, s, 200, "GET", "/", "", "").String())
	want := example(t, "info.json")
	// Material that this machine would have to have: its type is tested where the
	// settings are.
	configuration := want["configuration"].(map[string]any)
	delete(configuration, "ssl_cert")
	delete(configuration, "ssl_cert_key")
	compareTypes(t, "", want, got)
	// The values that clients act on are compared too.
	shown := got["configuration"].(map[string]any)
	for _, key := range []string{"database", "role", "router_flavor", "log_level", "proxy_listen", "proxy_listeners", "admin_listen", "admin_listeners",
		"admin_gui_listen", "admin_gui_listeners", "status_listeners", "stream_listen", "cluster_listeners", "pg_password", "pg_port", "pg_ssl", "rbac",
		"portal", "wasm", "anonymous_reports", "loaded_vaults", "enabled_headers_upstream", "prefix", "plugins", "cluster_rpc"} {
		if a, b := text(t, configuration[key]), text(t, shown[key]); a != b {
			t.Errorf("configuration.%s is %s, want %s", key, b, a)
		}
	}
	if shown["admin_tokens"] != "******" {
		t.Errorf("configuration.admin_tokens is %v", shown["admin_tokens"])
	}
	if again := decode(t, must(t, s, 200, "GET", "/kong", "", "").String()); text(t, again) != text(t, got) {
		t.Errorf("GET /kong differs from GET /")
	}
}

// TestStatusIsKongs does the same for GET /status.
func TestStatusIsKongs(t *testing.T) {
	s := newServer(t, nil)
	compareTypes(t, "", example(t, "status.json"), decode(t, must(t, s, 200, "GET", "/status", "", "").String()))
	bytes := decode(t, must(t, s, 200, "GET", "/status?unit=b", "", "").String())
	size := bytes["memory"].(map[string]any)["lua_shared_dicts"].(map[string]any)["kong_db_cache"].(map[string]any)["capacity"]
	if _, ok := size.(float64); !ok {
		t.Errorf("a size in bytes is %v", size)
	}
}

func example(t *testing.T, name string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, string(b))
}

func decode(t *testing.T, s string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(s), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b); s != "{}" {
		return s
	}
	return "[]" // Kong writes empty lists like that
}

// compareTypes asks that got has all that want has. Of lists the first elements
// are compared.
func compareTypes(t *testing.T, path string, want, got any) {
	t.Helper()
	if w, ok := want.(map[string]any); ok && len(w) > 0 {
		g, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, want an object", path, got)
		}
		for key, value := range w {
			member, there := g[key]
			if !there {
				t.Errorf("%s.%s is missing", path, key)
				continue
			}
			compareTypes(t, path+"."+key, value, member)
		}
		return
	}
	if w, ok := want.([]any); ok && len(w) > 0 {
		if g, ok := got.([]any); ok && len(g) > 0 {
			compareTypes(t, path+"[0]", w[0], g[0])
			return
		}
	}
	if a, b := kindOf(want), kindOf(got); a != b {
		t.Errorf("%s is %v, of type %s, want %s", path, got, b, a)
	}
}

// kindOf is the type of a JSON value, where an empty object is an empty list.
func kindOf(v any) string {
	switch v := v.(type) {
	case []any:
		return "list"
	case map[string]any:
		if len(v) == 0 {
			return "list"
		}
		return "object"
	default:
		return fmt.Sprintf("%T", v)
	}
}
