package cluster

import (
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/snapshot"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins"
	"github.com/gibbon-gateway/gibbon/dataplane/router"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/schema"
)

// A configuration of several workspaces goes all the way from stored entities to
// a runtime, over the wire and out of the cache.
func TestWorkspacesGoAllTheWay(t *testing.T) {
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stored := func(workspace, kind string, n int, body string) store.Entity {
		t.Helper()
		s, ok := catalogue.Entity(kind)
		if !ok {
			t.Fatalf("no schema for %s", kind)
		}
		doc, err := schema.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		doc = s.Complete(doc.With(schema.String(nodeID(n)), "id"), time.Unix(1_700_000_000, 0))
		return store.Entity{Workspace: workspace, Kind: kind, ID: nodeID(n), Document: doc.AppendJSON(nil)}
	}
	var entities []store.Entity
	for i, ws := range []string{"default", "team"} {
		n := 10 * (i + 1)
		entities = append(entities,
			stored("", "workspaces", n, `{"name":"`+ws+`"}`),
			stored(ws, "services", n, `{"name":"s","host":"127.0.0.1"}`),
			stored(ws, "routes", n, `{"name":"r","paths":["/`+ws+`"],"service":{"id":"`+nodeID(n)+`"}}`),
			stored(ws, "plugins", n, `{"name":"key-auth"}`))
	}
	snap, err := snapshot.Compile(catalogue, iter.Seq2[store.Entity, error](func(yield func(store.Entity, error) bool) {
		for _, e := range entities {
			if !yield(e, nil) {
				return
			}
		}
	}))
	if err != nil {
		t.Fatal(err)
	}

	build := func(s *clusterpb.Snapshot) error {
		rt, err := runtime.Build(s, runtime.Options{
			Plugins: plugins.All, Keeper: new(runtime.Keeper), Decode: runtime.Decoder(catalogue),
			Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		if err != nil {
			return err
		}
		defer rt.Release()
		for i, ws := range []string{"default", "team"} {
			_, route, ok := rt.Match(&router.Request{Method: "GET", Scheme: "http", Path: "/" + ws})
			if !ok {
				return fmt.Errorf("no route for %s", ws)
			}
			want := runtime.Workspace{ID: nodeID(10 * (i + 1)), Name: ws}
			if *route.Workspace != want || len(route.Chain.Entries) != 1 || route.Chain.Entries[0].Pick(nil).ID != want.ID {
				return fmt.Errorf("the route of %s is of %v, with %d plugins", ws, *route.Workspace, len(route.Chain.Entries))
			}
		}
		return nil
	}
	certs := certificates(t)
	cp := serve(t, certs, "127.0.0.1:0")
	cp.publish(t, 1, snap)
	at := filepath.Join(t.TempDir(), "cache")
	d := startApplying(t, certs.Client, cp.address, 1, openCache(t, at), build)
	cp.applied(t, 1)
	d.want(t, 1)
	d.stop()
	cp.stop()
	again := startApplying(t, certs.Client, cp.address, 1, openCache(t, at), build)
	again.want(t, 1)
}
