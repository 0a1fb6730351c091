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
)

// brokenOff is what callers are told when an answer is not whole. It says nothing
// of the inside.
const brokenOff = "the answer broke off before it was complete"

var (
	errUnreadableStream = errors.New("the provider's stream cannot be read")
	errTruncatedStream  = errors.New("the provider's stream ended before the answer was complete")
)

// stream is the state of a streamed answer.
type stream struct {
	mode     streamMode
	unpacker *unpacker // nil: the pieces are not packed
	reader   provider.StreamReader
	writer   client.StreamWriter
	events   llm.EventReader
	values   llm.ValueReader
	isSSE    bool

	out      []byte // what is given back, used again
	frames   int    // events that could be read
	finished bool   // the provider gave a reason for the end
	failed   bool   // the provider streamed an error
	ended    bool   // the end mark, or a failure, has been written
	broken   error  // why nothing more is passed on

	length llm.TextLength
	text   []byte // the joined text, with log_payloads
}

// openStream looks at the head of an answer to a call that asked for a stream.
func (h *Handler) openStream(r *plugin.Request, c *call) {
	response, s := &r.Response, &c.stream
	s.events.Max, s.values.Max = h.env.Limits.Event, h.env.Limits.Event
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	readable := err == nil && response.Status == http.StatusOK
	switch kind {
	case "text/event-stream":
		s.isSSE = true
	case "application/json", "application/stream+json", "application/x-ndjson":
	default:
		readable = false
	}
	if response.Status == http.StatusOK && c.named {
		response.Header["X-Kong-Llm-Model"] = []string{h.providerName + "/" + headerText(c.RequestModel)}
	}
	packed := isGzip(response.Header)
	if coding := response.Header.Get("Content-Encoding"); !packed && coding != "" && coding != "identity" {
		readable = false // an encoding that nobody asked for
	}
	switch {
	case readable && c.Route != llm.Preserve:
		s.mode = converting
		response.Header["Content-Type"] = []string{"text/event-stream"}
		delete(response.Header, "Content-Length")
	case readable && (!packed || !c.acceptsGzip):
		s.mode = watching
	}
	if packed && (s.mode == converting || !c.acceptsGzip) {
		s.unpacker = newUnpacker()
		delete(response.Header, "Content-Encoding")
		delete(response.Header, "Content-Length")
	}
	if s.mode != passing {
		c.answered = true
		c.words = h.caller.Words(&c.Request)
		s.reader = h.provider.Stream(&c.call.Call)
		s.writer = h.caller.Writer(&c.Request, c.call.Model)
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
		return s.out, nil
	}
	s.broken = err
	h.env.Log.Warn("streamed answer broke off", "error", err)
	return s.out, s.lastWords(err)
}

// lastWords adds the event that says that an answer is not whole, unless the end
// is written already.
func (s *stream) lastWords(err error) error {
	if s.ended || s.mode == passing || !s.isSSE && s.mode == watching {
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
	if s.mode != converting && s.unpacker != nil {
		s.out = append(s.out, plain...)
	}
	switch {
	case s.mode == passing:
		return nil
	case s.isSSE:
		return s.pardon(s.events.Read(plain, c.event))
	}
	return s.pardon(s.values.Read(plain, func(value []byte) error {
		return c.event(llm.ServerEvent{Data: value})
	}))
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
		s.ended = true
		s.out = append(s.out, client.UnreadableFrame...)
		return errUnreadableStream
	}
	s.frames++
	for i := range frame.Events {
		c.note(&frame.Events[i])
	}
	s.ended = frame.Done
	if s.mode == converting {
		s.out = s.writer.Append(s.out, frame)
	}
	return nil
}

// note takes what an event says.
func (c *call) note(event *llm.Event) {
	s := &c.stream
	switch event.Kind {
	case llm.EventStart:
		if c.ResponseModel == "" {
			c.ResponseModel = event.Model
		}
	case llm.EventText:
		s.length.Add(event.Text)
		if c.handler.logPayload && len(s.text) < loggedPayload {
			s.text = append(s.text, event.Text...)
		}
	case llm.EventFinish:
		s.finished = true
	case llm.EventUsage:
		c.Usage = event.Usage
	case llm.EventError:
		s.failed = true
	}
	if c.firstToken.IsZero() && event.Kind >= llm.EventText && event.Kind <= llm.EventCallArguments {
		c.firstToken = time.Now()
	}
}

// finish handles the end of the upstream's body. An answer that has neither an
// end mark nor a reason for its end is not whole, however politely it ended.
func (c *call) finish() error {
	s := &c.stream
	if s.mode == passing {
		return nil
	}
	if s.isSSE {
		if err := s.pardon(s.events.Close(c.event)); err != nil {
			return err
		}
	}
	if s.ended || s.mode != converting || s.failed {
		return nil
	}
	switch {
	case s.frames == 0:
		s.ended = true
		s.out = append(s.out, client.UnreadableFrame...)
		return errUnreadableStream
	case s.finished && !s.values.Partial():
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
