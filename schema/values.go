package schema

import (
	"cmp"
	"crypto/rand"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// isUUID reports the shape 8-4-4-4-12 of hex digits, in any case.
func isUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// canonicalNumber is the one spelling of a number: whole ones have neither
// fraction nor exponent, since clients decode them into integers. Whole
// numbers beyond 2^53 and those out of range keep their text.
func canonicalNumber(d Document) Document {
	if !strings.ContainsAny(d.text, ".eE") {
		if d.text == "-0" {
			return Number("0")
		}
		return d
	}
	if n, ok := d.Int(); ok {
		return Int(n)
	}
	if f, ok := d.Float(); ok && f != math.Trunc(f) {
		return Float(f)
	}
	return d
}

const alphanumerics = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomText is what Kong generates for keys and secrets: 32 characters out of
// 62, all equally likely.
func randomText() string {
	var out [32]byte
	var pool [64]byte
	for n := 0; n < len(out); {
		rand.Read(pool[:]) // never fails: it ends the program instead
		for _, b := range pool {
			// 248 is the last multiple of 62 in a byte; above it some
			// characters would be likelier than others.
			if b < 248 && n < len(out) {
				out[n] = alphanumerics[b%62]
				n++
			}
		}
	}
	return string(out[:])
}

// quotedList is how Kong lists names: 'a', 'b'.
func quotedList(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "'" + strings.Join(names, "', '") + "'"
}

func joinComma(values []string) string { return strings.Join(values, ", ") }

func oneOfText(values []string) string { return "expected one of: " + joinComma(values) }

// show prints a value inside a text as Kong's does: texts bare.
func show(d Document) string {
	switch d.Kind() {
	case KindString:
		return d.Text()
	case KindList, KindObject:
		return LuaLiteral(d)
	case Absent, KindNull:
		return "null"
	}
	return d.String()
}

// limit prints a number of a rule.
func limit(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// sortedKeys are the keys of a map, in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
