package exchange

import (
	"errors"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/internal/uri"
)

// view is a body as one format reads it.
type view struct {
	format  client.Format
	body    []byte
	request llm.Request
}

// Inspect reads the request's body as a call. Plugins that ask with the same
// format get the same *llm.Request, so that the body is read and decoded once,
// until one of them gives the request another body. It is shared: nobody changes
// it, and nobody keeps it beyond the access phase.
//
// The body is JSON, or a form, which becomes JSON here: then the request has
// another body and type from now on. A multipart form is left as it is; of it the
// call has neither a Body nor a Decoder. A request without a Content-Type is
// taken for JSON, and told to be that upstream too.
//
// limit is the most that is read, in bytes; 0: as many as the node allows. A body
// that is larger is client.ErrUnreadable, as is one of another type or syntax. The
// error is a *client.Error, except when the client does not deliver its body.
func Inspect(r *plugin.Request, format client.Format, limit int64) (*llm.Request, error) {
	body, err := r.Body(limit)
	if errors.Is(err, plugin.ErrBodyTooLarge) {
		// For Kong a body that is too large to be read is one that cannot be read.
		return nil, client.ErrUnreadable
	}
	if err != nil {
		return nil, err
	}
	full := r.Header.Get("Content-Type")
	kind, _, _ := strings.Cut(full, ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); {
	case kind == "multipart/form-data":
		return &llm.Request{Format: format.Name()}, nil
	case kind == "application/x-www-form-urlencoded":
		if body, err = client.FormObject(string(body)); err != nil {
			return nil, err
		}
		r.SetBody(body)
		r.Header["Content-Type"] = []string{"application/json"}
	case kind == "", kind == "application/json":
	case strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"):
	case len(body) == 0:
		// Whether a call may be without a body is the format's to say.
	default:
		return nil, client.ErrUnreadable
	}
	s := makeSlot(r)
	if len(s.views) > 0 && !sameBytes(s.views[0].body, body) {
		s.views = nil // all of them are of the old body
	}
	for _, v := range s.views {
		if sameFormat(v.format, format) {
			return &v.request, nil
		}
	}
	v := &s.first
	if v.format != nil {
		v = new(view)
	} else {
		s.views = s.list[:0]
	}
	v.format, v.body = format, body
	if err := format.Read(client.Incoming{Method: r.Method, Path: uri.Escape(r.Path), Named: r.Named, Body: body}, &v.request); err != nil {
		if v == &s.first {
			s.first = view{}
		}
		return nil, err
	}
	if kind == "" && len(body) > 0 && v.request.Route != llm.Preserve {
		// It was read as JSON, and so the provider must read it.
		r.Header["Content-Type"] = []string{"application/json"}
	}
	s.views = append(s.views, v)
	return &v.request, nil
}

// AsksForMember says that a request without a body asks for a member of the
// collection that the format's route is, such as an answer of the responses API
// that OpenAI keeps, by the name of the collection in the path.
func AsksForMember(r *plugin.Request, format client.Format, limit int64) bool {
	call, err := Inspect(r, format, limit)
	return err == nil && call.Body == nil && call.Operation != ""
}

// sameBytes says that two slices are the same memory. A body that a plugin was
// given is never changed, so that the same memory is the same text.
func sameBytes(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// sameFormat says that two formats read a body alike. Each instance of a plugin
// has formats of its own, which mostly are equal.
func sameFormat(a, b client.Format) bool {
	if a == b {
		return true
	}
	x, ok := a.(interface{ Equal(client.Format) bool })
	return ok && x.Equal(b)
}
