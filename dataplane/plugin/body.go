package plugin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// MaxBufferedBody is the most that is read of a request body into memory, in
// bytes, where the node's Limits do not say.
const MaxBufferedBody = 64 << 20

// pooledBody is the largest buffer that goes back to the pool.
const pooledBody = 256 << 10

// buffer is a body in memory. It goes back to the pool when its users, the
// request and the readers that were handed out, are all done: a transport may
// return while it is still reading.
type buffer struct {
	data  []byte
	users atomic.Int32
}

var buffers = sync.Pool{New: func() any { return &buffer{data: make([]byte, 0, 4<<10)} }}

func newBuffer() *buffer {
	b := buffers.Get().(*buffer)
	b.users.Store(1)
	return b
}

func (b *buffer) release() {
	if b.users.Add(-1) == 0 && cap(b.data) <= pooledBody {
		b.data = b.data[:0]
		buffers.Put(b)
	}
}

// body is a request body: what was read of it, what is still to come, or what a
// plugin put in its place.
type body struct {
	source io.ReadCloser // nil: no body
	length int64         // as announced by the client; -1: unknown
	read   *buffer       // what was read from the source
	whole  bool          // source is at its end
	err    error         // why source cannot be read any further

	replaced    bool
	replacement []byte
}

// ended says that there is nothing more to be read from the source.
func (b *body) ended() bool { return b.whole || b.source == nil }

func (b *body) release() {
	if b.read != nil {
		b.read.release()
	}
	*b = body{}
}

// SetSource gives the request its body: the client's, of the announced length,
// -1 when that is unknown. For the proxy and for tests.
func (r *Request) SetSource(source io.ReadCloser, length int64) {
	r.body.release()
	r.body = body{source: source, length: length, whole: source == nil || length == 0}
}

// Body reads the whole body, at most limit bytes (0: as many as the
// node allows, which is never exceeded), and keeps it, so that it is read from the client only once. It is nil when the request
// has no body. The slice is valid to the end of the log phase, and it must not
// be changed: give SetBody another one. Once an answer is streamed the request no
// longer holds its body, so that long streams stay small: who needs it in later
// phases keeps the slice.
//
// A larger body is ErrBodyTooLarge; nothing of it is lost, and it can still go
// upstream. A body that the client does not deliver is a *ClientError.
func (r *Request) Body(limit int64) ([]byte, error) {
	if most := cmp.Or(r.limits.Body, MaxBufferedBody); limit <= 0 || limit > most {
		limit = most
	}
	b := &r.body
	if b.replaced {
		if int64(len(b.replacement)) > limit {
			return nil, ErrBodyTooLarge
		}
		return b.replacement, nil
	}
	if b.err != nil {
		return nil, b.err
	}
	if !b.ended() {
		if b.length > limit {
			return nil, ErrBodyTooLarge
		}
		if err := b.fill(limit); err != nil {
			b.err = clientError(r.ctx, err)
			return nil, b.err
		}
	}
	if b.read == nil {
		return nil, nil
	}
	if !b.ended() || int64(len(b.read.data)) > limit {
		return nil, ErrBodyTooLarge
	}
	return b.read.data, nil
}

// fill reads until the source ends or more than limit bytes are there.
func (b *body) fill(limit int64) error {
	if b.read == nil {
		b.read = newBuffer()
	}
	data := b.read.data
	if need := b.length; need > 0 && int64(cap(data)) <= need {
		// One byte more than announced, so that the read that finds the end needs
		// no growth.
		data = append(make([]byte, 0, need+1), data...)
	}
	defer func() { b.read.data = data }()
	for int64(len(data)) <= limit {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := b.source.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			b.whole = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clientError names the status that a failed read of the client's body has.
func clientError(ctx context.Context, err error) error {
	status := 400
	var known *ClientError
	switch {
	case errors.Is(err, ErrBodyTooLarge), errors.As(err, &known):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		status = 408
	case ctx != nil && ctx.Err() != nil:
		status = 499
	}
	return &ClientError{Status: status, Err: err}
}

// SetBody replaces the body that goes upstream and that later plugins read. The
// slice belongs to the request from then on. nil means no body.
func (r *Request) SetBody(data []byte) {
	r.body.replaced, r.body.replacement = true, data
}

// BodyLength is the number of bytes that will go upstream, or -1 when it is not
// known yet.
func (r *Request) BodyLength() int64 {
	switch b := &r.body; {
	case b.replaced:
		return int64(len(b.replacement))
	case b.source == nil:
		return 0
	case b.ended() && b.read == nil:
		return 0
	case b.ended():
		return int64(len(b.read.data))
	default:
		return b.length
	}
}

// Rewindable says that the body can be sent more than once: it is in memory or
// there is none.
func (r *Request) Rewindable() bool { return r.body.replaced || r.body.ended() }

// OpenBody gives the body as it goes upstream; nil when there is none. The
// caller closes it. When the body is not Rewindable it can be opened once.
// Errors of the client's connection are *ClientError. For the proxy.
func (r *Request) OpenBody() io.ReadCloser {
	b := &r.body
	if b.replaced {
		if len(b.replacement) == 0 {
			return nil
		}
		return io.NopCloser(bytes.NewReader(b.replacement))
	}
	if b.ended() && (b.read == nil || len(b.read.data) == 0) {
		return nil
	}
	out := &bodyReader{ctx: r.ctx, buffer: b.read}
	if b.read != nil {
		b.read.users.Add(1)
		out.head = b.read.data
	}
	if !b.ended() {
		out.rest = b.source
	}
	return out
}

// ReleaseBody lets go of the body's memory; for the proxy, once the upstream has
// answered and an answer begins that may last for long.
func (r *Request) ReleaseBody() {
	if r.body.read != nil {
		// Plugins may still hold the slice that Body gave them, so it is left to
		// the garbage collector and not given to another request.
		r.body.read = nil
	}
	r.body = body{replaced: true}
}

// bodyReader reads what is in memory, then the rest from the client.
type bodyReader struct {
	ctx    context.Context
	buffer *buffer
	head   []byte
	rest   io.ReadCloser
	mu     sync.Mutex // Close may come while Read waits
}

func (b *bodyReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	if len(b.head) > 0 {
		n := copy(p, b.head)
		b.head = b.head[n:]
		b.mu.Unlock()
		return n, nil
	}
	rest := b.rest
	b.mu.Unlock()
	if rest == nil {
		return 0, io.EOF
	}
	n, err := rest.Read(p)
	if err != nil && err != io.EOF {
		err = clientError(b.ctx, err)
	}
	return n, err
}

// Close gives the memory back. It does not close the client's body, which is the
// server's.
func (b *bodyReader) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.head, b.rest = nil, nil
	if b.buffer != nil {
		b.buffer.release()
		b.buffer = nil
	}
	return nil
}
