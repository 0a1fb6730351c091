//go:build unix

package walkthrough_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

var shellBlock = regexp.MustCompile("(?s)```shell\n(.*?)```")

// TestPagesWork pastes the curl lines of each plugin's README and of each
// provider's page into a gateway of their own, as it is after "make run". Each
// page has some, and each must be answered with a status below 300.
func TestPagesWork(t *testing.T) {
	t.Parallel()
	var pages []string
	for _, pattern := range []string{"dataplane/plugins/*/README.md", "docs/providers/*.md"} {
		found, err := filepath.Glob(filepath.Join(gibbon.Root(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	// One after the other: each has a gateway and a model of its own.
	for _, page := range pages {
		name := strings.TrimPrefix(page, gibbon.Root(t)+string(filepath.Separator))
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			n := start(t)
			shell := newTerminal(t, n)
			ran := 0
			for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
				for _, line := range commands(block[1]) {
					if !strings.HasPrefix(line, "curl ") {
						continue
					}
					ran++
					if out := shell.run(line); out.status < 200 || out.status > 299 {
						t.Errorf("%s\n%s", line, out)
					}
				}
			}
			if ran < 2 {
				t.Errorf("%d curl lines, want what it takes to try it", ran)
			}
		})
	}
}
