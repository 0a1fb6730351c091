package schema

import (
	"net/netip"
	"strconv"
)

// algorithmAndHashOn brings the way of picking a target and what is hashed for
// it into line, by what the body says of them: nothing is hashed by algorithms
// that have no use for it, and what is hashed makes for consistent hashing.
func algorithmAndHashOn(body Document) (Document, []Member) {
	if name := body.Get("algorithm").Text(); name == "least-connections" || name == "latency" {
		body = body.With(Null(), "hash_on")
	}
	switch hash := body.Get("hash_on"); {
	case hash.IsNull():
		body = body.With(String("none"), "hash_on")
	case hash.Kind() != KindString:
		// Absent, or refused when the entity is judged.
	case hash.Text() == "none":
		body = body.With(String("round-robin"), "algorithm")
	default:
		body = body.With(String("consistent-hashing"), "algorithm")
	}
	return body, nil
}

// upstreamName is a host name that stands for an upstream, so it can be neither
// an address nor have a port.
func upstreamName(text string) string {
	name, port, has := splitPort(text)
	why := ""
	switch {
	case isIP(name) && (!has || isPort(port)):
		why = "no ip addresses allowed"
	case !isHostname(name) || isNumericHost(name) || has && !isPort(port):
		why = "must be a valid hostname"
	case has:
		why = "no port allowed"
	default:
		return ""
	}
	return "Invalid name ('" + text + "'); " + why
}

// cookieName has the characters of a header's name.
func cookieName(text string) string {
	if headerName(text) != "" {
		return "bad cookie name '" + text + "', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
	}
	return ""
}

// targetPort is the port of a target that names none.
const targetPort = 8000

// normalTarget is a target in the one form in which it is stored: a host name or
// address, brackets around one of IPv6, and a port. It reports whether the text
// is a target at all.
func normalTarget(text string) (string, bool) {
	name, port, has := splitPort(text)
	number := uint64(targetPort)
	if has {
		var err error
		if number, err = strconv.ParseUint(port, 10, 16); err != nil {
			return "", false
		}
	}
	switch addr, err := netip.ParseAddr(name); {
	case err == nil && addr.Zone() == "" && addr.Is6():
		name = "[" + addr.String() + "]"
	case !isIP(name) && (!isHostname(name) || isNumericHost(name)):
		return "", false
	}
	return name + ":" + strconv.FormatUint(number, 10), true
}

const textTarget = "; not a valid hostname or ip address"

// targetWithPort stores every target with its port. Kong refuses a bad one here,
// before it looks at anything else, and does not repeat it.
func targetWithPort(body Document) (Document, []Member) {
	given := body.Get("target")
	if given.Kind() != KindString {
		return body, nil // missing, or refused when the entity is judged
	}
	normal, ok := normalTarget(given.Text())
	if !ok {
		return body, []Member{{"target", String("Invalid target" + textTarget)}}
	}
	return body.With(String(normal), "target"), nil
}

// target judges a text that was not rewritten: one from a URL.
func target(text string) string {
	if _, ok := normalTarget(text); !ok {
		return "Invalid target ('" + text + "')" + textTarget
	}
	return ""
}

// wasmFilter refuses every filter: there is nothing here that could run one.
func wasmFilter(string) string { return "no such filter" }
