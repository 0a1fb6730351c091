package llm_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// TestMembersEndWhereTheyEnd checks that quotes and backslashes in strings do not
// mislead the way through a text that has been checked already.
func TestMembersEndWhereTheyEnd(t *testing.T) {
	texts := []string{`""`, `"\""`, `"\\"`, `"\\\""`, `"\\\\"`, `"a\\\\\"b"`, `"\u005c"`, `"],}\""`, `"` + strings.Repeat(`\\`, 40) + `"`}
	for _, name := range texts {
		for _, value := range texts {
			object := []byte(`{ "first" : [` + value + `,` + name + `], ` + name + `:` + value + `,"last":{"x":` + name + `}}`)
			if !json.Valid(object) {
				t.Fatalf("%s is no JSON", object)
			}
			var got, elements []string
			llm.Members(object, func(name string, value []byte) bool {
				got = append(got, name, string(value))
				if name == "first" {
					llm.Elements(value, func(element []byte) bool {
						elements = append(elements, string(element))
						return true
					})
				}
				return true
			})
			want := []string{"first", `[` + value + `,` + name + `]`, llm.Unquote([]byte(name)), value, "last", `{"x":` + name + `}`}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", object, diff)
			}
			if diff := cmp.Diff([]string{value, name}, elements); diff != "" {
				t.Errorf("%s, elements (-want +got):\n%s", object, diff)
			}
		}
	}
}
