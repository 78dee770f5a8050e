package intent

import (
	"neutrino"
	"neutrino/intent/binding"
	"neutrino/intent/work"
	"neutrino/store"
)

// The scheduler sub-resources of agents (api.md section 2.29): an admin says by
// hand which host serves a network or runs a router.

// AddNetworkToDHCPAgent makes the agent's host serve the network, beside those
// that do already.
func AddNetworkToDHCPAgent(tx *Tx, agent, network neutrino.ID) error {
	a, err := work.Find(tx, work.Agents(), agent)
	if err != nil {
		return err
	}
	n, err := work.Find(tx, work.Networks(), network)
	if err != nil {
		return err
	}
	_, can := binding.Capable(tx, a.Host, n)
	if a.AgentType != neutrino.AgentDHCP || !ready(tx, a) || !can {
		return neutrino.Errorf(neutrino.NotFound, "InvalidDHCPAgent",
			"Agent %s is not a valid DHCP Agent or has been disabled", agent)
	}
	if _, has := store.Get(tx.Tx, store.DHCPBindings, store.DHCPBindingID(network, a.Host)); has {
		return neutrino.Errorf(neutrino.Conflict, "NetworkHostedByDHCPAgent",
			"The network %s has been already hosted by the DHCP Agent %s.", network, agent)
	}
	assignDHCP(tx, network, a)
	for _, s := range subnetsOf(tx, network) {
		if s.EnableDHCP {
			return serveDHCP(tx, n)
		}
	}
	return nil
}

// RemoveNetworkFromDHCPAgent ends the service of the agent's host for the
// network; the DHCP port is kept for the next host. A network that then has too few hosts is scheduled again with the
// next heartbeat of a DHCP agent.
func RemoveNetworkFromDHCPAgent(tx *Tx, agent, network neutrino.ID) error {
	a, err := work.Find(tx, work.Agents(), agent)
	if err != nil {
		return err
	}
	if _, err := work.Find(tx, work.Networks(), network); err != nil {
		return err
	}
	for slot, host := range slots(tx, network) {
		if host == a.Host && a.AgentType == neutrino.AgentDHCP {
			return leaveDHCP(tx, network, slot, host)
		}
	}
	return neutrino.Errorf(neutrino.Conflict, "NetworkNotHostedByDhcpAgent",
		"The network %s is not hosted by the DHCP agent %s.", network, agent)
}

// AddRouterToL3Agent makes the agent's host run a router that no host runs.
func AddRouterToL3Agent(tx *Tx, agent, router neutrino.ID) error {
	a, err := work.Find(tx, work.Agents(), agent)
	if err != nil {
		return err
	}
	r, err := work.Find(tx, work.Routers(), router)
	if err != nil {
		return err
	}
	if a.AgentType != neutrino.AgentL3 || !ready(tx, a) || !canRun(tx, a.Host, routerPorts(tx, router)) {
		return neutrino.Errorf(neutrino.NotFound, "InvalidL3Agent",
			"Agent %s is not a L3 Agent or has been disabled", agent)
	}
	b, bound := store.Get(tx.Tx, store.RouterBindings, router)
	switch {
	case !bound:
		return moveRouter(tx, r, a)
	case b.Host == a.Host:
		return nil
	}
	return neutrino.Errorf(neutrino.Conflict, "RouterHostedByL3Agent",
		"The router %s has been already hosted by the L3 Agent %s.", router, agentID(neutrino.AgentL3, b.Host))
}

// RemoveRouterFromL3Agent takes a router from the agent's host. It is scheduled
// again with the next heartbeat of an L3 agent.
func RemoveRouterFromL3Agent(tx *Tx, agent, router neutrino.ID) error {
	a, err := work.Find(tx, work.Agents(), agent)
	if err != nil {
		return err
	}
	r, err := work.Find(tx, work.Routers(), router)
	if err != nil {
		return err
	}
	b, bound := store.Get(tx.Tx, store.RouterBindings, router)
	if !bound || b.Host != a.Host || a.AgentType != neutrino.AgentL3 {
		return neutrino.Errorf(neutrino.Conflict, "RouterNotHostedByL3Agent",
			"The router %s is not hosted by the L3 agent %s.", router, agent)
	}
	return unscheduleRouter(tx, r)
}
