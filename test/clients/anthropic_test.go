//go:build unix

package clients_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// claudeRoute is Anthropic's client for Go at one backend.
type claudeRoute struct {
	*backend
	whole, streams anthropic.Client
}

// anthropicGo has Anthropic's client talk to its own provider and to others.
func anthropicGo(t *testing.T, n *gibbon.Node) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	at := func(path string) anthropic.Client {
		return anthropic.NewClient(option.WithBaseURL(n.ProxyURL(path)), option.WithAPIKey("the client's own"),
			option.WithMaxRetries(0), option.WithRequestTimeout(patience), option.WithHTTPClient(&http.Client{Transport: transport}))
	}
	for i := range backends {
		b := &backends[i]
		if !b.claude {
			continue
		}
		c := claudeRoute{b, at("/" + b.name + "/claude/"), at("/" + b.name + "/claude/stream/")}
		t.Run(b.name, func(t *testing.T) {
			for way, streamed := range map[string]bool{"": false, "stream_": true} {
				t.Run(way+"chat", func(t *testing.T) { c.chat(t, streamed) })
				t.Run(way+"tools", func(t *testing.T) { c.tools(t, streamed) })
				t.Run(way+"error", func(t *testing.T) { c.refused(t, streamed) })
				if b.provider == "anthropic" {
					t.Run(way+"thinking", func(t *testing.T) { c.thinking(t, streamed) })
				}
			}
			if b.provider == "anthropic" {
				t.Run("count", c.count)
			}
		})
	}
}

// asks is a call with the question.
func (c *claudeRoute) asks() anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: c.model, MaxTokens: 4096,
		System:   []anthropic.TextBlockParam{{Text: "Sei knapp."}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(asked))},
	}
}

// ask gets one answer, which the client puts together if it is streamed. How many
// deltas there were is told; a whole answer has none.
func (c *claudeRoute) ask(ctx context.Context, streamed bool, params anthropic.MessageNewParams, more ...option.RequestOption) (*anthropic.Message, int, error) {
	if !streamed {
		m, err := c.whole.Messages.New(ctx, params, more...)
		return m, 0, err
	}
	var m anthropic.Message
	deltas, stopped := 0, false
	stream := c.streams.Messages.NewStreaming(ctx, params, more...)
	for stream.Next() {
		event := stream.Current()
		if err := m.Accumulate(event); err != nil {
			return nil, 0, errors.Join(err, stream.Close())
		}
		if event.Type == "content_block_delta" {
			deltas++
		}
		stopped = event.Type == "message_stop"
	}
	err := errors.Join(stream.Err(), stream.Close())
	if err == nil && !stopped {
		err = errors.New("the stream has no message_stop at its end")
	}
	return &m, deltas, err
}

// get is ask where an answer is due that is whole and counted.
func (c *claudeRoute) get(t *testing.T, streamed bool, params anthropic.MessageNewParams) *anthropic.Message {
	t.Helper()
	m, deltas, err := c.ask(t.Context(), streamed, params)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID == "" || m.Role != "assistant" || m.Type != "message" || m.Model == "" || m.Usage.InputTokens <= 0 || m.Usage.OutputTokens <= 0 {
		t.Errorf("the answer is %+v", m)
	}
	// Some providers make a call in one piece.
	if streamed && m.StopReason == "end_turn" && deltas < 3 {
		t.Errorf("the stream has %d deltas", deltas)
	}
	return m
}

// text is what an answer of one text says.
func text(t *testing.T, m *anthropic.Message) string {
	t.Helper()
	if m.StopReason != "end_turn" || len(m.Content) != 1 || m.Content[0].Type != "text" {
		t.Errorf("the answer ended with %q and is %+v", m.StopReason, m.Content)
		return ""
	}
	return m.Content[0].Text
}

func (c *claudeRoute) chat(t *testing.T, streamed bool) {
	if got := text(t, c.get(t, streamed, c.asks())); got != "Echo: "+asked {
		t.Errorf("the text is %q", got)
	}
}

// tools has the model call the tool in a first turn and in a second, where it is
// told what the tool answered, and then answer.
func (c *claudeRoute) tools(t *testing.T, streamed bool) {
	params := c.asks()
	c.offer(&params)
	input := int64(0)
	for turn, want := range []string{asked, ""} {
		m := c.get(t, streamed, params)
		var use anthropic.ToolUseBlock
		for _, block := range m.Content {
			switch says := block.AsAny().(type) {
			case anthropic.ToolUseBlock:
				use = says
			case anthropic.TextBlock:
				if streamed || says.Text != c.says {
					t.Errorf("turn %d: the model says %q", turn, says.Text)
				}
			default:
				t.Errorf("turn %d: there is a block %s", turn, block.RawJSON())
			}
		}
		if m.StopReason != "tool_use" || use.ID == "" || use.Name != "weather" {
			t.Fatalf("turn %d: the answer ended with %q and is %+v", turn, m.StopReason, m.Content)
		}
		// Where a tool's results are what a user says, they are repeated later.
		if err := rightArguments(string(use.Input)); want != "" && err != nil {
			t.Errorf("turn %d: %v", turn, err)
		}
		if m.Usage.InputTokens <= input {
			t.Errorf("turn %d has %d prompt tokens after %d", turn, m.Usage.InputTokens, input)
		}
		input = m.Usage.InputTokens + int64(len(strings.Fields(result)))
		params.Messages = append(params.Messages, m.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock(use.ID, result, false)))
	}
	params.ToolChoice = anthropic.ToolChoiceUnionParam{OfAuto: &anthropic.ToolChoiceAutoParam{}}
	m := c.get(t, streamed, params)
	if m.Usage.InputTokens <= input {
		t.Errorf("the last turn has %d prompt tokens, which leaves no room for what the tool answered", m.Usage.InputTokens)
	}
	if got := text(t, m); got != "Echo: "+asked && (!strings.HasPrefix(got, "Echo: ") || !strings.Contains(got, result)) {
		t.Errorf("the last turn says %q", got)
	}
}

// offer puts the tool into a call that must use it.
func (c *claudeRoute) offer(params *anthropic.MessageNewParams) {
	params.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
		Name: "weather", Description: anthropic.String("The weather of some days."),
		InputSchema: anthropic.ToolInputSchemaParam{Properties: schema["properties"], Required: schema["required"].([]string)},
	}}}
	params.ToolChoice = anthropic.ToolChoiceUnionParam{OfAny: &anthropic.ToolChoiceAnyParam{}}
}

// refused asks for more than the model gives.
func (c *claudeRoute) refused(t *testing.T, streamed bool) {
	_, _, err := c.ask(t.Context(), streamed, c.asks(), option.WithHeader("X-Echo-Status", "429"))
	told, ok := errors.AsType[*anthropic.Error](err)
	if !ok || told.StatusCode != http.StatusTooManyRequests || told.Type() != "rate_limit_error" || told.Response.Header.Get("Retry-After") != "1" {
		t.Errorf("the error is %T %v, want a rate_limit_error with status 429 and Retry-After 1", err, err)
	}
}

// thinking carries the model's thought and its signature back in a turn with a
// tool's result: the model refuses a thought that was changed.
func (c *claudeRoute) thinking(t *testing.T, streamed bool) {
	params := c.asks()
	params.Thinking = anthropic.ThinkingConfigParamOfEnabled(2048)
	c.offer(&params)
	m := c.get(t, streamed, params)
	if len(m.Content) != 2 || m.Content[0].Type != "thinking" || m.Content[0].Thinking == "" || m.Content[0].Signature == "" || m.Content[1].Type != "tool_use" {
		t.Fatalf("the answer is %+v, want a thought with a signature, then a call", m.Content)
	}
	back := anthropic.NewUserMessage(anthropic.NewToolResultBlock(m.Content[1].ID, result, false))
	params.Messages = append(params.Messages, m.ToParam(), back)
	params.ToolChoice = anthropic.ToolChoiceUnionParam{}
	m = c.get(t, streamed, params)
	if last := m.Content[len(m.Content)-1]; m.StopReason != "end_turn" || len(m.Content) != 2 || last.Text != "Echo: "+result {
		t.Errorf("the second turn ended with %q and is %+v", m.StopReason, m.Content)
	}

	// The refusal shows that the signature went up at all.
	thought := params.Messages[1].Content[0].OfThinking
	thought.Signature += "x"
	_, _, err := c.ask(t.Context(), streamed, params)
	told, ok := errors.AsType[*anthropic.Error](err)
	if !ok || told.StatusCode != http.StatusBadRequest || told.Type() != "invalid_request_error" {
		t.Errorf("a forged signature: %v, want an invalid_request_error", err)
	}
}

func (c *claudeRoute) count(t *testing.T) {
	params := c.asks()
	got, err := c.whole.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{
		Model: params.Model, Messages: params.Messages,
		System: anthropic.MessageCountTokensParamsSystemUnion{OfTextBlockArray: params.System},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m := c.get(t, false, params); got.InputTokens != m.Usage.InputTokens {
		t.Errorf("%d tokens are counted, the message had %d", got.InputTokens, m.Usage.InputTokens)
	}
}
