package intent

import (
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/defaultgroup"
	"neutrino/intent/quota"
	"neutrino/intent/rbac"
	"neutrino/intent/work"
	"neutrino/store"
)

// findGroup gets a group that the caller sees. A default group is written first
// where it was only shown so far.
func findGroup(tx *Tx, id neutrino.ID) (*neutrino.SecurityGroup, error) {
	if err := defaultgroup.Need(tx, id); err != nil {
		return nil, err
	}
	return work.Find(tx, work.Groups(), id)
}

// CreateSecurityGroup makes a group with the two rules that let everything out,
// and the project's default group.
func CreateSecurityGroup(tx *Tx, g neutrino.SecurityGroup, set neutrino.Fields) (*neutrino.SecurityGroup, error) {
	project, err := tx.ProjectFor(g.ProjectID, set)
	if err != nil {
		return nil, err
	}
	if err := notDefaultName(g.Name); err != nil {
		return nil, err
	}
	if _, err := defaultgroup.Ensure(tx, project); err != nil {
		return nil, err
	}
	if err := quota.Charge(tx, project, quota.SecurityGroup, quota.SecurityGroupRule); err != nil {
		return nil, err
	}
	g.ID, g.ProjectID = tx.NewID(), project
	g.Stateful = g.Stateful || !set.Has("stateful")
	var list []neutrino.SecurityGroupRule
	for _, family := range []neutrino.EtherType{neutrino.IPv4, neutrino.IPv6} {
		list = append(list, neutrino.SecurityGroupRule{
			ID: tx.NewID(), ProjectID: project, SecurityGroupID: g.ID,
			Direction: neutrino.Egress, EtherType: family,
		})
	}
	defaultgroup.Add(tx, &g, list)
	return &g, nil
}

func notDefaultName(name string) error {
	if !strings.EqualFold(name, neutrino.DefaultGroup) {
		return nil
	}
	return neutrino.Errorf(neutrino.Conflict, "SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
}

// UpdateSecurityGroup changes a group; the default group keeps its name.
func UpdateSecurityGroup(tx *Tx, id neutrino.ID, change func(*neutrino.SecurityGroup) error, set neutrino.Fields) (*neutrino.SecurityGroup, error) {
	if _, err := findGroup(tx, id); err != nil {
		return nil, err
	}
	old, err := work.Find(tx, work.Groups(), id)
	if err != nil {
		return nil, err
	}
	g := *old
	if err := change(&g); err != nil {
		return nil, err
	}
	switch {
	case set.Has("name") && defaultgroup.Is(tx, old):
		return nil, neutrino.Errorf(neutrino.Conflict, "SecurityGroupCannotUpdateDefault",
			"Updating default security group not allowed.")
	case set.Has("name"):
		if err := notDefaultName(g.Name); err != nil {
			return nil, err
		}
	}
	if g.Stateful != old.Stateful {
		if err := unused(tx, id); err != nil {
			return nil, err
		}
	}
	tx.Touch(id, &g.Standard)
	store.Put(tx.Tx, store.SecurityGroups, &g)
	return &g, nil
}

// DeleteSecurityGroup deletes a group that no port is in, with its rules and
// with the rules of other groups that name it as their remote group.
func DeleteSecurityGroup(tx *Tx, id neutrino.ID) error {
	if _, err := findGroup(tx, id); err != nil {
		return err
	}
	g, err := work.Find(tx, work.Groups(), id)
	if err != nil {
		return err
	}
	if defaultgroup.Is(tx, g) {
		if !tx.Caller.Admin {
			return neutrino.Errorf(neutrino.Conflict, "SecurityGroupCannotRemoveDefault",
				"Insufficient rights for removing default security group.")
		}
		defaultgroup.Forget(tx, g.ProjectID)
	}
	if err := unused(tx, id); err != nil {
		return err
	}
	for _, r := range slices.Collect(store.By(tx.Tx, store.RulesByGroup, string(id))) {
		store.Delete(tx.Tx, store.SecurityGroupRules, r.ID)
	}
	for _, r := range slices.Collect(store.By(tx.Tx, store.RulesByRemoteGroup, string(id))) {
		store.Delete(tx.Tx, store.SecurityGroupRules, r.ID)
		bumpGroup(tx, r.SecurityGroupID)
	}
	rbac.Drop(tx, id)
	store.Delete(tx.Tx, store.SecurityGroups, id)
	return nil
}

// unused refuses what needs a group that no port is in. A port that joins at the
// same moment makes this run again.
func unused(tx *Tx, id neutrino.ID) error {
	for range store.Claims(tx.Tx, groupUserPrefix(id)) {
		return neutrino.Errorf(neutrino.Conflict, "SecurityGroupInUse", "Security Group %s in use.", id)
	}
	tx.RequireNone(groupUserPrefix(id))
	return nil
}

// bumpGroup records that the group's rules changed. It also makes two changes
// of one group's rules follow each other.
func bumpGroup(tx *Tx, id neutrino.ID) {
	old, ok := store.Get(tx.Tx, store.SecurityGroups, id)
	if !ok {
		return
	}
	g := *old
	tx.Touch(id, &g.Standard)
	store.Put(tx.Tx, store.SecurityGroups, &g)
}
