package plugin

import (
	"iter"
	"strings"
)

// Arg is one argument of a query string.
type Arg struct {
	// Raw is the argument as it stands in the query; Name and Value are decoded.
	Raw, Name, Value string
	// Bare says that there is no equals sign.
	Bare bool
}

// Args goes through the arguments of a raw query, in order. Like nginx, and other
// than net/url, it takes a semicolon for a plain character and leaves a percent
// sign that begins no triplet as it is.
func Args(query string) iter.Seq[Arg] {
	return func(yield func(Arg) bool) {
		for raw := range strings.SplitSeq(query, "&") {
			if raw == "" {
				continue
			}
			name, value, found := strings.Cut(raw, "=")
			if !yield(Arg{Raw: raw, Name: unescape(name), Value: unescape(value), Bare: !found}) {
				return
			}
		}
	}
}

// WithoutArg is a raw query without the arguments of a name. All others stay as
// they are, byte for byte.
func WithoutArg(query, name string) string {
	var kept []string
	removed := false
	for arg := range Args(query) {
		if arg.Name == name {
			removed = true
			continue
		}
		kept = append(kept, arg.Raw)
	}
	if !removed {
		return query
	}
	return strings.Join(kept, "&")
}

func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			out = append(out, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
