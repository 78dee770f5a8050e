package intent

import (
	"neutrino"
	"neutrino/intent/defaultgroup"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// CreateSecurityGroupRule adds a rule to a group of the caller's and bumps the
// group (api.md section 3.4).
func CreateSecurityGroupRule(tx *Tx, r neutrino.SecurityGroupRule, set neutrino.Fields) (*neutrino.SecurityGroupRule, error) {
	project, err := tx.ProjectFor(r.ProjectID, set)
	if err != nil {
		return nil, err
	}
	if err := normaliseRule(&r); err != nil {
		return nil, err
	}
	if _, err := findGroup(tx, r.SecurityGroupID); err != nil {
		return nil, err
	}
	if r.RemoteGroupID != "" && r.RemoteGroupID != r.SecurityGroupID {
		if err := holdRemoteGroup(tx, r.RemoteGroupID); err != nil {
			return nil, err
		}
	}
	key := keyOf(&r)
	for other := range store.By(tx.Tx, store.RulesByGroup, string(r.SecurityGroupID)) {
		if keyOf(other) == key {
			return nil, neutrino.Errorf(neutrino.Conflict, "SecurityGroupRuleExists",
				"Security group rule already exists. Rule id is %s.", other.ID)
		}
	}
	if err := quota.Charge(tx, project, quota.SecurityGroupRule); err != nil {
		return nil, err
	}
	r.ID, r.ProjectID = tx.NewID(), project
	tx.Born(r.ID, &r.Standard)
	store.Put(tx.Tx, store.SecurityGroupRules, &r)
	bumpGroup(tx, r.SecurityGroupID)
	return &r, nil
}

// holdRemoteGroup checks that the caller sees the group that a rule names, and
// writes it back as it is: a deletion at the same moment then sees the rule.
func holdRemoteGroup(tx *Tx, id neutrino.ID) error {
	g, err := findGroup(tx, id)
	if err != nil {
		return err
	}
	store.Put(tx.Tx, store.SecurityGroups, g)
	return nil
}

// DeleteSecurityGroupRule takes a rule out of its group and bumps the group.
// The owner of either may.
func DeleteSecurityGroupRule(tx *Tx, id neutrino.ID) error {
	if err := defaultgroup.NeedRule(tx, id); err != nil {
		return err
	}
	r, err := work.Find(tx, work.Rules(), id)
	if err != nil {
		return err
	}
	store.Delete(tx.Tx, store.SecurityGroupRules, id)
	bumpGroup(tx, r.SecurityGroupID)
	return nil
}

// CheckBulkRules refuses a list of new rules that is not of one group and one
// project, or that names a rule twice.
func CheckBulkRules(list []neutrino.SecurityGroupRule) error {
	seen := map[ruleKey]bool{}
	for _, r := range list {
		if r.SecurityGroupID != list[0].SecurityGroupID {
			return neutrino.Errorf(neutrino.Invalid, "SecurityGroupNotSingleGroupRules",
				"Only allowed to update rules for one security profile at a time")
		}
		if r.ProjectID != list[0].ProjectID {
			return neutrino.Errorf(neutrino.Invalid, "SecurityGroupRulesNotSingleProject",
				"Multiple project_ids in bulk security group rule create not allowed")
		}
		if err := normaliseRule(&r); err != nil {
			return err
		}
		key := keyOf(&r)
		if seen[key] {
			return neutrino.Errorf(neutrino.Conflict, "DuplicateSecurityGroupRuleInPost",
				"Duplicate Security Group Rule in POST.")
		}
		seen[key] = true
	}
	return nil
}

// ruleKey is what makes two rules the same: everything but their description,
// with protocols as numbers and "any address" as no prefix.
type ruleKey struct {
	group, remote neutrino.ID
	direction     neutrino.Direction
	family        neutrino.EtherType
	protocol      int
	least, most   int
	prefix        string
}

func keyOf(r *neutrino.SecurityGroupRule) ruleKey {
	k := ruleKey{
		group: r.SecurityGroupID, remote: r.RemoteGroupID, direction: r.Direction, family: r.EtherType,
		protocol: -1, least: -1, most: -1,
	}
	if n, ok := protocolNumber(r.Protocol); ok {
		k.protocol = n
	}
	if r.PortRangeMin != nil {
		k.least = *r.PortRangeMin
	}
	if r.PortRangeMax != nil {
		k.most = *r.PortRangeMax
	}
	if r.NormalizedCIDR.IsValid() && r.NormalizedCIDR.Bits() > 0 {
		k.prefix = r.NormalizedCIDR.String()
	}
	return k
}
