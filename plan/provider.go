package plan

import (
	"fmt"
	"maps"
	"slices"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
	"neutrino/plan/pipeline"
)

// providers connect the integration bridge with the operator's bridge of each
// physical network by a pair of patch ports, and translate between local VLAN
// and wire for the networks that have ports there (dataplane.md section 2.3).
// The bridge itself is the operator's; one that is missing is waited for, and
// harms its physical network alone.
func providers(b *builder) {
	bridges := slices.Sorted(maps.Values(b.config.BridgeMappings))
	for _, bridge := range slices.Compact(bridges) {
		b.patchProvider(bridge)
	}
	for _, n := range b.networks {
		if !n.NetworkType.IsProvider() || !b.onIntegrationBridge(n.ID) {
			continue
		}
		bridge, mapped := b.config.BridgeMappings[n.PhysicalNetwork]
		if !mapped {
			b.state.Refused = append(b.state.Refused, host.Refusal{Object: neutrino.NetworkObject(n.ID), Reason: noMapping(n.PhysicalNetwork)})
			continue
		}
		b.translate(bridge, n.Network, n.LocalVLAN)
	}
}

func noMapping(physical string) string {
	return fmt.Sprintf("physical network %q is in no bridge_mappings of this host; add %s:<bridge> to [ovs] bridge_mappings", physical, physical)
}

// onIntegrationBridge reports whether a network has a port of this host there.
// A gateway port of a provider network is on the provider bridge instead.
func (b *builder) onIntegrationBridge(network neutrino.ID) bool {
	there := func(p neutrino.Port) bool {
		return p.NetworkID == network && p.DeviceOwner != neutrino.OwnerGateway
	}
	return slices.ContainsFunc(b.ports, there) || slices.ContainsFunc(b.standby, there)
}

// patchProvider joins the integration bridge and a provider bridge. What no
// network translates is dropped on both ends.
func (b *builder) patchProvider(bridge string) {
	why := host.Why{Feature: "provider", Object: "bridge/" + bridge}
	ours, theirs := names.IntPatch(bridge), names.PhyPatch(bridge)
	b.state.OVSPorts[ours] = host.OVSPort{Bridge: b.config.IntegrationBridge, Type: "patch", Options: "peer=" + theirs, Why: why}
	b.state.OVSPorts[theirs] = host.OVSPort{Bridge: bridge, Type: "patch", Options: "peer=" + ours, Why: why}
	b.flows(b.config.IntegrationBridge, why).add(pipeline.LocalSwitching, 2, "in_port="+ours, "drop")
	b.flows(bridge, why).add(pipeline.Provider, 2, "in_port="+theirs, "drop")
}

// translate maps a network's local VLAN to what it is on the wire and back.
func (b *builder) translate(bridge string, n neutrino.Network, vlan uint16) {
	why := host.Why{Feature: "provider", Object: neutrino.NetworkObject(n.ID)}
	in, out := "vlan_tci=0x0000/0x1fff", "strip_vlan"
	if n.NetworkType == neutrino.VLAN {
		in, out = fmt.Sprintf("dl_vlan=%d", n.SegmentationID), fmt.Sprintf("mod_vlan_vid:%d", n.SegmentationID)
	}
	b.flows(b.config.IntegrationBridge, why).add(pipeline.LocalSwitching, 3,
		"in_port="+names.IntPatch(bridge)+","+in, fmt.Sprintf("mod_vlan_vid:%d,", vlan)+goTo(pipeline.Transient))
	b.flows(bridge, why).add(pipeline.Provider, 4, fmt.Sprintf("in_port=%s,dl_vlan=%d", names.PhyPatch(bridge), vlan), out+",NORMAL")
}
