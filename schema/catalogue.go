package schema

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

// Catalogue holds the compiled schemas of all entities and plugins. It never
// changes once it is loaded and is safe for use by many goroutines.
type Catalogue struct {
	flavor   flavor
	entities []*Schema // by kind; without the internal ones
	plugins  []*Schema // by name
	configs  []*Schema // that go with an entity's subschema key, other than plugins
	byKind   map[string]*Schema
	byPath   map[string]*Schema
	byPlugin map[string]*Schema
}

// Options are settings on which schemas depend.
type Options struct {
	// RouterFlavor is the router's flavour, which decides how routes are written;
	// "" means traditional_compatible.
	RouterFlavor string
}

// Load compiles every entity and plugin configuration that is linked into the
// program. An error means that the router has no such flavour, or that a proto is
// wrong: an option that contradicts its field, a pattern that does not compile, a
// name used twice.
func Load(o Options) (*Catalogue, error) {
	// All files of the two packages are in the registry as soon as one is
	// linked, so the packages are walked through any one file of each.
	var messages []protoreflect.MessageDescriptor
	for _, name := range []protoreflect.FullName{
		entitypb.File_gibbon_entity_v1_reference_proto.Package(),
		pluginpb.File_gibbon_plugin_v1_key_auth_proto.Package(),
	} {
		protoregistry.GlobalFiles.RangeFilesByPackage(name, func(file protoreflect.FileDescriptor) bool {
			for i := range file.Messages().Len() {
				messages = append(messages, file.Messages().Get(i))
			}
			return true
		})
	}
	return compile(messages, o)
}

// LimitPlugins has all plugins but those of the given names refused where an
// entity configures them, as the setting "plugins" has it. What is stored already
// can still be read and deleted. It is for the start: not for use beside others.
func (c *Catalogue) LimitPlugins(names []string) {
	for _, s := range c.entities {
		if !s.entity.GetPluginConfig() {
			continue
		}
		for name, v := range s.variants {
			v.off = !slices.Contains(names, name)
		}
	}
}

func compile(messages []protoreflect.MessageDescriptor, o Options) (*Catalogue, error) {
	c := &Catalogue{
		flavor: flavor(cmp.Or(o.RouterFlavor, "traditional_compatible")),
		byKind: map[string]*Schema{}, byPath: map[string]*Schema{}, byPlugin: map[string]*Schema{},
	}
	if _, err := c.flavor.among([]string{string(c.flavor)}); err != nil {
		return nil, err
	}
	comp := &compiler{flavor: c.flavor, records: map[protoreflect.FullName]*record{}}
	for _, m := range messages {
		if err := c.add(comp, m); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", m.FullName(), err)
		}
	}
	slices.SortFunc(c.entities, func(a, b *Schema) int { return cmp.Compare(a.Kind(), b.Kind()) })
	slices.SortFunc(c.plugins, func(a, b *Schema) int { return cmp.Compare(a.Kind(), b.Kind()) })
	for _, kind := range sortedKeys(c.byKind) {
		s := c.byKind[kind]
		if err := s.link(); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", s.msg.FullName(), err)
		}
	}
	for _, s := range c.configs {
		if got, ok := c.Variant(s.variantOf.GetKind(), s.Kind()); !ok || got != s {
			return nil, fmt.Errorf("schema of %s: no subschema of %q", s.msg.FullName(), s.variantOf.GetKind())
		}
	}
	return c, nil
}

// add compiles a message that is an entity or the configuration of a plugin or
// of another subschema; other messages are records that those use.
func (c *Catalogue) add(comp *compiler, m protoreflect.MessageDescriptor) error {
	s := &Schema{catalogue: c, msg: m}
	switch {
	case proto.HasExtension(m.Options(), schemapb.E_Entity):
		s.entity = proto.GetExtension(m.Options(), schemapb.E_Entity).(*schemapb.Entity)
	case proto.HasExtension(m.Options(), schemapb.E_Plugin):
		s.plugin = proto.GetExtension(m.Options(), schemapb.E_Plugin).(*schemapb.Plugin)
	case proto.HasExtension(m.Options(), schemapb.E_Config):
		s.variantOf = proto.GetExtension(m.Options(), schemapb.E_Config).(*schemapb.Config)
	default:
		return nil
	}
	rec, err := comp.record(m)
	if err != nil {
		return err
	}
	s.record = rec
	if s.checks, err = c.flavor.compileChecks(s.plugin.GetChecks()); err != nil {
		return err
	}
	if err := s.compileTransformations(); err != nil {
		return err
	}
	if err := s.compileRewrites(); err != nil {
		return err
	}
	if s.Kind() == "" {
		return fmt.Errorf("no name")
	}
	switch {
	case s.variantOf != nil:
		c.configs = append(c.configs, s)
		return nil
	case s.plugin != nil:
		if c.byPlugin[s.Kind()] != nil {
			return fmt.Errorf("%q is taken", s.Kind())
		}
		c.byPlugin[s.Kind()] = s
		c.plugins = append(c.plugins, s)
		return nil
	}
	if c.byKind[s.Kind()] != nil {
		return fmt.Errorf("%q is taken", s.Kind())
	}
	c.byKind[s.Kind()] = s
	if s.entity.GetInternal() {
		return nil
	}
	c.entities = append(c.entities, s)
	if !s.HasPaths() || s.entity.GetNestedOnly() {
		return nil
	}
	if c.byPath[s.Path()] != nil {
		return fmt.Errorf("path %q is taken", s.Path())
	}
	c.byPath[s.Path()] = s
	return nil
}

// Entity finds an entity by its name: "keyauth_credentials". It also finds
// internal ones, which have a schema but are not kept as entities.
func (c *Catalogue) Entity(kind string) (*Schema, bool) {
	s, ok := c.byKind[kind]
	return s, ok
}

// Path finds an entity by its collection's path segment: "key-auths". Entities
// without paths, and with paths below others only, are not found.
func (c *Catalogue) Path(segment string) (*Schema, bool) {
	s, ok := c.byPath[segment]
	return s, ok
}

// Plugin finds a plugin's configuration by the plugin's name: "key-auth".
func (c *Catalogue) Plugin(name string) (*Schema, bool) {
	s, ok := c.byPlugin[name]
	return s, ok
}

// Variant finds the configuration that goes with a value of an entity's
// subschema key: that of the vault type "env" for "vaults". A plugin is one of
// "plugins".
func (c *Catalogue) Variant(kind, name string) (*Schema, bool) {
	s := c.byKind[kind]
	if s == nil || s.variants[name] == nil || s.variants[name].config == nil {
		return nil, false
	}
	return s.variants[name].config, true
}

// Entities are all entities by kind, without internal ones. The slice is
// shared.
func (c *Catalogue) Entities() []*Schema { return c.entities }

// Plugins are all plugin configurations by name. The slice is shared.
func (c *Catalogue) Plugins() []*Schema { return c.plugins }
