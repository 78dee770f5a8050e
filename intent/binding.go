package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// zoneProbes is how many random conntrack zones are tried before the range is
// searched.
const zoneProbes = 64

// witnesses is how many of a network's ports on a host one is chosen from, to
// rely on its staying there.
const witnesses = 8

// carries reports whether the host is made for the network: it has the tunnel
// type, or a bridge to the physical network.
func carries(h *neutrino.Host, n *neutrino.Network) bool {
	if n.NetworkType.IsProvider() {
		return h.BridgeMappings[n.PhysicalNetwork] != ""
	}
	return slices.Contains(h.TunnelTypes, string(n.NetworkType))
}

// capable is the host's registration when it can have a port of the network
// now: known, made for it, and its Open vSwitch agent alive and enabled.
func capable(tx *Tx, host string, n *neutrino.Network) (*neutrino.Host, bool) {
	h, ok := store.Peek(tx.Tx, store.Hosts, neutrino.ID(host))
	if !ok || !carries(h, n) {
		return nil, false
	}
	a, ok := store.Peek(tx.Tx, store.Agents, agentID(neutrino.AgentOVS, host))
	return h, ok && a.AdminStateUp && AgentAlive(a, tx.Now, tx.Config.AgentDownTime)
}

// bind sets how the port is plugged on its host (dataplane.md section 6.1) and
// allocates what it needs there. A host that cannot have it is no error: the
// vif type says so.
func bind(tx *Tx, n *neutrino.Network, p *neutrino.Port) error {
	p.VIFType, p.VIFDetails, p.CTZone = neutrino.VIFUnbound, neutrino.VIFDetails{}, 0
	if p.HostID == "" {
		return nil
	}
	p.VIFType = neutrino.VIFBindingFailed
	h, ok := capable(tx, p.HostID, n)
	if !ok || !takeLocalVLAN(tx, p) {
		return nil
	}
	if !takeZone(tx, p) {
		tx.Left[work.HostNetwork{Host: p.HostID, Network: p.NetworkID}] = true
		return nil
	}
	tx.Claim(hostUserClaim(p.HostID, p.NetworkID, p.ID), string(p.ID))
	p.VIFType = neutrino.VIFOVS
	p.VIFDetails = neutrino.VIFDetails{
		PortFilter: true, Connectivity: "l2", OVSHybridPlug: h.HybridPlug,
		DatapathType: h.DatapathType, BridgeName: h.Bridge,
	}
	return nil
}

// unbind gives back what the port holds on its host.
func unbind(tx *Tx, p *neutrino.Port) {
	if p.VIFType != neutrino.VIFOVS {
		return
	}
	tx.Release(zoneClaim(p.HostID, p.CTZone))
	tx.Release(hostUserClaim(p.HostID, p.NetworkID, p.ID))
	tx.Left[work.HostNetwork{Host: p.HostID, Network: p.NetworkID}] = true
}

// rebinding is a port before and after a change.
type rebinding struct{ old, port *neutrino.Port }

// rebind follows a change of the host, and tries again where binding failed.
func rebind(tx *Tx, n *neutrino.Network, r rebinding) error {
	if r.port.HostID == r.old.HostID && r.old.VIFType != neutrino.VIFBindingFailed {
		return nil
	}
	unbind(tx, r.old)
	r.port.Status = neutrino.PortDown
	return bind(tx, n, r.port)
}

// moveTo binds a stored port to the host, "" for none.
func moveTo(tx *Tx, found *neutrino.Port, host string) error {
	n, ok := store.Peek(tx.Tx, store.Networks, found.NetworkID)
	if !ok {
		return work.Networks().Missing(found.NetworkID)
	}
	p := editPort(tx, found)
	p.HostID = host
	if err := rebind(tx, n, rebinding{found, p}); err != nil {
		return err
	}
	tx.Touch(p.ID, &p.Standard)
	store.Put(tx.Tx, store.Ports, p)
	return nil
}

// retryBinding binds those of the cloud's own ports on a host whose binding
// failed, as while its agent was away. Instances' ports are Nova's to retry.
func retryBinding(tx *Tx, host string) error {
	for _, p := range slices.Collect(store.By(tx.Tx, store.PortsByHost, host)) {
		if p.VIFType != neutrino.VIFBindingFailed || !isRouterOwner(p.DeviceOwner) && p.DeviceOwner != neutrino.OwnerDHCP {
			continue
		}
		n, ok := store.Peek(tx.Tx, store.Networks, p.NetworkID)
		if !ok {
			continue
		}
		if _, ok := capable(tx, host, n); !ok {
			continue
		}
		if err := moveTo(tx, p, host); err != nil {
			return err
		}
	}
	return nil
}

// takeLocalVLAN makes the network present on the port's host: it has a local
// VLAN there, the lowest free one. It is false when the host has none left.
func takeLocalVLAN(tx *Tx, p *neutrino.Port) bool {
	id := store.HostNetworkID(p.HostID, p.NetworkID)
	if _, ok := store.Peek(tx.Tx, store.HostNetworks, id); ok {
		// Its last port may not take it away meanwhile.
		store.Exists(tx.Tx, store.HostNetworks, id)
		return true
	}
	store.Get(tx.Tx, store.HostNetworks, id) // nobody may make it meanwhile
	for v := uint16(1); v <= neutrino.MaxLocalVLAN; v++ {
		if tx.ClaimFree(vlanClaim(p.HostID, v), string(p.NetworkID)) {
			store.Put(tx.Tx, store.HostNetworks, &neutrino.HostNetwork{Host: p.HostID, NetworkID: p.NetworkID, LocalVLAN: v})
			return true
		}
	}
	return false
}

// takeZone claims a random free conntrack zone on the port's host.
func takeZone(tx *Tx, p *neutrino.Port) bool {
	const zones = neutrino.MaxCTZone - neutrino.MinCTZone + 1
	take := func(i uint64, claim func(key, owner string) bool) bool {
		z := uint16(neutrino.MinCTZone + i%zones)
		if !claim(zoneClaim(p.HostID, z), string(p.ID)) {
			return false
		}
		p.CTZone = z
		return true
	}
	for range zoneProbes {
		if take(tx.Rand.Uint64N(zones), tx.ClaimFree) {
			return true
		}
	}
	start := tx.Rand.Uint64N(zones)
	for i := range uint64(zones) {
		if take(start+i, tx.Claim) {
			return true
		}
	}
	return false
}

// leave ends the presence of those networks on hosts whose last port went in
// this transaction, and frees their local VLANs. It runs after everything else,
// so that a port that goes and one that comes keep the VLAN.
func leave(tx *Tx) {
	for at := range tx.Left {
		id := store.HostNetworkID(at.Host, at.Network)
		row, ok := store.Get(tx.Tx, store.HostNetworks, id)
		if !ok || remains(tx, at) {
			continue
		}
		tx.Release(vlanClaim(at.Host, row.LocalVLAN))
		store.Delete(tx.Tx, store.HostNetworks, id)
		// A port that comes at the same moment makes this run again.
		tx.RequireNone(hostUserPrefix(at.Host, at.Network))
	}
}

// remains reports whether another port keeps the network on the host. That port
// may not go meanwhile: two that go at the same moment would each take the other
// for the one that stays. It is any of a few, so that many going at once seldom
// wait for the same one.
func remains(tx *Tx, at work.HostNetwork) bool {
	var stay []string
	for _, port := range store.Claims(tx.Tx, hostUserPrefix(at.Host, at.Network)) {
		if stay = append(stay, port); len(stay) == witnesses {
			break
		}
	}
	if len(stay) == 0 {
		return false
	}
	store.Get(tx.Tx, store.Ports, neutrino.ID(stay[tx.Rand.IntN(len(stay))]))
	return true
}
