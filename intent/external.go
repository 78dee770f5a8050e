package intent

import (
	"neutrino"
	"neutrino/store"
)

// checkInternal refuses to make a network internal that gateways or floating
// IPs are on. One that comes at the same moment makes this run again.
func checkInternal(tx *Tx, n *neutrino.Network) error {
	for range store.Claims(tx.Tx, externalUsePrefix(n.ID)) {
		return neutrino.Errorf(neutrino.Conflict, "ExternalNetworkInUse",
			"External network %s cannot be updated to be made non-external, since it has existing gateway ports.", n.ID)
	}
	tx.RequireNone(externalUsePrefix(n.ID))
	return nil
}

// addExternalPort stores a port of the cloud's own on an external network: a
// gateway or the place of a floating IP. It belongs to no project, so that no
// tenant sees it (api.md section 7, T16). addresses finds its fixed IPs.
func addExternalPort(tx *Tx, n *neutrino.Network, p *neutrino.Port, addresses func(*neutrino.Port) error) error {
	id, err := newPortID(tx)
	if err != nil {
		return err
	}
	p.ID, p.NetworkID, p.AdminStateUp = id, n.ID, true
	if err := checkPortTexts(p); err != nil {
		return err
	}
	if err := makeMAC(tx, p); err != nil {
		return err
	}
	if err := addresses(p); err != nil {
		return err
	}
	tx.Claim(externalUseClaim(n.ID, p.ID), string(p.ID))
	return addPort(tx, n, p)
}

// checkNotGateway refuses an address that is the gateway of its subnet: it is
// the outside's.
func checkNotGateway(tx *Tx, resource string, p *neutrino.Port) error {
	for _, f := range p.FixedIPs {
		s, ok := store.Peek(tx.Tx, store.Subnets, f.SubnetID)
		if ok && s.GatewayIP == f.IPAddress {
			return badRequest(resource, "External IP %s is the same as the gateway IP", f.IPAddress)
		}
	}
	return nil
}

// idleFloatingIP is the floating IP that the port is the place of, if it stands
// for nothing: it goes with its network.
func idleFloatingIP(tx *Tx, p *neutrino.Port) (*neutrino.FloatingIP, bool) {
	if p.DeviceOwner != neutrino.OwnerFloatingIP {
		return nil, false
	}
	f, ok := store.Get(tx.Tx, store.FloatingIPs, neutrino.ID(p.DeviceID))
	return f, ok && f.FloatingPortID == p.ID && f.RouterID == ""
}
