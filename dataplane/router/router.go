// Package router decides which route a request belongs to, by Kong's rules: a
// route matches when every field that it sets matches, inside a field any value
// will do, and of the routes that match the one of the highest rank wins. In the
// flavour expressions a route may have an expression instead of these fields.
//
// A Router is built once from the routes of a snapshot and then only read. It
// knows nothing of plugins and sends nothing; what to do with a match (redirects,
// errors, the call upstream) is the proxy's business.
package router

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/internal/expression"
)

// Flavor is one of Kong's router flavours.
type Flavor string

// The flavours that this package has.
const (
	TraditionalCompatible Flavor = "traditional_compatible"
	Traditional           Flavor = "traditional"
	// Expressions also has routes that say what they match in the language of
	// internal/expression. They outrank all others; and protocols take part in
	// matching.
	Expressions Flavor = "expressions"
)

// Calculation is Kong's route_match_calculation: how routes without expressions are
// ranked in the flavours traditional_compatible and expressions.
type Calculation string

const (
	// Strict is the documented order.
	Strict Calculation = "strict"
	// Original keeps the arithmetic slip that every Kong of the 3.x line ships
	// with: numbers that should have been shifted within 64 bits are shifted
	// within 32.
	Original Calculation = "original"
)

// Options are settings of a Router. The zero value means traditional_compatible
// and strict.
type Options struct {
	Flavor      Flavor
	Calculation Calculation
}

// Request is what routing looks at.
type Request struct {
	Method string
	// Scheme is http or https: that of the hop to the gateway.
	Scheme string
	// Host is the Host header as received, with its port if it had one.
	Host string
	// Port is where the client connected to, after port_maps.
	Port int
	// Path is the normalised path (internal/uri.Normalize).
	Path string
	// SNI is the TLS server name; empty when there was none.
	SNI    string
	Header http.Header
	// Query is the raw query.
	Query string
	// Source is the client as far as trusted peers name it, Destination where it
	// connected to. Only a Router that LooksAtPeers needs them.
	Source, Destination netip.AddrPort
}

// Match is the outcome of routing a request.
type Match struct {
	Route *entitypb.Route
	// Service is nil when the route has none.
	Service *entitypb.Service
	// HasPath says that one of the route's paths took part.
	HasPath bool
	// Matched is the part of the path that it consumed: the prefix, or what the
	// regular expression matched.
	Matched string
	// Captures are what the groups of the regular expression matched, the whole
	// match first; nil for a plain path and for a pattern without groups.
	Captures []string
	// Named are the named groups among them; nil when there are none.
	Named map[string]string

	v1 bool // path_handling v1 is honoured: the flavour traditional alone does
}

// Router finds routes. It is safe for use by many goroutines.
type Router struct {
	// Candidates are spread over buckets by what they can be found by exactly;
	// each bucket is in order of rank, so that the best candidate of a bucket
	// is the first that matches.
	byHost   map[string][]*candidate
	byPrefix map[string][]*candidate
	lengths  []int // of the prefixes, ascending
	rest     []*candidate
	flavor   Flavor
	flaws    []*RouteError
	peers    bool
	// inputs are *expression.Request, which are used again and again: they have
	// memory of their own.
	inputs sync.Pool
}

// New builds a router. Services are by id; a route of a disabled service is left
// out, as is one without HTTP protocols. The error names the route that refers to
// a service that is not there, or whose expression does not compile: it is
// RouteErrors then. A pattern that does not compile matches nothing, and takes no
// other route down with it: see Flaws.
func New(routes []*entitypb.Route, services map[string]*entitypb.Service, o Options) (*Router, error) {
	switch o.Flavor {
	case "":
		o.Flavor = TraditionalCompatible
	case TraditionalCompatible, Traditional, Expressions:
	default:
		return nil, fmt.Errorf("router flavor %q is not available", o.Flavor)
	}
	switch o.Calculation {
	case "":
		o.Calculation = Strict
	case Strict, Original:
	default:
		return nil, fmt.Errorf("route match calculation %q is not available", o.Calculation)
	}

	var all []*candidate
	var flaws []*RouteError
	var broken RouteErrors
	for _, route := range routes {
		if !slices.ContainsFunc(route.GetProtocols(), isHTTP) {
			continue
		}
		var service *entitypb.Service
		if id := route.GetService().GetId(); id != "" {
			if service = services[id]; service == nil {
				broken = append(broken, &RouteError{Route: route, Field: "service", Err: fmt.Errorf("service %s is not there", id)})
				continue
			}
			if !service.GetEnabled() {
				continue
			}
		}
		flaw := func(field string, err error) {
			flaws = append(flaws, &RouteError{Route: route, Field: field, Err: err})
		}
		if route.GetExpression() == "" || o.Flavor != Expressions {
			all = append(all, candidatesOf(route, service, o, flaw)...)
			continue
		}
		c, err := expressed(route, service)
		if err != nil {
			broken = append(broken, &RouteError{Route: route, Field: "expression", Err: err})
			continue
		}
		all = append(all, c)
	}
	if broken != nil {
		return nil, broken
	}
	slices.SortStableFunc(all, func(a, b *candidate) int { return a.rank.compare(b.rank) })

	r := &Router{byHost: map[string][]*candidate{}, byPrefix: map[string][]*candidate{}, flavor: o.Flavor, flaws: flaws}
	r.inputs.New = func() any { return new(expression.Request) }
	for i, c := range all {
		c.order = i
		r.peers = r.peers || c.looksAtPeers()
		r.add(c)
	}
	for prefix := range r.byPrefix {
		if i, found := slices.BinarySearch(r.lengths, len(prefix)); !found {
			r.lengths = slices.Insert(r.lengths, i, len(prefix))
		}
	}
	return r, nil
}

// LooksAtPeers says whether any route asks for an address or port of a connection.
func (r *Router) LooksAtPeers() bool { return r.peers }

// Flaws are the patterns of routes that do not compile. A control plane lets none
// in; they come from one of another version.
func (r *Router) Flaws() []*RouteError { return r.flaws }

// RouteError says which route is wrong, and in which field.
type RouteError struct {
	Route *entitypb.Route
	Field string
	Err   error
}

func (e *RouteError) Error() string {
	return fmt.Sprintf("route %q (%s): %s: %v", e.Route.GetName(), e.Route.GetId(), e.Field, e.Err)
}

func (e *RouteError) Unwrap() error { return e.Err }

// RouteErrors are all routes of which no router can be made, one at least.
type RouteErrors []*RouteError

func (e RouteErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

func (e RouteErrors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

func isHTTP(protocol string) bool {
	switch protocol {
	case "http", "https", "grpc", "grpcs":
		return true
	}
	return false
}

// add puts a candidate where it can be found: under each of its hosts when all
// are plain, else under each of its prefixes, else among the rest.
func (r *Router) add(c *candidate) {
	if c.expression != nil {
		r.addExpressed(c)
		return
	}
	switch {
	case len(c.hosts) > 0 && !c.wildcardHost:
		seen := map[string]bool{}
		for _, h := range c.hosts {
			if !seen[h.name] {
				seen[h.name] = true
				r.byHost[h.name] = append(r.byHost[h.name], c)
			}
		}
	case len(c.prefixes) > 0:
		for _, p := range c.prefixes {
			r.byPrefix[p] = append(r.byPrefix[p], c)
		}
	default:
		r.rest = append(r.rest, c)
	}
}

// addExpressed is add for a route with an expression, by the hosts or prefixes that
// the expression cannot do without.
func (r *Router) addExpressed(c *candidate) {
	if hosts := c.expression.Hosts(); hosts != nil {
		for _, h := range hosts {
			r.byHost[h] = append(r.byHost[h], c)
		}
	} else if prefixes := c.expression.Prefixes(); prefixes != nil {
		for _, p := range prefixes {
			r.byPrefix[p] = append(r.byPrefix[p], c)
		}
	} else {
		r.rest = append(r.rest, c)
	}
}

// Match finds the route of a request.
func (r *Router) Match(req *Request) (Match, bool) {
	q := query{Request: req, host: splitHost(req.Host, req.Port), strictPort: r.flavor != Traditional, router: r}
	defer q.release()
	best := first(nil, r.rest, &q)
	best = first(best, r.byHost[q.host.name], &q)
	if q.host.raw != q.host.name { // an entry that only matches the Host header as it is, such as [::1]:8000
		best = first(best, r.byHost[q.host.raw], &q)
	}
	for _, n := range r.lengths {
		if n > len(req.Path) {
			break
		}
		best = first(best, r.byPrefix[req.Path[:n]], &q)
	}
	if best == nil {
		return Match{}, false
	}
	m := best.match(&q)
	m.v1 = r.flavor == Traditional
	return m, true
}

// first is the first candidate of a bucket that matches and comes before best,
// else best.
func first(best *candidate, bucket []*candidate, q *query) *candidate {
	for _, c := range bucket {
		if best != nil && c.order >= best.order {
			return best
		}
		if c.matches(q) {
			return c
		}
	}
	return best
}

// query is a request with what is worked out of it once.
type query struct {
	*Request
	host host
	// strictPort: without a port in the Host header the listener's counts.
	strictPort bool

	router *Router
	input  *expression.Request // nil until an expression asks
}

// expressed is the request as expressions see it.
func (q *query) expressed() *expression.Request {
	if q.input == nil {
		in := q.router.inputs.Get().(*expression.Request)
		in.Protocol, in.SNI, in.Source, in.Destination = q.Scheme, strings.TrimSuffix(q.SNI, "."), q.Source, q.Destination
		in.Method, in.Host, in.Path, in.Query, in.Header = q.Method, q.host.name, q.Path, q.Query, q.Header
		q.input = in
	}
	return q.input
}

// release gives up what the query holds.
func (q *query) release() {
	if q.input != nil {
		q.input.Reset()
		q.router.inputs.Put(q.input)
		q.input = nil
	}
}

// host is a Host header, or a hosts entry of a route, taken apart.
type host struct {
	raw     string // as it is, lower case
	name    string // without the port
	port    int    // 0: none given
	listens int    // where the client connected to; of a query only
}

// splitHost takes a Host header apart. What follows the first colon is a port
// only when all of it is decimal, so an IPv6 address is not split.
//
// Kong compares hosts as received. Host names are case-insensitive (RFC 9110,
// 4.2.3) and clients expect them to be, so both sides are lower-cased here.
func splitHost(header string, listens int) host {
	h := host{raw: strings.ToLower(header), listens: listens}
	h.name = h.raw
	if name, port, ok := strings.Cut(h.raw, ":"); ok {
		if n, ok := decimal(port); ok {
			h.name, h.port = name, n
		}
	}
	return h
}

func decimal(s string) (int, bool) {
	if s == "" || len(s) > 5 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// rank says which of two matching candidates wins; the greater comes first.
// Each calculation uses the parts that it knows, the others stay zero.
type rank struct {
	class   int64    // 1 for an expression, which outranks all else
	bits    uint64   // of the original calculation
	levels  [6]int64 // of the other two, most significant first
	created int64    // the older route wins a tie,
	id      string   // then the smaller id
}

func (a rank) compare(b rank) int {
	return cmp.Or(
		cmp.Compare(b.class, a.class),
		cmp.Compare(b.bits, a.bits),
		slices.Compare(b.levels[:], a.levels[:]),
		cmp.Compare(a.created, b.created),
		cmp.Compare(a.id, b.id),
	)
}
