package dataplane_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/dataplane"
	"github.com/gibbon-gateway/gibbon/dataplane/follow"
	"github.com/gibbon-gateway/gibbon/dataplane/signals/signalstest"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
	"github.com/gibbon-gateway/gibbon/schema"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var canary = regexp.MustCompile(`CANARY-[A-Za-z0-9_-]+`)

// secretFields fills every encrypted field of a message with a canary.
func secretFields(m protoreflect.Message, config map[string]any) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		options, _ := proto.GetExtension(f.Options(), schemapb.E_Field).(*schemapb.Field)
		if options.GetEncrypted() {
			config[string(f.Name())] = "CANARY-config-" + string(f.Name())
		}
	}
}

// TestNoSecretLeaks turns everything on that writes something down, plants marked
// secrets in the configuration and in what callers send, lets an upstream repeat
// all that it got, and looks through everything that was written.
func TestNoSecretLeaks(t *testing.T) {
	seen := make(map[string]bool)
	var seenLock sync.Mutex
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got := fmt.Sprint(r.URL, r.Header, string(body))
		seenLock.Lock()
		for _, secret := range canary.FindAllString(got, -1) {
			seen[secret] = true
		}
		seenLock.Unlock()
		text, err := json.Marshal(got)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Set-Cookie", "s=CANARY-upstream-cookie")
		switch {
		case r.URL.Path == "/token":
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"access_token":"CANARY-minted-token","token_type":"Bearer","expires_in":3600}`)
		case strings.HasPrefix(r.URL.Path, "/401"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(401)
			fmt.Fprintf(w, `{"error":{"message":%s}}`, text)
		case bytes.Contains(body, []byte(`"stream":true`)):
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%s}}]}\n\n", text)
			io.WriteString(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"c","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`, text)
		}
	}))
	defer up.Close()

	collector := signalstest.Start(t)
	var stderr lines
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := telemetry.NewLog(telemetry.Config{Level: "debug", Format: "json", Output: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := settings.Load(settings.Source{Command: "run", Prefix: t.TempDir(), Flags: map[string]string{
		"proxy_listen": "127.0.0.1:0", "status_listen": "127.0.0.1:0", "admin_gui_listen": "off", "drain_delay": "0s",
		"otlp_endpoint": collector.GRPC, "otlp_headers": "authorization=CANARY-settings-otlp", "tracing_sampling_rate": "1",
	}})
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
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()

	path := filepath.Join(t.TempDir(), "log")
	if err := d.Apply(t.Context(), follow.Incoming{Epoch: "e", Version: 1, Snapshot: canarySnapshot(t, up.URL, path)}); err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, route := range []string{"header", "query", "body", "override", "gcp", "aws"} {
		for _, status := range []string{"ok", "401"} {
			for _, stream := range []bool{false, true} {
				callWithSecrets(t, d.Addresses()[0], route, status, stream)
				calls++
			}
		}
	}
	answer, err := http.Get(d.StatusAddresses()[0] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	logged, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	// The test would see nothing if nothing were there.
	if got := bytes.Count(logged, []byte("\n")); got != calls {
		t.Errorf("%d calls gave %d log lines", calls, got)
	}
	if got := bytes.Count(logged, []byte(`"payload":{"request":`)); got != calls {
		t.Errorf("%d log lines have payloads, want %d", got, calls)
	}
	if got := len(collector.Spans()); got != 2*calls {
		t.Errorf("%d calls gave %d spans", calls, got)
	}
	if !strings.Contains(collector.Text(), "gen_ai.output.messages") || !strings.Contains(string(metrics), "kong_ai_llm_requests_total{") {
		t.Error("payloads or metrics are missing")
	}
	for _, secret := range []string{"CANARY-config-header_value", "CANARY-config-param_value", "CANARY-caller-x-api-key", "CANARY-caller-credential", "CANARY-minted-token", "CANARY-config-aws_access_key_id", "CANARY-config-refresh"} {
		if !seen[secret] {
			t.Errorf("%s never reached the upstream", secret)
		}
	}
	for name, text := range map[string]string{
		"the log line": string(logged), "the node's log": stderr.String(), "/metrics": string(metrics), "what the collector got": collector.Text(),
	} {
		for _, secret := range canary.FindAllString(text, -1) {
			t.Errorf("%s is in %s", secret, name)
		}
	}
}

// callWithSecrets sends a call with a secret in every place that callers have for
// one.
func callWithSecrets(t *testing.T, address, route, status string, stream bool) {
	t.Helper()
	url := address + "/" + route + "/" + status
	query := "?key=CANARY-caller-key&api_key=CANARY-caller-api_key&X-Amz-Signature=CANARY-caller-signature&sig=CANARY-caller-sig&access_token=CANARY-caller-token"
	if route == "query" {
		query += "&hidden=CANARY-caller-hidden"
	}
	body := fmt.Sprintf(`{"messages":[{"role":"user","content":"hi"}],"stream":%v}`, stream)
	if route == "body" || route == "override" {
		body = strings.Replace(body, "{", `{"credential":"CANARY-caller-credential",`, 1)
	}
	in, err := http.NewRequestWithContext(t.Context(), "POST", url+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	in.Header.Set("Content-Type", "application/json")
	for _, name := range []string{"Authorization", "Cookie", "X-Api-Key", "Api-Key", "Apikey", "X-Goog-Api-Key", "X-Amz-Security-Token"} {
		in.Header.Set(name, "CANARY-caller-"+strings.ToLower(name))
	}
	in.Header.Set("Authorization", "Bearer CANARY-caller-bearer")
	if route != "gcp" && route != "aws" {
		in.Header.Set("X-Very-Own", "CANARY-caller-x-very-own") // the configuration names it
	}
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	// What the upstream says is no answer in Google's or Amazon's format.
	foreign := route == "gcp" || route == "aws"
	_, err = io.Copy(io.Discard, out.Body)
	if foreign && stream {
		err = nil
	}
	if err := errors.Join(err, out.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if out.StatusCode != 200 && out.StatusCode != 401 && !(foreign && out.StatusCode == 500) {
		t.Fatalf("%s: status %d", url, out.StatusCode)
	}
}

// canarySnapshot has a route for each place that credentials may go to, and for
// each kind of answer.
func canarySnapshot(t *testing.T, upstream, logPath string) *clusterpb.Snapshot {
	t.Helper()
	groups := map[string][][]byte{}
	add := func(kind string, m proto.Message) {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		groups[kind] = append(groups[kind], data)
	}
	config := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	add("plugins", &entitypb.Plugin{Id: "log", Name: "file-log", Enabled: true, Protocols: []string{"http"}, Config: config(map[string]any{"path": logPath, "reopen": false})})
	for place, where := range map[string]map[string]any{
		"header":   {"header_name": "X-Very-Own"},
		"query":    {"param_name": "hidden", "param_location": "query", "header_name": "X-Very-Own"},
		"body":     {"param_name": "credential", "param_location": "body", "header_name": "X-Very-Own"},
		"override": {"param_name": "credential", "param_location": "body", "header_name": "X-Very-Own", "allow_override": true},
		"gcp": {
			"gcp_use_service_account": true, "gcp_oauth_token_url": upstream + "/token",
			"gcp_service_account_json": `{"type":"authorized_user","client_id":"me","client_secret":"CANARY-config-client-secret","refresh_token":"CANARY-config-refresh"}`,
		},
		"aws": {},
	} {
		for _, status := range []string{"ok", "401"} {
			auth := map[string]any{}
			secretFields(new(pluginpb.AiAuth).ProtoReflect(), auth)
			for name, value := range where {
				auth[name] = value
			}
			model := map[string]any{"provider": "openai", "name": "gpt-4o", "options": map[string]any{"upstream_url": upstream + "/" + status}}
			switch place {
			case "gcp":
				model["provider"] = "gemini"
			case "aws":
				model["provider"] = "bedrock"
				model["options"].(map[string]any)["bedrock"] = map[string]any{"aws_region": "eu-west-1"}
			}
			id := place + "-" + status
			add("routes", &entitypb.Route{
				Id: id, Protocols: []string{"http"}, Paths: []string{"/" + place + "/" + status}, RequestBuffering: true, ResponseBuffering: true,
			})
			add("plugins", &entitypb.Plugin{
				Id: "ai-" + id, Name: "ai-proxy", Enabled: true, Protocols: []string{"http"}, Route: &entitypb.Reference{Id: id},
				Config: config(map[string]any{
					"route_type": "llm/v1/chat", "auth": auth, "llm_format": "openai",
					"model":   model,
					"logging": map[string]any{"log_statistics": true, "log_payloads": true},
				}),
			})
		}
	}
	snapshot := &clusterpb.Snapshot{Format: 1}
	for _, kind := range []string{"plugins", "routes"} {
		snapshot.Groups = append(snapshot.Groups, &clusterpb.Group{Kind: kind, Entities: groups[kind]})
	}
	return snapshot
}
