package echomodel

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
)

// native is a path of another vendor's API, or of OpenAI's elsewhere.
type native struct {
	// path matches the escaped path; its groups are the call's args.
	path    *regexp.Regexp
	methods map[string]endpoint
	fail    failure // nil: errors have OpenAI's form
}

// failure writes an error in a vendor's own form.
type failure func(w *faultWriter, e *apiError) error

func post(path string, f endpoint, fail failure) native {
	return native{path: regexp.MustCompile("^" + path + "$"), methods: map[string]endpoint{http.MethodPost: f}, fail: fail}
}

// natives are looked through in order, after the endpoints.
var natives = []native{
	// Those who speak OpenAI's format at other addresses.
	post(`/openai/deployments/([^/]+)/chat/completions`, named(chat), nil),
	post(`/openai/deployments/([^/]+)/completions`, named(complete), nil),
	post(`/openai/deployments/([^/]+)/embeddings`, named(embed), nil),
	post(`/(?:compatible-mode/v1|serving-endpoints/v1|openai/v1)/chat/completions`, chat, nil),
	post(`/(?:compatible-mode|openai)/v1/embeddings`, embed, nil),
	post(`/models/([^/]+(?:/[^/]+)?)/v1/chat/completions`, named(chat), huggingFaceFailure),

	post(`/v1/messages`, messages, anthropicFailure),
	post(`/v1/messages/count_tokens`, countMessages, anthropicFailure),
	post(`/v1/complete`, completeAnthropic, anthropicFailure),

	post(`.*/models/([^/:]+):(generateContent|streamGenerateContent)`, generateContent, geminiFailure),
	post(`.*/models/([^/:]+):(batchEmbedContents|embedContent)`, embedContents, geminiFailure),

	post(`/model/([^/]+)/(converse|converse-stream)`, converse, bedrockFailure),
	post(`/model/([^/]+)/invoke`, invoke, bedrockFailure),

	post(`/v1/chat`, chatCohere1, cohereFailure),
	post(`/v2/chat`, chatCohere2, cohereFailure),
	post(`/v1/generate`, generateCohere, cohereFailure),
	post(`/v2/embed`, embedCohere, cohereFailure),

	post(`/api/chat`, chatOllama, ollamaFailure),
	post(`/api/generate`, generateOllama, ollamaFailure),
	post(`/api/embed`, embedOllama, ollamaFailure),

	post(`/models/([^/]+(?:/[^/]+)?)`, generateText, huggingFaceFailure),
	post(`/generate|/generate_stream`, generateText, huggingFaceFailure),
	post(`/hf-inference/models/(.+)/pipeline/feature-extraction`, extractFeatures, huggingFaceFailure),
	post(`/raw`, generateRaw, huggingFaceFailure),

	post(`/v1/responses|/openai/v1/responses`, respond, nil),
	post(`/v1/images/(?:generations|edits)|/openai/deployments/[^/]+/images/(?:generations|edits)`, drawImage, nil),
	post(`/v1/audio/speech|/openai/deployments/[^/]+/audio/speech`, speak, nil),
	post(`/v1/audio/(?:transcriptions|translations)|/openai/deployments/[^/]+/audio/(?:transcriptions|translations)`, transcribe, nil),
}

// named takes the model from the path where the body names none.
func named(f endpoint) endpoint {
	return func(w *faultWriter, c *call) error {
		var body map[string]json.RawMessage
		if json.Unmarshal(c.body, &body) == nil && body != nil && body["model"] == nil {
			model, err := json.Marshal(c.args[1])
			if err != nil {
				return err
			}
			body["model"] = model
			if c.body, err = json.Marshal(body); err != nil {
				return err
			}
		}
		return f(w, c)
	}
}

// textOf reads a member that is a text or a list of parts, as one text. part
// gives the text of a part and whether it has one.
func textOf(data json.RawMessage, part func(json.RawMessage) (string, bool)) (string, bool) {
	var text *string
	if len(data) == 0 || json.Unmarshal(data, &text) == nil {
		if text == nil {
			return "", true
		}
		return *text, true
	}
	var parts []json.RawMessage
	if json.Unmarshal(data, &parts) != nil {
		return "", false
	}
	texts := make([]string, 0, len(parts))
	for _, p := range parts {
		text, ok := part(p)
		if !ok {
			return "", false
		}
		if text != "" {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "\n"), true
}

// function makes a tool of OpenAI's form.
func function(name, description string, parameters json.RawMessage) tool {
	t := tool{Type: "function"}
	t.Function.Name, t.Function.Description, t.Function.Parameters = name, description, parameters
	return t
}

// arguments are those of the answer's call, always an object: an answer that was
// cut short has none.
func (a *chatAnswer) arguments() json.RawMessage {
	if json.Valid([]byte(a.made.text)) {
		return json.RawMessage(a.made.text)
	}
	return json.RawMessage("{}")
}

// say calls f with the tokens of the answer, each when it is due. Those of a
// call's name are waited for first.
func (a *chatAnswer) say(ctx context.Context, pace pace, f func(token string) error) error {
	number := 0
	if a.tool != nil {
		number = countTokens(a.tool.Function.Name)
		if err := pace.wait(ctx, number); err != nil {
			return err
		}
	}
	for token := range tokens(a.made.text) {
		number++
		if err := pace.wait(ctx, number); err != nil {
			return err
		}
		if err := f(token); err != nil {
			return err
		}
	}
	return nil
}

// embedAll is the vectors of some texts, and the tokens in them.
func embedAll(c *call, texts []string, dimensions *int) (vectors []json.RawMessage, total int, err error) {
	q := embeddingRequest{Model: modelID, Dimensions: dimensions}
	length, total, err := q.check(texts)
	if err != nil {
		return nil, 0, err
	}
	for _, text := range texts {
		if err := c.Context().Err(); err != nil {
			return nil, 0, err
		}
		v, err := encodeVector(vector(text, length), "")
		if err != nil {
			return nil, 0, err
		}
		vectors = append(vectors, v)
	}
	return vectors, total, nil
}
