//go:build unix

package clients_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// schema is that of the one tool there is.
var schema = map[string]any{
	"type": "object",
	"properties": map[string]any{
		"city": map[string]any{"type": "string"},
		"days": map[string]any{"type": "integer", "minimum": 3},
		"unit": map[string]any{"type": "string", "enum": []string{"celsius", "kelvin"}},
	},
	"required":             []string{"city", "days", "unit"},
	"additionalProperties": false,
}

// goRoute is OpenAI's client for Go at one backend.
type goRoute struct {
	work
	whole, streams openai.Client
}

// openaiGo has OpenAI's client for Go do all the cases.
func openaiGo(t *testing.T, n *gibbon.Node) []seen {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	at := func(path string) openai.Client {
		return openai.NewClient(option.WithBaseURL(n.ProxyURL(path)), option.WithAPIKey("the client's own"),
			option.WithMaxRetries(0), option.WithRequestTimeout(patience), option.WithHTTPClient(&http.Client{Transport: transport}))
	}
	var all []seen
	for _, w := range works() {
		g := goRoute{w, at("/" + w.Route + "/v1"), at("/" + w.Route + "/stream/v1")}
		for _, name := range w.Cases {
			s, err := g.do(t.Context(), name)
			if err != nil {
				s.Problem = fmt.Sprintf("%T: %v", err, err)
			}
			s.Route, s.Case = w.Route, name
			all = append(all, s)
		}
	}
	return all
}

func (g *goRoute) do(ctx context.Context, name string) (s seen, err error) {
	kind, streamed := strings.CutPrefix(name, "stream_")
	if name == "stream" {
		kind, streamed = "chat", true
	}
	switch kind {
	case "chat":
		_, s.turn, err = g.chat(ctx, streamed, g.asks(openai.UserMessage(asked)))
	case "tools":
		err = g.tools(ctx, streamed, &s)
	case "error":
		err = g.refused(ctx, streamed, &s)
	case "responses":
		_, s.turn, err = g.respond(ctx, streamed, responses.ResponseNewParams{
			Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(asked)},
		})
	case "tools_responses":
		err = g.toolsOfResponses(ctx, streamed, &s)
	case "embed":
		err = g.embed(ctx, &s)
	case "models":
		pages := g.whole.Models.ListAutoPaging(ctx)
		for pages.Next() {
			s.Names = append(s.Names, pages.Current().ID)
		}
		err = pages.Err()
	default:
		err = errors.New("this client has no such case")
	}
	return s, err
}

// asks is a call with these messages.
func (g *goRoute) asks(messages ...openai.ChatCompletionMessageParamUnion) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    g.Model,
		Messages: append([]openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Sei knapp.")}, messages...),
	}
}

// chat gets one answer, which the client puts together if it is streamed.
func (g *goRoute) chat(ctx context.Context, streamed bool, params openai.ChatCompletionNewParams) (*openai.ChatCompletion, turn, error) {
	completion, pieces, err := new(openai.ChatCompletion), 1, error(nil)
	if streamed {
		pieces = 0
		params.StreamOptions.IncludeUsage = openai.Bool(true)
		stream := g.streams.Chat.Completions.NewStreaming(ctx, params)
		var all openai.ChatCompletionAccumulator
		for stream.Next() {
			chunk := stream.Current()
			if !all.AddChunk(chunk) {
				return nil, turn{}, errors.Join(fmt.Errorf("the chunk %s does not fit", chunk.RawJSON()), stream.Close())
			}
			if len(chunk.Choices) > 0 && (chunk.Choices[0].Delta.Content != "" || len(chunk.Choices[0].Delta.ToolCalls) > 0) {
				pieces++
			}
		}
		completion, err = &all.ChatCompletion, errors.Join(stream.Err(), stream.Close())
	} else {
		completion, err = g.whole.Chat.Completions.New(ctx, params)
	}
	if err != nil {
		return nil, turn{}, err
	}
	if len(completion.Choices) != 1 {
		return nil, turn{}, fmt.Errorf("the answer has %d choices", len(completion.Choices))
	}
	choice := completion.Choices[0]
	said := turn{ID: completion.ID, Model: completion.Model, Text: choice.Message.Content, Finish: choice.FinishReason, Pieces: pieces}
	if u := completion.Usage; u.TotalTokens != 0 {
		said.Usage = &usage{int(u.PromptTokens), int(u.CompletionTokens), int(u.TotalTokens)}
	}
	for _, c := range choice.Message.ToolCalls {
		said.Calls = append(said.Calls, toolCall{c.ID, c.Function.Name, c.Function.Arguments})
	}
	return completion, said, nil
}

// tools has the model call the tool, and tells it what the tool answered.
func (g *goRoute) tools(ctx context.Context, streamed bool, s *seen) error {
	params := g.asks(openai.UserMessage(asked))
	params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "weather", Description: openai.String("The weather of some days."), Parameters: schema, Strict: openai.Bool(true),
	})}
	params.ToolChoice.OfAuto = openai.String("required")
	first, said, err := g.chat(ctx, streamed, params)
	if err != nil {
		return err
	}
	s.turn = said
	message := first.Choices[0].Message
	params.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{}
	params.Messages = append(params.Messages, message.ToParam())
	for _, c := range message.ToolCalls {
		params.Messages = append(params.Messages, openai.ToolMessage(g.Result, c.ID))
	}
	_, then, err := g.chat(ctx, streamed, params)
	s.Then = &then
	return err
}

// refused asks for more than the model gives.
func (g *goRoute) refused(ctx context.Context, streamed bool, s *seen) error {
	params, limit := g.asks(openai.UserMessage(asked)), option.WithHeader("X-Echo-Status", "429")
	var response *http.Response
	var err error
	if streamed {
		stream := g.streams.Chat.Completions.NewStreaming(ctx, params, limit, option.WithResponseInto(&response))
		for stream.Next() {
			return errors.Join(errors.New("the stream begins"), stream.Close())
		}
		err = stream.Err()
	} else {
		_, err = g.whole.Chat.Completions.New(ctx, params, limit, option.WithResponseInto(&response))
	}
	told, typed := errors.AsType[*openai.Error](err)
	_, untyped := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case typed && told.StatusCode == http.StatusTooManyRequests:
		// This client has one class for all errors; the status tells them apart.
		s.Error = rateLimit
	case untyped:
		s.Error = noObject
	default:
		return err
	}
	s.Status, s.Wait = response.StatusCode, response.Header.Get("Retry-After")
	return nil
}

// respond gets one of OpenAI's responses.
func (g *goRoute) respond(ctx context.Context, streamed bool, params responses.ResponseNewParams) (*responses.Response, turn, error) {
	params.Model, params.Instructions = g.Model, openai.String("Sei knapp.")
	response, pieces, err := new(responses.Response), 1, error(nil)
	if streamed {
		pieces = 0
		var text strings.Builder // of all that came in pieces
		stream := g.whole.Responses.NewStreaming(ctx, params)
		for stream.Next() {
			switch event := stream.Current(); event.Type {
			case "response.output_text.delta", "response.function_call_arguments.delta":
				pieces++
				text.WriteString(event.Delta)
			case "response.completed":
				response = &event.Response
			}
		}
		err = errors.Join(stream.Err(), stream.Close())
		if whole := response.OutputText(); err == nil && whole != "" && whole != text.String() {
			err = fmt.Errorf("the pieces make %q, the whole is %q", &text, whole)
		}
	} else {
		response, err = g.whole.Responses.New(ctx, params)
	}
	if err != nil {
		return nil, turn{}, err
	}
	u := response.Usage
	said := turn{ID: response.ID, Model: response.Model, Text: response.OutputText(), Finish: string(response.Status), Pieces: pieces,
		Usage: &usage{int(u.InputTokens), int(u.OutputTokens), int(u.TotalTokens)}}
	for _, item := range response.Output {
		if item.Type == "function_call" {
			c := item.AsFunctionCall()
			said.Calls = append(said.Calls, toolCall{c.CallID, c.Name, c.Arguments})
		}
	}
	return response, said, nil
}

func (g *goRoute) toolsOfResponses(ctx context.Context, streamed bool, s *seen) error {
	items := responses.ResponseInputParam{responses.ResponseInputItemParamOfMessage(asked, responses.EasyInputMessageRoleUser)}
	params := responses.ResponseNewParams{
		Tools: []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{
			Name: "weather", Description: openai.String("The weather of some days."), Parameters: schema, Strict: openai.Bool(true),
		}}},
	}
	params.Input.OfInputItemList = items
	params.ToolChoice.OfToolChoiceMode = openai.Opt(responses.ToolChoiceOptionsRequired)
	_, said, err := g.respond(ctx, streamed, params)
	if err != nil {
		return err
	}
	s.turn = said
	for _, c := range said.Calls {
		items = append(items, responses.ResponseInputItemParamOfFunctionCall(c.Arguments, c.ID, c.Name),
			responses.ResponseInputItemParamOfFunctionCallOutput(g.Result))
		items[len(items)-1].OfFunctionCallOutput.CallID = openai.String(c.ID)
	}
	params.Input.OfInputItemList = items
	params.ToolChoice = responses.ResponseNewParamsToolChoiceUnion{}
	_, then, err := g.respond(ctx, streamed, params)
	s.Then = &then
	return err
}

func (g *goRoute) embed(ctx context.Context, s *seen) error {
	answer, err := g.whole.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: g.Embed, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{asked, g.Result}},
	})
	if err != nil {
		return err
	}
	slices.SortFunc(answer.Data, func(a, b openai.Embedding) int { return int(a.Index - b.Index) })
	for _, d := range answer.Data {
		square := 0.0
		for _, x := range d.Embedding {
			square += x * x
		}
		s.Lengths, s.Norms = append(s.Lengths, len(d.Embedding)), append(s.Norms, math.Sqrt(square))
	}
	return nil
}
