//go:build unix

package gibbon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Node is one gibbon that a test may stop, kill and start again; its folder and
// its ports stay the same. Its methods are for one goroutine at a time, except
// Log's.
type Node struct {
	// Name stands before the node's lines when a test fails.
	Name string
	// Prefix is the node's folder.
	Prefix string
	// Proxy, Admin, Status, Cluster and Echo are the host:port of the node's
	// listeners; those that a command does not have stay unused.
	Proxy, Admin, Status, Cluster, Echo string
	// Settings are given to the process as environment variables. A test may
	// change them before a start.
	Settings map[string]string
	// Args follow the command. A test may change them before a start.
	Args []string
	// Log has what all processes of the node wrote.
	Log *Log

	t       testing.TB
	command string
	asked   string // path on the status listener that says that the node is up
	run     *process
}

// Run makes a node for "gibbon run" with an SQLite file, which does not run yet.
func Run(t testing.TB) *Node {
	n := newNode(t, "run", "run")
	n.Settings["KONG_PROXY_LISTEN"] = n.Proxy
	n.Settings["KONG_ADMIN_LISTEN"] = n.Admin
	return n
}

// ControlPlane makes a node for "gibbon controlplane". Its database is an SQLite
// file unless the settings say otherwise, and data planes reach it in plaintext
// unless they name certificates.
func ControlPlane(t testing.TB) *Node {
	n := newNode(t, "controlplane", "controlplane")
	n.Settings["KONG_ADMIN_LISTEN"] = n.Admin
	n.Settings["KONG_CLUSTER_LISTEN"] = n.Cluster
	n.Settings["KONG_DATABASE"] = "sqlite"
	return n
}

// DataPlane makes a node for "gibbon dataplane" that follows a control plane.
func DataPlane(t testing.TB, name string, of *Node) *Node {
	n := newNode(t, name, "dataplane")
	n.Settings["KONG_PROXY_LISTEN"] = n.Proxy
	n.Settings["KONG_CLUSTER_CONTROL_PLANE"] = of.Cluster
	return n
}

func newNode(t testing.TB, name, command string) *Node {
	t.Helper()
	ports := FreePorts(t, 5)
	n := &Node{
		Name: name, Prefix: filepath.Join(t.TempDir(), name),
		Proxy: ports[0], Admin: ports[1], Status: ports[2], Cluster: ports[3], Echo: ports[4],
		Log: newLog(), t: t, command: command, asked: "/status/ready",
	}
	n.Settings = map[string]string{
		"KONG_STATUS_LISTEN":    n.Status,
		"KONG_ADMIN_GUI_LISTEN": "off",
		"KONG_LOG_LEVEL":        "info",
		// Nothing is in front of the node that would have to notice its end.
		"GIBBON_DRAIN_DELAY": "0s",
	}
	t.Cleanup(func() {
		n.end()
		for _, line := range n.Log.Alarms() {
			t.Errorf("%s: %s", n.Name, line)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", n.Name, n.Log)
		}
	})
	return n
}

// end stops what still runs at the end of the test.
func (n *Node) end() {
	if n.run == nil {
		return
	}
	if code := n.Stop(); code != 0 {
		n.t.Errorf("%s ended with exit code %d", n.Name, code)
	}
}

// Environ is the environment of a gibbon that knows no settings but these.
func Environ(settings map[string]string) []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "KONG_") && !strings.HasPrefix(pair, "GIBBON_") {
			env = append(env, pair)
		}
	}
	if os.Getenv("GORACE") == "" {
		// By default a program with the race detector waits a second at its end.
		env = append(env, "GORACE=atexit_sleep_ms=10")
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		env = append(env, name+"="+settings[name])
	}
	return env
}

// Start starts the node and returns when it is ready.
func (n *Node) Start() {
	n.t.Helper()
	n.Launch()
	n.WaitReady()
}

// Launch starts the node's process and does not wait.
func (n *Node) Launch() {
	n.t.Helper()
	if n.run != nil {
		n.t.Fatalf("%s runs already", n.Name)
	}
	n.run = launch(n.t, n.Log, Environ(n.Settings), append([]string{n.command, "--prefix", n.Prefix}, n.Args...)...)
}

// WaitReady returns when the status listener says that the node is ready.
func (n *Node) WaitReady() {
	n.t.Helper()
	n.WaitStatus("to be ready", func(status int, _ string) bool { return status == http.StatusOK })
}

// WaitStatus returns when the answer of /status/ready satisfies a condition, which
// the text describes: "to be ready".
func (n *Node) WaitStatus(what string, is func(status int, body string) bool) {
	n.t.Helper()
	Eventually(n.t, n.Name+" "+what, func() error {
		if n.Ended() {
			n.t.Fatalf("%s ended: %v", n.Name, n.run.err)
		}
		answer, err := try(n.t.Context(), http.MethodGet, "http://"+n.Status+n.asked, nil, "")
		if err != nil {
			return err
		}
		if !is(answer.Status, answer.Body) {
			return fmt.Errorf("/status/ready answers %d %s", answer.Status, answer.Body)
		}
		return nil
	})
}

// Signal sends a signal to the node's process.
func (n *Node) Signal(signal syscall.Signal) {
	n.t.Helper()
	if n.run == nil {
		n.t.Fatalf("%s does not run", n.Name)
	}
	if err := n.run.cmd.Process.Signal(signal); err != nil {
		n.t.Fatalf("send %s to %s: %v", signal, n.Name, err)
	}
}

// Wait returns the exit code of the node's process when it has ended; -1 is that
// of a process that a signal has killed.
func (n *Node) Wait() int {
	n.t.Helper()
	if n.run == nil {
		n.t.Fatalf("%s does not run", n.Name)
	}
	code := n.run.wait(n.t, n.Name)
	n.run = nil
	return code
}

// Ended tells whether the node's process, which was started, has ended.
func (n *Node) Ended() bool {
	select {
	case <-n.run.done:
		return true
	default:
		return false
	}
}

// Stop asks the node to end, and returns its exit code when it has.
func (n *Node) Stop() int {
	n.t.Helper()
	n.run.signal(syscall.SIGTERM)
	return n.Wait()
}

// Kill ends the node as a crash would.
func (n *Node) Kill() {
	n.t.Helper()
	n.Signal(syscall.SIGKILL)
	n.Wait()
}

// Echo is a node for "gibbon echo-model", which runs when this returns. Flags may
// follow. It listens on Node.Echo.
func Echo(t testing.TB, flags ...string) *Node {
	t.Helper()
	n := newNode(t, "echo-model", "echo-model")
	n.Args = append([]string{"--listen", n.Echo}, flags...)
	n.Launch()
	Eventually(t, "the echo model to answer", func() error {
		if n.Ended() {
			t.Fatalf("the echo model ended: %v", n.run.err)
		}
		_, err := try(t.Context(), http.MethodGet, "http://"+n.Echo+"/_echo/requests", nil, "")
		return err
	})
	return n
}

// process is a running program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed after err is set
	err  error         // what Wait said
}

func launch(t testing.TB, log *Log, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(Binary(t), args...), done: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start gibbon %s: %v", strings.Join(args, " "), err)
	}
	go func() { // ends with the process, which the node's cleanup waits for
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p
}

// signal asks a process that may be gone already.
func (p *process) signal(signal syscall.Signal) {
	// The error says that the process has ended, which wait will tell as well.
	_ = p.cmd.Process.Signal(signal)
}

// wait returns the exit code. A process that does not end is killed, which fails
// the test.
func (p *process) wait(t testing.TB, name string) int {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.done:
	case <-late.C:
		// All goroutines go to the log, to show what it waits for.
		p.signal(syscall.SIGABRT)
		select {
		case <-p.done:
		case <-time.After(patience / 10):
			p.signal(syscall.SIGKILL)
			<-p.done
		}
		t.Errorf("%s does not end", name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Result is what a command that ended by itself left behind.
type Result struct {
	Code        int
	Out, ErrOut string
}

// Command runs a gibbon command to its end, with these settings and no others.
func Command(t testing.TB, settings map[string]string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errOut strings.Builder
	cmd := exec.CommandContext(ctx, Binary(t), args...)
	cmd.Env = Environ(settings)
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("gibbon %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errOut)
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Out: out.String(), ErrOut: errOut.String()}
}
