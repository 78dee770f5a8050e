// Package mark is the part of the intent station that gives address scopes their
// marks, on each host where a network of the scope is present. A host has at most
// as many scopes at once as local VLANs for each IP version, so that no project can
// use up the marks of another.
package mark

import (
	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// Arrive gives the network's scopes marks on a host where the network becomes
// present. A subnet or a scope that the network gets at the same moment makes this,
// or that, run again. It is false when the host has no mark left.
func Arrive(tx *work.Tx, host string, network neutrino.ID) bool {
	store.Get(tx.Tx, store.Networks, network) // whoever changes its subnets writes it
	tx.Claim(work.PresenceClaim(network, host), host)
	for s := range store.By(tx.Tx, store.SubnetsByNetwork, string(network)) {
		if !take(tx, host, s) {
			return false
		}
	}
	return true
}

// Leave is told that the network is no longer present on the host. Its scopes keep
// their marks there, for connections that come back with it, until the scope goes
// or the host needs them.
func Leave(tx *work.Tx, host string, network neutrino.ID) {
	tx.Release(work.PresenceClaim(network, host))
}

// Join gives the scopes of a network whose subnets are in other pools or scopes than
// before their marks, wherever the network is present.
func Join(tx *work.Tx, network neutrino.ID) error {
	tx.RequireNoNew(work.PresencePrefix(network))
	for hn := range store.By(tx.Tx, store.HostNetworksByNetwork, string(network)) {
		for s := range store.By(tx.Tx, store.SubnetsByNetwork, string(network)) {
			if !take(tx, hn.Host, s) {
				return neutrino.Errorf(neutrino.Unavailable, "ServiceUnavailable",
					"Host %s has %d address scopes: its routers cannot tell more apart.", hn.Host, marks)
			}
		}
	}
	return nil
}

// JoinPool is [Join] for all networks with subnets of a pool.
func JoinPool(tx *work.Tx, pool neutrino.ID) error {
	done := map[neutrino.ID]bool{}
	for s := range store.By(tx.Tx, store.SubnetsByPool, string(pool)) {
		if done[s.NetworkID] {
			continue
		}
		done[s.NetworkID] = true
		if err := Join(tx, s.NetworkID); err != nil {
			return err
		}
	}
	return nil
}

// Forget frees the marks of a scope that goes.
func Forget(tx *work.Tx, a *neutrino.AddressScope) {
	for row := range store.By(tx.Tx, store.HostScopesByScope, string(a.ID)) {
		drop(tx, row)
	}
	if a.Mark != 0 {
		tx.Release(work.ScopeMarkClaim(a.Mark))
	}
}

func drop(tx *work.Tx, row *neutrino.HostScope) {
	tx.Release(work.HostMarkClaim(row.Host, row.Mark))
	store.Delete(tx.Tx, store.HostScopes, store.HostScopeID(row.Host, row.ScopeID))
}

// marks is how many scopes a host can tell apart.
const marks = int(neutrino.LastScopeMark-neutrino.FirstScopeMark) + 1

// markTries is how many marks are tried at random before they are tried in order.
const markTries = 32

// take sees to a mark for the scope of a subnet on a host. It writes the row also
// where there is one, so that nobody takes it away meanwhile.
func take(tx *work.Tx, host string, s *neutrino.Subnet) bool {
	if s.SubnetPoolID == "" {
		return true
	}
	p, ok := store.Get(tx.Tx, store.SubnetPools, s.SubnetPoolID)
	if !ok || p.AddressScopeID == "" {
		return true
	}
	row, ok := store.Get(tx.Tx, store.HostScopes, store.HostScopeID(host, p.AddressScopeID))
	if !ok {
		row = &neutrino.HostScope{Host: host, ScopeID: p.AddressScopeID}
		if !draw(tx, row) && (!sweep(tx, host) || !draw(tx, row)) {
			return false
		}
	}
	store.Put(tx.Tx, store.HostScopes, row)
	return true
}

// draw finds a free mark: the one that the scope had when marks were the cloud's, or
// one at random.
func draw(tx *work.Tx, row *neutrino.HostScope) bool {
	claim := func(mark uint16) bool {
		row.Mark = mark
		return tx.ClaimFree(work.HostMarkClaim(row.Host, mark), string(row.ScopeID))
	}
	if a, ok := store.Peek(tx.Tx, store.AddressScopes, row.ScopeID); ok && a.Mark != 0 && claim(a.Mark) {
		return true
	}
	start := tx.Rand.IntN(marks)
	for i := range marks + markTries {
		n := (start + i) % marks
		if i < markTries {
			n = tx.Rand.IntN(marks)
		}
		if claim(neutrino.FirstScopeMark + uint16(n)) {
			return true
		}
	}
	return false
}

// sweepMost is how many marks one transaction frees.
const sweepMost = 256

// sweep frees the marks of scopes that are on the host no more, and reports whether
// there were any.
func sweep(tx *work.Tx, host string) (some bool) {
	swept := 0
	used := map[neutrino.ID]bool{}
	for hn := range store.By(tx.Tx, store.HostNetworksByHost, host) {
		for s := range store.By(tx.Tx, store.SubnetsByNetwork, string(hn.NetworkID)) {
			if p, ok := store.Peek(tx.Tx, store.SubnetPools, s.SubnetPoolID); ok {
				used[p.AddressScopeID] = true
			}
		}
	}
	for found := range store.By(tx.Tx, store.HostScopesByHost, host) {
		if used[found.ScopeID] {
			continue
		}
		if swept++; swept > sweepMost {
			break
		}
		if row, ok := store.Get(tx.Tx, store.HostScopes, store.HostScopeID(host, found.ScopeID)); ok {
			drop(tx, row)
			some = true
		}
	}
	return some
}

// Adopt gives the scopes of a store whose marks were the cloud's the same marks on
// each host. more says that there is more to do in another transaction.
func Adopt(tx *work.Tx) (more bool) {
	for hn := range store.All(tx.Tx, store.HostNetworks) {
		for s := range store.By(tx.Tx, store.SubnetsByNetwork, string(hn.NetworkID)) {
			p, ok := store.Peek(tx.Tx, store.SubnetPools, s.SubnetPoolID)
			if !ok || p.AddressScopeID == "" {
				continue
			}
			if _, ok := store.Peek(tx.Tx, store.HostScopes, store.HostScopeID(hn.Host, p.AddressScopeID)); ok {
				continue
			}
			if tx.Full() {
				return true
			}
			take(tx, hn.Host, s)
		}
	}
	return false
}
