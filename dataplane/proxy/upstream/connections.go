package upstream

import (
	"context"
	"errors"
	"net/http"
)

// Connections is the Client of a service: requests over plain HTTP/1.1 take the
// Lean one, all else takes Transport. That is https, since over TLS an idle
// connection cannot be looked at without a reader and since providers that are
// reached over TLS are to be spoken to in HTTP/2; changes of protocol; requests
// that want trailers, as gRPC does; and hosts that are not ASCII and have to be
// translated. Close it when its last user is gone.
type Connections struct {
	lean      *Lean
	transport *Transport
}

// New makes a client that dials by itself.
func New(c Config) *Connections {
	return &Connections{lean: NewLean(c), transport: NewTransport(c)}
}

// Close closes the idle connections. Those in use close with their request.
func (c *Connections) Close() error {
	return errors.Join(c.lean.Close(), c.transport.Close())
}

// Do implements Client.
func (c *Connections) Do(ctx context.Context, r *Request) (*Response, error) {
	if isPlain(r) {
		return c.lean.Do(ctx, r)
	}
	return c.transport.Do(ctx, r)
}

// isPlain says whether Lean can carry a request.
func isPlain(r *Request) bool {
	if r.Scheme != "http" || r.Method == http.MethodConnect ||
		len(r.Header["Upgrade"]) > 0 || len(r.Header["Te"]) > 0 {
		return false
	}
	for i := range len(r.Host) {
		if r.Host[i] >= 0x80 {
			return false
		}
	}
	return true
}
