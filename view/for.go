package view

import (
	"cmp"
	"net/netip"
	"slices"

	"neutrino"
	"neutrino/store"
)

// For is the view of one host: everything that its plan depends on, and
// nothing else. It depends on the snapshot only.
func For(s *store.Snapshot, name string) *Host {
	h := New(name)
	addNetworks(h, s)
	described := addPorts(h, s)
	addNeighbours(h, s, described)
	addGroups(h, s)
	addRouters(h, s)
	return h
}

// addNetworks takes in the networks that have a local VLAN on the host, with
// their subnets.
func addNetworks(h *Host, s *store.Snapshot) {
	served := map[neutrino.ID]bool{}
	for b := range store.By(s, store.DHCPBindingsByHost, h.Name) {
		served[b.NetworkID] = true
	}
	for hn := range store.By(s, store.HostNetworksByHost, h.Name) {
		n, ok := store.Peek(s, store.Networks, hn.NetworkID)
		if !ok {
			continue
		}
		row := Network{Network: network(n), LocalVLAN: hn.LocalVLAN, DHCP: served[n.ID]}
		for sub := range store.By(s, store.SubnetsByNetwork, string(n.ID)) {
			h.Subnets[sub.ID] = subnet(sub)
			row.addScope(s, h.Name, sub)
		}
		h.Networks[n.ID] = row
	}
}

// addScope takes in the mark of the address scope that a subnet is in. All of the
// network's are in the same one; should they not be, the highest mark stands for
// all: the packets of the others are dropped, and none goes where it may not.
func (n *Network) addScope(s *store.Snapshot, host string, sub *neutrino.Subnet) {
	p, ok := store.Peek(s, store.SubnetPools, sub.SubnetPoolID)
	if !ok || p.AddressScopeID == "" {
		return
	}
	mark := neutrino.UnknownScopeMark
	if row, ok := store.Peek(s, store.HostScopes, store.HostScopeID(host, p.AddressScopeID)); ok {
		mark = row.Mark
	}
	if sub.IPVersion == 6 {
		n.ScopeIPv6 = max(n.ScopeIPv6, mark)
	} else {
		n.ScopeIPv4 = max(n.ScopeIPv4, mark)
	}
}

// addPorts takes in the ports bound to the host. Should one have a network that
// is not present here, the plan refuses it and says so. It returns the networks
// whose instances may ask this host for their metadata: those that it serves
// with DHCP or has a router on.
func addPorts(h *Host, s *store.Snapshot) (described map[neutrino.ID]bool) {
	described = map[neutrino.ID]bool{}
	for id, n := range h.Networks {
		described[id] = n.DHCP
	}
	for p := range store.By(s, store.PortsByHost, h.Name) {
		if boundTo(p) == h.Name {
			h.Ports[p.ID] = port(p)
			described[p.NetworkID] = described[p.NetworkID] || p.DeviceOwner == neutrino.OwnerRouter
		}
	}
	for p := range store.By(s, store.PortsByHost, h.Name) {
		if row, ok := h.Ports[p.ID]; ok && described[p.NetworkID] {
			row.Name, row.Profile = p.Name, p.Profile
			h.Ports[p.ID] = row
		}
	}
	for p := range store.By(s, store.PortsByStandbyHost, h.Name) {
		h.Standby[p.ID] = standby(p, h.Name)
	}
	return described
}

func addNeighbours(h *Host, s *store.Snapshot, described map[neutrino.ID]bool) {
	tunnels := map[string]netip.Addr{}
	for id, n := range h.Networks {
		for p := range store.By(s, store.PortsByNetwork, string(id)) {
			at := boundTo(p)
			if at == h.Name || at == "" && !n.DHCP {
				continue
			}
			nb := neighbour(p)
			if described[id] {
				nb.DeviceID, nb.Name, nb.Profile = p.DeviceID, p.Name, p.Profile
			}
			if at != "" {
				nb.TunnelIP = tunnelIP(s, tunnels, at)
			}
			h.Neighbours[p.ID] = nb
		}
	}
}

// tunnelIP looks a host's endpoint up once for each view.
func tunnelIP(s *store.Snapshot, known map[string]netip.Addr, name string) netip.Addr {
	ip, ok := known[name]
	if !ok {
		if peer, found := store.Peek(s, store.Hosts, neutrino.ID(name)); found {
			ip = peer.TunnelIP
		}
		known[name] = ip
	}
	return ip
}

// addGroups takes in the groups of the host's ports, their rules, and what the
// remote groups of those rules stand for. A remote group that does not exist
// stands for nobody, never for everybody.
func addGroups(h *Host, s *store.Snapshot) {
	for _, ports := range [...]map[neutrino.ID]neutrino.Port{h.Ports, h.Standby} {
		for _, p := range ports {
			for _, id := range p.SecurityGroups {
				addGroup(h, s, id)
			}
		}
	}
}

func addGroup(h *Host, s *store.Snapshot, id neutrino.ID) {
	if _, done := h.Groups[id]; done {
		return
	}
	g, ok := store.Peek(s, store.SecurityGroups, id)
	if !ok {
		return
	}
	h.Groups[id] = group(g)
	for r := range store.By(s, store.RulesByGroup, string(id)) {
		h.Rules[r.ID] = rule(r)
		addMembers(h, s, r.RemoteGroupID)
	}
}

func addMembers(h *Host, s *store.Snapshot, id neutrino.ID) {
	if _, done := h.Members[id]; done || id == "" {
		return
	}
	var all []netip.Prefix
	for p := range store.By(s, store.PortsByGroup, string(id)) {
		all = appendAddresses(all, p)
	}
	slices.SortFunc(all, comparePrefix)
	h.Members[id] = Members{Group: id, Prefixes: slices.Compact(all)}
}

// appendAddresses adds what a port may send from: its fixed IPs and the
// networks of its allowed address pairs.
func appendAddresses(to []netip.Prefix, p *neutrino.Port) []netip.Prefix {
	for _, f := range p.FixedIPs {
		if f.IPAddress.IsValid() {
			to = append(to, netip.PrefixFrom(f.IPAddress, f.IPAddress.BitLen()))
		}
	}
	for _, a := range p.AllowedAddressPairs {
		if a.IPAddress.IsValid() {
			to = append(to, a.IPAddress.Masked())
		}
	}
	return to
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// addRouters takes in the routers that run on the host, the floating IPs and
// port forwardings in force on them, and what counts their traffic.
func addRouters(h *Host, s *store.Snapshot) {
	for b := range store.By(s, store.RouterBindingsByHost, h.Name) {
		r, ok := store.Peek(s, store.Routers, b.RouterID)
		if !ok {
			continue
		}
		h.Routers[r.ID] = router(r)
		for f := range store.By(s, store.FloatingIPsByRouter, string(r.ID)) {
			h.FloatingIPs[f.ID] = floatingIP(f)
			for pf := range store.By(s, store.PortForwardingsByFloatingIP, string(f.ID)) {
				h.Forwardings[pf.ID] = forwarding(pf)
			}
		}
		for l := range store.By(s, store.MeteringLabelsByProject, r.ProjectID) {
			addLabel(h, s, l)
		}
		for l := range store.By(s, store.MeteringLabelsShared, store.Shared) {
			addLabel(h, s, l)
		}
	}
}

// addLabel takes in a metering label that counts here, with its rules.
func addLabel(h *Host, s *store.Snapshot, l *neutrino.MeteringLabel) {
	if _, done := h.MeteringLabels[l.ID]; done {
		return
	}
	h.MeteringLabels[l.ID] = label(l)
	for r := range store.By(s, store.MeteringLabelRulesByLabel, string(l.ID)) {
		h.MeteringRules[r.ID] = meteringRule(r)
	}
}

// boundTo is the host that realises the port, "" for none. A port whose
// binding failed keeps its host_id but nobody may wire it.
func boundTo(p *neutrino.Port) string {
	if p.VIFType == neutrino.VIFBindingFailed {
		return ""
	}
	return p.HostID
}

// The functions below leave out what no plan depends on, so that a change of
// it is no change of the view: names, descriptions, revisions, times, status.

func network(n *neutrino.Network) neutrino.Network {
	c := *n
	c.Name, c.Status, c.AvailabilityZoneHints, c.Standard, c.Tags = "", "", nil, neutrino.Standard{}, nil
	c.Shared, c.External = false, false
	return c
}

func subnet(s *neutrino.Subnet) neutrino.Subnet {
	c := *s
	c.Name, c.AllocationPools, c.ServiceTypes, c.Standard, c.Tags = "", nil, nil, neutrino.Standard{}, nil
	return c
}

func port(p *neutrino.Port) neutrino.Port {
	c := *p
	c.Name, c.Status, c.Profile, c.Standard, c.Tags, c.Standby = "", "", "", neutrino.Standard{}, nil, nil
	return c
}

// standby is a port as a host sees it that it may move to.
func standby(p *neutrino.Port, host string) neutrino.Port {
	c := *p
	for _, b := range p.Standby {
		if b.Host == host {
			c.Bind(b)
		}
	}
	return port(&c)
}

func router(r *neutrino.Router) neutrino.Router {
	c := *r
	c.Name, c.Status, c.AvailabilityZoneHints, c.Standard, c.Tags = "", "", nil, neutrino.Standard{}, nil
	return c
}

func floatingIP(f *neutrino.FloatingIP) neutrino.FloatingIP {
	c := *f
	c.Status, c.Standard, c.Tags = "", neutrino.Standard{}, nil
	return c
}

func forwarding(f *neutrino.PortForwarding) neutrino.PortForwarding {
	c := *f
	c.Description = ""
	return c
}

// pool is what networks' marks follow from.
func pool(p *neutrino.SubnetPool) neutrino.SubnetPool {
	return neutrino.SubnetPool{ID: p.ID, AddressScopeID: p.AddressScopeID}
}

func label(l *neutrino.MeteringLabel) neutrino.MeteringLabel {
	return neutrino.MeteringLabel{ID: l.ID, ProjectID: l.ProjectID, Shared: l.Shared}
}

func meteringRule(r *neutrino.MeteringLabelRule) neutrino.MeteringLabelRule {
	c := *r
	c.ProjectID = ""
	return c
}

func group(g *neutrino.SecurityGroup) neutrino.SecurityGroup {
	c := *g
	c.Name, c.Standard, c.Tags = "", neutrino.Standard{}, nil
	return c
}

func rule(r *neutrino.SecurityGroupRule) neutrino.SecurityGroupRule {
	c := *r
	c.Standard = neutrino.Standard{}
	return c
}

// neighbour is a port as other hosts see it, but for its host's endpoint and
// what is said of the instance.
func neighbour(p *neutrino.Port) Neighbour {
	return Neighbour{
		ID: p.ID, NetworkID: p.NetworkID, MAC: p.MAC, FixedIPs: p.FixedIPs,
		AllowedAddressPairs: p.AllowedAddressPairs, DeviceOwner: p.DeviceOwner,
		ExtraDHCPOpts: p.ExtraDHCPOpts, DNSName: p.DNSName, DNSDomain: p.DNSDomain, ProjectID: p.ProjectID, Host: boundTo(p),
	}
}
