package neutrino

import "net/netip"

// Router routes between subnets and, with a gateway, to the outside:
// /v2.0/routers (api.md sections 2.6 and 3.5).
type Router struct {
	ID                    ID          `json:"id" api:"filter,sort"`
	Name                  string      `json:"name" api:"post,put,filter,sort,max=255"`
	ProjectID             string      `json:"project_id" api:"post,filter,sort,max=255"`
	AdminStateUp          bool        `json:"admin_state_up" api:"post,put,filter,sort,default=true"`
	Status                string      `json:"status" api:"sort"`
	Gateway               *Gateway    `json:"external_gateway_info" api:"post,put,null"`
	Routes                []HostRoute `json:"routes" api:"put"`
	AvailabilityZoneHints []string    `json:"availability_zone_hints" api:"post"`
	// HA and Distributed would run the router on several hosts: both are false.
	HA          bool `json:"ha,omitempty" api:"post,put,explicit"`
	Distributed bool `json:"distributed,omitempty" api:"post,put,explicit"`
	Standard
	Tagged

	// GatewayPortID is the router's port on its external network, "" for none.
	GatewayPortID ID `json:"gw_port_id,omitempty" api:"internal"`
}

// RouterActive is the status of a router: it is in force as soon as it is stored.
const RouterActive = "ACTIVE"

// Gateway is a router's way out. FixedIPs are the gateway port's addresses.
type Gateway struct {
	NetworkID  ID        `json:"network_id"`
	EnableSNAT bool      `json:"enable_snat"`
	FixedIPs   []FixedIP `json:"external_fixed_ips"`
}

// RouterBinding says which host runs a router.
type RouterBinding struct {
	RouterID ID     `json:"router_id"`
	Host     string `json:"host"`
}

// FloatingIP is an address of an external network that stands for one address
// of a port: /v2.0/floatingips (api.md sections 2.7 and 3.6).
type FloatingIP struct {
	ID                ID         `json:"id" api:"filter,sort"`
	ProjectID         string     `json:"project_id" api:"post,filter,sort,max=255"`
	FloatingNetworkID ID         `json:"floating_network_id" api:"post,filter,sort,required,uuid"`
	FloatingIPAddress netip.Addr `json:"floating_ip_address" api:"post,filter,sort,null"`
	RouterID          ID         `json:"router_id" api:"filter,sort,null"`
	PortID            ID         `json:"port_id" api:"post,put,filter,null"`
	FixedIPAddress    netip.Addr `json:"fixed_ip_address" api:"post,put,filter,sort,null"`
	Status            string     `json:"status" api:"filter,sort"`
	Standard
	Tagged

	// FloatingPortID is the port that holds the address on the external network.
	FloatingPortID ID `json:"floating_port_id" api:"internal"`
}

// The statuses of a floating IP.
const (
	FloatingIPActive = "ACTIVE"
	FloatingIPDown   = "DOWN"
	FloatingIPError  = "ERROR"
)

// PortForwarding gives a port of a floating IP, or a range of them, to a port of
// an instance, or to as many: /v2.0/floatingips/{id}/port_forwardings (api.md
// section 2.8). A stored one has both ranges, and the ports beside those that are
// of one port only.
type PortForwarding struct {
	ID                ID         `json:"id" api:"filter,sort"`
	FloatingIPID      ID         `json:"floatingip_id" api:"internal"`
	ProjectID         string     `json:"project_id" api:"internal"`
	Protocol          string     `json:"protocol" api:"post,put,filter,sort,required,enum=tcp|udp|sctp|dccp"`
	ExternalPort      *int       `json:"external_port" api:"post,put,filter,sort,null,min=1,max=65535"`
	InternalPort      *int       `json:"internal_port" api:"post,put,null,min=1,max=65535"`
	ExternalPortRange string     `json:"external_port_range" api:"post,put,filter,sort,null"`
	InternalPortRange string     `json:"internal_port_range" api:"post,put,null"`
	InternalIPAddress netip.Addr `json:"internal_ip_address" api:"post,put,required"`
	InternalPortID    ID         `json:"internal_port_id" api:"post,put,filter,sort,required,uuid"`
	Description       string     `json:"description" api:"post,put,filter,max=1024"`
}

// RouterObject names a router in plans and reports.
func RouterObject(id ID) string { return "router/" + string(id) }

// FloatingIPObject names a floating IP in plans and reports.
func FloatingIPObject(id ID) string { return "floatingip/" + string(id) }
