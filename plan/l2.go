package plan

import (
	"fmt"
	"net/netip"
	"strconv"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
	"neutrino/plan/pipeline"
)

// bridgeWhy is the reason of what a bridge needs before there is any network.
func bridgeWhy(bridge string) host.Why { return host.Why{Feature: "l2", Object: "bridge/" + bridge} }

// bridges are br-int and br-tun with the patch ports between them, and what
// stands in their tables before there is any network.
func bridges(b *builder) {
	integration, tunnel := b.config.IntegrationBridge, b.config.TunnelBridge
	for _, name := range []string{integration, tunnel} {
		b.state.Bridges[name] = host.Bridge{
			DatapathType: b.config.DatapathType, FailMode: "secure",
			Protocols:   "OpenFlow10,OpenFlow13,OpenFlow14",
			OtherConfig: pairs(map[string]string{"disable-in-band": "true", "mac-table-size": "50000"}),
			Why:         bridgeWhy(name),
		}
	}
	b.state.OVSPorts[names.PatchTun] = host.OVSPort{Bridge: integration, Type: "patch", Options: "peer=" + names.PatchInt, Why: bridgeWhy(integration)}
	b.state.OVSPorts[names.PatchInt] = host.OVSPort{Bridge: tunnel, Type: "patch", Options: "peer=" + names.PatchTun, Why: bridgeWhy(tunnel)}

	w := b.flows(integration, bridgeWhy(integration))
	w.add(pipeline.LocalSwitching, 65535, fmt.Sprintf("dl_vlan=%d", neutrino.DeadVLAN), "drop")
	w.add(pipeline.LocalSwitching, 0, "", goTo(pipeline.Transient))
	w.add(pipeline.ARPSpoof, 0, "", "drop")
	w.add(pipeline.MACSpoof, 0, "", "drop")
	w.add(pipeline.Transient, 1, "", "NORMAL")
}

// localNetworks wires the ports of this host: each gets its network's local
// VLAN, and what it sends passes the spoof guard of the integration bridge. A
// port that is still to move here has the guard, and stays on the dead VLAN
// (failures.md, S41).
func localNetworks(b *builder) {
	for _, p := range b.ports {
		if ours(p) {
			continue // its own feature makes its port with the tag
		}
		n := b.view.Networks[p.NetworkID]
		b.wire(p, !p.AdminStateUp || !n.AdminStateUp)
	}
	for _, p := range b.standby {
		b.wire(p, true)
	}
}

func (b *builder) wire(p neutrino.Port, dead bool) {
	n := b.view.Networks[p.NetworkID]
	why := host.Why{Feature: "l2", Object: neutrino.PortObject(p.ID)}
	vif := host.VIF{MAC: p.MAC.String(), Tag: n.LocalVLAN, OtherConfig: vlanRecord(n.Network, n.LocalVLAN), Why: why}
	if dead {
		vif.Tag, vif.Dead = neutrino.DeadVLAN, true
	}
	b.state.VIFs[string(p.ID)] = vif
	if p.PortSecurityEnabled && !trusted(p) {
		b.spoofGuard(p, why)
	} else {
		b.strangerGuard(p, why)
	}
}

// vlanRecord is what Neutron keeps in Port.other_config beside the tag
// (dataplane.md section 1.3), for people and tools that look there.
func vlanRecord(n neutrino.Network, vlan uint16) string {
	record := map[string]string{"net_uuid": string(n.ID), "network_type": string(n.NetworkType), "physical_network": "None", "tag": strconv.Itoa(int(vlan))}
	if n.PhysicalNetwork != "" {
		record["physical_network"] = n.PhysicalNetwork
	}
	if n.SegmentationID != 0 {
		record["segmentation_id"] = strconv.FormatInt(n.SegmentationID, 10)
	}
	return pairs(record)
}

// source is a sender address that a port may use.
type source struct {
	prefix netip.Prefix
	mac    neutrino.MAC
}

// spoofGuard stops what iptables on the firewall bridge does not see: ARP and
// neighbour advertisements for addresses of others, and foreign source MACs in
// frames of any kind. A pair that allows every address lifts the guard of its
// family (dataplane.md section 2.1), but for the addresses of other projects'
// ports.
func (b *builder) spoofGuard(p neutrino.Port, why host.Why) {
	w, in := b.flows(b.config.IntegrationBridge, why), "in_port="+names.QVO(p.ID)
	anyIPv4, anyIPv6 := false, false
	macs := map[neutrino.MAC]bool{p.MAC: true}
	all := b.sources(p)
	for _, s := range all {
		macs[s.mac] = true
		if s.prefix.Bits() == 0 {
			anyIPv4, anyIPv6 = anyIPv4 || s.prefix.Addr().Is4(), anyIPv6 || s.prefix.Addr().Is6()
		}
	}
	// A tagged frame passes the firewall bridge unseen by iptables, and Open
	// vSwitch takes a priority tag off at an access port.
	w.add(pipeline.LocalSwitching, 11, in+",vlan_tci=0x1000/0x1000", "drop")
	for _, ip := range b.excluded(p) {
		w.denyAddress(in, ip)
	}
	w.add(pipeline.LocalSwitching, 9, in, goTo(pipeline.MACSpoof))
	if !anyIPv4 {
		w.add(pipeline.LocalSwitching, 10, "arp,"+in, goTo(pipeline.ARPSpoof))
	}
	if !anyIPv6 {
		w.add(pipeline.LocalSwitching, 10, "icmp6,"+in+",icmp_type=136", goTo(pipeline.ARPSpoof))
	}
	for _, s := range all {
		if s.prefix.Addr().Is4() && !anyIPv4 {
			w.add(pipeline.ARPSpoof, 2, fmt.Sprintf("arp,%s,arp_spa=%s,arp_sha=%s", in, bare(s.prefix), s.mac), goTo(pipeline.MACSpoof))
		} else if s.prefix.Addr().Is6() && !anyIPv6 {
			w.advertisement(in, s)
		}
	}
	for mac := range macs {
		if !anyIPv6 {
			w.advertisement(in, source{netip.PrefixFrom(mac.LinkLocal(), 128), mac})
		}
		w.add(pipeline.MACSpoof, 2, in+",dl_src="+mac.String(), goTo(pipeline.Transient))
	}
}

// advertisement lets a neighbour advertisement pass when its target is the
// source's and the link-layer address that it carries, if any, is too: the
// target alone would let a crafted one take over a neighbour (CVE-2021-20267).
func (w writer) advertisement(in string, s source) {
	for _, tll := range []string{s.mac.String(), neutrino.MAC{}.String()} {
		match := fmt.Sprintf("icmp6,%s,icmp_type=136,nd_target=%s,nd_tll=%s", in, bare(s.prefix), tll)
		w.add(pipeline.ARPSpoof, 2, match, goTo(pipeline.MACSpoof))
	}
}

// bare is a prefix as OpenFlow writes it: a host without its length.
func bare(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
