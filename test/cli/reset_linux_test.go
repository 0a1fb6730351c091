package cli_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// openTerminal makes a pseudo terminal: what is written to keyboard is typed at
// tty, and what tty is told to show is read from keyboard.
func openTerminal(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = keyboard.Close() }) // may be closed already
	var number, locked uint32
	control := func(request uintptr, value *uint32) {
		t.Helper()
		raw, err := keyboard.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var errno syscall.Errno
		err = raw.Control(func(fd uintptr) {
			_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(value)))
		})
		if err != nil || errno != 0 {
			t.Fatalf("pseudo terminal: %v, %v", err, errno)
		}
	}
	control(syscall.TIOCSPTLCK, &locked)
	control(syscall.TIOCGPTN, &number)
	tty, err = os.OpenFile("/dev/pts/"+strconv.FormatUint(uint64(number), 10), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() }) // may be closed already
	return keyboard, tty
}

// TestResetAsks answers the question at a terminal.
func TestResetAsks(t *testing.T) {
	t.Parallel()
	const question = "Are you sure? This operation is irreversible. [Y/n] "
	for _, tt := range []struct {
		typed, want string
		still       int // exit code of "migrations list" afterwards
	}{
		{"n\n", question + "cancelled\n", 0},
		{"what?\nno\n", question + question + "cancelled\n", 0},
		{"a\nb\nc\ny\n", question + question + question + "cancelled\n", 0}, // three times is enough
		{"YES\n", question + "Database successfully reset\n", 3},
	} {
		t.Run(strings.ReplaceAll(strings.TrimSpace(tt.typed), "\n", " "), func(t *testing.T) {
			t.Parallel()
			d := database{map[string]string{"KONG_DATABASE": "sqlite"}, []string{"--prefix", t.TempDir()}}
			if r := d.migrations(t, "bootstrap"); r.Code != 0 {
				t.Fatalf("bootstrap: %+v", r)
			}
			keyboard, tty := openTerminal(t)
			if _, err := io.WriteString(keyboard, tt.typed); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			cmd := exec.CommandContext(t.Context(), gibbon.Binary(t), append([]string{"migrations", "reset"}, d.args...)...)
			cmd.Env = gibbon.Environ(d.settings)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("reset: %v", err)
			}
			if got := out.String(); got != tt.want {
				t.Errorf("with %q typed it says %q, want %q", tt.typed, got, tt.want)
			}
			if err := errors.Join(tty.Close(), keyboard.Close()); err != nil {
				t.Error(err)
			}
			if r := d.migrations(t, "list", "-q"); r.Code != tt.still {
				t.Errorf("list afterwards: %+v, want exit code %d", r, tt.still)
			}
		})
	}
}
