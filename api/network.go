package api

import (
	"neutrino"
	"neutrino/intent"
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
		related: related[neutrino.Network]{"shared": networkShared},
		create:  from(intent.CreateNetwork), update: intent.UpdateNetwork, remove: intent.DeleteNetwork,
		computed: []column[neutrino.Network]{
			{name: "subnets", write: appendSubnetIDs},
			{name: "availability_zones", write: appendNetworkZones},
		},
	}.ready()
}

// networkShared is the network's flag as the caller sees it (api.md section 7,
// T15).
func networkShared(v view, n *neutrino.Network) (string, bool) {
	return yes(work.SharesNetwork(v.caller, v.Reader, n))
}

func appendSubnetIDs(b []byte, v view, n *neutrino.Network) []byte {
	b = append(b, '[')
	first := true
	for s := range store.By(v.Reader, store.SubnetsByNetwork, string(n.ID)) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(b, string(s.ID))
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
