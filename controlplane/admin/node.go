package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
	"github.com/gibbon-gateway/gibbon/schema"
)

// pluginKind is the kind of the entities that GET / and the plugins' own paths
// are about.
const pluginKind = "plugins"

// node implements the Node service.
type node struct {
	adminpb.UnimplementedNodeServer
	server *Server
}

// Info implements adminpb.NodeServer. It answers without a database too, with
// the plugins that were in use when it could last be read.
func (n *node) Info(ctx context.Context, _ *adminpb.InfoRequest) (*adminpb.DocumentResponse, error) {
	s := n.server
	inUse, err := s.inUse.list(ctx, s)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "cannot tell which plugins are in use", "error", err)
	}
	available, loaded := map[string]any{}, map[string]any{}
	for _, p := range s.cfg.Catalogue.Plugins() {
		available[p.Kind()] = map[string]any{"version": pluginVersion(p), "priority": p.Plugin().GetPriority()}
		loaded[p.Kind()] = true
	}
	configuration := map[string]any{}
	if s.cfg.Configuration != nil {
		configuration = maps.Clone(s.cfg.Configuration())
	}
	configuration["loaded_plugins"] = loaded
	if s.cfg.LogLevel != nil {
		configuration["log_level"] = s.cfg.LogLevel.Level() // the one in force
	}
	// Keys of Kong's paid edition that its clients ask for by type.
	configuration["rbac"], configuration["portal"] = "off", false
	pid := os.Getpid()
	body, err := fromJSON(object{
		{"version", buildinfo.KongVersion},
		{"gibbon_version", buildinfo.Version()},
		{"edition", "community"},
		{"tagline", "Welcome to kong"},
		{"hostname", s.cfg.Info.Hostname},
		{"node_id", s.cfg.Info.NodeID},
		{"lua_version", "none (Go)"},
		{"timers", map[string]int{"running": 0, "pending": 0}},
		{"pids", object{{"master", pid}, {"workers", []int{pid}}}},
		{"plugins", object{{"available_on_server", available}, {"enabled_in_cluster", inUse}}},
		{"configuration", configuration},
	})
	if err != nil {
		return nil, fmt.Errorf("describe the node: %w", err)
	}
	return documentAnswer(ctx, body)
}

// CacheEntry implements adminpb.NodeServer.
func (n *node) CacheEntry(context.Context, *adminpb.CacheEntryRequest) (*adminpb.DocumentResponse, error) {
	return nil, errNotFound()
}

// PurgeCache implements adminpb.NodeServer.
func (n *node) PurgeCache(ctx context.Context, _ *adminpb.PurgeCacheRequest) (*adminpb.PurgeCacheResponse, error) {
	if c := carried(ctx); c != nil {
		c.status = http.StatusNoContent
	}
	return &adminpb.PurgeCacheResponse{}, nil
}

// pluginVersion is a plugin's version, by default Kong's.
func pluginVersion(p *schema.Schema) string {
	if v := p.Plugin().GetVersion(); v != "" {
		return v
	}
	return buildinfo.KongVersion
}

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	members := make([]schema.Member, len(o))
	for i, m := range o {
		text, err := json.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		value, err := schema.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		members[i] = schema.Member{Name: m.name, Value: value}
	}
	return schema.Object(members...).AppendJSON(nil), nil
}

// pluginsInUse remembers the names of the plugins in use for as long as the
// configuration stays as it is: clients ask for GET / all the time.
type pluginsInUse struct {
	mu      sync.Mutex
	version store.Version
	names   []string
}

// list returns the names in order, never nil.
func (p *pluginsInUse) list(ctx context.Context, s *Server) ([]string, error) {
	plugins, ok := s.cfg.Catalogue.Entity(pluginKind)
	if !ok {
		return []string{}, nil
	}
	names := []string{}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		version, err := r.Version()
		if err != nil {
			return err
		}
		p.mu.Lock()
		known := p.names != nil && p.version == version
		if known {
			names = p.names
		}
		p.mu.Unlock()
		if known {
			return nil
		}
		seen := map[string]bool{}
		workspaces, err := workspaceNames(r, s.cfg.Catalogue)
		if err != nil {
			return err
		}
		for _, name := range workspaces {
			err := walk(view{r, name, s.cfg.Catalogue}, plugins, nil, func(e store.Entity) (bool, error) {
				one, err := open(plugins, e)
				if err != nil {
					return false, err
				}
				seen[one.doc.Get("name").Text()] = true
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		names = append([]string{}, slices.Sorted(maps.Keys(seen))...)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.version, p.names = version, names
		return nil
	})
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		// What was in use when the database could be read is the best guess.
		return append([]string{}, p.names...), err
	}
	return names, nil
}

// Endpoints implements adminpb.NodeServer.
func (n *node) Endpoints(context.Context, *adminpb.EndpointsRequest) (*adminpb.EndpointsResponse, error) {
	return &adminpb.EndpointsResponse{Data: n.server.paths.templates()}, nil
}

// Timers implements adminpb.NodeServer.
func (n *node) Timers(ctx context.Context, _ *adminpb.TimersRequest) (*adminpb.DocumentResponse, error) {
	zero := func(names ...string) object {
		var o object
		for _, name := range names {
			o = append(o, member{name, 0})
		}
		return o
	}
	body, err := fromJSON(object{
		{"worker", object{{"id", 0}, {"count", 1}}},
		{"stats", object{
			{"sys", zero("total", "runs", "running", "pending", "waiting")},
			{"timers", object{}},
			{"flamegraph", object{{"running", ""}, {"pending", ""}, {"elapsed_time", ""}}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("describe the timers: %w", err)
	}
	return documentAnswer(ctx, body)
}

// EnabledPlugins implements adminpb.NodeServer.
func (n *node) EnabledPlugins(context.Context, *adminpb.EnabledPluginsRequest) (*adminpb.EnabledPluginsResponse, error) {
	out := &adminpb.EnabledPluginsResponse{}
	for _, p := range n.server.cfg.Catalogue.Plugins() {
		out.EnabledPlugins = append(out.EnabledPlugins, p.Kind())
	}
	return out, nil
}

// Schema implements adminpb.NodeServer.
func (n *node) Schema(ctx context.Context, in *adminpb.SchemaRequest) (*adminpb.DocumentResponse, error) {
	s, ok := n.server.cfg.Catalogue.Entity(in.GetKind())
	if !ok {
		return nil, errNoEntity(in.GetKind())
	}
	return documentAnswer(ctx, s.Describe())
}

// PluginSchema implements adminpb.NodeServer.
func (n *node) PluginSchema(ctx context.Context, in *adminpb.PluginSchemaRequest) (*adminpb.DocumentResponse, error) {
	s, ok := n.server.cfg.Catalogue.Plugin(in.GetName())
	if !ok {
		return nil, errNoPlugin(in.GetName())
	}
	return documentAnswer(ctx, s.Describe())
}

// PluginConfigSchema implements adminpb.NodeServer.
func (n *node) PluginConfigSchema(ctx context.Context, in *adminpb.PluginSchemaRequest) (*adminpb.DocumentResponse, error) {
	s, ok := n.server.cfg.Catalogue.Plugin(in.GetName())
	if !ok {
		return nil, errNoPlugin(in.GetName())
	}
	return documentAnswer(ctx, s.DescribeConfig())
}

// Validate implements adminpb.NodeServer.
func (n *node) Validate(ctx context.Context, in *adminpb.ValidateRequest) (*adminpb.ValidateResponse, error) {
	s, ok := n.server.cfg.Catalogue.Entity(in.GetKind())
	if !ok {
		return nil, errNoEntity(in.GetKind())
	}
	return validate(s, bodyOf(ctx, in.GetBody()))
}

// ValidatePlugin implements adminpb.NodeServer.
func (n *node) ValidatePlugin(ctx context.Context, in *adminpb.ValidatePluginRequest) (*adminpb.ValidateResponse, error) {
	s, ok := n.server.cfg.Catalogue.Entity(pluginKind)
	if !ok {
		return nil, errNoEntity(pluginKind)
	}
	return validate(s, bodyOf(ctx, in.GetBody()))
}

// validate judges an entity as an insert would, without looking at others.
func validate(s *schema.Schema, read input) (*adminpb.ValidateResponse, error) {
	body, err := read(s, schema.Document{})
	if err != nil {
		return nil, err
	}
	if body, err = s.Expand(body, schema.Document{}); err != nil {
		return nil, err
	}
	if err := s.Validate(s.Complete(body, time.Now()), schema.Insert); err != nil {
		return nil, err
	}
	return &adminpb.ValidateResponse{Message: "schema validation successful"}, nil
}

// Tags implements adminpb.NodeServer.
func (n *node) Tags(ctx context.Context, in *adminpb.TagsRequest) (*adminpb.ListResponse, error) {
	if in.GetTag() != "" {
		if err := checkTag(in.GetTag()); err != nil {
			return nil, err
		}
	}
	c := carried(ctx)
	size, err := pageSize(c, in.GetSize())
	if err != nil {
		return nil, err
	}
	after, err := parseToken(text(c, "offset", in.GetOffset()), 3)
	if err != nil {
		return nil, err
	}
	var uses []store.TagUse
	more := false
	err = n.server.view(ctx, func(r view) error {
		uses, more, err = r.tags(store.TagQuery{
			Tag: in.GetTag(), Limit: size, After: store.TagUse{Tag: after[0], Kind: after[1], ID: after[2]},
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	data := make([]schema.Document, len(uses))
	next := ""
	for i, u := range uses {
		data[i] = schema.Object(
			schema.Member{Name: "tag", Value: schema.String(u.Tag)},
			schema.Member{Name: "entity_name", Value: schema.String(u.Kind)},
			schema.Member{Name: "entity_id", Value: schema.String(u.ID)},
		)
		if more {
			next = token(u.Tag, u.Kind, u.ID)
		}
	}
	return listAnswer(c, data, next, "tags", "size")
}

// tags reads one page of the tags in use in the workspace, and of those of
// entities that belong to none.
func (v view) tags(q store.TagQuery) (uses []store.TagUse, more bool, err error) {
	for _, q.Workspace = range []string{v.workspace, ""} {
		page, further, err := v.Tags(q)
		if err != nil {
			return nil, false, err
		}
		uses, more = append(uses, page...), more || further
	}
	slices.SortFunc(uses, func(a, b store.TagUse) int {
		return cmp.Or(strings.Compare(a.Tag, b.Tag), strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
	})
	if len(uses) > q.Limit {
		uses, more = uses[:q.Limit], true
	}
	return uses, more, nil
}

// CreateTag implements adminpb.NodeServer. Kong has the method, and this answer
// to it.
func (n *node) CreateTag(context.Context, *adminpb.CreateTagRequest) (*adminpb.CreateTagResponse, error) {
	return nil, violation("does not support insert/upsert/update/delete operations", "tags")
}

// checkTag judges a tag from the URL.
func checkTag(tag string) error {
	if _, err := parseTags(tag); err == nil && !strings.ContainsAny(tag, ",/") {
		return nil
	}
	return errKey("tag", "invalid tag '"+tag+"': expected printable ascii (except `,` and `/`) or valid utf-8 sequences")
}
