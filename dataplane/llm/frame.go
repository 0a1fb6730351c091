package llm

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// FrameError says why a text is no AWS event stream. It does not quote the text.
type FrameError struct{ Reason string }

// Error is the reason.
func (e *FrameError) Error() string { return "invalid event stream frame: " + e.Reason }

const (
	// framePrelude is the length of a frame's beginning: its whole length, the
	// length of its headers, and the checksum of the two.
	framePrelude = 12
	// frameChecksum is the length of the checksum that ends a frame.
	frameChecksum = 4
)

// FrameReader cuts an AWS event stream (application/vnd.amazon.eventstream) into
// events, whatever the pieces it comes in. An event has the frame's event type
// for a name and its payload for data; a frame that tells of an exception or an
// error gives a Failed event with the exception's type or the error's code for
// a name. Both checksums of every frame are checked. The zero value is ready,
// and must not be copied once used.
type FrameReader struct {
	// Max is the largest frame in bytes; 0: MaxEvent.
	Max int

	frame []byte // the start of a frame whose end has not come
	data  []byte // what stands for the payload of an error that has none
}

// Read takes the next piece of the stream and calls f for each event that is
// complete now. It stops at f's error and gives it back; ErrEventTooLarge says
// that a frame is larger than Max, a *FrameError that the text is no event
// stream. A reader that gave an error is of no further use.
func (r *FrameReader) Read(piece []byte, f func(ServerEvent) error) error {
	for len(piece) > 0 {
		if len(r.frame) == 0 {
			// A frame that lies whole in the piece is read where it lies.
			length, err := r.length(piece)
			if err != nil {
				return err
			}
			if length > 0 && length <= len(piece) {
				if err := r.take(piece[:length], f); err != nil {
					return err
				}
				piece = piece[length:]
				continue
			}
		}
		// The prelude comes first, since it tells how much of the piece is the
		// frame's.
		if missing := framePrelude - len(r.frame); missing > 0 {
			n := min(missing, len(piece))
			r.frame = append(r.frame, piece[:n]...)
			piece = piece[n:]
			if n < missing {
				return nil
			}
		}
		length, err := r.length(r.frame)
		if err != nil {
			return err
		}
		n := min(length-len(r.frame), len(piece))
		r.frame = append(r.frame, piece[:n]...)
		piece = piece[n:]
		if len(r.frame) < length {
			return nil
		}
		err = r.take(r.frame, f)
		r.frame = r.frame[:0]
		if err != nil {
			return err
		}
	}
	return nil
}

// Partial says that a frame has begun and not ended.
func (r *FrameReader) Partial() bool { return len(r.frame) > 0 }

// Close says that the stream is over; io.ErrUnexpectedEOF says that it broke off
// inside a frame. f is never called: a frame that is not whole says nothing.
func (r *FrameReader) Close(func(ServerEvent) error) error {
	partial := r.Partial()
	r.frame = nil
	if partial {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// length is that of the whole frame that text begins with; 0 when too little of
// it is there.
func (r *FrameReader) length(text []byte) (int, error) {
	if len(text) < framePrelude {
		return 0, nil
	}
	total, headers := binary.BigEndian.Uint32(text), binary.BigEndian.Uint32(text[4:])
	if binary.BigEndian.Uint32(text[8:]) != crc32.ChecksumIEEE(text[:8]) {
		return 0, &FrameError{"checksum of the prelude"}
	}
	if uint64(total) < framePrelude+frameChecksum+uint64(headers) {
		return 0, &FrameError{"lengths that contradict each other"}
	}
	if uint64(total) > uint64(cmp.Or(r.Max, MaxEvent)) {
		return 0, ErrEventTooLarge
	}
	return int(total), nil
}

// take reads one whole frame.
func (r *FrameReader) take(frame []byte, f func(ServerEvent) error) error {
	body := frame[:len(frame)-frameChecksum]
	if binary.BigEndian.Uint32(frame[len(body):]) != crc32.ChecksumIEEE(body) {
		return &FrameError{"checksum of the frame"}
	}
	end := framePrelude + int(binary.BigEndian.Uint32(frame[4:]))
	var kind, event, exception, code, message []byte
	headers := body[framePrelude:end]
	for len(headers) > 0 {
		name, value, rest, ok := frameHeader(headers)
		if !ok {
			return &FrameError{"header that does not fit"}
		}
		headers = rest
		switch string(name) {
		case ":message-type":
			kind = value
		case ":event-type":
			event = value
		case ":exception-type":
			exception = value
		case ":error-code":
			code = value
		case ":error-message":
			message = value
		}
	}
	out := ServerEvent{Name: event, Data: body[end:]}
	switch string(kind) {
	case "exception":
		out.Name, out.Failed = exception, true
	case "error":
		out.Name, out.Failed = code, true
		if len(out.Data) == 0 {
			// An error tells of itself in its headers, an exception in its payload;
			// who reads the event finds both in the same place.
			r.data = append(r.data[:0], `{"message":`...)
			r.data = append(AppendQuoted(r.data, message), '}')
			out.Data = r.data
		}
	}
	return f(out)
}

// frameWidths are the lengths of header values by their type; below 0: the length
// stands before the value, in so many bytes.
var frameWidths = [...]int{
	0: 0,  // true
	1: 0,  // false
	2: 1,  // byte
	3: 2,  // short
	4: 4,  // int
	5: 8,  // long
	6: -2, // bytes
	7: -2, // string
	8: 8,  // timestamp
	9: 16, // UUID
}

const frameString = 7

// frameHeader splits the first header off; value is nil unless it is a string.
func frameHeader(headers []byte) (name, value, rest []byte, ok bool) {
	n := int(headers[0])
	rest = headers[1:]
	if n == 0 || len(rest) < n+1 {
		return nil, nil, nil, false
	}
	name, kind := rest[:n], int(rest[n])
	rest = rest[n+1:]
	if kind >= len(frameWidths) {
		return nil, nil, nil, false
	}
	width := frameWidths[kind]
	if width < 0 {
		if len(rest) < 2 {
			return nil, nil, nil, false
		}
		width = int(binary.BigEndian.Uint16(rest))
		rest = rest[2:]
	}
	if len(rest) < width {
		return nil, nil, nil, false
	}
	if kind == frameString {
		value = rest[:width]
	}
	return name, value, rest[width:], true
}

// AppendFrame appends one event of an AWS event stream.
func AppendFrame(dst []byte, eventType, contentType string, payload []byte) []byte {
	return appendFrame(dst, "event", ":event-type", eventType, contentType, payload)
}

// AppendExceptionFrame appends the frame that ends an AWS event stream with an
// exception, such as throttlingException.
func AppendExceptionFrame(dst []byte, exceptionType, contentType string, payload []byte) []byte {
	return appendFrame(dst, "exception", ":exception-type", exceptionType, contentType, payload)
}

func appendFrame(dst []byte, kind, name, value, contentType string, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, framePrelude)...)
	dst = appendFrameHeader(dst, name, value)
	dst = appendFrameHeader(dst, ":content-type", contentType)
	dst = appendFrameHeader(dst, ":message-type", kind)
	headers := len(dst) - start - framePrelude
	dst = append(dst, payload...)
	frame := dst[start:]
	binary.BigEndian.PutUint32(frame, uint32(len(frame)+frameChecksum))
	binary.BigEndian.PutUint32(frame[4:], uint32(headers))
	binary.BigEndian.PutUint32(frame[8:], crc32.ChecksumIEEE(frame[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(frame))
}

func appendFrameHeader(dst []byte, name, value string) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = append(dst, frameString)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}
