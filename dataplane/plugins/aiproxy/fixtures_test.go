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

// TestExtraFixtures runs the samples that GIBBON_EXTRA_FIXTURES points at: bodies
// of callers and answers of providers, which are not part of the project.
func TestExtraFixtures(t *testing.T) {
	root := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if root == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set")
	}
	if nested := filepath.Join(root, "ai-proxy"); isDir(nested) {
		root = nested
	}
	read := func(parts ...string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(append([]string{root}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	// ask sends a body through a gateway to a provider with one answer.
	ask := func(t *testing.T, config, body string, script reply) (answer, *vendor, string) {
		t.Helper()
		v := provide(t, script, false)
		g := serve(t, strings.ReplaceAll(config, "%s", v.url))
		got := g.post(t, "/", body)
		return got, v, g.logged(t)
	}
	tuned := func(route, model string) string {
		c := with(t, config(route, ""), `"temperature":1.0`, `"temperature":0.5`)
		if model == "" {
			return with(t, c, `"name":"gpt-4",`, ``)
		}
		return with(t, c, `"gpt-4"`, `"`+model+`"`)
	}

	t.Run("requests", func(t *testing.T) {
		for route, model := range map[string]string{"llm/v1/chat": "gpt-4", "llm/v1/completions": "gpt-3.5-turbo-instruct"} {
			name := strings.ReplaceAll(route, "/", "-") + ".json"
			_, v, _ := ask(t, tuned(route, model), read("unit", "requests", name), reply{chunks: []string{`{"choices":[]}`}})
			sameJSON(t, name, read("unit", "expected-requests", "openai", name), (<-v.seen).body)
		}
	})
	t.Run("answers", func(t *testing.T) {
		for _, route := range []string{"llm/v1/chat", "llm/v1/completions"} {
			folder := strings.ReplaceAll(route, "/", "-")
			given := read("unit", "real-responses", "openai", folder+".json")
			got, _, _ := ask(t, tuned(route, ""), withModel(t, read("openai", folder, "requests", "good.json"), "m"), reply{chunks: pieces(given, 4)})
			if got.status != http.StatusOK || got.body != given {
				t.Errorf("%s: status %d, body %s", route, got.status, got.body)
			}
		}
	})
	t.Run("end to end", func(t *testing.T) {
		for _, tt := range []struct {
			route, request, response string
			status, upstream         int
			kind, body               string // body: what is wanted in place of the response
		}{
			{"llm/v1/chat", "good.json", "good.json", 200, 200, "", ""},
			{"llm/v1/chat", "good.json", "bad_upstream_response.json", 500, 200, "", "transformation failed from type openai://llm/v1/chat: 'choices' not in llm/v1/chat response"},
			{"llm/v1/chat", "good.json", "unauthorized.json", 401, 401, "", ""},
			{"llm/v1/chat", "good.json", "bad_request.json", 400, 400, "", ""},
			{"llm/v1/chat", "good.json", "internal_server_error.html", 500, 500, "text/html", ""},
			{"llm/v1/chat", "good_own_model.json", "good.json", 400, 200, "", "cannot use own model - must be: gpt-3.5-turbo"},
			{"llm/v1/chat", "bad_request.json", "good.json", 400, 200, "", "request body doesn't contain valid prompts"},
			{"llm/v1/completions", "good.json", "good.json", 200, 200, "", ""},
			{"llm/v1/completions", "good.json", "unauthorized.json", 401, 401, "", ""},
			{"llm/v1/completions", "good.json", "bad_request.json", 400, 400, "", ""},
			{"llm/v1/completions", "bad_request.json", "good.json", 400, 200, "", "request body doesn't contain valid prompts"},
		} {
			folder := strings.ReplaceAll(tt.route, "/", "-")
			response := read("openai", folder, "responses", tt.response)
			got, _, line := ask(t, tuned(tt.route, "gpt-3.5-turbo"), read("openai", folder, "requests", tt.request),
				reply{status: tt.upstream, kind: tt.kind, chunks: pieces(response, 3)})
			name := tt.route + " " + tt.request + " " + tt.response
			if got.status != tt.status {
				t.Errorf("%s: status %d, want %d", name, got.status, tt.status)
			}
			if want := tt.body; want != "" {
				sameJSON(t, name, `{"error":{"message":"`+want+`"}}`, got.body)
			} else if got.body != response {
				t.Errorf("%s: body %s, want %s", name, got.body, response)
			}
			if tt.route == "llm/v1/chat" && tt.status == 200 {
				if header := got.header.Get("X-Kong-LLM-Model"); header != "openai/gpt-3.5-turbo" {
					t.Errorf("%s: header %q", name, header)
				}
				if !strings.Contains(line, `"prompt_tokens":25,"completion_tokens":12,"total_tokens":37`) {
					t.Errorf("%s: log %s", name, line)
				}
			}
		}
		own := read("openai", "llm-v1-chat", "requests", "good_own_model.json")
		got, _, _ := ask(t, tuned("llm/v1/chat", ""), own, reply{chunks: []string{read("openai", "llm-v1-chat", "responses", "good.json")}})
		if header := got.header.Get("X-Kong-LLM-Model"); got.status != 200 || header != "openai/try-to-override-the-model" {
			t.Errorf("own model: status %d, header %q", got.status, header)
		}
		embeddings := read("openai", "llm-v1-embeddings", "responses", "good.json")
		got, _, _ = ask(t, tuned("preserve", ""), `{"input":"x"}`, reply{chunks: pieces(embeddings, 2)})
		if got.status != 200 || got.body != embeddings {
			t.Errorf("embeddings: status %d, body %s", got.status, got.body)
		}
	})
	t.Run("streams", func(t *testing.T) {
		for _, route := range []string{"llm/v1/chat", "llm/v1/completions"} {
			frame := strings.TrimSpace(read("unit", "real-stream-frames", "openai", strings.ReplaceAll(route, "/", "-")+".txt"))
			body := `{"messages":[{"role":"user","content":"x"}],"stream":true}`
			if route == "llm/v1/chat" {
				body = withModel(t, read("openai", "llm-v1-chat", "requests", "good-stream.json"), "gpt-4")
			} else {
				body = strings.Replace(body, `"messages":[{"role":"user","content":"x"}]`, `"prompt":"x"`, 1)
			}
			got, _, _ := ask(t, tuned(route, "gpt-4"), body, reply{kind: "text/event-stream", chunks: pieces(frame+"\n\n"+endMark, 5)})
			if want := frame + "\n\n" + endMark; got.body != want {
				t.Errorf("%s: %q, want %q", route, got.body, want)
			}
		}
		input := read("unit", "streaming-chunk-formats", "text-event-stream", "input.bin")
		var events []struct{ Data string }
		if err := json.Unmarshal([]byte(read("unit", "streaming-chunk-formats", "text-event-stream", "expected-output.json")), &events); err != nil {
			t.Fatal(err)
		}
		got, _, _ := ask(t, tuned("llm/v1/chat", "gpt-4"), streamRequest, reply{kind: "text/event-stream", chunks: pieces(input, 6)})
		for _, event := range events {
			if !strings.Contains(got.body, "data: "+event.Data+"\n\n") {
				t.Errorf("event %s is not in %s", event.Data, got.body)
			}
		}
	})
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// withModel gives a body a model, unless it has one.
func withModel(t *testing.T, body, model string) string {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &object); err != nil {
		t.Fatal(err)
	}
	if _, has := object["model"]; !has {
		object["model"] = json.RawMessage(`"` + model + `"`)
	}
	out, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func sameJSON(t *testing.T, name, want, got string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(want), &a); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := json.Unmarshal([]byte(got), &b); err != nil {
		t.Fatalf("%s: %s: %v", name, got, err)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
