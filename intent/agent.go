package intent

import (
	"maps"
	"slices"
	"strings"
	"time"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// UpdateAgent changes an agent's administrative state or description; only an
// admin sees agents. change gets a copy.
func UpdateAgent(tx *Tx, id neutrino.ID, change func(*neutrino.Agent) error, _ neutrino.Fields) (*neutrino.Agent, error) {
	old, err := work.Find(tx, work.Agents(), id)
	if err != nil {
		return nil, err
	}
	a := *old
	if err := change(&a); err != nil {
		return nil, err
	}
	store.Put(tx.Tx, store.Agents, &a)
	return &a, nil
}

// DeleteAgent forgets an agent. The networks that a DHCP agent served and the
// routers of an L3 agent go to other hosts, many of them with the next calls of
// [Reschedule]; a host without agents and ports is forgotten too. A living agent
// comes again with its next registration, under the same ID.
func DeleteAgent(tx *Tx, id neutrino.ID) error {
	a, err := work.Find(tx, work.Agents(), id)
	if err != nil {
		return err
	}
	store.Delete(tx.Tx, store.Agents, id)
	if _, err := evacuate(tx, a.AgentType, a.Host, scheduleBatch); err != nil {
		return err
	}
	forgetHost(tx, a.Host)
	return nil
}

// forgetHost forgets a host without agents, ports and work.
func forgetHost(tx *Tx, host string) {
	for other := range store.By(tx.Tx, store.AgentsByHost, host) {
		store.Exists(tx.Tx, store.Agents, other.ID) // two deletions may not rely on each other
		return
	}
	if store.Count(tx.Tx, store.PortsByHost, host)+store.Count(tx.Tx, store.RouterBindingsByHost, host)+
		store.Count(tx.Tx, store.DHCPBindingsByHost, host) == 0 {
		store.Delete(tx.Tx, store.Hosts, neutrino.ID(host))
	}
}

// Register keeps what an agent says of its host: the host, and one agent for
// each service (dataplane.md section 8). Networks that wait for DHCP and routers
// that wait for a host are scheduled. It may be called with each heartbeat; only what changed is written.
func Register(tx *Tx, reg neutrino.Registration) error {
	if err := checkRegistration(reg); err != nil {
		return err
	}
	tx.Speaker = reg.Host
	if reg.Bridge == "" {
		reg.Bridge = "br-int"
	}
	reg.StartedAt = reg.StartedAt.UTC().Truncate(time.Second)
	h := neutrino.Host{Name: reg.Host, Registration: reg}
	if old, ok := store.Get(tx.Tx, store.Hosts, neutrino.ID(reg.Host)); !ok || !sameHost(old, &h) {
		store.Put(tx.Tx, store.Hosts, &h)
	}
	for _, service := range reg.Services {
		if err := registerAgent(tx, reg, service); err != nil {
			return err
		}
	}
	return hostIsBack(tx, reg.Host, func(agentType string) bool { return slices.Contains(reg.Services, agentType) })
}

// hostIsBack gives a host that was heard of what waits for it: bindings that
// failed, and unscheduled networks and routers.
func hostIsBack(tx *Tx, host string, has func(agentType string) bool) error {
	if err := retryBinding(tx, host); err != nil {
		return err
	}
	if has(neutrino.AgentDHCP) {
		if err := scheduleWaiting(tx); err != nil {
			return err
		}
	}
	if has(neutrino.AgentL3) {
		return scheduleRouters(tx)
	}
	return nil
}

// checkRegistration refuses a host name that could not stand in a key or on a
// line, and services that are none.
func checkRegistration(reg neutrino.Registration) error {
	if reg.Host == "" || len(reg.Host) > 255 || strings.ContainsAny(reg.Host, "/ ") || hasControl(reg.Host) {
		return neutrino.Invalidf("'%s' is not a valid host name", strings.ToValidUTF8(reg.Host, "?"))
	}
	for physical, bridge := range reg.BridgeMappings {
		if physical == "" || bridge == "" || strings.Contains(physical, "/") || hasControl(physical+bridge) {
			return neutrino.Invalidf("bridge mapping '%s:%s' is not valid", strings.ToValidUTF8(physical, "?"), strings.ToValidUTF8(bridge, "?"))
		}
	}
	for _, service := range reg.Services {
		if _, known := agentKinds()[service]; !known {
			return neutrino.Invalidf("'%s' is not a known agent type", service)
		}
	}
	return nil
}

func sameHost(a, b *neutrino.Host) bool {
	return a.Host == b.Host && a.TunnelIP == b.TunnelIP && slices.Equal(a.TunnelTypes, b.TunnelTypes) &&
		slices.Equal(a.Services, b.Services) && a.DatapathType == b.DatapathType && a.Bridge == b.Bridge &&
		a.HybridPlug == b.HybridPlug && a.StartedAt.Equal(b.StartedAt) && a.Zone == b.Zone &&
		maps.Equal(a.BridgeMappings, b.BridgeMappings) && a.Version == b.Version && slices.Equal(a.Lacks, b.Lacks)
}

// Heartbeat notes when the host's agents were heard, for display, and schedules networks and
// routers that wait for a host. The error is NotFound when the host has no agents: it has to
// register again.
func Heartbeat(tx *Tx, host string) error {
	list := slices.Collect(store.By(tx.Tx, store.AgentsByHost, host))
	if len(list) == 0 {
		return work.Agents().Missing(neutrino.ID(host))
	}
	tx.Speaker = host
	has := map[string]bool{}
	for _, old := range list {
		store.Get(tx.Tx, store.Agents, old.ID)
		has[old.AgentType] = true
		if a := *old; !a.HeartbeatAt.Equal(tx.Now) {
			a.HeartbeatAt = tx.Now
			store.Put(tx.Tx, store.Agents, &a)
		}
	}
	return hostIsBack(tx, host, func(agentType string) bool { return has[agentType] })
}
