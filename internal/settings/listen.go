package settings

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// Listeners are the entries of one *_listen setting; none means off.
type Listeners []Listener

// Listener is one address to listen on.
type Listener struct {
	// Host is an IPv4 or IPv6 address, without brackets, or a host name.
	Host string
	Port int
	// TLS, HTTP2 and ProxyProtocol are the flags that change what is spoken on
	// the port. HTTP2 without TLS means HTTP/2 by prior knowledge beside HTTP/1.
	TLS, HTTP2, ProxyProtocol bool
	// UDP is possible on stream listeners only.
	UDP bool
	// ReusePort asks for SO_REUSEPORT.
	ReusePort bool

	text  string   // the entry as written, blanks folded
	flags []string // the flags as written
}

// Address joins host and port for net.Listen.
func (l Listener) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// Loopback reports whether only this machine can reach the listener. A host
// name other than localhost counts as reachable from elsewhere.
func (l Listener) Loopback() bool {
	if ip := net.ParseIP(l.Host); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(l.Host, "localhost")
}

// String returns the entry as it was written.
func (l Listener) String() string { return l.text }

// AnyTLS reports whether at least one listener speaks TLS.
func (ls Listeners) AnyTLS() bool {
	for _, l := range ls {
		if l.TLS {
			return true
		}
	}
	return false
}

// texts returns the entries as written, or "off".
func (ls Listeners) texts() []string {
	if len(ls) == 0 {
		return []string{"off"}
	}
	list := make([]string, len(ls))
	for i, l := range ls {
		list[i] = l.text
	}
	return list
}

// listenFlag is one flag that a *_listen entry may carry. Kong shows a flag with
// an argument under the pattern that recognises it, so the pattern is part of
// what clients see.
type listenFlag struct {
	shown   string // plain text or Lua pattern
	pattern *regexp.Regexp
}

func (f listenFlag) matches(text string) bool {
	if f.pattern != nil {
		return f.pattern.MatchString(text)
	}
	return f.shown == text
}

var (
	flagSSL       = listenFlag{shown: "ssl"}
	flagHTTP2     = listenFlag{shown: "http2"}
	flagUDP       = listenFlag{shown: "udp"}
	flagProxy     = listenFlag{shown: "proxy_protocol"}
	flagDeferred  = listenFlag{shown: "deferred"}
	flagBind      = listenFlag{shown: "bind"}
	flagReusePort = listenFlag{shown: "reuseport"}
	flagsOfSocket = []listenFlag{
		{shown: "backlog=%d+", pattern: regexp.MustCompile(`^backlog=\d+$`)},
		{shown: "ipv6only=on"},
		{shown: "ipv6only=off"},
		{shown: "so_keepalive=on"},
		{shown: "so_keepalive=off"},
		{shown: "so_keepalive=%w*:%w*:%d*", pattern: regexp.MustCompile(`^so_keepalive=[0-9A-Za-z]*:[0-9A-Za-z]*:\d*$`)},
	}
	// Both lists are in the order in which Kong repeats the flags.
	httpFlags   = append([]listenFlag{flagSSL, flagHTTP2, flagProxy, flagDeferred, flagBind, flagReusePort}, flagsOfSocket...)
	streamFlags = append([]listenFlag{flagSSL, flagUDP, flagProxy, flagBind, flagReusePort}, flagsOfSocket...)
)

func parseListeners(key, text string, stream bool) (Listeners, error) {
	malformed := fmt.Errorf("%s must be of form: [off] | <ip>:<port> [flags], [... next entry ...]", key)
	if strings.TrimSpace(text) == "off" {
		return nil, nil
	}
	var list Listeners
	for entry := range strings.SplitSeq(text, ",") {
		fields := strings.Fields(entry)
		if len(fields) == 0 {
			return nil, malformed
		}
		host, port, ok := splitAddress(fields[0])
		if !ok {
			return nil, malformed
		}
		l := Listener{Host: host, Port: port, text: strings.Join(fields, " "), flags: fields[1:]}
		known := httpFlags
		if stream {
			known = streamFlags
		}
		for _, flag := range l.flags {
			found := false
			for _, f := range known {
				found = found || f.matches(flag)
			}
			if !found {
				return nil, malformed
			}
			switch flag {
			case flagSSL.shown:
				l.TLS = true
			case flagHTTP2.shown:
				l.HTTP2 = true
			case flagProxy.shown:
				l.ProxyProtocol = true
			case flagUDP.shown:
				l.UDP = true
			case flagReusePort.shown:
				l.ReusePort = true
			}
		}
		list = append(list, l)
	}
	return list, nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

// splitAddress takes an address apart. A port of 0 is allowed: the system then
// chooses one, which tests rely on.
func splitAddress(text string) (host string, port int, ok bool) {
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, false
	}
	bracketed := strings.HasPrefix(text, "[")
	ip := net.ParseIP(host)
	switch {
	case bracketed && (ip == nil || ip.To4() != nil && !strings.Contains(host, ":")):
		return "", 0, false
	case !bracketed && ip == nil && !hostName.MatchString(host):
		return "", 0, false
	}
	return host, int(n), true
}

// public is the object that GET / shows for a listener: one boolean for each
// flag, where an argument that is set takes the place of its pattern.
func (l Listener) public(stream bool) map[string]any {
	known := httpFlags
	if stream {
		known = streamFlags
	}
	ip := l.Host
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	shown := map[string]any{"ip": ip, "port": l.Port}
	listener := []string{ip + ":" + strconv.Itoa(l.Port)}
	for _, f := range known {
		set := ""
		for _, flag := range l.flags {
			if f.matches(flag) {
				set = flag
			}
		}
		if set == "" {
			shown[f.shown] = false
			continue
		}
		shown[set] = true
		if set != flagHTTP2.shown { // nginx takes http2 as a directive of its own
			listener = append(listener, set)
		}
	}
	shown["listener"] = strings.Join(listener, " ")
	return shown
}
