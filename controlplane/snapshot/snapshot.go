// Package snapshot turns one consistent read of the store into a snapshot: one
// complete, immutable configuration with a hash that names it.
//
// Compiling is pure. Equal entities give equal bytes, whatever the order or the
// process, so the hash names the content; epoch and version travel beside it.
// Sending snapshots and remembering who holds which is package publish's work.
package snapshot

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// The versions of the layout. Compile writes the lowest one that says all that a
// snapshot holds, so that data planes that read only the older one are given what
// they understand, and refuse the rest instead of misreading it.
const (
	// FormatBase has entities of no workspace and of the workspace "default".
	FormatBase = 1
	// Format, the newest, has all workspaces, and the fields that say so by
	// snapshot_format.
	Format = 2
)

// defaultWorkspace is the one that FormatBase has.
const defaultWorkspace = "default"

// MaxSize is the largest snapshot that Compile makes, in bytes before
// compression. Data planes refuse larger ones.
const MaxSize = 256 << 20

// Snapshot is one compiled configuration. It is never changed.
type Snapshot struct {
	// Compressed is the zstd-compressed form of the marshalled
	// clusterpb.Snapshot.
	Compressed []byte
	// Size is the length of the uncompressed bytes.
	Size int
	// Hash is the SHA-256 of the uncompressed bytes.
	Hash [sha256.Size]byte
	// Entities counts the entities by kind.
	Entities map[string]uint64
	// Plugins are the names of the plugins that it configures, sorted.
	Plugins []string
}

// Compile makes a snapshot of all entities. An entity that its schema cannot
// turn into a typed message, or whose kind the catalogue lacks, is an error that
// names it: what is in the store was validated before it got there.
func Compile(catalogue *schema.Catalogue, all iter.Seq2[store.Entity, error]) (*Snapshot, error) {
	c := compilation{
		catalogue: catalogue, format: FormatBase,
		kinds: map[string]*kind{}, groups: map[group][]encoded{}, ids: map[string]string{}, plugins: map[string]bool{},
	}
	for e, err := range all {
		if err != nil {
			return nil, fmt.Errorf("read entities: %w", err)
		}
		if err := c.add(e); err != nil {
			return nil, fmt.Errorf("%s %s: %w", e.Kind, e.ID, err)
		}
	}
	return c.finish()
}

// EmptyHash is the hash, in lower-case hex, of a snapshot without entities. To
// Kong's clients that is no configuration at all.
func EmptyHash() string {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&clusterpb.Snapshot{Format: FormatBase})
	if err != nil {
		panic("an empty snapshot does not encode: " + err.Error()) // it has one number
	}
	return fmt.Sprintf("%x", sha256.Sum256(raw))
}

type encoded struct {
	id    string
	bytes []byte
}

// group is the entities of one kind in one workspace.
type group struct{ kind, workspace string }

// kind is what Compile has to know of the entities of one kind.
type kind struct {
	schema *schema.Schema
	rules  *schemapb.Entity
	// pluginKey is the field of a plugin's configuration that holds the plugin's
	// name; "" for other entities.
	pluginKey string
	// marked are the fields that only some formats carry.
	marked []marked
}

type marked struct {
	field  protoreflect.FieldDescriptor
	format uint32
}

type compilation struct {
	catalogue *schema.Catalogue
	format    uint32
	kinds     map[string]*kind
	groups    map[group][]encoded
	ids       map[string]string // of workspaces, by name
	plugins   map[string]bool
}

func (c *compilation) add(e store.Entity) error {
	k, err := c.kind(e.Kind)
	if err != nil {
		return err
	}
	if k.rules.GetControlOnly() {
		return nil
	}
	doc, err := schema.Parse(e.Document)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	if k.rules.GetWorkspaces() {
		c.ids[doc.Get(k.schema.EndpointKey()).Text()] = e.ID
		return nil
	}
	message, err := k.schema.Message(doc)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	g := group{e.Kind, e.Workspace}
	c.groups[g] = append(c.groups[g], encoded{e.ID, b})
	if k.pluginKey != "" {
		c.plugins[doc.Get(k.pluginKey).Text()] = true
	}
	if e.Workspace != "" && e.Workspace != defaultWorkspace {
		c.format = Format
	}
	for _, m := range k.marked {
		if message.ProtoReflect().Has(m.field) {
			c.format = max(c.format, m.format)
		}
	}
	return nil
}

// kind finds out, once, what is to be known of a kind.
func (c *compilation) kind(name string) (*kind, error) {
	if k := c.kinds[name]; k != nil {
		return k, nil
	}
	s, ok := c.catalogue.Entity(name)
	if !ok {
		return nil, fmt.Errorf("no schema for kind %q", name)
	}
	k := &kind{schema: s}
	descriptor := s.Descriptor()
	k.rules, _ = proto.GetExtension(descriptor.Options(), schemapb.E_Entity).(*schemapb.Entity)
	if k.rules.GetPluginConfig() {
		k.pluginKey = k.rules.GetSubschemaKey()
	}
	for i := range descriptor.Fields().Len() {
		field := descriptor.Fields().Get(i)
		rules, _ := proto.GetExtension(field.Options(), schemapb.E_Field).(*schemapb.Field)
		if format := rules.GetSnapshotFormat(); format != 0 {
			k.marked = append(k.marked, marked{field, format})
		}
	}
	c.kinds[name] = k
	return k, nil
}

func (c *compilation) finish() (*Snapshot, error) {
	m := &clusterpb.Snapshot{Format: c.format}
	counts := make(map[string]uint64, len(c.kinds))
	for of, entities := range c.groups {
		slices.SortFunc(entities, func(a, b encoded) int { return cmp.Compare(a.id, b.id) })
		g := &clusterpb.Group{Kind: of.kind, Workspace: of.workspace, WorkspaceId: c.ids[of.workspace], Entities: make([][]byte, len(entities))}
		for i, e := range entities {
			g.Entities[i] = e.bytes
		}
		m.Groups = append(m.Groups, g)
		counts[of.kind] += uint64(len(entities))
	}
	slices.SortFunc(m.Groups, func(a, b *clusterpb.Group) int {
		return cmp.Or(cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(a.GetWorkspace(), b.GetWorkspace()))
	})

	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("snapshot has %d bytes, the limit is %d", len(raw), MaxSize)
	}
	compressed, err := compress(raw)
	if err != nil {
		return nil, fmt.Errorf("compress snapshot: %w", err)
	}
	plugins := make([]string, 0, len(c.plugins))
	for name := range c.plugins {
		plugins = append(plugins, name)
	}
	slices.Sort(plugins)
	return &Snapshot{
		Compressed: compressed,
		Size:       len(raw),
		Hash:       sha256.Sum256(raw),
		Entities:   counts,
		Plugins:    plugins,
	}, nil
}

// compress writes one zstd frame that states its content size, so that a
// receiver can check the size before it allocates.
func compress(raw []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(raw, nil), w.Close()
}
