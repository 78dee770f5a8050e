package agent

import (
	"context"
	"slices"

	"neutrino"
	"neutrino/host"
	"neutrino/host/conntrack"
	"neutrino/host/file"
	"neutrino/host/iptables"
	"neutrino/host/lease"
	"neutrino/host/process"
	"neutrino/host/ra"
	"neutrino/reconcile"
)

// Hands is one hand for each surface of a host.
type Hands struct {
	Namespaces reconcile.Hand[string, host.Namespace]
	Bridges    reconcile.Hand[string, host.Bridge]
	OVSPorts   reconcile.Hand[string, host.OVSPort]
	VIFs       reconcile.Hand[string, host.VIF]
	Links      reconcile.Hand[host.LinkKey, host.Link]
	Addresses  reconcile.Hand[host.AddressKey, host.Address]
	Routes     reconcile.Hand[host.RouteKey, host.Route]
	Sysctls    reconcile.Hand[host.SysctlKey, host.Sysctl]
	Sets       reconcile.Hand[host.SetKey, host.Set]
	Chains     reconcile.Hand[host.ChainKey, host.Chain]
	Hooks      reconcile.Hand[host.HookKey, host.Hook]
	Zones      reconcile.Hand[uint16, host.Zone]
	Flows      reconcile.Hand[host.FlowKey, host.Flow]
	Files      reconcile.Hand[string, host.File]
	Processes  reconcile.Hand[string, host.Process]
	// Leases may have a method Present, which says what of a plan's leases there
	// is; Flows a method Canonicalise, which gives a plan's flows the form that
	// Read has.
	Leases       reconcile.Hand[host.LeaseKey, host.Lease]
	Translations reconcile.Hand[string, host.Translation]
	Adverts      reconcile.Hand[host.AdvertKey, host.Advert]
	Listeners    reconcile.Hand[host.ListenerKey, host.Listener]
}

type step = reconcile.Step[*host.State]

type part[K comparable, V any] = reconcile.Part[*host.State, K, V]

// Steps is the order in which a host is built; it is taken down in the reverse
// order. What a thing rests on comes before it, and a port gets its live VLAN
// last of all.
func Steps(h Hands) []step { return slices.Concat(wires(h), filters(h), services(h)) }

// wires are the devices, and how they are set and addressed.
func wires(h Hands) []step {
	iso := &isolation{vifs: h.VIFs}
	return []step{
		&part[string, host.Namespace]{Name: "namespaces", Hand: h.Namespaces,
			Want:   func(s *host.State) map[string]host.Namespace { return s.Namespaces },
			Same:   func(a, b host.Namespace) bool { a.Why = b.Why; return a == b },
			Object: func(v host.Namespace) string { return v.Why.Object }},
		&part[host.LinkKey, host.Link]{Name: "links", Hand: h.Links,
			Want:   func(s *host.State) map[host.LinkKey]host.Link { return s.Links },
			Same:   sameLink,
			Object: func(v host.Link) string { return v.Why.Object }},
		&part[string, host.Bridge]{Name: "bridges", Hand: h.Bridges,
			Want:   func(s *host.State) map[string]host.Bridge { return s.Bridges },
			Same:   func(a, b host.Bridge) bool { a.Why = b.Why; return a == b },
			Object: func(v host.Bridge) string { return v.Why.Object }},
		// A VIF that came without isolation is on every VLAN: that ends first.
		&part[string, host.VIF]{Name: "isolation", Hand: iso,
			Want:   iso.want,
			Same:   func(_, _ host.VIF) bool { return false },
			Object: func(v host.VIF) string { return v.Why.Object },
			Needs:  func(host.VIF) []string { return nil }},
		&part[string, host.OVSPort]{Name: "ovs ports", Hand: h.OVSPorts,
			Want:   func(s *host.State) map[string]host.OVSPort { return s.OVSPorts },
			Same:   func(a, b host.OVSPort) bool { a.Why = b.Why; return a == b },
			Object: func(v host.OVSPort) string { return v.Why.Object }},
		&part[host.SysctlKey, host.Sysctl]{Name: "sysctls", Hand: h.Sysctls,
			Want:   func(s *host.State) map[host.SysctlKey]host.Sysctl { return s.Sysctls },
			Same:   func(a, b host.Sysctl) bool { a.Why = b.Why; return a == b },
			Object: func(v host.Sysctl) string { return v.Why.Object }},
		&part[host.AddressKey, host.Address]{Name: "addresses", Hand: h.Addresses,
			Want:   func(s *host.State) map[host.AddressKey]host.Address { return s.Addresses },
			Same:   func(_, _ host.Address) bool { return true }, // that it is there is all
			Object: func(v host.Address) string { return v.Why.Object }},
		&part[host.RouteKey, host.Route]{Name: "routes", Hand: h.Routes,
			Want:   func(s *host.State) map[host.RouteKey]host.Route { return s.Routes },
			Same:   func(a, b host.Route) bool { a.Why = b.Why; return a == b },
			Object: func(v host.Route) string { return v.Why.Object }},
	}
}

// filters are what filters, translates and forwards.
func filters(h Hands) []step {
	return []step{
		&part[host.SetKey, host.Set]{Name: "sets", Hand: h.Sets,
			Want:   func(s *host.State) map[host.SetKey]host.Set { return s.Sets },
			Same:   iptables.SameSet,
			Object: func(v host.Set) string { return v.Why.Object }},
		&part[host.ChainKey, host.Chain]{Name: "chains", Hand: h.Chains,
			Want:   func(s *host.State) map[host.ChainKey]host.Chain { return s.Chains },
			Same:   iptables.SameChain,
			Object: func(v host.Chain) string { return v.Why.Object }},
		&part[host.HookKey, host.Hook]{Name: "hooks", Hand: h.Hooks,
			Want:   func(s *host.State) map[host.HookKey]host.Hook { return s.Hooks },
			Same:   iptables.SameHook,
			Object: func(v host.Hook) string { return v.Why.Object }},
		&part[uint16, host.Zone]{Name: "conntrack zones", Hand: h.Zones,
			Want:   func(s *host.State) map[uint16]host.Zone { return s.Zones },
			Same:   conntrack.Same,
			Object: func(v host.Zone) string { return v.Why.Object }},
		&part[string, host.Translation]{Name: "tracked NAT", Hand: h.Translations,
			Want:   func(s *host.State) map[string]host.Translation { return s.Translations },
			Same:   conntrack.SameTranslation,
			Object: func(v host.Translation) string { return v.Why.Object }},
		&part[host.FlowKey, host.Flow]{Name: "flows", Hand: h.Flows,
			Want:   canonicalFlows(h),
			Same:   func(a, b host.Flow) bool { a.Why = b.Why; return a == b },
			Object: func(v host.Flow) string { return v.Why.Object }},
	}
}

// services are what serves, and then who takes part.
func services(h Hands) []step {
	return []step{
		// A lease of an address that is another's now goes before the new owner is let in.
		&part[host.LeaseKey, host.Lease]{Name: "leases", Hand: h.Leases,
			Want:   presentLeases(h),
			Same:   lease.Same,
			Object: func(v host.Lease) string { return v.Why.Object }},
		&part[string, host.File]{Name: "files", Hand: h.Files,
			Want:   func(s *host.State) map[string]host.File { return s.Files },
			Same:   file.Same,
			Object: func(v host.File) string { return v.Why.Object }},
		&part[string, host.Process]{Name: "processes", Hand: h.Processes,
			Want:   func(s *host.State) map[string]host.Process { return s.Processes },
			Same:   process.Same,
			Object: func(v host.Process) string { return v.Why.Object }},
		&part[host.AdvertKey, host.Advert]{Name: "router advertisements", Hand: h.Adverts,
			Want:   func(s *host.State) map[host.AdvertKey]host.Advert { return s.Adverts },
			Same:   ra.Same,
			Object: func(v host.Advert) string { return v.Why.Object }},
		&part[host.ListenerKey, host.Listener]{Name: "metadata sockets", Hand: h.Listeners,
			Want:   func(s *host.State) map[host.ListenerKey]host.Listener { return s.Listeners },
			Same:   func(a, b host.Listener) bool { a.Why = b.Why; return a == b },
			Object: func(v host.Listener) string { return v.Why.Object }},
		&part[string, host.VIF]{Name: "vifs", Hand: h.VIFs,
			Want:   func(s *host.State) map[string]host.VIF { return s.VIFs },
			Same:   func(a, b host.VIF) bool { a.Why = b.Why; return a == b },
			Object: func(v host.VIF) string { return v.Why.Object },
			Needs:  vifNeeds, Gate: true},
	}
}

// sameLink takes any MAC of the peer where the plan names none.
func sameLink(have, want host.Link) bool {
	if want.PeerMAC == "" {
		have.PeerMAC = ""
	}
	have.Why = want.Why
	return have == want
}

// canonicalFlows is a plan's flows in the form that the hand reads. A flow whose
// text is wrong stays as it is: Apply names it.
func canonicalFlows(h Hands) func(*host.State) map[host.FlowKey]host.Flow {
	type flows = map[host.FlowKey]host.Flow
	c, ok := h.Flows.(interface {
		Canonicalise(flows) (flows, error)
	})
	return func(s *host.State) flows {
		if !ok {
			return s.Flows
		}
		out, _ := c.Canonicalise(s.Flows)
		return out
	}
}

// presentLeases is what of a plan's leases the hand has found: nobody makes
// leases but the server.
func presentLeases(h Hands) func(*host.State) map[host.LeaseKey]host.Lease {
	type leases = map[host.LeaseKey]host.Lease
	p, ok := h.Leases.(interface{ Present(leases) leases })
	return func(s *host.State) leases {
		if !ok {
			return s.Leases
		}
		return p.Present(s.Leases)
	}
}

// vifNeeds is what a VIF waits for: its own port's items, what all ports of the
// host share, and what their filters rest on. The way to the dead VLAN waits for nothing.
func vifNeeds(v host.VIF) []string {
	if v.Dead {
		return nil
	}
	return []string{v.Why.Object, neutrino.HostObject, neutrino.FirewallObject}
}

// isolation is the hand on plugged interfaces that are on no VLAN, which to
// Open vSwitch means on every VLAN. It puts those of the plan on the dead VLAN;
// those of no plan the last step takes there.
type isolation struct {
	vifs reconcile.Hand[string, host.VIF]
	open map[string]host.VIF // as last read
}

// Read is the interfaces on no VLAN.
func (i *isolation) Read(ctx context.Context) (map[string]host.VIF, error) {
	have, err := i.vifs.Read(ctx)
	i.open = map[string]host.VIF{}
	for id, v := range have {
		if v.Tag == 0 && !v.Dead {
			i.open[id] = v
		}
	}
	return i.open, err
}

// Apply passes puts on.
func (i *isolation) Apply(ctx context.Context, d reconcile.Diff[string, host.VIF]) error {
	if len(d.Put) == 0 {
		return nil
	}
	return i.vifs.Apply(ctx, reconcile.Diff[string, host.VIF]{Put: d.Put})
}

// want is the interfaces last read that the plan has, on the dead VLAN.
func (i *isolation) want(s *host.State) map[string]host.VIF {
	out := map[string]host.VIF{}
	for id, have := range i.open {
		if v, ok := s.VIFs[id]; ok {
			// One with a wrong MAC is isolated too; the last step refuses it.
			v.MAC, v.Tag, v.Dead = have.MAC, neutrino.DeadVLAN, true
			out[id] = v
		}
	}
	return out
}
