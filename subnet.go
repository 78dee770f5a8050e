package neutrino

import (
	"net/netip"
	"slices"
)

// Subnet is a block of addresses on a network: /v2.0/subnets (api.md 2.2).
type Subnet struct {
	ID              ID           `json:"id" api:"filter,sort"`
	Name            string       `json:"name" api:"post,put,filter,sort,max=255"`
	ProjectID       string       `json:"project_id" api:"post,filter,sort,max=255"`
	NetworkID       ID           `json:"network_id" api:"post,filter,sort,required,uuid"`
	IPVersion       int          `json:"ip_version" api:"post,filter,sort,required,enum=4|6"`
	SubnetPoolID    ID           `json:"subnetpool_id" api:"post,filter,sort,uuid,null"`
	CIDR            netip.Prefix `json:"cidr" api:"post,filter,sort"`
	GatewayIP       netip.Addr   `json:"gateway_ip" api:"post,put,filter,sort,null"`
	AllocationPools []Pool       `json:"allocation_pools" api:"post,put"`
	DNSNameservers  []netip.Addr `json:"dns_nameservers" api:"post,put"`
	HostRoutes      []HostRoute  `json:"host_routes" api:"post,put"`
	EnableDHCP      bool         `json:"enable_dhcp" api:"post,put,filter,sort,default=true"`
	IPv6RAMode      IPv6Mode     `json:"ipv6_ra_mode" api:"post,filter,sort,null,enum=slaac|dhcpv6-stateful|dhcpv6-stateless"`
	IPv6AddressMode IPv6Mode     `json:"ipv6_address_mode" api:"post,filter,sort,null,enum=slaac|dhcpv6-stateful|dhcpv6-stateless"`
	// ServiceTypes are the owners of the ports that get addresses here unasked; none
	// is all.
	ServiceTypes []string `json:"service_types,omitempty" api:"post,put"`
	Standard
	Tagged
}

// Serves reports whether ports of the owner get addresses of the subnet unasked.
// A DHCP server has one in every subnet that it serves.
func (s *Subnet) Serves(owner string) bool {
	return len(s.ServiceTypes) == 0 || slices.Contains(s.ServiceTypes, owner) || owner == OwnerDHCP && s.EnableDHCP
}

// Pool is a range of addresses, both ends included, from which fixed IPs are
// allocated.
type Pool struct {
	Start netip.Addr `json:"start"`
	End   netip.Addr `json:"end"`
}

// HostRoute is a route that DHCP announces to the instances (option 121).
type HostRoute struct {
	Destination netip.Prefix `json:"destination"`
	Nexthop     netip.Addr   `json:"nexthop"`
}

// IPv6Mode is how instances get their IPv6 addresses; empty when unset.
type IPv6Mode string

// The IPv6 modes (dataplane.md section 4.6).
const (
	SLAAC           IPv6Mode = "slaac"
	DHCPv6Stateful  IPv6Mode = "dhcpv6-stateful"
	DHCPv6Stateless IPv6Mode = "dhcpv6-stateless"
)

// IsAutoAddress reports whether instances make their own address from the
// router advertisement (slaac and dhcpv6-stateless, as either of the modes).
func (s *Subnet) IsAutoAddress() bool {
	return s.IPv6AddressMode.isAuto() || s.IPv6RAMode.isAuto()
}

func (m IPv6Mode) isAuto() bool { return m == SLAAC || m == DHCPv6Stateless }
