package client

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// readGemini reads a call on a route for chats.
func readGemini(t testing.TB, body string) *llm.Request {
	t.Helper()
	r := &llm.Request{}
	if err := NewGemini(llm.Chat, "").Read(Incoming{Method: "POST", Path: "/v1beta/models/m:generateContent", Body: []byte(body)}, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGeminiPaths(t *testing.T) {
	for _, tt := range []struct {
		route        llm.Route
		method, path string
		named        map[string]string
		operation    string
		model        string
		streams      bool
		refusal      string
	}{
		{route: llm.Chat, path: "/v1beta/models/gemini-pro:generateContent", operation: "/v1beta/models/gemini-pro:generateContent", model: "gemini-pro"},
		{route: llm.Chat, path: "/gem/v1/v1beta/models/gemini-pro:streamGenerateContent", operation: "/v1beta/models/gemini-pro:streamGenerateContent", model: "gemini-pro", streams: true},
		{route: llm.Chat, path: "/gem/models/gemini-pro:generateContent", operation: "/models/gemini-pro:generateContent", model: "gemini-pro"},
		{route: llm.Chat, path: "/models/models/gemini-pro:generateContent", operation: "/models/gemini-pro:generateContent", model: "gemini-pro"},
		{route: llm.Chat, path: "/v1/projects/p/locations/l/publishers/google/models/gemini-pro:streamGenerateContent",
			operation: "/v1/projects/p/locations/l/publishers/google/models/gemini-pro:streamGenerateContent", model: "gemini-pro", streams: true},
		{route: llm.Chat, path: "/v1/projects/p/locations/l/endpoints/12:generateContent", operation: "/v1/projects/p/locations/l/endpoints/12:generateContent"},
		{route: llm.Chat, path: "/v1beta/models/a%3Ab%2Fc:generateContent", operation: "/v1beta/models/a%3Ab%2Fc:generateContent", model: "a:b/c"},
		{route: llm.Chat, path: "/x/gemini-pro/generateContent", named: map[string]string{"model": "gemini pro:1", "operation": "generateContent"},
			operation: "/v1beta/models/gemini%20pro%3A1:generateContent", model: "gemini pro:1"},
		{route: llm.Chat, path: "/v1beta/models/own:streamGenerateContent", named: map[string]string{"model": "named"},
			operation: "/v1beta/models/own:streamGenerateContent", model: "named", streams: true},
		{route: llm.Chat, path: "/anything"},
		{route: llm.Chat, path: "/v1beta/models/m:countTokens", operation: "/v1beta/models/m:countTokens", model: "m"},
		{route: llm.Chat, method: "GET", path: "/v1beta/models", operation: "/v1beta/models"},
		{route: llm.Chat, path: "/v1beta/models", refusal: "path /v1beta/models is not supported"},
		{route: llm.Chat, path: "/v1beta/models/m:embedContent", refusal: "[llm/v1/embeddings] message format is not compatible with [llm/v1/chat] route type"},
		{route: llm.Chat, method: "DELETE", path: "/v1beta/files/a", refusal: "[llm/v1/files] message format is not compatible with [llm/v1/chat] route type"},
		{route: llm.Chat, path: "/v1beta/tunedModels/a", refusal: "path /v1beta/tunedModels/a is not supported"},
		{route: llm.Chat, path: "/v1beta/models/m:delete", refusal: "method delete is not supported"},
		{route: llm.Embeddings, path: "/v1beta/models/e:batchEmbedContents", operation: "/v1beta/models/e:batchEmbedContents", model: "e"},
		{route: llm.Embeddings, path: "/v1beta/models/e:generateContent", refusal: "[llm/v1/chat] message format is not compatible with [llm/v1/embeddings] route type"},
		{route: llm.Files, path: "/upload/v1beta/files", operation: "/upload/v1beta/files"},
		{route: llm.Files, path: "/x/upload/7/files", operation: "/upload/7/files"},
		{route: llm.Files, method: "GET", path: "/v1beta/files/v1", operation: "/v1beta/files/v1"},
		{route: llm.Batches, path: "/v1beta/models/m:batchGenerateContent", operation: "/v1beta/models/m:batchGenerateContent", model: "m"},
		{route: llm.Batches, method: "GET", path: "/v1beta/batches/7", operation: "/v1beta/batches/7"},
		{route: llm.Batches, path: "/v1/projects/p/locations/l/batchPredictionJobs", operation: "/v1/projects/p/locations/l/batchPredictionJobs"},
		{route: llm.Chat, path: "/v1/projects/p/locations/l/rankingConfigs/c:rank", operation: "/v1/projects/p/locations/l/rankingConfigs/c:rank"},
		{route: llm.Videos, path: "/v1beta/models/veo:predictLongRunning", operation: "/v1beta/models/veo:predictLongRunning", model: "veo"},
		{route: llm.Preserve, path: "/v1beta/tunedModels/a", operation: "/v1beta/tunedModels/a"},
	} {
		var r llm.Request
		err := NewGemini(tt.route, "").Read(Incoming{Method: tt.method, Path: tt.path, Named: tt.named}, &r)
		if tt.refusal != "" {
			if told, ok := errors.AsType[*Error](err); !ok || told.Message != tt.refusal {
				t.Errorf("%s %s on %s: %v, want %s", tt.method, tt.path, tt.route, err, tt.refusal)
			}
			continue
		}
		if err != nil || r.Operation != tt.operation || r.Model != tt.model || r.Streams != tt.streams || r.Format != llm.Gemini {
			t.Errorf("%s on %s: %v, operation %q, model %q, streams %v", tt.path, tt.route, err, r.Operation, r.Model, r.Streams)
		}
	}
}

func TestGeminiBodies(t *testing.T) {
	const generate, embed = "/v1beta/models/m:generateContent", "/v1beta/models/m:batchEmbedContents"
	for _, tt := range []struct {
		route      llm.Route
		path, body string
		refusal    string
		prompt     bool
		words      int
	}{
		{llm.Chat, generate, `{"contents":[{"parts":[{"text":"one two"},{"text":"three"}]}],"system_instruction":{"parts":{"text":"four"}}}`, "", true, 4},
		{llm.Chat, generate, `{"contents":{"parts":{"text":"one two"}}}`, "", true, 2},
		{llm.Chat, generate, `{"contents":[]}`, "", false, 0},
		{llm.Chat, generate, `{"contents":"one"}`, "", false, 0},
		{llm.Chat, generate, `{}`, "", false, 0},
		{llm.Chat, generate, ``, "", false, 0},
		{llm.Chat, "/anything", `{"contents":[]}`, "", false, 0},
		{llm.Chat, "/v1beta/models/m:countTokens", `{"generateContentRequest":{}}`, "", true, 0},
		{llm.Chat, generate, `{"contents":[],"contents":[]}`, "field 'contents' must appear once and in this spelling", false, 0},
		{llm.Chat, generate, `{"Contents":[]}`, "field 'contents' must appear once and in this spelling", false, 0},
		{llm.Chat, generate, `{"systemInstruction":{},"system_instruction":{}}`, "field 'systemInstruction' must appear once and in this spelling", false, 0},
		{llm.Chat, generate, `{"generationConfig":{},"generation_config":{}}`, "field 'generationConfig' must appear once and in this spelling", false, 0},
		{llm.Chat, generate, `[]`, ErrUnreadable.Message, false, 0},
		{llm.Chat, generate, `{`, ErrUnreadable.Message, false, 0},
		{llm.Embeddings, embed, `{"requests":[{"content":{"parts":[{"text":"a b"}]}},{"content":{"parts":[{"text":"c"}]}}]}`, "", true, 3},
		{llm.Embeddings, embed, `{"requests":[]}`, "", false, 0},
		{llm.Embeddings, "/v1beta/models/m:embedContent", `{"content":{"parts":[{"text":"a b"}]}}`, "", true, 2},
		{llm.Embeddings, "/v1beta/models/m:predict", `{"instances":[{"content":"a b c"}]}`, "", true, 3},
		{llm.Preserve, "/x", `{"contents":1,"contents":2}`, "", true, 0},
		{llm.Files, "/v1beta/files", ``, "", true, 0},
	} {
		var r llm.Request
		g := NewGemini(tt.route, "")
		err := g.Read(Incoming{Method: "POST", Path: tt.path, Body: []byte(tt.body)}, &r)
		if tt.refusal != "" {
			if told, ok := errors.AsType[*Error](err); !ok || told.Message != tt.refusal {
				t.Errorf("%s: %v, want %s", tt.body, err, tt.refusal)
			}
			continue
		}
		if err != nil || g.Judge(&r) != nil || g.HasPrompt(&r) != tt.prompt || g.Words(&r) != tt.words {
			t.Errorf("%s %s: %v, prompt %v, %d words", tt.path, tt.body, err, g.HasPrompt(&r), g.Words(&r))
		}
	}
	r := readGemini(t, `{"contents":[{}`+strings.Repeat(",{}", llm.MaxMessages)+`]}`)
	if err := NewGemini(llm.Chat, "").Judge(r); err == nil || err.Error() != "request body holds more than 10000 messages" {
		t.Errorf("too many turns: %v", err)
	}
	var own llm.Request
	if err := NewGemini(llm.Chat, "key").Read(Incoming{Path: generate, Body: []byte(`{"key":"own"}`)}, &own); err != nil || !own.Fields.Has(llm.FieldParam) {
		t.Errorf("%v: the credentials were not found", err)
	}
}

// TestGeminiChat shows what guards see of Google's own calls, written in
// OpenAI's format.
func TestGeminiChat(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"turns", `{"system_instruction":{"parts":[{"text":"Be "},{"text":"brief."}]},"contents":[{"role":"human","parts":[{"text":"Hi"}]},{"role":"model","parts":[{"text":"Yes?"}]},{"parts":[{"text":"a"}]}]}`,
			`{"model":"m","messages":[{"role":"system","content":[{"type":"text","text":"Be "},{"type":"text","text":"brief."}]},{"role":"user","content":[{"type":"text","text":"Hi"}]},` +
				`{"role":"assistant","content":[{"type":"text","text":"Yes?"}]},{"role":"user","content":[{"type":"text","text":"a"}]}],"stream":false}`},
		{"one in place of a list", `{"contents":{"role":"user","parts":{"text":"Hi"}},"systemInstruction":{"parts":{"text":"s"}}}`,
			`{"model":"m","messages":[{"role":"system","content":[{"type":"text","text":"s"}]},{"role":"user","content":[{"type":"text","text":"Hi"}]}],"stream":false}`},
		{"media", `{"contents":[{"parts":[{"inline_data":{"mime_type":"image/png","data":"aGk="}},{"inlineData":{"mimeType":"image/png","data":"a\/k="}},{"fileData":{"fileUri":"https://example.com/a.png","mimeType":"image/png"}},{"inlineData":{"mimeType":"audio/wav","data":"aGk="}}]}]}`,
			`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}},{"type":"image_url","image_url":{"url":"data:image/png;base64,a/k="}},{"type":"image_url","image_url":{"url":"https://example.com/a.png"}},` +
				`{"type":"input_audio","input_audio":{"data":"aGk=","format":"wav"}}]}],"stream":false}`},
		{"calls", `{"contents":[{"role":"model","parts":[{"text":"Two."},{"functionCall":{"name":"stock","args":{"n":12345678901234567890}},"thoughtSignature":"S"},{"function_call":{"name":"price","id":"c1"}}]},` +
			`{"role":"function","parts":[{"function_response":{"name":"stock","response":{"left":3}}},{"functionResponse":{"name":"price","id":"c1","response":{"x":[1]}}},{"text":"and?"}]}]}`,
			`{"model":"m","messages":[{"role":"assistant","content":[{"type":"text","text":"Two."}],"tool_calls":[{"id":"stock","type":"function","function":{"name":"stock","arguments":"{\"n\":12345678901234567890}"},"extra_content":{"google":{"thought_signature":"S"}}},` +
				`{"id":"c1","type":"function","function":{"name":"price","arguments":"{}"}}]},{"role":"tool","content":"{\"left\":3}","tool_call_id":"stock"},{"role":"tool","content":"{\"x\":[1]}","tool_call_id":"c1"},{"role":"user","content":[{"type":"text","text":"and?"}]}],"stream":false}`},
		{"tools and options", `{"contents":[],"tools":[{"function_declarations":[{"name":"a","description":"d","parameters":{"type":"object"}}]},{"functionDeclarations":[{"name":"b","parametersJsonSchema":{"x":1}}]}],` +
			`"tool_config":{"function_calling_config":{"mode":"any","allowed_function_names":["a"]}},` +
			`"generation_config":{"temperature":1e-1,"top_p":0.5,"topK":3,"max_output_tokens":64,"stopSequences":["x"]}}`,
			`{"model":"m","tools":[{"type":"function","function":{"name":"a","description":"d","parameters":{"type":"object"}}},{"type":"function","function":{"name":"b","parameters":{"x":1}}}],` +
				`"tool_choice":{"type":"function","function":{"name":"a"}},"max_tokens":64,"temperature":1e-1,"top_p":0.5,"top_k":3,"stop":["x"],"stream":false}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := readGemini(t, tt.body)
			chat, err := r.Chat()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(compactJSON(t, tt.want), compactJSON(t, geminiView(chat))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, tt := range []struct {
		body string
		want func(*llm.ChatCall) bool
	}{
		{`{"generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":"OBJECT"}}}`,
			func(c *llm.ChatCall) bool {
				return c.Output.Kind == "json_schema" && string(c.Output.Schema) == `{"type":"OBJECT"}`
			}},
		{`{"generationConfig":{"response_mime_type":"application/json"}}`, func(c *llm.ChatCall) bool { return c.Output.Kind == "json_object" }},
		{`{"generationConfig":{"thinkingConfig":{"thinkingBudget":100}}}`, func(c *llm.ChatCall) bool { return c.Reasoning == llm.Reasoning{Mode: "enabled", Budget: "100"} }},
		{`{"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}`, func(c *llm.ChatCall) bool { return c.Reasoning.Mode == "disabled" }},
		{`{"generationConfig":{"thinkingConfig":{"thinkingBudget":-1}}}`, func(c *llm.ChatCall) bool { return c.Reasoning.Mode == "adaptive" }},
		{`{"generationConfig":{"thinking_config":{"thinking_level":"HIGH"}}}`, func(c *llm.ChatCall) bool { return c.Reasoning.Effort == "high" }},
		{`{"generationConfig":{"seed":7,"x":[1],"topK":1},"safetySettings":[]}`, func(c *llm.ChatCall) bool {
			return len(c.Extra) == 2 && string(c.Extra[0].Value) == `{"seed":7,"x":[1]}` && c.Extra[1].Name == "safetySettings"
		}},
		{`{"toolConfig":{"functionCallingConfig":{"mode":"NONE"}}}`, func(c *llm.ChatCall) bool { return c.ToolChoice.Mode == "none" }},
		{`{"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}}}`, func(c *llm.ChatCall) bool { return c.ToolChoice.Mode == "auto" }},
		{`{"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`, func(c *llm.ChatCall) bool { return c.ToolChoice.Mode == "required" }},
		{`{"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a","b"]}}}`, func(c *llm.ChatCall) bool { return c.ToolChoice.JSON != nil }},
		{`{"tools":[{"googleSearch":{}}]}`, func(c *llm.ChatCall) bool { return string(c.Tools[0].JSON) == `{"googleSearch":{}}` }},
		{`{"contents":[{"role":"model","parts":[{"text":"hm","thought":true,"thoughtSignature":"S"},{"executableCode":{}}]}]}`, func(c *llm.ChatCall) bool {
			p := c.Messages[0].Parts
			return p[0].Kind == llm.PartReasoning && p[0].Signature == "S" && p[1].Kind == llm.PartOther && string(p[1].JSON) == `{"executableCode":{}}`
		}},
		{`{"contents":[{"parts":[{"fileData":{"fileUri":"gs://a","mimeType":"application/pdf"}}]}]}`, func(c *llm.ChatCall) bool { return c.Messages[0].Parts[0].Kind == llm.PartFile }},
		{`{"contents":"x","tools":1,"toolConfig":null,"generationConfig":2,"systemInstruction":3}`, func(c *llm.ChatCall) bool { return len(c.Extra) == 5 && len(c.Messages) == 0 }},
	} {
		chat, err := readGemini(t, tt.body).Chat()
		if err != nil || !tt.want(chat) {
			t.Errorf("%s: %v, %+v", tt.body, err, chat)
		}
	}
}

// TestGeminiLargeImage shows that a large image is not copied to be looked at.
func TestGeminiLargeImage(t *testing.T) {
	body := `{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"` + strings.Repeat("aGk=", 1000) + `"}}]}]}`
	r := readGemini(t, body)
	chat, err := r.Chat()
	if err != nil {
		t.Fatal(err)
	}
	data := chat.Messages[0].Parts[0].Data
	if at := strings.Index(body, "aGk="); len(data) != 4000 || &data[0] != &r.Body[at] {
		t.Error("the image's bytes are not the body's")
	}
}

func TestGeminiEmbedding(t *testing.T) {
	for _, tt := range []struct {
		path, body string
		want       llm.EmbeddingCall
	}{
		{"embedContent", `{"content":{"parts":[{"text":"a"},{"text":"b"}]},"outputDimensionality":8,"taskType":"X"}`,
			llm.EmbeddingCall{Texts: []string{"a b"}, Dimensions: "8", Extra: []llm.Member{{Name: "taskType", Value: []byte(`"X"`)}}}},
		{"batchEmbedContents", `{"requests":[{"content":{"parts":{"text":"a"}},"output_dimensionality":8},{"content":{"parts":[{"text":"b"}]}}]}`,
			llm.EmbeddingCall{Texts: []string{"a", "b"}, List: true, Dimensions: "8"}},
		{"predict", `{"instances":[{"content":"a"}],"parameters":{"outputDimensionality":8}}`, llm.EmbeddingCall{Texts: []string{"a"}, List: true, Dimensions: "8"}},
	} {
		var r llm.Request
		if err := NewGemini(llm.Embeddings, "").Read(Incoming{Path: "/v1beta/models/m:" + tt.path, Body: []byte(tt.body)}, &r); err != nil {
			t.Fatal(err)
		}
		got, err := r.Decoder.Embedding(&r)
		if err != nil {
			t.Fatal(err)
		}
		tt.want.Origin, tt.want.Model = llm.Gemini, "m"
		if diff := cmp.Diff(&tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.body, diff)
		}
	}
	if _, err := NewGemini(llm.Completions, "").Completion(nil); err == nil {
		t.Error("a completion was read")
	}
}

func TestGeminiError(t *testing.T) {
	for status, want := range map[int]string{
		0: `{"code":500,"message":"a \"b\"","status":"INTERNAL"}`, 400: `{"code":400,"message":"a \"b\"","status":"INVALID_ARGUMENT"}`,
		401: `{"code":401,"message":"a \"b\"","status":"UNAUTHENTICATED"}`, 402: `{"code":402,"message":"a \"b\"","status":"RESOURCE_EXHAUSTED"}`,
		403: `{"code":403,"message":"a \"b\"","status":"PERMISSION_DENIED"}`, 404: `{"code":404,"message":"a \"b\"","status":"NOT_FOUND"}`,
		408: `{"code":408,"message":"a \"b\"","status":"DEADLINE_EXCEEDED"}`, 413: `{"code":413,"message":"a \"b\"","status":"INVALID_ARGUMENT"}`,
		422: `{"code":422,"message":"a \"b\"","status":"INVALID_ARGUMENT"}`, 424: `{"code":424,"message":"a \"b\"","status":"INTERNAL"}`,
		429: `{"code":429,"message":"a \"b\"","status":"RESOURCE_EXHAUSTED"}`, 499: `{"code":499,"message":"a \"b\"","status":"CANCELLED"}`,
		502: `{"code":502,"message":"a \"b\"","status":"INTERNAL"}`, 503: `{"code":503,"message":"a \"b\"","status":"UNAVAILABLE"}`,
		504: `{"code":504,"message":"a \"b\"","status":"DEADLINE_EXCEEDED"}`, 529: `{"code":503,"message":"a \"b\"","status":"UNAVAILABLE"}`,
	} {
		got := string(NewGemini(llm.Chat, "").AppendError(nil, &llm.Failure{Status: status, Message: `a "b"`}))
		if got != `{"error":`+want+`}` {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

// TestGeminiFixtures reads the samples that GIBBON_EXTRA_FIXTURES points at.
func TestGeminiFixtures(t *testing.T) {
	root := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if root == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set")
	}
	if _, err := os.Stat(filepath.Join(root, "ai-proxy")); err == nil {
		root = filepath.Join(root, "ai-proxy")
	}
	for name, want := range map[string]string{
		"basic-chat.json": `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"What is 1 + 1?"}]}],"max_tokens":256,"stream":false}`,
		"with-functions.json": `{"model":"m","messages":[{"role":"system","content":[{"type":"text","text":"You are a helpful lighting system bot. You can turn lights on and off, and you can set the color. Do not perform any other tasks."}]},` +
			`{"role":"user","content":[{"type":"text","text":"Turn on the lights please. Also set them to orange."}]}],` +
			`"tools":[{"type":"function","function":{"name":"enable_lights","description":"Turn on the lighting system."}},` +
			`{"type":"function","function":{"name":"set_light_color","description":"Set the light color. Lights must be enabled for this to work.","parameters":{"type":"object","properties":{"rgb_hex":{"type":"string","description":"The light color as a 6-digit hex string, e.g. ff0000 for red."}},"required":["rgb_hex"]}}},` +
			`{"type":"function","function":{"name":"stop_lights","description":"Turn off the lighting system."}}],"tool_choice":"auto","stream":false}`,
	} {
		body, err := os.ReadFile(filepath.Join(root, "native", "gemini", "request", name))
		if err != nil {
			t.Fatal(err)
		}
		r := readGemini(t, string(body))
		chat, err := r.Chat()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(compactJSON(t, want), compactJSON(t, geminiView(chat))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// geminiView is a chat in OpenAI's format with its texts as they came, in parts.
func geminiView(chat *llm.ChatCall) string {
	view := *chat
	view.Origin = llm.OpenAI
	return string(AppendChat(nil, &view))
}

// compactJSON is a text in which only values differ that do differ.
func compactJSON(t *testing.T, text string) string {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func FuzzGeminiRequest(f *testing.F) {
	f.Add("/v1beta/models/m:generateContent", []byte(`{"contents":[{"role":"model","parts":[{"text":"a"},{"functionCall":{"name":"f","args":{}}},{"inlineData":{"mimeType":"image/png","data":"a\/"}}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}],"generationConfig":{"topK":1}}`))
	f.Add("/v1beta/models/m:embedContent", []byte(`{"content":{"parts":{"text":"a"}},"requests":[{"content":7}]}`))
	f.Add("/upload/x", []byte(`{"instances":[{"content":"a"}],"system_instruction":{"parts":"x"}}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		for _, route := range []llm.Route{llm.Chat, llm.Embeddings, llm.Preserve} {
			g := NewGemini(route, "key")
			var r llm.Request
			if err := g.Read(Incoming{Method: "POST", Path: path, Body: body}, &r); err != nil {
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Errorf("%T is no *Error", err)
				}
				continue
			}
			if r.Body == nil {
				continue
			}
			g.HasPrompt(&r)
			g.Words(&r)
			chat, err := r.Chat()
			if err != nil {
				t.Fatal(err)
			}
			if written := AppendChat(nil, chat); !json.Valid(written) {
				t.Errorf("%s is no JSON", written)
			}
			if _, err := g.Embedding(&r); err != nil {
				t.Fatal(err)
			}
		}
	})
}
