//go:build unix

package walkthrough_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

func TestMain(m *testing.M) { gibbon.Main(m) }

// commandPatience is far above what any of the commands needs.
const commandPatience = time.Minute

// terminal is where a reader pastes command lines. They reach the shell unchanged
// but for the ports, which are the node's instead of the default ones, and the log
// file, since other gateways may run on this machine.
type terminal struct {
	t       *testing.T
	home    string
	logFile string
	there   *strings.Replacer // from the documented addresses to the node's
	back    *strings.Replacer // and from the node's to the documented ones
}

// addresses are where the documented ones are in a test.
type addresses struct{ admin, proxy, echo string }

// newTerminal is a terminal beside one gateway.
func newTerminal(t *testing.T, n *gibbon.Node) *terminal {
	t.Helper()
	return openTerminal(t, addresses{n.Admin, n.Proxy, n.Echo})
}

// openTerminal fails the test when there is no curl: nothing can stand in for it.
func openTerminal(t *testing.T, at addresses) *terminal {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is not installed: install the package curl (apt-get install curl, brew install curl)")
	}
	home := t.TempDir()
	// curl reads its options from this file too, so that the lines need none to
	// tell the status as well.
	options := "silent\nshow-error\nnoproxy = *\nwrite-out = \"\\n%{http_code} %{content_type}\"\n"
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte(options), 0o600); err != nil {
		t.Fatal(err)
	}
	logFile := filepath.Join(home, "log.txt")
	pairs := []string{
		"localhost:8001", "localhost:" + port(t, at.admin),
		"localhost:8000", "localhost:" + port(t, at.proxy),
		"127.0.0.1:9997", at.echo,
		"/tmp/log.txt", logFile,
	}
	var back []string
	for i := 0; i < len(pairs); i += 2 {
		back = append(back, pairs[i+1], pairs[i])
	}
	return &terminal{t, home, logFile, strings.NewReplacer(pairs...), strings.NewReplacer(back...)}
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// output is what a curl line printed, with the documented addresses.
type output struct {
	status int
	kind   string
	body   string
}

func (o output) String() string { return fmt.Sprintf("%d %s\n%s", o.status, o.kind, o.body) }

// run runs a command line that ends with a curl.
func (s *terminal) run(line string) output {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), commandPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", s.there.Replace(line))
	cmd.Dir = s.home
	cmd.Env = append(gibbon.Environ(nil), "CURL_HOME="+s.home, "HOME="+s.home)
	var problems strings.Builder
	cmd.Stderr = &problems
	b, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s\n%v: %s%s", line, err, b, &problems)
	}
	printed := string(b)
	i := strings.LastIndexByte(printed, '\n')
	status, kind, _ := strings.Cut(printed[i+1:], " ")
	code, err := strconv.Atoi(status)
	if i < 0 || err != nil {
		s.t.Fatalf("%s\nprints no status at the end: %q", line, printed)
	}
	return output{code, kind, s.back.Replace(printed[:i])}
}

// commands splits a script into its command lines; a backslash at the end of a
// line goes on with the next one, and so does a text in single quotes. Comments
// are left out.
func commands(script string) (lines []string) {
	open := "" // what has come of a line whose quoted text goes on in the next one
	for line := range strings.SplitSeq(strings.ReplaceAll(script, "\\\n", "\\\x00"), "\n") {
		line = open + strings.ReplaceAll(line, "\\\x00", "\\\n")
		if open = ""; strings.Count(line, "'")%2 == 1 && !strings.HasPrefix(line, "#") {
			open = line + "\n"
			continue
		}
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// masks hides what differs from run to run. An id keeps its identity: the first
// one that comes up is <id 1> wherever it stands.
type masks struct{ ids map[string]string }

var (
	anyID   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyTime = regexp.MustCompile(`"(created_at|updated_at)":[0-9]+`)
)

func (m *masks) mask(s string) string {
	if m.ids == nil {
		m.ids = make(map[string]string)
	}
	s = anyID.ReplaceAllStringFunc(s, func(id string) string {
		if m.ids[id] == "" {
			m.ids[id] = fmt.Sprintf("<id %d>", len(m.ids)+1)
		}
		return m.ids[id]
	})
	return anyTime.ReplaceAllString(s, `"$1":<time>`)
}

// logLines waits for the first lines of a log file.
func logLines(t *testing.T, path string, atLeast int) []string {
	t.Helper()
	var lines []string
	gibbon.Eventually(t, fmt.Sprintf("%d lines in %s", atLeast, path), func() error {
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		lines = strings.Split(string(b), "\n")
		lines = lines[:len(lines)-1] // what has no end yet is no line
		if len(lines) < atLeast {
			return fmt.Errorf("%d lines", len(lines))
		}
		return nil
	})
	return lines
}
