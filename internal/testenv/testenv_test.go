package testenv

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFindTakesTheNewestVersion(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"9", "15", "16"} {
		folder := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "initdb"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Find("initdb", filepath.Join(root, "*", "bin"))
	if want := filepath.Join(root, "16", "bin", "initdb"); got != want || err != nil {
		t.Errorf("Find = %q, %v, want %q", got, err, want)
	}
}

func TestFindNamesWhatIsMissing(t *testing.T) {
	_, err := Find("gibbon-no-such-program", filepath.Join(t.TempDir(), "*"))
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "gibbon-no-such-program") {
		t.Errorf("Find = %v, want an ErrMissing with the program's name", err)
	}
}

func TestPassable(t *testing.T) {
	// The test's own folder may be closed to others, so the cases lie in one
	// that is not.
	root, err := os.MkdirTemp("/tmp", "gibbon-passable-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	open, closed := filepath.Join(root, "open"), filepath.Join(root, "closed")
	inner := filepath.Join(closed, "inner")
	for folder, mode := range map[string]os.FileMode{root: 0o755, open: 0o755, closed: 0o700} {
		if err := errors.Join(os.MkdirAll(folder, mode), os.Chmod(folder, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(inner, 0o755), os.Chmod(inner, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		folder string
		want   bool
	}{
		{open, true},
		{closed, false},
		{inner, false},
		{filepath.Join(root, "absent"), false},
	} {
		if err := passable(tt.folder); (err == nil) != tt.want {
			t.Errorf("passable(%q) = %v, want passable: %t", tt.folder, err, tt.want)
		}
	}
}

func TestAnEarlyExitIsToldWithItsLog(t *testing.T) {
	p, err := launch(nil, t.TempDir(), "/bin/sh", "-c", "echo the reason; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	never := errors.New("nobody there")
	err = p.ready(func(ctx context.Context) error { return never })
	if !errors.Is(err, errEarlyExit) || !errors.Is(err, never) || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("ready = %v, want an early exit with the log's last words", err)
	}
	if err := p.kill(); err != nil {
		t.Errorf("kill after the end = %v", err)
	}
}
