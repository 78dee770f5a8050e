package intent

import (
	"net/netip"
	"testing"

	"neutrino"
	"neutrino/intent/metering"
	"neutrino/store"
)

// The stories of metering labels.

func (c *cloud) label(who Caller, l neutrino.MeteringLabel, set ...string) (made *neutrino.MeteringLabel) {
	c.t.Helper()
	c.do(who, func(tx *Tx) (err error) { made, err = metering.CreateLabel(tx, l, fieldsOf(set...)); return })
	return made
}

func meter(r neutrino.MeteringLabelRule) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := metering.CreateRule(tx, r, nil)
		return err
	}
}

// remote is a rule for what a network sends, with a remote prefix.
func remote(l *neutrino.MeteringLabel, cidr string, adjust ...func(*neutrino.MeteringLabelRule)) neutrino.MeteringLabelRule {
	r := neutrino.MeteringLabelRule{MeteringLabelID: l.ID, Direction: neutrino.Egress}
	if cidr != "" {
		r.RemoteIPPrefix = netip.MustParsePrefix(cidr)
	}
	for _, f := range adjust {
		f(&r)
	}
	return r
}

func incoming(r *neutrino.MeteringLabelRule) { r.Direction = neutrino.Ingress }
func excluded(r *neutrino.MeteringLabelRule) { r.Excluded = true }

func between(source, destination string) func(*neutrino.MeteringLabelRule) {
	return func(r *neutrino.MeteringLabelRule) {
		if source != "" {
			r.SourceIPPrefix = netip.MustParsePrefix(source)
		}
		if destination != "" {
			r.DestinationIPPrefix = netip.MustParsePrefix(destination)
		}
	}
}

// A project has labels of its own, which it alone sees, and they go with their
// rules. Labels that count everywhere are an admin's.
func TestALabelIsItsProjects(t *testing.T) {
	c := newCloud(t)
	l := c.label(alice, neutrino.MeteringLabel{Name: "web"})
	if l.ProjectID != "alice" || l.Shared {
		t.Errorf("made %+v", l)
	}
	if l := c.label(admin, neutrino.MeteringLabel{Shared: true, ProjectID: "bob"}, "project_id"); l.ProjectID != "bob" || !l.Shared {
		t.Errorf("made %+v", l)
	}
	c.refused(alice, "PolicyNotAuthorized", func(tx *Tx) error {
		_, err := metering.CreateLabel(tx, neutrino.MeteringLabel{Shared: true}, nil)
		return err
	})
	c.refused(alice, "HTTPBadRequest", func(tx *Tx) error {
		_, err := metering.CreateLabel(tx, neutrino.MeteringLabel{ProjectID: "bob"}, fieldsOf("project_id"))
		return err
	})
	c.do(alice, meter(remote(l, "10.0.0.0/24")))
	c.do(alice, meter(remote(l, "10.0.1.0/24")))
	var rule neutrino.ID
	for r := range store.All(c.db.Snapshot(), store.MeteringLabelRules) {
		rule = r.ID
	}
	c.refused(bob, "MeteringLabelNotFound", meter(remote(l, "10.9.0.0/24")))
	c.refused(bob, "MeteringLabelRuleNotFound", func(tx *Tx) error { return metering.DeleteRule(tx, rule) })
	c.refused(bob, "MeteringLabelNotFound", func(tx *Tx) error { return metering.DeleteLabel(tx, l.ID) })
	c.do(alice, func(tx *Tx) error { return metering.DeleteRule(tx, rule) })
	if n := store.Len(c.db.Snapshot(), store.MeteringLabelRules); n != 1 {
		t.Errorf("%d rules are left of two", n)
	}
	c.do(alice, func(tx *Tx) error { return metering.DeleteLabel(tx, l.ID) })
	if n := store.Len(c.db.Snapshot(), store.MeteringLabelRules); n != 0 {
		t.Errorf("%d rules are left of a label that is gone", n)
	}
	c.refused(alice, "MeteringLabelNotFound", func(tx *Tx) error { return metering.DeleteLabel(tx, l.ID) })
}

// Rules of one label do not choose the same remote twice; the other direction,
// an exclusion and another label do.
func TestRulesOfALabelDoNotOverlap(t *testing.T) {
	c := newCloud(t)
	l := c.label(alice, neutrino.MeteringLabel{})
	other := c.label(alice, neutrino.MeteringLabel{})
	for _, r := range []neutrino.MeteringLabelRule{
		remote(l, "10.0.0.0/16"), remote(l, "10.0.0.0/16", incoming), remote(l, "10.0.1.0/24", excluded), remote(other, "10.0.0.0/16"),
		remote(l, "2001:db8::/64"), remote(l, "", between("10.0.1.0/24", "192.0.2.0/24")), remote(l, "", between("10.0.1.0/24", "")),
		remote(l, "", between("", "192.0.2.0/24")),
	} {
		c.do(alice, meter(r))
	}
	for _, r := range []neutrino.MeteringLabelRule{
		remote(l, "10.0.3.0/24"), remote(l, "0.0.0.0/0"), remote(l, "10.0.0.0/8", incoming), remote(l, "10.0.1.7/32", excluded),
		remote(l, "", between("10.0.0.0/16", "")), remote(l, "", between("", "10.0.0.0/16"), incoming), remote(l, "", between("", "192.0.2.0/24")),
	} {
		c.refused(alice, "MeteringLabelRuleOverlaps", meter(r))
	}
	for _, r := range []neutrino.MeteringLabelRule{
		remote(l, ""), remote(l, "10.7.0.0/24", between("10.8.0.0/24", "")), remote(l, "", between("10.8.0.0/24", "2001:db8:1::/64")),
	} {
		c.refused(alice, "InvalidInput", meter(r))
	}
}

// Of many that want the same, one has it; and none is left behind by a label
// that goes meanwhile.
func TestRulesOfALabelAtOnce(t *testing.T) {
	c := newCloud(t)
	l := c.label(alice, neutrino.MeteringLabel{})
	got := together(32, func(int) error { return c.try(alice, meter(remote(l, "10.0.0.0/24"))) })
	if got[""] != 1 || got["MeteringLabelRuleOverlaps"] != 31 {
		t.Errorf("results %v", got)
	}
	got = together(32, func(i int) error {
		if i == 16 {
			return c.try(alice, func(tx *Tx) error { return metering.DeleteLabel(tx, l.ID) })
		}
		return c.try(alice, meter(remote(l, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 0}), 24).String())))
	})
	if n := store.Len(c.db.Snapshot(), store.MeteringLabelRules); n != 0 || got[""]+got["MeteringLabelNotFound"] != 32 {
		t.Errorf("%d rules of a label that is gone; results %v", n, got)
	}
}
