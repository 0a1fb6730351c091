//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gibbon-gateway/gibbon/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want int
		says string
	}{
		{"the command's success", []string{"--", "true"}, 0, ""},
		{"the command's exit code", []string{"--", "sh", "-c", "exit 7"}, 7, ""},
		{"no command", nil, exitUsage, "usage: services"},
		{"an unknown flag", []string{"-mysql", "--", "true"}, exitUsage, "mysql"},
		{"an unknown program", []string{"-programs", "nginx,emacs", "--", "true"}, exitUsage, `"emacs"`},
		{"a command that is not there", []string{"--", "/no/such/command"}, exitService, "/no/such/command"},
		{"a command that a signal ended", []string{"--", "sh", "-c", "kill -KILL $$"}, exitService, "killed"},
		// The command interrupts its parent, as a terminal would, and would
		// then go on for far longer than any test may take.
		{"an interrupt", []string{"--", "sh", "-c", "kill -INT $PPID; exec sleep 3600"}, exitService, "interrupt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			if got := run(tt.args, &log); got != tt.want {
				t.Errorf("run(%q) = %d, want %d; log:\n%s", tt.args, got, tt.want, &log)
			}
			if !strings.Contains(log.String(), tt.says) {
				t.Errorf("run(%q) says\n%s\nwant %q in it", tt.args, &log, tt.says)
			}
		})
	}
}

func TestAnInterruptReachesGrandchildren(t *testing.T) {
	// The grandchild holds the pipe's write end, so the read below ends only
	// when it is gone.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	stdout := os.Stdout
	os.Stdout = w
	var log bytes.Buffer
	got := run([]string{"--", "sh", "-c", "sleep 3600 & kill -INT $PPID; wait"}, &log)
	os.Stdout = stdout
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got != exitService {
		t.Errorf("run = %d, want %d; log:\n%s", got, exitService, &log)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 {
		t.Errorf("read %d bytes, %v, want the end of the pipe", n, err)
	}
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := os.WriteFile(filepath.Join(os.Getenv("PATH"), "wrk"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	// A Python without the module that makes virtual environments.
	if err := os.WriteFile(filepath.Join(os.Getenv("PATH"), "python3"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := missing(t.Context(), []string{"wrk", "gibbon-no-such-program", "python3"})
	if want := []string{"gibbon-no-such-program", "python3"}; !slices.Equal(got, want) || err != nil {
		t.Errorf("missing = %q, %v, want %q", got, err, want)
	}
}

// fakeAptGet puts an apt-get alone into PATH that notes what it is asked and
// runs a line of shell, and returns the path of the notes.
func fakeAptGet(t *testing.T, line string) (notes string) {
	t.Helper()
	folder := t.TempDir()
	t.Setenv("PATH", folder)
	notes = filepath.Join(folder, "notes")
	script := "#!/bin/sh\necho \"$@\" >>" + notes + "\n" + line + "\n"
	if err := os.WriteFile(filepath.Join(folder, "apt-get"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return notes
}

func TestInstall(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root installs packages")
	}
	need := needs{programs: []string{"wrk"}}
	for _, tt := range []struct {
		name, line, problem string
	}{
		{"brings the program", `case $1 in install) /bin/ln -s /bin/sh "$PATH/wrk";; esac`, ""},
		{"fails", "exit 100", "apt-get update: exit status 100"},
		{"brings something else", "", "wrk is not there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			notes := fakeAptGet(t, tt.line)
			err := install(t.Context(), need, io.Discard)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("install = %v, want an error with %q", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatalf("install = %v", err)
			}
			// What is there is not installed again.
			if err := install(t.Context(), need, io.Discard); err != nil {
				t.Errorf("second install = %v", err)
			}
			got, err := os.ReadFile(notes)
			if err != nil {
				t.Fatal(err)
			}
			want := "update -q\ninstall -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 wrk\n"
			if string(got) != want {
				t.Errorf("apt-get was asked\n%swant\n%s", got, want)
			}
		})
	}
}

func TestInstallWithoutAptGetSaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := install(t.Context(), needs{programs: []string{"wrk"}}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "sudo apt-get install wrk") {
		t.Errorf("install = %v, want the command to type", err)
	}
}

func TestServersAreNamedToTheCommandAndGoneAfterIt(t *testing.T) {
	if os.Getenv(testenv.PostgresVariable) == "" {
		t.Skipf("needs PostgreSQL: %s is not set (make test sets it)", testenv.PostgresVariable)
	}
	temp, err := os.MkdirTemp("/tmp", "gibbon-services-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(temp); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	t.Setenv(testenv.PostgresVariable, "")
	t.Setenv(testenv.RedisVariable, "")
	var log bytes.Buffer
	check := `test -n "$` + testenv.PostgresVariable + `" && test -n "$` + testenv.RedisVariable + `"`
	if got := run([]string{"-postgres", "-redis", "--", "sh", "-c", check}, &log); got != 0 {
		t.Errorf("run = %d, want 0; log:\n%s", got, &log)
	}
	left, err := filepath.Glob(filepath.Join(temp, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v, want nothing", left, err)
	}
}
