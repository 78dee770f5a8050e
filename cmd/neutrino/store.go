package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"neutrino/config"
	"neutrino/feed"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
	"neutrino/store/identity"
)

// database is where the server's store is, and what the server remembers of it.
type database struct {
	file  string
	trace string // the file of the trace
}

// databaseOf finds the database of [database] connection and its trace, and makes
// their directories.
func databaseOf(v *config.Values) (database, error) {
	connection := v.String("database", "connection")
	file, ok := strings.CutPrefix(connection, "sqlite:///")
	if !ok {
		return database{}, fmt.Errorf("[database] connection = %q: only sqlite:///<file> is supported", connection)
	}
	d := database{file, filepath.Join(v.String("DEFAULT", "state_path"), identity.TraceName)}
	for option, path := range map[string]string{"[database] connection": d.file, "[DEFAULT] state_path": d.trace} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return d, fmt.Errorf("%s: %w", option, err)
		}
	}
	return d, nil
}

// open opens the engine, when the database can be the store that is remembered.
func (d database) open(ctx context.Context, t identity.Trace) (*sqlite.Engine, error) {
	if err := identity.Look(ctx, d.file, t); err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, sqlite.Options{Path: d.file})
}

// admit opens the engine on the store that is remembered, begins a life of it and
// remembers that.
func (d database) admit(ctx context.Context) (*sqlite.Engine, identity.Trace, error) {
	t, err := identity.ReadTrace(ctx, d.trace)
	if err != nil {
		return nil, t, err
	}
	e, err := d.open(ctx, t)
	if err != nil {
		return nil, t, err
	}
	if t, err = identity.Admit(ctx, e, d.file, t); err == nil {
		err = identity.WriteTrace(ctx, d.trace, t)
	}
	if err != nil {
		return nil, t, errors.Join(err, e.Close())
	}
	return e, t, nil
}

// openStore opens the database of [database] connection.
func openStore(ctx context.Context, v *config.Values) (*store.DB, func(), error) {
	d, err := databaseOf(v)
	if err != nil {
		return nil, nil, err
	}
	hugeHeap()
	growHeap(loadingGrowth)
	defer growHeap(servingGrowth)
	e, t, err := d.admit(ctx)
	if err != nil {
		return nil, nil, err
	}
	db, err := store.Open(ctx, e)
	if err != nil {
		return nil, nil, errors.Join(err, e.Close())
	}
	slog.Info("server: store", "cluster", t.Cluster, "life", t.Life, "revision", t.Revision, "database", d.file)
	background, stop := context.WithCancel(ctx)
	limitHeap()
	go trimHeap(background)
	go d.remember(background, db)
	if err := d.serveBackups(background, e); err != nil {
		stop()
		return nil, nil, errors.Join(fmt.Errorf("server: listen for backups: %w", err), db.Close(), e.Close())
	}
	return db, func() {
		stop()
		if err := errors.Join(db.Close(), e.Close()); err != nil {
			slog.Error("store: close", "error", err)
		}
	}, nil
}

// rememberEvery is how far the trace may be behind the store, in time.
const rememberEvery = 5 * time.Second

// remember keeps the trace's revision up to date until ctx ends.
func (d database) remember(ctx context.Context, db *store.DB) {
	tick := time.NewTicker(rememberEvery)
	defer tick.Stop()
	said := false
	last := db.Snapshot().Revision()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := db.Snapshot().Position()
		if at.Revision == last {
			continue
		}
		err := identity.WriteTrace(ctx, d.trace, identity.Trace{Database: d.file, StorePosition: at})
		if err == nil {
			last = at.Revision
		} else if !said {
			slog.Error("server: the store's revision is not remembered outside the database", "error", err)
		}
		said = err != nil
	}
}

// ready is whether the server can serve and most connected hosts take its store for
// theirs.
func ready(hosts *feed.Server, can ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, check := range can {
			if err := check(ctx); err != nil {
				return err
			}
		}
		return hosts.Check()
	}
}

func initCommand() *cobra.Command {
	force := false
	set := &config.Set{Options: serverOptions}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the store and give it its name, or say which one it has",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&force, "force", false, "forget the store that this server had, and take the database as it is")
	return storeCommand(cmd, set, func(ctx context.Context, d database) error {
		if force {
			if err := os.Remove(d.trace); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		e, t, err := d.admit(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is the store of cluster %s at revision %d\n", d.file, t.Cluster, t.Revision)
		return e.Close()
	})
}

func signCommand() *cobra.Command {
	set := &config.Set{Options: serverOptions}
	cmd := &cobra.Command{
		Use:   "sign",
		Short: "Say that the database is meant although an older or unknown copy: hosts follow it from then on",
		Args:  cobra.NoArgs,
	}
	return storeCommand(cmd, set, func(ctx context.Context, d database) error {
		t, err := identity.ReadTrace(ctx, d.trace)
		if err != nil {
			return err
		}
		e, err := d.open(ctx, t)
		if err != nil {
			return err
		}
		at, err := identity.Sign(ctx, e, t.StoreIdentity)
		if err == nil {
			err = identity.WriteTrace(ctx, d.trace, identity.Trace{Database: d.file, StorePosition: at})
		}
		if err == nil {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is in life %s of cluster %s at revision %d\n", d.file, at.Life, at.Cluster, at.Revision)
		}
		return errors.Join(err, e.Close())
	})
}

// storeCommand runs on the database of a server that does not run.
func storeCommand(cmd *cobra.Command, set *config.Set, run func(context.Context, database) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, err := set.Load(cmd)
		if err != nil {
			return err
		}
		d, err := databaseOf(v)
		if err != nil {
			return err
		}
		return run(cmd.Context(), d)
	}
	set.Fixed = serverFixed()
	set.Flags(cmd)
	return cmd
}
