package intent

import (
	"testing"

	"neutrino"
)

func TestAPortIsInStatefulGroupsOrInStatelessOnes(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	group := func(stateful bool) (made *neutrino.SecurityGroup) {
		c.do(alice, func(tx *Tx) (err error) {
			made, err = CreateSecurityGroup(tx, neutrino.SecurityGroup{Name: "g", Stateful: stateful}, fieldsOf("stateful"))
			return
		})
		return made
	}
	full, less, also := group(true), group(false), group(false)
	if !full.Stateful || less.Stateful {
		t.Fatalf("made %+v, %+v", full, less)
	}
	with := func(groups ...*neutrino.SecurityGroup) neutrino.Port {
		p := neutrino.Port{NetworkID: n.ID}
		for _, g := range groups {
			p.SecurityGroups = append(p.SecurityGroups, g.ID)
		}
		return p
	}
	create := func(p neutrino.Port) func(*Tx) error {
		return func(tx *Tx) error { _, err := CreatePort(tx, p, fieldsOf("security_groups")); return err }
	}
	set := func(g *neutrino.SecurityGroup, stateful bool) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := UpdateSecurityGroup(tx, g.ID, func(g *neutrino.SecurityGroup) error { g.Stateful = stateful; return nil }, fieldsOf("stateful"))
			return err
		}
	}
	c.refused(alice, "SecurityGroupConflict", create(with(full, less)))
	p := c.port(alice, with(less, also), "security_groups")
	c.refused(alice, "SecurityGroupConflict", updatePort(p.ID, func(p *neutrino.Port) {
		p.SecurityGroups = append(p.SecurityGroups, full.ID)
	}, nil, "security_groups"))
	c.refused(alice, "SecurityGroupInUse", set(less, true))
	c.do(alice, set(less, false)) // what it is already
	c.updatePort(alice, p.ID, func(p *neutrino.Port) { p.SecurityGroups = []neutrino.ID{full.ID} }, "security_groups")
	c.do(alice, set(less, true))
	c.port(alice, with(full, less), "security_groups")
}
