package intent

import (
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// CreatePortForwarding gives a port of the floating IP to a port of an instance
// (api.md section 3.6). Floating IP and internal port are bumped.
func CreatePortForwarding(tx *Tx, fip neutrino.ID, p neutrino.PortForwarding, _ neutrino.Fields) (*neutrino.PortForwarding, error) {
	f, err := work.Find(tx, work.FloatingIPs(), fip)
	if err != nil {
		return nil, err
	}
	if f.PortID != "" {
		return nil, alreadyAssociated(f, f.PortID, f.FixedIPAddress)
	}
	if err := quota.Charge(tx, f.ProjectID, quota.PortForwarding); err != nil {
		return nil, err
	}
	if p.ID, err = drawID(tx, store.PortForwardings, forwardNameLength); err != nil {
		return nil, err
	}
	p.FloatingIPID, p.ProjectID = f.ID, f.ProjectID
	if err := forward(tx, f, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// UpdatePortForwarding changes a forwarding of this floating IP; change gets a
// copy.
func UpdatePortForwarding(tx *Tx, fip, id neutrino.ID, change func(*neutrino.PortForwarding) error) (*neutrino.PortForwarding, error) {
	f, old, err := findForwarding(tx, fip, id)
	if err != nil {
		return nil, err
	}
	p, err := changePorts(old, change)
	if err != nil {
		return nil, err
	}
	if p.InternalPortID != old.InternalPortID {
		touchPort(tx, old.InternalPortID)
	}
	releaseForwarding(tx, f, old)
	if store.Count(tx.Tx, store.PortForwardingsByFloatingIP, string(fip)) == 1 {
		alone := *f
		alone.RouterID = "" // the only one may go through another router
		f = &alone
	}
	if err := forward(tx, f, p); err != nil {
		return nil, err
	}
	return p, nil
}

// DeletePortForwarding deletes a forwarding of this floating IP.
func DeletePortForwarding(tx *Tx, fip, id neutrino.ID) error {
	f, p, err := findForwarding(tx, fip, id)
	if err != nil {
		return err
	}
	touchPort(tx, p.InternalPortID)
	removeForwarding(tx, f, p)
	return nil
}

// findForwarding gets a forwarding under its own floating IP only, whoever asks:
// under any other it does not exist (OSSN-0102).
func findForwarding(tx *Tx, fip, id neutrino.ID) (*neutrino.FloatingIP, *neutrino.PortForwarding, error) {
	f, err := work.Find(tx, work.FloatingIPs(), fip)
	if err != nil {
		return nil, nil, err
	}
	p, ok := store.Get(tx.Tx, store.PortForwardings, id)
	if !ok || p.FloatingIPID != f.ID {
		return nil, nil, work.PortForwardings().Missing(id)
	}
	return f, p, nil
}

// forward checks a forwarding, opens its way through a router and stores it.
func forward(tx *Tx, f *neutrino.FloatingIP, p *neutrino.PortForwarding) error {
	if err := checkForwarding(p); err != nil {
		return err
	}
	if err := checkForwardingUnique(tx, p); err != nil {
		return err
	}
	way := *f
	way.PortID = p.InternalPortID
	to, err := internalPort(tx, &way)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(to.FixedIPs, func(a neutrino.FixedIP) bool { return a.IPAddress == p.InternalIPAddress })
	if i < 0 {
		return badRequest("port_forwarding", "Requested internal IP address %s of port %s does not exist", p.InternalIPAddress, to.ID)
	}
	for _, holder := range store.Claims(tx.Tx, portAddressPrefix(to.ID, p.InternalIPAddress)) {
		return neutrino.Errorf(neutrino.Conflict, "PortHasBindingFloatingIP",
			"Cannot create port forwarding to floating IP %s (%s) with port %s using fixed IP %s, as that port already has a binding floating IP (%s).",
			f.FloatingIPAddress, f.ID, to.ID, p.InternalIPAddress, holder)
	}
	// An association that comes at the same moment makes this run again.
	tx.RequireNone(portAddressPrefix(to.ID, p.InternalIPAddress))
	r, err := routerFor(tx, f, passage{to, to.FixedIPs[i]})
	if err != nil {
		return err
	}
	if f.RouterID != "" && f.RouterID != r.ID {
		return badRequest("port_forwarding", "Floating IP %s goes through router %s, but port %s is reached through router %s",
			f.ID, f.RouterID, to.ID, r.ID)
	}
	tx.Claim(routerUseClaim(r.ID, to.FixedIPs[i].SubnetID, p.ID), string(p.ID))
	next := *f
	next.RouterID = r.ID
	saveFloatingIP(tx, &next)
	touchPort(tx, to.ID)
	store.Put(tx.Tx, store.PortForwardings, p)
	return nil
}

// checkForwarding checks what the request says by itself.
func checkForwarding(p *neutrino.PortForwarding) error {
	p.Protocol = strings.ToLower(p.Protocol)
	if !slices.Contains([]string{"tcp", "udp", "sctp", "dccp"}, p.Protocol) {
		return neutrino.Invalidf("protocol '%s' is not one of tcp, udp, sctp, dccp", p.Protocol)
	}
	if err := settlePorts(p); err != nil {
		return err
	}
	if !p.InternalIPAddress.Is4() {
		return badRequest("port_forwarding", "internal_ip_address %s is not an IPv4 address", p.InternalIPAddress)
	}
	return nil
}

// checkForwardingUnique refuses a second forwarding from or to the same place,
// which ranges that share a port are.
// Both the floating IP and the internal port are written with each forwarding,
// so that two of them follow each other.
func checkForwardingUnique(tx *Tx, p *neutrino.PortForwarding) error {
	for other := range store.By(tx.Tx, store.PortForwardingsByFloatingIP, string(p.FloatingIPID)) {
		if other.ID != p.ID && other.Protocol == p.Protocol && other.ExternalPorts().Overlaps(p.ExternalPorts()) {
			return duplicateForwarding(p, other)
		}
	}
	for other := range store.By(tx.Tx, store.PortForwardingsByPort, string(p.InternalPortID)) {
		if other.ID != p.ID && other.Protocol == p.Protocol && other.InternalIPAddress == p.InternalIPAddress &&
			other.InternalPorts().Overlaps(p.InternalPorts()) {
			return duplicateForwarding(p, other)
		}
	}
	return nil
}

func duplicateForwarding(p, other *neutrino.PortForwarding) error {
	return badRequest("port_forwarding",
		"A duplicate port forwarding entry with same attributes already exists, conflicting values are protocol %s, external_port_range %s, internal %s:%s; port forwarding %s has %s and %s:%s",
		p.Protocol, p.ExternalPorts(), p.InternalIPAddress, p.InternalPorts(),
		other.ID, other.ExternalPorts(), other.InternalIPAddress, other.InternalPorts())
}

// releaseForwarding closes the forwarding's way through its router.
func releaseForwarding(tx *Tx, f *neutrino.FloatingIP, p *neutrino.PortForwarding) {
	if to, ok := store.Peek(tx.Tx, store.Ports, p.InternalPortID); ok {
		tx.Release(routerUseClaim(f.RouterID, subnetOf(to, p.InternalIPAddress), p.ID))
	}
}

// removeForwarding deletes a forwarding; with its last one the floating IP
// leaves its router.
func removeForwarding(tx *Tx, old *neutrino.FloatingIP, p *neutrino.PortForwarding) {
	releaseForwarding(tx, old, p)
	store.Delete(tx.Tx, store.PortForwardings, p.ID)
	f := *old
	if store.Count(tx.Tx, store.PortForwardingsByFloatingIP, string(f.ID)) == 0 {
		f.RouterID, f.Status = "", neutrino.FloatingIPDown
	}
	saveFloatingIP(tx, &f)
}
