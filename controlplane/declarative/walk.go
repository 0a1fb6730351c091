package declarative

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/gibbon-gateway/gibbon/schema"
)

// parser goes through a file step by step.
type parser struct {
	catalogue *schema.Catalogue
	options   Options

	collections map[string]*schema.Schema
	// children are the collections that may stand inside of an entity, with the
	// field by which their entities refer to it.
	children map[string]map[string]string

	entities []*entity
	byID     map[key]*entity
	byValue  map[value]*entity
	taken    map[value]*entity
	// workspaces are the names of the file's workspaces by their ids.
	workspaces map[string]string

	// upgrade tells that the file is in a format without marked regexes, and
	// transforms that its entities are as a client would send them.
	upgrade, transforms bool

	// fields are the texts about the file itself.
	fields []schema.Member
}

// key names an entity.
type key struct{ kind, id string }

// value is a unique value of an entity.
type value struct{ workspace, kind, field, text string }

func newParser(catalogue *schema.Catalogue, options Options) *parser {
	p := &parser{
		catalogue: catalogue, options: options, transforms: true,
		collections: map[string]*schema.Schema{}, children: map[string]map[string]string{},
		byID: map[key]*entity{}, byValue: map[value]*entity{}, taken: map[value]*entity{},
		workspaces: map[string]string{},
	}
	for _, s := range catalogue.Entities() {
		if s.Internal() {
			continue
		}
		p.collections[s.Kind()] = s
		for _, f := range s.Foreign() {
			inside := p.children[f.Kind]
			if inside == nil {
				inside = map[string]string{}
				p.children[f.Kind] = inside
			}
			if inside[s.Kind()] == "" {
				inside[s.Kind()] = f.Field
			}
		}
	}
	return p
}

func (p *parser) fail(text, field string) {
	p.fields = append(p.fields, schema.Member{Name: field, Value: schema.String(text)})
}

// file takes a file apart into its entities.
func (p *parser) file(doc schema.Document) {
	p.upgrade = p.format(doc.Get(formatField))
	if v := doc.Get(transformField); !isUnset(v) {
		var ok bool
		if p.transforms, ok = v.Truth(); !ok {
			p.fail("expected a boolean", transformField)
		}
	}
	p.annotations(doc)
	// Workspaces come first: everything else may name them.
	p.collection(doc, workspaceKind)
	for _, e := range p.entities {
		p.workspaces[e.id] = e.input.Get("name").Text()
	}
	for _, m := range doc.Members() {
		switch {
		case m.Name == formatField, m.Name == transformField, m.Name == commentField, m.Name == ignoreField:
		case p.collections[m.Name] == nil:
			p.fail("unknown field", m.Name)
		case m.Name != workspaceKind:
			p.collection(doc, m.Name)
		}
	}
}

// format judges the version of the format, and reports that it is an old one.
func (p *parser) format(v schema.Document) (old bool) {
	switch {
	case isUnset(v):
		p.fail("required field missing", formatField)
	case v.Kind() != schema.KindString:
		p.fail("expected a string", formatField)
	case !slices.Contains(formats, v.Text()):
		p.fail("expected one of: "+strings.Join(formats, ", "), formatField)
	default:
		return v.Text() != newestFormat
	}
	return false
}

// annotations judges what is there for people and for other programs.
func (p *parser) annotations(doc schema.Document) {
	p.fields = append(p.fields, annotationFaults(doc)...)
}

func annotationFaults(doc schema.Document) (faults []schema.Member) {
	if v := doc.Get(commentField); !isUnset(v) && v.Kind() != schema.KindString {
		faults = append(faults, schema.Member{Name: commentField, Value: schema.String("expected a string")})
	}
	if v := doc.Get(ignoreField); !isUnset(v) && v.Kind() != schema.KindList {
		faults = append(faults, schema.Member{Name: ignoreField, Value: schema.String("expected an array")})
	}
	return faults
}

func isUnset(v schema.Document) bool { return v.IsAbsent() || v.IsNull() }

func (p *parser) collection(doc schema.Document, name string) {
	s := p.collections[name]
	list := doc.Get(name)
	if s == nil || isUnset(list) {
		return
	}
	if list.Kind() != schema.KindList {
		p.fail("expected an array", name)
		return
	}
	for i, v := range list.Elements() {
		p.entity(s, v, place{{name, i}}, nil, "")
	}
}

// entity takes an entity and those that stand inside of it.
func (p *parser) entity(s *schema.Schema, v schema.Document, at place, parent *entity, through string) {
	e := &entity{schema: s, place: at, parent: parent, through: through}
	p.entities = append(p.entities, e)
	if v.Kind() != schema.KindObject {
		e.broken = schema.String("expected a record")
		return
	}
	inside := p.children[s.Kind()]
	var faults []schema.Member
	var below []schema.Member
	own := make([]schema.Member, 0, len(v.Members()))
	for _, m := range v.Members() {
		switch {
		case m.Name == commentField || m.Name == ignoreField:
		case m.Name == workspaceField && !s.Global():
			if m.Value.Kind() == schema.KindString {
				e.workspaceID = strings.ToLower(m.Value.Text())
			} else if !m.Value.IsNull() {
				faults = append(faults, schema.Member{Name: m.Name, Value: schema.String("expected a string")})
			}
		case inside[m.Name] != "":
			if m.Value.Kind() == schema.KindList {
				below = append(below, m)
			} else if !m.Value.IsNull() {
				faults = append(faults, schema.Member{Name: m.Name, Value: schema.String("expected an array")})
			}
		default:
			own = append(own, m)
		}
	}
	e.input = schema.Object(own...)
	if faults = append(faults, annotationFaults(v)...); len(faults) > 0 {
		e.broken = schema.Object(faults...)
	}
	p.locate(e)
	for _, m := range below {
		for i, child := range m.Value.Elements() {
			p.entity(p.collections[m.Name], child, at.below(m.Name, i), e, inside[m.Name])
		}
	}
}

// locate settles where the entity lies and what its id is.
func (p *parser) locate(e *entity) {
	if !e.schema.Global() {
		e.workspace = p.options.Workspace
		if e.parent != nil && e.parent.workspace != "" {
			e.workspace = e.parent.workspace
		}
	}
	if e.workspaceID != "" {
		if name, ok := p.workspaces[e.workspaceID]; ok {
			e.workspace = name
		} else {
			e.miss(workspaceField, e.workspaceID, workspaceKind)
		}
	}
	given := e.input.Get("id")
	switch {
	case isUnset(given):
		e.id = e.deriveID(p.options.Workspace)
	case isID(given.Text()):
		e.id = strings.ToLower(given.Text())
	default:
		// The id is refused later. Those that refer to it need not be.
		e.id = uuid.Nil.String()
	}
	// Of two with the same name, the second one is refused later.
	if k := (key{e.schema.Kind(), e.id}); p.byID[k] == nil {
		p.byID[k] = e
	}
	for _, name := range e.schema.Unique() {
		v := value{e.workspace, e.schema.Kind(), name, e.input.Get(name).Text()}
		if v.text != "" && p.byValue[v] == nil {
			p.byValue[v] = e
		}
	}
}

func isID(text string) bool { return len(text) == 36 && uuid.Validate(text) == nil }

// find is the entity that a reference means: by its id, by its endpoint key, or
// by an object with its id or with a unique value. It is nil when there is none;
// meant is false when the value is no reference at all.
func (p *parser) find(e *entity, target *schema.Schema, given schema.Document) (found *entity, meant bool) {
	by := func(field string, v schema.Document) *entity {
		if field == "id" {
			one := p.byID[key{target.Kind(), strings.ToLower(v.Text())}]
			if one != nil && one.workspace != "" && one.workspace != e.workspace {
				return nil
			}
			return one
		}
		workspace := e.workspace
		if target.Global() {
			workspace = ""
		}
		return p.byValue[value{workspace, target.Kind(), field, v.Text()}]
	}
	switch given.Kind() {
	case schema.KindString:
		if isID(given.Text()) {
			if found = by("id", given); found != nil {
				return found, true
			}
		}
		return by(target.EndpointKey(), given), true
	case schema.KindObject:
		if id := given.Get("id"); !isUnset(id) {
			return by("id", id), isID(id.Text())
		}
		for _, name := range target.Unique() {
			if v := given.Get(name); !isUnset(v) {
				return by(name, v), true
			}
		}
	}
	return nil, false
}
