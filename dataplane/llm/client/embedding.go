package client

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// EmbeddingWriter is a Format that can write the vectors of another one.
type EmbeddingWriter interface {
	Format
	// AppendEmbedding writes a whole answer to a call for vectors.
	AppendEmbedding(dst []byte, r *llm.Request, a *llm.EmbeddingAnswer) []byte
}
