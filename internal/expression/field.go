package expression

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// valueType is the type of a field's values.
type valueType uint8

const (
	typeString valueType = iota
	typeInt
	typeAddr
)

var typeNames = [...]string{typeString: "a String", typeInt: "an Int", typeAddr: "an IpAddr"}

// kind says where the values of a field are found.
type kind uint8

const (
	netProtocol kind = iota
	netSrcIP
	netSrcPort
	netDstIP
	netDstPort
	tlsSNI
	httpMethod
	httpHost
	httpPath
	httpHeader
	httpQuery
	httpSegments
	httpSegmentsLen
)

// fieldSet is a set of kinds.
type fieldSet uint16

func (s fieldSet) has(k kind) bool { return s&(1<<k) != 0 }

// field is what stands on the left of a test.
type field struct {
	name string // as it was written
	kind kind
	typ  valueType
	// key is the canonical name of a header, or the name of a query argument.
	key string
	// from and to are the first and the last of a range of segments.
	from, to int
	// folds says that the values are names of hosts, whose case means nothing.
	folds bool
}

// fixed are the fields of one name.
var fixed = map[string]field{
	"net.protocol": {kind: netProtocol, typ: typeString},
	"net.src.ip":   {kind: netSrcIP, typ: typeAddr},
	"net.src.port": {kind: netSrcPort, typ: typeInt},
	"net.dst.ip":   {kind: netDstIP, typ: typeAddr},
	"net.dst.port": {kind: netDstPort, typ: typeInt},
	"net.port":     {kind: netDstPort, typ: typeInt}, // the old name, which Kong still takes
	"tls.sni":      {kind: tlsSNI, typ: typeString, folds: true},
	"http.method":  {kind: httpMethod, typ: typeString},
	"http.host":    {kind: httpHost, typ: typeString, folds: true},
	"http.path":    {kind: httpPath, typ: typeString},
}

// Kong's text, which clients know.
const illformedSegments = "illformed http.path.segments.* field"

// segmentRange is the end of a field such as http.path.segments.0_2. Numbers have
// no needless zeros, so that a segment has one name.
var segmentRange = regexp.MustCompile(`^(0|[1-9][0-9]{0,3})(?:_([1-9][0-9]{0,3}))?$`)

// fieldOf finds a field by its name. The text says what is wrong with the name.
func fieldOf(name string, context Context) (f field, text string) {
	if context == Stream && strings.HasPrefix(name, "http.") {
		return field{}, "field '" + name + "' is for HTTP, and the protocols of the route are not"
	}
	f, ok := fixed[name]
	if !ok {
		if rest, isHeader := strings.CutPrefix(name, "http.headers."); isHeader {
			f, ok = field{kind: httpHeader, key: http.CanonicalHeaderKey(strings.ReplaceAll(rest, "_", "-"))}, rest != ""
		} else if rest, isQuery := strings.CutPrefix(name, "http.queries."); isQuery {
			f, ok = field{kind: httpQuery, key: rest}, rest != ""
		} else if rest, isSegment := strings.CutPrefix(name, "http.path.segments."); isSegment {
			if f, ok = segmentsField(rest); !ok {
				return field{}, illformedSegments
			}
		}
	}
	if !ok {
		return field{}, "unknown field '" + name + "'"
	}
	f.name = name
	return f, ""
}

func segmentsField(rest string) (field, bool) {
	if rest == "len" {
		return field{kind: httpSegmentsLen, typ: typeInt}, true
	}
	m := segmentRange.FindStringSubmatch(rest)
	if m == nil {
		return field{}, false
	}
	from, _ := strconv.Atoi(m[1])
	to := from
	if m[2] != "" {
		if to, _ = strconv.Atoi(m[2]); to <= from {
			return field{}, false
		}
	}
	return field{kind: httpSegments, from: from, to: to}, true
}

// mark notes which fields the tests look at.
func (n *node) mark(set *fieldSet) {
	if n.test != nil {
		*set |= 1 << n.test.field.kind
	}
	for i := range n.kids {
		n.kids[i].mark(set)
	}
}
