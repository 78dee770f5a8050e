// Package addressscope is the part of the intent station for address scopes:
// sets of subnet pools between which routers do not translate.
package addressscope

import (
	"neutrino"
	"neutrino/intent/mark"
	"neutrino/intent/quota"
	"neutrino/intent/rbac"
	"neutrino/intent/work"
	"neutrino/store"
)

// Create makes a scope. It has a mark on each host where it is used.
func Create(tx *work.Tx, a neutrino.AddressScope, set neutrino.Fields) (*neutrino.AddressScope, error) {
	var err error
	if a.ProjectID, err = tx.ProjectFor(a.ProjectID, set); err != nil {
		return nil, err
	}
	if a.IPVersion != 4 && a.IPVersion != 6 {
		return nil, neutrino.Invalidf("ip_version %d is not one of 4, 6", a.IPVersion)
	}
	if err := quota.Charge(tx, a.ProjectID, quota.AddressScope); err != nil {
		return nil, err
	}
	shared := a.Shared
	a.ID, a.Shared = tx.NewID(), false
	store.Put(tx.Tx, store.AddressScopes, &a)
	if shared {
		err = rbac.Open(tx, object(&a), neutrino.AccessAsShared)
	}
	return &a, err
}

func object(a *neutrino.AddressScope) rbac.Object {
	return rbac.Object{Type: rbac.AddressScope, ID: a.ID, Project: a.ProjectID}
}

// Update changes a scope; change gets a copy in which shared stands for the
// share with everybody. Such a share cannot be taken away here.
func Update(tx *work.Tx, id neutrino.ID, change func(*neutrino.AddressScope) error, _ neutrino.Fields) (*neutrino.AddressScope, error) {
	old, err := work.Find(tx, work.AddressScopes(), id)
	if err != nil {
		return nil, err
	}
	a := *old
	a.Shared = work.GrantedToAll(tx.Tx, neutrino.AccessAsShared, id)
	was := a.Shared
	if err := change(&a); err != nil {
		return nil, err
	}
	if was && !a.Shared {
		return nil, neutrino.Errorf(neutrino.Invalid, "AddressScopeUpdateError",
			"Unable to update address scope %s : Shared address scope can't be unshared. Delete its RBAC policy instead.", id)
	}
	if !was && a.Shared {
		if err := rbac.Open(tx, object(&a), neutrino.AccessAsShared); err != nil {
			return nil, err
		}
	}
	a.Shared = false
	store.Put(tx.Tx, store.AddressScopes, &a)
	return &a, nil
}

// Delete deletes a scope that has no subnet pools. A pool that joins at the same
// moment writes the scope's row, so that one of the two runs again.
func Delete(tx *work.Tx, id neutrino.ID) error {
	a, err := work.Find(tx, work.AddressScopes(), id)
	if err != nil {
		return err
	}
	for range store.By(tx.Tx, store.SubnetPoolsByScope, string(id)) {
		return neutrino.Errorf(neutrino.Conflict, "AddressScopeInUse",
			"Unable to complete operation on address scope %s. There are one or more subnet pools in use on the address scope", id)
	}
	rbac.Drop(tx, id)
	mark.Forget(tx, a)
	store.Delete(tx.Tx, store.AddressScopes, id)
	return nil
}

// Of is the scope of a network's subnets of an IP version, false when they are
// in none. All of them are in the same one.
func Of(r store.Reader, network neutrino.ID, version int) (*neutrino.AddressScope, bool) {
	for s := range store.By(r, store.SubnetsByNetwork, string(network)) {
		if s.IPVersion != version || s.SubnetPoolID == "" {
			continue
		}
		p, ok := store.Peek(r, store.SubnetPools, s.SubnetPoolID)
		if !ok || p.AddressScopeID == "" {
			continue
		}
		return store.Peek(r, store.AddressScopes, p.AddressScopeID)
	}
	return nil, false
}
