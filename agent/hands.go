package agent

import (
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"

	"neutrino"
	"neutrino/host"
	"neutrino/host/conntrack"
	"neutrino/host/file"
	"neutrino/host/iptables"
	"neutrino/host/lease"
	"neutrino/host/link"
	"neutrino/host/openflow"
	"neutrino/host/ovsdb"
	"neutrino/host/probe"
	"neutrino/host/process"
	"neutrino/host/ra"
	"neutrino/metadata"
	"neutrino/plan"
	"neutrino/plan/names"
)

// Places is where the host keeps what the hands work on. A zero value stands
// for the usual places.
type Places struct {
	OVSDB    string // ovsdb-server, "unix:/run/openvswitch/db.sock"
	OVSRun   string // ovs-vswitchd's sockets, "/run/openvswitch"
	NetNSDir string // names of network namespaces, "/run/netns"
	// PortConnections is how many connections one port may have on the host
	// ([neutrino] port_conntrack_limit); no limit where it is 0.
	PortConnections int
}

const (
	defaultOVSDB  = "unix:/run/openvswitch/db.sock"
	defaultOVSRun = "/run/openvswitch"
)

// RealHands is the hands on the host that the process runs on, and their
// surfaces, for [Deps]. Nothing is read or opened before [Agent.Run]. The
// metadata service answers from the view that the agent has.
func RealHands(c plan.Config, p Places, m metadata.Options) (Hands, []any) {
	if p.OVSDB == "" {
		p.OVSDB = defaultOVSDB
	}
	if p.OVSRun == "" {
		p.OVSRun = defaultOVSRun
	}
	dhcp := filepath.Join(c.StatePath, "dhcp")
	ovs, chains := names.OVSChains(c.WrapPrefix), chainPrefixes(c.WrapPrefix)
	db := ovsdb.New(ovsdb.Options{Socket: p.OVSDB, IntegrationBridge: c.IntegrationBridge})
	flows := openflow.New(openflow.Options{
		RunDir:  p.OVSRun,
		Bridges: func() []string { return []string{c.IntegrationBridge, c.TunnelBridge} },
		Shared:  func() []string { return providerBridges(c) },
	})
	links := link.New(link.Options{RunDir: p.NetNSDir, Prefixes: []string{names.DHCPNamespacePrefix, names.RouterNamespacePrefix}})
	expect := &expectations{links: links}
	tables := iptables.New(iptables.Options{
		Prefixes:   chains,
		Chains:     []string{ovs.FilterTop(), ovs.PostroutingBottom()},
		Namespaces: expect.list,
		NetNSDir:   p.NetNSDir,
	})
	zones := conntrack.New()
	files := file.New([]string{dhcp})
	processes := process.New(process.Options{Root: dhcp, NetNSDir: p.NetNSDir})
	leases := lease.New(lease.Options{Root: dhcp, NetNSDir: p.NetNSDir})
	limiter := conntrack.NewLimiter(conntrack.LimitOptions{PerPort: p.PortConnections, NetNSDir: p.NetNSDir, HostObject: neutrino.HostObject})
	translations := conntrack.NewTranslations(conntrack.Options{NetNSDir: p.NetNSDir})
	adverts := ra.New(ra.Options{NetNSDir: p.NetNSDir})
	probes := probe.New(probe.Options{NetNSDir: p.NetNSDir})
	counters := &meters{chains: names.MeterChains(c.WrapPrefix), tables: tables}
	instances := &metadata.Directory{}
	m.NetNSDir, m.Lookup = p.NetNSDir, instances.Find
	listeners := metadata.New(m)
	return Hands{
		Namespaces: links.Namespaces(), Links: links.Links(), Addresses: links.Addresses(),
		Routes: links.Routes(), Sysctls: links.Sysctls(),
		Bridges: db.Bridges(), OVSPorts: db.Ports(), VIFs: db.VIFs(), Flows: flows,
		Sets: tables.Sets(), Chains: tables.Chains(), Hooks: tables.Hooks(),
		Zones: zones, Files: files, Processes: processes,
		Leases: leases, Translations: translations, Adverts: adverts, Listeners: listeners,
	}, []any{db, flows, links, expect, tables, zones, files, processes, leases, translations, limiter, adverts, probes, counters, instances, listeners}
}

// chainPrefixes begin the chains of the agents whose work this one does.
func chainPrefixes(first string) []string {
	return []string{names.OVSChains(first).Prefix(), names.DHCPChains(first).Prefix(), names.L3Chains(first).Prefix(),
		names.MeterChains(first).Prefix()}
}

// providerBridges are the operator's bridges that physical networks are on.
func providerBridges(c plan.Config) []string {
	all := slices.Sorted(maps.Values(c.BridgeMappings))
	return slices.Compact(all)
}

// expectations tells hands what a plan names, where that is more than its part:
// a kernel setting has no mark of ours, and chains are looked for in the
// namespaces that are planned.
type expectations struct {
	links      *link.Hands
	namespaces atomic.Pointer[[]string]
}

// Expect takes a new plan in, before it is reconciled.
func (e *expectations) Expect(s *host.State) {
	e.links.ExpectSysctls(slices.Collect(maps.Keys(s.Sysctls))...)
	list := slices.Sorted(maps.Keys(s.Namespaces))
	e.namespaces.Store(&list)
}

func (e *expectations) list() []string {
	if l := e.namespaces.Load(); l != nil {
		return *l
	}
	return nil
}
