package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
	"neutrino/plan/pipeline"
)

// tunnels carry the networks of this host to the hosts that have them too.
// Every flow follows from known ports: a MAC goes to its host, an ARP request
// for a known address is answered here, and what is left is flooded to the
// hosts that have the network, to no others; and from no others is it taken.
func tunnels(b *builder) {
	w := b.flows(b.config.TunnelBridge, bridgeWhy(b.config.TunnelBridge))
	w.add(pipeline.Classify, 1, "in_port="+names.PatchInt, goTo(pipeline.PatchToTunnel))
	w.add(pipeline.PatchToTunnel, 1, "arp,dl_dst=ff:ff:ff:ff:ff:ff", goTo(pipeline.ARPResponder))
	w.add(pipeline.PatchToTunnel, 0, "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00", goTo(pipeline.UnicastToTun))
	w.add(pipeline.PatchToTunnel, 0, "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", goTo(pipeline.FloodToTun))
	w.add(pipeline.UnicastToTun, 0, "", goTo(pipeline.FloodToTun))
	w.add(pipeline.ARPResponder, 0, "", goTo(pipeline.FloodToTun))
	for _, t := range []pipeline.Table{pipeline.Classify, pipeline.GREToLocal, pipeline.VXLANToLocal, pipeline.GeneveToLocal, pipeline.FloodToTun} {
		w.add(t, 0, "", "drop")
	}
	peers := b.peers()
	for _, n := range b.networks {
		if n.NetworkType.IsTunnel() {
			b.tunnelNetwork(n.Network, n.LocalVLAN, peers[n.ID])
		}
	}
}

// peer is a port on another host whose tunnel endpoint is known.
type peer struct {
	mac neutrino.MAC
	ips []neutrino.FixedIP
	at  netip.Addr
}

// peers are the reachable remote ports of each network, in order of their ids.
func (b *builder) peers() map[neutrino.ID][]peer {
	out := map[neutrino.ID][]peer{}
	for _, id := range slices.Sorted(maps.Keys(b.view.Neighbours)) {
		n := b.view.Neighbours[id]
		if !n.TunnelIP.IsValid() || n.TunnelIP == b.config.LocalIP || n.TunnelIP.Is4() != b.config.LocalIP.Is4() {
			continue
		}
		out[n.NetworkID] = append(out[n.NetworkID], peer{n.MAC, n.FixedIPs, n.TunnelIP})
	}
	return out
}

func (b *builder) tunnelNetwork(n neutrino.Network, vlan uint16, peers []peer) {
	w := b.flows(b.config.TunnelBridge, host.Why{Feature: "tunnel", Object: neutrino.NetworkObject(n.ID)})
	encapsulate := fmt.Sprintf("strip_vlan,set_tunnel:%#x", n.SegmentationID)
	var flood []string
	for _, p := range peers {
		port := b.tunnelPort(n.NetworkType, p.at)
		w.add(pipeline.UnicastToTun, 2, fmt.Sprintf("dl_vlan=%d,dl_dst=%s", vlan, p.mac), encapsulate+",output:"+port)
		for _, f := range p.ips {
			if f.IPAddress.Is4() {
				w.add(pipeline.ARPResponder, 1, fmt.Sprintf("arp,dl_vlan=%d,arp_op=1,arp_tpa=%s", vlan, f.IPAddress), arpReply(p.mac, f.IPAddress))
			}
		}
		flood = append(flood, port)
	}
	if len(flood) > 0 {
		slices.Sort(flood)
		flood = slices.Compact(flood)
		// The network's key is taken from the hosts that have the network alone: any
		// other peer's frames with it are not the network's.
		for _, port := range flood {
			w.add(pipeline.FromTunnel(n.NetworkType), 1, fmt.Sprintf("in_port=%s,tun_id=%#x", port, n.SegmentationID),
				fmt.Sprintf("mod_vlan_vid:%d,output:%s", vlan, names.PatchInt))
		}
		w.add(pipeline.FloodToTun, 1, fmt.Sprintf("dl_vlan=%d", vlan), encapsulate+",output:"+strings.Join(flood, ",output:"))
	}
}

// tunnelPort is the port to a remote endpoint, made when a network needs it.
func (b *builder) tunnelPort(t neutrino.NetworkType, remote netip.Addr) string {
	name := names.Tunnel(t, remote)
	if _, ok := b.state.OVSPorts[name]; ok {
		return name
	}
	why := host.Why{Feature: "tunnel", Object: "tunnel/" + name}
	kind := string(t)
	if t == neutrino.GRE && remote.Is6() {
		kind = "ip6gre"
	}
	options := map[string]string{
		"df_default": "true", "egress_pkt_mark": "0", "in_key": "flow", "out_key": "flow",
		"local_ip": b.config.LocalIP.String(), "remote_ip": remote.String(),
	}
	if kind == "ip6gre" {
		options["packet_type"] = "legacy_l2"
	}
	b.state.OVSPorts[name] = host.OVSPort{Bridge: b.config.TunnelBridge, Type: kind, Options: pairs(options), Why: why}
	b.flows(b.config.TunnelBridge, why).add(pipeline.Classify, 1, "in_port="+name, goTo(pipeline.FromTunnel(t)))
	return name
}

// arpReply turns an ARP request into the answer of the given owner and sends
// it back where it came from (RFC 826).
func arpReply(mac neutrino.MAC, ip netip.Addr) string {
	return fmt.Sprintf("move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:%s->eth_src,set_field:2->arp_op,"+
		"move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],"+
		"set_field:%s->arp_sha,set_field:%s->arp_spa,IN_PORT", mac, mac, ip)
}
