//go:build unix

// Package gibbon starts the real program for tests: it builds the binary once,
// runs processes of it on free ports with folders of their own, waits until they
// are ready, keeps what they log, and stops them by process id. A test that fails
// shows the logs of its processes; one whose process logged a panic or a data race
// fails.
//
// The binary is built with the race detector unless GIBBON_TEST_RACE=0, so that
// these tests also look for races in the product.
//
// This is test support for the packages under test/; nothing that ships imports it.
package gibbon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// RaceVariable turns the race detector in the binary off when it is 0.
const RaceVariable = "GIBBON_TEST_RACE"

const (
	// patience bounds each single thing that a test waits for. It is far above
	// what a loaded machine needs, because running into it fails the test.
	patience = time.Minute
	// buildPatience is for a build of everything with nothing cached.
	buildPatience = 10 * time.Minute
	// askAgain is the time between two looks at something that will change.
	askAgain = 10 * time.Millisecond
)

// programs are the binaries of this test process, each built when it is first
// asked for.
type programs struct {
	folder string
	gibbon func() (string, error)
	curl   func() (string, error)
}

// built is set by Main, before any test runs, and only read afterwards.
var built *programs

// Main runs the tests of a package that uses this one and exits: it is to be all
// that TestMain does. A goroutine that outlives the tests is a failure.
func Main(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	root, err := moduleRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin := filepath.Join(root, "bin")
	err = os.MkdirAll(bin, 0o755)
	var folder string
	if err == nil {
		folder, err = os.MkdirTemp(bin, "test-")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "a folder for test binaries:", err)
		return 1
	}
	built = &programs{folder: folder}
	built.gibbon = sync.OnceValues(func() (string, error) {
		if os.Getenv(RaceVariable) == "0" {
			return built.build(root, "gibbon-test", []string{"CGO_ENABLED=0"}, "./cmd/gibbon")
		}
		return built.build(root, "gibbon-test-race", []string{"CGO_ENABLED=1"}, "-race", "./cmd/gibbon")
	})
	built.curl = sync.OnceValues(func() (string, error) {
		return built.build(root, "grpcurl", nil,
			"-modfile="+filepath.Join("tools", "grpcurl", "go.mod"), "github.com/fullstorydev/grpcurl/cmd/grpcurl")
	})

	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		fmt.Fprintln(os.Stderr, "test binaries:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left over:", err)
			code = 1
		}
	}
	return code
}

// moduleRoot is the folder of go.mod above the package under test, which "go
// test" makes the working directory.
func moduleRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("no go.mod above the working directory")
		}
		folder = parent
	}
}

// build builds a program below bin/, where an earlier run may have left it up to
// date, and returns a link to it that stays what it is when another run builds
// anew.
func (p *programs) build(root, name string, env []string, args ...string) (path string, err error) {
	// Several packages are tested at once, each in a process of its own.
	lock, err := os.OpenFile(filepath.Join(root, "bin", "test.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // which also unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildPatience)
	defer cancel()
	shared := filepath.Join(root, "bin", name)
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", shared}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	own := filepath.Join(p.folder, name)
	return own, os.Link(shared, own)
}

// Root is the folder of the project.
func Root(t testing.TB) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Binary is the path of the program under test.
func Binary(t testing.TB) string {
	t.Helper()
	return program(t, func(p *programs) (string, error) { return p.gibbon() })
}

// GRPCurl is the path of grpcurl, built from the version that tools/grpcurl pins.
func GRPCurl(t testing.TB) string {
	t.Helper()
	return program(t, func(p *programs) (string, error) { return p.curl() })
}

func program(t testing.TB, get func(*programs) (string, error)) string {
	t.Helper()
	if built == nil {
		t.Fatal("the package's TestMain does not call gibbon.Main")
	}
	path, err := get(built)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
