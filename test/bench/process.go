package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	startPatience = 30 * time.Second // for a program to be ready
	stopPatience  = 10 * time.Second // for it to end before it is killed
)

// A process is a program that the bench has started and will stop.
type process struct {
	name string
	pid  int
	cmd  *exec.Cmd
	log  string // path of what it writes to its standard output and error
	done chan struct{}
	err  error // why it ended; read after done
}

// start starts a program. It stays in this process's group, so that a signal
// to the group reaches it too.
func (l *lab) start(name string, env []string, path string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(l.folder, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = log, log
	err = p.cmd.Start()
	if err := errors.Join(err, log.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.pid = p.cmd.Process.Pid
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	l.processes = append(l.processes, p)
	return p, nil
}

// stop asks the process to end, and kills it when it does not. It returns when
// the process is gone. One that has failed before that is an error too.
func (p *process) stop() error {
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s ended by itself: %w: %s", p.name, p.err, p.lastWords())
		}
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopPatience):
	}
	err := p.cmd.Process.Kill()
	<-p.done
	return errors.Join(fmt.Errorf("%s did not end within %v of SIGTERM and was killed", p.name, stopPatience), err)
}

// stop stops a process before the end of the lab.
func (l *lab) stop(p *process) error {
	l.processes = slices.DeleteFunc(l.processes, func(other *process) bool { return other == p })
	return p.stop()
}

// ready waits until ask finds nothing wrong and says how long that took. ask
// is repeated every interval.
func (p *process) ready(ctx context.Context, interval time.Duration, ask func(context.Context) error) (time.Duration, error) {
	from := time.Now()
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return time.Since(from), nil
		}
		select {
		case <-p.done:
			return 0, fmt.Errorf("%s ended at its start (%v): %s", p.name, p.err, p.lastWords())
		case <-ctx.Done():
			return 0, fmt.Errorf("%s is not ready: %w: %s", p.name, err, p.lastWords())
		case <-ticker.C:
		}
	}
}

// lastWords is the end of the process's log.
func (p *process) lastWords() string {
	const most = 2000
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return strings.TrimSpace(string(b))
}

// freePorts returns different addresses on the loopback interface on which
// nothing listens.
func freePorts(n int) (addresses []string, err error) {
	for range n {
		listener, err2 := net.Listen("tcp", "127.0.0.1:0")
		if err2 != nil {
			return nil, errors.Join(err, err2)
		}
		// Closed only at the end, or the same port would come again.
		defer func() { err = errors.Join(err, listener.Close()) }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// pause waits, or returns early with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// fetch sends one request and reads the whole answer. A body is JSON.
func fetch(ctx context.Context, client *http.Client, method, url string, header http.Header, body io.Reader) (status int, head http.Header, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, nil, nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, res.Header, answer, errors.Join(err, res.Body.Close())
}

// accepts asks whether something takes connections at an address.
func accepts(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// answers asks whether a GET is answered with 200.
func answers(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		status, _, body, err := fetch(ctx, client, http.MethodGet, url, nil, nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s: %d %s", url, status, body)
		}
		return err
	}
}
