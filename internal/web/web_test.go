package web

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gibbon-gateway/gibbon/internal/listener"
	"github.com/gibbon-gateway/gibbon/internal/pki"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(t *testing.T, prefix string, set map[string]string) *settings.Settings {
	t.Helper()
	s, _, err := settings.Load(settings.Source{Command: "controlplane", Prefix: prefix, Flags: set, SearchPaths: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func config(handler http.HandlerFunc) Config {
	return Config{
		Key: "admin_listen", Certificate: "admin", HTTP: listener.Server(listener.Config{Handler: handler}),
		Pick: func(s *settings.Settings) (settings.Listeners, []settings.Material, []settings.Material) {
			return s.AdminListen, s.AdminSSLCert, s.AdminSSLCertKey
		},
	}
}

// base are settings that a control plane needs whatever the test is about.
func base(at string) map[string]string {
	return map[string]string{"database": "sqlite", "cluster_listen": "127.0.0.1:0", "admin_listen": at}
}

func hello(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }

func TestServes(t *testing.T) {
	prefix := t.TempDir()
	cfg := config(hello)
	cfg.HTTP2 = true
	w, err := Open(t.Context(), cfg, load(t, prefix, base("127.0.0.1:0, 127.0.0.1:0 ssl")))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.Serve() }()

	urls := w.URLs()
	if len(urls) != 2 || !strings.HasPrefix(urls[0], "http://127.0.0.1:") || !strings.HasPrefix(urls[1], "https://127.0.0.1:") {
		t.Fatalf("URLs = %q", urls)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	serial := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", strings.TrimPrefix(urls[1], "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	for _, url := range urls {
		r, err := (&http.Client{Transport: transport}).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || string(body) != "HTTP/2.0" {
			t.Errorf("%s: %q, %v; want HTTP/2.0 though no flag asks for it", url, body, err)
		}
	}
	transport.CloseIdleConnections()

	before := serial()
	cert, key, err := pki.GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	set := base("127.0.0.1:0 ssl")
	set["admin_ssl_cert"], set["admin_ssl_cert_key"] = filepath.Join(prefix, "c.crt"), filepath.Join(prefix, "c.key")
	if err := pki.WritePair(set["admin_ssl_cert"], set["admin_ssl_cert_key"], cert, key); err != nil {
		t.Fatal(err)
	}
	renewed := load(t, prefix, set)
	if err := w.Reload(renewed); err != nil {
		t.Fatal(err)
	}
	after := serial()
	if after == before {
		t.Error("the certificate is the one from before Reload")
	}
	if err := os.WriteFile(set["admin_ssl_cert"], []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Reload(renewed); err == nil || !strings.Contains(err.Error(), "admin_listen") {
		t.Errorf("Reload of a broken file: %v", err)
	}
	if got := serial(); got != after {
		t.Error("a failed Reload replaced the certificate")
	}
	if w.Accepted() < 3 {
		t.Errorf("%d connections, want those of this test", w.Accepted())
	}
	if err := w.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestShutdownCuts(t *testing.T) {
	entered := make(chan struct{})
	w, err := Open(t.Context(), config(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}), load(t, t.TempDir(), base("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.Serve() }()
	c, err := net.Dial("tcp", w.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown = %v, want the context's error", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().String()
	_, err = Open(t.Context(), config(hello), load(t, t.TempDir(), base("127.0.0.1:0, "+at)))
	if err == nil || !strings.HasPrefix(err.Error(), "admin_listen: ") || !strings.Contains(err.Error(), at) {
		t.Errorf("error = %v, want one that names the setting and %s", err, at)
	}
}
