package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// heapGrowth is GOGC for a gateway. A small heap with a lot of short-lived
// garbage is collected all the time at Go's 100, which was a tenth of what a
// request cost; 400 takes some thirty MB more under load.
const heapGrowth = 400

// tuneMemory sets how the garbage collector works, except for what the operator
// has set with GOGC or GOMEMLIMIT. In a container the collector works harder from
// four fifths of the container's memory on, before the kernel ends the process.
func tuneMemory(env func(string) string) {
	if env("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if env("GOMEMLIMIT") != "" {
		return
	}
	if limit, ok := containerMemory("/proc/self/cgroup", "/sys/fs/cgroup"); ok {
		debug.SetMemoryLimit(limit / 5 * 4)
	}
}

// containerMemory gives the bytes that the process's control group may use: the
// least of its own bound and those of the groups above it. false: there is no
// bound, or this is no Linux.
func containerMemory(self, root string) (bytes int64, bounded bool) {
	groups, err := os.ReadFile(self)
	if err != nil {
		return 0, false
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		// The second version has one line, 0::/path; the first has one for each
		// kind of control: 9:memory:/path.
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controls, path, found := strings.Cut(rest, ":")
		top, file := root, "memory.max"
		switch {
		case !found:
			continue
		case controls == "memory":
			top, file = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		case controls != "":
			continue
		}
		// In a container the path may be one that only the host sees. Then the
		// group's own files are at the top.
		for path = filepath.Clean("/" + path); ; path = filepath.Dir(path) {
			if n, ok := readBytes(filepath.Join(top, path, file)); ok {
				least = min(least, n)
			}
			if path == "/" {
				break
			}
		}
	}
	// Without a bound the first version names a number that no machine has.
	return least, least < 1<<50
}

// readBytes reads a file that holds a number; "max" is none.
func readBytes(path string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil && n > 0
}
