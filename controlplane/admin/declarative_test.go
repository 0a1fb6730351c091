package admin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// file is a configuration with an id and times, so that answers are known.
const file = `_format_version: "3.0"
services:
- id: 7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1
  name: shop
  host: shop.test
  created_at: 1700000000
  updated_at: 1700000000
`

// newFileServer is an Admin API of a node without a database, on that file.
func newFileServer(t *testing.T) *admin.Server {
	t.Helper()
	st := openStore(t)
	loader := declarative.NewLoader(st, catalogue(t))
	if _, err := loader.Load(t.Context(), "test", []byte(file), false); err != nil {
		t.Fatal(err)
	}
	return newServerOn(t, st, func(cfg *admin.Config) { cfg.Declarative = loader })
}

func TestConfigNeedsNoDatabase(t *testing.T) {
	s := newServer(t, nil)
	const want = `{"message":"this endpoint is only available when Kong is configured to not use a database"}`
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		body := ""
		if method == http.MethodPost {
			body = `{"_format_version":"3.0"}`
		}
		if code, _, got := call(t, s, method, "/config", "", body); code != http.StatusBadRequest || got != want {
			t.Errorf("%s /config with a database: %d %s", method, code, got)
		}
	}
}

// TestWithoutDatabase wants single entities to be read, and every change of one
// to be refused in Kong's words.
func TestWithoutDatabase(t *testing.T) {
	s := newFileServer(t)
	refused := func(what string) string {
		return `{"code":12,"name":"operation unsupported","message":"cannot ` + what + ` when not using a database"}`
	}
	const id = "/services/7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1"
	for _, tt := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{http.MethodPost, "/services", `{"name":"a","host":"h"}`, 405, refused(`create 'services' entities`)},
		{http.MethodPost, "/services", `{"name":"shop","host":"h"}`, 405, refused(`create 'services' entities`)},
		{http.MethodPost, "/services", `{"name":"a"}`, 400, `{"code":2,"name":"schema violation","message":"schema violation (host: required field missing)","fields":{"host":"required field missing"}}`},
		{http.MethodPost, "/services/shop/routes", `{"paths":["/"]}`, 405, refused(`create 'routes' entities`)},
		{http.MethodPut, "/services/shop", `{"host":"h"}`, 405, refused(`create or update 'services' entities by 'name'`)},
		{http.MethodPut, "/services/new", `{"host":"h"}`, 405, refused(`create or update 'services' entities by 'name'`)},
		{http.MethodPut, id, `{"host":"h"}`, 405, refused(`create or update 'services' entities`)},
		{http.MethodPatch, "/services/shop", `{"host":"h"}`, 405, refused(`update 'services' entities by 'name'`)},
		{http.MethodPatch, id, `{"host":"h"}`, 405, refused(`update 'services' entities`)},
		{http.MethodPatch, "/services/none", `{"host":"h"}`, 404, `{"code":6,"name":"not found","message":"could not find the entity with '{name=\"none\"}'","fields":{"name":"none"}}`},
		{http.MethodDelete, "/services/shop", "", 405, refused(`remove 'services' entities by 'name'`)},
		{http.MethodDelete, id, "", 405, refused(`remove 'services' entities`)},
		{http.MethodDelete, "/services/none", "", 204, ""},
		{http.MethodPost, "/workspaces", `{"name":"w"}`, 405, refused(`create 'workspaces' entities`)},
		{http.MethodPut, "/workspaces/w", `{}`, 405, refused(`create or update 'workspaces' entities by 'name'`)},
	} {
		code, _, got := call(t, s, tt.method, tt.path, "", tt.body)
		if code != tt.code || got != tt.want {
			t.Errorf("%s %s %s: %d %s, want %d %s", tt.method, tt.path, tt.body, code, got, tt.code, tt.want)
		}
	}
	if code, _, body := call(t, s, http.MethodGet, "/services/shop", "", ""); code != http.StatusOK || !strings.Contains(body, `"host":"shop.test"`) {
		t.Errorf("the service after all that: %d %s", code, body)
	}
	shown := jsonOf(t, s, http.MethodGet, "/status", "")
	if !shown.Get("database").IsAbsent() {
		t.Errorf("GET /status without a database: %s", shown)
	}
}

// jsonOf is the JSON object that a call answers.
func jsonOf(t *testing.T, s http.Handler, method, path, body string) schema.Document {
	t.Helper()
	_, _, text := call(t, s, method, path, "", body)
	doc, err := schema.ParseObject([]byte(text))
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, text)
	}
	return doc
}

func multipartBody(name, value string) (contentType, body string) {
	return "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"" + name +
		"\"; filename=\"kong.yml\"\r\nContent-Type: application/octet-stream\r\n\r\n" + value + "\r\n--b--\r\n"
}

// TestLoadConfig loads the same configuration in every way that Kong takes.
func TestLoadConfig(t *testing.T) {
	next := strings.ReplaceAll(file, "shop", "next")
	asJSON := `{"_format_version":"3.0","services":[{"id":"7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1","name":"next","host":"next.test","created_at":1700000000,"updated_at":1700000000}]}`
	parts, part := multipartBody("config", next)
	for _, tt := range []struct{ name, contentType, body string }{
		{"the object itself", "", asJSON},
		{"the object itself, with arguments", "", strings.Replace(asJSON, "{", `{"check_hash":1,"flatten_errors":true,`, 1)},
		{"a field of JSON", "", `{"config":` + schema.String(next).String() + `}`},
		{"a field of JSON that is JSON", "", `{"config":` + schema.String(asJSON).String() + `}`},
		{"a form", form, url.Values{"config": {next}}.Encode()},
		{"a file in a form", parts, part},
		{"YAML", "text/yaml", next},
		{"YAML by its newer name", "application/yaml; charset=utf-8", next},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFileServer(t)
			code, _, body := call(t, s, http.MethodPost, "/config", tt.contentType, tt.body)
			if code != http.StatusCreated {
				t.Fatalf("POST /config: %d %s", code, body)
			}
			all, err := schema.ParseObject([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			const want = `{"7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1":{"id":"7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1",` +
				`"created_at":1700000000,"updated_at":1700000000,"name":"next","retries":5,"protocol":"http","host":"next.test","port":80,"path":null,` +
				`"connect_timeout":60000,"write_timeout":60000,"read_timeout":60000,"tags":null,"client_certificate":null,` +
				`"tls_verify":null,"tls_verify_depth":null,"ca_certificates":null,"enabled":true}}`
			if diff := cmp.Diff(want, all.Get("services").String()); diff != "" {
				t.Errorf("the services in the answer (-want +got):\n%s", diff)
			}
			if code, _, _ := call(t, s, http.MethodGet, "/services/shop", "", ""); code != http.StatusNotFound {
				t.Errorf("the old service is still there: %d", code)
			}
			shown := jsonOf(t, s, http.MethodGet, "/config", "").Get("config").Text()
			if !strings.HasPrefix(shown, "_format_version: \"3.0\"\n_transform: false\nservices:\n- id: 7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1\n") ||
				!strings.Contains(shown, "\n  name: next\n") {
				t.Errorf("GET /config says\n%s", shown)
			}
			// What is shown can be loaded, and is the same then.
			if code, _, body := call(t, s, http.MethodPost, "/config", "text/yaml", shown); code != http.StatusCreated {
				t.Errorf("POST /config of GET /config: %d %s", code, body)
			}
			if again := jsonOf(t, s, http.MethodGet, "/config", "").Get("config").Text(); again != shown {
				t.Errorf("GET /config after that (-before +after):\n%s", cmp.Diff(shown, again))
			}
		})
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	s := newFileServer(t)
	const broken = `{"_format_version":"3.0","services":[{"name":"a","host":"h"},{"name":"b","tags":["t"]}]}`
	const message = `{"code":14,"name":"invalid declarative configuration","message":"declarative config is invalid: {services={null,{host=\"required field missing\"}}}",`
	const plainAnswer = message + `"fields":{"services":[null,{"host":"required field missing"}]}}`
	const flatAnswer = message + `"fields":{},"flattened_errors":[{"entity":{"name":"b","tags":["t"]},"entity_name":"b","entity_tags":["t"],"entity_type":"service",` +
		`"errors":[{"field":"host","message":"required field missing","type":"field"}]}]}`
	const nothing = `{"message":"expected a declarative configuration"}`
	parts, part := multipartBody("other", "x")
	for _, tt := range []struct {
		name, query, contentType, body string
		code                           int
		want                           string
	}{
		{"an invalid one", "", "", broken, 400, plainAnswer},
		{"an invalid one, flat", "?flatten_errors=1", "", broken, 400, flatAnswer},
		{"flat by another word", "?flatten_errors=on", "", broken, 400, flatAnswer},
		{"not flat", "?flatten_errors=0", "", broken, 400, plainAnswer},
		{"flat by the body", "", form, url.Values{"config": {broken}, "flatten_errors": {"yes"}}.Encode(), 400, flatAnswer},
		{"nothing", "", "", "", 400, nothing},
		{"an empty object", "", "", "{}", 400, nothing},
		{"an empty field", "", form, "config=", 400, nothing},
		{"an empty YAML", "", "text/yaml", "", 400, nothing},
		{"another part", "", parts, part, 400, nothing},
		{"a text that is none", "", "text/yaml", "- a", 400,
			`{"code":14,"name":"invalid declarative configuration","message":"declarative config is invalid: {error=\"failed parsing declarative configuration: expected an object\"}","fields":{"error":"failed parsing declarative configuration: expected an object"}}`},
		{"no JSON", "", "", "{", 400, `{"message":"Cannot parse JSON body"}`},
		{"another type", "", "text/plain", file, 415, ""},
	} {
		code, _, got := call(t, s, http.MethodPost, "/config"+tt.query, tt.contentType, tt.body)
		if code != tt.code || got != tt.want {
			t.Errorf("%s: %d %s, want %d %s", tt.name, code, got, tt.code, tt.want)
		}
	}
	if code, _, _ := call(t, s, http.MethodPost, "/services", "text/yaml", "name: a"); code != http.StatusUnsupportedMediaType {
		t.Errorf("YAML on another path: %d", code)
	}
	if code, _, _ := call(t, s, http.MethodGet, "/services/shop", "", ""); code != http.StatusOK {
		t.Errorf("the service after all that: %d", code)
	}
}

func TestLoadConfigChecksHash(t *testing.T) {
	s := newFileServer(t)
	load := func(query, text string, want int) {
		t.Helper()
		code, header, body := call(t, s, http.MethodPost, "/config"+query, "text/yaml", text)
		if code != want || want == http.StatusNotModified && (body != "" || header.Get("Content-Type") != "") {
			t.Errorf("POST /config%s: %d %q, want %d", query, code, body, want)
		}
	}
	load("?check_hash=1", file, http.StatusNotModified) // what the node began with
	load("?check_hash=true", file, http.StatusCreated)
	load("", file, http.StatusCreated)
	load("?check_hash=1", file+"# more\n", http.StatusCreated)
	load("?check_hash=1", file+"# more\n", http.StatusNotModified)
	// An object has no text, so nothing is known to be the same after it.
	if code, _, _ := call(t, s, http.MethodPost, "/config?check_hash=1", "", `{"_format_version":"3.0"}`); code != http.StatusCreated {
		t.Errorf("an object: %d", code)
	}
	load("?check_hash=1", file+"# more\n", http.StatusCreated)
}

// slowStore holds a write until it is let go.
type slowStore struct {
	store.Store
	entered, leave chan struct{}
}

func (s *slowStore) Update(ctx context.Context, actor string, f func(store.Tx) error) (store.Version, error) {
	close(s.entered)
	<-s.leave
	return s.Store.Update(ctx, actor, f)
}

func TestLoadConfigBusy(t *testing.T) {
	slow := &slowStore{openStore(t), make(chan struct{}), make(chan struct{})}
	loader := declarative.NewLoader(slow, catalogue(t))
	s := newServerOn(t, slow, func(cfg *admin.Config) { cfg.Declarative = loader })
	first := make(chan int)
	go func() {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/config", strings.NewReader(file))
		r.Host = "localhost:8001"
		r.Header.Set("Content-Type", "text/yaml")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		first <- w.Code
	}()
	<-slow.entered
	code, header, body := call(t, s, http.MethodPost, "/config", "text/yaml", file)
	if code != http.StatusTooManyRequests || header.Get("Retry-After") == "" || body != `{"message":"Currently loading previous configuration"}` {
		t.Errorf("a second load: %d %v %s", code, header, body)
	}
	close(slow.leave)
	if code := <-first; code != http.StatusCreated {
		t.Errorf("the first load: %d", code)
	}
}

func TestLoadConfigWhileExiting(t *testing.T) {
	s := newFileServer(t)
	s.Drain()
	code, _, body := call(t, s, http.MethodPost, "/config", "text/yaml", file)
	if code != http.StatusServiceUnavailable || body != `{"message":"Kong currently exiting"}` {
		t.Errorf("POST /config: %d %s", code, body)
	}
}

func TestConfigOverGRPC(t *testing.T) {
	s := newFileServer(t)
	client := adminpb.NewDeclarativeClient(dial(t, serve(t, s)))
	next := strings.ReplaceAll(file, "shop", "next")
	out, err := client.LoadConfig(t.Context(), &adminpb.LoadConfigRequest{Config: next})
	if err != nil {
		t.Fatal(err)
	}
	services := out.GetBody().GetFields()["services"].GetStructValue().GetFields()
	if name := services["7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1"].GetStructValue().GetFields()["name"].GetStringValue(); name != "next" {
		t.Errorf("the answer is %v", out)
	}
	shown, err := client.GetConfig(t.Context(), &adminpb.GetConfigRequest{})
	if err != nil || !strings.Contains(shown.GetBody().GetFields()["config"].GetStringValue(), "\n  name: next\n") {
		t.Errorf("GetConfig: %v, %v", shown, err)
	}
	same, err := client.LoadConfig(t.Context(), &adminpb.LoadConfigRequest{Config: next, CheckHash: true})
	if err != nil || same.GetBody() != nil {
		t.Errorf("the same text: %v, %v", same, err)
	}
	_, err = client.LoadConfig(t.Context(), &adminpb.LoadConfigRequest{Config: "_format_version: x", FlattenErrors: true})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "expected one of: 1.1, 2.1, 3.0") {
		t.Errorf("a broken text: %v", err)
	}
	if _, err = client.LoadConfig(t.Context(), &adminpb.LoadConfigRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nothing: %v", err)
	}
}

// TestNoConfig sends a body without a configuration in it.
func TestNoConfig(t *testing.T) {
	s := newFileServer(t)
	for _, body := range []string{`{}`, `{"config":""}`, `{"config":null}`} {
		code, _, got := call(t, s, http.MethodPost, "/config", "", body)
		if want := `{"message":"expected a declarative configuration"}`; code != http.StatusBadRequest || got != want {
			t.Errorf("%s: %d %s, want 400 %s", body, code, got, want)
		}
	}
}

// stuck is a store that never gets anything done.
type stuck struct{ store.Store }

func (stuck) Update(ctx context.Context, _ string, _ func(store.Tx) error) (store.Version, error) {
	<-ctx.Done()
	return store.Version{}, store.ErrUnavailable
}

// TestLoadTime gives a configuration its own time, which is longer than that of
// other calls.
func TestLoadTime(t *testing.T) {
	known := catalogue(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := admin.New(admin.Config{Catalogue: known, Declarative: declarative.NewLoader(stuck{}, known)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		began := time.Now()
		code, _, got := call(t, s, http.MethodPost, "/config", "", `{"_format_version":"3.0"}`)
		if want := `{"message":"Timed out while loading configuration"}`; code != http.StatusGatewayTimeout || got != want {
			t.Errorf("a load without end: %d %s, want 504 %s", code, got, want)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %s, want a minute", took)
		}
	})
}
