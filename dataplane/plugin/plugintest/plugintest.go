// Package plugintest helps to test plugins without a gateway around them.
package plugintest

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Request makes a request as the gateway would hand it to the access phase: from
// a client on the loopback interface, matched by no route, on its way to
// http://127.0.0.1:80. An empty body means none. Headers may be added to it.
func Request(t testing.TB, method, target, body string) *plugin.Request {
	t.Helper()
	in := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	r := &plugin.Request{
		ID:              "00000000000000000000000000000001",
		Started:         time.Now(),
		Method:          method,
		Proto:           "HTTP/1.1",
		Target:          target,
		Path:            in.URL.Path,
		Query:           in.URL.RawQuery,
		Host:            in.Host,
		Header:          make(http.Header),
		Scheme:          "http",
		Port:            8000,
		ForwardedScheme: "http",
		ForwardedHost:   in.Host,
		ForwardedPort:   8000,
		PeerIP:          "127.0.0.1",
		ClientIP:        "127.0.0.1",
		Upstream: plugin.Upstream{
			Scheme: "http", Host: "127.0.0.1", Port: 80,
			Path: in.URL.EscapedPath(), Query: in.URL.RawQuery,
		},
	}
	r.SetContext(t.Context())
	if body != "" {
		r.SetSource(io.NopCloser(strings.NewReader(body)), int64(len(body)))
	}
	return r
}

// Respond puts an upstream's answer into the request, held whole when the
// request asks for that, as it is when the header phase begins.
func Respond(r *plugin.Request, status int, header http.Header, body string) {
	if header == nil {
		header = make(http.Header)
	}
	r.Response = plugin.Response{Status: status, Header: header, FromUpstream: true}
	if r.Held() > 0 {
		r.Response.SetBody([]byte(body))
	}
}

// Stream passes the chunks of a body through a filter and gives what it let
// through. The filter's error, if any, ends the stream.
func Stream(r *plugin.Request, filter plugin.BodyFilter, chunks ...string) (string, error) {
	var out strings.Builder
	for _, chunk := range chunks {
		passed, err := filter.Body(r, []byte(chunk), false)
		out.Write(passed)
		if err != nil {
			return out.String(), err
		}
	}
	passed, err := filter.Body(r, nil, true)
	out.Write(passed)
	return out.String(), err
}

// Env is an environment with the given consumers and a keeper that lives as long
// as the test. Calls of the plugin go out through http.DefaultTransport.
func Env(t testing.TB, name string, consumers *plugin.Consumers) plugin.Env {
	t.Helper()
	if consumers == nil {
		consumers = plugin.NewConsumers()
	}
	k := &keeper{kept: make(map[plugin.Key]io.Closer)}
	t.Cleanup(func() {
		for key, resource := range k.kept {
			if err := resource.Close(); err != nil {
				t.Errorf("close %v: %v", key, err)
			}
		}
	})
	return plugin.Env{
		ID:        "11111111-1111-4111-8111-111111111111",
		Name:      name,
		Consumers: consumers,
		Log:       slog.New(slog.NewTextHandler(t.Output(), nil)),
		HTTP:      http.DefaultTransport,
		Keeper:    k,
	}
}

type keeper struct{ kept map[plugin.Key]io.Closer }

func (k *keeper) Hold(key plugin.Key, open func() (io.Closer, error)) (io.Closer, error) {
	if resource, ok := k.kept[key]; ok {
		return resource, nil
	}
	resource, err := open()
	if err != nil {
		return nil, err
	}
	k.kept[key] = resource
	return resource, nil
}
