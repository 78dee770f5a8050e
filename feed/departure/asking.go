package departure

import (
	"neutrino"
	"neutrino/store"
	"neutrino/view"
	"neutrino/view/fuse"
)

// asking is what one host asks of one snapshot.
type asking struct {
	*Log
	snap *store.Snapshot
	host string
}

// boundTo is the host that a port is bound to, "" for none.
func boundTo(p *neutrino.Port) string {
	if p.VIFType == neutrino.VIFBindingFailed {
		return ""
	}
	return p.HostID
}

// about says why a row is gone from the host. A row that is in the store proves
// that it was not lost, so where it says another host, that is the reason.
func (a asking) about(k view.Key) (string, bool) {
	id := neutrino.ID(k.ID)
	switch k.Kind {
	case view.KindPort:
		return a.port(id)
	case view.KindNeighbour, view.KindStandby:
		p, ok := store.Peek(a.snap, store.Ports, id)
		switch {
		case !ok:
			return a.find(store.Ports.Name(), k.ID)
		case k.Kind == view.KindNeighbour && boundTo(p) != "" && boundTo(p) != a.host:
			return "", false
		}
		return "the port says so", true
	case view.KindRouter:
		return a.router(id)
	case view.KindFloatingIP:
		return a.floatingIP(id)
	case fuse.KindDHCP:
		return a.dhcp(id)
	case fuse.KindMember:
		return a.find(fuse.KindMember, k.ID)
	}
	return a.row(k)
}

func (a asking) port(id neutrino.ID) (string, bool) {
	p, ok := store.Peek(a.snap, store.Ports, id)
	switch {
	case ok && boundTo(p) == a.host:
		return "", false
	case ok && boundTo(p) != "":
		return "host " + boundTo(p) + " has it", true
	}
	return a.find(store.Ports.Name(), string(id))
}

func (a asking) router(id neutrino.ID) (string, bool) {
	b, ok := store.Peek(a.snap, store.RouterBindings, id)
	switch {
	case ok && b.Host == a.host:
		return "", false
	case ok:
		return "host " + b.Host + " runs it", true
	}
	return a.find(store.RouterBindings.Name(), string(id))
}

// floatingIP is gone with its association, or with the router.
func (a asking) floatingIP(id neutrino.ID) (string, bool) {
	if why, ok := a.find(store.FloatingIPs.Name(), string(id)); ok {
		return why, true
	}
	f, ok := store.Peek(a.snap, store.FloatingIPs, id)
	if !ok || f.RouterID == "" {
		return "", false
	}
	return a.router(f.RouterID)
}

func (a asking) dhcp(network neutrino.ID) (string, bool) {
	binding := store.DHCPBindingID(network, a.host)
	if _, ok := store.Peek(a.snap, store.DHCPBindings, binding); ok {
		return "", false
	}
	for b := range store.By(a.snap, store.DHCPBindingsByNetwork, string(network)) {
		return "host " + b.Host + " serves it", true
	}
	return a.find(store.DHCPBindings.Name(), string(binding))
}

// row is gone when it was deleted. While the store has it, it is only that
// nothing here needs it any more.
func (a asking) row(k view.Key) (string, bool) {
	id := neutrino.ID(k.ID)
	table, there := "", false
	switch k.Kind {
	case view.KindNetwork:
		table, there = peek(a.snap, store.Networks, id)
	case view.KindSubnet:
		table, there = peek(a.snap, store.Subnets, id)
	case view.KindGroup, view.KindMembers:
		table, there = peek(a.snap, store.SecurityGroups, id)
	case view.KindRule:
		table, there = peek(a.snap, store.SecurityGroupRules, id)
	case view.KindForwarding:
		table, there = peek(a.snap, store.PortForwardings, id)
	case view.KindMeteringLabel:
		table, there = peek(a.snap, store.MeteringLabels, id)
	case view.KindMeteringRule:
		table, there = peek(a.snap, store.MeteringLabelRules, id)
	}
	if there || table == "" {
		return "", false
	}
	return a.find(table, k.ID)
}

func peek[T any](s *store.Snapshot, t *store.Table[T], id neutrino.ID) (string, bool) {
	_, ok := store.Peek(s, t, id)
	return t.Name(), ok
}
