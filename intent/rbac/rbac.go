// Package rbac is the part of the intent station that shares objects between
// projects: RBAC policies, and the flags shared and router:external, which are
// policies for everybody.
package rbac

import (
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// Create makes a policy on an object of the caller's; an admin may for any
// object. A network for which the first access_as_external is given becomes
// external.
func Create(tx *work.Tx, p neutrino.RBACPolicy, set neutrino.Fields) (*neutrino.RBACPolicy, error) {
	k, err := kindOf(p.ObjectType)
	if err != nil {
		return nil, err
	}
	if p.ProjectID, err = tx.ProjectFor(p.ProjectID, set); err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(k.actions, p.Action):
		return nil, neutrino.Errorf(neutrino.Invalid, "InvalidActionForType",
			"Invalid action '%s' for object type '%s'. Valid actions: %s", p.Action, p.ObjectType, wordsOf(k.actions))
	case p.TargetProject == "":
		return nil, neutrino.Invalidf("target_tenant must name a project, or be %s for all projects", neutrino.EveryProject)
	}
	owner, ok := k.owner(tx, p.ObjectID)
	if !ok || !tx.Caller.All() && !work.Owns(tx.Caller, owner) {
		return nil, neutrino.Invalidf("object_id '%s' is no %s of the project's: only the owner of an object can share it, or an administrator",
			p.ObjectID, p.ObjectType)
	}
	if err := quota.Charge(tx, p.ProjectID, quota.RBACPolicy); err != nil {
		return nil, err
	}
	p.ID = tx.NewID()
	if err := checkNew(tx, k, &p); err != nil {
		return nil, err
	}
	store.Put(tx.Tx, store.RBACPolicies, &p)
	k.bump(tx, p.ObjectID)
	return &p, nil
}

// checkNew refuses a policy that is there already, and one that gives what its
// target could not use.
func checkNew(tx *work.Tx, k kind, p *neutrino.RBACPolicy) error {
	for other := range store.By(tx.Tx, store.RBACPoliciesByObject, string(p.ObjectID)) {
		if other.ID != p.ID && other.Action == p.Action && other.TargetProject == p.TargetProject {
			return neutrino.Errorf(neutrino.Conflict, "DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
		}
	}
	if k.mayGive == nil {
		return nil
	}
	return k.mayGive(tx, p.ObjectID, p.TargetProject)
}

// Update changes a policy of the caller's; change gets a copy. Only the target
// can change, unless projects that lose the right use it.
func Update(tx *work.Tx, id neutrino.ID, change func(*neutrino.RBACPolicy) error, _ neutrino.Fields) (*neutrino.RBACPolicy, error) {
	old, k, err := find(tx, id)
	if err != nil {
		return nil, err
	}
	p := *old
	if err := change(&p); err != nil {
		return nil, err
	}
	if p.TargetProject == "" {
		return nil, neutrino.Invalidf("target_tenant must name a project, or be %s for all projects", neutrino.EveryProject)
	}
	if p.TargetProject == old.TargetProject {
		return &p, nil
	}
	if err := checkDefault(tx, old); err != nil {
		return nil, err
	}
	if err := checkNew(tx, k, &p); err != nil {
		return nil, err
	}
	store.Put(tx.Tx, store.RBACPolicies, &p)
	if user, used := k.stranded(tx, old); used {
		return nil, inUse(old, user)
	}
	k.bump(tx, p.ObjectID)
	return &p, nil
}

// Delete takes a policy away, unless projects that lose the right use it. A
// network without a policy of access_as_external is internal.
func Delete(tx *work.Tx, id neutrino.ID) error {
	p, k, err := find(tx, id)
	if err != nil {
		return err
	}
	if err := checkDefault(tx, p); err != nil {
		return err
	}
	store.Delete(tx.Tx, store.RBACPolicies, id)
	if user, used := k.stranded(tx, p); used {
		return inUse(p, user)
	}
	k.bump(tx, p.ObjectID)
	return nil
}

// checkDefault refuses to end that everybody may use the default external network:
// who asks for a gateway without naming a network relies on it.
func checkDefault(tx *work.Tx, p *neutrino.RBACPolicy) error {
	if p.Action != neutrino.AccessAsExternal || p.TargetProject != neutrino.EveryProject {
		return nil
	}
	if n, ok := store.Get(tx.Tx, store.Networks, p.ObjectID); ok && n.IsDefault {
		return inUse(p, "the default external network is everybody's: set is_default of the network to false first")
	}
	return nil
}

// find gets a policy that the caller sees, and locks its object: two changes of
// what one object is shared with follow each other.
func find(tx *work.Tx, id neutrino.ID) (*neutrino.RBACPolicy, kind, error) {
	p, err := work.Find(tx, work.RBACPolicies(), id)
	if err != nil {
		return nil, kind{}, err
	}
	k, err := kindOf(p.ObjectType)
	if err == nil {
		k.owner(tx, p.ObjectID)
	}
	return p, k, err
}

func inUse(p *neutrino.RBACPolicy, user string) error {
	return neutrino.Errorf(neutrino.Conflict, "RbacPolicyInUse",
		"RBAC policy on object %s cannot be removed because other objects depend on it.\nDetails: %s", p.ObjectID, user)
}

// Object names an object that can be shared, as its owner's project sees it.
type Object struct {
	Type    string
	ID      neutrino.ID
	Project string
}

// Open gives the right to every project: it is what setting the flag shared, or
// router:external, of an object means. The object's row is the caller's to write.
func Open(tx *work.Tx, o Object, a neutrino.RBACAction) error {
	if work.GrantedToAll(tx.Tx, a, o.ID) {
		return nil
	}
	k, err := kindOf(o.Type)
	if err != nil {
		return err
	}
	p := &neutrino.RBACPolicy{ID: tx.NewID(), ProjectID: o.Project, ObjectType: o.Type, ObjectID: o.ID,
		Action: a, TargetProject: neutrino.EveryProject}
	if err := checkNew(tx, k, p); err != nil {
		return err
	}
	store.Put(tx.Tx, store.RBACPolicies, p)
	return nil
}

// Unshare takes the share with everybody away: it is what clearing the flag
// shared means. It reports false when projects that no other policy names use
// the object; then the transaction must not be committed. The object's row is
// the caller's to write.
func Unshare(tx *work.Tx, o Object) (bool, error) {
	k, err := kindOf(o.Type)
	if err != nil {
		return false, err
	}
	for p := range policiesOf(tx, o.ID) {
		if p.Action != neutrino.AccessAsShared || p.TargetProject != neutrino.EveryProject {
			continue
		}
		store.Delete(tx.Tx, store.RBACPolicies, p.ID)
		if _, used := k.stranded(tx, p); used {
			return false, nil
		}
	}
	return true, nil
}

// Drop takes away all policies of an object that give the right; with no right
// named, all that it has, for it is deleted. Whoever uses them is not asked.
func Drop(tx *work.Tx, object neutrino.ID, actions ...neutrino.RBACAction) {
	for p := range policiesOf(tx, object) {
		if len(actions) == 0 || slices.Contains(actions, p.Action) {
			store.Delete(tx.Tx, store.RBACPolicies, p.ID)
		}
	}
}

// policiesOf yields the policies of an object; they may be deleted meanwhile.
func policiesOf(tx *work.Tx, object neutrino.ID) func(func(*neutrino.RBACPolicy) bool) {
	return slices.Values(slices.Collect(store.By(tx.Tx, store.RBACPoliciesByObject, string(object))))
}

func wordsOf(actions []neutrino.RBACAction) string {
	var words []string
	for _, a := range actions {
		words = append(words, "'"+string(a)+"'")
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// Adopt makes policies of the flags shared and router:external of networks that
// an older version stored. It reports whether some are left: what is more than
// fits into one transaction.
func Adopt(tx *work.Tx) (more bool, err error) {
	for found := range store.All(tx.Tx, store.Networks) {
		if !found.Shared && !found.External {
			continue
		}
		if tx.Full() {
			return true, nil
		}
		n, ok := store.Get(tx.Tx, store.Networks, found.ID)
		if !ok {
			continue
		}
		o := Object{Type: Network, ID: n.ID, Project: n.ProjectID}
		if n.Shared {
			err = Open(tx, o, neutrino.AccessAsShared)
		}
		if err == nil && n.External {
			err = Open(tx, o, neutrino.AccessAsExternal)
		}
		if err != nil {
			return false, err
		}
		now := *n
		now.Shared, now.External = false, false
		store.Put(tx.Tx, store.Networks, &now)
	}
	return false, nil
}
