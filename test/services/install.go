//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/gibbon-gateway/gibbon/internal/testenv"
)

// packages names the Debian package that brings a program.
var packages = map[string]string{
	"initdb":       "postgresql",
	"redis-server": "redis-server",
	"nginx":        "nginx-light",
	"wrk":          "wrk",
	"python3":      "python3-venv",
	"node":         "nodejs",
	"npm":          "npm",
}

// probes are the arguments with which a program succeeds only if it is there with
// all that is wanted of it. Debian's python3 comes without what makes virtual
// environments.
var probes = map[string][]string{
	"python3": {"-c", "import ensurepip, venv"},
}

// all lists the programs that a run needs.
func (n needs) all() []string {
	all := append([]string(nil), n.programs...)
	if n.postgres {
		all = append(all, "initdb")
	}
	if n.redis {
		all = append(all, "redis-server")
	}
	return all
}

// missing returns those of the programs that are not installed.
func missing(ctx context.Context, programs []string) ([]string, error) {
	var absent []string
	for _, program := range programs {
		path, err := testenv.Find(program, testenv.ProgramFolders...)
		if probe := probes[program]; err == nil && probe != nil {
			err = exec.CommandContext(ctx, path, probe...).Run()
			if _, failed := errors.AsType[*exec.ExitError](err); failed && ctx.Err() == nil {
				err = testenv.ErrMissing
			}
		}
		switch {
		case errors.Is(err, testenv.ErrMissing):
			absent = append(absent, program)
		case err != nil:
			return nil, err
		}
	}
	return absent, nil
}

// install brings what is missing, where it can.
func install(ctx context.Context, need needs, log io.Writer) error {
	absent, err := missing(ctx, need.all())
	if err != nil || len(absent) == 0 {
		return err
	}
	var names []string
	for _, program := range absent {
		names = append(names, packages[program])
	}
	aptGet, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("please install %s (on Debian and Ubuntu: sudo apt-get install %s)",
			strings.Join(names, " and "), strings.Join(names, " "))
	}
	fmt.Fprintf(log, "services: installing %s\n", strings.Join(names, " "))
	for _, args := range [][]string{
		{"update", "-q"},
		// Another installation may be running; it will be over soon.
		append([]string{"install", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"}, names...),
	} {
		cmd := exec.CommandContext(ctx, aptGet, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	left, err := missing(ctx, need.all())
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("the installation succeeded, but %s is not there", strings.Join(left, " and "))
	}
	return err
}
