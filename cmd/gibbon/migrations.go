package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// Exit codes of "migrations list", as Kong's.
const (
	exitNeedsBootstrap = 3
	exitPending        = 4
	exitNew            = 5
)

func (c *cli) migrationsCommand() *cobra.Command {
	m := &migrationsCLI{cli: c}
	cmd := &cobra.Command{
		Use:   "migrations COMMAND",
		Short: "Make, change and look at the tables of the database",
		Args:  c.subcommandNeeded,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.BoolVarP(&m.yes, "yes", "y", false, "answer yes to questions")
	flags.BoolVarP(&m.quiet, "quiet", "q", false, "print nothing but errors")
	flags.BoolVarP(&m.force, "force", "f", false, "accepted for Kong's sake; a migration never runs twice")
	flags.IntVar(&m.dbTimeout, "db-timeout", 0, "seconds to wait for an answer of the database (default: pg_timeout)")
	flags.IntVar(&m.lockTimeout, "lock-timeout", 60, "seconds to wait for another node that changes the tables")
	for _, sub := range []struct {
		name, short string
		run         func(context.Context, *sqlstore.Migrator) error
	}{
		{"bootstrap", "Make the tables in an empty database", m.bootstrap},
		{"up", "Run new migrations; what they leave for later waits for finish", m.up},
		{"finish", "Run what migrations left for when all nodes have been upgraded", m.finish},
		{"list", "List migrations; the exit code says what is to be done: 3 bootstrap, 4 finish, 5 up", m.list},
		{"status", "Print the state of the tables as JSON", m.status},
		{"reset", "Drop all tables and what is in them", m.reset},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: sub.name, Short: sub.short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return m.with(cmd.Context(), sub.run) },
		})
	}
	return cmd
}

type migrationsCLI struct {
	*cli
	yes, quiet, force      bool
	dbTimeout, lockTimeout int
}

func (m *migrationsCLI) say(format string, args ...any) {
	if !m.quiet {
		fmt.Fprintf(m.out, format+"\n", args...)
	}
}

func (m *migrationsCLI) with(ctx context.Context, run func(context.Context, *sqlstore.Migrator) error) error {
	s, warnings, err := settings.Load(settings.Source{Command: "migrations", ConfFile: m.conf, Prefix: m.prefix, Environ: os.Environ()})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintf(m.err, "[warn] %s\n", w)
	}
	db, err := migrator(s, time.Duration(m.dbTimeout)*time.Second, time.Duration(m.lockTimeout)*time.Second)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	err = run(ctx, db)
	if errors.Is(err, sqlstore.ErrLocked) {
		return say("%s", lockLost)
	}
	return err
}

func (m *migrationsCLI) bootstrap(ctx context.Context, db *sqlstore.Migrator) error {
	state, err := db.Status(ctx)
	if err != nil {
		return err
	}
	if !state.NeedsBootstrap {
		m.say("Database already bootstrapped")
		return nil
	}
	m.say("Bootstrapping database...")
	executed, err := db.Bootstrap(ctx)
	m.executed(executed)
	if errors.Is(err, sqlstore.ErrBootstrapped) { // by another node, meanwhile
		m.say("Database already bootstrapped")
		return nil
	}
	if err != nil {
		return err
	}
	m.say("Database is up-to-date")
	return nil
}

func (m *migrationsCLI) executed(names []string) {
	for _, name := range names {
		m.say("migrated: %s", name)
	}
	if n := len(names); n > 0 {
		m.say("%d %s processed", n, plural(n, "migration"))
	}
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func (m *migrationsCLI) up(ctx context.Context, db *sqlstore.Migrator) error {
	state, err := db.Status(ctx)
	switch {
	case err != nil:
		return err
	case state.NeedsBootstrap:
		return say("Cannot run migrations: %s", needsBootstrapping)
	case len(state.Pending) > 0:
		return say("%s", pendingMigrations)
	case len(state.New) == 0:
		m.say("Database is already up-to-date")
		return nil
	}
	executed, err := db.Up(ctx)
	m.executed(executed)
	if err != nil {
		return err
	}
	if state, err = db.Status(ctx); err != nil {
		return err
	}
	if len(state.Pending) > 0 {
		m.say("%s when ready", pendingMigrations)
	} else {
		m.say("Database is up-to-date")
	}
	return nil
}

func (m *migrationsCLI) finish(ctx context.Context, db *sqlstore.Migrator) error {
	state, err := db.Status(ctx)
	switch {
	case err != nil:
		return err
	case state.NeedsBootstrap:
		return say("Cannot run migrations: %s", needsBootstrapping)
	case len(state.Pending) == 0:
		m.say("No pending migrations to finish")
		return nil
	}
	executed, err := db.Finish(ctx)
	m.executed(executed)
	return err
}

func (m *migrationsCLI) list(ctx context.Context, db *sqlstore.Migrator) error {
	state, err := db.Status(ctx)
	if err != nil {
		return err
	}
	if state.NeedsBootstrap {
		m.say("%s", needsBootstrapping)
		return &exitError{code: exitNeedsBootstrap}
	}
	for _, group := range []struct {
		title string
		names []string
	}{
		{"Executed migrations", state.Executed},
		{"Pending migrations", state.Pending},
		{"New migrations available", state.New},
		{"Migrations of a newer version", state.Missing},
	} {
		if len(group.names) > 0 {
			m.say("%s:\n  %s", group.title, strings.Join(group.names, "\n  "))
		}
	}
	switch {
	case len(state.Pending) > 0:
		m.say("\nRun 'gibbon migrations finish' when ready")
		return &exitError{code: exitPending}
	case len(state.New) > 0:
		m.say("\nRun 'gibbon migrations up' to proceed")
		return &exitError{code: exitNew}
	}
	return nil
}

func (m *migrationsCLI) status(ctx context.Context, db *sqlstore.Migrator) error {
	state, err := db.Status(ctx)
	if err != nil {
		return err
	}
	list := func(names []string) []string { return append([]string{}, names...) } // [] rather than null
	b, err := json.MarshalIndent(struct {
		NeedsBootstrap bool     `json:"needs_bootstrap"`
		Executed       []string `json:"executed_migrations"`
		Pending        []string `json:"pending_migrations"`
		Missing        []string `json:"missing_migrations"`
		New            []string `json:"new_migrations"`
	}{state.NeedsBootstrap, list(state.Executed), list(state.Pending), list(state.Missing), list(state.New)}, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(m.out, "%s\n", b)
	return err
}

func (m *migrationsCLI) reset(ctx context.Context, db *sqlstore.Migrator) error {
	state, err := db.Status(ctx)
	if err != nil {
		return err
	}
	if state.NeedsBootstrap {
		m.say("Database not bootstrapped, nothing to reset")
		return &exitError{code: 1}
	}
	if !m.yes {
		sure, err := m.confirm("Are you sure? This operation is irreversible.")
		if err != nil {
			return err
		}
		if !sure {
			m.say("cancelled")
			return nil
		}
	}
	if err := db.Reset(ctx); err != nil {
		return err
	}
	m.say("Database successfully reset")
	return nil
}

// confirm asks up to three times.
func (m *migrationsCLI) confirm(question string) (bool, error) {
	if !isTerminal(m.in) {
		return false, say("not a tty: invoke 'reset' non-interactively with the --yes flag")
	}
	lines := bufio.NewScanner(m.in)
	for range 3 {
		fmt.Fprintf(m.out, "%s [Y/n] ", question)
		if !lines.Scan() {
			break
		}
		switch strings.ToLower(strings.TrimSpace(lines.Text())) {
		case "y", "yes":
			return true, nil
		case "n", "no":
			return false, nil
		}
	}
	return false, lines.Err()
}

// isTerminal tells whether somebody may sit at the other end: a character device
// that is not the null device, which programs without a terminal are given.
func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
