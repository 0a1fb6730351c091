// Package testenv starts private servers for tests: PostgreSQL and Redis, each
// in a temporary folder, on a free port of the loopback interface, as a child
// of the calling process. It never touches a server that the machine runs
// already, and what it starts it stops by process id.
//
// It knows nothing of the testing package, because the program test/services
// uses it too; tests reach it through testpg. It is test support: nothing that
// ships may import it, which arch_test.go checks.
package testenv

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Environment variables through which a test run learns of shared servers.
const (
	PostgresVariable = "GIBBON_TEST_POSTGRES" // a postgres:// URL of a role that may create databases
	RedisVariable    = "GIBBON_TEST_REDIS"    // a redis:// URL of a server that tests may flush
)

const (
	startPatience = time.Minute           // until a server must answer; a cold disk is slow
	retryPatience = 15 * time.Second      // for failed starts that may pass by themselves
	stopPatience  = 30 * time.Second      // until a server that was asked to stop is killed
	askAgain      = 10 * time.Millisecond // between two looks at a starting server
)

// ErrMissing says that a program is not installed. Errors that wrap it name
// the program.
var ErrMissing = errors.New("not installed")

// Find returns the path of a program: the first match of the extra patterns,
// newest version first, and else what PATH and the system folders hold.
func Find(program string, patterns ...string) (string, error) {
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(pattern, program))
		if err != nil {
			return "", fmt.Errorf("look for %s: %w", program, err)
		}
		slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
		if len(found) > 0 {
			return found[0], nil
		}
	}
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	// Servers often live in folders that an ordinary user's PATH leaves out.
	for _, folder := range []string{"/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"} {
		if path, err := exec.LookPath(filepath.Join(folder, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", program, ErrMissing)
}

// version reads the last number that is a whole path element, 0 without one:
// /usr/lib/postgresql/15/bin/initdb is 15.
func version(path string) int {
	v := 0
	for element := range strings.SplitSeq(path, "/") {
		if n, err := strconv.Atoi(element); err == nil {
			v = n
		}
	}
	return v
}

// newFolder makes an empty folder that the servers' user owns and can reach.
func newFolder(name string, as *user) (string, error) {
	candidates := []string{os.TempDir()}
	if as != nil {
		// A root-only TMPDIR is common, and another user cannot pass it.
		candidates = append(candidates, "/tmp", "/var/tmp")
	}
	var problems []error
	for _, parent := range candidates {
		if as != nil {
			if err := passable(parent); err != nil {
				problems = append(problems, err)
				continue
			}
		}
		folder, err := os.MkdirTemp(parent, "gibbon-"+name+"-")
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if as != nil {
			if err := os.Chown(folder, as.uid, as.gid); err != nil {
				return "", errors.Join(err, os.RemoveAll(folder))
			}
		}
		return folder, nil
	}
	return "", fmt.Errorf("make a folder for %s: %w", name, errors.Join(problems...))
}

// passable tells whether any user can walk down to a folder.
func passable(folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	for {
		info, err := os.Stat(folder)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("%s is closed to other users", folder)
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return nil
		}
		folder = parent
	}
}

// freePort names a port of the loopback interface that was free a moment ago.
// Another process may take it first, so a server that does not come up is
// tried again on another one.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}
