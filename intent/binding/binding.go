// Package binding is the part of the intent station that puts ports on hosts:
// what a port needs there, and the further hosts that it may move to.
package binding

import (
	"slices"

	"neutrino"
	"neutrino/intent/liveness"
	"neutrino/intent/mark"
	"neutrino/intent/work"
	"neutrino/store"
)

// zoneProbes is how many random conntrack zones are tried before the range is
// searched.
const zoneProbes = 64

// witnesses is how many of a network's ports on a host one is chosen from, to
// rely on its staying there.
const witnesses = 8

// Carries reports whether the host is made for the network: it has the tunnel
// type, or a bridge to the physical network.
func Carries(h *neutrino.Host, n *neutrino.Network) bool {
	if n.NetworkType.IsProvider() {
		return h.BridgeMappings[n.PhysicalNetwork] != ""
	}
	return slices.Contains(h.TunnelTypes, string(n.NetworkType))
}

// Capable is the host's registration when it can have a port of the network
// now: known, made for it, not dead, and its Open vSwitch agent enabled.
func Capable(tx *work.Tx, host string, n *neutrino.Network) (*neutrino.Host, bool) {
	h, ok := store.Peek(tx.Tx, store.Hosts, neutrino.ID(host))
	if !ok || !Carries(h, n) {
		return nil, false
	}
	a, ok := store.Peek(tx.Tx, store.Agents, work.AgentID(neutrino.AgentOVS, host))
	return h, ok && a.AdminStateUp && tx.Life(host) != liveness.Dead
}

// Bind sets how the port is plugged on its host (dataplane.md section 6.1) and
// allocates what it needs there. A host that cannot have it is no error: the
// vif type says so.
func Bind(tx *work.Tx, n *neutrino.Network, p *neutrino.Port) {
	p.VIFType, p.VIFDetails, p.CTZone = neutrino.VIFUnbound, neutrino.VIFDetails{}, 0
	if p.HostID == "" {
		return
	}
	p.VIFType = neutrino.VIFBindingFailed
	h, ok := Capable(tx, p.HostID, n)
	if !ok || !takeLocalVLAN(tx, p) {
		return
	}
	if !takeZone(tx, p) {
		tx.Left[work.HostNetwork{Host: p.HostID, Network: p.NetworkID}] = true
		return
	}
	tx.Claim(work.HostUserClaim(p.HostID, p.NetworkID, p.ID), string(p.ID))
	p.VIFType = neutrino.VIFOVS
	p.VIFDetails = neutrino.VIFDetails{
		PortFilter: true, Connectivity: "l2", OVSHybridPlug: h.HybridPlug,
		DatapathType: h.DatapathType, BridgeName: h.Bridge,
	}
}

// Unbind gives back what the port holds on its host.
func Unbind(tx *work.Tx, p *neutrino.Port) {
	if p.VIFType != neutrino.VIFOVS {
		return
	}
	tx.Release(work.ZoneClaim(p.HostID, p.CTZone))
	tx.Release(work.HostUserClaim(p.HostID, p.NetworkID, p.ID))
	tx.Left[work.HostNetwork{Host: p.HostID, Network: p.NetworkID}] = true
}

// Rebind follows a change of a port's host, and tries again where binding
// failed. old is the port before the change.
func Rebind(tx *work.Tx, n *neutrino.Network, old, p *neutrino.Port) {
	if p.HostID == old.HostID && old.VIFType != neutrino.VIFBindingFailed {
		return
	}
	Unbind(tx, old)
	dropStandby(tx, p, p.HostID)
	p.Status = neutrino.PortDown
	Bind(tx, n, p)
}

// takeLocalVLAN makes the network present on the port's host: it has a local
// VLAN there, the lowest free one. It is false when the host has none left.
func takeLocalVLAN(tx *work.Tx, p *neutrino.Port) bool {
	id := store.HostNetworkID(p.HostID, p.NetworkID)
	if _, ok := store.Peek(tx.Tx, store.HostNetworks, id); ok {
		// Its last port may not take it away meanwhile.
		store.Exists(tx.Tx, store.HostNetworks, id)
		return true
	}
	store.Get(tx.Tx, store.HostNetworks, id) // nobody may make it meanwhile
	for v := uint16(1); v <= neutrino.MaxLocalVLAN; v++ {
		if tx.ClaimFree(work.VLANClaim(p.HostID, v), string(p.NetworkID)) {
			store.Put(tx.Tx, store.HostNetworks, &neutrino.HostNetwork{Host: p.HostID, NetworkID: p.NetworkID, LocalVLAN: v})
			return mark.Arrive(tx, p.HostID, p.NetworkID)
		}
	}
	return false
}

// takeZone claims a random free conntrack zone on the port's host.
func takeZone(tx *work.Tx, p *neutrino.Port) bool {
	const zones = neutrino.MaxCTZone - neutrino.MinCTZone + 1
	take := func(i uint64, claim func(key, owner string) bool) bool {
		z := uint16(neutrino.MinCTZone + i%zones)
		if !claim(work.ZoneClaim(p.HostID, z), string(p.ID)) {
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

// Leave ends the presence of those networks on hosts whose last port went in
// this transaction, and frees their local VLANs. It runs after everything else,
// so that a port that goes and one that comes keep the VLAN.
func Leave(tx *work.Tx) {
	for at := range tx.Left {
		id := store.HostNetworkID(at.Host, at.Network)
		row, ok := store.Get(tx.Tx, store.HostNetworks, id)
		if !ok || remains(tx, at) {
			continue
		}
		tx.Release(work.VLANClaim(at.Host, row.LocalVLAN))
		mark.Leave(tx, at.Host, at.Network)
		store.Delete(tx.Tx, store.HostNetworks, id)
		// A port that comes at the same moment makes this run again.
		tx.RequireNone(work.HostUserPrefix(at.Host, at.Network))
	}
}

// remains reports whether another port keeps the network on the host. That port
// may not go meanwhile: two that go at the same moment would each take the other
// for the one that stays. It is any of a few, so that many going at once seldom
// wait for the same one.
func remains(tx *work.Tx, at work.HostNetwork) bool {
	var stay []string
	for _, port := range store.Claims(tx.Tx, work.HostUserPrefix(at.Host, at.Network)) {
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
