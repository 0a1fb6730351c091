package echomodel

import (
	"encoding/json"
	"net/http"
	"time"
)

// ollamaOptions are the options that Ollama's calls share.
type ollamaOptions struct {
	Limit       *int     `json:"num_predict"`
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
	Stops       stops    `json:"stop"`
}

// ollamaCreated is the moment that answers say they were made.
var ollamaCreated = time.Unix(created, 0).UTC().Format(time.RFC3339)

// chatOllama answers POST /api/chat. As with Ollama, an answer is streamed unless
// the call says otherwise. Arguments of calls are objects.
func chatOllama(w *faultWriter, c *call) error {
	pace := c.pace()
	var q struct {
		Model    string `json:"model"`
		Messages []struct {
			Role    string   `json:"role"`
			Content string   `json:"content"`
			Images  []string `json:"images"`
		} `json:"messages"`
		Options ollamaOptions   `json:"options"`
		Stream  *bool           `json:"stream"`
		Tools   []tool          `json:"tools"`
		Choice  toolChoice      `json:"tool_choice"`
		Format  json.RawMessage `json:"format"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	chat := &chatRequest{Model: q.Model, MaxTokens: q.Options.Limit, Temperature: q.Options.Temperature,
		TopP: q.Options.TopP, Stop: q.Options.Stops, Tools: q.Tools, ToolChoice: q.Choice}
	for _, m := range q.Messages {
		said := m.Content
		for range m.Images {
			said += "\n[image]"
		}
		chat.Messages = append(chat.Messages, message{Role: m.Role, Content: content(said)})
	}
	if len(q.Format) > 0 && q.Format[0] == '{' {
		chat.ResponseFormat = &responseFormat{Type: "json_schema"}
		chat.ResponseFormat.JSONSchema.Schema = q.Format
	} else if string(q.Format) == `"json"` {
		chat.ResponseFormat = &responseFormat{Type: "json_object"}
	}
	a, err := chat.answer(c.digest())
	if err != nil {
		return err
	}
	line := func(said object) object {
		return object{"model": a.model, "created_at": ollamaCreated, "message": said, "done": false}
	}
	said := func(text string) object { return object{"role": "assistant", "content": text} }
	var called object
	if a.tool != nil {
		called = said("")
		called["tool_calls"] = []object{{"function": object{"name": a.tool.Function.Name, "arguments": a.arguments()}}}
	}
	return sendOllama(w, c, a, pace, q.Stream, called, func(text string) object { return line(said(text)) }, line)
}

// generateOllama answers POST /api/generate.
func generateOllama(w *faultWriter, c *call) error {
	pace := c.pace()
	var q struct {
		Model   string        `json:"model"`
		Prompt  string        `json:"prompt"`
		Options ollamaOptions `json:"options"`
		Stream  *bool         `json:"stream"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	settings := common{model: q.Model, maxTokens: q.Options.Limit, maxTokensName: "num_predict"}
	if err := settings.settle(); err != nil {
		return err
	}
	a := &chatAnswer{common: settings, made: generate(echoed+q.Prompt, q.Options.Stops, settings.limit), prompt: countTokens(q.Prompt)}
	return sendOllama(w, c, a, pace, q.Stream, nil, func(text string) object {
		return object{"model": q.Model, "created_at": ollamaCreated, "response": text, "done": false}
	}, nil)
}

// sendOllama sends an answer line by line, or in one when stream is false. The
// last line says that it is done and counts. text makes the line of a text, and
// line that of a message; called is the message of a call, else nil.
func sendOllama(w *faultWriter, c *call, a *chatAnswer, pace pace, stream *bool, called object, text func(string) object, line func(object) object) error {
	done := func(l object) object {
		reason := "stop"
		if a.made.finish == finishLength {
			reason = "length"
		}
		l["done"], l["done_reason"] = true, reason
		l["prompt_eval_count"], l["eval_count"] = a.prompt, a.made.tokens
		return l
	}
	if stream != nil && !*stream {
		if err := pace.wait(c.Context(), a.made.tokens); err != nil {
			return err
		}
		if called != nil {
			return writeJSON(w, http.StatusOK, done(line(called)))
		}
		return writeJSON(w, http.StatusOK, done(text(a.made.text)))
	}
	out := newStreamOf(w, c, "application/x-ndjson")
	send := func(v object) error {
		data, err := marshal(v)
		if err != nil {
			return err
		}
		return out.write(append(data, '\n'))
	}
	err := a.say(c.Context(), pace, func(token string) error {
		if called != nil {
			return nil // calls come whole
		}
		return send(text(token))
	})
	if err != nil {
		return err
	}
	if called != nil {
		if err := send(line(called)); err != nil {
			return err
		}
	}
	return send(done(text("")))
}

// embedOllama answers POST /api/embed.
func embedOllama(w *faultWriter, c *call) error {
	var q struct {
		Model string          `json:"model"`
		Input json.RawMessage `json:"input"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	texts, err := readTexts("input", q.Input)
	if err != nil {
		return err
	}
	vectors, total, err := embedAll(c, texts, nil)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, object{"model": q.Model, "embeddings": vectors, "prompt_eval_count": total})
}

// ollamaFailure is Ollama's form of an error.
func ollamaFailure(w *faultWriter, e *apiError) error {
	return writeJSON(w, e.status, object{"error": e.Message})
}
