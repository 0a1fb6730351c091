package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
	"github.com/gibbon-gateway/gibbon/internal/listener"
	"github.com/gibbon-gateway/gibbon/schema"
)

// defaultMaxBody is Kong's limit for a request body, in bytes.
const defaultMaxBody = 10 << 20

// maxArguments is Kong's limit for arguments of a query.
const maxArguments = 1000

// bodyIdle is how long a body may stand still, and writeStall how long a client
// may take for each piece of an answer.
const (
	bodyIdle   = 60 * time.Second
	writeStall = 30 * time.Second
	writePiece = 64 << 10
)

// reply is an answer before it is written.
type reply struct {
	status int
	header http.Header
	body   []byte
	isJSON bool
}

// serveREST serves one REST request. Whatever goes wrong, it costs no more than
// this request.
func (s *Server) serveREST(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	h := w.Header()
	s.commonHeaders(h, r)
	out := &reply{header: h}
	at := place{template: "-"}
	func() {
		defer func() {
			if p := recover(); p != nil {
				s.cfg.Log.ErrorContext(r.Context(), "admin request panicked", "panic", p, "stack", string(debug.Stack()))
				out.fail(unexpected(nil))
			}
		}()
		var err error
		if r, err = s.admitted(r); err == nil {
			err = s.handle(w, r, out, &at)
		}
		if err != nil {
			out.fail(asError(err))
		}
	}()
	s.write(w, r, out, start)
	s.cfg.Log.InfoContext(r.Context(), "admin", "protocol", "rest", "method", r.Method, "path", at.template,
		"status", out.status, "bytes", len(out.body), "client", r.RemoteAddr, "actor", actorOf(r.Context()), "latency", time.Since(start))
}

// commonHeaders sets what every answer has.
func (s *Server) commonHeaders(h http.Header, r *http.Request) {
	if !s.cfg.HideServer {
		h.Set("Server", buildinfo.ServerToken)
	}
	h.Set("Access-Control-Allow-Origin", s.allowOrigin(r))
	h.Set("Access-Control-Allow-Credentials", "true")
	// No answer is a page, whatever a browser thinks of it.
	h.Set("X-Content-Type-Options", "nosniff")
}

// write sends an answer.
func (s *Server) write(w http.ResponseWriter, r *http.Request, out *reply, start time.Time) {
	h := out.header
	if !s.cfg.HideLatency {
		h.Set("X-Kong-Admin-Latency", strconv.FormatInt(time.Since(start).Milliseconds(), 10))
	}
	if out.status == 0 {
		out.status = http.StatusOK
	}
	if out.status == http.StatusNoContent || out.status == http.StatusNotModified {
		out.body = nil
	} else if out.isJSON {
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	h.Set("Content-Length", strconv.Itoa(len(out.body)))
	if out.status == http.StatusNoContent || out.status == http.StatusNotModified {
		// net/http forbids the header here, where Kong sends a 0.
		h.Del("Content-Length")
	}
	w.WriteHeader(out.status)
	if r.Method != http.MethodHead && len(out.body) > 0 {
		writeBody(w, out.body)
	}
}

// writeBody sends a body piece by piece, so that a client that takes nothing
// does not hold the connection for ever. What is sent is complete or cut off:
// Content-Length tells which.
func writeBody(w http.ResponseWriter, body []byte) {
	controller := http.NewResponseController(w)
	for piece := range slices.Chunk(body, writePiece) {
		if err := controller.SetWriteDeadline(time.Now().Add(writeStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return
		}
		if _, err := w.Write(piece); err != nil {
			return // the client is gone
		}
	}
	// The rest leaves before the deadline is taken back.
	if err := controller.Flush(); err != nil {
		return
	}
	_ = controller.SetWriteDeadline(time.Time{})
}

// fail makes an answer of an error.
func (out *reply) fail(e *Error) {
	out.status, out.body, out.isJSON = e.Status, nil, false
	if e.Status == http.StatusUnauthorized {
		out.header.Set("WWW-Authenticate", "Bearer")
	}
	if e.RetryAfter > 0 {
		out.header.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	if e.Plain {
		out.header.Set("Content-Type", "text/plain; charset=utf-8")
		out.body = []byte(e.Message)
	} else if body := e.body(); !body.IsAbsent() {
		out.body, out.isJSON = body.AppendJSON(nil), true
	}
}

// answerError answers with an error outside of serveREST.
func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	out := &reply{header: w.Header()}
	s.commonHeaders(out.header, r)
	out.fail(asError(err))
	s.write(w, r, out, time.Now())
}

// Refuse answers a request whose head the listener refused. It is for
// listener.Config.
func (s *Server) Refuse(w http.ResponseWriter, r *http.Request, why listener.Reason) {
	err := plain(why.Status, http.StatusText(why.Status))
	if why.Status == http.StatusMethodNotAllowed {
		err = errMethod() // CONNECT and TRACE are methods that no path has
	}
	s.answerError(w, r, err)
	s.cfg.Log.InfoContext(r.Context(), "admin", "protocol", "rest", "status", why.Status, "client", r.RemoteAddr,
		"refused", why.Text)
}

// handle brings a request into the form that the mux serves rightly, in the
// order in which Kong looks at a request.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, out *reply, at *place) error {
	writes := r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
	if writes {
		if r.ContentLength > s.cfg.MaxBody {
			return errTooLarge()
		}
		if err := checkContentType(r, strings.TrimSuffix(r.URL.Path, "/") == configPath); err != nil {
			return err
		}
	}
	segments, err := segmentsOf(r.URL)
	if err != nil {
		return err
	}
	found, ok := s.paths.find(segments)
	workspace := ""
	if !ok && len(segments) > 1 && !s.paths.reserved(segments[0]) {
		if found, ok = s.paths.find(segments[1:]); ok {
			workspace, segments = segments[0], segments[1:]
			found.template = "/{workspace}" + found.template
		}
	}
	if !ok {
		return errNotFound()
	}
	// Who may not see entities learns nothing of which workspaces there are.
	if who, _ := callerOf(r.Context()); permission(who.role) >= read {
		if err := s.known(r.Context(), workspace); err != nil {
			return err
		}
	}
	*at = found
	if r.Method == http.MethodOptions {
		allow := strings.Join(found.methods, ", ")
		out.status = http.StatusNoContent
		out.header.Set("Allow", allow)
		out.header.Set("Access-Control-Allow-Methods", allow)
		out.header.Set("Access-Control-Allow-Headers", allowHeaders(r))
		return nil
	}
	if !slices.Contains(found.methods, r.Method) {
		return errMethod()
	}
	// The link to the next page does without the workspace, as Kong's.
	c := &carrier{path: "/" + joinEscaped(segments), workspace: workspace}
	if c.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	if writes {
		if err := s.readBody(w, r, c); err != nil {
			return err
		}
	}
	if found.singular {
		segments = append(segments, fieldRef)
	}
	return s.dispatch(r, segments, c, out)
}

// segmentsOf takes a path apart and decodes it, once. One slash at the end
// means nothing.
func segmentsOf(u *url.URL) ([]string, error) {
	raw := strings.TrimPrefix(u.EscapedPath(), "/")
	raw = strings.TrimSuffix(raw, "/")
	if raw == "" {
		if len(u.EscapedPath()) > 1 {
			return nil, errNotFound() // "//"
		}
		return nil, nil
	}
	segments := strings.Split(raw, "/")
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		if err != nil || !utf8.ValidString(text) {
			return nil, badRequest("Bad request: the path is not valid UTF-8")
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, badRequest("Bad request: the path has a control character")
		}
		if text == "" {
			return nil, errNotFound()
		}
		segments[i] = text
	}
	return segments, nil
}

func joinEscaped(segments []string) string {
	escaped := make([]string, len(segments))
	for i, s := range segments {
		escaped[i] = url.PathEscape(s)
	}
	return strings.Join(escaped, "/")
}

// parseQuery reads the arguments. What is no argument is left out, as unknown
// arguments are.
func parseQuery(raw string) (url.Values, error) {
	query := url.Values{}
	n := 0
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		if n++; n > maxArguments {
			return nil, errTooManyArguments()
		}
		name, value, _ := strings.Cut(part, "=")
		name, nameErr := url.QueryUnescape(name)
		value, valueErr := url.QueryUnescape(value)
		if nameErr == nil && valueErr == nil {
			query[name] = append(query[name], value)
		}
	}
	return query, nil
}

// checkContentType tells whether a body can be read at all. YAML can be read on
// one path only.
func checkContentType(r *http.Request, yaml bool) error {
	types := r.Header.Values("Content-Type")
	switch {
	case len(types) > 1:
		return errContentTypes()
	case len(types) == 0 || types[0] == "":
		if r.ContentLength != 0 {
			return errContentType()
		}
		return nil
	}
	if yaml && isYAML(types[0]) {
		return nil
	}
	for _, known := range []string{jsonType, multipartType, formType} {
		if strings.HasPrefix(types[0], known) {
			return nil
		}
	}
	return errContentType()
}

const (
	jsonType      = "application/json"
	formType      = "application/x-www-form-urlencoded"
	multipartType = "multipart/form-data"
)

// readBody reads the whole body. JSON is parsed here; a form waits for the
// schema that it is coerced by.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, c *carrier) error {
	controller := http.NewResponseController(w)
	body, err := io.ReadAll(http.MaxBytesReader(w, &patient{r.Body, controller}, s.cfg.MaxBody))
	if err == nil {
		// Otherwise the connection, which is watched for its end, would seem to
		// end when the deadline passes.
		if err = controller.SetReadDeadline(time.Time{}); errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	if err != nil {
		var oversized *http.MaxBytesError
		if errors.As(err, &oversized) {
			return errTooLarge()
		}
		return badRequest("Bad request: the body cannot be read")
	}
	c.contentType = r.Header.Get("Content-Type")
	if !strings.HasPrefix(c.contentType, jsonType) {
		c.form = body
		return nil
	}
	if c.body, err = schema.ParseObject(body); err != nil {
		return fmt.Errorf("parse the body: %w", err)
	}
	return nil
}

// patient gives each read of a body its own deadline.
type patient struct {
	body       io.Reader
	controller *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	// A writer without deadlines is a test's; it needs none.
	if err := p.controller.SetReadDeadline(time.Now().Add(bodyIdle)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.body.Read(b)
}

func (p *patient) Close() error { return nil }

// dispatch sends a request through the mux. The mux sees a request of our own
// making: no header, no query and no body of the client's can bind to anything.
func (s *Server) dispatch(r *http.Request, segments []string, c *carrier, out *reply) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path := "/" + joinEscaped(segments)
	inner := (&http.Request{
		Method: method,
		URL:    &url.URL{Path: "/" + strings.Join(segments, "/"), RawPath: path},
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Host: r.Host,
	}).WithContext(withCarrier(r.Context(), c))
	rec := &recorder{header: http.Header{}}
	s.mux.ServeHTTP(rec, inner)
	if rec.failed != nil {
		return rec.failed
	}
	out.status, out.body, out.isJSON = c.status, rec.body, true
	if c.deprecated {
		out.header.Set("Deprecation", "true")
	}
	return nil
}

// recorder takes what the mux writes. Status and headers are the edge's own
// business.
type recorder struct {
	header http.Header
	body   []byte
	failed error
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(int) {}

func (r *recorder) Write(b []byte) (int, error) {
	if r.body == nil {
		r.body = b // the marshaler gives its bytes away
		return len(b), nil
	}
	r.body = append(r.body, b...)
	return len(b), nil
}

// newMux returns the grpc-gateway mux without the conveniences that would let
// a client say one thing twice.
func (s *Server) newMux() *runtime.ServeMux {
	none := func(string) (string, bool) { return "", false }
	return runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, carriedMarshaler{&runtime.JSONPb{}}),
		runtime.WithForwardResponseRewriter(func(ctx context.Context, m proto.Message) (any, error) {
			if c := carried(ctx); c != nil && c.answer != nil {
				return json.RawMessage(c.answer), nil
			}
			return plainJSON(m)
		}),
		runtime.WithErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
			w.(*recorder).failed = err
		}),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, code int) {
			w.(*recorder).failed = plain(code, http.StatusText(code))
		}),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptSlash),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithIncomingHeaderMatcher(none),
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithOutgoingTrailerMatcher(none),
	)
}

// plainJSON writes a message that nothing was carried for, in the names of its
// proto and without the blanks that protojson puts in at random.
func plainJSON(m proto.Message) (any, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	d, err := schema.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("write the answer: %w", unparsable{err})
	}
	return json.RawMessage(d.AppendJSON(nil)), nil
}

// carriedMarshaler writes carried bytes as they are.
type carriedMarshaler struct{ *runtime.JSONPb }

// Marshal implements runtime.Marshaler.
func (m carriedMarshaler) Marshal(v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok {
		return raw, nil
	}
	return m.JSONPb.Marshal(v)
}
