package settings

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

const systemPrefix = "/usr/local/gibbon"

// defaultPrefix chooses the data folder when nobody named one: the system's for
// root and for whoever may write there, else one in the home folder, else one
// among the temporary files, so that a first start works for a user without
// either. The note says what is wrong with the last choice.
func defaultPrefix(env map[string]string, uid int, writable func(string) bool) (prefix, note string) {
	if uid == 0 || writable(systemPrefix) {
		return systemPrefix, ""
	}
	if home := env["HOME"]; filepath.IsAbs(home) && writable(home) {
		return filepath.Join(home, ".gibbon"), ""
	}
	tmp := env["TMPDIR"]
	if !filepath.IsAbs(tmp) {
		tmp = "/tmp"
	}
	prefix = filepath.Join(tmp, "gibbon-"+strconv.Itoa(uid))
	return prefix, fmt.Sprintf("no home folder to write to: data is kept in %s and may not outlive this machine; set prefix to choose a folder", prefix)
}

// PreparePrefix creates the prefix for this user alone, and refuses one that is
// not a folder. A folder that exists keeps its mode, but one below a folder that
// everybody may write to must belong to this user: another could have put it
// there to read or plant what this node keeps.
func PreparePrefix(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("prepare prefix: %w", err)
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return nil
	}
	info, statErr := os.Lstat(dir)
	if statErr != nil {
		return fmt.Errorf("prepare prefix: %w", err)
	}
	parent, statErr := os.Stat(filepath.Dir(dir))
	if statErr != nil {
		return fmt.Errorf("prepare prefix: %w", statErr)
	}
	if parent.Mode().Perm()&0o002 != 0 {
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			return fmt.Errorf("prepare prefix: %s is a link in a folder that everybody may write to", dir)
		case !ownedBy(info, os.Geteuid()) || info.Mode().Perm()&0o022 != 0:
			return fmt.Errorf("prepare prefix: %s belongs to another user, or others may write to it", dir)
		}
	}
	if info, statErr = os.Stat(dir); statErr != nil {
		return fmt.Errorf("prepare prefix: %w", statErr)
	}
	if !info.IsDir() {
		return fmt.Errorf("prepare prefix: %s is not a folder", dir)
	}
	return nil
}
