package subnetpool

import (
	"slices"

	"neutrino"
	"neutrino/intent/mark"
	"neutrino/intent/work"
	"neutrino/store"
)

// Onboard takes the subnets that a network has of the pool's IP version into the
// pool: their prefixes become the pool's, and they count as cut from it. Unless
// an admin asks, all of them must be the caller's own, also on a network that is
// shared with it (failures.md, S24).
func Onboard(tx *work.Tx, id, network neutrino.ID) (*neutrino.SubnetPool, error) {
	old, err := work.Find(tx, work.SubnetPools(), id)
	if err != nil {
		return nil, err
	}
	n, err := work.Find(tx, work.Networks(), network)
	if err != nil {
		return nil, err
	}
	var coming []*neutrino.Subnet
	for s := range store.By(tx.Tx, store.SubnetsByNetwork, string(network)) {
		if s.IPVersion == old.IPVersion && s.SubnetPoolID != id {
			coming = append(coming, s)
		}
	}
	if len(coming) == 0 {
		return old, nil // the network may be another's: it does not change for nothing
	}
	p := *old
	p.Prefixes = slices.Clone(old.Prefixes)
	for _, s := range coming {
		if err := checkOnboard(tx, &p, s); err != nil {
			return nil, err
		}
		p.Prefixes = append(p.Prefixes, s.CIDR)
	}
	p.Prefixes = neutrino.CompactPrefixes(p.Prefixes)
	if p.AddressScopeID != "" {
		if err := stayInScope(tx, &p); err != nil {
			return nil, err
		}
	}
	tx.RequireNoNew(work.PoolPrefixes(id))
	save(tx, &p)
	for _, s := range coming {
		if err := enter(tx, &p, s); err != nil {
			return nil, err
		}
	}
	// Two changes of the subnets of one network follow each other by its row.
	bumped := *n
	tx.Touch(n.ID, &bumped.Standard)
	store.Put(tx.Tx, store.Networks, &bumped)
	return &p, mark.Join(tx, n.ID)
}

// checkOnboard refuses a subnet that the pool cannot take.
func checkOnboard(tx *work.Tx, p *neutrino.SubnetPool, s *neutrino.Subnet) error {
	switch {
	case !tx.Caller.All() && !work.Owns(tx.Caller, s.ProjectID):
		return neutrino.Errorf(neutrino.Forbidden, "NotAuthorized",
			"Subnet %s belongs to another project: only its owner or an administrator can take it into a subnet pool.", s.ID)
	case s.SubnetPoolID != "":
		return neutrino.Errorf(neutrino.Invalid, "IllegalSubnetPoolUpdate",
			"Illegal subnetpool update : subnet %s is of subnet pool %s already.", s.ID, s.SubnetPoolID)
	}
	for other := range store.By(tx.Tx, store.SubnetsByPool, string(p.ID)) {
		if other.CIDR.Overlaps(s.CIDR) {
			return neutrino.Errorf(neutrino.Invalid, "IllegalSubnetPoolUpdate",
				"Illegal subnetpool update : subnet %s with cidr %s overlaps with subnet %s of the pool.", s.ID, s.CIDR, other.ID)
		}
	}
	return nil
}

// enter makes a subnet one of the pool.
func enter(tx *work.Tx, p *neutrino.SubnetPool, old *neutrino.Subnet) error {
	// It was found by an index: it may not change, or go, meanwhile.
	found, ok := store.Get(tx.Tx, store.Subnets, old.ID)
	if !ok {
		return work.Subnets().Missing(old.ID)
	}
	s := *found
	s.SubnetPoolID = p.ID
	tx.Claim(work.PoolPrefixClaim(p.ID, s.CIDR), string(s.ID))
	if err := charge(tx, p, &s); err != nil {
		return err
	}
	tx.Touch(s.ID, &s.Standard)
	store.Put(tx.Tx, store.Subnets, &s)
	return nil
}
