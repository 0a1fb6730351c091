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

	priority int32
}

// Chain is the plugins of one route, in the order in which every phase runs. At
// most one instance of each plugin runs for a request; which one is settled in
// the access phase, when it is that plugin's turn and the consumer may be known.
type Chain struct {
	Entries []Entry
}

// Entry stands for all instances of one plugin that could run on a route.
type Entry struct {
	// Kong's order, the most specific first: consumer with route, service or
	// both; route with service; consumer alone; route; service; global.
	bound  map[string]*Instance // consumer with route, service or both, by consumer
	exact  *Instance            // route with service
	alone  map[string]*Instance // consumer alone; shared by all chains
	common *Instance            // route, service or global

	name     string
	priority int32
}

// Pick gives the instance that runs for a consumer, nil for an unknown one. It
// is nil when none does.
func (e *Entry) Pick(consumer *plugin.Consumer) *Instance {
	if consumer != nil {
		if instance, ok := e.bound[consumer.ID]; ok {
			return instance
		}
	}
	if e.exact != nil {
		return e.exact
	}
	if consumer != nil {
		if instance, ok := e.alone[consumer.ID]; ok {
			return instance
		}
	}
	return e.common
}

// scoped is an instance with what it is bound to; an empty id is no binding.
type scoped struct {
	*Instance
	route, service, consumer string
}

// index finds the instances that matter to a route without looking at all of
// them.
type index struct {
	names     map[string]int32 // priority by plugin name
	byRoute   map[string][]scoped
	byService map[string][]scoped             // bound to no route
	alone     map[string]map[string]*Instance // plugin name, consumer
	global    map[string]*Instance            // plugin name
}

func newIndex() *index {
	return &index{
		names:     make(map[string]int32),
		byRoute:   make(map[string][]scoped),
		byService: make(map[string][]scoped),
		alone:     make(map[string]map[string]*Instance),
		global:    make(map[string]*Instance),
	}
}

func (x *index) add(instance *Instance, p *entitypb.Plugin) {
	x.names[instance.Name] = instance.priority
	s := scoped{instance, p.GetRoute().GetId(), p.GetService().GetId(), p.GetConsumer().GetId()}
	switch {
	case s.route != "":
		x.byRoute[s.route] = append(x.byRoute[s.route], s)
	case s.service != "":
		x.byService[s.service] = append(x.byService[s.service], s)
	case s.consumer != "":
		if x.alone[s.Name] == nil {
			x.alone[s.Name] = make(map[string]*Instance)
		}
		x.alone[s.Name][s.consumer] = instance
	default:
		x.global[s.Name] = instance
	}
}

// chain compiles the plugins of a route and a service; either may be empty.
func (x *index) chain(route, service string) *Chain {
	entries := make(map[string]*Entry)
	entry := func(name string) *Entry {
		e := entries[name]
		if e == nil {
			e = &Entry{name: name, priority: x.names[name], alone: x.alone[name], common: x.global[name]}
			entries[name] = e
		}
		return e
	}
	for name := range x.global {
		entry(name)
	}
	for name := range x.alone {
		entry(name)
	}
	// From the least specific to the most, so that each may replace the one
	// before.
	for _, s := range x.byService[service] {
		if s.consumer == "" {
			entry(s.Name).common = s.Instance
		} else {
			entry(s.Name).bind(s)
		}
	}
	own := x.byRoute[route]
	for _, s := range own {
		switch {
		case s.service != "" && s.service != service:
			// Bound to the route together with another service: it never applies.
		case s.service == "" && s.consumer == "":
			entry(s.Name).common = s.Instance
		case s.service == "":
			entry(s.Name).bind(s)
		case s.consumer == "":
			entry(s.Name).exact = s.Instance
		}
	}
	for _, s := range own {
		if s.consumer != "" && s.service != "" && s.service == service {
			entry(s.Name).bind(s)
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
	return c
}

func (e *Entry) bind(s scoped) {
	if e.bound == nil {
		e.bound = make(map[string]*Instance)
	}
	e.bound[s.consumer] = s.Instance
}
