package schema

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

func TestCatalogue(t *testing.T) {
	c := load(t)
	keys, ok := c.Path("key-auths")
	if !ok || keys.Kind() != "keyauth_credentials" || keys.NestedPath() != "key-auth" || keys.EndpointKey() != "key" || !keys.TTL() || !keys.HasTags() {
		t.Errorf("key-auths: %v, %v", ok, keys)
	}
	services, _ := c.Entity("services")
	if services.Path() != "services" || services.NestedPath() != "services" || services.TTL() || services.Global() || services.Plugin() != nil || services.Protocols() != nil {
		t.Error("services are not what they are")
	}
	plugins, _ := c.Entity("plugins")
	if plugins.LookupField() != "name" {
		t.Errorf("LookupField of plugins = %q", plugins.LookupField())
	}
	if got := keys.Foreign(); len(got) != 1 || got[0] != (Foreign{"consumer", "consumers", schemapb.OnDelete_ON_DELETE_CASCADE, true, false}) {
		t.Errorf("Foreign of keys = %v", got)
	}
	keyAuth, ok := c.Plugin("key-auth")
	if !ok || keyAuth.Plugin().GetPriority() != 1250 || !slices.Equal(keyAuth.Protocols(), []string{"grpc", "grpcs", "http", "https"}) {
		t.Errorf("key-auth: %v, %v", ok, keyAuth)
	}
	for _, find := range []func(string) (*Schema, bool){c.Entity, c.Path, c.Plugin} {
		if s, ok := find("nothing"); ok {
			t.Errorf("found %s", s.Kind())
		}
	}
	byKind := func(a, b *Schema) int { return strings.Compare(a.Kind(), b.Kind()) }
	if !slices.IsSortedFunc(c.Entities(), byKind) || !slices.IsSortedFunc(c.Plugins(), byKind) {
		t.Error("not sorted")
	}
}

func TestValidKey(t *testing.T) {
	for _, tt := range []struct{ kind, text, want string }{
		{"services", "a-b", ""},
		{"services", "é", ""},
		{"services", "a b", "invalid value 'a b': the only accepted ascii characters are alphanumerics or ., -, _, and ~"},
		{"services", "\xff", "invalid utf-8 character sequence detected at position 1"},
		{"consumers", "any thing", ""},
		{"consumers", "", "length must be at least 1"},
		{"certificates", "x", "unknown field"},
	} {
		err := entity(t, tt.kind).ValidKey(tt.text)
		var key *KeyError
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (!errors.As(err, &key) || key.Error() != tt.want):
			t.Errorf("%s %q: %v, want %q", tt.kind, tt.text, err, tt.want)
		}
	}
}

func TestLookups(t *testing.T) {
	for _, tt := range []struct{ kind, body, want string }{
		{"routes", `{"service":{"name":"svc"}}`, `service services name svc`},
		{"routes", `{"service":{"name":"svc","id":"` + someID + `"}}`, ``},
		{"routes", `{"service":{"name":"svc","id":null}}`, `service services name svc`},
		{"routes", `{"service":{"name":"svc","port":"x"}}`, ``},
		{"routes", `{"service":{"name":"a b"}}`, ``},
		{"routes", `{"service":{"port":5}}`, ``},
		{"routes", `{"service":null}`, ``},
		{"routes", `{"service":"svc"}`, ``},
		{"plugins", `{"name":"key-auth","route":{"name":"r"},"consumer":{"custom_id":"c"}}`, `route routes name r, consumer consumers custom_id c`},
		{"keyauth_credentials", `{"consumer":{"username":"bob","custom_id":"c"}}`, `consumer consumers username bob`},
	} {
		s := entity(t, tt.kind)
		var got []string
		for _, l := range s.Lookups(complete(t, s, tt.body)) {
			got = append(got, strings.Join([]string{l.Field, l.Kind, l.Unique, l.Value.Text()}, " "))
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestIndex(t *testing.T) {
	s := entity(t, "keyauth_credentials")
	got := s.Index(complete(t, s, `{"key":"k","consumer":{"id":"`+someID+`"},"tags":["a","b","a"],"ttl":5}`))
	if len(got.Uniques) != 1 || got.Uniques[0].Field != "key" || got.Uniques[0].Text != "k" || got.Uniques[0].Key.String() != `{"key":"k"}` {
		t.Errorf("Uniques = %v", got.Uniques)
	}
	if len(got.References) != 1 || got.References[0] != (Reference{"consumer", "consumers", someID, schemapb.OnDelete_ON_DELETE_CASCADE}) {
		t.Errorf("References = %v", got.References)
	}
	if !slices.Equal(got.Tags, []string{"a", "b"}) || !got.ExpiresAt.Equal(noon.Add(5*time.Second)) {
		t.Errorf("Tags = %v, ExpiresAt = %v", got.Tags, got.ExpiresAt)
	}
	none := s.Index(complete(t, s, `{"key":null}`))
	if len(none.Uniques)+len(none.References)+len(none.Tags) != 0 || !none.ExpiresAt.IsZero() {
		t.Errorf("Index of nothing = %v", none)
	}
}

func TestGenerated(t *testing.T) {
	s := entity(t, "keyauth_credentials")
	one, two := complete(t, s, `{}`), complete(t, s, `{}`)
	for _, d := range []Document{one, two} {
		if id := d.Get("id").Text(); !isUUID(id) || id != strings.ToLower(id) {
			t.Errorf("id = %q", id)
		}
		if key := d.Get("key").Text(); len(key) != 32 {
			t.Errorf("key = %q", key)
		}
	}
	if one.Get("id").Text() == two.Get("id").Text() || one.Get("key").Text() == two.Get("key").Text() {
		t.Error("generated values come twice")
	}
	// A fractional timestamp counts milliseconds.
	f := entitySchema(t, protoField("created_at", number, `timestamp: true auto: true`), ``, ``)
	doc := f.Complete(Object(), time.UnixMilli(1700000000123))
	if got := doc.String(); got != `{"created_at":1700000000.123}` {
		t.Errorf("got %s", got)
	}
}

// TestPut: a PUT is a Complete of the body with the row's id; the time of
// creation begins anew unless it was sent.
func TestPut(t *testing.T) {
	s := entity(t, "services")
	doc := s.Complete(mustParse(t, `{"id":"`+someID+`","host":"h"}`), noon)
	if doc.Get("id").Text() != someID || doc.Get("created_at").Text() != "1732262400" || doc.Get("retries").Text() != "5" {
		t.Errorf("got %s", doc)
	}
	doc = s.Complete(mustParse(t, `{"id":"`+someID+`","host":"h","created_at":1,"updated_at":1}`), noon)
	if doc.Get("created_at").Text() != "1" || doc.Get("updated_at").Text() != "1732262400" {
		t.Errorf("got %s", doc)
	}
}

func TestImmutable(t *testing.T) {
	s := entitySchema(t, protoField("f", text, `immutable: true`)+protoField("g", text, ``), ``, ``)
	current := mustParse(t, `{"f":"a","g":"b"}`)
	if err := s.ValidateUpdate(current, mustParse(t, `{"f":"a","g":"c"}`)); err != nil {
		t.Errorf("an unchanged field: %v", err)
	}
	err := s.ValidateUpdate(current, mustParse(t, `{"f":"b","g":"b"}`))
	if want := "schema violation (f: immutable field cannot be updated)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTransient(t *testing.T) {
	s := entitySchema(t, protoField("f", text, `transient: true len_min: 3`)+protoField("g", text, ``), ``, ``)
	doc := complete(t, s, `{"f":"ab","g":"x"}`)
	if err := s.Validate(doc, Insert); err == nil || err.Error() != "schema violation (f: length must be at least 3)" {
		t.Errorf("got %v", err)
	}
	stored := s.Stored(doc)
	if stored.String() != `{"g":"x"}` || s.Render(stored, noon).String() != `{"g":"x"}` {
		t.Errorf("stored %s, shown %s", stored, s.Render(stored, noon))
	}
}

// TestPluginOptions has a plugin with protocols of its own, scopes that it
// forbids, one of them of an entity that is not there, and a check on the
// whole entity.
func TestPluginOptions(t *testing.T) {
	m := descriptor(t,
		protoField("name", text, `required: true`)+protoField("consumer", inner, `reference: "things"`)+
			protoField("config", `type: TYPE_BYTES`, `type: TYPE_CONFIG required: true`)+
			repeated("protocols", text, `type: TYPE_SET required: true default: "[\"http\"]" elements { one_of: "http" }`),
		`[gibbon.schema.v1.entity] { kind: "things" plugin_config: true subschema_key: "name" }`)
	c, err := compile([]protoreflect.MessageDescriptor{m, m.ParentFile().Messages().ByName("P")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := c.Entity("things")
	p, _ := c.Plugin("p")
	const described = `{"fields":[` +
		`{"consumer":{"type":"foreign","reference":"things","eq":null,"description":"Must be null: the plugin cannot be bound to one of the things."}},` +
		`{"config":{"type":"record","required":true,"fields":[{"a":{"type":"string","required":true}},{"b":{"type":"integer"}}]}},` +
		`{"protocols":{"type":"set","required":true,"default":["tcp","http"],"elements":{"type":"string","one_of":["tcp","http"]}}}],` +
		`"entity_checks":[{"conditional":{"if_field":"config.a","if_match":{"eq":"x"},"then_field":"config.b","then_match":{"eq":1}},"err":"native"}]}`
	if got := p.Describe(); !equalFields(got, mustParse(t, described)) {
		t.Errorf("described\n%s\nwant\n%s", got, described)
	}
	for _, tt := range []struct{ body, want string }{
		{`{"name":"p","config":{"a":"y"}}`, ``},
		{`{"name":"p","config":{"a":"y"},"protocols":["tcp"]}`, ``},
		{`{"name":"p","config":{"a":"x"},"protocols":["udp"]}`, `{"@entity":["native"],"config":{"b":"value must be 1"},"protocols":["expected one of: tcp, http"]}`},
		{`{"name":"p","config":{"a":"x","b":1},"consumer":{"id":"` + someID + `"}}`, `{"consumer":"value must be null"}`},
		{`{"name":"p"}`, `{"config":{"a":"required field missing"}}`},
	} {
		doc := complete(t, s, tt.body)
		if got := violation(s.Validate(doc, Insert)); got.String() != tt.want && !Equal(got, mustParse(t, tt.want)) {
			t.Errorf("%s\n got %s\nwant %s", tt.body, got, tt.want)
		}
	}
	if got := complete(t, s, `{"name":"p"}`).Get("protocols").String(); got != `["tcp","http"]` {
		t.Errorf("default protocols = %s", got)
	}
}

// equalFields compares two descriptions; fields may come in any order.
func equalFields(a, b Document) bool {
	byName := func(d Document) Document {
		fields := Object()
		for _, f := range d.Get("fields").Elements() {
			fields = fields.With(f.Members()[0].Value, f.Members()[0].Name)
		}
		return d.With(fields, "fields")
	}
	return Equal(byName(a), byName(b))
}

func TestUnique(t *testing.T) {
	s := entitySchema(t, protoField("a", text, `unique: true`)+protoField("b", text, `unique_across_ws: true`)+protoField("c", text, ``), ``, ``)
	names := s.Unique()
	slices.Sort(names)
	if !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("Unique() = %q", names)
	}
}

func TestRenderOlderDocuments(t *testing.T) {
	s := entity(t, "services")
	got := s.Render(mustParse(t, `{"gone":1,"host":"h","port":80.0,"protocol":null}`), noon)
	if got.Get("protocol").Text() != "http" || got.Get("port").String() != "80" || !got.Get("retries").IsNull() || !got.Get("gone").IsAbsent() {
		t.Errorf("got %s", got)
	}
	if got.Members()[0].Name != "id" || got.Members()[len(got.Members())-1].Name != "enabled" {
		t.Errorf("not in the schema's order: %s", got)
	}
}

func TestShorthands(t *testing.T) {
	s := entitySchema(t, protoField("r", inner, ``)+repeated("l", inner, ``), ``, ``)
	for _, tt := range []struct{ name, body, want, violation string }{
		{"moves", `{"r":{"b":1,"old_c":"x"}}`, `{"r":{"b":1,"c":"x"}}`, ``},
		{"agrees", `{"r":{"old_c":"x","c":"x"}}`, `{"r":{"c":"x"}}`, ``},
		{"disagrees", `{"r":{"old_c":"x","c":"y"}}`, ``, `{"r":{"old_c":"both deprecated and new field are used but their values mismatch: old_c = x vs c = y"}}`},
		{"null clears", `{"r":{"old_c":null}}`, `{"r":{"c":null}}`, ``},
		{"null says nothing beside the new name", `{"r":{"old_c":null,"c":"y"}}`, `{"r":{"c":"y"}}`, ``},
		{"type", `{"r":{"old_c":5}}`, ``, `{"r":{"old_c":"expected a string"}}`},
		{"in an array", `{"l":[{"old_c":"x"},{"old_c":5}]}`, ``, `{"l":[null,{"old_c":"expected a string"}]}`},
		{"in a good array", `{"l":[{"old_c":"x"},{"c":"y"}]}`, `{"l":[{"c":"x"},{"c":"y"}]}`, ``},
		{"not a record", `{"r":5,"l":{"old_c":5}}`, `{"r":5,"l":{"old_c":5}}`, ``},
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
	shown := s.Render(complete(t, s, `{"r":{"b":1,"old_c":"x"}}`), noon)
	if want := `{"a":"x","b":1,"c":"x","old_c":"x"}`; shown.Get("r").String() != want {
		t.Errorf("shown %s, want %s", shown.Get("r"), want)
	}
	form, err := s.DecodeForm(urlencoded, []byte("r.old_c=7&r.b=1"), Document{})
	if want := `{"r":{"old_c":"7","b":1}}`; err != nil || form.String() != want {
		t.Errorf("form %s, %v, want %s", form, err, want)
	}
}

func TestViolationMessage(t *testing.T) {
	e := &ViolationError{
		Entity: []string{"first", "second"},
		Fields: mustParse(t, `{"z":"last","a":{"d":{"e f":"deep","@entity":["x"]},"c":"nested"},"l":[null,"text",{"m":"in"}]}`),
	}
	const want = `7 schema violations (first; second; a.c: nested; a.d: {
  ["@entity"] = {
    "x"
  },
  ["e f"] = "deep"
}; l.2: text; l.3: {
  m = "in"
}; z: last)`
	if e.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", e.Error(), want)
	}
	if got, want := e.Document().Members()[0].Value.String(), `["first","second"]`; got != want {
		t.Errorf("@entity = %s, want %s", got, want)
	}
}

// BenchmarkEntity is what a declarative load does ten thousand times.
func BenchmarkEntity(b *testing.B) {
	for _, bm := range []struct{ kind, body string }{
		{"routes", `{"name":"r","paths":["/a/b","~/c(d)?"],"hosts":["a.example.com"],"tags":["x","y"],"service":{"id":"` + someID + `"}}`},
		{"plugins", `{"name":"ai-proxy","config":{"route_type":"llm/v1/chat","auth":{"header_name":"Authorization","header_value":"x"},"model":{"provider":"openai","name":"m","options":{"max_tokens":5}}}}`},
	} {
		s := entity(b, bm.kind)
		body := []byte(bm.body)
		b.Run(bm.kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := ParseObject(body)
				if err != nil {
					b.Fatal(err)
				}
				if d, err = s.Expand(d, Document{}); err != nil {
					b.Fatal(err)
				}
				d = s.Complete(d, noon)
				if err := s.Validate(d, Insert); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestMergeForeignMembers patches entities as another release left them: with
// members that this one does not know, at the top and in a configuration, and
// without some that it does.
func TestMergeForeignMembers(t *testing.T) {
	for _, tt := range []struct{ kind, stored, gone string }{
		{"services", `{"id":"00000000-0000-4000-8000-000000000001","host":"h","future":{"a":1}}`, "future"},
		{"plugins", `{"id":"00000000-0000-4000-8000-000000000001","name":"key-auth","config":{"key_names":["k"],"past":1},"old":null}`, "old"},
		{"keyauth_credentials", `{"id":"00000000-0000-4000-8000-000000000001","key":"k","consumer":{"id":"00000000-0000-4000-8000-000000000002"},"expires_at":2000000000,"x":1}`, "x"},
	} {
		s, stored := entity(t, tt.kind), mustParse(t, tt.stored)
		merged := s.Merge(stored, mustParse(t, `{"tags":["a"]}`), noon)
		if err := s.ValidateUpdate(stored, merged); err != nil {
			t.Errorf("%s: ValidateUpdate: %v", tt.kind, err)
		}
		if v := merged.Get(tt.gone); !v.IsAbsent() {
			t.Errorf("%s: %s is still there: %s", tt.kind, tt.gone, v)
		}
		if v := merged.Get("expires_at"); stored.Get("expires_at").String() != v.String() {
			t.Errorf("%s: expires_at is %s", tt.kind, v)
		}
	}
}

func TestOverlaps(t *testing.T) {
	c := load(t)
	plugins, routes := entity(t, "plugins"), entity(t, "routes")
	got := plugins.Overlaps()
	if len(got) != 2 || got[0].Reference != "route" || got[0].Target.Kind() != "routes" || got[0].Children != nil ||
		got[1].Reference != "service" || got[1].Children.Kind() != "routes" || got[1].Through != "service" {
		t.Errorf("Overlaps of plugins = %+v", got)
	}
	if len(routes.Overlaps()) != 0 {
		t.Errorf("Overlaps of routes = %+v", routes.Overlaps())
	}
	things := entitySchema(t, protoField("r", inner, `reference: "things"`)+repeated("s", text, `type: TYPE_SET`), ``,
		`overlaps { field: "s" reference: "r" children: "things" }`)
	if got := things.Overlaps(); len(got) != 1 || got[0].Through != "r" {
		t.Errorf("Overlaps of things = %+v", got)
	}
	if len(c.Plugins()[0].Overlaps()) != 0 {
		t.Error("a plugin's configuration has overlaps")
	}
}

func TestUndecided(t *testing.T) {
	for _, tt := range []struct {
		kind, body string
		want       bool
	}{
		{"plugins", `{}`, true},
		{"plugins", `{"name":"nothing"}`, false},
		{"routes", `{}`, false}, // protocols have a default
		{"services", `{}`, false},
	} {
		if got := entity(t, tt.kind).Undecided(mustParse(t, tt.body)); got != tt.want {
			t.Errorf("Undecided(%s %s) = %t", tt.kind, tt.body, got)
		}
	}
}

func TestDeprecated(t *testing.T) {
	const path = "ai-proxy: config.model.options.upstream_path is deprecated, please use upstream_url instead"
	plugins := entity(t, "plugins")
	for _, tt := range []struct{ body, current, want string }{
		{`{"name":"ai-proxy","config":{"model":{"options":{"upstream_path":"/x"}}}}`, `{}`, path},
		{`{"config":{"model":{"options":{"upstream_path":"/x"}}}}`, `{"name":"ai-proxy"}`, path},
		{`{"name":"ai-proxy","config":{"model":{"options":{"upstream_path":null}}}}`, `{}`, ""},
		{`{"name":"ai-proxy","config":{"model":"x"},"nothing":1}`, `{}`, ""},
		{`{"name":"nothing","config":{"model":{}}}`, `{}`, ""},
		{`{}`, `{}`, ""},
	} {
		got := plugins.Deprecated(mustParse(t, tt.body), mustParse(t, tt.current))
		if strings.Join(got, "|") != tt.want {
			t.Errorf("Deprecated(%s) = %q, want %q", tt.body, got, tt.want)
		}
	}
	old := `field { name: "f" json_name: "f" number: 1 label: LABEL_REPEATED type: TYPE_STRING options { [gibbon.schema.v1.field] { deprecation { message: "list" } } } }`
	things := entitySchema(t, old, `shorthands { name: "s" type: "string" path: "f" deprecation { message: "short" } }`, ``)
	if got := things.Deprecated(mustParse(t, `{"f":["a","b"],"s":"x"}`), Document{}); !slices.Equal(got, []string{"list", "short"}) {
		t.Errorf("Deprecated = %q", got)
	}
}

// A plugin that the settings leave out is refused as one that does not exist.
func TestLimitPlugins(t *testing.T) {
	catalogue := load(t)
	catalogue.LimitPlugins([]string{"key-auth", "of-nobody"})
	s, _ := catalogue.Entity("plugins")
	for body, want := range map[string]string{
		`{"name":"key-auth"}`:                            "",
		`{"name":"file-log","config":{"path":"/tmp/a"}}`: "plugin 'file-log' not enabled; add it to the 'plugins' configuration property",
	} {
		doc, err := ParseObject([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		err = s.Validate(s.Complete(doc, time.Unix(1, 0)), Insert)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// TestNoPaths wants an entity without paths found by its kind only, and refuses
// no name because of it.
func TestNoPaths(t *testing.T) {
	c := load(t)
	s, ok := c.Entity("consumer_group_consumers")
	if !ok || s.HasPaths() {
		t.Fatalf("consumer_group_consumers: %v, has paths", ok)
	}
	if _, ok := c.Path("consumer_group_consumers"); ok {
		t.Error("found by a path")
	}
	workspaces, _ := c.Entity("workspaces")
	if !workspaces.HasPaths() || !workspaces.Global() {
		t.Error("workspaces have no paths or belong to one")
	}
	for name, want := range map[string]string{
		"consumer_group_consumers": "", "consumers": `{"name":"must not be the path of an entity: consumers"}`, "default": "",
	} {
		got := violation(workspaces.Validate(complete(t, workspaces, `{"name":"`+name+`"}`), Insert)).String()
		if got != want {
			t.Errorf("a workspace %s: %s, want %s", name, got, want)
		}
	}
}

func TestValidateReplace(t *testing.T) {
	s := entity(t, "workspaces")
	old := complete(t, s, `{"id":"`+someID+`","name":"a"}`)
	if err := s.ValidateReplace(old, complete(t, s, `{"name":"a","comment":"x"}`)); err != nil {
		t.Errorf("the same name: %v", err)
	}
	const want = "schema violation (name: immutable field cannot be updated)"
	if err := s.ValidateReplace(old, complete(t, s, `{"name":"b"}`)); err == nil || err.Error() != want {
		t.Errorf("another name: %v, want %s", err, want)
	}
}
