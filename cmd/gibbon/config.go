package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/schema"
)

// declarativeFile is what init and db_export write unless told otherwise: the
// name that Kong's tools look for.
const declarativeFile = "kong.yml"

// sampleConfig is what init writes.
//
//go:embed sample.yml
var sampleConfig []byte

func (c *cli) configCommand() *cobra.Command {
	cfg := &configCLI{cli: c}
	cmd := &cobra.Command{
		Use:   "config COMMAND",
		Short: "Check, load and save a whole configuration as one file",
		Long: `Check, load and save a whole configuration as one file, in Kong's declarative
format (YAML or JSON). docs/declarative.md tells what such a file looks like.`,
		Args: c.subcommandNeeded,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringArrayVarP(&c.set, "set", "s", nil, "a setting, key=value; may be repeated; wins over file and environment")
	add := func(use, short, long string, args cobra.PositionalArgs, run func(ctx context.Context, file string) error) *cobra.Command {
		sub := &cobra.Command{
			Use: use, Short: short, Long: long, Args: args,
			RunE: func(cmd *cobra.Command, args []string) error {
				file := declarativeFile
				if len(args) > 0 {
					file = args[0]
				}
				ctx, stop := untilSignal(cmd.Context())
				defer stop()
				return run(ctx, file)
			},
		}
		cmd.AddCommand(sub)
		return sub
	}
	add("init [file]", "Write an example with comments, by default to ./"+declarativeFile, "", cobra.MaximumNArgs(1), cfg.init)
	add("parse <file>", "Check a file without touching anything", "", fileNeeded, cfg.parse)
	add("db_import <file>", "Load a file into the database", `Load a file into the database, in one transaction.

Entities of the file are added or replaced; nothing is deleted.`,
		fileNeeded, cfg.dbImport).Flags().StringVar(&cfg.workspace, "workspace", "", "the workspace for entities that name none (default: default)")
	add("db_export [file]", "Save what is in the database, by default to ./"+declarativeFile, `Save what is in the database, by default to ./`+declarativeFile+`.

The file holds every secret of the configuration; only its owner may read it. A
name that ends in .json makes it JSON.`, cobra.MaximumNArgs(1), cfg.dbExport)
	return cmd
}

func fileNeeded(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return say("expected a declarative configuration file; see 'gibbon config --help'")
	}
	return nil
}

type configCLI struct {
	*cli
	workspace string
}

// load reads the settings, and the schemas as these have them.
func (c *configCLI) load() (*settings.Settings, *schema.Catalogue, error) {
	s, err := c.loadSettings("config")
	if err != nil {
		return nil, nil, err
	}
	catalogue, err := catalogueOf(s)
	return s, catalogue, err
}

func (c *configCLI) init(_ context.Context, file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return say("%s already exists.\nWill not overwrite it.", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(sampleConfig)
	return errors.Join(err, f.Close())
}

func (c *configCLI) parse(_ context.Context, file string) error {
	_, catalogue, err := c.load()
	if err != nil {
		return err
	}
	if _, err := c.read(catalogue, file); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "parse successful")
	return nil
}

// read parses a file.
func (c *configCLI) read(catalogue *schema.Catalogue, file string) (*declarative.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	config, err := declarative.Parse(catalogue, text, declarative.Options{Workspace: c.workspace})
	if invalid := (*declarative.Error)(nil); errors.As(err, &invalid) {
		return nil, say("Failed parsing:\n%s", invalid.Text())
	}
	return config, err
}

func (c *configCLI) dbImport(ctx context.Context, file string) error {
	s, catalogue, err := c.load()
	if err != nil {
		return err
	}
	if s.Database == "off" {
		return say("'gibbon config db_import' only works with a database.\n" +
			"When using database=off, name the file in declarative_config,\n" +
			"or send it to the endpoint /config of the Admin API.")
	}
	config, err := c.read(catalogue, file)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, "parse successful, beginning import")
	var counts declarative.Counts
	err = c.withStore(ctx, s, func(st *sqlstore.Store) error {
		_, err := st.Update(ctx, "config db_import", func(tx store.Tx) (err error) {
			counts, err = config.Apply(tx, false)
			return err
		})
		if taken := (*store.UniqueError)(nil); errors.As(err, &taken) {
			return say("import %s: %v\n"+
				"The database has another entity with that value: give its id in the file, or delete it first.", file, err)
		}
		if err != nil {
			return fmt.Errorf("import %s: %w", file, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.verbosity() > 0 {
		fmt.Fprintf(c.out, "%d added, %d changed, %d as they were\n", counts.Inserted, counts.Updated, counts.Unchanged)
	}
	fmt.Fprintln(c.out, "import successful")
	return nil
}

func (c *configCLI) dbExport(ctx context.Context, file string) (err error) {
	s, catalogue, err := c.load()
	if err != nil {
		return err
	}
	if s.Database == "off" {
		return say("'gibbon config db_export' only works with a database.\n" +
			"When using database=off, the endpoint /config of the Admin API shows the configuration.")
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return say("%s already exists. Will not overwrite it.", file)
	}
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil { // half a configuration is worse than none
			err = errors.Join(err, os.Remove(file))
		}
	}()
	format := declarative.YAML
	if strings.EqualFold(filepath.Ext(file), ".json") {
		format = declarative.JSON
	}
	return c.withStore(ctx, s, func(st *sqlstore.Store) error {
		return st.View(ctx, func(r store.Reader) error {
			return declarative.Export(f, catalogue, r.All(), format, time.Now())
		})
	})
}
