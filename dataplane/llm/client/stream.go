package client

import (
	"cmp"
	"crypto/rand"
	"strconv"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// EndMark is how a stream in OpenAI's format says that it is complete.
const EndMark = "[DONE]"

// UnreadableFrame is the one event that a caller gets when nothing that the
// provider streams can be read, in Kong's words.
const UnreadableFrame = `data: {"error": true, "message": "empty or unsupported transformer response"}` + "\n\n"

// Writer starts a streamed answer.
func (o *OpenAI) Writer(r *llm.Request, model string) StreamWriter {
	if o.route == llm.Responses {
		return &openAIResponsesWriter{}
	}
	w := &openAIWriter{
		completion: o.route == llm.Completions,
		wantsUsage: r.WantsUsage,
		stripUsage: !r.WantsUsage && (o.route == llm.Chat || o.route == llm.Completions),
		model:      model,
	}
	if w.wantsUsage {
		// A provider may count nothing, and the caller is owed a number: then it gets
		// the guess that the logs hold.
		w.words = o.Words(r)
	}
	return w
}

var openAIChunkNames = llm.NewLenientNames("usage")

// openAIChoices is how many answers one stream may hold; OpenAI allows as many.
const openAIChoices = 128

// openAIWriter writes a streamed answer in OpenAI's format: the chunks of a
// provider that speaks it as they are, and those of another one from what its
// events say.
type openAIWriter struct {
	// stripUsage takes the token counts out of the stream: the gateway asked for
	// them and the caller did not.
	stripUsage bool
	// wantsUsage says that the caller did.
	wantsUsage bool
	// completion writes the chunks of completions, and not those of chats.
	completion bool
	words      int // of the prompt

	// What every chunk repeats, as far as the provider has said it, and the start
	// of a chunk that is made of it once and for all with the first one.
	id, model string
	created   int64
	head      []byte

	foreign bool // the chunks are made of events
	ended   bool // nothing may follow
	choices []openAIChoice
	usage   llm.Usage
	length  llm.TextLength

	scratch []byte
}

// openAIChoice is how far one of the answers is.
type openAIChoice struct {
	index          int
	opened, closed bool
	calls          []int // the reader's block of each call, by the index that is written
}

// Append appends one frame: as it came from a provider that speaks the caller's
// format, else the chunks that its events make. Nothing is appended for a frame
// that only brings what the caller did not ask for.
func (w *openAIWriter) Append(dst []byte, frame *llm.Frame) []byte {
	if w.ended {
		return dst
	}
	if frame.Format != llm.OpenAI {
		w.foreign = true
		for i := range frame.Events {
			dst = w.event(dst, &frame.Events[i])
		}
		if frame.Done {
			return w.AppendEnd(dst)
		}
		return dst
	}
	if frame.Done {
		return w.AppendEnd(dst)
	}
	data := frame.Data
	if w.stripUsage && frame.HoldsUsage {
		if frame.UsageOnly {
			return dst
		}
		var chunk llm.Object
		if chunk.Read(data, openAIChunkNames) == nil {
			var edits llm.Edits
			edits.Remove(0)
			w.scratch = edits.AppendTo(w.scratch[:0], &chunk)
			data = w.scratch
		}
	}
	return llm.AppendServerEvent(dst, "", data)
}

func (w *openAIWriter) event(dst []byte, e *llm.Event) []byte {
	switch e.Kind {
	case llm.EventStart:
		if w.head == nil {
			w.id, w.created = cmp.Or(w.id, e.ID), max(w.created, e.Created)
			if e.Model != "" {
				w.model = e.Model
			}
		}
		return dst
	case llm.EventUsage:
		w.usage = e.Usage
		return dst
	case llm.EventError:
		f := e.Failure
		if f == nil {
			f = &llm.Failure{Message: "the provider reported an error"}
		}
		return w.AppendFailure(dst, f)
	}
	c := w.choice(e.Choice)
	if c == nil || c.closed || w.ended {
		return dst
	}
	switch e.Kind {
	case llm.EventText:
		w.length.Add(e.Text)
		return w.piece(dst, c, "content", e.Text)
	case llm.EventRefusal:
		return w.piece(dst, c, "refusal", e.Text)
	case llm.EventReasoning:
		if !w.completion {
			return w.piece(dst, c, "reasoning_content", e.Text)
		}
	case llm.EventCallStart:
		dst, _ = w.call(dst, c, e)
	case llm.EventCallArguments:
		return w.arguments(dst, c, e)
	case llm.EventSignature:
		// The signature of a thought has no place in this format; that of a call has
		// one that clients of Gemini know.
		if e.OfCall && !w.completion {
			dst, at := w.call(dst, c, e)
			dst = w.openCall(dst, c, at)
			dst = append(dst, `,"extra_content":{"google":{"thought_signature":`...)
			dst = llm.AppendQuoted(dst, e.Text)
			return w.close(append(dst, `}}}]}`...), "")
		}
	case llm.EventFinish:
		return w.finish(dst, c, e.Finish)
	}
	return dst
}

// choice finds the state of an answer; nil when there are too many.
func (w *openAIWriter) choice(index int) *openAIChoice {
	for i := range w.choices {
		if w.choices[i].index == index {
			return &w.choices[i]
		}
	}
	if len(w.choices) == openAIChoices {
		return nil
	}
	w.choices = append(w.choices, openAIChoice{index: index})
	return &w.choices[len(w.choices)-1]
}

// piece appends a chunk with a piece of text.
func (w *openAIWriter) piece(dst []byte, c *openAIChoice, name string, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	dst = w.open(dst, c, true)
	if w.completion {
		dst = w.begin(dst, c)
		dst = append(dst, `"text":`...)
		return w.close(llm.AppendQuoted(dst, text), "")
	}
	dst = w.begin(dst, c)
	dst = append(dst, `"delta":{"`...)
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	dst = llm.AppendQuoted(dst, text)
	return w.close(append(dst, '}'), "")
}

// open appends the chunk that opens an answer and names its role, once.
func (w *openAIWriter) open(dst []byte, c *openAIChoice, text bool) []byte {
	if c.opened || w.completion {
		return dst
	}
	c.opened = true
	dst = w.begin(dst, c)
	if text {
		return w.close(append(dst, `"delta":{"role":"assistant","content":"","refusal":null}`...), "")
	}
	return w.close(append(dst, `"delta":{"role":"assistant","content":null,"refusal":null}`...), "")
}

// call finds the index of a call, and appends the chunk that opens it when it is
// new: only this one names its id, type and function.
func (w *openAIWriter) call(dst []byte, c *openAIChoice, e *llm.Event) ([]byte, int) {
	for at := len(c.calls) - 1; at >= 0; at-- {
		if c.calls[at] == e.Block {
			return dst, at
		}
	}
	at := len(c.calls)
	c.calls = append(c.calls, e.Block)
	if w.completion {
		return dst, at
	}
	id, name := e.ID, e.Name
	if e.Kind != llm.EventCallStart {
		id, name = "", ""
	}
	dst = w.open(dst, c, false)
	dst = w.openCall(dst, c, at)
	dst = append(dst, `,"id":`...)
	dst = llm.AppendQuoted(dst, openAIID(id, "call_"))
	dst = append(dst, `,"type":"function","function":{"name":`...)
	dst = llm.AppendQuoted(dst, name)
	return w.close(append(dst, `,"arguments":""}}]}`...), ""), at
}

func (w *openAIWriter) arguments(dst []byte, c *openAIChoice, e *llm.Event) []byte {
	if len(e.Text) == 0 || w.completion {
		return dst
	}
	dst, at := w.call(dst, c, e)
	dst = w.openCall(dst, c, at)
	dst = append(dst, `,"function":{"arguments":`...)
	dst = llm.AppendQuoted(dst, e.Text)
	return w.close(append(dst, `}}]}`...), "")
}

// openCall begins a chunk with a piece of a call.
func (w *openAIWriter) openCall(dst []byte, c *openAIChoice, at int) []byte {
	dst = w.begin(dst, c)
	dst = append(dst, `"delta":{"tool_calls":[{"index":`...)
	return strconv.AppendInt(dst, int64(at), 10)
}

// finish appends the chunk that closes an answer, once.
func (w *openAIWriter) finish(dst []byte, c *openAIChoice, reason llm.FinishReason) []byte {
	dst = w.open(dst, c, true)
	c.closed = true
	if reason == llm.FinishUnknown && len(c.calls) > 0 {
		reason = llm.FinishCalls
	}
	dst = w.begin(dst, c)
	if w.completion {
		dst = append(dst, `"text":""`...)
	} else {
		dst = append(dst, `"delta":{}`...)
	}
	return w.close(dst, reason.OpenAI())
}

// begin begins a chunk with one choice.
func (w *openAIWriter) begin(dst []byte, c *openAIChoice) []byte {
	dst = append(dst, w.start()...)
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(c.index), 10)
	return append(dst, ',')
}

// start is what every chunk begins with.
func (w *openAIWriter) start() []byte {
	if w.head != nil {
		return w.head
	}
	kind, prefix := "chat.completion.chunk", "chatcmpl-"
	if w.completion {
		kind, prefix = "text_completion", "cmpl-"
	}
	w.head = appendOpenAIHead([]byte("data: "), w.id, prefix, kind, w.created, w.model)
	w.head = append(w.head, `,"choices":[`...)
	return w.head
}

// close ends a chunk with one choice; finish may be empty.
func (w *openAIWriter) close(dst []byte, finish string) []byte {
	if finish == "" {
		dst = append(dst, `,"logprobs":null,"finish_reason":null}]`...)
	} else {
		dst = append(dst, `,"logprobs":null,"finish_reason":"`...)
		dst = append(dst, finish...)
		dst = append(dst, `"}]`...)
	}
	if w.wantsUsage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, "}\n\n"...)
}

// AppendEnd appends the end of a complete stream: for an answer that is made of
// events the closing of what is open and the token counts, if they are wanted,
// and then the mark.
func (w *openAIWriter) AppendEnd(dst []byte) []byte {
	if w.ended {
		return dst
	}
	if w.foreign {
		if len(w.choices) == 0 {
			w.choice(0)
		}
		for i := range w.choices {
			if c := &w.choices[i]; !c.closed {
				dst = w.finish(dst, c, llm.FinishUnknown)
			}
		}
		if w.wantsUsage {
			w.usage.EstimateInput(llm.EstimatePrompt(w.words, true))
			w.usage.EstimateOutput(llm.EstimateCompletion(w.length.Len()))
			dst = append(dst, w.start()...)
			dst = append(dst, `],"usage":`...)
			dst = llm.AppendOpenAIUsage(dst, &w.usage)
			dst = append(dst, "}\n\n"...)
		}
	}
	w.ended = true
	return append(dst, "data: "+EndMark+"\n\n"...)
}

// AppendFailure appends the event that tells that the answer is not whole and
// will not be. No end mark may follow.
func (w *openAIWriter) AppendFailure(dst []byte, f *llm.Failure) []byte {
	if w.ended {
		return dst
	}
	w.ended = true
	dst = append(dst, "data: "...)
	dst = appendOpenAIFailure(dst, f)
	return append(dst, "\n\n"...)
}

// AppendKeepAlive appends a comment, which readers pass over.
func (w *openAIWriter) AppendKeepAlive(dst []byte) []byte { return append(dst, ": keep-alive\n\n"...) }

// appendOpenAIHead begins an answer or a chunk with the members that all of them have.
// What the provider did not say is made up: clients ask for an id and a time.
func appendOpenAIHead(dst []byte, id, prefix, kind string, created int64, model string) []byte {
	dst = append(dst, `{"id":`...)
	dst = llm.AppendQuoted(dst, openAIID(id, prefix))
	dst = append(dst, `,"object":"`...)
	dst = append(dst, kind...)
	dst = append(dst, `","created":`...)
	if created == 0 {
		created = time.Now().Unix()
	}
	dst = strconv.AppendInt(dst, created, 10)
	dst = append(dst, `,"model":`...)
	return llm.AppendQuoted(dst, model)
}

// openAIID is an id, or one that is made up.
func openAIID(id, prefix string) string {
	if id != "" {
		return id
	}
	return prefix + rand.Text()
}

// appendOpenAIFailure appends an error with all of the members that OpenAI's
// clients look for. The kind follows from the status where there is one.
func appendOpenAIFailure(dst []byte, f *llm.Failure) []byte {
	kind, code := openAIFailure(f)
	dst = append(dst, `{"error":{"message":`...)
	dst = llm.AppendQuoted(dst, f.Message)
	dst = append(dst, `,"type":`...)
	dst = llm.AppendQuoted(dst, kind)
	dst = append(dst, `,"param":null,"code":`...)
	if code == "" {
		dst = append(dst, "null"...)
	} else {
		dst = llm.AppendQuoted(dst, code)
	}
	return append(dst, "}}"...)
}

func openAIFailure(f *llm.Failure) (kind, code string) {
	switch f.Status {
	case 400, 403, 413, 422:
		return "invalid_request_error", f.Code
	case 401:
		return "invalid_request_error", "invalid_api_key"
	case 402:
		return "insufficient_quota", "insufficient_quota"
	case 404:
		return "invalid_request_error", "model_not_found"
	case 408, 504:
		return "server_error", "timeout"
	case 429:
		return "rate_limit_error", "rate_limit_exceeded"
	case 503, 529:
		return "server_error", "overloaded"
	}
	return "server_error", f.Code
}

// openAIResponsesWriter writes a stream of the responses API, which only comes
// from providers that speak it: event by event, byte for byte, and without an
// end mark of its own.
type openAIResponsesWriter struct {
	// failed says that the caller knows of a failure already.
	failed   bool
	sequence int64 // the number behind that of the last event
}

// Append appends one event.
func (w *openAIResponsesWriter) Append(dst []byte, frame *llm.Frame) []byte {
	// The number is only wanted when the stream fails, and stands anywhere in the
	// event: it is cheaper to keep count than to look for it each time.
	w.sequence++
	for i := range frame.Events {
		w.failed = w.failed || frame.Events[i].Kind == llm.EventError
	}
	return llm.AppendServerEvent(dst, frame.Name, frame.Data)
}

// AppendEnd appends nothing: the last event says that the answer is whole.
func (w *openAIResponsesWriter) AppendEnd(dst []byte) []byte { return dst }

// AppendFailure appends the event of a failure.
func (w *openAIResponsesWriter) AppendFailure(dst []byte, f *llm.Failure) []byte {
	if w.failed {
		return dst
	}
	w.failed = true
	_, code := openAIFailure(f)
	dst = append(dst, "event: error\ndata: {\"type\":\"error\",\"code\":"...)
	dst = llm.AppendQuoted(dst, cmp.Or(code, "server_error"))
	dst = append(dst, `,"message":`...)
	dst = llm.AppendQuoted(dst, f.Message)
	dst = append(dst, `,"param":null,"sequence_number":`...)
	dst = strconv.AppendInt(dst, w.sequence, 10)
	return append(dst, "}\n\n"...)
}

// AppendKeepAlive appends a comment, which readers pass over.
func (w *openAIResponsesWriter) AppendKeepAlive(dst []byte) []byte {
	return append(dst, ": keep-alive\n\n"...)
}
