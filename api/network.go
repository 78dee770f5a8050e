package api

import (
	"strconv"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/rbac"
	"neutrino/intent/work"
	"neutrino/store"
)

func networks() *kind[neutrino.Network] {
	return kind[neutrino.Network]{
		names: names{"network", "networks", "networks", "NetworkNotFound", "Network %s could not be found."},
		table: store.Networks,
		indexes: []filterIndex[neutrino.Network]{
			{"name", store.NetworksByName},
			{"project_id", store.NetworksByProject},
		},
		visible: work.VisibleNetwork,
		reach:   ownOrGiven(store.NetworksByProject, rbac.Network),
		related: related[neutrino.Network]{sharedFlag: networkShared().rule, networkExternal: isExternal().rule},
		create:  from(intent.CreateNetwork), update: intent.UpdateNetwork, remove: intent.DeleteNetwork,
		computed: []column[neutrino.Network]{
			networkShared().column(sharedFlag),
			isExternal().column(networkExternal),
			{name: "is_default", has: isExternal(), write: func(b []byte, _ view, n *neutrino.Network) []byte {
				return strconv.AppendBool(b, n.IsDefault)
			}},
			{name: "subnets", write: appendSubnetIDs},
			{name: "availability_zones", write: appendNetworkZones},
			scopeColumn("ipv4_address_scope", 4),
			scopeColumn("ipv6_address_scope", 6),
		},
		filters: map[string]func(*query[neutrino.Network], []string) error{
			sharedFlag:      networkShared().filter,
			networkExternal: isExternal().filter,
		},
	}.ready()
}

// networkExternal is the attribute of networks for gateways and floating IPs.
const networkExternal = "router:external"

// networkShared is the network's flag as the caller sees it.
func networkShared() fact[neutrino.Network] {
	return sharedBy(func(n *neutrino.Network) neutrino.ID { return n.ID })
}

func isExternal() fact[neutrino.Network] {
	return func(v view, n *neutrino.Network) bool { return work.IsExternal(v.Reader, n.ID) }
}

func appendSubnetIDs(b []byte, v view, n *neutrino.Network) []byte {
	b = append(b, '[')
	first := true
	for s := range store.By(v.Reader, store.SubnetsByNetwork, string(n.ID)) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = wire.AppendString(b, string(s.ID))
	}
	return append(b, ']')
}

// appendNetworkZones writes the zones of the agents that serve the network.
func appendNetworkZones(b []byte, v view, n *neutrino.Network) []byte {
	var hosts []string
	for binding := range store.By(v.Reader, store.DHCPBindingsByNetwork, string(n.ID)) {
		hosts = append(hosts, binding.Host)
	}
	return appendHostZones(b, v, neutrino.AgentDHCP, hosts)
}
