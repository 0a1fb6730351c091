package admin_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

// ruleSet is what the protos say of a kind of entity, records taken apart. It
// reads the options and not the schemas that are made of them, so that the
// goldens do not follow a mistake in those.
type ruleSet struct {
	entity *schemapb.Entity
	fields []*ruleField
	checks []ruleCheck
	all    bool
}

// ruleField is one place in a body that has rules.
type ruleField struct {
	name string
	// path leads to it; "[]" is an element of an array, "{}" a value of a map, and
	// "{key}" a key of one.
	path []string
	desc protoreflect.FieldDescriptor
	// typ is the name of its type in Kong's schemas.
	typ   string
	rules *schemapb.Field
	// config is the value of the subschema key for which the place is there; "":
	// it always is.
	config string
	// sample, for a key, is a value that may stand behind it.
	sample any
	// open records may have any members.
	open bool
}

// ruleCheck is one check on the record that the path leads to.
type ruleCheck struct {
	path  []string
	check *schemapb.Check
}

// newRules reads the rules of a kind. Those of other router flavours than the
// default one are there with all only.
func newRules(t *testing.T, kind string, all bool) *ruleSet {
	t.Helper()
	r := &ruleSet{all: all}
	var message protoreflect.MessageDescriptor
	configs := map[string]protoreflect.MessageDescriptor{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			if e, ok := proto.GetExtension(m.Options(), schemapb.E_Entity).(*schemapb.Entity); ok && e.GetKind() == kind {
				message, r.entity = m, e
			}
			if c, ok := proto.GetExtension(m.Options(), schemapb.E_Config).(*schemapb.Config); ok && c.GetKind() == kind {
				configs[c.GetName()] = m
			}
		}
		return true
	})
	if message == nil {
		t.Fatalf("no message for %s", kind)
	}
	r.add(message, nil, "")
	for _, s := range r.entity.GetSubschemas() {
		if !r.has(s.GetFlavors()) {
			continue
		}
		for _, f := range s.GetFields() {
			if r.has(f.GetRules().GetFlavors()) {
				r.fields = append(r.fields, &ruleField{name: f.GetName(), path: []string{f.GetName()}, rules: f.GetRules(), config: s.GetWhen()[0]})
			}
		}
		r.check(nil, s.GetChecks())
	}
	for name, m := range configs {
		r.add(m, []string{"config"}, name)
	}
	return r
}

// has reports that what is there in these flavours is looked at.
func (r *ruleSet) has(flavors []string) bool {
	return r.all || len(flavors) == 0 || slices.Contains(flavors, "traditional_compatible")
}

func (r *ruleSet) check(path []string, checks []*schemapb.Check) {
	for _, c := range checks {
		if r.has(c.GetFlavors()) {
			r.checks = append(r.checks, ruleCheck{path, c})
		}
	}
}

func (r *ruleSet) add(m protoreflect.MessageDescriptor, path []string, config string) {
	record, _ := proto.GetExtension(m.Options(), schemapb.E_Record).(*schemapb.Record)
	r.check(path, record.GetChecks())
	for i := range m.Fields().Len() {
		d := m.Fields().Get(i)
		rules := rulesOf(d)
		if rules.GetHidden() || !r.has(rules.GetFlavors()) {
			continue
		}
		f := &ruleField{name: string(d.Name()), path: append(slices.Clone(path), string(d.Name())), desc: d, rules: rules, config: config}
		r.place(f)
	}
}

func rulesOf(d protoreflect.FieldDescriptor) *schemapb.Field {
	rules, _ := proto.GetExtension(d.Options(), schemapb.E_Field).(*schemapb.Field)
	if rules == nil {
		return &schemapb.Field{}
	}
	return rules
}

// place adds a place and those in it.
func (r *ruleSet) place(f *ruleField) {
	f.typ = typeOf(f)
	r.fields = append(r.fields, f)
	within := func(step string, d protoreflect.FieldDescriptor, rules *schemapb.Field) *ruleField {
		if rules == nil {
			rules = &schemapb.Field{}
		}
		return &ruleField{name: f.name, path: append(slices.Clone(f.path), step), desc: d, rules: rules, config: f.config}
	}
	switch {
	case f.desc.IsMap():
		value := f.desc.MapValue()
		key := within("{key}", f.desc.MapKey(), f.rules.GetKeys())
		key.sample = "a"
		if m := value.Message(); m != nil {
			// A message stands for the array that a map cannot hold.
			value = m.Fields().Get(0)
			key.sample = []any{"a"}
			r.place(within("{}", value, rulesOf(value)))
		} else {
			r.place(within("{}", value, f.rules.GetValues()))
		}
		r.place(key)
	case f.desc.IsList() && f.path[len(f.path)-1] != "[]":
		r.place(within("[]", f.desc, f.rules.GetElements()))
	case f.typ == "record" && f.desc.Message() != nil:
		r.add(f.desc.Message(), f.path, f.config)
	}
	f.open = f.typ == "record" && f.desc.Message() == nil
}

// typeOf is the type of a place in Kong's words.
func typeOf(f *ruleField) string {
	element := f.path[len(f.path)-1] == "[]"
	switch {
	case f.rules.GetType() == schemapb.Type_TYPE_JSON:
		return "json"
	case f.rules.GetType() == schemapb.Type_TYPE_CONFIG:
		return "record"
	case f.desc.IsMap():
		return "map"
	case f.desc.IsList() && !element && f.rules.GetType() == schemapb.Type_TYPE_SET:
		return "set"
	case f.desc.IsList() && !element:
		return "array"
	case f.rules.GetReference() != "":
		return "foreign"
	}
	switch f.desc.Kind() {
	case protoreflect.MessageKind:
		return "record"
	case protoreflect.StringKind:
		return "string"
	case protoreflect.BoolKind:
		return "boolean"
	case protoreflect.DoubleKind:
		return "number"
	}
	return "integer"
}

// each builds a body of the top fields.
func (r *ruleSet) each(suite *entitySuite, value func(*ruleField) any) map[string]any {
	body := map[string]any{}
	for _, f := range r.fields {
		if len(f.path) != 1 || f.desc == nil || f.name == "id" || slices.Contains(suite.fixed, f.name) || slices.Contains(suite.kept, f.name) {
			continue
		}
		if v := value(f); v != undefined {
			body[f.name] = v
		}
	}
	return body
}

// shown is the path under which an error body speaks of the place: a map has one
// text for all that is in it.
func (f *ruleField) shown() string {
	return strings.Join(slices.DeleteFunc(slices.Clone(f.path), func(step string) bool { return step == "{}" || step == "{key}" }), ".")
}
