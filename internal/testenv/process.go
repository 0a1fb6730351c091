package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// errEarlyExit says that a server ended before it answered.
var errEarlyExit = errors.New("exited at start")

// process is one running server. Its log lies beside its data and is quoted in
// errors, since the folder is gone by the time anyone could read it.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed after err is set
	err    error         // what Wait said
}

// command readies a program to run in a folder, as the servers' user.
func command(ctx context.Context, as *user, folder, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "HOME="+folder, "LC_ALL=C")
	cmd.SysProcAttr = attributes(as)
	return cmd
}

// launch starts a server whose output goes to a file in the folder.
func launch(as *user, folder, path string, args ...string) (*process, error) {
	p := &process{
		name:   filepath.Base(path),
		cmd:    command(context.Background(), as, folder, path, args...),
		log:    filepath.Join(folder, filepath.Base(path)+".log"),
		exited: make(chan struct{}),
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	startErr := p.cmd.Start()
	// The child has its own copy of the descriptor.
	if err := errors.Join(startErr, log.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() { // ends with the process, which stop and kill wait for
		defer close(p.exited)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// ready asks until the server answers, and gives up when it exits or when
// startPatience is over.
func (p *process) ready(ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s: %w: %w\n%s", p.name, errEarlyExit, errors.Join(p.err, err), p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", p.name, err, p.lastWords())
		case <-again.C:
		}
	}
}

// stop sends a signal that means "end now, in order" and waits until the
// process has ended; one that does not listen is killed, which is an error.
func (p *process) stop(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	late := time.NewTimer(stopPatience)
	defer late.Stop()
	select {
	case <-p.exited:
		return nil
	case <-late.C:
		return errors.Join(fmt.Errorf("%s did not stop on %s\n%s", p.name, signal, p.lastWords()), p.kill())
	}
}

// kill ends the process without asking it, and waits until it has ended.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.exited
	return nil
}

// lastWords returns the end of the server's log.
func (p *process) lastWords() string {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return "no log: " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
