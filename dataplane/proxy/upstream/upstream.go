// Package upstream owns the way from the gateway to the servers behind it: one
// narrow interface to send a request and read the answer, the connection pools
// behind it, and the step that turns a host name into an address. What to send,
// when to try again and what to tell the client is decided by the proxy.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"
)

// Client sends requests. It never follows a redirect, never decodes a body and
// never adds a header of its own beyond what framing needs. It is safe for use
// by many goroutines.
type Client interface {
	// Do sends the request and returns when the head of the answer is there.
	// The context bounds the call and the reading of the body. Do closes the
	// request's body, possibly after it has returned. An error is a
	// *ConnectError when no connection came about, so that nothing was sent.
	Do(ctx context.Context, r *Request) (*Response, error)
}

// Request is one request as it goes on the wire.
type Request struct {
	Method string
	Scheme string // http or https
	// Address is what is dialled; Host is the Host header.
	Address netip.AddrPort
	Host    string
	// ServerName is the name that TLS asks for and, where certificates are
	// verified, checks. Empty: the address.
	ServerName string
	// Target is the escaped path with the query, starting with a slash.
	Target string
	// Header is only read. A name with no values is not sent.
	Header http.Header
	// Body is nil when there is none. Length is its length, -1 when unknown.
	Body   io.ReadCloser
	Length int64
	// Read bounds the wait for the head of the answer and for each further piece
	// of it, counted from the end of the request and from the piece before. 0: only
	// the context bounds them. Transport leaves it to the context.
	Read time.Duration
	// Sent, when it is not nil, is called when the whole request has been
	// written; possibly more than once, and possibly after Do has returned.
	Sent func()
}

// Response is an answer. After status 101 Body is an io.ReadWriteCloser that
// holds the connection.
type Response struct {
	Status int
	Header http.Header
	// Body must be closed. It is never nil.
	Body io.ReadCloser
	// Length is the body's length, -1 when unknown.
	Length int64
}

// ConnectError says that no connection to the upstream came about: refused,
// timed out, or the TLS handshake failed.
type ConnectError struct {
	Address string
	// Timeout says that the time for connecting was over.
	Timeout bool
	Err     error
}

// Error names the address and the reason.
func (e *ConnectError) Error() string { return fmt.Sprintf("connect to %s: %v", e.Address, e.Err) }

// Unwrap gives the reason.
func (e *ConnectError) Unwrap() error { return e.Err }

// Errors of the step from a host name to an address.
var (
	// ErrUnknownHost says that the name does not exist or has no address.
	ErrUnknownHost = errors.New("name resolution failed")
	// ErrNoPeer says that the host is an upstream entity without a usable target.
	ErrNoPeer = errors.New("failure to get a peer from the ring-balancer")
)
