package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
)

func (c *cli) versionCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print Gibbon's version; with --all also the Kong version that it speaks",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !all {
				fmt.Fprintln(c.out, buildinfo.Version())
				return nil
			}
			fmt.Fprintf(c.out, "Gibbon: %s\n", buildinfo.Version())
			if revision := buildinfo.Revision(); revision != "" {
				fmt.Fprintf(c.out, "Revision: %s\n", revision)
			}
			fmt.Fprintf(c.out, "Kong: %s\n", buildinfo.KongVersion)
			fmt.Fprintf(c.out, "Go: %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "print the versions of everything")
	return cmd
}
