package schema

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

func TestVariant(t *testing.T) {
	c := load(t)
	for _, tt := range []struct {
		kind, name string
		want       bool
	}{
		{"vaults", "env", true}, {"partials", "redis-ce", true}, {"partials", "redis-ee", true}, {"plugins", "key-auth", true},
		{"vaults", "hcv", false}, {"vaults", "redis-ee", false}, {"routes", "http", false}, {"nothing", "env", false},
	} {
		s, ok := c.Variant(tt.kind, tt.name)
		if ok != tt.want || ok && s.Kind() != tt.name {
			t.Errorf("Variant(%q, %q): found %v, want %v", tt.kind, tt.name, ok, tt.want)
		}
	}
	env, _ := c.Variant("vaults", "env")
	const want = `{"fields":[{"prefix":{"type":"string","match":"^[A-Za-z_-][A-Za-z0-9_-]*$"}}],"entity_checks":[]}`
	if got := undescribed(env.DescribeConfig()).String(); got != want {
		t.Errorf("DescribeConfig\n got %s\nwant %s", got, want)
	}
}

// things have configurations by their names.
const things = `[gibbon.schema.v1.entity] { kind: "things" subschema_key: "name" subschema_err: "no %s here, %s" }`

// withConfigs compiles an entity and configurations of the names "kind.name".
func withConfigs(t *testing.T, entity, fields string, names ...string) (*Catalogue, error) {
	t.Helper()
	var file strings.Builder
	fmt.Fprintf(&file, `name: "configs.proto" package: "configs" syntax: "proto3" dependency: "gibbon/schema/v1/schema.proto"
		message_type { name: "T" %s options { %s } }`, fields, entity)
	for i, name := range names {
		kind, name, _ := strings.Cut(name, ".")
		fmt.Fprintf(&file, ` message_type { name: "C%d" %s options { [gibbon.schema.v1.config] { kind: %q name: %q } } }`,
			i, protoField("a", integer, `default: "1"`), kind, name)
	}
	var fd descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(file.String()), &fd); err != nil {
		t.Fatal(err)
	}
	made, err := protodesc.NewFile(&fd, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	var messages []protoreflect.MessageDescriptor
	for i := range made.Messages().Len() {
		messages = append(messages, made.Messages().Get(i))
	}
	return compile(messages, Options{})
}

func TestConfigs(t *testing.T) {
	fields := protoField("name", text, `required: true`) + protoField("alias", text, `not_subschema: true not_one_of: "z"`) +
		protoField("config", `type: TYPE_BYTES`, `type: TYPE_CONFIG required: true`)
	c, err := withConfigs(t, things, fields, "things.y", "things.x")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := c.Entity("things")
	for _, tt := range []struct{ body, want string }{
		{`{"name":"x","alias":"w"}`, ``},
		{`{"name":"x","alias":"y","config":{"b":1}}`, `{"alias":"must not be one of: z, x, y","config":{"b":"unknown field"}}`},
		{`{"name":"q","config":{"b":1}}`, `{"name":"no q here, q"}`},
		{`{}`, `{"name":"required field missing"}`},
		{`{"name":1}`, `{"name":"expected a string"}`},
	} {
		doc := complete(t, s, tt.body)
		if got := violation(s.Validate(doc, Insert)).String(); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.body, got, tt.want)
		}
	}
	if got := complete(t, s, `{"name":"y"}`).Get("config").String(); got != `{"a":1}` {
		t.Errorf("config = %s", got)
	}
	// The limit on plugins is none on other configurations.
	c.LimitPlugins(nil)
	if err := s.Validate(complete(t, s, `{"name":"y"}`), Insert); err != nil {
		t.Errorf("limited plugins: %v", err)
	}

	for _, tt := range []struct {
		name, entity, fields, want string
		configs                    []string
	}{
		{"twice", things, fields, `two configurations of "x"`, []string{"things.x", "things.x"}},
		{"none", things, fields, "no message is a configuration of things", nil},
		{"of no entity", things, fields, `no subschema of "others"`, []string{"things.x", "others.x"}},
		{"of an entity without", `[gibbon.schema.v1.entity] { kind: "things" }`, protoField("name", text, ``), `no subschema of "things"`, []string{"things.x"}},
		{"without a name", things, fields, "no name", []string{"things."}},
		{"an unknown rewrite", `[gibbon.schema.v1.entity] { kind: "things" rewrites: "nothing" }`, fields, `no rewrite "nothing"`, nil},
	} {
		if _, err := withConfigs(t, tt.entity, tt.fields, tt.configs...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestReach has entities that are found by less than others.
func TestReach(t *testing.T) {
	c := load(t)
	for _, kind := range []string{"tags", "clustering_data_planes", "parameters"} {
		s, ok := c.Entity(kind)
		if !ok || s.HasPaths() {
			t.Errorf("%s: found %v, has paths", kind, ok)
		}
		if _, ok := c.Path(kind); ok {
			t.Errorf("%s has a path", kind)
		}
		for _, e := range c.Entities() {
			if e.Kind() == kind {
				t.Errorf("%s is kept as an entity", kind)
			}
		}
	}
	targets, ok := c.Entity("targets")
	if !ok || !targets.HasPaths() || targets.NestedPath() != "targets" {
		t.Errorf("targets: %v", ok)
	}
	if _, ok := c.Path("targets"); ok {
		t.Error("targets have a path of their own")
	}
	chains, ok := c.Path("filter-chains")
	if !ok || chains.NestedPath() != "filter-chains" {
		t.Errorf("filter-chains: %v", ok)
	}
	for kind, want := range map[string]bool{"snis": true, "services": false} {
		for _, f := range entity(t, kind).Foreign() {
			if f.Kind == "certificates" && f.NoPath != want {
				t.Errorf("%s.%s: NoPath = %v", kind, f.Field, f.NoPath)
			}
		}
	}
}
