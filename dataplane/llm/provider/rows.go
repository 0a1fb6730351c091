package provider

import (
	"errors"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// The vendors that speak OpenAI's format at an address of their own.
var (
	xai = &OpenAI{
		name: "xai", host: "api.x.ai",
		paths: map[llm.Route]string{
			llm.Chat:       "/v1/chat/completions",
			llm.Responses:  "/v1/responses",
			llm.Images:     "/v1/images/generations",
			llm.ImageEdits: "/v1/images/edits",
			llm.Preserve:   "",
		},
	}
	cerebras = &OpenAI{
		name: "cerebras", host: "api.cerebras.ai",
		paths: map[llm.Route]string{llm.Chat: "/v1/chat/completions", llm.Preserve: ""},
	}
	deepseek = &OpenAI{
		name: "deepseek", host: "api.deepseek.com",
		paths: map[llm.Route]string{llm.Chat: "/v1/chat/completions", llm.Preserve: ""},
	}
	dashscope = &dashscopeVendor{&OpenAI{
		name: "dashscope", hostOf: dashscopeHost,
		paths: map[llm.Route]string{
			llm.Chat:       "/compatible-mode/v1/chat/completions",
			llm.Embeddings: "/compatible-mode/v1/embeddings",
			llm.Images:     "/api/v1/services/aigc/multimodal-generation/generation",
			llm.ImageEdits: "/api/v1/services/aigc/image2image/image-synthesis",
			llm.Preserve:   "",
		},
	}}
	databricks = &OpenAI{
		name: "databricks", hostOf: databricksHost, dropStreamOptions: true,
		paths: map[llm.Route]string{llm.Chat: "/serving-endpoints/v1/chat/completions", llm.Preserve: ""},
	}
	vllm = &OpenAI{
		name: "vllm",
		paths: map[llm.Route]string{
			llm.Chat:        "/v1/chat/completions",
			llm.Completions: "/v1/completions",
			llm.Embeddings:  "/v1/embeddings",
			llm.Responses:   "/v1/responses",
			llm.Preserve:    "",
		},
	}
	mistralOpenAI = &OpenAI{
		name: "mistral", host: "api.mistral.ai", strict: true,
		paths: map[llm.Route]string{
			llm.Chat: "/v1/chat/completions",
			// Completions have no usual address at Mistral: one is configured.
			llm.Completions: "/",
			llm.Embeddings:  "/v1/embeddings",
			llm.Preserve:    "",
		},
	}
	llama2OpenAI = &OpenAI{
		name: "llama2",
		paths: map[llm.Route]string{
			llm.Chat:        "/v1/chat/completions",
			llm.Completions: "/v1/completions",
			llm.Embeddings:  "/v1/embeddings",
			llm.Preserve:    "",
		},
	}
)

// databricksHost is the host of the configured workspace.
func databricksHost(options *pluginpb.AiModelOptions) (string, error) {
	id := options.GetDatabricks().GetWorkspaceInstanceId()
	if id == "" {
		return "", errors.New("databricks.workspace_instance_id must be set for databricks provider")
	}
	// A request may have a say in the option. It must not choose another host.
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return "", errors.New("databricks.workspace_instance_id is no part of a host name")
		}
	}
	return id + ".cloud.databricks.com", nil
}
