package work

import (
	"neutrino"
	"neutrino/store"
)

// An object is shared by its RBAC policies and by nothing else: a network is
// external while one of them gives access_as_external, and "shared" is what they
// give to who asks (docs/decisions/011).

// GrantedToAll reports whether an RBAC policy gives every project the right on
// the object.
func GrantedToAll(r store.Reader, a neutrino.RBACAction, object neutrino.ID) bool {
	return granted(r, a, object, func(target string) bool { return target == neutrino.EveryProject })
}

// GrantedByName reports whether an RBAC policy names the project and gives it
// the right on the object.
func GrantedByName(r store.Reader, a neutrino.RBACAction, object neutrino.ID, project string) bool {
	return granted(r, a, object, func(target string) bool { return target == project && project != "" })
}

func granted(r store.Reader, a neutrino.RBACAction, object neutrino.ID, match func(target string) bool) bool {
	for p := range store.By(r, store.RBACPoliciesByObject, string(object)) {
		if p.Action == a && match(p.TargetProject) {
			return true
		}
	}
	return false
}

// Shares reports whether the object is shared with the caller. An owner does not
// share with itself, but for a share with everybody (api.md section 1.9).
func Shares(c Caller, r store.Reader, object neutrino.ID) bool {
	return Granted(r, neutrino.AccessAsShared, object, c.ProjectID)
}

// KeepGrant makes the transaction hold only if the RBAC policies that give the
// project the right on the object stay as they are. Who reads the object's row
// with [store.Get] need not ask for it: a share that changes writes that row.
func KeepGrant(tx *Tx, a neutrino.RBACAction, object neutrino.ID, project string) {
	for p := range store.By(tx.Tx, store.RBACPoliciesByObject, string(object)) {
		if p.Action == a && (p.TargetProject == neutrino.EveryProject || p.TargetProject == project) {
			store.Get(tx.Tx, store.RBACPolicies, p.ID)
		}
	}
}

// IsExternal reports whether the network is external: somebody may use it for
// gateways and floating IPs.
func IsExternal(r store.Reader, network neutrino.ID) bool {
	return granted(r, neutrino.AccessAsExternal, network, func(string) bool { return true })
}

// UsesExternal reports whether the caller may have gateways and floating IPs on
// the network.
func UsesExternal(c Caller, r store.Reader, n *neutrino.Network) bool {
	return IsExternal(r, n.ID) &&
		(c.All() || Owns(c, n.ProjectID) || Granted(r, neutrino.AccessAsExternal, n.ID, c.ProjectID))
}

// VisibleSubnetPool reports whether the caller may see the pool: its own, or a
// shared one.
func VisibleSubnetPool(c Caller, r store.Reader, p *neutrino.SubnetPool) bool {
	return c.All() || Owns(c, p.ProjectID) || Shares(c, r, p.ID)
}

// VisibleAddressScope reports whether the caller may see the scope: its own, or
// a shared one.
func VisibleAddressScope(c Caller, r store.Reader, a *neutrino.AddressScope) bool {
	return c.All() || Owns(c, a.ProjectID) || Shares(c, r, a.ID)
}

// VisibleRBACPolicy reports whether the caller may see the policy: whoever it is
// made for does not (api.md section 2.16).
func VisibleRBACPolicy(c Caller, _ store.Reader, p *neutrino.RBACPolicy) bool {
	return c.All() || Owns(c, p.ProjectID)
}

// SubnetPools is how they are found.
func SubnetPools() Kind[neutrino.SubnetPool] {
	return Kind[neutrino.SubnetPool]{store.SubnetPools, VisibleSubnetPool,
		Missing("SubnetPoolNotFound", "Subnet pool %s could not be found.")}
}

// AddressScopes is how they are found.
func AddressScopes() Kind[neutrino.AddressScope] {
	return Kind[neutrino.AddressScope]{store.AddressScopes, VisibleAddressScope,
		Missing("AddressScopeNotFound", "Address scope %s could not be found")}
}

// RBACPolicies is how they are found.
func RBACPolicies() Kind[neutrino.RBACPolicy] {
	return Kind[neutrino.RBACPolicy]{store.RBACPolicies, VisibleRBACPolicy,
		Missing("RbacPolicyNotFound", "RBAC policy of type None with ID %s not found")}
}

// Given are the objects of a type that RBAC policies give to the caller's project
// or to all of them, by id: with what the project owns it is all that the caller
// can see of the type, so that nobody pays for the objects of others.
func Given(c Caller, r store.Reader, objectType string) []string {
	var ids []string
	for _, target := range []string{c.ProjectID, neutrino.EveryProject} {
		for p := range store.By(r, store.RBACPoliciesByTarget, target) {
			if p.ObjectType == objectType {
				ids = append(ids, string(p.ObjectID))
			}
		}
	}
	return ids
}
