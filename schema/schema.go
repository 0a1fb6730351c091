package schema

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

// Schema is what is known of one entity, of one plugin's configuration, or of
// another configuration that goes with an entity's subschema key. It is made by
// Load and never changes.
type Schema struct {
	catalogue *Catalogue
	msg       protoreflect.MessageDescriptor
	entity    *schemapb.Entity // these three: the one that it is, else nil
	plugin    *schemapb.Plugin
	variantOf *schemapb.Config
	record    *record
	foreign   []Foreign
	overlaps  []Overlap
	checks    []*check            // of a plugin, on the entity that holds its configuration
	config    *field              // the field that the variants' schemas describe, or nil
	variants  map[string]*variant // by the value of the subschema key

	transformations []transformation
	rewrites        []rewriteFunc
}

// variant is a record's fields and checks under one value of the subschema
// key.
type variant struct {
	record *record
	config *Schema // of the plugin, or of what else the key picks; or nil
	checks []*check
	off    bool // refused; see Catalogue.LimitPlugins
}

// Foreign is a field that refers to another entity.
type Foreign struct {
	Field    string
	Kind     string // of the entity that it refers to
	OnDelete schemapb.OnDelete
	Required bool
	NoPath   bool // not found below the entity's path
}

// Overlap is a rule about an entity and one that it refers to: they must share
// an element of a set. It needs both, so whoever has them judges it.
type Overlap struct {
	Field     string // the set
	Reference string // the foreign field that names the other entity
	Target    *Schema
	// Children are the entities whose sets count, if not that of the target
	// itself: those that refer to it by their field Through. Nil: the target's.
	Children *Schema
	Through  string
	Text     string // what is wrong with Field when they share nothing
}

// Op is what an entity is validated for.
type Op uint8

// The operations: POST inserts, PUT upserts and PATCH updates.
const (
	Insert Op = iota
	Upsert
	Update
)

// Kind is the entity's name, such as "keyauth_credentials", or the plugin's, or
// that of another configuration, such as the vault type "env".
func (s *Schema) Kind() string {
	switch {
	case s.entity != nil:
		return s.entity.GetKind()
	case s.plugin != nil:
		return s.plugin.GetName()
	}
	return s.variantOf.GetName()
}

// Path is the collection's path segment, such as "key-auths".
func (s *Schema) Path() string {
	if p := s.entity.GetPath(); p != "" {
		return p
	}
	return s.Kind()
}

// NestedPath is the collection's segment below a parent, such as "key-auth".
func (s *Schema) NestedPath() string {
	if p := s.entity.GetNestedPath(); p != "" {
		return p
	}
	return s.Path()
}

// HasPaths reports that the Admin API has paths for the entity that follow from
// its schema. The others are only read and written through other paths.
func (s *Schema) HasPaths() bool { return !s.entity.GetNoPaths() && !s.entity.GetInternal() }

// Descriptor is that of the message that stands for the entity or the plugin's
// configuration.
func (s *Schema) Descriptor() protoreflect.MessageDescriptor { return s.msg }

// EndpointKey is the unique field that may stand for the id in a URL, or "".
func (s *Schema) EndpointKey() string { return s.entity.GetEndpointKey() }

// Global reports that the entity belongs to no workspace.
func (s *Schema) Global() bool { return s.entity.GetGlobal() }

// LookupField is the field by which GET, PATCH and DELETE find an entity when
// neither id nor endpoint key do and exactly one has the value; or "".
func (s *Schema) LookupField() string { return s.entity.GetLookupField() }

// TTL reports that the entity takes a ttl and ends by itself.
func (s *Schema) TTL() bool { return s.entity.GetTtl() }

// Foreign are the fields that refer to other entities. The slice is shared.
func (s *Schema) Foreign() []Foreign { return s.foreign }

// Overlaps are the rules about an entity and those that it refers to; the first
// whose reference is set decides. The slice is shared.
func (s *Schema) Overlaps() []Overlap { return s.overlaps }

// HasTags reports that the entity has tags.
func (s *Schema) HasTags() bool { return s.record.byName["tags"] != nil }

// Plugin is what a plugin says of itself; nil for entities.
func (s *Schema) Plugin() *schemapb.Plugin { return s.plugin }

// Protocols are those that a plugin may run for; nil for entities.
func (s *Schema) Protocols() []string {
	if s.plugin == nil {
		return nil
	}
	if p := s.plugin.GetProtocols(); len(p) > 0 {
		return p
	}
	return []string{"grpc", "grpcs", "http", "https"}
}

// Unique are the names of the fields that are unique by themselves; one of
// them may stand for the id in a reference to such an entity.
func (s *Schema) Unique() []string {
	var names []string
	for _, f := range s.record.fields {
		if f.rules.GetUnique() || f.rules.GetUniqueAcrossWs() {
			names = append(names, f.name)
		}
	}
	return names
}

// Everywhere reports that the values of a field are unique over all workspaces.
func (s *Schema) Everywhere(field string) bool {
	f := s.record.byName[field]
	return f != nil && f.rules.GetUniqueAcrossWs()
}

// variantKey is the value of the subschema key that decides: a plugin's name,
// or the first protocol of a route that names a subschema.
func (s *Schema) variantKey(doc Document) (key string, v *variant) {
	value := doc.Get(s.entity.GetSubschemaKey())
	if value.Kind() == KindString {
		return value.Text(), s.variants[value.Text()]
	}
	for _, e := range value.Elements() {
		if v := s.variants[e.Text()]; v != nil {
			return e.Text(), v
		}
	}
	if list := value.Elements(); len(list) > 0 {
		return list[0].Text(), nil
	}
	return "", nil
}

// Undecided reports that nothing picks the subschema of a body: it lacks the key,
// and the key has no default.
func (s *Schema) Undecided(body Document) bool {
	key := s.record.byName[s.entity.GetSubschemaKey()]
	return key != nil && key.def.IsAbsent() && body.Get(key.name).IsAbsent()
}

// shape is the record by which doc is read: with the fields of its variant
// when the subschema key picks one. The variant is nil when there is none.
func (s *Schema) shape(doc Document) (*record, *variant) {
	if len(s.variants) == 0 {
		return s.record, nil
	}
	// A missing key counts with its default: a route without protocols is one
	// for http and https.
	if doc.Get(s.entity.GetSubschemaKey()).IsAbsent() {
		if f := s.record.byName[s.entity.GetSubschemaKey()]; !f.def.IsAbsent() {
			doc = doc.With(f.def, f.name)
		}
	}
	if _, v := s.variantKey(doc); v != nil {
		return v.record, v
	}
	return s.record, nil
}

// link settles what needs all schemas: references and variants.
func (s *Schema) link() error {
	for _, f := range s.record.fields {
		f.paths = nil
		if f.rules.GetNotPath() {
			f.paths = s.catalogue.byPath
		}
		if f.typ == typeForeign {
			target := s.catalogue.byKind[f.rules.GetReference()]
			if target == nil {
				return fmt.Errorf("%s refers to %q, which is no entity", f.name, f.rules.GetReference())
			}
			f.target = target
			s.foreign = append(s.foreign, Foreign{f.name, target.Kind(), f.rules.GetOnDelete(), f.rules.GetRequired(), f.rules.GetNoPath()})
		}
		if f.typ == typeConfig {
			s.config = f
		}
	}
	for _, rules := range s.entity.GetOverlaps() {
		if err := s.linkOverlap(rules); err != nil {
			return fmt.Errorf("overlap of %s: %w", rules.GetField(), err)
		}
	}
	switch {
	case s.entity.GetPluginConfig():
		return s.linkPlugins()
	case s.config != nil && s.entity.GetSubschemaKey() != "":
		return s.linkConfigs()
	}
	return s.linkSubschemas()
}

func (s *Schema) linkOverlap(rules *schemapb.Overlap) error {
	ref := s.record.byName[rules.GetReference()]
	if ref == nil || ref.target == nil {
		return fmt.Errorf("%q is no reference", rules.GetReference())
	}
	o := Overlap{Field: rules.GetField(), Reference: ref.name, Target: ref.target, Text: rules.GetErr()}
	other := o.Target
	if kind := rules.GetChildren(); kind != "" {
		if other = s.catalogue.byKind[kind]; other == nil {
			return fmt.Errorf("%q is no entity", kind)
		}
		for _, f := range other.record.fields {
			if f.typ == typeForeign && f.rules.GetReference() == o.Target.Kind() {
				o.Children, o.Through = other, f.name
				break
			}
		}
		if o.Children == nil {
			return fmt.Errorf("%s do not refer to %s", kind, o.Target.Kind())
		}
	}
	for _, one := range []*Schema{s, other} {
		if f := one.record.byName[o.Field]; f == nil || f.typ != typeSet {
			return fmt.Errorf("%s have no such set", one.Kind())
		}
	}
	s.overlaps = append(s.overlaps, o)
	return nil
}

func (s *Schema) linkSubschemas() error {
	s.variants = map[string]*variant{}
	for _, sub := range s.entity.GetSubschemas() {
		used, err := s.catalogue.flavor.among(sub.GetFlavors())
		if err != nil {
			return err
		}
		if !used {
			continue
		}
		checks, err := s.catalogue.flavor.compileChecks(sub.GetChecks())
		if err != nil {
			return err
		}
		for _, value := range sub.GetWhen() {
			v := s.variants[value]
			if v == nil {
				v = &variant{record: s.record}
				s.variants[value] = v
			}
			if v.record, err = s.catalogue.flavor.override(v.record, sub.GetFields()); err != nil {
				return err
			}
			v.checks = append(v.checks, checks...)
		}
	}
	return nil
}

// linkConfigs makes a variant of every configuration that names the entity. The
// message of the configuration describes the record.
func (s *Schema) linkConfigs() error {
	s.variants = map[string]*variant{}
	for _, c := range s.catalogue.configs {
		if c.variantOf.GetKind() != s.Kind() {
			continue
		}
		if s.variants[c.Kind()] != nil {
			return fmt.Errorf("two configurations of %q", c.Kind())
		}
		s.variants[c.Kind()] = &variant{config: c}
	}
	if len(s.variants) == 0 {
		return fmt.Errorf("no message is a configuration of %s", s.Kind())
	}
	rec, err := s.record.without(sortedKeys(s.variants))
	if err != nil {
		return err
	}
	s.record = rec
	for _, v := range s.variants {
		v.record = s.record.with(s.config.withRecord(v.config.record))
	}
	return nil
}

// without is the record in which the fields that say so take none of the values
// of the subschema key.
func (r *record) without(keys []string) (*record, error) {
	for _, f := range r.fields {
		if !f.rules.GetNotSubschema() {
			continue
		}
		var err error
		if r, err = r.override(f.name, &schemapb.Field{NotOneOf: keys}); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// linkPlugins makes a variant of every plugin: the configuration is described
// by the plugin's message, the protocols are those it may run for, and scopes
// that it forbids must be null.
func (s *Schema) linkPlugins() error {
	if s.config == nil {
		return fmt.Errorf("plugin_config without a TYPE_CONFIG field")
	}
	s.variants = map[string]*variant{}
	for _, p := range s.catalogue.plugins {
		rec := s.record.with(s.config.withRecord(p.record))
		null := "null"
		for _, scope := range p.plugin.GetForbiddenScopes() {
			name := strings.ToLower(strings.TrimPrefix(scope.String(), "SCOPE_"))
			if rec.byName[name] == nil {
				continue // a scope that this build has no entity for
			}
			var err error
			if rec, err = rec.override(name, &schemapb.Field{Eq: &null}); err != nil {
				return err
			}
		}
		if s.record.byName["protocols"] != nil && len(p.plugin.GetProtocols()) > 0 {
			def := texts(p.plugin.GetProtocols()).String()
			f, err := rec.byName["protocols"].overridden(&schemapb.Field{Default: &def})
			if err != nil {
				return err
			}
			f.elem = f.elem.clone()
			f.elem.setOneOf(p.plugin.GetProtocols())
			rec = rec.with(f)
		}
		s.variants[p.Kind()] = &variant{record: rec, config: p, checks: p.checks}
	}
	return nil
}
