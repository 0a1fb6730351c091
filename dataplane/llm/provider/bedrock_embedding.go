package provider

import (
	"cmp"
	"errors"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// bedrockEmbed writes the members of a call to InvokeModel that asks for vectors,
// in the words of the model.
func bedrockEmbed(w *bedrockWriter, call *Call, request *llm.Request) error {
	embedding, err := request.Decoder.Embedding(request)
	if err != nil {
		return err
	}
	if len(embedding.Texts) == 0 {
		return errors.New("Bedrock embeds texts, and no tokens")
	}
	dimensions := embedding.Dimensions
	if call.Options != nil && call.Options.EmbeddingsDimensions != nil {
		dimensions = strconv.FormatInt(call.Options.GetEmbeddingsDimensions(), 10)
	}
	if strings.Contains(call.Model, "cohere") {
		w.name("texts")
		w.open('[')
		for _, text := range embedding.Texts {
			w.comma()
			w.out = llm.AppendQuoted(w.out, text)
		}
		w.close("]")
		w.text("input_type", cmp.Or(call.Options.GetCohere().GetEmbeddingInputType(), "classification"))
		if strings.Contains(call.Model, "embed-v4") {
			w.raw("output_dimension", dimensions) // earlier models have one size
		}
		return nil
	}
	if len(embedding.Texts) > 1 {
		return errors.New("the model embeds one text at a time")
	}
	w.text("inputText", embedding.Texts[0])
	if strings.Contains(call.Model, "titan-embed-text-v1") || strings.Contains(call.Model, "titan-embed-g1") {
		return nil // it has no settings, and refuses them
	}
	w.raw("dimensions", dimensions)
	if bedrock := call.Options.GetBedrock(); bedrock != nil && bedrock.EmbeddingsNormalize != nil {
		w.raw("normalize", strconv.FormatBool(bedrock.GetEmbeddingsNormalize()))
	}
	return nil
}

// bedrockVectors reads the vectors of an answer, which each model has elsewhere.
func bedrockVectors(object *llm.Object) (*llm.EmbeddingAnswer, error) {
	answer := &llm.EmbeddingAnswer{}
	add := func(vector []byte) bool {
		if vector[0] == '[' {
			answer.Vectors = append(answer.Vectors, vector)
		}
		return true
	}
	switch embeddings := object.Value(bedrockEmbeddings); object.Kind(bedrockEmbeddings) {
	case '[':
		llm.Elements(embeddings, add)
	case '{':
		// By the type of their numbers.
		llm.Members(embeddings, func(name string, value []byte) bool {
			if name == "float" {
				llm.Elements(value, add)
			}
			return true
		})
	default:
		if object.Kind(bedrockEmbedding) == '[' {
			add(object.Value(bedrockEmbedding))
		}
	}
	if len(answer.Vectors) == 0 {
		return nil, &AnswerError{Reason: "no embeddings received from Bedrock"}
	}
	answer.Usage, _ = bedrockCounts(object)
	return answer, nil
}
