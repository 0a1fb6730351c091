package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Redis is a private Redis server that keeps nothing on disk. Its methods are
// for one goroutine at a time.
type Redis struct {
	folder string
	port   int
	run    *process
}

// StartRedis starts a server and returns when it answers. The caller must
// Close it. The error wraps ErrMissing when Redis is not installed.
func StartRedis() (*Redis, error) {
	binary, err := Find("redis-server")
	if err != nil {
		return nil, err
	}
	as, err := serverUser()
	if err != nil {
		return nil, err
	}
	folder, err := newFolder("redis", as)
	if err != nil {
		return nil, err
	}
	r := &Redis{folder: folder}
	deadline := time.Now().Add(retryPatience)
	for {
		err := r.start(as, binary)
		if err == nil {
			return r, nil
		}
		// Another process may have taken the port a moment ago.
		if time.Now().After(deadline) || !errors.Is(err, errEarlyExit) {
			return nil, errors.Join(err, os.RemoveAll(folder))
		}
	}
}

func (r *Redis) start(as *user, binary string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	r.port = port
	run, err := launch(as, r.folder, binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--save", "", "--appendonly", "no", "--dir", r.folder)
	if err != nil {
		return err
	}
	if err := run.ready(r.ask); err != nil {
		return errors.Join(err, run.kill())
	}
	r.run = run
	return nil
}

// ask succeeds when this very server answers, and not one that took the port.
func (r *Redis) ask(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.address())
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		// A read that waits fails at once; that error is the one to report.
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	want := fmt.Sprintf("*2\r\n$3\r\ndir\r\n$%d\r\n%s\r\n", len(r.folder), r.folder)
	got := make([]byte, len(want))
	_, err = io.WriteString(conn, "CONFIG GET dir\r\n")
	if err == nil {
		_, err = io.ReadFull(conn, got)
	}
	if err == nil && string(got) != want {
		err = fmt.Errorf("port %d belongs to another server", r.port)
	}
	return errors.Join(err, conn.Close())
}

func (r *Redis) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// URL is the server's redis:// address.
func (r *Redis) URL() string { return "redis://" + r.address() }

// Close stops the server and removes its files.
func (r *Redis) Close() error {
	return errors.Join(r.run.stop(syscall.SIGTERM), os.RemoveAll(r.folder))
}
