package aiproxy_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vendorFixture is a configuration that samples were made for. A vendor that has
// samples needs a row here and no code.
type vendorFixture struct {
	provider, folder, route, model string
	options                        string // with a comma behind it
	request                        string // a body of the standard kind; empty: by the route
}

var vendorFixtures = []vendorFixture{
	{"openai", "openai", "llm/v1/chat", "gpt-4", `"max_tokens":512,"temperature":0.5,`, ""},
	{"openai", "openai", "llm/v1/completions", "gpt-3.5-turbo-instruct", `"max_tokens":512,"temperature":0.5,`, ""},
	{"azure", "azure", "llm/v1/chat", "gpt-4", `"max_tokens":512,"temperature":0.5,"top_p":1.0,"azure_instance":"i","azure_deployment_id":"d","azure_api_version":"2023-05-15",`, ""},
	{"anthropic", "anthropic", "llm/v1/chat", "claude-2.1", `"max_tokens":512,"temperature":0.5,"top_p":1.0,"anthropic_version":"2023-06-01",`, ""},
	{"anthropic", "anthropic", "llm/v1/completions", "claude-2.1", `"max_tokens":512,"temperature":0.5,"top_p":1.0,"anthropic_version":"2023-06-01",`, ""},
	{"cohere", "cohere", "llm/v1/chat", "command", `"max_tokens":512,"temperature":0.5,"top_p":1.0,`, ""},
	{"cohere", "cohere", "llm/v1/completions", "command", `"max_tokens":512,"temperature":0.5,"top_p":0.75,"top_k":5,`, ""},
	{"llama2", "llama2/raw", "llm/v1/chat", "llama2", `"max_tokens":512,"temperature":0.5,"top_p":1,"top_k":40,"llama2_format":"raw",`, ""},
	{"llama2", "llama2/raw", "llm/v1/completions", "llama2", `"max_tokens":512,"temperature":0.5,"llama2_format":"raw",`, ""},
	{"gemini", "gemini", "llm/v1/chat", "gemini-pro", `"max_tokens":8192,"temperature":0.8,"top_k":1,"top_p":0.6,`, ""},
	{"bedrock", "bedrock", "llm/v1/chat", "bedrock", `"max_tokens":8192,"temperature":0.8,"top_k":1,"top_p":0.6,"bedrock":{"aws_region":"us-east-1"},`, ""},
}

// config is the row as an ai-proxy configuration.
func (f vendorFixture) config() string {
	auth := `"auth":{"header_name":"Authorization","header_value":"Bearer openai-key"}`
	if f.provider == "bedrock" {
		auth = `"auth":{"aws_access_key_id":"AKIA","aws_secret_access_key":"S"}`
	}
	return `{"route_type":"` + f.route + `",` + auth + `,"model":{"provider":"` + f.provider + `","name":"` + f.model +
		`","options":{` + f.options + `"upstream_url":"%s/v1/x"}},"logging":{"log_statistics":true}}`
}

// TestVendorFixtures runs the samples of all vendors through a real gateway: the
// body that goes up, the answer that comes back, and the end-to-end cases.
func TestVendorFixtures(t *testing.T) {
	root := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if root == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set")
	}
	if nested := filepath.Join(root, "ai-proxy"); isDir(nested) {
		root = nested
	}
	load := func(path string) (string, bool) {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
		return string(data), err == nil
	}
	need := func(t *testing.T, path string) string {
		t.Helper()
		data, ok := load(path)
		if !ok {
			t.Fatalf("no sample %s", path)
		}
		return data
	}
	ask := func(t *testing.T, f vendorFixture, body string, script reply) (answer, string, string) {
		t.Helper()
		v := provide(t, script, false)
		g := serve(t, strings.ReplaceAll(f.config(), "%s", v.url))
		got := g.post(t, "/", body)
		line := g.logged(t)
		select {
		case s := <-v.seen:
			return got, s.body, line
		default:
			return got, "", line
		}
	}
	for _, f := range vendorFixtures {
		name := strings.ReplaceAll(f.route, "/", "-") + ".json"
		t.Run(f.folder+" "+f.route, func(t *testing.T) {
			t.Parallel()
			real := need(t, "unit/real-responses/"+f.folder+"/"+name)
			got, up, line := ask(t, f, need(t, "unit/requests/"+name), reply{chunks: pieces(real, 3)})
			want := need(t, "unit/expected-requests/"+f.folder+"/"+name)
			sameJSON(t, "the body that goes up", want, up)
			if got.status != http.StatusOK || got.header.Get("X-Kong-LLM-Model") != f.provider+"/"+f.model {
				t.Fatalf("status %d, header %v, body %s", got.status, got.header, got.body)
			}
			expected := essence(t, need(t, "unit/expected-responses/"+f.folder+"/"+name))
			if expected.Model == "" {
				expected.Model = f.model // Kong leaves it out for some; callers want one
			}
			if diff := cmp.Diff(expected, essence(t, got.body)); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
			if !strings.Contains(line, `"total_tokens":`) {
				t.Errorf("log %s", line)
			}

			folder := f.folder + "/" + strings.TrimSuffix(name, ".json")
			request, ok := load(folder + "/requests/good.json")
			if f.provider == "llama2" {
				folder = f.folder
				request, ok = load(folder + "/requests/good-" + strings.TrimPrefix(f.route, "llm/v1/") + ".json")
			}
			if !ok {
				request = need(t, "openai/llm-v1-chat/requests/good.json")
			}
			request = withoutModel(t, request)
			if good, ok := load(folder + "/responses/good.json"); ok {
				got, _, _ := ask(t, f, request, reply{chunks: pieces(good, 2)})
				if got.status != http.StatusOK || len(essence(t, got.body).Choices) == 0 {
					t.Errorf("good: status %d, body %s", got.status, got.body)
				}
			}
			for file, status := range map[string]int{"bad_request.json": 400, "unauthorized.json": 401, "internal_server_error.html": 500} {
				if body, ok := load(folder + "/responses/" + file); ok {
					got, _, _ := ask(t, f, request, reply{status: status, chunks: []string{body}})
					if got.status != status || got.body != body {
						t.Errorf("%s: status %d, body %s", file, got.status, got.body)
					}
				}
			}
			if bad, ok := load(folder + "/requests/bad_request.json"); ok {
				got, up, _ := ask(t, f, bad, reply{chunks: []string{real}})
				if got.status != 400 || !strings.Contains(got.body, "request body doesn't contain valid prompts") || up != "" {
					t.Errorf("bad request: status %d, body %s", got.status, got.body)
				}
			}
			if own, ok := load(folder + "/requests/good_own_model.json"); ok {
				got, _, _ := ask(t, f, own, reply{chunks: []string{real}})
				if got.status != 400 || !strings.Contains(got.body, "cannot use own model - must be: "+f.model) {
					t.Errorf("own model: status %d, body %s", got.status, got.body)
				}
			}
		})
	}
	t.Run("said in numbers", func(t *testing.T) {
		body := need(t, "openai/llm-v1-chat/requests/good.json")
		got, _, line := ask(t, vendorFixtures[9], body, reply{chunks: []string{need(t, "gemini/llm-v1-chat/responses/good.json")}})
		for _, want := range []string{"Everything is okay.", `"finish_reason":"stop"`} {
			if !strings.Contains(got.body, want) {
				t.Errorf("%s is not in %s", want, got.body)
			}
		}
		if !strings.Contains(line, `"prompt_tokens":2,"completion_tokens":11,"total_tokens":13`) {
			t.Errorf("log %s", line)
		}
		got, _, _ = ask(t, vendorFixtures[7], need(t, "llama2/raw/requests/good-chat.json"), reply{chunks: []string{need(t, "llama2/raw/responses/good.json")}})
		if !strings.Contains(got.body, "Is a well known font.") {
			t.Errorf("llama2: %s", got.body)
		}
	})
	t.Run("native gemini", func(t *testing.T) {
		for _, file := range []string{"basic-chat.json", "with-functions.json"} {
			body := need(t, "native/gemini/request/"+file)
			f := vendorFixtures[9]
			f.options = ""
			v := provide(t, reply{chunks: []string{`{"candidates":[]}`}}, false)
			g := serve(t, strings.Replace(strings.ReplaceAll(f.config(), "%s", v.url), `{`, `{"llm_format":"gemini",`, 1))
			got := g.post(t, "/v1beta/models/gemini-pro:generateContent", body)
			if got.status != http.StatusOK || got.body != `{"candidates":[]}` {
				t.Errorf("%s: status %d, body %s", file, got.status, got.body)
			}
			if up := (<-v.seen).body; up != body {
				t.Errorf("%s: %s went up, want it as it came", file, up)
			}
		}
	})
}

// essentials are what the samples of answers are compared by.
type essentials struct {
	Model   string
	Choices []struct {
		Message struct {
			Role, Content string
		}
		Text string
	}
}

func essence(t *testing.T, body string) (e essentials) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return e
}

// withoutModel takes the model out of a body, so that any configured one fits.
func withoutModel(t *testing.T, body string) string {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &object); err != nil {
		t.Fatal(err)
	}
	delete(object, "model")
	out, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
