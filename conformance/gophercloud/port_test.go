package gophercloud

import (
	"context"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/extradhcpopts"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/portsbinding"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/portsecurity"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

func TestPortLives(t *testing.T) {
	ctx, c := client(t)
	n := madeNetwork(t, c, "gc-port")
	s := madeSubnet(t, c, n.ID, "10.50.0.0/24")
	p := madePort(t, c, ports.CreateOpts{
		NetworkID: n.ID, Name: "p", FixedIPs: []ports.IP{{SubnetID: s.ID, IPAddress: "10.50.0.77"}},
		AllowedAddressPairs: []ports.AddressPair{{IPAddress: "10.50.0.0/28"}},
	})
	same(t, "status", p.Status, "DOWN")
	same(t, "address", p.FixedIPs[0], ports.IP{SubnetID: s.ID, IPAddress: "10.50.0.77"})
	same(t, "pair", p.AllowedAddressPairs[0], ports.AddressPair{IPAddress: "10.50.0.0/28", MACAddress: p.MACAddress})
	same(t, "groups", len(p.SecurityGroups), 1)
	u := ok(ports.Update(ctx, c, p.ID, ports.UpdateOpts{
		Name: ptr(""), SecurityGroups: &[]string{}, AllowedAddressPairs: &[]ports.AddressPair{},
		FixedIPs: []ports.IP{{SubnetID: s.ID, IPAddress: "10.50.0.78"}, {SubnetID: s.ID, IPAddress: "10.50.0.79"}},
	}).Extract())(t)
	same(t, "groups and pairs", len(u.SecurityGroups)+len(u.AllowedAddressPairs), 0)
	same(t, "addresses", len(u.FixedIPs), 2)
	_, err := ports.Create(ctx, c, ports.CreateOpts{NetworkID: n.ID, FixedIPs: []ports.IP{{IPAddress: "10.50.0.79"}}}).Extract()
	refused(t, err, http.StatusConflict)
	for name, o := range map[string]ports.ListOpts{
		"by address": {FixedIPs: []ports.FixedIPOpts{{IPAddress: "10.50.0.79"}}, NetworkID: n.ID},
		"by part":    {FixedIPs: []ports.FixedIPOpts{{IPAddressSubstr: "0.50.0.78"}}},
		"by subnet":  {FixedIPs: []ports.FixedIPOpts{{SubnetID: s.ID}}, ID: p.ID},
		"by MAC":     {MACAddress: p.MACAddress},
	} {
		found := list(t, ports.List(c, o), ports.ExtractPorts)
		if len(found) != 1 || found[0].ID != p.ID {
			t.Errorf("%s: found %+v", name, found)
		}
	}
}

func TestPortIsBoundToAHost(t *testing.T) {
	ctx, c := client(t)
	n := madeNetwork(t, c, "gc-bind")
	madeSubnet(t, c, n.ID, "10.51.0.0/24")
	var p struct {
		ports.Port
		portsbinding.PortsBindingExt
	}
	done(t, ports.Create(ctx, c, portsbinding.CreateOptsExt{
		CreateOptsBuilder: ports.CreateOpts{NetworkID: n.ID, DeviceOwner: "compute:nova", DeviceID: "vm"},
		HostID:            "compute1", VNICType: "normal", Profile: map[string]any{"foo": "bar"},
	}).ExtractInto(&p))
	later(t, "port", func(ctx context.Context) error { return ports.Delete(ctx, c, p.ID).ExtractErr() })
	same(t, "vif type", p.VIFType, "ovs")
	same(t, "host", p.HostID, "compute1")
	if p.VIFDetails["port_filter"] != true || p.Profile["foo"] != "bar" {
		t.Errorf("binding %+v", p.PortsBindingExt)
	}
	done(t, ports.Update(ctx, c, p.ID, portsbinding.UpdateOptsExt{
		UpdateOptsBuilder: ports.UpdateOpts{}, HostID: ptr(""),
	}).ExtractInto(&p))
	same(t, "vif type", p.VIFType, "unbound")
	done(t, ports.Update(ctx, c, p.ID, portsbinding.UpdateOptsExt{
		UpdateOptsBuilder: ports.UpdateOpts{}, HostID: ptr("nowhere"),
	}).ExtractInto(&p))
	same(t, "vif type", p.VIFType, "binding_failed")
}

func TestPortOfAnotherProjectIsNotThere(t *testing.T) {
	_, c := client(t)
	ctx, other := client(t, demo)
	n := madeNetwork(t, c, "gc-private")
	p := madePort(t, c, ports.CreateOpts{NetworkID: n.ID})
	_, err := ports.Get(ctx, other, p.ID).Extract()
	refused(t, err, http.StatusNotFound)
	_, err = ports.Create(ctx, other, ports.CreateOpts{NetworkID: n.ID}).Extract()
	refused(t, err, http.StatusNotFound)
}

func TestExtraDHCPOptions(t *testing.T) {
	ctx, c := client(t)
	n := madeNetwork(t, c, "gc-dhcp")
	var p struct {
		ports.Port
		extradhcpopts.ExtraDHCPOptsExt
	}
	done(t, ports.Create(ctx, c, extradhcpopts.CreateOptsExt{
		CreateOptsBuilder: ports.CreateOpts{NetworkID: n.ID},
		ExtraDHCPOpts:     []extradhcpopts.CreateExtraDHCPOpt{{OptName: "bootfile-name", OptValue: "a"}},
	}).ExtractInto(&p))
	later(t, "port", func(ctx context.Context) error { return ports.Delete(ctx, c, p.ID).ExtractErr() })
	same(t, "option", p.ExtraDHCPOpts[0], extradhcpopts.ExtraDHCPOpt{OptName: "bootfile-name", OptValue: "a", IPVersion: 4})
	done(t, ports.Update(ctx, c, p.ID, extradhcpopts.UpdateOptsExt{
		UpdateOptsBuilder: ports.UpdateOpts{},
		ExtraDHCPOpts: []extradhcpopts.UpdateExtraDHCPOpt{
			{OptName: "bootfile-name"}, {OptName: "server-ip-address", OptValue: ptr("192.0.2.9")},
		},
	}).ExtractInto(&p))
	same(t, "options", len(p.ExtraDHCPOpts), 1)
	same(t, "option", p.ExtraDHCPOpts[0].OptName, "server-ip-address")
}

func TestPortSecurity(t *testing.T) {
	ctx, c := client(t)
	n := madeNetwork(t, c, "gc-open")
	var p struct {
		ports.Port
		portsecurity.PortSecurityExt
	}
	done(t, ports.Create(ctx, c, portsecurity.PortCreateOptsExt{
		CreateOptsBuilder: ports.CreateOpts{NetworkID: n.ID}, PortSecurityEnabled: ptr(false),
	}).ExtractInto(&p))
	later(t, "port", func(ctx context.Context) error { return ports.Delete(ctx, c, p.ID).ExtractErr() })
	same(t, "enabled", p.PortSecurityEnabled, false)
	same(t, "groups", len(p.SecurityGroups), 0)
	done(t, ports.Update(ctx, c, p.ID, portsecurity.PortUpdateOptsExt{
		UpdateOptsBuilder: ports.UpdateOpts{}, PortSecurityEnabled: ptr(true),
	}).ExtractInto(&p))
	same(t, "enabled", p.PortSecurityEnabled, true)
}

func TestSecurityGroupsAndRules(t *testing.T) {
	ctx, c := client(t)
	g := ok(groups.Create(ctx, c, groups.CreateOpts{Name: "gc", Description: "d"}).Extract())(t)
	later(t, "group", func(ctx context.Context) error { return groups.Delete(ctx, c, g.ID).ExtractErr() })
	same(t, "egress rules of a new group", len(g.Rules), 2)
	same(t, "stateful", g.Stateful, true)
	r := ok(rules.Create(ctx, c, rules.CreateOpts{
		SecGroupID: g.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP,
		PortRangeMin: 22, PortRangeMax: 23, RemoteIPPrefix: "203.0.113.0/24",
	}).Extract())(t)
	same(t, "rule", r.Protocol, "tcp")
	_, err := rules.Create(ctx, c, rules.CreateOpts{
		SecGroupID: g.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP,
		PortRangeMin: 22, PortRangeMax: 23, RemoteIPPrefix: "203.0.113.0/24",
	}).Extract()
	refused(t, err, http.StatusConflict)
	both := ok(rules.CreateBulk(ctx, c, []rules.CreateOpts{
		{SecGroupID: g.ID, Direction: rules.DirIngress, EtherType: rules.EtherType6, Protocol: rules.ProtocolIPv6ICMP},
		{SecGroupID: g.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, RemoteGroupID: g.ID},
	}).Extract())(t)
	same(t, "rules of one request", len(both), 2)
	same(t, "rules", len(list(t, rules.List(c, rules.ListOpts{SecGroupID: g.ID}), rules.ExtractRules)), 5)
	u := ok(groups.Update(ctx, c, g.ID, groups.UpdateOpts{Name: "gc2", Description: ptr("")}).Extract())(t)
	same(t, "name", u.Name, "gc2")
	done(t, rules.Delete(ctx, c, r.ID).ExtractErr())
	_, err = rules.Get(ctx, c, r.ID).Extract()
	refused(t, err, http.StatusNotFound)
	n := madeNetwork(t, c, "gc-group")
	p := ok(ports.Create(ctx, c, ports.CreateOpts{NetworkID: n.ID, SecurityGroups: &[]string{g.ID}}).Extract())(t)
	later(t, "port", func(ctx context.Context) error { return ports.Delete(ctx, c, p.ID).ExtractErr() })
	refused(t, groups.Delete(ctx, c, g.ID).ExtractErr(), http.StatusConflict)
}

func TestStatelessSecurityGroup(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "stateful-security-group")
	g := ok(groups.Create(ctx, c, groups.CreateOpts{Name: "gc-loose", Stateful: ptr(false)}).Extract())(t)
	later(t, "group", func(ctx context.Context) error { return groups.Delete(ctx, c, g.ID).ExtractErr() })
	same(t, "stateful", g.Stateful, false)
}
