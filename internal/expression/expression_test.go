package expression

import (
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample is a request with something in every field.
func sample() *Request {
	return &Request{
		Protocol: "https", SNI: "Api.Example.com", Method: "POST", Host: "Api.Example.com", Path: "/V1/chat/Größe/",
		Query: "model=gpt&model=gpt-4&flag&e=a%20b+c&=x&bad=%zz", Header: http.Header{
			"X-Tier": {"gold", "Silver"}, "X_one": {"1"}, "Empty": {""},
		},
		Source: netip.MustParseAddrPort("10.1.2.3:5000"), Destination: netip.MustParseAddrPort("[2001:db8::1]:8443"),
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"protocol", `net.protocol == "https"`, true},
		{"method is compared as it is", `http.method == "post"`, false},
		{"lower", `lower(http.method) == "post"`, true},
		{"a literal is not lowered", `lower(http.method) == "POST"`, false},
		{"unequal", `http.method != "GET"`, true},
		{"unequal in lower case", `lower(http.method) != "post"`, false},
		{"case of a host means nothing", `http.host == "aPI.example.COM"`, true},
		{"nor at its beginning", `http.host ^= "API."`, true},
		{"nor at its end", `http.host =^ ".COM"`, true},
		{"nor in a pattern", `http.host ~ "^API\\."`, true},
		{"nor of a server name", `tls.sni == "API.EXAMPLE.COM"`, true},
		{"prefix", `http.path ^= "/V1/"`, true},
		{"prefix in another case", `http.path ^= "/v1/"`, false},
		{"lower prefix", `lower(http.path) ^= "/v1/"`, true},
		{"suffix", `http.path =^ "Größe/"`, true},
		{"lower suffix beyond ASCII", `lower(http.path) =^ "größe/"`, true},
		{"contains", `http.path contains "chat"`, true},
		{"lower contains", `lower(http.path) contains "/grö"`, true},
		{"lower contains not", `lower(http.path) contains "/grä"`, false},
		{"a pattern is searched anywhere", `http.path ~ "ha[a-z]/"`, true},
		{"a pattern on lower case", `lower(http.path) ~ "^/v1/"`, true},
		{"a raw text", `http.path ~ r#"^/V\d/"#`, true},
		{"all values of a header", `http.headers.x_tier == "gold"`, false},
		{"any value of a header", `any(http.headers.x_tier) == "gold"`, true},
		{"any and lower", `any(lower(http.headers.x_tier)) == "silver"`, true},
		{"lower and any", `lower(any(http.headers.x_tier)) == "silver"`, true},
		{"all values differ", `http.headers.x_tier != "bronze"`, true},
		{"not all values differ", `http.headers.x_tier != "gold"`, false},
		{"any value differs", `any(http.headers.x_tier) != "gold"`, true},
		{"an absent header is not equal", `http.headers.nope == ""`, false},
		{"nor unequal", `http.headers.nope != "x"`, false},
		{"nor under any", `any(http.headers.nope) != "x"`, false},
		{"but its negation holds", `!(http.headers.nope == "x")`, true},
		{"an empty header has a value", `http.headers.empty == ""`, true},
		{"a header with an underscore", `http.headers.x_one == "1"`, true},
		{"a header's name in capitals", `http.headers.X_Tier ^= "g" || http.headers.X_One == "1"`, true},
		{"all arguments", `http.queries.model ^= "gpt"`, true},
		{"any argument", `any(http.queries.model) == "gpt-4"`, true},
		{"not all arguments", `http.queries.model == "gpt-4"`, false},
		{"a flag", `http.queries.flag == ""`, true},
		{"escapes in a query", `http.queries.e == "a b c"`, true},
		{"a broken escape stays", `http.queries.bad == "%zz"`, true},
		{"an absent argument", `http.queries.nope != "a"`, false},
		{"a segment", `http.path.segments.1 == "chat"`, true},
		{"a range of segments", `http.path.segments.0_1 == "V1/chat"`, true},
		{"the whole range", `http.path.segments.0_2 == "V1/chat/Größe"`, true},
		{"a segment that is not there", `http.path.segments.3 != "x"`, false},
		{"a range that the path ends in", `http.path.segments.1_3 ^= "chat"`, false},
		{"number of segments", `http.path.segments.len == 3`, true},
		{"order", `http.path.segments.len > 2 && http.path.segments.len >= 3 && http.path.segments.len < 4 && http.path.segments.len <= 3 && http.path.segments.len != 4`, true},
		{"ports", `net.src.port == 5000 && net.dst.port == 0x20fb && net.port == 020373`, true},
		{"negative", `net.src.port > -1`, true},
		{"address", `net.src.ip == 10.1.2.3 && net.dst.ip == 2001:db8::1`, true},
		{"range of addresses", `net.src.ip in 10.0.0.0/8 && net.dst.ip in 2001:db8::/32`, true},
		{"bits beyond the length", `net.src.ip in 10.9.9.9/8`, true},
		{"not in", `net.src.ip not in 10.0.0.0/8`, false},
		{"another family is not in", `net.src.ip in ::/0`, false},
		{"and so it is not in", `net.src.ip not in ::/0`, true},
		{"another family is not equal", `net.src.ip == ::1`, false},
		{"and so it is unequal", `net.src.ip != ::1`, true},
		{"IPv4 in IPv6's clothes", `net.src.ip == ::ffff:10.1.2.3 && net.src.ip in ::ffff:10.0.0.0/104`, true},
		{"and binds tighter", `http.method == "POST" || http.method == "x" && http.method == "y"`, true},
		{"parentheses", `(http.method == "POST" || http.method == "x") && http.method == "y"`, false},
		{"not", `!(http.method == "GET" || http.method == "PUT")`, true},
		{"no needless white space", `http.method=="POST"&&!(http.path=="/")&&http.path contains"chat"&&net.src.ip not  in 11.0.0.0/8`, true},
		{"lines", "http.method == \"POST\"\n\t&& http.path != \"a\\n\\t\\r\\\"\\\\\"\r\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Compile(tt.text, HTTP)
			if err != nil {
				t.Fatalf("Compile(%s): %v", tt.text, err)
			}
			if got := e.Match(sample()); got != tt.want {
				t.Errorf("%s = %v, want %v", tt.text, got, tt.want)
			}
			if got := e.root.naive(sample()); got != tt.want {
				t.Errorf("%s is %v to the reference, want %v", tt.text, got, tt.want)
			}
			again(t, e, HTTP)
		})
	}
}

// again checks that an expression that is written out is the same when read again.
func again(t *testing.T, e *Expression, context Context) {
	t.Helper()
	text := e.String()
	back, err := Compile(text, context)
	if err != nil {
		// The one way to write may be a longer one.
		if len(text) > maxLength {
			return
		}
		t.Fatalf("Compile(%s), which was written out: %v", text, err)
	}
	if diff := cmp.Diff(tree(&e.root), tree(&back.root)); diff != "" {
		t.Errorf("%s is another tree when read again (-first +again):\n%s", text, diff)
	}
	if back.String() != text {
		t.Errorf("%s is written %s the next time", text, back.String())
	}
}

// tree shows a tree without its compiled parts.
func tree(n *node) any {
	if n.test != nil {
		t := *n.test
		pattern := ""
		if t.re != nil {
			pattern = t.re.String()
		}
		return []any{
			t.field.name, int(t.field.kind), t.field.key, t.field.from, t.field.to, t.lower, t.any, operatorNames[t.op],
			t.text, t.want, t.number, t.address.String(), t.network.String(), pattern,
		}
	}
	list := []any{int(n.logic)}
	for i := range n.kids {
		list = append(list, tree(&n.kids[i]))
	}
	return list
}

func TestAbsentFields(t *testing.T) {
	for _, text := range []string{
		`net.protocol != "x"`, `tls.sni != "x"`, `http.method != "x"`, `http.host != "x"`, `http.headers.a != "x"`, `http.queries.a != "x"`,
		`http.path.segments.0 != "x"`, `net.src.ip != 1.1.1.1`, `net.src.ip not in 1.1.1.1/32`, `net.dst.ip != ::1`,
		`net.src.port != 1`, `net.dst.port != 1`, `lower(http.host) ~ ""`,
	} {
		e, err := Compile(text, HTTP)
		if err != nil {
			t.Fatal(err)
		}
		if e.Match(&Request{Path: "/"}) {
			t.Errorf("%s holds for a request without the field", text)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", ``, `expected a field, found the end at position 1`},
		{"unknown field", `http.method == "A" && http.foo == "x"`, `unknown field 'http.foo' at position 23`},
		{"a header without name", `http.headers. == "x"`, `unknown field 'http.headers.' at position 1`},
		{"a dash in a header", `http.headers.x-a == "x"`, `expected an operator, found "-a"; names of headers are written with underscores at position 15`},
		{"segments", `http.path.segments.x == "a"`, `illformed http.path.segments.* field`},
		{"segments without number", `http.path.segments. == "a"`, `illformed http.path.segments.* field`},
		{"segments the wrong way round", `http.path.segments.2_1 == "a"`, `illformed http.path.segments.* field`},
		{"a range of one segment", `http.path.segments.1_1 == "a"`, `illformed http.path.segments.* field`},
		{"a needless zero", `http.path.segments.01 == "a"`, `illformed http.path.segments.* field`},
		{"the name alone", `http.path.segments == "a"`, `unknown field 'http.path.segments' at position 1`},
		{"operator for another type", `http.path > "a"`, `operator '>' is not for http.path, which is a String at position 11`},
		{"pattern on a number", `net.src.port ~ "1"`, `operator '~' is not for net.src.port, which is an Int at position 14`},
		{"order of addresses", `net.src.ip < 1.2.3.4`, `operator '<' is not for net.src.ip, which is an IpAddr at position 12`},
		{"range of texts", `http.path in "a"`, `operator 'in' is not for http.path, which is a String at position 11`},
		{"no operator", `http.path`, `expected an operator (== != ~ ^= =^ contains > >= < <= in, not in), found the end at position 10`},
		{"not without in", `net.src.ip not 1.2.3.4/8`, `expected an operator (== != ~ ^= =^ contains > >= < <= in, not in), found "not" at position 12`},
		{"number for text", `http.path == 5`, `http.path is a String and is compared with a text in quotes, found "5" at position 14`},
		{"text for number", `net.src.port == "5"`, `net.src.port is an Int and cannot be compared with a String at position 17`},
		{"word for number", `net.src.port == abc`, `net.src.port is an Int and cannot be compared with "abc" at position 17`},
		{"another way to write numbers", `net.src.port == 0b1`, `net.src.port is an Int and cannot be compared with "0b1" at position 17`},
		{"a number too big", `net.src.port == 9223372036854775808`, `net.src.port is an Int and cannot be compared with "9223372036854775808" at position 17`},
		{"address for range", `net.src.ip in 1.2.3.4`, `'in' needs a range: 1.2.3.4/32 at position 15`},
		{"range for address", `net.src.ip == 1.2.3.0/24`, `'==' needs an address; for the range 1.2.3.0/24 there is 'in' at position 15`},
		{"no address", `net.src.ip == 1.2.3.400`, `net.src.ip is an IpAddr and cannot be compared with "1.2.3.400" at position 15`},
		{"no range", `net.src.ip in 1.2.3.4/40`, `'in' needs a range such as 10.0.0.0/8, found "1.2.3.4/40" at position 15`},
		{"no literal", `http.path == `, `expected a literal after '==', found the end at position 14`},
		{"a field on the right", `http.path == http.host`, `http.path is a String and is compared with a text in quotes, found "http.host" at position 14`},
		{"text without end", `http.path == "a`, `the string has no end: expected " at position 14`},
		{"text that ends in a backslash", `http.path == "a\`, `the string has no end: expected " at position 14`},
		{"raw text without end", `http.path == r#"a"`, `the string has no end: expected "# at position 14`},
		{"unknown escape", `http.path ~ "\d"`, `unknown escape: there are \" \\ \n \r \t, and r#"…"# for text as it is at position 14`},
		{"bad regex", `http.path ~ "a("`, "invalid regex: missing closing ): `a(` at position 13"},
		{"look-around", `http.path ~ "(?=a)"`, "invalid regex: invalid or unsupported Perl syntax: `(?=` at position 13"},
		{"unknown transformation", `upper(http.path) == "A"`, `unknown transformation 'upper': there are lower and any at position 1`},
		{"lower of a number", `lower(net.src.port) == 1`, `lower() is for Strings, and net.src.port is an Int at position 1`},
		{"transformation without end", `lower(http.path == "a"`, `expected ), found "==" at position 17`},
		{"not without parenthesis", `!http.path == "a"`, `expected ( after !, found "http.path" at position 1`},
		{"parenthesis without end", `(http.path == "a"`, `expected && or || or ), found the end at position 18`},
		{"parenthesis too many", `http.path == "a")`, `expected && or || or the end, found ")" at position 17`},
		{"nothing after and", `http.path == "a" &&`, `expected a field, found the end at position 20`},
		{"a single ampersand", `http.path == "a" & http.path == "b"`, `expected && or || or the end, found "&" at position 18`},
		{"too deep", strings.Repeat("(", 101) + `http.path == "a"`, `more than 100 parentheses within each other at position 101`},
		{"transformations too deep", strings.Repeat("lower(", 101) + `http.path`, `more than 100 parentheses within each other at position 601`},
		{"too long", `http.path == "` + strings.Repeat("a", 64<<10) + `"`, `the expression has 65551 bytes, 65536 are the most`},
		{"no UTF-8", "http.path == \"\xff\"", `the expression is not valid UTF-8`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile(tt.text, HTTP)
			if _, ok := errors.AsType[*Error](err); !ok || err.Error() != tt.want {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

func TestStreamContext(t *testing.T) {
	e, err := Compile(`net.protocol == "tls" && tls.sni =^ ".example" && net.src.ip in 10.0.0.0/8 && net.dst.port == 9000`, Stream)
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Protocol: "tls", SNI: "a.example", Source: netip.MustParseAddrPort("10.0.0.1:1"), Destination: netip.MustParseAddrPort("10.0.0.2:9000")}
	if !e.Match(r) {
		t.Errorf("%s does not hold for %+v", e, r)
	}
	for _, name := range []string{"http.path", "http.headers.a", "http.path.segments.x"} {
		_, err := Compile(name+` == "a"`, Stream)
		want := "field '" + name + "' is for HTTP, and the protocols of the route are not at position 1"
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestTaken(t *testing.T) {
	for _, tt := range []struct {
		name, text, path string
		want             Taken
	}{
		{"no path", `http.method == "GET"`, "/a", Taken{}},
		{"prefix", `http.path ^= "/a"`, "/a/b", Taken{HasPath: true, Matched: "/a"}},
		{"equality", `http.path == "/a/b"`, "/a/b", Taken{HasPath: true, Matched: "/a/b"}},
		{"pattern without groups", `http.path ~ "^/[ab]"`, "/a/b", Taken{HasPath: true, Matched: "/a"}},
		{"pattern that begins later", `http.path ~ "b"`, "/a/b", Taken{}},
		{"named groups", `http.path ~ "^/(?<x>[^/]+)/(?P<y>\\w+)"`, "/a/b", Taken{
			HasPath: true, Matched: "/a/b", Captures: []string{"/a/b", "a", "b"}, Named: map[string]string{"x": "a", "y": "b"}}},
		{"groups further on", `http.path ~ "(?<n>b)"`, "/a/b", Taken{Captures: []string{"b", "b"}, Named: map[string]string{"n": "b"}}},
		{"a group that took no part", `http.path ~ "^/(a)|(b)"`, "/a", Taken{HasPath: true, Matched: "/a", Captures: []string{"/a", "a", ""}}},
		{"the last of several", `http.path ^= "/" && http.path ~ "^/(?<x>a)" && http.path ~ "(?<y>b)"`, "/a/b", Taken{
			HasPath: true, Matched: "/a", Captures: []string{"b", "b"}, Named: map[string]string{"x": "a", "y": "b"}}},
		{"an alternative that failed", `(http.path ~ "^/(?<x>a)" && http.method == "PUT") || http.path ^= "/a/"`, "/a/b", Taken{HasPath: true, Matched: "/a/"}},
		{"the first alternative that holds", `http.path ^= "/a" || http.path ^= "/a/"`, "/a/b", Taken{HasPath: true, Matched: "/a"}},
		{"a negation", `!(http.path ^= "/x") && http.path contains "a"`, "/a", Taken{}},
		{"a negation of a failed pattern", `!(http.path ~ "^/(x)" || http.method == "PUT") && http.path ^= "/"`, "/a", Taken{HasPath: true, Matched: "/"}},
		{"lower prefix", `lower(http.path) ^= "/größe"`, "/GRÖßE/x", Taken{HasPath: true, Matched: "/GRÖßE"}},
		{"lower pattern", `lower(http.path) ~ "^/(ä+)"`, "/ÄÄ/x", Taken{HasPath: true, Matched: "/ÄÄ", Captures: []string{"/ää", "ää"}}},
		{"lower that changes the length", `lower(http.path) ^= "/k"`, "/\u212A/x", Taken{HasPath: true, Matched: "/\u212A"}},
		{"segments are no path", `http.path.segments.0 ~ "(a)"`, "/a", Taken{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Compile(tt.text, HTTP)
			if err != nil {
				t.Fatal(err)
			}
			r := &Request{Method: "GET", Path: tt.path}
			if !e.Match(r) {
				t.Fatalf("%s does not match %s", tt.text, tt.path)
			}
			if diff := cmp.Diff(tt.want, e.Taken(r)); diff != "" {
				t.Errorf("%s took of %s (-want +got):\n%s", tt.text, tt.path, diff)
			}
		})
	}
}

func TestSegments(t *testing.T) {
	for _, tt := range []struct {
		path string
		len  int
		want map[[2]int]string
	}{
		{"/", 0, nil},
		{"/a", 1, map[[2]int]string{{0, 0}: "a"}},
		{"/a/", 1, map[[2]int]string{{0, 0}: "a"}},
		{"/a/b/c", 3, map[[2]int]string{{0, 0}: "a", {1, 1}: "b", {2, 2}: "c", {0, 1}: "a/b", {1, 2}: "b/c", {0, 2}: "a/b/c"}},
	} {
		if got := countSegments(tt.path); got != tt.len {
			t.Errorf("%s has %d segments, want %d", tt.path, got, tt.len)
		}
		got := map[[2]int]string{}
		for i := range 5 {
			for j := i; j < 5; j++ {
				if text, ok := segments(tt.path, i, j); ok {
					got[[2]int{i, j}] = text
				}
			}
		}
		if !maps.Equal(got, tt.want) {
			t.Errorf("the segments of %s are %v, want %v", tt.path, got, tt.want)
		}
	}
}

// Arguments beyond a number are not looked at, so that a long query costs little.
func TestManyArguments(t *testing.T) {
	e, err := Compile(`any(http.queries.a) == "x"`, HTTP)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{99: true, 100: false} {
		if got := e.Match(&Request{Path: "/", Query: strings.Repeat("b&", n) + "a=x"}); got != want {
			t.Errorf("an argument after %d others: %v, want %v", n, got, want)
		}
	}
}

// A request that is used again keeps nothing of the one before.
func TestReset(t *testing.T) {
	e, err := Compile(`any(http.queries.a) == "x" || http.headers.x_one == "1"`, HTTP)
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Path: "/", Query: "b=1&a=x", Header: http.Header{"X_one": {"2"}}}
	if !e.Match(r) {
		t.Fatal("no match")
	}
	r.Reset()
	r.Path, r.Query = "/", "a=y"
	if e.Match(r) {
		t.Error("the request before is still there")
	}
	r.Reset()
	r.Header = http.Header{"X_one": {"1"}}
	if !e.Match(r) {
		t.Error("the header of the new request is not there")
	}
}

func TestNoAllocations(t *testing.T) {
	var all []*Expression
	for _, text := range []string{
		`http.path ^= "/v1" && http.method == "GET"`, `lower(http.path) =^ "größe/" && lower(http.method) contains "os"`,
		`http.path ~ "^/V[0-9]+/.*/$"`, `any(http.headers.x_tier) == "Silver"`, `http.headers.x_one == "1"`, `any(http.queries.model) == "gpt-4"`,
		`http.path.segments.0_1 == "V1/chat" && http.path.segments.len == 3`, `net.src.ip in 10.0.0.0/8 && net.dst.port == 8443`, `http.host =^ ".example.com"`,
	} {
		e, err := Compile(text, HTTP)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	base, r, matched := sample(), new(Request), 0
	if n := testing.AllocsPerRun(100, func() {
		r.Reset()
		r.Protocol, r.SNI, r.Source, r.Destination = base.Protocol, base.SNI, base.Source, base.Destination
		r.Method, r.Host, r.Path, r.Query, r.Header = base.Method, base.Host, base.Path, "model=gpt&model=gpt-4", base.Header
		matched = 0
		for _, e := range all {
			if e.Match(r) {
				matched++
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if matched != len(all)-1 {
		t.Errorf("%d of %d match", matched, len(all))
	}
}

// naive is the reference: it gathers the values of a field and compares each in the
// plainest way.
func (n *node) naive(r *Request) bool {
	verdicts := make([]bool, len(n.kids))
	for i := range n.kids {
		verdicts[i] = n.kids[i].naive(r)
	}
	switch n.logic {
	case isAnd:
		return !slices.Contains(verdicts, false)
	case isOr:
		return slices.Contains(verdicts, true)
	case isNot:
		return !verdicts[0]
	}
	return n.test.naive(r)
}

func (t *test) naive(r *Request) bool {
	passed, values := 0, t.values(r)
	for _, v := range values {
		if t.naiveOne(v) {
			passed++
		}
	}
	if t.any {
		return passed > 0
	}
	return len(values) > 0 && passed == len(values)
}

func (t *test) naiveOne(v any) bool {
	switch v := v.(type) {
	case int:
		n := int(t.number)
		return map[operator]bool{
			opEqual: v == n, opUnequal: v != n, opGreater: v > n, opGreaterEqual: v >= n, opLess: v < n, opLessEqual: v <= n,
		}[t.op]
	case netip.Addr:
		in := t.network.IsValid() && t.network.Contains(v)
		return map[operator]bool{opEqual: v == t.address, opUnequal: v != t.address, opIn: in, opNotIn: !in}[t.op]
	}
	s, want := v.(string), t.text
	if t.lower {
		s = lower(s)
	}
	if t.field.folds {
		s, want = lower(s), lower(want)
	}
	switch t.op {
	case opEqual:
		return s == want
	case opUnequal:
		return s != want
	case opPrefix:
		return strings.HasPrefix(s, want)
	case opSuffix:
		return strings.HasSuffix(s, want)
	case opContains:
		return strings.Contains(s, want)
	}
	if t.field.folds && !t.lower {
		s = v.(string)
	}
	return t.re.MatchString(s)
}

// values are the values of the test's field.
func (t *test) values(r *Request) (list []any) {
	text := func(s string) {
		if s != "" {
			list = append(list, s)
		}
	}
	addr := func(a netip.Addr) {
		if a.IsValid() {
			list = append(list, a.Unmap())
		}
	}
	port := func(p uint16) {
		if p != 0 {
			list = append(list, int(p))
		}
	}
	var parts []string
	if path := strings.TrimRight(r.Path, "/"); path != "" {
		parts = strings.Split(strings.TrimPrefix(path, "/"), "/")
	}
	switch name := t.field.name; name {
	case "net.protocol":
		text(r.Protocol)
	case "tls.sni":
		text(r.SNI)
	case "http.method":
		text(r.Method)
	case "http.host":
		text(r.Host)
	case "http.path":
		list = []any{r.Path}
	case "net.src.ip":
		addr(r.Source.Addr())
	case "net.dst.ip":
		addr(r.Destination.Addr())
	case "net.src.port":
		port(r.Source.Port())
	case "net.dst.port", "net.port":
		port(r.Destination.Port())
	case "http.path.segments.len":
		list = []any{len(parts)}
	default:
		plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "_")) }
		if header, ok := strings.CutPrefix(name, "http.headers."); ok {
			for key, values := range r.Header {
				if plain(key) == plain(header) {
					for _, v := range values {
						list = append(list, v)
					}
				}
			}
		} else if key, ok := strings.CutPrefix(name, "http.queries."); ok {
			n := 0
			for part := range strings.SplitSeq(r.Query, "&") {
				k, v, _ := strings.Cut(part, "=")
				if k = unescape(k); k == "" {
					continue
				}
				if n++; n <= maxPairs && k == key {
					list = append(list, unescape(v))
				}
			}
		} else if t.field.to < len(parts) {
			list = []any{strings.Join(parts[t.field.from:t.field.to+1], "/")}
		}
	}
	return list
}

// FuzzRouterExpression: what is read never panics, means the same to the reference, and
// is the same tree when it is written out and read again. What a match took of the
// path begins it.
func FuzzRouterExpression(f *testing.F) {
	for _, text := range []string{
		`http.path ^= "/v1" && (http.method == "GET" || !(any(lower(http.headers.x_tier)) contains "old"))`,
		`lower(http.path) ~ r#"^/(?<a>\w+)"# && http.path.segments.1_2 == "a/b"`,
		`net.src.ip not in 10.0.0.0/8 || net.dst.ip == ::1 || net.dst.port >= 0x1f`,
		`http.queries.a != "x" && tls.sni =^ "K" && http.host ^= "ß"`,
	} {
		f.Add(text, "/v1/a/b", "api.Example", "a=x&b=%20", "gold", "10.1.2.3:80")
	}
	f.Add(`lower(http.path) contains "k"`, "/\u212a\xff", "", "", "", "[::ffff:1.2.3.4]:1")
	f.Fuzz(func(t *testing.T, text, path, host, query, value, source string) {
		from, _ := netip.ParseAddrPort(source)
		for _, context := range []Context{HTTP, Stream} {
			e, err := Compile(text, context)
			if err != nil {
				continue
			}
			again(t, e, context)
			r := &Request{
				Protocol: "http", SNI: host, Method: "GET", Host: host, Path: "/" + path, Query: query,
				Header: http.Header{"X-Tier": {value, "b"}, "X_tier": {value}, "A": {host}}, Source: from, Destination: from,
			}
			if got, want := e.Match(r), e.root.naive(r); got != want {
				t.Fatalf("%s is %v for %+v, and %v to the reference", text, got, r, want)
			}
			if taken := e.Taken(r); !strings.HasPrefix(r.Path, taken.Matched) {
				t.Fatalf("%s took %q of %q", text, taken.Matched, r.Path)
			}
			begins := func(prefix string) bool { return strings.HasPrefix(r.Path, prefix) }
			if e.Match(r) && (e.Prefixes() != nil && !slices.ContainsFunc(e.Prefixes(), begins) || e.Hosts() != nil && !slices.Contains(e.Hosts(), strings.ToLower(host))) {
				t.Fatalf("%s holds for %+v, without one of %q and %q", text, r, e.Prefixes(), e.Hosts())
			}
		}
	})
}

func TestNeeds(t *testing.T) {
	for _, tt := range []struct {
		text            string
		hosts, prefixes []string
		peers           bool
	}{
		{`http.method == "GET"`, nil, nil, false},
		{`http.host == "A.example" && http.path ^= "/a" && http.path == "/a/b"`, []string{"a.example"}, []string{"/a"}, false},
		{`(http.path ^= "/b" || http.path == "/a" || http.path == "/a") && net.src.port > 1`, nil, []string{"/a", "/b"}, true},
		{`http.path ^= "/b" || http.method == "GET"`, nil, nil, false},
		{`!(http.path ^= "/b") && lower(http.path) ^= "/c" && http.host != "a"`, nil, nil, false},
		{`http.path ~ "^/users/(?<id>[0-9]+)"`, nil, []string{"/users/"}, false},
		{`http.path ~ "^/a|^/b" || http.path == "/c"`, nil, nil, false},
		{`http.path ~ "^/a|/b" || http.path == "/c"`, nil, nil, false},
		{`http.path ~ "(?i)^/a" && http.path ~ "(?m)^/b" && http.path ~ "/c" && http.path ~ "^/*x"`, nil, nil, false},
		{"http.path ~ \"^/a\uFFFDb\"", nil, []string{"/a"}, false},
		{`lower(http.path) ~ "^/a"`, nil, nil, false},
		{`http.path =^ "/b" && http.host ^= "a" && net.dst.ip in ::/0`, nil, nil, true},
	} {
		e, err := Compile(tt.text, HTTP)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(e.Hosts(), tt.hosts) || !slices.Equal(e.Prefixes(), tt.prefixes) || e.LooksAtPeers() != tt.peers {
			t.Errorf("%s: hosts %q, prefixes %q, peers %v", tt.text, e.Hosts(), e.Prefixes(), e.LooksAtPeers())
		}
	}
}
