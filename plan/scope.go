package plan

import (
	"fmt"
	"net/netip"
	"strconv"

	"neutrino"
	"neutrino/plan/names"
	"neutrino/view"
)

// Address scopes in a router (dataplane.md section 5.2): packets carry the scope
// of the interface that they came in by in the high half of their mark, and
// leave by an interface of the same scope only. What a connection began with is
// kept in its connection mark, so that answers pass too.

// scopeUnset is a packet, or a connection, that no scope marked yet.
const scopeUnset = "0x0/0xffff0000"

// scopeOf is the mark of a network's address scope.
func scopeOf(n view.Network, family int) uint16 {
	mark := n.ScopeIPv4
	if family == 6 {
		mark = n.ScopeIPv6
	}
	if mark == 0 {
		return neutrino.NoScopeMark
	}
	return mark
}

// scopeMark is a mark with its mask, as iptables writes it.
func scopeMark(mark uint16) string { return fmt.Sprintf("0x%x/0xffff0000", uint32(mark)<<16) }

// scope is the mark of the scope that one of the router's ports is in.
func (r *router) scope(p neutrino.Port, family int) uint16 {
	return scopeOf(r.view.Networks[p.NetworkID], family)
}

// scoped are the devices of the router that have an address of the family, with
// their scopes; the gateway comes last.
func (r *router) scoped(family int) []scopedDevice {
	var out []scopedDevice
	for _, p := range r.interfaces {
		if len(addresses(p, family)) > 0 {
			out = append(out, scopedDevice{names.QR(p.ID), r.scope(p, family)})
		}
	}
	if r.gateway != nil && len(addresses(*r.gateway, family)) > 0 {
		out = append(out, scopedDevice{names.QG(r.gateway.ID), r.scope(*r.gateway, family)})
	}
	return out
}

type scopedDevice struct {
	name string
	mark uint16
}

// routedOut reports whether the port's addresses leave the router untranslated
// although it translates: its network and the external one are in one scope.
func (r *router) routedOut(p neutrino.Port) bool {
	mark := r.scope(*r.gateway, 4)
	return mark != neutrino.NoScopeMark && r.scope(p, 4) == mark
}

// untranslated keeps source NAT away from what is in the external network's
// scope. It stands before the rule that translates.
func (r *router) untranslated() []string {
	mark := r.scope(*r.gateway, 4)
	if mark == neutrino.NoScopeMark {
		return nil
	}
	return []string{"-o " + names.QG(r.gateway.ID) + " -m connmark --mark " + scopeMark(mark) + " -j ACCEPT"}
}

// crossing are the rules of the mangle table that let floating IPs and port
// forwardings cross scopes: what goes to them takes the scope of the instance,
// and what the instance sends takes the external network's.
type crossing struct{ floatingIP, forward, floatSNAT []string }

// crossings are for those whose instance is not in the external network's scope.
func (r *router) crossings(floatSNAT string) crossing {
	var c crossing
	if r.gateway == nil {
		return c
	}
	outside := r.scope(*r.gateway, 4)
	add := func(inside netip.Addr, to, from string) {
		mark := r.insideScope(inside)
		if mark == outside {
			return
		}
		c.floatingIP = append(c.floatingIP, to+" -j MARK --set-xmark "+scopeMark(mark))
		c.forward = append(c.forward, from+" -j "+floatSNAT)
	}
	for _, f := range r.associated() {
		add(f.FixedIPAddress, "-d "+f.FloatingIPAddress.String()+"/32", "-s "+f.FixedIPAddress.String()+"/32")
	}
	r.forwarded(func(p neutrino.PortForwarding, fip netip.Addr) {
		to := fmt.Sprintf("-d %s/32 -p %s -m %s --dport %s", fip, p.Protocol, p.Protocol, colon(p.ExternalPorts()))
		from := fmt.Sprintf("-s %s/32 -p %s -m %s --sport %s", p.InternalIPAddress, p.Protocol, p.Protocol, colon(p.InternalPorts()))
		add(p.InternalIPAddress, to, from)
	})
	if len(c.forward) == 0 {
		return c
	}
	gateway := names.QG(r.gateway.ID)
	for _, d := range r.scoped(4) {
		set := " -j MARK --set-xmark " + scopeMark(d.mark)
		switch {
		case d.name == gateway:
			c.floatSNAT = append(c.floatSNAT, "-o "+d.name+set)
		case d.mark == outside || r.snat():
			// Inside, only the answers to who asked for the floating IP: nothing
			// translates what the instance sends there by itself.
			c.floatSNAT = append(c.floatSNAT, "-o "+d.name+" -m conntrack --ctstate DNAT"+set)
		}
	}
	return c
}

// colon is a range of ports as iptables writes it.
func colon(r neutrino.PortRange) string {
	if r.Size() == 1 {
		return strconv.Itoa(r.First)
	}
	return r.String()
}

// insideScope is the scope of the interface that an instance's address is
// behind; an address behind none stays where the outside is.
func (r *router) insideScope(a netip.Addr) uint16 {
	for _, p := range r.interfaces {
		for _, own := range p.FixedIPs {
			if r.view.Subnets[own.SubnetID].CIDR.Contains(a) {
				return r.scope(p, 4)
			}
		}
	}
	return r.scope(*r.gateway, 4)
}
