package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/internal/testpg"
	"github.com/gibbon-gateway/gibbon/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openStore opens an empty store of its own for a test.
func openStore(t testing.TB) store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gibbon.db")
	if _, err := sqlstore.NewSQLiteMigrator(path, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatalf("bootstrap: %v", err)
	}
	st, err := sqlstore.OpenSQLite(t.Context(), path, sqlstore.Options{})
	return closing(t, st, err)
}

// openPostgres is openStore on PostgreSQL, where there is one.
func openPostgres(t testing.TB) store.Store {
	t.Helper()
	dsn := testpg.New(t)
	if _, err := sqlstore.NewPostgresMigrator(dsn, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatalf("bootstrap: %v", err)
	}
	st, err := sqlstore.OpenPostgres(t.Context(), dsn, sqlstore.Options{})
	return closing(t, st, err)
}

func closing(t testing.TB, st *sqlstore.Store, err error) store.Store {
	t.Helper()
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return st
}

func catalogue(t testing.TB) *schema.Catalogue {
	t.Helper()
	c, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatalf("load the schemas: %v", err)
	}
	return c
}

// newServer returns an Admin API on an empty store; change may adapt its
// configuration.
func newServer(t testing.TB, change func(*admin.Config)) *admin.Server {
	t.Helper()
	return newServerOn(t, openStore(t), change)
}

func newServerOn(t testing.TB, st store.Store, change func(*admin.Config)) *admin.Server {
	t.Helper()
	cfg := admin.Config{
		Store: st, Catalogue: catalogue(t),
		Info: admin.Info{NodeID: "0f5c2f0e-6a52-4b0e-9b3e-2d7f1f1b8a11", Hostname: "gw-1"},
	}
	if change != nil {
		change(&cfg)
	}
	s, err := admin.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

const form = "application/x-www-form-urlencoded"

// call sends one request to a handler. A body without a type is JSON.
func call(t testing.TB, h http.Handler, method, target, contentType, body string) (int, http.Header, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Host = "localhost:8001"
	if contentType == "" && body != "" {
		contentType = "application/json"
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	out, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, target, err)
	}
	return w.Code, w.Header(), string(out)
}

// must is call for a request that has to succeed; it returns the parsed body.
func must(t testing.TB, h http.Handler, status int, method, target, contentType, body string) schema.Document {
	t.Helper()
	code, _, out := call(t, h, method, target, contentType, body)
	if code != status {
		t.Fatalf("%s %s %s: got %d %s, want %d", method, target, body, code, out, status)
	}
	if out == "" {
		return schema.Document{}
	}
	d, err := schema.Parse([]byte(out))
	if err != nil {
		t.Fatalf("%s %s: answered %q: %v", method, target, out, err)
	}
	return d
}

// TestWalkThrough runs the requests with which the README begins.
func TestWalkThrough(t *testing.T) {
	s := newServer(t, nil)
	must(t, s, 201, "POST", "/services", form, "name=ai-proxy&url=http://localhost:32000")
	svc := must(t, s, 200, "GET", "/services/ai-proxy", "", "")
	if host := svc.Get("host").Text(); host != "localhost" {
		t.Errorf("host is %q, want localhost", host)
	}
	must(t, s, 201, "POST", "/services/ai-proxy/routes", form, "name=openai-chat&paths[]=~/openai-chat$")
	route := must(t, s, 200, "GET", "/routes/openai-chat", "", "")
	if id := route.Get("service", "id").Text(); id != svc.Get("id").Text() {
		t.Errorf("the route's service is %q, want %q", id, svc.Get("id").Text())
	}
	must(t, s, 201, "POST", "/routes/openai-chat/plugins", form, "name=ai-proxy"+
		"&config.route_type=llm/v1/chat&config.auth.header_name=Authorization&config.auth.header_value=Bearer NONE"+
		"&config.model.provider=openai&config.model.name=gpt-4-32k&config.model.options.max_tokens=512"+
		"&config.model.options.upstream_url=http://127.0.0.1:9997/v1/chat/completions&config.model.options.temperature=1.0")
	plugin := must(t, s, 200, "GET", "/plugins/ai-proxy", "", "")
	if n := plugin.Get("config", "model", "options", "max_tokens"); n.String() != "512" {
		t.Errorf("max_tokens is %s, want 512", n)
	}
	must(t, s, 201, "POST", "/routes/openai-chat/plugins", form, "name=file-log&config.path=/tmp/log.txt")
	must(t, s, 204, "DELETE", "/plugins/ai-proxy", "", "")
	must(t, s, 204, "DELETE", "/routes/openai-chat", "", "")
	if left := must(t, s, 200, "GET", "/plugins", "", ""); len(left.Get("data").Elements()) != 0 {
		t.Errorf("plugins left after their route: %s", left)
	}
	must(t, s, 204, "DELETE", "/services/ai-proxy", "", "")
}
