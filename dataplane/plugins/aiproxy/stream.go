package aiproxy

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// streamMode is what becomes of the pieces of an answer.
type streamMode uint8

const (
	passing    streamMode = iota // on as they come
	watching                     // on as they come, and read for the counts
	converting                   // written anew, event by event
	explaining                   // an error, kept to be told in the caller's format
)

// brokenOff is what callers are told when an answer is not whole. It says nothing
// of the inside.
const brokenOff = "the answer broke off before it was complete"

// unsupported is what a caller is told when nothing that the provider streams can
// be read, in Kong's words.
const unsupported = "empty or unsupported transformer response"

var (
	errUnreadableStream = errors.New("the provider's stream cannot be read")
	errTruncatedStream  = errors.New("the provider's stream ended before the answer was complete")
	errFirstToken       = errors.New("the model did not begin to answer in time")
	errSilent           = errors.New("the model fell silent in the middle of its answer")
)

// explained is how much of an error that a provider streams is read.
const explained = 64 << 10

// stream is the state of a streamed answer.
type stream struct {
	mode     streamMode
	unpacker *unpacker // nil: the pieces are not packed
	reader   provider.StreamReader
	writer   client.StreamWriter // nil: the caller's format cannot be written
	cutter   cutter

	out      []byte // what is given back, used again
	frames   int    // events that could be read
	begun    bool   // something of the answer came
	finished bool   // the provider gave a reason for the end
	failed   bool   // the provider streamed an error
	ended    bool   // the end mark, or a failure, has been written
	broken   error  // why nothing more is passed on

	opened    time.Time // when the head of the answer came
	lastEvent time.Time // when the provider last said something
	lastSent  time.Time // when the caller last got something

	length llm.TextLength
	text   []byte // the joined text, with log_payloads; or an error's body
}

// openStream looks at the head of an answer to a call that asked for a stream.
func (h *Handler) openStream(r *plugin.Request, c *call) {
	response, s := &r.Response, &c.stream
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	framing, known := framingOf(kind)
	readable := err == nil && known && response.Status == http.StatusOK && h.target.Runs()
	h.name(r, c)
	packed := isGzip(response.Header)
	if coding := response.Header.Get("Content-Encoding"); !packed && coding != "" && coding != "identity" {
		readable = false // an encoding that nobody asked for
	}
	switch {
	case readable && h.translator != nil && (h.conduct.counted || h.foreign || c.Route == llm.Responses):
		s.mode = converting
		response.Header["Content-Type"] = []string{"text/event-stream"}
		delete(response.Header, "Content-Length")
	case readable && (!packed || !c.acceptsGzip):
		s.mode = watching
	case response.Status != http.StatusOK && h.explains():
		s.mode = explaining
	}
	if packed && (s.mode == converting || s.mode == explaining || !c.acceptsGzip) {
		s.unpacker = newUnpacker()
		delete(response.Header, "Content-Encoding")
		delete(response.Header, "Content-Length")
	}
	switch s.mode {
	case explaining:
		c.status = response.Status
		h.readyError(r)
		delete(response.Header, "Content-Length")
	case watching, converting:
		c.answered = true
		if h.conduct.counted {
			c.words = h.caller.Words(&c.Request)
		}
		s.cutter.open(framing, h.env.Limits.Event)
		s.reader = h.provider.Stream(&c.call.Call)
		if h.translator != nil {
			s.writer = h.translator.Writer(&c.Request, c.call.Model)
		}
		s.opened = time.Now()
		s.lastSent = s.opened
	}
	c.Request = llm.Request{}
}

// Body passes a piece of a streamed answer on.
func (h *Handler) Body(r *plugin.Request, chunk []byte, last bool) ([]byte, error) {
	c := h.of(r)
	if c == nil || !c.Streams || !r.Response.FromUpstream {
		return chunk, nil
	}
	s := &c.stream
	if s.broken != nil {
		return nil, s.broken
	}
	if s.mode == passing && s.unpacker == nil {
		return chunk, nil
	}
	s.out = s.out[:0]
	var err error
	if s.unpacker != nil {
		err = s.unpacker.unpack(chunk, last, func(plain []byte) error { return c.take(plain) })
	} else {
		err = c.take(chunk)
	}
	if err == nil && last {
		err = c.finish()
	}
	if last {
		c.done = time.Now()
	}
	if err == nil {
		if s.unpacker == nil && s.mode == watching {
			return chunk, nil
		}
		if len(s.out) > 0 {
			s.lastSent = time.Now()
		}
		return s.out, nil
	}
	s.broken = err
	h.env.Log.Warn("streamed answer broke off", "error", err)
	if s.unpacker == nil && s.mode == watching {
		s.out = append(s.out, chunk...)
	}
	return s.out, s.lastWords(err)
}

// Idle keeps the caller of a silent model waiting, or gives the model up.
func (h *Handler) Idle(r *plugin.Request, now time.Time) (words []byte, again time.Duration, err error) {
	c := h.of(r)
	if c == nil || !c.Streams || c.stream.opened.IsZero() {
		return nil, 0, nil
	}
	s, times := &c.stream, &h.env.Limits.Streams
	if s.ended || s.failed || s.broken != nil {
		return nil, 0, nil
	}
	since, most, late := s.lastEvent, times.Idle, errSilent
	if c.firstToken.IsZero() {
		since, most, late = s.opened, times.FirstToken, errFirstToken
		if !r.Record.Dialled.IsZero() {
			since = r.Record.Dialled
		}
	}
	if most > 0 {
		if again = most - now.Sub(since); again <= 0 {
			return nil, 0, late
		}
	} else if times.Idle > 0 {
		again = times.Idle // it counts from the first token on
	}
	// Only between events that the gateway writes itself is there a place for
	// words of its own.
	if times.KeepAlive <= 0 || s.mode != converting {
		return nil, again, nil
	}
	left := times.KeepAlive - now.Sub(s.lastSent)
	if left <= 0 {
		s.out = s.writer.AppendKeepAlive(s.out[:0])
		words, s.lastSent, left = s.out, now, times.KeepAlive
	}
	if again == 0 || left < again {
		again = left
	}
	return words, again, nil
}

// lastWords adds the event that says that an answer is not whole, unless the end
// is written already.
func (s *stream) lastWords(err error) error {
	if s.ended || s.mode == passing || s.mode == explaining || s.writer == nil ||
		s.cutter.framing != eventLines && s.mode == watching {
		return err
	}
	s.ended = true
	if s.mode == watching {
		// The caller may be in the middle of an event.
		s.out = append(s.out, "\n\n"...)
	}
	s.out = s.writer.AppendFailure(s.out, &llm.Failure{Message: brokenOff})
	return err
}

// Cut writes the last words of an answer that breaks off.
func (h *Handler) Cut(r *plugin.Request, _ error) []byte {
	c := h.of(r)
	if c == nil || !c.Streams || c.stream.broken != nil {
		return nil
	}
	s := &c.stream
	s.out = s.out[:0]
	c.done = time.Now()
	s.broken = s.lastWords(errTruncatedStream)
	return s.out
}

// take reads a piece of a stream that is not packed, or not any more.
func (c *call) take(plain []byte) error {
	s := &c.stream
	if s.mode == explaining {
		s.text = append(s.text, plain[:min(len(plain), explained-len(s.text))]...)
		return nil
	}
	if s.mode != converting && s.unpacker != nil {
		s.out = append(s.out, plain...)
	}
	if s.mode == passing {
		return nil
	}
	return s.pardon(s.cutter.read(plain, c.event))
}

// pardon keeps what is only watched from being broken off.
func (s *stream) pardon(err error) error {
	if s.mode == watching && err != nil {
		s.mode = passing
		return nil
	}
	return err
}

// event handles one event of the provider's.
func (c *call) event(event llm.ServerEvent) error {
	s := &c.stream
	if s.ended {
		return nil // nothing counts behind the end mark
	}
	frame, ok := s.reader.Read(event)
	if !ok {
		if s.frames > 0 || s.mode == watching {
			// Kong passes over what it cannot read once an answer has begun.
			return nil
		}
		return c.unreadable()
	}
	s.frames++
	if len(frame.Events) > 0 {
		s.lastEvent = time.Now()
	}
	for i := range frame.Events {
		c.note(&frame.Events[i])
	}
	if s.mode == converting {
		s.out = s.writer.Append(s.out, frame)
		if frame.Done {
			s.out = s.writer.AppendEnd(s.out)
		}
	}
	// Nothing may follow the failure that the writer has told of either.
	s.ended = frame.Done || s.failed && c.handler.foreign
	return nil
}

// unreadable ends a stream of which nothing can be read.
func (c *call) unreadable() error {
	s := &c.stream
	s.ended = true
	if c.handler.caller.Name() == llm.OpenAI {
		s.out = append(s.out, client.UnreadableFrame...)
	} else {
		s.out = s.writer.AppendFailure(s.out, &llm.Failure{Message: unsupported})
	}
	return errUnreadableStream
}

// note takes what an event says.
func (c *call) note(event *llm.Event) {
	s := &c.stream
	switch event.Kind {
	case llm.EventStart:
		s.begun = true
		if c.ResponseModel == "" {
			c.ResponseModel = event.Model
		}
		if c.answerID == "" {
			c.answerID = event.ID
		}
	case llm.EventText:
		s.length.Add(event.Text)
		if c.handler.logPayload && len(s.text) < loggedPayload {
			s.text = append(s.text, event.Text...)
		}
	case llm.EventFinish:
		s.finished = true
		if len(c.reasons) < maxReasons {
			c.reasons = append(c.reasons, event.Finish)
		}
	case llm.EventUsage:
		c.Usage = event.Usage
	case llm.EventError:
		s.failed = true
	}
	if event.Kind >= llm.EventText && event.Kind <= llm.EventCallArguments {
		s.begun = true
		if c.firstToken.IsZero() {
			c.firstToken = time.Now()
		}
	}
}

// finish handles the end of the upstream's body. An answer that has neither an
// end mark nor a reason for its end is not whole, however politely it ended.
func (c *call) finish() error {
	s := &c.stream
	switch s.mode {
	case passing:
		return nil
	case explaining:
		if c.handler.logPayload {
			c.answerLogged = s.text
		}
		s.out = c.handler.caller.AppendError(s.out, provider.Failure(c.status, s.text))
		return nil
	}
	partial, frames := s.cutter.partial(), s.frames
	whole, err := s.cutter.close(c.event)
	if err = s.pardon(err); err != nil {
		return err
	}
	if ender, ok := s.reader.(provider.StreamEnder); ok && whole && !s.ended && !s.failed {
		if frame := ender.End(); len(frame.Events) > 0 {
			for i := range frame.Events {
				c.note(&frame.Events[i])
			}
			if s.mode == converting {
				s.out = s.writer.Append(s.out, frame)
			}
		}
	}
	if s.mode == watching {
		// Of what passes as it came, only an answer that has begun is known to be one.
		// What ends in the middle of an event is none, though, whatever it is.
		begun := s.begun || partial && s.frames == frames
		if begun && !s.ended && !s.finished && !s.failed && c.Route != llm.Preserve {
			return errTruncatedStream
		}
		return nil
	}
	if s.ended || s.failed || s.mode != converting {
		return nil
	}
	switch {
	case s.frames == 0:
		return c.unreadable()
	case s.finished && whole:
		s.ended = true
		s.out = s.writer.AppendEnd(s.out)
		return nil
	}
	return errTruncatedStream
}

// joined is the text of a stream as one answer, for logs.
func (c *call) joined() []byte {
	out := append([]byte(nil), `{"object":"chat.completion","model":`...)
	out = llm.AppendQuoted(out, c.model())
	out = append(out, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...)
	out = llm.AppendQuoted(out, bytes.TrimSpace(c.stream.text))
	out = append(out, `}}],"usage":`...)
	out = llm.AppendOpenAIUsage(out, &c.Usage)
	return append(out, '}')
}
