package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestContainerMemory(t *testing.T) {
	for _, tt := range []struct {
		name, self string
		files      map[string]string
		want       int64 // 0: no bound
	}{
		{"second version", "0::/a/b\n", map[string]string{"a/b/memory.max": "1000\n"}, 1000},
		{"a group above", "0::/a/b\n", map[string]string{"a/b/memory.max": "max\n", "a/memory.max": "500\n"}, 500},
		{"the least", "0::/a/b\n", map[string]string{"a/b/memory.max": "300\n", "a/memory.max": "500\n"}, 300},
		{"the host's path", "0::/../outer\n", map[string]string{"memory.max": "700\n"}, 700},
		{"no bound", "0::/a\n", map[string]string{"a/memory.max": "max\n"}, 0},
		{"first version", "9:memory:/a\n3:cpu,cpuacct:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "900\n"}, 900},
		{"first version, no bound", "9:memory:/\n", map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"no number", "0::/a\n", map[string]string{"a/memory.max": "many\n"}, 0},
		{"no groups", "", nil, 0},
		{"odd", "memory\n", nil, 0},
	} {
		root := t.TempDir()
		self := filepath.Join(root, "self")
		write := func(path, text string) {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write(self, tt.self)
		for name, text := range tt.files {
			write(filepath.Join(root, name), text)
		}
		if got, ok := containerMemory(self, root); ok != (tt.want > 0) || ok && got != tt.want {
			t.Errorf("%s: %d, %v; want %d", tt.name, got, ok, tt.want)
		}
	}
	if _, ok := containerMemory(filepath.Join(t.TempDir(), "none"), t.TempDir()); ok {
		t.Error("no file: a bound, want none")
	}
}
