package provider

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// All lists every provider this binary can talk to.
var All = []Provider{
	&Anthropic{},
	&Bedrock{},
	&Gemini{},
	&OpenAI{
		name: "openai", host: "api.openai.com",
		paths: map[llm.Route]string{
			llm.Chat:        "/v1/chat/completions",
			llm.Completions: "/v1/completions",
			llm.Preserve:    "",
		},
	},
	cerebras,
	&cohere{nativePass("cohere")},
	dashscope,
	databricks,
	deepseek,
	vllm,
	xai,
	llama2,
	mistral,
	newOllama("ollama", "", ""),
}
