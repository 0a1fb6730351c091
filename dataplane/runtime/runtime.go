// Package runtime turns a snapshot into what requests are served with: router,
// plugin chains, consumers, the ways to the upstreams. A Runtime never changes;
// what must survive the next one is in a Keeper. How a request passes through it
// is the proxy's business.
package runtime

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/dataplane/router"
)

// Runtime is one configuration, ready to serve. It is immutable apart from the
// count of its users (the Live that it stands in, and every request that it
// serves) and the version that its content has: a version that changes nothing
// gives the same content another one.
type Runtime struct {
	version atomic.Pointer[string]
	router  *router.Router
	routes  map[*entitypb.Route]*Route
	global  *Chain
	carrier *Service
	log     *slog.Logger

	unrouted *Workspace
	names    map[string]pairs // certificates by server name, lower case

	users   atomic.Int64
	holder  *holder
	closers []closer
}

type closer struct {
	id, name string
	plugin.Closer
}

// Workspace is a workspace as logs and metrics name it. The ID may be empty.
type Workspace struct{ ID, Name string }

// Route is what is known of a route before a request comes.
type Route struct {
	Route     *entitypb.Route
	Workspace *Workspace
	// Service is nil when the route has none.
	Service *Service
	// JSON is the entity as the log object shows it.
	JSON []byte
	// Chain is the plugins that run on the route.
	Chain *Chain
	// HTTPS says that the route takes https only, GRPC that it takes gRPC, and
	// GRPCS that it takes that over TLS only.
	HTTPS, GRPC, GRPCS bool
}

// Service is a service with the way to its upstream.
type Service struct {
	Service *entitypb.Service
	JSON    []byte
	// Scheme is http or https.
	Scheme string
	// Client speaks to the service's own address, Foreign to one that a plugin
	// chose: the service's certificates do not apply there. Broken is why the
	// service's own address cannot be called; Client is nil then.
	Client, Foreign upstream.Client
	Broken          error
	// Read bounds the time between two reads from the upstream.
	Read time.Duration
	// Retries is how often a failed try is followed by another.
	Retries int
}

// Version names the snapshot.
func (rt *Runtime) Version() string { return *rt.version.Load() }

// Match finds the route of a request; ok is false when there is none.
func (rt *Runtime) Match(r *router.Request) (match router.Match, route *Route, ok bool) {
	match, ok = rt.router.Match(r)
	if !ok {
		return match, nil, false
	}
	return match, rt.routes[match.Route], true
}

// LooksAtPeers says whether requests need the ends of their connection to be matched.
func (rt *Runtime) LooksAtPeers() bool { return rt.router.LooksAtPeers() }

// Global is the plugins that run for requests that no route matches, and the
// workspace that such a request counts to.
func (rt *Runtime) Global() (*Chain, *Workspace) { return rt.global, rt.unrouted }

// Carrier is the way to a target that a plugin chose for a route that has no
// service: default timeouts, no certificate of a service.
func (rt *Runtime) Carrier() *Service { return rt.carrier }

// acquire counts one more user; false: the runtime is already closed.
func (rt *Runtime) acquire() bool {
	for {
		n := rt.users.Load()
		if n == 0 {
			return false
		}
		if rt.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release ends one use. The last one closes the handlers and lets go of what the
// runtime holds.
func (rt *Runtime) Release() {
	if rt.users.Add(-1) != 0 {
		return
	}
	if err := rt.close(); err != nil {
		rt.log.Error("close an old configuration", "version", rt.Version(), "error", err)
	}
}

func (rt *Runtime) close() error {
	var errs []error
	for _, c := range rt.closers {
		if err := c.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close plugin %s (%s): %w", c.name, c.id, err))
		}
	}
	return errors.Join(append(errs, rt.holder.release())...)
}
