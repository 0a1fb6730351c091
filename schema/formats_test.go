package schema

import (
	"strings"
	"testing"
)

func TestFormats(t *testing.T) {
	const (
		name   = "': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
		badTag = "': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
	)
	for _, tt := range []struct{ format, value, want string }{
		{"utf8_name", "a.b-c_d~e9", ""},
		{"utf8_name", "naïve.日本", ""},
		{"utf8_name", "a b", "invalid value 'a b" + name},
		{"utf8_name", "a/b", "invalid value 'a/b" + name},

		{"pcre", "ignore (?!this).*$", ""},
		{"pcre", "a(", "invalid regex: missing closing parenthesis at offset 2"},
		{"pcre", "(?R)", "invalid regex: recursion is not supported at offset 0"},

		{"tag", "a b:c", ""},
		{"tag", "é", ""},
		{"tag", "a,b", "invalid tag 'a,b" + badTag},
		{"tag", "a/b", "invalid tag 'a/b" + badTag},
		{"tag", "a\nb", "invalid tag 'a\nb" + badTag},

		{"host", "example.com", ""},
		{"host", "a_b.svc.", ""},
		{"host", "10.0.0.1", ""},
		{"host", "::1", ""},
		{"host", "example.com:80", "must not have a port"},
		{"host", "10.0.0.1:80", "must not have a port"},
		{"host", "[::1]:80", "must not have a port"},
		{"host", "a b", "invalid value: a b"},
		{"host", "10.0.0.300", "invalid value: 10.0.0.300"},
		{"host", "-a", "invalid value: -a"},
		{"host", "a..b", "invalid value: a..b"},
		{"host", strings.Repeat("a", 64), "invalid value: " + strings.Repeat("a", 64)},
		{"host", "h:x", "invalid value: h:x"},
		{"host", "[::1]x", "invalid value: [::1]x"},
		{"host", "[h]", "invalid value: [h]"},
		{"host", "[::1", "invalid value: [::1"},
		{"sni", "[h]0", "invalid value: [h]0"},
		{"host_with_optional_port", "[::1]x", "invalid ipv6 address: [::1]x"},
		{"upstream_name", "[up]0", "Invalid name ('[up]0'); must be a valid hostname"},

		{"host_with_optional_port", "h:80", ""},
		{"host_with_optional_port", "[::1]:80", ""},
		{"host_with_optional_port", "::1", ""},
		{"host_with_optional_port", "h:65536", "invalid port number"},
		{"host_with_optional_port", "h:", "invalid port number"},
		{"host_with_optional_port", "1.2.3.400", "invalid ipv4 address: 1.2.3.400"},
		{"host_with_optional_port", "::g", "invalid ipv6 address: ::g"},
		{"host_with_optional_port", "a b", "invalid hostname: a b"},

		{"upstream_name", "up", ""},
		{"upstream_name", "a_b.internal.", ""},
		{"upstream_name", "10.0.0.1", "Invalid name ('10.0.0.1'); no ip addresses allowed"},
		{"upstream_name", "10.0.0.1:80", "Invalid name ('10.0.0.1:80'); no ip addresses allowed"},
		{"upstream_name", "::1", "Invalid name ('::1'); no ip addresses allowed"},
		{"upstream_name", "[::1]:80", "Invalid name ('[::1]:80'); no ip addresses allowed"},
		{"upstream_name", "up:80", "Invalid name ('up:80'); no port allowed"},
		{"upstream_name", "up:x", "Invalid name ('up:x'); must be a valid hostname"},
		{"upstream_name", "10.0.0", "Invalid name ('10.0.0'); must be a valid hostname"},
		{"upstream_name", "a b", "Invalid name ('a b'); must be a valid hostname"},
		{"upstream_name", "*.a", "Invalid name ('*.a'); must be a valid hostname"},
		{"cookie_name", "Session-1_x", ""},
		{"cookie_name", "a;b", "bad cookie name 'a;b', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
		{"target", "h:80", ""},
		{"target", "h:80:90", "Invalid target ('h:80:90'); not a valid hostname or ip address"},
		{"target", "a b", "Invalid target ('a b'); not a valid hostname or ip address"},
		{"wasm_filter", "any", "no such filter"},

		{"wildcard_host", "a.b", ""},
		{"wildcard_host", "*.a.b", ""},
		{"wildcard_host", "a.*", ""},
		{"wildcard_host", "*.a.*", "only one wildcard must be specified"},
		{"wildcard_host", "a.*.b", "wildcard must be leftmost or rightmost character"},
		{"wildcard_host", "10.0.0.1", "must not be an IP"},
		{"wildcard_host", "a.b:80", "must not have a port"},
		{"wildcard_host", "*.a.b:80", "must not have a port"},
		{"wildcard_host", "a b", "invalid value: a b"},
		{"wildcard_host", "*.a b", "invalid value: *.a b"},

		{"sni", "a.b", ""},
		{"sni", "::1", "must not be an IP"},
		{"sni", "a.b:80", "must not have a port"},
		{"sni", "a b", "invalid value: a b"},

		{"route_host", "a.b:8443", ""},
		{"route_host", "*.a.b:80", ""},
		{"route_host", "a.*", ""},
		{"route_host", "*.a.*", "invalid wildcard: must have at most one wildcard"},
		{"route_host", "*a.b", "invalid wildcard: must be placed at leftmost or rightmost label"},
		{"route_host", "*.a b", "invalid hostname: *.a b"},
		{"route_header_value", "~*v[0-9]+", ""},
		{"route_header_value", "v[0-9", ""},
		{"route_header_value", "~*v[0-9", "invalid regex: 'v[0-9' (PCRE returned: missing closing ]: `[0-9`)"},
		{"route_header_value", "~*(?P<n>v)", "invalid regex: '(?p<n>v)' (PCRE returned: invalid or unsupported Perl syntax: `(?p`)"},
		{"route_host", "*.a:0x1", "invalid port number"},

		{"ip", "10.0.0.1", ""},
		{"ip", "10.0.0.0/8", "not an ip address: 10.0.0.0/8"},
		{"ip_or_cidr", "10.0.0.0/8", ""},
		{"ip_or_cidr", "::/0", ""},
		{"ip_or_cidr", "10.0.0.1/8", ""},
		{"ip_or_cidr", "10.0.0.0/33", "invalid ip or cidr range: '10.0.0.0/33'"},
		{"ip_or_cidr", "fe80::1%eth0", "invalid ip or cidr range: 'fe80::1%eth0'"},

		{"path", "/a/%20b;c=d", ""},
		{"path", "/a b", "invalid path: '/a b' (characters outside of the reserved list of RFC 3986 found)"},
		{"path", "/%zz", "invalid url-encoded value: '%zz'"},
		{"path", "/%a", "invalid url-encoded value: '%a'"},
		{"path", "/%", "invalid url-encoded value: '%'"},

		{"router_path", "/a b/é", ""},
		{"router_path", "/a%2Fb", ""},
		{"router_path", "~/a(?<x>b)$", ""},
		{"router_path", "a", "should start with: / (fixed path) or ~/ (regex path)"},
		{"router_path", "~a", "should start with: / (fixed path) or ~/ (regex path)"},
		{"router_path", "/a%2fb", "non-normalized path, consider use '/a%2Fb' instead"},
		{"router_path", "/a/./b", "non-normalized path, consider use '/a/b' instead"},
		{"router_path", "/a%zz", "invalid url-encoded value: '%zz'"},
		{"router_path", "~/a(?=b)", "invalid regex: '/a(?=b)' (PCRE returned: invalid or unsupported Perl syntax: `(?=`)"},

		{"http_method", "PURGE", ""},
		{"http_method", "Get", "invalid value: Get"},
		{"header_name", "X-a_9", ""},
		{"header_name", "a b", "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
		{"route_header_name", "HOST", "cannot contain 'host' header, which must be specified in the 'hosts' attribute"},
		{"route_header_name", "a:b", "bad header name 'a:b', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},

		{"url", "https://h/x?y", ""},
		{"url", "//h/x", "missing scheme in url"},
		{"url", "http:///x", "missing host in url"},
		{"url", "http://h:x", `could not parse url. invalid port ":x" after host`},

		{"redirect_uri", "https://h/x?y=z", ""},
		{"redirect_uri", "app://h", ""},
		{"redirect_uri", "/x", "cannot parse '/x'"},
		{"redirect_uri", "http://", "cannot parse 'http://'"},
		{"redirect_uri", "mailto:a@b", "cannot parse 'mailto:a@b'"},
		{"redirect_uri", "http://h:x/", "cannot parse 'http://h:x/'"},
		{"redirect_uri", "https://h/#", "fragment not allowed in 'https://h/#'"},
		{"json_object", `{"a":1}`, ""},
		{"json_object", `[1]`, "expected the text of a JSON object"},
		{"json_object", `{"a":1`, "expected the text of a JSON object"},
		{"public_key", "x", "invalid key"},

		{"certificate", "x", "invalid certificate: no certificate in the PEM text"},
		{"key", "x", "invalid key: no private key in the PEM text"},
	} {
		got := formats[tt.format](tt.value)
		if got != tt.want {
			t.Errorf("%s of %q\n got %q\nwant %q", tt.format, tt.value, got, tt.want)
		}
	}
}

func TestBadUTF8(t *testing.T) {
	for text, want := range map[string]int{"": -1, "é\uFFFD": -1, "\xff": 0, "é\xff": 2, "\uFFFD\xc3(": 3} {
		if got := badUTF8(text); got != want {
			t.Errorf("badUTF8(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestRandomText(t *testing.T) {
	seen := map[string]bool{}
	count := map[rune]int{}
	for range 1000 {
		text := randomText()
		if len(text) != 32 || strings.Trim(text, alphanumerics) != "" || seen[text] {
			t.Fatalf("randomText() = %q", text)
		}
		seen[text] = true
		for _, c := range text {
			count[c]++
		}
	}
	if len(count) != 62 {
		t.Errorf("32,000 characters are only %d different ones", len(count))
	}
}

// FuzzFormats: whatever the text, a format has one line about it or none, and
// says the same again.
func FuzzFormats(f *testing.F) {
	for _, text := range []string{"a.b", "[::1]:80", "*.a", "~/(a", "/a%2", "http://h", "up:80", "a;b", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"} {
		f.Add(text)
	}
	names := sortedKeys(formats)
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range names {
			if one, two := formats[name](text), formats[name](text); one != two {
				t.Errorf("%s of %q: %q, then %q", name, text, one, two)
			}
		}
		if upstreamName(text) == "" && host(text) != "" {
			t.Errorf("%q names an upstream, but is no host of a service", text)
		}
	})
}
