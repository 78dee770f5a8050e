package intent

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"neutrino"
	"neutrino/store"
)

// AgentAlive reports whether the agent was heard of within the down time.
func AgentAlive(a *neutrino.Agent, now time.Time, downTime time.Duration) bool {
	return now.Sub(a.HeartbeatAt) <= downTime
}

// UpdateAgent changes an agent's administrative state or description; only an
// admin sees agents. change gets a copy.
func UpdateAgent(tx *Tx, id neutrino.ID, change func(*neutrino.Agent) error, _ neutrino.Fields) (*neutrino.Agent, error) {
	old, err := find(tx, agents(), id)
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

// DeleteAgent forgets an agent. The networks that a DHCP agent served go to
// other hosts; a host without agents and ports is forgotten too. A living agent
// comes again with its next registration, under the same ID.
func DeleteAgent(tx *Tx, id neutrino.ID) error {
	a, err := find(tx, agents(), id)
	if err != nil {
		return err
	}
	store.Delete(tx.Tx, store.Agents, id)
	if a.AgentType == neutrino.AgentDHCP {
		if err := evacuateDHCP(tx, a.Host); err != nil {
			return err
		}
	}
	for other := range store.By(tx.Tx, store.AgentsByHost, a.Host) {
		store.Exists(tx.Tx, store.Agents, other.ID) // two deletions may not rely on each other
		return nil
	}
	for range store.By(tx.Tx, store.PortsByHost, a.Host) {
		return nil
	}
	store.Delete(tx.Tx, store.Hosts, neutrino.ID(a.Host))
	return nil
}

// evacuateDHCP moves all networks that the host serves to others.
func evacuateDHCP(tx *Tx, host string) error {
	for _, b := range slices.Collect(store.By(tx.Tx, store.DHCPBindingsByHost, host)) {
		n, ok := store.Get(tx.Tx, store.Networks, b.NetworkID)
		if !ok {
			continue
		}
		for slot, holder := range slots(tx, b.NetworkID) {
			if holder == host {
				dropDHCP(tx, b.NetworkID, slot, host)
			}
		}
		if err := serveDHCP(tx, n); err != nil {
			return err
		}
	}
	return nil
}

// Register keeps what an agent says of its host: the host, and one agent for
// each service (dataplane.md section 8). Networks that wait for DHCP are
// scheduled. It may be called with each heartbeat; only what changed is written.
func Register(tx *Tx, reg neutrino.Registration) error {
	if err := checkRegistration(reg); err != nil {
		return err
	}
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
	if slices.Contains(reg.Services, neutrino.AgentDHCP) {
		return scheduleWaiting(tx)
	}
	return nil
}

// checkRegistration refuses a host name that could not stand in a key or on a
// line, and services that are none.
func checkRegistration(reg neutrino.Registration) error {
	if reg.Host == "" || len(reg.Host) > 255 || strings.ContainsAny(reg.Host, "/ ") || hasControl(reg.Host) {
		return neutrino.Invalidf("'%s' is not a valid host name", strings.ToValidUTF8(reg.Host, "?"))
	}
	for _, service := range reg.Services {
		if service != neutrino.AgentOVS && service != neutrino.AgentDHCP {
			return neutrino.Invalidf("'%s' is not a known agent type", service)
		}
	}
	return nil
}

func sameHost(a, b *neutrino.Host) bool {
	return a.Host == b.Host && a.TunnelIP == b.TunnelIP && slices.Equal(a.TunnelTypes, b.TunnelTypes) &&
		slices.Equal(a.Services, b.Services) && a.DatapathType == b.DatapathType && a.Bridge == b.Bridge &&
		a.HybridPlug == b.HybridPlug && a.StartedAt.Equal(b.StartedAt) && a.Zone == b.Zone
}

func registerAgent(tx *Tx, reg neutrino.Registration, service string) error {
	a := neutrino.Agent{
		ID: agentID(service, reg.Host), AgentType: service, Host: reg.Host,
		Binary: neutrino.BinaryOVS, Topic: neutrino.TopicNone,
		AdminStateUp: true, CreatedAt: tx.Now,
	}
	if old, ok := store.Get(tx.Tx, store.Agents, a.ID); ok {
		a = *old
	}
	a.StartedAt, a.HeartbeatAt = reg.StartedAt, tx.Now
	config := ovsConfiguration(tx, reg)
	if service == neutrino.AgentDHCP {
		a.Binary, a.Topic, a.AvailabilityZone = neutrino.BinaryDHCP, neutrino.TopicDHCP, reg.Zone
		if a.AvailabilityZone == "" {
			a.AvailabilityZone = neutrino.DefaultZone
		}
		config = dhcpConfiguration(tx, reg)
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	a.Configurations = neutrino.Opaque(text)
	store.Put(tx.Tx, store.Agents, &a)
	return nil
}

// ovsConfiguration is what an Open vSwitch agent reports of itself, under
// Neutron's keys.
func ovsConfiguration(tx *Tx, reg neutrino.Registration) map[string]any {
	tunnelIP := ""
	if reg.TunnelIP.IsValid() {
		tunnelIP = reg.TunnelIP.String()
	}
	return map[string]any{
		"bridge_mappings": map[string]string{}, "integration_bridge": reg.Bridge,
		"tunnel_types": append([]string{}, reg.TunnelTypes...), "tunneling_ip": tunnelIP,
		"l2_population": true, "arp_responder_enabled": true,
		"enable_distributed_routing": false, "in_distributed_mode": false,
		"devices": store.Count(tx.Tx, store.PortsByHost, reg.Host), "extensions": []string{},
		"datapath_type": reg.DatapathType, "ovs_hybrid_plug": reg.HybridPlug, "log_agent_heartbeats": false,
	}
}

// dhcpConfiguration is what a DHCP agent reports of itself, under Neutron's keys.
func dhcpConfiguration(tx *Tx, reg neutrino.Registration) map[string]any {
	served, blocks, attached := 0, 0, 0
	for b := range store.By(tx.Tx, store.DHCPBindingsByHost, reg.Host) {
		served++
		blocks += store.Count(tx.Tx, store.SubnetsByNetwork, string(b.NetworkID))
		attached += store.Count(tx.Tx, store.PortsByNetwork, string(b.NetworkID))
	}
	return map[string]any{
		"dhcp_driver": "dnsmasq", "networks": served, "subnets": blocks, "ports": attached,
		"log_agent_heartbeats": false,
	}
}

// Heartbeat notes that the host's agents are alive, and schedules networks that
// wait for DHCP. The error is NotFound when the host has no agents: it has to
// register again.
func Heartbeat(tx *Tx, host string) error {
	list := slices.Collect(store.By(tx.Tx, store.AgentsByHost, host))
	if len(list) == 0 {
		return agents().missing(neutrino.ID(host))
	}
	dhcp := false
	for _, old := range list {
		store.Get(tx.Tx, store.Agents, old.ID)
		dhcp = dhcp || old.AgentType == neutrino.AgentDHCP
		if a := *old; !a.HeartbeatAt.Equal(tx.Now) {
			a.HeartbeatAt = tx.Now
			store.Put(tx.Tx, store.Agents, &a)
		}
	}
	if dhcp {
		return scheduleWaiting(tx)
	}
	return nil
}
