package intent

import (
	"neutrino"
	"neutrino/store"
)

// VisibleNetwork reports whether the caller may see the network: its own, a
// shared or an external one (api.md section 1.9). An admin sees everything.
func VisibleNetwork(c Caller, _ store.Reader, n *neutrino.Network) bool {
	return c.Admin || owns(c, n.ProjectID) || n.Shared || n.External
}

// VisibleSubnet reports whether the caller may see the subnet: its own, or one
// of a network that the caller sees.
func VisibleSubnet(c Caller, r store.Reader, s *neutrino.Subnet) bool {
	if c.Admin || owns(c, s.ProjectID) {
		return true
	}
	n, ok := store.Peek(r, store.Networks, s.NetworkID)
	return ok && VisibleNetwork(c, r, n)
}

// VisiblePort reports whether the caller may see the port: its own, or one on
// its own network. On a foreign shared network it sees its own ports only.
func VisiblePort(c Caller, r store.Reader, p *neutrino.Port) bool {
	if c.Admin || owns(c, p.ProjectID) {
		return true
	}
	n, ok := store.Peek(r, store.Networks, p.NetworkID)
	return ok && owns(c, n.ProjectID)
}

// VisibleSecurityGroup reports whether the caller may see the group.
func VisibleSecurityGroup(c Caller, _ store.Reader, g *neutrino.SecurityGroup) bool {
	return c.Admin || owns(c, g.ProjectID)
}

// VisibleSecurityGroupRule reports whether the caller may see the rule: its
// own, or one of its own group.
func VisibleSecurityGroupRule(c Caller, r store.Reader, rule *neutrino.SecurityGroupRule) bool {
	if c.Admin || owns(c, rule.ProjectID) {
		return true
	}
	g, ok := store.Peek(r, store.SecurityGroups, rule.SecurityGroupID)
	return ok && owns(c, g.ProjectID)
}

// VisibleAgent reports whether the caller may see the agent: an admin may.
func VisibleAgent(c Caller, _ store.Reader, _ *neutrino.Agent) bool { return c.Admin }

// VisibleRouter reports whether the caller may see the router.
func VisibleRouter(c Caller, _ store.Reader, router *neutrino.Router) bool {
	return c.Admin || owns(c, router.ProjectID)
}

// VisibleFloatingIP reports whether the caller may see the floating IP.
func VisibleFloatingIP(c Caller, _ store.Reader, f *neutrino.FloatingIP) bool {
	return c.Admin || owns(c, f.ProjectID)
}

// VisiblePortForwarding reports whether the caller may see the forwarding:
// whoever sees its floating IP does.
func VisiblePortForwarding(c Caller, r store.Reader, p *neutrino.PortForwarding) bool {
	f, ok := store.Peek(r, store.FloatingIPs, p.FloatingIPID)
	return ok && VisibleFloatingIP(c, r, f)
}

// owns reports whether the object's project is the caller's. The empty project
// owns what no tenant may see, so nobody is in it.
func owns(c Caller, project string) bool { return project != "" && c.ProjectID == project }

// denied is the refusal of a rule of Neutron's policy.
func denied(rules ...string) error {
	text := "rule:" + rules[0]
	if len(rules) > 1 {
		text = "(rule:" + rules[0] + " and rule:" + rules[1] + ")"
	}
	return neutrino.Errorf(neutrino.Forbidden, "PolicyNotAuthorized", "%s is disallowed by policy", text)
}

// projectFor is the project of a new object: the one that the request names, or
// the caller's. Only an admin may name another's (api.md section 1.5).
func (tx *Tx) projectFor(given string, set neutrino.Fields) (string, error) {
	if given == "" && !set.Has("project_id") && !set.Has("tenant_id") {
		return tx.Caller.ProjectID, nil
	}
	if !tx.Caller.Admin && given != tx.Caller.ProjectID {
		return "", neutrino.Errorf(neutrino.Invalid, "HTTPBadRequest",
			"Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges")
	}
	return given, nil
}

// kind is how one kind of object is found for a caller.
type kind[T any] struct {
	table   *store.Table[T]
	visible func(Caller, store.Reader, *T) bool
	missing func(neutrino.ID) error
	project func(*T) string
	name    string // in policy rules
}

// find gets an object that the caller sees; what it does not see does not exist.
func find[T any](tx *Tx, k kind[T], id neutrino.ID) (*T, error) {
	v, ok := store.Get(tx.Tx, k.table, id)
	if !ok || !k.visible(tx.Caller, tx.Tx, v) {
		return nil, k.missing(id)
	}
	return v, nil
}

// findOwn is find for a caller who wants to change the object: one that it sees
// but does not own is forbidden. verb is "update" or "delete".
func findOwn[T any](tx *Tx, k kind[T], id neutrino.ID, verb string) (*T, error) {
	v, err := find(tx, k, id)
	if err != nil {
		return nil, err
	}
	if !tx.Caller.Admin && !owns(tx.Caller, k.project(v)) {
		return nil, denied(verb + "_" + k.name)
	}
	return v, nil
}

func missing(typ, format string) func(neutrino.ID) error {
	return func(id neutrino.ID) error { return neutrino.Errorf(neutrino.NotFound, typ, format, id) }
}

// The kinds. They are functions because they never change.
func networks() kind[neutrino.Network] {
	return kind[neutrino.Network]{store.Networks, VisibleNetwork,
		missing("NetworkNotFound", "Network %s could not be found."),
		func(n *neutrino.Network) string { return n.ProjectID }, "network"}
}

func subnets() kind[neutrino.Subnet] {
	return kind[neutrino.Subnet]{store.Subnets, VisibleSubnet,
		missing("SubnetNotFound", "Subnet %s could not be found."),
		func(s *neutrino.Subnet) string { return s.ProjectID }, "subnet"}
}

func ports() kind[neutrino.Port] {
	return kind[neutrino.Port]{store.Ports, VisiblePort,
		missing("PortNotFound", "Port %s could not be found."),
		func(p *neutrino.Port) string { return p.ProjectID }, "port"}
}

func groups() kind[neutrino.SecurityGroup] {
	return kind[neutrino.SecurityGroup]{store.SecurityGroups, VisibleSecurityGroup,
		missing("SecurityGroupNotFound", "Security group %s does not exist"),
		func(g *neutrino.SecurityGroup) string { return g.ProjectID }, "security_group"}
}

func rules() kind[neutrino.SecurityGroupRule] {
	return kind[neutrino.SecurityGroupRule]{store.SecurityGroupRules, VisibleSecurityGroupRule,
		missing("SecurityGroupRuleNotFound", "Security group rule %s does not exist"),
		func(r *neutrino.SecurityGroupRule) string { return r.ProjectID }, "security_group_rule"}
}

func agents() kind[neutrino.Agent] {
	return kind[neutrino.Agent]{store.Agents, VisibleAgent,
		missing("AgentNotFound", "Agent %s could not be found"),
		func(*neutrino.Agent) string { return "" }, "agent"}
}

func routers() kind[neutrino.Router] {
	return kind[neutrino.Router]{store.Routers, VisibleRouter,
		missing("RouterNotFound", "Router %s could not be found"),
		func(r *neutrino.Router) string { return r.ProjectID }, "router"}
}

func floatingIPs() kind[neutrino.FloatingIP] {
	return kind[neutrino.FloatingIP]{store.FloatingIPs, VisibleFloatingIP,
		missing("FloatingIPNotFound", "Floating IP %s could not be found"),
		func(f *neutrino.FloatingIP) string { return f.ProjectID }, "floatingip"}
}

func portForwardings() kind[neutrino.PortForwarding] {
	return kind[neutrino.PortForwarding]{store.PortForwardings, VisiblePortForwarding,
		missing("PortForwardingNotFound", "Port Forwarding %s could not be found."),
		func(p *neutrino.PortForwarding) string { return p.ProjectID }, "floatingip_port_forwarding"}
}
