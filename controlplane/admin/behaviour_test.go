package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// TestConcurrentPatches has two clients change different fields of one entity
// again and again; no change may be lost.
func TestConcurrentPatches(t *testing.T) {
	for name, open := range map[string]func(testing.TB) store.Store{"sqlite": openStore, "postgres": openPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			concurrentPatches(t, newServerOn(t, open(t), nil))
		})
	}
}

func concurrentPatches(t *testing.T, s *admin.Server) {
	must(t, s, 201, "POST", "/services", "", `{"name":"s","host":"h"}`)
	const rounds = 20
	var wg sync.WaitGroup
	for _, field := range []string{"port", "retries"} {
		wg.Go(func() {
			for i := 1; i <= rounds; i++ {
				code, _, out := call(t, s, "PATCH", "/services/s", "", fmt.Sprintf(`{"%s":%d}`, field, i))
				if code != 200 {
					t.Errorf("PATCH %s: %d %s", field, code, out)
					return
				}
				d, err := schema.Parse([]byte(out))
				if err != nil || d.Get(field).String() != fmt.Sprint(i) {
					t.Errorf("PATCH %s=%d answered %s", field, i, out)
				}
			}
		})
	}
	wg.Wait()
	got := must(t, s, 200, "GET", "/services/s", "", "")
	if got.Get("port").String() != fmt.Sprint(rounds) || got.Get("retries").String() != fmt.Sprint(rounds) {
		t.Errorf("port is %s and retries is %s, want %d", got.Get("port"), got.Get("retries"), rounds)
	}
}

// TestFormEqualsJSON sends the same entity in three forms.
func TestFormEqualsJSON(t *testing.T) {
	multipart := func(parts ...string) string {
		var b strings.Builder
		for i := 0; i < len(parts); i += 2 {
			fmt.Fprintf(&b, "--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", parts[i], parts[i+1])
		}
		return b.String() + "--b--\r\n"
	}
	for _, tt := range []struct{ name, path, json, form, multipart string }{
		{
			"a service", "/services",
			`{"name":"s","host":"h","port":81,"tags":["a","b"],"enabled":false,"path":null}`,
			"name=s&host=h&port=81&tags[]=a&tags[]=b&enabled=false&path=",
			multipart("name", "s", "host", "h", "port", "81", "tags[1]", "a", "tags[2]", "b", "enabled", "false", "path", ""),
		},
		{
			"a route", "/routes",
			`{"name":"r","paths":["/a b","/ü"],"headers":{"x-a":["1","2"],"x-b":["3"]},"strip_path":false,"protocols":["http"]}`,
			"name=r&paths=/a%20b&paths=/%C3%BC&headers.x-a[]=1&headers.x-a[]=2&headers.x-b=3&strip_path=false&protocols=http",
			multipart("name", "r", "paths[]", "/a b", "paths[]", "/ü", "headers.x-a[]", "1", "headers.x-a[]", "2", "headers.x-b", "3", "strip_path", "false", "protocols[]", "http"),
		},
		{
			"a plugin, its name behind its configuration", "/plugins",
			`{"name":"key-auth","config":{"key_names":["a","b"],"key_in_body":true}}`,
			"config.key_names=a&config.key_names=b&config.key_in_body=true&name=key-auth",
			multipart("config.key_names[]", "a", "config.key_names[]", "b", "config.key_in_body", "true", "name", "key-auth"),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want string
			for _, send := range []struct{ contentType, body string }{
				{"application/json", tt.json},
				{form, tt.form},
				{"multipart/form-data; boundary=b", tt.multipart},
			} {
				s := newServer(t, nil)
				got := must(t, s, 201, "POST", tt.path, send.contentType, send.body).
					Without("id").Without("created_at").Without("updated_at").String()
				if want == "" {
					want = got
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-JSON +form):\n%s", send.contentType, diff)
				}
			}
		})
	}
}

// brokenStore is a store whose database is away, or which panics.
type brokenStore struct {
	store.Store
	panics bool
}

var errAway = fmt.Errorf("%w: connection refused to pg_password=secret", store.ErrUnavailable)

func (b brokenStore) View(context.Context, func(store.Reader) error) error {
	if b.panics {
		panic("the store broke")
	}
	return errAway
}

func (b brokenStore) Update(context.Context, string, func(store.Tx) error) (store.Version, error) {
	return store.Version{}, errAway
}

func (b brokenStore) Ping(context.Context) error { return errAway }

// TestDatabaseAway asks for a plain 503 on everything that needs the database,
// and for answers from what does not.
func TestDatabaseAway(t *testing.T) {
	s := newServer(t, func(cfg *admin.Config) { cfg.Store = brokenStore{Store: cfg.Store} })
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/services", ""},
		{"GET", "/services/x", ""},
		{"GET", "/tags", ""},
		{"POST", "/services", `{"host":"h"}`},
		{"PUT", "/services/x", `{"host":"h"}`},
		{"PATCH", "/services/x", `{"host":"h"}`},
		{"DELETE", "/services/x", ""},
	} {
		code, h, out := call(t, s, c.method, c.path, "", c.body)
		if want := `{"message":"Service unavailable: the database cannot be reached"}`; code != 503 || out != want || h.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s, Retry-After %q", c.method, c.path, code, out, h.Get("Retry-After"))
		}
	}
	status := must(t, s, 200, "GET", "/status", "", "")
	if up, ok := status.Get("database", "reachable").Truth(); up || !ok {
		t.Errorf("GET /status says %s", status.Get("database"))
	}
	must(t, s, 200, "GET", "/", "", "")
	must(t, s, 200, "GET", "/schemas/services", "", "")
	must(t, s, 200, "POST", "/schemas/services/validate", "", `{"host":"h"}`)
}

// TestPanicCostsOneRequest asks for a plain 500, and for the next answer.
func TestPanicCostsOneRequest(t *testing.T) {
	var log strings.Builder
	s := newServer(t, func(cfg *admin.Config) {
		cfg.Store = brokenStore{Store: cfg.Store, panics: true}
		cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	for range 2 {
		code, _, out := call(t, s, "GET", "/services", "", "")
		if want := `{"message":"An unexpected error occurred"}`; code != 500 || out != want {
			t.Errorf("got %d %s, want 500 %s", code, out, want)
		}
	}
	if !strings.Contains(log.String(), "the store broke") {
		t.Errorf("the log does not say why: %s", log.String())
	}
}

// TestDrain refuses writes, and no reads.
func TestDrain(t *testing.T) {
	s := newServer(t, nil)
	must(t, s, 201, "POST", "/services", "", `{"name":"s","host":"h"}`)
	s.Drain()
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/services", `{"host":"h"}`},
		{"PUT", "/services/x", `{"host":"h"}`},
		{"PATCH", "/services/s", `{"host":"x"}`},
		{"DELETE", "/services/s", ""},
	} {
		code, h, out := call(t, s, c.method, c.path, "", c.body)
		if code != 503 || h.Get("Retry-After") == "" || !strings.Contains(out, "shutting down") {
			t.Errorf("%s %s: %d %s", c.method, c.path, code, out)
		}
	}
	must(t, s, 200, "GET", "/services/s", "", "")
	must(t, s, 200, "POST", "/schemas/services/validate", "", `{"host":"h"}`)
}

// TestLive asks that a write is live before it is answered, and that an answer
// does not wait for ever.
func TestLive(t *testing.T) {
	var versions []uint64
	s := newServer(t, func(cfg *admin.Config) {
		cfg.Live = func(ctx context.Context, v store.Version) {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("nobody bounds the wait")
			}
			versions = append(versions, v.Number)
		}
	})
	must(t, s, 201, "POST", "/services", "", `{"name":"s","host":"h"}`)
	must(t, s, 200, "PATCH", "/services/s", "", `{"port":1}`)
	must(t, s, 400, "PATCH", "/services/s", "", `{"port":-1}`)
	must(t, s, 200, "GET", "/services/s", "", "")
	must(t, s, 204, "DELETE", "/services/s", "", "")
	if diff := cmp.Diff([]uint64{1, 2, 3}, versions); diff != "" {
		t.Errorf("versions that were waited for (-want +got):\n%s", diff)
	}
}

// TestOutputIsInput sends back what was read, as Kong Manager's switches (PATCH)
// and decK (PUT) do; nothing but updated_at may change.
func TestOutputIsInput(t *testing.T) {
	s := newServer(t, nil)
	for _, e := range []struct{ path, ref, body string }{
		{"/services", "s", `{"name":"s","url":"https://example.com/x","tags":["a"]}`},
		{"/services/s/routes", "r", `{"name":"r","paths":["/r"],"headers":{"x":["1"]}}`},
		{"/consumers", "bob", `{"username":"bob"}`},
		{"/consumers/bob/key-auth", "k", `{"key":"k","ttl":1000000}`},
		{"/routes/r/plugins", "mine", `{"name":"key-auth","instance_name":"mine"}`},
		{"/plugins", "ai", `{"name":"ai-proxy","instance_name":"ai","config":{"route_type":"llm/v1/chat",` +
			`"auth":{"header_name":"Authorization","header_value":"Bearer x"},"model":{"provider":"openai","name":"m"}}}`},
	} {
		created := must(t, s, 201, "POST", e.path, "", e.body)
		byID := e.path + "/" + created.Get("id").Text()
		for _, c := range []struct{ method, path string }{{"PATCH", e.path + "/" + e.ref}, {"PUT", byID}} {
			sent := must(t, s, 200, "GET", byID, "", "")
			got := must(t, s, 200, c.method, c.path, "", sent.String())
			for _, d := range []*schema.Document{&sent, &got} {
				// A second may pass between the two.
				*d = d.Without("updated_at").Without("ttl")
			}
			if diff := cmp.Diff(sent.String(), got.String()); diff != "" {
				t.Errorf("%s %s changed (-sent +got):\n%s", c.method, c.path, diff)
			}
		}
	}
}

// TestPagesHoldEachEntityOnce walks a collection while it grows.
func TestPagesHoldEachEntityOnce(t *testing.T) {
	s := newServer(t, nil)
	for i := range 10 {
		must(t, s, 201, "POST", "/consumers", "", fmt.Sprintf(`{"username":"u%d"}`, i))
	}
	seen := map[string]int{}
	next := "/consumers?size=3"
	for pages := 0; next != ""; pages++ {
		if pages > 20 {
			t.Fatal("the list does not end")
		}
		page := must(t, s, 200, "GET", next, "", "")
		for _, e := range page.Get("data").Elements() {
			seen[e.Get("username").Text()]++
		}
		next = page.Get("next").Text()
		if (next == "") != page.Get("offset").IsAbsent() {
			t.Errorf("next is %q, but offset is %s", next, page.Get("offset"))
		}
		must(t, s, 201, "POST", "/consumers", "", fmt.Sprintf(`{"username":"new%d"}`, pages))
	}
	for i := range 10 {
		if n := seen[fmt.Sprintf("u%d", i)]; n != 1 {
			t.Errorf("u%d was listed %d times", i, n)
		}
	}
}

// TestEndpoints looks for paths of each sort, and that all are served.
func TestEndpoints(t *testing.T) {
	s := newServer(t, nil)
	paths := must(t, s, 200, "GET", "/endpoints", "", "").Get("data").Elements()
	found := map[string]bool{}
	for _, p := range paths {
		found[p.Text()] = true
		if code, _, _ := call(t, s, "OPTIONS", strings.NewReplacer("{", "", "}", "").Replace(p.Text()), "", ""); code != 204 {
			t.Errorf("OPTIONS %s: %d", p.Text(), code)
		}
	}
	for _, want := range []string{
		"/", "/status", "/services", "/services/{services}", "/services/{services}/routes/{routes}",
		"/routes/{routes}/service", "/consumers/{consumers}/key-auth/{keyauth_credentials}", "/key-auths",
		"/schemas/{kind}/validate", "/schemas/plugins/validate", "/tags/{tag}",
	} {
		if !found[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

// TestSchemas compares what the endpoints say with what the engine says.
func TestSchemas(t *testing.T) {
	s := newServer(t, nil)
	c := catalogue(t)
	enabled := must(t, s, 200, "GET", "/plugins/enabled", "", "").Get("enabled_plugins").Elements()
	if len(enabled) != len(c.Plugins()) {
		t.Errorf("%d plugins enabled, want %d", len(enabled), len(c.Plugins()))
	}
	for _, p := range c.Plugins() {
		if got := must(t, s, 200, "GET", "/schemas/plugins/"+p.Kind(), "", ""); !schema.Equal(got, p.Describe()) {
			t.Errorf("schema of plugin %s differs", p.Kind())
		}
		if got := must(t, s, 200, "GET", "/plugins/schema/"+p.Kind(), "", ""); !schema.Equal(got, p.DescribeConfig()) {
			t.Errorf("configuration schema of plugin %s differs", p.Kind())
		}
	}
	for _, e := range c.Entities() {
		if got := must(t, s, 200, "GET", "/schemas/"+e.Kind(), "", ""); !schema.Equal(got, e.Describe()) {
			t.Errorf("schema of %s differs", e.Kind())
		}
	}
}

// TestInfo pins the members of GET / that clients read.
func TestInfo(t *testing.T) {
	s := newServer(t, func(cfg *admin.Config) {
		cfg.Configuration = func() map[string]any { return map[string]any{"database": "sqlite", "pg_port": 5432} }
	})
	must(t, s, 201, "POST", "/plugins", "", `{"name":"key-auth"}`)
	for range 2 { // the second time from memory
		got := must(t, s, 200, "GET", "/", "", "")
		for path, want := range map[string]string{
			"version": `"3.8.1"`, "edition": `"community"`, "tagline": `"Welcome to kong"`, "hostname": `"gw-1"`,
			"node_id": `"0f5c2f0e-6a52-4b0e-9b3e-2d7f1f1b8a11"`, "timers": `{"pending":0,"running":0}`,
			"plugins.enabled_in_cluster":                   `["key-auth"]`,
			"plugins.available_on_server.ai-proxy.version": `"3.8.1"`,
			"configuration.database":                       `"sqlite"`, "configuration.pg_port": "5432",
			"configuration.loaded_plugins.ai-proxy": "true", "configuration.rbac": `"off"`, "configuration.portal": "false",
		} {
			if value := got.Get(strings.Split(path, ".")...).String(); value != want {
				t.Errorf("%s is %s, want %s", path, value, want)
			}
		}
	}
	must(t, s, 201, "POST", "/plugins", "", `{"name":"file-log","config":{"path":"/tmp/x"}}`)
	if got := must(t, s, 200, "GET", "/", "", "").Get("plugins", "enabled_in_cluster").String(); got != `["file-log","key-auth"]` {
		t.Errorf("after a change the plugins in use are %s", got)
	}
}

// TestLongBodies sends more than the limit without saying so, and just less.
func TestLongBodies(t *testing.T) {
	address := serve(t, newServer(t, nil))
	small := serve(t, newServer(t, func(c *admin.Config) { c.MaxBody = 1000 }))
	unbounded := serve(t, newServer(t, func(c *admin.Config) { c.MaxBody = -1 }))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, tt := range []struct {
		address    string
		size, want int
	}{
		{address, 10<<20 + 1, 413}, {address, 10 << 20, 400},
		{small, 1001, 413}, {small, 1000, 400},
		{unbounded, 10<<20 + 1, 400},
	} {
		address := tt.address
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/services",
			io.LimitReader(zeros{}, int64(tt.size)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		res, err := client.Do(r)
		if err != nil {
			t.Fatalf("%d bytes: %v", tt.size, err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Errorf("%d bytes: %v", tt.size, err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if res.StatusCode != tt.want {
			t.Errorf("%d bytes: %d, want %d", tt.size, res.StatusCode, tt.want)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// TestTooManyArguments pins both limits of a thousand.
func TestTooManyArguments(t *testing.T) {
	s := newServer(t, nil)
	many := strings.Repeat("a=1&", 1001)
	for name, got := range map[string]func() (int, http.Header, string){
		"query": func() (int, http.Header, string) { return call(t, s, "GET", "/services?"+many, "", "") },
		"form":  func() (int, http.Header, string) { return call(t, s, "POST", "/services", form, many) },
	} {
		code, _, out := got()
		if want := `{"message":"Too many arguments"}`; code != 400 || out != want {
			t.Errorf("%s: %d %s, want 400 %s", name, code, out, want)
		}
	}
	if code, _, out := call(t, s, "GET", "/services?"+strings.Repeat("a=1&", 1000), "", ""); code != 200 {
		t.Errorf("a thousand arguments: %d %s", code, out)
	}
}

// TestNothingSecretInTheLog looks for bodies, keys and causes where they must
// not be.
func TestNothingSecretInTheLog(t *testing.T) {
	var log strings.Builder
	s := newServer(t, func(cfg *admin.Config) { cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	must(t, s, 201, "POST", "/consumers", "", `{"username":"bob"}`)
	must(t, s, 201, "POST", "/consumers/bob/key-auth", "", `{"key":"hunter2"}`)
	must(t, s, 200, "GET", "/key-auths/hunter2", "", "")
	must(t, s, 409, "POST", "/consumers/bob/key-auth", "", `{"key":"hunter2"}`)
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("a key is in the log:\n%s", log.String())
	}
	for _, want := range []string{"level=INFO", "path=/key-auths/{keyauth_credentials}", "status=409"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}

// TestDeprecatedFields warns of those that a body sets, and says nothing of
// those that were set before.
func TestDeprecatedFields(t *testing.T) {
	var log strings.Builder
	s := newServer(t, func(cfg *admin.Config) { cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, tt := range []struct {
		code         int
		method, path string
		body         string
		warnings     int
	}{
		{201, "POST", "/plugins", `{"name":"ai-proxy","config":{"route_type":"llm/v1/chat","model":{"provider":"openai","options":{"upstream_path":"/secret-path"}}}}`, 1},
		{200, "PATCH", "/plugins/ai-proxy", `{"enabled":false}`, 0},
		{200, "PATCH", "/plugins/ai-proxy", `{"config":{"model":{"options":{"upstream_path":"/other"}}}}`, 1},
	} {
		log.Reset()
		must(t, s, tt.code, tt.method, tt.path, "", tt.body)
		if n := strings.Count(log.String(), "upstream_path is deprecated"); n != tt.warnings || strings.Contains(log.String(), "secret-path") {
			t.Errorf("%s %s %s: %d warnings, want %d:\n%s", tt.method, tt.path, tt.body, n, tt.warnings, log.String())
		}
	}
}

// TestErrorUnwraps keeps the cause for those inside, and from those outside.
func TestErrorUnwraps(t *testing.T) {
	e := &admin.Error{Status: 500, Message: "An unexpected error occurred"}
	if errors.Unwrap(e) != nil || e.Error() != "An unexpected error occurred" {
		t.Errorf("got %v, %q", errors.Unwrap(e), e.Error())
	}
}
