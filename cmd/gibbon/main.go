// Command gibbon is the whole product in one binary: both planes of the gateway,
// the tools around them, and an echo model to try them with.
//
// Each subcommand has a file: flags in, one call of Run(ctx), exit code out. What
// the planes do is in controlplane and dataplane.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// exitError ends the program with a code of its own, after a message unless it
// is empty.
type exitError struct {
	code    int
	message string
}

func (e *exitError) Error() string { return e.message }

// say is a failure in words of Kong's command line, which scripts look for. They
// are sentences, unlike Go's error texts.
func say(format string, args ...any) error {
	return &exitError{code: 1, message: fmt.Sprintf(format, args...)}
}

// execute runs one command line and returns the exit code. Failures are told
// the way Kong's command line does.
func execute(args []string, in io.Reader, out, errOut io.Writer) int {
	c := &cli{in: in, out: out, err: errOut}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.Execute()
	if err == nil {
		return 0
	}
	code := 1
	if exit := (*exitError)(nil); errors.As(err, &exit) {
		code = exit.code
		if exit.message == "" {
			return code
		}
	}
	fmt.Fprintf(errOut, "Error: %v\n", err)
	if c.verbosity() == 0 {
		fmt.Fprint(errOut, "\n  Run with --v (verbose) or --vv (debug) for more details\n")
	}
	return code
}

// cli is what all subcommands share: the streams and the common flags.
type cli struct {
	in       io.Reader
	out, err io.Writer

	conf, prefix string
	verbose      bool
	debug        bool
	set          []string
}

func (c *cli) verbosity() int {
	switch {
	case c.debug:
		return 2
	case c.verbose:
		return 1
	}
	return 0
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gibbon COMMAND [OPTIONS]",
		Short: "An AI gateway that speaks Kong's Admin API",
		Long: `Gibbon is an AI gateway that speaks Kong's Admin API.

  gibbon run            both planes in one process, for one machine
  gibbon controlplane   the Admin API and the store, for a fleet
  gibbon dataplane      the proxy; follows a control plane, has no database

Settings come from gibbon.conf, from KONG_<NAME> and GIBBON_<NAME> variables and
from --set; docs/settings.md lists them.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command '%s'", args[0])
			}
			return cmd.Help()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&c.conf, "conf", "c", "", "configuration file (default: gibbon.conf or kong.conf in /etc)")
	flags.StringVarP(&c.prefix, "prefix", "p", "", "folder of this node's data")
	flags.BoolVar(&c.verbose, "v", false, "verbose")
	flags.BoolVar(&c.debug, "vv", false, "debug")
	root.AddCommand(
		c.runCommand(),
		c.controlPlaneCommand(),
		c.dataPlaneCommand(),
		c.migrationsCommand(),
		c.configCommand(),
		c.hybridCommand(),
		c.reloadCommand(),
		c.healthCommand(),
		c.checkCommand(),
		c.echoModelCommand(),
		c.vaultCommand(),
		c.versionCommand(),
	)
	return root
}
