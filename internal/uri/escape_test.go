package uri

import "testing"

func TestEscape(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/", "/"},
		{"/a/b-c_d~e.f", "/a/b-c_d~e.f"},
		{"/a b", "/a%20b"},
		{"/你", "/%E4%BD%A0"},
		{"/%2F", "/%2F"},
		{`/"<>\^{|}` + "`", "/%22%3C%3E%5C%5E%7B%7C%7D%60"},
		{"/a:b;c=d@e!$&'()*+,[]", "/a:b;c=d@e!$&'()*+,[]"},
		{"/\x00\x7f\xff", "/%00%7F%FF"},
	} {
		if got := Escape(tt.in); got != tt.want {
			t.Errorf("Escape(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if got := Normalize(Escape(Normalize(tt.in))); got != Normalize(tt.in) {
			t.Errorf("Normalize(Escape(Normalize(%q))) = %q, want %q", tt.in, got, Normalize(tt.in))
		}
	}
}
