package provider

import (
	"net/http"
	"strings"
	"testing"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// TestRowEndpoints shows where the vendors that speak OpenAI's format are asked.
func TestRowEndpoints(t *testing.T) {
	mainland := &pluginpb.AiModelOptions{Dashscope: &pluginpb.AiDashscope{International: new(false)}}
	workspace := func(id string) *pluginpb.AiModelOptions {
		return &pluginpb.AiModelOptions{Databricks: &pluginpb.AiDatabricks{WorkspaceInstanceId: &id}}
	}
	elsewhere := &pluginpb.AiModelOptions{UpstreamUrl: new("http://127.0.0.1/x")}
	for _, tt := range []struct {
		provider Provider
		route    llm.Route
		options  *pluginpb.AiModelOptions
		want     string // host and path; empty: an error
	}{
		{xai, llm.Chat, nil, "api.x.ai/v1/chat/completions"},
		{xai, llm.Responses, nil, "api.x.ai/v1/responses"},
		{xai, llm.Images, nil, "api.x.ai/v1/images/generations"},
		{xai, llm.ImageEdits, nil, "api.x.ai/v1/images/edits"},
		{cerebras, llm.Chat, nil, "api.cerebras.ai/v1/chat/completions"},
		{deepseek, llm.Chat, nil, "api.deepseek.com/v1/chat/completions"},
		{dashscope, llm.Chat, nil, "dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions"},
		{dashscope, llm.Chat, mainland, "dashscope.aliyuncs.com/compatible-mode/v1/chat/completions"},
		{dashscope, llm.Embeddings, nil, "dashscope-intl.aliyuncs.com/compatible-mode/v1/embeddings"},
		{dashscope, llm.Images, nil, "dashscope-intl.aliyuncs.com/api/v1/services/aigc/multimodal-generation/generation"},
		{dashscope, llm.ImageEdits, mainland, "dashscope.aliyuncs.com/api/v1/services/aigc/image2image/image-synthesis"},
		{databricks, llm.Chat, workspace("dbc-1a2b"), "dbc-1a2b.cloud.databricks.com/serving-endpoints/v1/chat/completions"},
		{databricks, llm.Chat, nil, ""},
		{databricks, llm.Chat, workspace("evil.example/"), ""},
		{databricks, llm.Chat, workspace("a@b"), ""},
		{databricks, llm.Chat, elsewhere, "/serving-endpoints/v1/chat/completions"},
		{vllm, llm.Chat, nil, ""},
		{vllm, llm.Chat, elsewhere, "/v1/chat/completions"},
		{mistralOpenAI, llm.Chat, nil, "api.mistral.ai/v1/chat/completions"},
		{mistralOpenAI, llm.Completions, nil, "api.mistral.ai/"},
		{mistralOpenAI, llm.Embeddings, nil, "api.mistral.ai/v1/embeddings"},
		{llama2OpenAI, llm.Chat, nil, ""},
		{llama2OpenAI, llm.Completions, elsewhere, "/v1/completions"},
	} {
		got, err := tt.provider.Endpoint(&Call{Settings: &Settings{Route: tt.route}, Options: tt.options})
		if err != nil {
			if tt.want != "" {
				t.Errorf("%s %s: %v", tt.provider.Name(), tt.route, err)
			}
			continue
		}
		if at := got.Host + got.Path; at != tt.want || got.Scheme != "https" || got.Port != 443 {
			t.Errorf("%s %s: %s, want %q", tt.provider.Name(), tt.route, at, tt.want)
		}
	}
}

// TestRowRequests shows where these vendors differ in the bodies that they take.
func TestRowRequests(t *testing.T) {
	elsewhere := &pluginpb.AiModelOptions{UpstreamUrl: new("http://127.0.0.1/x")}
	for _, tt := range []struct {
		name     string
		provider *OpenAI
		options  *pluginpb.AiModelOptions
		in, want string
	}{
		{"deepseek counts when asked", deepseek, nil, `{"model":"m","messages":[1],"stream":true}`,
			`{"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true}}`},
		{"databricks takes no stream_options", databricks, nil, `{"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true}}`,
			`{"model":"m","messages":[1],"stream":true}`},
		{"databricks is not asked to count", databricks, nil, `{"model":"m","messages":[1],"stream":true}`, `{"model":"m","messages":[1],"stream":true}`},
		{"mistral refuses what it does not know", mistralOpenAI, nil,
			`{"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":9}`,
			`{"model":"m","messages":[1],"stream":true,"max_tokens":9}`},
		{"mistral's models elsewhere", mistralOpenAI, elsewhere, `{"model":"m","messages":[1],"stream":true,"max_completion_tokens":9}`,
			`{"model":"m","messages":[1],"stream":true,"max_completion_tokens":9,"stream_options":{"include_usage":true}}`},
		{"xai keeps the effort", xai, nil, `{"model":"m","messages":[1],"stream":false,"reasoning_effort":"high"}`,
			`{"model":"m","messages":[1],"stream":false,"reasoning_effort":"high"}`},
		{"developers are called system", xai, nil,
			`{"model":"m","messages":[{"content":"developer","role": "developer"},{"role":"user","content":[1.0]}],"stream":false}`,
			`{"model":"m","messages":[{"content":"developer","role": "system"},{"role":"user","content":[1.0]}],"stream":false}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var request llm.Request
			if err := client.NewOpenAI(llm.Chat, "").Read(client.Incoming{Body: []byte(tt.in)}, &request); err != nil {
				t.Fatal(err)
			}
			call := &Call{Settings: &Settings{Route: llm.Chat}, Options: tt.options, Format: llm.OpenAI, Model: "m", Streams: request.Streams}
			got, err := tt.provider.Request(call, &request)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// TestHuggingFacePaths shows what stands behind the paths of configured servers.
func TestHuggingFacePaths(t *testing.T) {
	for _, tt := range []struct {
		route     llm.Route
		format    llm.Format
		operation string
		path      string
		whole     bool
		want      string
	}{
		{llm.Chat, llm.OpenAI, "", "/models/m", true, "/models/m/v1/chat/completions"},
		{llm.Chat, llm.Anthropic, "", "/", true, "/v1/chat/completions"},
		{llm.Chat, llm.OpenAI, "", "/v1/chat/completions", true, "/v1/chat/completions"},
		{llm.Chat, llm.OpenAI, "", "/other", false, "/v1/chat/completions"},
		{llm.Completions, llm.OpenAI, "", "/models/m", true, "/models/m"},
		{llm.Completions, llm.OpenAI, "", "/other", false, "/hf-inference/models/m"},
		{llm.Embeddings, llm.OpenAI, "", "/embed", true, "/embed"},
		{llm.Chat, llm.HuggingFace, "/generate", "/models/m/", true, "/models/m/generate"},
		{llm.Chat, llm.HuggingFace, "/generate", "/generate", true, "/generate"},
		{llm.Preserve, llm.OpenAI, "", "/x", true, "/x"},
	} {
		call := &Call{Settings: &Settings{Route: tt.route}, Format: tt.format, Operation: tt.operation, Model: "m"}
		if got := huggingFace.ConfiguredPath(call, tt.path, tt.whole); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// TestDashscopeImages shows what an OpenAI caller finds in an answer with images.
func TestDashscopeImages(t *testing.T) {
	call := &Call{Settings: &Settings{Route: llm.Images}, Format: llm.OpenAI}
	const came = `{"output":{"choices":[{"message":{"content":[{"text":"x"},{"image":"https://a/1?b=\u0026"}]}},{"message":{"content":[{"image":"https://a/2"}]}}]},"request_id":"r"`
	got, err := dashscope.Response(call, []byte(came+"}"))
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(string(got.Body), came+`,"created":`)
	_, data, _ := strings.Cut(rest, ",")
	if want := `"data":[{"url":"https://a/1?b=\u0026"},{"url":"https://a/2"}]}`; !ok || data != want {
		t.Errorf("got %s", got.Body)
	}
	header := http.Header{}
	call.Settings = &Settings{Route: llm.ImageEdits}
	if dashscope.Headers(call, header); header.Get("X-DashScope-Async") != "enable" {
		t.Errorf("headers %v", header)
	}
}
