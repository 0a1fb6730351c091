package client

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// EndMark is how a stream in OpenAI's format says that it is complete.
const EndMark = "[DONE]"

// UnreadableFrame is the one event that a caller gets when nothing that the
// provider streams can be read, in Kong's words.
const UnreadableFrame = `data: {"error": true, "message": "empty or unsupported transformer response"}` + "\n\n"

var chunkNames = llm.NewLenientNames("usage")

// StreamWriter writes a streamed answer in OpenAI's format.
type StreamWriter struct {
	// StripUsage takes the token counts out of the stream: the gateway asked for
	// them and the caller did not.
	StripUsage bool

	scratch []byte
}

// Append appends one frame of a provider that speaks the caller's format. Nothing
// is appended for a frame that only brings what the caller did not ask for.
func (w *StreamWriter) Append(dst []byte, frame *llm.Frame) []byte {
	if frame.Done {
		return w.AppendEnd(dst)
	}
	data := frame.Data
	if w.StripUsage && frame.HoldsUsage {
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
func (w *StreamWriter) AppendEnd(dst []byte) []byte {
	return append(dst, "data: "+EndMark+"\n\n"...)
}

// AppendFailure appends the event that tells that the answer is not whole and
// will not be. No end mark may follow.
func (w *StreamWriter) AppendFailure(dst []byte, message string) []byte {
	dst = append(dst, `data: {"error":{"message":`...)
	dst = llm.AppendQuoted(dst, message)
	return append(dst, `,"type":"server_error","param":null,"code":null}}`+"\n\n"...)
}
