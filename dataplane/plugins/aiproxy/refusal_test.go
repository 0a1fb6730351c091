package aiproxy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// with changes a configuration by replacing one text in it.
func with(t testing.TB, config string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(config, pairs[i]) {
			t.Fatalf("%q is not in the configuration", pairs[i])
		}
		config = strings.Replace(config, pairs[i], pairs[i+1], 1)
	}
	return config
}

const noModel = `"provider":"openai"`

func TestRefusals(t *testing.T) {
	chat, completions, preserve := config("llm/v1/chat", ""), config("llm/v1/completions", ""), config("preserve", "")
	nameless := func(c string) string { return with(t, c, `"provider":"openai","name":"gpt-4"`, noModel) }
	named := func(name string) string { return with(t, chat, `"gpt-4"`, `"`+name+`"`) }
	url := func(u string) string { return with(t, chat, `%s/v1/chat/completions`, u) }
	free := func(u string) string {
		return with(t, url(u), `"auth":{"header_name":"Authorization","header_value":"Bearer TOP-SECRET"},`, "")
	}
	const good = `{"messages":[{"role":"user","content":"hi"}]}`
	const badJSON = "content-type header does not match request body, or bad JSON formatting"
	const before = "LLM request failed before proxying"
	for _, tt := range []struct {
		name, config string
		body         string
		kind         string // Content-Type; empty: application/json
		header       http.Header
		status       int
		want         string
	}{
		{"bad json", chat, `{"messages":`, "", nil, 400, badJSON},
		{"empty body", chat, ``, "", nil, 400, badJSON},
		{"no object", chat, `[]`, "", nil, 400, badJSON},
		{"wrong content type", chat, good, "text/plain", nil, 400, badJSON},
		{"gzip from the client", chat, pack(good), "", http.Header{"Content-Encoding": {"gzip"}}, 400, badJSON},
		{"broken form", chat, `a=%zz`, "application/x-www-form-urlencoded", nil, 400, badJSON},
		{"preserve, bad json", preserve, `{`, "", nil, 400, badJSON},
		{"over the limit", with(t, chat, `1048576`, `20`), good, "", nil, 400, badJSON},
		{"too deep", chat, `{"messages":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, "", nil, 400, badJSON},
		{"no prompt", chat, `{"segassem":[]}`, "", nil, 400, "request body doesn't contain valid prompts"},
		{"empty messages", chat, `{"messages":[],"prompt":null}`, "", nil, 400, "request body doesn't contain valid prompts"},
		{"messages is a text", chat, `{"messages":"hi"}`, "", nil, 400, "request body doesn't contain valid prompts"},
		{"prompt is a number", completions, `{"prompt":1}`, "", nil, 400, "request body doesn't contain valid prompts"},
		{"both", chat, `{"messages":[{}],"prompt":"x"}`, "", nil, 400, "request matches multiple LLM request formats"},
		{"chat on completions", completions, good, "", nil, 400, "[llm/v1/chat] message format is not compatible with [llm/v1/completions] route type"},
		{"completion on chat", chat, `{"prompt":"x"}`, "", nil, 400, "[llm/v1/completions] message format is not compatible with [llm/v1/chat] route type"},
		{"too many messages", chat, `{"messages":[0` + strings.Repeat(",0", 10000) + `]}`, "", nil, 400, "request body holds more than 10000 messages"},
		{"own model", chat, `{"model":"other","messages":[{}]}`, "", nil, 400, "cannot use own model - must be: gpt-4"},
		{"own model on preserve", preserve, `{"model":"other"}`, "", nil, 400, "cannot use own model - must be: gpt-4"},
		{"own model in a form", chat, "--b\r\nContent-Disposition: form-data; name=model\r\n\r\nother\r\n--b--\r\n", "multipart/form-data; boundary=b", nil, 400, "cannot use own model - must be: gpt-4"},
		{"two models in a form", chat, "--b\r\nContent-Disposition: form-data; name=model\r\n\r\ngpt-4\r\n--b\r\nContent-Disposition: form-data; name=model\r\n\r\nother\r\n--b--\r\n", "multipart/form-data; boundary=b", nil, 400, "field 'model' must appear once and in this spelling"},
		{"alias", with(t, chat, `"name":"gpt-4"`, `"name":"gpt-4","model_alias":"fast"`), `{"model":"gpt-4","messages":[{}]}`, "", nil, 400, "cannot use own model - must be: fast"},
		{"no model", nameless(chat), good, "", nil, 400, "model parameter not found in request, nor in gateway configuration"},
		{"model is null", nameless(chat), `{"model":null,"messages":[{}]}`, "", nil, 400, "model parameter not found in request, nor in gateway configuration"},
		{"model is empty", nameless(chat), `{"model":"","messages":[{}]}`, "", nil, 400, "model parameter not found in request, nor in gateway configuration"},
		{"model twice", chat, `{"model":"gpt-4","model":"other","messages":[{}]}`, "", nil, 400, "field 'model' must appear once and in this spelling"},
		{"model in another case", chat, `{"Model":"other","messages":[{}]}`, "", nil, 400, "field 'model' must appear once and in this spelling"},
		{"model hidden by an escape", chat, `{"model":"gpt-4","mod\u0065l":"other","messages":[{}]}`, "", nil, 400, "field 'model' must appear once and in this spelling"},
		{"streaming denied", with(t, chat, `"allow"`, `"deny"`), `{"stream":true,"messages":[{}]}`, "", nil, 400, "response streaming is not enabled for this LLM"},
		{"template without a dot", named("$(headers)"), good, "", nil, 400, "cannot parse expression for field '$(headers)'"},
		{"template with two dots", named("a-$(headers.x.y)"), good, "", nil, 400, "cannot parse expression for field 'a-$(headers.x.y)'"},
		{"template of an unknown source", named("$(cookies.x)"), good, "", nil, 400, "source 'cookies' is not supported"},
		{"template without a header", named("$(headers.x-model)"), good, "", nil, 400, "headers key x-model was not provided"},
		{"template without a capture", named("$(uri_captures.m)"), good, "", nil, 400, "uri_captures key m was not provided"},
		{"template without a parameter", named("$(query_params.m)"), good, "", nil, 400, "query_params key m was not provided"},
		{"template in an option of another provider", with(t, chat, `"options":{`, `"options":{"gemini":{"project_id":"$(headers.x-p)"},`), good, "", nil, 400, "headers key x-p was not provided"},
		{"template in the url", url("http://127.0.0.1:1/$(headers.x-m)"), good, "", nil, 400, "headers key x-m was not provided"},
		{"template climbs in the url", url("http://127.0.0.1:1/a/$(headers.x-m)/b"), good, "", http.Header{"X-M": {"../.."}}, 400, "headers key x-m cannot be used in an address"},
		{"host from the request, with credentials", url("http://$(headers.x-m):1/"), good, "", http.Header{"X-M": {"evil"}}, 500, before},
		{"bad host from the request", free("http://$(headers.x-m):1/"), good, "", http.Header{"X-M": {"a/b@c"}}, 400, "headers key x-m cannot be used in an address"},
		{"provider that nobody knows", with(t, chat, `"provider":"openai"`, `"provider":"nobody"`), good, "", nil, 501, "provider 'nobody' is not supported by this version of the gateway"},
		{"format that nobody knows", with(t, chat, `"llm_format":"openai"`, `"llm_format":"klingon"`), good, "", nil, 501, "llm_format 'klingon' is not supported by this version of the gateway"},
		{"nothing to embed", with(t, chat, "llm/v1/chat", "llm/v1/embeddings"), good, "", nil, 400, "request body doesn't contain valid prompts"},
		{"kind of calls that the provider has not", with(t, chat, `"provider":"openai"`, `"provider":"cerebras"`, "llm/v1/chat", "llm/v1/embeddings"), `{"input":"x"}`, "", nil, 400, "no transformer for cerebras://llm/v1/embeddings"},
		{"kind of calls that mistral has not", with(t, chat, `"provider":"openai"`, `"provider":"mistral"`, `"max_tokens":512`, `"mistral_format":"ollama"`, "llm/v1/chat", "llm/v1/files"), `{"input":"x"}`, "", nil, 400, "no transformer available to format mistral://llm/v1/files/ollama"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, strings.ReplaceAll(tt.config, "%s", "http://127.0.0.1:1"))
			header := http.Header{"Content-Type": {"application/json"}}
			if tt.kind != "" {
				header["Content-Type"] = []string{tt.kind}
			}
			for name, values := range tt.header {
				header[name] = values
			}
			got := g.do(t, http.MethodPost, "/", header, tt.body)
			var body struct {
				Error map[string]string `json:"error"`
			}
			if err := json.Unmarshal([]byte(got.body), &body); err != nil {
				t.Fatalf("status %d, body %s: %v", got.status, got.body, err)
			}
			if got.status != tt.status || body.Error["message"] != tt.want || len(body.Error) != 1 {
				t.Errorf("status %d, body %s\nwant %d and %s", got.status, got.body, tt.status, tt.want)
			}
			if kind := got.header.Get("Content-Type"); kind != "application/json; charset=utf-8" {
				t.Errorf("content type %q", kind)
			}
			if line := g.logged(t); strings.Contains(line, `"ai"`) {
				t.Errorf("a call that was never sent has an ai block: %s", line)
			}
			if strings.Contains(g.log.String(), "SECRET") {
				t.Error("a key was logged")
			}
		})
	}
}

// TestModelLists checks that who asks for the models is told that nobody lists them,
// in the caller's own format.
func TestModelLists(t *testing.T) {
	chat := config("llm/v1/chat", "")
	anthropic := with(t, chat, `"llm_format":"openai"`, `"llm_format":"anthropic"`)
	const told = " is not served: the gateway does not list models"
	const badJSON = "content-type header does not match request body, or bad JSON formatting"
	for _, tt := range []struct {
		name, config, method, path string
		status                     int
		want                       string
	}{
		{"openai", chat, http.MethodGet, "/v1/models", 404, `{"error":{"message":"path /v1/models` + told + `"}}`},
		{"openai, one", chat, http.MethodGet, "/v1/models/gpt-4", 404, `{"error":{"message":"path /v1/models/gpt-4` + told + `"}}`},
		{"vectors", config("llm/v1/embeddings", ""), http.MethodGet, "/models/", 404, `{"error":{"message":"path /models/` + told + `"}}`},
		{"anthropic", anthropic, http.MethodGet, "/v1/models", 404, `{"type":"error","error":{"type":"not_found_error","message":"path /v1/models` + told + `"}}`},
		{"a call", chat, http.MethodPost, "/v1/models", 400, `{"error":{"message":"` + badJSON + `"}}`},
		{"another path", chat, http.MethodGet, "/models/x/chat", 400, `{"error":{"message":"` + badJSON + `"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := serve(t, tt.config).do(t, tt.method, tt.path, nil, "")
			if got.status != tt.status || got.body != tt.want {
				t.Errorf("status %d, body %s\nwant %d and %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

// TestGatewayErrors has the answers that come in the gateway's own shape.
func TestGatewayErrors(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		status    int
		want      string
	}{
		{"no url", "not a url", 500, "An unexpected error occurred"},
		{"another scheme", "ftp://127.0.0.1/x", 500, "An unexpected error occurred"},
		{"port out of range", "http://127.0.0.1:70000/x", 500, "An unexpected error occurred"},
		{"nothing listens", "http://127.0.0.1:1/x?key=SECRET", 502, "An invalid response was received from the upstream server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := serve(t, with(t, config("llm/v1/chat", ""), "%s/v1/chat/completions", tt.url))
			got := g.post(t, "/", `{"messages":[{"role":"user","content":"a prompt"}]}`)
			if got.status != tt.status || !strings.Contains(got.body, `"message":"`+tt.want+`"`) {
				t.Errorf("status %d, body %s, want %d and %s", got.status, got.body, tt.status, tt.want)
			}
			g.logged(t)
			if own := g.log.String(); strings.Contains(own, "SECRET") || strings.Contains(own, "a prompt") {
				t.Errorf("a key or a prompt was logged:\n%s", own)
			}
		})
	}
}

// TestGenerousLimit checks that a limit of 0 is the node's own and not none at all.
func TestGenerousLimit(t *testing.T) {
	v := provide(t, reply{chunks: []string{chatOK}}, false)
	g := serve(t, strings.ReplaceAll(with(t, config("llm/v1/chat", ""), "1048576", "0"), "%s", v.url))
	large := `{"messages":[{"role":"user","content":"` + strings.Repeat("x ", 1<<20) + `"}]}`
	if got := g.post(t, "/", large); got.status != http.StatusOK {
		t.Errorf("status %d, body %s", got.status, got.body)
	}
	<-v.seen
	if got := g.post(t, "/", strings.Repeat(" ", 64<<20+1)); got.status != http.StatusBadRequest {
		t.Errorf("64 MiB and a byte: status %d", got.status)
	}
}

// TestMetadata checks that no caller can have the gateway ask a cloud for the
// secrets of its machine, also where callers may name the host.
func TestMetadata(t *testing.T) {
	g := serve(t, `{"route_type":"preserve","llm_format":"openai","model":{"provider":"openai","options":{"upstream_url":"http://$(headers.x-host)/"}}}`)
	for _, host := range []string{"169.254.169.254", "100.100.100.200", "168.63.129.16"} {
		got := g.do(t, http.MethodGet, "/", http.Header{"X-Host": {host}}, "")
		if got.status != http.StatusServiceUnavailable || !strings.Contains(g.log.String(), "metadata") {
			t.Errorf("%s: status %d, %s", host, got.status, got.body)
		}
	}
}

// TestAnthropicsOwn checks that calls of Anthropic's API that nobody else has are
// refused in front of another provider, and pass to their own.
func TestAnthropicsOwn(t *testing.T) {
	const message = `{"max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}`
	for _, tt := range []struct{ method, path, body, refused string }{
		{http.MethodPost, "/v1/messages", message, ""},
		{http.MethodPost, "/v1/messages/count_tokens", message, "/v1/messages/count_tokens is not supported by provider openai"},
		{http.MethodPost, "/v1/messages/batches", `{"requests":[]}`, "/v1/messages/batches is not supported by provider openai"},
		{http.MethodGet, "/v1/messages/batches/b1/results", "", "/v1/messages/batches/b1/results is not supported by provider openai"},
	} {
		for _, provider := range []string{"openai", "anthropic"} {
			t.Run(provider+tt.path, func(t *testing.T) {
				whole := map[string]string{"openai": speakers[0].whole, "anthropic": speakers[1].whole}[provider]
				v := provide(t, reply{chunks: []string{whole}}, false)
				setup := with(t, config("llm/v1/chat", ""), `"provider":"openai"`, `"provider":"`+provider+`"`, `"llm_format":"openai"`, `"llm_format":"anthropic"`,
					"%s/v1/chat/completions", v.url)
				got := serve(t, setup).do(t, tt.method, tt.path, http.Header{"Content-Type": {"application/json"}}, tt.body)
				refused := tt.refused
				if provider == "anthropic" {
					refused = ""
				}
				if refused == "" && (got.status != 200 || got.body == "") {
					t.Errorf("status %d, %s", got.status, got.body)
				}
				want := `{"type":"error","error":{"type":"invalid_request_error","message":"` + refused + `"}}`
				if refused != "" && (got.status != 400 || got.body != want) {
					t.Errorf("status %d, %s, want %s", got.status, got.body, want)
				}
			})
		}
	}
}
