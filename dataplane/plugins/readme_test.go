package plugins_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins"
)

var update = flag.Bool("update", false, "write the READMEs' tables anew")

// TestReadmes keeps the table of fields in each plugin's README what the schema
// says.
func TestReadmes(t *testing.T) {
	const from, to = "<!-- fields: written by the test -->\n", "<!-- end of fields -->"
	for _, p := range plugins.All {
		t.Run(p.Name(), func(t *testing.T) {
			path := filepath.Join(strings.ReplaceAll(p.Name(), "-", ""), "README.md")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			before, rest, found := strings.Cut(string(text), from)
			old, after, closed := strings.Cut(rest, to)
			if !found || !closed {
				t.Fatalf("%s has no place for the table: %s%s", path, from, to)
			}
			table := plugintest.FieldTable(p.Config(), nil)
			if *update {
				if err := os.WriteFile(path, []byte(before+from+table+to+after), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(table, old); diff != "" {
				t.Errorf("%s is not what the schema says; run the test with -update (-schema +README):\n%s", path, diff)
			}
		})
	}
}
