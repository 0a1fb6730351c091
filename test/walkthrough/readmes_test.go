//go:build unix

package walkthrough_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

var (
	shellBlock = regexp.MustCompile("(?s)```shell\n(.*?)```")
	lastAnswer = regexp.MustCompile(`The last answer is (\d{3})`)
)

// TestPagesWork pastes the curl lines of each plugin's README, of each
// provider's page and of that about the Admin API into a gateway of their own, as it is after "make run". Each
// page has some, and each must be answered with a status below 300, the last one
// with the status that the page says.
func TestPagesWork(t *testing.T) {
	t.Parallel()
	var pages []string
	for _, pattern := range []string{"dataplane/plugins/*/README.md", "docs/providers/*.md", "docs/admin-api.md"} {
		found, err := filepath.Glob(filepath.Join(gibbon.Root(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	// One after the other: each has a gateway and a model of its own.
	for _, page := range pages {
		if filepath.Base(page) == "README.md" && filepath.Base(filepath.Dir(page)) == "providers" {
			continue // the list of the pages
		}
		name := strings.TrimPrefix(page, gibbon.Root(t)+string(filepath.Separator))
		t.Run(name, func(t *testing.T) {
			pageWorks(t, page, start(t))
		})
	}
}

// TestRoutingPageWorks is the same for the page about routing, whose gateway is one
// with expressions.
func TestRoutingPageWorks(t *testing.T) {
	t.Parallel()
	n := gibbon.Run(t)
	n.Settings["KONG_ROUTER_FLAVOR"] = "expressions"
	n.Args = []string{"--echo-model=" + n.Echo}
	n.Start()
	pageWorks(t, filepath.Join(gibbon.Root(t), "docs", "routing.md"), n)
}

func pageWorks(t *testing.T, page string, n *gibbon.Node) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shell := newTerminal(t, n)
	var lines []string
	for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		for _, line := range commands(block[1]) {
			if strings.HasPrefix(line, "curl ") {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) < 2 {
		t.Fatalf("%d curl lines, want what it takes to try it", len(lines))
	}
	last := ""
	if said := lastAnswer.FindSubmatch(text); said != nil {
		last = string(said[1])
	}
	for i, line := range lines {
		out := shell.run(line)
		if i == len(lines)-1 && last != "" {
			if strconv.Itoa(out.status) != last {
				t.Errorf("%s\n%s\nwant %s", line, out, last)
			}
		} else if out.status < 200 || out.status > 299 {
			t.Errorf("%s\n%s", line, out)
		}
	}
}
