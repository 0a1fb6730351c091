package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gibbon-gateway/gibbon/cmd/gibbon/internal/echomodel"
	"github.com/gibbon-gateway/gibbon/controlplane"
	"github.com/gibbon-gateway/gibbon/dataplane"
	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

func (c *cli) runCommand() *cobra.Command {
	var echo string
	cmd := &cobra.Command{
		Use:     "run",
		Aliases: []string{"docker-start"}, // what container entry points made for Kong call
		Short:   "Run both planes in one process, for one machine",
		Long: `Run both planes in one process, for one machine.

The configuration lies in an SQLite file in the prefix, in Postgres with database =
postgres, or in the file that declarative_config names with database = off. A write
is live before it is answered.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runBoth(cmd.Context(), echo) },
	}
	cmd.Flags().StringVar(&echo, "echo-model", "", "also serve the echo model, here or on another `address` given after =")
	cmd.Flags().Lookup("echo-model").NoOptDefVal = echomodel.DefaultListen
	c.addSettingsFlag(cmd)
	return cmd
}

func (c *cli) addSettingsFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&c.set, "set", "s", nil, "a setting, key=value; may be repeated; wins over file and environment")
}

// settingsFlags are the settings given by --set.
func (c *cli) settingsFlags() (map[string]string, error) {
	m := map[string]string{}
	for _, kv := range c.set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, fmt.Errorf("--set %s: must be key=value", kv)
		}
		m[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return m, nil
}

// loadSettings reads the settings of a command that does its work and ends, and
// shows what is to be said of them.
func (c *cli) loadSettings(command string) (*settings.Settings, error) {
	flags, err := c.settingsFlags()
	if err != nil {
		return nil, err
	}
	s, warnings, err := settings.Load(settings.Source{
		Command: command, ConfFile: c.conf, Prefix: c.prefix, Environ: os.Environ(), Flags: flags,
	})
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		fmt.Fprintf(c.err, "[warn] %s\n", w)
	}
	return s, nil
}

// runBoth runs both planes, and the echo model too unless its address is empty.
func (c *cli) runBoth(ctx context.Context, echo string) (err error) {
	n, err := c.start("run")
	if err != nil {
		return err
	}
	defer n.stop()
	ctx, stop := untilSignal(ctx)
	defer stop()

	// First of all, so that an address in use is told before anything runs.
	var model *echomodel.Server
	if echo != "" {
		if model, err = echomodel.New(echomodel.Config{Listen: echo, Logger: n.log.Logger}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, model.Close()) }()
	}
	st, err := openStore(ctx, n.settings, n.log.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()

	memory := bufconn.Listen(1 << 20)
	control, err := controlplane.New(ctx, controlplane.Config{
		Settings: n.settings, Catalogue: n.catalogue, Store: st, NodeID: n.id, InProcess: memory, Log: n.log,
	})
	if err != nil {
		return err
	}
	data, err := dataplane.New(ctx, dataplane.Config{
		Settings: n.settings, Catalogue: n.catalogue, NodeID: n.id, Log: n.log,
		Dial: func(ctx context.Context) (net.Conn, error) { return memory.DialContext(ctx) },
	})
	if err != nil {
		return errors.Join(err, control.Close())
	}

	// The data plane drains first; the control plane, which it follows, outlives
	// it. Whichever fails takes the other along.
	controlCtx, stopControl := context.WithCancel(context.WithoutCancel(ctx))
	defer stopControl()
	group, dataCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stopControl()
		return data.Run(dataCtx)
	})
	group.Go(func() error { return control.Run(controlCtx) })
	group.Go(func() error {
		n.onReload(dataCtx, func(s *settings.Settings) { control.Reload(dataCtx, s); data.Reload(s) })
		return nil
	})
	if model != nil {
		group.Go(func() error { return model.Run(controlCtx) })
	}
	group.Go(func() error {
		select {
		case <-data.Ready():
			c.welcome(n.settings, control, data, model)
		case <-dataCtx.Done():
		}
		return nil
	})
	return c.ended(group.Wait())
}

// ended turns the error of a process that ran into its exit code.
func (c *cli) ended(err error) error {
	if errors.Is(err, dataplane.ErrCut) {
		return &exitError{code: exitCut, message: err.Error()}
	}
	return err
}

// welcome tells where things are and what to try next.
func (c *cli) welcome(s *settings.Settings, control *controlplane.ControlPlane, data *dataplane.DataPlane, model *echomodel.Server) {
	fmt.Fprintf(c.out, "Gibbon %s is ready: proxy %s, Admin API %s\n",
		buildinfo.Version(), strings.Join(data.Addresses(), ", "), strings.Join(control.Addresses(), ", "))
	if model == nil {
		return
	}
	admin, proxy := first(control.Addresses()), first(data.Addresses())
	fmt.Fprintf(c.out, `The echo model listens on http://%[3]s. Three lines to try:

curl %[1]s/services -d name=ai -d url=http://localhost:32000
curl %[1]s/services/ai/routes -d name=chat -d 'paths[]=/chat' && curl %[1]s/routes/chat/plugins -d name=ai-proxy -d config.route_type=llm/v1/chat -d config.model.provider=openai -d config.model.name=echo -d config.model.options.upstream_url=http://%[3]s/v1/chat/completions
curl %[2]s/chat -H 'Content-Type: application/json' -d '{"messages":[{"role":"user","content":"Hello!"}]}'

`, admin, proxy, model.Addr())
	if s.AsksAdmins() {
		fmt.Fprintf(c.out, "The Admin API asks who you are: give its lines -H \"Kong-Admin-Token: $TOKEN\" or a client certificate.\n\n")
	}
}

// first is the first address, as a URL that this machine can use.
func first(addresses []string) string {
	if len(addresses) == 0 {
		return ""
	}
	return strings.NewReplacer("0.0.0.0", "localhost", "[::]", "localhost", "127.0.0.1", "localhost").Replace(addresses[0])
}
