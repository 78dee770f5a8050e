package plan

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
)

// firewall is the hybrid firewall: iptables on the Linux bridge of each port
// (dataplane.md section 3). A port's chains, sets and conntrack zone are in
// force before its VLAN is.
func firewall(b *builder) {
	f := &filter{builder: b, all: slices.Concat(b.ports, b.standby), chains: names.OVSChains(b.config.WrapPrefix), rules: b.rulesByGroup(),
		text: map[textKey][]string{}, allow: map[textKey][]string{}, used: map[string]string{}}
	f.bridgeNetfilter()
	for _, family := range [...]int{4, 6} {
		f.family(family)
	}
	for _, p := range f.all {
		if f.filtered(p) {
			f.zone(p)
		}
	}
}

// filter is one run of the firewall.
type filter struct {
	*builder
	all    []neutrino.Port // that are here or may move here
	chains names.Chains
	rules  map[neutrino.ID][]neutrino.SecurityGroupRule
	// text and allow keep what a group's rules come to: it is the same for
	// every port of the group, and 500 ports would format it 500 times.
	text, allow map[textKey][]string
	used        map[string]string // ipset name -> digest of its members
}

type textKey struct {
	group     neutrino.ID
	direction neutrino.Direction
	family    int
}

var firewallWhy = host.Why{Feature: "firewall", Object: neutrino.FirewallObject}

func (b *builder) rulesByGroup() map[neutrino.ID][]neutrino.SecurityGroupRule {
	out := map[neutrino.ID][]neutrino.SecurityGroupRule{}
	for _, id := range slices.Sorted(maps.Keys(b.view.Rules)) {
		if r := b.view.Rules[id]; b.understood(r) {
			out[r.SecurityGroupID] = append(out[r.SecurityGroupID], r)
		}
	}
	return out
}

func (f *filter) filtered(p neutrino.Port) bool { return p.PortSecurityEnabled && !trusted(p) }

// bridgeNetfilter makes bridged frames pass iptables, and makes a TCP segment
// without a tracked connection invalid: a connection whose rule was revoked
// would otherwise be picked up again from the middle and live on.
func (f *filter) bridgeNetfilter() {
	for name, value := range map[string]string{
		"net.bridge.bridge-nf-call-iptables":  "1",
		"net.bridge.bridge-nf-call-ip6tables": "1",
	} {
		f.state.Sysctls[host.SysctlKey{Name: name}] = host.Sysctl{Value: value, Why: firewallWhy}
	}
	// An object of its own: without it filtering is weaker, not void.
	loose := host.SysctlKey{Name: "net.netfilter.nf_conntrack_tcp_loose"}
	f.state.Sysctls[loose] = host.Sysctl{Value: "0", Why: host.Why{Feature: "firewall", Object: "conntrack"}}
}

// family makes the chains of one address family: the shared ones with their
// jumps, and those of each filtered port.
func (f *filter) family(family int) {
	c := f.chains
	var raw, nat, forward, trustedForward, input, group []string
	for _, p := range f.all {
		if ours(p) {
			continue // no firewall bridge: it is the network's own server
		}
		tap, qvb := names.Tap(p.ID), names.QVB(p.ID)
		nat = append(nat, "-m physdev --physdev-out "+tap+" -j ACCEPT", "-m physdev --physdev-in "+tap+" -j ACCEPT")
		out, in := "-m physdev --physdev-out "+tap+" --physdev-is-bridged ", "-m physdev --physdev-in "+tap+" --physdev-is-bridged "
		if !f.filtered(p) {
			trustedForward = append(trustedForward, out+"-j ACCEPT", in+"-j ACCEPT")
			continue
		}
		raw = append(raw, f.trackRules(tap, qvb, p)...)
		forward = append(forward, out+"-j "+c.Wrap("sg-chain"), in+"-j "+c.Wrap("sg-chain"))
		input = append(input, in+"-j "+c.Out(p.ID))
		group = append(group, out+"-j "+c.In(p.ID), in+"-j "+c.Out(p.ID))
		f.port(p, family)
	}
	f.shared(family, shared{raw, nat, append(forward, trustedForward...), input, group})
}

func (f *filter) table(family int, name string) table {
	return table{builder: f.builder, family: family, name: name, why: firewallWhy}
}

// shared are the rules of all ports in the chains that they share. Behind them
// ends what an instance sends not across its firewall bridge but to it: a frame
// for the MAC of the bridge or of a device on it, or for all, goes up into the
// host, which takes a packet for any address that it has, and where it forwards
// one for any other. Neutron lets in what the port's own rules let out. Beside
// an Open vSwitch in user space the host hears the other end, qvo, as well.
type shared struct{ raw, nat, forward, input, group []string }

func (f *filter) shared(family int, s shared) {
	c := f.chains
	raw, nat, filter := f.table(family, "raw"), f.table(family, "nat"), f.table(family, "filter")
	raw.chain(c.Wrap("PREROUTING"), s.raw...)
	raw.chain(c.Wrap("OUTPUT"))
	nat.chain(c.Wrap("PREROUTING"), s.nat...)
	filter.chain(c.Wrap("FORWARD"), append(s.forward, "-i "+names.AnyQBR+" ! -o "+names.AnyQBR+" -j DROP", "-i "+names.AnyQVO+" -j DROP")...)
	filter.chain(c.Wrap("INPUT"), append(s.input, "-i "+names.AnyQBR+" -j DROP", "-i "+names.AnyQVO+" -j DROP")...)
	filter.chain(c.Wrap("OUTPUT"))
	filter.chain(c.Wrap("local"))
	filter.chain(c.Wrap("sg-chain"), append(s.group, "-j ACCEPT")...)
	filter.chain(c.Wrap("sg-fallback"), "-j DROP")
	filter.chain(c.FilterTop(), "-j "+c.Wrap("local"))

	raw.hook("PREROUTING", c.Wrap("PREROUTING"), 0)
	raw.hook("OUTPUT", c.Wrap("OUTPUT"), 0)
	nat.hook("PREROUTING", c.Wrap("PREROUTING"), 0)
	filter.hook("FORWARD", c.FilterTop(), 0)
	filter.hook("FORWARD", c.Wrap("FORWARD"), 1)
	filter.hook("OUTPUT", c.FilterTop(), 0)
	filter.hook("OUTPUT", c.Wrap("OUTPUT"), 1)
	filter.hook("INPUT", c.Wrap("INPUT"), 0)
}

// trackRules track a port's packets in its own zone, whichever way they enter
// the firewall bridge, or do not track them.
func (f *filter) trackRules(tap, qvb string, p neutrino.Port) []string {
	tail := fmt.Sprintf(` -m comment --comment "Set zone for %s" -j CT --zone %d`, tap, p.CTZone)
	if f.stateless(p) {
		tail = fmt.Sprintf(` -m comment --comment "Do not track %s" -j CT --notrack`, tap)
	}
	return []string{"-m physdev --physdev-in " + qvb + tail, "-i " + qvb + tail, "-m physdev --physdev-in " + tap + tail}
}

// port makes the three chains of a port.
func (f *filter) port(p neutrino.Port, family int) {
	t, c := f.table(family, "filter"), f.chains
	t.why = host.Why{Feature: "firewall", Object: neutrino.PortObject(p.ID)}
	if family == 4 {
		t.chain(c.In(p.ID), f.inIPv4(p)...)
		t.chain(c.Out(p.ID), f.outIPv4(p)...)
	} else {
		t.chain(c.In(p.ID), f.inIPv6(p)...)
		t.chain(c.Out(p.ID), f.outIPv6(p)...)
	}
	t.chain(c.Spoof(p.ID), f.spoofPairs(p, family)...)
}

// stateless reports whether all of the port's groups are: its packets are not
// tracked, so that a rule is asked about each of them, answers too.
func (f *filter) stateless(p neutrino.Port) bool {
	for _, id := range p.SecurityGroups {
		if g, known := f.view.Groups[id]; !known || g.Stateful {
			return false
		}
	}
	return len(p.SecurityGroups) > 0
}

// established lets in what belongs to a connection that a rule let begin.
func (f *filter) established(p neutrino.Port) []string {
	if f.stateless(p) {
		return nil
	}
	return []string{"-m state --state RELATED,ESTABLISHED -j RETURN"}
}

// closing ends every port chain: what nothing allowed is dropped. A packet that
// is not tracked is never invalid.
func (f *filter) closing(p neutrino.Port) []string {
	fallback := "-j " + f.chains.Wrap("sg-fallback")
	if f.stateless(p) {
		return []string{fallback}
	}
	return []string{"-m state --state INVALID -j DROP", fallback}
}

func (f *filter) inIPv4(p neutrino.Port) []string {
	rules := f.established(p)
	for _, ip := range addresses(p, 4) {
		rules = append(rules, "-d "+ip.String()+"/32 -p udp -m udp --sport 67 --dport 68 -j RETURN")
	}
	rules = append(rules, "-d 255.255.255.255/32 -p udp -m udp --sport 67 --dport 68 -j RETURN")
	return unique(append(append(rules, f.groupRules(p, neutrino.Ingress, 4)...), f.closing(p)...))
}

func (f *filter) outIPv4(p neutrino.Port) []string {
	rules := []string{
		"-s 0.0.0.0/32 -d 255.255.255.255/32 -p udp -m udp --sport 68 --dport 67 -j RETURN",
		"-j " + f.chains.Spoof(p.ID),
		"-p udp -m udp --sport 68 --dport 67 -j RETURN",
		"-p udp -m udp --sport 67 --dport 68 -j DROP",
	}
	rules = append(rules, f.established(p)...)
	return unique(append(append(rules, f.groupRules(p, neutrino.Egress, 4)...), f.closing(p)...))
}

func icmpv6(kind int, target string) string {
	return "-p ipv6-icmp -m icmp6 --icmpv6-type " + strconv.Itoa(kind) + " -j " + target
}

func (f *filter) inIPv6(p neutrino.Port) []string {
	rules := append([]string{icmpv6(130, "RETURN"), icmpv6(135, "RETURN"), icmpv6(136, "RETURN")}, f.established(p)...)
	ips := addresses(p, 6)
	if len(ips) > 0 {
		rules = append(rules, icmpv6(134, "RETURN"))
	}
	for _, ip := range ips {
		rules = append(rules, "-d "+ip.String()+"/128 -p udp -m udp --sport 547 --dport 546 -j RETURN")
	}
	rules = append(rules, "-d fe80::/64 -p udp -m udp --sport 547 --dport 546 -j RETURN")
	return unique(append(append(rules, f.groupRules(p, neutrino.Ingress, 6)...), f.closing(p)...))
}

func (f *filter) outIPv6(p neutrino.Port) []string {
	var rules []string
	for _, kind := range [...]int{131, 135, 143} { // MLD and duplicate address detection have no source yet
		rules = append(rules, "-s ::/128 -d ff02::/16 "+icmpv6(kind, "RETURN"))
	}
	rules = append(rules, "-j "+f.chains.Spoof(p.ID), icmpv6(134, "DROP"), "-p ipv6-icmp -j RETURN",
		"-p udp -m udp --sport 546 --dport 547 -j RETURN", "-p udp -m udp --sport 547 --dport 546 -j DROP")
	rules = append(rules, f.established(p)...)
	return unique(append(append(rules, f.groupRules(p, neutrino.Egress, 6)...), f.closing(p)...))
}

// spoofPairs are the senders a port may be: allowed pairs first, then its own.
// Before them ends what a pair covers and another project's port has.
func (f *filter) spoofPairs(p neutrino.Port, family int) []string {
	var rules []string
	if set := f.exclusion(p, family); set != "" {
		rules = append(rules, "-m set --match-set "+set+" src -j DROP")
	}
	linkLocal := map[neutrino.MAC]bool{}
	add := func(match string, mac neutrino.MAC) {
		rules = append(rules, strings.TrimSpace(match+" -m mac --mac-source "+strings.ToUpper(mac.String())+" -j RETURN"))
	}
	for _, s := range f.sources(p) {
		if familyOf(s.prefix.Addr()) != family {
			continue
		}
		if s.prefix.Bits() == 0 {
			add("", s.mac)
		} else {
			add("-s "+s.prefix.String(), s.mac)
		}
		if family == 6 && !linkLocal[s.mac] {
			linkLocal[s.mac] = true
			add("-s "+s.mac.LinkLocal().String()+"/128", s.mac)
		}
	}
	if len(p.FixedIPs) == 0 {
		add("", p.MAC)
	}
	return unique(append(rules, "-j DROP"))
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// addresses are a port's fixed IPs of one family.
func addresses(p neutrino.Port, family int) []netip.Addr {
	var out []netip.Addr
	for _, ip := range p.FixedIPs {
		if familyOf(ip.IPAddress) == family {
			out = append(out, ip.IPAddress)
		}
	}
	return out
}

// unique drops rules that stand earlier in the chain already.
func unique(rules []string) []string {
	seen := make(map[string]bool, len(rules))
	out := rules[:0]
	for _, r := range rules {
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out
}

// groupRules are what the security groups of a port come to in one chain.
func (f *filter) groupRules(p neutrino.Port, d neutrino.Direction, family int) []string {
	var out []string
	for _, g := range p.SecurityGroups {
		k := textKey{g, d, family}
		text, ok := f.text[k]
		if !ok {
			for _, r := range f.matching(k) {
				text = append(text, f.ruleText(r, family)...)
			}
			f.text[k] = text
		}
		out = append(out, text...)
	}
	return out
}

// matching are the rules of a group for one direction and family.
func (f *filter) matching(k textKey) []neutrino.SecurityGroupRule {
	var out []neutrino.SecurityGroupRule
	for _, r := range f.rules[k.group] {
		if r.Direction == k.direction && etherTypeFamily(r.EtherType) == k.family {
			out = append(out, r)
		}
	}
	return out
}

func etherTypeFamily(e neutrino.EtherType) int {
	if e == neutrino.IPv6 {
		return 6
	}
	return 4
}

// digest stamps a set's members.
func digest(members string) string {
	h := fnv.New64a()
	h.Write([]byte(members))
	return strconv.FormatUint(h.Sum64(), 16)
}
