package declarative_test

import (
	"strings"
	"testing"
)

// TestEveryKind wants a file with entities of every kind that is stored, so that
// TestGoodFiles takes each through an export and back.
func TestEveryKind(t *testing.T) {
	text := read(t, "testdata/good/everything.yaml")
	for _, s := range load(t).Entities() {
		// No filter exists, so that no filter chain is valid.
		if !s.Internal() && s.Kind() != "filter_chains" && !strings.Contains(text, "\n"+s.Kind()+":\n") {
			t.Errorf("everything.yaml has no %s", s.Kind())
		}
	}
}
