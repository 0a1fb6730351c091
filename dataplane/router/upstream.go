package router

import "strings"

// UpstreamPath joins a service's path and a request's normalised path as the
// route says. The result is not escaped (internal/uri.Escape does that).
func (m *Match) UpstreamPath(path string) string {
	base := "/"
	if m.Service != nil && m.Service.GetPath() != "" {
		base = m.Service.GetPath()
	}
	strip := m.Route.GetStripPath()
	rest := strings.TrimPrefix(path, "/")
	if m.HasPath && strip {
		rest = path[min(len(m.Matched), len(path)):]
	}
	rest = clean(rest)
	if m.Route.GetPathHandling() == "v1" && m.v1 {
		return joinV1(base, rest, path, strip)
	}
	return joinV0(base, rest, path, strip)
}

// Stripped is the part of the path that was cut off and that the upstream learns
// as X-Forwarded-Prefix; empty when nothing was.
func (m *Match) Stripped() string {
	if !m.HasPath || !m.Route.GetStripPath() {
		return ""
	}
	return m.Matched
}

// clean keeps a rest such as ".." (of the prefix /a and the path /a..) from
// climbing out of the service's path.
func clean(rest string) string {
	switch {
	case rest == "." || rest == "..":
		return ""
	case strings.HasPrefix(rest, "./"):
		return rest[2:]
	case strings.HasPrefix(rest, "../"):
		return rest[3:]
	}
	return rest
}

func joinV0(base, rest, path string, strip bool) string {
	dir, slashed := strings.CutSuffix(base, "/")
	switch {
	case !strip && slashed:
		return dir + path
	case !strip && path == "/":
		return base
	case !strip:
		return base + path
	case rest == "" && base == "/":
		return "/"
	case rest == "" && len(path) > 1 && strings.HasSuffix(path, "/"):
		return dir + "/"
	case rest == "":
		return dir
	default:
		return dir + "/" + strings.TrimPrefix(rest, "/")
	}
}

// joinV1 is the plain join of the deprecated path_handling v1.
func joinV1(base, rest, path string, strip bool) string {
	if !strip {
		return base + strings.TrimPrefix(path, "/")
	}
	if strings.HasSuffix(base, "/") {
		rest = strings.TrimPrefix(rest, "/")
	}
	return base + rest
}
