package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"neutrino"
	"neutrino/host"
	"neutrino/view"
)

// misread refuses what the host's view has and this program does not understand.
// The view leaves such an object out as a whole. What is built on it is refused
// here, and what uses it says why: a port whose group has a rule that is not
// understood is filtered without that rule, and is not ACTIVE.
func (b *builder) misread() {
	keys := slices.SortedFunc(maps.Keys(b.view.Misread), func(a, b view.Key) int {
		return strings.Compare(a.Kind+" "+a.ID, b.Kind+" "+b.ID)
	})
	b.closed = map[neutrino.ID]string{}
	for _, key := range keys {
		b.refuseRow(key, b.view.Misread[key])
	}
	for _, p := range b.everyPort() {
		if reason := b.standsOn(p); reason != "" {
			b.refuse(p, reason)
		}
	}
}

// refuseRow says that a row is not understood, of the object that it stands for,
// and closes what it is about.
func (b *builder) refuseRow(key view.Key, m view.Misread) {
	id := neutrino.ID(key.ID)
	reason := fmt.Sprintf("%s %s: %s", key.Kind, key.ID, m.Reason)
	object := neutrino.HostObject
	switch key.Kind {
	case view.KindPort, view.KindStandby:
		object = neutrino.PortObject(id)
	case "network":
		object, b.closed[id] = neutrino.NetworkObject(id), reason
	case "subnet":
		b.closed[id] = reason
		if m.Network != "" {
			object = neutrino.NetworkObject(m.Network)
		}
	case "neighbour":
		if m.Network != "" {
			object = neutrino.NetworkObject(m.Network)
		}
	case "group", "members":
		b.closed[id] = reason
		return // the ports say it
	case "rule":
		if m.Group != "" {
			b.closed[m.Group] = reason
			return
		}
	case "router":
		object, b.closed[id] = neutrino.RouterObject(id), reason
	case view.KindFloatingIP:
		object = neutrino.FloatingIPObject(id)
	case "forwarding":
		object = neutrino.FloatingIPObject(m.FloatingIP)
	case "meteringlabel":
		object = neutrino.MeteringLabelObject(id)
	case "meteringrule":
		object = neutrino.MeteringLabelObject(m.Label)
	}
	b.state.Refused = append(b.state.Refused, host.Refusal{Object: object, Reason: reason})
}

// everyPort are the ports that are here or may move here, by id.
func (b *builder) everyPort() []neutrino.Port {
	var out []neutrino.Port
	for _, ports := range []map[neutrino.ID]neutrino.Port{b.view.Ports, b.view.Standby} {
		for _, id := range slices.Sorted(maps.Keys(ports)) {
			out = append(out, ports[id])
		}
	}
	return out
}

// standsOn says what of the things that a port stands on is not understood, ""
// for none.
func (b *builder) standsOn(p neutrino.Port) string {
	if len(b.closed) == 0 {
		return ""
	}
	if reason := b.builtOn(p); reason != "" {
		return reason
	}
	for _, g := range p.SecurityGroups {
		if reason := b.closed[g]; reason != "" {
			return reason
		}
	}
	for _, r := range b.view.Rules {
		if reason := b.closed[r.RemoteGroupID]; r.RemoteGroupID != "" && reason != "" && slices.Contains(p.SecurityGroups, r.SecurityGroupID) {
			return reason
		}
	}
	return ""
}

// builtOn says which network, subnet or router that a port cannot be without is
// not understood, "" for none. An instance's port can be without its subnet: its
// filters name its own addresses.
func (b *builder) builtOn(p neutrino.Port) string {
	if reason := b.closed[p.NetworkID]; reason != "" {
		return reason
	}
	if !ours(p) {
		return ""
	}
	if reason := b.closed[neutrino.ID(p.DeviceID)]; reason != "" {
		return reason
	}
	for _, ip := range p.FixedIPs {
		if reason := b.closed[ip.SubnetID]; reason != "" {
			return reason
		}
	}
	return ""
}

// understood are the rules whose values this program knows: a protocol that it
// does not know is not any protocol.
func (b *builder) understood(r neutrino.SecurityGroupRule) bool {
	unknown := ""
	if _, ok := neutrino.ProtocolNumber(r.Protocol); !ok && r.Protocol != "" {
		unknown = "protocol " + r.Protocol
	}
	if r.EtherType != neutrino.IPv4 && r.EtherType != neutrino.IPv6 && r.EtherType != "" {
		unknown = "ethertype " + string(r.EtherType)
	}
	if r.Direction != neutrino.Ingress && r.Direction != neutrino.Egress {
		unknown = "direction " + string(r.Direction)
	}
	if unknown == "" {
		return true
	}
	for _, p := range b.everyPort() {
		if slices.Contains(p.SecurityGroups, r.SecurityGroupID) {
			b.refuse(p, fmt.Sprintf("rule %s: %q is not known here", r.ID, unknown))
		}
	}
	return false
}
