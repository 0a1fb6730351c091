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
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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
	c := NewCompiler(catalogue)
	if err := c.PutAll(all); err != nil {
		return nil, err
	}
	return c.Snapshot()
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

// Compiler keeps the entities of a configuration in their encoded form, so that
// a snapshot after a few changes costs little more than putting it together. It
// is for one goroutine.
type Compiler struct {
	catalogue *schema.Catalogue
	kinds     map[string]*kind
	entities  map[key]*encoded
	groups    map[group][]*encoded // each in the order of ids
	zstd      *zstd.Encoder        // made for the first snapshot
}

type key struct{ kind, id string }

// encoded is one entity, and what a snapshot has to know of it besides its
// bytes.
type encoded struct {
	id        string
	workspace string
	bytes     []byte // nil for a workspace, which only gives its id
	names     string // the workspace that the entity is; "" for all others
	plugin    string // whose configuration it holds
	format    uint32 // the least that carries it
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

// NewCompiler returns a compiler of a configuration without entities.
func NewCompiler(catalogue *schema.Catalogue) *Compiler {
	return &Compiler{
		catalogue: catalogue, kinds: map[string]*kind{},
		entities: map[key]*encoded{}, groups: map[group][]*encoded{},
	}
}

// Put adds an entity, or replaces the one with its kind and id. The errors are
// those of Compile; after one the compiler is what it was.
func (c *Compiler) Put(e store.Entity) error {
	k, err := c.kind(e.Kind)
	var one *encoded
	if err == nil {
		one, err = k.encode(e)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", e.Kind, e.ID, err)
	}
	if one != nil {
		c.put(e.Kind, one)
	}
	return nil
}

// chunk is how many entities PutAll holds at once.
const chunk = 2048

// PutAll is Put for many, on all cores. It reads some way past an entity that
// is an error; those before it are put.
func (c *Compiler) PutAll(all iter.Seq2[store.Entity, error]) error {
	list := make([]store.Entity, 0, chunk)
	for e, err := range all {
		if err != nil {
			return cmp.Or(c.putList(list), fmt.Errorf("read entities: %w", err))
		}
		if list = append(list, e); len(list) == chunk {
			if err := c.putList(list); err != nil {
				return err
			}
			list = list[:0]
		}
	}
	return c.putList(list)
}

func (c *Compiler) putList(list []store.Entity) error {
	type result struct {
		one *encoded
		err error
	}
	results := make([]result, len(list))
	kinds := make([]*kind, len(list))
	for i, e := range list {
		kinds[i], results[i].err = c.kind(e.Kind)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(list)) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(list)); i = next.Add(1) - 1 {
				if kinds[i] != nil {
					results[i].one, results[i].err = kinds[i].encode(list[i])
				}
			}
		})
	}
	all.Wait()
	for i, e := range list {
		if err := results[i].err; err != nil {
			return fmt.Errorf("%s %s: %w", e.Kind, e.ID, err)
		}
		if one := results[i].one; one != nil {
			c.put(e.Kind, one)
		}
	}
	return nil
}

// put takes an encoded entity in.
func (c *Compiler) put(kind string, one *encoded) {
	k := key{kind, one.id}
	if old, ok := c.entities[k]; ok && old.workspace == one.workspace {
		*old = *one
		return
	}
	c.Remove(kind, one.id)
	of := group{kind, one.workspace}
	// The store gives all entities in the order of ids, so this mostly appends.
	i, _ := slices.BinarySearchFunc(c.groups[of], one.id, byID)
	c.groups[of] = slices.Insert(c.groups[of], i, one)
	c.entities[k] = one
}

// Remove takes an entity out, if it is there.
func (c *Compiler) Remove(kind, id string) {
	old, ok := c.entities[key{kind, id}]
	if !ok {
		return
	}
	delete(c.entities, key{kind, id})
	of := group{kind, old.workspace}
	i, _ := slices.BinarySearchFunc(c.groups[of], id, byID)
	if c.groups[of] = slices.Delete(c.groups[of], i, i+1); len(c.groups[of]) == 0 {
		delete(c.groups, of)
	}
}

func byID(e *encoded, id string) int { return strings.Compare(e.id, id) }

// encode is an entity as the compiler keeps it; nil for one that never leaves
// the control plane. It may be called by several goroutines.
func (k *kind) encode(e store.Entity) (*encoded, error) {
	if k.rules.GetControlOnly() {
		return nil, nil
	}
	doc, err := schema.Parse(e.Document)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	one := &encoded{id: e.ID, workspace: e.Workspace, format: FormatBase}
	if k.rules.GetWorkspaces() {
		one.names = doc.Get(k.schema.EndpointKey()).Text()
		return one, nil
	}
	message, err := k.schema.Message(doc)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if one.bytes, err = (proto.MarshalOptions{Deterministic: true}).Marshal(message); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if k.pluginKey != "" {
		one.plugin = doc.Get(k.pluginKey).Text()
	}
	if e.Workspace != "" && e.Workspace != defaultWorkspace {
		one.format = Format
	}
	for _, m := range k.marked {
		if message.ProtoReflect().Has(m.field) {
			one.format = max(one.format, m.format)
		}
	}
	return one, nil
}

// kind finds out, once, what is to be known of a kind.
func (c *Compiler) kind(name string) (*kind, error) {
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

// Snapshot puts the entities together. Equal entities give equal bytes, in
// whatever order they came.
func (c *Compiler) Snapshot() (*Snapshot, error) {
	m := &clusterpb.Snapshot{Format: FormatBase}
	counts := make(map[string]uint64, len(c.kinds))
	ids := map[string]string{} // of workspaces, by name
	for _, members := range c.groups {
		for _, e := range members {
			if e.names == "" {
				break // so are all others of the kind
			}
			ids[e.names] = e.id
		}
	}
	plugins := map[string]bool{}
	for of, members := range c.groups {
		if members[0].names != "" {
			continue
		}
		g := &clusterpb.Group{Kind: of.kind, Workspace: of.workspace, WorkspaceId: ids[of.workspace], Entities: make([][]byte, len(members))}
		last := ""
		for i, e := range members {
			g.Entities[i] = e.bytes
			m.Format = max(m.Format, e.format)
			if e.plugin != "" && e.plugin != last {
				last = e.plugin
				plugins[last] = true
			}
		}
		m.Groups = append(m.Groups, g)
		counts[of.kind] += uint64(len(members))
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
	compressed, err := c.compress(raw)
	if err != nil {
		return nil, fmt.Errorf("compress snapshot: %w", err)
	}
	return &Snapshot{
		Compressed: compressed,
		Size:       len(raw),
		Hash:       sha256.Sum256(raw),
		Entities:   counts,
		Plugins:    append([]string{}, slices.Sorted(maps.Keys(plugins))...),
	}, nil
}

// compress writes one zstd frame that states its content size, so that a
// receiver can check the size before it allocates.
func (c *Compiler) compress(raw []byte) ([]byte, error) {
	if c.zstd == nil {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		c.zstd = w // for EncodeAll alone, which leaves nothing to close
	}
	return c.zstd.EncodeAll(raw, nil), nil
}
