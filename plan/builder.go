package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
	"neutrino/plan/pipeline"
	"neutrino/view"
)

// builder is one run of the plan: what it reads, and what it has made so far.
type builder struct {
	view   *view.Host
	config Config
	state  *host.State

	ports    []neutrino.Port // bound here and not refused, by id
	networks []view.Network  // by id
	// dhcp is our DHCP port of each network that this host serves.
	dhcp map[neutrino.ID]neutrino.Port
}

func newBuilder(v *view.Host, c Config) *builder {
	b := &builder{view: v, config: c, state: host.NewState(), dhcp: map[neutrino.ID]neutrino.Port{}}
	for _, id := range slices.Sorted(maps.Keys(v.Networks)) {
		b.networks = append(b.networks, v.Networks[id])
	}
	chains := map[string]neutrino.ID{}
	for _, id := range slices.Sorted(maps.Keys(v.Ports)) {
		p := v.Ports[id]
		if _, ok := v.Networks[p.NetworkID]; !ok {
			b.refuse(p, fmt.Sprintf("network %s has no local VLAN on this host", p.NetworkID))
			continue
		}
		if other, taken := chains[names.ChainKey(id)]; taken {
			b.refuse(p, fmt.Sprintf("its device and chain names are those of port %s; delete one of the two", other))
			continue
		}
		chains[names.ChainKey(id)] = id
		b.ports = append(b.ports, p)
		if p.DeviceOwner == neutrino.OwnerDHCP && v.Networks[p.NetworkID].DHCP {
			b.dhcp[p.NetworkID] = p
		}
	}
	return b
}

// refuse leaves an object out of the plan and says why.
func (b *builder) refuse(p neutrino.Port, reason string) {
	b.state.Refused = append(b.state.Refused, host.Refusal{Object: neutrino.PortObject(p.ID), Reason: reason})
}

// writer adds the flows of one bridge that have one reason.
type writer struct {
	*builder
	bridge string
	why    host.Why
}

func (b *builder) flows(bridge string, why host.Why) writer { return writer{b, bridge, why} }

func (w writer) add(t pipeline.Table, priority uint16, match, actions string) {
	k := host.FlowKey{Bridge: w.bridge, Table: t.Number, Priority: priority, Match: match}
	w.state.Flows[k] = host.Flow{Actions: actions, Why: w.why}
}

// pairs is a sorted "key=value" list as [host.OVSPort] wants it.
func pairs(kv map[string]string) string {
	var sb strings.Builder
	for i, k := range slices.Sorted(maps.Keys(kv)) {
		if i > 0 {
			sb.WriteByte(',')
		}
		sb.WriteString(k + "=" + kv[k])
	}
	return sb.String()
}

// trusted ports are the network's own services: they are not filtered.
func trusted(p neutrino.Port) bool {
	return strings.HasPrefix(p.DeviceOwner, neutrino.OwnerNetworkPrefix) || strings.HasPrefix(p.DeviceOwner, neutrino.OwnerNeutronPrefix)
}

// ours reports whether the agent itself plugs the port; all others are plugged
// by Nova or by whoever runs the instance.
func ours(p neutrino.Port) bool { return p.DeviceOwner == neutrino.OwnerDHCP }

func goTo(t pipeline.Table) string { return fmt.Sprintf("goto_table:%d", t.Number) }
