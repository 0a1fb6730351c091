package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gibbon-gateway/gibbon/dataplane"
	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
)

func (c *cli) dataPlaneCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dataplane",
		Short: "Run a data plane: the proxy, which follows a control plane",
		Long: `Run a data plane: the proxy, which follows the control plane at
cluster_control_plane. It has no database. What it serves is also kept in a cache
in its prefix, from which it can start when no control plane answers.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runDataPlane(cmd.Context()) },
	}
	c.addSettingsFlag(cmd)
	return cmd
}

func (c *cli) runDataPlane(ctx context.Context) error {
	n, err := c.start("dataplane")
	if err != nil {
		return err
	}
	defer n.stop()
	ctx, stop := untilSignal(ctx)
	defer stop()
	data, err := dataplane.New(ctx, dataplane.Config{
		Settings: n.settings, Catalogue: n.catalogue, NodeID: n.id, Log: n.log,
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return data.Run(ctx) })
	group.Go(func() error { n.onReload(ctx, data.Reload); return nil })
	group.Go(func() error {
		select {
		case <-data.Ready():
			fmt.Fprintf(c.out, "Gibbon %s data plane is ready: proxy %s\n", buildinfo.Version(), strings.Join(data.Addresses(), ", "))
		case <-ctx.Done():
		}
		return nil
	})
	return c.ended(group.Wait())
}
