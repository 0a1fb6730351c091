package echomodel

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"math"
	"net/http"
	"strings"
)

const (
	maxInputs         = 2048
	maxInputTokens    = 8192    // of one input
	maxRequestTokens  = 300_000 // of all inputs together
	defaultDimensions = 1536
	maxDimensions     = 3072
	// maxNumbers bounds the size of an answer and the time it takes.
	maxNumbers = maxInputs * defaultDimensions
)

type embeddingRequest struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	EncodingFormat string          `json:"encoding_format"`
	Dimensions     *int            `json:"dimensions"`
}

type embeddings struct {
	Object string         `json:"object"`
	Data   []embedding    `json:"data"`
	Model  string         `json:"model"`
	Usage  embeddingUsage `json:"usage"`
}

type embedding struct {
	Object    string          `json:"object"`
	Index     int             `json:"index"`
	Embedding json.RawMessage `json:"embedding"` // an array of numbers, or base64
}

type embeddingUsage struct {
	PromptTokens int `json:"prompt_tokens"`
	TotalTokens  int `json:"total_tokens"`
}

// embed answers POST /v1/embeddings.
func embed(w *faultWriter, c *call) error {
	pace := c.pace()
	var q embeddingRequest
	if err := c.parse(&q); err != nil {
		return err
	}
	inputs, err := readTexts("input", q.Input)
	if err != nil {
		return err
	}
	dimensions, total, err := q.check(inputs)
	if err != nil {
		return err
	}
	answer := embeddings{
		Object: "list", Model: q.Model,
		Usage: embeddingUsage{PromptTokens: total, TotalTokens: total},
	}
	for i, text := range inputs {
		// A large request takes a while; nobody need work for a client that left.
		if err := c.Context().Err(); err != nil {
			return err
		}
		encoded, err := encodeVector(vector(text, dimensions), q.EncodingFormat)
		if err != nil {
			return err
		}
		answer.Data = append(answer.Data, embedding{Object: "embedding", Index: i, Embedding: encoded})
	}
	if err := pace.wait(c.Context(), total); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, &answer)
}

// check refuses what the endpoint refuses; it returns the length of the
// vectors and the number of tokens in all inputs.
func (q *embeddingRequest) check(inputs []string) (dimensions, total int, err error) {
	if q.Model == "" {
		return 0, 0, invalid("model", "the request names no model")
	}
	switch q.EncodingFormat {
	case "", "float", "base64":
	default:
		return 0, 0, invalid("encoding_format", "there is no encoding_format %q", q.EncodingFormat)
	}
	dimensions = defaultDimensions
	if q.Dimensions != nil {
		dimensions = *q.Dimensions
	}
	if dimensions < 1 || dimensions > maxDimensions {
		return 0, 0, invalid("dimensions", "dimensions is %d, and must be from 1 to %d", dimensions, maxDimensions)
	}
	if n := len(inputs); n == 0 || n > maxInputs {
		return 0, 0, invalid("input", "the request has %d inputs, and must have from 1 to %d", n, maxInputs)
	}
	if len(inputs)*dimensions > maxNumbers {
		return 0, 0, invalid("input", "the answer would have over %d numbers", maxNumbers)
	}
	for i, text := range inputs {
		n := countTokens(text)
		if n == 0 || n > maxInputTokens {
			return 0, 0, invalid("input", "input %d has %d tokens, and must have from 1 to %d", i, n, maxInputTokens)
		}
		total += n
	}
	if total > maxRequestTokens {
		return 0, 0, invalid("input", "the inputs have %d tokens together, and may have %d", total, maxRequestTokens)
	}
	return dimensions, total, nil
}

// vector places a text on the unit sphere. Every token, its case and the space
// before it left aside, adds a direction of its own, so texts that share words
// lie close together, and word order does not matter.
func vector(text string, dimensions int) []float32 {
	// Whole numbers make the sum the same on every machine.
	sum := make([]int64, dimensions)
	for token := range tokens(text) {
		word := strings.ToLower(strings.TrimSpace(token))
		h := fnv.New64a()
		h.Write([]byte(word)) // a hash never fails to write
		state := h.Sum64()
		for i := range sum {
			sum[i] += int64(int16(splitmix(&state)))
		}
	}
	var square float64
	for _, x := range sum {
		square += float64(float64(x) * float64(x)) // the conversion keeps the compiler from fusing the two steps
	}
	unit := make([]float32, dimensions)
	if square == 0 {
		unit[0] = 1 // directions that cancel out still need an answer of length one
		return unit
	}
	length := math.Sqrt(square)
	for i, x := range sum {
		unit[i] = float32(float64(x) / length)
	}
	return unit
}

// splitmix is the SplitMix64 generator: a well-mixed number per step of state.
func splitmix(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// encodeVector writes numbers, or for base64 their little-endian bytes.
func encodeVector(v []float32, format string) (json.RawMessage, error) {
	if format != "base64" {
		return json.Marshal(v)
	}
	data := make([]byte, 0, 4*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(data))
}
