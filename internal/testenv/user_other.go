//go:build !linux

package testenv

import "syscall"

// user is who the servers run as when that is not the caller. Only Linux needs
// the distinction: containers and build machines run as root there.
type user struct{ uid, gid int }

// serverUser returns nil: servers run as the caller.
func serverUser() (*user, error) { return nil, nil }

// attributes asks nothing special of the system.
func attributes(*user) *syscall.SysProcAttr { return nil }
