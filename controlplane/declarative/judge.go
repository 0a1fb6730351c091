package declarative

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/gibbon-gateway/gibbon/schema"
)

// judge makes of an entity what is to be stored, and judges it by its schema.
func (p *parser) judge(e *entity) {
	if e.input.IsAbsent() {
		return
	}
	body := e.input
	if p.upgrade {
		body = e.schema.MarkRegexes(body)
	}
	body, err := e.schema.Expand(body, schema.Document{})
	if err != nil {
		e.refuse(err)
		return
	}
	if isUnset(body.Get("id")) {
		body = body.With(schema.String(e.id), "id")
	}
	e.body = p.refer(e, body)
	e.doc = e.schema.Restore(e.body, p.options.At)
	if err := e.schema.Validate(e.doc, schema.Insert); err != nil {
		e.refuse(err)
	}
	e.uniques = e.schema.Index(e.doc).Uniques
	for _, u := range e.uniques {
		if strings.IndexByte(u.Text, 0) >= 0 {
			e.broken = e.broken.With(schema.String("must not contain a NUL byte"), u.Field)
		}
	}
}

// distinguish refuses an entity that has the id or a unique value of one before
// it.
func (p *parser) distinguish(e *entity) {
	values := []value{{kind: e.schema.Kind(), field: "primary key", text: e.id}}
	for _, u := range e.uniques {
		v := value{e.workspace, e.schema.Kind(), u.Field, u.Text}
		if u.Everywhere {
			v.workspace = ""
		}
		if u.Field == e.schema.EndpointKey() {
			// Where the id follows from the name, the name is what was repeated.
			values = slices.Insert(values, 0, v)
		} else {
			values = append(values, v)
		}
	}
	for _, v := range values {
		if p.taken[v] != nil {
			text := v.text
			if e.schema.Secret(v.field) {
				text = schema.Masked // the log and the terminal show it
			}
			e.broken = schema.String(fmt.Sprintf("uniqueness violation: '%s' entity with %s set to '%s' already declared", v.kind, v.field, text))
			return
		}
	}
	for _, v := range values {
		p.taken[v] = e
	}
}

// connect refuses an entity whose references lead nowhere.
func (p *parser) connect(e *entity) {
	if len(e.missing) > 0 {
		e.broken = schema.List(e.missing...)
	}
}

// transform makes the changes that an entity needs before it is stored, unless
// they were made when the file was written.
func (p *parser) transform(e *entity) {
	if p.transforms {
		doc, err := e.schema.Transform(e.doc, e.body)
		if err != nil {
			e.refuse(err)
			return
		}
		e.doc = doc
	}
	e.doc = e.schema.Stored(e.doc)
}

// miss notes that a reference leads nowhere.
func (e *entity) miss(field, shown, kind string) {
	e.missing = append(e.missing, schema.String(fmt.Sprintf("invalid reference '%s: %s' (no such entry in '%s')", field, shown, kind)))
}

// refuse notes what a schema says against an entity.
func (e *entity) refuse(err error) {
	var violation *schema.ViolationError
	var option *schema.OptionError
	switch {
	case errors.As(err, &violation):
		for _, m := range violation.Document().Members() {
			e.broken = e.broken.With(m.Value, m.Name)
		}
	case errors.As(err, &option):
		e.broken = e.broken.With(schema.String(option.Text), option.Option)
	default:
		e.broken = schema.String(err.Error())
	}
}

// refer puts ids in the place of an entity's references. Those that lead
// nowhere are noted, and get the id of nothing, so that the schema has no
// complaint of its own.
func (p *parser) refer(e *entity, body schema.Document) schema.Document {
	for _, f := range e.schema.Foreign() {
		given := body.Get(f.Field)
		id := ""
		switch {
		case e.parent != nil && f.Field == e.through:
			if !isUnset(given) {
				e.broken = e.broken.With(schema.String("value must be null"), f.Field)
			}
			id = e.parent.id
		case isUnset(given):
			continue
		default:
			target, ok := p.collections[f.Kind]
			if !ok {
				continue
			}
			found, meant := p.find(e, target, given)
			if !meant {
				continue // no reference at all: the schema says so
			}
			if found == nil {
				shown := given.Text()
				if given.Kind() != schema.KindString {
					shown = given.String()
				}
				e.miss(f.Field, shown, f.Kind)
				id = uuid.Nil.String()
			} else {
				id = found.id
			}
		}
		body = body.With(schema.Object(schema.Member{Name: "id", Value: schema.String(id)}), f.Field)
	}
	return body
}
