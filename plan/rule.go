package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
)

// protocolNames are the numbers that iptables-save prints by name wherever
// /etc/protocols exists; the iptables hand knows the others.
var protocolNames = map[int]string{
	neutrino.ProtoICMP: "icmp", neutrino.ProtoTCP: "tcp", neutrino.ProtoUDP: "udp", neutrino.ProtoDCCP: "dccp",
	neutrino.ProtoICMPv6: "ipv6-icmp", neutrino.ProtoSCTP: "sctp", neutrino.ProtoUDPLite: "udplite",
}

// protocolOf is a rule's protocol number; any is true for a rule without one.
// ICMP in an IPv6 rule is ICMPv6.
func protocolOf(r neutrino.SecurityGroupRule) (number int, any bool) {
	n, ok := neutrino.ProtocolNumber(r.Protocol)
	if r.Protocol == "" || !ok || n == 0 {
		return 0, true
	}
	if n == neutrino.ProtoICMP && r.EtherType == neutrino.IPv6 {
		n = neutrino.ProtoICMPv6
	}
	return n, false
}

// icmpTypeAny is the reserved ICMP type that iptables takes for every type.
const icmpTypeAny = 255

// ruleText is a security group rule as iptables-save prints it. A rule whose
// remote group has no member of the family comes to nothing, and so does one
// for ICMP type 255: no packet has it, and iptables would let every type pass.
func (f *filter) ruleText(r neutrino.SecurityGroupRule, family int) []string {
	address, set := "-s", "src"
	if r.Direction == neutrino.Egress {
		address, set = "-d", "dst"
	}
	var parts []string
	if r.NormalizedCIDR.IsValid() && r.NormalizedCIDR.Bits() > 0 {
		parts = append(parts, address+" "+r.NormalizedCIDR.String())
	}
	if n, any := protocolOf(r); !any {
		if n == neutrino.ProtoICMP && r.PortRangeMin != nil && *r.PortRangeMin == icmpTypeAny {
			return nil
		}
		parts = append(parts, protocolMatch(r, n))
	}
	if r.RemoteGroupID != "" {
		name := f.set(r.RemoteGroupID, family)
		if name == "" {
			return nil
		}
		parts = append(parts, "-m set --match-set "+name+" "+set)
	}
	return []string{strings.Join(append(parts, "-j RETURN"), " ")}
}

// protocolMatch matches a protocol with its ports, or with type and code for ICMP.
func protocolMatch(r neutrino.SecurityGroupRule, n int) string {
	name, named := protocolNames[n]
	if !named {
		name = strconv.Itoa(n)
	}
	p := "-p " + name
	if r.PortRangeMin == nil && r.PortRangeMax == nil {
		return p
	}
	switch {
	case n == neutrino.ProtoICMP && r.PortRangeMin != nil:
		return p + " -m icmp --icmp-type " + icmpType(r)
	case n == neutrino.ProtoICMPv6 && r.PortRangeMin != nil:
		return p + " -m icmp6 --icmpv6-type " + icmpType(r)
	case !neutrino.ProtocolHasPorts(n) || r.PortRangeMin == nil || r.PortRangeMax == nil:
		return p // refused by the API; ports on such a protocol mean nothing (CVE-2019-9735)
	case *r.PortRangeMin == *r.PortRangeMax && n != neutrino.ProtoUDPLite:
		return fmt.Sprintf("%s -m %s --dport %d", p, name, *r.PortRangeMin)
	case *r.PortRangeMin == *r.PortRangeMax:
		return fmt.Sprintf("%s -m multiport --dports %d", p, *r.PortRangeMin)
	case n == neutrino.ProtoUDPLite:
		return fmt.Sprintf("%s -m multiport --dports %d:%d", p, *r.PortRangeMin, *r.PortRangeMax)
	}
	return fmt.Sprintf("%s -m %s -m multiport --dports %d:%d", p, name, *r.PortRangeMin, *r.PortRangeMax)
}

func icmpType(r neutrino.SecurityGroupRule) string {
	if r.PortRangeMax != nil {
		return fmt.Sprintf("%d/%d", *r.PortRangeMin, *r.PortRangeMax)
	}
	return strconv.Itoa(*r.PortRangeMin)
}

// set is the ipset of a remote group, or "" when it has no member of the
// family. It notes that the set is used.
func (f *filter) set(group neutrino.ID, family int) string {
	ether := neutrino.IPv4
	if family == 6 {
		ether = neutrino.IPv6
	}
	name := names.Set(ether, group)
	if _, done := f.used[name]; done {
		if f.used[name] == "" {
			return ""
		}
		return name
	}
	var members []string
	for _, p := range f.view.Members[group].Prefixes {
		if familyOf(p.Addr()) == family {
			members = append(members, memberText(p)...)
		}
	}
	slices.Sort(members)
	members = slices.Compact(members)
	f.used[name] = ""
	if len(members) == 0 {
		return ""
	}
	text := strings.Join(members, "\n")
	f.used[name] = digest(text)
	inet := "inet"
	if family == 6 {
		inet = "inet6"
	}
	f.state.Sets[host.SetKey{Name: name}] = host.Set{Family: inet, Members: text, Why: firewallWhy}
	return name
}

// memberText is a prefix as ipset prints it; hash:net cannot hold a zero
// prefix, so it stands there as its two halves (CVE-2015-3221).
func memberText(p netip.Prefix) []string {
	switch {
	case p.IsSingleIP():
		return []string{p.Addr().String()}
	case p.Bits() == 0 && p.Addr().Is4():
		return []string{"0.0.0.0/1", "128.0.0.0/1"}
	case p.Bits() == 0:
		return []string{"::/1", "8000::/1"}
	}
	return []string{p.Masked().String()}
}

// zone says which connections of a port may exist.
func (f *filter) zone(p neutrino.Port) {
	if p.CTZone == 0 {
		return
	}
	var lines []string
	digests := map[string]string{}
	groups := p.SecurityGroups
	if f.stateless(p) {
		groups = nil // what was tracked before it was so goes
	}
	for _, g := range groups {
		for _, d := range [...]neutrino.Direction{neutrino.Ingress, neutrino.Egress} {
			for _, family := range [...]int{4, 6} {
				lines = append(lines, f.allowed(textKey{g, d, family})...)
			}
		}
		for _, r := range f.rules[g] {
			if r.RemoteGroupID != "" {
				if name := f.set(r.RemoteGroupID, etherTypeFamily(r.EtherType)); name != "" {
					digests[name] = f.used[name]
				}
			}
		}
	}
	var own []string
	for _, s := range f.sources(p) {
		own = append(own, bare(s.prefix))
	}
	slices.Sort(lines)
	slices.Sort(own)
	f.state.Zones[p.CTZone] = host.Zone{
		Allow: strings.Join(slices.Compact(lines), "\n"), Sets: pairs(digests),
		Addresses: strings.Join(slices.Compact(own), ","),
		Why:       host.Why{Feature: "firewall", Object: neutrino.PortObject(p.ID)},
	}
}

// allowed are the lines of a group in a zone's Allow.
func (f *filter) allowed(k textKey) []string {
	if lines, ok := f.allow[k]; ok {
		return lines
	}
	lines := []string{}
	for _, r := range f.matching(k) {
		remote := "any"
		if r.NormalizedCIDR.IsValid() && r.NormalizedCIDR.Bits() > 0 {
			remote = r.NormalizedCIDR.String()
		}
		if r.RemoteGroupID != "" {
			name := f.set(r.RemoteGroupID, k.family)
			if name == "" {
				continue
			}
			remote = "@" + name
		}
		protocol, span := "any", "any"
		if n, any := protocolOf(r); !any {
			protocol, span = strconv.Itoa(n), portSpan(r)
		}
		lines = append(lines, fmt.Sprintf("%s %d %s %s %s", k.direction, k.family, protocol, span, remote))
	}
	f.allow[k] = lines
	return lines
}

// portSpan is "min-max", "type-code", "type-any" or "any".
func portSpan(r neutrino.SecurityGroupRule) string {
	switch {
	case r.PortRangeMin == nil:
		return "any"
	case r.PortRangeMax == nil:
		return strconv.Itoa(*r.PortRangeMin) + "-any"
	}
	return fmt.Sprintf("%d-%d", *r.PortRangeMin, *r.PortRangeMax)
}
