//go:build unix

// Services runs a command beside private servers that it starts and stops
// itself, and ends with the command's exit code:
//
//	services -postgres -redis -- go test ./...
//
// The command finds the servers through GIBBON_TEST_POSTGRES and
// GIBBON_TEST_REDIS. A program that is missing is installed when this runs as
// root on a system with apt-get; elsewhere the message says what to install.
// Servers that the machine runs already are neither used nor touched.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/testenv"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stderr))
}

// Exit codes of the program's own; every other is the command's.
const (
	exitUsage   = 2
	exitService = 125 // a server is missing, did not start or did not stop
)

// commandPatience is how long an interrupted command may take to end before it
// is killed, so that the servers are stopped in any case.
const commandPatience = 10 * time.Second

type needs struct {
	postgres, redis bool
	programs        []string // that must be there and are not started
}

func run(args []string, log io.Writer) int {
	var need needs
	flags := flag.NewFlagSet("services", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.BoolVar(&need.postgres, "postgres", false, "start PostgreSQL and set "+testenv.PostgresVariable)
	flags.BoolVar(&need.redis, "redis", false, "start Redis and set "+testenv.RedisVariable)
	flags.Func("programs", "comma-separated `list` of programs to install when missing: initdb, nginx, wrk, python3, node, npm", func(list string) error {
		for name := range strings.SplitSeq(list, ",") {
			if _, known := packages[name]; !known {
				return fmt.Errorf("no package is known for %q", name)
			}
			need.programs = append(need.programs, name)
		}
		return nil
	})
	flags.Usage = func() {
		fmt.Fprintln(log, "usage: services [-postgres] [-redis] [-programs list] -- command [argument...]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return exitUsage
	}

	// From here on a signal no longer ends this process at once, so the
	// servers below are stopped whatever happens.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	code, err := serve(ctx, need, flags.Args(), log)
	if err != nil {
		fmt.Fprintf(log, "services: %v\n", err)
		return exitService
	}
	return code
}

// serve starts the servers, runs the command and stops the servers.
func serve(ctx context.Context, need needs, command []string, log io.Writer) (code int, err error) {
	if err := install(ctx, need, log); err != nil {
		return 0, err
	}
	env := os.Environ()
	if need.postgres {
		postgres, err2 := testenv.NewPostgres()
		if err2 != nil {
			return 0, err2
		}
		defer func() { err = errors.Join(err, postgres.Close()) }()
		if err := postgres.Start(); err != nil {
			return 0, err
		}
		fmt.Fprintf(log, "services: PostgreSQL at %s\n", postgres.DSN())
		env = append(env, testenv.PostgresVariable+"="+postgres.DSN())
	}
	if need.redis {
		redis, err2 := testenv.StartRedis()
		if err2 != nil {
			return 0, err2
		}
		defer func() { err = errors.Join(err, redis.Close()) }()
		fmt.Fprintf(log, "services: Redis at %s\n", redis.URL())
		env = append(env, testenv.RedisVariable+"="+redis.URL())
	}

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// A group of its own, so that an interrupt reaches all that the command
	// started: "go test" alone would leave its test binaries running.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = commandPatience
	err = cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return 0, fmt.Errorf("end %s: %w", command[0], err)
		}
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("%s: %w", command[0], context.Cause(ctx))
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	case err != nil:
		return 0, fmt.Errorf("%s: %w", command[0], err)
	}
	return 0, nil
}
