package sqlstore

import (
	"encoding/json"
	"testing"
)

func TestNullMember(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"only member", `{"f":{"id":"x"}}`, `{"f":null}`},
		{"first of two", `{"f":{"id":"x"},"g":1}`, `{"f":null,"g":1}`},
		{"spaces stay", " { \"a\" : 1e2 ,\n \"f\" :\t[1, 2] , \"b\":{} } ", " { \"a\" : 1e2 ,\n \"f\" :\tnull , \"b\":{} } "},
		{"deeper ones stay", `{"a":{"f":1},"f":2}`, `{"a":{"f":1},"f":null}`},
		{"absent", `{"a":{"f":1}}`, `{"a":{"f":1}}`},
		{"null already", `{"f":null}`, `{"f":null}`},
		{"an escaped name", `{"\u0066":"x"}`, `{"\u0066":null}`},
		{"a string with quotes", `{"a":"\"f\":1","f":"}"}`, `{"a":"\"f\":1","f":null}`},
		{"empty", `{}`, `{}`},
	} {
		got, err := nullMember([]byte(tt.in), "f")
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: nullMember(%s) = %s, %v, want %s", tt.name, tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{``, `1`, `[]`, `{`, `{"f":`, `{"f":}`} {
		if got, err := nullMember([]byte(in), "f"); err == nil {
			t.Errorf("nullMember(%s) = %s, want an error", in, got)
		}
	}
}

func FuzzNullMember(f *testing.F) {
	f.Add(`{"f":{"id":"x"}, "g":[1,{"f":2}]}`)
	f.Add(`{"a":"\ud83d\ude00","f":1e400}`)
	f.Fuzz(func(t *testing.T, in string) {
		before := map[string]json.RawMessage{}
		if json.Unmarshal([]byte(in), &before) != nil || in == "null" {
			t.Skip()
		}
		out, err := nullMember([]byte(in), "f")
		if err != nil {
			t.Fatalf("nullMember(%q): %v", in, err)
		}
		after := map[string]json.RawMessage{}
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("nullMember(%q) = %q, which is not JSON: %v", in, out, err)
		}
		if len(after) != len(before) {
			t.Fatalf("nullMember(%q) = %q: the members changed", in, out)
		}
	})
}
