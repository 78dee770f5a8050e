package work

import (
	"neutrino"
	"neutrino/store"
)

// VisibleNetwork reports whether the caller may see the network: its own, a
// shared or an external one (api.md section 1.9). An admin sees everything.
func VisibleNetwork(c Caller, r store.Reader, n *neutrino.Network) bool {
	return c.All() || Owns(c, n.ProjectID) ||
		Granted(r, neutrino.AccessAsShared, n.ID, c.ProjectID) || Granted(r, neutrino.AccessAsExternal, n.ID, c.ProjectID)
}

// All reports whether the caller sees everything, whose it may be.
func (c Caller) All() bool { return c.Admin || c.Service }

// Granted reports whether an RBAC policy gives the project, or every project,
// the right on the object.
func Granted(r store.Reader, a neutrino.RBACAction, object neutrino.ID, project string) bool {
	return granted(r, a, object, func(target string) bool {
		return target == neutrino.EveryProject || target == project && project != ""
	})
}

// VisibleSubnet reports whether the caller may see the subnet: its own, or one
// of a network that is its own or shared with it. Those of a network that is
// external alone stay hidden, as they do without the extension
// subnet-external-network: tempest checks that.
func VisibleSubnet(c Caller, r store.Reader, s *neutrino.Subnet) bool {
	if c.All() || Owns(c, s.ProjectID) {
		return true
	}
	n, ok := store.Peek(r, store.Networks, s.NetworkID)
	return ok && (Owns(c, n.ProjectID) || SharesNetwork(c, r, n))
}

// VisiblePort reports whether the caller may see the port: its own, or one on
// its own network. On a foreign shared network it sees its own ports only. The
// ports that no project owns, those of gateways and floating IPs, are kept from
// everybody but admins, also from the external network's owner (api.md section
// 7, T16).
func VisiblePort(c Caller, r store.Reader, p *neutrino.Port) bool {
	if c.All() || Owns(c, p.ProjectID) {
		return true
	}
	n, ok := store.Peek(r, store.Networks, p.NetworkID)
	return ok && p.ProjectID != "" && Owns(c, n.ProjectID)
}

// VisibleSecurityGroup reports whether the caller may see the group.
func VisibleSecurityGroup(c Caller, r store.Reader, g *neutrino.SecurityGroup) bool {
	return c.All() || Owns(c, g.ProjectID) || Granted(r, neutrino.AccessAsShared, g.ID, c.ProjectID)
}

// VisibleSecurityGroupRule reports whether the caller may see the rule: its
// own, or one of its own group.
func VisibleSecurityGroupRule(c Caller, r store.Reader, rule *neutrino.SecurityGroupRule) bool {
	if c.All() || Owns(c, rule.ProjectID) {
		return true
	}
	g, ok := store.Peek(r, store.SecurityGroups, rule.SecurityGroupID)
	return ok && VisibleSecurityGroup(c, r, g)
}

// VisibleAgent reports whether the caller may see the agent: an admin may.
func VisibleAgent(c Caller, _ store.Reader, _ *neutrino.Agent) bool { return c.All() }

// VisibleRouter reports whether the caller may see the router.
func VisibleRouter(c Caller, _ store.Reader, router *neutrino.Router) bool {
	return c.All() || Owns(c, router.ProjectID)
}

// VisibleFloatingIP reports whether the caller may see the floating IP.
func VisibleFloatingIP(c Caller, _ store.Reader, f *neutrino.FloatingIP) bool {
	return c.All() || Owns(c, f.ProjectID)
}

// VisiblePortForwarding reports whether the caller may see the forwarding:
// whoever sees its floating IP does.
func VisiblePortForwarding(c Caller, r store.Reader, p *neutrino.PortForwarding) bool {
	f, ok := store.Peek(r, store.FloatingIPs, p.FloatingIPID)
	return ok && VisibleFloatingIP(c, r, f)
}

// Owns reports whether the object's project is the caller's. The empty project
// owns what no tenant may see, so nobody is in it.
func Owns(c Caller, project string) bool { return project != "" && c.ProjectID == project }

// ProjectFor is the project of a new object: the one that the request names, or
// the caller's. Only an admin may name another's (api.md section 1.5).
func (tx *Tx) ProjectFor(given string, set neutrino.Fields) (string, error) {
	if given == "" && !set.Has("project_id") && !set.Has("tenant_id") {
		return tx.Caller.ProjectID, nil
	}
	return given, tx.Caller.MayName(given)
}

// MayName refuses another project than the caller's as the owner of a new
// object, but for admins and services.
func (c Caller) MayName(project string) error {
	if c.All() || project == c.ProjectID {
		return nil
	}
	return neutrino.Errorf(neutrino.Invalid, "HTTPBadRequest",
		"Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges")
}

// SharesNetwork reports whether the network is shared with the caller, so that
// it may have ports on it; an external network need not be.
func SharesNetwork(c Caller, r store.Reader, n *neutrino.Network) bool {
	return Shares(c, r, n.ID)
}
