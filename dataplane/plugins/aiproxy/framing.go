package aiproxy

import (
	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// framing is how a provider cuts its stream into events.
type framing uint8

const (
	eventLines framing = iota + 1 // text/event-stream
	jsonValues                    // one value per line, back to back, or in an array
	awsFrames                     // application/vnd.amazon.eventstream
)

// framingOf is the framing of a media type; ok is false when nothing can be cut
// from such a stream.
func framingOf(mediaType string) (f framing, ok bool) {
	switch mediaType {
	case "text/event-stream":
		return eventLines, true
	case "application/json", "application/stream+json", "application/x-ndjson":
		return jsonValues, true
	case "application/vnd.amazon.eventstream":
		return awsFrames, true
	}
	return 0, false
}

// cutter cuts a provider's stream into events, whatever the pieces it comes in.
// The zero value must be opened.
type cutter struct {
	framing framing
	begun   bool
	events  llm.EventReader
	values  llm.ValueReader
	frames  llm.FrameReader
}

func (c *cutter) open(f framing, largest int) {
	c.framing = f
	c.events.Max, c.values.Max, c.frames.Max = largest, largest, largest
}

// read takes the next piece and calls f for each event that is complete now.
func (c *cutter) read(piece []byte, f func(llm.ServerEvent) error) error {
	if !c.begun && len(piece) > 0 {
		c.begun = true
		if c.framing == eventLines && piece[0] == '{' {
			// Some servers name the type that was asked for and stream bare values. No
			// event begins with a brace.
			c.framing = jsonValues
		}
	}
	switch c.framing {
	case eventLines:
		return c.events.Read(piece, f)
	case awsFrames:
		return c.frames.Read(piece, f)
	}
	return c.values.Read(piece, func(value []byte) error { return f(llm.ServerEvent{Data: value}) })
}

// partial says that the stream is in the middle of an event, or that nothing of
// it has come.
func (c *cutter) partial() bool {
	return !c.begun || c.events.Partial() || c.values.Partial() || c.values.Open() || c.frames.Partial()
}

// close says that the stream is over. whole is false when that cuts a value or a
// frame off.
func (c *cutter) close(f func(llm.ServerEvent) error) (whole bool, err error) {
	switch c.framing {
	case eventLines:
		return true, c.events.Close(f)
	case awsFrames:
		return !c.frames.Partial(), nil
	}
	return !c.values.Partial(), nil
}
