package intent

import (
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/addresspair"
	"neutrino/intent/defaultgroup"
	"neutrino/intent/work"
	"neutrino/store"
)

// securePort sets port security, groups and address pairs of a new port (api.md
// section 3.3): trusted ports have none, others the default group where the
// request names none.
func securePort(tx *Tx, n *neutrino.Network, p *neutrino.Port, set neutrino.Fields) error {
	if !set.Has("port_security_enabled") {
		p.PortSecurityEnabled = n.PortSecurityEnabled
	}
	if isTrusted(p.DeviceOwner) {
		p.PortSecurityEnabled, p.SecurityGroups, p.AllowedAddressPairs = false, nil, nil
		return nil
	}
	if !p.PortSecurityEnabled {
		return checkUnsecured(p)
	}
	if !set.Has("security_groups") && len(p.SecurityGroups) == 0 {
		g, err := defaultgroup.Ensure(tx, p.ProjectID)
		if err != nil {
			return err
		}
		p.SecurityGroups = []neutrino.ID{g}
	} else if err := checkGroups(tx, p); err != nil {
		return err
	}
	claimGroups(tx, nil, p)
	return addresspair.Check(tx, p)
}

// checkUnsecured refuses groups and pairs on a port without port security.
func checkUnsecured(p *neutrino.Port) error {
	if len(p.SecurityGroups) > 0 {
		return neutrino.Errorf(neutrino.Invalid, "PortSecurityAndIPRequiredForSecurityGroups",
			"Port security must be enabled and port must have an IP address in order to use security groups.")
	}
	if len(p.AllowedAddressPairs) > 0 {
		return neutrino.Errorf(neutrino.Conflict, "AddressPairAndPortSecurityRequired",
			"Port Security must be enabled in order to have allowed address pairs on a port.")
	}
	return nil
}

// changeSecurity follows a request's port security, groups and pairs.
func changeSecurity(tx *Tx, old, p *neutrino.Port, set neutrino.Fields) error {
	if !p.PortSecurityEnabled && !set.Has("security_groups") && len(p.SecurityGroups) > 0 {
		return neutrino.Errorf(neutrino.Conflict, "PortSecurityPortHasSecurityGroup",
			"Port has security group associated. Cannot disable port security or IP address until security group is removed.")
	}
	if !p.PortSecurityEnabled {
		if err := checkUnsecured(p); err != nil {
			return err
		}
	}
	if set.Has("security_groups") {
		if err := checkGroups(tx, p); err != nil {
			return err
		}
		claimGroups(tx, old, p)
	}
	if set.Has("allowed_address_pairs") {
		return addresspair.Check(tx, p)
	}
	return nil
}

// checkGroups refuses groups that the caller does not see, and takes each once.
func checkGroups(tx *Tx, p *neutrino.Port) error {
	var list []neutrino.ID
	var unknown []string
	for _, id := range p.SecurityGroups {
		if err := defaultgroup.Need(tx, id); err != nil {
			return err
		}
		g, ok := store.Peek(tx.Tx, store.SecurityGroups, id)
		switch {
		case !ok || !work.VisibleSecurityGroup(tx.Caller, tx.Tx, g) && g.ProjectID != p.ProjectID:
			unknown = append(unknown, string(id))
		case !slices.Contains(list, id):
			list = append(list, id)
		}
		if ok && g.ProjectID != p.ProjectID {
			work.KeepGrant(tx, neutrino.AccessAsShared, id, p.ProjectID)
		}
	}
	if len(unknown) > 0 {
		return work.Groups().Missing(neutrino.ID(strings.Join(unknown, ", ")))
	}
	p.SecurityGroups = list
	return checkMixed(tx, list)
}

// checkMixed refuses groups of which some are stateful and some are not: the
// packets of a port are tracked or they are not.
func checkMixed(tx *Tx, groups []neutrino.ID) error {
	if len(groups) < 2 {
		return nil
	}
	stateful := 0
	for _, id := range groups {
		// It may not change meanwhile, which it can while no port is in it.
		if g, ok := store.Get(tx.Tx, store.SecurityGroups, id); ok && g.Stateful {
			stateful++
		}
	}
	if stateful == 0 || stateful == len(groups) {
		return nil
	}
	return neutrino.Errorf(neutrino.Conflict, "SecurityGroupConflict",
		"Error Cannot apply both stateful and stateless security groups on the same port at the same time while attempting the operation.")
}

// claimGroups notes that the port uses its groups, so that none of them can be
// deleted, and no longer those that the old one had.
func claimGroups(tx *Tx, old, p *neutrino.Port) {
	var had []neutrino.ID
	if old != nil {
		had = old.SecurityGroups
	}
	for _, id := range p.SecurityGroups {
		store.Exists(tx.Tx, store.SecurityGroups, id)
		if !slices.Contains(had, id) {
			tx.Claim(groupUserClaim(id, p.ID), string(p.ID))
		}
	}
	for _, id := range had {
		if !slices.Contains(p.SecurityGroups, id) {
			tx.Release(groupUserClaim(id, p.ID))
		}
	}
}
