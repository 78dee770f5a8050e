package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"neutrino"
	"neutrino/api"
	"neutrino/api/admission"
	"neutrino/config"
	"neutrino/feed"
	"neutrino/intent"
	"neutrino/intent/failover"
)

// serverOptions are what `neutrino server` understands, with Neutron's names.
var serverOptions = []config.Option{
	{Section: "DEFAULT", Name: "bind_host", Default: "127.0.0.1", Help: "address of the API"},
	{Section: "DEFAULT", Name: "bind_port", Default: "9696", Help: "port of the API", Check: config.Number},
	{Section: "DEFAULT", Name: "state_path", Default: defaultStatePath, Help: "directory of the server's files"},
	{Section: "DEFAULT", Name: "debug", Default: "false", Help: "log more", Check: config.Boolean},
	{Section: "DEFAULT", Name: "base_mac", Default: "fa:16:3e:00:00:00", Help: "first three or four octets of generated MAC addresses"},
	{Section: "DEFAULT", Name: "dns_domain", Default: "openstacklocal", Help: "domain of the instances' names"},
	{Section: "DEFAULT", Name: "global_physnet_mtu", Default: "1500", Help: "MTU of the underlay, bytes", Check: config.Number},
	{Section: "DEFAULT", Name: "dhcp_agents_per_network", Default: "1", Help: "hosts that serve a network with DHCP", Check: config.Number},
	{Section: "DEFAULT", Name: "agent_down_time", Default: "75", Help: "seconds without a word from a host after which it counts as dead; more than twice report_interval", Check: config.Number},
	{Section: "DEFAULT", Name: "max_dns_nameservers", Default: "5", Help: "nameservers of a subnet", Check: config.Number},
	{Section: "DEFAULT", Name: "max_subnet_host_routes", Default: "20", Help: "host routes of a subnet", Check: config.Number},
	{Section: "DEFAULT", Name: "max_routes", Default: "30", Help: "extra routes of a router", Check: config.Number},
	{Section: "DEFAULT", Name: "enable_snat_by_default", Default: "true", Help: "gateways that do not say have source NAT", Check: config.Boolean},
	{Section: "DEFAULT", Name: "max_allowed_address_pair", Default: "10", Help: "allowed address pairs of a port", Check: config.Number},
	{Section: "DEFAULT", Name: "pagination_max_limit", Default: "-1", Help: "longest page of a list, -1 for no limit", Check: config.Number},
	{Section: "DEFAULT", Name: "allow_bulk", Default: "true", Help: "accept several objects in one POST", Check: config.Boolean},
	{Section: "DEFAULT", Name: "network_link_prefix", Help: "scheme, host and path of links in answers, instead of the request's"},
	{Section: "database", Name: "connection", Default: "sqlite:///$state_path/neutron.sqlite", Help: "the store"},
	{Section: "oslo_middleware", Name: "max_request_body_size", Default: strconv.Itoa(api.DefaultMaxBody), Help: "longest body of a request, bytes", Check: positive},
	{Section: "ml2", Name: "type_drivers", Default: "flat,vlan,gre,vxlan,geneve", Help: "types that networks can have", Check: typeDrivers},
	{Section: "ml2", Name: "external_network_type", Help: "type of external networks whose segment nobody names; none for projects' types", Check: externalType},
	{Section: "ml2", Name: "project_network_types", Old: "tenant_network_types", Default: "gre,vxlan,geneve", Help: "types of projects' networks, in order of preference", Check: projectTypes},
	{Section: "ml2", Name: "path_mtu", Default: "0", Help: "MTU of the path between tunnel endpoints, bytes, 0 for global_physnet_mtu", Check: config.Number},
	{Section: "ml2", Name: "physical_network_mtus", Help: "MTUs of physical networks, bytes: <physical network>:<MTU>,…", Check: physicalMTUs},
	{Section: "ml2", Name: "overlay_ip_version", Default: "4", Help: "IP version of the tunnel endpoints", Check: config.OneOf("4", "6")},
	{Section: "ml2_type_gre", Name: "tunnel_id_ranges", Default: "1:1000", Help: "keys of GRE networks", Check: idRanges},
	{Section: "ml2_type_vxlan", Name: "vni_ranges", Default: "1:1000", Help: "VNIs of VXLAN networks", Check: idRanges},
	{Section: "ml2_type_geneve", Name: "vni_ranges", Default: "1:1000", Help: "VNIs of Geneve networks", Check: idRanges},
	{Section: "ml2_type_flat", Name: "flat_networks", Default: "*", Help: "physical networks that may be a flat network, * for any"},
	{Section: "ml2_type_vlan", Name: "network_vlan_ranges", Help: "VLANs of physical networks: <physical network>[:<first>:<last>],…; none for any that a host reaches", Check: vlanRanges},
	{Section: "neutrino", Name: "reschedule_interval", Default: "1", Help: "seconds between two looks for dead agents, whose routers and networks move", Check: positive},
	{Section: "neutrino", Name: "reschedule_most", Default: "50", Help: "routers and networks that move at one look at most", Check: positive},
	{Section: "neutrino", Name: "feed_listen", Default: "unix:$state_path/feed.sock", Help: "where agents connect: unix:/path, or a loopback address:port"},
	{Section: "neutrino", Name: "metrics_listen", Help: "address:port where /metrics shows figures for Prometheus; none for nowhere"},
	{Section: "neutrino", Name: "api_names", Help: "names and addresses by which clients reach the API beside localhost and the server's own addresses, for auth_strategy = noauth and http_basic"},
	{Section: "neutrino", Name: allowOpenAPI, Default: "false", Help: "with auth_strategy = noauth, accept clients of the API beyond loopback: each of them is an administrator", Check: config.Boolean},
	{Section: "neutrino", Name: allowOpenFeed, Default: "false", Help: "accept agents beyond loopback, unencrypted: whoever reaches feed_listen reads and reports as any host", Check: config.Boolean},
}

func serverCommand() *cobra.Command {
	set := &config.Set{Options: slices.Concat(serverOptions, quotaOptions(), identityOptions(), novaOptions())}
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Serve the Networking API v2.0 and feed the agents",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := set.Load(cmd)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), v)
		},
	}
	set.Fixed = serverFixed()
	set.Flags(cmd)
	cmd.AddCommand(policyCommand(), initCommand(), signCommand(), checkFileCommand())
	return cmd
}

// serve runs the server until the context ends.
func serve(ctx context.Context, v *config.Values) error {
	log := started(v, "server")
	settings, err := intentConfig(v)
	if err != nil {
		return err
	}
	options, err := apiOptions(v, log)
	if err != nil {
		return err
	}
	listeners, err := listen(ctx, v)
	if err != nil {
		return err
	}
	db, done, err := openStore(ctx, v)
	if err != nil {
		return err
	}
	defer done()
	svc := intent.New(db, settings)
	if err := svc.Adopt(ctx); err != nil {
		return err
	}
	agents, err := feed.Listen(ctx, v.String("neutrino", "feed_listen"), feedExposure(v))
	if err != nil {
		return feedError("feed_listen", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	hosts, figures := feed.NewServer(db, handlers(svc)), newMeasures()
	group.Go(func() error { return hosts.Serve(ctx, agents) })
	if err := tellNova(ctx, group, notifying{v, svc, figures}); err != nil {
		return err
	}
	mover := failover.New(svc, failover.Options{
		Interval: time.Duration(v.Int("neutrino", "reschedule_interval")) * time.Second, Most: v.Int("neutrino", "reschedule_most"),
	})
	group.Go(func() error { return mover.Run(ctx) })
	figures.watch(svc, hosts, mover)
	if address := v.String("neutrino", "metrics_listen"); address != "" {
		if err := figures.serve(ctx, group, address); err != nil {
			return err
		}
	}
	options.Ready, options.Observe, options.Share = ready(hosts, db.Check, mover.Ready), figures.observe, admission.NewDesk(machineMemory())
	limits := figures.watchLimits(ctx, group, newSpaces(db, settings, v), options.Policy)
	options.Notes = func() []string { return append(limits(), mover.Notes()...) }
	handler, err := api.New(svc, db, options)
	if err != nil {
		return err
	}
	server, listeners := apiServer(ctx, handler, listeners)
	serveAPI(ctx, group, server, listeners)
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // only systemd wants to know
	if err := group.Wait(); err != nil && !isClosed(err) {
		return err
	}
	return nil
}

// serveAPI serves on every listener, and finishes what it has begun when ctx
// ends.
func serveAPI(ctx context.Context, group *errgroup.Group, server *http.Server, listeners []net.Listener) {
	for _, ln := range listeners {
		slog.Info("API is served", "address", ln.Addr().String())
		group.Go(func() error { return server.Serve(ln) })
	}
	group.Go(func() error {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return server.Shutdown(last)
	})
}

// apiOptions are what the configuration says about the API.
func apiOptions(v *config.Values, log *slog.Logger) (api.Options, error) {
	o := api.Options{
		LinkPrefix: v.String("DEFAULT", "network_link_prefix"), MaxPage: v.Int("DEFAULT", "pagination_max_limit"),
		RefuseBulk: !v.Bool("DEFAULT", "allow_bulk"), Door: doorOf(v), MaxBody: int64(v.Int("oslo_middleware", "max_request_body_size")), Log: log,
	}
	var err error
	if o.Auth, err = authenticator(v); err != nil {
		return o, err
	}
	o.Policy, err = policies(v, log)
	return o, err
}

// started sets the log up and says what in the files is not used.
func started(v *config.Values, what string) *slog.Logger {
	level := slog.LevelInfo
	if v.Bool("DEFAULT", "debug") {
		level = slog.LevelDebug
	}
	log := logger(level)
	slog.SetDefault(log)
	for _, w := range v.Warnings {
		log.Warn("configuration: "+w, "command", what)
	}
	return log
}

// handlers let the feed tell intent what agents say.
func handlers(svc *intent.Service) feed.Handlers {
	// Several heartbeats fit in a down time, also in a short one.
	beats := min(neutrino.AgentReportTime, svc.Config().AgentDownTime*2/5)
	server := intent.Caller{ProjectID: "", Admin: true}
	do := func(ctx context.Context, f func(*intent.Tx) error) error { return svc.Do(ctx, server, f) }
	return feed.Handlers{
		Version: programVersion(), BeatInterval: beats, Heard: svc.Judge().Heard,
		Register: func(ctx context.Context, r neutrino.Registration) error {
			return do(ctx, func(tx *intent.Tx) error { return intent.Register(tx, r) })
		},
		Heartbeat: func(ctx context.Context, host string) error {
			return do(ctx, func(tx *intent.Tx) error { return intent.Heartbeat(tx, host) })
		},
		Report: func(ctx context.Context, r neutrino.Report, settled func(neutrino.ID) bool) error {
			return do(ctx, func(tx *intent.Tx) error { return intent.Report(tx, r, settled) })
		},
	}
}

// listen opens the API's address, and takes over the sockets that systemd
// hands in. Without authentication everybody who can connect is an
// administrator, so other addresses than loopback have to be asked for.
func listen(ctx context.Context, v *config.Values) ([]net.Listener, error) {
	handed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	var out []net.Listener
	for _, ln := range handed {
		if ln != nil {
			out = append(out, ln)
		}
	}
	host := v.String("DEFAULT", "bind_host")
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, v.String("DEFAULT", "bind_port")))
	if err != nil {
		return nil, fmt.Errorf("[DEFAULT] bind_host, bind_port: %w", err)
	}
	out = append(out, ln)
	return out, checkExposure(v, out)
}

func intentConfig(v *config.Values) (intent.Config, error) {
	c := intent.DefaultConfig()
	if err := chooseTypes(v, &c); err != nil {
		return c, err
	}
	c.TunnelRanges = map[neutrino.NetworkType][]intent.Range{}
	for t, option := range map[neutrino.NetworkType][2]string{
		neutrino.GRE: {"ml2_type_gre", "tunnel_id_ranges"}, neutrino.VXLAN: {"ml2_type_vxlan", "vni_ranges"}, neutrino.Geneve: {"ml2_type_geneve", "vni_ranges"},
	} {
		for _, r := range v.List(option[0], option[1]) {
			parsed, err := parseRange(r)
			if err != nil {
				return c, fmt.Errorf("[%s] %s: %w", option[0], option[1], err)
			}
			c.TunnelRanges[t] = append(c.TunnelRanges[t], parsed)
		}
	}
	var err error
	if c.PhysicalNetworkMTUs, err = parseMTUs(v.String("ml2", "physical_network_mtus")); err != nil {
		return c, fmt.Errorf("[ml2] physical_network_mtus: %w", err)
	}
	if c.NetworkVLANRanges, err = parseVLANs(v.String("ml2_type_vlan", "network_vlan_ranges")); err != nil {
		return c, fmt.Errorf("[ml2_type_vlan] network_vlan_ranges: %w", err)
	}
	c.FlatNetworks = v.List("ml2_type_flat", "flat_networks")
	mac, err := neutrino.ParseMAC(v.String("DEFAULT", "base_mac"))
	if err != nil {
		return c, fmt.Errorf("[DEFAULT] base_mac: %w", err)
	}
	c.BaseMAC = mac
	c.GlobalPhysnetMTU, c.PathMTU = v.Int("DEFAULT", "global_physnet_mtu"), v.Int("ml2", "path_mtu")
	c.OverlayIPVersion = v.Int("ml2", "overlay_ip_version")
	c.DHCPAgentsPerNetwork = v.Int("DEFAULT", "dhcp_agents_per_network")
	c.MaxDNSNameservers, c.MaxHostRoutes = v.Int("DEFAULT", "max_dns_nameservers"), v.Int("DEFAULT", "max_subnet_host_routes")
	c.MaxRoutes, c.SNATByDefault = v.Int("DEFAULT", "max_routes"), v.Bool("DEFAULT", "enable_snat_by_default")
	c.MaxAllowedAddressPair = v.Int("DEFAULT", "max_allowed_address_pair")
	c.Quotas = quotas(v)
	c.DNSDomain = v.String("DEFAULT", "dns_domain")
	c.AgentDownTime = time.Duration(v.Int("DEFAULT", "agent_down_time")) * time.Second
	c.TellNova = toldOf(v)
	return c, nil
}

func parseRange(s string) (intent.Range, error) {
	low, high, ok := strings.Cut(s, ":")
	a, err1 := strconv.ParseInt(low, 10, 64)
	b, err2 := strconv.ParseInt(high, 10, 64)
	if !ok || err1 != nil || err2 != nil || a < 1 || b < a {
		return intent.Range{}, fmt.Errorf("%q is no range; write <first>:<last>", s)
	}
	return intent.Range{Min: a, Max: b}, nil
}

func idRanges(s string) error {
	for _, r := range strings.Split(s, ",") {
		if _, err := parseRange(strings.TrimSpace(r)); err != nil {
			return err
		}
	}
	return nil
}

// projectTypes are the types that a project's network can get by itself.
func projectTypes(s string) error {
	for _, t := range strings.Split(s, ",") {
		if t = strings.TrimSpace(t); neutrino.NetworkType(t) != neutrino.VLAN && networkTypes(t) != nil {
			return fmt.Errorf("%q is not supported; write some of gre, vxlan, geneve, vlan", t)
		}
	}
	return nil
}

func networkTypes(s string) error {
	for _, t := range strings.Split(s, ",") {
		if !neutrino.NetworkType(strings.TrimSpace(t)).IsTunnel() {
			return fmt.Errorf("%q is not supported; write some of gre, vxlan, geneve", t)
		}
	}
	return nil
}

func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || errors.Is(err, context.Canceled)
}
