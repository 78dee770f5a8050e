package neutrino

// Network is an isolated layer 2 segment: /v2.0/networks (api.md section 2.1).
type Network struct {
	ID                    ID          `json:"id" api:"filter,sort"`
	Name                  string      `json:"name" api:"post,put,filter,sort,max=255"`
	ProjectID             string      `json:"project_id" api:"post,filter,sort,max=255"`
	AdminStateUp          bool        `json:"admin_state_up" api:"post,put,filter,sort,default=true"`
	Status                string      `json:"status" api:"filter,sort"`
	Shared                bool        `json:"shared" api:"post,put,filter"`
	External              bool        `json:"router:external" api:"post,put,filter"`
	IsDefault             bool        `json:"is_default" api:"post,put,filter"` // the one default external network
	NetworkType           NetworkType `json:"provider:network_type" api:"post,put,filter,max=32"`
	PhysicalNetwork       string      `json:"provider:physical_network" api:"post,put,filter,max=64,null"`
	SegmentationID        int64       `json:"provider:segmentation_id" api:"post,put,filter,null"`
	MTU                   int         `json:"mtu" api:"post,put,filter,sort,min=0"`
	PortSecurityEnabled   bool        `json:"port_security_enabled" api:"post,put,default=true"`
	DNSDomain             string      `json:"dns_domain,omitempty" api:"post,put,max=255"`
	AvailabilityZoneHints []string    `json:"availability_zone_hints" api:"post,sort"`
	Standard
	Tagged
}

// NetworkActive is the one status a network has: its segment exists as soon as
// it is stored (api.md section 3.1).
const NetworkActive = "ACTIVE"
