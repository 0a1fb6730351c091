package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
	"github.com/gibbon-gateway/gibbon/schema"
)

// untilSignal returns a context that ends at the first SIGTERM, SIGINT or
// SIGQUIT, which ask to drain. A second one stops the process at once, with the
// exit code of a drain that cut something.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	done := make(chan struct{})
	go func() {
		for range 2 {
			select {
			case <-signals:
				if ctx.Err() != nil {
					os.Exit(exitCut)
				}
				cancel()
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// exitCut is the exit code of a drain that had to cut requests.
const exitCut = 3

// node is a process with a prefix: its settings, its log, its identity, and what
// the schemas of this binary say.
type node struct {
	settings  *settings.Settings
	catalogue *schema.Catalogue
	log       *telemetry.Log
	id        string
	pid       *pidFile
	load      func() (*settings.Settings, []string, error)
}

// start loads the settings of a command, readies its prefix, and takes the
// command's place in it: two processes of one kind cannot share a prefix. The
// caller ends with stop.
func (c *cli) start(command string) (*node, error) {
	flags, err := c.settingsFlags()
	if err != nil {
		return nil, err
	}
	n := &node{load: func() (*settings.Settings, []string, error) {
		return settings.Load(settings.Source{
			Command: command, ConfFile: c.conf, Prefix: c.prefix, Environ: os.Environ(), Flags: flags,
		})
	}}
	var warnings []string
	if n.settings, warnings, err = n.load(); err != nil {
		return nil, err
	}
	n.log, err = telemetry.NewLog(telemetry.Config{
		Level: c.logLevel(n.settings.LogLevel), Format: n.settings.LogFormat, Output: c.err,
	})
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		n.log.Warn(w)
	}
	if command != "controlplane" {
		tuneMemory(os.Getenv)
	}
	if err := settings.PreparePrefix(n.settings.Prefix); err != nil {
		return nil, err
	}
	if n.id, err = settings.NodeID(n.settings.Prefix, n.settings.NodeID); err != nil {
		return nil, err
	}
	n.settings.NodeID = n.id
	if n.catalogue, err = catalogueOf(n.settings); err != nil {
		return nil, err
	}
	n.pid, err = takePID(n.settings.Prefix, command)
	return n, err
}

// catalogueOf is what entities and plugins may look like under the settings.
func catalogueOf(s *settings.Settings) (*schema.Catalogue, error) {
	catalogue, err := schema.Load(schema.Options{RouterFlavor: s.RouterFlavor})
	// What no data plane with these settings runs must not be taken in: a
	// configuration with it would be kept from all of them.
	if err == nil && !slices.Contains(s.Plugins, "bundled") {
		catalogue.LimitPlugins(s.Plugins)
	}
	return catalogue, err
}

// stop gives up the place in the prefix.
func (n *node) stop() { n.pid.release(n.log.Logger) }

// onReload calls f for each SIGHUP until ctx ends.
func (n *node) onReload(ctx context.Context, f func(*settings.Settings)) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		s, warnings, err := n.load()
		if err != nil {
			n.log.Error("reload failed; the settings that were in force stay", "error", err)
			continue
		}
		for _, w := range warnings {
			n.log.Warn(w)
		}
		if err := n.log.SetLevel(s.LogLevel); err != nil {
			n.log.Error("reload: log_level", "error", err)
		}
		f(s)
		telemetry.Notice(ctx, n.log.Logger, "reloaded; settings that need a restart keep their old values until then")
	}
}

// logLevel is the level that -v and --vv ask for, or else the setting's.
func (c *cli) logLevel(setting string) string {
	switch c.verbosity() {
	case 1:
		return "info"
	case 2:
		return "debug"
	}
	return setting
}

// pidFile marks a running process in its prefix. The lock on it says that the
// process lives; its content is the pid, for signals.
type pidFile struct{ file *os.File }

func pidPath(prefix, command string) string {
	return filepath.Join(prefix, "pids", command+".pid")
}

func takePID(prefix, command string) (*pidFile, error) {
	path := pidPath(prefix, command)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid := readPID(path)
		return nil, errors.Join(fmt.Errorf("gibbon %s is already running in %s (pid %d); choose another folder with --prefix", command, prefix, pid), f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pid file: %w", err), f.Close())
	}
	return &pidFile{f}, nil
}

// release gives the place in the prefix up. The file stays: removing it would
// race with the next process that has opened it and waits for nothing.
func (p *pidFile) release(log *slog.Logger) {
	if err := errors.Join(p.file.Truncate(0), p.file.Close()); err != nil {
		log.Warn("pid file", "error", err)
	}
}

// commands are the kinds of processes that live in a prefix.
var commands = []string{"run", "controlplane", "dataplane"}

// running finds the live processes of a prefix, by command.
func running(prefix string) map[string]int {
	found := map[string]int{}
	for _, command := range commands {
		path := pidPath(prefix, command)
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
			if pid := readPID(path); pid > 0 {
				found[command] = pid
			}
		}
		_ = f.Close() // read only; closing gives the lock back
	}
	return found
}

// readPID is the pid in a file, or 0.
func readPID(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
