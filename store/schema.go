package store

import (
	"encoding/binary"
	"strconv"
	"time"

	"neutrino"
)

// The tables and their indexes, each said once. They are values that never
// change after the package is initialised; the rows are in a DB.
var (
	schema = &tableSet{}

	// Networks by ID.
	Networks          = newTable(schema, "networks", func(n *neutrino.Network) neutrino.ID { return n.ID })
	NetworksByProject = newIndex(Networks, "project", func(n *neutrino.Network) string { return n.ProjectID })
	NetworksByName    = newIndex(Networks, "name", func(n *neutrino.Network) string { return n.Name })
	// NetworksBySegment has keys made by [Segment].
	NetworksBySegment = newIndex(Networks, "segment", func(n *neutrino.Network) string {
		return Segment(n.NetworkType, n.SegmentationID)
	})

	// Subnets by ID.
	Subnets          = newTable(schema, "subnets", func(s *neutrino.Subnet) neutrino.ID { return s.ID })
	SubnetsByNetwork = newIndex(Subnets, "network", func(s *neutrino.Subnet) string { return string(s.NetworkID) })
	SubnetsByProject = newIndex(Subnets, "project", func(s *neutrino.Subnet) string { return s.ProjectID })
	SubnetsByName    = newIndex(Subnets, "name", func(s *neutrino.Subnet) string { return s.Name })
	// SubnetsByPool has subnets of a subnet pool only.
	SubnetsByPool = newMultiIndex(Subnets, "pool", func(s *neutrino.Subnet, to []string) []string {
		return appendSet(to, string(s.SubnetPoolID))
	})

	// Ports by ID.
	Ports          = newPackedTable(schema, "ports", func(p *neutrino.Port) neutrino.ID { return p.ID })
	PortsByNetwork = newIndex(Ports, "network", func(p *neutrino.Port) string { return string(p.NetworkID) })
	PortsByProject = newIndex(Ports, "project", func(p *neutrino.Port) string { return p.ProjectID })
	PortsByName    = newIndex(Ports, "name", func(p *neutrino.Port) string { return p.Name })
	// PortsByCreated has keys in the order of the times. New ports come at its end,
	// so that it costs next to nothing.
	PortsByCreated = newIndex(Ports, "created", func(p *neutrino.Port) string { return timeKey(p.CreatedAt) })
	// PortsByDevice has ports with a device_id only.
	PortsByDevice = newMultiIndex(Ports, "device", func(p *neutrino.Port, to []string) []string {
		return appendSet(to, p.DeviceID)
	})
	// PortsByHost has bound ports only.
	PortsByHost = newMultiIndex(Ports, "host", func(p *neutrino.Port, to []string) []string {
		return appendSet(to, p.HostID)
	})
	// PortsByMAC has keys as MAC.String writes them.
	PortsByMAC = newIndex(Ports, "mac", func(p *neutrino.Port) string { return p.MAC.String() })
	// PortsByIP has a port under each of its fixed addresses, as Addr.String
	// writes them; the same address can stand in many subnets.
	PortsByIP = newMultiIndex(Ports, "ip", func(p *neutrino.Port, to []string) []string {
		for _, f := range p.FixedIPs {
			to = append(to, f.IPAddress.String())
		}
		return to
	})
	// PortsBySubnet has a port under each subnet it has an address of.
	PortsBySubnet = newMultiIndex(Ports, "subnet", func(p *neutrino.Port, to []string) []string {
		for _, f := range p.FixedIPs {
			to = append(to, string(f.SubnetID))
		}
		return to
	})
	// PortsByGroup has a port under each of its security groups.
	PortsByGroup = newMultiIndex(Ports, "group", func(p *neutrino.Port, to []string) []string {
		for _, g := range p.SecurityGroups {
			to = append(to, string(g))
		}
		return to
	})

	// PortsByGroupHost has a bound port under each of its security groups with
	// each of its hosts, as "<group>/<host>": see [Keys].
	PortsByGroupHost = newMultiIndex(Ports, "group-host", func(p *neutrino.Port, to []string) []string {
		for _, g := range p.SecurityGroups {
			if p.HostID != "" {
				to = append(to, GroupHost(g)+p.HostID)
			}
			for _, b := range p.Standby {
				to = append(to, GroupHost(g)+b.Host)
			}
		}
		return to
	})
	// PortsByStandbyHost has a port under each host of its inactive bindings.
	PortsByStandbyHost = newMultiIndex(Ports, "standby-host", func(p *neutrino.Port, to []string) []string {
		for _, b := range p.Standby {
			to = append(to, b.Host)
		}
		return to
	})

	// SecurityGroups by ID.
	SecurityGroups  = newTable(schema, "security-groups", func(g *neutrino.SecurityGroup) neutrino.ID { return g.ID })
	GroupsByProject = newIndex(SecurityGroups, "project", func(g *neutrino.SecurityGroup) string { return g.ProjectID })
	GroupsByName    = newIndex(SecurityGroups, "name", func(g *neutrino.SecurityGroup) string { return g.Name })

	// SecurityGroupRules by ID.
	SecurityGroupRules = newTable(schema, "security-group-rules", func(r *neutrino.SecurityGroupRule) neutrino.ID { return r.ID })
	RulesByGroup       = newIndex(SecurityGroupRules, "group", func(r *neutrino.SecurityGroupRule) string {
		return string(r.SecurityGroupID)
	})
	RulesByProject = newIndex(SecurityGroupRules, "project", func(r *neutrino.SecurityGroupRule) string { return r.ProjectID })
	// RulesByRemoteGroup has rules with a remote group only.
	RulesByRemoteGroup = newMultiIndex(SecurityGroupRules, "remote-group", func(r *neutrino.SecurityGroupRule, to []string) []string {
		return appendSet(to, string(r.RemoteGroupID))
	})

	// Agents by ID.
	Agents       = newTable(schema, "agents", func(a *neutrino.Agent) neutrino.ID { return a.ID })
	AgentsByHost = newIndex(Agents, "host", func(a *neutrino.Agent) string { return a.Host })

	// Hosts by name.
	Hosts = newTable(schema, "hosts", func(h *neutrino.Host) neutrino.ID { return neutrino.ID(h.Name) })

	// HostNetworks by [HostNetworkID].
	HostNetworks = newTable(schema, "host-networks", func(h *neutrino.HostNetwork) neutrino.ID {
		return HostNetworkID(h.Host, h.NetworkID)
	})
	HostNetworksByHost    = newIndex(HostNetworks, "host", func(h *neutrino.HostNetwork) string { return h.Host })
	HostNetworksByNetwork = newIndex(HostNetworks, "network", func(h *neutrino.HostNetwork) string {
		return string(h.NetworkID)
	})

	// DHCPBindings by [DHCPBindingID].
	DHCPBindings = newTable(schema, "dhcp-bindings", func(b *neutrino.DHCPBinding) neutrino.ID {
		return DHCPBindingID(b.NetworkID, b.Host)
	})
	DHCPBindingsByNetwork = newIndex(DHCPBindings, "network", func(b *neutrino.DHCPBinding) string {
		return string(b.NetworkID)
	})
	DHCPBindingsByHost = newIndex(DHCPBindings, "host", func(b *neutrino.DHCPBinding) string { return b.Host })

	// Routers by ID.
	Routers          = newTable(schema, "routers", func(r *neutrino.Router) neutrino.ID { return r.ID })
	RoutersByProject = newIndex(Routers, "project", func(r *neutrino.Router) string { return r.ProjectID })
	RoutersByName    = newIndex(Routers, "name", func(r *neutrino.Router) string { return r.Name })
	// RoutersByGatewayNetwork has routers with a gateway only.
	RoutersByGatewayNetwork = newMultiIndex(Routers, "gateway-network", func(r *neutrino.Router, to []string) []string {
		if r.Gateway == nil {
			return to
		}
		return append(to, string(r.Gateway.NetworkID))
	})

	// RouterBindings by the router's ID.
	RouterBindings       = newTable(schema, "router-bindings", func(b *neutrino.RouterBinding) neutrino.ID { return b.RouterID })
	RouterBindingsByHost = newIndex(RouterBindings, "host", func(b *neutrino.RouterBinding) string { return b.Host })

	// FloatingIPs by ID. ByRouter and ByPort have associated ones only.
	FloatingIPs          = newTable(schema, "floatingips", func(f *neutrino.FloatingIP) neutrino.ID { return f.ID })
	FloatingIPsByProject = newIndex(FloatingIPs, "project", func(f *neutrino.FloatingIP) string { return f.ProjectID })
	FloatingIPsByNetwork = newIndex(FloatingIPs, "network", func(f *neutrino.FloatingIP) string { return string(f.FloatingNetworkID) })
	FloatingIPsByAddress = newIndex(FloatingIPs, "address", func(f *neutrino.FloatingIP) string { return f.FloatingIPAddress.String() })
	FloatingIPsByRouter  = newMultiIndex(FloatingIPs, "router", func(f *neutrino.FloatingIP, to []string) []string {
		return appendSet(to, string(f.RouterID))
	})
	FloatingIPsByPort = newMultiIndex(FloatingIPs, "port", func(f *neutrino.FloatingIP, to []string) []string {
		return appendSet(to, string(f.PortID))
	})

	// PortForwardings by ID.
	PortForwardings             = newTable(schema, "port-forwardings", func(f *neutrino.PortForwarding) neutrino.ID { return f.ID })
	PortForwardingsByFloatingIP = newIndex(PortForwardings, "floatingip", func(f *neutrino.PortForwarding) string { return string(f.FloatingIPID) })
	PortForwardingsByProject    = newIndex(PortForwardings, "project", func(f *neutrino.PortForwarding) string { return f.ProjectID })
	PortForwardingsByPort       = newIndex(PortForwardings, "port", func(f *neutrino.PortForwarding) string { return string(f.InternalPortID) })

	// RBACPolicies by ID.
	RBACPolicies          = newTable(schema, "rbac-policies", func(p *neutrino.RBACPolicy) neutrino.ID { return p.ID })
	RBACPoliciesByObject  = newIndex(RBACPolicies, "object", func(p *neutrino.RBACPolicy) string { return string(p.ObjectID) })
	RBACPoliciesByTarget  = newIndex(RBACPolicies, "target", func(p *neutrino.RBACPolicy) string { return p.TargetProject })
	RBACPoliciesByProject = newIndex(RBACPolicies, "project", func(p *neutrino.RBACPolicy) string { return p.ProjectID })

	// SubnetPools by ID.
	SubnetPools          = newTable(schema, "subnetpools", func(p *neutrino.SubnetPool) neutrino.ID { return p.ID })
	SubnetPoolsByProject = newIndex(SubnetPools, "project", func(p *neutrino.SubnetPool) string { return p.ProjectID })
	SubnetPoolsByName    = newIndex(SubnetPools, "name", func(p *neutrino.SubnetPool) string { return p.Name })
	// SubnetPoolsByScope has pools in an address scope only.
	SubnetPoolsByScope = newMultiIndex(SubnetPools, "scope", func(p *neutrino.SubnetPool, to []string) []string {
		return appendSet(to, string(p.AddressScopeID))
	})

	// AddressScopes by ID.
	AddressScopes          = newTable(schema, "address-scopes", func(a *neutrino.AddressScope) neutrino.ID { return a.ID })
	AddressScopesByProject = newIndex(AddressScopes, "project", func(a *neutrino.AddressScope) string { return a.ProjectID })
	AddressScopesByName    = newIndex(AddressScopes, "name", func(a *neutrino.AddressScope) string { return a.Name })

	// HostScopes by [HostScopeID].
	HostScopes = newTable(schema, "host-scopes", func(h *neutrino.HostScope) neutrino.ID {
		return HostScopeID(h.Host, h.ScopeID)
	})
	HostScopesByHost  = newIndex(HostScopes, "host", func(h *neutrino.HostScope) string { return h.Host })
	HostScopesByScope = newIndex(HostScopes, "scope", func(h *neutrino.HostScope) string { return string(h.ScopeID) })

	// MeteringLabels by ID.
	MeteringLabels          = newTable(schema, "metering-labels", func(l *neutrino.MeteringLabel) neutrino.ID { return l.ID })
	MeteringLabelsByProject = newIndex(MeteringLabels, "project", func(l *neutrino.MeteringLabel) string { return l.ProjectID })
	MeteringLabelsByName    = newIndex(MeteringLabels, "name", func(l *neutrino.MeteringLabel) string { return l.Name })
	// MeteringLabelsShared has the shared labels under [Shared].
	MeteringLabelsShared = newMultiIndex(MeteringLabels, "shared", func(l *neutrino.MeteringLabel, to []string) []string {
		if l.Shared {
			return append(to, Shared)
		}
		return to
	})

	// MeteringLabelRules by ID.
	MeteringLabelRules          = newTable(schema, "metering-label-rules", func(r *neutrino.MeteringLabelRule) neutrino.ID { return r.ID })
	MeteringLabelRulesByProject = newIndex(MeteringLabelRules, "project", func(r *neutrino.MeteringLabelRule) string { return r.ProjectID })
	MeteringLabelRulesByLabel   = newIndex(MeteringLabelRules, "label", func(r *neutrino.MeteringLabelRule) string {
		return string(r.MeteringLabelID)
	})

	// ServerEvents are what Nova has not acknowledged yet.
	ServerEvents       = newTable(schema, "server-events", func(e *neutrino.ServerEvent) neutrino.ID { return e.ID() })
	ServerEventsByPort = newIndex(ServerEvents, "port", func(e *neutrino.ServerEvent) string { return string(e.PortID) })

	// Quotas by the project's ID: those that differ from the defaults.
	Quotas = newTable(schema, "quotas", func(q *neutrino.Quota) neutrino.ID { return neutrino.ID(q.ProjectID) })
)

// Shared is the one key of indexes that hold shared objects only.
const Shared = "shared"

// Segment is the key of a segment in NetworksBySegment: "gre/17".
func Segment(typ neutrino.NetworkType, id int64) string {
	return string(typ) + "/" + strconv.FormatInt(id, 10)
}

// HostNetworkID is the ID of a row of HostNetworks: "host/network".
func HostNetworkID(host string, network neutrino.ID) neutrino.ID {
	return neutrino.ID(host) + "/" + network
}

// HostScopeID is the ID of a row of HostScopes: "host/scope".
func HostScopeID(host string, scope neutrino.ID) neutrino.ID {
	return neutrino.ID(host) + "/" + scope
}

// DHCPBindingID is the ID of a row of DHCPBindings: "network/host".
func DHCPBindingID(network neutrino.ID, host string) neutrino.ID {
	return network + "/" + neutrino.ID(host)
}

// timeKey is a text in the order of the times: seconds and nanoseconds.
func timeKey(t time.Time) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 12), uint64(t.Unix())^1<<63)
	return string(binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond())))
}

func appendSet(to []string, key string) []string {
	if key == "" {
		return to
	}
	return append(to, key)
}

// GroupHost is what the keys of [PortsByGroupHost] for a group begin with; the
// host's name follows.
func GroupHost(group neutrino.ID) string { return string(group) + "/" }
