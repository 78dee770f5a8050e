package subnetpool

import (
	"neutrino"
	"neutrino/intent/rbac"
	"neutrino/intent/work"
	"neutrino/store"
)

// joinScope checks that the pool may be in the address scope that it names: one of
// the caller's, or one that is shared with it. It writes the scope's row, so that
// two pools that come at the same moment follow each other.
func joinScope(tx *work.Tx, p *neutrino.SubnetPool) error {
	if p.AddressScopeID == "" {
		return nil
	}
	a, err := work.Find(tx, work.AddressScopes(), p.AddressScopeID)
	switch {
	case err != nil:
		return err
	case a.IPVersion != p.IPVersion:
		return neutrino.Errorf(neutrino.Invalid, "IllegalSubnetPoolIpVersionAssociationToAddressScope",
			"Illegal subnetpool association: subnetpool %s cannot associate with address scope %s because subnetpool ip_version is not %d.",
			p.ID, a.ID, a.IPVersion)
	}
	store.Put(tx.Tx, store.AddressScopes, a)
	for other := range store.By(tx.Tx, store.SubnetPoolsByScope, string(a.ID)) {
		if other.ID != p.ID && overlap(other, p) {
			return neutrino.Errorf(neutrino.Conflict, "AddressScopePrefixConflict",
				"Failed to associate address scope: subnetpools within an address scope must have unique prefixes. Subnet pool %s overlaps with %s.", other.ID, p.ID)
		}
	}
	for share := range store.By(tx.Tx, store.RBACPoliciesByObject, string(p.ID)) {
		if err := rbac.CheckScopeShare(tx, a.ID, share.TargetProject); err != nil {
			return err
		}
	}
	return nil
}

func overlap(a, b *neutrino.SubnetPool) bool {
	for _, p := range a.Prefixes {
		for _, q := range b.Prefixes {
			if p.Overlaps(q) {
				return true
			}
		}
	}
	return false
}

// moveScope checks a pool that changes its scope, or its prefixes within one. A
// network whose subnets are of several pools would then be in two scopes.
func moveScope(tx *work.Tx, old, p *neutrino.SubnetPool) error {
	if err := checkScopeOwner(tx, old); err != nil {
		return err
	}
	if p.AddressScopeID == old.AddressScopeID {
		if p.AddressScopeID == "" {
			return nil
		}
		return stayInScope(tx, p)
	}
	if err := joinScope(tx, p); err != nil {
		return err
	}
	if old.AddressScopeID != "" {
		if a, ok := store.Get(tx.Tx, store.AddressScopes, old.AddressScopeID); ok {
			store.Put(tx.Tx, store.AddressScopes, a)
		}
	}
	// A subnet that is made at the same moment has read the pool's row; one that
	// was made before it is found here, or makes this run again.
	tx.RequireNoNew(work.PoolPrefixes(p.ID))
	for s := range store.By(tx.Tx, store.SubnetsByPool, string(p.ID)) {
		for other := range store.By(tx.Tx, store.SubnetsByNetwork, string(s.NetworkID)) {
			if other.IPVersion == s.IPVersion && other.SubnetPoolID != p.ID {
				return scopeAffinity()
			}
		}
	}
	return nil
}

// checkScopeOwner refuses to change the addresses of a pool in a scope of another
// project: they are addresses of the scope then, which its owner answers for.
func checkScopeOwner(tx *work.Tx, p *neutrino.SubnetPool) error {
	if p.AddressScopeID == "" || tx.Caller.All() {
		return nil
	}
	a, ok := store.Get(tx.Tx, store.AddressScopes, p.AddressScopeID)
	if !ok || work.Owns(tx.Caller, a.ProjectID) {
		return nil
	}
	return neutrino.Errorf(neutrino.Invalid, "IllegalSubnetPoolUpdate",
		"Illegal subnetpool update : subnetpool %s cannot be updated when associated with shared address scope %s, which is another project's.", p.ID, a.ID)
}

func stayInScope(tx *work.Tx, p *neutrino.SubnetPool) error {
	a, ok := store.Get(tx.Tx, store.AddressScopes, p.AddressScopeID)
	if !ok {
		return work.AddressScopes().Missing(p.AddressScopeID)
	}
	store.Put(tx.Tx, store.AddressScopes, a)
	for other := range store.By(tx.Tx, store.SubnetPoolsByScope, string(a.ID)) {
		if other.ID != p.ID && overlap(other, p) {
			return neutrino.Errorf(neutrino.Conflict, "AddressScopePrefixConflict",
				"Failed to associate address scope: subnetpools within an address scope must have unique prefixes. Subnet pool %s overlaps with %s.", other.ID, p.ID)
		}
	}
	return nil
}

func scopeAffinity() error {
	return neutrino.Errorf(neutrino.Invalid, "NetworkAddressScopeAffinityError",
		"Subnets of one IP version on a network must all be in the same address scope: of subnet pools in it.")
}

// CheckAffinity refuses a subnet of another pool than the others of its IP
// version on the network, but for pools of one address scope (api.md section
// 3.2). The network's row makes two new subnets follow each other.
func CheckAffinity(tx *work.Tx, s *neutrino.Subnet) error {
	scope := scopeOf(tx, s)
	for other := range store.By(tx.Tx, store.SubnetsByNetwork, string(s.NetworkID)) {
		if other.ID == s.ID || other.IPVersion != s.IPVersion || other.SubnetPoolID == s.SubnetPoolID {
			continue
		}
		switch has := scopeOf(tx, other); {
		case has != scope:
			return scopeAffinity()
		case scope == "":
			return neutrino.Errorf(neutrino.Invalid, "NetworkSubnetPoolAffinityError",
				"Subnets hosted on the same network must be allocated from the same subnet pool.")
		}
	}
	return nil
}

// scopeOf is the address scope of the subnet's pool, "" without one. The pool
// may not change meanwhile.
func scopeOf(tx *work.Tx, s *neutrino.Subnet) neutrino.ID {
	if s.SubnetPoolID == "" {
		return ""
	}
	p, ok := store.Get(tx.Tx, store.SubnetPools, s.SubnetPoolID)
	if !ok {
		return ""
	}
	return p.AddressScopeID
}
