package plan

import (
	"net/netip"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
)

// probes are what a router's gateway port asks the external network, which is
// not ours alone: whether others have its addresses too, and whether the
// external gateway is there.
func (r *router) probes() {
	for _, ip := range r.gateway.FixedIPs {
		r.probe(host.ProbeUnique, ip.IPAddress, host.Probe{Why: portWhy(*r.gateway)})
		to := r.view.Subnets[ip.SubnetID].GatewayIP
		if to.IsValid() && to != ip.IPAddress {
			r.probe(host.ProbeAnswers, to, host.Probe{From: ip.IPAddress.String(), Why: r.why()})
		}
	}
	for _, f := range r.floating {
		why := host.Why{Feature: "router", Object: neutrino.FloatingIPObject(f.ID)}
		r.probe(host.ProbeUnique, f.FloatingIPAddress, host.Probe{Why: why})
	}
}

func (r *router) probe(kind host.ProbeKind, a netip.Addr, p host.Probe) {
	p.Scope = neutrino.RouterObject(r.ID)
	k := host.ProbeKey{NetNS: r.ns, Device: names.QG(r.gateway.ID), Address: a.String(), Kind: kind}
	if _, asked := r.state.Probes[k]; !asked { // of two addresses of one subnet the first asks
		r.state.Probes[k] = p
	}
}
