package api

import (
	"slices"

	"neutrino"
	"neutrino/intent"
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
		visible: intent.VisibleNetwork,
		create:  intent.CreateNetwork, update: intent.UpdateNetwork, remove: intent.DeleteNetwork,
		computed: []column[neutrino.Network]{
			{name: "subnets", write: appendSubnetIDs},
			{name: "availability_zones", write: appendNetworkZones},
		},
	}.ready()
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
	var zones []string
	for binding := range store.By(v.Reader, store.DHCPBindingsByNetwork, string(n.ID)) {
		for a := range store.By(v.Reader, store.AgentsByHost, binding.Host) {
			if a.AgentType == neutrino.AgentDHCP && a.AvailabilityZone != "" {
				zones = append(zones, a.AvailabilityZone)
			}
		}
	}
	slices.Sort(zones)
	return appendList(b, slices.Compact(zones), appendString)
}
