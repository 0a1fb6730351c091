package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAppendHead(t *testing.T) {
	rest := http.Header{"Connection": {"close"}}
	got := string(appendHead([]byte("x"), http.Header{
		"X-B":              {"2", " 3\t"},
		"X-A":              {"1\r\nX-Forged: yes"},
		"x_lower":          {""},
		"X-None":           nil,
		"Bad name":         {"v"},
		"Bad:":             {"v"},
		"":                 {"v"},
		"Content-Length":   {"5"},
		"Content-Type":     {"text/plain"},
		"Date":             {"then"},
		"X-Outer-Newlines": {"\nv\r"},
	}, rest))
	want := "x" + strings.Join([]string{
		"Content-Type: text/plain", "Date: then", "X-A: 1  X-Forged: yes", "X-B: 2", "X-B: 3", "X-Outer-Newlines: v", "x_lower: ",
	}, "\r\n") + "\r\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	kept := http.Header{"Connection": {"close"}, "Content-Length": {"5"}, "Content-Type": nil, "Date": nil}
	if diff := cmp.Diff(kept, rest); diff != "" {
		t.Errorf("what net/http gets (-want +got):\n%s", diff)
	}
}

// What net/http does with the same header is the measure.
func FuzzAppendHead(f *testing.F) {
	f.Add("X-A", "1\r\nX-B: 2")
	f.Add("x a", "\t v ")
	f.Fuzz(func(t *testing.T, name, value string) {
		h := http.Header{name: {value}}
		if _, kept := (http.Header{"Connection": nil, "Content-Length": nil, "Transfer-Encoding": nil, "Trailer": nil})[name]; kept {
			t.Skip()
		}
		var want strings.Builder
		if err := h.Write(&want); err != nil {
			t.Fatal(err)
		}
		if got := string(appendHead(nil, h, http.Header{})); got != want.String() {
			t.Errorf("%q: %q gives %q, want %q", name, value, got, want.String())
		}
	})
}
