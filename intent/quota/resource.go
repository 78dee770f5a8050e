package quota

import (
	"neutrino/store"
)

// The resources that are counted, as quotas name them. A port of the project ""
// (of a gateway or a floating IP) counts for nobody, and what the cloud makes on
// its own (DHCP ports, interfaces, default groups) is counted but never refused
// (api.md section 2.27). Neutron does not know the last five.
const (
	Network           = "network"
	Subnet            = "subnet"
	Port              = "port"
	Router            = "router"
	FloatingIP        = "floatingip"
	SecurityGroup     = "security_group"
	SecurityGroupRule = "security_group_rule"
	RBACPolicy        = "rbac_policy"
	SubnetPool        = "subnetpool"
	AddressScope      = "address_scope"
	PortForwarding    = "port_forwarding"
	MeteringLabel     = "metering_label"
	MeteringLabelRule = "metering_label_rule"
)

// Resource is one kind of object that is counted.
type Resource struct {
	Name string
	Text string // what there are several of: "networks"
	// Default is how many a project may have where nobody says otherwise: Neutron's
	// number, but for subnet pools, of which it has any number.
	Default int
}

// Table is all that is counted, in the order of the names.
func Table() []Resource {
	return []Resource{
		{AddressScope, "address scopes", 100},
		{FloatingIP, "floating IPs", 50},
		{MeteringLabel, "metering labels", 100},
		{MeteringLabelRule, "rules of metering labels", 500},
		{Network, "networks", 100},
		{Port, "ports", 500},
		{PortForwarding, "port forwardings", 500},
		{RBACPolicy, "RBAC policies", 10},
		{Router, "routers", 10},
		{SecurityGroup, "security groups", 10},
		{SecurityGroupRule, "security group rules", 100},
		{Subnet, "subnets", 100},
		{SubnetPool, "subnet pools", 100},
	}
}

// Resources are the names of all that is counted, in order.
func Resources() []string {
	var names []string
	for _, r := range Table() {
		names = append(names, r.Name)
	}
	return names
}

// Standard are the limits by resource of a cloud whose operator sets none.
func Standard() map[string]int {
	limits := map[string]int{}
	for _, r := range Table() {
		limits[r.Name] = r.Default
	}
	return limits
}

// Limit is what keeps a kind of object from filling the cloud. It has no useful
// zero value, so that whoever adds a kind has to choose one.
type Limit struct{ resource, why string }

// Of is the limit of a resource that is counted.
func Of(resource string) Limit {
	find(resource)
	return Limit{resource: resource}
}

// None is the limit of a kind that needs none, and why that is so.
func None(why string) Limit { return Limit{why: why} }

// Resource is what is counted; counted is false where nothing is, and why then says
// why.
func (l Limit) Resource() (resource string, counted bool) { return l.resource, l.resource != "" }

// Why is the reason of a [None].
func (l Limit) Why() string { return l.why }

// counter is how one resource is counted.
type counter struct {
	index  string // as the store names it
	count  func(r store.Reader, project string) int
	atMost func(tx *store.Tx, project string, most int) bool
}

func counterOf[T any](ix *store.Index[T]) counter {
	return counter{
		index:  ix.Name(),
		count:  func(r store.Reader, project string) int { return store.Count(r, ix, project) },
		atMost: func(tx *store.Tx, project string, most int) bool { return store.AtMost(tx, ix, project, most) },
	}
}

// find is the counter of a resource. To name one that does not exist is a
// defect of the program.
func find(resource string) counter {
	switch resource {
	case AddressScope:
		return counterOf(store.AddressScopesByProject)
	case MeteringLabel:
		return counterOf(store.MeteringLabelsByProject)
	case MeteringLabelRule:
		return counterOf(store.MeteringLabelRulesByProject)
	case PortForwarding:
		return counterOf(store.PortForwardingsByProject)
	case FloatingIP:
		return counterOf(store.FloatingIPsByProject)
	case Network:
		return counterOf(store.NetworksByProject)
	case Port:
		return counterOf(store.PortsByProject)
	case RBACPolicy:
		return counterOf(store.RBACPoliciesByProject)
	case Router:
		return counterOf(store.RoutersByProject)
	case SecurityGroup:
		return counterOf(store.GroupsByProject)
	case SecurityGroupRule:
		return counterOf(store.RulesByProject)
	case Subnet:
		return counterOf(store.SubnetsByProject)
	case SubnetPool:
		return counterOf(store.SubnetPoolsByProject)
	}
	panic("quota: nothing counts " + resource)
}
