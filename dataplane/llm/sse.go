package llm

import (
	"bytes"
	"cmp"
	"errors"
)

// ErrEventTooLarge says that one event of a stream is larger than allowed.
var ErrEventTooLarge = errors.New("event of the stream is too large")

// ServerEvent is one event of a text/event-stream or of an AWS event stream. Its
// slices are valid until the reader that gave it is used again.
type ServerEvent struct {
	// Name is the event's type, empty when the stream names none.
	Name []byte
	// Data is what the data lines hold, joined by line feeds, or a frame's payload.
	Data []byte
	// Failed says that the framing itself marks the event as a failure, as an AWS
	// event stream does with exceptions.
	Failed bool
}

// EventReader cuts a text/event-stream into events, whatever the pieces it
// comes in. Lines end with CR LF, LF or CR; comments, ids and retry times are
// passed over. The zero value is ready, and must not be copied once used.
type EventReader struct {
	// Max is the largest event in bytes; 0: MaxEvent.
	Max int

	line    []byte // the start of a line whose end has not come
	data    []byte
	name    []byte
	hasData bool
	skipLF  bool // the last line ended with CR, so a LF belongs to it
	begun   bool // the place of a byte order mark is behind us
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// Read takes the next piece of the stream and calls f for each event that is
// complete now. It stops at f's error and gives it back; ErrEventTooLarge says
// that an event grew beyond Max. A reader that gave an error is of no
// further use.
func (e *EventReader) Read(piece []byte, f func(ServerEvent) error) error {
	lf := bytes.IndexByte(piece, '\n')
	for len(piece) > 0 {
		if e.skipLF {
			e.skipLF = false
			if piece[0] == '\n' {
				piece = piece[1:]
				lf = bytes.IndexByte(piece, '\n')
				continue
			}
		}
		// A CR ends a line too; it is looked for up to the next LF only, so that
		// no byte is searched twice.
		end := lf
		if end < 0 {
			end = len(piece)
		}
		if cr := bytes.IndexByte(piece[:end], '\r'); cr >= 0 {
			end = cr
		} else if lf < 0 {
			break
		}
		line := piece[:end]
		e.skipLF = piece[end] == '\r'
		piece = piece[end+1:]
		if lf -= end + 1; lf < 0 {
			lf = bytes.IndexByte(piece, '\n')
		}
		if len(e.line)+len(line) > cmp.Or(e.Max, MaxEvent) {
			return ErrEventTooLarge
		}
		if len(e.line) > 0 {
			e.line = append(e.line, line...)
			line = e.line
		}
		err := e.take(line, f)
		e.line = e.line[:0]
		if err != nil {
			return err
		}
	}
	if len(e.line)+len(piece) > cmp.Or(e.Max, MaxEvent) {
		return ErrEventTooLarge
	}
	e.line = append(e.line, piece...)
	return nil
}

// Partial says that an event has begun and its closing empty line has not come.
func (e *EventReader) Partial() bool { return len(e.line) > 0 || e.hasData || len(e.name) > 0 }

// Close says that the stream is over. An event whose closing empty line never
// came is given to f too: some servers leave it out behind the last one.
func (e *EventReader) Close(f func(ServerEvent) error) error {
	line := e.line
	e.line = nil
	if len(line) > 0 {
		if err := e.take(line, f); err != nil {
			return err
		}
	}
	return e.take(nil, f)
}

// take handles one line without its end.
func (e *EventReader) take(line []byte, f func(ServerEvent) error) error {
	if !e.begun {
		e.begun = true
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	if len(line) == 0 {
		event := ServerEvent{Name: e.name, Data: e.data}
		complete := e.hasData && len(e.data) > 0
		e.hasData = false
		e.data, e.name = e.data[:0], e.name[:0]
		if !complete {
			return nil
		}
		return f(event)
	}
	name, value, _ := bytes.Cut(line, []byte{':'})
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		if len(e.data)+len(value) >= cmp.Or(e.Max, MaxEvent) {
			return ErrEventTooLarge
		}
		if e.hasData {
			e.data = append(e.data, '\n')
		}
		e.hasData = true
		e.data = append(e.data, value...)
	case "event":
		e.name = append(e.name[:0], value...)
	}
	return nil
}

// AppendServerEvent appends one event to a text/event-stream. A name is written
// when it is not empty; line ends in the data, which are white space of a JSON
// text, start new data lines.
func AppendServerEvent(dst []byte, name string, data []byte) []byte {
	if name != "" {
		dst = append(dst, "event: "...)
		dst = append(dst, name...)
		dst = append(dst, '\n')
	}
	for {
		line, rest := data, []byte(nil)
		if end := bytes.IndexByte(data, '\n'); end >= 0 {
			line, rest = data[:end], data[end+1:]
		}
		if end := bytes.IndexByte(line, '\r'); end >= 0 {
			// CR LF is one line end.
			line, rest = data[:end], data[end+1:]
			if len(rest) > 0 && rest[0] == '\n' {
				rest = rest[1:]
			}
		}
		dst = append(dst, "data: "...)
		dst = append(dst, line...)
		dst = append(dst, '\n')
		if rest == nil {
			return append(dst, '\n')
		}
		data = rest
	}
}
