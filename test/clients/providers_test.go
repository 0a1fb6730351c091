//go:build unix

package clients_test

import (
	"cmp"
	"maps"
	"net/http"
	"sync"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// backend is a provider behind the gateway, played by the echo model in the
// provider's own format.
type backend struct {
	name     string // of its routes
	provider string
	model    string
	options  gibbon.JSON
	auth     gibbon.JSON // nil: a header
	chat     string      // paths at the echo model
	stream   string      // "": that of chat
	embed    string      // "": the provider has no embeddings here
	embedder string      // the model that embeds; "": model
	answers  string      // the path of OpenAI's responses; "": there are none
	models   string      // the path of the list of models; "": it is not asked for
	toolless bool        // the format has no tools
	whole    bool        // the provider streams nothing: an answer comes in one piece
	uncount  bool        // its streams have no token counts
	untold   bool        // its whole answers have no token counts
	prompted bool        // the answer repeats the turns around the question too
	says     string      // what the model says beside a call, when it does not stream
	strict   bool        // the gateway takes only JSON for a tool's result, as Kong does
	// bare says that its errors are a text where OpenAI's are objects. They reach
	// the caller as they are, as with Kong.
	bare   bool
	claude bool // Anthropic's client is used with it too
}

const (
	claudeModel = "claude-sonnet-4-5"
	bedrockPath = "/model/anthropic.claude-3-5-sonnet-20241022-v2%3A0/"
	geminiPath  = "/v1beta/models/gemini-2.5-flash:"
	openaiChat  = "/v1/chat/completions"
	openaiEmbed = "/v1/embeddings"
)

// backends are the providers, one row for each format that one of them speaks.
var backends = []backend{
	{name: "openai", provider: "openai", model: "gpt-4o", chat: openaiChat, embed: openaiEmbed, embedder: "text-embedding-3-small",
		answers: "/v1/responses", models: "/v1/models", claude: true},
	{name: "azure", provider: "azure", model: "gpt-4o", chat: "/openai/deployments/d/chat/completions",
		embed: "/openai/deployments/d/embeddings", answers: "/openai/v1/responses",
		options: gibbon.JSON{"azure_instance": "i", "azure_deployment_id": "d", "azure_api_version": "2024-10-21"}},
	{name: "anthropic", provider: "anthropic", model: claudeModel, chat: "/v1/messages", claude: true,
		options: gibbon.JSON{"anthropic_version": "2023-06-01"}},
	{name: "gemini", provider: "gemini", model: "gemini-2.5-flash", chat: geminiPath + "generateContent",
		stream: geminiPath + "streamGenerateContent?alt=sse", embed: "/v1beta/models/gemini-embedding-001:batchEmbedContents",
		embedder: "gemini-embedding-001", claude: true},
	// A stream that is one JSON array in pieces.
	{name: "gemini-array", provider: "gemini", model: "gemini-2.5-flash", chat: geminiPath + "generateContent",
		stream: geminiPath + "streamGenerateContent"},
	{name: "bedrock", provider: "bedrock", model: "anthropic.claude-3-5-sonnet-20241022-v2:0", chat: bedrockPath + "converse",
		stream: bedrockPath + "converse-stream", embed: "/model/cohere.embed-multilingual-v3/invoke",
		embedder: "cohere.embed-multilingual-v3", strict: true,
		options: gibbon.JSON{"bedrock": gibbon.JSON{"aws_region": "us-east-1"}},
		auth:    gibbon.JSON{"aws_access_key_id": "AKID", "aws_secret_access_key": "secret"}, claude: true},
	{name: "cohere", provider: "cohere", model: "command-a-03-2025", chat: "/v2/chat", embed: "/v2/embed", embedder: "embed-v4.0",
		says: "I will call a tool.", claude: true},
	{name: "cohere-v1", provider: "cohere", model: "command-r", chat: "/v1/chat", toolless: true},
	{name: "mistral", provider: "mistral", model: "mistral-large-latest", chat: openaiChat, embed: openaiEmbed, embedder: "mistral-embed",
		options: gibbon.JSON{"mistral_format": "openai"}},
	{name: "mistral-ollama", bare: true, provider: "mistral", model: "mistral-7b", chat: "/api/chat", options: gibbon.JSON{"mistral_format": "ollama"}},
	{name: "llama2", provider: "llama2", model: "llama2", chat: openaiChat, embed: openaiEmbed, options: gibbon.JSON{"llama2_format": "openai"}},
	{name: "llama2-ollama", bare: true, provider: "llama2", model: "llama2", chat: "/api/chat", options: gibbon.JSON{"llama2_format": "ollama"}},
	{name: "llama2-raw", bare: true, provider: "llama2", model: "llama2", chat: "/raw", options: gibbon.JSON{"llama2_format": "raw"},
		toolless: true, whole: true, untold: true, prompted: true},
	{name: "huggingface", bare: true, provider: "huggingface", model: "meta-llama/Llama-3.3-70B", chat: "/models/meta-llama/Llama-3.3-70B/v1/chat/completions",
		embed: "/hf-inference/models/BAAI/bge-m3/pipeline/feature-extraction", embedder: "BAAI/bge-m3"},
	{name: "ollama", bare: true, provider: "ollama", model: "llama3.2", chat: "/api/chat", embed: "/api/embed", claude: true},
	{name: "vllm", provider: "vllm", model: "qwen3", chat: openaiChat, embed: openaiEmbed, answers: "/v1/responses"},
	{name: "xai", provider: "xai", model: "grok-4", chat: openaiChat, answers: "/v1/responses"},
	{name: "deepseek", provider: "deepseek", model: "deepseek-chat", chat: openaiChat},
	{name: "cerebras", provider: "cerebras", model: "llama-3.3-70b", chat: openaiChat},
	{name: "dashscope", provider: "dashscope", model: "qwen-plus", chat: "/compatible-mode/v1/chat/completions",
		embed: "/compatible-mode/v1/embeddings", embedder: "text-embedding-v4"},
	{name: "databricks", provider: "databricks", model: "databricks-claude", chat: "/serving-endpoints/v1/chat/completions", uncount: true,
		options: gibbon.JSON{"databricks": gibbon.JSON{"workspace_instance_id": "w"}}},
}

// deploy starts an echo model and a gateway with routes to it for each backend:
// under /NAME/v1 for OpenAI's clients and under /NAME/claude/v1 for Anthropic's.
// Streams have a base of their own, …/stream/v1, since some providers stream at
// another path and the configured address is the whole one.
func deploy(t *testing.T) *gibbon.Node {
	t.Helper()
	echo := gibbon.Echo(t)
	n := gibbon.Run(t)
	n.Start()
	n.Create("/services", gibbon.JSON{"name": "ai", "url": "http://localhost:32000"})
	var routes, plugins []write
	for i := range backends {
		b := &backends[i]
		put := func(name, kind, format, model, upstream string, paths ...string) {
			if upstream == "" {
				return
			}
			name = b.name + "-" + name
			routes = append(routes, write{"/services/ai/routes", gibbon.JSON{"name": name, "paths": paths}})
			options := gibbon.JSON{"upstream_url": "http://" + echo.Echo + upstream}
			maps.Copy(options, b.options)
			auth := b.auth
			if auth == nil {
				auth = gibbon.JSON{"header_name": "X-Credential", "header_value": "the gateway's"}
			}
			target := gibbon.JSON{"provider": b.provider, "options": options}
			if model != "" {
				target["name"] = model
			}
			plugins = append(plugins, write{"/routes/" + name + "/plugins", gibbon.JSON{"name": "ai-proxy", "config": gibbon.JSON{
				"route_type": kind, "llm_format": format, "model": target, "auth": auth,
			}}})
		}
		chats := func(format, base, tail string) {
			whole, stream := base+tail, base+"/stream"+tail
			if b.stream == "" {
				put("chat-"+format, "llm/v1/chat", format, b.model, b.chat, whole, stream)
				return
			}
			put("chat-"+format, "llm/v1/chat", format, b.model, b.chat, whole)
			put("stream-"+format, "llm/v1/chat", format, b.model, b.stream, stream)
		}
		chats("openai", "/"+b.name, "/v1/chat/completions")
		if b.claude {
			chats("anthropic", "/"+b.name+"/claude", "/v1/messages")
		}
		if b.provider == "anthropic" {
			put("count", "llm/v1/chat", "anthropic", b.model, "/v1/messages/count_tokens", "/"+b.name+"/claude/v1/messages/count_tokens")
		}
		put("embed", "llm/v1/embeddings", "openai", cmp.Or(b.embedder, b.model), b.embed, "/"+b.name+"/v1/embeddings")
		put("responses", "llm/v1/responses", "openai", b.model, b.answers, "/"+b.name+"/v1/responses")
		put("models", "preserve", "openai", "", b.models, "/"+b.name+"/v1/models")
	}
	createAll(t, n, routes)
	createAll(t, n, plugins)
	return n
}

// write is an entity to create.
type write struct {
	path string
	body gibbon.JSON
}

// createAll creates entities, a few at a time: the gateway takes what came
// meanwhile as one change, so that the whole is much faster than one by one.
func createAll(t *testing.T, n *gibbon.Node, writes []write) {
	t.Helper()
	next := make(chan write)
	var writers sync.WaitGroup
	for range 3 {
		writers.Go(func() {
			for w := range next {
				var answer gibbon.Answer
				var err error
				// A writer that waits too long for its turn at the database is told to
				// come again, which happens on a machine with much else to do.
				for range 5 {
					answer, err = gibbon.Try(t.Context(), http.MethodPost, n.AdminURL(w.path), w.body)
					if err != nil || answer.Status != http.StatusServiceUnavailable {
						break
					}
				}
				if err != nil || answer.Status != http.StatusCreated {
					t.Errorf("POST %s: %s, %v", w.path, answer, err)
				}
			}
		})
	}
	for _, w := range writes {
		next <- w
	}
	close(next)
	writers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
