package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

func (c *cli) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check <conf>",
		Short: "Check a configuration file",
		Long: "Check a configuration file, together with the environment that would come on top of it,\n" +
			"and the file that declarative_config names.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			conf := c.conf
			if len(args) == 1 {
				conf = args[0]
			}
			if conf == "" {
				conf = "/etc/gibbon/gibbon.conf"
			}
			set, warnings, err := settings.Load(settings.Source{Command: "check", ConfFile: conf, Prefix: c.prefix, Environ: os.Environ()})
			for _, w := range warnings {
				fmt.Fprintf(c.err, "[warn] %s\n", w)
			}
			if invalid := (*settings.InvalidError)(nil); errors.As(err, &invalid) {
				for _, p := range invalid.Problems {
					fmt.Fprintf(c.err, "[error] %s\n", p)
				}
				return &exitError{code: 1}
			}
			if err == nil {
				err = checkDeclarative(set)
			}
			if err != nil {
				fmt.Fprintf(c.err, "[error] %s\n", err)
				return &exitError{code: 1}
			}
			fmt.Fprintf(c.out, "configuration at %s is valid\n", conf)
			return nil
		},
	}
}

// checkDeclarative reads the configuration that a node without a database would
// start with.
func checkDeclarative(s *settings.Settings) error {
	if s.Declarative == "" {
		return nil
	}
	text, err := os.ReadFile(s.Declarative)
	if err != nil {
		return fmt.Errorf("declarative_config: %w", err)
	}
	catalogue, err := catalogueOf(s)
	if err != nil {
		return err
	}
	_, err = declarative.Parse(catalogue, text, declarative.Options{})
	if invalid := (*declarative.Error)(nil); errors.As(err, &invalid) {
		return fmt.Errorf("declarative_config %s:\n%s", s.Declarative, invalid.Text())
	}
	return err
}
