package intent

import (
	"net/netip"
	"slices"
	"testing"

	"neutrino"
	"neutrino/store"
)

func pool(start, end string) neutrino.Pool { return neutrino.Pool{Start: ip(start), End: ip(end)} }

func TestASubnetIsFilledIn(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.1.0.9/24")
	if s.CIDR.String() != "10.1.0.0/24" || s.GatewayIP != ip("10.1.0.1") ||
		!slices.Equal(s.AllocationPools, []neutrino.Pool{pool("10.1.0.2", "10.1.0.254")}) {
		t.Errorf("made %+v", s)
	}
	if s := c.subnet(alice, n, "fd00:1::/64"); s.GatewayIP != ip("fd00:1::") || s.AllocationPools[0].Start != ip("fd00:1::1") {
		t.Errorf("made %+v", s)
	}
	now, _ := store.Peek(c.db.Snapshot(), store.Networks, n.ID)
	if now.RevisionNumber != 3 {
		t.Errorf("the network has revision %d after two subnets", now.RevisionNumber)
	}
}

func TestASubnetWithoutAGateway(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	var s *neutrino.Subnet
	c.do(alice, func(tx *Tx) (err error) {
		s, err = CreateSubnet(tx, subnetIn(n, "10.0.0.0/24"), fieldsOf("gateway_ip"))
		return
	})
	if s.GatewayIP.IsValid() || s.AllocationPools[0].Start != ip("10.0.0.1") || !s.EnableDHCP {
		t.Errorf("made %+v", s)
	}
	off := c.subnet(alice, c.network(alice, neutrino.Network{}), "10.0.0.0/24",
		func(s *neutrino.Subnet) { s.GatewayIP = ip("10.9.0.1") }, func(s *neutrino.Subnet) {})
	if off.GatewayIP != ip("10.0.0.1") {
		t.Errorf("a gateway that the request does not name was taken: %+v", off)
	}
}

func TestWhatASubnetMayNotBe(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	c.subnet(alice, n, "10.0.0.0/24")
	gateway := func(s string) func(*neutrino.Subnet) { return func(n *neutrino.Subnet) { n.GatewayIP = ip(s) } }
	pools := func(p ...neutrino.Pool) func(*neutrino.Subnet) {
		return func(s *neutrino.Subnet) { s.AllocationPools = p }
	}
	modes := func(ra, address neutrino.IPv6Mode) func(*neutrino.Subnet) {
		return func(s *neutrino.Subnet) { s.IPv6RAMode, s.IPv6AddressMode, s.EnableDHCP = ra, address, true }
	}
	servers := func(list ...string) func(*neutrino.Subnet) {
		return func(s *neutrino.Subnet) {
			for _, a := range list {
				s.DNSNameservers = append(s.DNSNameservers, ip(a))
			}
		}
	}
	route := func(to, via string) func(*neutrino.Subnet) {
		return func(s *neutrino.Subnet) {
			s.HostRoutes = append(s.HostRoutes, neutrino.HostRoute{Destination: netip.MustParsePrefix(to), Nexthop: ip(via)})
		}
	}
	for _, row := range []struct {
		cidr, typ string
		adjust    func(*neutrino.Subnet)
	}{
		{"10.0.0.128/25", "InvalidInput", nil},
		{"0.0.0.0/0", "InvalidInput", nil},
		{"10.1.0.0/24", "InvalidInput", func(s *neutrino.Subnet) { s.IPVersion = 6 }},
		{"10.1.0.0/24", "InvalidInput", func(s *neutrino.Subnet) { s.IPVersion = 5 }},
		{"10.1.0.0/24", "BadRequest", func(s *neutrino.Subnet) { s.CIDR = netip.Prefix{} }},
		{"::ffff:10.1.0.0/120", "InvalidInput", nil},
		{"127.0.0.0/8", "InvalidInput", withDHCP},
		{"224.0.0.0/8", "InvalidInput", withDHCP},
		{"0.0.0.0/8", "InvalidInput", withDHCP},
		{"10.1.0.0/31", "InvalidInput", withDHCP},
		{"fd00::/127", "InvalidInput", withDHCP},
		{"10.1.0.0/24", "InvalidInput", gateway("10.1.0.0")},
		{"10.1.0.0/24", "InvalidInput", gateway("10.1.0.255")},
		{"10.1.0.0/24", "InvalidInput", gateway("fd00::1")},
		{"fd00::/64", "InvalidInput", gateway("fe80::1%eth0")},
		{"10.1.0.0/24", "OutOfBoundsAllocationPool", pools(pool("10.1.0.2", "10.1.1.2"))},
		{"10.1.0.0/24", "OutOfBoundsAllocationPool", pools(pool("10.1.0.2", "10.1.0.255"))},
		{"10.1.0.0/24", "InvalidAllocationPool", pools(pool("10.1.0.9", "10.1.0.2"))},
		{"10.1.0.0/24", "OverlappingAllocationPools", pools(pool("10.1.0.2", "10.1.0.9"), pool("10.1.0.9", "10.1.0.10"))},
		{"10.1.0.0/24", "GatewayConflictWithAllocationPools", pools(pool("10.1.0.1", "10.1.0.9"))},
		{"10.1.0.0/24", "InvalidInput", modes("slaac", "slaac")},
		{"fd00::/64", "InvalidInput", modes("slaac", "dhcpv6-stateful")},
		{"fd00::/64", "InvalidInput", modes("slaac", "magic")},
		{"fd00::/80", "InvalidInput", modes("", "slaac")},
		{"fd00::/64", "InvalidInput", func(s *neutrino.Subnet) { s.IPv6AddressMode = "slaac" }},
		{"10.1.0.0/24", "DNSNameServersExhausted", servers("1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5", "1.1.1.6")},
		{"10.1.0.0/24", "InvalidInput", servers("1.1.1.1", "1.1.1.1")},
		{"10.1.0.0/24", "InvalidInput", route("fd00::/64", "fd00::1")},
		{"10.1.0.0/24", "InvalidInput", route("10.9.0.1/24", "10.1.0.1")},
		{"10.1.0.0/24", "HostRoutesExhausted", func(s *neutrino.Subnet) { s.HostRoutes = make([]neutrino.HostRoute, 21) }},
	} {
		s := subnetIn(n, row.cidr)
		if row.adjust != nil {
			row.adjust(&s)
		}
		set := fieldsOf("enable_dhcp")
		set["gateway_ip"] = s.GatewayIP.IsValid()
		t.Run(row.typ+" "+row.cidr, func(t *testing.T) {
			c.refused(alice, row.typ, func(tx *Tx) error { _, err := CreateSubnet(tx, s, set); return err })
		})
	}
	c.refused(bob, "NetworkNotFound", func(tx *Tx) error { _, err := CreateSubnet(tx, subnetIn(n, "10.7.0.0/24"), nil); return err })
	c.subnet(alice, c.network(alice, neutrino.Network{}), "10.0.0.0/24") // another network may overlap
}

func TestAnUpdateOfASubnetReplacesItsLists(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.0.0.0/24")
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.0.0.200")}}})
	update := func(f func(*neutrino.Subnet), set ...string) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := UpdateSubnet(tx, s.ID, func(s *neutrino.Subnet) error { f(s); return nil }, fieldsOf(set...))
			return err
		}
	}
	c.do(alice, update(func(s *neutrino.Subnet) {
		s.AllocationPools = []neutrino.Pool{pool("10.0.0.20", "10.0.0.29"), pool("10.0.0.10", "10.0.0.19")}
	}, "allocation_pools"))
	now, _ := store.Peek(c.db.Snapshot(), store.Subnets, s.ID)
	if !slices.Equal(now.AllocationPools, []neutrino.Pool{pool("10.0.0.10", "10.0.0.29")}) || now.RevisionNumber != 2 {
		t.Errorf("stored %+v", now)
	}
	if got := addresses(c.storedPort(p.ID)); !slices.Equal(got, []string{"10.0.0.200"}) {
		t.Errorf("the port has %v", got)
	}
	c.refused(alice, "GatewayConflictWithAllocationPools", update(func(s *neutrino.Subnet) { s.GatewayIP = ip("10.0.0.15") }, "gateway_ip"))
	c.do(alice, update(func(s *neutrino.Subnet) { s.GatewayIP = netip.Addr{} }, "gateway_ip"))
	c.refused(bob, "SubnetNotFound", update(func(*neutrino.Subnet) {}))
}

func TestASubnetInUseStays(t *testing.T) {
	c := newCloud(t)
	c.register("net1")
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.0.0.0/24", withDHCP)
	p := c.port(alice, neutrino.Port{NetworkID: n.ID})
	c.refused(alice, "SubnetInUse", func(tx *Tx) error { return DeleteSubnet(tx, s.ID) })
	c.do(alice, func(tx *Tx) error { return DeletePort(tx, p.ID) })
	c.do(alice, func(tx *Tx) error { return DeleteSubnet(tx, s.ID) })
	if left := c.portsOf(n); len(left) > 0 {
		t.Errorf("left %+v", left[0])
	}
}

func TestAddressesThatPortsMakeThemselvesComeAndGoWithTheSubnet(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, MAC: neutrino.MAC{2, 0, 0, 0, 0, 1}}, "fixed_ips")
	s := c.subnet(alice, n, "fd00::/64", slaac)
	if got := addresses(c.storedPort(p.ID)); !slices.Equal(got, []string{"fd00::ff:fe00:1"}) {
		t.Errorf("the port has %v", got)
	}
	later := c.port(alice, neutrino.Port{NetworkID: n.ID, MAC: neutrino.MAC{2, 0, 0, 0, 0, 2}}, "fixed_ips")
	if got := addresses(later); !slices.Equal(got, []string{"fd00::ff:fe00:2"}) {
		t.Errorf("fixed_ips [] gives %v", got)
	}
	c.refused(alice, "AllocationOnAutoAddressSubnet", func(tx *Tx) error {
		_, err := CreatePort(tx, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("fd00::5")}}}, nil)
		return err
	})
	moved := c.updatePort(admin, later.ID, func(p *neutrino.Port) { p.MAC = neutrino.MAC{2, 0, 0, 0, 0, 3} }, "mac_address")
	if got := addresses(moved); !slices.Equal(got, []string{"fd00::ff:fe00:3"}) {
		t.Errorf("with another MAC it has %v", got)
	}
	c.do(alice, func(tx *Tx) error { return DeleteSubnet(tx, s.ID) })
	if got := addresses(c.storedPort(p.ID)); len(got) > 0 {
		t.Errorf("the port keeps %v", got)
	}
}
