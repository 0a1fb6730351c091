package uri_test

import (
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/internal/uri"
)

func TestNormalize(t *testing.T) {
	for _, tt := range []struct{ name, path, want string }{
		{"root", "/", "/"},
		{"empty", "", ""},
		{"normal already", "/a/b-c_d~e.f", "/a/b-c_d~e.f"},
		{"unreserved is decoded", "/%61%2D%7e", "/a-~"},
		{"space and quote are decoded", "/a%20b%22", `/a b"`},
		{"bytes above ASCII are decoded", "/%C3%a9", "/é"},
		{"reserved stays, in upper case", "/a%2fb%3a%5b", "/a%2Fb%3A%5B"},
		{"one pass only", "/%252e%252e/a", "/%252e%252e/a"},
		{"no triplet", "/a%zz%4", "/a%zz%4"},
		{"no triplet is made", "/%0%30%%34%31%61", "/%0%30%%341a"},
		{"dot", "/a/./b", "/a/b"},
		{"dots", "/a/b/../c", "/a/c"},
		{"trailing dot", "/a/.", "/a/"},
		{"trailing dots", "/a/b/..", "/a/"},
		{"above the root", "/../../a", "/a"},
		{"encoded dots", "/a/%2e%2E/b", "/b"},
		{"slashes", "//a///b//", "/a/b/"},
		{"dots behind slashes", "/a//../b", "/b"},
		{"names that begin with dots", "/.a/..b/...", "/.a/..b/..."},
		{"not rooted", "a/../b", "b"},
		{"a dot alone", ".", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := uri.Normalize(tt.path); got != tt.want {
				t.Errorf("Normalize(%q) = %q, want %q", tt.path, got, tt.want)
			}
		})
	}
}

// FuzzPathNormalise asks of every rooted path that its normal form is one,
// that it has no dot segments and no empty ones, and that it is rooted.
func FuzzPathNormalise(f *testing.F) {
	for _, seed := range []string{"/", "/a//b", "/a/%2e%2e/b", "/%252e/..", "/%2f%2F/.", "/a%", "/%c3%28/..;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		path = "/" + path
		got := uri.Normalize(path)
		if again := uri.Normalize(got); again != got {
			t.Errorf("Normalize(%q) = %q, and of that %q", path, got, again)
		}
		if !strings.HasPrefix(got, "/") || strings.Contains(got, "//") || strings.Contains(got+"/", "/./") || strings.Contains(got+"/", "/../") {
			t.Errorf("Normalize(%q) = %q, which is not normal", path, got)
		}
	})
}
