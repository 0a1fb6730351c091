package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// nativeVendors are the vendors with small formats.
func nativeVendors(t testing.TB) []Provider {
	t.Helper()
	var all []Provider
	for _, tt := range []struct {
		name    string
		options *pluginpb.AiModelOptions
	}{
		{"ollama", nil}, {"cohere", nil}, {"huggingface", nil},
		{"llama2", &pluginpb.AiModelOptions{Llama2Format: new("raw")}},
	} {
		p, ok := Find(tt.name, tt.options)
		if !ok {
			t.Fatalf("%s was not found", tt.name)
		}
		all = append(all, p)
	}
	return all
}

var nativeRoutes = []llm.Route{llm.Chat, llm.Completions, llm.Embeddings}

var nativeAnswerSeeds = []string{
	`{"model":"m","created_at":"2026-03-04T05:06:07Z","message":{"content":"a","thinking":"b","tool_calls":[{"function":{"name":"f","arguments":{"x":1}}}]},"done_reason":"stop","done":true,"prompt_eval_count":1,"eval_count":2}`,
	`{"response":"x","done":true}`, `{"embeddings":[[1,2]],"prompt_eval_count":1}`, `{"embedding":[1]}`,
	`{"text":"a","generation_id":"g","meta":{"billed_units":{"input_tokens":1.0,"output_tokens":2}}}`,
	`{"id":"x","generations":[{"text":"a","finish_reason":"MAX_TOKENS"}]}`,
	`{"id":"c","finish_reason":"TOOL_CALL","message":{"tool_plan":"p","content":[{"type":"thinking","thinking":"t"},{"type":"text","text":"x"}],"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{}"}}]},"usage":{"tokens":{"input_tokens":1},"cached_tokens":1}}`,
	`{"embeddings":{"float":[[1]]}}`, `{"data":[{"generated_text":"[INST] a [/INST] b"}]}`,
	`{"message":{"content":"\ud800","tool_calls":{}},"text":1}`, `[1]`, `null`, ``,
	`[{"generated_text":"a","details":{"finish_reason":"length","generated_tokens":2}}]`, `{"choices":[{"message":{"content":"a"}}]}`, `{"error":["x"]}`,
}

// FuzzProviderAnswerNative reads hostile answers with all the vendors that have
// small formats.
func FuzzProviderAnswerNative(f *testing.F) {
	for _, seed := range nativeAnswerSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range nativeVendors(t) {
			for _, route := range nativeRoutes {
				format, ok := p.Format(route)
				if !ok {
					continue
				}
				for _, caller := range []llm.Format{llm.OpenAI, format} {
					answer, err := p.Response(&Call{Settings: &Settings{Route: route}, Format: caller}, data)
					if err != nil {
						if _, ok := errors.AsType[*AnswerError](err); !ok {
							t.Fatalf("%s: %v", p.Name(), err)
						}
						continue
					}
					if !json.Valid(data) {
						t.Fatalf("%s read %q", p.Name(), data)
					}
					if answer.Chat != nil {
						if len(answer.Chat.Choices) == 0 && !bytes.Contains(data, []byte("generations")) && !bytes.Contains(data, []byte("choices")) {
							t.Fatalf("%s read nothing of %q", p.Name(), data)
						}
						for _, choice := range answer.Chat.Choices {
							for _, call := range choice.Message.Calls {
								if call.ID == "" {
									t.Fatalf("%s: a call of %q has no id", p.Name(), data)
								}
							}
						}
					}
					if answer.Embedding != nil {
						for _, v := range answer.Embedding.Vectors {
							if v[0] != '[' || !json.Valid(v) {
								t.Fatalf("%s: vector %q of %q", p.Name(), v, data)
							}
						}
					}
				}
			}
		}
	})
}

// FuzzProviderStreamNative reads hostile streams, in one piece and in two, which
// must mean the same, and nothing may come behind a finish.
func FuzzProviderStreamNative(f *testing.F) {
	for _, seed := range nativeAnswerSeeds {
		f.Add([]byte(seed+"\n"+seed), uint16(7))
		f.Add([]byte("data: "+seed+"\n\ndata: [DONE]\n\n"), uint16(9))
	}
	for _, seed := range []string{
		`{"event_type":"stream-start","generation_id":"g"}{"event_type":"text-generation","text":"a"}{"event_type":"stream-end","response":{"meta":{"billed_units":{"input_tokens":1}}}}`,
		`{"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":{"id":"t","function":{"name":"f","arguments":"{"}}}}}{"type":"tool-call-delta","index":1,"delta":{"message":{"tool_calls":{"function":{"arguments":"}"}}}}}{"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{}}}`,
		`{"token":{"id":1,"text":"a","special":false},"generated_text":null}{"token":{"text":"</s>","special":true},"generated_text":"a","details":{"finish_reason":"eos_token","generated_tokens":2}}`,
	} {
		f.Add([]byte(seed), uint16(20))
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint16) {
		at := int(cut) % (len(data) + 1)
		for _, p := range nativeVendors(t) {
			for _, route := range nativeRoutes {
				if _, ok := p.Format(route); !ok {
					continue
				}
				call := &Call{Settings: &Settings{Route: route}, Format: llm.OpenAI, Streams: true}
				for _, framing := range []string{"sse", "values"} {
					whole := nativeEvents(t, p, call, framing, string(data))
					if cut := nativeEvents(t, p, call, framing, string(data[:at]), string(data[at:])); cut != whole {
						t.Fatalf("%s: cut at %d: %s, want %s", p.Name(), at, cut, whole)
					}
				}
			}
		}
	})
}

// FuzzProviderRequestNative writes hostile calls for all the vendors that have
// small formats: what goes up is one JSON object, whose model is the one that is
// asked and whose limit is the one that is configured.
func FuzzProviderRequestNative(f *testing.F) {
	for _, seed := range []string{
		`{"messages":[{"role":"user","content":"x"}],"extra_body":{"Model":"y","model":"z","options":{"num_predict":1}},"options":{"Num_Predict":9}}`,
		`{"messages":[{"role":"assistant","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":1} ,"}}]},{"role":"tool","tool_call_id":"t","content":[]}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{}}`,
		`{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,\"},"}}]}]}`,
		`{"prompt":["x"],"stop":["\u0000"],"max_tokens":1}`, `{"input":["a"],"dimensions":3}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range nativeVendors(t) {
			for _, route := range nativeRoutes {
				var request llm.Request
				if _, ok := p.Format(route); !ok || client.NewOpenAI(route, "").Read(client.Incoming{Body: data}, &request) != nil {
					continue
				}
				body, err := p.Request(&Call{Settings: &Settings{Route: route, MaxTokens: "77"}, Format: llm.OpenAI, Model: "the model"}, &request)
				if err != nil {
					if _, ok := errors.AsType[*CallError](err); !ok {
						t.Fatalf("%s: %v", p.Name(), err)
					}
					continue
				}
				var got map[string]any
				if err := json.Unmarshal(body, &got); err != nil {
					t.Fatalf("%s wrote %q for %q: %v", p.Name(), body, data, err)
				}
				// What nobody looks at passes as often as the caller wrote it.
				own := map[string]int{}
				llm.Members(data, func(name string, _ []byte) bool {
					own[strings.ToLower(name)]++
					return true
				})
				seen := map[string]bool{}
				llm.Members(body, func(name string, _ []byte) bool {
					if lower := strings.ToLower(name); seen[lower] && own[lower] < 2 {
						t.Fatalf("%s wrote %s twice: %q for %q", p.Name(), name, body, data)
					} else {
						seen[lower] = true
					}
					return true
				})
				if model, ok := got["model"]; ok && model != "the model" {
					t.Fatalf("%s wrote %q for %q", p.Name(), body, data)
				}
				if n := bytes.Count(body, []byte("num_predict")); n > 0 && p.Name() == "ollama" && !bytes.Contains(body, []byte(`"num_predict":77`)) {
					t.Fatalf("%s wrote %q for %q", p.Name(), body, data)
				}
			}
		}
	})
}
