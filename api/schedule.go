package api

import (
	"iter"
	"net/http"
	"slices"

	"neutrino"
	"neutrino/api/bounds"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/store"
)

// schedule is one relation between agents and what they serve
// (api.md section 2.29): /v2.0/agents/<agent>/<path>[/<id>].
type schedule struct {
	one, many string // in policy rules: "dhcp-network", "dhcp-networks"
	key       string // of the id in a body
	agentType string // others serve none
	list      func(c *call, host string) (*reply, error)
	add       func(tx *intent.Tx, agent, object neutrino.ID) error
	remove    func(tx *intent.Tx, agent, object neutrino.ID) error
}

// member answers for the relation below an agent.
func (s schedule) member(agents *kind[neutrino.Agent]) member {
	answer := func(c *call, id neutrino.ID, rest []string) (*reply, error) {
		switch {
		case len(rest) > 1:
			return nil, noResource()
		case len(rest) == 1 && c.method == http.MethodDelete:
			return s.unassign(c, id, neutrino.ID(rest[0]))
		case len(rest) == 1:
			return nil, notAllowed(c.method, http.MethodDelete)
		case c.method == http.MethodPost:
			return s.assign(c, id)
		case c.method != http.MethodGet:
			return nil, notAllowed(c.method, http.MethodGet, http.MethodPost)
		}
		if err := c.allowed("get_" + s.many); err != nil {
			return nil, err
		}
		agent, err := agents.find(c.view(), id)
		if err != nil {
			return nil, err
		}
		if agent.AgentType != s.agentType {
			return s.list(c, "")
		}
		return s.list(c, agent.Host)
	}
	return member{answer, []route{
		{"GET", "", "get_" + s.many}, {"POST", "", "create_" + s.one}, {"DELETE", "/{" + s.key + "}", "delete_" + s.one},
	}}
}

func (s schedule) assign(c *call, agent neutrino.ID) (*reply, error) {
	body, err := c.parse(bounds.Shape{})
	if err != nil {
		return nil, err
	}
	ids, err := namedIDs(body, s.key)
	switch {
	case err != nil:
		return nil, err
	case ids[0] == "":
		return nil, wire.BadRequest("Failed to parse request. Required attribute '%s' not specified", s.key)
	}
	if err := c.allowed("create_" + s.one); err != nil {
		return nil, err
	}
	err = c.do(func(tx *intent.Tx) error { return s.add(tx, agent, ids[0]) })
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusCreated, body: []byte("null")}, nil
}

func (s schedule) unassign(c *call, agent, object neutrino.ID) (*reply, error) {
	if len(c.body) > 0 {
		return nil, wire.BadRequest("Request body is not supported in DELETE.")
	}
	if err := c.allowed("delete_" + s.one); err != nil {
		return nil, err
	}
	err := c.do(func(tx *intent.Tx) error { return s.remove(tx, agent, object) })
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusNoContent}, nil
}

// schedules adds the relations to the kinds on both of their sides.
func schedules(n *kind[neutrino.Network], r *kind[neutrino.Router], a *kind[neutrino.Agent]) {
	dhcp := schedule{
		one: "dhcp-network", many: "dhcp-networks", key: "network_id", agentType: neutrino.AgentDHCP,
		add: intent.AddNetworkToDHCPAgent, remove: intent.RemoveNetworkFromDHCPAgent,
		list: func(c *call, host string) (*reply, error) { return within(*n, networksOn(host)).list(c) },
	}
	l3 := schedule{
		one: "l3-router", many: "l3-routers", key: "router_id", agentType: neutrino.AgentL3,
		add: intent.AddRouterToL3Agent, remove: intent.RemoveRouterFromL3Agent,
		list: func(c *call, host string) (*reply, error) { return within(*r, routersOn(host)).list(c) },
	}
	a.members = map[string]member{dhcp.many: dhcp.member(a), l3.many: l3.member(a)}
	n.members = map[string]member{"dhcp-agents": agentsFor(n, a, "get_dhcp-agents", dhcpAgentsOf)}
	// A router that runs on one host has no state of high availability.
	states := *a
	states.columns = append(slices.Clone(a.columns), column[neutrino.Agent]{
		name: "ha_state", key: []byte(`"ha_state":`),
		write: func(b []byte, _ view, _ *neutrino.Agent) []byte { return append(b, "null"...) },
	})
	r.members["l3-agents"] = agentsFor(r, &states, "get_l3-agents", l3AgentsOf)
}

// within is a kind that has only some of its rows.
func within[T any](k kind[T], scope func(view) iter.Seq[*T]) *kind[T] {
	k.scope = scope
	return &k
}

// networksOn are the networks that a host serves with DHCP.
func networksOn(host string) func(view) iter.Seq[*neutrino.Network] {
	return func(v view) iter.Seq[*neutrino.Network] {
		return func(visit func(*neutrino.Network) bool) {
			for binding := range store.By(v.Reader, store.DHCPBindingsByHost, host) {
				if n, ok := store.Peek(v.Reader, store.Networks, binding.NetworkID); ok && !visit(n) {
					return
				}
			}
		}
	}
}

// routersOn are the routers that run on a host.
func routersOn(host string) func(view) iter.Seq[*neutrino.Router] {
	return func(v view) iter.Seq[*neutrino.Router] {
		return func(visit func(*neutrino.Router) bool) {
			for binding := range store.By(v.Reader, store.RouterBindingsByHost, host) {
				if r, ok := store.Peek(v.Reader, store.Routers, binding.RouterID); ok && !visit(r) {
					return
				}
			}
		}
	}
}

// agentsFor answers GET of the agents that serve an object.
func agentsFor[T any](objects *kind[T], agents *kind[neutrino.Agent], rule string,
	of func(view, neutrino.ID) iter.Seq[*neutrino.Agent]) member {
	answer := func(c *call, id neutrino.ID, rest []string) (*reply, error) {
		if len(rest) > 0 {
			return nil, noResource()
		}
		if c.method != http.MethodGet {
			return nil, notAllowed(c.method, http.MethodGet)
		}
		if _, err := objects.find(c.view(), id); err != nil {
			return nil, err
		}
		if err := c.allowed(rule); err != nil {
			return nil, err
		}
		return within(*agents, func(v view) iter.Seq[*neutrino.Agent] { return of(v, id) }).list(c)
	}
	return member{answer, []route{{"GET", "", rule}}}
}

func dhcpAgentsOf(v view, network neutrino.ID) iter.Seq[*neutrino.Agent] {
	return func(visit func(*neutrino.Agent) bool) {
		for binding := range store.By(v.Reader, store.DHCPBindingsByNetwork, string(network)) {
			if !agentsOn(v, binding.Host, neutrino.AgentDHCP, visit) {
				return
			}
		}
	}
}

func l3AgentsOf(v view, router neutrino.ID) iter.Seq[*neutrino.Agent] {
	return func(visit func(*neutrino.Agent) bool) {
		if binding, ok := store.Peek(v.Reader, store.RouterBindings, router); ok {
			agentsOn(v, binding.Host, neutrino.AgentL3, visit)
		}
	}
}

// agentsOn visits a host's agents of a type; false means that visit wants no
// more.
func agentsOn(v view, host, agentType string, visit func(*neutrino.Agent) bool) bool {
	for a := range store.By(v.Reader, store.AgentsByHost, host) {
		if a.AgentType == agentType && !visit(a) {
			return false
		}
	}
	return true
}
