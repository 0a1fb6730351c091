package proxy

import (
	"bytes"
	"html"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// answer is an answer that the gateway makes itself.
type answer struct {
	plugin.Reject
	// page says that the answer is an error page: a failure of the HTTP engine,
	// whose format is chosen a little differently.
	page bool
	// close ends the client's connection behind the answer.
	close bool
	// silent says that nobody is there to be answered.
	silent bool
	// tunnelled says that the connection has been used up already, and keep that
	// the answer is in the response already.
	tunnelled, keep bool
}

// fail is an answer in Kong's error format; an empty message means the standard
// text of the status.
func fail(status int, message string) *answer {
	return &answer{Reject: plugin.Reject{Status: status, Message: message}}
}

// page is an error page with the standard text of the status.
func page(status int) *answer {
	return &answer{Reject: plugin.Reject{Status: status}, page: true}
}

// gone stands for a client that left before it was answered.
func gone() *answer {
	return &answer{Reject: plugin.Reject{Status: statusClientGone, Body: []byte{}}, silent: true}
}

const (
	statusClientGone    = 499
	statusHeadTooLarge  = 494
	defaultErrorMessage = "The upstream server responded with "
)

// messages are the standard texts.
var messages = map[int]string{
	400: "Bad request",
	401: "Unauthorized",
	402: "Payment required",
	403: "Forbidden",
	404: "Not found",
	405: "Method not allowed",
	406: "Not acceptable",
	407: "Proxy authentication required",
	408: "Request timeout",
	409: "Conflict",
	410: "Gone",
	411: "Length required",
	412: "Precondition failed",
	413: "Payload too large",
	414: "URI too long",
	415: "Unsupported media type",
	416: "Range not satisfiable",
	417: "Expectation failed",
	418: "I'm a teapot",
	421: "Misdirected request",
	422: "Unprocessable entity",
	423: "Locked",
	424: "Failed dependency",
	425: "Too early",
	426: "Upgrade required",
	428: "Precondition required",
	429: "Too many requests",
	431: "Request header fields too large",
	451: "Unavailable for legal reasons",
	494: "Request header or cookie too large",
	500: "An unexpected error occurred",
	501: "Not implemented",
	502: "An invalid response was received from the upstream server",
	503: "The upstream server is currently unavailable",
	504: "The upstream server is timing out",
	505: "HTTP version not supported",
	506: "Variant also negotiates",
	507: "Insufficient storage",
	508: "Loop detected",
	510: "Not extended",
	511: "Network authentication required",
}

func standardMessage(status int) string {
	if text, ok := messages[status]; ok {
		return text
	}
	return defaultErrorMessage + strconv.Itoa(status)
}

// format is one of the formats of an error body.
type format uint8

const (
	formatJSON format = iota
	formatPlain
	formatHTML
	formatXML
)

var contentTypes = [...]string{
	formatJSON:  "application/json; charset=utf-8",
	formatPlain: "text/plain; charset=utf-8",
	formatHTML:  "text/html; charset=utf-8",
	formatXML:   "application/xml; charset=utf-8",
}

// formatOf gives the format of a media type without parameters.
func formatOf(mediaType string) (format, bool) {
	switch strings.ToLower(mediaType) {
	case "application/json", "application/*", "*/*":
		return formatJSON, true
	case "text/html":
		return formatHTML, true
	case "text/plain", "text/*":
		return formatPlain, true
	case "application/xml":
		return formatXML, true
	}
	return formatJSON, false
}

// negotiate picks the format of an error body: the best known entry of Accept by
// its q, the first one among equals. fallback stands in when there is no Accept.
func negotiate(accept []string, fallback string) format {
	if len(accept) == 0 {
		f, _ := formatOf(mediaTypeOf(fallback))
		return f
	}
	best, bestQ := formatJSON, -1.0
	for _, line := range accept {
		for entry := range strings.SplitSeq(line, ",") {
			mediaType, params, _ := strings.Cut(entry, ";")
			f, known := formatOf(strings.TrimSpace(mediaType))
			if !known {
				continue
			}
			if q := quality(params); q > bestQ && q > 0 {
				best, bestQ = f, q
			}
		}
	}
	return best
}

func mediaTypeOf(contentType string) string {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return mediaType
}

// quality is the q among the parameters of an Accept entry; 1 when there is none.
func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || q < 0 || q > 1 {
			return 0
		}
		return q
	}
	return 1
}

// errorBody writes an error in a format.
func errorBody(f format, message, id string) []byte {
	var b bytes.Buffer
	switch f {
	case formatPlain:
		b.WriteString(message)
		b.WriteString("\nrequest_id: ")
		b.WriteString(id)
		b.WriteString("\n")
	case formatXML:
		b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<error>\n  <message>")
		b.WriteString(html.EscapeString(message))
		b.WriteString("</message>\n  <requestid>")
		b.WriteString(id)
		b.WriteString("</requestid>\n</error>\n")
	case formatHTML:
		b.WriteString("<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n" +
			"  </head>\n  <body>\n    <h1>Error</h1>\n    <p>")
		b.WriteString(html.EscapeString(message))
		b.WriteString(".</p>\n    <p>request_id: ")
		b.WriteString(id)
		b.WriteString("</p>\n  </body>\n</html>\n")
	default:
		b.WriteString("{\n  \"message\":")
		b.Write(plugin.AppendString(b.AvailableBuffer(), message))
		b.WriteString(",\n  \"request_id\":\"")
		b.WriteString(id)
		b.WriteString("\"\n}")
	}
	return b.Bytes()
}

// setAnswer puts an answer of the gateway into the response.
func (x *exchange) setAnswer(a *answer) {
	r := &x.req
	x.closeBody()
	x.length = -1
	if r.Record.Answered.IsZero() {
		r.Record.Answered = now()
	}
	header := make(http.Header, len(a.Header)+4)
	for name, values := range a.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if a.close {
		header["Connection"] = []string{"close"}
	}
	r.Response = plugin.Response{Status: a.Status, Header: header}
	if x.isGRPC() && header["Grpc-Status"] == nil {
		x.setGRPC(a)
		return
	}
	if a.Body != nil {
		if a.ContentType != "" {
			header["Content-Type"] = []string{a.ContentType}
		}
		r.Response.SetBody(a.Body)
		return
	}
	message := a.Message
	if message == "" {
		message = standardMessage(a.Status)
	}
	if a.Status == statusHeadTooLarge {
		r.Response.Status = http.StatusBadRequest
	}
	fallback := contentTypes[formatJSON]
	if a.page {
		fallback = x.p.o.ErrorType
		if asked := r.Header.Get("Content-Type"); asked != "" {
			fallback = asked
		}
	}
	f := negotiate(r.Header["Accept"], fallback)
	header["Content-Type"] = []string{contentTypes[f]}
	r.Response.SetBody(errorBody(f, message, r.ID))
}

// isGRPC says that the client speaks gRPC.
func (x *exchange) isGRPC() bool {
	return strings.HasPrefix(x.req.Header.Get("Content-Type"), "application/grpc")
}

// setGRPC turns an answer into gRPC's form: no body, the status in headers.
func (x *exchange) setGRPC(a *answer) {
	status, name := grpcStatus(a.Status)
	message := a.Message
	if message == "" {
		message = name
	}
	h := x.req.Response.Header
	h["Content-Type"] = []string{"application/grpc"}
	h["Grpc-Status"] = []string{strconv.Itoa(status)}
	h["Grpc-Message"] = []string{message}
	x.req.Response.SetBody([]byte{})
}

// grpcStatus gives the gRPC status of an HTTP status, and its name.
func grpcStatus(status int) (int, string) {
	code := 2
	switch status {
	case 401:
		code = 16
	case 403:
		code = 7
	case 404:
		code = 5
	case 409:
		code = 6
	case 429:
		code = 8
	case 499:
		code = 1
	case 501:
		code = 12
	case 503:
		code = 14
	case 504:
		code = 4
	default:
		switch status / 100 {
		case 2:
			code = 0
		case 4:
			code = 3
		case 5:
			code = 13
		}
	}
	return code, grpcNames[code]
}

var grpcNames = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
	"PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
	"Internal", "Unavailable", "DataLoss", "Unauthenticated",
}
