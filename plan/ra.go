package plan

import (
	"fmt"
	"slices"
	"strings"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
)

// advertisedDNS is how many DNS servers an advertisement names.
const advertisedDNS = 3

// adverts are the router advertisements on the interfaces of this host's
// routers, for the IPv6 subnets that ask for them by ipv6_ra_mode (dataplane.md
// section 4.6).
func adverts(b *builder) {
	for _, p := range b.ports {
		r, here := b.view.Routers[neutrino.ID(p.DeviceID)]
		if p.DeviceOwner != neutrino.OwnerRouter || !here || !r.AdminStateUp {
			continue
		}
		if subnets := b.advertised(p); len(subnets) > 0 {
			k := host.AdvertKey{NetNS: names.RouterNamespace(r.ID), Device: names.QR(p.ID)}
			a := advertOf(subnets)
			if mtu := b.view.Networks[p.NetworkID].MTU; mtu >= neutrino.MinMTUIPv6 {
				a.MTU = mtu
			}
			a.Why = host.Why{Feature: "adverts", Object: neutrino.PortObject(p.ID)}
			b.state.Adverts[k] = a
		}
	}
}

// advertised are the subnets of an interface that are advertised, each once, by id.
func (b *builder) advertised(p neutrino.Port) []neutrino.Subnet {
	var ids []neutrino.ID
	for _, ip := range p.FixedIPs {
		ids = append(ids, ip.SubnetID)
	}
	slices.Sort(ids)
	var out []neutrino.Subnet
	for _, id := range slices.Compact(ids) {
		if s := b.view.Subnets[id]; s.IPVersion == 6 && s.IPv6RAMode != "" {
			out = append(out, s)
		}
	}
	return out
}

// advertOf is what is said of an interface's subnets: every prefix is on the
// link, and where DHCPv6 gives the addresses the hosts make none themselves.
func advertOf(subnets []neutrino.Subnet) host.Advert {
	var a host.Advert
	var prefixes, dns []string
	for _, s := range subnets {
		autonomous := 1
		switch s.IPv6RAMode {
		case neutrino.DHCPv6Stateful:
			a.Managed, autonomous = true, 0
		case neutrino.DHCPv6Stateless:
			a.Other = true
		}
		prefixes = append(prefixes, fmt.Sprintf("%s 1 %d", s.CIDR.Masked(), autonomous))
		for _, ip := range s.DNSNameservers {
			if text := ip.String(); ip.Is6() && !ip.IsUnspecified() && len(dns) < advertisedDNS && !slices.Contains(dns, text) {
				dns = append(dns, text)
			}
		}
	}
	a.Prefixes, a.DNS = strings.Join(prefixes, "\n"), strings.Join(dns, ",")
	return a
}
