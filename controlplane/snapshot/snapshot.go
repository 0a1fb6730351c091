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

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// Format is the version of the layout that Compile writes.
const Format = 1

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
	c := compilation{catalogue: catalogue, groups: map[string][]encoded{}, plugins: map[string]bool{}}
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
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&clusterpb.Snapshot{Format: Format})
	if err != nil {
		panic("an empty snapshot does not encode: " + err.Error()) // it has one number
	}
	return fmt.Sprintf("%x", sha256.Sum256(raw))
}

type encoded struct {
	id    string
	bytes []byte
}

type compilation struct {
	catalogue *schema.Catalogue
	groups    map[string][]encoded
	plugins   map[string]bool
}

func (c *compilation) add(e store.Entity) error {
	s, ok := c.catalogue.Entity(e.Kind)
	if !ok {
		return fmt.Errorf("no schema for kind %q", e.Kind)
	}
	doc, err := schema.Parse(e.Document)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	message, err := s.Message(doc)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	c.groups[e.Kind] = append(c.groups[e.Kind], encoded{e.ID, b})
	if key := pluginKey(message); key != "" {
		c.plugins[doc.Get(key).Text()] = true
	}
	return nil
}

// pluginKey is the field of an entity that holds a plugin's configuration in
// which the plugin's name stands; "" for other entities.
func pluginKey(m proto.Message) string {
	entity, ok := proto.GetExtension(m.ProtoReflect().Descriptor().Options(), schemapb.E_Entity).(*schemapb.Entity)
	if !ok || !entity.GetPluginConfig() {
		return ""
	}
	return entity.GetSubschemaKey()
}

func (c *compilation) finish() (*Snapshot, error) {
	m := &clusterpb.Snapshot{Format: Format}
	counts := make(map[string]uint64, len(c.groups))
	for kind, entities := range c.groups {
		slices.SortFunc(entities, func(a, b encoded) int { return cmp.Compare(a.id, b.id) })
		g := &clusterpb.Group{Kind: kind, Entities: make([][]byte, len(entities))}
		for i, e := range entities {
			g.Entities[i] = e.bytes
		}
		m.Groups = append(m.Groups, g)
		counts[kind] = uint64(len(entities))
	}
	slices.SortFunc(m.Groups, func(a, b *clusterpb.Group) int { return cmp.Compare(a.GetKind(), b.GetKind()) })

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
