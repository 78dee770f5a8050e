package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
)

// The metadata service's address and the port that requests to it are
// redirected to (dataplane.md section 5.5).
const (
	metadataAddress = "169.254.169.254"
	metadataPort    = 9697
)

// The marks of a router's packets (dataplane.md section 5.2): the low half
// says what a packet is, the high half its address scope.
const (
	metadataMark = "0x1/0xffff"
	ingressMark  = "0x2/0xffff"
)

// rules are the router's iptables, with the seed's names and order.
func (r *router) rules() {
	c := names.L3Chains(r.config.WrapPrefix)
	for _, family := range [...]int{4, 6} {
		r.raw(c, family)
		r.mangle(c, family)
		r.nat(c, family)
		r.filterTable(c, family)
	}
	r.translation()
}

func (r *router) table(family int, name string) table {
	return table{r.builder, r.ns, family, name, r.why()}
}

// plain makes the chains that only wait for rules, with their hooks.
func plain(t table, c names.Chains, builtin ...string) {
	for _, chain := range builtin {
		t.hook(chain, c.Wrap(chain), 0)
	}
}

func (r *router) raw(c names.Chains, family int) {
	t := r.table(family, "raw")
	t.chain(c.Wrap("PREROUTING"))
	t.chain(c.Wrap("OUTPUT"))
	plain(t, c, "PREROUTING", "OUTPUT")
}

// gatewayDevice is the router's way out if it has an address of the family.
func (r *router) gatewayDevice(family int) string {
	if r.gateway == nil || len(addresses(*r.gateway, family)) == 0 {
		return ""
	}
	return names.QG(r.gateway.ID)
}

func (r *router) mangle(c names.Chains, family int) {
	t := r.table(family, "mangle")
	gateway := r.gatewayDevice(family)
	const masks = "--nfmask 0xffff0000 --ctmask 0xffff0000"
	pre := []string{
		"-j " + c.Wrap("mark"), "-j " + c.Wrap("scope"),
		"-m connmark ! --mark " + scopeUnset + " -j CONNMARK --restore-mark " + masks,
		"-j " + c.Wrap("floatingip"),
	}
	if family == 4 {
		pre = append(pre, "-d "+metadataAddress+"/32 -i qr-+ -p tcp -m tcp --dport 80 -j MARK --set-xmark "+metadataMark)
	}
	save := "-m connmark --mark " + scopeUnset + " -j CONNMARK --save-mark " + masks
	var post, mark, scope []string
	for _, d := range r.scoped(family) {
		scope = append(scope, "-i "+d.name+" -j MARK --set-xmark "+scopeMark(d.mark))
	}
	var cross crossing
	if family == 4 {
		cross = r.crossings(c.Wrap("float-snat"))
	}
	if gateway != "" {
		if r.snat() {
			post = []string{"-o " + gateway + " " + save}
		}
		mark = []string{"-i " + gateway + " -j MARK --set-xmark " + ingressMark}
	}
	t.chain(c.Wrap("PREROUTING"), pre...)
	t.chain(c.Wrap("POSTROUTING"), post...)
	t.chain(c.Wrap("mark"), mark...)
	t.chain(c.Wrap("scope"), scope...)
	t.chain(c.Wrap("float-snat"), append([]string{save}, cross.floatSNAT...)...)
	t.chain(c.Wrap("floatingip"), cross.floatingIP...)
	t.chain(c.Wrap("FORWARD"), cross.forward...)
	for _, name := range [...]string{"INPUT", "OUTPUT"} {
		t.chain(c.Wrap(name))
	}
	plain(t, c, "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
}

// nat is the table that the seed prints: metadata to the service, floating IPs
// both ways, and source NAT for everybody else. IPv6 is routed, not translated.
func (r *router) nat(c names.Chains, family int) {
	t := r.table(family, "nat")
	var pre, output, post, snat, float []string
	if family == 4 {
		pre = []string{fmt.Sprintf("-d %s/32 -i qr-+ -p tcp -m tcp --dport 80 -j REDIRECT --to-ports %d", metadataAddress, metadataPort)}
		if forwards := r.forwardings(t, c); len(forwards) > 0 {
			t.chain(c.Wrap("fip-pf"), forwards...)
			pre = append(pre, "-j "+c.Wrap("fip-pf"))
		}
		for _, f := range r.associated() {
			to := "-d " + f.FloatingIPAddress.String() + "/32 -j DNAT --to-destination " + f.FixedIPAddress.String()
			pre, output = append(pre, to), append(output, to)
			float = append(float, "-s "+f.FixedIPAddress.String()+"/32 -j SNAT --to-source "+f.FloatingIPAddress.String()+" --random-fully")
		}
		snat = []string{"-j " + c.Wrap("float-snat")}
		if own, ok := r.gatewayIPv4(); ok {
			qg, source := names.QG(r.gateway.ID), " -j SNAT --to-source "+own.String()+" --random-fully"
			post = []string{"! -o " + qg + " -m conntrack ! --ctstate DNAT -j ACCEPT"}
			if r.snat() {
				snat = append(append(snat, r.untranslated()...), "-o "+qg+source)
			}
			snat = append(snat, "-m mark ! --mark "+ingressMark+" -m conntrack --ctstate DNAT"+source)
		}
	}
	t.chain(c.Wrap("PREROUTING"), pre...)
	t.chain(c.Wrap("OUTPUT"), output...)
	t.chain(c.Wrap("POSTROUTING"), post...)
	t.chain(c.Wrap("snat"), snat...)
	t.chain(c.Wrap("float-snat"), float...)
	t.chain(c.PostroutingBottom(), "-j "+c.Wrap("snat"))
	plain(t, c, "PREROUTING", "OUTPUT", "POSTROUTING")
	t.hook("POSTROUTING", c.PostroutingBottom(), 1)
}

// associated are the floating IPs that stand for a fixed address.
func (r *router) associated() []neutrino.FloatingIP {
	if r.gateway == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.floating), func(f neutrino.FloatingIP) bool {
		return !f.FixedIPAddress.IsValid()
	})
}

// forwarded calls f for each port forwarding of this router's floating IPs.
func (r *router) forwarded(f func(neutrino.PortForwarding, netip.Addr)) {
	if r.gateway == nil {
		return
	}
	address := map[neutrino.ID]netip.Addr{}
	for _, fip := range r.floating {
		address[fip.ID] = fip.FloatingIPAddress
	}
	for _, id := range slices.Sorted(maps.Keys(r.view.Forwardings)) {
		p := r.view.Forwardings[id]
		if a, ok := address[p.FloatingIPID]; ok {
			f(p, a)
		}
	}
}

// forwardings makes a chain for each port forwarding and returns the jumps.
func (r *router) forwardings(t table, c names.Chains) []string {
	var jumps []string
	r.forwarded(func(p neutrino.PortForwarding, fip netip.Addr) {
		from, to := p.ExternalPorts(), p.InternalPorts()
		ports, target := strconv.Itoa(from.First), fmt.Sprintf("%s:%d", p.InternalIPAddress, to.First)
		if from.Size() > 1 {
			ports = from.String()
		}
		if to.Size() > 1 { // each port to the one as far into the other range
			target += fmt.Sprintf("-%d/%d", to.Last, from.First)
		}
		t.chain(c.Forwarding(p.ID), fmt.Sprintf("-d %s/32 -p %s -m %s --dport %s -j DNAT --to-destination %s",
			fip, p.Protocol, p.Protocol, ports, target))
		jumps = append(jumps, "-j "+c.Forwarding(p.ID))
	})
	return jumps
}

func (r *router) filterTable(c names.Chains, family int) {
	t := r.table(family, "filter")
	gateway := r.gatewayDevice(family)
	var scope []string
	for _, d := range r.scoped(family) {
		// Where source NAT hides the inside, every scope may go out.
		if d.name != gateway || family == 6 || !r.snat() {
			scope = append(scope, "-o "+d.name+" -m mark ! --mark "+scopeMark(d.mark)+" -j DROP")
		}
	}
	t.chain(c.Wrap("scope"), scope...)
	t.chain(c.Wrap("FORWARD"), "-j "+c.Wrap("scope"))
	input := []string{"-m mark --mark " + metadataMark + " -j ACCEPT", "-p tcp -m tcp --dport " + strconv.Itoa(metadataPort) + " -j DROP"}
	t.chain(c.Wrap("INPUT"), append(input, r.shield(family, gateway)...)...)
	t.chain(c.Wrap("OUTPUT"))
	t.chain(c.Wrap("local"))
	t.chain(c.FilterTop(), "-j "+c.Wrap("local"))
	t.hook("FORWARD", c.FilterTop(), 0)
	t.hook("FORWARD", c.Wrap("FORWARD"), 1)
	t.hook("OUTPUT", c.FilterTop(), 0)
	t.hook("OUTPUT", c.Wrap("OUTPUT"), 1)
	t.hook("INPUT", c.Wrap("INPUT"), 0)
}

// shield keeps a router's inner addresses from the outside while they are
// hidden by source NAT: another project on the external network could name
// them as the next hop of a route.
func (r *router) shield(family int, gateway string) []string {
	if family != 4 || gateway == "" || !r.snat() {
		return nil
	}
	var rules []string
	for _, p := range r.interfaces {
		if r.routedOut(p) {
			continue // not hidden
		}
		for _, ip := range addresses(p, family) {
			rules = append(rules, "-d "+ip.String()+"/32 -i "+gateway+" -j DROP")
		}
	}
	return rules
}

// translation is what the router's connection tracking may hold: connections
// of a floating IP that was taken away end with it.
func (r *router) translation() {
	var dnat, snat []string
	for _, f := range r.associated() {
		dnat = append(dnat, f.FloatingIPAddress.String()+" "+f.FixedIPAddress.String())
		snat = append(snat, f.FixedIPAddress.String()+" "+f.FloatingIPAddress.String())
	}
	r.forwarded(func(p neutrino.PortForwarding, fip netip.Addr) {
		if n, ok := neutrino.ProtocolNumber(p.Protocol); ok {
			dnat = append(dnat, fmt.Sprintf("%s:%d:%s %s:%s", fip, n, dashed(p.ExternalPorts()), p.InternalIPAddress, dashed(p.InternalPorts())))
		}
	})
	slices.Sort(dnat)
	slices.Sort(snat)
	if own, ok := r.gatewayIPv4(); ok && r.snat() {
		snat = append(snat, "0.0.0.0/0 "+own.String())
	}
	r.state.Translations[r.ns] = host.Translation{DNAT: strings.Join(dnat, "\n"), SNAT: strings.Join(snat, "\n"), Why: r.why()}
}

// dashed is a range of ports as [host.Translation] writes it.
func dashed(r neutrino.PortRange) string {
	if r.Size() == 1 {
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}
