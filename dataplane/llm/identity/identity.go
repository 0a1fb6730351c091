// Package identity proves who the gateway is to the clouds that run models: it
// signs requests for AWS, and gets tokens for Google Cloud and Azure.
package identity

import (
	"context"
	"io"
	"net/http"
)

// Outgoing is a request that is ready to be sent but for the proof.
type Outgoing struct {
	Method, Scheme string
	// Host is the host with its port where that is not the scheme's own.
	Host string
	// Path is escaped, as it goes on the wire; Query is raw.
	Path, Query string
	// Header is added to, and what a caller may have forged is taken out of it.
	Header http.Header
	// Body is all of the body.
	Body []byte
}

// Source proves the gateway's identity to one cloud. It is safe for use by many
// requests at a time: it keeps tokens until shortly before they expire, and asks
// for a new one once, however many requests wait for it.
type Source interface {
	// Authorize adds the proof to a request. Its error holds no secret.
	Authorize(ctx context.Context, out *Outgoing) error
	io.Closer
}
