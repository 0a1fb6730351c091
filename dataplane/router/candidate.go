package router

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/internal/expression"
)

// candidate is a route, or the part of it that one group of its paths makes:
// paths of unequal weight give a route more than one rank.
type candidate struct {
	route   *entitypb.Route
	service *entitypb.Service
	rank    rank
	order   int // among all candidates, by rank

	methods      map[string]bool
	hosts        []host // name may begin or end with the wildcard
	wildcardHost bool
	headers      []headerRule
	snis         []string
	httpsOnly    bool // an https-only route with snis stays off plain HTTP
	sources      []peer
	destinations []peer
	prefixes     []string
	regexes      []*regexp.Regexp

	// scheme is the only one that the protocols allow, "" when any will do. It
	// counts in the flavour expressions alone.
	scheme string
	// expression stands for all the fields above but the scheme.
	expression *expression.Expression
}

// headerRule asks that one header have one of some values.
type headerRule struct {
	name    string // canonical form
	values  []string
	regexes []*regexp.Regexp
	single  bool // regexes count only while the header has one value
}

// candidatesOf cuts a route by its paths. What of it does not compile is told to
// flaw.
func candidatesOf(route *entitypb.Route, service *entitypb.Service, o Options, flaw func(field string, err error)) []*candidate {
	if route.GetExpression() != "" && !classic(route) {
		// Without its expression the route would match everything.
		flaw("expression", fmt.Errorf("router_flavor of this node is %s, and expressions need %s", o.Flavor, Expressions))
		return nil
	}
	base := candidate{route: route, service: service}
	if o.Flavor == Expressions {
		base.scheme = schemeOf(route.GetProtocols())
	}
	if len(route.GetMethods()) > 0 {
		base.methods = map[string]bool{}
		for _, m := range route.GetMethods() {
			base.methods[m] = true
		}
	}
	wildcardPort := false
	for _, entry := range route.GetHosts() {
		h := splitHost(entry, 0)
		if strings.Contains(h.name, "*") {
			base.wildcardHost = true
			wildcardPort = wildcardPort || h.port != 0
		}
		base.hosts = append(base.hosts, h)
	}
	base.headers = headerRules(route, o, flaw)
	for _, sni := range route.GetSnis() {
		base.snis = append(base.snis, strings.ToLower(strings.TrimSuffix(sni, ".")))
	}
	base.httpsOnly = len(base.snis) > 0 && o.Flavor != Traditional && o.Calculation == Strict &&
		!slices.Contains(route.GetProtocols(), "http") && !slices.Contains(route.GetProtocols(), "grpc")

	base.sources = peersOf(route.GetSources(), func(err error) { flaw("sources", err) })
	base.destinations = peersOf(route.GetDestinations(), func(err error) { flaw("destinations", err) })

	groups := pathGroups(route, o, flaw)
	list := make([]*candidate, 0, len(groups))
	for _, g := range groups {
		c := base
		c.prefixes, c.regexes = g.prefixes, g.regexes
		c.rank = rankOf(&c, wildcardPort, o)
		list = append(list, &c)
	}
	return list
}

// headerRules are what a route asks of headers. A pattern that does not compile
// is no value that a header could have, so that a rule without others is never
// fulfilled.
func headerRules(route *entitypb.Route, o Options, flaw func(field string, err error)) []headerRule {
	var rules []headerRule
	for _, name := range slices.Sorted(maps.Keys(route.GetHeaders())) {
		rule := headerRule{name: http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")), single: o.Flavor == Traditional}
		for _, value := range route.GetHeaders()[name].GetValues() {
			value = strings.ToLower(value)
			pattern, isRegex := strings.CutPrefix(value, "~*")
			if !isRegex {
				rule.values = append(rule.values, value)
				continue
			}
			re, err := regexp.Compile(pattern)
			if err != nil {
				flaw("headers", err)
				continue
			}
			rule.regexes = append(rule.regexes, re)
		}
		rules = append(rules, rule)
	}
	return rules
}

// pathGroup is a set of paths of one weight.
type pathGroup struct {
	prefixes []string
	regexes  []*regexp.Regexp
}

// pathGroups cuts a route's paths into groups of one weight: all regular
// expressions together and the prefixes by length, or, in the flavour
// traditional, each path alone. A route without paths is one group, one whose
// patterns all fail to compile is none.
func pathGroups(route *entitypb.Route, o Options, flaw func(field string, err error)) []pathGroup {
	if len(route.GetPaths()) == 0 {
		return []pathGroup{{}}
	}
	var groups []pathGroup
	index := map[int]int{} // weight → place in groups
	for i, path := range route.GetPaths() {
		var g pathGroup
		weight := len(path)
		if pattern, isRegex := strings.CutPrefix(path, "~"); isRegex {
			// As in Kong the anchor binds to the first branch of a pattern with
			// several only.
			re, err := regexp.Compile("^" + pattern)
			if err != nil {
				flaw(fmt.Sprintf("paths.%d", i+1), err)
				continue
			}
			g.regexes, weight = []*regexp.Regexp{re}, -1
		} else {
			g.prefixes = []string{path}
		}
		if at, ok := index[weight]; ok && o.Flavor != Traditional {
			groups[at].prefixes = append(groups[at].prefixes, g.prefixes...)
			groups[at].regexes = append(groups[at].regexes, g.regexes...)
			continue
		}
		index[weight] = len(groups)
		groups = append(groups, g)
	}
	return groups
}

// rankOf works a candidate's rank out.
func rankOf(c *candidate, wildcardPort bool, o Options) rank {
	fields, mask := 0, int64(0)
	for _, f := range []struct {
		set bool
		bit int64
	}{
		{len(c.hosts) > 0, 64},
		{len(c.headers) > 0, 32},
		{len(c.prefixes)+len(c.regexes) > 0, 16},
		{len(c.methods) > 0, 8},
		{len(c.snis) > 0, 4},
		{c.sources != nil, 2},
		{c.destinations != nil, 1},
	} {
		if f.set {
			fields++
			mask |= f.bit
		}
	}
	plainHosts, isRegex := len(c.hosts) > 0 && !c.wildcardHost, len(c.regexes) > 0
	headers := min(len(c.headers), 255)
	priority, length := int64(0), 0
	if isRegex {
		priority = c.route.GetRegexPriority()
	} else if len(c.prefixes) > 0 {
		length = min(len(c.prefixes[0]), 1<<19-1)
	}

	r := rank{created: c.route.GetCreatedAt(), id: c.route.GetId()}
	switch {
	case o.Flavor == Traditional:
		sub := int64(0)
		for _, w := range []struct {
			holds  bool
			weight int64
		}{{wildcardPort, 4}, {plainHosts, 2}, {isRegex, 1}} {
			if w.holds {
				sub |= w.weight
			}
		}
		r.levels = [6]int64{int64(fields), mask, sub, int64(headers), priority, int64(length)}
	case o.Calculation == Original:
		// The count of fields and of headers are shifted within 32 bits, and the
		// first of them carries its sign into the upper half.
		r.bits = uint64(int64(int32(uint32(fields)<<29))) | uint64(headers)<<20 | uint64(priority)<<19 | uint64(length)
		if plainHosts {
			r.bits |= 1 << 60
		}
		if isRegex {
			r.bits |= 1 << 51
		}
	default:
		r.levels = [6]int64{int64(fields), bit(plainHosts), int64(headers), bit(isRegex), priority, int64(length)}
	}
	return r
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (c *candidate) matches(q *query) bool {
	if c.scheme != "" && c.scheme != q.Scheme {
		return false
	}
	if c.expression != nil {
		return c.expression.Match(q.expressed())
	}
	if c.methods != nil && !c.methods[q.Method] {
		return false
	}
	if len(c.hosts) > 0 && !slices.ContainsFunc(c.hosts, func(h host) bool { return h.admits(q) }) {
		return false
	}
	if len(c.snis) > 0 && !c.admitsSNI(q) {
		return false
	}
	for i := range c.headers {
		if !c.headers[i].admits(q.Header) {
			return false
		}
	}
	if c.sources != nil && !admitsPeer(c.sources, q.Source) || c.destinations != nil && !admitsPeer(c.destinations, q.Destination) {
		return false
	}
	if len(c.prefixes) > 0 {
		return slices.ContainsFunc(c.prefixes, func(p string) bool { return strings.HasPrefix(q.Path, p) })
	}
	if len(c.regexes) > 0 {
		return slices.ContainsFunc(c.regexes, func(re *regexp.Regexp) bool { return re.MatchString(q.Path) })
	}
	return true
}

// admits says whether a hosts entry matches. An entry with a port also demands
// that port, of the Host header or else of the listener.
func (h host) admits(q *query) bool {
	port := cmp.Or(q.host.port, q.host.listens)
	if !q.strictPort && q.host.port == 0 {
		// The flavour traditional assumes the scheme's own port instead.
		port = 80
		if q.Scheme == "https" {
			port = 443
		}
	}
	if h.port != 0 && h.port != port {
		return false
	}
	if suffix, ok := strings.CutPrefix(h.name, "*"); ok {
		return strings.HasSuffix(q.host.name, suffix)
	}
	if prefix, ok := strings.CutSuffix(h.name, "*"); ok {
		return strings.HasPrefix(q.host.name, prefix)
	}
	return h.name == q.host.name || h.raw == q.host.raw
}

// admitsSNI tests the server name of a TLS connection. On plain HTTP the field
// counts as satisfied, so that the request can be told to use HTTPS.
func (c *candidate) admitsSNI(q *query) bool {
	if q.Scheme != "https" {
		return !c.httpsOnly
	}
	name := strings.ToLower(strings.TrimSuffix(q.SNI, "."))
	for _, sni := range c.snis {
		if suffix, ok := strings.CutPrefix(sni, "*"); ok && q.strictPort {
			if strings.HasSuffix(name, suffix) {
				return true
			}
		} else if prefix, ok := strings.CutSuffix(sni, "*"); ok && q.strictPort {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		} else if sni == name {
			return true
		}
	}
	return false
}

// admits says whether any value of the header is among those wanted. Values are
// compared in lower case and never split at commas. To Kong a_b and a-b are one
// name.
func (rule *headerRule) admits(header http.Header) bool {
	values := header[rule.name]
	if len(values) == 0 {
		for name, v := range header {
			if strings.Contains(name, "_") && http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")) == rule.name {
				values = v
				break
			}
		}
	}
	for _, value := range values {
		value = strings.ToLower(value)
		if slices.Contains(rule.values, value) {
			return true
		}
		if rule.single && len(values) > 1 {
			continue
		}
		for _, re := range rule.regexes {
			if re.MatchString(value) {
				return true
			}
		}
	}
	return false
}

// match tells what a candidate that matches took of the path.
func (c *candidate) match(q *query) Match {
	m, path := Match{Route: c.route, Service: c.service}, q.Path
	if c.expression != nil {
		taken := c.expression.Taken(q.expressed())
		m.HasPath, m.Matched, m.Captures, m.Named = taken.HasPath, taken.Matched, taken.Captures, taken.Named
		return m
	}
	for _, p := range c.prefixes {
		if strings.HasPrefix(path, p) {
			m.HasPath, m.Matched = true, p
			return m
		}
	}
	for _, re := range c.regexes {
		groups := re.FindStringSubmatch(path)
		if groups == nil {
			continue
		}
		m.HasPath, m.Matched = true, groups[0]
		if len(groups) == 1 {
			return m
		}
		m.Captures = groups
		for i, name := range re.SubexpNames() {
			if name != "" {
				if m.Named == nil {
					m.Named = map[string]string{}
				}
				m.Named[name] = groups[i]
			}
		}
		return m
	}
	return m
}
