package echomodel

import (
	"bytes"
	"mime/multipart"
	"testing"
)

// nativePaths are paths of other vendors, one of each kind.
var nativePaths = []string{
	"/v1/messages", "/v1/messages/count_tokens", "/v1/complete",
	"/v1beta/models/m:generateContent", "/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent",
	"/v1beta/models/m:streamGenerateContent?alt=sse", "/v1beta/models/m:batchEmbedContents",
	"/model/anthropic.claude%3A0/converse", "/model/m/converse-stream", "/model/m/invoke",
	"/v1/chat", "/v2/chat", "/v1/generate", "/v2/embed", "/api/chat", "/api/generate", "/api/embed",
	"/models/a/b", "/generate_stream", "/raw", "/v1/responses", "/v1/images/generations", "/v1/audio/speech", "/v1/audio/transcriptions",
	"/openai/deployments/d/chat/completions",
}

// TestNativeGolden pins what is answered in the formats of other vendors.
func TestNativeGolden(t *testing.T) {
	const (
		schema    = `{"type":"object","properties":{"town":{"type":"string"}}}`
		anthropic = `{"model":"c","max_tokens":100,"system":[{"type":"text","text":"Be short."}],"messages":[{"role":"user","content":[{"type":"text","text":"look"},{"type":"image","source":{}}]}]`
		claude    = `,"tools":[{"name":"weather","input_schema":` + schema + `}],"tool_choice":{"type":"any"}}`
		gemini    = `{"system_instruction":{"parts":[{"text":"Be short."}]},"contents":[{"role":"user","parts":[{"text":"look"},{"inlineData":{}}]}]`
		google    = `,"tools":[{"function_declarations":[{"name":"weather","parameters":` + schema + `}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`
		bedrock   = `{"system":[{"text":"Be short."}],"messages":[{"role":"user","content":[{"text":"look"},{"image":{}}]}]`
		amazon    = `,"toolConfig":{"tools":[{"toolSpec":{"name":"weather","inputSchema":{"json":` + schema + `}}}],"toolChoice":{"any":{}}}}`
		cohere    = `{"model":"c","messages":[{"role":"user","content":"look"}]`
		tools     = `,"tools":[{"type":"function","function":{"name":"weather","parameters":` + schema + `}}]`
		responses = `{"model":"m","instructions":"Be short.","input":[{"role":"user","content":[{"type":"input_text","text":"look"}]}]`
	)
	golden(t, start(t, Config{}), []goldenCase{
		{name: "azure", path: "/openai/deployments/d/chat/completions?api-version=2024-10-21", body: `{"messages":[{"role":"user","content":"hi"}]}`},
		{name: "anthropic", path: "/v1/messages", body: anthropic + `}`},
		{name: "anthropic_stop", path: "/v1/messages", body: anthropic + `,"stop_sequences":["ok"]}`},
		{name: "anthropic_stream", path: "/v1/messages", body: anthropic + `,"stream":true,"thinking":{"type":"enabled","budget_tokens":1024}}`},
		{name: "anthropic_tool", path: "/v1/messages", body: anthropic + claude},
		{name: "anthropic_tool_stream", path: "/v1/messages", body: anthropic + `,"stream":true` + claude},
		{name: "anthropic_tool_result", path: "/v1/messages", body: `{"model":"c","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"The task is to repeat what was said last.","signature":"` + signature() + `"},{"type":"tool_use","id":"t","name":"n","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"42"}]}]}`},
		{name: "anthropic_bad_signature", path: "/v1/messages", body: `{"model":"c","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"}]}]}`},
		{name: "anthropic_no_limit", path: "/v1/messages", body: `{"model":"c","messages":[]}`},
		{name: "anthropic_count", path: "/v1/messages/count_tokens", body: `{"model":"c","messages":[{"role":"user","content":"one two"}]}`},
		{name: "anthropic_complete", path: "/v1/complete", body: `{"model":"c","prompt":"\n\nHuman: hi there\n\nAssistant:","max_tokens_to_sample":2}`},
		{name: "anthropic_complete_stream", path: "/v1/complete", body: `{"model":"c","prompt":"\n\nHuman: hi there\n\nAssistant:","max_tokens_to_sample":9,"stream":true}`},
		{name: "anthropic_overloaded", path: "/v1/messages", headers: []string{HeaderStatus, "503"}},
		{name: "gemini", path: "/v1beta/models/g:generateContent", body: gemini + `,"generationConfig":{"maxOutputTokens":2}}`},
		{name: "gemini_array", path: "/v1beta/models/g:streamGenerateContent", body: gemini + `}`},
		{name: "gemini_events", path: "/v1beta/models/g:streamGenerateContent?alt=sse", body: gemini + `}`},
		{name: "gemini_tool", path: "/v1/projects/p/locations/l/publishers/google/models/g:generateContent", body: gemini + google},
		{name: "gemini_tool_stream", path: "/v1beta/models/g:streamGenerateContent", body: gemini + google},
		{name: "gemini_json", path: "/v1beta/models/g:generateContent", body: gemini + `,"generationConfig":{"responseMimeType":"application/json","responseSchema":` + schema + `}}`},
		{name: "gemini_embed", path: "/v1beta/models/g:batchEmbedContents", body: `{"requests":[{"content":{"parts":[{"text":"hello"}]},"outputDimensionality":3}]}`},
		{name: "gemini_error", path: "/v1beta/models/g:generateContent", body: `{"contents":[{"role":"robot"}]}`},
		{name: "bedrock", path: "/model/anthropic.claude-v2%3A1/converse", body: bedrock + `}`},
		{name: "bedrock_stream", path: "/model/m/converse-stream", body: bedrock + `,"inferenceConfig":{"maxTokens":2}}`},
		{name: "bedrock_tool", path: "/model/m/converse", body: bedrock + amazon},
		{name: "bedrock_tool_stream", path: "/model/m/converse-stream", body: bedrock + amazon},
		{name: "bedrock_titan", path: "/model/amazon.titan-embed/invoke", body: `{"inputText":"hello","dimensions":3}`},
		{name: "bedrock_error", path: "/model/m/converse", body: `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`},
		{name: "cohere1", path: "/v1/chat", body: `{"model":"c","message":"look","chat_history":[{"role":"USER","message":"a"},{"role":"CHATBOT","message":"b"}]}`},
		{name: "cohere1_stream", path: "/v1/chat", body: `{"model":"c","message":"look","stream":true}`},
		{name: "cohere2", path: "/v2/chat", body: cohere + `}`},
		{name: "cohere2_stream", path: "/v2/chat", body: cohere + `,"stream":true,"max_tokens":1}`},
		{name: "cohere2_tool", path: "/v2/chat", body: cohere + tools + `,"tool_choice":"REQUIRED"}`},
		{name: "cohere2_tool_stream", path: "/v2/chat", body: cohere + tools + `,"tool_choice":"REQUIRED","stream":true}`},
		{name: "cohere_generate", path: "/v1/generate", body: `{"model":"c","prompt":"hi"}`},
		{name: "cohere_embed", path: "/v2/embed", body: `{"model":"c","texts":["hi"],"input_type":"classification","output_dimension":3}`},
		{name: "cohere_error", path: "/v1/chat", body: `{"model":"c"}`},
		{name: "ollama", path: "/api/chat", body: `{"model":"o","stream":false,"messages":[{"role":"user","content":"look","images":["aa"]}]}`},
		{name: "ollama_stream", path: "/api/chat", body: `{"model":"o","options":{"num_predict":2},"messages":[{"role":"user","content":"look"}]}`},
		{name: "ollama_tool", path: "/api/chat", body: `{"model":"o","messages":[{"role":"user","content":"look"}]` + tools + `,"tool_choice":"required"}`},
		{name: "ollama_generate", path: "/api/generate", body: `{"model":"o","prompt":"look"}`},
		{name: "ollama_embed", path: "/api/embed", body: `{"model":"o","input":""}`},
		{name: "textgen", path: "/models/org/name", body: `{"inputs":"hi there","parameters":{"max_new_tokens":1}}`},
		{name: "textgen_stream", path: "/generate_stream", body: `{"inputs":"hi"}`},
		{name: "textgen_chat", path: "/models/org/name/v1/chat/completions", body: `{"messages":[{"role":"user","content":"hi"}]}`},
		{name: "textgen_error", path: "/models/org/name", body: `{}`},
		{name: "raw", path: "/raw", body: `{"inputs":"<s>[INST] <<SYS>>You are.<</SYS>> hi [/INST]"}`},
		{name: "responses", path: "/v1/responses", body: responses + `}`},
		{name: "responses_stream", path: "/v1/responses", body: responses + `,"stream":true,"max_output_tokens":2}`},
		{name: "responses_tool_stream", path: "/v1/responses", body: responses + `,"stream":true,"tools":[{"type":"function","name":"weather","parameters":` + schema + `}],"tool_choice":"required"}`},
		{name: "responses_previous", path: "/v1/responses", body: `{"model":"m","previous_response_id":"r"}`},
		{name: "image", path: "/v1/images/generations", body: `{"prompt":"a house"}`},
		{name: "speech_error", path: "/v1/audio/speech", body: `{"input":""}`},
	})
}

func TestAudio(t *testing.T) {
	base := start(t, Config{})
	resp, wav := do(t, "POST", base+"/v1/audio/speech", `{"model":"m","input":"one two","voice":"v"}`)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "audio/wav" || len(wav) != 44+1600 || wav[:4] != "RIFF" {
		t.Errorf("speech: %d %s, %d bytes, want 44 of head and 1600 of sound", resp.StatusCode, resp.Header.Get("Content-Type"), len(wav))
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	file, err := w.CreateFormFile("file", "a.wav")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte(wav)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	resp, got := do(t, "POST", base+"/v1/audio/transcriptions", form.String(), "Content-Type", w.FormDataContentType())
	want := `{"text":"Echo: [audio a.wav]","usage":{"input_token_details":{"audio_tokens":1,"text_tokens":0},"input_tokens":1,"output_tokens":8,"total_tokens":9,"type":"tokens"}}` + "\n"
	if resp.StatusCode != 200 || got != want {
		t.Errorf("transcription: %d %s, want %s", resp.StatusCode, got, want)
	}
}
