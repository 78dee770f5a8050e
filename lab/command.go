package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"neutrino"
)

// ExitError says that a command inside an instance ended with a code that is
// to become ours.
type ExitError struct{ Code int }

// Error is what a shell would say.
func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Code) }

// ExitCode is the code, as [exec.ExitError] has it.
func (e *ExitError) ExitCode() int { return e.Code }

// face holds the flags that all commands of the lab have.
type face struct {
	settings Settings
	output   string
}

// The forms of output.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// Command is `neutrino lab` with all its subcommands.
func Command() *cobra.Command {
	f := &face{}
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "A whole cloud of namespaces and virtual machines on this machine",
		Long: "Hosts with their own Open vSwitch, the real server and agents, and real virtual machines, on one machine.\n" +
			"Everything lives in namespaces of its own; `neutrino lab down` removes it.",
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.settings.Name, "name", DefaultName, "name of the lab; labs with different names can run at once")
	flags.StringVar(&f.settings.Dir, "dir", "", "directory of the lab (default "+DefaultDir+", with -NAME for another name)")
	flags.StringVar(&f.settings.Cache, "cache", DefaultCache, "where the virtual machines' kernel is kept")
	flags.StringVarP(&f.output, "output", "o", outputTable, "form of output: table or json")
	cmd.AddCommand(f.upCommand(), f.downCommand(), f.statusCommand(), f.execCommand(), f.vmCommand(), holdCommand())
	return cmd
}

// open is the lab that the flags name. Its progress goes to standard error,
// so that standard output is the answer alone.
func (f *face) open(cmd *cobra.Command) (*Lab, error) {
	if f.output != outputTable && f.output != outputJSON {
		return nil, fmt.Errorf("--output %s: choose %s or %s", f.output, outputTable, outputJSON)
	}
	l, err := New(cmd.Context(), f.settings)
	if err != nil {
		return nil, err
	}
	l.Progress = cmd.ErrOrStderr()
	return l, nil
}

// plain hides a failed command inside a host, so that main takes only the
// exit code of what the user ran for its own.
func plain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}

func (f *face) upCommand() *cobra.Command {
	var o UpOptions
	var kind, uplink string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the lab up and prove it by traffic",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.settings.Type, f.settings.Uplink = neutrino.NetworkType(kind), Uplink(uplink)
			if !cmd.Flags().Changed("api-port") && f.settings.Name != DefaultName {
				f.settings.APIPort = 0
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
			defer stop()
			l, err := f.open(cmd)
			if err != nil {
				return err
			}
			result, err := l.Up(ctx, o)
			if err != nil {
				return plain(err)
			}
			return f.print(cmd.OutOrStdout(), result, result)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.settings.Computes, "computes", 1, "compute hosts")
	flags.IntVar(&f.settings.Networks, "networks", 1, "network hosts, for routers and DHCP")
	flags.StringVar(&uplink, "uplink", string(UplinkNIC), "how the network host reaches the outside: nic on its bridge, or nat to its address")
	flags.BoolVar(&f.settings.Provider, "provider", false, "compute hosts too are on the public network, for instances on provider networks")
	flags.BoolVar(&f.settings.Bare, "bare", false, "no router and no outside: instances and DHCP alone")
	flags.StringVar(&kind, "type", string(neutrino.GRE), "type of the network: gre, vxlan or geneve")
	flags.IntVar(&f.settings.APIPort, "api-port", DefaultAPIPort,
		"port of the API on 127.0.0.1 of this machine, 0 for any free one (the default of labs with a --name)")
	flags.StringVar(&f.settings.Binary, "binary", "", "what the hosts run (default this program)")
	flags.BoolVar(&o.Keep, "keep", false, "leave everything running when a step fails")
	return cmd
}

// print writes a result for people or for programs.
func (f *face) print(w io.Writer, people io.WriterTo, programs any) error {
	if f.output == outputJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(programs)
	}
	_, err := people.WriteTo(w)
	return err
}

// WriteTo writes the result for people.
func (r *Result) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	if !r.Already {
		fmt.Fprintf(&b, "\nThe lab is up after %.1f s.\n", r.Seconds)
		for _, p := range r.Proofs {
			fmt.Fprintf(&b, "  proven: %s (%s)\n", p.Claim, p.Seen)
		}
	}
	b.WriteString("\nTry next:\n")
	for _, n := range r.Next {
		b.WriteString("  " + n + "\n")
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func (f *face) downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove everything the lab made",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := f.open(cmd)
			if err != nil {
				return err
			}
			return plain(l.Down(cmd.Context()))
		},
	}
}

func (f *face) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show hosts, processes, agents and instances",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := f.open(cmd)
			if err != nil {
				return err
			}
			s := l.Status(cmd.Context())
			return f.print(cmd.OutOrStdout(), s, s)
		},
	}
}

func (f *face) execCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "exec HOST -- COMMAND...",
		Short:   "Run a command inside a host, as on the host itself",
		Example: "  neutrino lab exec compute1 -- ovs-vsctl show\n  neutrino lab exec network1 -- ip netns",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.open(cmd)
			if err != nil {
				return err
			}
			h, err := l.Host(args[0])
			if err != nil {
				return err
			}
			// The command takes our place: terminal, signals and exit code are its own.
			path, err := exec.LookPath("nsenter")
			if err != nil {
				return err
			}
			return unix.Exec(path, append([]string{"nsenter"}, h.enter(afterDashes(args))...), os.Environ())
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func (f *face) vmCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "vm", Aliases: []string{"instance"},
		Short: "List, add, remove and use instances",
	}
	cmd.AddCommand(f.vmListCommand(), f.vmAddCommand(), f.vmRemoveCommand(), f.vmConsoleCommand(), f.vmExecCommand())
	return cmd
}

// instanceList is the answer of `vm list`.
type instanceList []InstanceStatus

// WriteTo writes the list as a table.
func (i instanceList) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, instanceTable(i)+"\n")
	return int64(n), err
}

func (f *face) vmListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the instances",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := f.open(cmd)
			if err != nil {
				return err
			}
			list := instanceList(l.Status(cmd.Context()).Instances)
			return f.print(cmd.OutOrStdout(), list, list)
		},
	}
}

func (f *face) vmAddCommand() *cobra.Command {
	var s InstanceSpec
	var kind string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Create a port, plug it and start an instance with it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.open(cmd)
			if err != nil {
				return err
			}
			s.Name, s.Kind = args[0], Kind(kind)
			return plain(f.addInstance(cmd, l, s))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&kind, "kind", string(KindVM), "vm, or namespace for a light one with a DHCP client")
	flags.StringVar(&s.Host, "host", "compute1", "compute host")
	flags.StringVar(&s.Network, "network", SeedNetwork, "network, by name or id")
	flags.StringVar(&s.Project, "project", "", "project that owns the port (default the server's)")
	flags.StringVar(&s.MAC, "mac", "", "MAC address (default chosen by the API)")
	flags.StringVar(&s.IP, "ip", "", "IP address (default chosen by the API)")
	return cmd
}

func (f *face) addInstance(cmd *cobra.Command, l *Lab, s InstanceSpec) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), leaseTime)
	defer cancel()
	g, err := l.AddInstance(ctx, s)
	if err != nil {
		return err
	}
	l.say("%s: %s plugged at %s", g.Host, g.Name, g.Tap())
	if err := g.AwaitActive(ctx); err != nil {
		return err
	}
	l.say("the port is ACTIVE")
	lease, err := g.AwaitLease(ctx)
	if err != nil {
		return err
	}
	l.say("%s has %s/%d by DHCP from %s", g.Name, lease.Address, lease.Bits, lease.Server)
	list := instanceList{{Instance: g.Instance, Running: g.Running(ctx), Port: string(neutrino.PortActive)}}
	return f.print(cmd.OutOrStdout(), list, list[0])
}

func (f *face) vmRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"delete"},
		Short: "Stop an instance, unplug it and delete its port",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.open(cmd)
			if err != nil {
				return err
			}
			return plain(l.RemoveInstance(cmd.Context(), args[0]))
		},
	}
}

func (f *face) vmConsoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "console NAME",
		Short: "Use a virtual machine's console; Ctrl-] leaves it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.open(cmd)
			if err != nil {
				return err
			}
			g, err := l.Guest(args[0])
			if err != nil {
				return err
			}
			return g.Console(cmd.Context(), os.Stdin, cmd.OutOrStdout())
		},
	}
}

func (f *face) vmExecCommand() *cobra.Command {
	var limit time.Duration
	cmd := &cobra.Command{
		Use:     "exec NAME -- COMMAND...",
		Short:   "Run a command inside an instance",
		Example: "  neutrino lab vm exec vm1 -- ping -c 3 10.1.0.3",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.open(cmd)
			if err != nil {
				return err
			}
			g, err := l.Guest(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), limit)
			defer cancel()
			out, err := g.Exec(ctx, shellQuote(afterDashes(args)))
			if err != nil {
				return plain(err)
			}
			fmt.Fprint(cmd.OutOrStdout(), out.Stdout)
			fmt.Fprint(cmd.ErrOrStderr(), out.Stderr)
			if out.Code != 0 {
				return &ExitError{Code: out.Code}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&limit, "timeout", time.Minute, "how long the command may take")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// afterDashes is the command of "HOST -- COMMAND": flags are not looked for
// after the name, so the dashes are optional and arrive with the rest.
func afterDashes(args []string) []string {
	if len(args) > 2 && args[1] == "--" {
		return args[2:]
	}
	return args[1:]
}

// shellQuote makes one shell text of arguments. A single argument is a shell
// text already.
func shellQuote(argv []string) string {
	if len(argv) == 1 {
		return argv[0]
	}
	quoted := make([]string, len(argv))
	for i, a := range argv {
		quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// holdCommand is what a host's namespaces are held by; see [hold].
func holdCommand() *cobra.Command {
	var a holdArgs
	cmd := &cobra.Command{
		Use: "hold", Hidden: true, Args: cobra.NoArgs,
		Short: "Hold the namespaces of one host (used by the lab itself)",
		RunE:  func(cmd *cobra.Command, _ []string) error { return plain(hold(cmd.Context(), a)) },
	}
	flags := cmd.Flags()
	flags.StringVar(&a.ID, "id", "", "the lab's id")
	flags.StringVar(&a.Host, "host", "", "the host's name")
	flags.StringVar(&a.Role, "role", "", "the host's role")
	flags.StringVar(&a.Dir, "host-dir", "", "the host's directory")
	flags.StringVar(&a.Outside, "outside", "", "the mount namespace of the lab")
	return cmd
}
