package declarative_test

import (
	"bytes"
	"iter"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// TestDerivedIDs holds ids that must never change: they are those that Kong
// derives from the same files.
func TestDerivedIDs(t *testing.T) {
	for _, tt := range []struct{ name, text, kind, want string }{
		{"a service", `{"services":[{"name":"my-service","host":"h"}]}`, "services", "0855b320-0dd2-547d-891d-601e9b38647f"},
		{"a consumer", `{"consumers":[{"username":"my-user"}]}`, "consumers", "4b1b701d-de2b-5588-9aa2-3b97061d9f52"},
		{"a route", `{"routes":[{"name":"my-route","paths":["/"]}]}`, "routes", "481a9539-f49c-51b6-b2e2-fe99ee68866c"},
		{"a global plugin", `{"plugins":[{"name":"key-auth"}]}`, "plugins", "6b4f38d1-e026-540b-a5ea-8634739dd2a7"},
		{"a plugin of a route", `{"routes":[{"name":"my-route","paths":["/"],"plugins":[{"name":"key-auth"}]}]}`, "plugins",
			derived("plugins", "plugins:*:key-auth:481a9539-f49c-51b6-b2e2-fe99ee68866c::")},
		{"a plugin of a nested route", `{"services":[{"name":"my-service","host":"h","routes":[{"name":"my-route","paths":["/"],"plugins":[{"name":"key-auth"}]}]}]}`, "plugins",
			derived("plugins", "plugins:*:key-auth:481a9539-f49c-51b6-b2e2-fe99ee68866c::")},
		{"a plugin that names its route", `{"routes":[{"name":"my-route","paths":["/"]}],"plugins":[{"name":"key-auth","route":"my-route"}]}`, "plugins",
			derived("plugins", "plugins:*:key-auth:my-route::")},
		{"a plugin with the id of its route", `{"routes":[{"name":"my-route","paths":["/"]}],"plugins":[{"name":"key-auth","route":{"id":"481a9539-f49c-51b6-b2e2-fe99ee68866c"}}]}`, "plugins",
			derived("plugins", "plugins:*:key-auth::")},
		{"a plugin of a consumer group", `{"consumer_groups":[{"name":"gold","plugins":[{"name":"file-log","config":{"path":"/tmp/l"}}]}]}`, "plugins",
			derived("plugins", "plugins:*:file-log::::"+derived("consumer_groups", "gold"))},
		{"an id that is given", `{"services":[{"id":"7F1C0A6E-8f0a-4a53-a1a5-51b1a3d0f5c1","name":"my-service","host":"h"}]}`, "services",
			"7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1"},
		{"a member of a group", `{"consumers":[{"username":"u"}],"consumer_groups":[{"name":"g"}],"consumer_group_consumers":[{"consumer":"u","consumer_group":"g"}]}`,
			"consumer_group_consumers", derived("consumer_group_consumers", "consumer_group_consumers:*:g:u")},
		{"an entity of a workspace", `{"workspaces":[{"id":"7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1","name":"w"}],"plugins":[{"name":"key-auth","ws_id":"7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1"}]}`,
			"plugins", derived("plugins", "plugins:7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1:key-auth:::")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(tt.text, "{", `{"_format_version":"3.0",`, 1)
			ids := idsOf(t, mustParse(t, text), tt.kind)
			if len(ids) != 1 || ids[0] != tt.want {
				t.Errorf("ids of %s in %s are %v, want %s", tt.kind, text, ids, tt.want)
			}
		})
	}
}

// derived is the id that follows from a name.
func derived(kind, name string) string {
	names := uuid.MustParse("fd02801f-0957-4a15-a55a-c8d9606f30b5")
	return uuid.NewSHA1(uuid.NewSHA1(names, []byte(kind)), []byte(name)).String()
}

// TestRandomIDs shows the entities whose ids cannot follow from a name.
func TestRandomIDs(t *testing.T) {
	const text = `{"_format_version":"3.0","services":[{"host":"h"}],
		"consumers":[{"custom_id":"c","keyauth_credentials":[{"key":"k"}]}]}`
	for _, kind := range []string{"services", "consumers", "keyauth_credentials"} {
		one, other := idsOf(t, mustParse(t, text), kind), idsOf(t, mustParse(t, text), kind)
		if len(one) != 1 || len(other) != 1 || one[0] == other[0] {
			t.Errorf("ids of %s are %v and %v, want two different ones", kind, one, other)
		}
	}
}

// TestIDsOfWorkspaces: two workspaces may load the same file.
func TestIDsOfWorkspaces(t *testing.T) {
	text := []byte(`{"_format_version":"3.0","services":[{"name":"my-service","host":"h"}]}`)
	seen := map[string]string{}
	for _, workspace := range []string{"", "one", "two"} {
		c, err := declarative.Parse(load(t), text, declarative.Options{Workspace: workspace, At: noon})
		if err != nil {
			t.Fatal(err)
		}
		id := idsOf(t, c, "services")[0]
		if other, ok := seen[id]; ok {
			t.Errorf("the workspaces %q and %q share the id %s", workspace, other, id)
		}
		seen[id] = workspace
	}
}

func TestNamePartsExist(t *testing.T) {
	for _, s := range load(t).Entities() {
		for _, part := range s.NameParts() {
			if s.ValidValue(part.Field, "x") != nil && !foreign(s, part.Field) {
				if err := s.ValidValue(part.Field, "x"); err.Error() == "unknown field" {
					t.Errorf("%s have no field %s, which is part of their name", s.Kind(), part.Field)
				}
			}
		}
	}
}

func foreign(s *schema.Schema, field string) bool {
	for _, f := range s.Foreign() {
		if f.Field == field {
			return true
		}
	}
	return false
}

// inserts is an empty store that only takes inserts. It has two workspaces.
type inserts struct {
	store.Tx
	entities []store.Entity
}

func newInserts() *inserts {
	return &inserts{entities: []store.Entity{
		{Kind: "workspaces", ID: "1", Document: []byte(`{"id":"1","name":"one"}`)},
		{Kind: "workspaces", ID: "2", Document: []byte(`{"id":"2","name":"two"}`)},
	}}
}

func (t *inserts) Lock(kind, id string) (store.Entity, error) { return store.Entity{}, nil }

func (t *inserts) All() iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		for _, e := range t.entities {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (t *inserts) Insert(e store.Entity) error {
	t.entities = append(t.entities, e)
	return nil
}

// entitiesOf are the entities that a configuration makes in an empty store.
func entitiesOf(t testing.TB, c *declarative.Config) []store.Entity {
	t.Helper()
	tx := newInserts()
	there := len(tx.entities)
	if _, err := c.Apply(tx, false); err != nil {
		t.Fatal(err)
	}
	return tx.entities[there:]
}

func idsOf(t testing.TB, c *declarative.Config, kind string) []string {
	t.Helper()
	var ids []string
	for _, e := range entitiesOf(t, c) {
		if e.Kind == kind {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// export writes entities.
func export(t testing.TB, format declarative.Format, all iter.Seq2[store.Entity, error]) string {
	t.Helper()
	var b bytes.Buffer
	if err := declarative.Export(&b, load(t), all, format, noon); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
