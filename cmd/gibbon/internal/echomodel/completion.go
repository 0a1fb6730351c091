package echomodel

import (
	"encoding/json"
	"net/http"
	"strconv"
)

const maxAnswers = 2048 // in one completion request

type completionRequest struct {
	Model         string          `json:"model"`
	Prompt        json.RawMessage `json:"prompt"`
	MaxTokens     *int            `json:"max_tokens"`
	N             *int            `json:"n"`
	Temperature   *float64        `json:"temperature"`
	TopP          *float64        `json:"top_p"`
	Stop          stops           `json:"stop"`
	Stream        bool            `json:"stream"`
	StreamOptions *streamOptions  `json:"stream_options"`
}

// readTexts reads a prompt or an embedding input: one text or several, each as
// a string or as token numbers. Token numbers are read as their digits, since
// there is no vocabulary to look them up in. Absent and null are no texts.
// Param names the member for errors.
func readTexts(param string, data json.RawMessage) ([]string, error) {
	var one *string
	if len(data) == 0 || json.Unmarshal(data, &one) == nil {
		if one == nil {
			return nil, nil
		}
		return []string{*one}, nil
	}
	var several []string
	if json.Unmarshal(data, &several) == nil {
		return several, nil
	}
	var numbers []int
	if json.Unmarshal(data, &numbers) == nil {
		return []string{digits(numbers)}, nil
	}
	var lists [][]int
	if json.Unmarshal(data, &lists) == nil {
		texts := make([]string, 0, len(lists))
		for _, numbers := range lists {
			texts = append(texts, digits(numbers))
		}
		return texts, nil
	}
	return nil, invalid(param, "%s must be a string, an array of strings, or one or several arrays of whole numbers", param)
}

func digits(numbers []int) string {
	var b []byte
	for i, number := range numbers {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(number), 10)
	}
	return string(b)
}

type completion struct {
	ID                string             `json:"id"`
	Object            string             `json:"object"`
	Created           int64              `json:"created"`
	Model             string             `json:"model"`
	Choices           []completionChoice `json:"choices"`
	Usage             json.RawMessage    `json:"usage,omitempty"`
	SystemFingerprint string             `json:"system_fingerprint"`
}

type completionChoice struct {
	Text         string          `json:"text"`
	Index        int             `json:"index"`
	Logprobs     json.RawMessage `json:"logprobs"`
	FinishReason *string         `json:"finish_reason"`
}

// complete answers POST /v1/completions. Choices are ordered by prompt, the n
// answers to one prompt side by side.
func complete(w *faultWriter, c *call) error {
	pace := c.pace()
	var q completionRequest
	if err := c.parse(&q); err != nil {
		return err
	}
	settings := common{
		model: q.Model, n: q.N, maxTokens: q.MaxTokens, maxTokensName: "max_tokens",
		temperature: q.Temperature, topP: q.TopP, stream: q.Stream, streamOptions: q.StreamOptions,
	}
	if err := settings.settle(); err != nil {
		return err
	}
	prompts, err := readTexts("prompt", q.Prompt)
	if err != nil {
		return err
	}
	if len(prompts) == 0 {
		return invalid("prompt", "the request has no prompt")
	}
	if choices := len(prompts) * settings.choices; choices > maxAnswers {
		return invalid("prompt", "%d answers are asked for, and %d may be", choices, maxAnswers)
	}

	var counts usage
	var choices []generated
	size, longest := 0, 0
	for _, prompt := range prompts {
		counts.PromptTokens += countTokens(prompt)
		made := generate(echoed+prompt, q.Stop, settings.limit)
		size += len(made.text)
		longest = max(longest, made.tokens)
		for range settings.choices {
			choices = append(choices, made)
			counts.CompletionTokens += made.tokens
		}
	}
	if err := tooMuch("n", size, settings.choices); err != nil {
		return err
	}
	counts.TotalTokens = counts.PromptTokens + counts.CompletionTokens
	reported, err := marshal(&counts)
	if err != nil {
		return err
	}
	answer := completion{
		ID: "cmpl-" + c.digest(), Object: "text_completion", Created: created, Model: q.Model,
		SystemFingerprint: fingerprint,
	}
	if settings.stream {
		if settings.includeUsage {
			answer.Usage = jsonNull
		} else {
			reported = nil
		}
		return sendCompletion(newStream(w, c), pace, answer, choices, reported)
	}

	if err := pace.wait(c.Context(), longest); err != nil {
		return err
	}
	answer.Usage = reported
	for i := range choices {
		answer.Choices = append(answer.Choices, completionChoice{
			Text: choices[i].text, Index: i, Logprobs: jsonNull, FinishReason: &choices[i].finish,
		})
	}
	return writeJSON(w, http.StatusOK, &answer)
}

// sendCompletion streams choices one token of each in turn; a choice that has
// ended is closed in its turn. Usage is sent last unless it is nil.
func sendCompletion(out *stream, pace pace, chunk completion, choices []generated, usage json.RawMessage) error {
	rest := make([]string, len(choices))
	for i := range choices {
		rest[i] = choices[i].text
	}
	for number, open := 1, len(choices); open > 0; number++ {
		if err := pace.wait(out.call.Context(), number); err != nil {
			return err
		}
		for i := range choices {
			choice := completionChoice{Index: i, Logprobs: jsonNull}
			switch {
			case choices[i].finish == "":
				continue // closed in an earlier turn
			case rest[i] == "":
				finish := choices[i].finish
				choice.FinishReason, choices[i].finish = &finish, ""
				open--
			default:
				n := tokenLen(rest[i])
				choice.Text, rest[i] = rest[i][:n], rest[i][n:]
			}
			chunk.Choices = []completionChoice{choice}
			if err := out.send(&chunk); err != nil {
				return err
			}
		}
	}
	if usage != nil {
		chunk.Choices, chunk.Usage = []completionChoice{}, usage
		if err := out.send(&chunk); err != nil {
			return err
		}
	}
	return out.end()
}
