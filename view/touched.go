package view

import (
	"reflect"
	"slices"
	"strings"

	"neutrino"
	"neutrino/store"
)

// Touched is the hosts whose view the changes may have changed; s is the
// snapshot after them. It never leaves out a host whose view differs.
//
// Following the present links is enough: where a host's path to a changed
// object has itself changed, the first changed link of the path touches the
// host, because everything before that link is as it was.
func Touched(s *store.Snapshot, changes []store.Change) map[string]bool {
	t := &touch{s: s, hosts: map[string]bool{}}
	for _, c := range changes {
		t.change(c)
	}
	delete(t.hosts, "")
	return t.hosts
}

type touch struct {
	s     *store.Snapshot
	hosts map[string]bool
}

func (t *touch) change(c store.Change) {
	for _, row := range [...]any{c.Old, c.New} {
		switch v := row.(type) {
		case *neutrino.Network:
			if differ(c, network) {
				t.network(v.ID)
			}
		case *neutrino.Subnet:
			if differ(c, subnet) {
				t.network(v.NetworkID)
			}
		case *neutrino.SecurityGroup:
			if differ(c, group) {
				t.group(v.ID)
			}
		case *neutrino.SecurityGroupRule:
			if differ(c, rule) {
				t.group(v.SecurityGroupID)
			}
		case *neutrino.HostNetwork:
			t.hosts[v.Host] = true
		case *neutrino.DHCPBinding:
			t.hosts[v.Host] = true
		case *neutrino.RouterBinding:
			t.hosts[v.Host] = true
		case *neutrino.Router:
			if differ(c, router) {
				t.router(v.ID)
			}
		case *neutrino.FloatingIP:
			if differ(c, floatingIP) {
				t.router(v.RouterID)
			}
		case *neutrino.SubnetPool:
			if differ(c, pool) {
				t.pool(v.ID)
			}
		case *neutrino.HostScope:
			t.hosts[v.Host] = true
		case *neutrino.PortForwarding:
			if f, ok := store.Peek(t.s, store.FloatingIPs, v.FloatingIPID); ok && differ(c, forwarding) {
				t.router(f.RouterID)
			}
		default:
			t.metering(c, row)
		}
	}
	if old, new := pair[neutrino.Port](c); old != nil || new != nil {
		t.port(old, new)
	}
	if old, new := pair[neutrino.Host](c); old != nil || new != nil {
		t.host(old, new)
	}
}

func pair[T any](c store.Change) (old, new *T) {
	old, _ = c.Old.(*T)
	new, _ = c.New.(*T)
	return old, new
}

// differ reports whether the object differs in what a view takes of it.
func differ[T any](c store.Change, take func(*T) T) bool {
	old, new := pair[T](c)
	return old == nil || new == nil || !reflect.DeepEqual(take(old), take(new))
}

// router touches the host that runs the router.
func (t *touch) router(id neutrino.ID) {
	if b, ok := store.Peek(t.s, store.RouterBindings, id); ok {
		t.hosts[b.Host] = true
	}
}

// metering is the part of change that concerns metering labels.
func (t *touch) metering(c store.Change, row any) {
	switch v := row.(type) {
	case *neutrino.MeteringLabel:
		if differ(c, label) {
			t.label(v)
		}
	case *neutrino.MeteringLabelRule:
		if l, ok := store.Peek(t.s, store.MeteringLabels, v.MeteringLabelID); ok && differ(c, meteringRule) {
			t.label(l)
		}
	}
}

// label touches the hosts that run a router that the label counts on.
func (t *touch) label(l *neutrino.MeteringLabel) {
	if l.Shared {
		for b := range store.All(t.s, store.RouterBindings) {
			t.hosts[b.Host] = true
		}
		return
	}
	for r := range store.By(t.s, store.RoutersByProject, l.ProjectID) {
		t.router(r.ID)
	}
}

// port touches the hosts that the port is and was bound to; when what
// neighbours see of it changes, those of its network; when its addresses or
// groups change, those that let the groups in; and when what is said of the
// instance changes, those that may have to say it.
func (t *touch) port(old, new *neutrino.Port) {
	if old != nil && new != nil && facts(old) != facts(new) {
		t.describing(old.NetworkID)
		t.describing(new.NetworkID)
	}
	if old != nil && new != nil && reflect.DeepEqual(port(old), port(new)) && slices.Equal(old.Standby, new.Standby) {
		return
	}
	var was, is Neighbour
	groups := map[neutrino.ID]bool{}
	for _, p := range [...]*neutrino.Port{old, new} {
		if p == nil {
			continue
		}
		t.hosts[p.HostID] = true
		for _, b := range p.Standby {
			t.hosts[b.Host] = true
		}
		for _, g := range p.SecurityGroups {
			groups[g] = true
		}
	}
	if old != nil {
		was = neighbour(old)
	}
	if new != nil {
		is = neighbour(new)
	}
	if !reflect.DeepEqual(was, is) {
		t.neighbours(was, is)
	}
	for g := range groups {
		if memberChanged(old, new, g) {
			t.remote(g)
		}
	}
}

// neighbours touches the hosts that see the port: all with its network, or
// only those that serve the network while it is bound nowhere.
func (t *touch) neighbours(was, is Neighbour) {
	for _, n := range [...]Neighbour{was, is} {
		switch {
		case n.ID == "":
		case n.Host != "":
			t.network(n.NetworkID)
		default:
			for b := range store.By(t.s, store.DHCPBindingsByNetwork, string(n.NetworkID)) {
				t.hosts[b.Host] = true
			}
		}
	}
}

// facts are what the metadata service says of a port's instance.
func facts(p *neutrino.Port) [4]string {
	return [...]string{p.DeviceID, p.ProjectID, p.Name, string(p.Profile)}
}

// describing touches the hosts that may have to answer for the instances of a
// network: those that serve it with DHCP or have a router on it.
func (t *touch) describing(network neutrino.ID) {
	for b := range store.By(t.s, store.DHCPBindingsByNetwork, string(network)) {
		t.hosts[b.Host] = true
	}
	for p := range store.By(t.s, store.PortsByNetwork, string(network)) {
		if p.DeviceOwner == neutrino.OwnerRouter {
			t.hosts[p.HostID] = true
		}
	}
}

// memberChanged reports whether the port adds other addresses to the group
// than before.
func memberChanged(old, new *neutrino.Port, g neutrino.ID) bool {
	return !reflect.DeepEqual(contribution(old, g), contribution(new, g))
}

func contribution(p *neutrino.Port, g neutrino.ID) any {
	if p != nil {
		for _, id := range p.SecurityGroups {
			if id == g {
				return appendAddresses(nil, p)
			}
		}
	}
	return appendAddresses(nil, &neutrino.Port{})
}

// network touches the hosts where the network is present.
func (t *touch) network(id neutrino.ID) {
	for hn := range store.By(t.s, store.HostNetworksByNetwork, string(id)) {
		t.hosts[hn.Host] = true
	}
}

// pool touches the hosts where a network has a subnet of the pool.
func (t *touch) pool(id neutrino.ID) {
	done := map[neutrino.ID]bool{}
	for s := range store.By(t.s, store.SubnetsByPool, string(id)) {
		if !done[s.NetworkID] {
			done[s.NetworkID] = true
			t.network(s.NetworkID)
		}
	}
}

// group touches the hosts with a port in the group. A default group has the
// ports of a whole project: it costs by the host, not by the port.
func (t *touch) group(id neutrino.ID) {
	prefix := store.GroupHost(id)
	for key := range store.Keys(t.s, store.PortsByGroupHost, prefix) {
		t.hosts[strings.TrimPrefix(key, prefix)] = true
	}
}

// remote touches the hosts with a rule that names the group as its remote.
func (t *touch) remote(id neutrino.ID) {
	done := map[neutrino.ID]bool{}
	for r := range store.By(t.s, store.RulesByRemoteGroup, string(id)) {
		if !done[r.SecurityGroupID] {
			done[r.SecurityGroupID] = true
			t.group(r.SecurityGroupID)
		}
	}
}

// host touches those that have a network in common with a host whose tunnel
// endpoint changed.
func (t *touch) host(old, new *neutrino.Host) {
	name := ""
	switch {
	case old == nil:
		name = new.Name
	case new == nil || old.TunnelIP != new.TunnelIP:
		name = old.Name
	default:
		return
	}
	done := map[neutrino.ID]bool{}
	for p := range store.By(t.s, store.PortsByHost, name) {
		if !done[p.NetworkID] {
			done[p.NetworkID] = true
			t.network(p.NetworkID)
		}
	}
}
