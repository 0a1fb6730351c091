package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gibbon-gateway/gibbon/internal/settings"
)

func (c *cli) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Say whether Gibbon runs in a prefix",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			prefix, err := c.prefixOf("health")
			if err != nil {
				return err
			}
			live := running(prefix)
			if len(live) == 0 {
				return say("Gibbon is not running at %s", prefix)
			}
			for _, command := range slices.Sorted(maps.Keys(live)) {
				fmt.Fprintf(c.out, "%s.......running\n", command)
			}
			fmt.Fprintf(c.out, "\nGibbon is healthy at %s\n", prefix)
			return nil
		},
	}
}

func (c *cli) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the running processes of a prefix read their settings again",
		Long: `Make the running processes of a prefix read their settings again (SIGHUP).

log_level, the certificates of the listeners, who may call the Admin API, the file of
declarative_config and log files that were moved away are taken up at once; other
settings need a restart. Requests in progress are not touched.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			prefix, err := c.prefixOf("reload")
			if err != nil {
				return err
			}
			live := running(prefix)
			if len(live) == 0 {
				return say("Gibbon is not running at %s", prefix)
			}
			var all error
			for command, pid := range live {
				if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
					all = errors.Join(all, fmt.Errorf("reload %s (pid %d): %w", command, pid, err))
				}
			}
			if all != nil {
				return all
			}
			fmt.Fprintln(c.out, "Gibbon reloaded")
			return nil
		},
	}
}

// prefixOf is the prefix that the settings of a command name.
func (c *cli) prefixOf(command string) (string, error) {
	s, _, err := settings.Load(settings.Source{Command: command, ConfFile: c.conf, Prefix: c.prefix, Environ: os.Environ()})
	if err != nil {
		return "", err
	}
	return s.Prefix, nil
}
