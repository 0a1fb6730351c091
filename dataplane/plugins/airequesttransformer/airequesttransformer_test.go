package airequesttransformer_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2/v2"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/airequesttransformer"

	"github.com/gibbon-gateway/gibbon/schema"
)

// run stops the clock of the backtracking engine, which is the process's, before
// goroutines are counted.
type run struct{ *testing.M }

func (r run) Run() int {
	code := r.M.Run()
	regexp2.StopTimeoutClock()
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(run{m}) }

// model is a provider that answers as told and keeps what it got.
type model struct {
	*httptest.Server
	status   int
	answer   string
	got      string
	header   http.Header
	received int
}

func newModel(t *testing.T, status int, answer string) *model {
	t.Helper()
	m := &model{status: status, answer: answer}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		m.got, m.header, m.received = string(body), r.Header, m.received+1
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(m.status)
		if _, err := io.WriteString(w, m.answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(func() {
		m.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return m
}

// said is an answer of OpenAI's with a text.
func said(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return `{"id":"c1","model":"gpt-4-0613","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":` +
		string(quoted) + `}}],"usage":{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37}}`
}

// handler builds the plugin for a model; more is members of the configuration.
func handler(t *testing.T, provider, to, more string) *airequesttransformer.Handler {
	t.Helper()
	cfg := new(pluginpb.AiRequestTransformer)
	text := `{"prompt":"Rewrite.","http_timeout":60000,"https_verify":true,` + more + `"llm":{"route_type":"llm/v1/chat",
		"auth":{"header_name":"Authorization","header_value":"Bearer SECRET"},
		"model":{"provider":"` + provider + `","name":"gpt-4","options":{"max_tokens":512,"anthropic_version":"2023-06-01","upstream_url":"` + to + `"}}}}`
	if err := protojson.Unmarshal([]byte(text), cfg); err != nil {
		t.Fatal(err)
	}
	h, err := airequesttransformer.New(cfg, plugintest.Env(t, "ai-request-transformer", nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// rewrite runs the plugin on a body, and gives the body that goes on or the
// answer that ends the request.
func rewrite(t *testing.T, h *airequesttransformer.Handler, body string) (string, *plugin.Request, *plugin.Reject) {
	t.Helper()
	r := plugintest.Request(t, "POST", "/", body)
	r.Header.Set("Content-Type", "text/plain")
	err := h.Access(r)
	if reject, ok := errors.AsType[*plugin.Reject](err); ok {
		return "", r, reject
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Body(0)
	if err != nil {
		t.Fatal(err)
	}
	return string(got), r, nil
}

func TestRewrite(t *testing.T) {
	m := newModel(t, 200, said(`{"a":1}`))
	got, r, reject := rewrite(t, handler(t, "openai", m.URL, ""), "one\n\"two\"")
	if reject != nil || got != `{"a":1}` {
		t.Fatalf("body %q, %v", got, reject)
	}
	const want = `{"messages":[{"role":"system","content":"Rewrite."},{"role":"user","content":"one\n\"two\""}],"stream":false,"model":"gpt-4","max_tokens":512}`
	if m.got != want || m.header.Get("Authorization") != "Bearer SECRET" || m.header.Get("Accept") != "application/json" {
		t.Errorf("the model got %s with %v, want %s", m.got, m.header, want)
	}
	if kind := r.Header.Get("Content-Type"); kind != "text/plain" {
		t.Errorf("content type %q", kind)
	}
	calls := r.Record.ModelCalls
	if len(calls) != 1 || calls[0].Plugin != "ai-request-transformer" || calls[0].RequestModel != "gpt-4" || calls[0].ResponseModel != "gpt-4-0613" ||
		calls[0].Usage.Total() != 37 || !calls[0].Answered || calls[0].Input != nil {
		t.Errorf("recorded %+v", calls)
	}
	line := string(r.AppendLog(nil))
	if !strings.Contains(line, `"ai":{"ai-request-transformer":{"meta":`) || !strings.Contains(line, `"total_tokens":37`) || strings.Contains(line, "SECRET") {
		t.Errorf("logged %s", line)
	}
}

// TestForeignFormat asks a model that does not speak OpenAI's format.
func TestForeignFormat(t *testing.T) {
	m := newModel(t, 200, `{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"new"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1}}`)
	got, r, reject := rewrite(t, handler(t, "anthropic", m.URL, ""), "old")
	if reject != nil || got != "new" {
		t.Fatalf("body %q, %v", got, reject)
	}
	if !strings.Contains(m.got, `"system"`) || m.header.Get("Anthropic-Version") != "2023-06-01" {
		t.Errorf("the model got %s with %v", m.got, m.header)
	}
	if n := r.Record.ModelCalls[0].Usage.Total(); n != 4 {
		t.Errorf("%d tokens, want 4", n)
	}
}

func TestExtract(t *testing.T) {
	const answer = "Sure! Here is your JSON:\n{\"a\":\n 1}.\nCan I do more?"
	for _, tt := range []struct{ pattern, want, refused string }{
		{`\\{((.|\n)*)\\}`, "{\"a\":\n 1}", ""},
		{`here IS`, "Here is", ""},     // without regard to case
		{`^\\{.*$`, `{"a":`, ""},       // over several lines
		{`(?<=your )\\w+`, "JSON", ""}, // what Go's engine does not know
		{`xml`, "", "AI response did not match specified regular expression"},
	} {
		m := newModel(t, 200, said(answer))
		got, _, reject := rewrite(t, handler(t, "openai", m.URL, `"transformation_extract_pattern":"`+strings.ReplaceAll(tt.pattern, "\n", `\n`)+`",`), "x")
		if got != tt.want || (reject != nil) != (tt.refused != "") || reject != nil && (reject.Status != 400 || !strings.Contains(string(reject.Body), tt.refused)) {
			t.Errorf("%s: %q, %v, want %q, %q", tt.pattern, got, reject, tt.want, tt.refused)
		}
	}
}

func TestRefusals(t *testing.T) {
	const introspect = "failed to introspect request with AI service: "
	for _, tt := range []struct {
		name, more string
		status     int
		answer     string
		want       string
	}{
		{"a status", "", 401, `{"error":{}}`, introspect + "status code 401"},
		{"a redirect", "", 302, ``, introspect + "status code 302"},
		{"no JSON", "", 200, `<html>`, "failed to convert AI response to Kong format: failed to decode llm/v1/chat response"},
		{"no choices", "", 200, `{"a":1}`, "failed to convert AI response to Kong format: 'choices' not in llm/v1/chat response"},
		{"empty choices", "", 200, `{"choices":[]}`, "no 'choices' in upstream AI service response"},
		{"nothing", "", 200, ``, "failed to convert AI response to Kong format: no response body found when transforming response"},
		{"a bad pattern", `"transformation_extract_pattern":"(",`, 200, said("x"), "failed regex matching ai response: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newModel(t, tt.status, tt.answer)
			_, _, reject := rewrite(t, handler(t, "openai", m.URL, tt.more), "x")
			if reject == nil || reject.Status != 400 || reject.ContentType != "application/json; charset=utf-8" ||
				!strings.HasPrefix(string(reject.Body), `{"error":{"message":"`+tt.want) {
				t.Errorf("answered %v %s, want 400 %s", reject, reject.Body, tt.want)
			}
		})
	}
	t.Run("filtered by Gemini", func(t *testing.T) {
		m := newModel(t, 200, `{"candidates":[{"finishReason":"SAFETY"}],"usageMetadata":{"promptTokenCount":11}}`)
		_, _, reject := rewrite(t, handler(t, "gemini", m.URL, ""), "x")
		const want = "failed to convert AI response to Kong format: transformation generation candidate breached Gemini content safety"
		if reject == nil || reject.Status != 400 || !strings.Contains(string(reject.Body), want) {
			t.Errorf("answered %v, want 400 %s", reject, want)
		}
	})
	t.Run("unreachable", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		_, r, reject := rewrite(t, handler(t, "openai", "http://"+l.Addr().String()+"/?key=SECRET", ""), "x")
		if reject == nil || reject.Status != 400 || !strings.Contains(string(reject.Body), introspect+"request to ai service failed: ") || strings.Contains(string(reject.Body), "SECRET") {
			t.Errorf("answered %v %s", reject, reject.Body)
		}
		if calls := r.Record.ModelCalls; len(calls) != 1 || calls[0].Failure == "" || calls[0].Answered {
			t.Errorf("recorded %+v", calls)
		}
	})
	t.Run("too slow", func(t *testing.T) {
		slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			<-r.Context().Done()
		}))
		defer slow.Close()
		_, _, reject := rewrite(t, handlerOf(t, slow.URL, 20), "x")
		if reject == nil || reject.Status != 400 || !strings.Contains(string(reject.Body), introspect+"request to ai service failed: timeout") {
			t.Errorf("answered %v %s", reject, reject.Body)
		}
	})
	t.Run("too large", func(t *testing.T) {
		m := newModel(t, 200, said("x"))
		r := plugintest.Request(t, "POST", "/", "more than eight bytes")
		if err := handler(t, "openai", m.URL, `"max_request_body_size":"8",`).Access(r); !errors.Is(err, plugin.ErrBodyTooLarge) || m.received != 0 {
			t.Errorf("%v after %d calls, want ErrBodyTooLarge after none", err, m.received)
		}
	})
}

// handlerOf builds the plugin with another timeout, in milliseconds.
func handlerOf(t *testing.T, to string, timeout int32) *airequesttransformer.Handler {
	t.Helper()
	cfg := &pluginpb.AiRequestTransformer{Prompt: "p", HttpTimeout: timeout, HttpsVerify: true, Llm: &pluginpb.AiLlm{
		RouteType: "llm/v1/chat", Model: &pluginpb.AiModel{Provider: "openai", Options: &pluginpb.AiModelOptions{UpstreamUrl: &to}},
	}}
	h, err := airequesttransformer.New(cfg, plugintest.Env(t, "ai-request-transformer", nil))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestForwardProxy sends the call through a proxy, and to a server whose
// certificate nobody signed only when that is allowed.
func TestForwardProxy(t *testing.T) {
	proxy := newModel(t, 200, said("by proxy"))
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	got, _, reject := rewrite(t, handler(t, "openai", "http://model.test/v1", `"http_proxy_host":"`+at.Hostname()+`","http_proxy_port":`+at.Port()+`,`), "x")
	if reject != nil || got != "by proxy" {
		t.Errorf("body %q, %v", got, reject)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.WriteString(w, said("unchecked")); err != nil {
			t.Error(err)
		}
	}))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	defer secure.Close()
	if got, _, reject := rewrite(t, handler(t, "openai", secure.URL, ""), "x"); reject == nil || !strings.Contains(string(reject.Body), "certificate") {
		t.Errorf("body %q, %v, want a refusal that names the certificate", got, reject)
	}
	open := strings.Replace(`"https_verify":true`, "true", "false", 1)
	cfg := new(pluginpb.AiRequestTransformer)
	if err := protojson.Unmarshal([]byte(`{"prompt":"p","http_timeout":60000,`+open+`,"llm":{"route_type":"llm/v1/chat","model":{"provider":"openai","options":{"upstream_url":"`+secure.URL+`"}}}}`), cfg); err != nil {
		t.Fatal(err)
	}
	h, err := airequesttransformer.New(cfg, plugintest.Env(t, "ai-request-transformer", nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, _, reject := rewrite(t, h, "x"); reject != nil || got != "unchecked" {
		t.Errorf("body %q, %v", got, reject)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// TestRecordedAnswers runs the plugin on answers that were recorded elsewhere.
func TestRecordedAnswers(t *testing.T) {
	dir := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if dir == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set: recorded answers are not tested")
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, "ai-proxy", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, tt := range []struct{ provider, file, pattern string }{
		{"openai", "openai/request-transformer/response-in-json.json", ""},
		{"anthropic", "anthropic/request-transformer/response-in-json.json", ""},
		{"openai", "openai/request-transformer/response-not-json.json", `"transformation_extract_pattern":"\\{((.|\\n)*)\\}",`},
	} {
		m := newModel(t, 200, read(tt.file))
		got, _, reject := rewrite(t, handler(t, tt.provider, m.URL, tt.pattern), "<persons/>")
		var persons struct{ Persons []struct{ Name string } }
		if reject != nil {
			t.Fatalf("%s: %v %s", tt.file, reject, reject.Body)
		}
		if err := json.Unmarshal([]byte(got), &persons); err != nil || len(persons.Persons) != 2 {
			t.Errorf("%s: body %s, %v", tt.file, got, err)
		}
	}
	m := newModel(t, 200, read("openai/request-transformer/response-not-json.json"))
	if _, _, reject := rewrite(t, handler(t, "openai", m.URL, `"transformation_extract_pattern":"\\#*\\=",`), "x"); reject == nil || reject.Status != 400 {
		t.Errorf("a pattern that does not match: %v", reject)
	}
}

func TestSchema(t *testing.T) {
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, ok := catalogue.Entity("plugins")
	if !ok {
		t.Fatal("there are no plugins")
	}
	judge := func(config string) error {
		doc, err := schema.ParseObject([]byte(`{"id":"7c9e6679-7425-40de-944b-e07fc1f90ae7","name":"ai-request-transformer","config":` + config + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(s.Complete(doc, time.Unix(1767225600, 0)), schema.Insert)
	}
	const model = `"model":{"provider":"openai"}`
	if err := judge(`{"prompt":"p","llm":{"route_type":"llm/v1/chat",` + model + `}}`); err != nil {
		t.Errorf("valid configuration: %v", err)
	}
	for config, want := range map[string]string{
		`{"prompt":"p","llm":{"route_type":"preserve",` + model + `}}`:                                                          "'config.llm.route_type' must be 'llm/v1/chat' for AI transformer plugins",
		`{"prompt":"p","http_proxy_host":"a","llm":{"route_type":"llm/v1/chat",` + model + `}}`:                                 "all or none of these fields must be set: 'config.http_proxy_host', 'config.http_proxy_port'",
		`{"prompt":"p","llm":{"route_type":"llm/v1/chat","model":{"provider":"llama2","options":{"upstream_url":"http://a"}}}}`: "must set 'model.options.llama2_format' for llama2 provider",
		`{"llm":{"route_type":"llm/v1/chat",` + model + `}}`:                                                                    "required field missing",
	} {
		violation, ok := errors.AsType[*schema.ViolationError](judge(config))
		if !ok || !strings.Contains(violation.Error()+violation.Document().String(), want) {
			t.Errorf("%s: %v, want %s", config, violation, want)
		}
	}
}
