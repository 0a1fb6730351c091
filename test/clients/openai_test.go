//go:build unix

// Package clients_test talks to a real gateway with the programs that people use:
// OpenAI's and Anthropic's clients on the proxy, grpcurl on the Admin API.
package clients_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

func TestMain(m *testing.M) { gibbon.Main(m) }

// patience is far above what anything here needs.
const patience = time.Minute

// serve starts a model that is scripted by a handler.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// gateway starts a gateway whose /v1 goes to the model at an address.
func gateway(t *testing.T, model string) *gibbon.Node {
	t.Helper()
	n := gibbon.Run(t)
	n.Start()
	n.Create("/services", gibbon.JSON{"name": "ai", "url": "http://localhost:32000"})
	n.Create("/services/ai/routes", gibbon.JSON{"name": "chat", "paths": []string{"/v1/chat/completions"}})
	n.Create("/routes/chat/plugins", gibbon.Model(model+"/v1/chat/completions"))
	return n
}

// client is OpenAI's, with the proxy for a base URL and no second tries.
func client(t *testing.T, n *gibbon.Node) openai.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return openai.NewClient(
		option.WithBaseURL(n.ProxyURL("/v1")),
		option.WithAPIKey("the client's own"),
		option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{Transport: transport}),
	)
}

func question(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "gpt-4",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("你是一名数学家。"), openai.UserMessage(text)},
	}
}

func TestOpenAIChat(t *testing.T) {
	t.Parallel()
	echo := gibbon.Echo(t)
	n := gateway(t, "http://"+echo.Echo)
	sdk := client(t, n)
	got, err := sdk.Chat.Completions.New(t.Context(), question("一加一等于几？"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Choices) != 1 || got.Choices[0].Message.Content != "Echo: 一加一等于几？" || got.Choices[0].FinishReason != "stop" {
		t.Errorf("the answer is %s", got.RawJSON())
	}
	if got.Usage.CompletionTokens == 0 || got.Usage.TotalTokens != got.Usage.PromptTokens+got.Usage.CompletionTokens {
		t.Errorf("the usage is %s", got.Usage.RawJSON())
	}
	var seen struct {
		Requests []struct{ Headers http.Header }
	}
	gibbon.Call(t, http.MethodGet, "http://"+echo.Echo+"/_echo/requests", nil).Decode(t, &seen)
	if len(seen.Requests) != 1 || seen.Requests[0].Headers.Get("Authorization") != "Bearer NONE" {
		t.Errorf("the model got %+v, want one request with the gateway's key", seen.Requests)
	}

	// A refusal is OpenAI's error to its client too.
	_, err = sdk.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{Model: "another", Messages: question("?").Messages})
	var refused *openai.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusBadRequest {
		t.Errorf("a model that the route does not have: %v, want 400", err)
	}
}

// TestOpenAIStreamArrivesPieceByPiece has a model that sends its second piece only
// after the client has the first one: a gateway that held pieces back would wait
// for ever.
func TestOpenAIStreamArrivesPieceByPiece(t *testing.T) {
	t.Parallel()
	pieces := []string{"一", "加一", "等于二"}
	seen := make(chan struct{}) // one for each piece at the client
	told := make(chan error, 1) // what became of the model's answer
	model := serve(t, func(w http.ResponseWriter, r *http.Request) {
		told <- func() error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			var ask struct{ Stream bool }
			if err := json.Unmarshal(body, &ask); err != nil || !ask.Stream {
				return fmt.Errorf("the model got %s, want a stream to be asked for (%v)", body, err)
			}
			w.Header().Set("Content-Type", "text/event-stream")
			flush := http.NewResponseController(w).Flush
			for i, piece := range pieces {
				chunk := fmt.Sprintf(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4","choices":[{"index":0,"delta":{"role":"assistant","content":%q},"finish_reason":null}]}`, piece)
				if _, err := fmt.Fprintf(w, "data: %s\n\n", chunk); err != nil {
					return err
				}
				if err := flush(); err != nil {
					return err
				}
				select {
				case <-seen:
				case <-r.Context().Done():
					return fmt.Errorf("the gateway left after piece %d", i)
				case <-time.After(patience):
					return fmt.Errorf("the client never got piece %d", i)
				}
			}
			_, err = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+
				"\n\ndata: [DONE]\n\n")
			return err
		}()
	})
	n := gateway(t, model.URL)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sdk := client(t, n)
	stream := sdk.Chat.Completions.NewStreaming(ctx, question("一加一等于几？"))
	var all openai.ChatCompletionAccumulator
	var got []string
	for stream.Next() {
		chunk := stream.Current()
		if !all.AddChunk(chunk) {
			t.Fatalf("the chunk %s does not fit", chunk.RawJSON())
		}
		if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			got = append(got, chunk.Choices[0].Delta.Content)
			select {
			case seen <- struct{}{}:
			case err := <-told:
				t.Fatalf("the model ended after the client's piece %d: %v", len(got), err)
			}
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Error(err)
	}
	if strings.Join(got, "|") != strings.Join(pieces, "|") || all.Choices[0].FinishReason != "stop" {
		t.Errorf("the client got %q and the finish %q, want %q and stop", got, all.Choices[0].FinishReason, pieces)
	}
}
