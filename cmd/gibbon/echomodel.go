package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gibbon-gateway/gibbon/cmd/gibbon/internal/echomodel"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

func (c *cli) echoModelCommand() *cobra.Command {
	var cfg echomodel.Config
	var resetAfter, stallAfter int64
	cmd := &cobra.Command{
		Use:   "echo-model",
		Short: "Serve a model that repeats what it is told, for demos and tests",
		Long: `Serve an OpenAI-compatible model that repeats what it is told: chat, completions
and embeddings, streamed or whole. It needs no key, answers the same way each time,
and can misbehave on request. It is for demos and tests only.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := telemetry.NewLog(telemetry.Config{Level: c.logLevel("notice"), Output: c.err})
			if err != nil {
				return err
			}
			cfg.Logger = log.Logger
			if cmd.Flags().Changed("reset-after") {
				cfg.ResetAfter = &resetAfter
			}
			if cmd.Flags().Changed("stall-after") {
				cfg.StallAfter = &stallAfter
			}
			server, err := echomodel.New(cfg)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.out, "The echo model listens on http://%s\n", server.Addr())
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return server.Run(ctx)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Listen, "listen", echomodel.DefaultListen, "address to listen on")
	flags.DurationVar(&cfg.Latency, "latency", 0, "time before the first byte of an answer")
	flags.Float64Var(&cfg.TokensPerSecond, "tokens-per-second", 0, "pace of answers; 0: at once")
	flags.IntVar(&cfg.Status, "status", 0, "answer everything with this error status")
	flags.Int64Var(&resetAfter, "reset-after", 0, "reset the connection after this many bytes of a body")
	flags.Int64Var(&stallAfter, "stall-after", 0, "send no more after this many bytes of a body")
	return cmd
}
