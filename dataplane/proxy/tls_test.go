package proxy_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
)

// Upstreams over TLS: the name that is asked for, whether certificates are
// verified, and targets that a plugin chose.
func TestUpstreamTLS(t *testing.T) {
	names := make(chan string, 10)
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names <- r.TLS.ServerName + " " + r.Host
		io.WriteString(w, r.RequestURI)
	}))
	up.TLS = &tls.Config{}
	up.StartTLS()
	defer up.Close()
	u, err := url.Parse(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	plain, verified, local := serviceAt(t, "plain", up.URL), serviceAt(t, "verified", up.URL), serviceAt(t, "local", up.URL)
	verified.TlsVerify, verified.Retries = proto.Bool(true), proto.Int32(0)
	local.Host = "localhost"
	preserved := routeTo("preserved", "local", "/preserved")
	preserved.PreserveHost = true
	config := &runtime.Config{
		Services: []*entitypb.Service{plain, verified, local},
		Routes: []*entitypb.Route{
			routeTo("plain", "plain", "/plain"), routeTo("verified", "verified", "/verified"), routeTo("local", "local", "/local"),
			routeTo("moved", "verified", "/moved"), routeTo("bare", "", "/bare"), preserved,
		},
		Plugins: []*entitypb.Plugin{everywhere("p1", "key-auth")},
	}
	g := start(t, config, []plugin.Plugin{testPlugin("key-auth", accessFunc(func(r *plugin.Request) error {
		if id := r.Route.GetId(); id == "moved" || id == "bare" {
			r.Upstream.SetTarget("https", "localhost", int(plain.GetPort()))
			r.Upstream.Path, r.Upstream.Query = "//v1/a%2Fb", "k=v"
		}
		return nil
	}))}, nil)
	for _, tt := range []struct {
		path, name, body string
		status           int
	}{
		{"/plain", " " + u.Host, "/", 200}, // an address is no server name
		{"/local/x", "localhost localhost:" + u.Port(), "/x", 200},
		{"/preserved", "", "/", 200},
		{"/verified", "", "", 502}, // signed by nobody that is known
		{"/moved", "localhost localhost:" + u.Port(), "//v1/a%2Fb?k=v", 200},
		{"/bare", "localhost localhost:" + u.Port(), "//v1/a%2Fb?k=v", 200},
	} {
		answer, body := g.do("GET", tt.path, nil, nil)
		if answer.StatusCode != tt.status || tt.status == 200 && body != tt.body {
			t.Errorf("%s: %d %q, want %d %q", tt.path, answer.StatusCode, body, tt.status, tt.body)
		}
		if tt.status != 200 {
			continue
		}
		name := <-names
		if want := tt.name; want != "" && name != want {
			t.Errorf("%s: the upstream was asked for %q, want %q", tt.path, name, want)
		}
	}
}
