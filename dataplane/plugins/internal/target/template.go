package target

import (
	"fmt"
	"net/url"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// template is a configured text with placeholders that each request fills in:
// $(headers.NAME), $(uri_captures.NAME), $(query_params.NAME). The zero value is
// the empty text.
type template struct {
	text  string
	parts []part // nil: no placeholders
}

// part is literal text, or a placeholder when it has a source or is broken.
type part struct {
	text        string
	source, key string
	placeholder bool
	broken      bool // not two words with a dot between
}

func parseTemplate(text string) template {
	t := template{text: text}
	rest, placeholders := text, false
	for {
		before, behind, found := strings.Cut(rest, "$(")
		inside, after, closed := strings.Cut(behind, ")")
		if !found || !closed {
			break
		}
		placeholders = true
		t.parts = append(t.parts, part{text: before})
		source, key, dotted := strings.Cut(inside, ".")
		t.parts = append(t.parts, part{
			source: source, key: key, placeholder: true,
			broken: !dotted || source == "" || key == "" || strings.Contains(key, "."),
		})
		rest = after
	}
	if !placeholders {
		return t
	}
	t.parts = append(t.parts, part{text: rest})
	return t
}

// optionTemplate is a text with placeholders somewhere in the options.
type optionTemplate struct {
	path []step
	text template
}

// step leads from a record to one of its fields, or to an element of a list.
type step struct {
	field protoreflect.FieldDescriptor
	index int // of a list's element; else -1
}

// optionTemplates collects the texts with placeholders out of a record and the
// records in it, in the order of their fields. The two that say where calls go
// are left out: they are resolved where they are used.
func optionTemplates(m protoreflect.Message, path []step, found []optionTemplate) []optionTemplate {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) || field.IsMap() || field.Name() == "upstream_url" || field.Name() == "upstream_path" {
			continue
		}
		visit := func(value protoreflect.Value, index int) {
			at := append(path[:len(path):len(path)], step{field, index})
			switch field.Kind() {
			case protoreflect.MessageKind:
				found = optionTemplates(value.Message(), at, found)
			case protoreflect.StringKind:
				if t := parseTemplate(value.String()); t.parts != nil {
					found = append(found, optionTemplate{path: at, text: t})
				}
			}
		}
		if !field.IsList() {
			visit(m.Get(field), -1)
			continue
		}
		list := m.Get(field).List()
		for j := range list.Len() {
			visit(list.Get(j), j)
		}
	}
	return found
}

// set puts a value where the template stands in a copy of the options.
func (o *optionTemplate) set(m protoreflect.Message, value string) {
	last := o.path[len(o.path)-1]
	for _, s := range o.path[:len(o.path)-1] {
		if s.index < 0 {
			m = m.Mutable(s.field).Message()
		} else {
			m = m.Mutable(s.field).List().Get(s.index).Message()
		}
	}
	if last.index < 0 {
		m.Set(last.field, protoreflect.ValueOfString(value))
	} else {
		m.Mutable(last.field).List().Set(last.index, protoreflect.ValueOfString(value))
	}
}

// resolve fills the placeholders in. Its error is a *client.Error with Kong's
// words.
func (t *template) resolve(r *plugin.Request) (string, error) {
	if t.parts == nil {
		return t.text, nil
	}
	var out strings.Builder
	for i := range t.parts {
		if !t.parts[i].placeholder {
			out.WriteString(t.parts[i].text)
			continue
		}
		value, err := t.value(&t.parts[i], r)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
	}
	return out.String(), nil
}

// value is what one placeholder stands for.
func (t *template) value(p *part, r *plugin.Request) (string, error) {
	if p.broken {
		return "", &client.Error{Message: fmt.Sprintf("cannot parse expression for field '%s'", t.text)}
	}
	value, found := "", false
	switch p.source {
	case "headers":
		value = r.Header.Get(p.key)
		found = value != ""
	case "uri_captures":
		value, found = r.Named[p.key]
	case "query_params":
		value, found = queryParam(r.Query, p.key)
	default:
		return "", &client.Error{Message: fmt.Sprintf("source '%s' is not supported", p.source)}
	}
	if !found {
		return "", &client.Error{Message: fmt.Sprintf("%s key %s was not provided", p.source, p.key)}
	}
	return value, nil
}

// queryParam finds the first parameter of a name in a raw query.
func queryParam(query, name string) (value string, ok bool) {
	for pair := range strings.SplitSeq(query, "&") {
		if key, value, ok := queryPair(pair); ok && key == name {
			return value, true
		}
	}
	return "", false
}

func queryPair(pair string) (key, value string, ok bool) {
	rawKey, rawValue, _ := strings.Cut(pair, "=")
	key, err := url.QueryUnescape(rawKey)
	if err != nil || pair == "" {
		return "", "", false
	}
	if value, err = url.QueryUnescape(rawValue); err != nil {
		value = rawValue
	}
	return key, value, true
}

// setQueryParam gives a raw query a parameter and takes out others of the name;
// the rest stays byte for byte.
func setQueryParam(query, name, value string) string {
	var out strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		if key, _, ok := queryPair(pair); ok && key == name || pair == "" {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte('&')
		}
		out.WriteString(pair)
	}
	if out.Len() > 0 {
		out.WriteByte('&')
	}
	out.WriteString(url.QueryEscape(name))
	out.WriteByte('=')
	out.WriteString(url.QueryEscape(value))
	return out.String()
}
