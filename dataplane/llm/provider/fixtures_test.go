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

// fixtures opens the samples that GIBBON_EXTRA_FIXTURES points at, which are not
// part of the project.
func fixtures(t *testing.T) (read func(parts ...string) []byte) {
	t.Helper()
	root := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if root == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set")
	}
	if info, err := os.Stat(filepath.Join(root, "ai-proxy")); err == nil && info.IsDir() {
		root = filepath.Join(root, "ai-proxy")
	}
	return func(parts ...string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(append([]string{root}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
}

// fixtureModels are the configurations that the samples were made with.
var fixtureModels = []struct {
	folder, provider, model string
	options                 *pluginpb.AiModelOptions
	settings                Settings
}{
	{"openai", "openai", "gpt-4", nil, Settings{Route: llm.Chat, MaxTokens: "512", Temperature: "0.5"}},
	{"openai", "openai", "gpt-3.5-turbo-instruct", nil, Settings{Route: llm.Completions, MaxTokens: "512", Temperature: "0.5"}},
	{"azure", "azure", "gpt-4", nil, Settings{Route: llm.Chat, MaxTokens: "512", Temperature: "0.5", TopP: "1.0"}},
	{"anthropic", "anthropic", "claude-2.1", nil, Settings{Route: llm.Chat, MaxTokens: "512", Temperature: "0.5", TopP: "1.0"}},
	{"anthropic", "anthropic", "claude-2.1", nil, Settings{Route: llm.Completions, MaxTokens: "512", Temperature: "0.5", TopP: "1.0"}},
	// The samples are of the first version of Cohere's API.
	{"cohere", "cohere", "command", &pluginpb.AiModelOptions{UpstreamUrl: new("http://127.0.0.1/v1/chat")}, Settings{Route: llm.Chat, MaxTokens: "512", Temperature: "0.5", TopP: "1.0"}},
	{"cohere", "cohere", "command", &pluginpb.AiModelOptions{UpstreamUrl: new("http://127.0.0.1/v1/generate")}, Settings{Route: llm.Completions, MaxTokens: "512", Temperature: "0.5", TopP: "0.75", TopK: "5"}},
	{"llama2/raw", "llama2", "llama2", &pluginpb.AiModelOptions{Llama2Format: new("raw")}, Settings{Route: llm.Chat, MaxTokens: "512", Temperature: "0.5", TopP: "1", TopK: "40"}},
	{"llama2/raw", "llama2", "llama2", &pluginpb.AiModelOptions{Llama2Format: new("raw")}, Settings{Route: llm.Completions, MaxTokens: "512", Temperature: "0.5"}},
	{"gemini", "gemini", "gemini-pro", nil, Settings{Route: llm.Chat, MaxTokens: "8192", Temperature: "0.8", TopK: "1", TopP: "0.6"}},
	{"bedrock", "bedrock", "bedrock", nil, Settings{Route: llm.Chat, MaxTokens: "8192", Temperature: "0.8", TopK: "1", TopP: "0.6"}},
}

func fixtureValue(t *testing.T, data []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}

// TestFixtures checks what is made of the samples' calls, and of the vendors'
// answers to them.
func TestFixtures(t *testing.T) {
	read := fixtures(t)
	for i := range fixtureModels {
		m := &fixtureModels[i]
		name := strings.ReplaceAll(string(m.settings.Route), "/", "-") + ".json"
		p, ok := Find(m.provider, m.options)
		if !ok {
			continue // a vendor that this version does not run
		}
		call := &Call{Settings: &m.settings, Options: m.options, Format: llm.OpenAI, Model: m.model}
		caller := client.NewOpenAI(m.settings.Route, "")
		var request llm.Request
		if err := caller.Read(client.Incoming{Body: read("unit", "requests", name)}, &request); err != nil {
			t.Fatal(err)
		}
		t.Run("request/"+m.folder+"/"+name, func(t *testing.T) {
			body, err := p.Request(call, &request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fixtureValue(t, read("unit", "expected-requests", m.folder, name)), fixtureValue(t, body)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
		t.Run("response/"+m.folder+"/"+name, func(t *testing.T) {
			answer, err := p.Response(call, read("unit", "real-responses", m.folder, name))
			if err != nil {
				t.Fatal(err)
			}
			body := answer.Body
			if answer.Chat != nil {
				if answer.Chat.Model == "" {
					answer.Chat.Model = call.Model
				}
				body = caller.AppendAnswer(nil, &request, answer.Chat)
			}
			var want, got struct {
				Model   string
				Choices []struct {
					Text    string
					Message *struct{ Role, Content string }
				}
			}
			if err := json.Unmarshal(read("unit", "expected-responses", m.folder, name), &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if want.Model == "" {
				got.Model = "" // some of the samples name none
			}
			if diff := cmp.Diff(want.Choices[:1], got.Choices[:1]); diff != "" || want.Model != got.Model {
				t.Errorf("model %q, want %q, choices (-want +got):\n%s", got.Model, want.Model, diff)
			}
		})
	}
}

// TestFixtureStreams checks what the samples' frames say, for callers of other
// formats too.
func TestFixtureStreams(t *testing.T) {
	read := fixtures(t)
	for _, route := range []llm.Route{llm.Chat, llm.Completions} {
		text := read("unit", "real-stream-frames", "openai", strings.ReplaceAll(string(route), "/", "-")+".txt")
		stream := openAI(t).Stream(&Call{Settings: &Settings{Route: route}, Format: llm.Anthropic})
		var reader llm.EventReader
		said, events := "", 0
		take := func(e llm.ServerEvent) error {
			events++
			frame, ok := stream.Read(e)
			if !ok {
				t.Fatalf("%s was not read", e.Data)
			}
			for _, e := range frame.Events {
				if e.Kind == llm.EventText && e.Choice == 0 {
					said += string(e.Text)
				}
				if e.Kind == llm.EventFinish {
					t.Error("the answer ended")
				}
			}
			return nil
		}
		if err := reader.Read(text, take); err != nil {
			t.Fatal(err)
		}
		if err := reader.Close(take); err != nil {
			t.Fatal(err)
		}
		if said != "the answer" || events != 1 {
			t.Errorf("%s: %d events say %q", route, events, said)
		}
	}
}

// TestFixtureFraming checks the cutting of streams, in one piece and byte by byte.
func TestFixtureFraming(t *testing.T) {
	read := fixtures(t)
	type cutter func(piece []byte, f func(llm.ServerEvent) error) error
	for _, tt := range []struct {
		folder string
		open   func() cutter
	}{
		{"text-event-stream", func() cutter { return new(llm.EventReader).Read }},
		{"partial-json-beginning", func() cutter {
			r := &llm.ValueReader{}
			return func(piece []byte, f func(llm.ServerEvent) error) error {
				return r.Read(piece, func(value []byte) error { return f(llm.ServerEvent{Data: value}) })
			}
		}},
		{"aws", func() cutter { return new(llm.FrameReader).Read }},
	} {
		var want []struct{ Data string }
		if err := json.Unmarshal(read("unit", "streaming-chunk-formats", tt.folder, "expected-output.json"), &want); err != nil {
			t.Fatal(err)
		}
		input := read("unit", "streaming-chunk-formats", tt.folder, "input.bin")
		for _, size := range []int{len(input), 1, 7} {
			cut := tt.open()
			var got []llm.ServerEvent
			take := func(e llm.ServerEvent) error {
				got = append(got, llm.ServerEvent{Name: []byte(string(e.Name)), Data: []byte(string(e.Data))})
				return nil
			}
			for rest := input; len(rest) > 0; {
				n := min(size, len(rest))
				if err := cut(rest[:n], take); err != nil {
					t.Fatalf("%s: %v", tt.folder, err)
				}
				rest = rest[n:]
			}
			// The samples are pieces of streams, so that none is closed.
			if len(got) != len(want) {
				t.Errorf("%s by %d: %d events, want %d", tt.folder, size, len(got), len(want))
				continue
			}
			for i := range want {
				data, name := want[i].Data, ""
				if tt.folder == "aws" {
					// The samples hold the frame as JSON of its headers and its payload.
					var frame struct {
						Headers map[string]any
						Body    string
					}
					if err := json.Unmarshal([]byte(data), &frame); err != nil {
						t.Fatal(err)
					}
					data, name = frame.Body, frame.Headers[":event-type"].(string)
				}
				if string(got[i].Name) != name {
					t.Errorf("%s: event %d is named %q, want %q", tt.folder, i, got[i].Name, name)
				}
				if data == "[DONE]" || string(got[i].Data) == "[DONE]" {
					if data != string(got[i].Data) {
						t.Errorf("%s: event %d is %q, want %q", tt.folder, i, got[i].Data, data)
					}
					continue
				}
				if diff := cmp.Diff(fixtureValue(t, []byte(data)), fixtureValue(t, got[i].Data)); diff != "" {
					t.Errorf("%s: event %d (-want +got):\n%s", tt.folder, i, diff)
				}
			}
		}
	}
}
