package keyauth

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/schema"
)

// maxParts bounds the parts of a multipart body.
const maxParts = 100

// body is a request body with named fields.
type body interface {
	// values are the texts under a name; a list in JSON counts as repeated.
	values(name string) []string
	// without is the body without a name.
	without(name string) ([]byte, error)
}

// readBody reads the request's body as what its content type says. It is nil when
// there is no body with fields, when it is too large to be looked at, or when it
// is not what it says: then there is no key in it.
func readBody(r *plugin.Request) (body, error) {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, nil
	}
	var parse func(data []byte, boundary string) body
	switch mediaType {
	case "application/x-www-form-urlencoded":
		parse = func(data []byte, _ string) body { return form(data) }
	case "application/json":
		parse = parseObject
	case "multipart/form-data":
		parse = parseParts
	default:
		return nil, nil
	}
	data, err := r.Body(0)
	if errors.Is(err, plugin.ErrBodyTooLarge) {
		return nil, nil
	}
	if err != nil || data == nil {
		return nil, err
	}
	return parse(data, params["boundary"]), nil
}

// form is a urlencoded body.
type form string

func (f form) values(name string) (values []string) {
	for arg := range plugin.Args(string(f)) {
		if arg.Name == name && !arg.Bare {
			values = append(values, arg.Value)
		}
	}
	return values
}

func (f form) without(name string) ([]byte, error) {
	return []byte(plugin.WithoutArg(string(f), name)), nil
}

// object is a JSON body.
type object struct{ doc schema.Document }

func parseObject(data []byte, _ string) body {
	doc, err := schema.Parse(data)
	if err != nil || doc.Kind() != schema.KindObject {
		return nil
	}
	return object{doc}
}

func (o object) values(name string) (values []string) {
	value := o.doc.Get(name)
	switch value.Kind() {
	case schema.KindString:
		return []string{value.Text()}
	case schema.KindList, schema.KindObject:
		// Kong takes any table for several keys.
		return []string{"", ""}
	}
	return nil
}

func (o object) without(name string) ([]byte, error) {
	return o.doc.Without(name).AppendJSON(nil), nil
}

// parts is a multipart body.
type parts struct {
	boundary string
	list     []part
}

type part struct {
	name string
	raw  *multipart.Part
	data []byte
}

func parseParts(data []byte, boundary string) body {
	if boundary == "" {
		return nil
	}
	p := parts{boundary: boundary}
	reader := multipart.NewReader(bytes.NewReader(data), boundary)
	for {
		raw, err := reader.NextRawPart()
		if err == io.EOF {
			return p
		}
		if err != nil || len(p.list) == maxParts {
			return nil
		}
		content, err := io.ReadAll(raw)
		if err != nil {
			return nil
		}
		p.list = append(p.list, part{name: raw.FormName(), raw: raw, data: content})
	}
}

func (p parts) values(name string) (values []string) {
	for _, one := range p.list {
		if one.name == name && one.raw.FileName() == "" {
			values = append(values, strings.TrimSpace(string(one.data)))
		}
	}
	return values
}

func (p parts) without(name string) ([]byte, error) {
	var out bytes.Buffer
	writer := multipart.NewWriter(&out)
	if err := writer.SetBoundary(p.boundary); err != nil {
		return nil, err
	}
	for _, one := range p.list {
		if one.name == name {
			continue
		}
		w, err := writer.CreatePart(one.raw.Header)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(one.data); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
