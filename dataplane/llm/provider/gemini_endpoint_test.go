package provider

import (
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

func TestGeminiEndpoint(t *testing.T) {
	garden := &pluginpb.AiModelOptions{Gemini: proto.CloneOf(geminiVertex.Gemini)}
	garden.Gemini.EndpointId = proto.String("1234")
	elsewhere := &pluginpb.AiModelOptions{Gemini: &pluginpb.AiGemini{
		ApiEndpoint: proto.String("127.0.0.1:8443"), ProjectId: proto.String("a/../b"), LocationId: proto.String("x y"),
	}}
	const public = "https://generativelanguage.googleapis.com:443"
	const vertex = "https://europe-west4-aiplatform.googleapis.com:443/v1/projects/my-project/locations/europe-west4"
	for _, tt := range []struct {
		name    string
		options *pluginpb.AiModelOptions
		call    Call
		want    string // empty: refused
	}{
		{"chat", nil, Call{Model: "gemini-pro"}, public + "/v1beta/models/gemini-pro:generateContent"},
		{"stream", nil, Call{Model: "gemini-pro", Streams: true}, public + "/v1beta/models/gemini-pro:streamGenerateContent?alt=sse"},
		{"stream to a configured address", &pluginpb.AiModelOptions{UpstreamUrl: proto.String("http://h/x")}, Call{Model: "gemini-pro", Streams: true}, public + "/v1beta/models/gemini-pro:streamGenerateContent"},
		{"completion", nil, Call{Settings: &Settings{Route: llm.Completions}, Model: "gemini-pro"}, public + "/v1beta/models/gemini-pro:generateContent"},
		{"vectors", nil, Call{Settings: &Settings{Route: llm.Embeddings}, Model: "e"}, public + "/v1beta/models/e:batchEmbedContents"},
		{"a model with its kind", nil, Call{Model: "models/gemini-pro"}, public + "/v1beta/models/gemini-pro:generateContent"},
		{"a model that must be escaped", nil, Call{Model: "a/b:c?d#e%2f"}, public + "/v1beta/models/a%2Fb%3Ac%3Fd%23e%252f:generateContent"},
		{"step", nil, Call{Model: ".."}, ""},
		{"here", nil, Call{Model: "."}, ""},
		{"no model", nil, Call{Model: ""}, ""},
		{"control byte", nil, Call{Model: "a\nb"}, ""},
		{"preserve", nil, Call{Settings: &Settings{Route: llm.Preserve}}, public},
		{"Vertex chat", geminiVertex, Call{Model: "gemini-pro"}, vertex + "/publishers/google/models/gemini-pro:generateContent"},
		{"Vertex stream", geminiVertex, Call{Model: "gemini-pro", Streams: true}, vertex + "/publishers/google/models/gemini-pro:streamGenerateContent?alt=sse"},
		{"Vertex vectors", geminiVertex, Call{Settings: &Settings{Route: llm.Embeddings}, Model: "e"}, vertex + "/publishers/google/models/e:predict"},
		{"Vertex preserve", geminiVertex, Call{Settings: &Settings{Route: llm.Preserve}}, "https://europe-west4-aiplatform.googleapis.com:443"},
		{"endpoint", garden, Call{Model: "gemini-pro"}, vertex + "/endpoints/1234:generateContent"},
		{"escaped project", elsewhere, Call{Model: "m"}, "https://127.0.0.1:8443/v1/projects/a%2F..%2Fb/locations/x%20y/publishers/google/models/m:generateContent"},
		{"no host", &pluginpb.AiModelOptions{Gemini: &pluginpb.AiGemini{ApiEndpoint: proto.String("evil/x"), ProjectId: proto.String("a"), LocationId: proto.String("b")}}, Call{Model: "m"}, ""},
		{"no port", &pluginpb.AiModelOptions{Gemini: &pluginpb.AiGemini{ApiEndpoint: proto.String("h:x"), ProjectId: proto.String("a"), LocationId: proto.String("b")}}, Call{Model: "m"}, ""},
		{"no project", &pluginpb.AiModelOptions{Gemini: &pluginpb.AiGemini{ApiEndpoint: proto.String("h"), LocationId: proto.String("b")}}, Call{Model: "m"}, ""},

		{"native", nil, Call{Format: llm.Gemini, Model: "m", Operation: "/v1beta/models/own:generateContent"}, public + "/v1beta/models/m:generateContent"},
		{"native stream", nil, Call{Format: llm.Gemini, Model: "m", Streams: true, Operation: "/v1beta/models/m:streamGenerateContent"}, public + "/v1beta/models/m:streamGenerateContent"},
		{"native without a path", nil, Call{Format: llm.Gemini, Model: "m", Streams: true}, public + "/v1beta/models/m:streamGenerateContent"},
		{"native count", nil, Call{Format: llm.Gemini, Model: "m", Operation: "/models/m:countTokens"}, public + "/v1beta/models/m:countTokens"},
		{"native, to Vertex", geminiVertex, Call{Format: llm.Gemini, Model: "m", Operation: "/v1beta/models/m:generateContent"}, vertex + "/publishers/google/models/m:generateContent"},
		{"native, another project", geminiVertex, Call{Format: llm.Gemini, Model: "m", Operation: "/v1/projects/evil/locations/x/publishers/google/models/m:predictLongRunning"},
			vertex + "/publishers/google/models/m:predictLongRunning"},
		{"native, another publisher's", geminiVertex, Call{Format: llm.Gemini, Model: "m", Operation: "/v1/projects/evil/locations/x/publishers/anthropic/models/other:rawPredict"},
			vertex + "/publishers/anthropic/models/m:rawPredict"},
		{"native list", geminiVertex, Call{Format: llm.Gemini, Model: "m", Operation: "/v1/publishers/google/models"}, vertex + "/publishers/google/models"},
		{"native, another endpoint", garden, Call{Format: llm.Gemini, Model: "m", Operation: "/v1/projects/evil/locations/x/endpoints/9:predict"}, vertex + "/endpoints/1234:predict"},
		{"native rank", geminiVertex, Call{Format: llm.Gemini, Model: "m", Operation: "/v1/projects/evil/locations/x/rankingConfigs/c:rank"}, vertex + "/rankingConfigs/c:rank"},
		{"native batch", geminiVertex, Call{Format: llm.Gemini, Model: "m", Operation: "/v1/projects/evil/locations/x/batchPredictionJobs/7"}, vertex + "/batchPredictionJobs/7"},
		{"native batches", nil, Call{Format: llm.Gemini, Model: "m", Operation: "/v1beta/batches"}, public + "/v1beta/batches"},
		{"native upload", nil, Call{Format: llm.Gemini, Model: "m", Operation: "/upload/v1beta/files"}, public + "/upload/v1beta/files"},
		{"native file", nil, Call{Format: llm.Gemini, Model: "m", Operation: "/files/abc"}, public + "/v1beta/files/abc"},
		{"native step", nil, Call{Format: llm.Gemini, Model: "m", Operation: "/v1beta/files/../models/x"}, ""},
		{"native hidden step", nil, Call{Format: llm.Gemini, Model: "m", Operation: "/v1beta/files/%2e%2e/x"}, ""},
		{"native hidden slash", nil, Call{Format: llm.Gemini, Model: "m", Operation: "/v1beta/files/..%2f..%2fx"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			call := tt.call
			call.Options = tt.options
			if call.Settings == nil {
				call.Settings = &Settings{Route: llm.Chat}
			}
			if call.Format == "" {
				call.Format = llm.OpenAI
			}
			got, err := (&Gemini{}).Endpoint(&call)
			if tt.want == "" {
				if err == nil {
					t.Errorf("%+v is not refused", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			url := got.Scheme + "://" + got.Host + ":" + strconv.Itoa(got.Port) + got.Path
			if got.Query != "" {
				url += "?" + got.Query
			}
			if url != tt.want {
				t.Errorf("%s, want %s", url, tt.want)
			}
		})
	}
}

func TestGeminiRoutes(t *testing.T) {
	g, ok := Find("gemini", nil)
	if !ok {
		t.Fatal("gemini is not in the list")
	}
	for route, want := range map[llm.Route]bool{
		llm.Chat: true, llm.Completions: true, llm.Embeddings: true, llm.Preserve: true, llm.Files: true, llm.Batches: true,
		llm.Responses: false, llm.Assistants: false, llm.Speech: false,
	} {
		if format, ok := g.Format(route); ok != want || ok && format != llm.Gemini {
			t.Errorf("%s: %q, %v", route, format, ok)
		}
	}
	if g.AcceptEncoding() != "identity" {
		t.Errorf("accepts %q", g.AcceptEncoding())
	}
}
