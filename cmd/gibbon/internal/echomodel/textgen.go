package echomodel

import (
	"encoding/json"
	"net/http"
	"strings"
)

// textCall is a call of Hugging Face's text generation, which llama2 servers
// that take bare text copied.
type textCall struct {
	Inputs     json.RawMessage `json:"inputs"`
	Stream     bool            `json:"stream"`
	Parameters struct {
		MaxNewTokens *int  `json:"max_new_tokens"`
		MaxLength    *int  `json:"max_length"`
		Stops        stops `json:"stop"`
	} `json:"parameters"`
}

// generate makes the text that follows the inputs.
func (q *textCall) generate() (*chatAnswer, error) {
	var text string
	if json.Unmarshal(q.Inputs, &text) != nil || text == "" {
		return nil, invalid("inputs", "inputs must be a text that says something")
	}
	settings := common{model: modelID, maxTokens: q.Parameters.MaxNewTokens, maxTokensName: "max_new_tokens"}
	if settings.maxTokens == nil {
		settings.maxTokens = q.Parameters.MaxLength
	}
	if err := settings.settle(); err != nil {
		return nil, err
	}
	return &chatAnswer{common: settings, prompt: countTokens(text), made: generate(echoed+text, q.Parameters.Stops, settings.limit)}, nil
}

// generateText answers POST /models/{model}, /generate and /generate_stream.
func generateText(w *faultWriter, c *call) error {
	pace := c.pace()
	var q textCall
	if err := c.parse(&q); err != nil {
		return err
	}
	a, err := q.generate()
	if err != nil {
		return err
	}
	if !q.Stream && !strings.HasSuffix(c.URL.Path, "_stream") {
		if err := pace.wait(c.Context(), a.made.tokens); err != nil {
			return err
		}
		answer := object{"generated_text": a.made.text}
		if c.URL.Path == "/generate" {
			return writeJSON(w, http.StatusOK, answer)
		}
		return writeJSON(w, http.StatusOK, []object{answer})
	}
	out := newStream(w, c)
	number := 0
	return a.say(c.Context(), pace, func(token string) error {
		number++
		event := object{"index": number, "token": object{"id": number, "text": token, "special": false}, "generated_text": nil, "details": nil}
		if number == a.made.tokens {
			reason := "eos_token"
			if a.made.finish == finishLength {
				reason = "length"
			}
			event["generated_text"] = a.made.text
			event["details"] = object{"finish_reason": reason, "generated_tokens": number}
		}
		return out.send(event)
	})
}

// generateRaw answers POST /raw as a llama2 server does that repeats the prompt
// in front of its answer.
func generateRaw(w *faultWriter, c *call) error {
	pace := c.pace()
	var q textCall
	if err := c.parse(&q); err != nil {
		return err
	}
	a, err := q.generate()
	if err != nil {
		return err
	}
	var prompt string
	if err := json.Unmarshal(q.Inputs, &prompt); err != nil {
		return err
	}
	said := prompt
	for _, mark := range []string{"<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"} {
		said = strings.ReplaceAll(said, mark, "\n")
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	a.made = generate(echoed+strings.TrimSpace(lines[len(lines)-1]), q.Parameters.Stops, a.limit)
	if err := pace.wait(c.Context(), a.made.tokens); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, object{"data": []object{{"generated_text": prompt + " " + a.made.text}}})
}

// extractFeatures answers Hugging Face's feature extraction.
func extractFeatures(w *faultWriter, c *call) error {
	var q struct {
		Inputs json.RawMessage `json:"inputs"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	texts, err := readTexts("inputs", q.Inputs)
	if err != nil {
		return err
	}
	vectors, _, err := embedAll(c, texts, nil)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, vectors)
}

// huggingFaceFailure is Hugging Face's form of an error.
func huggingFaceFailure(w *faultWriter, e *apiError) error {
	return writeJSON(w, e.status, object{"error": e.Message, "error_type": "validation"})
}
