package intent

import (
	"encoding/json"

	"neutrino"
	"neutrino/store"
)

// agentKind is how one of Neutron's agents appears.
type agentKind struct {
	binary, topic string
	zoned         bool // has an availability zone
	// configuration is what the agent reports of itself, under Neutron's keys
	// (dataplane.md section 8).
	configuration func(*Tx, neutrino.Registration) map[string]any
}

// agentKinds are the agents that a host can have, by their type.
func agentKinds() map[string]agentKind {
	return map[string]agentKind{
		neutrino.AgentOVS:      {neutrino.BinaryOVS, neutrino.TopicNone, false, ovsConfiguration},
		neutrino.AgentDHCP:     {neutrino.BinaryDHCP, neutrino.TopicDHCP, true, dhcpConfiguration},
		neutrino.AgentL3:       {neutrino.BinaryL3, neutrino.TopicL3, true, l3Configuration},
		neutrino.AgentMetadata: {neutrino.BinaryMetadata, neutrino.TopicNone, false, metadataConfiguration},
	}
}

func registerAgent(tx *Tx, reg neutrino.Registration, service string) error {
	kind := agentKinds()[service]
	a := neutrino.Agent{
		ID: agentID(service, reg.Host), AgentType: service, Host: reg.Host,
		Binary: kind.binary, Topic: kind.topic, AdminStateUp: true, CreatedAt: tx.Now,
	}
	if old, ok := store.Get(tx.Tx, store.Agents, a.ID); ok {
		a = *old
	}
	a.StartedAt, a.HeartbeatAt = reg.StartedAt, tx.Now
	if kind.zoned {
		if a.AvailabilityZone = reg.Zone; reg.Zone == "" {
			a.AvailabilityZone = neutrino.DefaultZone
		}
	}
	config := kind.configuration(tx, reg)
	config["log_agent_heartbeats"] = false
	if reg.Version != "" {
		config["version"] = reg.Version
	}
	if len(reg.Lacks) > 0 {
		config["unknown_attributes"] = reg.Lacks
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	a.Configurations = neutrino.Opaque(text)
	store.Put(tx.Tx, store.Agents, &a)
	return nil
}

func ovsConfiguration(tx *Tx, reg neutrino.Registration) map[string]any {
	tunnelIP := ""
	if reg.TunnelIP.IsValid() {
		tunnelIP = reg.TunnelIP.String()
	}
	mappings := map[string]string{}
	for physical, bridge := range reg.BridgeMappings {
		mappings[physical] = bridge
	}
	return map[string]any{
		"bridge_mappings": mappings, "integration_bridge": reg.Bridge,
		"tunnel_types": append([]string{}, reg.TunnelTypes...), "tunneling_ip": tunnelIP,
		"l2_population": true, "arp_responder_enabled": true,
		"enable_distributed_routing": false, "in_distributed_mode": false,
		"devices": store.Count(tx.Tx, store.PortsByHost, reg.Host), "extensions": []string{},
		"datapath_type": reg.DatapathType, "ovs_hybrid_plug": reg.HybridPlug,
	}
}

func dhcpConfiguration(tx *Tx, reg neutrino.Registration) map[string]any {
	served, blocks, attached := 0, 0, 0
	for b := range store.By(tx.Tx, store.DHCPBindingsByHost, reg.Host) {
		served++
		blocks += store.Count(tx.Tx, store.SubnetsByNetwork, string(b.NetworkID))
		attached += store.Count(tx.Tx, store.PortsByNetwork, string(b.NetworkID))
	}
	return map[string]any{"dhcp_driver": "dnsmasq", "networks": served, "subnets": blocks, "ports": attached}
}

func l3Configuration(tx *Tx, reg neutrino.Registration) map[string]any {
	routers, gateways, interfaces, floating := 0, 0, 0, 0
	for b := range store.By(tx.Tx, store.RouterBindingsByHost, reg.Host) {
		routers++
		floating += store.Count(tx.Tx, store.FloatingIPsByRouter, string(b.RouterID))
	}
	for p := range store.By(tx.Tx, store.PortsByHost, reg.Host) {
		switch p.DeviceOwner {
		case neutrino.OwnerGateway:
			gateways++
		case neutrino.OwnerRouter:
			interfaces++
		}
	}
	return map[string]any{
		"agent_mode": "legacy", "handle_internal_only_routers": true, "interface_driver": "openvswitch",
		"extensions": []string{}, "routers": routers, "ex_gw_ports": gateways, "interfaces": interfaces, "floating_ips": floating,
	}
}

// metadataConfiguration is short: the metadata service is in the agent itself,
// with no socket of its own.
func metadataConfiguration(*Tx, neutrino.Registration) map[string]any { return map[string]any{} }
