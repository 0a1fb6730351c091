package aiproxy_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// sdk is OpenAI's own client, pointed at a gateway in front of a provider.
func sdk(t *testing.T, script reply) (openai.Client, *vendor) {
	t.Helper()
	v := provide(t, script, false)
	g := serve(t, strings.ReplaceAll(config("llm/v1/chat", ""), "%s", v.url))
	return openai.NewClient(option.WithBaseURL("http://"+g.addr+"/v1"), option.WithAPIKey("mine"),
		option.WithMaxRetries(0), option.WithHTTPClient(g.client)), v
}

func params() openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "gpt-4",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("1 + 1 = ?")},
	}
}

// TestSDK checks that OpenAI's own client understands every way in which an
// answer can end.
func TestSDK(t *testing.T) {
	t.Run("answer", func(t *testing.T) {
		c, _ := sdk(t, reply{chunks: []string{chatOK}})
		got, err := c.Chat.Completions.New(t.Context(), params())
		if err != nil {
			t.Fatal(err)
		}
		if got.Choices[0].Message.Content != "The sum is 2." || got.Usage.TotalTokens != 37 {
			t.Errorf("answer %+v", got)
		}
	})
	t.Run("refusal", func(t *testing.T) {
		c, _ := sdk(t, reply{chunks: []string{chatOK}})
		other := params()
		other.Model = "other"
		_, err := c.Chat.Completions.New(t.Context(), other)
		told, ok := errors.AsType[*openai.Error](err)
		if !ok || told.StatusCode != http.StatusBadRequest || !strings.Contains(told.Message, "cannot use own model - must be: gpt-4") {
			t.Errorf("error %v", err)
		}
	})
	for _, tt := range []struct {
		name   string
		script reply
		text   string
		usage  bool
		err    string
	}{
		{"stream", reply{kind: "text/event-stream", chunks: []string{chunkOpen, chunkText, chunkMore, chunkEnd, chunkUsage, endMark}}, "Two, of course.", true, ""},
		{"stream that is cut", reply{kind: "text/event-stream", chunks: []string{chunkOpen, chunkText}, cut: true}, "Two, of ", false, "the answer broke off before it was complete"},
		{"stream that is none", reply{kind: "text/event-stream", chunks: []string{"data: oops\n\n"}}, "", false, "error"},
		{"whole answer in place of a stream", reply{chunks: pieces(chatOK, 3)}, "The sum is 2.", true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := sdk(t, tt.script)
			asked := params()
			asked.StreamOptions.IncludeUsage = openai.Bool(true)
			stream := c.Chat.Completions.NewStreaming(t.Context(), asked)
			defer stream.Close()
			var text strings.Builder
			usage := false
			for stream.Next() {
				chunk := stream.Current()
				for _, choice := range chunk.Choices {
					text.WriteString(choice.Delta.Content)
				}
				usage = usage || chunk.Usage.TotalTokens > 0
			}
			err := stream.Err()
			if text.String() != tt.text || usage != tt.usage || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("text %q, usage %v, error %v, want %q, %v, %q", text.String(), usage, err, tt.text, tt.usage, tt.err)
			}
		})
	}
}
