package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
)

// bootstrap makes a database file and returns its path.
func bootstrap(t *testing.T, path string) string {
	t.Helper()
	if _, err := sqlstore.NewSQLiteMigrator(path, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatalf("bootstrap: %v", err)
	}
	return path
}

func TestSQLiteBelongsToOne(t *testing.T) {
	t.Parallel()
	// A name with characters that mean something in a URL.
	path := bootstrap(t, filepath.Join(t.TempDir(), "a b?c=d#e%20.db"))
	first, err := sqlstore.OpenSQLite(t.Context(), path, options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if _, err := sqlstore.OpenSQLite(t.Context(), path, options); !errors.Is(err, sqlstore.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("open a second time: %v, want ErrInUse with the path", err)
	}
	m := sqlstore.NewSQLiteMigrator(path, sqlstore.MigratorOptions{})
	if err := m.Reset(t.Context()); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("reset what is in use: %v, want ErrInUse", err)
	}
	if state, err := m.Status(t.Context()); err != nil || state.NeedsBootstrap {
		t.Errorf("status of what is in use: %+v, %v", state, err)
	}
	// Another process is kept away too.
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSQLiteOtherProcess$")
	other.Env = append(os.Environ(), otherProcess+"="+path)
	if out, err := other.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("in use by another process")) {
		t.Errorf("another process: %v\n%s", err, out)
	}
	if err := first.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	again, err := sqlstore.OpenSQLite(t.Context(), path, options)
	closing(t, again, err)

	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600 (%v)", file, info.Mode(), err)
		}
	}
}

// otherProcess names a file that this process shall fail to open.
const otherProcess = "GIBBON_TEST_SQLITE_PATH"

func TestSQLiteOtherProcess(t *testing.T) {
	path := os.Getenv(otherProcess)
	if path == "" {
		t.Skip("runs as a child of TestSQLiteBelongsToOne")
	}
	_, err := sqlstore.OpenSQLite(t.Context(), path, options)
	fmt.Println(err)
}

func TestSQLiteTakesTheFileFromOthers(t *testing.T) {
	t.Parallel()
	path := bootstrap(t, filepath.Join(t.TempDir(), "gibbon.db"))
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := sqlstore.OpenSQLite(t.Context(), path, options)
	closing(t, s, err)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, want 0600 (%v)", info.Mode(), err)
	}
}

func TestSQLiteNoticesDamage(t *testing.T) {
	t.Parallel()
	path := bootstrap(t, filepath.Join(t.TempDir(), "gibbon.db"))
	s, err := sqlstore.OpenSQLite(t.Context(), path, options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if _, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
		for i := range 200 {
			if err := tx.Insert(store.Entity{Kind: "services", ID: fmt.Sprint(i), Document: []byte(`"` + strings.Repeat("x", 500) + `"`)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatalf("write: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	overwritten := bytes.Clone(whole)
	for i := 8192; i < len(overwritten); i++ {
		overwritten[i] = 0xA5
	}
	for what, damaged := range map[string][]byte{
		"cut": whole[:len(whole)/2], "overwritten": overwritten, "another file": []byte(strings.Repeat("not a database ", 1000)),
	} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := sqlstore.OpenSQLite(t.Context(), path, options); err == nil {
			t.Errorf("%s: the file was opened", what)
			closing(t, s, nil)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error does not name the file: %v", what, err)
		}
	}
}

func TestSQLiteSurvivesKill(t *testing.T) {
	t.Parallel()
	path := bootstrap(t, filepath.Join(t.TempDir(), "gibbon.db"))
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSQLiteWriterProcess$")
	child.Env = append(os.Environ(), writerProcess+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// It says the version of each commit. It dies in the middle of its work.
	var acknowledged uint64
	for acknowledged < 20 {
		if _, err := fmt.Fscanf(out, "committed %d\n", &acknowledged); err != nil {
			t.Fatalf("the writer ended: %v", err)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := fmt.Fscanf(out, "committed %d\n", &acknowledged); err != nil {
			break
		}
	}
	if err := child.Wait(); err == nil {
		t.Error("the writer was not killed")
	}
	s, err := sqlstore.OpenSQLite(t.Context(), path, options)
	s = closing(t, s, err)
	checkHistory(t, s, acknowledged)
}

// checkHistory checks that all acknowledged versions are there, that none is
// missing, and that each has what was written in it.
func checkHistory(t *testing.T, s store.Store, acknowledged uint64) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) error {
		v, err := r.Version()
		if err != nil {
			return err
		}
		if v.Number < acknowledged {
			t.Errorf("version %d was acknowledged, but %d is current", acknowledged, v.Number)
		}
		log, err := r.Changes(0, 1_000_000)
		if err != nil {
			return err
		}
		if uint64(len(log)) != v.Number {
			t.Errorf("%d changes at version %d, want one for each", len(log), v.Number)
		}
		for i, c := range log {
			if c.Version != uint64(i+1) {
				t.Fatalf("change %d has version %d", i, c.Version)
			}
			if _, err := r.Get(c.Kind, c.ID); err != nil {
				t.Errorf("version %d: %s: %v", c.Version, c.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("read the history: %v", err)
	}
}

const writerProcess = "GIBBON_TEST_SQLITE_WRITER"

func TestSQLiteWriterProcess(t *testing.T) {
	path := os.Getenv(writerProcess)
	if path == "" {
		t.Skip("runs as a child of TestSQLiteSurvivesKill")
	}
	s, err := sqlstore.OpenSQLite(t.Context(), path, options)
	s = closing(t, s, err)
	for i := range 100_000 {
		v, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
			return tx.Insert(store.Entity{Kind: "services", ID: fmt.Sprint(i), Document: []byte(`{}`)})
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("committed %d\n", v.Number)
	}
}

func TestSQLiteWritersQueue(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	path := bootstrap(t, filepath.Join(t.TempDir(), "gibbon.db"))
	s, err := sqlstore.OpenSQLite(t.Context(), path, sqlstore.Options{Timeout: timeout})
	s = closing(t, s, err)
	insert := func(ctx context.Context, id string, before func()) error {
		_, err := s.Update(ctx, "tester", func(tx store.Tx) error {
			before()
			return tx.Insert(store.Entity{Kind: "services", ID: id, Document: []byte(`{}`)})
		})
		return err
	}
	begun := make(chan struct{})
	results := make(chan error, 2)
	go func() {
		results <- insert(t.Context(), "slow", func() {
			close(begun)
			<-time.After(2 * timeout) // longer than any exchange may take
		})
	}()
	<-begun
	go func() { results <- insert(t.Context(), "patient", func() {}) }()
	ctx, cancel := context.WithTimeout(t.Context(), timeout/10)
	defer cancel()
	if err := insert(ctx, "impatient", func() {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a writer whose time ended in the queue: %v, want DeadlineExceeded", err)
	}
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("a writer: %v", err)
		}
	}
	checkHistory(t, s, 2)
}
