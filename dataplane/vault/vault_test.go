package vault_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func vaults() *vault.Vaults {
	env := map[string]string{"OPENAI": "sk-1", "APP_OPENAI": "sk-2", "NODE_OPENAI": "sk-3", "CREDS": `{"key":"sk-4"}`}
	return vault.New([]*entitypb.Vault{
		{Prefix: "mine", Name: "env", Config: []byte(`{"prefix":"app_"}`)},
		{Prefix: "bare", Name: "env", Config: []byte(`{"prefix":null}`)},
		{Prefix: "away", Name: "hcv", Config: []byte(`{}`)},
		{Prefix: "broken", Name: "env", Config: []byte(`{"prefix":7}`)},
	}, "node_", func(name string) (string, bool) { value, ok := env[name]; return value, ok })
}

func TestGet(t *testing.T) {
	for _, tt := range []struct{ ref, want, err string }{
		{"{vault://env/openai}", "sk-3", ""},
		{"{vault://mine/openai}", "sk-2", ""},
		{"{vault://mine/openai?prefix=}", "sk-1", ""},
		{"{vault://bare/openai}", "sk-1", ""},
		{"{vault://bare/creds/key}", "sk-4", ""},
		{"{vault://mine/missing}", "", "could not get value from external vault (variable APP_MISSING is not set)"},
		{"{vault://other/openai}", "", "could not find vault (other)"},
		{"{vault://away/openai}", "", "could not find vault (hcv)"},
		{"{vault://broken/openai}", "", "the configuration of vault broken: "},
		{"openai", "", "not a reference [openai]"},
	} {
		got, err := vaults().Get(tt.ref)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != tt.want || !strings.HasPrefix(text, tt.err) || (tt.err == "") != (err == nil) {
			t.Errorf("%s: %q, %q; want %q, %q", tt.ref, got, text, tt.want, tt.err)
		}
	}
}

// References are replaced where the schema lets them stand, and nowhere else.
func TestResolve(t *testing.T) {
	const ref, lost = "{vault://mine/openai}", "{vault://mine/missing}"
	m := &pluginpb.AiProxy{
		Auth:  &pluginpb.AiAuth{HeaderName: proto.String("Authorization"), HeaderValue: proto.String(ref), ParamValue: proto.String(lost)},
		Model: &pluginpb.AiModel{Name: proto.String(ref), Provider: "openai"},
	}
	var told []string
	if !vaults().Resolve(m, func(field, ref string, err error) { told = append(told, fmt.Sprintf("%s %s: %v", field, ref, err)) }) {
		t.Error("no reference was found")
	}
	want := &pluginpb.AiProxy{
		Auth: &pluginpb.AiAuth{HeaderName: proto.String("Authorization"), HeaderValue: proto.String("sk-2"), ParamValue: proto.String("")},
		// A model's name may be anything, also this.
		Model: &pluginpb.AiModel{Name: proto.String(ref), Provider: "openai"},
	}
	if diff := cmp.Diff(want, m, protocmp.Transform()); diff != "" {
		t.Errorf("resolved (-want +got):\n%s", diff)
	}
	wantTold := []string{"auth.param_value " + lost + ": could not get value from external vault (variable APP_MISSING is not set)"}
	if diff := cmp.Diff(wantTold, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}

	plain := &pluginpb.AiProxy{Auth: &pluginpb.AiAuth{HeaderValue: proto.String("Bearer {vault://mine/openai}")}, Model: m.Model}
	before := proto.Clone(plain)
	if vaults().Resolve(plain, func(field, ref string, err error) { t.Errorf("%s %s: %v", field, ref, err) }) || !proto.Equal(before, plain) {
		t.Errorf("a text that holds a reference became %v", plain)
	}
}

// The same in lists and maps, of texts and of records.
func TestResolveDeep(t *testing.T) {
	rules := func(f *schemapb.Field) *descriptorpb.FieldOptions {
		o := &descriptorpb.FieldOptions{}
		proto.SetExtension(o, schemapb.E_Field, f)
		return o
	}
	label := descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	text, message := descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
	entry := func(name string, value *descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: proto.String(name), Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)}, Field: []*descriptorpb.FieldDescriptorProto{
			{Name: proto.String("key"), Number: proto.Int32(1), Type: text, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}, value,
		}}
	}
	one := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("t.proto"), Package: proto.String("t"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("M"),
			Field: []*descriptorpb.FieldDescriptorProto{
				{Name: proto.String("list"), Number: proto.Int32(1), Type: text, Label: label, Options: rules(&schemapb.Field{Elements: &schemapb.Field{Referenceable: true}})},
				{Name: proto.String("closed"), Number: proto.Int32(2), Type: text, Label: label},
				{Name: proto.String("map"), Number: proto.Int32(3), Type: message, TypeName: proto.String(".t.M.MapEntry"), Label: label, Options: rules(&schemapb.Field{Values: &schemapb.Field{Referenceable: true}})},
				{Name: proto.String("inner"), Number: proto.Int32(4), Type: message, TypeName: proto.String(".t.M"), Label: label},
				{Name: proto.String("named"), Number: proto.Int32(5), Type: message, TypeName: proto.String(".t.M.NamedEntry"), Label: label},
			},
			NestedType: []*descriptorpb.DescriptorProto{
				entry("MapEntry", &descriptorpb.FieldDescriptorProto{Name: proto.String("value"), Number: proto.Int32(2), Type: text, Label: one}),
				entry("NamedEntry", &descriptorpb.FieldDescriptorProto{Name: proto.String("value"), Number: proto.Int32(2), Type: message, TypeName: proto.String(".t.M"), Label: one}),
			},
		}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	kind := file.Messages().Get(0)
	field := func(name string) protoreflect.FieldDescriptor { return kind.Fields().ByName(protoreflect.Name(name)) }
	const ref = "{vault://mine/openai}"
	texts := func(m protoreflect.Message, name string, values ...string) {
		for _, value := range values {
			m.Mutable(field(name)).List().Append(protoreflect.ValueOfString(value))
		}
	}
	fill := func(m protoreflect.Message, secret string) {
		texts(m, "list", "a", secret)
		texts(m, "closed", ref)
		m.Mutable(field("map")).Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfString(secret))
	}
	build := func(secret string) proto.Message {
		m := dynamicpb.NewMessage(kind)
		fill(m, secret)
		inner := m.Mutable(field("inner")).List()
		fill(inner.AppendMutable().Message(), secret)
		fill(m.Mutable(field("named")).Map().Mutable(protoreflect.ValueOfString("n").MapKey()).Message(), secret)
		return m
	}
	got := build(ref)
	if !vaults().Resolve(got, func(field, ref string, err error) { t.Errorf("%s %s: %v", field, ref, err) }) {
		t.Error("no reference was found")
	}
	if diff := cmp.Diff(build("sk-2"), got, protocmp.Transform()); diff != "" {
		t.Errorf("resolved (-want +got):\n%s", diff)
	}

	lost := build("{vault://nobody/x}")
	var told []string
	vaults().Resolve(lost, func(field, _ string, _ error) { told = append(told, field) })
	slices.Sort(told)
	want := []string{"inner.1.list.2", "inner.1.map.k", "list.2", "map.k", "named.n.list.2", "named.n.map.k"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told of (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(build(""), lost, protocmp.Transform()); diff != "" {
		t.Errorf("what leads to nothing (-want +got):\n%s", diff)
	}
}
