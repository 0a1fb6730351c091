package aiproxy

import (
	"errors"
	"io"
	"iter"

	"github.com/klauspost/compress/gzip"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// unpacker undoes gzip piece by piece, as the pieces of a stream come in. The
// reader of package gzip wants to pull, and a filter is pushed: so it runs as a
// coroutine that stands still whenever it has used its input up. It must be
// closed.
type unpacker struct {
	next func() ([]byte, bool)
	stop func()

	input  []byte
	ended  bool // no more input will come
	closed bool
	yield  func([]byte) bool
	in     int64 // bytes so far
	out    int64
	err    error
	over   bool // the coroutine has returned
}

var errClosed = errors.New("unpacker is closed")

func newUnpacker() *unpacker {
	u := &unpacker{}
	u.next, u.stop = iter.Pull(u.run)
	return u
}

// run is the coroutine. It yields unpacked pieces, and nil when it needs input.
func (u *unpacker) run(yield func([]byte) bool) {
	u.yield = yield
	z, err := gzip.NewReader(u)
	if err != nil {
		u.err = err
		return
	}
	buffer := make([]byte, 4<<10)
	for {
		n, err := z.Read(buffer)
		if n > 0 && !yield(buffer[:n]) {
			return
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			u.err = err
			return
		}
	}
}

// Read gives the coroutine its input.
func (u *unpacker) Read(p []byte) (int, error) {
	for len(u.input) == 0 {
		if u.ended {
			return 0, io.EOF
		}
		if u.closed || !u.yield(nil) {
			u.closed = true
			return 0, errClosed
		}
	}
	n := copy(p, u.input)
	u.input = u.input[n:]
	return n, nil
}

// unpack takes the next piece and calls f with what it holds. last says that no
// more come: then the input must be at its end.
func (u *unpacker) unpack(piece []byte, last bool, f func(plain []byte) error) error {
	if u.over {
		// Bytes behind the end of the packed stream are of no meaning.
		return u.err
	}
	u.input, u.ended = piece, last
	u.in += int64(len(piece))
	for {
		plain, ok := u.next()
		if !ok {
			u.over = true
			return u.err
		}
		if plain == nil {
			return nil
		}
		// A long stream may rightly be large, so that only the ratio tells a bomb.
		u.out += int64(len(plain))
		if u.out > ratioFrom && u.out > u.in*ratioLimit {
			u.err = plugin.ErrBodyTooLarge
			u.close()
			return u.err
		}
		if err := f(plain); err != nil {
			return err
		}
	}
}

// close ends the coroutine. It may be called more than once.
func (u *unpacker) close() {
	u.over = true
	u.stop()
}
