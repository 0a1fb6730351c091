//go:build unix

package settings

import (
	"io/fs"
	"os"
	"syscall"
)

// writable reports whether dir exists and this process may create files in it.
func writable(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	const write, search = 2, 1
	return syscall.Access(dir, write|search) == nil
}

func ownedBy(info fs.FileInfo, uid int) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}
