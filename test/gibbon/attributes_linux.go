package gibbon

import "syscall"

// attributes keeps a Ctrl-C at the terminal, which is the test's, from the process,
// and has the kernel end the process when the test dies without a chance to do so.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
