package testenv

import (
	"errors"
	"fmt"
	"os"
	osuser "os/user"
	"strconv"
	"syscall"
)

// user is who the servers run as when that is not the caller.
type user struct{ uid, gid int }

// serverUser returns nil for an ordinary caller. PostgreSQL refuses to run as
// root, so root lends the work to its own user or to nobody.
func serverUser() (*user, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue // the next one may exist
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &user{uid, gid}, nil
	}
	return nil, errors.New("running as root, and there is no user postgres or nobody to run servers as")
}

// attributes gives a server its user, keeps a Ctrl-C at the terminal from
// reaching it before its tests have ended, and lets the kernel stop it when
// the caller dies without a chance to do so itself.
func attributes(as *user) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if as != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)}
	}
	return attr
}
