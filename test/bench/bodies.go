package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Sizes of request bodies in bytes.
const (
	brief = 1 << 10
	small = 2 << 10
	large = 100 << 10
)

// model is the model that the gateway is configured with; a client may name no
// other one.
const model = "gpt-4o"

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type chatRequest struct {
	Model         string            `json:"model"`
	Metadata      map[string]string `json:"metadata"`
	Stream        bool              `json:"stream,omitempty"`
	StreamOptions *streamOptions    `json:"stream_options,omitempty"`
	MaxTokens     int               `json:"max_tokens"`
	Temperature   float64           `json:"temperature"`
	Messages      []message         `json:"messages"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// requestBody makes a chat request of about a size that is no gift to a
// careless parser: escapes, text that is not ASCII, braces and a whole request
// inside strings, and a second "model" further down.
func requestBody(size int, stream bool) ([]byte, error) {
	r := chatRequest{
		Model:       model,
		Metadata:    map[string]string{"model": "not this one", "trace": `{"model":"nor this one"}`},
		Stream:      stream,
		MaxTokens:   64,
		Temperature: 0.2,
		Messages: []message{
			{"system", "You answer briefly.\nQuote \"exactly\", keep {braces} and [brackets], and C:\\paths\\too."},
			{"user", "请用中文回答：一加一等于几？ Ünïcödé, and an emoji: 🐒"},
			{"assistant", `{"model":"inside a string","messages":[{"role":"user","content":"}"}]}`},
		},
	}
	if stream {
		r.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	const filler = "The quick brown fox jumps over the lazy dog; \"twice\", it says, and\tthen rests. "
	perMessage := min(size/5, 4<<10)
	for {
		b, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		missing := size - len(b)
		if missing < 100 {
			return b, nil
		}
		length := min(perMessage, missing)
		text := strings.Repeat(filler, length/len(filler)+1)[:length*9/10]
		r.Messages = append(r.Messages, message{"user", text})
	}
}

// requestFile is the path of a file with a request of a size, for wrk.
func (l *lab) requestFile(size int) (string, error) {
	if path, ok := l.requestBodies[size]; ok {
		return path, nil
	}
	b, err := requestBody(size, false)
	if err != nil {
		return "", err
	}
	path := filepath.Join(l.folder, fmt.Sprintf("request-%d.json", size))
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return "", err
	}
	l.requestBodies[size] = path
	return path, nil
}

type chatResponse struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   *usage   `json:"usage,omitempty"`
}

type choice struct {
	Index        int      `json:"index"`
	Message      *message `json:"message,omitempty"`
	Delta        *message `json:"delta,omitempty"`
	FinishReason *string  `json:"finish_reason"`
}

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// answerUsage is what the mock says an answer has cost.
var answerUsage = usage{512, 384, 896}

// How many sentences an answer of about 2 KB has, and one of 1 KB.
const (
	answerSentences = 20
	briefSentences  = 8
)

const sentence = "Proxies carry words \"as they are\", line by line.\nA brace } is no end, 一 is one. "

// responseBody is a provider's answer of so many sentences.
func responseBody(sentences int) ([]byte, error) {
	stop, answered := "stop", answerUsage
	return json.Marshal(chatResponse{
		ID: "chatcmpl-1", Object: "chat.completion", Created: 1760000000, Model: "gpt-4o-2024-08-06",
		Choices: []choice{{
			Message:      &message{"assistant", strings.Repeat(sentence, sentences)},
			FinishReason: &stop,
		}},
		Usage: &answered,
	})
}

// claudeBody is an answer of about 1 KB in Anthropic's format.
func claudeBody() ([]byte, error) {
	return json.Marshal(object{
		"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-20250514",
		"content":     []object{{"type": "text", "text": strings.Repeat(sentence, briefSentences)}},
		"stop_reason": "end_turn", "stop_sequence": nil,
		"usage": object{"input_tokens": answerUsage.PromptTokens, "output_tokens": answerUsage.CompletionTokens},
	})
}
