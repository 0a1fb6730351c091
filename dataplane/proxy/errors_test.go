package proxy_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares an answer with testdata/<name>.http, what differs from run to
// run put aside.
func golden(t *testing.T, name, got string) {
	t.Helper()
	for pattern, text := range map[string]string{
		`[0-9a-f]{32}`:     "<id>",
		`(?m)^Date: .*\r$`: "Date: <date>\r",
		`(?m)^(X-Kong-[A-Za-z]+-Latency): [0-9]+\r$`: "$1: <ms>\r",
	} {
		got = regexp.MustCompile(pattern).ReplaceAllString(got, text)
	}
	got = strings.ReplaceAll(got, "\r\n", "\n")
	path := filepath.Join("testdata", name+".http")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// testPlugin makes a plugin that borrows the message of key-auth, or, as a
// second one in a chain, that of file-log.
func testPlugin[H any](name string, handler H) plugin.Plugin {
	if name == "file-log" {
		return plugin.Of(name, func(*pluginpb.FileLog, plugin.Env) (H, error) { return handler, nil })
	}
	return plugin.Of(name, func(*pluginpb.KeyAuth, plugin.Env) (H, error) { return handler, nil })
}

// everywhere is a plugin instance for all requests.
func everywhere(id, name string) *entitypb.Plugin {
	return &entitypb.Plugin{Id: id, Name: name, Enabled: true, Protocols: []string{"http", "https"}}
}

type accessFunc func(*plugin.Request) error

func (f accessFunc) Access(r *plugin.Request) error { return f(r) }

func TestErrorAnswers(t *testing.T) {
	secure := routeTo("https", "s1", "/secure")
	secure.Protocols = []string{"https"}
	moved := routeTo("moved", "s1", "/moved")
	moved.Protocols, moved.HttpsRedirectStatusCode = []string{"https"}, 301
	grpc := routeTo("grpc", "s1", "/grpc.Service")
	grpc.Protocols, grpc.StripPath = []string{"grpc", "grpcs"}, false
	unknown := serviceAt(t, "s2", "http://127.0.0.1:1")
	unknown.Host = "nowhere.invalid"
	config := &runtime.Config{
		Services: []*entitypb.Service{serviceAt(t, "s1", "http://127.0.0.1:1"), unknown},
		Routes: []*entitypb.Route{
			routeTo("refused", "s1", "/refused"), routeTo("unknown", "s2", "/unknown"), routeTo("none", "", "/none"),
			routeTo("plugin", "s1", "/plugin"), secure, moved, grpc,
		},
		Plugins: []*entitypb.Plugin{everywhere("p1", "key-auth")},
	}
	config.Services[0].Retries = proto.Int32(0)
	g := start(t, config, []plugin.Plugin{testPlugin("key-auth", accessFunc(func(r *plugin.Request) error {
		if r.Route.GetId() != "plugin" {
			return nil
		}
		switch r.Query {
		case "body":
			return plugin.JSON(418, []byte(`{"error":{"message":"<no>"}}`))
		case "bare":
			return &plugin.Reject{Status: 500, Body: []byte("as it is")}
		case "message":
			return &plugin.Reject{Status: 401, Message: `say "<key>"`, Header: http.Header{"Www-Authenticate": {"Key"}}}
		case "panic":
			panic("a bug")
		case "large":
			_, err := r.Body(3)
			return err
		}
		return fmt.Errorf("broken: %w", errors.New("inside"))
	}))}, func(o *proxy.Options) { o.MaxBody = 1 << 10 })
	for _, tt := range []struct{ name, head, body string }{
		{"no-route", "GET /nothing HTTP/1.1", ""},
		{"no-route-html", "GET /nothing HTTP/1.1\r\nAccept: text/html,application/xhtml+xml;q=0.9", ""},
		{"no-route-plain", "GET /nothing HTTP/1.1\r\nAccept: application/json;q=0.2, text/plain;q=0.8", ""},
		{"no-route-xml", "GET /nothing HTTP/1.1\r\nAccept: application/xml", ""},
		{"no-route-unknown-type", "GET /nothing HTTP/1.1\r\nAccept: image/png", ""},
		{"no-route-any", "GET /nothing HTTP/1.1\r\nAccept: */*", ""},
		{"no-route-head", "HEAD /nothing HTTP/1.1", ""},
		{"no-route-grpc", "POST /nothing HTTP/1.1\r\nContent-Type: application/grpc\r\nContent-Length: 0", ""},
		{"no-service", "GET /none HTTP/1.1", ""},
		{"https-only", "GET /secure HTTP/1.1", ""},
		{"https-moved", "GET /moved/x?y=1 HTTP/1.1", ""},
		{"grpc-route", "GET /grpc.Service/Do HTTP/1.1", ""},
		{"refused", "GET /refused HTTP/1.1", ""},
		{"refused-json", "GET /refused HTTP/1.1\r\nAccept: application/json", ""},
		{"refused-by-content-type", "POST /refused HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2", "{}"},
		{"unknown-host", "GET /unknown HTTP/1.1", ""},
		{"plugin-body", "GET /plugin?body HTTP/1.1", ""},
		{"plugin-bare", "GET /plugin?bare HTTP/1.1", ""},
		{"plugin-message", "GET /plugin?message HTTP/1.1", ""},
		{"plugin-message-html", "GET /plugin?message HTTP/1.1\r\nAccept: text/html", ""},
		{"plugin-error", "GET /plugin HTTP/1.1", ""},
		{"plugin-panic", "GET /plugin?panic HTTP/1.1", ""},
		{"plugin-body-limit", "POST /plugin?large HTTP/1.1\r\nContent-Length: 5", "12345"},
		{"body-limit", "POST /refused HTTP/1.1\r\nContent-Length: 2000", strings.Repeat("x", 2000)},
		{"body-limit-chunked", "POST /refused HTTP/1.1\r\nTransfer-Encoding: chunked", "800\r\n" + strings.Repeat("x", 2048) + "\r\n0\r\n\r\n"},
		{"loop", "GET /refused HTTP/1.1\r\nVia: 1.1 kong/3.8.1, 1.1 kong/3.8.1, 2 kong/3.8.1\r\nVia: 1.1 kong/3.8.1, 1.1 kong/3.8.1", ""},
		{"bad-head", "GET /refused HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", ""},
		{"bad-method", "TRACE /refused HTTP/1.1", ""},
		{"bad-chunk", "POST /refused HTTP/1.1\r\nTransfer-Encoding: chunked", "zz\r\n"},
		{"head-too-large", "GET /refused HTTP/1.1\r\nX: " + strings.Repeat("x", 40<<10), ""},
		{"old-client", "GET /nothing HTTP/1.0", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head := tt.head
			if !strings.Contains(head, "HTTP/1.0") {
				head += "\r\nConnection: close"
			}
			golden(t, tt.name, g.raw(head+"\r\nHost: example.com\r\n\r\n"+tt.body))
		})
	}
	if got := g.proxy.Counts().Panics; got != 1 {
		t.Errorf("%d panics were counted, want 1", got)
	}
}

func TestNoConfiguration(t *testing.T) {
	g := start(t, nil, nil, nil)
	golden(t, "no-configuration", g.raw("GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"))
}
