package aiproxy

import (
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/internal/uri"
)

// conduct is how the calls of one kind and their answers are treated.
type conduct struct {
	// counted says that the answer is a text whose tokens are guessed when nobody
	// counts them, and whose stream is written anew event by event.
	counted bool
	// held says that an answer that is not streamed is read whole, for its counts
	// or to be translated. Others, which may be audio, images or files of any size,
	// pass as they come.
	held bool
	// nameless says that a call may name no model.
	nameless bool
	// collection says that a call may ask for what stands in a collection: what
	// follows the route's prefix in the path is the provider's.
	collection bool
}

func conductOf(route llm.Route) conduct {
	switch route {
	case llm.Chat, llm.Completions:
		return conduct{counted: true, held: true}
	case llm.Responses:
		return conduct{held: true, collection: true}
	case llm.Embeddings, llm.Images, llm.ImageEdits, llm.Transcriptions:
		return conduct{held: true}
	case llm.Files, llm.Batches, llm.Assistants, llm.Videos:
		return conduct{nameless: true, collection: true}
	case llm.Preserve:
		return conduct{held: true, nameless: true}
	}
	return conduct{}
}

// member is what follows the matched part of the path: the member of a collection
// that the caller asks for, escaped; empty for the collection itself.
//
// Where the path names the collection as its vendor does, the format's reader has
// found what follows, also when that is nothing.
func member(r *plugin.Request, route llm.Route) string {
	name := string(route[strings.LastIndexByte(string(route), '/'):])
	if strings.Contains(r.Path+"/", name+"/") {
		return ""
	}
	rest, ok := r.Named["operation"]
	if !ok {
		rest = r.Path[min(len(r.Matched), len(r.Path)):]
	}
	// A prefix may end in the middle of a segment, and what follows must not climb.
	rest = uri.Escape(uri.Normalize("/" + strings.TrimPrefix(rest, "/")))
	if rest == "/" {
		return ""
	}
	return rest
}
