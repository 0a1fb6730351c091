package plugin

import (
	"net/netip"
	"time"
)

// Upstream is where a request goes and how. The gateway fills it from the
// service and the route before the access phase.
type Upstream struct {
	// Scheme is http or https.
	Scheme string
	// Host is a host name, an address without brackets, or the name of an
	// upstream entity; Port is the port.
	Host string
	Port int
	// HostHeader is the Host header to send. Empty: Host, with the port unless it
	// is the scheme's own.
	HostHeader string
	// Path is the escaped path to send, starting with a slash, and Query the raw
	// query without its question mark.
	Path, Query string
	// Foreign says that the target is not the service's own, so that neither the
	// service's client certificate nor its certificate checks apply.
	Foreign bool
	// Outside says that the request had a say in the host. Then the addresses of
	// IsMetadata are not called, whatever name stands for them.
	Outside bool
	// Patience is the longest to wait for the head of the answer, where that is
	// less than the service's read timeout. 0: the timeout alone counts.
	Patience time.Duration
}

// SetTarget sends the request to an address of the plugin's choice. The service
// of the route is then no more than a carrier of timeouts and retries: its
// address, its client certificate and the client's Host header are not used.
func (u *Upstream) SetTarget(scheme, host string, port int) {
	u.Scheme, u.Host, u.Port = scheme, host, port
	u.HostHeader = ""
	u.Foreign = true
	u.Outside = false
}

// metadata are the addresses beside those of the local link where clouds tell a
// machine its own secrets.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"), // Amazon's and Google's for IPv6
	netip.MustParseAddr("100.100.100.200"), // Alibaba's
	netip.MustParseAddr("168.63.129.16"),   // Azure's
	netip.MustParseAddr("192.0.0.192"),     // Oracle's
}

// IsMetadata says whether an address is one where clouds tell a machine its
// secrets, or otherwise of the local link.
func IsMetadata(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if addr.IsLinkLocalUnicast() {
		return true
	}
	for _, other := range metadata {
		if addr == other {
			return true
		}
	}
	return false
}
