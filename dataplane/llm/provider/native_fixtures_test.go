package provider

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// TestNativeFixtures runs the samples of the vendors with small formats that
// GIBBON_EXTRA_FIXTURES points at, which are not part of the project.
func TestNativeFixtures(t *testing.T) {
	root := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if root == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set")
	}
	if nested := filepath.Join(root, "ai-proxy"); func() bool { _, err := os.Stat(nested); return err == nil }() {
		root = nested
	}
	read := func(parts ...string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(append([]string{root}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	value := func(data []byte) (v map[string]any) {
		t.Helper()
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		return v
	}
	raw := &pluginpb.AiModelOptions{Llama2Format: new("raw"), UpstreamUrl: new("http://127.0.0.1/")}
	first := &pluginpb.AiModelOptions{UpstreamUrl: new("http://127.0.0.1/v1/chat")}
	for _, tt := range []struct {
		folder, provider, model string
		options                 *pluginpb.AiModelOptions
		settings                Settings
	}{
		{"cohere", "cohere", "command", first, Settings{Route: llm.Chat, MaxTokens: "512", Temperature: "0.5", TopP: "1.0"}},
		{"cohere", "cohere", "command", first, Settings{Route: llm.Completions, MaxTokens: "512", Temperature: "0.5", TopP: "0.75", TopK: "5"}},
		{"llama2/raw", "llama2", "llama2", raw, Settings{Route: llm.Chat, MaxTokens: "512", Temperature: "0.5", TopP: "1", TopK: "40"}},
		{"llama2/raw", "llama2", "llama2", raw, Settings{Route: llm.Completions, MaxTokens: "512", Temperature: "0.5"}},
	} {
		name := strings.ReplaceAll(string(tt.settings.Route), "/", "-") + ".json"
		t.Run(tt.folder+"/"+name, func(t *testing.T) {
			p, ok := Find(tt.provider, tt.options)
			if !ok {
				t.Fatal("not found")
			}
			var request llm.Request
			if err := client.NewOpenAI(tt.settings.Route, "").Read(client.Incoming{Body: read("unit", "requests", name)}, &request); err != nil {
				t.Fatal(err)
			}
			call := &Call{Settings: &tt.settings, Options: tt.options, Format: llm.OpenAI, Model: tt.model}
			body, err := p.Request(call, &request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(value(read("unit", "expected-requests", tt.folder, name)), value(body)); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			answer, err := p.Response(call, read("unit", "real-responses", tt.folder, name))
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Choices []struct {
					Text    string
					Message struct{ Role, Content string }
				}
			}
			if err := json.Unmarshal(read("unit", "expected-responses", tt.folder, name), &want); err != nil {
				t.Fatal(err)
			}
			choice := answer.Chat.Choices[0]
			if text := want.Choices[0].Text + want.Choices[0].Message.Content; len(choice.Message.Parts) != 1 || choice.Message.Parts[0].Text != text {
				t.Errorf("answer %q, want %q", choice.Message.Parts, text)
			}
		})
	}
	for _, tt := range []struct {
		file, provider, text, id string
		options                  *pluginpb.AiModelOptions
		route                    llm.Route
		total                    int64
	}{
		{"cohere/llm-v1-chat/responses/good.json", "cohere", "The sum of 1 + 1 is 2.", "3fa85f64-5717-4562-b3fc-2c963f66afa6", first, llm.Chat, 339},
		{"cohere/llm-v1-completions/responses/good.json", "cohere", "1 + 1 is 2.", "string", first, llm.Completions, 0},
		{"llama2/raw/responses/good.json", "llama2", "Is a well known font.", "", raw, llm.Chat, 0},
		{"llama2/raw/responses/good.json", "llama2", "Is a well known font.", "", raw, llm.Completions, 0},
	} {
		p, ok := Find(tt.provider, tt.options)
		if !ok {
			t.Fatal("not found")
		}
		answer, err := p.Response(&Call{Settings: &Settings{Route: tt.route}, Options: tt.options, Format: llm.OpenAI}, read(strings.Split(tt.file, "/")...))
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
			continue
		}
		choice := answer.Chat.Choices[0]
		if choice.Message.Parts[0].Text != tt.text || answer.Chat.ID != tt.id || answer.Usage.Total() != tt.total {
			t.Errorf("%s: %+v", tt.file, answer.Chat)
		}
	}
}
