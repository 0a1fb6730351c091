package schema

import (
	"slices"
	"testing"
)

func TestMentions(t *testing.T) {
	for _, tt := range []struct {
		value, text string
		want        bool
	}{
		{`"Payments"`, "pay", true},
		{`"payments"`, "MENT", true},
		{`"payments"`, "pays", false},
		{`"straße"`, "STRASSE", false},
		{`"Größe"`, "GRÖ", true},
		{`8080`, "80", true},
		{`443`, "80", false},
		{`true`, "tr", true},
		{`false`, "true", false},
		{`["/one","/Two"]`, "two", true},
		{`["/one","/two"]`, "three", false},
		{`[["one"]]`, "one", false},
		{`[{"ip":"one"}]`, "one", false},
		{`{"name":"one"}`, "one", false},
		{`null`, "null", false},
		{`""`, "a", false},
	} {
		if got := Mentions(mustParse(t, tt.value), tt.text); got != tt.want {
			t.Errorf("Mentions(%s, %q) = %t", tt.value, tt.text, got)
		}
	}
	if Mentions(Document{}, "a") {
		t.Error("an absent value mentions a text")
	}
}

func TestSearchableAndSortable(t *testing.T) {
	if got, want := entity(t, "services").Searchable(), []string{"name", "protocol", "host", "port", "path", "enabled"}; !slices.Equal(got, want) {
		t.Errorf("services are searched by %v, want %v", got, want)
	}
	for _, tt := range []struct {
		kind, field string
		want        bool
	}{
		{"services", "name", true},
		{"services", "port", true},
		{"services", "enabled", true},
		{"services", "created_at", true},
		{"targets", "created_at", true},
		{"services", "tags", false},
		{"services", "client_certificate", false},
		{"services", "nope", false},
		{"plugins", "config", false},
		{"keyauth_credentials", "key", false},
		{"keyauth_credentials", "expires_at", false},
		{"basicauth_credentials", "password", false},
		{"certificates", "snis", false},
	} {
		if got := entity(t, tt.kind).Sortable(tt.field); got != tt.want {
			t.Errorf("%s: Sortable(%q) = %t", tt.kind, tt.field, got)
		}
	}
	// No list is searched by what only its owner should know.
	for _, s := range load(t).Entities() {
		for _, name := range s.Searchable() {
			if s.record.byName[name].rules.GetEncrypted() {
				t.Errorf("%s are searched by the secret %s", s.Kind(), name)
			}
		}
	}
}

func TestBelow(t *testing.T) {
	const parent = "11111111-1111-4111-8111-111111111111"
	for _, tt := range []struct{ kind, field, doc string }{
		{"acls", "consumer", `{"group":"a","consumer":{"id":"` + parent + `"}}`},
		{"targets", "upstream", `{"target":"a","weight":1,"upstream":{"id":"` + parent + `"}}`},
	} {
		s, doc := entity(t, tt.kind), mustParse(t, tt.doc)
		u, ok := s.Below(tt.field, parent, "a")
		if !ok || !slices.ContainsFunc(s.Index(doc).Uniques, func(stored Unique) bool { return stored.Field == u.Field && stored.Text == u.Text }) {
			t.Errorf("%s: Below gives %v, %t, the entity is stored with %v", tt.kind, u, ok, s.Index(doc).Uniques)
		}
		if _, ok := s.Below("tags", parent, "a"); ok {
			t.Errorf("%s: below tags there is something unique", tt.kind)
		}
	}
	if _, ok := entity(t, "services").Below("client_certificate", parent, "a"); ok {
		t.Error("a service has no nested key, and is found by one")
	}
}
