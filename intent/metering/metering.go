// Package metering is the part of the intent station for metering labels and
// their rules: which traffic of routers is counted.
package metering

import (
	"net/netip"

	"neutrino"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// VisibleLabel reports whether the caller may see the label: its own. A shared
// one counts on its routers and is not shown to it (api.md section 2.23).
func VisibleLabel(c work.Caller, _ store.Reader, l *neutrino.MeteringLabel) bool {
	return c.All() || work.Owns(c, l.ProjectID)
}

// VisibleRule reports whether the caller may see the rule: its own.
func VisibleRule(c work.Caller, _ store.Reader, r *neutrino.MeteringLabelRule) bool {
	return c.All() || work.Owns(c, r.ProjectID)
}

// Labels is how they are found.
func Labels() work.Kind[neutrino.MeteringLabel] {
	return work.Kind[neutrino.MeteringLabel]{Table: store.MeteringLabels, Visible: VisibleLabel,
		Missing: work.Missing("MeteringLabelNotFound", "Metering label '%s' does not exist")}
}

// Rules is how they are found.
func Rules() work.Kind[neutrino.MeteringLabelRule] {
	return work.Kind[neutrino.MeteringLabelRule]{Table: store.MeteringLabelRules, Visible: VisibleRule,
		Missing: work.Missing("MeteringLabelRuleNotFound", "Metering label rule '%s' does not exist")}
}

// CreateLabel makes a label. Only an admin makes a shared one: it counts on
// every host.
func CreateLabel(tx *work.Tx, l neutrino.MeteringLabel, set neutrino.Fields) (*neutrino.MeteringLabel, error) {
	var err error
	if l.ProjectID, err = tx.ProjectFor(l.ProjectID, set); err != nil {
		return nil, err
	}
	if l.Shared && !tx.Caller.All() {
		return nil, neutrino.Errorf(neutrino.Forbidden, "PolicyNotAuthorized",
			"shared: a metering label that counts on the routers of all projects is made by an admin; leave shared out to count on your own")
	}
	if err := quota.Charge(tx, l.ProjectID, quota.MeteringLabel); err != nil {
		return nil, err
	}
	l.ID = tx.NewID()
	store.Put(tx.Tx, store.MeteringLabels, &l)
	return &l, nil
}

// DeleteLabel deletes a label with its rules. A rule that comes at the same
// moment writes the label's row, so that one of the two runs again.
func DeleteLabel(tx *work.Tx, id neutrino.ID) error {
	if _, err := work.Find(tx, Labels(), id); err != nil {
		return err
	}
	for r := range store.By(tx.Tx, store.MeteringLabelRulesByLabel, string(id)) {
		store.Delete(tx.Tx, store.MeteringLabelRules, r.ID)
	}
	store.Delete(tx.Tx, store.MeteringLabels, id)
	return nil
}

// CreateRule adds a rule to a label. It writes the label's row back, so that two
// rules that come at once know of each other.
func CreateRule(tx *work.Tx, r neutrino.MeteringLabelRule, set neutrino.Fields) (*neutrino.MeteringLabelRule, error) {
	var err error
	if r.ProjectID, err = tx.ProjectFor(r.ProjectID, set); err != nil {
		return nil, err
	}
	if err := quota.Charge(tx, r.ProjectID, quota.MeteringLabelRule); err != nil {
		return nil, err
	}
	if err := checkPrefixes(r); err != nil {
		return nil, err
	}
	l, err := work.Find(tx, Labels(), r.MeteringLabelID)
	if err != nil {
		return nil, err
	}
	for other := range store.By(tx.Tx, store.MeteringLabelRulesByLabel, string(l.ID)) {
		if p, clash := overlap(r, *other); clash {
			return nil, neutrino.Errorf(neutrino.Conflict, "MeteringLabelRuleOverlaps",
				"Metering label rule with remote_ip_prefix '%s' overlaps another: rule %s of label %s", p, other.ID, l.ID)
		}
	}
	store.Put(tx.Tx, store.MeteringLabels, l)
	r.ID = tx.NewID()
	store.Put(tx.Tx, store.MeteringLabelRules, &r)
	return &r, nil
}

// DeleteRule takes a rule out of its label.
func DeleteRule(tx *work.Tx, id neutrino.ID) error {
	if _, err := work.Find(tx, Rules(), id); err != nil {
		return err
	}
	store.Delete(tx.Tx, store.MeteringLabelRules, id)
	return nil
}

// checkPrefixes wants a remote prefix, or a source or a destination of one IP
// version.
func checkPrefixes(r neutrino.MeteringLabelRule) error {
	source, destination := r.SourceIPPrefix, r.DestinationIPPrefix
	given := source.IsValid() || destination.IsValid()
	switch {
	case r.RemoteIPPrefix.IsValid() && given:
		return neutrino.Invalidf("remote_ip_prefix cannot be given together with source_ip_prefix or destination_ip_prefix")
	case !r.RemoteIPPrefix.IsValid() && !given:
		return neutrino.Invalidf("one of remote_ip_prefix, source_ip_prefix and destination_ip_prefix must be given")
	case source.IsValid() && destination.IsValid() && source.Addr().Is4() != destination.Addr().Is4():
		return neutrino.Invalidf("source_ip_prefix %s and destination_ip_prefix %s are not of one IP version", source, destination)
	}
	return nil
}

// overlap reports whether two rules of a label speak of the same packets: remote
// prefixes that overlap, or the same source and destination; with the prefix to
// blame. Rules with sources and destinations may overlap otherwise: a packet
// counts once.
func overlap(a, b neutrino.MeteringLabelRule) (netip.Prefix, bool) {
	if a.Direction != b.Direction || a.Excluded != b.Excluded {
		return netip.Prefix{}, false
	}
	if a.RemoteIPPrefix.IsValid() && b.RemoteIPPrefix.IsValid() {
		return a.RemoteIPPrefix, a.RemoteIPPrefix.Overlaps(b.RemoteIPPrefix)
	}
	source, destination := a.Match()
	otherSource, otherDestination := b.Match()
	blamed := source
	if !blamed.IsValid() {
		blamed = destination
	}
	return blamed, source == otherSource && destination == otherDestination
}
