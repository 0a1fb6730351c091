package plugins_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugins"
)

// Every message that is a plugin's configuration has a plugin in the list, and
// every plugin in the list has such a message, under the same name.
func TestListAndProtosPair(t *testing.T) {
	declared := map[string]protoreflect.FullName{}
	protoregistry.GlobalFiles.RangeFilesByPackage("gibbon.plugin.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			if info, ok := proto.GetExtension(m.Options(), schemapb.E_Plugin).(*schemapb.Plugin); ok && info != nil {
				declared[info.GetName()] = m.FullName()
			}
		}
		return true
	})
	if want := (&pluginpb.KeyAuth{}).ProtoReflect().Descriptor().FullName(); declared["key-auth"] != want {
		t.Fatalf("the protos declare %v, want key-auth as %s among them", declared, want)
	}
	listed := map[string]bool{}
	for _, p := range plugins.All {
		if listed[p.Name()] {
			t.Errorf("%s is listed twice", p.Name())
		}
		listed[p.Name()] = true
		if got := declared[p.Name()]; got != p.Config().FullName() {
			t.Errorf("%s is configured by %s, but its name is declared by %q", p.Name(), p.Config().FullName(), got)
		}
		if p.Info().GetPriority() == 0 || p.Info().GetVersion() == "" {
			t.Errorf("%s declares priority %d and version %q", p.Name(), p.Info().GetPriority(), p.Info().GetVersion())
		}
	}
	for name, message := range declared {
		if !listed[name] {
			t.Errorf("%s declares %s, which is not in the list", message, name)
		}
	}
}
