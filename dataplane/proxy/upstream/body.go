package upstream

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
)

const (
	// maxChunkLine bounds the line before a chunk, maxTrailer all lines behind
	// the last one.
	maxChunkLine = 2 << 10
	maxTrailer   = 16 << 10
	// A sender may spend chunkOverhead bytes more on the frames of chunks than
	// framePerChunk for each and twice what is in them.
	chunkOverhead = 16 << 10
	framePerChunk = 16
)

var (
	errChunk      = errors.New("malformed chunk")
	errChunkLine  = errors.New("the line before a chunk, or in a trailer, is malformed or too long")
	errOverhead   = errors.New("too little in too many bytes of chunks")
	errBodyClosed = errors.New("read of a body that was closed")
)

// body is the body of an answer. Read is for one goroutine at a time; Close may
// come at any time, also while Read waits.
type body struct {
	conn    *conn
	pool    *idlePool
	address netip.AddrPort
	stop    func() bool // ends the watch over the context; false: it has ended
	framing framing
	use     atomic.Uint32 // unused, reading, or closed

	left  int64 // of a counted body, or of the chunk
	stage chunkStage
	// overhead is what was spent on frames of chunks beyond what is allowed;
	// trailer is what was read of the trailer.
	overhead int64
	trailer  int
	end      error // what Read says from now on; io.EOF: the body is complete
}

const (
	unused uint32 = iota
	reading
	closed
)

// chunkStage is what comes next in a chunked body.
type chunkStage uint8

const (
	chunkSize chunkStage = iota
	chunkData
	chunkEnd
	chunkTrailer
)

// Read implements io.Reader. It gives what is there. A body that breaks off ends
// in an error other than io.EOF: the cause with which the context ended, if that
// was the reason.
func (b *body) Read(p []byte) (int, error) {
	if !b.use.CompareAndSwap(unused, reading) {
		return 0, errBodyClosed
	}
	// When Close comes meanwhile it leaves its mark, and has closed the
	// connection.
	defer b.use.CompareAndSwap(reading, unused)
	if b.end != nil {
		return 0, b.end
	}
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	var err error
	switch b.framing.kind {
	case counted:
		n, err = b.readCounted(p)
	case chunked:
		n, err = b.readChunked(p)
	default:
		n, err = b.readSome(p)
	}
	if err != nil && err != io.EOF {
		err = b.conn.reason(err)
	}
	b.end = err
	return n, err
}

// Close implements io.Closer. The connection serves again if the body was read
// to its end and the context has not ended.
func (b *body) Close() error {
	before := b.use.Swap(closed)
	if before == closed {
		return nil
	}
	watched := b.stop()
	// The state of a body that is being read is the reader's, and it was not read
	// to its end.
	if before == unused && watched && b.end == io.EOF && b.framing.keep && b.conn.atRest() {
		b.pool.put(b.address, b.conn)
	} else {
		b.conn.close()
	}
	return nil
}

// readSome reads what is there, waiting if that is nothing.
func (b *body) readSome(p []byte) (int, error) {
	c := b.conn
	if c.r == c.w {
		if err := c.arm(); err != nil {
			return 0, err
		}
		if len(p) >= len(c.buf) {
			return c.readNet(p)
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	return n, nil
}

func (b *body) readCounted(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.readSome(p)
	b.left -= int64(n)
	if b.left == 0 {
		// Said together with the last bytes, which saves the reader a call.
		return n, io.EOF
	}
	return n, unexpected(err)
}

// readChunked reads the data of chunks. As soon as it has some it goes on only
// as far as it need not wait.
func (b *body) readChunked(p []byte) (n int, err error) {
	c := b.conn
	for {
		switch b.stage {
		case chunkData:
			if n == len(p) || n > 0 && c.r == c.w {
				return n, nil
			}
			room := p[n:]
			if int64(len(room)) > b.left {
				room = room[:b.left]
			}
			m, err := b.readSome(room)
			n, b.left = n+m, b.left-int64(m)
			if err != nil {
				return n, unexpected(err)
			}
			if b.left == 0 {
				b.stage = chunkEnd
			}
		case chunkEnd:
			if c.w-c.r < len("\r\n") {
				if n > 0 {
					return n, nil
				}
				if err := b.more(); err != nil {
					return n, err
				}
				continue
			}
			if c.buf[c.r] != '\r' || c.buf[c.r+1] != '\n' {
				return n, errChunk
			}
			c.r += len("\r\n")
			b.stage = chunkSize
		default:
			line, err := b.line(n == 0)
			if line == nil || err != nil {
				return n, err
			}
			if b.stage == chunkSize {
				err = b.beginChunk(line)
			} else {
				err = b.trailerLine(line)
			}
			if err != nil {
				return n, err
			}
		}
	}
}

// more waits for more bytes of the frame of a chunk.
func (b *body) more() error {
	if err := b.conn.arm(); err != nil {
		return err
	}
	return unexpected(b.conn.fill())
}

// line gives the next line without its end, which must be CR LF; it is valid
// until the next read. nil: it is not there, and the caller does not want to
// wait.
func (b *body) line(wait bool) ([]byte, error) {
	c := b.conn
	for {
		here := c.buf[c.r:c.w]
		i := bytes.IndexByte(here, '\n')
		if i > maxChunkLine || i < 0 && len(here) > maxChunkLine {
			return nil, errChunkLine
		}
		if i >= 0 {
			if i == 0 || bytes.IndexByte(here, '\r') != i-1 {
				return nil, errChunkLine
			}
			c.r += i + 1
			return here[: i-1 : i-1], nil
		}
		if !wait {
			return nil, nil
		}
		if err := b.more(); err != nil {
			return nil, err
		}
	}
}

// beginChunk reads the line before a chunk. Extensions are ignored.
func (b *body) beginChunk(line []byte) error {
	b.overhead += int64(len(line) + len("\r\n"))
	digits, _, _ := bytes.Cut(bytes.TrimRight(line, " \t"), []byte(";"))
	// More digits than fit, and more than any body is long, are no length.
	if len(digits) == 0 || len(digits) > 16 {
		return errChunk
	}
	var size uint64
	for _, c := range digits {
		digit, ok := hexDigit(c)
		if !ok {
			return errChunk
		}
		size = size<<4 | uint64(digit)
	}
	if size > 1<<60 {
		return errChunk
	}
	b.overhead = max(0, b.overhead-framePerChunk-2*int64(size))
	if b.overhead > chunkOverhead {
		return errOverhead
	}
	b.left, b.stage = int64(size), chunkData
	if size == 0 {
		b.stage = chunkTrailer
	}
	return nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// trailerLine reads a line behind the last chunk: a header, or nothing, and then
// the body has ended.
func (b *body) trailerLine(line []byte) error {
	if len(line) == 0 {
		return io.EOF
	}
	if b.trailer += len(line); b.trailer > maxTrailer {
		return errChunkLine
	}
	text := string(line)
	if !isFieldValue(text) {
		return errControlByte
	}
	_, _, err := cutField(text)
	return err
}

// unexpected tells an end that came too early from the end of a body.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
