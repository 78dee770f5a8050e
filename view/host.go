// Package view is the station that says what one host must know: a pure
// projection of the store's snapshot, and which hosts a change touches.
package view

import (
	"net/netip"

	"neutrino"
)

// Host is all that one host must know. It is complete or it is not used: the
// feed marks completeness. Maps are keyed by the object's ID.
type Host struct {
	Name     string
	Networks map[neutrino.ID]Network
	Subnets  map[neutrino.ID]neutrino.Subnet
	// Ports are bound to this host. Their Status, timestamps and revision are
	// left out (zero): a change of status is no change of the view. Name and
	// Profile are set where the metadata service may have to say them.
	Ports map[neutrino.ID]neutrino.Port
	// Standby are ports that are bound to another host and may move to this one
	// (live migration): what filters them is here before their traffic is. They
	// are in Neighbours too, where they are now.
	Standby map[neutrino.ID]neutrino.Port
	// Neighbours are the other ports of the networks: those bound to other
	// hosts and, where this host serves DHCP, those bound to none.
	Neighbours map[neutrino.ID]Neighbour
	// Groups are the security groups of Ports and Standby, and Rules their rules.
	Groups map[neutrino.ID]neutrino.SecurityGroup
	Rules  map[neutrino.ID]neutrino.SecurityGroupRule
	// Members are the addresses of each group that a rule of Rules names as its
	// remote group.
	Members map[neutrino.ID]Members
	// Routers run on this host. Their ports are in Ports, the floating IPs and
	// port forwardings that are in force on them in FloatingIPs and Forwardings.
	Routers     map[neutrino.ID]neutrino.Router
	FloatingIPs map[neutrino.ID]neutrino.FloatingIP
	Forwardings map[neutrino.ID]neutrino.PortForwarding
	// MeteringLabels count on a router of Routers; MeteringRules are their rules.
	MeteringLabels map[neutrino.ID]neutrino.MeteringLabel
	MeteringRules  map[neutrino.ID]neutrino.MeteringLabelRule
	// Misread are rows that this program does not understand, by their keys. They are
	// in none of the other maps.
	Misread map[Key]Misread
}

// Network is a network that is present on the host.
type Network struct {
	neutrino.Network
	LocalVLAN uint16 `json:"local_vlan"`
	// DHCP is set where this host serves the network.
	DHCP bool `json:"dhcp"`
	// ScopeIPv4 and ScopeIPv6 are the marks of the address scopes that the
	// network's subnets are in, 0 for none.
	ScopeIPv4 uint16 `json:"scope_ipv4,omitempty"`
	ScopeIPv6 uint16 `json:"scope_ipv6,omitempty"`
}

// Neighbour is a port of a network of ours that is not bound to this host.
type Neighbour struct {
	ID                  neutrino.ID            `json:"id"`
	NetworkID           neutrino.ID            `json:"network_id"`
	MAC                 neutrino.MAC           `json:"mac_address"`
	FixedIPs            []neutrino.FixedIP     `json:"fixed_ips"`
	AllowedAddressPairs []neutrino.AddressPair `json:"allowed_address_pairs"`
	DeviceOwner         string                 `json:"device_owner"`
	ExtraDHCPOpts       []neutrino.DHCPOption  `json:"extra_dhcp_opts"`
	DNSName             string                 `json:"dns_name,omitempty"`
	DNSDomain           string                 `json:"dns_domain,omitempty"`
	// ProjectID is whose port it is: no other project's port sends by its addresses.
	ProjectID string `json:"project_id,omitempty"`
	// DeviceID, Name and Profile are what the metadata service says of the
	// instance; they are set where this host runs a router or the DHCP server of
	// the network.
	DeviceID string          `json:"device_id,omitempty"`
	Name     string          `json:"name,omitempty"`
	Profile  neutrino.Opaque `json:"profile,omitempty"`
	// Host is where it is bound, "" for nowhere; TunnelIP is that host's tunnel
	// endpoint, the zero Addr when unknown.
	Host     string     `json:"host"`
	TunnelIP netip.Addr `json:"tunnel_ip"`
}

// Members is what a remote group stands for: the fixed IPs and allowed address
// pairs of its ports. Each prefix stands once, in sorted order.
type Members struct {
	Group    neutrino.ID    `json:"group"`
	Prefixes []netip.Prefix `json:"prefixes"`
}

// New is an empty view of a host.
func New(name string) *Host {
	return &Host{
		Name:     name,
		Networks: map[neutrino.ID]Network{}, Subnets: map[neutrino.ID]neutrino.Subnet{},
		Ports: map[neutrino.ID]neutrino.Port{}, Standby: map[neutrino.ID]neutrino.Port{}, Neighbours: map[neutrino.ID]Neighbour{},
		Groups: map[neutrino.ID]neutrino.SecurityGroup{}, Rules: map[neutrino.ID]neutrino.SecurityGroupRule{},
		Members: map[neutrino.ID]Members{}, Routers: map[neutrino.ID]neutrino.Router{},
		FloatingIPs: map[neutrino.ID]neutrino.FloatingIP{}, Forwardings: map[neutrino.ID]neutrino.PortForwarding{},
		MeteringLabels: map[neutrino.ID]neutrino.MeteringLabel{}, MeteringRules: map[neutrino.ID]neutrino.MeteringLabelRule{},
		Misread: map[Key]Misread{},
	}
}
