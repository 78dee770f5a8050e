package intent

import (
	"testing"

	"neutrino"
	"neutrino/intent/defaultgroup"
	"neutrino/intent/work"
	"neutrino/store"
)

func (c *cloud) group(who Caller, name string) (made *neutrino.SecurityGroup) {
	c.t.Helper()
	c.do(who, func(tx *Tx) (err error) {
		made, err = CreateSecurityGroup(tx, neutrino.SecurityGroup{Name: name}, nil)
		return
	})
	return made
}

func (c *cloud) rule(who Caller, r neutrino.SecurityGroupRule) (made *neutrino.SecurityGroupRule) {
	c.t.Helper()
	c.do(who, func(tx *Tx) (err error) { made, err = CreateSecurityGroupRule(tx, r, nil); return })
	return made
}

func createRule(r neutrino.SecurityGroupRule) func(*Tx) error {
	return func(tx *Tx) error { _, err := CreateSecurityGroupRule(tx, r, nil); return err }
}

func number(n int) *int { return &n }

func TestGroupsBeginWithTheirRules(t *testing.T) {
	c := newCloud(t)
	g := c.group(alice, "web")
	snap := c.db.Snapshot()
	if n := store.Count(snap, store.RulesByGroup, string(g.ID)); n != 2 || !g.Stateful {
		t.Errorf("%d rules, %+v", n, g)
	}
	id := defaultgroup.ID("alice")
	if n := store.Count(snap, store.RulesByGroup, string(id)); n != 4 {
		t.Errorf("the default group has %d rules", n)
	}
	if n := store.Count(snap, store.RulesByRemoteGroup, string(id)); n != 2 {
		t.Errorf("the default group is named by %d rules", n)
	}
	if work.VisibleSecurityGroup(bob, snap, g) || !work.VisibleSecurityGroup(alice, snap, g) {
		t.Error("visibility is wrong")
	}
}

func TestTheDefaultGroupIsKnownBeforeItIsWritten(t *testing.T) {
	c := newCloud(t)
	shown, list := defaultgroup.Of("alice")
	if len(list) != 4 {
		t.Errorf("%d rules", len(list))
	}
	r := c.rule(alice, neutrino.SecurityGroupRule{SecurityGroupID: shown.ID, Direction: neutrino.Ingress, Protocol: "tcp"})
	if r.SecurityGroupID != shown.ID {
		t.Errorf("made %+v", r)
	}
	c.refused(bob, "SecurityGroupNotFound", createRule(neutrino.SecurityGroupRule{SecurityGroupID: shown.ID, Direction: neutrino.Ingress}))
	var mine *neutrino.SecurityGroup
	c.do(bob, func(tx *Tx) (err error) {
		id, _ := defaultgroup.Of("bob")
		mine, err = UpdateSecurityGroup(tx, id.ID, func(g *neutrino.SecurityGroup) error { g.Description = "mine"; return nil }, fieldsOf("description"))
		return
	})
	if mine.Description != "mine" || mine.RevisionNumber != 1 {
		t.Errorf("updated %+v", mine)
	}
}

func TestTheDefaultGroupIsGuarded(t *testing.T) {
	c := newCloud(t)
	web := c.group(alice, "web")
	id := defaultgroup.ID("alice")
	rename := func(id neutrino.ID, name string) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := UpdateSecurityGroup(tx, id, func(g *neutrino.SecurityGroup) error { g.Name = name; return nil }, fieldsOf("name"))
			return err
		}
	}
	c.refused(alice, "SecurityGroupDefaultAlreadyExists", func(tx *Tx) error {
		_, err := CreateSecurityGroup(tx, neutrino.SecurityGroup{Name: "DeFault"}, nil)
		return err
	})
	c.refused(alice, "SecurityGroupDefaultAlreadyExists", rename(web.ID, "DEFAULT"))
	c.refused(alice, "SecurityGroupCannotUpdateDefault", rename(id, "other"))
	c.refused(alice, "SecurityGroupCannotRemoveDefault", func(tx *Tx) error { return DeleteSecurityGroup(tx, id) })
	c.do(admin, func(tx *Tx) error { return DeleteSecurityGroup(tx, id) })
	c.port(alice, neutrino.Port{NetworkID: c.network(alice, neutrino.Network{}).ID})
}

func TestAGroupGoesWithItsRulesAndThoseThatNameIt(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	web, db := c.group(alice, "web"), c.group(alice, "db")
	c.rule(alice, neutrino.SecurityGroupRule{SecurityGroupID: db.ID, Direction: neutrino.Ingress, RemoteGroupID: web.ID})
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, SecurityGroups: []neutrino.ID{web.ID, web.ID, db.ID}})
	if len(p.SecurityGroups) != 2 {
		t.Errorf("groups %v", p.SecurityGroups)
	}
	remove := func(tx *Tx) error { return DeleteSecurityGroup(tx, web.ID) }
	c.refused(alice, "SecurityGroupInUse", remove)
	c.refused(bob, "SecurityGroupNotFound", remove)
	c.updatePort(alice, p.ID, func(p *neutrino.Port) { p.SecurityGroups = []neutrino.ID{db.ID} }, "security_groups")
	c.do(alice, remove)
	snap := c.db.Snapshot()
	if n := store.Count(snap, store.RulesByGroup, string(db.ID)); n != 2 {
		t.Errorf("%d rules left", n)
	}
	if g, _ := store.Peek(snap, store.SecurityGroups, db.ID); g.RevisionNumber != 3 {
		t.Errorf("revision %d", g.RevisionNumber)
	}
	c.refused(alice, "SecurityGroupNotFound", createRule(neutrino.SecurityGroupRule{SecurityGroupID: db.ID, Direction: neutrino.Ingress, RemoteGroupID: web.ID}))
	c.refused(alice, "SecurityGroupRuleNotFound", func(tx *Tx) error { return DeleteSecurityGroupRule(tx, web.ID) })
}

func TestRulesAreStoredInOneForm(t *testing.T) {
	c := newCloud(t)
	g := c.group(alice, "g")
	for _, row := range []struct {
		in             neutrino.SecurityGroupRule
		protocol, cidr string
		ranged         bool
	}{
		{neutrino.SecurityGroupRule{Protocol: "TCP", PortRangeMin: number(1), PortRangeMax: number(65535)}, "tcp", "", false},
		{neutrino.SecurityGroupRule{Protocol: "any", EtherType: "ipv6"}, "", "", false},
		{neutrino.SecurityGroupRule{Protocol: "icmp", EtherType: "IPV6"}, "ipv6-icmp", "", false},
		{neutrino.SecurityGroupRule{Protocol: "1", EtherType: "IPv6", PortRangeMin: number(8)}, "58", "", true},
		{neutrino.SecurityGroupRule{Protocol: "017", PortRangeMin: number(53), PortRangeMax: number(53)}, "17", "", true},
		{neutrino.SecurityGroupRule{Protocol: "112", RemoteIPPrefix: "10.0.0.5"}, "112", "10.0.0.5/32", false},
		{neutrino.SecurityGroupRule{RemoteIPPrefix: "10.0.0.5/24"}, "", "10.0.0.0/24", false},
	} {
		row.in.SecurityGroupID, row.in.Direction = g.ID, neutrino.Ingress
		r := c.rule(alice, row.in)
		cidr := ""
		if r.NormalizedCIDR.IsValid() {
			cidr = r.NormalizedCIDR.String()
		}
		if r.Protocol != row.protocol || cidr != row.cidr || (r.PortRangeMin != nil) != row.ranged {
			t.Errorf("%+v is stored as %+v", row.in, r)
		}
	}
}

func TestWhatARuleMayNotBe(t *testing.T) {
	c := newCloud(t)
	g := c.group(alice, "g")
	foreign := c.group(bob, "b")
	r := func(protocol string, ports ...*int) neutrino.SecurityGroupRule {
		r := neutrino.SecurityGroupRule{Protocol: protocol}
		if len(ports) == 2 {
			r.PortRangeMin, r.PortRangeMax = ports[0], ports[1]
		}
		return r
	}
	for _, row := range []struct {
		typ string
		neutrino.SecurityGroupRule
	}{
		{"SecurityGroupRuleInvalidProtocol", r("blah")},
		{"SecurityGroupRuleInvalidProtocol", r("256")},
		{"SecurityGroupRuleInvalidProtocol", r("-1")},
		{"SecurityGroupRuleInvalidProtocol", r("tcp\n-j ACCEPT")},
		{"SecurityGroupRuleInvalidEtherType", neutrino.SecurityGroupRule{EtherType: "IPv5"}},
		{"SecurityGroupEthertypeConflictWithProtocol", r("icmpv6")},
		{"SecurityGroupEthertypeConflictWithProtocol", r("44")},
		{"HTTPBadRequest", neutrino.SecurityGroupRule{Direction: "sideways"}},
		{"SecurityGroupProtocolRequiredWithPorts", r("", number(1), number(2))},
		{"SecurityGroupProtocolRequiredWithPorts", r("any", number(1), number(2))},
		{"SecurityGroupInvalidPortRange", r("tcp", number(5), nil)},
		{"SecurityGroupInvalidPortRange", r("udp", number(5), number(4))},
		{"SecurityGroupInvalidPortValue", r("132", number(0), number(4))},
		{"SecurityGroupInvalidPortValue", r("tcp", number(1), number(65536))},
		{"SecurityGroupInvalidIcmpValue", r("icmp", number(256), nil)},
		{"SecurityGroupInvalidIcmpValue", r("icmp", number(8), number(-1))},
		{"SecurityGroupMissingIcmpType", r("1", nil, number(0))},
		{"SecurityGroupInvalidProtocolForPort", r("vrrp", number(1), number(2))},
		{"SecurityGroupMultipleRemoteEntites", neutrino.SecurityGroupRule{RemoteIPPrefix: "10.0.0.0/8", RemoteGroupID: g.ID}},
		{"InvalidCIDR", neutrino.SecurityGroupRule{RemoteIPPrefix: "10.0.0.0/33"}},
		{"InvalidCIDR", neutrino.SecurityGroupRule{RemoteIPPrefix: "::ffff:10.0.0.0/104", EtherType: "IPv6"}},
		{"InvalidCIDR", neutrino.SecurityGroupRule{RemoteIPPrefix: "10.0.0.0/8 -j ACCEPT"}},
		{"SecurityGroupRuleParameterConflict", neutrino.SecurityGroupRule{RemoteIPPrefix: "fd00::/8"}},
		{"SecurityGroupNotFound", neutrino.SecurityGroupRule{RemoteGroupID: "nonsense"}},
		{"SecurityGroupNotFound", neutrino.SecurityGroupRule{RemoteGroupID: foreign.ID}},
		{"SecurityGroupNotFound", neutrino.SecurityGroupRule{SecurityGroupID: foreign.ID}},
	} {
		rule := row.SecurityGroupRule
		if rule.SecurityGroupID == "" {
			rule.SecurityGroupID = g.ID
		}
		if rule.Direction == "" {
			rule.Direction = neutrino.Ingress
		}
		t.Run(row.typ, func(t *testing.T) { c.refused(alice, row.typ, createRule(rule)) })
	}
}

func TestTheSameRuleTwice(t *testing.T) {
	c := newCloud(t)
	g := c.group(alice, "g")
	in := func(r neutrino.SecurityGroupRule) neutrino.SecurityGroupRule {
		r.SecurityGroupID, r.Direction = g.ID, neutrino.Ingress
		return r
	}
	c.rule(alice, in(neutrino.SecurityGroupRule{Protocol: "tcp"}))
	again := in(neutrino.SecurityGroupRule{Protocol: "6", RemoteIPPrefix: "0.0.0.0/0"})
	again.Description = "other words"
	c.refused(alice, "SecurityGroupRuleExists", createRule(again))
	other := in(neutrino.SecurityGroupRule{Protocol: "udp"})
	for _, row := range []struct {
		typ  string
		list []neutrino.SecurityGroupRule
	}{
		{"DuplicateSecurityGroupRuleInPost", []neutrino.SecurityGroupRule{other, in(neutrino.SecurityGroupRule{Protocol: "17"})}},
		{"SecurityGroupNotSingleGroupRules", []neutrino.SecurityGroupRule{other, {SecurityGroupID: "x", Direction: neutrino.Ingress}}},
		{"SecurityGroupRulesNotSingleProject", []neutrino.SecurityGroupRule{other, in(neutrino.SecurityGroupRule{ProjectID: "p"})}},
	} {
		if err := neutrino.AsError(CheckBulkRules(row.list)); err.Type != row.typ {
			t.Errorf("got %v, want %s", err, row.typ)
		}
	}
	if err := CheckBulkRules([]neutrino.SecurityGroupRule{other, again}); err != nil {
		t.Error(err)
	}
}
