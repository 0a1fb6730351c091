package schema

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAlgorithmAndHashOn(t *testing.T) {
	s := entity(t, "upstreams")
	for _, tt := range []struct{ body, algorithm, hashOn string }{
		{`{}`, "round-robin", "none"},
		{`{"algorithm":"consistent-hashing"}`, "consistent-hashing", "none"},
		{`{"algorithm":"consistent-hashing","hash_on":null}`, "consistent-hashing", "none"},
		{`{"algorithm":"consistent-hashing","hash_on":"none"}`, "round-robin", "none"},
		{`{"algorithm":"round-robin","hash_on":"ip"}`, "consistent-hashing", "ip"},
		{`{"hash_on":"path"}`, "consistent-hashing", "path"},
		{`{"algorithm":"latency"}`, "latency", "none"},
		{`{"algorithm":"latency","hash_on":"ip"}`, "latency", "none"},
		{`{"algorithm":"least-connections","hash_on":"none"}`, "least-connections", "none"},
		{`{"algorithm":"least-connections","hash_on":null}`, "least-connections", "none"},
	} {
		doc := complete(t, s, tt.body)
		if a, h := doc.Get("algorithm").Text(), doc.Get("hash_on").Text(); a != tt.algorithm || h != tt.hashOn {
			t.Errorf("%s: algorithm %s, hash_on %s, want %s, %s", tt.body, a, h, tt.algorithm, tt.hashOn)
		}
	}
}

// FuzzTarget: what is taken for a target has one form, and a host and a port
// can be read from it.
func FuzzTarget(f *testing.F) {
	for _, text := range []string{"h", "h:80", "[::1]:080", "::1", "10.0.0.1", "256.1.1.1", "[::ffff:1.2.3.4]", "a_b.", "[::1%1]", "h:", "[]", "a:b:c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		normal, ok := normalTarget(text)
		if why := target(text); ok != (why == "") {
			t.Fatalf("%q: %v, but %q", text, ok, why)
		}
		if !ok {
			return
		}
		if again, ok := normalTarget(normal); !ok || again != normal {
			t.Fatalf("%q is stored as %q, and that as %q", text, normal, again)
		}
		i := strings.LastIndexByte(normal, ':')
		host, bracketed := strings.CutPrefix(normal[:i], "[")
		host = strings.TrimSuffix(host, "]")
		if !isPort(normal[i+1:]) || !isIP(host) && !isHostname(host) {
			t.Fatalf("%q is stored as %q", text, normal)
		}
		if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() != bracketed {
			t.Fatalf("%q is stored as %q", text, normal)
		}
	})
}
