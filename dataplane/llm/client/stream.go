package client

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// EndMark is how a stream in OpenAI's format says that it is complete.
const EndMark = "[DONE]"

// UnreadableFrame is the one event that a caller gets when nothing that the
// provider streams can be read, in Kong's words.
const UnreadableFrame = `data: {"error": true, "message": "empty or unsupported transformer response"}` + "\n\n"

// Writer starts a streamed answer.
func (o *OpenAI) Writer(r *llm.Request, _ string) StreamWriter {
	return &openAIWriter{stripUsage: o.route != llm.Preserve && !r.WantsUsage}
}

var chunkNames = llm.NewLenientNames("usage")

// openAIWriter writes a streamed answer in OpenAI's format.
type openAIWriter struct {
	// stripUsage takes the token counts out of the stream: the gateway asked for
	// them and the caller did not.
	stripUsage bool

	scratch []byte
}

// Append appends one frame of a provider that speaks the caller's format. Nothing
// is appended for a frame that only brings what the caller did not ask for.
func (w *openAIWriter) Append(dst []byte, frame *llm.Frame) []byte {
	if frame.Done {
		return w.AppendEnd(dst)
	}
	data := frame.Data
	if w.stripUsage && frame.HoldsUsage {
		if frame.UsageOnly {
			return dst
		}
		var chunk llm.Object
		if chunk.Read(data, chunkNames) == nil {
			var edits llm.Edits
			edits.Remove(0)
			w.scratch = edits.AppendTo(w.scratch[:0], &chunk)
			data = w.scratch
		}
	}
	return llm.AppendServerEvent(dst, "", data)
}

// AppendEnd appends the mark of a complete stream.
func (w *openAIWriter) AppendEnd(dst []byte) []byte {
	return append(dst, "data: "+EndMark+"\n\n"...)
}

// AppendFailure appends the event that tells that the answer is not whole and
// will not be. No end mark may follow.
func (w *openAIWriter) AppendFailure(dst []byte, f *llm.Failure) []byte {
	dst = append(dst, `data: {"error":{"message":`...)
	dst = llm.AppendQuoted(dst, f.Message)
	return append(dst, `,"type":"server_error","param":null,"code":null}}`+"\n\n"...)
}

// AppendKeepAlive appends a comment, which readers pass over.
func (w *openAIWriter) AppendKeepAlive(dst []byte) []byte { return append(dst, ": keep-alive\n\n"...) }
