package admin_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
)

// TestEveryEndpoint walks testdata/endpoints.txt, which lists every path of the
// Admin API with what it answers. A line is
//
//	/services/{s}/routes   GET POST   200
//
// the path, its methods (HEAD and OPTIONS go without saying) and the status of
// GET; "-" for methods says that the path does not exist, whatever the method.
// "(hybrid)" before a path asks a control plane without a data plane in it,
// "(wasm)" is about what only works with filters, which are off.
func TestEveryEndpoint(t *testing.T) {
	text, err := os.ReadFile("testdata/endpoints.txt")
	if err != nil {
		t.Fatal(err)
	}
	plain := newServer(t, func(cfg *admin.Config) { cfg.LogLevel = discardLog() })
	hybrid := newServer(t, func(cfg *admin.Config) {
		cfg.LogLevel = discardLog()
		cfg.DataPlanes = func() []admin.DataPlane { return nil }
	})
	for _, s := range []*admin.Server{plain, hybrid} {
		c := &tool{t: t, h: s}
		c.apply(parseState(t, wholeFile(), map[string][]string{"gold": {"alice"}}))
		must(t, s, 201, "POST", "/workspaces", "", `{"name":"team"}`)
		must(t, s, 201, "POST", "/oauth2_tokens", "", `{"access_token":"token","expires_in":10,"credential":{"client_id":"alice-app"}}`)
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		s := plain
		if rest, ok := strings.CutPrefix(line, "(hybrid) "); ok {
			s, line = hybrid, rest
		}
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		lines++
		path := fields[0]
		target := fill(t, path)
		t.Run(strings.TrimSpace(line), func(t *testing.T) {
			if fields[1] == "-" {
				for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "NONSENSE"} {
					if code, _, body := call(t, s, method, target, "application/json", "{}"); code != 404 {
						t.Errorf("%s %s: %d %s, want 404", method, target, code, body)
					}
				}
				return
			}
			methods := append(slices.Clone(fields[1:len(fields)-1]), "OPTIONS")
			if slices.Contains(methods, "GET") {
				methods = append(methods, "HEAD")
			}
			slices.Sort(methods)
			for _, at := range []string{target, target + "/", "/team" + target} {
				if at == "/team/" || strings.HasSuffix(at, "//") {
					continue
				}
				code, header, _ := call(t, s, "OPTIONS", at, "", "")
				if allow := strings.Join(methods, ", "); code != 204 || header.Get("Allow") != allow || header.Get("Access-Control-Allow-Methods") != allow {
					t.Errorf("OPTIONS %s: %d, Allow %q, want 204, %q", at, code, header.Get("Allow"), allow)
				}
			}
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "NONSENSE"} {
				if !slices.Contains(methods, method) {
					code, _, body := call(t, s, method, target, "application/json", "{}")
					if code != 405 || body != `{"message":"Method not allowed"}` {
						t.Errorf("%s %s: %d %s, want 405", method, target, code, body)
					}
				}
			}
			want, err := strconv.Atoi(fields[len(fields)-1])
			if err != nil {
				t.Fatalf("no status: %v", err)
			}
			if !slices.Contains(methods, "GET") {
				return
			}
			code, header, body := call(t, s, "GET", target, "", "")
			if code != want {
				t.Errorf("GET %s: %d %s, want %d", target, code, body, want)
			}
			if body != "" && !json.Valid([]byte(body)) {
				t.Errorf("GET %s: %q is no JSON", target, body)
			}
			headCode, headHeader, headBody := call(t, s, "HEAD", target, "", "")
			if headCode != code || headBody != "" || headHeader.Get("Content-Length") != header.Get("Content-Length") && !varies[path] {
				t.Errorf("HEAD %s: %d, %q bytes, GET %d, %q bytes", target, headCode, headHeader.Get("Content-Length"), code, header.Get("Content-Length"))
			}
		})
	}
	if lines < 100 {
		t.Errorf("only %d lines", lines)
	}
}

// endpoints are the paths of the list that exist, with their methods.
func endpoints(t testing.TB) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/endpoints.txt")
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(strings.TrimPrefix(line, "(hybrid) "), "#")
		fields := strings.Fields(line)
		if len(fields) > 2 {
			paths[fields[0]] = fields[1 : len(fields)-1]
		}
	}
	return paths
}

// varies has the paths whose answers differ in length from call to call.
var varies = map[string]bool{"/": true, "/kong": true, "/status": true, "/timers": true}

// fill puts something that exists in the place of each variable.
func fill(t testing.TB, path string) string {
	t.Helper()
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			continue
		}
		value, ok := examples[s]
		if !ok {
			t.Fatalf("%s: nothing to put for %s", path, s)
		}
		segments[i] = value
	}
	return strings.Join(segments, "/")
}

var examples = map[string]string{
	"{s}": "secure", "{r}": "chat", "{p}": "chat-ai", "{c}": "alice", "{u}": "upstream.internal", "{t}": "10.0.0.1:8080",
	"{certificate}": "c0000000-0000-4000-8000-000000000001", "{ca}": "c0000000-0000-4000-8000-000000000002",
	"{sni}": "*.example.com", "{v}": "my-env", "{k}": "key", "{set}": "set", "{g}": "gold", "{w}": "team", "{tag}": "red",
	"{key}": "alice-key", "{basic}": "alice", "{hmac}": "alice", "{jwt}": "alice-jwt", "{client}": "alice-app", "{group}": "admins",
	"{token}": "token", "{keys-plugin}": "keys", "{log-plugin}": "log", "{guard-plugin}": "guard", "{gold-plugin}": "gold-log",
	"{missing}": missingID, "{plugin}": "key-auth", "{entity}": "services", "{vault}": "env", "{level}": "info", "{address}": "10.0.0.1",
	"{partial}": "redis-ce",
}
