package client

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// TestOpenAISDK reads what is written from events and from answers of other
// formats with OpenAI's own client.
func TestOpenAISDK(t *testing.T) {
	o := NewOpenAI(llm.Chat, "")
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		write := func(out []byte) {
			if _, err := rw.Write(out); err != nil {
				t.Error(err)
			}
		}
		if r.Header.Get("Accept") == "application/json" && r.Header.Get("X-Kind") == "whole" {
			rw.Header().Set("Content-Type", "application/json")
			write(o.AppendAnswer(nil, &llm.Request{}, &llm.ChatAnswer{Model: "m-1", Usage: usage12, Choices: []llm.Choice{{
				Message: llm.Message{Parts: []llm.Part{{Kind: llm.PartText, Text: "Four."}}, Calls: []llm.ToolCall{{ID: "a", Name: "f", Arguments: "{}"}}},
			}}}))
			return
		}
		rw.Header().Set("Content-Type", "text/event-stream")
		w := o.Writer(&llm.Request{WantsUsage: true}, "m-1")
		var out []byte
		kind := r.Header.Get("X-Kind")
		stream := openAIStreams[kind]
		for i := range stream.events {
			out = w.Append(out, &llm.Frame{Events: stream.events[i : i+1]})
			out = w.AppendKeepAlive(out)
		}
		write(w.AppendEnd(out))
	}))
	defer server.Close()
	sdk := openai.NewClient(option.WithBaseURL(server.URL), option.WithAPIKey("k"), option.WithMaxRetries(0))
	params := openai.ChatCompletionNewParams{Model: "m-1", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("2 + 2 ?")}}

	whole, err := sdk.Chat.Completions.New(t.Context(), params, option.WithHeader("X-Kind", "whole"))
	if err != nil {
		t.Fatal(err)
	}
	if c := whole.Choices[0]; c.Message.Content != "Four." || c.Message.ToolCalls[0].Function.Name != "f" || c.FinishReason != "tool_calls" || whole.Usage.TotalTokens != 22 {
		t.Errorf("%+v", whole)
	}
	read := func(kind string) (openai.ChatCompletionAccumulator, error) {
		stream := sdk.Chat.Completions.NewStreaming(t.Context(), params, option.WithHeader("X-Kind", kind))
		defer func() {
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
		}()
		var all openai.ChatCompletionAccumulator
		for stream.Next() {
			if !all.AddChunk(stream.Current()) {
				t.Errorf("%s: a chunk does not fit: %s", kind, stream.Current().RawJSON())
			}
		}
		return all, stream.Err()
	}
	all, err := read("text")
	if err != nil || all.Choices[0].Message.Content != "Fo\"ur.\n" || all.Choices[0].FinishReason != "stop" || all.Usage.TotalTokens != 22 || all.Created != 1790000000 {
		t.Errorf("%+v, %v", all, err)
	}
	all, err = read("calls")
	calls := all.Choices[0].Message.ToolCalls
	if err != nil || len(calls) != 2 || calls[0].ID != "call_a" || calls[0].Function.Arguments != `{"sku":"lamp"}` || calls[1].Function.Name != "price" || calls[1].Function.Arguments != "{}" {
		t.Errorf("%+v, %v", calls, err)
	}
	if _, err = read("failure"); err == nil {
		t.Error("the failure was not seen")
	}
}
