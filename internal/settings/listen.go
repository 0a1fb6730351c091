package settings

import (
	"net"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/internal/listener"
)

// Listeners are the entries of one *_listen setting; the grammar of an entry is
// the listener package's.
type Listeners struct {
	// Entries are the addresses to listen on; none means off.
	Entries []listener.Addr

	texts []string // the entries as written, blanks folded
	udp   []bool   // of stream listeners: which entries have that flag
}

// AnyTLS reports whether at least one entry speaks TLS.
func (ls Listeners) AnyTLS() bool {
	for _, a := range ls.Entries {
		if a.SSL {
			return true
		}
	}
	return false
}

// Loopback reports whether no other machine can reach any of the entries. A host
// name other than localhost counts as reachable from elsewhere.
func (ls Listeners) Loopback() bool {
	for _, a := range ls.Entries {
		if !isLoopback(a.Host) {
			return false
		}
	}
	return true
}

func isLoopback(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// parseListeners reads the text of a setting. Stream listeners know the flag udp
// and neither http2 nor deferred.
func parseListeners(key, text string, stream bool) (Listeners, error) {
	if strings.TrimSpace(text) == "off" {
		return Listeners{}, nil
	}
	var ls Listeners
	for entry := range strings.SplitSeq(text, ",") {
		words, udp := strings.Fields(entry), false
		ls.texts = append(ls.texts, strings.Join(words, " "))
		if stream {
			words, udp = without(words, "udp")
		}
		addrs, err := listener.Listen(key, strings.Join(words, " "))
		if err != nil {
			return Listeners{}, err
		}
		if len(addrs) != 1 || stream && (addrs[0].HTTP2 || addrs[0].Deferred) {
			// off stands alone or not at all; this text is none of an entry's.
			_, err := listener.Listen(key, "")
			return Listeners{}, err
		}
		ls.Entries = append(ls.Entries, addrs[0])
		ls.udp = append(ls.udp, udp)
	}
	return ls, nil
}

// without returns words less those that are flag, and whether there were any.
func without(words []string, flag string) (rest []string, found bool) {
	for _, w := range words {
		if w == flag {
			found = true
			continue
		}
		rest = append(rest, w)
	}
	return rest, found
}

// shown returns the entries as written, or "off".
func (ls Listeners) shown() []string {
	if len(ls.Entries) == 0 {
		return []string{"off"}
	}
	return append([]string{}, ls.texts...)
}

// public lists the objects that GET / shows for the entries: one boolean for
// each flag. Kong shows a flag with an argument under its real text when it is
// set, and under the pattern that would recognise it when it is not.
func (ls Listeners) public(stream bool) []any {
	list := []any{}
	for i, a := range ls.Entries {
		host := strings.TrimSuffix(a.HostPort(), ":"+strconv.Itoa(a.Port)) // with the brackets of IPv6
		shown := map[string]any{
			"ip": host, "port": a.Port, "listener": a.String(),
			"ssl": a.SSL, "proxy_protocol": a.ProxyProtocol, "bind": a.Bind, "reuseport": a.ReusePort,
			"ipv6only=on": a.IPv6Only == "on", "ipv6only=off": a.IPv6Only == "off",
			"so_keepalive=on": a.Keepalive == "on", "so_keepalive=off": a.Keepalive == "off",
		}
		if stream {
			shown["udp"] = ls.udp[i]
		} else {
			shown["http2"], shown["deferred"] = a.HTTP2, a.Deferred
		}
		if a.Backlog > 0 {
			shown["backlog="+strconv.Itoa(a.Backlog)] = true
		} else {
			shown["backlog=%d+"] = false
		}
		if strings.Contains(a.Keepalive, ":") {
			shown["so_keepalive="+a.Keepalive] = true
		} else {
			shown["so_keepalive=%w*:%w*:%d*"] = false
		}
		list = append(list, shown)
	}
	return list
}
