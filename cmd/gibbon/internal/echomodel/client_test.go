package echomodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// sdk is the official client, pointed at base.
func sdk(t *testing.T, base string) openai.Client {
	return openai.NewClient(
		option.WithBaseURL(base+"/v1"),
		option.WithAPIKey("NONE"),
		option.WithMaxRetries(0),
		option.WithHTTPClient(newClient(t)),
	)
}

func question(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "gpt-4-32k",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("你是一名数学家。"), openai.UserMessage(text)},
	}
}

func TestOfficialClientChat(t *testing.T) {
	client := sdk(t, start(t, Config{}))
	got, err := client.Chat.Completions.New(t.Context(), question("一加一等于几？😀"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Model != "gpt-4-32k" || len(got.Choices) != 1 {
		t.Fatalf("answer %s", got.RawJSON())
	}
	if text, want := got.Choices[0].Message.Content, "Echo: 一加一等于几？😀"; text != want {
		t.Errorf("content %q, want %q", text, want)
	}
	if u := got.Usage; u.PromptTokens == 0 || u.CompletionTokens != 10 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage %s", u.RawJSON())
	}
}

func TestOfficialClientStream(t *testing.T) {
	client := sdk(t, start(t, Config{}))
	ask := question("一加一 = two")
	ask.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(t.Context(), ask)
	var pieces []string
	var all openai.ChatCompletionAccumulator
	for stream.Next() {
		chunk := stream.Current()
		if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			pieces = append(pieces, chunk.Choices[0].Delta.Content)
		}
		if !all.AddChunk(chunk) {
			t.Fatalf("chunk does not fit: %s", chunk.RawJSON())
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		t.Fatal(err)
	}
	want := []string{"Echo", ":", " 一", "加", "一", " =", " two"}
	if diff := cmp.Diff(want, pieces); diff != "" {
		t.Errorf("pieces (-want +got):\n%s", diff)
	}
	if got := all.Choices[0]; got.FinishReason != "stop" || got.Message.Content != strings.Join(want, "") {
		t.Errorf("accumulated %+v", got)
	}
	if all.Usage.CompletionTokens != int64(len(want)) {
		t.Errorf("usage %+v, want %d completion tokens", all.Usage, len(want))
	}
}

func TestOfficialClientTools(t *testing.T) {
	client := sdk(t, start(t, Config{}))
	ask := question("Paris")
	ask.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
		Name: "weather",
		Parameters: openai.FunctionParameters{
			"type":       "object",
			"properties": map[string]any{"town": map[string]any{"type": "string"}, "days": map[string]any{"type": "integer"}},
		},
	})}
	ask.ToolChoice.OfAuto = openai.String("required")
	const want = `{"days":0,"town":"Paris"}`

	whole, err := client.Chat.Completions.New(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	stream := client.Chat.Completions.NewStreaming(t.Context(), ask)
	var all openai.ChatCompletionAccumulator
	for stream.Next() {
		all.AddChunk(stream.Current())
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		t.Fatal(err)
	}
	for name, choice := range map[string]openai.ChatCompletionChoice{"whole": whole.Choices[0], "stream": all.Choices[0]} {
		calls := choice.Message.ToolCalls
		if choice.FinishReason != "tool_calls" || len(calls) != 1 {
			t.Fatalf("%s: %+v", name, choice)
		}
		if calls[0].Function.Name != "weather" || calls[0].Function.Arguments != want || calls[0].ID == "" {
			t.Errorf("%s: call %+v, want weather(%s)", name, calls[0], want)
		}
	}
}

func TestOfficialClientEmbedding(t *testing.T) {
	client := sdk(t, start(t, Config{}))
	got, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
		Model:      "text-embedding-3-small",
		Input:      openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"hello", "你好"}},
		Dimensions: openai.Int(16),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Data) != 2 || got.Usage.PromptTokens != 3 {
		t.Fatalf("answer %s", got.RawJSON())
	}
	for i, e := range got.Data {
		var square float64
		for _, x := range e.Embedding {
			square += x * x
		}
		if int(e.Index) != i || len(e.Embedding) != 16 || math.Abs(square-1) > 1e-5 {
			t.Errorf("embedding %d: index %d, %d numbers, length² %v", i, e.Index, len(e.Embedding), square)
		}
	}
}

func TestOfficialClientModelsAndErrors(t *testing.T) {
	base := start(t, Config{})
	client := sdk(t, base)
	models, err := client.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(models.Data) != 1 || models.Data[0].ID != modelID {
		t.Errorf("models %s", models.RawJSON())
	}

	_, err = client.Chat.Completions.New(t.Context(), question("hi"), option.WithHeader(HeaderStatus, "429"))
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != 429 || e.Code != "rate_limit_exceeded" {
		t.Errorf("asked for 429, got %v", err)
	}
	stream := client.Chat.Completions.NewStreaming(t.Context(), question("hi"), option.WithHeader(HeaderResetAfter, "300"))
	for stream.Next() {
	}
	if stream.Err() == nil {
		t.Error("a reset stream ended without an error")
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}

	for _, r := range requests(t, base) {
		if strings.HasPrefix(r.Path, "/v1/") && r.Headers.Get("Authorization") != "Bearer NONE" {
			t.Errorf("%s %s: Authorization %q", r.Method, r.Path, r.Headers.Get("Authorization"))
		}
		if r.Body != "" && !json.Valid(bytes.TrimSpace([]byte(r.Body))) {
			t.Errorf("%s %s: body %q", r.Method, r.Path, r.Body)
		}
	}
}
