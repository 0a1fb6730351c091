package runtime

import (
	"cmp"
	"slices"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Instance is one configured plugin.
type Instance struct {
	// Name is the plugin's name, ID the instance's id.
	Name, ID string
	// Handler has the phases; a nil phase is not taken part in.
	Handler plugin.Handler

	priority      int32
	before, after []string // the plugins that it must run before and after
}

// Chain is the plugins of one route. At most one instance of each plugin runs for
// a request; which one is settled in the access phase, when it is that plugin's
// turn and the consumer may be known.
type Chain struct {
	// Entries are in the order of every phase but the access phase.
	Entries []Entry
	// access is the order of the access phase, as places in Entries; nil: the same
	// order.
	access []int
}

// Access is the place in Entries of the entry whose turn comes after that many
// others in the access phase.
func (c *Chain) Access(turn int) int {
	if c.access == nil {
		return turn
	}
	return c.access[turn]
}

// rank says how specific the binding of an instance is: the lowest one that fits
// a request wins. The order is that of Kong's Enterprise edition.
type rank uint8

const (
	rankConsumerRouteService rank = 1 + iota
	rankGroupRouteService
	rankConsumerRoute
	rankConsumerService
	rankGroupRoute
	rankGroupService
	rankRouteService
	rankConsumer
	rankGroup
	rankRoute
	rankService
	rankGlobal
	rankNone
)

// ranked is an instance with its rank; without an instance the rank is rankNone.
type ranked struct {
	*Instance
	rank rank
}

// Entry stands for all instances of one plugin that could run on a route.
type Entry struct {
	consumers, groups bound
	common            ranked // bound to no consumer and no group

	name     string
	priority int32
}

// bound are the instances that are bound to a consumer, or those bound to a
// group: the best one for each, by its id.
type bound struct {
	here  map[string]ranked // together with the route, the service or both
	alone map[string]ranked // and to nothing else; shared by all chains
}

// best is the better one of an instance and the one for a consumer or a group.
// Of two that are equally good the first one stays.
func (b *bound) best(id string, than ranked) ranked {
	own, ok := b.here[id]
	if !ok {
		own, ok = b.alone[id]
	}
	if ok && own.rank < than.rank {
		return own
	}
	return than
}

// Pick gives the instance that runs for a consumer, nil for an unknown one. It
// is nil when none does.
func (e *Entry) Pick(consumer *plugin.Consumer) *Instance {
	best := e.common
	if consumer != nil {
		best = e.consumers.best(consumer.ID, best)
		// The groups are sorted by name: where two are equally good, the name that
		// sorts first decides.
		for _, group := range consumer.Groups {
			best = e.groups.best(group.ID, best)
		}
	}
	return best.Instance
}

// scoped is an instance with what it is bound to; an empty id is no binding.
type scoped struct {
	*Instance
	route, service, consumer, group string
}

// rank is how good the instance is where its bindings hold.
func (s *scoped) rank() rank {
	pick := func(both, route, service, none rank) rank {
		switch {
		case s.route != "" && s.service != "":
			return both
		case s.route != "":
			return route
		case s.service != "":
			return service
		}
		return none
	}
	switch {
	case s.consumer != "":
		return pick(rankConsumerRouteService, rankConsumerRoute, rankConsumerService, rankConsumer)
	case s.group != "":
		return pick(rankGroupRouteService, rankGroupRoute, rankGroupService, rankGroup)
	}
	return pick(rankRouteService, rankRoute, rankService, rankGlobal)
}

// index finds the instances that matter to a route without looking at all of
// them.
type index struct {
	names     map[string]int32 // priority by plugin name
	byRoute   map[string][]scoped
	byService map[string][]scoped // bound to no route
	// By plugin name, those that are bound to neither route nor service.
	consumers, groups map[string]map[string]ranked
	global            map[string]ranked
}

func newIndex() *index {
	return &index{
		names:     make(map[string]int32),
		byRoute:   make(map[string][]scoped),
		byService: make(map[string][]scoped),
		consumers: make(map[string]map[string]ranked),
		groups:    make(map[string]map[string]ranked),
		global:    make(map[string]ranked),
	}
}

func (x *index) add(instance *Instance, p *entitypb.Plugin) {
	x.names[instance.Name] = instance.priority
	s := scoped{
		instance, p.GetRoute().GetId(), p.GetService().GetId(), p.GetConsumer().GetId(), p.GetConsumerGroup().GetId(),
	}
	switch {
	case s.consumer != "" && s.group != "":
		// Nothing in Kong's order says when this one would run, so it never does.
	case s.route != "":
		x.byRoute[s.route] = append(x.byRoute[s.route], s)
	case s.service != "":
		x.byService[s.service] = append(x.byService[s.service], s)
	case s.consumer != "":
		put(x.consumers, s.Name)[s.consumer] = ranked{instance, s.rank()}
	case s.group != "":
		put(x.groups, s.Name)[s.group] = ranked{instance, s.rank()}
	default:
		x.global[s.Name] = ranked{instance, s.rank()}
	}
}

// put gives the inner map of a name, which it makes when there is none.
func put(of map[string]map[string]ranked, name string) map[string]ranked {
	if of[name] == nil {
		of[name] = make(map[string]ranked)
	}
	return of[name]
}

// chain compiles the plugins of a route and a service; either may be empty. With
// an error the chain is good as well, but in the order of the priorities alone.
func (x *index) chain(route, service string) (*Chain, error) {
	entries := make(map[string]*Entry)
	entry := func(name string) *Entry {
		e := entries[name]
		if e == nil {
			e = &Entry{
				name: name, priority: x.names[name], common: ranked{rank: rankNone},
				consumers: bound{alone: x.consumers[name]}, groups: bound{alone: x.groups[name]},
			}
			if global, ok := x.global[name]; ok {
				e.common = global
			}
			entries[name] = e
		}
		return e
	}
	for name := range x.global {
		entry(name)
	}
	for name := range x.consumers {
		entry(name)
	}
	for name := range x.groups {
		entry(name)
	}
	for _, s := range x.byService[service] {
		entry(s.Name).take(s)
	}
	for _, s := range x.byRoute[route] {
		// One that is bound to the route together with another service never runs.
		if s.service == "" || s.service == service {
			entry(s.Name).take(s)
		}
	}
	c := &Chain{Entries: make([]Entry, 0, len(entries))}
	for _, e := range entries {
		c.Entries = append(c.Entries, *e)
	}
	// Equal priorities run in reverse alphabetical order, as in Kong.
	slices.SortFunc(c.Entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(b.name, a.name))
	})
	var err error
	c.access, err = order(c.Entries)
	return c, err
}

// take puts an instance whose route and service hold in its place, unless a
// better one has it.
func (e *Entry) take(s scoped) {
	own := ranked{s.Instance, s.rank()}
	switch {
	case s.consumer != "":
		e.consumers.take(s.consumer, own)
	case s.group != "":
		e.groups.take(s.group, own)
	case own.rank < e.common.rank:
		e.common = own
	}
}

func (b *bound) take(id string, own ranked) {
	if b.here == nil {
		b.here = make(map[string]ranked)
	}
	if other, ok := b.here[id]; !ok || own.rank < other.rank {
		b.here[id] = own
	}
}
