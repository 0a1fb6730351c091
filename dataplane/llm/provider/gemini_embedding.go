package provider

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// writeEmbedding writes a call for vectors: one request for each text, and one
// instance for each on Vertex AI.
func (g *Gemini) writeEmbedding(w *geminiWriter, call *Call, request *llm.Request) error {
	embedding, err := request.Decoder.Embedding(request)
	if err != nil {
		return err
	}
	if len(embedding.Texts) == 0 {
		return errors.New("vectors by Gemini are of texts, and not of tokens")
	}
	dimensions := embedding.Dimensions
	if call.Options != nil && call.Options.EmbeddingsDimensions != nil {
		dimensions = strconv.FormatInt(call.Options.GetEmbeddingsDimensions(), 10)
	}
	// What Google knows beside: the task that the vectors are for, and a title.
	var task, title []byte
	for _, m := range embedding.Extra {
		if value := bytes.TrimSpace(m.Value); len(value) > 0 && value[0] == '"' {
			switch geminiCamel(m.Name) {
			case "taskType":
				task = value
			case "title":
				title = value
			}
		}
	}
	if call.Options.GetGemini().GetApiEndpoint() != "" {
		w.name("instances")
		w.open('[')
		for _, text := range embedding.Texts {
			w.open('{')
			w.text("content", text)
			w.raw("task_type", string(task))
			w.raw("title", string(title))
			w.close('}')
		}
		w.close(']')
		if dimensions != "" {
			w.name("parameters")
			w.open('{')
			w.raw("outputDimensionality", dimensions)
			w.close('}')
		}
		return nil
	}
	model := "models/" + strings.TrimPrefix(call.Model, "models/")
	w.name("requests")
	w.open('[')
	for _, text := range embedding.Texts {
		w.open('{')
		w.text("model", model)
		w.name("content")
		w.open('{')
		w.name("parts")
		w.open('[')
		w.open('{')
		w.text("text", text)
		w.out = append(w.out, "}]}"...)
		w.raw("taskType", string(task))
		w.raw("title", string(title))
		w.raw("outputDimensionality", dimensions)
		w.close('}')
	}
	w.close(']')
	return nil
}

var (
	geminiVectorNames     = llm.NewLenientNames("values", "embeddings", "statistics")
	geminiStatisticsNames = llm.NewLenientNames("token_count")
)

// geminiVectors reads the answer to a call for vectors, in either form.
func geminiVectors(call *Call, object *llm.Object) (*llm.EmbeddingAnswer, error) {
	answer := &llm.EmbeddingAnswer{Model: call.Model}
	var u geminiUsage
	if object.Kind(geminiUsageMetadata) == '{' {
		u.read(object.Value(geminiUsageMetadata))
	}
	answer.Usage = u.usage()
	broken := false
	counted, tokens := false, int64(0)
	take := func(vector []byte) {
		var o, inner llm.Object
		if o.Read(vector, geminiVectorNames) != nil {
			broken = true
			return
		}
		if o.Kind(1) == '{' { // Vertex AI's predictions hold theirs one level deeper
			if inner.Read(o.Value(1), geminiVectorNames) != nil {
				broken = true
				return
			}
			o = inner
		}
		var statistics llm.Object
		if o.Kind(2) == '{' && statistics.Read(o.Value(2), geminiStatisticsNames) == nil {
			if n := geminiTokens(&statistics, 0); n.Known() {
				counted, tokens = true, tokens+n.N()
			}
		}
		if o.Kind(0) != '[' {
			broken = true
			return
		}
		answer.Vectors = append(answer.Vectors, o.Value(0))
	}
	list := geminiEmbeddings
	if !object.Has(list) {
		list = geminiPredictions
	}
	llm.Elements(object.Value(list), func(vector []byte) bool {
		take(vector)
		return !broken
	})
	if object.Kind(geminiEmbedding) == '{' && len(answer.Vectors) == 0 {
		take(object.Value(geminiEmbedding))
	}
	if broken || len(answer.Vectors) == 0 {
		return nil, &AnswerError{Reason: "no embeddings received from Gemini"}
	}
	if counted && answer.Usage.Input != llm.Reported {
		answer.Usage.Input, answer.Usage.Fresh = llm.Reported, llm.Count(tokens)
	}
	if answer.Usage.Input == llm.Reported && answer.Usage.Output != llm.Reported {
		answer.Usage.Output, answer.Usage.Answer = llm.Reported, llm.Count(0)
	}
	return answer, nil
}
