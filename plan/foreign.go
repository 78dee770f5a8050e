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

// foreign is what belongs to other projects' ports on a network: nobody else
// sends by it, whatever an allowed address pair says. With an address of
// another's port an instance would take what is meant for that one, its metadata
// first of all.
type foreign struct {
	addresses map[netip.Addr]bool // fixed IPs, and the link-local addresses of the MACs
	macs      map[neutrino.MAC]bool
}

// foreignKey names what is foreign: it is the same for all ports that a project
// has on a network.
type foreignKey struct {
	network neutrino.ID
	project string
}

// claim is what one port of a network has.
type claim struct {
	project string
	mac     neutrino.MAC
	ips     []neutrino.FixedIP
}

// claims are what the ports of each network have that are bound to a host.
func (b *builder) claims() map[neutrino.ID][]claim {
	out := map[neutrino.ID][]claim{}
	for _, p := range b.view.Ports {
		out[p.NetworkID] = append(out[p.NetworkID], claim{p.ProjectID, p.MAC, p.FixedIPs})
	}
	for _, n := range b.view.Neighbours {
		// A view that an older server sent does not say whose a neighbour is; of
		// the ports that do send, only a router's gateway is no project's.
		if n.Host == "" || n.ProjectID == "" && n.DeviceOwner != neutrino.OwnerGateway {
			continue
		}
		out[n.NetworkID] = append(out[n.NetworkID], claim{n.ProjectID, n.MAC, n.FixedIPs})
	}
	return out
}

// foreignTo is what the port may not send by.
func (b *builder) foreignTo(p neutrino.Port) foreign {
	k := foreignKey{p.NetworkID, p.ProjectID}
	if f, done := b.foreigners[k]; done {
		return f
	}
	if b.claimed == nil {
		b.claimed = b.claims()
	}
	f := foreign{map[netip.Addr]bool{}, map[neutrino.MAC]bool{}}
	for _, c := range b.claimed[p.NetworkID] {
		if c.project == p.ProjectID {
			continue
		}
		f.macs[c.mac] = true
		f.addresses[c.mac.LinkLocal()] = true
		for _, ip := range c.ips {
			f.addresses[ip.IPAddress] = true
		}
	}
	b.foreigners[k] = f
	return f
}

// sources are a port's allowed address pairs, then its fixed IPs. A pair that is
// another project's port, by its address or its MAC, is left out.
func (b *builder) sources(p neutrino.Port) []source {
	var out []source
	if len(p.AllowedAddressPairs) > 0 {
		f := b.foreignTo(p)
		for _, pair := range p.AllowedAddressPairs {
			s := source{pair.IPAddress.Masked(), pair.MAC}
			if s.mac.IsZero() {
				s.mac = p.MAC
			}
			if f.macs[s.mac] && s.mac != p.MAC || s.prefix.IsSingleIP() && f.addresses[s.prefix.Addr()] && !has(p, s.prefix.Addr()) {
				continue
			}
			out = append(out, s)
		}
	}
	for _, f := range p.FixedIPs {
		out = append(out, source{netip.PrefixFrom(f.IPAddress, f.IPAddress.BitLen()), p.MAC})
	}
	return out
}

// has reports whether the address is a fixed IP of the port.
func has(p neutrino.Port, ip netip.Addr) bool {
	return slices.ContainsFunc(p.FixedIPs, func(f neutrino.FixedIP) bool { return f.IPAddress == ip })
}

// excluded are the addresses of other projects' ports that the port's wider
// pairs cover, sorted.
func (b *builder) excluded(p neutrino.Port) []netip.Addr {
	var wide []netip.Prefix
	for _, pair := range p.AllowedAddressPairs {
		if !pair.IPAddress.IsSingleIP() {
			wide = append(wide, pair.IPAddress.Masked())
		}
	}
	if len(wide) == 0 {
		return nil
	}
	var out []netip.Addr
	for ip := range b.foreignTo(p).addresses {
		if ip != p.MAC.LinkLocal() && !has(p, ip) && slices.ContainsFunc(wide, func(w netip.Prefix) bool { return w.Contains(ip) }) {
			out = append(out, ip)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// exclusion is the ipset with the port's excluded addresses of one family, ""
// where there is none.
func (b *builder) exclusion(p neutrino.Port, family int) string {
	var members []string
	for _, ip := range b.excluded(p) {
		if familyOf(ip) == family {
			members = append(members, ip.String())
		}
	}
	if len(members) == 0 {
		return ""
	}
	ether, inet := neutrino.IPv4, "inet"
	if family == 6 {
		ether, inet = neutrino.IPv6, "inet6"
	}
	slices.Sort(members)
	name := names.Excluded(ether, p.ID)
	b.state.Sets[host.SetKey{Name: name}] = host.Set{Family: inet, Members: strings.Join(members, "\n"),
		Why: host.Why{Feature: "firewall", Object: neutrino.PortObject(p.ID)}}
	return name
}

// foreignPriority is above all that lets a port's frames pass.
const foreignPriority = 12

// denyAddress ends what would make a neighbour believe that the port has an
// address of another.
func (w writer) denyAddress(in string, ip netip.Addr) {
	if ip.Is4() {
		w.add(pipeline.LocalSwitching, foreignPriority, fmt.Sprintf("arp,%s,arp_spa=%s", in, ip), "drop")
		return
	}
	w.add(pipeline.LocalSwitching, foreignPriority, fmt.Sprintf("icmp6,%s,icmp_type=136,nd_target=%s", in, ip), "drop")
	// A solicitation and an advertisement of a router name their sender too.
	w.add(pipeline.LocalSwitching, foreignPriority, fmt.Sprintf("icmp6,%s,ipv6_src=%s", in, ip), "drop")
}

// strangerGuard is all that stops an instance whose port is not secured: it may
// send by any address and MAC but those of other projects' ports.
func (b *builder) strangerGuard(p neutrino.Port, why host.Why) {
	w, in := b.flows(b.config.IntegrationBridge, why), "in_port="+names.QVO(p.ID)
	f := b.foreignTo(p)
	for mac := range maps.Keys(f.macs) {
		if mac != p.MAC {
			w.add(pipeline.LocalSwitching, foreignPriority, in+",dl_src="+mac.String(), "drop")
		}
	}
	for ip := range maps.Keys(f.addresses) {
		if ip != p.MAC.LinkLocal() && !has(p, ip) {
			w.denyAddress(in, ip)
		}
	}
}
