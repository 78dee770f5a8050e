package intent

import (
	"net/netip"

	"neutrino"
)

// The rules of a subnet's attributes, api.md section 3.2.

func badRequest(resource, format string, args ...any) error {
	e := neutrino.Errorf(neutrino.Invalid, "BadRequest", format, args...)
	e.Message = "Bad " + resource + " request: " + e.Message
	return e
}

// plain reports whether the address is one that a subnet can hold: no zone, and
// not an IPv4 address in IPv6 clothes.
func plain(a netip.Addr) bool { return a.IsValid() && a.Zone() == "" && !a.Is4In6() }

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// checkCIDR checks the block of addresses and masks its host bits off.
func checkCIDR(s *neutrino.Subnet) error {
	switch {
	case s.IPVersion != 4 && s.IPVersion != 6:
		return neutrino.Invalidf("ip_version %d is not one of 4, 6", s.IPVersion)
	case !s.CIDR.IsValid():
		return badRequest("subnets", "a subnetpool must be specified in the absence of a cidr.")
	case !plain(s.CIDR.Addr()):
		return neutrino.Invalidf("'%s' is not a valid IP subnet", s.CIDR)
	case familyOf(s.CIDR.Addr()) != s.IPVersion:
		return neutrino.Invalidf("cidr '%s' does not match the ip_version '%d'", s.CIDR, s.IPVersion)
	case s.CIDR.Bits() == 0:
		return neutrino.Invalidf("0 is not allowed as CIDR prefix length")
	}
	s.CIDR = s.CIDR.Masked()
	return checkDHCPPrefix(s)
}

// checkDHCPPrefix refuses blocks that DHCP cannot serve.
func checkDHCPPrefix(s *neutrino.Subnet) error {
	if !s.EnableDHCP {
		return nil
	}
	a := s.CIDR.Addr()
	switch {
	case a.IsLoopback() || a.IsMulticast():
		return neutrino.Invalidf("loopback or multicast CIDR '%s' is not supported when DHCP is enabled", s.CIDR)
	case a.IsUnspecified():
		return neutrino.Invalidf("first IP '%s' of the CIDR cannot be the unspecified address when DHCP is enabled", a)
	case s.CIDR.Bits() > a.BitLen()-2:
		return neutrino.Invalidf("Invalid CIDR %s for IPv%d subnet with DHCP enabled, the prefix length must be at most %d",
			s.CIDR, s.IPVersion, a.BitLen()-2)
	}
	return nil
}

// checkModes checks how instances get IPv6 addresses.
func checkModes(s *neutrino.Subnet) error {
	ra, address := s.IPv6RAMode, s.IPv6AddressMode
	for _, m := range []neutrino.IPv6Mode{ra, address} {
		switch m {
		case "", neutrino.SLAAC, neutrino.DHCPv6Stateful, neutrino.DHCPv6Stateless:
		default:
			return neutrino.Invalidf("'%s' is not a valid IPv6 mode", m)
		}
	}
	switch {
	case ra == "" && address == "":
		return nil
	case s.IPVersion == 4:
		return neutrino.Invalidf("ipv6_ra_mode or ipv6_address_mode are not valid when ip_version is 4")
	case !s.EnableDHCP:
		return neutrino.Invalidf("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
	case ra != "" && address != "" && ra != address:
		return neutrino.Invalidf("ipv6_ra_mode set to '%s' with ipv6_address_mode set to '%s' is not valid. "+
			"If both attributes are set, they must be the same value", ra, address)
	case s.IsAutoAddress() && s.CIDR.Bits() != 64:
		return neutrino.Invalidf("Invalid CIDR %s for IPv6 address mode. OpenStack uses the EUI-64 address format, "+
			"which requires the prefix to be /64", s.CIDR)
	}
	return nil
}

// defaultGateway is the first host of an IPv4 block, and the first address of
// an IPv6 one. That of a block of one address lies behind it, as with Neutron:
// Terraform's provider holds it to that (subnetPrefixLength).
func defaultGateway(s *neutrino.Subnet) netip.Addr {
	first := neutrino.FirstAddr(s.CIDR)
	if s.IPVersion == 6 {
		return first
	}
	return first.Next()
}

// checkGateway refuses a gateway of the wrong family, or one that no host can
// have. It may lie outside of the block.
func checkGateway(s *neutrino.Subnet) error {
	g := s.GatewayIP
	switch {
	case !g.IsValid():
		s.GatewayIP = netip.Addr{}
		return nil
	case !plain(g) || familyOf(g) != s.IPVersion:
		return neutrino.Invalidf("gateway_ip '%s' does not match the ip_version '%d'", g, s.IPVersion)
	case g.IsUnspecified() || g.IsMulticast() || g.IsLoopback() && !s.CIDR.Contains(g):
		return neutrino.Invalidf("gateway_ip '%s' is not the address of a host", g)
	case s.CIDR.Contains(g) && g.Is4() && isEdge(s.CIDR, g):
		return neutrino.Invalidf("Gateway is not valid on subnet")
	}
	return nil
}

// isEdge reports whether the address is the network or the broadcast address of
// a block that has them: for IPv6 only the first, the subnet-router anycast
// address of RFC 4291; blocks of one or two addresses have neither.
func isEdge(cidr netip.Prefix, a netip.Addr) bool {
	if cidr.Bits() >= a.BitLen()-1 {
		return false
	}
	return a == neutrino.FirstAddr(cidr) || a.Is4() && a == neutrino.LastAddr(cidr)
}

func checkPools(s *neutrino.Subnet) error {
	for i, p := range s.AllocationPools {
		if !p.Valid() || !plain(p.Start) || !plain(p.End) || familyOf(p.Start) != s.IPVersion {
			return neutrino.Errorf(neutrino.Invalid, "InvalidAllocationPool",
				"The allocation pool %s is not valid.", p)
		}
		if !s.CIDR.Contains(p.Start) || !s.CIDR.Contains(p.End) ||
			p.Start.Is4() && (isEdge(s.CIDR, p.Start) || isEdge(s.CIDR, p.End)) {
			return neutrino.Errorf(neutrino.Invalid, "OutOfBoundsAllocationPool",
				"The allocation pool %s spans beyond the subnet cidr %s.", p, s.CIDR)
		}
		for _, q := range s.AllocationPools[:i] {
			if p.Overlaps(q) {
				return neutrino.Errorf(neutrino.Conflict, "OverlappingAllocationPools",
					"Found overlapping allocation pools: %s %s for subnet %s.", q, p, s.CIDR)
			}
		}
	}
	return nil
}

func checkGatewayPools(s *neutrino.Subnet) error {
	for _, p := range s.AllocationPools {
		if s.GatewayIP.IsValid() && p.Contains(s.GatewayIP) {
			return neutrino.Errorf(neutrino.Conflict, "GatewayConflictWithAllocationPools",
				"Gateway ip %s conflicts with allocation pool %s.", s.GatewayIP, p)
		}
	}
	return nil
}

// checkNameservers keeps what ends in a dnsmasq file to plain addresses.
func checkNameservers(c *Config, s *neutrino.Subnet) error {
	if len(s.DNSNameservers) > c.MaxDNSNameservers {
		return neutrino.Errorf(neutrino.Invalid, "DNSNameServersExhausted",
			"Unable to complete operation for %s. The number of DNS nameservers exceeds the limit %d.",
			s.ID, c.MaxDNSNameservers)
	}
	seen := map[netip.Addr]bool{}
	for _, a := range s.DNSNameservers {
		if !plain(a) {
			return neutrino.Invalidf("'%s' is not a valid nameserver", a)
		}
		if seen[a] {
			return neutrino.Invalidf("Duplicate nameserver '%s'", a)
		}
		seen[a] = true
	}
	return nil
}

func checkHostRoutes(c *Config, s *neutrino.Subnet) error {
	if len(s.HostRoutes) > c.MaxHostRoutes {
		return neutrino.Errorf(neutrino.Invalid, "HostRoutesExhausted",
			"Unable to complete operation for %s. The number of host routes exceeds the limit %d.",
			s.ID, c.MaxHostRoutes)
	}
	seen := map[neutrino.HostRoute]bool{}
	for _, r := range s.HostRoutes {
		switch {
		case !r.Destination.IsValid() || !plain(r.Destination.Addr()) || !plain(r.Nexthop):
			return neutrino.Invalidf("Invalid host route to '%s' via '%s'", r.Destination, r.Nexthop)
		case r.Destination != r.Destination.Masked():
			return neutrino.Invalidf("'%s' isn't a recognized IP subnet cidr, '%s' is recommended",
				r.Destination, r.Destination.Masked())
		case familyOf(r.Destination.Addr()) != s.IPVersion || familyOf(r.Nexthop) != s.IPVersion:
			return neutrino.Invalidf("host_routes '%s' via '%s' does not match the ip_version '%d'",
				r.Destination, r.Nexthop, s.IPVersion)
		case seen[r]:
			return neutrino.Invalidf("Duplicate hostroute '%s'", r.Destination)
		}
		seen[r] = true
	}
	return nil
}
