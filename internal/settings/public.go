package settings

import (
	"bytes"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Public returns the "configuration" object of the Admin API's root: every key
// that has a value, under its own name and with the type that Kong's clients
// expect, and what Kong derives from some of them. Secrets show as [Mask]; a
// value that came from a vault shows as its reference. The caller adds what it
// alone knows: loaded_plugins, and the log level in force.
func (s *Settings) Public() map[string]any {
	out := map[string]any{}
	table := Table()
	for i := range table {
		d := &table[i]
		if v, ok := s.show(d); ok {
			out[d.Key] = v
		}
	}
	for _, l := range []struct {
		name, ssl string
		list      Listeners
		stream    bool
	}{
		{"proxy_listeners", "proxy_ssl_enabled", s.ProxyListen, false},
		{"admin_listeners", "admin_ssl_enabled", s.AdminListen, false},
		{"admin_gui_listeners", "admin_gui_ssl_enabled", s.AdminGUIListen, false},
		{"status_listeners", "status_ssl_enabled", s.StatusListen, false},
		{"cluster_listeners", "", s.ClusterListen, false},
		{"stream_listeners", "stream_proxy_ssl_enabled", s.streamListen(), true},
	} {
		out[l.name] = l.list.public(l.stream)
		if l.ssl != "" {
			out[l.ssl] = l.list.AnyTLS()
		}
	}
	out["loaded_vaults"] = map[string]any{"env": true}
	out["enabled_headers"] = enabledHeaders(s.Headers)
	out["enabled_headers_upstream"] = map[string]any{"X-Kong-Request-Id": listed(s.HeadersUpstream, "x-kong-request-id")}
	out["admin_exposed"] = s.AdminExposed()
	return out
}

func (s *Settings) streamListen() Listeners {
	if v, ok := s.extra["stream_listen"].(*Listeners); ok {
		return *v
	}
	return Listeners{}
}

// show renders one value; ok is false when there is none to show.
func (s *Settings) show(d *Descriptor) (shown any, ok bool) {
	at := d.bind(s)
	text := s.texts[d.Key]
	if s.refs[d.Key] && !d.Secret {
		if d.kind == listKind || d.kind == materialsKind {
			return splitList(text), true
		}
		return text, true
	}
	switch v := at.(type) {
	case *string:
		return *v, *v != ""
	case *Secret:
		return v.String(), *v != ""
	case *Material:
		if d.Secret && *v != "" {
			return Mask, true
		}
		return showMaterial(*v), *v != ""
	case *[]Material:
		if d.Secret {
			return Mask, len(*v) > 0
		}
		list := []string{}
		for _, m := range *v {
			list = append(list, showMaterial(m))
		}
		return list, len(list) > 0
	case *int:
		return *v, true
	case *float64:
		if *v == math.Trunc(*v) && math.Abs(*v) < 1<<53 {
			return int64(*v), true
		}
		return *v, true
	case *bool:
		if d.kind == switchKind {
			if *v {
				return "on", true
			}
			return "off", true
		}
		return *v, true
	case *[]string:
		return append([]string{}, *v...), true
	case *map[string]string:
		list := []string{}
		for name, value := range *v {
			list = append(list, name+":"+value)
		}
		sort.Strings(list)
		return list, true
	case *map[int]int:
		list := []string{}
		for local, public := range *v {
			list = append(list, strconv.Itoa(public)+":"+strconv.Itoa(local))
		}
		sort.Strings(list)
		return list, true
	case *Listeners:
		if text == "" {
			return nil, false
		}
		return v.shown(), true
	case *time.Duration:
		unit := time.Second
		switch d.kind {
		case durationKind:
			return v.String(), true
		case millisKind:
			unit = time.Millisecond
		}
		n := float64(*v) / float64(unit)
		if n == math.Trunc(n) {
			return int64(n), true
		}
		return n, true
	case *Size:
		if n, err := ParseSize(text); err == nil && n == *v {
			return text, true // as it was written: 2048m stays 2048m
		}
		return v.String(), true
	}
	panic("settings: " + d.Key + " can not be shown")
}

// showMaterial shows a certificate, unless a private key travels with it.
func showMaterial(m Material) string {
	if m.Path() != "" {
		return string(m)
	}
	if pem, err := m.PEM(); err != nil || bytes.Contains(pem, []byte("PRIVATE KEY")) {
		return Mask
	}
	return string(m)
}

func listed(list []string, word string) bool {
	for _, item := range list {
		if strings.EqualFold(item, word) {
			return true
		}
	}
	return false
}

// enabledHeaders spells out the two words that stand for several headers.
func enabledHeaders(headers []string) map[string]any {
	server, latency := listed(headers, "server_tokens"), listed(headers, "latency_tokens")
	if listed(headers, "off") {
		headers, server, latency = nil, false, false
	}
	on := func(word string, group bool) bool { return group || listed(headers, word) }
	return map[string]any{
		"server_tokens":           server,
		"latency_tokens":          latency,
		"Via":                     on("via", server),
		"Server":                  on("server", server),
		"X-Kong-Proxy-Latency":    on("x-kong-proxy-latency", latency),
		"X-Kong-Response-Latency": on("x-kong-response-latency", latency),
		"X-Kong-Admin-Latency":    on("x-kong-admin-latency", latency),
		"X-Kong-Upstream-Latency": on("x-kong-upstream-latency", latency),
		"X-Kong-Upstream-Status":  on("x-kong-upstream-status", false),
		"X-Kong-Request-Id":       on("x-kong-request-id", false),
	}
}
