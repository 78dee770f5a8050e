package intent

import (
	"net/netip"
	"slices"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// unset is no address.
var unset = netip.Addr{}

// associate lets the floating IP stand for the address of the port that it
// names, through a router that leads from there to its external network
// (api.md section 3.6).
func associate(tx *Tx, f *neutrino.FloatingIP) error {
	p, err := internalPort(tx, f)
	if err != nil {
		return err
	}
	fixed, err := fixedAddress(p, f.FixedIPAddress)
	if err != nil {
		return err
	}
	if err := unforwarded(tx, f); err != nil {
		return err
	}
	for pf := range store.By(tx.Tx, store.PortForwardingsByPort, string(p.ID)) {
		if pf.InternalIPAddress == fixed.IPAddress {
			return neutrino.Errorf(neutrino.Invalid, "PortHasPortForwarding",
				"Cannot associate floating IP to port %s because it already has a Port Forwarding binding.", p.ID)
		}
	}
	r, err := routerFor(tx, f, passage{p, fixed})
	if err != nil {
		return err
	}
	if !tx.Claim(portFIPClaim(p.ID, fixed.IPAddress, f.FloatingNetworkID), string(f.ID)) {
		return alreadyAssociated(f, p.ID, fixed.IPAddress)
	}
	tx.Claim(routerUseClaim(r.ID, fixed.SubnetID, f.ID), string(f.ID))
	f.PortID, f.FixedIPAddress, f.RouterID = p.ID, fixed.IPAddress, r.ID
	return nil
}

func alreadyAssociated(f *neutrino.FloatingIP, port neutrino.ID, fixed netip.Addr) error {
	return neutrino.Errorf(neutrino.Conflict, "FloatingIPPortAlreadyAssociated",
		"Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a floating IP on external network %s.",
		f.FloatingIPAddress, f.ID, port, fixed, f.FloatingNetworkID)
}

// internalPort is the port that the floating IP is to stand for. It may not
// change meanwhile.
func internalPort(tx *Tx, f *neutrino.FloatingIP) (*neutrino.Port, error) {
	p, err := work.Find(tx, work.Ports(), f.PortID)
	switch {
	case err != nil:
		return nil, err
	case p.DeviceOwner == neutrino.OwnerDHCP:
		return nil, badRequest("floatingip", "Port %s is unable to be assigned a floating IP", p.ID)
	case p.ProjectID != f.ProjectID && !tx.Caller.Admin:
		return nil, badRequest("floatingip",
			"Port %s is associated with a different tenant than Floating IP %s and therefore cannot be bound.", p.ID, f.ID)
	}
	return p, nil
}

// fixedAddress is the IPv4 address of the port that is meant: the one named, or
// the only one.
func fixedAddress(p *neutrino.Port, named netip.Addr) (neutrino.FixedIP, error) {
	if named.IsValid() && !named.Is4() {
		return neutrino.FixedIP{}, badRequest("floatingip",
			"Cannot process floating IP association with %s, since that is not an IPv4 address", named)
	}
	var all []neutrino.FixedIP
	for _, f := range p.FixedIPs {
		if f.IPAddress.Is4() && (!named.IsValid() || f.IPAddress == named) {
			all = append(all, f)
		}
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case named.IsValid():
		return neutrino.FixedIP{}, badRequest("floatingip", "Port %s does not have fixed ip %s", p.ID, named)
	case len(all) == 0:
		return neutrino.FixedIP{}, badRequest("floatingip", "Cannot add floating IP to port %s that has no fixed IPv4 addresses", p.ID)
	}
	return neutrino.FixedIP{}, badRequest("floatingip",
		"Port %s has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a floating IP", p.ID)
}

// passage is an address of a port that is to be reached from outside.
type passage struct {
	port  *neutrino.Port
	fixed neutrino.FixedIP
}

// routerFor is the router between the passage's subnet and the floating IP's
// network: the one with the subnet's gateway address before others. Neither the
// router nor its ports may change meanwhile; that it stays afterwards is what
// the claim under router-use is for.
func routerFor(tx *Tx, f *neutrino.FloatingIP, to passage) (*neutrino.Router, error) {
	s, _ := store.Peek(tx.Tx, store.Subnets, to.fixed.SubnetID)
	var best *neutrino.Router
	for p := range store.By(tx.Tx, store.PortsBySubnet, string(to.fixed.SubnetID)) {
		if p.DeviceOwner != neutrino.OwnerRouter {
			continue
		}
		r, ok := store.Peek(tx.Tx, store.Routers, neutrino.ID(p.DeviceID))
		if !ok || r.Gateway == nil || r.Gateway.NetworkID != f.FloatingNetworkID {
			continue
		}
		first := s != nil && slices.ContainsFunc(p.FixedIPs, func(a neutrino.FixedIP) bool { return a.IPAddress == s.GatewayIP })
		if best == nil || first {
			best = r
		}
	}
	if best == nil {
		return nil, neutrino.Errorf(neutrino.NotFound, "ExternalGatewayForFloatingIPNotFound",
			"External network %s is not reachable from subnet %s. Therefore, cannot associate Port %s with a Floating IP.",
			f.FloatingNetworkID, to.fixed.SubnetID, to.port.ID)
	}
	store.Get(tx.Tx, store.Routers, best.ID)
	return best, nil
}

// disassociate gives back what an association holds.
func disassociate(tx *Tx, f *neutrino.FloatingIP) {
	if p, ok := store.Peek(tx.Tx, store.Ports, f.PortID); ok {
		tx.Release(portFIPClaim(p.ID, f.FixedIPAddress, f.FloatingNetworkID))
		tx.Release(routerUseClaim(f.RouterID, subnetOf(p, f.FixedIPAddress), f.ID))
	}
	f.PortID, f.FixedIPAddress, f.RouterID, f.Status = "", unset, "", neutrino.FloatingIPDown
}

// subnetOf is the subnet of one of the port's addresses.
func subnetOf(p *neutrino.Port, a netip.Addr) neutrino.ID {
	for _, f := range p.FixedIPs {
		if f.IPAddress == a {
			return f.SubnetID
		}
	}
	return ""
}

// dropAssociations ends what leads to a port that goes: floating IPs stay and
// stand for nothing, forwardings go. One that comes at the same moment makes
// this run again.
func dropAssociations(tx *Tx, p *neutrino.Port) {
	for _, old := range slices.Collect(store.By(tx.Tx, store.FloatingIPsByPort, string(p.ID))) {
		store.Get(tx.Tx, store.FloatingIPs, old.ID)
		f := *old
		disassociate(tx, &f)
		saveFloatingIP(tx, &f)
	}
	for _, pf := range slices.Collect(store.By(tx.Tx, store.PortForwardingsByPort, string(p.ID))) {
		if f, ok := store.Get(tx.Tx, store.FloatingIPs, pf.FloatingIPID); ok {
			removeForwarding(tx, f, pf)
		}
	}
	tx.RequireNone(portFIPPrefix(p.ID))
}

// statusOnHost is what a host's report says of a floating IP that goes through
// a router there: it is up when the router is, and neither the floating IP nor
// the gateway that it sits on is pending.
func statusOnHost(r *neutrino.Router, f *neutrino.FloatingIP, pending map[string]bool) string {
	if !r.AdminStateUp || pending[neutrino.FloatingIPObject(f.ID)] || pending[neutrino.PortObject(r.GatewayPortID)] {
		return neutrino.FloatingIPDown
	}
	return neutrino.FloatingIPActive
}
