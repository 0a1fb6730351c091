package echomodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// created is the moment at which every answer says it was made, in Unix
// seconds: answers depend on nothing but the request, so not on the clock.
const created = 1767225600

// modelID is the one entry of the model list. Requests may name any model.
const modelID = "echo"

const greeting = `This is Gibbon's echo model, a server that repeats what it is told, in the formats of many vendors.

  POST /v1/chat/completions   GET /v1/models
  POST /v1/completions        GET /_echo/requests   what arrived here lately
  POST /v1/embeddings
`

// call is one request with its body read, and how to treat it.
type call struct {
	*http.Request
	body      []byte
	behaviour behaviour
	history   *history
	args      []string // what the pattern of the path matched, unescaped
}

// digest is a short name for the request, the same whenever it comes again.
func (c *call) digest() string { return digest(c.URL.Path, string(c.body)) }

// endpoint answers one path and method. An *apiError that it returns before
// writing anything becomes the answer; after any other error the answer is
// incomplete and the connection is given up.
type endpoint func(w *faultWriter, c *call) error

var endpoints = map[string]map[string]endpoint{
	"/":                    {http.MethodGet: greet},
	"/v1/models":           {http.MethodGet: listModels},
	"/v1/chat/completions": {http.MethodPost: chat},
	"/v1/completions":      {http.MethodPost: complete},
	"/v1/embeddings":       {http.MethodPost: embed},
	"/_echo/requests":      {http.MethodGet: showRequests, http.MethodDelete: clearRequests},
}

// Handler serves all paths. It can be used without Run.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	s.running.RLock()
	defer s.running.RUnlock()
	if s.shut {
		panic(http.ErrAbortHandler)
	}
	err := s.serve(w, r)
	switch {
	case err == nil, err == errReset:
	case errors.Is(err, errReset):
		s.log.Warn("echo model: a reset may have looked like a close", "path", r.URL.Path, "error", err)
	default:
		s.log.Debug("echo model: gave up an answer", "path", r.URL.Path, "error", err)
		// Returning here would end the answer as if it were complete. This
		// panic is net/http's way to close the connection instead.
		panic(http.ErrAbortHandler)
	}
}

// serve answers r. An error means that the answer is not complete.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	c := &call{Request: r, history: s.history}
	var refused *apiError
	c.body, refused = readBody(w, r)
	inspecting := strings.HasPrefix(r.URL.Path, "/_echo/")
	if !inspecting {
		s.history.add(r, c.body, refused == nil)
	}
	w.Header().Set("X-Request-Id", "req_"+c.digest())

	at, known := find(r)
	c.args = at.args
	// Faults are a model's, so only its own paths have them.
	if known && at.model || strings.HasPrefix(r.URL.Path, "/v1/") {
		b, err := s.defaults.override(r.Header)
		if err != nil && refused == nil {
			refused = invalid("", "%v", err)
		}
		c.behaviour = b
	}
	fw := newFaultWriter(w, r, s.stopping, c.behaviour)
	if err := sleep(ctx, c.behaviour.latency); err != nil {
		return err
	}
	if err := fw.begin(); err != nil {
		return err
	}
	if refused == nil && c.behaviour.status != 0 {
		refused = ordered(c.behaviour.status)
		if s := refused.status; s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
	}
	if refused != nil {
		return at.refuse(fw, refused)
	}
	err := at.endpoint(w, r)(fw, c)
	if refused, ok := errors.AsType[*apiError](err); ok {
		return at.refuse(fw, refused)
	}
	return err
}

// place is what stands at a path.
type place struct {
	methods map[string]endpoint
	model   bool // one of the model's own paths
	args    []string
	fail    failure
}

// find gives what stands at the path of a request; known is false when nothing
// does.
func find(r *http.Request) (at place, known bool) {
	if methods, ok := endpoints[r.URL.Path]; ok {
		return place{methods: methods, model: strings.HasPrefix(r.URL.Path, "/v1/")}, true
	}
	path := r.URL.EscapedPath()
	for i := range natives {
		n := &natives[i]
		found := n.path.FindStringSubmatch(path)
		if found == nil {
			continue
		}
		for j, arg := range found {
			if plain, err := url.PathUnescape(arg); err == nil {
				found[j] = plain
			}
		}
		return place{methods: n.methods, model: true, args: found, fail: n.fail}, true
	}
	return place{}, false
}

// refuse writes an error in the form of the vendor whose path it is.
func (p *place) refuse(w *faultWriter, e *apiError) error {
	if p.fail == nil {
		return writeJSON(w, e.status, errorBody{e})
	}
	return p.fail(w, e)
}

// endpoint is the one for r, or one that refuses.
func (p *place) endpoint(w http.ResponseWriter, r *http.Request) endpoint {
	methods := p.methods
	if methods == nil {
		return refuse(invalid("", "there is no %s %s here", r.Method, r.URL.Path).
			withStatus(http.StatusNotFound, "unknown_url"))
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves the body out
	}
	found, ok := methods[method]
	if !ok {
		var allowed []string
		for method := range methods {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return refuse(invalid("", "%s does not take %s, but %s", r.URL.Path, r.Method, strings.Join(allowed, " or ")).
			withStatus(http.StatusMethodNotAllowed, "method_not_supported"))
	}
	return found
}

func refuse(e *apiError) endpoint {
	return func(*faultWriter, *call) error { return e }
}

// readBody reads the whole body, at most MaxBody of it.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, invalid("", "the request body is over %d bytes", MaxBody).
			withStatus(http.StatusRequestEntityTooLarge, "")
	}
	if err != nil {
		return nil, invalid("", "the request body broke off")
	}
	return body, nil
}

// parse reads the body of a call to the model into v. Text that is not UTF-8
// is refused, because the decoder would quietly replace parts of it.
func (c *call) parse(v any) error {
	if !utf8.Valid(c.body) {
		return invalid("", "the request body is not UTF-8")
	}
	if refused := decode(c.body, v); refused != nil {
		return refused
	}
	return nil
}

// pace starts now.
func (c *call) pace() pace {
	return pace{start: time.Now(), tokensPerSecond: c.behaviour.tokensPerSecond}
}

// marshal is JSON without the escapes that are only good inside HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// writeJSON sends v and a newline as the whole answer.
func writeJSON(w *faultWriter, status int, v any) error {
	body, err := marshal(v)
	if err != nil {
		return err
	}
	return writeBody(w, status, "application/json", append(body, '\n'))
}

func writeBody(w *faultWriter, status int, contentType string, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

func greet(w *faultWriter, _ *call) error {
	return writeBody(w, http.StatusOK, "text/plain; charset=utf-8", []byte(greeting))
}

type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

type modelList struct {
	Object string  `json:"object"`
	Data   []model `json:"data"`
}

func listModels(w *faultWriter, _ *call) error {
	return writeJSON(w, http.StatusOK, modelList{
		Object: "list",
		Data:   []model{{ID: modelID, Object: "model", Created: created, OwnedBy: "gibbon"}},
	})
}

// local refuses callers from other machines: recorded requests hold keys.
func local(c *call) error {
	// Whoever has no address with a port came over a listener in this process.
	addr, err := netip.ParseAddrPort(c.RemoteAddr)
	if err != nil || addr.Addr().Unmap().IsLoopback() {
		return nil
	}
	return invalid("", "%s answers callers on this machine only", c.URL.Path).
		withStatus(http.StatusForbidden, "")
}

func showRequests(w *faultWriter, c *call) error {
	if err := local(c); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, historyBody{Requests: c.history.list()})
}

func clearRequests(w *faultWriter, c *call) error {
	if err := local(c); err != nil {
		return err
	}
	c.history.clear()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// stream writes the pieces of an answer, flushed one by one. Sent with send they
// are server-sent events as OpenAI writes them: one data line and an empty line.
type stream struct {
	w    *faultWriter
	call *call
}

func newStream(w *faultWriter, c *call) *stream {
	return newStreamOf(w, c, "text/event-stream; charset=utf-8")
}

func newStreamOf(w *faultWriter, c *call, contentType string) *stream {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, call: c}
}

// send writes one event, unless the client has left.
func (s *stream) send(v any) error {
	data, err := marshal(v)
	if err != nil {
		return err
	}
	return s.sendLine(data)
}

// end writes the end mark.
func (s *stream) end() error { return s.sendLine([]byte("[DONE]")) }

// sendEvent writes one event with a name, as Anthropic and others do.
func (s *stream) sendEvent(name string, v any) error {
	data, err := marshal(v)
	if err != nil {
		return err
	}
	return s.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data))
}

func (s *stream) sendLine(data []byte) error { return s.write(fmt.Appendf(nil, "data: %s\n\n", data)) }

// write sends bytes at once, unless the client has left.
func (s *stream) write(data []byte) error {
	if err := s.call.Context().Err(); err != nil {
		return err
	}
	if _, err := s.w.Write(data); err != nil {
		return err
	}
	return s.w.flush()
}
