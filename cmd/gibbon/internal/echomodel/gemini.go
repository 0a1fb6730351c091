package echomodel

import (
	"encoding/json"
	"net/http"
	"strings"
)

// geminiRequest is a call of Gemini's generateContent. Names are read in either
// spelling, as Google does.
type geminiRequest struct {
	Contents []geminiContent `json:"contents"`
	System   *geminiContent  `json:"systemInstruction"`
	System2  *geminiContent  `json:"system_instruction"`
	Config   struct {
		MaxTokens   *int            `json:"maxOutputTokens"`
		Stops       []string        `json:"stopSequences"`
		Temperature *float64        `json:"temperature"`
		TopP        *float64        `json:"topP"`
		MimeType    string          `json:"responseMimeType"`
		Schema      json.RawMessage `json:"responseSchema"`
		JSONSchema  json.RawMessage `json:"responseJsonSchema"`
	} `json:"generationConfig"`
	Tools []struct {
		Functions  []geminiFunction `json:"functionDeclarations"`
		Functions2 []geminiFunction `json:"function_declarations"`
	} `json:"tools"`
	ToolConfig struct {
		Calling struct {
			Mode    string   `json:"mode"`
			Allowed []string `json:"allowedFunctionNames"`
		} `json:"functionCallingConfig"`
	} `json:"toolConfig"`
}

type geminiFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	JSONSchema  json.RawMessage `json:"parametersJsonSchema"`
}

type geminiContent struct {
	Role  string          `json:"role"`
	Parts json.RawMessage `json:"parts"`
}

func geminiPart(part json.RawMessage) (string, bool) {
	var p struct {
		Text      *string         `json:"text"`
		Inline    json.RawMessage `json:"inlineData"`
		Inline2   json.RawMessage `json:"inline_data"`
		File      json.RawMessage `json:"fileData"`
		File2     json.RawMessage `json:"file_data"`
		Call      json.RawMessage `json:"functionCall"`
		Call2     json.RawMessage `json:"function_call"`
		Response  json.RawMessage `json:"functionResponse"`
		Response2 json.RawMessage `json:"function_response"`
	}
	if json.Unmarshal(part, &p) != nil {
		return "", false
	}
	switch {
	case p.Text != nil:
		return *p.Text, true
	case p.Inline != nil || p.Inline2 != nil:
		return "[image]", true
	case p.File != nil || p.File2 != nil:
		return "[file]", true
	case p.Call != nil || p.Call2 != nil:
		return "", true
	case p.Response != nil || p.Response2 != nil:
		response := p.Response
		if response == nil {
			response = p.Response2
		}
		var r struct {
			Response json.RawMessage `json:"response"`
		}
		return string(r.Response), json.Unmarshal(response, &r) == nil
	}
	return "", false
}

// chat is the call in OpenAI's terms.
func (q *geminiRequest) chat(model string, stream bool) (*chatRequest, error) {
	config := &q.Config
	out := &chatRequest{Model: model, MaxTokens: config.MaxTokens, Temperature: config.Temperature, TopP: config.TopP, Stream: stream}
	// Gemini takes five stop texts, one more than OpenAI.
	if len(config.Stops) > 0 {
		out.Stop = config.Stops[:min(len(config.Stops), maxStops)]
	}
	if config.MimeType == "application/json" {
		out.ResponseFormat = &responseFormat{Type: "json_object"}
		if config.JSONSchema != nil {
			config.Schema = config.JSONSchema
		}
		if config.Schema != nil {
			out.ResponseFormat.Type, out.ResponseFormat.JSONSchema.Schema = "json_schema", config.Schema
		}
	}
	if q.System == nil {
		q.System = q.System2
	}
	contents := q.Contents
	if q.System != nil {
		contents = append([]geminiContent{{Role: "system", Parts: q.System.Parts}}, contents...)
	}
	for i, one := range contents {
		text, ok := textOf(one.Parts, geminiPart)
		role := map[string]string{"": "user", "user": "user", "human": "user", "model": "assistant", "function": "tool", "system": "system"}[one.Role]
		if !ok || role == "" || len(one.Parts) == 0 {
			return nil, invalid("contents", "contents[%d] has a role or a part that is unknown", i)
		}
		out.Messages = append(out.Messages, message{Role: role, Content: content(text)})
	}
	for _, t := range q.Tools {
		for _, f := range append(t.Functions, t.Functions2...) {
			if f.JSONSchema != nil {
				f.Parameters = f.JSONSchema
			}
			out.Tools = append(out.Tools, function(f.Name, f.Description, f.Parameters))
		}
	}
	if calling := &q.ToolConfig.Calling; strings.EqualFold(calling.Mode, "ANY") {
		out.ToolChoice = toolChoice{given: true, required: true, allowed: calling.Allowed}
	}
	return out, nil
}

type geminiUsage struct {
	Prompt     int `json:"promptTokenCount"`
	Candidates int `json:"candidatesTokenCount,omitempty"`
	Total      int `json:"totalTokenCount"`
}

type geminiCandidate struct {
	Content struct {
		Parts []any  `json:"parts,omitempty"`
		Role  string `json:"role"`
	} `json:"content"`
	Finish string `json:"finishReason,omitempty"`
	Index  int    `json:"index"`
}

type geminiAnswer struct {
	Candidates []geminiCandidate `json:"candidates"`
	Usage      geminiUsage       `json:"usageMetadata"`
	Model      string            `json:"modelVersion"`
	ID         string            `json:"responseId"`
}

type geminiText struct {
	Text string `json:"text"`
}

type geminiCall struct {
	Call struct {
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
	} `json:"functionCall"`
}

// generateContent answers POST …/models/{model}:generateContent and
// :streamGenerateContent, the latter as an array in pieces, or as events when
// the query says alt=sse.
func generateContent(w *faultWriter, c *call) error {
	pace := c.pace()
	var q geminiRequest
	if err := c.parse(&q); err != nil {
		return err
	}
	chat, err := q.chat(c.args[1], c.args[2] == "streamGenerateContent")
	if err != nil {
		return err
	}
	a, err := chat.answer(c.digest())
	if err != nil {
		return err
	}
	finish := "STOP"
	if a.made.finish == finishLength {
		finish = "MAX_TOKENS"
	}
	answer := func(part any, finish string, tokens int) *geminiAnswer {
		one := geminiCandidate{Finish: finish}
		one.Content.Role = "model"
		if part != nil {
			one.Content.Parts = []any{part}
		}
		return &geminiAnswer{Candidates: []geminiCandidate{one}, Model: a.model, ID: c.digest(),
			Usage: geminiUsage{Prompt: a.prompt, Candidates: tokens, Total: a.prompt + tokens}}
	}
	var called any
	if a.tool != nil {
		var part geminiCall
		part.Call.Name, part.Call.Args = a.tool.Function.Name, a.arguments()
		called = part
	}
	if !chat.Stream {
		if err := pace.wait(c.Context(), a.made.tokens); err != nil {
			return err
		}
		if called == nil {
			called = geminiText{a.made.text}
		}
		return writeJSON(w, http.StatusOK, answer(called, finish, a.made.tokens))
	}
	events := c.URL.Query().Get("alt") == "sse"
	contentType, begun := "application/json; charset=utf-8", false
	if events {
		contentType = "text/event-stream"
	}
	out := newStreamOf(w, c, contentType)
	send := func(v any) error {
		if events {
			return out.send(v)
		}
		data, err := marshal(v)
		if err != nil {
			return err
		}
		before := "["
		if begun {
			before = ",\r\n"
		}
		begun = true
		return out.write(append([]byte(before), data...))
	}
	number := 0
	if called != nil {
		if err := a.say(c.Context(), pace, func(string) error { return nil }); err != nil {
			return err
		}
		number = a.made.tokens
		if err := send(answer(called, "", number)); err != nil {
			return err
		}
	} else if err := a.say(c.Context(), pace, func(token string) error {
		number++
		return send(answer(geminiText{token}, "", number))
	}); err != nil {
		return err
	}
	// The last element brings the reason and no part.
	if err := send(answer(nil, finish, number)); err != nil || events {
		return err
	}
	return out.write([]byte("]"))
}

// embedContents answers POST …:batchEmbedContents and :embedContent.
func embedContents(w *faultWriter, c *call) error {
	type one struct {
		Content    geminiContent `json:"content"`
		Dimensions *int          `json:"outputDimensionality"`
	}
	var q struct {
		one
		Requests []one `json:"requests"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	single := c.args[2] == "embedContent"
	if single {
		q.Requests = []one{q.one}
	}
	var texts []string
	var dimensions *int
	for i, r := range q.Requests {
		text, ok := textOf(r.Content.Parts, geminiPart)
		if !ok {
			return invalid("requests", "requests[%d].content cannot be read", i)
		}
		texts, dimensions = append(texts, text), r.Dimensions
	}
	vectors, _, err := embedAll(c, texts, dimensions)
	if err != nil {
		return err
	}
	type values struct {
		Values json.RawMessage `json:"values"`
	}
	if single {
		return writeJSON(w, http.StatusOK, struct {
			Embedding values `json:"embedding"`
		}{values{vectors[0]}})
	}
	all := make([]values, len(vectors))
	for i, v := range vectors {
		all[i].Values = v
	}
	return writeJSON(w, http.StatusOK, struct {
		Embeddings []values `json:"embeddings"`
	}{all})
}

// geminiFailure is Google's form of an error.
func geminiFailure(w *faultWriter, e *apiError) error {
	status := "INVALID_ARGUMENT"
	switch e.status {
	case http.StatusUnauthorized:
		status = "UNAUTHENTICATED"
	case http.StatusForbidden:
		status = "PERMISSION_DENIED"
	case http.StatusNotFound:
		status = "NOT_FOUND"
	case http.StatusTooManyRequests:
		status = "RESOURCE_EXHAUSTED"
	case http.StatusInternalServerError:
		status = "INTERNAL"
	case http.StatusServiceUnavailable:
		status = "UNAVAILABLE"
	case http.StatusGatewayTimeout:
		status = "DEADLINE_EXCEEDED"
	}
	type inner struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status"`
	}
	return writeJSON(w, e.status, struct {
		Error inner `json:"error"`
	}{inner{e.status, e.Message, status}})
}
