package plugin

import (
	"errors"
	"fmt"
	"net/http"
)

// Reject is an answer that a plugin gives in place of the upstream. It is an
// error so that a phase can return it; good news (a cached answer with status
// 200) travels the same way.
type Reject struct {
	// Status is the HTTP status.
	Status int
	// Message becomes the gateway's error body, in the format that the client
	// accepts and with the request's id. Empty: the standard text of the status.
	// Ignored when Body is not nil.
	Message string
	// Body, when it is not nil, is sent as it is, with ContentType as its type;
	// an empty ContentType sends no type.
	Body        []byte
	ContentType string
	// Header is added to the answer's headers. May be nil.
	Header http.Header
	// Cause is for the node's own log, never for the client. May be nil.
	Cause error
}

// Error says what the answer is, for the log.
func (r *Reject) Error() string {
	text := fmt.Sprintf("answered with status %d", r.Status)
	if r.Message != "" {
		text += ": " + r.Message
	}
	if r.Cause != nil {
		text += ": " + r.Cause.Error()
	}
	return text
}

// Unwrap gives the cause.
func (r *Reject) Unwrap() error { return r.Cause }

// JSON is a Reject whose body is the given JSON text, sent as Kong sends it:
// application/json; charset=utf-8.
func JSON(status int, body []byte) *Reject {
	return &Reject{Status: status, Body: body, ContentType: "application/json; charset=utf-8"}
}

// ErrBodyTooLarge says that a body is larger than the limit it was read with.
// Returned from a phase it becomes a 413.
var ErrBodyTooLarge = errors.New("body is larger than the limit")

// ClientError says that the client's body could not be read: it broke off, came
// too slowly or was framed wrongly. Returned from a phase it becomes the status
// that it names.
type ClientError struct {
	// Status is 400, 408 or 499.
	Status int
	Err    error
}

// Error says what went wrong.
func (e *ClientError) Error() string { return fmt.Sprintf("read request body: %v", e.Err) }

// Unwrap gives the error of the connection.
func (e *ClientError) Unwrap() error { return e.Err }
