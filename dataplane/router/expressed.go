package router

import (
	"net/netip"
	"slices"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/internal/expression"
)

// expressed is the candidate of a route with an expression. It has one rank,
// whatever the expression says of paths.
func expressed(route *entitypb.Route, service *entitypb.Service) (*candidate, error) {
	compiled, err := expression.Compile(route.GetExpression(), expression.HTTP)
	if err != nil {
		return nil, err
	}
	return &candidate{
		route: route, service: service, expression: compiled, scheme: schemeOf(route.GetProtocols()),
		rank: rank{class: 1, levels: [6]int64{route.GetPriority()}, created: route.GetCreatedAt(), id: route.GetId()},
	}, nil
}

// schemeOf is the only scheme that protocols allow, or "". A route for https alone
// takes any, so that a plain request can be told to use HTTPS.
func schemeOf(protocols []string) string {
	if len(protocols) == 1 && protocols[0] == "https" {
		return ""
	}
	plain := slices.Contains(protocols, "http") || slices.Contains(protocols, "grpc")
	secure := slices.Contains(protocols, "https") || slices.Contains(protocols, "grpcs")
	switch {
	case plain && !secure:
		return "http"
	case secure && !plain:
		return "https"
	}
	return ""
}

// classic says whether a route has a matcher that is no expression.
func classic(r *entitypb.Route) bool {
	return len(r.GetMethods())+len(r.GetHosts())+len(r.GetPaths())+len(r.GetHeaders())+len(r.GetSnis())+
		len(r.GetSources())+len(r.GetDestinations()) > 0
}

// peer is an end of a connection that a route asks for: a network, a port, or both.
type peer struct {
	network netip.Prefix // the zero value: any
	port    int32        // -1: any
}

// peersOf compiles sources or destinations; nil when the route has none. An entry
// that cannot be read is told to flaw and admits nobody.
func peersOf(list []*entitypb.Peer, flaw func(error)) []peer {
	if len(list) == 0 {
		return nil
	}
	peers := []peer{}
	for _, entry := range list {
		p := peer{port: -1}
		if entry.Port != nil {
			p.port = entry.GetPort()
		}
		if ip := entry.GetIp(); ip != "" {
			network, err := netip.ParsePrefix(ip)
			if addr, wrong := netip.ParseAddr(ip); wrong == nil {
				network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
			}
			if err != nil {
				flaw(err)
				continue
			}
			if network.Addr().Is4In6() && network.Bits() >= 96 { // ends are compared as IPv4
				network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
			}
			p.network = network.Masked()
		}
		peers = append(peers, p)
	}
	return peers
}

// admitsPeer says whether one of the entries is about an end of a connection.
func admitsPeer(peers []peer, end netip.AddrPort) bool {
	addr := end.Addr().Unmap().WithZone("") // no network contains an address with a zone
	return slices.ContainsFunc(peers, func(p peer) bool {
		return (!p.network.IsValid() || p.network.Contains(addr)) && (p.port < 0 || p.port == int32(end.Port()))
	})
}

func (c *candidate) looksAtPeers() bool {
	return c.sources != nil || c.destinations != nil || c.expression != nil && c.expression.LooksAtPeers()
}
