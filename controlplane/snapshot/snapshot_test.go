package snapshot

import (
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "rewrite the golden files")

func catalogue(tb testing.TB) *schema.Catalogue {
	tb.Helper()
	c, err := schema.Load(schema.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// stored is an entity as the store holds it: completed by its schema.
func stored(tb testing.TB, c *schema.Catalogue, kind, id, body string) store.Entity {
	tb.Helper()
	s, ok := c.Entity(kind)
	if !ok {
		tb.Fatalf("no schema for %s", kind)
	}
	doc, err := schema.Parse([]byte(body))
	if err != nil {
		tb.Fatal(err)
	}
	doc = s.Complete(doc.With(schema.String(id), "id"), time.Unix(1_700_000_000, 0))
	e := store.Entity{Kind: kind, ID: id, Document: doc.AppendJSON(nil)}
	if !s.Global() {
		e.Workspace = "default"
	}
	return e
}

// of puts an entity into another workspace.
func of(workspace string, e store.Entity) store.Entity {
	e.Workspace = workspace
	return e
}

func uuid(n int) string { return fmt.Sprintf("0a5e2a3c-6a4f-4b0e-8d0c-%012d", n) }

func entities(tb testing.TB, c *schema.Catalogue) []store.Entity {
	return []store.Entity{
		stored(tb, c, "services", uuid(1), `{"name":"a","host":"a.example","path":"/v1","tags":["x","y"]}`),
		stored(tb, c, "services", uuid(2), `{"name":"b","host":"b.example","port":8443,"protocol":"https"}`),
		stored(tb, c, "routes", uuid(3), `{"name":"r","paths":["/a","~/b$"],"headers":{"x-b":["1"],"x-a":["2","3"]},"service":{"id":"`+uuid(1)+`"}}`),
		stored(tb, c, "consumers", uuid(4), `{"username":"alice"}`),
		stored(tb, c, "plugins", uuid(5), `{"name":"key-auth","service":{"id":"`+uuid(1)+`"},"config":{}}`),
		stored(tb, c, "plugins", uuid(6), `{"name":"file-log","config":{"path":"/tmp/log"}}`),
		stored(tb, c, "plugins", uuid(7), `{"name":"key-auth","config":{"key_names":["k"]}}`),
	}
}

func seq(list []store.Entity) iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func decode(tb testing.TB, s *Snapshot) *clusterpb.Snapshot {
	tb.Helper()
	r, err := zstd.NewReader(nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	raw, err := r.DecodeAll(s.Compressed, nil)
	if err != nil {
		tb.Fatal(err)
	}
	m := &clusterpb.Snapshot{}
	if err := proto.Unmarshal(raw, m); err != nil {
		tb.Fatal(err)
	}
	if len(raw) != s.Size {
		tb.Errorf("Size = %d, the content has %d bytes", s.Size, len(raw))
	}
	return m
}

func TestCompile(t *testing.T) {
	c := catalogue(t)
	got, err := Compile(c, seq(entities(t, c)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"services": 2, "routes": 1, "consumers": 1, "plugins": 3}, got.Entities); diff != "" {
		t.Errorf("Entities (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"file-log", "key-auth"}, got.Plugins); diff != "" {
		t.Errorf("Plugins (-want +got):\n%s", diff)
	}

	// The golden file shows the content as JSON.
	types := map[string]func() proto.Message{
		"services":  func() proto.Message { return &entitypb.Service{} },
		"routes":    func() proto.Message { return &entitypb.Route{} },
		"consumers": func() proto.Message { return &entitypb.Consumer{} },
		"plugins":   func() proto.Message { return &entitypb.Plugin{} },
	}
	m := decode(t, got)
	var b strings.Builder
	fmt.Fprintf(&b, "format %d\n", m.GetFormat())
	for _, g := range m.GetGroups() {
		for _, raw := range g.GetEntities() {
			e := types[g.GetKind()]()
			if err := proto.Unmarshal(raw, e); err != nil {
				t.Fatal(err)
			}
			text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := schema.Parse(text) // protojson's spaces change from build to build
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %s %s\n", g.GetKind(), g.GetWorkspace(), doc)
		}
	}
	golden := filepath.Join("testdata", "compile.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
}

// Entities of several workspaces lie in groups of their own, in the order of kinds
// and then of workspaces, and the snapshot has the format that says so.
func TestCompileWorkspaces(t *testing.T) {
	c := catalogue(t)
	list := append(entities(t, c), stored(t, c, "workspaces", uuid(100), `{"name":"default","comment":"for no node"}`))
	for i, workspace := range []string{"west", "east", "Zoo"} {
		list = append(list,
			stored(t, c, "workspaces", uuid(101+i), `{"name":"`+workspace+`"}`),
			of(workspace, stored(t, c, "consumers", uuid(10+i), `{"username":"alice"}`)),
			of(workspace, stored(t, c, "services", uuid(20+i), `{"name":"a","host":"`+workspace+`.example"}`)))
	}
	snap, err := Compile(c, seq(list))
	if err != nil {
		t.Fatal(err)
	}
	m := decode(t, snap)
	var got []string
	for _, g := range m.GetGroups() {
		got = append(got, fmt.Sprintf("%s %s %s %d", g.GetKind(), g.GetWorkspace(), g.GetWorkspaceId()[34:], len(g.GetEntities())))
	}
	want := []string{
		"consumers Zoo 03 1", "consumers default 00 1", "consumers east 02 1", "consumers west 01 1", "plugins default 00 3", "routes default 00 1",
		"services Zoo 03 1", "services default 00 2", "services east 02 1", "services west 01 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if m.GetFormat() != Format {
		t.Errorf("format %d, want %d", m.GetFormat(), Format)
	}
	if diff := cmp.Diff(map[string]uint64{"services": 5, "routes": 1, "consumers": 4, "plugins": 3}, snap.Entities); diff != "" {
		t.Errorf("Entities (-want +got):\n%s", diff)
	}
}

// What older data planes would pass over to the harm of what it says has a format
// that they refuse.
func TestCompileFormat(t *testing.T) {
	c := catalogue(t)
	for _, tt := range []struct {
		name string
		add  store.Entity
		want uint32
	}{
		{"what has always been there", stored(t, c, "consumers", uuid(9), `{"username":"bob"}`), FormatBase},
		{"a plugin of a consumer", stored(t, c, "plugins", uuid(9), `{"name":"file-log","consumer":{"id":"`+uuid(4)+`"},"config":{"path":"/tmp/log"}}`), FormatBase},
		{"a plugin of a group", stored(t, c, "plugins", uuid(9), `{"name":"file-log","consumer_group":{"id":"`+uuid(8)+`"},"config":{"path":"/tmp/log"}}`), Format},
		{"a plugin with an order", stored(t, c, "plugins", uuid(9), `{"name":"file-log","ordering":{"before":{"access":["key-auth"]}},"config":{"path":"/tmp/log"}}`), Format},
		{"a group", stored(t, c, "consumer_groups", uuid(9), `{"name":"gold"}`), FormatBase},
		{"another workspace that is empty", stored(t, c, "workspaces", uuid(9), `{"name":"west"}`), FormatBase},
		{"an entity of another workspace", of("west", stored(t, c, "consumers", uuid(9), `{"username":"bob"}`)), Format},
	} {
		snap, err := Compile(c, seq(append(entities(t, c), tt.add)))
		if err != nil {
			t.Fatal(err)
		}
		if got := decode(t, snap).GetFormat(); got != tt.want {
			t.Errorf("%s: format %d, want %d", tt.name, got, tt.want)
		}
	}
	// Workspaces alone are no configuration.
	snap, err := Compile(c, seq([]store.Entity{stored(t, c, "workspaces", uuid(1), `{"name":"default"}`)}))
	if err != nil || fmt.Sprintf("%x", snap.Hash) != EmptyHash() {
		t.Errorf("Compile of a workspace gives %x, %v; want the empty hash", snap.Hash, err)
	}
}

// What no data plane needs stays on the control planes, above all what is secret;
// the rest travels.
func TestCompileControlOnly(t *testing.T) {
	c := catalogue(t)
	list := []store.Entity{
		stored(t, c, "licenses", uuid(1), `{"payload":"{\"planted\":1}"}`),
		stored(t, c, "keys", uuid(2), `{"kid":"planted","jwk":"{\"kid\":\"planted\"}"}`),
		stored(t, c, "key_sets", uuid(3), `{"name":"planted"}`),
		stored(t, c, "partials", uuid(4), `{"name":"planted","type":"redis-ce","config":{"password":"planted"}}`),
		stored(t, c, "filter_chains", uuid(5), `{"name":"planted","filters":[{"name":"f","config":"planted"}]}`),
		stored(t, c, "oauth2_tokens", uuid(6), `{"access_token":"planted","expires_in":1}`),
		stored(t, c, "oauth2_authorization_codes", uuid(7), `{"code":"planted"}`),
		stored(t, c, "workspaces", uuid(8), `{"name":"default","comment":"planted"}`),
	}
	snap, err := Compile(c, seq(list))
	if err != nil {
		t.Fatal(err)
	}
	if m := decode(t, snap); len(m.GetGroups()) > 0 || len(snap.Entities) > 0 {
		t.Errorf("the snapshot holds %v of them", snap.Entities)
	}
	for _, e := range list {
		s, _ := c.Entity(e.Kind)
		rules, _ := proto.GetExtension(s.Descriptor().Options(), schemapb.E_Entity).(*schemapb.Entity)
		if !rules.GetControlOnly() && !rules.GetWorkspaces() {
			t.Errorf("nothing says that %s stay on control planes", e.Kind)
		}
	}
	travels := []store.Entity{
		stored(t, c, "basicauth_credentials", uuid(1), `{"username":"u","password":"hash","consumer":{"id":"`+uuid(9)+`"}}`),
		stored(t, c, "jwt_secrets", uuid(2), `{"key":"k","secret":"s","consumer":{"id":"`+uuid(9)+`"}}`),
		stored(t, c, "acls", uuid(3), `{"group":"g","consumer":{"id":"`+uuid(9)+`"}}`),
		stored(t, c, "certificates", uuid(4), `{"cert":"c","key":"k"}`),
		stored(t, c, "snis", uuid(5), `{"name":"a.example","certificate":{"id":"`+uuid(4)+`"}}`),
		stored(t, c, "ca_certificates", uuid(6), `{"cert":"c"}`),
		stored(t, c, "vaults", uuid(7), `{"prefix":"mine","name":"env","config":{"prefix":"app_"}}`),
		stored(t, c, "consumer_groups", uuid(8), `{"name":"g"}`),
	}
	if snap, err = Compile(c, seq(travels)); err != nil || len(snap.Entities) != len(travels) {
		t.Errorf("the snapshot holds %v, %v; want one of each of %d kinds", snap.Entities, err, len(travels))
	}
}

// Neither the order of the entities nor the run enters the bytes.
func TestCompileIsPure(t *testing.T) {
	c := catalogue(t)
	list := append(entities(t, c), of("west", stored(t, c, "consumers", uuid(8), `{"username":"alice"}`)))
	first, err := Compile(catalogue(t), seq(list))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		again, err := Compile(catalogue(t), seq(list))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("another order gives (-first +again):\n%s", diff)
		}
	}
	other, err := Compile(catalogue(t), seq(list[1:]))
	if err != nil || other.Hash == first.Hash {
		t.Errorf("without an entity: %v, and the same hash: %t", err, other.Hash == first.Hash)
	}
}

func TestCompileNothing(t *testing.T) {
	got, err := Compile(catalogue(t), seq(nil))
	if err != nil {
		t.Fatal(err)
	}
	if m := decode(t, got); m.GetFormat() != FormatBase || len(m.GetGroups()) != 0 || len(got.Entities) != 0 || len(got.Plugins) != 0 {
		t.Errorf("Compile of nothing = %+v with %v", got, m)
	}
	if hash := fmt.Sprintf("%x", got.Hash); hash != EmptyHash() {
		t.Errorf("EmptyHash = %s, Compile of nothing gives %s", EmptyHash(), hash)
	}
}

func TestCompileRefuses(t *testing.T) {
	c := catalogue(t)
	good := stored(t, c, "services", uuid(1), `{"host":"a.example"}`)
	away := errors.New("connection lost")
	for _, tt := range []struct {
		name string
		bad  store.Entity
		err  error
		want string
	}{
		{"unknown kind", store.Entity{Kind: "unicorns", ID: "7", Document: []byte(`{}`)}, nil, `unicorns 7: no schema for kind "unicorns"`},
		{"no JSON", store.Entity{Kind: "services", ID: "7", Document: []byte(`{`)}, nil, "services 7: parse: "},
		{"no object", store.Entity{Kind: "services", ID: "7", Document: []byte(`[]`)}, nil, "services 7: encode: "},
		{"wrong type", store.Entity{Kind: "services", ID: "7", Document: []byte(`{"port":"x"}`)}, nil, "services 7: encode: "},
		{"the store fails", store.Entity{}, away, "read entities: connection lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Compile(c, func(yield func(store.Entity, error) bool) {
				if yield(good, nil) && yield(tt.bad, tt.err) && tt.err != nil {
					t.Error("Compile read on")
				}
			})
			if got != nil || err == nil || !strings.HasPrefix(err.Error(), tt.want) || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("Compile = %v, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// TestPutAll compares many entities at once with one by one, and looks for the
// first of several that are wrong.
func TestPutAll(t *testing.T) {
	c := catalogue(t)
	one, many := NewCompiler(c), NewCompiler(c)
	var list []store.Entity
	for i := range chunk + 100 {
		list = append(list, stored(t, c, "services", uuid(i), fmt.Sprintf(`{"host":"h%d.example"}`, i)))
	}
	for _, e := range list {
		if err := one.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if err := many.PutAll(seq(list)); err != nil {
		t.Fatal(err)
	}
	want, err := one.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	got, err := many.Snapshot()
	if err != nil || got.Hash != want.Hash || got.Entities["services"] != chunk+100 {
		t.Errorf("PutAll gives %x of %v (%v), Put gives %x of %v", got.Hash, got.Entities, err, want.Hash, want.Entities)
	}

	list[chunk+10].Document, list[chunk+20].Document = []byte(`{`), []byte(`[`)
	if err := NewCompiler(c).PutAll(seq(list)); err == nil || !strings.HasPrefix(err.Error(), "services "+list[chunk+10].ID+": parse: ") {
		t.Errorf("PutAll = %v, want the first entity that is wrong, %s", err, list[chunk+10].ID)
	}
}

// large is 10,000 services, routes and plugins, in the order in which the store
// has them.
func large(b *testing.B, c *schema.Catalogue) []store.Entity {
	var lists [3][]store.Entity
	for i := range 10_000 {
		lists[0] = append(lists[0], stored(b, c, "plugins", uuid(i),
			fmt.Sprintf(`{"name":"key-auth","route":{"id":%q},"config":{"key_names":["k%d"]}}`, uuid(i), i)))
		lists[1] = append(lists[1], stored(b, c, "routes", uuid(i),
			fmt.Sprintf(`{"name":"r%d","paths":["/p%d"],"service":{"id":%q}}`, i, i, uuid(i))))
		lists[2] = append(lists[2], stored(b, c, "services", uuid(i), fmt.Sprintf(`{"name":"s%d","host":"h%d.example"}`, i, i)))
	}
	return slices.Concat(lists[:]...)
}

func BenchmarkCompile(b *testing.B) {
	c := catalogue(b)
	list := large(b, c)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Compile(c, seq(list))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(s.Compressed)), "compressed-bytes")
		b.ReportMetric(float64(s.Size), "bytes")
	}
}

// BenchmarkFollow makes the snapshot after one entity more, as after each write.
func BenchmarkFollow(b *testing.B) {
	compiler := NewCompiler(catalogue(b))
	list := large(b, catalogue(b))
	for _, e := range list {
		if err := compiler.Put(e); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		one := list[len(list)-1]
		one.ID = uuid(20_000 + i%100)
		if err := compiler.Put(one); err != nil {
			b.Fatal(err)
		}
		if _, err := compiler.Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
}
