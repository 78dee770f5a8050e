package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"neutrino/config"
	"neutrino/store/engine/sqlite"
	"neutrino/store/identity"
)

// controlSocket is where a server that runs is asked for a backup, beside its trace.
const controlSocket = "store.sock"

func (d database) control() string { return filepath.Join(filepath.Dir(d.trace), controlSocket) }

// serveBackups answers neutrino backup until ctx ends. Only the server's own user can
// reach the socket.
func (d database) serveBackups(ctx context.Context, e *sqlite.Engine) error {
	path := d.control()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "unix", path+".new")
	if err != nil {
		return err
	}
	// It gets its name when nobody else can reach it any more.
	if err := errors.Join(os.Chmod(path+".new", 0o600), os.Rename(path+".new", path)); err != nil {
		return errors.Join(err, ln.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
		report, err := e.Backup(r.Context(), r.URL.Query().Get("file"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		_ = json.NewEncoder(w).Encode(report) // a client that left does not want it
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // the end of the process
		_ = os.Remove(path)
	}()
	go func() {
		if err := server.Serve(ln); err != nil && ctx.Err() == nil {
			slog.Error("server: backups are not served any more", "err", err)
		}
	}()
	return nil
}

// backUp asks the server that runs for a backup, or makes one of the database of a
// server that does not run.
func (d database) backUp(ctx context.Context, file string) (r sqlite.Report, err error) {
	if file, err = filepath.Abs(file); err != nil {
		return r, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.control())
	}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://store/backup", nil)
	if err != nil {
		return r, err
	}
	q := request.URL.Query()
	q.Set("file", file)
	request.URL.RawQuery = q.Encode()
	answer, err := client.Do(request)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return d.backUpClosed(ctx, file)
	}
	if err != nil {
		return r, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(answer.Body, 4096)) // as much as there is
		return r, errors.New(string(said))
	}
	return r, json.NewDecoder(answer.Body).Decode(&r)
}

func (d database) backUpClosed(ctx context.Context, file string) (r sqlite.Report, err error) {
	t, err := identity.ReadTrace(ctx, d.trace)
	if err != nil {
		return r, err
	}
	if _, err := os.Stat(d.file); err != nil {
		return r, err
	}
	e, err := d.open(ctx, t)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return e.Backup(ctx, file)
}

func backupCommand() *cobra.Command {
	set := &config.Set{Options: serverOptions}
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the server's store into a new file, while the server runs or not",
		Args:  cobra.ExactArgs(1),
	}
	format := cmd.Flags().StringP("output", "o", "text", "text or json")
	return fileCommand(cmd, set, func(ctx context.Context, d database, file string) error {
		r, err := d.backUp(ctx, file)
		if err != nil {
			return err
		}
		return printReport(cmd, r, *format)
	})
}

func checkFileCommand() *cobra.Command {
	set := &config.Set{Options: serverOptions}
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Read a backup, or the database of a server that does not run, and say whether it is whole",
		Args:  cobra.MaximumNArgs(1),
	}
	format := cmd.Flags().StringP("output", "o", "text", "text or json")
	return fileCommand(cmd, set, func(ctx context.Context, d database, file string) error {
		if file == "" {
			file = d.file
		}
		r, err := sqlite.Check(ctx, file)
		if err != nil {
			return err
		}
		return printReport(cmd, r, *format)
	})
}

func restoreCommand() *cobra.Command {
	set := &config.Set{Options: serverOptions}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the database of a server that does not run, and begin a new life of the store",
		Args:  cobra.ExactArgs(1),
	}
	return fileCommand(cmd, set, func(ctx context.Context, d database, file string) error {
		aside, err := d.restore(ctx, file)
		if err != nil {
			return err
		}
		if aside != "" {
			fmt.Fprintf(cmd.OutOrStdout(), "the database of before is kept in %s\n", aside)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is restored from %s; start the server, and see neutrino agent status on the hosts for what they keep\n", d.file, file)
		return nil
	})
}

// fileCommand runs on the server's database and a file of the arguments, "" for none.
func fileCommand(cmd *cobra.Command, set *config.Set, run func(ctx context.Context, d database, file string) error) *cobra.Command {
	file := ""
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, words []string) error {
		if len(words) > 0 {
			file = words[0]
		}
		return args(cmd, words)
	}
	return storeCommand(cmd, set, func(ctx context.Context, d database) error { return run(ctx, d, file) })
}

func printReport(cmd *cobra.Command, r sqlite.Report, format string) error {
	if format == "json" {
		return printJSON(cmd.OutOrStdout(), r)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is whole: revision %d, %d keys in %d chunks\n", r.Path, r.Revision, r.Keys, r.Chunks)
	return err
}
