package dataplane_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane"
	"github.com/gibbon-gateway/gibbon/dataplane/follow"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
	"github.com/gibbon-gateway/gibbon/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a data plane that runs until the test ends it.
type node struct {
	*dataplane.DataPlane
	t    *testing.T
	stop context.CancelFunc
	done chan error
}

// start runs a data plane whose control plane is not there.
func start(t *testing.T, flags map[string]string) *node {
	t.Helper()
	all := map[string]string{
		"proxy_listen": "127.0.0.1:0, 127.0.0.1:0 http2 ssl", "status_listen": "127.0.0.1:0", "admin_gui_listen": "off", "drain_delay": "0s",
	}
	for key, value := range flags {
		all[key] = value
	}
	prefix := t.TempDir()
	s, _, err := settings.Load(settings.Source{Command: "run", Prefix: prefix, Flags: all})
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := telemetry.NewLog(telemetry.Config{Level: "debug", Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataplane.New(t.Context(), dataplane.Config{
		Settings: s, Catalogue: catalogue, NodeID: "11111111-1111-4111-8111-111111111111", Log: log,
		Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("nobody is there") },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	n := &node{DataPlane: d, t: t, stop: stop, done: make(chan error, 1)}
	go func() { n.done <- d.Run(ctx) }()
	t.Cleanup(func() { stop(); http.DefaultClient.CloseIdleConnections() })
	return n
}

func (n *node) get(url string) (int, string) {
	n.t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer.StatusCode, string(data)
}

// snapshot holds a service at an address, a route to it and a file-log.
func snapshot(t *testing.T, address, path string) *clusterpb.Snapshot {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"path": path, "reopen": false})
	if err != nil {
		t.Fatal(err)
	}
	s := &clusterpb.Snapshot{Format: 1}
	for _, one := range []struct {
		kind    string
		message proto.Message
	}{
		{"plugins", &entitypb.Plugin{Id: "p1", Name: "file-log", Enabled: true, Protocols: []string{"http"}, Config: config}},
		{"routes", &entitypb.Route{Id: "r1", Protocols: []string{"http", "https"}, Paths: []string{"/"}, RequestBuffering: true, ResponseBuffering: true, Service: &entitypb.Reference{Id: "s1"}}},
		{"services", &entitypb.Service{Id: "s1", Protocol: "http", Host: u.Hostname(), Port: int32(port), Enabled: true}},
	} {
		data, err := proto.Marshal(one.message)
		if err != nil {
			t.Fatal(err)
		}
		s.Groups = append(s.Groups, &clusterpb.Group{Kind: one.kind, Entities: [][]byte{data}})
	}
	return s
}

func TestServeAndDrain(t *testing.T) {
	proceed := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			proceed <- struct{}{}
			<-proceed
		}
		io.WriteString(w, "hello")
	}))
	defer up.Close()
	n := start(t, nil)
	status := n.StatusAddresses()[0]
	code, body := n.get(status + "/status/ready")
	if want := `{"message":"no configuration available (configuration hash is not initialized)"}`; code != 503 || body != want {
		t.Errorf("before a configuration: %d %s, want 503 %s", code, body, want)
	}
	if code, _ := n.get(n.Addresses()[0] + "/"); code != 404 {
		t.Errorf("the proxy answers %d without a configuration, want 404", code)
	}

	path := filepath.Join(t.TempDir(), "log")
	in := follow.Incoming{Epoch: "e", Version: 42, Snapshot: snapshot(t, up.URL, path)}
	in.Hash[0] = 0xab
	if err := n.Apply(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	<-n.Ready()
	if code, body := n.get(status + "/status/ready"); code != 200 || body != `{"message":"ready"}` {
		t.Errorf("with a configuration: %d %s", code, body)
	}
	if code, body := n.get(n.Addresses()[0] + "/"); code != 200 || body != "hello" {
		t.Errorf("the proxy answers %d %s", code, body)
	}
	code, body = n.get(status + "/status?unit=k&scale=1")
	var parsed struct {
		Server map[string]uint64 `json:"server"`
		Hash   string            `json:"configuration_hash"`
	}
	if err := json.Unmarshal([]byte(body), &parsed); code != 200 || err != nil {
		t.Fatalf("status: %d %s, %v", code, body, err)
	}
	if parsed.Hash != "ab"+strings.Repeat("0", 30) || parsed.Server["total_requests"] != 2 || len(parsed.Server) != 7 {
		t.Errorf("status is %s", body)
	}
	for target, want := range map[string]string{
		"/status?unit=x":   `400 {"message":"invalid unit 'x' (expected 'k/K', 'm/M', or 'g/G')"}`,
		"/status?scale=-1": `400 {"message":"scale must be equal or greater than 0"}`,
		"/status/dns":      `501 {"message":"not implemented with the legacy DNS client"}`,
		"/nothing":         `404 {"message":"Not found"}`,
	} {
		if code, body := n.get(status + target); fmt.Sprintf("%d %s", code, body) != want {
			t.Errorf("%s: %d %s, want %s", target, code, body, want)
		}
	}
	if _, body := n.get(status + "/metrics"); !strings.Contains(body, "\ngibbon_config_version 42\n") || !strings.Contains(body, "\ngibbon_requests_total 2\n") {
		t.Errorf("metrics are\n%s", body)
	}

	// A bad snapshot is refused with a reason, and the good one stays.
	bad := snapshot(t, up.URL, path)
	bad.Groups[0].Entities = append(bad.Groups[0].Entities, bad.Groups[0].Entities[0])
	plugin := &entitypb.Plugin{Id: "p2", Name: "unheard-of", Enabled: true, Protocols: []string{"http"}}
	data, err := proto.Marshal(plugin)
	if err != nil {
		t.Fatal(err)
	}
	bad.Groups[0].Entities[1] = data
	var reject *follow.RejectError
	if err := n.Apply(t.Context(), follow.Incoming{Version: 43, Snapshot: bad}); !errors.As(err, &reject) {
		t.Fatalf("%v, want a RejectError", err)
	}
	if r := reject.Reasons[0]; r.GetEntityKind() != "plugins" || r.GetEntityId() != "p2" || r.GetField() != "name" || r.GetMessage() == "" {
		t.Errorf("the reason is %v", r)
	}
	if code, _ := n.get(n.Addresses()[0] + "/"); code != 200 {
		t.Errorf("the proxy answers %d after a bad snapshot", code)
	}
	n.Reload(renewed(t))

	// A request in progress is finished when the node stops, and logged.
	answered := make(chan string)
	go func() {
		code, body := n.get(n.Addresses()[0] + "/slow")
		answered <- fmt.Sprint(code, " ", body)
	}()
	<-proceed
	n.stop()
	proceed <- struct{}{}
	if got := <-answered; got != "200 hello" {
		t.Errorf("a request in progress got %s", got)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := <-n.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	logged, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(logged), "\n"); lines != 3 {
		t.Errorf("%d lines were logged, want 3:\n%s", lines, logged)
	}
}

// renewed are settings to reload with: the certificate of the prefix is made
// when there is none.
func renewed(t *testing.T) *settings.Settings {
	s, _, err := settings.Load(settings.Source{Command: "run", Prefix: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is not done at the deadline is cut, and Run says so.
func TestCut(t *testing.T) {
	begun := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}))
	defer up.Close()
	n := start(t, map[string]string{"drain_timeout": "0s", "drain_stream_timeout": "0s"})
	path := filepath.Join(t.TempDir(), "log")
	if err := n.Apply(t.Context(), follow.Incoming{Version: 1, Snapshot: snapshot(t, up.URL, path)}); err != nil {
		t.Fatal(err)
	}
	answered := make(chan int)
	go func() {
		code, _ := n.get(n.Addresses()[0] + "/")
		answered <- code
	}()
	<-begun
	n.stop()
	if code := <-answered; code != 503 {
		t.Errorf("a request that was cut got %d, want 503", code)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := <-n.done; !errors.Is(err, dataplane.ErrCut) {
		t.Errorf("Run: %v, want ErrCut", err)
	}
}

// An address in use is an error at once, and nothing stays open.
func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s, _, err := settings.Load(settings.Source{Command: "run", Prefix: t.TempDir(), Flags: map[string]string{
		"proxy_listen": "127.0.0.1:0", "status_listen": taken.Addr().String(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := telemetry.NewLog(telemetry.Config{Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = dataplane.New(t.Context(), dataplane.Config{
		Settings: s, Catalogue: catalogue, NodeID: "11111111-1111-4111-8111-111111111111", Log: log,
		Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("nobody is there") },
	})
	if err == nil || !strings.Contains(err.Error(), "status_listen") {
		t.Errorf("New: %v, want an error that names status_listen", err)
	}
}
