package settings

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestNodeIDIsKept(t *testing.T) {
	dir := t.TempDir()
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			id, err := NodeID(dir, "")
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || !isUUID(id) {
			t.Fatalf("ids differ or are none: %q", ids)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "node.id"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("node.id: %v, %v; want mode 0600", info, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "node.id-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if id, err := NodeID(dir, "chosen"); id != "chosen" || err != nil {
		t.Errorf("got %q, %v; want the chosen id", id, err)
	}
}

func TestNodeIDRefusesWhatIsNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "node.id"), []byte("not an id"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, err := NodeID(dir, ""); err == nil || !strings.Contains(err.Error(), "does not hold a UUID") {
		t.Errorf("got %q, %v", id, err)
	}
	if _, err := NodeID(filepath.Join(dir, "missing"), ""); err == nil {
		t.Error("an id was made without a prefix")
	}
}

func TestDefaultPrefix(t *testing.T) {
	can := func(dirs ...string) func(string) bool {
		return func(dir string) bool { return strings.Contains(strings.Join(dirs, " "), dir) }
	}
	for _, tt := range []struct {
		name     string
		env      map[string]string
		uid      int
		writable func(string) bool
		want     string
		note     bool
	}{
		{"root", nil, 0, can(), "/usr/local/gibbon", false},
		{"system folder prepared for us", map[string]string{"HOME": "/home/a"}, 7, can("/usr/local/gibbon", "/home/a"), "/usr/local/gibbon", false},
		{"home", map[string]string{"HOME": "/home/a"}, 7, can("/home/a"), "/home/a/.gibbon", false},
		{"home that is not ours", map[string]string{"HOME": "/home/a"}, 7, can(), "/tmp/gibbon-7", true},
		{"no home", map[string]string{"HOME": ""}, 7, can(), "/tmp/gibbon-7", true},
		{"no home, other temporary folder", map[string]string{"TMPDIR": "/scratch"}, 7, can(), "/scratch/gibbon-7", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, note := defaultPrefix(tt.env, tt.uid, tt.writable)
			if got != tt.want || (note != "") != tt.note {
				t.Errorf("got %q, %q; want %q", got, note, tt.want)
			}
		})
	}
}

func TestPreparePrefix(t *testing.T) {
	dir := t.TempDir()
	mkdir := func(name string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	public := mkdir("public", 0o777|fs.ModeSticky)
	file := filepath.Join(dir, "file")
	link := filepath.Join(public, "link")
	for _, err := range []error{os.WriteFile(file, nil, 0o600), os.Symlink(dir, link), os.Mkdir(filepath.Join(public, "open"), 0o700), os.Chmod(filepath.Join(public, "open"), 0o777)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, path string
		ok         bool
	}{
		{"new, with its parents", filepath.Join(dir, "a", "b"), true},
		{"again", filepath.Join(dir, "a", "b"), true},
		{"new in a public folder", filepath.Join(public, "mine"), true},
		{"again in a public folder", filepath.Join(public, "mine"), true},
		{"writable for others in a public folder", filepath.Join(public, "open"), false},
		{"link in a public folder", link, false},
		{"file", file, false},
		{"below a file", filepath.Join(file, "x"), false},
	} {
		if err := PreparePrefix(tt.path); (err == nil) != tt.ok {
			t.Errorf("%s: PreparePrefix gave %v", tt.name, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "a", "b"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("new prefix: %v, %v; want mode 0700", info, err)
	}
	if !writable(dir) || writable(file) || writable(filepath.Join(dir, "none")) {
		t.Error("writable is wrong about a folder, a file or nothing")
	}
}
