package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/binding"
	"neutrino/intent/liveness"
	"neutrino/store"
)

// readyAgents are the agents of the type that work may be given to now. Those of
// hosts that were not heard since the server's start are among them.
func readyAgents(tx *Tx, agentType string) []*neutrino.Agent {
	var list []*neutrino.Agent
	for a := range store.All(tx.Tx, store.Agents) {
		if a.AgentType == agentType && ready(tx, a) {
			list = append(list, a)
		}
	}
	return list
}

func ready(tx *Tx, a *neutrino.Agent) bool {
	return a.AdminStateUp && tx.Life(a.Host) != liveness.Dead
}

// choice is the best of the agents so far: one that was heard before one that was
// not since the server's start, then the one with the least to do.
type choice struct {
	agent   *neutrino.Agent
	unheard bool
	load    int
}

func (c *choice) offer(tx *Tx, a *neutrino.Agent, load int) {
	o := choice{a, tx.Life(a.Host) != liveness.Alive, load}
	switch {
	case c.agent == nil:
		*c = o
	case o.unheard != c.unheard:
		if c.unheard {
			*c = o
		}
	case o.load < c.load || o.load == c.load && a.Host < c.agent.Host:
		*c = o
	}
}

// placeRouter gives a router with ports a host, and binds those of its ports
// there that are not yet. A router stays on the host that it has, unless that
// cannot have one of its networks and another can.
func placeRouter(tx *Tx, r *neutrino.Router) error {
	list := routerPorts(tx, r.ID)
	if len(list) == 0 {
		return nil
	}
	b, bound := store.Get(tx.Tx, store.RouterBindings, r.ID)
	if bound && reaches(tx, b.Host, list) {
		return bindRouter(tx, list, b.Host)
	}
	if a := leastRouters(tx, r, list); a != nil {
		return moveRouter(tx, r, a)
	}
	if bound {
		return bindRouter(tx, list, b.Host) // what fails, fails alone
	}
	return nil
}

// reaches reports whether the host, alive or not, is made for all networks of
// the ports.
func reaches(tx *Tx, host string, list []*neutrino.Port) bool {
	h, ok := store.Peek(tx.Tx, store.Hosts, neutrino.ID(host))
	return ok && !slices.ContainsFunc(list, func(p *neutrino.Port) bool {
		n, ok := store.Peek(tx.Tx, store.Networks, p.NetworkID)
		return !ok || !binding.Carries(h, n)
	})
}

// leastRouters is the ready L3 agent with the fewest routers whose host can have
// the router's ports and has not got the router; nil if none.
func leastRouters(tx *Tx, r *neutrino.Router, list []*neutrino.Port) *neutrino.Agent {
	var best choice
	b, bound := store.Peek(tx.Tx, store.RouterBindings, r.ID)
	for _, a := range readyAgents(tx, neutrino.AgentL3) {
		if len(r.AvailabilityZoneHints) > 0 && !slices.Contains(r.AvailabilityZoneHints, a.AvailabilityZone) {
			continue
		}
		if bound && b.Host == a.Host || !canRun(tx, a.Host, list) {
			continue
		}
		best.offer(tx, a, store.Count(tx.Tx, store.RouterBindingsByHost, a.Host))
	}
	return best.agent
}

// canRun reports whether the host can have all the ports now.
func canRun(tx *Tx, host string, list []*neutrino.Port) bool {
	return !slices.ContainsFunc(list, func(p *neutrino.Port) bool {
		n, ok := store.Peek(tx.Tx, store.Networks, p.NetworkID)
		if ok {
			_, ok = binding.Capable(tx, host, n)
		}
		return !ok
	})
}

// moveRouter makes the agent's host the router's, with all its ports.
func moveRouter(tx *Tx, r *neutrino.Router, to *neutrino.Agent) error {
	store.Exists(tx.Tx, store.Agents, to.ID) // it may not be deleted meanwhile
	store.Get(tx.Tx, store.RouterBindings, r.ID)
	store.Put(tx.Tx, store.RouterBindings, &neutrino.RouterBinding{RouterID: r.ID, Host: to.Host})
	floatingIPsDown(tx, r.ID)
	return bindRouter(tx, routerPorts(tx, r.ID), to.Host)
}

// bindRouter binds the ports to the host, "" for none.
func bindRouter(tx *Tx, list []*neutrino.Port, host string) error {
	for _, p := range list {
		if p.HostID == host && p.VIFType != neutrino.VIFBindingFailed {
			continue
		}
		if err := moveTo(tx, p, host); err != nil {
			return err
		}
	}
	return nil
}

// floatingIPsDown says of the router's floating IPs that no host has them yet.
func floatingIPsDown(tx *Tx, router neutrino.ID) {
	for _, found := range slices.Collect(store.By(tx.Tx, store.FloatingIPsByRouter, string(router))) {
		if found.Status == neutrino.FloatingIPDown {
			continue
		}
		store.Get(tx.Tx, store.FloatingIPs, found.ID)
		f := *found
		f.Status = neutrino.FloatingIPDown
		tx.PutFloatingIP(&f)
	}
}

// unscheduleRouter takes a router from its host; it waits for another.
func unscheduleRouter(tx *Tx, r *neutrino.Router) error {
	store.Get(tx.Tx, store.RouterBindings, r.ID)
	store.Delete(tx.Tx, store.RouterBindings, r.ID)
	floatingIPsDown(tx, r.ID)
	return bindRouter(tx, routerPorts(tx, r.ID), "")
}

// scheduleRouters finds a host for routers that have ports and none.
func scheduleRouters(tx *Tx) error {
	done := 0
	for _, found := range slices.Collect(store.All(tx.Tx, store.Routers)) {
		if _, bound := store.Peek(tx.Tx, store.RouterBindings, found.ID); bound {
			continue
		}
		list := routerPorts(tx, found.ID)
		if len(list) == 0 || leastRouters(tx, found, list) == nil {
			continue
		}
		store.Get(tx.Tx, store.Routers, found.ID) // nor may its ports change meanwhile
		if err := placeRouter(tx, found); err != nil {
			return err
		}
		if done++; done == scheduleBatch {
			return nil
		}
	}
	return nil
}

// evacuate takes at most so many routers or networks from a host that has no
// agent for them any more; what no other host can take waits for one.
func evacuate(tx *Tx, agentType, host string, most int) (done int, err error) {
	switch agentType {
	case neutrino.AgentL3:
		return each(tx, slices.Collect(store.By(tx.Tx, store.RouterBindingsByHost, host)), most, evacuateRouter)
	case neutrino.AgentDHCP:
		return each(tx, slices.Collect(store.By(tx.Tx, store.DHCPBindingsByHost, host)), most, evacuateDHCP)
	}
	return 0, nil
}

func evacuateRouter(tx *Tx, b *neutrino.RouterBinding) (bool, error) {
	if moved, err := failOverRouter(tx, b); moved || err != nil {
		return moved, err
	}
	r, ok := store.Peek(tx.Tx, store.Routers, b.RouterID)
	if !ok {
		return false, nil
	}
	return true, unscheduleRouter(tx, r)
}

func evacuateDHCP(tx *Tx, b *neutrino.DHCPBinding) (bool, error) {
	if moved, err := failOverDHCP(tx, b); moved || err != nil {
		return moved, err
	}
	for slot, holder := range slots(tx, b.NetworkID) {
		if holder == b.Host {
			return true, leaveDHCP(tx, b.NetworkID, slot, b.Host)
		}
	}
	return false, nil
}

// failOverRouter moves a router to another host; false when none can run it.
func failOverRouter(tx *Tx, b *neutrino.RouterBinding) (bool, error) {
	r, ok := store.Get(tx.Tx, store.Routers, b.RouterID)
	if !ok {
		return false, nil
	}
	a := leastRouters(tx, r, routerPorts(tx, r.ID))
	if a == nil {
		return false, nil
	}
	return true, moveRouter(tx, r, a)
}

// failOverDHCP moves a network's DHCP service to another host; false when none
// can serve it.
func failOverDHCP(tx *Tx, b *neutrino.DHCPBinding) (bool, error) {
	n, ok := store.Get(tx.Tx, store.Networks, b.NetworkID)
	if !ok {
		return false, nil
	}
	a := leastLoaded(tx, n, dhcpHosts(tx))
	if a == nil {
		return false, nil
	}
	return true, moveDHCP(tx, b, a)
}

// each does at most so many of the list, and no more than fit in a transaction.
func each[T any](tx *Tx, list []*T, most int, do func(*Tx, *T) (bool, error)) (done int, err error) {
	for _, v := range list {
		if done >= most || tx.Full() {
			break
		}
		ok, err := do(tx, v)
		if err != nil {
			return done, err
		}
		if ok {
			done++
		}
	}
	return done, nil
}
