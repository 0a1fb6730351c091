//go:build unix

// Package cli_test runs gibbon's commands as an operator does, and judges what they
// print, their exit codes, and how processes end.
package cli_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

func TestMain(m *testing.M) { gibbon.Main(m) }

// hint follows an error message, as in Kong.
const hint = "\n\n  Run with --v (verbose) or --vv (debug) for more details\n"

// expect fails the test unless a command left exactly this behind.
func expect(t *testing.T, what string, got gibbon.Result, code int, out, errOut string) {
	t.Helper()
	if diff := cmp.Diff(gibbon.Result{Code: code, Out: out, ErrOut: errOut}, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestHelp asks every command for help, and finds the commands in what it says.
func TestHelp(t *testing.T) {
	t.Parallel()
	var found []string
	var ask func(words ...string)
	ask = func(words ...string) {
		r := gibbon.Command(t, nil, append(slices.Clone(words), "--help")...)
		name := strings.Join(append([]string{"gibbon"}, words...), " ")
		if r.Code != 0 || r.ErrOut != "" || !strings.Contains(r.Out, "Usage:\n  "+name) {
			t.Errorf("%s --help: exit code %d\n%s%s", name, r.Code, r.Out, r.ErrOut)
		}
		if about, _, _ := strings.Cut(r.Out, "\n"); len(about) < 10 {
			t.Errorf("%s --help begins with %q, not with what it is", name, about)
		}
		_, rest, more := strings.Cut(r.Out, "Available Commands:\n")
		if !more {
			found = append(found, name)
			return
		}
		list, _, _ := strings.Cut(rest, "\n\n")
		for line := range strings.SplitSeq(strings.TrimRight(list, "\n"), "\n") {
			if fields := strings.Fields(line); len(fields) < 2 {
				t.Errorf("%s --help lists %q without a word about it", name, line)
			} else if fields[0] != "help" {
				ask(append(slices.Clone(words), fields[0])...)
			}
		}
	}
	ask()
	slices.Sort(found)
	want := []string{
		"gibbon check", "gibbon config db_export", "gibbon config db_import", "gibbon config init", "gibbon config parse", "gibbon controlplane", "gibbon dataplane", "gibbon echo-model", "gibbon health",
		"gibbon hybrid gen_cert", "gibbon migrations bootstrap", "gibbon migrations finish", "gibbon migrations list",
		"gibbon migrations reset", "gibbon migrations status", "gibbon migrations up", "gibbon reload", "gibbon run", "gibbon vault get", "gibbon version",
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestUnknownCommand(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"strat"}, {"migrations", "strat"}, {"hybrid", "strat"}, {"config", "strat"}} {
		expect(t, fmt.Sprint(args), gibbon.Command(t, nil, args...), 1, "", "Error: unknown command 'strat'"+hint)
	}
	if r := gibbon.Command(t, nil, "version", "--strat"); r.Code != 1 || !strings.Contains(r.ErrOut, "--strat") {
		t.Errorf("an unknown flag: exit code %d\n%s", r.Code, r.ErrOut)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := gibbon.Command(t, nil, "version")
	if r.Code != 0 || r.ErrOut != "" || !regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\S*\n$`).MatchString(r.Out) {
		t.Errorf("version: exit code %d, %q %q", r.Code, r.Out, r.ErrOut)
	}
	all := gibbon.Command(t, nil, "version", "-a")
	for _, want := range []string{"Gibbon: " + r.Out, "Kong: 3.", "Go: go1."} {
		if !strings.Contains(all.Out, want) {
			t.Errorf("version -a: %q, want something with %q", all.Out, want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "gibbon.conf")
	declared, broken := conf+".yml", conf+".broken.yml"
	for path, host := range map[string]string{declared: "host: example.com", broken: "port: 80"} {
		text := "_format_version: \"3.0\"\nservices:\n- name: a\n  " + host + "\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, content string
		settings      map[string]string
		code          int
		out, problem  string
	}{
		{"valid", "log_level = info\nproxy_listen = 127.0.0.1:9000\n", nil, 0, "configuration at " + conf + " is valid\n", ""},
		{"unknown key", "log_levl = info\n", nil, 1, "", "log_levl"},
		{"bad value", "log_level = loud\n", nil, 1, "", "[error] "},
		{"declarative file", "database = off\ndeclarative_config = " + declared + "\n", nil, 0, "configuration at " + conf + " is valid\n", ""},
		{"no declarative file", "database = off\ndeclarative_config = " + declared + ".none\n", nil, 1, "", declared + ".none"},
		{"bad declarative file", "database = off\ndeclarative_config = " + broken + "\n", nil, 1, "", "in 'host': required field missing"},
		{"bad variable", "log_level = info\n", map[string]string{"GIBBON_LOG_LEVL": "info"}, 1, "", "GIBBON_LOG_LEVL"},
	} {
		if err := os.WriteFile(conf, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		r := gibbon.Command(t, tt.settings, "check", conf)
		if r.Code != tt.code || r.Out != tt.out || !strings.Contains(r.ErrOut, tt.problem) {
			t.Errorf("%s: %+v, want exit code %d, %q and %q", tt.name, r, tt.code, tt.out, tt.problem)
		}
		if tt.code != 0 && !strings.HasPrefix(r.ErrOut, "[error] ") {
			t.Errorf("%s: %q, want lines that begin with [error]", tt.name, r.ErrOut)
		}
	}
	if r := gibbon.Command(t, nil, "check", conf+".none"); r.Code != 1 || !strings.Contains(r.ErrOut, conf+".none") {
		t.Errorf("a file that is not there: %+v", r)
	}
}

func TestGenCert(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "a.crt"), filepath.Join(folder, "a.key")
	expect(t, "gen_cert", gibbon.Command(t, nil, "hybrid", "gen_cert", cert, key), 0,
		fmt.Sprintf("Successfully generated certificate/key pairs, they have been written to: '%s' and '%s'.\n", cert, key), "")
	for path, mode := range map[string]os.FileMode{cert: 0o644, key: 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
		}
	}
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if r := gibbon.Command(t, nil, "hybrid", "gen_cert", cert, key); r.Code != 1 {
		t.Errorf("over files that exist: %+v, want exit code 1", r)
	}
	after, err := os.ReadFile(key)
	if err != nil || string(after) != string(before) {
		t.Errorf("the key that existed was overwritten (%v)", err)
	}
	expect(t, "one name", gibbon.Command(t, nil, "hybrid", "gen_cert", cert), 1, "",
		"Error: both cert and key path needs to be provided"+hint)
}

// TestPrefix goes through what concerns the running processes of a prefix.
func TestPrefix(t *testing.T) {
	t.Parallel()
	n := gibbon.Run(t)
	delete(n.Settings, "KONG_LOG_LEVEL")
	conf := filepath.Join(t.TempDir(), "gibbon.conf")
	level := func(level string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte("log_level = "+level+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	level("warn")
	n.Args = []string{"--conf", conf}

	down := "Error: Gibbon is not running at " + n.Prefix + hint
	expect(t, "health before the start", gibbon.Command(t, nil, "health", "--prefix", n.Prefix), 1, "", down)
	expect(t, "reload before the start", gibbon.Command(t, nil, "reload", "--prefix", n.Prefix), 1, "", down)
	n.Start()
	up := "run.......running\n\nGibbon is healthy at " + n.Prefix + "\n"
	expect(t, "health", gibbon.Command(t, nil, "health", "--prefix", n.Prefix), 0, up, "")

	// A second process has ports of its own and the same prefix.
	other := gibbon.Run(t)
	second := gibbon.Command(t, other.Settings, "run", "--prefix", n.Prefix)
	if second.Code != 1 || !strings.Contains(second.ErrOut, "gibbon run is already running in "+n.Prefix+" (pid ") {
		t.Errorf("a second process in one prefix: %+v", second)
	}
	expect(t, "health after a second process was refused", gibbon.Command(t, nil, "health", "--prefix", n.Prefix), 0, up, "")

	// A reload takes the level up, and not what needs a restart.
	shown := func() string {
		t.Helper()
		var info struct {
			Configuration struct {
				LogLevel string `json:"log_level"`
			}
		}
		gibbon.Call(t, http.MethodGet, n.AdminURL("/"), nil).Decode(t, &info)
		return info.Configuration.LogLevel
	}
	if got := shown(); got != "warn" {
		t.Errorf("log_level is %q, want warn", got)
	}
	from := n.Log.Len()
	level("info")
	expect(t, "reload", gibbon.Command(t, nil, "reload", "--prefix", n.Prefix), 0, "Gibbon reloaded\n", "")
	n.Log.Wait(t, from, `"msg":"reloaded`)
	if got := shown(); got != "info" {
		t.Errorf("log_level is %q after a reload, want info", got)
	}
	// Lines of that level come now.
	n.Create("/services", gibbon.JSON{"name": "s", "url": "http://example.com"})
	n.Log.Wait(t, from, `"level":"info","msg":"configuration published"`)
	// A file that cannot be used changes nothing.
	from = n.Log.Len()
	level("loud")
	expect(t, "reload of a bad file", gibbon.Command(t, nil, "reload", "--prefix", n.Prefix), 0, "Gibbon reloaded\n", "")
	n.Log.Wait(t, from, `"msg":"reload failed`, "loud")
	if got := shown(); got != "info" {
		t.Errorf("log_level is %q after a reload that failed, want info", got)
	}

	if code := n.Stop(); code != 0 {
		t.Errorf("it ended with exit code %d", code)
	}
	expect(t, "health after the end", gibbon.Command(t, nil, "health", "--prefix", n.Prefix), 1, "", down)
}

// TestAddressInUse wants a process that cannot have its ports to say which, and end.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, setting := range []string{"KONG_PROXY_LISTEN", "KONG_ADMIN_LISTEN", "KONG_STATUS_LISTEN", "--echo-model"} {
		n := gibbon.Run(t)
		args := []string{"run", "--prefix", n.Prefix}
		if strings.HasPrefix(setting, "--") {
			args = append(args, setting+"="+taken.Addr().String())
		} else {
			n.Settings[setting] = taken.Addr().String()
		}
		r := gibbon.Command(t, n.Settings, args...)
		if r.Code != 1 || !strings.Contains(r.ErrOut, taken.Addr().String()) || !strings.Contains(r.ErrOut, "address already in use") {
			t.Errorf("%s on an address in use: %+v", setting, r)
		}
	}
}
