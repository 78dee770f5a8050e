package api

import (
	"cmp"
	"net/url"
	"slices"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/store"
)

// zone is an availability zone: not stored, but what the agents say
// (api.md section 2.30).
type zone struct{ name, resource, state string }

func zones() *report[zone] {
	return &report[zone]{
		names: names{one: "availability_zone", many: "availability_zones", path: "availability_zones"},
		rule:  "get_availability_zone",
		fields: []field[zone]{
			textField("name", func(z zone) string { return z.name }),
			textField("resource", func(z zone) string { return z.resource }),
			textField("state", func(z zone) string { return z.state }),
		},
		rows: func(v view, _ url.Values) ([]zone, error) { return zonesOf(v), nil },
	}
}

// zonesOf lists the zones of the agents that serve networks and routers; a zone
// is available when one of them is up.
func zonesOf(v view) []zone {
	resources := map[string]string{neutrino.AgentDHCP: "network", neutrino.AgentL3: "router"}
	up := map[zone]bool{}
	for a := range store.All(v.Reader, store.Agents) {
		if resource := resources[a.AgentType]; resource != "" && a.AvailabilityZone != "" {
			z := zone{name: a.AvailabilityZone, resource: resource}
			up[z] = up[z] || a.AdminStateUp
		}
	}
	var list []zone
	for z, available := range up {
		z.state = "unavailable"
		if available {
			z.state = "available"
		}
		list = append(list, z)
	}
	slices.SortFunc(list, func(a, b zone) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.resource, b.resource))
	})
	return list
}

// appendHostZones writes the zones of the agents of a type on the hosts.
func appendHostZones(b []byte, v view, agentType string, hosts []string) []byte {
	var names []string
	for _, host := range hosts {
		for a := range store.By(v.Reader, store.AgentsByHost, host) {
			if a.AgentType == agentType && a.AvailabilityZone != "" {
				names = append(names, a.AvailabilityZone)
			}
		}
	}
	slices.Sort(names)
	return wire.AppendList(b, slices.Compact(names), wire.AppendString)
}
