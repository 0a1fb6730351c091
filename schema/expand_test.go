package schema

import "testing"

func TestExpandURL(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"http://h", `{"protocol":"http","host":"h","port":80,"path":null}`},
		{"https://h", `{"protocol":"https","host":"h","port":443,"path":null}`},
		{"HTTPS://H/", `{"protocol":"https","host":"H","port":443,"path":"/"}`},
		{"grpcs://h", `{"protocol":"grpcs","host":"h","port":80,"path":null}`},
		{"tcp://h:9", `{"protocol":"tcp","host":"h","port":9,"path":null}`},
		{"//h:443", `{"protocol":"https","host":"h","port":443,"path":null}`},
		{"//h:8080/p", `{"protocol":"http","host":"h","port":8080,"path":"/p"}`},
		{"http://user:pass@h:1/p?q=/x#f", `{"protocol":"http","host":"h","port":1,"path":"/p"}`},
		{"http://h?q", `{"protocol":"http","host":"h","port":80,"path":null}`},
		{"http://[::1]:81/p", `{"protocol":"http","host":"::1","port":81,"path":"/p"}`},
		{"http://[::1]", `{"protocol":"http","host":"::1","port":80,"path":null}`},
		{"http://h:/p", `{"protocol":"http","host":"h","port":80,"path":"/p"}`},
		{"http:///p", `{"protocol":"http","host":null,"port":80,"path":"/p"}`},
		{"/p", `{"protocol":"http","host":null,"port":80,"path":"/p"}`},
		{"1http://h", `{"protocol":"http","host":null,"port":80,"path":"1http://h"}`},
		{"git+ssh://h", `{"protocol":"git+ssh","host":"h","port":80,"path":null}`},
	} {
		fields, why := expandURL(String(tt.url))
		if got := Object(fields...).String(); why != "" || got != tt.want {
			t.Errorf("%s\n got %s %s\nwant %s", tt.url, got, why, tt.want)
		}
	}
	if _, why := expandURL(String("http://h:x")); why != "could not parse url. invalid port 'x'" {
		t.Errorf("a bad port: %q", why)
	}
}

// TestShorthandsInMaps: the whole map has one text, that of its first value
// that is wrong.
func TestShorthandsInMaps(t *testing.T) {
	const field = `
		field { name: "f" number: 1 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".test.T.FEntry" }
		nested_type { name: "FEntry" options { map_entry: true }
			field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "value" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".test.Inner" } }`
	s := entitySchema(t, field, ``, ``)
	got, err := s.Expand(mustParse(t, `{"f":{"x":{"old_c":"a","b":1},"y":{"b":2}}}`), Document{})
	if want := `{"f":{"x":{"b":1,"c":"a"},"y":{"b":2}}}`; err != nil || got.String() != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	_, err = s.Expand(mustParse(t, `{"f":{"w":{},"x":{"old_c":1},"y":{"old_c":2}}}`), Document{})
	if got, want := violation(err).String(), `{"f":{"old_c":"expected a string"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	doc := complete(t, s, `{"f":{"y":{"b":2.0},"x":{"b":1}}}`)
	if want := `{"f":{"x":{"a":"x","b":1,"c":null},"y":{"a":"x","b":2,"c":null}}}`; doc.String() != want {
		t.Errorf("stored %s, want %s", doc, want)
	}
	if want := `{"f":{"x":{"a":"x","b":1,"c":null,"old_c":null},"y":{"a":"x","b":2,"c":null,"old_c":null}}}`; s.Render(doc, noon).String() != want {
		t.Errorf("shown %s, want %s", s.Render(doc, noon), want)
	}
	if _, err := s.Message(doc); err != nil {
		t.Error(err)
	}
}

// TestExpandDeprecated covers names of old that stand for several fields, or for
// records.
func TestExpandDeprecated(t *testing.T) {
	c := load(t)
	partials, _ := c.Entity("partials")
	for _, tt := range []struct{ name, config, want, err string }{
		{"one for three", `{"timeout":5}`, `{"connect_timeout":5,"send_timeout":5,"read_timeout":5}`, ``},
		{"says the same", `{"timeout":5,"send_timeout":5}`, `{"send_timeout":5,"connect_timeout":5,"read_timeout":5}`, ``},
		{"beside null", `{"timeout":5,"send_timeout":null}`, `{"send_timeout":5,"connect_timeout":5,"read_timeout":5}`, ``},
		{
			"disagrees", `{"timeout":5,"read_timeout":6}`, ``,
			`{"timeout":"both deprecated and new field are used but their values mismatch: timeout = 5 vs read_timeout = 6"}`,
		},
		{"null", `{"timeout":null,"send_timeout":6}`, `{"send_timeout":6,"connect_timeout":null,"read_timeout":null}`, ``},
		{"addresses", `{"cluster_addresses":["h:7000","g:1"]}`, `{"cluster_nodes":[{"ip":"h","port":7000},{"ip":"g","port":1}]}`, ``},
		{
			"the same addresses", `{"sentinel_addresses":["h:6379"],"sentinel_nodes":[{"host":"h"}]}`,
			`{"sentinel_nodes":[{"host":"h","port":6379}]}`, ``,
		},
		{
			"other addresses", `{"sentinel_addresses":["h:1"],"sentinel_nodes":[{"host":"h"}]}`, ``,
			`{"sentinel_addresses":"both deprecated and new field are used but their values mismatch: sentinel_addresses = {\"h:1\"} vs sentinel_nodes = {{host=\"h\"}}"}`,
		},
		{"no address", `{"sentinel_addresses":["h"]}`, ``, `{"sentinel_addresses":"expected host:port: h"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := partials.Expand(mustParse(t, `{"type":"redis-ee","config":`+tt.config+`}`), Document{})
			if err != nil || tt.err != "" {
				if got, want := violation(err).String(), `{"config":`+tt.err+`}`; got != want {
					t.Errorf("\n got %s\nwant %s", got, want)
				}
				return
			}
			if got := got.Get("config").String(); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestExpandBackwards covers names of old for what lies deeper now, shown beside
// the new ones: what is read can be sent back, whole or changed.
func TestExpandBackwards(t *testing.T) {
	s := entitySchema(t, protoField("r", inner, ``)+protoField("n", integer, ``), `
		shorthands { name: "r_c" type: "string" path: "r" path: "c" translate_backwards: true deprecation { message: "use r.c" removal_in_version: "9.0" } }
		shorthands { name: "count" type: "integer" path: "n" more_paths { values: "r" values: "b" } translate_backwards: true deprecation { message: "use n" removal_in_version: "9.0" } }`, ``)
	for _, tt := range []struct{ name, body, want, violation string }{
		{"makes the record", `{"r_c":"x"}`, `{"r":{"c":"x"}}`, ``},
		{"joins the record", `{"r":{"b":1},"r_c":"x"}`, `{"r":{"b":1,"c":"x"}}`, ``},
		{"in the place of a null record", `{"r":null,"r_c":"x"}`, `{"r":{"c":"x"}}`, ``},
		{"in the place of null", `{"r":{"c":null},"r_c":"x"}`, `{"r":{"c":"x"}}`, ``},
		{"null beside a null record", `{"r":null,"r_c":null}`, `{"r":null}`, ``},
		{"what is no record is left for its own text", `{"r":5,"r_c":"x"}`, `{"r":5}`, ``},
		{"null beside what is no record", `{"r":5,"r_c":null}`, `{"r":5}`, ``},
		{"two places", `{"count":2}`, `{"n":2,"r":{"b":2}}`, ``},
		{"the same in another spelling", `{"count":2,"n":2.0,"r":{"b":2}}`, `{"n":2,"r":{"b":2}}`, ``},
		{"the second place disagrees", `{"count":2,"r":{"b":3}}`, ``, `{"count":"both deprecated and new field are used but their values mismatch: count = 2 vs r.b = 3"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Expand(mustParse(t, tt.body), Document{})
			if v := violation(err).String(); v != tt.violation {
				t.Fatalf("got %s, want %s", v, tt.violation)
			}
			if err == nil && got.String() != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	stored := complete(t, s, `{"r":{"b":1,"c":"x"},"n":1}`)
	shown := s.Render(stored, noon)
	if got, want := shown.String(), `{"r":{"a":"x","b":1,"c":"x","old_c":"x"},"n":1,"r_c":"x","count":1}`; got != want {
		t.Errorf("shown\n got %s\nwant %s", got, want)
	}
	for _, tt := range []struct{ name, patch, want string }{
		{"whole", shown.String(), `{"r":{"a":"x","b":1,"c":"x"},"n":1}`},
		{"the old name alone", `{"r_c":"y"}`, `{"r":{"a":"x","b":1,"c":"y"},"n":1}`},
		{"the new name alone", `{"r":{"c":"y"}}`, `{"r":{"a":"x","b":1,"c":"y"},"n":1}`},
		{"null", `{"r_c":null}`, `{"r":{"a":"x","b":1,"c":null},"n":1}`},
		{"two places", `{"count":7}`, `{"r":{"a":"x","b":7,"c":"x"},"n":7}`},
	} {
		t.Run("patch "+tt.name, func(t *testing.T) {
			body, err := s.Expand(mustParse(t, tt.patch), stored)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Merge(stored, body, noon).String(); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}
