package agent

import (
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"

	"neutrino/host"
	"neutrino/host/conntrack"
	"neutrino/host/file"
	"neutrino/host/iptables"
	"neutrino/host/link"
	"neutrino/host/openflow"
	"neutrino/host/ovsdb"
	"neutrino/host/process"
	"neutrino/plan"
	"neutrino/plan/names"
)

// Places is where the host keeps what the hands work on. A zero value stands
// for the usual places.
type Places struct {
	OVSDB    string // ovsdb-server, "unix:/run/openvswitch/db.sock"
	OVSRun   string // ovs-vswitchd's sockets, "/run/openvswitch"
	NetNSDir string // names of network namespaces, "/run/netns"
}

const (
	defaultOVSDB  = "unix:/run/openvswitch/db.sock"
	defaultOVSRun = "/run/openvswitch"
)

// RealHands is the hands on the host that the process runs on, and their
// surfaces, for [Deps]. Nothing is read or opened before [Agent.Run].
func RealHands(c plan.Config, p Places) (Hands, []any) {
	if p.OVSDB == "" {
		p.OVSDB = defaultOVSDB
	}
	if p.OVSRun == "" {
		p.OVSRun = defaultOVSRun
	}
	dhcp := filepath.Join(c.StatePath, "dhcp")
	ovs, dhcpChains := names.OVSChains(c.WrapPrefix), names.DHCPChains(c.WrapPrefix)
	db := ovsdb.New(ovsdb.Options{Socket: p.OVSDB, IntegrationBridge: c.IntegrationBridge})
	flows := openflow.New(openflow.Options{
		RunDir:  p.OVSRun,
		Bridges: func() []string { return []string{c.IntegrationBridge, c.TunnelBridge} },
	})
	links := link.New(link.Options{RunDir: p.NetNSDir, Prefixes: []string{names.DHCPNamespacePrefix}})
	expect := &expectations{links: links}
	tables := iptables.New(iptables.Options{
		Prefixes:   []string{ovs.Prefix(), dhcpChains.Prefix()},
		Chains:     []string{ovs.FilterTop(), ovs.PostroutingBottom()},
		Namespaces: expect.list,
		NetNSDir:   p.NetNSDir,
	})
	zones := conntrack.New()
	files := file.New([]string{dhcp})
	processes := process.New(process.Options{Root: dhcp, NetNSDir: p.NetNSDir})
	return Hands{
		Namespaces: links.Namespaces(), Links: links.Links(), Addresses: links.Addresses(),
		Routes: links.Routes(), Sysctls: links.Sysctls(),
		Bridges: db.Bridges(), OVSPorts: db.Ports(), VIFs: db.VIFs(), Flows: flows,
		Sets: tables.Sets(), Chains: tables.Chains(), Hooks: tables.Hooks(),
		Zones: zones, Files: files, Processes: processes,
	}, []any{db, flows, links, expect, tables, zones, files, processes}
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
