package work

import (
	"neutrino"
	"neutrino/store"
)

// Kind is how one kind of object is found for a caller.
type Kind[T any] struct {
	Table   *store.Table[T]
	Visible func(Caller, store.Reader, *T) bool
	// Missing is the 404 of an object that is not there, or not visible.
	Missing func(neutrino.ID) error
}

// Find gets an object that the caller sees; what it does not see does not exist.
func Find[T any](tx *Tx, k Kind[T], id neutrino.ID) (*T, error) {
	v, ok := store.Get(tx.Tx, k.Table, id)
	if !ok || !k.Visible(tx.Caller, tx.Tx, v) {
		return nil, k.Missing(id)
	}
	return v, nil
}

// Missing makes the 404 of a kind of object; format has one %s for the id.
func Missing(typ, format string) func(neutrino.ID) error {
	return func(id neutrino.ID) error { return neutrino.Errorf(neutrino.NotFound, typ, format, id) }
}

// The kinds are functions because they never change.

// Networks is how they are found.
func Networks() Kind[neutrino.Network] {
	return Kind[neutrino.Network]{store.Networks, VisibleNetwork,
		Missing("NetworkNotFound", "Network %s could not be found.")}
}

// Subnets is how they are found.
func Subnets() Kind[neutrino.Subnet] {
	return Kind[neutrino.Subnet]{store.Subnets, VisibleSubnet,
		Missing("SubnetNotFound", "Subnet %s could not be found.")}
}

// Ports is how they are found.
func Ports() Kind[neutrino.Port] {
	return Kind[neutrino.Port]{store.Ports, VisiblePort,
		Missing("PortNotFound", "Port %s could not be found.")}
}

// Groups is how they are found.
func Groups() Kind[neutrino.SecurityGroup] {
	return Kind[neutrino.SecurityGroup]{store.SecurityGroups, VisibleSecurityGroup,
		Missing("SecurityGroupNotFound", "Security group %s does not exist")}
}

// Rules is how they are found.
func Rules() Kind[neutrino.SecurityGroupRule] {
	return Kind[neutrino.SecurityGroupRule]{store.SecurityGroupRules, VisibleSecurityGroupRule,
		Missing("SecurityGroupRuleNotFound", "Security group rule %s does not exist")}
}

// Agents is how they are found.
func Agents() Kind[neutrino.Agent] {
	return Kind[neutrino.Agent]{store.Agents, VisibleAgent,
		Missing("AgentNotFound", "Agent %s could not be found")}
}

// Routers is how they are found.
func Routers() Kind[neutrino.Router] {
	return Kind[neutrino.Router]{store.Routers, VisibleRouter,
		Missing("RouterNotFound", "Router %s could not be found")}
}

// FloatingIPs is how they are found.
func FloatingIPs() Kind[neutrino.FloatingIP] {
	return Kind[neutrino.FloatingIP]{store.FloatingIPs, VisibleFloatingIP,
		Missing("FloatingIPNotFound", "Floating IP %s could not be found")}
}

// PortForwardings is how they are found.
func PortForwardings() Kind[neutrino.PortForwarding] {
	return Kind[neutrino.PortForwarding]{store.PortForwardings, VisiblePortForwarding,
		Missing("PortForwardingNotFound", "Port Forwarding %s could not be found.")}
}
