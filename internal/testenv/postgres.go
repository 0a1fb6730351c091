package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ProgramFolders are patterns of where packages put PostgreSQL, which Debian
// keeps out of PATH.
var ProgramFolders = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"}

// Postgres is a private PostgreSQL server with files, port and URL that stay
// the same over its stops and starts. Its methods may be called from any
// goroutine.
type Postgres struct {
	as     *user
	binary string
	folder string // everything of this server, removed by Close
	data   string // the cluster, in folder

	// Durable makes the next Start one of a server that syncs what it commits to
	// the disk, as servers do unless they are told otherwise. It is for what
	// measures: tests lose nothing without.
	Durable bool

	mu   sync.Mutex
	port int      // 0 until the first start has chosen one
	run  *process // nil while stopped
}

// NewPostgres makes the files of a server, which does not run yet. The caller
// must Close it. The error wraps ErrMissing when PostgreSQL is not installed.
func NewPostgres() (*Postgres, error) {
	initdb, err := Find("initdb", ProgramFolders...)
	if err != nil {
		return nil, err
	}
	// Both programs must be of one version.
	binary, err := Find("postgres", filepath.Dir(initdb))
	if err != nil {
		return nil, err
	}
	as, err := serverUser()
	if err != nil {
		return nil, err
	}
	folder, err := newFolder("postgres", as)
	if err != nil {
		return nil, err
	}
	p := &Postgres{as: as, binary: binary, folder: folder, data: filepath.Join(folder, "data")}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	// The superuser has one name whoever runs the tests.
	cmd := command(ctx, as, folder, initdb, "--no-sync", "--auth=trust", "--username=postgres",
		"--encoding=UTF8", "--locale=C", "--pgdata="+p.data)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w\n%s", err, out), os.RemoveAll(folder))
	}
	return p, nil
}

// DSN is the URL of the server's database "postgres" for its superuser. It is
// known from the first Start on and stays valid over Stop, Kill and Start.
func (p *Postgres) DSN() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dsn()
}

func (p *Postgres) dsn() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", p.port)
}

// Start runs the server and returns when it answers queries. A running server
// stays as it is.
func (p *Postgres) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		return nil
	}
	fixed := p.port != 0
	deadline := time.Now().Add(retryPatience)
	for {
		if !fixed {
			port, err := freePort()
			if err != nil {
				return err
			}
			p.port = port
		}
		run, err := p.launch()
		if err == nil {
			p.run = run
			return nil
		}
		// Two things pass by themselves: a port that another process took a
		// moment ago, and the orphans of a killed server, which hold its
		// shared memory until they notice.
		if time.Now().After(deadline) || !errors.Is(err, errEarlyExit) {
			return err
		}
	}
}

func (p *Postgres) launch() (*process, error) {
	// Losing the machine loses a test anyway, so nothing is synced to disk.
	// Commits still reach the operating system before they are acknowledged
	// (synchronous_commit stays on): a test that kills the server must find
	// afterwards what it was promised.
	args := []string{
		"-D", p.data, "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-c", "unix_socket_directories=",
		"-c", "max_connections=400", "-c", "logging_collector=off",
	}
	if !p.Durable {
		args = append(args, "-F", "-c", "full_page_writes=off")
	}
	run, err := launch(p.as, p.folder, p.binary, args...)
	if err != nil {
		return nil, err
	}
	if err := run.ready(p.ask); err != nil {
		return nil, errors.Join(err, run.kill())
	}
	return run, nil
}

// ask succeeds when this very server answers, and not one that took the port.
func (p *Postgres) ask(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.dsn())
	if err != nil {
		return err
	}
	var data string
	err = conn.QueryRow(ctx, "show data_directory").Scan(&data)
	if err == nil && data != p.data {
		err = fmt.Errorf("port %d belongs to another server", p.port)
	}
	return errors.Join(err, conn.Close(ctx))
}

// Stop ends the server in order: open transactions are rolled back, clients
// are cut off, and what was committed is there at the next Start.
func (p *Postgres) Stop() error {
	return p.end(func(run *process) error { return run.stop(syscall.SIGINT) })
}

// Kill ends the server with SIGKILL, as a crash or the kernel's memory killer
// would. Its connections break a moment later, when its orphans notice.
func (p *Postgres) Kill() error { return p.end((*process).kill) }

// Close stops the server if it runs and removes its files.
func (p *Postgres) Close() error {
	err := p.end(func(run *process) error { return run.stop(syscall.SIGQUIT) })
	return errors.Join(err, os.RemoveAll(p.folder))
}

// end makes a running server a stopped one.
func (p *Postgres) end(how func(*process) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return nil
	}
	run := p.run
	p.run = nil
	return how(run)
}
