package neutrino

import "net/netip"

// SecurityGroup is a named set of rules: /v2.0/security-groups (api.md 2.11).
// Its rules are rows of their own. The packets of ports in a group that is not
// stateful are not tracked: answers need rules of their own.
type SecurityGroup struct {
	ID        ID     `json:"id" api:"filter,sort"`
	Name      string `json:"name" api:"post,put,filter,sort,max=255"`
	ProjectID string `json:"project_id" api:"post,filter,sort,max=255"`
	Stateful  bool   `json:"stateful" api:"post,put,filter,default=true"`
	Standard
	Tagged
}

// DefaultGroup is the name of the group that every project has.
const DefaultGroup = "default"

// SecurityGroupRule allows one kind of traffic: /v2.0/security-group-rules
// (api.md sections 2.12 and 3.4). For ICMP the port range is type and code.
type SecurityGroupRule struct {
	ID              ID           `json:"id" api:"filter,sort"`
	ProjectID       string       `json:"project_id" api:"post,filter,sort,max=255"`
	SecurityGroupID ID           `json:"security_group_id" api:"post,filter,sort,required,max=36"`
	Direction       Direction    `json:"direction" api:"post,filter,sort,required,enum=ingress|egress"`
	EtherType       EtherType    `json:"ethertype" api:"post,filter,sort,default=IPv4"`
	Protocol        string       `json:"protocol" api:"post,filter,sort,null"`
	PortRangeMin    *int         `json:"port_range_min" api:"post,filter,sort,null"`
	PortRangeMax    *int         `json:"port_range_max" api:"post,filter,sort,null"`
	RemoteIPPrefix  string       `json:"remote_ip_prefix" api:"post,filter,sort,null"`
	RemoteGroupID   ID           `json:"remote_group_id" api:"post,filter,sort,null"`
	NormalizedCIDR  netip.Prefix `json:"normalized_cidr" api:"filter,sort,null"`
	Standard
}

// Direction is seen from the instance: ingress goes to it, egress comes from it.
type Direction string

// The two directions.
const (
	Ingress Direction = "ingress"
	Egress  Direction = "egress"
)

// EtherType is the address family of a rule.
type EtherType string

// The two families.
const (
	IPv4 EtherType = "IPv4"
	IPv6 EtherType = "IPv6"
)
