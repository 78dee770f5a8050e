package neutrino

import (
	"net/netip"
	"time"
)

// Agent is one service on one host: /v2.0/agents (api.md section 2.21). One
// neutrino agent process appears as one row for each Neutron agent it replaces.
type Agent struct {
	ID               ID        `json:"id" api:"filter,sort"`
	AgentType        string    `json:"agent_type" api:"filter,sort"`
	Binary           string    `json:"binary" api:"filter,sort"`
	Topic            string    `json:"topic" api:"filter,sort"`
	Host             string    `json:"host" api:"filter,sort"`
	AdminStateUp     bool      `json:"admin_state_up" api:"put,filter,sort"`
	CreatedAt        time.Time `json:"created_at" api:"sort"`
	StartedAt        time.Time `json:"started_at" api:"sort"`
	HeartbeatAt      time.Time `json:"heartbeat_timestamp" api:"sort"`
	Alive            bool      `json:"alive" api:"filter,sort"`
	Configurations   Opaque    `json:"configurations" api:""`
	Description      string    `json:"description" api:"put,filter,sort,max=255,null"`
	AvailabilityZone string    `json:"availability_zone" api:"filter,null"`
	ResourcesSynced  *bool     `json:"resources_synced" api:""`
}

// The agent types and binaries that neutrino's agent appears as
// (dataplane.md section 8).
const (
	AgentOVS        = "Open vSwitch agent"
	AgentDHCP       = "DHCP agent"
	AgentL3         = "L3 agent"
	AgentMetadata   = "Metadata agent"
	BinaryOVS       = "neutron-openvswitch-agent"
	BinaryDHCP      = "neutron-dhcp-agent"
	BinaryL3        = "neutron-l3-agent"
	BinaryMetadata  = "neutron-metadata-agent"
	TopicNone       = "N/A"
	TopicDHCP       = "dhcp_agent"
	TopicL3         = "l3_agent"
	DefaultZone     = "nova"
	AgentDownTime   = 75 * time.Second
	AgentReportTime = 30 * time.Second
)

// Registration is what an agent says of its host when it connects, and with
// each heartbeat.
type Registration struct {
	Host         string     `json:"host"`
	TunnelIP     netip.Addr `json:"tunneling_ip"`
	TunnelTypes  []string   `json:"tunnel_types"`
	Services     []string   `json:"services"` // agent types
	DatapathType string     `json:"datapath_type"`
	Bridge       string     `json:"integration_bridge"`
	HybridPlug   bool       `json:"ovs_hybrid_plug"`
	StartedAt    time.Time  `json:"started_at"`
	Zone         string     `json:"availability_zone"`
	// BridgeMappings is "physical network" -> "provider bridge" on the host.
	BridgeMappings map[string]string `json:"bridge_mappings,omitempty"`
	// Version is that of the agent's program. Lacks are the attributes that the
	// server gives its hosts and the agent does not know: objects that have them do
	// not come about there. Both are the feed's to say.
	Version string   `json:"version,omitempty"`
	Lacks   []string `json:"lacks,omitempty"`
}

// Host is a host as the server keeps it: its last registration.
type Host struct {
	Name string `json:"name"`
	Registration
}

// HostNetwork is a network's presence on a host: its local VLAN there,
// 1..4094. It is allocated when the first port of the network is bound to the
// host and freed with the last, so that the plan needs no history.
type HostNetwork struct {
	Host      string `json:"host"`
	NetworkID ID     `json:"network_id"`
	LocalVLAN uint16 `json:"local_vlan"`
}

// DHCPBinding says that a host serves a network with DHCP.
type DHCPBinding struct {
	NetworkID ID     `json:"network_id"`
	Host      string `json:"host"`
}
