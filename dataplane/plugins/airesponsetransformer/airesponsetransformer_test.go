package airesponsetransformer_test

import (
	"encoding/json"
	"errors"
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

	"github.com/dlclark/regexp2/v2"
	"github.com/klauspost/compress/gzip"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/airesponsetransformer"
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

func serve(t *testing.T, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(func() {
		s.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return s
}

// model is a provider that says the text and keeps the body that it got.
func model(t *testing.T, text string, got *string) *httptest.Server {
	t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*got = string(body)
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":`+string(quoted)+`}}]}`); err != nil {
			t.Error(err)
		}
	})
}

// access runs the plugin on a request to the upstream, and gives the answer that
// ends it.
func access(t *testing.T, cfg *pluginpb.AiResponseTransformer, to, upstream string) (*plugin.Request, *plugin.Reject) {
	t.Helper()
	cfg.Prompt, cfg.HttpsVerify = "Rewrite.", true
	if cfg.HttpTimeout == 0 {
		cfg.HttpTimeout = 60000
	}
	cfg.Llm = &pluginpb.AiLlm{RouteType: "llm/v1/chat", Model: &pluginpb.AiModel{
		Provider: "openai", Name: proto.String("gpt-4"), Options: &pluginpb.AiModelOptions{UpstreamUrl: &to},
	}}
	h, err := airesponsetransformer.New(cfg, plugintest.Env(t, "ai-response-transformer", nil))
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	r := plugintest.Request(t, "PUT", "/in?a=1", "the request")
	r.Header.Set("X-Mine", "yes")
	r.Header.Set("Accept-Encoding", "br")
	r.Upstream = plugin.Upstream{Scheme: "http", Host: at.Hostname(), Port: port, HostHeader: "shop.test", Path: "/a%2Fb", Query: "q=1"}
	reject, ok := errors.AsType[*plugin.Reject](h.Access(r))
	if !ok {
		t.Fatal("the request was not ended")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	return r, reject
}

func TestRewritesAnswer(t *testing.T) {
	var asked, seen string
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		seen = r.Method + " " + r.RequestURI + " " + r.Host + " " + r.Header.Get("X-Mine") + " " + string(body)
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("X-Theirs", "1")
		w.Header().Set("Etag", `"old"`)
		w.WriteHeader(418)
		z := gzip.NewWriter(w)
		if _, err := io.WriteString(z, "<old/>"); err != nil {
			t.Error(err)
		}
		if err := z.Close(); err != nil {
			t.Error(err)
		}
	})
	r, got := access(t, new(pluginpb.AiResponseTransformer), model(t, "<new/>", &asked).URL, upstream.URL)
	if want := "PUT /a%2Fb?q=1 shop.test yes the request"; seen != want {
		t.Errorf("the upstream got %s, want %s", seen, want)
	}
	if !strings.Contains(asked, `{"role":"user","content":"<old/>"}`) || !strings.Contains(asked, `"Rewrite."`) {
		t.Errorf("the model got %s", asked)
	}
	if got.Status != 418 || string(got.Body) != "<new/>" || got.ContentType != "application/xml" || got.Header.Get("X-Theirs") != "1" {
		t.Errorf("answered %d %s %s %v", got.Status, got.ContentType, got.Body, got.Header)
	}
	for _, name := range []string{"Content-Encoding", "Content-Length", "Etag", "Content-Type"} {
		if got.Header.Get(name) != "" {
			t.Errorf("%s: %s is still there", name, got.Header.Get(name))
		}
	}
	if line := string(r.AppendLog(nil)); !strings.Contains(line, `"ai-response-transformer":{"meta":`) {
		t.Errorf("logged %s", line)
	}
}

func TestInstructions(t *testing.T) {
	upstream := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Theirs", "1")
		w.WriteHeader(201)
	})
	for _, tt := range []struct {
		name, text string
		status     int
		kind, body string
		theirs     string
	}{
		{"all", `{"status":209,"headers":{"content-type":"application/xml","X-Theirs":"2"},"body":"<a/>"}`, 209, "application/xml", "<a/>", "2"},
		{"broken lines", "{\"body\":\"<a>\n\t<b/>\\\"</a>\"}", 200, "", "<a>\n\t<b/>\"</a>", "1"},
		{"no body", `{"status":"404","x":1}`, 404, "", `{"status":"404","x":1}`, "1"},
		{"a body of its own", `{"body":{"a": 1},"headers":{"X-Theirs":null}}`, 200, "", `{"a": 1}`, ""},
		{"no headers", `{"body":"b","headers":[]}`, 200, "", "b", "1"},
		{"framing", `{"body":"b","headers":{"content-length":"100","transfer-encoding":"chunked","X-N":7}}`, 200, "", "b", "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked string
			_, got := access(t, &pluginpb.AiResponseTransformer{ParseLlmResponseJsonInstructions: true}, model(t, tt.text, &asked).URL, upstream.URL)
			if got.Status != tt.status || got.ContentType != tt.kind || string(got.Body) != tt.body || got.Header.Get("X-Theirs") != tt.theirs ||
				got.Header.Get("Content-Length") != "" {
				t.Errorf("answered %d %q %q %v", got.Status, got.ContentType, got.Body, got.Header)
			}
		})
	}
	for _, text := range []string{
		`no JSON`, `["a"]`, `{"status":99}`, `{"status":"ok"}`, `{"headers":"a"}`, `{"headers":{"a b":"c"}}`, `{"headers":{"a":"b\r\nc: d"}}`,
	} {
		var asked string
		_, got := access(t, &pluginpb.AiResponseTransformer{ParseLlmResponseJsonInstructions: true}, model(t, text, &asked).URL, upstream.URL)
		if got.Status != 500 || !strings.HasPrefix(string(got.Body), `{"error":{"message":"failed to parse JSON response instructions from AI backend: `) {
			t.Errorf("%s: answered %d %s", text, got.Status, got.Body)
		}
	}
}

func TestFailures(t *testing.T) {
	var asked string
	to := model(t, "x", &asked).URL
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		if _, err := io.WriteString(w, "short"); err != nil {
			t.Error(err)
		}
	})
	silent := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			<-r.Context().Done()
		}
	})
	for _, tt := range []struct {
		name, upstream string
		timeout        int32
		want           string
	}{
		{"nobody there", "http://" + l.Addr().String(), 0, "failed to connect to upstream: "},
		{"breaks off", broken.URL, 0, "subrequest failed: "},
		{"silent", silent.URL, 20, "subrequest failed: timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, got := access(t, &pluginpb.AiResponseTransformer{HttpTimeout: tt.timeout}, to, tt.upstream)
			if got.Status != 500 || !strings.HasPrefix(string(got.Body), `{"error":{"message":"`+tt.want) {
				t.Errorf("answered %d %s, want 500 %s", got.Status, got.Body, tt.want)
			}
		})
	}
	refusing := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) })
	if _, got := access(t, new(pluginpb.AiResponseTransformer), refusing.URL, serve(t, func(http.ResponseWriter, *http.Request) {}).URL); got.Status != 400 ||
		string(got.Body) != `{"error":{"message":"failed to introspect request with AI service: status code 429"}}` {
		t.Errorf("answered %d %s", got.Status, got.Body)
	}
}

// TestRecordedAnswer follows instructions that were recorded elsewhere.
func TestRecordedAnswer(t *testing.T) {
	dir := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if dir == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set: recorded answers are not tested")
	}
	text, err := os.ReadFile(filepath.Join(dir, "ai-proxy/openai/request-transformer/response-with-instructions.json"))
	if err != nil {
		t.Fatal(err)
	}
	to := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(text); err != nil {
			t.Error(err)
		}
	})
	_, got := access(t, &pluginpb.AiResponseTransformer{ParseLlmResponseJsonInstructions: true}, to.URL, to.URL)
	if got.Status != 209 || got.ContentType != "application/xml" || !strings.HasPrefix(string(got.Body), "<persons>\n") {
		t.Errorf("answered %d %s %s", got.Status, got.ContentType, got.Body)
	}
}
