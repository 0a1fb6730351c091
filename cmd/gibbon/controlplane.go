package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gibbon-gateway/gibbon/controlplane"
	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

func (c *cli) controlPlaneCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "controlplane",
		Short: "Run the control plane: Admin API, store, and the stream to data planes",
		Long: `Run the control plane: the Admin API, the store, and the stream to data planes.

It needs a database (Postgres unless database = sqlite) that 'gibbon migrations
bootstrap' has prepared, and a certificate that 'gibbon hybrid gen_cert' makes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runControlPlane(cmd.Context()) },
	}
	c.addSettingsFlag(cmd)
	return cmd
}

func (c *cli) runControlPlane(ctx context.Context) (err error) {
	n, err := c.start("controlplane")
	if err != nil {
		return err
	}
	defer n.stop()
	ctx, stop := untilSignal(ctx)
	defer stop()
	st, err := openStore(ctx, n.settings, n.log.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	control, err := controlplane.New(ctx, controlplane.Config{
		Settings: n.settings, Catalogue: n.catalogue, Store: st, NodeID: n.id, Log: n.log,
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return control.Run(ctx) })
	group.Go(func() error { n.onReload(ctx, func(s *settings.Settings) { control.Reload(ctx, s) }); return nil })
	fmt.Fprintf(c.out, "Gibbon %s control plane: Admin API %s, data planes %s\n",
		buildinfo.Version(), strings.Join(control.Addresses(), ", "), control.ClusterAddress())
	return group.Wait()
}
