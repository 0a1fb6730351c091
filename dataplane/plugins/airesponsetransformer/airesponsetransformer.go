// Package airesponsetransformer has a model rewrite the body of an answer before
// the client gets it. As in Kong the plugin asks the upstream itself, in the
// access phase, so that what it answers with is final.
package airesponsetransformer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/rewriter"
)

// Plugin is ai-response-transformer's entry in the list of plugins.
var Plugin = plugin.Of("ai-response-transformer", New)

var (
	_ plugin.Accessor = (*Handler)(nil)
	_ plugin.Closer   = (*Handler)(nil)
)

// Handler is one configured instance.
type Handler struct {
	env          plugin.Env
	rewriter     *rewriter.Rewriter
	limit        int64
	instructions bool // the model says what to answer
}

// New readies a handler for one configured instance.
func New(cfg *pluginpb.AiResponseTransformer, env plugin.Env) (*Handler, error) {
	w, err := rewriter.New(cfg, env)
	if err != nil {
		return nil, err
	}
	h := &Handler{env: env, rewriter: w, limit: 1 << 20, instructions: cfg.GetParseLlmResponseJsonInstructions()}
	if cfg.MaxRequestBodySize != nil {
		h.limit = cfg.GetMaxRequestBodySize()
	}
	return h, nil
}

// Close lets go of the handler's connections.
func (h *Handler) Close() error { return h.rewriter.Close() }

// Access asks the upstream and the model, and ends the request.
func (h *Handler) Access(r *plugin.Request) error {
	body, err := r.Body(h.limit)
	if err != nil {
		return err
	}
	answer, text, err := h.ask(r, body)
	if err != nil {
		return err
	}
	said, err := h.rewriter.Rewrite(r, text)
	if err != nil {
		return err
	}
	end := &plugin.Reject{Status: answer.StatusCode, Header: passed(answer.Header), Body: []byte(said)}
	if h.instructions {
		if err := follow(end, said); err != nil {
			return rewriter.Refuse(http.StatusInternalServerError, "failed to parse JSON response instructions from AI backend: "+err.Error())
		}
	}
	if kind := end.Header.Get("Content-Type"); kind != "" {
		end.ContentType = kind
		end.Header.Del("Content-Type")
	}
	return end
}

// ask sends the request to the upstream that was chosen for it.
func (h *Handler) ask(r *plugin.Request, body []byte) (*http.Response, []byte, error) {
	u := &r.Upstream
	plain, err := url.PathUnescape(u.Path)
	if err != nil {
		plain = u.Path
	}
	host := net.JoinHostPort(u.Host, strconv.Itoa(u.Port))
	if u.Scheme == "https" && u.Port == 443 || u.Scheme == "http" && u.Port == 80 {
		host = u.Host
	}
	to := url.URL{Scheme: u.Scheme, Host: host, Path: plain, RawPath: u.Path, RawQuery: u.Query}
	ctx, cancel := context.WithTimeout(r.Context(), h.rewriter.Timeout())
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, r.Method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, failed("subrequest failed: ", errors.New("the address cannot be called"))
	}
	out.Header = r.Header.Clone()
	for _, name := range []string{"Transfer-Encoding", "Content-Length", "Connection", "Expect", "Upgrade"} {
		delete(out.Header, name)
	}
	// The body is read here and rewritten, so it need not be packed.
	out.Header["Accept-Encoding"] = []string{"identity"}
	if _, named := out.Header["User-Agent"]; !named {
		out.Header["User-Agent"] = nil // or the transport would send a name of its own
	}
	if u.HostHeader != "" {
		out.Host = u.HostHeader
	}
	response, err := h.env.HTTP.RoundTrip(out)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return nil, nil, failed("failed to connect to upstream: ", err)
		}
		return nil, nil, failed("subrequest failed: ", err)
	}
	text, err := rewriter.ReadBody(response, h.env.Limits.Response)
	if err != nil {
		return nil, nil, failed("subrequest failed: ", err)
	}
	return response, text, nil
}

func failed(words string, err error) error {
	reject := rewriter.Refuse(http.StatusInternalServerError, words+rewriter.Plain(err))
	reject.Cause = err
	return reject
}

// passed are the headers of an upstream's answer that still hold when its body is
// another one.
func passed(header http.Header) http.Header {
	header = header.Clone()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive", "Etag", "Trailer"} {
		header.Del(name)
	}
	return header
}

var instructionNames = llm.NewLenientNames("headers", "body", "status")

const (
	instructionHeaders = iota
	instructionBody
	instructionStatus
)

// follow makes the answer what a model's instructions say: headers that go over
// the upstream's, a body, without which all of the instructions are the body, and
// a status, without which it is 200.
func follow(end *plugin.Reject, text string) error {
	var instructions llm.Object
	if err := instructions.Read(escapeBreaks(text), instructionNames); err != nil {
		return err
	}
	end.Status = http.StatusOK
	if instructions.Has(instructionStatus) {
		digits := string(instructions.Value(instructionStatus))
		if quoted, ok := instructions.Text(instructionStatus); ok {
			digits = quoted
		}
		status, err := strconv.Atoi(digits)
		if err != nil || status < 200 || status > 599 {
			return errors.New("status is no HTTP status")
		}
		end.Status = status
	}
	switch kind := instructions.Kind(instructionBody); kind {
	case 0, 'n':
		end.Body = []byte(text)
	case '"':
		body, _ := instructions.Text(instructionBody)
		end.Body = []byte(body)
	default:
		end.Body = instructions.Value(instructionBody)
	}
	if kind := instructions.Kind(instructionHeaders); kind != '{' {
		if kind == 0 || kind == 'n' || string(instructions.Value(instructionHeaders)) == "[]" {
			return nil
		}
		return errors.New("headers is no object")
	}
	var bad error
	llm.Members(instructions.Value(instructionHeaders), func(name string, value []byte) bool {
		text := string(value)
		if value[0] == '"' {
			text = llm.Unquote(value)
		}
		switch {
		case !isHeader(name, text):
			bad = errors.New("headers holds what is no header")
			return false
		case framing[http.CanonicalHeaderKey(name)]:
			// The gateway frames the answer itself.
		case value[0] == 'n':
			end.Header.Del(name)
		default:
			end.Header.Set(name, text)
		}
		return true
	})
	return bad
}

// escapeBreaks escapes the control characters inside the strings of a JSON text:
// models break lines there, which JSON does not allow and Kong's parser does.
func escapeBreaks(text string) []byte {
	out := make([]byte, 0, len(text)+16)
	inside := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inside && c == '\\' && i+1 < len(text):
			out = append(out, c, text[i+1])
			i++
			continue
		case inside && c < 0x20:
			out = fmt.Appendf(out, `\u%04x`, c)
			continue
		case c == '"':
			inside = !inside
		}
		out = append(out, text[i])
	}
	return out
}

var framing = map[string]bool{"Content-Length": true, "Transfer-Encoding": true, "Content-Encoding": true, "Connection": true}

// isHeader says whether a name and a value can stand in a head without breaking
// out of their line.
func isHeader(name, value string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	for i := range len(value) {
		if c := value[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return name != ""
}
