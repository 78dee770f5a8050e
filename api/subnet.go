package api

import (
	"strconv"

	"neutrino"
	"neutrino/intent"
	"neutrino/intent/work"
	"neutrino/store"
)

// subnetExternal is an attribute of the network that its subnets show.
const subnetExternal = "router:external"

func subnets() *kind[neutrino.Subnet] {
	return kind[neutrino.Subnet]{
		names: names{"subnet", "subnets", "subnets", "SubnetNotFound", "Subnet %s could not be found."},
		table: store.Subnets,
		indexes: []filterIndex[neutrino.Subnet]{
			{"network_id", store.SubnetsByNetwork},
			{"name", store.SubnetsByName},
			{"project_id", store.SubnetsByProject},
		},
		visible: work.VisibleSubnet,
		related: ofNetwork(func(s *neutrino.Subnet) neutrino.ID { return s.NetworkID }),
		above: func(v view, s *neutrino.Subnet) error {
			n, ok := v.network(s.NetworkID)
			if !ok || !work.VisibleNetwork(v.caller, v.Reader, n) {
				return work.Networks().Missing(s.NetworkID)
			}
			return nil
		},
		create: from(intent.CreateSubnet), update: intent.UpdateSubnet, remove: intent.DeleteSubnet,
		computed: []column[neutrino.Subnet]{
			{name: subnetExternal, write: func(b []byte, v view, s *neutrino.Subnet) []byte {
				n, ok := store.Peek(v.Reader, store.Networks, s.NetworkID)
				return strconv.AppendBool(b, ok && n.External)
			}},
		},
		filters: map[string]func(*query[neutrino.Subnet], []string) error{
			"shared":       filterByNetwork(func(n *neutrino.Network) bool { return n.Shared }),
			subnetExternal: filterByNetwork(func(n *neutrino.Network) bool { return n.External }),
		},
	}.ready()
}

// filterByNetwork mirrors a flag of the network: shared, which a subnet has for
// filters only, and router:external (api.md section 2.2).
func filterByNetwork(flag func(*neutrino.Network) bool) func(*query[neutrino.Subnet], []string) error {
	return func(q *query[neutrino.Subnet], values []string) error {
		wanted := map[bool]bool{}
		for _, value := range values {
			var on bool
			if err := decodeBool(&on, value); err != nil {
				return err
			}
			wanted[on] = true
		}
		q.match = append(q.match, func(v view, s *neutrino.Subnet) bool {
			n, ok := store.Peek(v.Reader, store.Networks, s.NetworkID)
			return ok && wanted[flag(n)]
		})
		return nil
	}
}
