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
			llm.Chat:           "/v1/chat/completions",
			llm.Completions:    "/v1/completions",
			llm.Embeddings:     "/v1/embeddings",
			llm.Responses:      "/v1/responses",
			llm.Files:          "/v1/files",
			llm.Batches:        "/v1/batches",
			llm.Assistants:     "/v1/assistants",
			llm.Speech:         "/v1/audio/speech",
			llm.Transcriptions: "/v1/audio/transcriptions",
			llm.Translations:   "/v1/audio/translations",
			llm.Images:         "/v1/images/generations",
			llm.ImageEdits:     "/v1/images/edits",
			llm.Videos:         "/v1/videos",
			llm.Preserve:       "",
		},
	},
	azure,
	cerebras,
	&cohere{nativePass("cohere")},
	dashscope,
	databricks,
	deepseek,
	vllm,
	xai,
	huggingFace,
	llama2,
	mistral,
	newOllama("ollama", ""),
}
