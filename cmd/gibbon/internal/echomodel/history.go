package echomodel

import (
	"encoding/base64"
	"net/http"
	"sync"
	"unicode/utf8"
)

const (
	historyRequests = 100
	historyBytes    = 64 << 20
)

// Request is what GET /_echo/requests tells about one request, exactly as it
// arrived.
type Request struct {
	// Number counts requests from 1 since the server started.
	Number int64  `json:"number"`
	Method string `json:"method"`
	// Path is the request target with its query, not decoded.
	Path string `json:"path"`
	Host string `json:"host"`
	// Headers has all values of all headers but Host, names in Go's
	// canonical spelling.
	Headers http.Header `json:"headers"`
	// Body is the body byte for byte. One that is not UTF-8 cannot stand in
	// a JSON string: then Body is empty and BodyBase64 has it.
	Body       string `json:"body"`
	BodyBase64 string `json:"body_base64,omitempty"`
	// Truncated is true when the body was over MaxBody or broke off. It is
	// then not kept.
	Truncated bool `json:"truncated,omitempty"`
}

// historyBody is the answer of GET /_echo/requests, oldest request first.
type historyBody struct {
	Requests []Request `json:"requests"`
}

// size is roughly the memory that r holds, in bytes.
func (r *Request) size() int {
	n := len(r.Path) + len(r.Host) + len(r.Body) + len(r.BodyBase64)
	for name, values := range r.Headers {
		n += len(name)
		for _, value := range values {
			n += len(value)
		}
	}
	return n
}

// history remembers the last requests, bounded in number and in bytes. The
// newest one is always kept.
type history struct {
	mu          sync.Mutex
	maxRequests int
	maxBytes    int
	requests    []Request
	bytes       int
	last        int64
}

func newHistory(maxRequests, maxBytes int) *history {
	return &history{maxRequests: maxRequests, maxBytes: maxBytes}
}

// add remembers r with this body; whole is false when body is not all of it.
func (h *history) add(r *http.Request, body []byte, whole bool) {
	entry := Request{
		Method:    r.Method,
		Path:      r.RequestURI,
		Host:      r.Host,
		Headers:   r.Header.Clone(),
		Truncated: !whole,
	}
	switch {
	case !whole:
	case utf8.Valid(body):
		entry.Body = string(body)
	default:
		entry.BodyBase64 = base64.StdEncoding.EncodeToString(body)
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	entry.Number = h.last
	h.requests = append(h.requests, entry)
	h.bytes += entry.size()
	drop := 0
	for len(h.requests)-drop > 1 && (len(h.requests)-drop > h.maxRequests || h.bytes > h.maxBytes) {
		h.bytes -= h.requests[drop].size()
		h.requests[drop] = Request{} // let go of the body now, not at the next append
		drop++
	}
	h.requests = h.requests[drop:]
}

// list returns what is remembered, oldest first, never nil.
func (h *history) list() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Request{}, h.requests...)
}

// clear forgets all requests; numbers go on rising.
func (h *history) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests, h.bytes = nil, 0
}
