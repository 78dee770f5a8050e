// Command neutrino is the one binary: the server with the API and the store,
// the agent on each host, the plug for interfaces, and the lab. It wires the
// stations together and holds none of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"neutrino/api/bounds"
	"neutrino/cli"
	"neutrino/cli/manners"
	"neutrino/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "neutrino",
		Short:         "OpenStack Networking as one program",
		Long:          "neutrino is OpenStack Networking as one program: the Networking API v2.0, its store, and the agent\nthat makes every host look as the API says, on Open vSwitch, Linux bridges, iptables, namespaces and dnsmasq.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	words := manners.Arrange(os.Args[1:])
	root.SetArgs(words)
	commands, alone := cli.Commands(words)
	root.AddCommand(commands...)
	if !alone {
		labCommand := lab.Command()
		labCommand.AddCommand(checkCommand())
		root.AddCommand(serverCommand(), backupCommand(), restoreCommand(), agentCommand(), vifCommand(), labCommand)
	}
	if name := filepath.Base(os.Args[0]); name == "neutron" || name == "quantum" {
		root = cli.Neutron()
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return
	}
	// The exit code of a command that ran inside a host is ours; what went wrong
	// it said itself.
	var exit interface {
		error
		ExitCode() int
	}
	if errors.As(err, &exit) && exit.ExitCode() > 0 && err.Error() == exit.Error() {
		os.Exit(exit.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "neutrino:", err)
	os.Exit(1)
}

// logger writes text lines to standard error, none of them long.
func logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: bounds.Fields}))
}
