package schema

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	c, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, kind, before, after string
		want                      []string
	}{
		{"nothing", "services", `{"id":"a","host":"h"}`, `{"id":"a","host":"h"}`, nil},
		{"noted times", "services", `{"host":"h","created_at":1,"updated_at":1}`, `{"host":"h","created_at":2,"updated_at":2}`, nil},
		{"what another release left out", "services", `{"host":"h","enabled":true,"path":null}`, `{"host":"h"}`, nil},
		{"one spelling of a number", "services", `{"host":"h","retries":5}`, `{"host":"h","retries":5.0}`, nil},
		{"a set in another order", "services", `{"host":"h","tags":["a","b"]}`, `{"host":"h","tags":["b","a"]}`, nil},
		{"another set", "services", `{"host":"h","tags":["a","b"]}`, `{"host":"h","tags":["b","c"]}`, []string{`tags: ["a","b"] → ["b","c"]`}},
		{"an empty set is not none", "services", `{"host":"h","tags":[]}`, `{"host":"h"}`, []string{`tags: [] → null`}},
		{"a list has an order", "services", `{"host":"h","ca_certificates":["a","b"]}`, `{"host":"h","ca_certificates":["b","a"]}`,
			[]string{`ca_certificates: ["a","b"] → ["b","a"]`}},
		{"a reference", "services", `{"host":"h","client_certificate":{"id":"a"}}`, `{"host":"h"}`, []string{`client_certificate: {"id":"a"} → null`}},
		{"entries of a map", "routes", `{"headers":{"a":["1"],"b":["2"],"c":["3"]}}`, `{"headers":{"a":["1"],"b":["3"],"d.e":["4"]}}`,
			[]string{`headers|b: ["2"] → ["3"]`, `headers|c: ["3"] → null`, `headers|d.e: null → ["4"]`}},
		{"an empty map is not none", "routes", `{"headers":{}}`, `{}`, []string{`headers: {} → null`}},
		{"a secret", "keyauth_credentials", `{"key":"one"}`, `{"key":"two"}`, []string{`key: "******" → "******"`}},
		{"a secret that comes", "certificates", `{"cert":"c","key":"k"}`, `{"cert":"c","key":"k","key_alt":"x"}`, []string{`key_alt: null → "******"`}},
		{"the end of a ttl", "keyauth_credentials", `{"key":"k","expires_at":1}`, `{"key":"k"}`, []string{`expires_at: 1 → null`}},
		{"a record inside", "plugins", `{"name":"ai-proxy","config":{"auth":{"header_name":"a","header_value":"b"}}}`,
			`{"name":"ai-proxy","config":{"auth":{"header_name":"c","header_value":"d"}}}`,
			[]string{`config|auth|header_name: "a" → "c"`, `config|auth|header_value: "******" → "******"`}},
		{"a plugin that nobody knows", "plugins", `{"name":"unknown","config":{"token":"a"}}`, `{"name":"unknown","config":{"token":"b"}}`,
			[]string{`config: "******" → "******"`}},
		{"one that came", "consumers", ``, `{"id":"a","username":"alice","created_at":1}`, []string{`username: null → "alice"`}},
		{"one that went", "consumers", `{"id":"a","username":"alice","created_at":1}`, ``, []string{`username: "alice" → null`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, ok := c.Entity(tt.kind)
			if !ok {
				t.Fatalf("no kind %s", tt.kind)
			}
			var docs [2]Document
			for i, text := range []string{tt.before, tt.after} {
				if text != "" {
					docs[i] = mustParse(t, text)
				}
			}
			var got []string
			for _, d := range s.Compare(docs[0], docs[1]) {
				got = append(got, strings.Join(d.Path, "|")+": "+d.From.String()+" → "+d.To.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s and %s (-want +got):\n%s", tt.before, tt.after, diff)
			}
		})
	}
}

func TestLabel(t *testing.T) {
	c, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ kind, doc, want string }{
		{"services", `{"id":"a","name":"pay"}`, "pay"},
		{"services", `{"id":"a","name":null}`, ""},
		{"consumers", `{"username":"alice"}`, "alice"},
		{"plugins", `{"name":"key-auth","instance_name":null}`, "key-auth"},
		{"plugins", `{"name":"key-auth","instance_name":"front"}`, "front"},
		{"keyauth_credentials", `{"key":"secret"}`, ""},
	} {
		s, ok := c.Entity(tt.kind)
		if !ok {
			t.Fatalf("no kind %s", tt.kind)
		}
		if got := s.Label(mustParse(t, tt.doc)); got != tt.want {
			t.Errorf("the label of %s %s is %q, want %q", tt.kind, tt.doc, got, tt.want)
		}
	}
}
