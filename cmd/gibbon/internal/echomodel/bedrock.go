package echomodel

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"net/http"
)

// bedrockRequest is a call of Amazon Bedrock's Converse.
type bedrockRequest struct {
	System   []json.RawMessage `json:"system"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Config struct {
		MaxTokens   *int     `json:"maxTokens"`
		Stops       []string `json:"stopSequences"`
		Temperature *float64 `json:"temperature"`
		TopP        *float64 `json:"topP"`
	} `json:"inferenceConfig"`
	ToolConfig struct {
		Tools []struct {
			Spec struct {
				Name        string `json:"name"`
				Description string `json:"description"`
				InputSchema struct {
					JSON json.RawMessage `json:"json"`
				} `json:"inputSchema"`
			} `json:"toolSpec"`
		} `json:"tools"`
		Choice struct {
			Any  *struct{} `json:"any"`
			Tool *struct {
				Name string `json:"name"`
			} `json:"tool"`
		} `json:"toolChoice"`
	} `json:"toolConfig"`
}

func bedrockPart(block json.RawMessage) (string, bool) {
	var b struct {
		Text     *string         `json:"text"`
		JSON     json.RawMessage `json:"json"`
		Image    json.RawMessage `json:"image"`
		Document json.RawMessage `json:"document"`
		Use      json.RawMessage `json:"toolUse"`
		Thought  json.RawMessage `json:"reasoningContent"`
		Cache    json.RawMessage `json:"cachePoint"`
		Result   *struct {
			Content json.RawMessage `json:"content"`
		} `json:"toolResult"`
	}
	if json.Unmarshal(block, &b) != nil {
		return "", false
	}
	switch {
	case b.Text != nil:
		return *b.Text, *b.Text != ""
	case b.JSON != nil:
		return string(b.JSON), b.JSON[0] == '{'
	case b.Image != nil:
		return "[image]", true
	case b.Document != nil:
		return "[file]", true
	case b.Result != nil:
		return textOf(b.Result.Content, bedrockPart)
	}
	return "", b.Use != nil || b.Thought != nil || b.Cache != nil
}

// chat is the call in OpenAI's terms.
func (q *bedrockRequest) chat(model string, stream bool) (*chatRequest, error) {
	out := &chatRequest{Model: model, MaxTokens: q.Config.MaxTokens, Temperature: q.Config.Temperature,
		TopP: q.Config.TopP, Stop: q.Config.Stops, Stream: stream}
	for _, block := range q.System {
		text, ok := bedrockPart(block)
		if !ok {
			return nil, invalid("system", "a block of system cannot be read")
		}
		out.Messages = append(out.Messages, message{Role: "system", Content: content(text)})
	}
	for i, m := range q.Messages {
		text, ok := textOf(m.Content, bedrockPart)
		if !ok || m.Role != "user" && m.Role != "assistant" || len(m.Content) == 0 || m.Content[0] != '[' {
			return nil, invalid("messages", "The format of messages.%d is invalid. Provide a role and a list of content blocks that are not empty.", i)
		}
		if i > 0 && q.Messages[i-1].Role == m.Role {
			return nil, invalid("messages", "A conversation must alternate between user and assistant roles.")
		}
		out.Messages = append(out.Messages, message{Role: m.Role, Content: content(text)})
	}
	for _, t := range q.ToolConfig.Tools {
		out.Tools = append(out.Tools, function(t.Spec.Name, t.Spec.Description, t.Spec.InputSchema.JSON))
	}
	switch choice := &q.ToolConfig.Choice; {
	case choice.Any != nil:
		out.ToolChoice = toolChoice{given: true, required: true}
	case choice.Tool != nil:
		out.ToolChoice = toolChoice{given: true, required: true, allowed: []string{choice.Tool.Name}}
	}
	return out, nil
}

type bedrockUsage struct {
	Input  int `json:"inputTokens"`
	Output int `json:"outputTokens"`
	Total  int `json:"totalTokens"`
}

type bedrockToolUse struct {
	ID    string          `json:"toolUseId"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input,omitempty"`
}

// object is for small answers whose members the encoder sorts by name.
type object = map[string]any

// converse answers POST /model/{model}/converse and /converse-stream.
func converse(w *faultWriter, c *call) error {
	pace := c.pace()
	var q bedrockRequest
	if err := c.parse(&q); err != nil {
		return err
	}
	chat, err := q.chat(c.args[1], c.args[2] == "converse-stream")
	if err != nil {
		return err
	}
	a, err := chat.answer(c.digest())
	if err != nil {
		return err
	}
	reason, _ := a.stopReason()
	usage := bedrockUsage{a.prompt, a.made.tokens, a.prompt + a.made.tokens}
	use := bedrockToolUse{ID: "tooluse_" + digest(a.id)}
	if a.tool != nil {
		use.Name = a.tool.Function.Name
	}
	if !chat.Stream {
		if err := pace.wait(c.Context(), a.made.tokens); err != nil {
			return err
		}
		block := object{"text": a.made.text}
		if a.tool != nil {
			use.Input = a.arguments()
			block = object{"toolUse": use}
		}
		return writeJSON(w, http.StatusOK, object{
			"metrics":    object{"latencyMs": 1},
			"output":     object{"message": object{"content": []any{block}, "role": "assistant"}},
			"stopReason": reason,
			"usage":      usage,
		})
	}
	out := newStreamOf(w, c, "application/vnd.amazon.eventstream")
	send := func(name string, v object) error {
		data, err := marshal(v)
		if err != nil {
			return err
		}
		return out.write(appendFrame(nil, [][2]string{
			{":event-type", name}, {":content-type", "application/json"}, {":message-type", "event"},
		}, data))
	}
	if err := send("messageStart", object{"role": "assistant"}); err != nil {
		return err
	}
	piece := func(token string) object { return object{"text": token} }
	if a.tool != nil {
		// Only blocks that are calls are opened.
		if err := send("contentBlockStart", object{"contentBlockIndex": 0, "start": object{"toolUse": use}}); err != nil {
			return err
		}
		piece = func(token string) object { return object{"toolUse": object{"input": token}} }
	}
	if err := a.say(c.Context(), pace, func(token string) error {
		return send("contentBlockDelta", object{"contentBlockIndex": 0, "delta": piece(token)})
	}); err != nil {
		return err
	}
	if err := send("contentBlockStop", object{"contentBlockIndex": 0}); err != nil {
		return err
	}
	if err := send("messageStop", object{"stopReason": reason}); err != nil {
		return err
	}
	return send("metadata", object{"metrics": object{"latencyMs": 1}, "usage": usage})
}

// appendFrame appends one frame of an AWS event stream: two lengths and their
// checksum, headers that are all texts, the payload, and the checksum of it all.
func appendFrame(dst []byte, headers [][2]string, payload []byte) []byte {
	var head []byte
	for _, h := range headers {
		head = append(head, byte(len(h[0])))
		head = append(head, h[0]...)
		head = append(head, 7) // a text
		head = binary.BigEndian.AppendUint16(head, uint16(len(h[1])))
		head = append(head, h[1]...)
	}
	const prelude, sums = 8, 8
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(prelude+sums+len(head)+len(payload)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(head)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
	dst = append(dst, head...)
	dst = append(dst, payload...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
}

// invoke answers POST /model/{model}/invoke for embeddings in the forms of Titan
// and Cohere.
func invoke(w *faultWriter, c *call) error {
	var q struct {
		InputText  string   `json:"inputText"`
		Texts      []string `json:"texts"`
		Dimensions *int     `json:"dimensions"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	texts := q.Texts
	if texts == nil {
		texts = []string{q.InputText}
	}
	vectors, total, err := embedAll(c, texts, q.Dimensions)
	if err != nil {
		return err
	}
	if q.Texts != nil {
		return writeJSON(w, http.StatusOK, object{"embeddings": vectors, "id": c.digest(), "response_type": "embeddings_floats", "texts": texts})
	}
	return writeJSON(w, http.StatusOK, object{"embedding": vectors[0], "inputTextTokenCount": total})
}

// bedrockFailure is Amazon's form of an error.
func bedrockFailure(w *faultWriter, e *apiError) error {
	name := "ValidationException"
	switch e.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		name = "AccessDeniedException"
	case http.StatusNotFound:
		name = "ResourceNotFoundException"
	case http.StatusTooManyRequests:
		name = "ThrottlingException"
	case http.StatusServiceUnavailable:
		name = "ServiceUnavailableException"
	default:
		if e.status >= http.StatusInternalServerError {
			name = "InternalServerException"
		}
	}
	w.Header().Set("X-Amzn-Errortype", name)
	return writeJSON(w, e.status, object{"message": e.Message})
}
