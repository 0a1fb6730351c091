package echomodel

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strings"
)

const (
	maxChoices = 128
	maxStops   = 4
	// noLimit stands for a request that sets no number of tokens.
	noLimit = -1

	// echoed stands before what is repeated, so that nobody takes an answer
	// for the request.
	echoed = "Echo: "
)

// The reasons for which an answer ends.
const (
	finishStop      = "stop"
	finishLength    = "length"
	finishToolCalls = "tool_calls"
)

// digest names some text by 24 hex digits. The length of each part goes in
// too, so that moving a border changes the name.
func digest(parts ...string) string {
	h := sha256.New()
	var size [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:]) // a hash never fails to write
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// generated is text that the model made, and why it stopped there.
type generated struct {
	text   string
	tokens int
	finish string
	stop   string // the stop text that was met, when finish is stop
}

// generate cuts the full text where a model with these settings would have
// stopped: before the first stop text, or after limit tokens.
func generate(full string, stops []string, limit int) generated {
	g := generated{finish: finishStop}
	for _, stop := range stops {
		if at := strings.Index(full, stop); at >= 0 {
			full, g.stop = full[:at], stop
		}
	}
	g.text = full
	if limit == noLimit {
		g.tokens = countTokens(full)
		return g
	}
	var cut bool
	if g.text, g.tokens, cut = firstTokens(full, limit); cut {
		g.finish, g.stop = finishLength, ""
	}
	return g
}

// stops is the request member "stop": null, one text, or up to four.
type stops []string

func (s *stops) UnmarshalJSON(data []byte) error {
	var one *string
	if json.Unmarshal(data, &one) == nil {
		if one != nil {
			*s = stops{*one}
		}
		return s.check()
	}
	if json.Unmarshal(data, (*[]string)(s)) != nil {
		return invalid("stop", "stop must be a string or an array of strings")
	}
	return s.check()
}

func (s *stops) check() error {
	if len(*s) > maxStops {
		return invalid("stop", "stop has %d texts, and may have %d", len(*s), maxStops)
	}
	for _, stop := range *s {
		if stop == "" {
			return invalid("stop", "stop holds an empty text")
		}
	}
	return nil
}

// streamOptions is the request member of that name.
type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// common is what chat and completion requests are checked for alike.
type common struct {
	model             string
	n, maxTokens      *int
	maxTokensName     string // the member that maxTokens came from
	temperature, topP *float64
	stream            bool
	streamOptions     *streamOptions

	choices      int
	limit        int // of tokens per choice, or noLimit
	includeUsage bool
}

// settle checks the raw members and fills choices, limit and includeUsage.
func (c *common) settle() error {
	if c.model == "" {
		return invalid("model", "the request names no model")
	}
	c.choices = 1
	if c.n != nil {
		c.choices = *c.n
	}
	if c.choices < 1 || c.choices > maxChoices {
		return invalid("n", "n is %d, and must be from 1 to %d", c.choices, maxChoices)
	}
	c.limit = noLimit
	if c.maxTokens != nil {
		c.limit = *c.maxTokens
		if c.limit < 1 {
			return invalid(c.maxTokensName, "%s is %d, and must be at least 1", c.maxTokensName, c.limit)
		}
	}
	if t := c.temperature; t != nil && (*t < 0 || *t > 2) {
		return invalid("temperature", "temperature is %v, and must be from 0 to 2", *t)
	}
	if p := c.topP; p != nil && (*p < 0 || *p > 1) {
		return invalid("top_p", "top_p is %v, and must be from 0 to 1", *p)
	}
	if c.streamOptions != nil {
		if !c.stream {
			return invalid("stream_options", "stream_options needs stream to be true")
		}
		c.includeUsage = c.streamOptions.IncludeUsage
	}
	return nil
}

// usage counts tokens as OpenAI reports them.
type usage struct {
	PromptTokens            int               `json:"prompt_tokens"`
	CompletionTokens        int               `json:"completion_tokens"`
	TotalTokens             int               `json:"total_tokens"`
	PromptTokensDetails     *promptDetails    `json:"prompt_tokens_details,omitempty"`
	CompletionTokensDetails *completionDetail `json:"completion_tokens_details,omitempty"`
}

type promptDetails struct {
	CachedTokens int `json:"cached_tokens"`
}

type completionDetail struct {
	ReasoningTokens int `json:"reasoning_tokens"`
}

// jsonNull is for members that must be there and be null.
var jsonNull = json.RawMessage("null")

// tooMuch refuses answers that would be larger than any request may be.
func tooMuch(param string, size, times int) error {
	if size > 0 && times > MaxBody/size {
		return invalid(param, "%d times %d bytes is more than the echo model says at once", times, size)
	}
	return nil
}
