package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/dataplane/vault"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	refs "github.com/gibbon-gateway/gibbon/internal/vault"
	"github.com/gibbon-gateway/gibbon/schema"
)

func (c *cli) vaultCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vault COMMAND",
		Short: "Try references to secrets",
		Args:  c.subcommandNeeded,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringArrayVarP(&c.set, "set", "s", nil, "a setting, key=value; may be repeated; wins over file and environment")
	cmd.AddCommand(&cobra.Command{
		Use:   "get <reference>",
		Short: "Print the secret that a reference leads to",
		Long: `Print the secret that a reference leads to, as a data plane with this environment
finds it. The reference may be written in full or without its frame:

  gibbon vault get {vault://env/my-key}
  gibbon vault get env/my-key

A vault of the configuration is looked up in the database of the settings.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return say("the 'get' command needs a <reference> argument")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			value, err := c.secret(ctx, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(c.out, value)
			return nil
		},
	})
	return cmd
}

// secret is what a reference, perhaps without its frame, leads to.
func (c *cli) secret(ctx context.Context, text string) (string, error) {
	if !refs.IsReference(text) {
		text = "{vault://" + text + "}"
	}
	ref, err := refs.Parse(text)
	if err != nil {
		return "", err
	}
	s, err := c.loadSettings("vault")
	if err != nil {
		return "", err
	}
	var configured []*entitypb.Vault
	if ref.Vault != refs.Env {
		if configured, err = c.configuredVault(ctx, s, ref.Vault); err != nil {
			return "", err
		}
	}
	return vault.New(configured, s.VaultEnvPrefix, os.LookupEnv).Get(text)
}

// configuredVault finds the vault with a prefix in the database; none when there
// is no such vault, or no database. None is made to look into it.
func (c *cli) configuredVault(ctx context.Context, s *settings.Settings, prefix string) (found []*entitypb.Vault, err error) {
	if s.Database == "off" {
		return nil, nil
	}
	if s.Database == "sqlite" {
		if _, err := os.Stat(s.SQLitePath); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	}
	catalogue, err := catalogueOf(s)
	if err != nil {
		return nil, err
	}
	kind, ok := catalogue.Entity("vaults")
	if !ok {
		return nil, errors.New("this program has no schema for vaults")
	}
	err = c.withStore(ctx, s, func(st *sqlstore.Store) error {
		return st.View(ctx, func(r store.Reader) error {
			e, err := r.Find("", kind.Kind(), kind.EndpointKey(), prefix)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			doc, err := schema.Parse(e.Document)
			if err != nil {
				return err
			}
			v := new(entitypb.Vault)
			if err := kind.Unmarshal(doc, v); err != nil {
				return err
			}
			found = append(found, v)
			return nil
		})
	})
	return found, err
}
