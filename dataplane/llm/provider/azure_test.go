package provider

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

func TestAzureEndpoints(t *testing.T) {
	options := func(change func(*pluginpb.AiModelOptions)) *pluginpb.AiModelOptions {
		o := &pluginpb.AiModelOptions{AzureInstance: new("acme"), AzureDeploymentId: new("gpt 4"), AzureApiVersion: new("2024-10-21")}
		if change != nil {
			change(o)
		}
		return o
	}
	usual := options(nil)
	for _, tt := range []struct {
		name    string
		route   llm.Route
		options *pluginpb.AiModelOptions
		want    string // host, path and query; empty: an error
	}{
		{"chat", llm.Chat, usual, "acme.openai.azure.com/openai/deployments/gpt%204/chat/completions?api-version=2024-10-21"},
		{"completions", llm.Completions, usual, "acme.openai.azure.com/openai/deployments/gpt%204/completions?api-version=2024-10-21"},
		{"vectors", llm.Embeddings, usual, "acme.openai.azure.com/openai/deployments/gpt%204/embeddings?api-version=2024-10-21"},
		{"files", llm.Files, usual, "acme.openai.azure.com/openai/files?api-version=2024-10-21"},
		{"responses", llm.Responses, usual, "acme.openai.azure.com/openai/v1/responses?api-version=preview"},
		{"videos", llm.Videos, usual, "acme.openai.azure.com/openai/v1/video/generations/jobs?api-version=preview"},
		{"speech", llm.Speech, usual, "acme.openai.azure.com/openai/audio/speech?api-version=2024-10-21"},
		{"the caller's path", llm.Preserve, usual, "acme.openai.azure.com?api-version=2024-10-21"},
		{"Kong's version", llm.Chat, options(func(o *pluginpb.AiModelOptions) { o.AzureApiVersion = nil }), "acme.openai.azure.com/openai/deployments/gpt%204/chat/completions?api-version=2023-05-15"},
		{"a configured path without a version", llm.Chat, options(func(o *pluginpb.AiModelOptions) { o.UpstreamPath = new("/openai/v1/chat/completions") }), "acme.openai.azure.com/openai/deployments/gpt%204/chat/completions?"},
		{"a configured URL", llm.Chat, &pluginpb.AiModelOptions{UpstreamUrl: new("http://127.0.0.1/x")}, "/chat/completions?api-version=2023-05-15"},
		{"no instance", llm.Chat, options(func(o *pluginpb.AiModelOptions) { o.AzureInstance = nil }), ""},
		{"another host", llm.Chat, options(func(o *pluginpb.AiModelOptions) { o.AzureInstance = new("evil.example/") }), ""},
		{"no deployment", llm.Chat, options(func(o *pluginpb.AiModelOptions) { o.AzureDeploymentId = nil }), ""},
		{"a step upwards", llm.Chat, options(func(o *pluginpb.AiModelOptions) { o.AzureDeploymentId = new("..") }), ""},
	} {
		got, err := azure.Endpoint(&Call{Settings: &Settings{Route: tt.route}, Options: tt.options})
		if err != nil {
			if tt.want != "" {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		at := got.Host + got.Path + "?" + got.Query
		if at != tt.want {
			t.Errorf("%s: %s, want %q", tt.name, at, tt.want)
		}
	}
	for _, tt := range []struct {
		path  string
		whole bool
		want  string
	}{
		{"/chat/completions", false, "/openai/deployments/gpt%204/chat/completions"},
		{"/openai/deployments/other/chat/completions", false, "/openai/deployments/other/chat/completions"},
		{"/openai/v1/chat/completions", false, "/openai/v1/chat/completions"},
		{"/x", true, "/x"},
	} {
		if got := azure.ConfiguredPath(&Call{Settings: &Settings{Route: llm.Chat}, Options: usual}, tt.path, tt.whole); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.path, got, tt.want)
		}
	}
}

// TestAzureAsksForCounts checks that only the versions that know the option get it.
func TestAzureAsksForCounts(t *testing.T) {
	const in, asked = `{"model":"m","messages":[1],"stream":true}`, `{"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true}}`
	for version, want := range map[string]string{
		"": in, "2023-05-15": in, "2024-08-01-preview": in, "2024-09-01-preview": asked, "2024-10-21": asked, "preview": asked,
	} {
		var request llm.Request
		if err := client.NewOpenAI(llm.Chat, "").Read(client.Incoming{Body: []byte(in)}, &request); err != nil {
			t.Fatal(err)
		}
		options := &pluginpb.AiModelOptions{}
		if version != "" {
			options.AzureApiVersion = &version
		}
		got, err := azure.Request(&Call{Settings: &Settings{Route: llm.Chat}, Options: options, Model: "m", Streams: true}, &request)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", version, diff)
		}
	}
}
