package plugins_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2/v2"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aipromptdecorator"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aipromptguard"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiprompttemplate"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/internal/listener"
)

func TestMain(m *testing.M) {
	code := m.Run()
	regexp2.StopTimeoutClock()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// keeper is a plugin that hands on the log object.
type keeper struct{ lines chan<- string }

func (k keeper) Log(r *plugin.Request) { k.lines <- string(r.AppendLog(nil)) }

// route is one route of a real gateway, in front of a model that answers all
// calls alike.
type route struct {
	url   string
	seen  chan string // the bodies that the model got
	lines chan string // the log objects
}

// serve starts a gateway whose only route runs the plugins, given by name with
// their configurations, and ai-proxy.
func serve(t *testing.T, routeType string, configs map[string]string) *route {
	t.Helper()
	g := &route{seen: make(chan string, 16), lines: make(chan string, 16)}
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		g.seen <- string(body)
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.WriteString(w, `{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","text":"ok","message":{"role":"assistant","content":"ok"}}]}`); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(model.Close)
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	plugins := []*entitypb.Plugin{
		{Id: "f1", Name: "file-log", Enabled: true, Protocols: []string{"http"}, Config: []byte(`{}`), Route: &entitypb.Reference{Id: "r1"}},
		{Id: "a1", Name: "ai-proxy", Enabled: true, Protocols: []string{"http"}, Route: &entitypb.Reference{Id: "r1"}, Config: fmt.Appendf(nil,
			`{"route_type":%q,"model":{"provider":"openai","name":"m","options":{"upstream_url":%q}}}`, routeType, model.URL+"/v1")},
	}
	for name, config := range configs {
		plugins = append(plugins, &entitypb.Plugin{Id: name, Name: name, Enabled: true, Protocols: []string{"http"}, Config: []byte(config), Route: &entitypb.Reference{Id: "r1"}})
	}
	live, kept := new(runtime.Live), new(runtime.Keeper)
	rt, err := runtime.BuildConfig(&runtime.Config{
		Services: []*entitypb.Service{{
			Id: "s1", Protocol: "http", Host: "127.0.0.1", Port: 1, Enabled: true,
			Retries: proto.Int32(0), ConnectTimeout: proto.Int32(5000), WriteTimeout: proto.Int32(5000), ReadTimeout: proto.Int32(5000),
		}},
		Routes: []*entitypb.Route{{
			Id: "r1", Protocols: []string{"http"}, Paths: []string{"/"}, StripPath: true,
			RequestBuffering: true, ResponseBuffering: true, HttpsRedirectStatusCode: 426, Service: &entitypb.Reference{Id: "s1"},
		}},
		Plugins: plugins,
	}, runtime.Options{
		Version: "1", Keeper: kept, Log: logger,
		Plugins: []plugin.Plugin{
			aiproxy.Plugin, aipromptdecorator.Plugin, aipromptguard.Plugin, aiprompttemplate.Plugin,
			plugin.Of("file-log", func(*pluginpb.FileLog, plugin.Env) (keeper, error) { return keeper{g.lines}, nil }),
		},
		Decode: func(_ string, data []byte, into proto.Message) error { return protojson.Unmarshal(data, into) },
	})
	if err != nil {
		t.Fatal(err)
	}
	live.Swap(rt)
	resolver := upstream.NewResolver(nil)
	p := proxy.New(proxy.Options{Live: live, Picker: resolver, Log: logger})
	addrs, err := listener.Listen("proxy_listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := listener.Open(t.Context(), addrs, listener.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := listener.Server(listener.Config{Handler: p, Refuse: p.Refuse})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listeners[0]) }()
	g.url = "http://" + listeners[0].Addr().String()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
			server.Close()
		}
		<-served
		live.Swap(nil)
		if err := resolver.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// post sends a body and gives the answer and the log object; sent is what the
// model got, empty when the call did not come so far.
func (g *route) post(t *testing.T, kind, body string) (status int, answer, sent, line string) {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	in.Header.Set("Content-Type", kind)
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := out.Header.Get("Content-Type"); out.StatusCode == http.StatusBadRequest && kind != "application/json; charset=utf-8" {
		t.Errorf("a refusal has the type %q", kind)
	}
	select {
	case line = <-g.lines:
	case <-time.After(10 * time.Second):
		t.Fatal("no log line came")
	}
	select {
	case sent = <-g.seen:
	default:
	}
	return out.StatusCode, string(data), sent, line
}

const (
	templates = `{"allow_untemplated_requests":false,"templates":[{"name":"chat","template":"{\"messages\":[{\"role\":\"user\",\"content\":\"{{a}} and {{b}}\"}]}"}]}`
	decorator = `{"prompts":{"prepend":[{"role":"system","content":"first"}],"append":[{"role":"user","content":"last"}]}}`
	guard     = `{"deny_patterns":["secret"],"allow_patterns":["hello","(?<=x)y"]}`
)

// TestPromptRefusals asks a real gateway for each of Kong's texts.
func TestPromptRefusals(t *testing.T) {
	large := `{"messages":[{"role":"user","content":"hello"}],"pad":"` + strings.Repeat("x", 200) + `"}`
	for _, tt := range []struct{ name, plugin, config, kind, body, want string }{
		{name: "template, no json", plugin: "ai-prompt-template", config: templates, kind: "text/plain", body: "hello", want: "this LLM route only supports application/json requests"},
		{name: "template, broken json", plugin: "ai-prompt-template", config: templates, body: `{"messages":`, want: "this LLM route only supports application/json requests"},
		{name: "template, too large", plugin: "ai-prompt-template", config: `{"max_request_body_size":100,"templates":[]}`, body: large, want: "this LLM route only supports application/json requests"},
		{name: "template, both", plugin: "ai-prompt-template", config: templates, body: `{"messages":"{template://chat}","prompt":"{template://chat}"}`, want: "cannot run 'messages' and 'prompt' templates at the same time"},
		{name: "template, neither", plugin: "ai-prompt-template", config: templates, body: `{"input":"a"}`, want: "only 'llm/v1/chat' and 'llm/v1/completions' formats are supported for templating"},
		{name: "template, untemplated", plugin: "ai-prompt-template", config: templates, body: `{"messages":[{"role":"user","content":"a"}]}`, want: "this LLM route only supports templated requests"},
		{name: "template, untemplated text", plugin: "ai-prompt-template", config: templates, body: `{"prompt":"a {template://chat}"}`, want: "this LLM route only supports templated requests"},
		{name: "template, unknown", plugin: "ai-prompt-template", config: templates, body: `{"messages":"{template://none}"}`, want: "could not find template name [none]"},
		{name: "template, missing", plugin: "ai-prompt-template", config: templates, body: `{"messages":"{template://chat}"}`, want: "missing template parameters: [a], [b]"},
		{name: "template, missing in a value", plugin: "ai-prompt-template", config: templates, body: `{"messages":"{template://chat}","properties":{"a":"{{z}}","b":"c"}}`, want: "missing template parameters: [z]"},
		{name: "template, no object", plugin: "ai-prompt-template", config: templates, body: `{"messages":"{template://chat}","properties":"a"}`, want: "properties must be an object"},
		{name: "template, a number", plugin: "ai-prompt-template", config: templates, body: `{"messages":"{template://chat}","properties":{"a":"b","b":1}}`, want: "property values must be a string, got number"},
		{name: "template, a list", plugin: "ai-prompt-template", config: templates, body: `{"messages":"{template://chat}","properties":{"a":[]}}`, want: "property values must be a string, got table"},
		{name: "template, twice", plugin: "ai-prompt-template", config: templates, body: `{"messages":"{template://chat}","properties":{"a":"b","a":"c"}}`, want: "field 'a' must appear once and in this spelling"},

		{name: "decorator, no json", plugin: "ai-prompt-decorator", config: decorator, kind: "text/plain", body: "hello", want: "this LLM route only supports application/json requests"},
		{name: "decorator, too large", plugin: "ai-prompt-decorator", config: `{"max_request_body_size":100,"prompts":{"append":[{"role":"user","content":"a"}]}}`, body: large, want: "this LLM route only supports application/json requests"},
		{name: "decorator, a prompt", plugin: "ai-prompt-decorator", config: decorator, body: `{"prompt":"a"}`, want: "this LLM route only supports llm/chat type requests"},
		{name: "decorator, no messages", plugin: "ai-prompt-decorator", config: decorator, body: `{"messages":[]}`, want: "this LLM route only supports llm/chat type requests"},
		{name: "decorator, a text", plugin: "ai-prompt-decorator", config: decorator, body: `{"messages":"a"}`, want: "this LLM route only supports llm/chat type requests"},

		{name: "guard, no json", plugin: "ai-prompt-guard", config: guard, kind: "text/plain", body: "hello", want: "this LLM route only supports application/json requests"},
		{name: "guard, broken json", plugin: "ai-prompt-guard", config: guard, body: "[", want: "this LLM route only supports application/json requests"},
		{name: "guard, too large", plugin: "ai-prompt-guard", config: `{"max_request_body_size":100,"deny_patterns":["z"]}`, body: large, want: "this LLM route only supports application/json requests"},
		{name: "guard, denied", plugin: "ai-prompt-guard", config: guard, body: `{"messages":[{"role":"user","content":"hello secret"}]}`, want: "bad request"},
		{name: "guard, not allowed", plugin: "ai-prompt-guard", config: guard, body: `{"messages":[{"role":"user","content":"goodbye"}]}`, want: "bad request"},
		{name: "guard, parts", plugin: "ai-prompt-guard", config: guard, body: `{"messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}]}`, want: "bad request"},
		{name: "guard, a role", plugin: "ai-prompt-guard", config: guard, body: `{"messages":[{"role":1,"content":"hello"}]}`, want: "bad request"},
		{name: "guard, two contents", plugin: "ai-prompt-guard", config: guard, body: `{"messages":[{"role":"user","content":"secret","content":"hello"}]}`, want: "bad request"},
		{name: "guard, another messages", plugin: "ai-prompt-guard", config: guard, body: `{"Messages":[],"messages":[{"role":"user","content":"hello"}]}`, want: "bad request"},
		{name: "guard, no prompt", plugin: "ai-prompt-guard", config: guard, body: `{"inputs":"hello"}`, want: "bad request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := serve(t, "llm/v1/chat", map[string]string{tt.plugin: tt.config})
			kind := tt.kind
			if kind == "" {
				kind = "application/json"
			}
			status, answer, sent, _ := g.post(t, kind, tt.body)
			if want := `{"error":{"message":"` + tt.want + `"}}`; status != http.StatusBadRequest || answer != want {
				t.Errorf("%d %s\nwant 400 %s", status, answer, want)
			}
			if sent != "" {
				t.Errorf("the model got %s", sent)
			}
		})
	}
	t.Run("guard, bad pattern", func(t *testing.T) {
		// The schema refuses it; an older control plane may not have.
		g := serve(t, "llm/v1/chat", map[string]string{"ai-prompt-guard": `{"deny_patterns":["(?R)"]}`})
		status, answer, sent, _ := g.post(t, "application/json", `{"messages":[{"role":"user","content":"hello"}]}`)
		if status != http.StatusInternalServerError || !strings.Contains(answer, `"An unexpected error occurred"`) || sent != "" {
			t.Errorf("%d %s, the model got %q; want the gateway's own 500", status, answer, sent)
		}
	})
	t.Run("guard, no time", func(t *testing.T) {
		g := serve(t, "llm/v1/chat", map[string]string{"ai-prompt-guard": `{"deny_patterns":["^(?=a)(a|aa|a(?=a))+\\1(?<=b)c$"]}`})
		status, _, sent, _ := g.post(t, "application/json", `{"messages":[{"role":"user","content":"`+strings.Repeat("a", 5000)+`"}]}`)
		if status != http.StatusRequestEntityTooLarge || sent != "" {
			t.Errorf("%d, the model got %q; want 413 and nothing", status, sent)
		}
	})
}

// TestPromptsTogether runs the three in one request: the template's text is what
// the decorator decorates, and the guard sees it all.
func TestPromptsTogether(t *testing.T) {
	g := serve(t, "llm/v1/chat", map[string]string{
		"ai-prompt-template":  strings.Replace(templates, "{", `{"log_original_request":true,`, 1),
		"ai-prompt-decorator": decorator,
		"ai-prompt-guard":     `{"deny_patterns":["secret"],"allow_patterns":["^last .*hello/? and "]}`,
	})
	body := `{"messages":"{template://chat}","properties":{"a":"hello/","b":"\"}]\\"}}`
	status, answer, sent, line := g.post(t, "application/json", body)
	const want = `{"messages":[{"role":"system","content":"first"},{"role":"user","content":"hello\/ and \"}]\\"},{"role":"user","content":"last"}]`
	if status != http.StatusOK || !strings.HasPrefix(sent, want) {
		t.Errorf("%d %s, the model got\n%s\nwant\n%s", status, answer, sent, want)
	}
	if want := `"payload":{"original_request":` + string(plugin.AppendString(nil, body)) + `}`; !strings.Contains(line, want) {
		t.Errorf("log object %s\nhas no %s", line, want)
	}
	status, answer, sent, _ = g.post(t, "application/json", `{"messages":"{template://chat}","properties":{"a":"hello","b":"secret"}}`)
	if status != http.StatusBadRequest || answer != `{"error":{"message":"bad request"}}` || sent != "" {
		t.Errorf("%d %s, the model got %q; want it refused", status, answer, sent)
	}
}

func TestPromptOfCompletion(t *testing.T) {
	g := serve(t, "llm/v1/completions", map[string]string{"ai-prompt-guard": guard})
	if status, answer, sent, _ := g.post(t, "application/json", `{"prompt":"hello"}`); status != http.StatusOK || sent == "" {
		t.Errorf("%d %s; want 200", status, answer)
	}
	if status, _, sent, _ := g.post(t, "application/json", `{"prompt":"hello secret"}`); status != http.StatusBadRequest || sent != "" {
		t.Errorf("status %d; want 400", status)
	}
}
