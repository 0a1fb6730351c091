//go:build unix && !linux

package gibbon

import "syscall"

// attributes keeps a Ctrl-C at the terminal, which is the test's, from the process.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
