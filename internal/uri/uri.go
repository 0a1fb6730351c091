// Package uri owns the normal form of request paths. The router matches
// requests in that form and the schema engine refuses route paths that are not
// in it, so both planes use this one function.
package uri

import (
	"bytes"
	"strings"
)

// Normalize gives the normal form of a path without its query: every
// percent-triplet is decoded once, except those of reserved characters, which
// stay with upper-case digits; dot segments are taken out, and a ".." above
// the root is dropped; repeated slashes become one. What is no valid triplet
// stays as it is. A path that is in normal form is returned as it came.
//
// The result of a path that begins with a slash begins with one. Normalising
// twice changes nothing: "%252e" stays, since "%25" is reserved.
func Normalize(path string) string {
	if isNormal(path) {
		return path
	}
	return string(removeDots(decode(path)))
}

// isNormal is the quick answer for nearly all paths: nothing to decode, and
// no segment that begins with a dot or is empty.
func isNormal(path string) bool {
	if strings.IndexByte(path, '%') >= 0 || strings.HasPrefix(path, ".") {
		return false
	}
	return !strings.Contains(path, "//") && !strings.Contains(path, "/.")
}

// decode resolves the triplets. It must not make new ones, or normalising twice
// would differ from once: "%25" is reserved, and behind a percent sign that
// begins no triplet a decoded digit would complete one, so that stays encoded.
func decode(path string) []byte {
	out := make([]byte, 0, len(path))
	stray := -3 // where the last percent sign that begins no triplet is in out
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			out = append(out, path[i])
			continue
		}
		high, low := -1, -1
		if i+2 < len(path) {
			high, low = unhex(path[i+1]), unhex(path[i+2])
		}
		if high < 0 || low < 0 {
			stray = len(out)
			out = append(out, '%')
			continue
		}
		c := byte(high<<4 | low)
		if isReserved(c) || unhex(c) >= 0 && len(out)-stray <= 2 {
			out = append(out, '%', upperHex[high], upperHex[low])
		} else {
			out = append(out, c)
		}
		i += 2
	}
	return out
}

const upperHex = "0123456789ABCDEF"

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

func isReserved(c byte) bool {
	return strings.IndexByte("!*'();:@&=+$,/?%#[]", c) >= 0
}

// removeDots works segment by segment, so that merging slashes and dropping
// dots cannot feed each other. A path that ends in a dot segment ends in a
// slash, as RFC 3986 has it.
func removeDots(path []byte) []byte {
	rooted := len(path) > 0 && path[0] == '/'
	out := make([]byte, 0, len(path))
	if rooted {
		out = append(out, '/')
	}
	// out is empty, or ends in a slash, before each segment.
	for len(path) > 0 {
		segment, rest, more := bytes.Cut(path, []byte{'/'})
		path = rest
		switch string(segment) {
		case "", ".":
			continue
		case "..":
			out = parent(out, rooted)
			continue
		}
		out = append(out, segment...)
		if more {
			out = append(out, '/')
		}
	}
	return out
}

// parent drops the last segment of a path that ends in a slash.
func parent(path []byte, rooted bool) []byte {
	if len(path) == 0 || rooted && len(path) == 1 {
		return path
	}
	cut := bytes.LastIndexByte(path[:len(path)-1], '/')
	return path[:cut+1]
}
