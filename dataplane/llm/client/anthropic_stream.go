package client

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Writer starts a streamed answer.
func (a *Anthropic) Writer(r *llm.Request, model string) StreamWriter {
	return &anthropicWriter{format: a, model: model, thinks: anthropicAsksThinking(r), open: anthropicOpenBlock{kind: anthropicNone}}
}

// anthropicHeld is how many bytes of an answer may be held back. The format has no
// way to go on with an earlier block, so what comes for a later one has to wait.
const anthropicHeld = 8 << 20

// anthropicCalls is how many calls one answer may hold.
const anthropicCalls = 1024

// anthropicWriter writes a streamed answer. It has one block open at a time; what
// comes for another while the open one is a call that has not ended is held back
// until it has.
type anthropicWriter struct {
	format *Anthropic
	model  string
	thinks bool // the caller asked to see thoughts

	started, passing, ended bool

	index   int // the next block's
	open    anthropicOpenBlock
	pending []anthropicPending
	held    int   // bytes in pending
	seen    []int // the calls that have begun, by the provider's count

	finished, refused bool
	finish            llm.FinishReason
	stopText          string
	usage             llm.Usage
}

type anthropicKindOfBlock uint8

const (
	anthropicNone anthropicKindOfBlock = iota
	anthropicText
	anthropicThoughts
	anthropicRedacted
	anthropicUse
)

// anthropicOpenBlock is the block that is being written.
type anthropicOpenBlock struct {
	kind anthropicKindOfBlock
	call int // which call it is
	// ended says that nothing more comes for it; json watches a call's arguments
	// for the same: providers do not all say when a call ends.
	ended bool
	json  anthropicJSON
}

// anthropicPending is a block that has to wait, with what came for it so far.
type anthropicPending struct {
	kind      anthropicKindOfBlock
	call      int
	id, name  string
	text      []byte
	signature []byte
	ended     bool
}

// anthropicJSON finds the end of a JSON object that comes in pieces.
type anthropicJSON struct {
	depth                   int
	begun, quoted, escaping bool
}

func (j *anthropicJSON) read(piece []byte) {
	for _, c := range piece {
		switch {
		case j.escaping:
			j.escaping = false
		case j.quoted && c == '\\':
			j.escaping = true
		case c == '"':
			j.quoted = !j.quoted
		case j.quoted:
		case c == '{' || c == '[':
			j.begun = true
			j.depth++
		case c == '}' || c == ']':
			j.depth--
		}
	}
}

func (j *anthropicJSON) complete() bool { return j.begun && j.depth <= 0 && !j.quoted }

// Append appends one frame of the provider's.
func (w *anthropicWriter) Append(dst []byte, frame *llm.Frame) []byte {
	if w.ended {
		return dst
	}
	if frame.Format == llm.Anthropic {
		w.passing = true
		w.ended = frame.Done
		for i := range frame.Events {
			w.ended = w.ended || frame.Events[i].Kind == llm.EventError
		}
		return llm.AppendServerEvent(dst, frame.Name, frame.Data)
	}
	if !w.started && len(frame.Events) > 0 {
		dst = w.start(dst, frame.Events)
	}
	for i := range frame.Events {
		if dst = w.event(dst, &frame.Events[i]); w.ended {
			return dst
		}
	}
	if frame.Done {
		return w.AppendEnd(dst)
	}
	return dst
}

// start opens the message with what the first events say of it.
func (w *anthropicWriter) start(dst []byte, events []llm.Event) []byte {
	w.started = true
	var id, model string
	var usage llm.Usage
	for i := range events {
		switch e := &events[i]; e.Kind {
		case llm.EventStart:
			id, model = cmp.Or(id, e.ID), cmp.Or(model, e.Model)
		case llm.EventUsage:
			usage = e.Usage
		}
	}
	dst = append(dst, "event: message_start\ndata: "+`{"type":"message_start","message":{"id":`...)
	dst = llm.AppendQuoted(dst, anthropicMessageID(id))
	dst = append(dst, `,"type":"message","role":"assistant","model":`...)
	dst = llm.AppendQuoted(dst, cmp.Or(model, w.model))
	dst = append(dst, `,"content":[],"stop_reason":null,"stop_sequence":null,"usage":`...)
	dst = appendAnthropicUsage(dst, &usage)
	return append(dst, "}}\n\n"...)
}

func (w *anthropicWriter) event(dst []byte, e *llm.Event) []byte {
	if e.Choice != 0 {
		return dst // the format has one answer to a call
	}
	switch e.Kind {
	case llm.EventUsage:
		w.usage = e.Usage
	case llm.EventError:
		failure := e.Failure
		if failure == nil {
			failure = &llm.Failure{}
		}
		return w.AppendFailure(dst, failure)
	}
	if w.finished {
		return dst
	}
	switch e.Kind {
	case llm.EventText, llm.EventRefusal:
		w.refused = w.refused || e.Kind == llm.EventRefusal
		return w.piece(dst, anthropicText, e.Text)
	case llm.EventReasoning:
		if w.thinks {
			return w.piece(dst, anthropicThoughts, e.Text)
		}
	case llm.EventSignature:
		if w.thinks && !e.OfCall {
			return w.signature(dst, e.Text)
		}
	case llm.EventRedacted:
		if w.thinks && len(e.Text) > 0 {
			if w.blocked() {
				w.hold(anthropicPending{kind: anthropicRedacted, text: slices.Clone(e.Text), ended: true}, len(e.Text))
				return w.bounded(dst)
			}
			return w.redacted(w.close(dst), e.Text)
		}
	case llm.EventCallStart:
		return w.callStart(dst, e)
	case llm.EventCallArguments:
		return w.arguments(dst, e)
	case llm.EventCallEnd:
		return w.callEnd(dst, e.Block)
	case llm.EventFinish:
		w.finished, w.finish, w.stopText = true, e.Finish, e.StopText
		return w.drain(dst, true)
	}
	return dst
}

// blocked says that the open block is a call that more may come for.
func (w *anthropicWriter) blocked() bool {
	return w.open.kind == anthropicUse && !w.open.ended && !w.open.json.complete()
}

// release makes room for the next block, as far as that can be: what was held back
// is written first.
func (w *anthropicWriter) release(dst []byte) []byte {
	if w.blocked() {
		return dst
	}
	return w.drain(dst, false)
}

// piece adds to a block of text or of thoughts.
func (w *anthropicWriter) piece(dst []byte, kind anthropicKindOfBlock, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	if w.open.kind == kind && !w.open.ended {
		return w.delta(dst, kind, text)
	}
	if dst = w.release(dst); w.blocked() {
		if last := len(w.pending) - 1; last >= 0 && w.pending[last].kind == kind && !w.pending[last].ended {
			w.pending[last].text = append(w.pending[last].text, text...)
			w.held += len(text)
		} else {
			w.hold(anthropicPending{kind: kind, text: slices.Clone(text)}, len(text))
		}
		return w.bounded(dst)
	}
	if w.open.kind != kind || w.open.ended {
		dst = w.begin(w.close(dst), kind)
	}
	return w.delta(dst, kind, text)
}

// signature vouches for the thought before it, and so ends it. Without one it
// stands for a thought that is not shown.
func (w *anthropicWriter) signature(dst, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	if w.open.kind != anthropicThoughts || w.open.ended {
		if dst = w.release(dst); w.blocked() {
			last := len(w.pending) - 1
			if last < 0 || w.pending[last].kind != anthropicThoughts || w.pending[last].ended {
				w.hold(anthropicPending{kind: anthropicThoughts}, 0)
				last = len(w.pending) - 1
			}
			w.pending[last].signature, w.pending[last].ended = slices.Clone(text), true
			w.held += len(text)
			return w.bounded(dst)
		}
		if w.open.kind != anthropicThoughts || w.open.ended {
			dst = w.begin(w.close(dst), anthropicThoughts)
		}
	}
	return w.vouch(dst, text)
}

func (w *anthropicWriter) callStart(dst []byte, e *llm.Event) []byte {
	if slices.Contains(w.seen, e.Block) {
		return dst // said again
	}
	if len(w.seen) == anthropicCalls {
		return w.AppendFailure(dst, &llm.Failure{Message: "the provider's answer holds too many calls"})
	}
	w.seen = append(w.seen, e.Block)
	if dst = w.release(dst); w.blocked() {
		w.hold(anthropicPending{kind: anthropicUse, call: e.Block, id: e.ID, name: e.Name}, len(e.ID)+len(e.Name)+anthropicHeldCall)
		return w.bounded(dst)
	}
	return w.beginCall(w.close(dst), e.Block, e.ID, e.Name)
}

// anthropicHeldCall is what a call that is held back costs beside its texts, about.
const anthropicHeldCall = 128

func (w *anthropicWriter) arguments(dst []byte, e *llm.Event) []byte {
	if len(e.Text) == 0 {
		return dst
	}
	if w.open.kind != anthropicUse || w.open.call != e.Block {
		dst = w.release(dst)
	}
	if w.open.kind == anthropicUse && w.open.call == e.Block {
		if w.open.ended {
			return dst
		}
		return w.delta(dst, anthropicUse, e.Text)
	}
	for i := range w.pending {
		if p := &w.pending[i]; p.kind == anthropicUse && p.call == e.Block && !p.ended {
			p.text = append(p.text, e.Text...)
			w.held += len(e.Text)
			return w.bounded(dst)
		}
	}
	return dst // of a call that never began, or has ended
}

func (w *anthropicWriter) callEnd(dst []byte, call int) []byte {
	if w.open.kind == anthropicUse && w.open.call == call {
		w.open.ended = true
		return w.drain(dst, false)
	}
	for i := range w.pending {
		if p := &w.pending[i]; p.kind == anthropicUse && p.call == call {
			p.ended = true
		}
	}
	return dst
}

func (w *anthropicWriter) hold(p anthropicPending, size int) {
	w.pending = append(w.pending, p)
	w.held += size
}

// bounded breaks the answer off when too much of it is held back.
func (w *anthropicWriter) bounded(dst []byte) []byte {
	if w.held <= anthropicHeld {
		return dst
	}
	w.pending = nil
	return w.AppendFailure(dst, &llm.Failure{Message: "the provider's answer mixes more than can be put in order"})
}

// drain writes what was held back, up to a call that more may come for; with all
// there is nothing more to come, and the last block is closed too.
func (w *anthropicWriter) drain(dst []byte, all bool) []byte {
	written := 0
	for ; written < len(w.pending) && (all || !w.blocked()); written++ {
		p := &w.pending[written]
		dst = w.close(dst)
		switch p.kind {
		case anthropicUse:
			dst = w.beginCall(dst, p.call, p.id, p.name)
		case anthropicRedacted:
			dst = w.redacted(dst, p.text)
		default:
			dst = w.begin(dst, p.kind)
		}
		if len(p.text) > 0 && p.kind != anthropicRedacted {
			dst = w.delta(dst, p.kind, p.text)
		}
		if len(p.signature) > 0 {
			dst = w.vouch(dst, p.signature)
		}
		w.open.ended = w.open.ended || p.ended
	}
	if written > 0 {
		w.pending = slices.Delete(w.pending, 0, written)
		w.held = 0
		for i := range w.pending {
			p := &w.pending[i]
			w.held += len(p.text) + len(p.signature) + anthropicHeldCall
		}
	}
	if all {
		dst = w.close(dst)
	}
	return dst
}

// begin opens a block of text or of thoughts.
func (w *anthropicWriter) begin(dst []byte, kind anthropicKindOfBlock) []byte {
	dst = w.opening(dst, anthropicOpenBlock{kind: kind})
	if kind == anthropicText {
		dst = append(dst, `{"type":"text","text":""}}`+"\n\n"...)
	} else {
		dst = append(dst, `{"type":"thinking","thinking":"","signature":""}}`+"\n\n"...)
	}
	return dst
}

func (w *anthropicWriter) beginCall(dst []byte, call int, id, name string) []byte {
	dst = w.opening(dst, anthropicOpenBlock{kind: anthropicUse, call: call})
	dst = append(dst, `{"type":"tool_use","id":`...)
	dst = llm.AppendQuoted(dst, anthropicCallID(id))
	dst = append(dst, `,"name":`...)
	dst = llm.AppendQuoted(dst, name)
	return append(dst, `,"input":{}}}`+"\n\n"...)
}

// redacted writes a whole block of a thought that only its maker can read.
func (w *anthropicWriter) redacted(dst, data []byte) []byte {
	dst = w.opening(dst, anthropicOpenBlock{kind: anthropicRedacted, ended: true})
	dst = append(dst, `{"type":"redacted_thinking","data":`...)
	dst = llm.AppendQuoted(dst, data)
	return append(dst, "}}\n\n"...)
}

func (w *anthropicWriter) opening(dst []byte, block anthropicOpenBlock) []byte {
	w.open = block
	dst = append(dst, "event: content_block_start\ndata: "+`{"type":"content_block_start","index":`...)
	dst = strconv.AppendInt(dst, int64(w.index), 10)
	return append(dst, `,"content_block":`...)
}

// delta writes a piece of the open block.
func (w *anthropicWriter) delta(dst []byte, kind anthropicKindOfBlock, text []byte) []byte {
	dst = append(dst, "event: content_block_delta\ndata: "+`{"type":"content_block_delta","index":`...)
	dst = strconv.AppendInt(dst, int64(w.index), 10)
	switch kind {
	case anthropicText:
		dst = append(dst, `,"delta":{"type":"text_delta","text":`...)
	case anthropicThoughts:
		dst = append(dst, `,"delta":{"type":"thinking_delta","thinking":`...)
	default:
		w.open.json.read(text)
		dst = append(dst, `,"delta":{"type":"input_json_delta","partial_json":`...)
	}
	dst = llm.AppendQuoted(dst, text)
	return append(dst, "}}\n\n"...)
}

func (w *anthropicWriter) vouch(dst, signature []byte) []byte {
	w.open.ended = true
	dst = append(dst, "event: content_block_delta\ndata: "+`{"type":"content_block_delta","index":`...)
	dst = strconv.AppendInt(dst, int64(w.index), 10)
	dst = append(dst, `,"delta":{"type":"signature_delta","signature":`...)
	dst = llm.AppendQuoted(dst, signature)
	return append(dst, "}}\n\n"...)
}

// close closes the open block, if there is one.
func (w *anthropicWriter) close(dst []byte) []byte {
	if w.open.kind == anthropicNone {
		return dst
	}
	dst = append(dst, "event: content_block_stop\ndata: "+`{"type":"content_block_stop","index":`...)
	dst = strconv.AppendInt(dst, int64(w.index), 10)
	dst = append(dst, "}\n\n"...)
	w.open = anthropicOpenBlock{}
	w.index++
	return dst
}

// AppendEnd appends the end of the message: why it ended and what it used, which
// was held back since providers count the tokens after they give the reason, and
// the mark of the end.
func (w *anthropicWriter) AppendEnd(dst []byte) []byte {
	if w.ended {
		return dst
	}
	w.ended = true
	if !w.passing {
		if !w.started {
			dst = w.start(dst, nil)
		}
		dst = w.drain(dst, true)
		dst = append(dst, "event: message_delta\ndata: "+`{"type":"message_delta","delta":{`...)
		dst = appendAnthropicReason(dst, anthropicReason(w.finish, w.refused, len(w.seen) > 0), w.stopText)
		dst = append(dst, `},"usage":`...)
		dst = appendAnthropicUsage(dst, &w.usage)
		dst = append(dst, "}\n\n"...)
	}
	return append(dst, "event: message_stop\ndata: "+`{"type":"message_stop"}`+"\n\n"...)
}

// AppendFailure appends the event that tells that the answer is not whole and will
// not be. No end mark may follow.
func (w *anthropicWriter) AppendFailure(dst []byte, f *llm.Failure) []byte {
	if w.ended {
		return dst
	}
	w.ended = true
	dst = append(dst, "event: error\ndata: "...)
	dst = w.format.AppendError(dst, f)
	return append(dst, "\n\n"...)
}

// AppendKeepAlive appends a ping, which may stand anywhere in a message; before
// one has begun, a comment.
func (w *anthropicWriter) AppendKeepAlive(dst []byte) []byte {
	switch {
	case w.ended:
		return dst
	case w.started || w.passing:
		return append(dst, "event: ping\ndata: "+`{"type":"ping"}`+"\n\n"...)
	}
	return append(dst, ": keep-alive\n\n"...)
}
