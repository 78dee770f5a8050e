package rbac

import (
	"fmt"
	"iter"
	"strings"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// The types of objects that can be shared, as object_type names them.
const (
	Network       = "network"
	SecurityGroup = "security_group"
	AddressScope  = "address_scope"
	SubnetPool    = "subnetpool"
)

// kind is how one type of object is shared.
type kind struct {
	actions []neutrino.RBACAction
	// owner is the object's project. The object may not change, or go, meanwhile.
	owner func(*work.Tx, neutrino.ID) (string, bool)
	// bump records that the object is shared otherwise. Who uses a share has read
	// the object's row, so that one of the two runs again when they meet.
	bump func(*work.Tx, neutrino.ID)
	// uses yields who uses the right on the object, by project, and what for.
	uses func(*work.Tx, neutrino.ID, neutrino.RBACAction) iter.Seq2[string, string]
	// claims begins the claims that every new use makes; "" where a new use writes
	// the object's row.
	claims func(neutrino.ID, neutrino.RBACAction) string
	// mayGive, where there is one, refuses a target that could not use the object.
	mayGive func(tx *work.Tx, object neutrino.ID, target string) error
}

func kindOf(objectType string) (kind, error) {
	switch objectType {
	case Network:
		return networks(), nil
	case SecurityGroup:
		return groups(), nil
	case AddressScope:
		return scopes(), nil
	case SubnetPool:
		return pools(), nil
	}
	return kind{}, neutrino.Invalidf("'%s' is not in %s: object_type must be one of these", objectType,
		"['"+strings.Join([]string{Network, SecurityGroup, AddressScope, SubnetPool}, "', '")+"']")
}

// stranded finds a use of the right by a project that has it no more now that
// the policy is gone, or another. It counts on what is used now: a new use makes
// the transaction run again.
func (k kind) stranded(tx *work.Tx, gone *neutrino.RBACPolicy) (use string, found bool) {
	owner, _ := k.owner(tx, gone.ObjectID)
	if prefix := k.claims(gone.ObjectID, gone.Action); prefix != "" {
		tx.RequireNoNew(prefix)
	}
	last := gone.Action == neutrino.AccessAsExternal && !work.IsExternal(tx.Tx, gone.ObjectID)
	for project, what := range k.uses(tx, gone.ObjectID, gone.Action) {
		lost := gone.TargetProject == neutrino.EveryProject || gone.TargetProject == project
		if last || lost && project != owner && !work.Granted(tx.Tx, gone.Action, gone.ObjectID, project) {
			return fmt.Sprintf("%s of project %s uses it", what, project), true
		}
	}
	return "", false
}

func onlyShared() []neutrino.RBACAction { return []neutrino.RBACAction{neutrino.AccessAsShared} }

// ownerIn looks the project of a table's row up.
func ownerIn[T any](t *store.Table[T], project func(*T) string) func(*work.Tx, neutrino.ID) (string, bool) {
	return func(tx *work.Tx, id neutrino.ID) (string, bool) {
		row, ok := store.Get(tx.Tx, t, id)
		if !ok {
			return "", false
		}
		return project(row), true
	}
}

// bumpIn writes a copy of a table's row with a new revision, if it has one.
func bumpIn[T any](t *store.Table[T], standard func(*T) *neutrino.Standard) func(*work.Tx, neutrino.ID) {
	return func(tx *work.Tx, id neutrino.ID) {
		row, ok := store.Get(tx.Tx, t, id)
		if !ok {
			return
		}
		c := *row
		if standard != nil {
			tx.Touch(id, standard(&c))
		}
		store.Put(tx.Tx, t, &c)
	}
}

func networks() kind {
	return kind{
		actions: []neutrino.RBACAction{neutrino.AccessAsExternal, neutrino.AccessAsShared},
		owner:   ownerIn(store.Networks, func(n *neutrino.Network) string { return n.ProjectID }),
		bump:    bumpNetwork,
		uses: func(tx *work.Tx, id neutrino.ID, a neutrino.RBACAction) iter.Seq2[string, string] {
			if a == neutrino.AccessAsExternal {
				return externalUses(tx, id)
			}
			return networkUses(tx, id)
		},
		claims: func(id neutrino.ID, a neutrino.RBACAction) string {
			if a == neutrino.AccessAsExternal {
				return work.ExternalUsePrefix(id)
			}
			return work.MACPrefix(id)
		},
	}
}

// bumpNetwork bumps a network. One that is external no more is not the default
// external one either.
func bumpNetwork(tx *work.Tx, id neutrino.ID) {
	bumpIn(store.Networks, func(n *neutrino.Network) *neutrino.Standard {
		if n.IsDefault && !work.IsExternal(tx.Tx, id) {
			n.IsDefault = false
			tx.Release(work.DefaultExternalClaim)
		}
		return &n.Standard
	})(tx, id)
}

// networkUses are the ports and subnets that others have on a network. Ports of
// the cloud's own belong to nobody.
func networkUses(tx *work.Tx, id neutrino.ID) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for p := range store.By(tx.Tx, store.PortsByNetwork, string(id)) {
			if p.ProjectID != "" && !autoDeleted(p) && !yield(p.ProjectID, "port "+string(p.ID)) {
				return
			}
		}
		for s := range store.By(tx.Tx, store.SubnetsByNetwork, string(id)) {
			if !yield(s.ProjectID, "subnet "+string(s.ID)) {
				return
			}
		}
	}
}

// autoDeleted reports whether the port goes with its network.
func autoDeleted(p *neutrino.Port) bool { return p.DeviceOwner == neutrino.OwnerDHCP }

// externalUses are the gateways and the floating IPs on an external network.
func externalUses(tx *work.Tx, id neutrino.ID) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for r := range store.By(tx.Tx, store.RoutersByGatewayNetwork, string(id)) {
			if !yield(r.ProjectID, "router "+string(r.ID)) {
				return
			}
		}
		for f := range store.By(tx.Tx, store.FloatingIPsByNetwork, string(id)) {
			if !yield(f.ProjectID, "floating IP "+string(f.ID)) {
				return
			}
		}
	}
}

func groups() kind {
	return kind{
		actions: onlyShared(),
		owner:   ownerIn(store.SecurityGroups, func(g *neutrino.SecurityGroup) string { return g.ProjectID }),
		bump:    bumpIn(store.SecurityGroups, func(g *neutrino.SecurityGroup) *neutrino.Standard { return &g.Standard }),
		uses: func(tx *work.Tx, id neutrino.ID, _ neutrino.RBACAction) iter.Seq2[string, string] {
			return func(yield func(string, string) bool) {
				for p := range store.By(tx.Tx, store.PortsByGroup, string(id)) {
					if !yield(p.ProjectID, "port "+string(p.ID)) {
						return
					}
				}
			}
		},
		claims: func(id neutrino.ID, _ neutrino.RBACAction) string { return work.GroupUserPrefix(id) },
	}
}

// scopes are used by the pools in them: by the projects that own a pool, and by
// those that a pool is shared with.
func scopes() kind {
	return kind{
		actions: onlyShared(),
		owner:   ownerIn(store.AddressScopes, func(a *neutrino.AddressScope) string { return a.ProjectID }),
		bump:    bumpIn(store.AddressScopes, nil),
		uses: func(tx *work.Tx, id neutrino.ID, _ neutrino.RBACAction) iter.Seq2[string, string] {
			return func(yield func(string, string) bool) {
				for p := range store.By(tx.Tx, store.SubnetPoolsByScope, string(id)) {
					if !yield(p.ProjectID, "subnet pool "+string(p.ID)) {
						return
					}
					for share := range store.By(tx.Tx, store.RBACPoliciesByObject, string(p.ID)) {
						if !yield(share.TargetProject, "a share of subnet pool "+string(p.ID)) {
							return
						}
					}
				}
			}
		},
		claims: func(neutrino.ID, neutrino.RBACAction) string { return "" },
	}
}

func pools() kind {
	return kind{
		actions: onlyShared(),
		owner:   ownerIn(store.SubnetPools, func(p *neutrino.SubnetPool) string { return p.ProjectID }),
		bump:    bumpIn(store.SubnetPools, func(p *neutrino.SubnetPool) *neutrino.Standard { return &p.Standard }),
		uses: func(tx *work.Tx, id neutrino.ID, _ neutrino.RBACAction) iter.Seq2[string, string] {
			return func(yield func(string, string) bool) {
				for s := range store.By(tx.Tx, store.SubnetsByPool, string(id)) {
					if !yield(s.ProjectID, "subnet "+string(s.ID)) {
						return
					}
				}
			}
		},
		claims: func(id neutrino.ID, _ neutrino.RBACAction) string { return work.PoolPrefixes(id) },
		mayGive: func(tx *work.Tx, id neutrino.ID, target string) error {
			p, ok := store.Get(tx.Tx, store.SubnetPools, id)
			if !ok || p.AddressScopeID == "" {
				return nil
			}
			return CheckScopeShare(tx, p.AddressScopeID, target)
		},
	}
}

// CheckScopeShare refuses to share a subnet pool with a project that its address
// scope is not shared with (api.md section 1.9). The share of the scope stays
// while the pool's does.
func CheckScopeShare(tx *work.Tx, scope neutrino.ID, target string) error {
	a, ok := store.Get(tx.Tx, store.AddressScopes, scope)
	if !ok {
		return work.AddressScopes().Missing(scope)
	}
	store.Put(tx.Tx, store.AddressScopes, a)
	if target == a.ProjectID || work.Granted(tx.Tx, neutrino.AccessAsShared, scope, target) {
		return nil
	}
	return neutrino.Invalidf("address scope %s of the subnet pool is not shared with %s: share the scope with it first", scope, target)
}
