package admin

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/schema"
)

// TestOverride overrides a plugin that is installed: the path for it names one
// that is not, and must do the same once it is.
func TestOverride(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gibbon.db")
	if _, err := sqlstore.NewSQLiteMigrator(path, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := sqlstore.OpenSQLite(t.Context(), path, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Store: st, Catalogue: catalogue})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fields := func(text string) *structpb.Struct {
		out := &structpb.Struct{}
		if err := out.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return out
	}
	all, groups := &entities{server: s}, &consumerGroups{server: s}
	if _, err := all.Create(t.Context(), &adminpb.CreateRequest{Kind: "consumer_groups", Body: fields(`{"name":"gold"}`)}); err != nil {
		t.Fatal(err)
	}
	plugins := func() (texts []string) {
		list, err := all.List(t.Context(), &adminpb.ListRequest{Kind: "plugins", ParentKind: "consumer_groups", Parent: "gold"})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list.GetData() {
			texts = append(texts, p.GetFields()["id"].GetStringValue()+" "+p.GetFields()["config"].GetStructValue().GetFields()["path"].GetStringValue())
		}
		return texts
	}
	var ids []string
	for _, path := range []string{"/tmp/a", "/tmp/b"} {
		out, err := groups.override(t.Context(), "gold", "file-log", fields(`{"config":{"path":"`+path+`"}}`))
		if err != nil {
			t.Fatalf("override with %s: %v", path, err)
		}
		f := out.GetBody().GetFields()
		if f["group"].GetStringValue() != "gold" || f["plugin"].GetStringValue() != "file-log" ||
			f["config"].GetStructValue().GetFields()["path"].GetStringValue() != path {
			t.Errorf("override with %s: got %v", path, out.GetBody())
		}
		got := plugins()
		if len(got) != 1 || !strings.HasSuffix(got[0], " "+path) {
			t.Fatalf("after the override with %s the group has the plugins %v", path, got)
		}
		ids = append(ids, strings.Fields(got[0])[0])
		found, err := all.Get(t.Context(), &adminpb.GetRequest{Kind: "plugins", Ref: ids[0]})
		if err != nil {
			t.Fatal(err)
		}
		if on := found.GetBody().GetFields()["enabled"].GetBoolValue(); on != (len(ids) == 1) {
			t.Errorf("after override %d enabled is %t", len(ids), on)
		}
		// What the next override says nothing of stays.
		if _, err := all.Update(t.Context(), &adminpb.UpdateRequest{Kind: "plugins", Ref: ids[0], Body: fields(`{"enabled":false}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("the second override made another plugin: %v", ids)
	}
	if _, err := groups.override(t.Context(), "gold", "file-log", fields(`{"config":{}}`)); err == nil {
		t.Error("an override without what the plugin needs was accepted")
	}
	if _, err := groups.deleteOverride(t.Context(), "gold", "file-log"); err != nil {
		t.Errorf("delete the override: %v", err)
	}
	if got := plugins(); len(got) != 0 {
		t.Errorf("the group still has the plugins %v", got)
	}
	var missing *Error
	if _, err := groups.deleteOverride(t.Context(), "gold", "file-log"); !errors.As(err, &missing) || missing.Status != 404 {
		t.Errorf("delete what is gone: got %v, want a 404", err)
	}
}
