package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

var geminiUpdate = flag.Bool("update-gemini", false, "rewrite the goldens under testdata/gemini")

// geminiGolden compares a text with a file under testdata/gemini.
func geminiGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "gemini", name)
	if *geminiUpdate {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// geminiGiven reads the inputs of a kind: the files of a folder that are no goldens.
func geminiGiven(t testing.TB, kind string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "gemini", kind, "*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no inputs for %s: %v", kind, err)
	}
	given := make(map[string][]byte)
	for _, path := range paths {
		if name := filepath.Base(path); !strings.Contains(name, ".golden") {
			if given[name], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return given
}

func geminiIndent(t *testing.T, text []byte) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out.String() + "\n"
}

var geminiVertex = &pluginpb.AiModelOptions{Gemini: &pluginpb.AiGemini{
	ApiEndpoint: proto.String("europe-west4-aiplatform.googleapis.com"),
	ProjectId:   proto.String("my-project"), LocationId: proto.String("europe-west4"),
}}

// geminiSettings are what a golden's name asks for, beside its route.
func geminiCall(name string) *Call {
	call := &Call{Settings: &Settings{Route: llm.Chat}, Format: llm.OpenAI, Model: "gemini-2.5-flash"}
	switch {
	case strings.HasPrefix(name, "completion"):
		call.Route = llm.Completions
	case strings.HasPrefix(name, "embedding"):
		call.Route, call.Model = llm.Embeddings, "gemini-embedding-001"
	}
	if strings.Contains(name, "vertex") {
		call.Options = geminiVertex
	}
	if strings.Contains(name, "tuned") {
		call.MaxTokens, call.Temperature, call.TopP, call.TopK = "8192", "0.8", "0.6", "1"
	}
	if strings.Contains(name, "gemini3") {
		call.Model = "gemini-3-flash-preview"
	}
	return call
}

// TestGeminiRequest shows what becomes of the bodies of OpenAI's callers.
func TestGeminiRequest(t *testing.T) {
	for name, body := range geminiGiven(t, "request") {
		t.Run(name, func(t *testing.T) {
			call := geminiCall(name)
			var request llm.Request
			if err := client.NewOpenAI(call.Route, "").Read(client.Incoming{Body: body}, &request); err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(body)
			got, err := (&Gemini{}).Request(call, &request)
			if err != nil {
				t.Fatal(err)
			}
			geminiGolden(t, filepath.Join("request", strings.TrimSuffix(name, ".json")+".golden"), geminiIndent(t, got))
			if !bytes.Equal(before, body) {
				t.Error("the caller's body was changed")
			}
		})
	}
}

// geminiNeutral is a decoder that knows its answer.
type geminiNeutral struct {
	chat      *llm.ChatCall
	embedding *llm.EmbeddingCall
}

func (n geminiNeutral) Chat(*llm.Request) (*llm.ChatCall, error) { return n.chat, nil }
func (n geminiNeutral) Completion(*llm.Request) (*llm.CompletionCall, error) {
	return nil, errors.New("no completion")
}
func (n geminiNeutral) Embedding(*llm.Request) (*llm.EmbeddingCall, error) { return n.embedding, nil }

// TestGeminiNeutral shows how neutral terms are written that come from callers of
// any format.
func TestGeminiNeutral(t *testing.T) {
	user := []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "Hi"}}}}
	const hi = `"contents":[{"role":"user","parts":[{"text":"Hi"}]}]`
	said := func(parts ...llm.Part) *llm.ChatCall {
		return &llm.ChatCall{Messages: []llm.Message{{Role: llm.RoleUser, Parts: parts}}}
	}
	think := func(r llm.Reasoning) *llm.ChatCall { return &llm.ChatCall{Messages: user, Reasoning: r} }
	for _, tt := range []struct {
		name, model string
		chat        *llm.ChatCall
		want        string
	}{
		{"image", "m", said(llm.Part{Kind: llm.PartImage, Data: []byte("aGk="), MediaType: "image/png"}),
			`{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"aGk="}}]}]}`},
		{"audio", "m", said(llm.Part{Kind: llm.PartAudio, Data: []byte("aGk="), Format: "mp3"}),
			`{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"audio/mp3","data":"aGk="}}]}]}`},
		{"a file that Google keeps", "m", said(llm.Part{Kind: llm.PartFile, FileID: "files/abc", MediaType: "text/plain"}),
			`{"contents":[{"role":"user","parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc","mimeType":"text/plain"}}]}]}`},
		{"a document", "m", said(llm.Part{Kind: llm.PartFile, URL: "gs://bucket/a.pdf"}),
			`{"contents":[{"role":"user","parts":[{"fileData":{"fileUri":"gs://bucket/a.pdf","mimeType":"application/pdf"}}]}]}`},
		{"form", "m", &llm.ChatCall{Messages: user, Output: llm.Output{Kind: "json_schema", Name: "x", Schema: []byte(`{"type":"object"}`)}},
			`{` + hi + `,"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}}`},
		{"JSON", "m", &llm.ChatCall{Messages: user, Output: llm.Output{Kind: "json_object"}}, `{` + hi + `,"generationConfig":{"responseMimeType":"application/json"}}`},
		{"text", "m", &llm.ChatCall{Messages: user, Output: llm.Output{Kind: "text"}}, `{` + hi + `}`},
		{"effort", "gemini-2.5-flash", think(llm.Reasoning{Effort: "medium"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":8192}}}`},
		{"effort, newer", "gemini-3-flash", think(llm.Reasoning{Effort: "minimal"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"thinkingLevel":"minimal"}}}`},
		{"effort, newer and large", "gemini-3-pro", think(llm.Reasoning{Effort: "medium"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"thinkingLevel":"high"}}}`},
		{"most effort", "gemini-2.5-pro", think(llm.Reasoning{Effort: "max"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":24576}}}`},
		{"budget", "gemini-2.5-pro", think(llm.Reasoning{Mode: "enabled", Budget: "5000"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":5000,"includeThoughts":true}}}`},
		{"adaptive", "gemini-2.5-pro", think(llm.Reasoning{Mode: "adaptive"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":-1,"includeThoughts":true}}}`},
		{"adaptive, newer", "gemini-3-pro", think(llm.Reasoning{Mode: "adaptive"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}`},
		{"no thoughts", "gemini-2.5-flash", think(llm.Reasoning{Effort: "none"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}`},
		{"few thoughts", "gemini-2.5-pro", think(llm.Reasoning{Mode: "disabled"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":128}}}`},
		{"few thoughts, newer", "gemini-3-pro", think(llm.Reasoning{Mode: "disabled"}), `{` + hi + `,"generationConfig":{"thinkingConfig":{"thinkingLevel":"low"}}}`},
		{"a model that does not think", "gemini-2.0-flash", think(llm.Reasoning{Effort: "high"}), `{` + hi + `}`},
		{"another maker's thoughts stay out", "gemini-3-pro", &llm.ChatCall{Messages: []llm.Message{
			{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "hm", Signature: "EoAB"}}, Calls: []llm.ToolCall{{ID: "a", Name: "f", Arguments: `{"x":1e400}`}}},
			{Role: llm.RoleTool, CallID: "a", Failed: true, Parts: []llm.Part{{Kind: llm.PartText, Text: "no"}}},
		}}, `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"x":1e400}},"thoughtSignature":"skip_thought_signature_validator"}]},` +
			`{"role":"function","parts":[{"function_response":{"name":"f","response":{"error":["no"]}}}]}]}`},
		{"a thought's signature goes to the call", "gemini-3-pro", &llm.ChatCall{Messages: []llm.Message{
			{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "hm", Signature: "gemini:S1"}},
				Calls: []llm.ToolCall{{ID: "a", Name: "f"}, {ID: "b", Name: "g", Arguments: " "}}},
		}}, `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"S1"},{"functionCall":{"name":"g","args":{}}}]}]}`},
		{"a thought's signature goes to the text", "gemini-3-pro", &llm.ChatCall{Messages: []llm.Message{
			{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartReasoning, Text: "hm", Signature: "gemini:S1"}, {Kind: llm.PartText, Text: "Four"}}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartRedacted, Data: []byte("x")}}}, user[0],
		}}, `{"contents":[{"role":"model","parts":[{"text":"Four","thoughtSignature":"S1"}]},{"role":"user","parts":[{"text":"Hi"}]}]}`},
		{"a call's own signature", "gemini-2.5-pro", &llm.ChatCall{Messages: []llm.Message{
			{Role: llm.RoleAssistant, Calls: []llm.ToolCall{{ID: "a", Name: "f", Signature: "S2"}}},
		}}, `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"S2"}]}]}`},
		{"results stand as their calls", "m", &llm.ChatCall{Messages: []llm.Message{
			{Role: llm.RoleAssistant, Calls: []llm.ToolCall{{ID: "a", Name: "f"}, {ID: "b", Name: "f"}}},
			{Role: llm.RoleTool, CallID: "b", Parts: []llm.Part{{Kind: llm.PartText, Text: "2"}, {Kind: llm.PartImage, Data: []byte("aGk="), MediaType: "image/png"}}},
			{Role: llm.RoleTool, CallID: "a", Parts: []llm.Part{{Kind: llm.PartText, Text: "1"}}},
		}}, `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}},{"functionCall":{"name":"f","args":{}}}]},{"role":"function","parts":[` +
			`{"function_response":{"name":"f","response":{"content":["1"]}}},{"function_response":{"name":"f","response":{"content":["2"]}}},{"inlineData":{"mimeType":"image/png","data":"aGk="}}]}]}`},
		{"what Google knows passes", "m", &llm.ChatCall{Messages: user, ToolChoice: llm.ToolChoice{Mode: "auto"}, Extra: []llm.Member{
			{Name: "cached_content", Value: []byte(`"c/1"`)}, {Name: "safetySettings", Value: []byte(`[{}]`)}, {Name: "labels", Value: []byte(`{"a":"b"}`)},
			{Name: "tool_config", Value: []byte(`{"x":1}`)}, {Name: "cachedContent", Value: []byte(`"c/2"`)}, {Name: "metadata", Value: []byte(`{}`)}, {Name: "labels", Value: []byte("null")},
		}}, `{` + hi + `,"cachedContent":"c/1","safetySettings":[{}],"labels":{"a":"b"},"toolConfig":{"x":1}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			call := &Call{Settings: &Settings{Route: llm.Chat}, Format: llm.Anthropic, Model: tt.model}
			got, err := (&Gemini{}).Request(call, &llm.Request{Format: llm.Anthropic, Body: []byte("{}"), Decoder: geminiNeutral{chat: tt.chat}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestGeminiRefusals pins the reasons that callers are told.
func TestGeminiRefusals(t *testing.T) {
	for _, tt := range []struct{ model, body, want string }{
		{"m", `{"messages":[{"role":"user","content":[{"type":"text"}]}]}`, "message part type is 'text' but is missing .text block"},
		{"m", `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, "message part type is 'image_url' but is missing .image_url.url block"},
		{"m", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"detail":"low"}}]}]}`, "message part type is 'image_url' but is missing .image_url.url block"},
		{"m", `{"messages":[{"role":"user","content":[{"type":"smell","smell":"rose"}]}]}`, "cannot transform part of type 'smell' to Gemini format"},
		{"m", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}]}`,
			"could not decode OpenAI image-part, image URL is less than 10 bytes, which is not parsable"},
		{"m", `{"messages":[{"role":"user","content":"a"},{"role":"user","content":[]}]}`, "message at position 2 does not match expected array format"},
		{"m", `{"messages":[{"role":"user","content":7}]}`, "message at position 1 does not match expected array format"},
		{"gemini-1.0-pro", `{"messages":[{"role":"system","content":"a"},{"role":"user","content":"a"}]}`, "system prompts aren't supported on gemini-1.0 models"},
		{"m", `{"messages":[{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://example.com/x"}}]}]}`, "cannot transform part of type 'image_url' to Gemini format"},
		{"m", `{"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]}]}`, "arguments of function 'f' are no JSON object"},
		{"m", `{"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"custom","custom":{"name":"f","input":"x"}}]}]}`, "cannot transform a call of anything but a function to Gemini format"},
		{"m", `{"messages":[{"role":"tool","content":"x"}]}`, "message at position 1 answers no function call"},
		{"m", `{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"custom","custom":{"name":"f"}}]}`, "cannot transform tool of type 'custom' to Gemini format"},
	} {
		var request llm.Request
		if err := client.NewOpenAI(llm.Chat, "").Read(client.Incoming{Body: []byte(tt.body)}, &request); err != nil {
			t.Fatal(err)
		}
		_, err := (&Gemini{}).Request(&Call{Settings: &Settings{Route: llm.Chat}, Format: llm.OpenAI, Model: tt.model}, &request)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.body, err, tt.want)
		}
	}
	for _, tt := range []struct {
		route llm.Route
		body  string
		want  string
	}{
		{llm.Completions, `{"prompt":["a","b"]}`, "a completion by Gemini takes exactly one prompt"},
		{llm.Embeddings, `{"input":[[1,2]]}`, "vectors by Gemini are of texts, and not of tokens"},
		{llm.Files, `{"a":1}`, "llm/v1/files is only for callers of Gemini's own format"},
	} {
		var request llm.Request
		if err := client.NewOpenAI(tt.route, "").Read(client.Incoming{Body: []byte(tt.body)}, &request); err != nil {
			t.Fatal(err)
		}
		_, err := (&Gemini{}).Request(&Call{Settings: &Settings{Route: tt.route}, Format: llm.OpenAI, Model: "m"}, &request)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.body, err, tt.want)
		}
	}
	if _, err := (&Gemini{}).Request(&Call{Settings: &Settings{Route: llm.Chat}}, &llm.Request{}); err != ErrNotJSON {
		t.Errorf("a call without a body: %v, want ErrNotJSON", err)
	}
}

// TestGeminiParam shows where credentials go that belong into the body.
func TestGeminiParam(t *testing.T) {
	settings := &Settings{Route: llm.Chat, ParamName: "key", ParamValue: `"k"`}
	chat := &llm.ChatCall{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: "a"}}}}}
	got, err := (&Gemini{}).Request(&Call{Settings: settings, Model: "m"}, &llm.Request{Body: []byte("{}"), Decoder: geminiNeutral{chat: chat}})
	if want := `{"contents":[{"role":"user","parts":[{"text":"a"}]}],"key":"k"}`; err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	for _, tt := range []struct{ body, want string }{
		{`{"contents":[ {} ]}`, `{"contents":[ {} ],"key":"k"}`},
		{`{"key":"own","contents":[ {} ]}`, `{"key":"k","contents":[ {} ]}`},
	} {
		var request llm.Request
		if err := client.NewOpenAI(llm.Preserve, "key").Read(client.Incoming{Body: []byte(tt.body)}, &request); err != nil {
			t.Fatal(err)
		}
		request.Format = llm.Gemini
		got, err := (&Gemini{}).Request(&Call{Settings: settings, Format: llm.Gemini, Model: "m"}, &request)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s, %v, want %s", got, err, tt.want)
		}
	}
}

// TestGeminiSameFormat shows that the bytes of Google's own callers pass.
func TestGeminiSameFormat(t *testing.T) {
	body := []byte(`{ "contents":[] , "x":1e5 }`)
	call := &Call{Settings: &Settings{Route: llm.Chat, MaxTokens: "5"}, Format: llm.Gemini, Model: "m"}
	got, err := (&Gemini{}).Request(call, &llm.Request{Format: llm.Gemini, Body: body})
	if err != nil || &got[0] != &body[0] {
		t.Errorf("%s, %v: not the caller's bytes", got, err)
	}
	given := []byte(`{"candidates":[{"content":{"parts":[{"text":" four "},{"text":"hm","thought":true}]}}],"usageMetadata":{"promptTokenCount":5},"modelVersion":"v1"}`)
	answer, err := (&Gemini{}).Response(call, given)
	if err != nil || &answer.Body[0] != &given[0] || answer.Chat != nil || answer.Model != "v1" ||
		answer.Usage.Prompt() != 5 || answer.Usage.Output != llm.Unknown || answer.TextLength != len("four") {
		t.Errorf("%+v, %v", answer, err)
	}
	if answer, err := (&Gemini{}).Response(call, []byte("<html>")); err != nil || string(answer.Body) != "<html>" {
		t.Errorf("%+v, %v", answer, err)
	}
}

// TestGeminiLargeImage shows that an image is copied once on its way: into the
// body that goes up.
func TestGeminiLargeImage(t *testing.T) {
	image := strings.Repeat("iVBORw0K", 1<<17)
	body := []byte(`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + image + `"}}]}]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var request llm.Request
	if err := client.NewOpenAI(llm.Chat, "").Read(client.Incoming{Body: body}, &request); err != nil {
		t.Fatal(err)
	}
	got, err := (&Gemini{}).Request(geminiCall(""), &request)
	runtime.ReadMemStats(&after)
	if err != nil || !bytes.Contains(got, []byte(image)) {
		t.Fatalf("%v, %d bytes", err, len(got))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(len(body))*3/2 {
		t.Errorf("%d bytes of memory for an image of %d", used, len(image))
	}
}

func geminiDumpUsage(u *llm.Usage) string {
	return fmt.Sprintf("usage %s/%s tier %q %s\n", u.Input, u.Output, u.Tier, llm.AppendOpenAIUsage(nil, u))
}

// geminiDump is an answer as goldens show it.
func geminiDump(a *Answer) string {
	var out strings.Builder
	fmt.Fprintf(&out, "model %q, %d bytes of text\n", a.Model, a.TextLength)
	if e := a.Embedding; e != nil {
		fmt.Fprintf(&out, "vectors of %q\n", e.Model)
		for _, v := range e.Vectors {
			fmt.Fprintf(&out, "  %s\n", v)
		}
	}
	if c := a.Chat; c != nil {
		fmt.Fprintf(&out, "chat %q of %q\n", c.ID, c.Model)
		for _, choice := range c.Choices {
			fmt.Fprintf(&out, "choice %s, finish %q\n", choice.Message.Role, choice.Finish)
			for _, p := range choice.Message.Parts {
				fmt.Fprintf(&out, "  part %d %q %s %q signature %q\n", p.Kind, p.Text, p.MediaType, p.Data, p.Signature)
			}
			for _, c := range choice.Message.Calls {
				fmt.Fprintf(&out, "  call %s %s(%s) signature %q\n", c.ID, c.Name, c.Arguments, c.Signature)
			}
		}
	}
	return out.String() + geminiDumpUsage(&a.Usage)
}

// TestGeminiAnswer shows what whole answers say.
func TestGeminiAnswer(t *testing.T) {
	for name, body := range geminiGiven(t, "answer") {
		t.Run(name, func(t *testing.T) {
			call := geminiCall(name)
			answer, err := (&Gemini{}).Response(call, body)
			got := ""
			if err != nil {
				if _, ok := errors.AsType[*AnswerError](err); !ok {
					t.Errorf("%T is no *AnswerError", err)
				}
				got = "error: " + err.Error() + "\n"
			} else {
				got = geminiDump(&answer)
			}
			geminiGolden(t, filepath.Join("answer", strings.TrimSuffix(name, ".json")+".golden"), got)
		})
	}
}

// TestGeminiFixtures runs the samples that GIBBON_EXTRA_FIXTURES points at.
func TestGeminiFixtures(t *testing.T) {
	root := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if root == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set")
	}
	if nested := filepath.Join(root, "ai-proxy"); func() bool { _, err := os.Stat(nested); return err == nil }() {
		root = nested
	}
	read := func(parts ...string) []byte {
		data, err := os.ReadFile(filepath.Join(append([]string{root}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	value := func(text []byte) (v any) {
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return v
	}
	call := geminiCall("tuned")
	call.Model = "gemini-pro"
	var request llm.Request
	if err := client.NewOpenAI(llm.Chat, "").Read(client.Incoming{Body: read("unit", "requests", "llm-v1-chat.json")}, &request); err != nil {
		t.Fatal(err)
	}
	got, err := (&Gemini{}).Request(call, &request)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(value(read("unit", "expected-requests", "gemini", "llm-v1-chat.json")), value(got)); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	var expected struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal(read("unit", "expected-responses", "gemini", "llm-v1-chat.json"), &expected); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ given, text, usage string }{
		{"unit/real-responses/gemini/llm-v1-chat.json", expected.Choices[0].Message.Content,
			`{"prompt_tokens":14,"completion_tokens":128,"total_tokens":142}`},
		{"gemini/llm-v1-chat/responses/good.json", "Everything is okay.", `{"prompt_tokens":2,"completion_tokens":11,"total_tokens":13}`},
	} {
		answer, err := (&Gemini{}).Response(call, read(filepath.FromSlash(tt.given)))
		if err != nil {
			t.Fatal(err)
		}
		choice := answer.Chat.Choices[0]
		if choice.Message.Parts[0].Text != tt.text || choice.Finish.OpenAI() != "stop" || answer.Chat.Model != "gemini-pro" {
			t.Errorf("%s: %+v", tt.given, answer.Chat)
		}
		if usage := llm.AppendOpenAIUsage(nil, &answer.Usage); string(usage) != tt.usage {
			t.Errorf("%s: usage %s, want %s", tt.given, usage, tt.usage)
		}
	}
	var reader llm.ValueReader
	var events []string
	stream := (&Gemini{}).Stream(call)
	err = reader.Read(read("unit", "streaming-chunk-formats", "partial-json-beginning", "input.bin"), func(value []byte) error {
		frame, ok := stream.Read(llm.ServerEvent{Data: value})
		if !ok {
			t.Errorf("%s was not read", value)
			return nil
		}
		events = append(events, geminiEvents(frame)...)
		return nil
	})
	if err != nil || len(events) != 9 {
		t.Errorf("%v, %d events: %s", err, len(events), strings.Join(events, "\n"))
	}
}
