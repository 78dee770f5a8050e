package neutrino

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Port is one attachment to a network: /v2.0/ports (api.md section 2.5).
type Port struct {
	ID                  ID            `json:"id" api:"filter,sort"`
	Name                string        `json:"name" api:"post,put,filter,sort,max=255"`
	ProjectID           string        `json:"project_id" api:"post,filter,sort,max=255"`
	NetworkID           ID            `json:"network_id" api:"post,filter,sort,required,uuid"`
	AdminStateUp        bool          `json:"admin_state_up" api:"post,put,filter,sort,default=true"`
	Status              PortStatus    `json:"status" api:"filter,sort"`
	MAC                 MAC           `json:"mac_address" api:"post,put,filter,sort"`
	FixedIPs            []FixedIP     `json:"fixed_ips" api:"post,put,filter"`
	DeviceID            string        `json:"device_id" api:"post,put,filter,sort,max=255"`
	DeviceOwner         string        `json:"device_owner" api:"post,put,filter,sort,max=255"`
	SecurityGroups      []ID          `json:"security_groups" api:"post,put,filter"`
	PortSecurityEnabled bool          `json:"port_security_enabled" api:"post,put,explicit"`
	AllowedAddressPairs []AddressPair `json:"allowed_address_pairs" api:"post,put"`
	ExtraDHCPOpts       []DHCPOption  `json:"extra_dhcp_opts" api:"post,put"`
	HostID              string        `json:"binding:host_id" api:"post,put,filter,max=255"`
	VNICType            string        `json:"binding:vnic_type" api:"post,put,default=normal,enum=normal"`
	VIFType             string        `json:"binding:vif_type" api:""`
	VIFDetails          VIFDetails    `json:"binding:vif_details" api:""`
	Profile             Opaque        `json:"binding:profile" api:"post,put"`
	// DNSName and DNSDomain are what the port is called in the DNS of its network.
	DNSName   string `json:"dns_name,omitempty" api:"post,put,max=255"`
	DNSDomain string `json:"dns_domain,omitempty" api:"post,put,max=255"`
	// DataPlaneStatus is what somebody who watches the data plane says of the port,
	// for others to see; "" is nothing.
	DataPlaneStatus string `json:"data_plane_status,omitempty" api:"put,null,enum=ACTIVE|DOWN"`
	// Tags, of a port, can also be given when it is made.
	Tags []string `json:"tags,omitempty" api:"post"`
	Standard

	// CTZone is the conntrack zone that the port's packets are tracked in on
	// its host, 4097..65535; 0 while unbound. It is allocated with the binding
	// and stays, so that no agent restart can strand its entries.
	CTZone uint16 `json:"ct_zone,omitempty" api:"internal"`
	// Standby are the port's inactive bindings: each has all that the port needs
	// on a further host but its traffic.
	Standby []PortBinding `json:"standby,omitempty" api:"internal"`
}

// Opaque is JSON that is stored and given back as it came ("{}" when unset).
type Opaque string

// FixedIP is one address of a port.
type FixedIP struct {
	SubnetID  ID         `json:"subnet_id"`
	IPAddress netip.Addr `json:"ip_address"`
}

// SortFixedIPs puts the addresses of a port in the order in which Neutron lists
// them, whatever order they were asked for in: by the address as text, then by
// the subnet. Terraform's provider shows them by their place in the list.
func SortFixedIPs(ips []FixedIP) {
	if len(ips) < 2 {
		return
	}
	slices.SortFunc(ips, func(a, b FixedIP) int {
		return cmp.Or(strings.Compare(a.IPAddress.String(), b.IPAddress.String()), strings.Compare(string(a.SubnetID), string(b.SubnetID)))
	})
}

// AddressPair lets a port send from a further address. An unset MAC stands
// for the port's own.
type AddressPair struct {
	IPAddress netip.Prefix `json:"ip_address"`
	MAC       MAC          `json:"mac_address"`
}

// DHCPOption is an option that DHCP gives to this port only.
type DHCPOption struct {
	Name      string `json:"opt_name"`
	Value     string `json:"opt_value"`
	IPVersion int    `json:"ip_version"`

	// Remove is set in a request only: a null opt_value, which takes the option
	// away from the port.
	Remove bool `json:"-"`
}

// VIFDetails tells Nova how to plug the port (dataplane.md section 6.1).
type VIFDetails struct {
	PortFilter    bool   `json:"port_filter"`
	Connectivity  string `json:"connectivity"`
	OVSHybridPlug bool   `json:"ovs_hybrid_plug"`
	DatapathType  string `json:"datapath_type"`
	BridgeName    string `json:"bridge_name"`
}

// PortStatus is the state of a port's wiring.
type PortStatus string

// The statuses of a port (api.md section 3.9).
const (
	PortActive PortStatus = "ACTIVE"
	PortDown   PortStatus = "DOWN"
	PortBuild  PortStatus = "BUILD"
	PortError  PortStatus = "ERROR"
	// PortNotApplicable is the status of a floating IP's port: nothing wires it.
	PortNotApplicable PortStatus = "N/A"
)

// Device owners that change how a port is treated (api.md section 3.9).
const (
	OwnerDHCP          = "network:dhcp"
	OwnerRouter        = "network:router_interface"
	OwnerGateway       = "network:router_gateway"
	OwnerFloatingIP    = "network:floatingip"
	OwnerNetworkPrefix = "network:"
	OwnerNeutronPrefix = "neutron:"
	OwnerComputePrefix = "compute:"
)

// The vif types that a port's binding can have.
const (
	VIFUnbound       = "unbound"
	VIFOVS           = "ovs"
	VIFBindingFailed = "binding_failed"
)

// DeadVLAN is the VLAN of a port that is not filtered or not known yet: br-int
// drops all of it (dataplane.md section 1.3).
const DeadVLAN = 4095

// MaxLocalVLAN is the highest VLAN a network can have on a host; 1 is the lowest.
const MaxLocalVLAN = 4094

// Conntrack zones of ports, above the local VLANs (dataplane.md section 3.5).
const (
	MinCTZone = 4097
	MaxCTZone = 65535
)
