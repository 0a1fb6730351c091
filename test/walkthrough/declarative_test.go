//go:build unix

package walkthrough_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

var block = regexp.MustCompile("(?s)```(yaml|shell)\n(.*?)```")

// TestDeclarativePage follows docs/declarative.md: its file can be loaded, and
// its commands and curl lines do what it says.
func TestDeclarativePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(gibbon.Root(t), "docs", "declarative.md"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	in := strings.NewReplacer("kong.yml", filepath.Join(folder, "kong.yml"),
		"saved.yml", filepath.Join(folder, "saved.yml"), "./data", filepath.Join(folder, "data"))
	n := gibbon.Run(t)
	var shell *terminal
	files, commands, calls := 0, 0, 0
	for _, found := range block.FindAllStringSubmatch(string(page), -1) {
		if found[1] == "yaml" {
			files++
			path := filepath.Join(t.TempDir(), "page.yml")
			if err := os.WriteFile(path, []byte(found[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			if r := gibbon.Command(t, nil, "config", "parse", path); r.Code != 0 {
				t.Errorf("the page's file: %+v\n%s", r, found[2])
			}
			continue
		}
		for line := range strings.Lines(found[2]) {
			line = in.Replace(strings.TrimSpace(line))
			words := strings.Fields(line)
			switch {
			case strings.HasPrefix(line, "gibbon config "):
				commands++
				if r := gibbon.Command(t, nil, words[1:]...); r.Code != 0 {
					t.Errorf("%s: %+v", line, r)
				}
			case strings.HasPrefix(line, "gibbon run ") && shell == nil:
				n.Args = words[2:]
				// The example that "config init" wrote is all comments, so there
				// is nothing to serve, and the node says so.
				n.Launch()
				n.WaitStatus("to say that it has no configuration", func(status int, body string) bool {
					return status == http.StatusServiceUnavailable && strings.Contains(body, "empty configuration present")
				})
				shell = newTerminal(t, n)
			case strings.HasPrefix(line, "curl ") && shell != nil:
				calls++
				if out := shell.run(line); out.status/100 != 2 && out.status != 304 {
					t.Errorf("%s\n%s", line, out)
				}
			default:
				t.Errorf("nobody knows how to run %q", line)
			}
		}
	}
	if files == 0 || commands == 0 || calls == 0 {
		t.Errorf("the page has %d files, %d commands and %d calls", files, commands, calls)
	}
	if _, err := os.Stat(filepath.Join(folder, "saved.yml")); err != nil {
		t.Error(err)
	}
}
