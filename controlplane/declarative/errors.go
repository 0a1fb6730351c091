package declarative

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/schema"
)

// Error says what is wrong with a configuration.
type Error struct {
	fields []schema.Member // about the file itself
	broken []*entity
	// syntax is set when the text could not be read at all.
	syntax error
}

func syntaxError(err error) *Error { return &Error{syntax: err} }

const syntaxText = "failed parsing declarative configuration: "

// Error is Kong's message: a dump of the fields.
func (e *Error) Error() string {
	return "declarative config is invalid: " + schema.LuaLiteral(e.Fields())
}

// Unwrap is why the text cannot be read; nil when it can.
func (e *Error) Unwrap() error { return e.syntax }

// Fields mirror the document: the texts stand where what they are about stands.
func (e *Error) Fields() schema.Document {
	return e.tree(func(*entity) bool { return true })
}

// error is what the steps up to now found; nil when nothing.
func (p *parser) error() error {
	e := &Error{fields: p.fields}
	for _, one := range p.entities {
		if !one.broken.IsAbsent() {
			e.broken = append(e.broken, one)
		}
	}
	if len(e.fields) == 0 && len(e.broken) == 0 {
		return nil
	}
	return e
}

// step leads from an entity, or the file, to one of a collection inside of it.
type step struct {
	collection string
	index      int
}

// place is where an entity stands in the file.
type place []step

func (p place) below(collection string, index int) place {
	return append(slices.Clip(p), step{collection, index})
}

// node is a place in the tree of texts: it has a text, or fields and
// collections.
type node struct {
	text        schema.Document
	fields      []schema.Member
	collections map[string]map[int]*node
}

func (n *node) at(p place) *node {
	for _, s := range p {
		if n.collections == nil {
			n.collections = map[string]map[int]*node{}
		}
		list := n.collections[s.collection]
		if list == nil {
			list = map[int]*node{}
			n.collections[s.collection] = list
		}
		if list[s.index] == nil {
			list[s.index] = &node{}
		}
		n = list[s.index]
	}
	return n
}

func (n *node) document() schema.Document {
	if !n.text.IsAbsent() && len(n.collections) == 0 {
		return n.text
	}
	members := slices.Clone(n.fields)
	if texts := n.text; !texts.IsAbsent() {
		// What stands inside has texts of its own.
		if texts.Kind() != schema.KindList {
			texts = schema.List(texts)
		}
		members = append(members, schema.Member{Name: "@entity", Value: texts})
	}
	for name, list := range n.collections {
		last := 0
		for i := range list {
			last = max(last, i)
		}
		elements := make([]schema.Document, last+1)
		for i := range elements {
			elements[i] = schema.Null()
		}
		for i, child := range list {
			elements[i] = child.document()
		}
		members = append(members, schema.Member{Name: name, Value: schema.List(elements...)})
	}
	slices.SortFunc(members, func(a, b schema.Member) int { return strings.Compare(a.Name, b.Name) })
	return schema.Object(members...)
}

// tree is the document of texts about the file and those entities.
func (e *Error) tree(about func(*entity) bool) schema.Document {
	if e.syntax != nil {
		return schema.Object(schema.Member{Name: "error", Value: schema.String(syntaxText + e.syntax.Error())})
	}
	root := &node{fields: e.fields}
	for _, one := range e.broken {
		if !about(one) {
			continue
		}
		n := root.at(one.place)
		if one.broken.Kind() == schema.KindObject {
			n.fields = one.broken.Members()
		} else {
			n.text = one.broken
		}
	}
	return root.document()
}

// Text is the error for people at a terminal: one line for each level of the
// document.
func (e *Error) Text() string {
	if e.syntax != nil {
		return syntaxText + e.syntax.Error()
	}
	var b strings.Builder
	writeText(&b, e.Fields(), "", "")
	return strings.TrimSuffix(b.String(), "\n")
}

func writeText(b *strings.Builder, d schema.Document, inside, indent string) {
	line := func(head string, name string, v schema.Document) {
		b.WriteString(indent + head + ":")
		if v.Kind() == schema.KindString {
			b.WriteString(" " + v.Text() + "\n")
			return
		}
		b.WriteByte('\n')
		writeText(b, v, name, indent+"  ")
	}
	for i, v := range d.Elements() {
		if v.IsNull() {
			continue
		}
		number := strconv.Itoa(i + 1)
		line("- in entry "+number+" of '"+inside+"'", number, v)
	}
	for _, m := range d.Members() {
		line("in '"+m.Name+"'", m.Name, m.Value)
	}
}

// Flatten is the error as a list with a row for each entity, and the fields
// that are left, which are about no entity.
func (e *Error) Flatten() (rows, fields schema.Document) {
	list := []schema.Document{}
	for _, one := range e.broken {
		if !one.input.IsAbsent() {
			list = append(list, one.row())
		}
	}
	return schema.List(list...), e.tree(func(one *entity) bool { return one.input.IsAbsent() })
}

// row is what Kong says of a broken entity in its flat list.
func (e *entity) row() schema.Document {
	input := e.input
	if e.workspaceID != "" {
		input = input.With(schema.String(e.workspaceID), workspaceField)
	}
	if e.parent != nil {
		if id := e.parent.input.Get("id"); isID(id.Text()) {
			input = input.With(schema.Object(schema.Member{Name: "id", Value: id}), e.through)
		}
	}
	members := []schema.Member{{Name: "entity", Value: input}}
	for _, m := range []struct {
		name string
		kind schema.Kind
	}{{"id", schema.KindString}, {"name", schema.KindString}, {"tags", schema.KindList}} {
		if v := e.input.Get(m.name); v.Kind() == m.kind {
			members = append(members, schema.Member{Name: "entity_" + m.name, Value: v})
		}
	}
	return schema.Object(append(members,
		schema.Member{Name: "entity_type", Value: schema.String(strings.TrimSuffix(e.schema.Kind(), "s"))},
		schema.Member{Name: "errors", Value: schema.List(flatErrors(e.broken)...)},
	)...)
}

// flatErrors are the texts about an entity, each with the path to its field.
func flatErrors(broken schema.Document) []schema.Document {
	var list []schema.Document
	var walk func(d schema.Document, path string)
	walk = func(d schema.Document, path string) {
		switch d.Kind() {
		case schema.KindString:
			list = append(list, flatError(path, d))
		case schema.KindList:
			for i, e := range d.Elements() {
				walk(e, path+"."+strconv.Itoa(i+1))
			}
		case schema.KindObject:
			for _, m := range d.Members() {
				switch {
				case m.Name == "@entity":
					list = append(list, flatError(path, m.Value))
				case path == "":
					walk(m.Value, m.Name)
				default:
					walk(m.Value, path+"."+m.Name)
				}
			}
		}
	}
	if broken.Kind() == schema.KindObject {
		walk(broken, "")
	} else {
		list = append(list, flatError("", broken))
	}
	return list
}

// flatError is one text, or the texts about one thing. Without a path they are
// about the entity.
func flatError(path string, texts schema.Document) schema.Document {
	var members []schema.Member
	if path != "" {
		members = append(members, schema.Member{Name: "field", Value: schema.String(path)})
	}
	if list := texts.Elements(); len(list) == 1 {
		texts = list[0]
	}
	name, about := "message", "entity"
	if texts.Kind() == schema.KindList {
		name = "messages"
	}
	if path != "" {
		about = "field"
	}
	return schema.Object(append(members,
		schema.Member{Name: name, Value: texts},
		schema.Member{Name: "type", Value: schema.String(about)},
	)...)
}
