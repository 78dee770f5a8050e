package work

import (
	"iter"

	"neutrino"
	"neutrino/store"
)

// An object is shared by its RBAC policies and by nothing else: a network is
// external while one of them gives access_as_external, and "shared" is what they
// give to who asks (docs/decisions/009).

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

// The functions below yield all that a caller can see of a kind, each object at
// most a few times, and little else: they follow the indexes of what a project
// owns and of what it is given, so that nobody pays for the objects of others.

// ReachNetworks yields the caller's networks, and those that it is given.
func ReachNetworks(c Caller, r store.Reader) iter.Seq[*neutrino.Network] {
	return reach(c, r, store.Networks, store.NetworksByProject)
}

// ReachSecurityGroups yields the caller's groups, and those that it is given.
func ReachSecurityGroups(c Caller, r store.Reader) iter.Seq[*neutrino.SecurityGroup] {
	return reach(c, r, store.SecurityGroups, store.GroupsByProject)
}

// ReachSecurityGroupRules yields the caller's rules, and those of the groups that
// it sees.
func ReachSecurityGroupRules(c Caller, r store.Reader) iter.Seq[*neutrino.SecurityGroupRule] {
	return func(yield func(*neutrino.SecurityGroupRule) bool) {
		for rule := range store.By(r, store.RulesByProject, c.ProjectID) {
			if !yield(rule) {
				return
			}
		}
		for g := range ReachSecurityGroups(c, r) {
			for rule := range store.By(r, store.RulesByGroup, string(g.ID)) {
				if !yield(rule) {
					return
				}
			}
		}
	}
}

// ReachSubnetPools yields the caller's pools, and those that it is given.
func ReachSubnetPools(c Caller, r store.Reader) iter.Seq[*neutrino.SubnetPool] {
	return reach(c, r, store.SubnetPools, store.SubnetPoolsByProject)
}

// ReachAddressScopes yields the caller's scopes, and those that it is given.
func ReachAddressScopes(c Caller, r store.Reader) iter.Seq[*neutrino.AddressScope] {
	return reach(c, r, store.AddressScopes, store.AddressScopesByProject)
}

// ReachRBACPolicies yields the caller's policies.
func ReachRBACPolicies(c Caller, r store.Reader) iter.Seq[*neutrino.RBACPolicy] {
	return store.By(r, store.RBACPoliciesByProject, c.ProjectID)
}

// ReachSubnets yields the caller's subnets, and those of the networks that it
// sees.
func ReachSubnets(c Caller, r store.Reader) iter.Seq[*neutrino.Subnet] {
	return below(c, r, store.SubnetsByProject, func(n *neutrino.Network) iter.Seq[*neutrino.Subnet] {
		return store.By(r, store.SubnetsByNetwork, string(n.ID))
	})
}

// ReachPorts yields the caller's ports, and those of its own networks.
func ReachPorts(c Caller, r store.Reader) iter.Seq[*neutrino.Port] {
	return below(c, r, store.PortsByProject, func(n *neutrino.Network) iter.Seq[*neutrino.Port] {
		if !Owns(c, n.ProjectID) {
			return func(func(*neutrino.Port) bool) {}
		}
		return store.By(r, store.PortsByNetwork, string(n.ID))
	})
}

func reach[T any](c Caller, r store.Reader, t *store.Table[T], owned *store.Index[T]) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for row := range store.By(r, owned, c.ProjectID) {
			if !yield(row) {
				return
			}
		}
		for _, target := range []string{c.ProjectID, neutrino.EveryProject} {
			for p := range store.By(r, store.RBACPoliciesByTarget, target) {
				if row, ok := store.Peek(r, t, p.ObjectID); ok && !yield(row) {
					return
				}
			}
		}
	}
}

func below[T any](c Caller, r store.Reader, owned *store.Index[T], on func(*neutrino.Network) iter.Seq[*T]) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for row := range store.By(r, owned, c.ProjectID) {
			if !yield(row) {
				return
			}
		}
		for n := range ReachNetworks(c, r) {
			for row := range on(n) {
				if !yield(row) {
					return
				}
			}
		}
	}
}
