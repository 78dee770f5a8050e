package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"neutrino"
	"neutrino/agent"
	"neutrino/config"
	"neutrino/feed"
	"neutrino/plan"
)

// agentOptions are what `neutrino agent` understands, with Neutron's names.
var agentOptions = []config.Option{
	{Section: "DEFAULT", Name: "host", Help: "name of this host in the API, by default the machine's"},
	{Section: "DEFAULT", Name: "state_path", Default: defaultStatePath, Help: "directory of the agent's files"},
	{Section: "DEFAULT", Name: "debug", Default: "false", Help: "log more", Check: config.Boolean},
	{Section: "DEFAULT", Name: "dhcp_lease_duration", Default: "86400", Help: "seconds a lease lasts, -1 for ever", Check: config.Number},
	{Section: "DEFAULT", Name: "dns_domain", Default: "openstacklocal", Help: "domain that DHCP announces"},
	{Section: "DEFAULT", Name: "dnsmasq_dns_servers", Help: "name servers that dnsmasq asks"},
	{Section: "DEFAULT", Name: "dnsmasq_local_resolv", Default: "false", Help: "let dnsmasq ask the host's own name servers", Check: config.Boolean},
	{Section: "DEFAULT", Name: "dnsmasq_config_file", Help: "further configuration of dnsmasq"},
	{Section: "ovs", Name: "local_ip", Help: "this host's tunnel endpoint", Check: address},
	{Section: "ovs", Name: "integration_bridge", Default: "br-int", Help: "bridge that the instances' ports are on"},
	{Section: "ovs", Name: "tunnel_bridge", Default: "br-tun", Help: "bridge that the tunnels are on"},
	{Section: "ovs", Name: "bridge_mappings", Help: "physical networks of this host and their bridges: <physical network>:<bridge>,…", Check: bridgeMappings},
	{Section: "ovs", Name: "datapath_type", Default: "system", Help: "datapath of our bridges", Check: config.OneOf("system", "netdev")},
	{Section: "ovs", Name: "ovsdb_connection", Default: "unix:/run/openvswitch/db.sock", Help: "address of ovsdb-server"},
	{Section: "ovs", Name: "run_dir", Default: "/run/openvswitch", Help: "directory with the sockets of ovs-vswitchd"},
	{Section: "agent", Name: "tunnel_types", Default: "gre,vxlan,geneve", Help: "tunnels that this host can end", Check: networkTypes},
	{Section: "agent", Name: "availability_zone", Default: neutrino.DefaultZone, Help: "availability zone of the DHCP and L3 services"},
	{Section: "agent", Name: "report_interval", Default: "30", Help: "seconds between two heartbeats", Check: config.Number},
	{Section: "securitygroup", Name: "firewall_driver", Default: "iptables_hybrid", Help: "what filters the instances' traffic", Check: config.OneOf("iptables_hybrid")},
	{Section: "neutrino", Name: "feed_server", Default: "unix:/var/lib/neutron/feed.sock", Help: "the server's feed: unix:/path, or a loopback address:port"},
	{Section: "neutrino", Name: "services", Default: "openvswitch", Help: "what this host does: openvswitch, and any of dhcp, l3, metadata", Check: services},
	{Section: "neutrino", Name: "wrap_prefix", Default: "neutron", Help: "first word of the chains' names", Check: config.OneOf("neutron", "quantum")},
	{Section: "neutrino", Name: "audit_interval", Default: "60", Help: "seconds between two readings of the whole host", Check: config.Number},
	{Section: "neutrino", Name: "port_conntrack_limit", Default: "65536", Help: "connections that one port may have in the host's connection table; 0 for no limit", Check: config.Number},
	{Section: "neutrino", Name: allowOpenFeed, Default: "false", Help: "use a feed beyond loopback, unencrypted: whoever answers at feed_server decides on this host's network", Check: config.Boolean},
}

func agentCommand() *cobra.Command {
	set := &config.Set{Options: slices.Concat(agentOptions, fuseOptions, metadataOptions)}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Make this host look as the API says",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := set.Load(cmd)
			if err != nil {
				return err
			}
			return runAgent(cmd.Context(), v)
		},
	}
	set.Fixed = agentFixed()
	set.Flags(cmd)
	cmd.AddCommand(statusCommand(), releaseCommand(), viewsCommand(), renameCommand(), acceptCommand())
	return cmd
}

// serviceTypes are the agent types behind the words of [neutrino] services.
var serviceTypes = map[string]string{
	"openvswitch": neutrino.AgentOVS, "dhcp": neutrino.AgentDHCP, "l3": neutrino.AgentL3, "metadata": neutrino.AgentMetadata,
}

func services(s string) error {
	for _, w := range strings.Split(s, ",") {
		if _, ok := serviceTypes[strings.TrimSpace(w)]; !ok {
			return fmt.Errorf("%q is no service; write openvswitch, and any of dhcp, l3, metadata", strings.TrimSpace(w))
		}
	}
	return nil
}

func bridgeMappings(s string) error {
	_, err := parseMappings(s)
	return err
}

// parseMappings reads "<physical network>:<bridge>,…". Two physical networks on
// one bridge would be one network.
func parseMappings(s string) (map[string]string, error) {
	out, taken := map[string]string{}, map[string]string{}
	for _, w := range strings.Split(s, ",") {
		if w = strings.TrimSpace(w); w == "" {
			continue
		}
		physical, bridge, ok := strings.Cut(w, ":")
		physical, bridge = strings.TrimSpace(physical), strings.TrimSpace(bridge)
		switch {
		case !ok || physical == "" || bridge == "" || strings.ContainsAny(bridge, ":/ "):
			return nil, fmt.Errorf("%q is no mapping; write <physical network>:<bridge>", w)
		case out[physical] != "":
			return nil, fmt.Errorf("physical network %q stands twice", physical)
		case taken[bridge] != "":
			return nil, fmt.Errorf("bridge %q carries both %q and %q; give each physical network a bridge of its own", bridge, taken[bridge], physical)
		}
		out[physical], taken[bridge] = bridge, physical
	}
	return out, nil
}

func address(s string) error {
	if s == "" {
		return errors.New("tunnels need it; write the address of this host on the underlay")
	}
	_, err := netip.ParseAddr(s)
	return err
}

// runAgent runs the agent until the context ends. What it built stays.
func runAgent(ctx context.Context, v *config.Values) error {
	log := started(v, "agent")
	if os.Geteuid() != 0 {
		return errors.New("the agent changes namespaces, bridges and rules: run it as root")
	}
	reg, err := registration(v)
	if err != nil {
		return err
	}
	state := v.String("DEFAULT", "state_path")
	if err := os.MkdirAll(state, 0o755); err != nil {
		return fmt.Errorf("[DEFAULT] state_path: %w", err)
	}
	file := viewFile(state)
	home, err := agent.Settle(ctx, state, reg.Host, feed.StoredHost(ctx, file))
	if err != nil {
		return err
	}
	client, err := feed.NewClient(feed.ClientConfig{
		Server: v.String("neutrino", "feed_server"), Exposure: feedExposure(v), Registration: reg, File: file,
		Accepts: true, Views: keptViews(v), Machine: home.Machine, Version: programVersion(),
		Heartbeat: time.Duration(v.Int("agent", "report_interval")) * time.Second,
	})
	if err != nil {
		return feedError("feed_server", err)
	}
	instances, err := metadataService(v)
	if err != nil {
		return err
	}
	instances.TokenKey = tokenKey(state)
	settings := planConfig(v, reg)
	hands, surfaces := agent.RealHands(settings, agent.Places{OVSDB: v.String("ovs", "ovsdb_connection"), OVSRun: v.String("ovs", "run_dir"),
		PortConnections: v.Int("neutrino", "port_conntrack_limit")}, instances)
	log.Info("agent runs", "host", reg.Host, "services", strings.Join(reg.Services, ", "), "local_ip", reg.TunnelIP.String())
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // only systemd wants to know
	return agent.New(agent.Config{
		Host: reg.Host, Plan: settings, Audit: time.Duration(v.Int("neutrino", "audit_interval")) * time.Second,
		Fuse: fuseSettings(v),
	}, agent.Deps{Source: client, Hands: hands, Surfaces: surfaces}).Run(ctx)
}

// planConfig is what this host's settings add to its plan.
func planConfig(v *config.Values, reg neutrino.Registration) plan.Config {
	return plan.Config{
		IntegrationBridge: v.String("ovs", "integration_bridge"), TunnelBridge: v.String("ovs", "tunnel_bridge"),
		DatapathType: v.String("ovs", "datapath_type"), LocalIP: reg.TunnelIP,
		WrapPrefix: v.String("neutrino", "wrap_prefix"), StatePath: v.String("DEFAULT", "state_path"),
		DHCP: plan.DHCPConfig{
			LeaseDuration: v.Int("DEFAULT", "dhcp_lease_duration"), DNSDomain: v.String("DEFAULT", "dns_domain"),
			DNSServers: v.List("DEFAULT", "dnsmasq_dns_servers"), LocalResolv: v.Bool("DEFAULT", "dnsmasq_local_resolv"),
			ConfigFile: v.String("DEFAULT", "dnsmasq_config_file"),
		},
		BridgeMappings: reg.BridgeMappings, Metadata: slices.Contains(reg.Services, neutrino.AgentMetadata),
		IsolatedMetadata: v.Bool("DEFAULT", "enable_isolated_metadata"),
	}
}

// registration is what the agent tells the server of its host.
func registration(v *config.Values) (neutrino.Registration, error) {
	name := v.String("DEFAULT", "host")
	if name == "" {
		var err error
		if name, err = os.Hostname(); err != nil {
			return neutrino.Registration{}, fmt.Errorf("[DEFAULT] host: %w", err)
		}
	}
	local, err := netip.ParseAddr(v.String("ovs", "local_ip"))
	if err != nil {
		return neutrino.Registration{}, fmt.Errorf("[ovs] local_ip: %w", err)
	}
	mappings, err := parseMappings(v.String("ovs", "bridge_mappings"))
	if err != nil {
		return neutrino.Registration{}, fmt.Errorf("[ovs] bridge_mappings: %w", err)
	}
	r := neutrino.Registration{
		Host: name, TunnelIP: local, TunnelTypes: v.List("agent", "tunnel_types"),
		DatapathType: v.String("ovs", "datapath_type"), Bridge: v.String("ovs", "integration_bridge"),
		HybridPlug: true, StartedAt: time.Now().UTC().Truncate(time.Second), Zone: v.String("agent", "availability_zone"),
		BridgeMappings: mappings,
	}
	for _, s := range v.List("neutrino", "services") {
		r.Services = append(r.Services, serviceTypes[s])
	}
	return r, nil
}

// defaultStatePath is the default of [DEFAULT] state_path.
const defaultStatePath = "/var/lib/neutron"

// stateFlag adds the option by which a command finds an agent's directory.
func stateFlag(cmd *cobra.Command, state *string) {
	cmd.Flags().StringVar(state, "state-path", defaultStatePath, "the agent's state_path")
}

// noAgent says what to look at when an agent does not answer.
func noAgent(err error, state string) error {
	return fmt.Errorf("%w (is the agent running, with state_path %s?)", err, state)
}

// printJSON writes a value for programs.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func statusCommand() *cobra.Command {
	var state, format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what of this host is not as wanted, and why",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := agent.ReadStatus(cmd.Context(), agent.SocketPath(state))
			if err != nil {
				return noAgent(err, state)
			}
			if format == "json" {
				return printJSON(cmd.OutOrStdout(), s)
			}
			printStatus(cmd.OutOrStdout(), s)
			return nil
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

// renameCommand gives a host's state directory to another name.
func renameCommand() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "rename-host NAME",
		Short: "Let this host's agent start under another name",
		Long: "Let this host's agent start under another name. To the server that is another host: when the agent starts, " +
			"what the host does under its old name ends. Move its instances, routers and networks away first.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, err := agent.Rename(cmd.Context(), state, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s belonged to host %s and belongs to %s now; set [DEFAULT] host = %s and start the agent\n", state, old, args[0], args[0])
			return nil
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

// programVersion is the version of this program, as the Go tool stamped it: the
// module's, or the revision that it was built from.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (version == "" || version == "(devel)") {
			version = s.Value
		}
	}
	return cmp.Or(version, "unknown")
}

func printStatus(w io.Writer, s agent.Status) {
	server := "connected"
	switch {
	case s.Refused:
		server = "TURNED AWAY, working by what it has and trying again: " + s.Problem
	case !s.Connected:
		server = "not connected: " + s.Problem
	}
	if s.NotUsed != "" {
		server += "; its view is not used"
	}
	if s.Stored {
		server += "; working from the view on this host's disk"
	}
	fmt.Fprintf(w, "host      %s\nserver    %s\nrevision  %d\nlast pass %s, %v, %d put, %d dropped\n",
		s.Host, server, s.Revision, s.LastSync.Format(time.DateTime), s.Took.Round(100*time.Microsecond), s.Puts, s.Drops)
	if len(s.ServerKnows) > 0 {
		fmt.Fprintf(w, "versions  the server (%s) knows what this agent (%s) does not; objects with it are refused here: %s\n",
			s.ServerVersion, programVersion(), strings.Join(s.ServerKnows, ", "))
	}
	if s.Fuse != nil {
		printHeld(w, s.Fuse, shownHeld)
	}
	for _, group := range []struct {
		name string
		list []agent.Trouble
	}{{"waiting", s.Pending}, {"failing", s.Errors}, {"noticed", s.Noticed}} {
		more := map[string]int{}
		for _, t := range group.list {
			more[t.Object]++
		}
		object := ""
		for _, t := range group.list { // sorted by object
			if t.Object == object {
				continue
			}
			object = t.Object
			fmt.Fprintf(w, "%s   %s since %s: %s\n", group.name, t.Object, t.Since.Format(time.DateTime), t.Reason)
			if n := more[object] - 1; n > 0 {
				fmt.Fprintf(w, "          and %d more of it; -o json lists all\n", n)
			}
		}
	}
	for _, m := range s.Metering {
		fmt.Fprintf(w, "metered   %s on %s: %d packets, %d bytes\n",
			neutrino.MeteringLabelObject(m.Label), neutrino.RouterObject(m.Router), m.Packets, m.Bytes)
	}
	if s.MeteringProblem != "" {
		fmt.Fprintln(w, "metered   not all could be read:", s.MeteringProblem)
	}
	printConntrack(w, s)
	for _, r := range s.Repaired {
		fmt.Fprintf(w, "repaired  %s at %s: %d of %s that others had changed\n", r.Object, r.At.Format(time.DateTime), r.Items, r.Surface)
	}
	if len(s.Pending)+len(s.Errors)+len(s.Noticed) == 0 && s.Fuse == nil {
		fmt.Fprintln(w, "everything is as wanted")
	}
}

// printConntrack says how full the connection tables are.
func printConntrack(w io.Writer, s agent.Status) {
	for _, t := range s.Conntrack {
		fmt.Fprintf(w, "conntrack %s: %d of %d connections\n", cmp.Or(t.NetNS, "this host"), t.Count, t.Max)
		for _, u := range t.Largest {
			fmt.Fprintf(w, "          %s has %d\n", u.Object, u.Connections)
		}
	}
	if s.ConntrackProblem != "" {
		fmt.Fprintln(w, "conntrack not known:", s.ConntrackProblem)
	}
}
