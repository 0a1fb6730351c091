package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

const (
	upstreamKind = "upstreams"
	targetKind   = "targets"
)

// Health knows how the targets of upstreams fare: the balancer that serves them.
// Its methods are safe for concurrent use.
type Health interface {
	// Upstream tells how an upstream and its targets fare. ok is false when no
	// balancer runs for it.
	Upstream(ctx context.Context, id string) (fares UpstreamHealth, ok bool)

	// Mark has a target, or the one of its addresses that is given as ip:port, be
	// taken for healthy or for unhealthy from now on. The text of an error is
	// shown to the client.
	Mark(ctx context.Context, upstreamID, targetID, address string, healthy bool) error
}

// Kong's words for how a target, an address or an upstream fares.
const (
	Healthy         = "HEALTHY"
	Unhealthy       = "UNHEALTHY"
	HealthchecksOff = "HEALTHCHECKS_OFF"
	DNSError        = "DNS_ERROR"
)

// UpstreamHealth is how an upstream fares.
type UpstreamHealth struct {
	// Health is the word for its targets as a whole; Balancer is Healthy if
	// requests can be sent to any of them.
	Health, Balancer string
	// Targets are those that the balancer knows, by id.
	Targets map[string]TargetHealth
}

// TargetHealth is how one target fares.
type TargetHealth struct {
	Health string
	// DNS is the kind of the record that its name led to: A, AAAA or SRV.
	DNS       string
	Addresses []AddressHealth
}

// AddressHealth is how one address of a target fares.
type AddressHealth struct {
	IP     string
	Port   int
	Health string
	Weight int
}

// upstreams implements the Upstreams service.
type upstreams struct {
	adminpb.UnimplementedUpstreamsServer
	server *Server
}

// marks tells whether a path sets the health of targets. A control plane without
// a balancer of its own, whose data planes each have theirs, has no such path.
func (f fixedPath) marks() bool {
	n := len(f.segments)
	return n > 4 && f.segments[0] == upstreamKind && slices.Contains([]string{"healthy", "unhealthy"}, f.segments[n-1])
}

// upstream finds an upstream; Kong's plain 404 for none.
func (v view) upstream(ref string) (stored, *schema.Schema, error) {
	s, err := v.kindOf(upstreamKind)
	if err != nil {
		return stored{}, nil, err
	}
	targets, err := v.kindOf(targetKind)
	if err != nil {
		return stored{}, nil, err
	}
	found, err := find(v, s, ref)
	if errors.Is(err, store.ErrNotFound) {
		err = errNotFound()
	}
	return found, targets, err
}

// targetsOf is the relation of the targets of an upstream.
func targetsOf(upstream stored) *relation { return &relation{upstream, "upstream"} }

// page reads one page of the targets of an upstream, in the order of their ids or
// the newest first.
func (u *upstreams) page(r view, c *carrier, in *adminpb.HealthRequest, newestFirst bool) (upstream stored, found []stored, next string, err error) {
	upstream, targets, err := r.upstream(in.GetUpstreams())
	if err != nil {
		return upstream, nil, "", err
	}
	l := listing{schema: targets, query: store.Query{
		Workspace: r.of(targets), Kind: targetKind, Parent: targetsOf(upstream).reference(),
	}}
	if newestFirst {
		l.newestFirst()
	}
	if l.query.Limit, err = pageSize(c, in.GetSize()); err == nil {
		err = l.from(text(c, "offset", in.GetOffset()))
	}
	if err != nil {
		return upstream, nil, "", err
	}
	found, next, err = l.page(r)
	return upstream, found, next, err
}

// AllTargets implements adminpb.UpstreamsServer.
func (u *upstreams) AllTargets(ctx context.Context, in *adminpb.HealthRequest) (*adminpb.ListResponse, error) {
	c := carried(ctx)
	var data []schema.Document
	next := ""
	err := u.server.view(ctx, func(r view) error {
		_, found, token, err := u.page(r, c, in, false)
		if err != nil || len(found) == 0 {
			return err
		}
		next = token
		data, err = show(ctx, r, found[0].schema, found, time.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return listAnswer(c, data, next)
}

// Health implements adminpb.UpstreamsServer.
func (u *upstreams) Health(ctx context.Context, in *adminpb.HealthRequest) (*adminpb.DocumentResponse, error) {
	c := carried(ctx)
	whole := in.GetBalancerHealth()
	if c != nil {
		whole = flag(c.query, "balancer_health")
	}
	var body schema.Document
	err := u.server.view(ctx, func(r view) error {
		if whole {
			var err error
			body, err = u.balancer(ctx, r, in.GetUpstreams())
			return err
		}
		upstream, found, next, err := u.page(r, c, in, true)
		if err != nil {
			return err
		}
		fares := u.fares(ctx, upstream)
		now := time.Now()
		rows := make([]schema.Document, len(found))
		for i, target := range found {
			health, data := fares.describe(target)
			rows[i] = target.schema.Render(target.doc, now).With(schema.String(health), "health").With(data, "data")
		}
		path := ""
		if c != nil {
			path = c.path
		}
		body = page(rows, next, path, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return documentAnswer(ctx, body.With(schema.String(u.server.cfg.Info.NodeID), "node_id"))
}

// fares asks the balancer, if there is one.
func (u *upstreams) fares(ctx context.Context, upstream stored) UpstreamHealth {
	if u.server.cfg.Health != nil {
		if fares, ok := u.server.cfg.Health.Upstream(ctx, upstream.id); ok {
			return fares
		}
	}
	return UpstreamHealth{}
}

// describe tells how a target fares, in Kong's form. Of a target that no balancer
// knows it says that nobody checks it, and of addresses only the one that the
// target itself is: names are resolved where requests are sent.
func (f UpstreamHealth) describe(target stored) (health string, data schema.Document) {
	host, portText, err := net.SplitHostPort(target.doc.Get("target").Text())
	if err != nil {
		host = target.doc.Get("target").Text()
	}
	port, _ := strconv.Atoi(portText)
	weight, _ := target.doc.Get("weight").Int()
	known, ok := f.Targets[target.id]
	if !ok {
		known = TargetHealth{Health: HealthchecksOff}
		if ip, err := netip.ParseAddr(host); err == nil {
			known.DNS = "AAAA"
			if ip.Is4() {
				known.DNS = "A"
			}
			known.Addresses = []AddressHealth{{host, port, HealthchecksOff, int(weight)}}
		}
	}
	if weight == 0 {
		known.Health = HealthchecksOff
	}
	total, available := 0, 0
	addresses := make([]schema.Document, len(known.Addresses))
	for i, a := range known.Addresses {
		total += a.Weight
		if a.Health != Unhealthy {
			available += a.Weight
		}
		addresses[i] = schema.Object(
			schema.Member{Name: "ip", Value: schema.String(a.IP)},
			schema.Member{Name: "port", Value: schema.Int(int64(a.Port))},
			schema.Member{Name: "health", Value: schema.String(a.Health)},
			schema.Member{Name: "weight", Value: schema.Int(int64(a.Weight))},
		)
	}
	return known.Health, schema.Object(
		schema.Member{Name: "host", Value: schema.String(host)},
		schema.Member{Name: "port", Value: schema.Int(int64(port))},
		schema.Member{Name: "dns", Value: schema.String(known.DNS)},
		schema.Member{Name: "nodeWeight", Value: schema.Int(weight)},
		schema.Member{Name: "weight", Value: weights(total, available)},
		schema.Member{Name: "addresses", Value: schema.List(addresses...)},
	)
}

func weights(total, available int) schema.Document {
	return schema.Object(
		schema.Member{Name: "total", Value: schema.Int(int64(total))},
		schema.Member{Name: "available", Value: schema.Int(int64(available))},
		schema.Member{Name: "unavailable", Value: schema.Int(int64(total - available))},
	)
}

// balancer tells how an upstream fares as a whole.
func (u *upstreams) balancer(ctx context.Context, r view, ref string) (schema.Document, error) {
	upstream, targets, err := r.upstream(ref)
	if err != nil {
		return schema.Document{}, err
	}
	fares := u.fares(ctx, upstream)
	total, available := int64(0), int64(0)
	var hosts []schema.Document
	usable := false
	err = walk(r, targets, targetsOf(upstream), func(e store.Entity) (bool, error) {
		target, err := open(targets, e)
		if err != nil {
			return false, err
		}
		health, data := fares.describe(target)
		hosts = append(hosts, data)
		all, _ := data.Get("weight", "total").Int()
		some, _ := data.Get("weight", "available").Int()
		total, available = total+all, available+some
		weight, _ := data.Get("nodeWeight").Int()
		usable = usable || weight > 0 && health != Unhealthy && health != DNSError
		return true, nil
	})
	if err != nil {
		return schema.Document{}, err
	}
	if fares.Balancer == "" {
		fares.Health, fares.Balancer = HealthchecksOff, Unhealthy
		if usable {
			fares.Balancer = Healthy
		}
	}
	return schema.Object(
		schema.Member{Name: "data", Value: schema.Object(
			schema.Member{Name: "id", Value: schema.String(upstream.id)},
			schema.Member{Name: "health", Value: schema.String(fares.Health)},
			schema.Member{Name: "balancer_health", Value: schema.String(fares.Balancer)},
			schema.Member{Name: "details", Value: schema.Object(
				schema.Member{Name: "healthy", Value: schema.Bool(fares.Balancer == Healthy)},
				schema.Member{Name: "weight", Value: weights(int(total), int(available))},
				schema.Member{Name: "hosts", Value: schema.List(hosts...)},
			)},
		)},
		schema.Member{Name: "next", Value: schema.Null()},
	), nil
}

// MarkHealthy implements adminpb.UpstreamsServer.
func (u *upstreams) MarkHealthy(ctx context.Context, in *adminpb.MarkRequest) (*adminpb.MarkResponse, error) {
	return u.mark(ctx, in, true)
}

// MarkUnhealthy implements adminpb.UpstreamsServer.
func (u *upstreams) MarkUnhealthy(ctx context.Context, in *adminpb.MarkRequest) (*adminpb.MarkResponse, error) {
	return u.mark(ctx, in, false)
}

func (u *upstreams) mark(ctx context.Context, in *adminpb.MarkRequest, healthy bool) (*adminpb.MarkResponse, error) {
	if u.server.hybrid() {
		return nil, errNotFound() // over REST there is no such path
	}
	var upstream, target stored
	err := u.server.view(ctx, func(r view) error {
		var targets *schema.Schema
		var err error
		if upstream, targets, err = r.upstream(in.GetUpstreams()); err != nil {
			return err
		}
		target, err = findIn(r, targets, targetsOf(upstream), in.GetTargets())
		return err
	})
	if err != nil {
		return nil, err
	}
	name := upstream.doc.Get("name").Text()
	if u.server.cfg.Health == nil {
		return nil, errNoBalancer(name)
	}
	if _, ok := u.server.cfg.Health.Upstream(ctx, upstream.id); !ok {
		return nil, errNoBalancer(name)
	}
	if err := u.server.cfg.Health.Mark(ctx, upstream.id, target.id, in.GetAddress(), healthy); err != nil {
		return nil, badRequest(err.Error())
	}
	if c := carried(ctx); c != nil {
		c.status = http.StatusNoContent
	}
	return &adminpb.MarkResponse{}, nil
}
