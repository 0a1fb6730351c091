package dataplane_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/follow"
)

// content is a snapshot in the making.
type content struct {
	t        *testing.T
	snapshot *clusterpb.Snapshot
}

func newContent(t *testing.T) *content {
	return &content{t, &clusterpb.Snapshot{Format: 2}}
}

// add puts entities of one kind into a workspace.
func (c *content) add(kind, workspace string, entities ...proto.Message) {
	c.t.Helper()
	g := &clusterpb.Group{Kind: kind, Workspace: workspace}
	if workspace != "" {
		g.WorkspaceId = "id-of-" + workspace
	}
	for _, e := range entities {
		data, err := proto.Marshal(e)
		if err != nil {
			c.t.Fatal(err)
		}
		g.Entities = append(g.Entities, data)
	}
	c.snapshot.Groups = append(c.snapshot.Groups, g)
}

// apply puts the snapshot in force.
func (n *node) apply(c *content, version uint64) {
	n.t.Helper()
	if err := n.Apply(n.t.Context(), follow.Incoming{Epoch: "e", Version: version, Snapshot: c.snapshot}); err != nil {
		n.t.Fatal(err)
	}
}

// ended stops the node and waits for its end.
func (n *node) ended() {
	n.t.Helper()
	n.stop()
	if err := <-n.done; err != nil {
		n.t.Errorf("Run: %v", err)
	}
}

func ref(id string) *entitypb.Reference { return &entitypb.Reference{Id: id} }

// upstreamAt is a service at an address.
func upstreamAt(t *testing.T, id, address string) *entitypb.Service {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return &entitypb.Service{Id: id, Protocol: u.Scheme, Host: u.Hostname(), Port: int32(port), Enabled: true}
}

func routeTo(id, service, path string) *entitypb.Route {
	return &entitypb.Route{
		Id: id, Protocols: []string{"http", "https"}, Paths: []string{path},
		RequestBuffering: true, ResponseBuffering: true, Service: ref(service),
	}
}

func configured(t *testing.T, id, name string, config map[string]any) *entitypb.Plugin {
	t.Helper()
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return &entitypb.Plugin{Id: id, Name: name, Enabled: true, Protocols: []string{"http", "https"}, Config: data}
}

// Two workspaces in one configuration share nothing: neither plugins that run
// everywhere nor consumers and their keys.
func TestWorkspaces(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "as "+r.Header.Get("X-Consumer-Username"))
	}))
	defer up.Close()
	logs := t.TempDir()
	log := func(name string) string { return filepath.Join(logs, name) }
	c := newContent(t)
	// Ids of kinds differ, not of workspaces; names are those of their workspace.
	for _, ws := range []string{"default", "team", "open"} {
		c.add("services", ws, upstreamAt(t, ws+"-s", up.URL))
		c.add("routes", ws, routeTo(ws+"-r", ws+"-s", "/"+ws))
		plugins := []proto.Message{configured(t, ws+"-log", "file-log", map[string]any{"path": log(ws), "reopen": false})}
		if ws != "open" {
			plugins = append(plugins, configured(t, ws+"-auth", "key-auth", map[string]any{}))
			c.add("consumers", ws, &entitypb.Consumer{Id: ws + "-c", Username: proto.String("alice")})
			c.add("keyauth_credentials", ws, &entitypb.KeyauthCredential{Id: ws + "-k", Key: "key-of-" + ws, Consumer: ref(ws + "-c")})
		}
		c.add("plugins", ws, plugins...)
	}
	n := start(t, nil)
	n.apply(c, 1)
	get := func(path, key string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", n.Addresses()[0]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			r.Header.Set("apikey", key)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != 200 {
			return strconv.Itoa(answer.StatusCode)
		}
		return string(body)
	}
	for _, tt := range []struct{ path, key, want string }{
		{"/default", "key-of-default", "as alice"},
		{"/default", "key-of-team", "401"},
		{"/default", "", "401"},
		{"/team", "key-of-team", "as alice"},
		{"/team", "key-of-default", "401"},
		{"/team", "", "401"},
		{"/open", "", "as "},
		{"/open", "key-of-team", "as "},
		{"/nowhere", "key-of-team", "404"},
	} {
		if got := get(tt.path, tt.key); got != tt.want {
			t.Errorf("GET %s with %q: %q, want %q", tt.path, tt.key, got, tt.want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	n.ended()

	// The log of a workspace has its requests; those without a route are the
	// default's.
	type entity struct {
		ID        string `json:"id"`
		Workspace string `json:"ws_id"`
	}
	type line struct {
		Request struct {
			URI string `json:"uri"`
		} `json:"request"`
		Consumer  entity `json:"consumer"`
		Route     entity `json:"route"`
		Service   entity `json:"service"`
		Workspace string `json:"workspace"`
		Name      string `json:"workspace_name"`
	}
	for ws, want := range map[string][]string{
		"default": {"/default default-c", "/default ", "/default ", "/nowhere "},
		"team":    {"/team team-c", "/team ", "/team "},
		"open":    {"/open ", "/open "},
	} {
		data, err := os.ReadFile(log(ws))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for text := range strings.Lines(string(data)) {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			got = append(got, l.Request.URI+" "+l.Consumer.ID)
			if l.Name != ws || l.Workspace != "id-of-"+ws {
				t.Errorf("%s is of workspace %q (%q), want %s", l.Request.URI, l.Name, l.Workspace, ws)
			}
			for _, e := range []entity{l.Consumer, l.Route, l.Service} {
				if e.ID != "" && e.Workspace != "id-of-"+ws {
					t.Errorf("%s: %s has the ws_id %q", l.Request.URI, e.ID, e.Workspace)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("log of %s (-want +got):\n%s", ws, diff)
		}
	}
}
