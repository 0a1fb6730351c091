package settings

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/pki"
)

// Material is a certificate, a list of them or a private key: the path of a PEM
// file, PEM text, or base64 of PEM text. It prints as its path, or as [Mask]
// when it is the content itself.
type Material string

// PEM reads the material. Its errors name the file but never quote content.
func (m Material) PEM() ([]byte, error) { return pki.ReadPEM(string(m)) }

// Path returns the file that holds the material, or "" when it is the content
// itself or empty.
func (m Material) Path() string {
	if pki.IsInline(string(m)) {
		return ""
	}
	return string(m)
}

// String returns the path, or [Mask] for content.
func (m Material) String() string {
	if pki.IsInline(string(m)) {
		return Mask
	}
	return string(m)
}

// GoString hides content from %#v.
func (m Material) GoString() string { return `settings.Material("` + m.String() + `")` }

// MarshalText hides content from encoders.
func (m Material) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// Size is a number of bytes.
type Size int64

// ParseSize reads a size as nginx writes it: digits and at most one of k, m or
// g, in either case, for powers of 1024.
func ParseSize(text string) (Size, error) {
	digits, unit := text, int64(1)
	if text != "" {
		switch text[len(text)-1] {
		case 'k', 'K':
			unit = 1 << 10
		case 'm', 'M':
			unit = 1 << 20
		case 'g', 'G':
			unit = 1 << 30
		}
		if unit > 1 {
			digits = text[:len(text)-1]
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size", text)
	}
	return Size(int64(n) * unit), nil
}

// String writes the size with the largest unit that leaves it whole.
func (s Size) String() string {
	for _, u := range []struct {
		bytes Size
		name  string
	}{{1 << 30, "g"}, {1 << 20, "m"}, {1 << 10, "k"}} {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

var errNegative = errors.New("must not be negative")

// parseSeconds reads a number of units, whole or not, such as Kong's "5" for
// five seconds.
func parseSeconds(text string, unit time.Duration) (time.Duration, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.Abs(n)*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if n < 0 {
		return 0, errNegative
	}
	return time.Duration(n * float64(unit)), nil
}

// parseDuration reads a duration of Gibbon's own settings: "1m30s", "250ms", or
// a bare number of seconds.
func parseDuration(text string) (time.Duration, error) {
	if d, err := parseSeconds(text, time.Second); err == nil || errors.Is(err, errNegative) {
		return d, err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	if d < 0 {
		return 0, errNegative
	}
	return d, nil
}

// parseBool knows the four words that Kong takes.
func parseBool(text string) (value, ok bool) {
	switch text {
	case "on", "true":
		return true, true
	case "off", "false":
		return false, true
	}
	return false, false
}

// splitList cuts a comma separated list, without blanks and empty items. The
// result is never nil, so that a list with nothing in it shows as [].
func splitList(text string) []string {
	list := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// kind is the type of a setting's value: what its text may be and how the Admin
// API shows it.
type kind uint8

const (
	textKind      kind = iota // *string
	secretKind                // *Secret
	intKind                   // *int
	numberKind                // *float64
	boolKind                  // *bool; shown as a JSON boolean
	switchKind                // *bool; shown as "on" or "off", as Kong does for what goes straight to nginx
	listKind                  // *[]string
	labelsKind                // *map[string]string; written k:v,k:v
	portsKind                 // *map[int]int; written 80:8000,443:8443
	listenKind                // *Listeners of an HTTP or gRPC port
	streamKind                // *Listeners of a TCP or UDP port
	materialKind              // *Material
	materialsKind             // *[]Material
	secondsKind               // *time.Duration; written and shown as a number of seconds
	millisKind                // *time.Duration; written and shown as a number of milliseconds
	durationKind              // *time.Duration; written 30s, 1m30s or a number of seconds
	sizeKind                  // *Size; written 8k, 10m, 1g
)

// names gives the word that error texts use, and the one that the
// documentation uses.
func (k kind) names() (inErrors, inDocs string) {
	switch k {
	case textKind:
		return "string", "text"
	case secretKind:
		return "string", "text, secret"
	case intKind:
		return "number", "whole number"
	case numberKind:
		return "number", "number"
	case boolKind, switchKind:
		return "boolean", "on or off"
	case listKind:
		return "array", "list"
	case labelsKind:
		return "array", "list of `key:value`"
	case portsKind:
		return "array", "list of `public:local`"
	case listenKind, streamKind:
		return "array", "listeners"
	case materialKind:
		return "string", "PEM: path or content"
	case materialsKind:
		return "array", "list of PEM: path or content"
	case secondsKind:
		return "number", "seconds"
	case millisKind:
		return "number", "milliseconds"
	case durationKind:
		return "duration", "duration"
	case sizeKind:
		return "size", "size"
	}
	panic(fmt.Sprintf("settings: kind %d has no name", k))
}

// newValue makes room for a value of this kind.
func (k kind) newValue() any {
	switch k {
	case textKind:
		return new(string)
	case secretKind:
		return new(Secret)
	case intKind:
		return new(int)
	case numberKind:
		return new(float64)
	case boolKind, switchKind:
		return new(bool)
	case listKind:
		return new([]string)
	case labelsKind:
		return new(map[string]string)
	case portsKind:
		return new(map[int]int)
	case listenKind, streamKind:
		return new(Listeners)
	case materialKind:
		return new(Material)
	case materialsKind:
		return new([]Material)
	case secondsKind, millisKind, durationKind:
		return new(time.Duration)
	case sizeKind:
		return new(Size)
	}
	panic(fmt.Sprintf("settings: kind %d has no type", k))
}

// parse reads text into the value behind at, which must be of the type that
// newValue gives. Errors are whole sentences about key.
func (d *Descriptor) parse(text string, at any) error {
	if len(d.Enum) > 0 && d.kind != listKind && !slices.Contains(d.Enum, text) {
		return fmt.Errorf("%s has an invalid value: '%s' (%s)", d.Key, text, strings.Join(d.Enum, ", "))
	}
	shown := text
	if d.Secret {
		shown = Mask
	}
	word, _ := d.kind.names()
	wrong := fmt.Errorf("%s is not a %s: '%s'", d.Key, word, shown)
	switch v := at.(type) {
	case *string:
		*v = text
	case *Secret:
		*v = Secret(text)
	case *Material:
		*v = Material(text)
	case *[]Material:
		*v = nil
		for _, item := range splitList(text) {
			*v = append(*v, Material(item))
		}
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return wrong
		}
		*v = n
	case *float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return wrong
		}
		*v = n
	case *bool:
		b, ok := parseBool(text)
		if !ok {
			return wrong
		}
		*v = b
	case *[]string:
		*v = splitList(text)
		for _, item := range *v {
			if len(d.Enum) > 0 && !slices.Contains(d.Enum, strings.ToLower(item)) {
				return fmt.Errorf("%s: invalid entry '%s'", d.Key, item)
			}
		}
	case *map[string]string:
		return parseLabels(d.Key, text, v)
	case *map[int]int:
		return parsePorts(d.Key, text, v)
	case *Listeners:
		l, err := parseListeners(d.Key, text, d.kind == streamKind)
		if err != nil {
			return err
		}
		*v = l
	case *time.Duration:
		unit := map[kind]time.Duration{secondsKind: time.Second, millisKind: time.Millisecond}[d.kind]
		var n time.Duration
		var err error
		if unit > 0 {
			n, err = parseSeconds(text, unit)
		} else {
			n, err = parseDuration(text)
		}
		if errors.Is(err, errNegative) {
			return fmt.Errorf("%s %w: '%s'", d.Key, err, text)
		}
		if err != nil {
			return wrong
		}
		*v = n
	case *Size:
		n, err := ParseSize(text)
		if err != nil {
			return wrong
		}
		*v = n
	default:
		panic(fmt.Sprintf("settings: %s is bound to a %T", d.Key, at))
	}
	return d.checkRange(at)
}

// checkRange applies the limits that the table gives to a whole number or a
// number of seconds.
func (d *Descriptor) checkRange(at any) error {
	var n float64
	switch v := at.(type) {
	case *int:
		n = float64(*v)
	case *float64:
		n = *v
	case *time.Duration:
		n = v.Seconds()
	case *Size:
		n = float64(*v)
	default:
		return nil
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	switch {
	case d.max > 0 && (n < d.min || n > d.max):
		return fmt.Errorf("%s must be from %s to %s", d.Key, number(d.min), number(d.max))
	case n < d.min:
		return fmt.Errorf("%s must be %s or greater", d.Key, number(d.min))
	}
	return nil
}

func parseLabels(key, text string, into *map[string]string) error {
	labels := map[string]string{}
	for _, item := range splitList(text) {
		name, value, ok := strings.Cut(item, ":")
		if !ok || !isLabel(name) || !isLabel(value) {
			return fmt.Errorf("%s: '%s' is not a label; labels are key:value, of letters, digits, '-', '_' and '.', at most 63 each", key, item)
		}
		labels[name] = value
	}
	*into = labels
	return nil
}

// isLabel follows the rule of Kubernetes labels, which Kong applies too.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i, c := range []byte(s) {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		inner := i > 0 && i < len(s)-1
		if !alnum && (!inner || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return true
}

func parsePorts(key, text string, into *map[int]int) error {
	ports := map[int]int{}
	for _, item := range splitList(text) {
		public, local, ok := strings.Cut(item, ":")
		p, err1 := strconv.ParseUint(public, 10, 16)
		l, err2 := strconv.ParseUint(local, 10, 16)
		if !ok || err1 != nil || err2 != nil || p == 0 || l == 0 {
			return fmt.Errorf("%s: '%s' is not a port mapping of the form public:local", key, item)
		}
		ports[int(l)] = int(p)
	}
	*into = ports
	return nil
}
