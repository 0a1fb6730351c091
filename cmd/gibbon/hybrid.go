package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gibbon-gateway/gibbon/internal/pki"
)

func (c *cli) hybridCommand() *cobra.Command {
	hybrid := &cobra.Command{
		Use:   "hybrid COMMAND",
		Short: "Prepare a control plane and its data planes",
		Args:  c.subcommandNeeded,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var days int
	gen := &cobra.Command{
		Use:   "gen_cert [<cert> <key>]",
		Short: "Make the certificate that control plane and data planes share",
		Long: `Make the self-signed certificate and key with which a control plane and its
data planes know each other (cluster_mtls = shared). Every node gets both files:

  cluster_cert = cluster.crt
  cluster_cert_key = cluster.key

Files that exist are never overwritten.`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			cert, key := "./cluster.crt", "./cluster.key"
			switch len(args) {
			case 1:
				return errors.New("both cert and key path needs to be provided")
			case 2:
				cert, key = args[0], args[1]
			}
			certPEM, keyPEM, err := pki.GenerateClusterPair(days)
			if err != nil {
				return err
			}
			if err := pki.WritePair(cert, key, certPEM, keyPEM); err != nil {
				return err
			}
			fmt.Fprintf(c.out, "Successfully generated certificate/key pairs, they have been written to: '%s' and '%s'.\n", cert, key)
			return nil
		},
	}
	gen.Flags().IntVarP(&days, "days", "d", 1095, "days until the certificate expires")
	hybrid.AddCommand(gen)
	return hybrid
}

// subcommandNeeded refuses a word that is no subcommand.
func (c *cli) subcommandNeeded(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unknown command '%s'", args[0])
	}
	return nil
}
