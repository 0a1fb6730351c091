package aipromptdecorator

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

var both = prompts{
	prepend: []message{{llm.RoleSystem, "s1"}, {llm.RoleUser, "u1"}},
	append:  []message{{llm.RoleAssistant, "a2"}, {llm.RoleSystem, "s\"2"}},
}

func TestDecorate(t *testing.T) {
	front := prompts{prepend: []message{{llm.RoleSystem, "s"}}}
	for _, tt := range []struct {
		name   string
		format llm.Format
		p      prompts
		body   string
		want   string // empty: no chat
	}{
		{"openai", llm.OpenAI, both, ` { "n" : 1.50, "messages" : [ {"role":"user","content":"\u0061"} ] , "x":{} }`,
			` { "n" : 1.50, "messages" : [{"role":"system","content":"s1"},{"role":"user","content":"u1"}, {"role":"user","content":"\u0061"} ,{"role":"assistant","content":"a2"},{"role":"system","content":"s\"2"}] , "x":{} }`},
		{"openai, front only", llm.OpenAI, front, `{"messages":[1]}`, `{"messages":[{"role":"system","content":"s"},1]}`},
		{"openai, none", llm.OpenAI, both, `{"messages":[ ]}`, ""},
		{"openai, prompt", llm.OpenAI, both, `{"prompt":"a"}`, ""},
		{"responses, a text", llm.OpenAI, both, `{"n" : 1.50, "input" : "\u0061" }`,
			`{"n" : 1.50, "input" : [{"role":"system","content":"s1"},{"role":"user","content":"u1"},{"role":"user","content":"\u0061"},{"role":"assistant","content":"a2"},{"role":"system","content":"s\"2"}] }`},
		{"responses, items", llm.OpenAI, both, `{"instructions":"i","input":[ {"type":"function_call_output","call_id":"c","output":"1.0"} ],"prompt":{"id":"p"},"messages":null}`,
			`{"instructions":"i","input":[{"role":"system","content":"s1"},{"role":"user","content":"u1"}, {"type":"function_call_output","call_id":"c","output":"1.0"} ,{"role":"assistant","content":"a2"},{"role":"system","content":"s\"2"}],"prompt":{"id":"p"},"messages":null}`},
		{"responses, front only", llm.OpenAI, front, `{"input":"a"}`, `{"input":[{"role":"system","content":"s"},{"role":"user","content":"a"}]}`},
		{"responses, none", llm.OpenAI, both, `{"input":[]}`, ""},
		{"responses, a number", llm.OpenAI, both, `{"input":1}`, ""},
		{"responses, a kept prompt alone", llm.OpenAI, both, `{"prompt":{"id":"p"}}`, ""},
		{"input beside messages", llm.OpenAI, both, `{"input":"a","messages":[1]}`, ""},
		{"input beside a completion's prompt", llm.OpenAI, both, `{"input":"a","prompt":"b"}`, ""},
		{"openai, vectors", llm.OpenAI, both, `{"input":["a","b"]}`, ""},
		{"openai, vectors of tokens", llm.OpenAI, both, `{"input":[[1]]}`, ""},
		{"anthropic, no system", llm.Anthropic, both, `{"messages":[{"role":"user","content":"a"}]}`,
			`{"system":[{"type":"text","text":"s1"},{"type":"text","text":"s\"2"}],"messages":[{"role":"user","content":"u1"},{"role":"user","content":"a"},{"role":"assistant","content":"a2"}]}`},
		{"anthropic, text", llm.Anthropic, both, `{"system":"t","messages":[1]}`,
			`{"system":[{"type":"text","text":"s1"},{"type":"text","text":"t"},{"type":"text","text":"s\"2"}],"messages":[{"role":"user","content":"u1"},1,{"role":"assistant","content":"a2"}]}`},
		{"anthropic, blocks", llm.Anthropic, front, `{"messages":[1],"system":[{"type":"text","text":"t","cache_control":{}}]}`,
			`{"messages":[1],"system":[{"type":"text","text":"s"},{"type":"text","text":"t","cache_control":{}}]}`},
		{"anthropic, null", llm.Anthropic, front, `{"messages":[1],"system":null}`, `{"messages":[1],"system":[{"type":"text","text":"s"}]}`},
		{"anthropic, empty", llm.Anthropic, front, `{"messages":[1],"system":[ ]}`, `{"messages":[1],"system":[{"type":"text","text":"s"}]}`},
		{"anthropic, a number", llm.Anthropic, front, `{"messages":[1],"system":1}`, ""},
		{"gemini, none", llm.Gemini, both, `{"contents":[{"parts":[]}]}`,
			`{"systemInstruction":{"parts":[{"text":"s1"},{"text":"s\"2"}]},"contents":[{"role":"user","parts":[{"text":"u1"}]},{"parts":[]},{"role":"model","parts":[{"text":"a2"}]}]}`},
		{"gemini, snake", llm.Gemini, front, `{"contents":[1],"system_instruction":{"role":"system","parts":[{"text":"t"}]}}`,
			`{"contents":[1],"system_instruction":{"role":"system","parts":[{"text":"s"},{"text":"t"}]}}`},
		{"gemini, no parts", llm.Gemini, front, `{"contents":[1],"systemInstruction":{"role":"system"}}`,
			`{"contents":[1],"systemInstruction":{"parts":[{"text":"s"}],"role":"system"}}`},
		{"gemini, empty", llm.Gemini, front, `{"contents":[1],"systemInstruction":{}}`, `{"contents":[1],"systemInstruction":{"parts":[{"text":"s"}]}}`},
		{"gemini, a text", llm.Gemini, front, `{"contents":[1],"systemInstruction":"t"}`, ""},
		{"gemini, vectors", llm.Gemini, front, `{"content":{}}`, ""},
		{"bedrock", llm.Bedrock, both, `{"system":[{"text":"t"}],"messages":[1]}`,
			`{"system":[{"text":"s1"},{"text":"t"},{"text":"s\"2"}],"messages":[{"role":"user","content":[{"text":"u1"}]},1,{"role":"assistant","content":[{"text":"a2"}]}]}`},
		{"bedrock, a text", llm.Bedrock, front, `{"system":"t","messages":[1]}`, ""},
		{"bedrock, invoke", llm.Bedrock, front, `{"anthropic_version":"v","messages":[1]}`,
			`{"system":[{"type":"text","text":"s"}],"anthropic_version":"v","messages":[1]}`},
		{"cohere, second", llm.Cohere, front, `{"messages":[1]}`, `{"messages":[{"role":"system","content":"s"},1]}`},
		{"cohere, first", llm.Cohere, both, `{"message":"m","chat_history":[1]}`,
			`{"message":"m","chat_history":[{"role":"SYSTEM","message":"s1"},{"role":"USER","message":"u1"},1,{"role":"CHATBOT","message":"a2"},{"role":"SYSTEM","message":"s\"2"}]}`},
		{"cohere, no history", llm.Cohere, front, `{"message":"m"}`, `{"chat_history":[{"role":"SYSTEM","message":"s"}],"message":"m"}`},
		{"cohere, empty history", llm.Cohere, front, `{"message":"m","chat_history":[]}`, `{"message":"m","chat_history":[{"role":"SYSTEM","message":"s"}]}`},
		{"cohere, rerank", llm.Cohere, front, `{"query":"q","documents":[]}`, ""},
		{"huggingface, text", llm.HuggingFace, both, `{"inputs":"\u0061"}`, `{"inputs":"s1\nu1\n\u0061\na2\ns\"2"}`},
		{"huggingface, chat", llm.HuggingFace, front, `{"messages":[1]}`, `{"messages":[{"role":"system","content":"s"},1]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decorate(tt.format, []byte(tt.body), &tt.p, llm.Limits{})
			if tt.want == "" {
				if !errors.Is(err, errNoChat) {
					t.Fatalf("%s, error %v; want none", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if !json.Valid(got) {
				t.Error("it is no JSON")
			}
		})
	}
	for _, body := range []string{`{"messages":[1],"messages":[2]}`, `{"messages":[1],"System":"a"}`} {
		if _, err := decorate(llm.Anthropic, []byte(body), &both, llm.Limits{}); err == nil {
			t.Errorf("%s is decorated", body)
		}
	}
	if _, err := decorate(llm.Gemini, []byte(`{"contents":[1],"systemInstruction":{},"system_instruction":{}}`), &both, llm.Limits{}); err == nil {
		t.Error("two instructions are decorated")
	}
}

// What was valid stays valid, whatever the body.
func FuzzDecorate(f *testing.F) {
	for _, format := range []string{"openai", "anthropic", "gemini", "bedrock", "cohere", "huggingface"} {
		f.Add(format, []byte(`{"messages":[1],"contents":[1],"system":"a","systemInstruction":{"parts":[]},"inputs":"a","message":"b"}`))
		f.Add(format, []byte(` { "inputs" : "\\" , "message":"", "chat_history" : null }`))
	}
	f.Fuzz(func(t *testing.T, format string, body []byte) {
		var o llm.Object
		if o.Read(body, llm.NewNames()) != nil {
			return // the plugin sees none that is not valid
		}
		got, err := decorate(llm.Format(format), body, &both, llm.Limits{})
		if err == nil && !json.Valid(got) {
			t.Errorf("%s becomes %s", body, got)
		}
	})
}
