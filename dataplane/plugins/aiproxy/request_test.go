package aiproxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
)

// TestUpstream shows where calls go and what they carry.
func TestUpstream(t *testing.T) {
	const good = `{"messages":[{"role":"user","content":"hi"}]}`
	chat := config("llm/v1/chat", "")
	auth := `"auth":{"header_name":"Authorization","header_value":"Bearer TOP-SECRET"}`
	type want struct {
		Head, Model, Header, NameHeader string
	}
	for _, tt := range []struct {
		name, config, target string
		header               http.Header
		body                 string
		want                 want
	}{
		{"as configured", chat, "/chat/a?x=1", nil, good,
			want{"POST /v1/chat/completions?x=1", `"gpt-4"`, "Bearer TOP-SECRET", "openai/gpt-4"}},
		{"many slashes", with(t, chat, "%s/v1/chat", "%s///v1//chat"), "/chat/a", nil, good,
			want{"POST /v1//chat/completions", `"gpt-4"`, "Bearer TOP-SECRET", "openai/gpt-4"}},
		{"query in the url", with(t, chat, "completions", "completions?api-version=1"), "/chat/a?x=1", nil, good,
			want{"POST /v1/chat/completions?api-version=1&x=1", `"gpt-4"`, "Bearer TOP-SECRET", "openai/gpt-4"}},
		{"header in the model", with(t, chat, `"gpt-4"`, `"a-$(headers.X-Model)-b"`), "/chat/a", http.Header{"X-Model": {"m"}}, good,
			want{"POST /v1/chat/completions", `"a-m-b"`, "Bearer TOP-SECRET", "openai/a-m-b"}},
		{"several placeholders", with(t, chat, `"gpt-4"`, `"$(uri_captures.team)/$(query_params.m)"`), "/chat/red?m=a%20b", nil, good,
			want{"POST /v1/chat/completions?m=a%20b", `"red/a b"`, "Bearer TOP-SECRET", "openai/red%2Fa%20b"}},
		{"unclosed placeholder", with(t, chat, `"gpt-4"`, `"gpt$(x"`), "/chat/a", nil, good,
			want{"POST /v1/chat/completions", `"gpt$(x"`, "Bearer TOP-SECRET", "openai/gpt$(x"}},
		{"placeholders in the url", with(t, chat, "%s/v1/chat", "%s/$(uri_captures.team)/$(headers.x-p)?q=$(query_params.m)&"), "/chat/red?m=a%26b", http.Header{"X-P": {"a b/c?d"}}, good,
			want{"POST /red/a%20b/c%3Fd?q=a%26b&/completions&m=a%26b", `"gpt-4"`, "Bearer TOP-SECRET", "openai/gpt-4"}},
		{"alias", with(t, chat, `"name":"gpt-4"`, `"name":"gpt-4","model_alias":"fast"`), "/chat/a", nil, `{"model":"fast",` + good[1:],
			want{"POST /v1/chat/completions", `"gpt-4"`, "Bearer TOP-SECRET", "openai/gpt-4"}},
		{"the caller's model", with(t, chat, `"name":"gpt-4",`, ``), "/chat/a", nil, `{"model":"own\u0021",` + good[1:],
			want{"POST /v1/chat/completions", `"own\u0021"`, "Bearer TOP-SECRET", "openai/own!"}},
		{"the same model", chat, "/chat/a", nil, `{"model":"gpt-4",` + good[1:],
			want{"POST /v1/chat/completions", `"gpt-4"`, "Bearer TOP-SECRET", "openai/gpt-4"}},
		{"the caller's header is replaced", chat, "/chat/a", http.Header{"Authorization": {"Bearer mine"}}, good,
			want{"POST /v1/chat/completions", `"gpt-4"`, "Bearer TOP-SECRET", "openai/gpt-4"}},
		{"the caller's header may win", with(t, chat, auth, auth[:len(auth)-1]+`,"allow_override":true}`), "/chat/a", http.Header{"Authorization": {"Bearer mine"}}, good,
			want{"POST /v1/chat/completions", `"gpt-4"`, "Bearer mine", "openai/gpt-4"}},
		{"no header to win", with(t, chat, auth, auth[:len(auth)-1]+`,"allow_override":true}`), "/chat/a", nil, good,
			want{"POST /v1/chat/completions", `"gpt-4"`, "Bearer TOP-SECRET", "openai/gpt-4"}},
		{"the caller's parameter may win", with(t, chat, auth, `"auth":{"param_name":"key","param_value":"S","param_location":"query","allow_override":true}`), "/chat/a?key=mine", nil, good,
			want{"POST /v1/chat/completions?key=mine", `"gpt-4"`, "", "openai/gpt-4"}},
		{"no auth", with(t, chat, auth+",", ""), "/chat/a", http.Header{"Authorization": {"Bearer mine"}}, good,
			want{"POST /v1/chat/completions", `"gpt-4"`, "Bearer mine", "openai/gpt-4"}},
		{"name header off", with(t, chat, `"model_name_header":true`, `"model_name_header":false`), "/chat/a", nil, good,
			want{"POST /v1/chat/completions", `"gpt-4"`, "Bearer TOP-SECRET", ""}},
		{"name header off, asked for", with(t, chat, `"model_name_header":true`, `"model_name_header":false`), "/chat/a", http.Header{"Kong-Debug": {"1"}}, good,
			want{"POST /v1/chat/completions", `"gpt-4"`, "Bearer TOP-SECRET", "openai/gpt-4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := provide(t, reply{chunks: []string{chatOK}}, false)
			g := serve(t, strings.ReplaceAll(tt.config, "%s", v.url), "~/chat/(?<team>[^/]+)$")
			header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
			for name, values := range tt.header {
				header[name] = values
			}
			answer := g.do(t, http.MethodPost, tt.target, header, tt.body)
			if answer.status != http.StatusOK {
				t.Fatalf("status %d, body %s", answer.status, answer.body)
			}
			s := <-v.seen
			_, model, _ := strings.Cut(s.body, `"model":`)
			model, _, _ = strings.Cut(model, ",")
			got := want{s.head, strings.TrimSuffix(model, "}"), s.header.Get("Authorization"), answer.header.Get("X-Kong-LLM-Model")}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAddress checks the addresses that cannot be served from a test: the
// provider's own.
func TestAddress(t *testing.T) {
	for _, tt := range []struct{ name, config, target, want string }{
		{"chat", with(t, config("llm/v1/chat", ""), `"upstream_url":"%s/v1/chat/completions"`, `"top_k":1`), "/x", "https://api.openai.com:443/v1/chat/completions?"},
		{"completions", with(t, config("llm/v1/completions", ""), `"upstream_url":"%s/v1/chat/completions"`, `"top_k":1`), "/x?a=1", "https://api.openai.com:443/v1/completions?a=1"},
		{"the caller's path", with(t, config("preserve", ""), `"upstream_url":"%s/v1/chat/completions"`, `"top_k":1`), "/v1/models/a%20b?c", "https://api.openai.com:443/v1/models/a%20b?c"},
		{"a path of one's own", with(t, config("preserve", ""), `"upstream_url":"%s/v1/chat/completions"`, `"upstream_path":"//my path"`), "/x", "https://api.openai.com:443/my%20path?"},
		{"a path with a placeholder", with(t, config("preserve", ""), `"upstream_url":"%s/v1/chat/completions"`, `"upstream_path":"/$(query_params.p)/x"`), "/x?p=a%2Fb", "https://api.openai.com:443/a/b/x?p=a%2Fb"},
		{"no port, http", with(t, config("preserve", ""), `%s/v1/chat/completions`, `http://host/a`), "/x", "http://host:80/a?"},
		{"no port, https", with(t, config("preserve", ""), `%s/v1/chat/completions`, `https://[::1]`), "/x", "https://::1:443/?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := build(t, tt.config)
			body := `{"messages":[{}]}`
			if strings.Contains(tt.config, "completions") {
				body = `{"prompt":"x"}`
			}
			r := plugintest.Request(t, http.MethodPost, tt.target, body)
			r.Upstream.Path = "/stripped"
			if err := h.Access(r); err != nil {
				t.Fatal(err)
			}
			u := r.Upstream
			got := fmt.Sprintf("%s://%s:%d%s?%s", u.Scheme, u.Host, u.Port, u.Path, u.Query)
			if got != tt.want || !u.Foreign {
				t.Errorf("%s, foreign %v, want %s", got, u.Foreign, tt.want)
			}
		})
	}
}

// build readies a handler without a gateway around it.
func build(t testing.TB, config string) *aiproxy.Handler {
	t.Helper()
	cfg := new(pluginpb.AiProxy)
	if err := protojson.Unmarshal([]byte(strings.ReplaceAll(config, "%s", "http://127.0.0.1:1")), cfg); err != nil {
		t.Fatal(err)
	}
	h, err := aiproxy.New(cfg, plugintest.Env(t, "ai-proxy", nil))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
