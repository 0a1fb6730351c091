package dataplane_test

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/follow"
)

// issuer signs certificates; nil parent: its own.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  crypto.Signer
}

func newIssuer(t *testing.T, name string, parent *issuer) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key}
	i.cert = (&issuer{t: t}).sign(parent, name, key, true)
	return i
}

func (i *issuer) sign(by *issuer, name string, key crypto.Signer, ca bool) *x509.Certificate {
	i.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		i.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ca {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage, template.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		i.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		i.t.Fatal(err)
	}
	return cert
}

// pair issues a certificate and gives it with its key, both as PEM. The chain may
// have more certificates.
func (i *issuer) pair(name string, key crypto.Signer, chain ...*x509.Certificate) (certPEM, keyPEM string) {
	i.t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, c := range append([]*x509.Certificate{i.sign(i, name, key, false)}, chain...) {
		certPEM += certText(c)
	}
	return certPEM, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func certText(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sni(name, certificate string) proto.Message {
	return &entitypb.Sni{Id: "sni-" + name, Name: name, Certificate: ref(certificate)}
}

// secureAddress is that of the proxy's TLS listener.
func (n *node) secureAddress() string {
	for _, url := range n.Addresses() {
		if at, ok := strings.CutPrefix(url, "https://"); ok {
			return at
		}
	}
	n.t.Fatal("there is no TLS listener")
	return ""
}

// shown is the name in the certificate that a server name is answered with, and
// the type of its key.
func (n *node) shown(name string, suites ...uint16) string {
	n.t.Helper()
	config := &tls.Config{ServerName: name, InsecureSkipVerify: true}
	if len(suites) > 0 {
		config.CipherSuites, config.MaxVersion = suites, tls.VersionTLS12
	}
	conn, err := tls.Dial("tcp", n.secureAddress(), config)
	if err != nil {
		n.t.Fatalf("%s: %v", name, err)
	}
	defer conn.Close()
	leaf := conn.ConnectionState().PeerCertificates[0]
	return leaf.Subject.CommonName + " " + leaf.PublicKeyAlgorithm.String()
}

// The TLS listener shows the certificate of the server name: of the name itself,
// of a wildcard, else the node's own.
func TestServerNames(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	defer up.Close()
	n := start(t, nil)
	if got := n.shown("api.example.com"); got != "localhost ECDSA" {
		t.Errorf("without a configuration %q is shown", got)
	}
	ca := newIssuer(t, "ca", nil)
	content := func(names ...string) *content {
		c := newContent(t)
		var certificates, snis []proto.Message
		for i, name := range names {
			cert, key := ca.pair("for-"+strings.ReplaceAll(name, "*", "any"), ecKey(t))
			id := fmt.Sprint("c", i)
			certificates = append(certificates, &entitypb.Certificate{Id: id, Cert: cert, Key: key})
			snis = append(snis, sni(name, id))
		}
		cert, key := ca.pair("both", rsaKey(t))
		certAlt, keyAlt := ca.pair("both", ecKey(t))
		certificates = append(certificates, &entitypb.Certificate{Id: "both", Cert: cert, Key: key, CertAlt: &certAlt, KeyAlt: &keyAlt})
		c.add("certificates", "default", certificates...)
		c.add("snis", "default", append(snis, sni("both.example.com", "both"))...)
		c.add("services", "default", upstreamAt(t, "s", up.URL))
		c.add("routes", "default", routeTo("r", "s", "/"))
		return c
	}
	n.apply(content("api.example.com", "*.example.com", "example.*", "UPPER.example.org"), 1)
	for _, tt := range []struct {
		name, want string
		suites     []uint16
	}{
		{"api.example.com", "for-api.example.com ECDSA", nil},
		{"API.Example.Com", "for-api.example.com ECDSA", nil},
		{"other.example.com", "for-any.example.com ECDSA", nil},
		{"example.com", "for-example.any ECDSA", nil},
		{"example.net", "for-example.any ECDSA", nil},
		{"upper.example.org", "for-UPPER.example.org ECDSA", nil},
		{"deep.other.example.com", "localhost ECDSA", nil}, // an asterisk is one label
		{"elsewhere.test", "localhost ECDSA", nil},
		{"localhost", "localhost ECDSA", nil},
		{"", "localhost ECDSA", nil},
		{"both.example.com", "both ECDSA", nil},
		{"both.example.com", "both ECDSA", []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}},
		{"both.example.com", "both RSA", []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}},
	} {
		if got := n.shown(tt.name, tt.suites...); got != tt.want {
			t.Errorf("%q is answered with %q, want %q", tt.name, got, tt.want)
		}
	}

	// A connection lives on when the configuration changes; the next one sees the
	// new certificate.
	conn, err := tls.Dial("tcp", n.secureAddress(), &tls.Config{ServerName: "api.example.com", InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	ask := func() {
		t.Helper()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "hello" || answer.Close {
			t.Fatalf("%d %q, %v; to be closed: %t", answer.StatusCode, body, err, answer.Close)
		}
	}
	ask()
	n.apply(content("*.example.com"), 2)
	ask()
	if got := n.shown("api.example.com"); got != "for-any.example.com ECDSA" {
		t.Errorf("after the change %q is shown", got)
	}

	// What cannot be read is refused with its name, and changes nothing.
	bad := content("api.example.com")
	bad.add("certificates", "team", &entitypb.Certificate{Id: "broken", Cert: "no PEM", Key: "no key"})
	bad.add("snis", "team", sni("broken.example.com", "broken"))
	var reject *follow.RejectError
	err = n.Apply(t.Context(), follow.Incoming{Epoch: "e", Version: 3, Snapshot: bad.snapshot})
	if !errors.As(err, &reject) || reject.Reasons[0].GetEntityKind() != "certificates" || reject.Reasons[0].GetEntityId() != "broken" {
		t.Errorf("a certificate that cannot be read: %v, want a RejectError that names it", err)
	}
	if got := n.shown("api.example.com"); got != "for-any.example.com ECDSA" {
		t.Errorf("after a refusal %q is shown", got)
	}
	conn.Close()
	n.ended()
}

// Secrets lie in the node's environment, and the configuration refers to them.
func TestVaultReferences(t *testing.T) {
	ca := newIssuer(t, "ca", nil)
	cert, key := ca.pair("from-the-vault", ecKey(t))
	t.Setenv("TLS_KEY", key)
	t.Setenv("APP_TLS", `{"cert":`+fmt.Sprintf("%q", cert)+`}`)
	heard := make(chan string, 1)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r.Header.Get("Authorization") + "|" + r.Header.Get("X-Missing")
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"2"},"finish_reason":"stop"}]}`)
	}))
	defer up.Close()
	t.Setenv("APP_OPENAI", "Bearer sk-from-the-vault")
	c := newContent(t)
	c.add("vaults", "default", &entitypb.Vault{Id: "v", Prefix: "mine", Name: "env", Config: []byte(`{"prefix":"app_"}`)})
	c.add("certificates", "default",
		&entitypb.Certificate{Id: "good", Cert: "{vault://mine/tls/cert}", Key: "{vault://env/tls-key}"},
		&entitypb.Certificate{Id: "lost", Cert: "{vault://mine/unset}", Key: "{vault://env/tls-key}"})
	c.add("snis", "default", sni("good.example.com", "good"), sni("lost.example.com", "lost"))
	c.add("services", "default", upstreamAt(t, "s", up.URL))
	c.add("routes", "default", routeTo("r", "s", "/"))
	c.add("plugins", "default", configured(t, "ai", "ai-proxy", map[string]any{
		"route_type": "llm/v1/chat",
		"auth":       map[string]any{"header_name": "Authorization", "header_value": "{vault://mine/openai}"},
		"model": map[string]any{
			"provider": "openai", "name": "gpt-4o", "options": map[string]any{"upstream_url": up.URL + "/v1/chat/completions"},
		},
	}))
	n := start(t, nil)
	n.apply(c, 1)
	if got := n.shown("good.example.com"); got != "from-the-vault ECDSA" {
		t.Errorf("%q is shown for the name whose certificate is in the vault", got)
	}
	if got := n.shown("lost.example.com"); got != "localhost ECDSA" {
		t.Errorf("%q is shown for the name whose certificate is nowhere", got)
	}
	answer, err := http.Post(n.Addresses()[0]+"/", "application/json", strings.NewReader(`{"messages":[{"role":"user","content":"1 + 1 = ?"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Fatalf("status %d", answer.StatusCode)
	}
	if got := <-heard; got != "Bearer sk-from-the-vault|" {
		t.Errorf("the upstream heard %q", got)
	}
	http.DefaultClient.CloseIdleConnections()
	n.ended()
}

// secureUpstream asks for a client's certificate and says what it saw.
func secureUpstream(t *testing.T, roots *x509.CertPool, pair tls.Certificate) *httptest.Server {
	t.Helper()
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if peers := r.TLS.PeerCertificates; len(peers) > 0 {
			who = peers[0].Subject.CommonName + " " + peers[0].PublicKeyAlgorithm.String()
		}
		io.WriteString(w, who)
	}))
	// The upstream hints at authorities that did not sign what it is shown.
	up.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, ClientCAs: roots}
	up.StartTLS()
	t.Cleanup(up.Close)
	return up
}

// Services say which certificate they show to their upstream, and by what they
// judge the upstream's.
func TestServiceTLS(t *testing.T) {
	root, other := newIssuer(t, "root", nil), newIssuer(t, "other", nil)
	middle := newIssuer(t, "middle", root)
	cert, key := middle.pair("localhost", ecKey(t), middle.cert)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	hinted := x509.NewCertPool()
	hinted.AddCert(other.cert)
	up := secureUpstream(t, hinted, pair)

	clientCert, clientKey := root.pair("client", rsaKey(t))
	altCert, altKey := root.pair("client", ecKey(t))
	c := newContent(t)
	c.add("ca_certificates", "", &entitypb.CaCertificate{Id: "root", Cert: certText(root.cert)},
		&entitypb.CaCertificate{Id: "middle", Cert: certText(middle.cert)}, &entitypb.CaCertificate{Id: "other", Cert: certText(other.cert)})
	c.add("certificates", "default", &entitypb.Certificate{Id: "client", Cert: clientCert, Key: clientKey},
		&entitypb.Certificate{Id: "both", Cert: clientCert, Key: clientKey, CertAlt: &altCert, KeyAlt: &altKey})
	yes, no := proto.Bool(true), proto.Bool(false)
	var services, routes []proto.Message
	tests := []struct {
		id, want string
		change   func(*entitypb.Service)
	}{
		{"plain", "nobody", func(*entitypb.Service) {}},
		{"client", "client RSA", func(s *entitypb.Service) { s.ClientCertificate = ref("client") }},
		{"both", "client ECDSA", func(s *entitypb.Service) { s.ClientCertificate = ref("both") }},
		{"verified", "nobody", func(s *entitypb.Service) { s.TlsVerify, s.CaCertificates = yes, []string{"root"} }},
		{"verified-by-two", "nobody", func(s *entitypb.Service) { s.TlsVerify, s.CaCertificates = yes, []string{"other", "root"} }},
		{"verified-and-client", "client RSA", func(s *entitypb.Service) {
			s.TlsVerify, s.CaCertificates, s.ClientCertificate = yes, []string{"root"}, ref("client")
		}},
		{"by-the-system", "502", func(s *entitypb.Service) { s.TlsVerify = yes }},
		{"by-another", "502", func(s *entitypb.Service) { s.TlsVerify, s.CaCertificates = yes, []string{"other"} }},
		{"by-nobody", "502", func(s *entitypb.Service) { s.TlsVerify, s.CaCertificates = yes, []string{"missing"} }},
		{"another-but-not-verified", "nobody", func(s *entitypb.Service) { s.TlsVerify, s.CaCertificates = no, []string{"other"} }},
		{"the-node-does-not-verify", "nobody", func(s *entitypb.Service) { s.CaCertificates = []string{"other"} }},
		{"wrong-name", "502", func(s *entitypb.Service) { s.TlsVerify, s.CaCertificates, s.Host = yes, []string{"root"}, "127.0.0.1" }},
		{"depth-1", "nobody", func(s *entitypb.Service) {
			s.TlsVerify, s.CaCertificates, s.TlsVerifyDepth = yes, []string{"root"}, proto.Int32(1)
		}},
		{"depth-0", "502", func(s *entitypb.Service) {
			s.TlsVerify, s.CaCertificates, s.TlsVerifyDepth = yes, []string{"root"}, proto.Int32(0)
		}},
		{"depth-0-of-the-middle", "nobody", func(s *entitypb.Service) {
			s.TlsVerify, s.CaCertificates, s.TlsVerifyDepth = yes, []string{"middle"}, proto.Int32(0)
		}},
		{"no-certificate", "502", func(s *entitypb.Service) { s.ClientCertificate = ref("missing") }},
	}
	for _, tt := range tests {
		s := upstreamAt(t, tt.id, up.URL)
		s.Host, s.Retries = "localhost", proto.Int32(1)
		tt.change(s)
		services, routes = append(services, s), append(routes, routeTo("r-"+tt.id, tt.id, "~/"+tt.id+"$"))
	}
	c.add("services", "default", services...)
	c.add("routes", "default", routes...)
	n := start(t, nil)
	n.apply(c, 1)
	for _, tt := range tests {
		code, body := n.get(n.Addresses()[0] + "/" + tt.id)
		if got := body; code == 200 && got != tt.want || code != 200 && fmt.Sprint(code) != tt.want {
			t.Errorf("%s: %d %q, want %q", tt.id, code, body, tt.want)
		}
	}

	// Another authority under the same id is another trust: no connection that was
	// opened under the first one is used.
	for _, g := range c.snapshot.GetGroups() {
		if g.GetKind() == "ca_certificates" {
			data, err := proto.Marshal(&entitypb.CaCertificate{Id: "root", Cert: certText(other.cert)})
			if err != nil {
				t.Fatal(err)
			}
			*g = clusterpb.Group{Kind: g.Kind, Entities: [][]byte{data}}
		}
	}
	n.apply(c, 2)
	if code, body := n.get(n.Addresses()[0] + "/verified"); code != 502 {
		t.Errorf("with another authority: %d %q, want 502", code, body)
	}
	http.DefaultClient.CloseIdleConnections()
	n.ended()
}
