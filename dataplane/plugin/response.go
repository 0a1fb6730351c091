package plugin

import "net/http"

// Response is the answer as filters see it: first what came from the upstream
// or from the gateway, then what they make of it.
type Response struct {
	// Status and Header are what will be sent. Hop-by-hop headers are gone; the
	// gateway's own (Via, X-Kong-*) are added after the header phase.
	Status int
	Header http.Header
	// FromUpstream tells an upstream's answer from one of the gateway or of a
	// plugin.
	FromUpstream bool
	// Sent says that the head has gone to the client.
	Sent bool

	body []byte
	held bool
}

// Body is the whole body when the response is held, and whether it is. The
// slice is the caller's to change in place, but only SetBody changes its length.
func (r *Response) Body() (body []byte, held bool) { return r.body, r.held }

// SetBody replaces the body of a response whose head has not been sent. The
// gateway sets Content-Length to fit; a Content-Encoding that no longer holds is
// the caller's to remove. In the header phase of a response that is not held the
// rest of the upstream's body is not read.
func (r *Response) SetBody(body []byte) { r.body, r.held = body, true }
