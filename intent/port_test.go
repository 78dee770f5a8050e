package intent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/intent/defaultgroup"
	"neutrino/intent/work"
	"neutrino/store"
)

func create(p neutrino.Port, set ...string) func(*Tx) error {
	return func(tx *Tx) error { _, err := CreatePort(tx, p, fieldsOf(set...)); return err }
}

func TestAPortGetsAMACAnAddressOfEachFamilyAndTheDefaultGroup(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	v4, v6 := c.subnet(alice, n, "10.0.0.0/24"), c.subnet(alice, n, "fd00::/64")
	c.later(1e9)
	c.subnet(alice, n, "10.0.1.0/24")
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, Name: "vm"})
	if !strings.HasPrefix(p.MAC.String(), "fa:16:3e:") || p.Status != neutrino.PortDown || p.VIFType != neutrino.VIFUnbound {
		t.Errorf("made %+v", p)
	}
	if len(p.FixedIPs) != 2 || p.FixedIPs[0].SubnetID != v4.ID || p.FixedIPs[1].SubnetID != v6.ID {
		t.Errorf("addresses %v", p.FixedIPs)
	}
	if !slices.Equal(p.SecurityGroups, []neutrino.ID{defaultgroup.ID("alice")}) || !p.PortSecurityEnabled || p.RevisionNumber != 1 {
		t.Errorf("made %+v", p)
	}
	empty := c.port(alice, neutrino.Port{NetworkID: c.network(alice, neutrino.Network{}).ID})
	if len(empty.FixedIPs) != 0 {
		t.Errorf("a network without subnets gives %v", empty.FixedIPs)
	}
}

func TestAddressesByName(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.0.0.0/24")
	other := c.subnet(alice, c.network(alice, neutrino.Network{}), "10.2.0.0/24")
	hidden := c.subnet(bob, c.network(bob, neutrino.Network{}), "10.3.0.0/24")
	with := func(list ...neutrino.FixedIP) neutrino.Port { return neutrino.Port{NetworkID: n.ID, FixedIPs: list} }
	at := func(a string) neutrino.FixedIP { return neutrino.FixedIP{IPAddress: ip(a)} }
	in := func(s *neutrino.Subnet, a string) neutrino.FixedIP {
		f := neutrino.FixedIP{SubnetID: s.ID}
		if a != "" {
			f.IPAddress = ip(a)
		}
		return f
	}
	p := c.port(alice, with(in(s, ""), at("10.0.0.1"), in(s, "10.0.0.77"), in(s, "")))
	if len(p.FixedIPs) != 4 || !slices.Contains(addresses(p), "10.0.0.1") || !slices.Contains(addresses(p), "10.0.0.77") {
		t.Errorf("got %v", p.FixedIPs)
	}
	c.refused(alice, "IpAddressAlreadyAllocated", create(with(at("10.0.0.77"))))
	c.refused(alice, "InvalidIpForNetwork", create(with(at("10.9.0.1"))))
	c.refused(alice, "InvalidIpForSubnet", create(with(in(s, "10.9.0.1"))))
	c.refused(alice, "InvalidIpForSubnet", create(with(at("10.0.0.0"))))
	c.refused(alice, "InvalidIpForSubnet", create(with(in(s, "10.0.0.255"))))
	c.refused(alice, "InvalidInput", create(with(at("10.0.0.5"), at("10.0.0.5"))))
	c.refused(alice, "InvalidInput", create(with(neutrino.FixedIP{})))
	c.refused(alice, "InvalidInput", create(with(in(other, ""))))
	c.refused(alice, "SubnetNotFound", create(with(in(hidden, ""))))
	c.refused(alice, "InvalidInput", create(with(at("::ffff:10.0.0.5"))))
	c.refused(alice, "InvalidInput", create(neutrino.Port{NetworkID: n.ID, FixedIPs: make([]neutrino.FixedIP, 65)}))
}

// Neutron lists the addresses of a port by their text (its model of ports), and
// clients keep them by their place: those of a port that is not changed stay.
func TestAddressesOfAPortAreInOneOrder(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	c.subnet(alice, n, "10.0.0.0/24")
	c.subnet(alice, n, "2001:db8::/64")
	want := []string{"10.0.0.11", "10.0.0.9", "2001:db8::9"}
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("2001:db8::9")}, {IPAddress: ip("10.0.0.9")}, {IPAddress: ip("10.0.0.11")}}})
	if got := addresses(p); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p = c.updatePort(alice, p.ID, func(p *neutrino.Port) {
		p.FixedIPs = []neutrino.FixedIP{{IPAddress: ip("10.0.0.9")}, {IPAddress: ip("10.0.0.11")}}
	}, "fixed_ips")
	if got := addresses(p); !slices.Equal(got, want[:2]) {
		t.Errorf("got %v, want %v", got, want[:2])
	}
}

func TestAnUpdateKeepsTheAddressesThatFit(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.0.0.0/24")
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.0.0.10")}, {IPAddress: ip("10.0.0.11")}}})
	same := c.updatePort(alice, p.ID, func(p *neutrino.Port) {
		p.FixedIPs = []neutrino.FixedIP{{SubnetID: s.ID}, {IPAddress: ip("10.0.0.10")}}
	}, "fixed_ips")
	if got := addresses(same); !slices.Equal(got, []string{"10.0.0.10", "10.0.0.11"}) {
		t.Errorf("got %v", got)
	}
	fewer := c.updatePort(alice, p.ID, func(p *neutrino.Port) { p.FixedIPs = []neutrino.FixedIP{{IPAddress: ip("10.0.0.12")}} }, "fixed_ips")
	if got := addresses(fewer); !slices.Equal(got, []string{"10.0.0.12"}) || fewer.RevisionNumber != 3 {
		t.Errorf("got %v at %d", got, fewer.RevisionNumber)
	}
	c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.0.0.10")}}})
	c.updatePort(alice, p.ID, func(p *neutrino.Port) { p.FixedIPs = nil }, "fixed_ips")
}

func TestTheNextSubnetIsUsedWhenOneIsFull(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	c.subnet(alice, n, "10.0.0.0/30")
	c.later(1e9)
	second := c.subnet(alice, n, "10.0.1.0/30")
	c.port(alice, neutrino.Port{NetworkID: n.ID})
	if p := c.port(alice, neutrino.Port{NetworkID: n.ID}); p.FixedIPs[0].SubnetID != second.ID {
		t.Errorf("got %v", p.FixedIPs)
	}
	c.refused(alice, "IpAddressGenerationFailure", create(neutrino.Port{NetworkID: n.ID}))
}

func TestMACs(t *testing.T) {
	c := newCloud(t)
	c.register("compute1")
	n := c.network(alice, neutrino.Network{})
	mac := neutrino.MAC{2, 0, 0, 0, 0, 9}
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, MAC: mac})
	c.refused(alice, "MacAddressInUse", create(neutrino.Port{NetworkID: n.ID, MAC: mac}))
	c.refused(alice, "InvalidInput", create(neutrino.Port{NetworkID: n.ID, MAC: neutrino.MAC{255, 255, 255, 255, 255, 255}}))
	c.port(alice, neutrino.Port{NetworkID: c.network(alice, neutrino.Network{}).ID, MAC: mac})
	set := func(m neutrino.MAC) func(*neutrino.Port) { return func(p *neutrino.Port) { p.MAC = m } }
	if p := c.updatePort(admin, p.ID, set(neutrino.MAC{}), "mac_address"); p.MAC == mac || p.MAC.IsZero() {
		t.Errorf("null gives %s", p.MAC)
	}
	c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.HostID = "compute1" }, "binding:host_id")
	c.refused(admin, "PortBound", updatePort(p.ID, set(mac), nil, "mac_address"))
}

func TestABaseMACOfFourOctets(t *testing.T) {
	c := newCloud(t, func(c *Config) { c.BaseMAC = neutrino.MAC{0xfa, 0x16, 0x3e, 0x4f} })
	if p := c.port(alice, neutrino.Port{NetworkID: c.network(alice, neutrino.Network{}).ID}); !strings.HasPrefix(p.MAC.String(), "fa:16:3e:4f:") {
		t.Errorf("made %s", p.MAC)
	}
}

func TestPortSecurity(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	open := c.network(alice, neutrino.Network{}, "port_security_enabled")
	pair := []neutrino.AddressPair{{IPAddress: netip.MustParsePrefix("10.9.0.0/24")}}
	group := defaultgroup.ID("alice")
	if p := c.port(alice, neutrino.Port{NetworkID: open.ID}); p.PortSecurityEnabled || len(p.SecurityGroups) > 0 {
		t.Errorf("made %+v", p)
	}
	if p := c.port(alice, neutrino.Port{NetworkID: n.ID}, "security_groups"); len(p.SecurityGroups) > 0 {
		t.Errorf("security_groups [] gives %v", p.SecurityGroups)
	}
	c.refused(alice, "PortSecurityAndIPRequiredForSecurityGroups", create(neutrino.Port{NetworkID: open.ID, SecurityGroups: []neutrino.ID{group}}, "security_groups"))
	c.refused(alice, "AddressPairAndPortSecurityRequired", create(neutrino.Port{NetworkID: open.ID, AllowedAddressPairs: pair}))
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, AllowedAddressPairs: pair})
	off := func(p *neutrino.Port) { p.PortSecurityEnabled = false }
	c.refused(alice, "PortSecurityPortHasSecurityGroup", updatePort(p.ID, off, nil, "port_security_enabled"))
	bare := func(p *neutrino.Port) { off(p); p.SecurityGroups = nil }
	c.refused(alice, "AddressPairAndPortSecurityRequired", updatePort(p.ID, bare, nil, "port_security_enabled", "security_groups"))
	c.updatePort(alice, p.ID, func(p *neutrino.Port) { bare(p); p.AllowedAddressPairs = nil },
		"port_security_enabled", "security_groups", "allowed_address_pairs")
	c.refused(alice, "SecurityGroupNotFound", updatePort(p.ID, func(p *neutrino.Port) {
		p.PortSecurityEnabled, p.SecurityGroups = true, []neutrino.ID{"nonsense", group}
	}, nil, "security_groups"))
	trusted := c.port(alice, neutrino.Port{NetworkID: n.ID, DeviceOwner: "network:vpn"}, "port_security_enabled")
	if trusted.PortSecurityEnabled || len(trusted.SecurityGroups) > 0 {
		t.Errorf("made %+v", trusted)
	}
}

func TestAPortOnAForeignNetworkIsItsOwnersAlone(t *testing.T) {
	c := newCloud(t)
	n := c.network(admin, neutrino.Network{Shared: true})
	c.subnet(admin, n, "10.0.0.0/24")
	p := c.port(bob, neutrino.Port{NetworkID: n.ID, DeviceOwner: "compute:nova"})
	c.refused(alice, "PortNotFound", func(tx *Tx) error { return DeletePort(tx, p.ID) })
	c.refused(alice, "PortNotFound", updatePort(p.ID, func(*neutrino.Port) {}, nil))
	snap := c.db.Snapshot()
	if work.VisiblePort(alice, snap, p) || !work.VisiblePort(bob, snap, p) || !work.VisibleNetwork(alice, snap, n) {
		t.Error("visibility is wrong")
	}
}

func TestAddressPairs(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	with := func(list ...neutrino.AddressPair) neutrino.Port {
		return neutrino.Port{NetworkID: n.ID, MAC: neutrino.MAC{2, 1}, AllowedAddressPairs: list}
	}
	pair := func(p string, m neutrino.MAC) neutrino.AddressPair {
		return neutrino.AddressPair{IPAddress: netip.MustParsePrefix(p), MAC: m}
	}
	c.refused(alice, "AllowedAddressPairsMissingIP", create(with(neutrino.AddressPair{})))
	c.refused(alice, "DuplicateAddressPairInRequest", create(with(pair("10.0.0.1/32", neutrino.MAC{}), pair("10.0.0.1/32", neutrino.MAC{2, 1}))))
	c.refused(alice, "AllowedAddressPairExhausted", create(with(make([]neutrino.AddressPair, 11)...)))
	c.refused(alice, "InvalidInput", create(with(pair("224.0.0.0/4", neutrino.MAC{}))))
	c.refused(alice, "InvalidInput", create(with(pair("10.0.0.1/32", neutrino.MAC{1}))))
	c.refused(alice, "InvalidInput", create(with(pair("::ffff:10.0.0.1/128", neutrino.MAC{}))))
	c.port(alice, with(pair("0.0.0.0/0", neutrino.MAC{}), pair("::/0", neutrino.MAC{}), pair("10.0.0.5/24", neutrino.MAC{2, 3})))
}

func TestExtraDHCPOptionsAreMergedAndCannotBreakALine(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	option := func(name, value string) neutrino.DHCPOption { return neutrino.DHCPOption{Name: name, Value: value} }
	for _, o := range []neutrino.DHCPOption{
		option("bootfile-name", "x\ndhcp-script=/tmp/evil"), option("bootfile-name", "x\r"), option("bootfile-name", "x\x00"),
		option("bootfile-name", "x\u0085y"), option("bootfile-name", "\xff"), option("bootfile\nname", "x"),
		option("a,option:b", "x"), option("", "x"), option("0", "x"), option("255", "x"), option("70000", "x"),
		option("bootfile-name", ""), option("bootfile-name", strings.Repeat("x", 256)),
		{Name: "mtu", Value: "1", IPVersion: 5},
	} {
		c.refused(alice, "InvalidInput", create(neutrino.Port{NetworkID: n.ID, ExtraDHCPOpts: []neutrino.DHCPOption{o}}))
	}
	c.refused(alice, "InvalidInput", create(neutrino.Port{NetworkID: n.ID, DeviceID: "a\nb"}))
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, ExtraDHCPOpts: []neutrino.DHCPOption{
		option("router", ""), option("tftp-server", "10.0.0.9"), {Name: "mtu", Remove: true}, {Name: "150", Value: "10.0.0.9", IPVersion: 4},
	}})
	if len(p.ExtraDHCPOpts) != 3 || p.ExtraDHCPOpts[0].IPVersion != 4 {
		t.Errorf("made %v", p.ExtraDHCPOpts)
	}
	p = c.updatePort(alice, p.ID, func(p *neutrino.Port) {
		p.ExtraDHCPOpts = []neutrino.DHCPOption{{Name: "router", Remove: true}, option("tftp-server", "10.0.0.8"), {Name: "tftp-server", Value: "x", IPVersion: 6}}
	}, "extra_dhcp_opts")
	want := []neutrino.DHCPOption{
		{Name: "tftp-server", Value: "10.0.0.8", IPVersion: 4}, {Name: "150", Value: "10.0.0.9", IPVersion: 4}, {Name: "tftp-server", Value: "x", IPVersion: 6},
	}
	if !slices.Equal(p.ExtraDHCPOpts, want) {
		t.Errorf("merged %v", p.ExtraDHCPOpts)
	}
	p = c.updatePort(alice, p.ID, func(p *neutrino.Port) { p.ExtraDHCPOpts = nil }, "extra_dhcp_opts")
	if !slices.Equal(c.storedPort(p.ID).ExtraDHCPOpts, want) {
		t.Errorf("null changed %v", p.ExtraDHCPOpts)
	}
}

func TestAChangeThatFailsLeavesTheStoredPortAlone(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	c.subnet(alice, n, "10.0.0.0/24")
	p := c.port(alice, neutrino.Port{NetworkID: n.ID})
	before := *c.storedPort(p.ID)
	groups, fixed := slices.Clone(before.SecurityGroups), slices.Clone(before.FixedIPs)
	c.refused(alice, "SecurityGroupNotFound", updatePort(p.ID, func(p *neutrino.Port) {
		p.SecurityGroups[0] = "nonsense"
		p.FixedIPs[0].IPAddress = ip("10.0.0.1")
	}, nil, "security_groups", "fixed_ips"))
	if !slices.Equal(c.storedPort(p.ID).SecurityGroups, groups) || !slices.Equal(c.storedPort(p.ID).FixedIPs, fixed) {
		t.Error("a copy shares its lists with the stored port")
	}
	if store.Count(c.db.Snapshot(), store.PortsByNetwork, string(n.ID)) != 1 {
		t.Error("the port is not alone")
	}
}

// A pair that is another project's port on the network is refused, by address
// and by MAC, for the network's owner and for an administrator; a pair of the
// project's own port, of a wider prefix, of an address that is nobody's, or of a
// port that is bound to no host is taken.
func TestAPairIsNeverAnotherProjectsPort(t *testing.T) {
	c := newCloud(t)
	c.register("c1")
	n := c.network(admin, neutrino.Network{Shared: true, ProjectID: "alice"}, "project_id")
	// The addresses that the test names lie outside of what is drawn.
	c.subnet(admin, n, "10.0.0.0/24", func(s *neutrino.Subnet) {
		s.AllocationPools = []neutrino.Pool{{Start: ip("10.0.0.100"), End: ip("10.0.0.199")}}
	})
	at := func(who Caller, host string) *neutrino.Port {
		return c.port(who, neutrino.Port{NetworkID: n.ID, DeviceOwner: "compute:nova", HostID: host}, "binding:host_id")
	}
	guest, idle, own := at(bob, "c1"), at(bob, ""), at(alice, "c1")
	pair := func(p string, m neutrino.MAC) neutrino.AddressPair {
		return neutrino.AddressPair{IPAddress: netip.MustParsePrefix(p), MAC: m}
	}
	single := func(p *neutrino.Port) string { return p.FixedIPs[0].IPAddress.String() + "/32" }
	p := at(alice, "c1")
	for _, who := range []Caller{alice, admin} {
		for _, bad := range []neutrino.AddressPair{pair(single(guest), neutrino.MAC{}), pair("10.0.0.200/32", guest.MAC)} {
			c.refused(who, "AddressPairOfAnotherProject", updatePort(p.ID, func(p *neutrino.Port) {
				p.AllowedAddressPairs = []neutrino.AddressPair{bad}
			}, nil, "allowed_address_pairs"))
			port := neutrino.Port{NetworkID: n.ID, ProjectID: "alice", AllowedAddressPairs: []neutrino.AddressPair{bad}}
			c.refused(who, "AddressPairOfAnotherProject", create(port, "project_id"))
		}
	}
	c.updatePort(alice, p.ID, func(p *neutrino.Port) {
		p.AllowedAddressPairs = []neutrino.AddressPair{pair(single(own), neutrino.MAC{}), pair("10.0.0.201/32", own.MAC), pair("0.0.0.0/0", neutrino.MAC{}),
			pair("10.0.0.0/24", neutrino.MAC{}), pair("10.0.0.202/32", neutrino.MAC{0, 0, 0x5e, 0, 1, 1}), pair(single(idle), neutrino.MAC{})}
	}, "allowed_address_pairs")
	// Once it is in use, the pair stays as it was asked for and the hosts leave
	// the address out; a change of something else is no reason to refuse.
	c.updatePort(admin, idle.ID, func(p *neutrino.Port) { p.HostID = "c1" }, "binding:host_id")
	c.updatePort(alice, p.ID, func(p *neutrino.Port) { p.Name = "web" }, "name")
}
