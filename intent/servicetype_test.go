package intent

import (
	"testing"

	"neutrino"
)

func service(types ...string) func(*neutrino.Subnet) {
	return func(s *neutrino.Subnet) { s.ServiceTypes = types }
}

func TestPortsGetAddressesWhereTheirServiceIs(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	floating := c.subnet(alice, n, "10.1.0.0/24", service("network:floatingip", "network:floatingip"))
	if len(floating.ServiceTypes) != 1 {
		t.Errorf("stored %q", floating.ServiceTypes)
	}
	nova := func(set ...string) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := CreatePort(tx, neutrino.Port{NetworkID: n.ID, DeviceOwner: "compute:nova"}, fieldsOf(set...))
			return err
		}
	}
	c.refused(alice, "IpAddressGenerationFailureNoMatchingSubnet", nova())
	c.do(alice, nova("fixed_ips")) // who asks for no address needs no subnet
	on := func(owner string, ips ...neutrino.FixedIP) *neutrino.Port {
		t.Helper()
		set := []string{}
		if len(ips) > 0 {
			set = []string{"fixed_ips"}
		}
		return c.port(alice, neutrino.Port{NetworkID: n.ID, DeviceOwner: owner, FixedIPs: ips}, set...)
	}
	in := func(p *neutrino.Port, s *neutrino.Subnet) {
		t.Helper()
		if len(p.FixedIPs) != 1 || p.FixedIPs[0].SubnetID != s.ID {
			t.Errorf("port of %q has %v, want one of %s", p.DeviceOwner, addresses(p), s.CIDR)
		}
	}
	all := c.subnet(alice, n, "10.2.0.0/24")
	in(on("compute:nova"), all)
	in(on(""), all)
	compute := c.subnet(alice, n, "10.3.0.0/24", service("compute:nova"))
	in(on("compute:nova"), compute)
	in(on("compute:other"), all)
	in(on("compute:nova", neutrino.FixedIP{SubnetID: floating.ID}), floating)
	c.refused(alice, "InvalidIpForNetwork", func(tx *Tx) error {
		_, err := CreatePort(tx, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.3.0.9")}}}, fieldsOf("fixed_ips"))
		return err
	})
	c.subnet(alice, n, "2001:db8::/64", slaac, service("compute:nova"))
	if got := addresses(on("compute:nova")); len(got) != 2 {
		t.Errorf("got %v, want one of SLAAC too", got)
	}
	if got := addresses(on("compute:other")); len(got) != 1 {
		t.Errorf("got %v, want none of SLAAC", got)
	}
}

// A floating IP comes from a subnet that floating IPs may come from, or not at all.
func TestFloatingIPsComeFromTheirSubnets(t *testing.T) {
	c := newCloud(t)
	outside := c.network(admin, neutrino.Network{External: true}, "router:external")
	c.subnet(admin, outside, "198.18.0.0/24", service("network:router_gateway"))
	float := func(tx *Tx) error {
		f, err := CreateFloatingIP(tx, neutrino.FloatingIP{FloatingNetworkID: outside.ID}, FloatingRequest{}, fieldsOf())
		if err == nil && f.FloatingIPAddress.As4()[2] != 1 {
			t.Errorf("got %s", f.FloatingIPAddress)
		}
		return err
	}
	c.refused(alice, "IpAddressGenerationFailureNoMatchingSubnet", float)
	c.subnet(admin, outside, "198.18.1.0/24", service("network:floatingip"))
	c.do(alice, float)
}

func TestServiceTypesAreOwnersOfPorts(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	for _, bad := range []string{"", "nova", "Compute:nova", "compute:a\nb"} {
		c.refused(alice, "InvalidSubnetServiceType", func(tx *Tx) error {
			_, err := CreateSubnet(tx, subnetIn(n, "10.1.0.0/24", service(bad)), fieldsOf())
			return err
		})
	}
	s := c.subnet(alice, n, "10.1.0.0/24", service("compute:nova"))
	c.do(alice, func(tx *Tx) error {
		got, err := UpdateSubnet(tx, s.ID, func(s *neutrino.Subnet) error { s.ServiceTypes = nil; return nil }, fieldsOf("service_types"))
		if err == nil && len(got.ServiceTypes) != 0 {
			t.Errorf("still %q", got.ServiceTypes)
		}
		return err
	})
	c.port(alice, neutrino.Port{NetworkID: n.ID})
}
