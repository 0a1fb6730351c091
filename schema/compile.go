package schema

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

// fieldType is a type of Kong's schema language.
type fieldType uint8

const (
	typeString fieldType = iota
	typeInteger
	typeNumber
	typeBoolean
	typeArray
	typeSet
	typeMap
	typeRecord
	typeForeign
	typeJSON
	typeConfig // a record whose fields the variant gives
)

var typeNames = [...]string{
	typeString: "string", typeInteger: "integer", typeNumber: "number", typeBoolean: "boolean",
	typeArray: "array", typeSet: "set", typeMap: "map", typeRecord: "record",
	typeForeign: "foreign", typeJSON: "json", typeConfig: "record",
}

// record is a compiled message.
type record struct {
	fields     []*field // what clients see, in the order of the message
	byName     map[string]*field
	hidden     []*field
	checks     []*check
	shorthands []*shorthand
}

// field is a compiled field, or what stands inside an array, set or map.
type field struct {
	name  string
	typ   fieldType
	rules *schemapb.Field
	def   Document // absent: no default
	// bits is the width of the protobuf integer, 32 or 64.
	bits int

	record *record // of records; nil for a config that no variant gave one
	elem   *field  // of arrays and sets
	keys   *field  // of maps
	values *field
	target *Schema // of foreign fields
	// paths are the path segments that a text must not be, or nil.
	paths map[string]*Schema

	eq, ne, contains   Document
	oneOf, notOneOf    []string
	oneOfSet           map[string]bool
	notOneOfSet        map[string]bool
	match, notMatch    *regexp.Regexp
	matchNone          []pattern
	matchAll           []pattern
	matchAny           []*regexp.Regexp
	check              formatFunc
	exclusive          []group
	oneOfText, notText string // the error texts, settled once
}

// group is one of the sets of elements that exclude each other.
type group struct {
	names []string
	set   map[string]bool
}

type pattern struct {
	re  *regexp.Regexp
	err string
}

// shorthand is a compiled input-only field.
type shorthand struct {
	field *field
	// paths are where the value goes. Of an expansion they say what it is in place
	// of; it needs none.
	paths  [][]string
	expand expandFunc
	rules  *schemapb.Shorthand
}

func (f *field) clone() *field {
	c := *f
	return &c
}

func (f *field) withRecord(r *record) *field {
	c := f.clone()
	c.record = r
	return c
}

func (f *field) required() bool { return f.rules.GetRequired() }

func (f *field) setOneOf(values []string) {
	f.rules = proto.CloneOf(f.rules)
	f.rules.OneOf = values
	f.oneOf, f.oneOfSet = values, setOf(values)
	f.oneOfText = oneOfText(values)
}

// with is a copy of the record in which f stands for the field of that name.
func (r *record) with(f *field) *record {
	c := *r
	c.fields = slices.Clone(r.fields)
	c.byName = make(map[string]*field, len(r.byName))
	for i, old := range c.fields {
		if old.name == f.name {
			c.fields[i] = f
		}
		c.byName[old.name] = c.fields[i]
	}
	return &c
}

// compiler keeps the records made so far: messages are shared, and may nest
// in themselves.
type compiler struct {
	flavor  flavor
	records map[protoreflect.FullName]*record
}

func (c *compiler) record(m protoreflect.MessageDescriptor) (*record, error) {
	if r := c.records[m.FullName()]; r != nil {
		return r, nil
	}
	r := &record{byName: map[string]*field{}}
	c.records[m.FullName()] = r
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		f, err := c.field(fd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fd.Name(), err)
		}
		exists, err := c.flavor.among(f.rules.GetFlavors())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fd.Name(), err)
		}
		if f.rules.GetHidden() || !exists {
			r.hidden = append(r.hidden, f)
			continue
		}
		r.fields = append(r.fields, f)
		r.byName[f.name] = f
	}
	options := proto.GetExtension(m.Options(), schemapb.E_Record).(*schemapb.Record)
	var err error
	if r.checks, err = c.flavor.compileChecks(options.GetChecks()); err != nil {
		return nil, err
	}
	for _, sh := range options.GetShorthands() {
		compiled, err := compileShorthand(sh)
		if err != nil {
			return nil, fmt.Errorf("shorthand %s: %w", sh.GetName(), err)
		}
		r.shorthands = append(r.shorthands, compiled)
	}
	return r, nil
}

func compileShorthand(sh *schemapb.Shorthand) (*shorthand, error) {
	f := &field{name: sh.GetName(), rules: &schemapb.Field{Deprecation: sh.GetDeprecation()}}
	i := slices.Index(typeNames[:typeArray+1], sh.GetType())
	if i < 0 {
		return nil, fmt.Errorf("%q is neither a scalar type nor array", sh.GetType())
	}
	f.typ, f.bits = fieldType(i), 64
	if f.typ == typeArray {
		f.elem = &field{typ: typeString, rules: &schemapb.Field{}}
	}
	out := &shorthand{field: f, rules: sh}
	if len(sh.GetPath()) > 0 {
		out.paths = append(out.paths, sh.GetPath())
	}
	for _, path := range sh.GetMorePaths() {
		out.paths = append(out.paths, path.GetValues())
	}
	if sh.GetExpand() != "" {
		out.expand = expansions[sh.GetExpand()]
		if out.expand == nil {
			return nil, fmt.Errorf("no expansion %q", sh.GetExpand())
		}
	} else if len(out.paths) == 0 {
		return nil, fmt.Errorf("neither expand nor path")
	}
	if sh.GetTranslateBackwards() && len(out.paths) == 0 {
		return nil, fmt.Errorf("translate_backwards without a path")
	}
	return out, nil
}

func (c *compiler) field(fd protoreflect.FieldDescriptor) (*field, error) {
	rules := proto.GetExtension(fd.Options(), schemapb.E_Field).(*schemapb.Field)
	if rules == nil {
		rules = &schemapb.Field{}
	}
	name := string(fd.Name())
	switch {
	case fd.IsMap():
		f := &field{name: name, typ: typeMap, rules: rules}
		var err error
		if f.keys, err = c.single(fd.MapKey(), "", orEmpty(rules.GetKeys())); err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		if f.values, err = c.single(fd.MapValue(), "", orEmpty(rules.GetValues())); err != nil {
			return nil, fmt.Errorf("values: %w", err)
		}
		return f, f.finish()
	case fd.IsList():
		return c.list(fd, name, rules)
	}
	return c.single(fd, name, rules)
}

func (c *compiler) list(fd protoreflect.FieldDescriptor, name string, rules *schemapb.Field) (*field, error) {
	f := &field{name: name, typ: typeArray, rules: rules}
	if rules.GetType() == schemapb.Type_TYPE_SET {
		f.typ = typeSet
	}
	var err error
	if f.elem, err = c.single(fd, "", orEmpty(rules.GetElements())); err != nil {
		return nil, fmt.Errorf("elements: %w", err)
	}
	return f, f.finish()
}

// single compiles one value of the field's kind, whatever its cardinality.
func (c *compiler) single(fd protoreflect.FieldDescriptor, name string, rules *schemapb.Field) (*field, error) {
	f := &field{name: name, rules: rules}
	switch fd.Kind() {
	case protoreflect.StringKind:
		f.typ = typeString
	case protoreflect.BoolKind:
		f.typ = typeBoolean
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		f.typ = typeNumber
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		f.typ, f.bits = typeInteger, 32
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		f.typ, f.bits = typeInteger, 64
	case protoreflect.BytesKind:
		switch rules.GetType() {
		case schemapb.Type_TYPE_CONFIG:
			f.typ = typeConfig
		case schemapb.Type_TYPE_JSON:
			f.typ = typeJSON
		default:
			return nil, fmt.Errorf("bytes without TYPE_CONFIG or TYPE_JSON")
		}
	case protoreflect.MessageKind:
		return c.message(fd.Message(), f)
	default:
		return nil, fmt.Errorf("no type of Kong's for protobuf's %s", fd.Kind())
	}
	return f, f.finish()
}

func (c *compiler) message(m protoreflect.MessageDescriptor, f *field) (*field, error) {
	if f.rules.GetReference() != "" {
		f.typ = typeForeign
		return f, f.finish()
	}
	if inner := listField(m); inner != nil {
		// The array's own rules stand on the message's field; those of the
		// place where the message is used go before them.
		rules := proto.CloneOf(orEmpty(proto.GetExtension(inner.Options(), schemapb.E_Field).(*schemapb.Field)))
		proto.Merge(rules, f.rules)
		return c.list(inner, f.name, rules)
	}
	var err error
	f.typ = typeRecord
	if f.record, err = c.record(m); err != nil {
		return nil, err
	}
	return f, f.finish()
}

// listField is the field of a message that stands for an array, or nil.
func listField(m protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	options := proto.GetExtension(m.Options(), schemapb.E_Record).(*schemapb.Record)
	if !options.GetList() || m.Fields().Len() != 1 || !m.Fields().Get(0).IsList() {
		return nil
	}
	return m.Fields().Get(0)
}

func orEmpty(rules *schemapb.Field) *schemapb.Field {
	if rules == nil {
		return &schemapb.Field{}
	}
	return rules
}

// override is the record with more rules on one of its fields.
func (r *record) override(name string, rules *schemapb.Field) (*record, error) {
	old := r.byName[name]
	if old == nil {
		return nil, fmt.Errorf("no field %q to add rules to", name)
	}
	f, err := old.overridden(rules)
	if err != nil {
		return nil, err
	}
	return r.with(f), nil
}

// overridden is the field with more rules.
func (f *field) overridden(rules *schemapb.Field) (*field, error) {
	c := f.clone()
	c.rules = proto.CloneOf(f.rules)
	proto.Merge(c.rules, rules)
	if rules.GetElements() != nil && c.elem != nil {
		var err error
		if c.elem, err = c.elem.overridden(rules.GetElements()); err != nil {
			return nil, fmt.Errorf("elements: %w", err)
		}
	}
	return c, c.finish()
}

// finish compiles the rules, so that judging a value compiles nothing.
func (f *field) finish() error {
	r := f.rules
	for _, t := range []struct {
		name string
		text *string
		into *Document
	}{{"default", r.Default, &f.def}, {"eq", r.Eq, &f.eq}, {"ne", r.Ne, &f.ne}, {"contains", r.Contains, &f.contains}} {
		if t.text == nil {
			continue
		}
		d, err := Parse([]byte(*t.text))
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		*t.into = d
	}
	f.oneOf, f.oneOfSet, f.oneOfText = r.GetOneOf(), setOf(r.GetOneOf()), oneOfText(r.GetOneOf())
	f.notOneOf, f.notOneOfSet = r.GetNotOneOf(), setOf(r.GetNotOneOf())
	f.notText = "must not be one of: " + joinComma(r.GetNotOneOf())
	f.exclusive = nil
	for _, g := range r.GetMutuallyExclusiveSubsets() {
		f.exclusive = append(f.exclusive, group{g.GetValues(), setOf(g.GetValues())})
	}
	if name := r.GetFormat(); name != "" {
		f.check = formats[name]
		if f.check == nil {
			return fmt.Errorf("no format %q", name)
		}
	}
	return f.finishPatterns()
}

func (f *field) finishPatterns() (err error) {
	r := f.rules
	if r.Match != nil {
		if f.match, err = regexp.Compile(r.GetMatch()); err != nil {
			return fmt.Errorf("match: %w", err)
		}
	}
	if r.NotMatch != nil {
		if f.notMatch, err = regexp.Compile(r.GetNotMatch()); err != nil {
			return fmt.Errorf("not_match: %w", err)
		}
	}
	if f.matchNone, err = patterns(r.GetMatchNone()); err != nil {
		return fmt.Errorf("match_none: %w", err)
	}
	if f.matchAll, err = patterns(r.GetMatchAll()); err != nil {
		return fmt.Errorf("match_all: %w", err)
	}
	f.matchAny = nil
	for _, text := range r.GetMatchAny().GetPatterns() {
		re, err := regexp.Compile(text)
		if err != nil {
			return fmt.Errorf("match_any: %w", err)
		}
		f.matchAny = append(f.matchAny, re)
	}
	return nil
}

func patterns(list []*schemapb.Pattern) ([]pattern, error) {
	var out []pattern
	for _, p := range list {
		re, err := regexp.Compile(p.GetPattern())
		if err != nil {
			return nil, err
		}
		out = append(out, pattern{re, p.GetErr()})
	}
	return out, nil
}

func setOf(values []string) map[string]bool {
	set := make(map[string]bool, len(values))
	for _, v := range values {
		set[v] = true
	}
	return set
}

// whole prints a limit as Kong does: cut towards zero.
func whole(limit float64) string {
	return strconv.FormatFloat(math.Trunc(limit), 'f', -1, 64)
}
