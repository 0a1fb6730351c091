package listener

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Addr is one entry of a listen setting.
type Addr struct {
	// Host is an IPv4 or IPv6 address without brackets, or a host name.
	Host string
	// Port may be 0, for any free port.
	Port int

	SSL           bool // TLS on this port
	HTTP2         bool // h2 by ALPN with SSL, by prior knowledge without
	ProxyProtocol bool // every connection starts with a PROXY header; Open refuses it

	// These flags are tuning for another kind of server. They are kept so that
	// the Admin API can show them, and change nothing here.
	Deferred, Bind, ReusePort bool
	Backlog                   int // 0 when not given

	// IPv6Only is "on", "off" or, when not given, empty, which means on.
	IPv6Only string
	// Keepalive is the text after "so_keepalive=": on, off or
	// <idle>:<interval>:<count>, each of which may be empty.
	Keepalive string
}

// Listen parses the value of the setting called key. "off" gives no entries.
// The error's text is Kong's.
func Listen(key, value string) ([]Addr, error) {
	value = strings.TrimSpace(value)
	if value == "off" {
		return nil, nil
	}
	var addrs []Addr
	for entry := range strings.SplitSeq(value, ",") {
		a, ok := parseEntry(entry)
		if !ok {
			return nil, fmt.Errorf("%s must be of form: [off] | <ip>:<port> [flags], [... next entry ...]", key)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

func parseEntry(entry string) (Addr, bool) {
	var a Addr
	address := ""
	for word := range strings.FieldsSeq(entry) {
		// Flags stand in any order, but Kong's documentation has the address
		// first, and a flag in front of it is more likely a slip.
		if address == "" {
			address = word
			continue
		}
		if !a.flag(word) {
			return Addr{}, false
		}
	}
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return Addr{}, false
	}
	host, port := address[:i], address[i+1:]
	n, ok := decimal(port, 65535)
	if !ok {
		return Addr{}, false
	}
	a.Port = n
	if a.Host, ok = parseHost(host); !ok {
		return Addr{}, false
	}
	return a, true
}

func (a *Addr) flag(word string) bool {
	name, value, has := strings.Cut(word, "=")
	if !has {
		switch name {
		case "ssl":
			a.SSL = true
		case "http2":
			a.HTTP2 = true
		case "proxy_protocol":
			a.ProxyProtocol = true
		case "deferred":
			a.Deferred = true
		case "bind":
			a.Bind = true
		case "reuseport":
			a.ReusePort = true
		default:
			return false
		}
		return true
	}
	switch name {
	case "backlog":
		n, ok := decimal(value, 1<<31-1)
		a.Backlog = n
		return ok && n > 0
	case "ipv6only":
		a.IPv6Only = value
		return value == "on" || value == "off"
	case "so_keepalive":
		a.Keepalive = value
		_, ok := keepalive(value)
		return ok
	}
	return false
}

// decimal reads plain digits, without a sign, up to max.
func decimal(s string, max int) (int, bool) {
	if s == "" || len(s) > 10 {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= max
}

func parseHost(s string) (string, bool) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if !ok {
			return "", false
		}
		ip, err := netip.ParseAddr(inner)
		if err != nil || !ip.Is6() {
			return "", false
		}
		return ip.String(), true
	}
	if s == "" || len(s) > 253 {
		return "", false
	}
	digits := true
	for _, c := range []byte(s) {
		switch {
		case c == '.' || '0' <= c && c <= '9':
		case c == '-' || c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			digits = false
		default:
			return "", false
		}
	}
	if digits {
		// What looks like an IPv4 address must be one: 10.0.0.300 is no name.
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return "", false
		}
		return ip.String(), true
	}
	return s, true
}

// keepalive reads the value of so_keepalive. An empty part means the system's
// own value.
func keepalive(value string) (net.KeepAliveConfig, bool) {
	switch value {
	case "", "on":
		return net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}, true
	case "off":
		return net.KeepAliveConfig{}, true
	}
	parts := strings.Split(value, ":")
	if len(parts) != 3 {
		return net.KeepAliveConfig{}, false
	}
	conf := net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}
	var ok bool
	if parts[0] != "" {
		if conf.Idle, ok = span(parts[0]); !ok {
			return net.KeepAliveConfig{}, false
		}
	}
	if parts[1] != "" {
		if conf.Interval, ok = span(parts[1]); !ok {
			return net.KeepAliveConfig{}, false
		}
	}
	if parts[2] != "" {
		if conf.Count, ok = decimal(parts[2], 127); !ok || conf.Count == 0 {
			return net.KeepAliveConfig{}, false
		}
	}
	return conf, true
}

// span reads a time as nginx writes it: a number of seconds, or a number with
// one of the units s, m, h, d.
func span(s string) (time.Duration, bool) {
	unit := time.Second
	switch s[len(s)-1] {
	case 's':
		s = s[:len(s)-1]
	case 'm':
		unit, s = time.Minute, s[:len(s)-1]
	case 'h':
		unit, s = time.Hour, s[:len(s)-1]
	case 'd':
		unit, s = 24*time.Hour, s[:len(s)-1]
	}
	// The kernel takes at most 32767 seconds.
	n, ok := decimal(s, 32767)
	d := time.Duration(n) * unit
	return d, ok && n > 0 && d <= 32767*time.Second
}

// HostPort is the address in the form that net.Dial and net.Listen take.
func (a Addr) HostPort() string {
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

// String is the entry as Kong shows it in a parsed listener: the flags in
// Kong's own order, and without http2, which Kong never repeats there.
func (a Addr) String() string {
	var b strings.Builder
	b.WriteString(a.HostPort())
	for _, f := range []struct {
		set  bool
		text string
	}{
		{a.SSL, "ssl"},
		{a.ProxyProtocol, "proxy_protocol"},
		{a.Deferred, "deferred"},
		{a.Bind, "bind"},
		{a.ReusePort, "reuseport"},
		{a.Backlog > 0, "backlog=" + strconv.Itoa(a.Backlog)},
		{a.IPv6Only != "", "ipv6only=" + a.IPv6Only},
		{a.Keepalive != "", "so_keepalive=" + a.Keepalive},
	} {
		if f.set {
			b.WriteByte(' ')
			b.WriteString(f.text)
		}
	}
	return b.String()
}

// network is the name net.Listen wants. An IPv6 entry is IPv6 alone unless it
// says otherwise, as with nginx, so that 0.0.0.0:8000 and [::]:8000 can stand
// in one setting.
func (a Addr) network() string {
	ip, err := netip.ParseAddr(a.Host)
	switch {
	case err != nil:
		return "tcp"
	case ip.Is4():
		return "tcp4"
	case a.IPv6Only == "off":
		return "tcp"
	}
	return "tcp6"
}
