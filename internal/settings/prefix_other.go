//go:build !unix

package settings

import (
	"io/fs"
	"os"
)

// writable reports whether dir is a folder; without Unix permissions nothing
// more can be told before trying.
func writable(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// ownedBy can not be told here; the temporary folder is the user's own on these
// systems.
func ownedBy(fs.FileInfo, int) bool { return true }
