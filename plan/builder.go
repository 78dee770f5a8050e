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
	standby  []neutrino.Port // may move here, and not refused, by id
	networks []view.Network  // by id
	// closed are networks, subnets, groups and routers that are not understood, or
	// have a rule or member that is not, with the reason.
	closed map[neutrino.ID]string
	// dhcp is our DHCP port of each network that this host serves.
	dhcp map[neutrino.ID]neutrino.Port
	// claimed and foreigners are made when they are first needed: see foreignTo.
	claimed    map[neutrino.ID][]claim
	foreigners map[foreignKey]foreign
}

func newBuilder(v *view.Host, c Config) *builder {
	b := &builder{view: v, config: c, state: host.NewState(), dhcp: map[neutrino.ID]neutrino.Port{}, foreigners: map[foreignKey]foreign{}}
	for _, id := range slices.Sorted(maps.Keys(v.Networks)) {
		b.networks = append(b.networks, v.Networks[id])
	}
	b.misread()
	chains := map[string]neutrino.ID{}
	b.ports, b.standby = b.admitted(v.Ports, chains), b.admitted(v.Standby, chains)
	for _, p := range b.ports {
		if p.DeviceOwner == neutrino.OwnerDHCP && v.Networks[p.NetworkID].DHCP {
			b.dhcp[p.NetworkID] = p
		}
	}
	return b
}

// admitted are the ports that the plan can have, by id; chains are the names that
// are taken.
func (b *builder) admitted(ports map[neutrino.ID]neutrino.Port, chains map[string]neutrino.ID) []neutrino.Port {
	var out []neutrino.Port
	for _, id := range slices.Sorted(maps.Keys(ports)) {
		p := ports[id]
		if b.builtOn(p) != "" {
			continue // and refused
		}
		if _, ok := b.view.Networks[p.NetworkID]; !ok {
			b.refuse(p, fmt.Sprintf("network %s has no local VLAN on this host", p.NetworkID))
			continue
		}
		if other, taken := chains[names.ChainKey(id)]; taken {
			b.refuse(p, fmt.Sprintf("its device and chain names are those of port %s; delete one of the two", other))
			continue
		}
		chains[names.ChainKey(id)] = id
		out = append(out, p)
	}
	return out
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

// table adds the chains of one iptables table that have one reason.
type table struct {
	*builder
	ns     string // namespace, "" for the agent's own
	family int    // 4 or 6
	name   string // "raw", "mangle", "nat", "filter"
	why    host.Why
}

func (t table) chain(name string, rules ...string) {
	k := host.ChainKey{NetNS: t.ns, Family: t.family, Table: t.name, Chain: name}
	t.state.Chains[k] = host.Chain{Rules: strings.Join(rules, "\n"), Why: t.why}
}

// hook lets a built-in chain jump to ours; order is among our own jumps there.
func (t table) hook(chain, target string, order int) {
	k := host.HookKey{NetNS: t.ns, Family: t.family, Table: t.name, Chain: chain, Rule: "-j " + target}
	t.state.Hooks[k] = host.Hook{Order: order, Why: t.why}
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
	return strings.HasPrefix(p.DeviceOwner, neutrino.OwnerNetworkPrefix)
}

// ours reports whether the agent itself plugs the port; all others are plugged
// by Nova or by whoever runs the instance.
func ours(p neutrino.Port) bool {
	switch p.DeviceOwner {
	case neutrino.OwnerDHCP, neutrino.OwnerRouter, neutrino.OwnerGateway:
		return true
	}
	return false
}

// inside is a port of ours that a veth pair brings into a namespace: tap… on a
// bridge, and a device of the namespace's kind inside.
type inside struct {
	port   neutrino.Port
	ns     string
	device string
	bridge string
	tag    uint16
	record string // Port.other_config
	why    host.Why
}

// plug makes the veth pair and its port on the bridge.
func (b *builder) plug(in inside) {
	tap, mtu := names.Tap(in.port.ID), b.view.Networks[in.port.NetworkID].MTU
	b.state.Links[host.LinkKey{Name: tap}] = host.Link{
		Kind: "veth", PeerNS: in.ns, Peer: in.device, PeerMAC: in.port.MAC.String(), MTU: mtu,
		NoTxChecksum: b.config.DatapathType == datapathUserspace, Why: in.why,
	}
	b.state.OVSPorts[tap] = host.OVSPort{
		Bridge: in.bridge, Tag: in.tag, OtherConfig: in.record,
		ExternalIDs: pairs(map[string]string{
			"iface-id": string(in.port.ID), "attached-mac": in.port.MAC.String(), "iface-status": "active",
		}),
		Why: in.why,
	}
}

// onLocalVLAN is a port of ours on the integration bridge.
func (b *builder) onLocalVLAN(in inside) inside {
	n := b.view.Networks[in.port.NetworkID]
	in.bridge, in.tag, in.record = b.config.IntegrationBridge, n.LocalVLAN, vlanRecord(n.Network, n.LocalVLAN)
	return in
}

// datapathUserspace is the datapath type that reads frames from sockets.
const datapathUserspace = "netdev"

func goTo(t pipeline.Table) string { return fmt.Sprintf("goto_table:%d", t.Number) }
