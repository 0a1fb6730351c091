package provider

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// TestExtraSaysNothing checks that no provider takes a prompt out of a caller's
// extra_body, where no guard looks at it.
func TestExtraSaysNothing(t *testing.T) {
	// What each reads as something that is said, beside what all do.
	read := map[string]string{
		"anthropic": "system", "gemini": "contents systemInstruction system_instruction", "bedrock": "system inputText",
		"cohere": "message chat_history preamble tool_results", "huggingface": "prompt", "ollama": "system template context",
		"llama2": "system template context inputs", "mistral": "system template context",
	}
	for _, p := range All {
		for _, variant := range []string{"openai", "ollama", "raw"} {
			options := &pluginpb.AiModelOptions{Llama2Format: proto.String(variant), MistralFormat: proto.String(variant)}
			found, ok := Find(p.Name(), options)
			if !ok {
				continue
			}
			for route, said := range map[llm.Route]string{llm.Chat: `"messages":[{"role":"user","content":"hi"}]`, llm.Completions: `"prompt":"hi"`} {
				upstream, runs := found.Format(route)
				names := "messages Messages prompt model Model stream extra_body"
				switch upstream {
				case llm.OpenAI:
				case llm.Gemini:
					names = read[p.Name()] // Google refuses what it does not know
				default:
					names += " " + read[p.Name()]
				}
				for name := range strings.FieldsSeq(names) {
					for _, value := range []string{`"EVIL"`, `["EVIL"]`, `[{"role":"user","content":"EVIL"}]`, `{"parts":[{"text":"EVIL"}]}`} {
						body := `{` + said + `,"extra_body":{"` + name + `":` + value + `}}`
						format, ok := client.For(llm.OpenAI, route, "", llm.Limits{})
						var r llm.Request
						if err := format.Read(client.Incoming{Method: "POST", Body: []byte(body)}, &r); err != nil || !ok || !runs {
							continue
						}
						out, err := found.Request(&Call{Settings: &Settings{Route: route}, Format: llm.OpenAI, Model: "m", Options: options}, &r)
						if err == nil && strings.Contains(string(out), "EVIL") {
							t.Errorf("%s %s %s: %s became %s", p.Name(), variant, route, body, out)
						}
					}
				}
			}
		}
	}
}
