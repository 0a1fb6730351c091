package runtime

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/dataplane/router"
	"github.com/gibbon-gateway/gibbon/dataplane/vault"
)

// Options are what a node brings to a configuration. Keeper, Log and Decode are
// needed.
type Options struct {
	// Version names the snapshot, for logs and headers.
	Version string
	// Plugins are those that the node can run.
	Plugins []plugin.Plugin
	// Decode reads a plugin's configuration, canonical JSON, into its message.
	Decode func(name string, config []byte, into proto.Message) error
	// Keeper outlives the runtime.
	Keeper *Keeper
	Log    *slog.Logger
	Router router.Options
	// HTTP is for calls that plugins make on their own account.
	HTTP http.RoundTripper
	// Limits and Models are those of the plugins' Env.
	Limits plugin.Limits
	Models plugin.Models
	// Upstream is about the connections to upstreams.
	Upstream UpstreamOptions
	// Vault is about references to secrets.
	Vault VaultOptions
}

// UpstreamOptions are a node's settings for connections to upstreams.
type UpstreamOptions struct {
	// PoolSize is how many idle connections are kept for one address, IdleTime
	// for how long. Zero: 512 and 60 seconds; a negative PoolSize keeps none.
	PoolSize int
	IdleTime time.Duration
	// MaxRequests is how many requests one connection carries, HeadSize how many
	// bytes the head of an answer may have. Zero: any number, 64 KiB.
	MaxRequests, HeadSize int
	// Verify is whether certificates are verified where a service does not say;
	// Roots is what they are verified against, nil the system's.
	Verify bool
	Roots  *x509.CertPool
	// Certificate is shown to upstreams where a service names none. May be nil.
	Certificate *tls.Certificate
	// Open makes the client for one kind of connections; nil means upstream.New.
	Open func(upstream.Config) Pool
}

// Pool is a client that keeps connections and is closed when nobody needs it.
type Pool interface {
	upstream.Client
	io.Closer
}

// Build makes a snapshot ready to serve. The error is a *BuildError that names
// every entity that cannot be put in force; nothing is held then. The caller
// hands the runtime to a Live, or calls Release.
func Build(snapshot *clusterpb.Snapshot, o Options) (*Runtime, error) {
	config, err := Decode(snapshot)
	if err != nil {
		return nil, err
	}
	return BuildConfig(config, o)
}

// BuildConfig is Build for entities that are decoded already. The runtime keeps
// the entities: they must not change any more.
func BuildConfig(config *Config, o Options) (*Runtime, error) {
	b := &builder{Options: o, config: config, rt: &Runtime{log: o.Log, holder: o.Keeper.holder()}}
	b.rt.version.Store(&o.Version)
	b.rt.users.Store(1)
	if err := b.build(); err != nil {
		// What was opened for this runtime has no other user yet.
		return nil, errors.Join(err, b.rt.close())
	}
	return b.rt, nil
}

// builder is one Build under way.
type builder struct {
	Options
	config   *Config
	rt       *Runtime
	problems problems
	tenants  map[string]*tenant // by the name of the workspace
	vaults   *vault.Vaults

	// By id.
	certificates map[string]*entitypb.Certificate
	materials    map[string]material // those of the certificates that are used
	roots        map[string]*entitypb.CaCertificate
}

// tenant is what the entities of one workspace have to themselves: neither the
// consumers nor the plugins of one are seen from the routes of another.
type tenant struct {
	workspace *Workspace
	consumers *plugin.Consumers
	plugins   *index
	// Most routes have no plugins of their own and share a chain with the others
	// of their service.
	chains map[string]*Chain
	// circles are the circles of plugins' ordering that were told of.
	circles map[string]bool
}

// tenant is that of the workspace which an entity belongs to.
func (b *builder) tenant(entity proto.Message) *tenant {
	return b.tenantOf(b.config.Workspace(entity))
}

func (b *builder) tenantOf(workspace string) *tenant {
	t := b.tenants[workspace]
	if t == nil {
		t = &tenant{
			workspace: &Workspace{ID: b.config.WorkspaceIDs[workspace], Name: workspace},
			consumers: plugin.NewConsumers(), plugins: newIndex(),
			chains: make(map[string]*Chain), circles: make(map[string]bool),
		}
		b.tenants[workspace] = t
	}
	return t
}

func (b *builder) build() error {
	b.tenants = make(map[string]*tenant)
	b.materials = make(map[string]material)
	b.certificates = byID(b.config.Certificates)
	b.roots = byID(b.config.Authorities)
	b.readVaults()
	b.readConsumers()
	b.readPlugins()
	b.readNames()
	services := b.readServices()
	b.readRoutes(services)
	return b.problems.err()
}

func byID[M interface{ GetId() string }](all []M) map[string]M {
	found := make(map[string]M, len(all))
	for _, one := range all {
		found[one.GetId()] = one
	}
	return found
}

func (b *builder) readConsumers() {
	for _, consumer := range b.config.Consumers {
		t := b.tenant(consumer)
		t.consumers.Add(consumer, render(consumer, t.workspace))
	}
	for _, group := range b.config.Groups {
		b.tenant(group).consumers.AddGroup(group)
	}
	for _, member := range b.config.Members {
		if err := b.tenant(member).consumers.AddMember(member); err != nil {
			b.problems.add(Problem{Kind: "consumer_group_consumers", ID: member.GetId(), Message: err.Error()})
		}
	}
	for _, key := range b.config.Keys {
		if err := b.tenant(key).consumers.AddKey(key); err != nil {
			b.problems.add(Problem{Kind: "keyauth_credentials", ID: key.GetId(), Field: "consumer", Message: err.Error()})
		}
	}
}

func (b *builder) readPlugins() {
	known := make(map[string]plugin.Plugin, len(b.Plugins))
	for _, p := range b.Plugins {
		known[p.Name()] = p
	}
	for _, p := range b.config.Plugins {
		if !p.GetEnabled() || !slices.ContainsFunc(p.GetProtocols(), overHTTP) {
			continue
		}
		problem := Problem{Kind: "plugins", ID: p.GetId(), Name: p.GetName()}
		entry, ok := known[p.GetName()]
		if !ok {
			problem.Field, problem.Message = "name", fmt.Sprintf("plugin %q is not available on this node", p.GetName())
			b.problems.add(problem)
			continue
		}
		instance, err := b.instance(entry, p)
		if err != nil {
			problem.Field, problem.Message = "config", err.Error()
			b.problems.add(problem)
			continue
		}
		if p.GetConsumer() != nil && p.GetConsumerGroup() != nil {
			b.Log.Warn("a plugin that is bound to both a consumer and a consumer group never runs",
				"plugin", p.GetName(), "plugin_id", p.GetId())
		}
		b.tenant(p).plugins.add(instance, p)
	}
}

// overHTTP says that a protocol is one that this data plane serves.
func overHTTP(protocol string) bool {
	switch protocol {
	case "http", "https", "grpc", "grpcs":
		return true
	}
	return false
}

// instance readies one handler. A plugin that panics is one that cannot be put
// in force, as any other failure.
func (b *builder) instance(entry plugin.Plugin, p *entitypb.Plugin) (instance *Instance, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			b.Log.Error("a plugin panicked while it was built",
				"plugin", p.GetName(), "id", p.GetId(), "panic", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("the plugin panicked: %v", cause)
		}
	}()
	cfg := entry.NewConfig()
	if err := b.Decode(p.GetName(), p.GetConfig(), cfg); err != nil {
		return nil, err
	}
	b.resolve(cfg, "plugins", p.GetId(), p.GetName())
	handler, err := entry.Build(cfg, plugin.Env{
		ID:        p.GetId(),
		Name:      p.GetName(),
		Consumers: b.tenant(p).consumers,
		Log:       b.Log.With("plugin", p.GetName(), "plugin_id", p.GetId()),
		HTTP:      b.HTTP,
		Keeper:    b.rt.holder,
		Limits:    b.Limits,
		Models:    b.Models,
	})
	if err != nil {
		return nil, err
	}
	if handler.Close != nil {
		b.rt.closers = append(b.rt.closers, closer{id: p.GetId(), name: p.GetName(), Closer: handler.Close})
	}
	instance = &Instance{Name: p.GetName(), ID: p.GetId(), Handler: handler, priority: entry.Info().GetPriority()}
	if o := p.GetOrdering(); o != nil {
		if p.GetConsumer() == nil && p.GetConsumerGroup() == nil {
			instance.before, instance.after = o.GetBefore().GetAccess(), o.GetAfter().GetAccess()
		} else {
			b.Log.Warn("the ordering of a plugin is ignored, since the order is settled before a consumer is known",
				"plugin", p.GetName(), "plugin_id", p.GetId())
		}
	}
	return instance, nil
}

// chain compiles the plugins of a route, or of a service, in a workspace. Where
// their ordering cannot be had the priorities alone count: so Kong's clients
// expect, and the control plane cannot see all that meets on a route.
func (b *builder) chain(t *tenant, route, service string) *Chain {
	chain, err := t.plugins.chain(route, service)
	if err != nil && !t.circles[err.Error()] {
		// Once is enough: what runs everywhere is in every chain.
		t.circles[err.Error()] = true
		b.Log.Warn("plugins run in the order of their priorities", "workspace", t.workspace.Name,
			"route_id", route, "service_id", service, "error", err)
	}
	return chain
}

func (b *builder) readRoutes(services map[string]*Service) {
	plain := byID(b.config.Services)
	var err error
	b.rt.router, err = router.New(b.config.Routes, plain, b.Router)
	if err != nil {
		broken, ok := errors.AsType[router.RouteErrors](err)
		if !ok {
			b.problems.add(Problem{Kind: "routes", Message: err.Error()})
		}
		for _, bad := range broken {
			b.problems.add(Problem{
				Kind: "routes", ID: bad.Route.GetId(), Name: bad.Route.GetName(), Field: bad.Field, Message: bad.Err.Error(),
			})
		}
		return
	}
	for _, flaw := range b.rt.router.Flaws() {
		b.Log.Warn("a part of a route matches nothing on this node", "route", flaw.Route.GetName(),
			"route_id", flaw.Route.GetId(), "field", flaw.Field, "error", flaw.Err)
	}
	// A request without a route is nobody's but the default workspace's.
	unrouted := b.tenantOf(DefaultWorkspace)
	b.rt.unrouted, b.rt.global = unrouted.workspace, b.chain(unrouted, "", "")
	b.rt.routes = make(map[*entitypb.Route]*Route, len(b.config.Routes))
	for _, r := range b.config.Routes {
		service, t := r.GetService().GetId(), b.tenant(r)
		chain := t.chains[service]
		switch {
		case len(t.plugins.byRoute[r.GetId()]) > 0:
			chain = b.chain(t, r.GetId(), service)
		case chain == nil:
			chain = b.chain(t, "", service)
			t.chains[service] = chain
		}
		b.rt.routes[r] = &Route{
			Route:     r,
			Service:   services[service],
			Workspace: t.workspace,
			JSON:      render(r, t.workspace),
			Chain:     chain,
			HTTPS:     takes(r, "https") && !takes(r, "http"),
			GRPC:      takes(r, "grpc") || takes(r, "grpcs"),
			GRPCS:     takes(r, "grpcs") && !takes(r, "grpc"),
		}
	}
}

func takes(r *entitypb.Route, protocol string) bool {
	return slices.Contains(r.GetProtocols(), protocol)
}
