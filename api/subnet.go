package api

import (
	"neutrino"
	"neutrino/intent"
	"neutrino/store"
)

func subnets() *kind[neutrino.Subnet] {
	return kind[neutrino.Subnet]{
		names: names{"subnet", "subnets", "subnets", "SubnetNotFound", "Subnet %s could not be found."},
		table: store.Subnets,
		indexes: []filterIndex[neutrino.Subnet]{
			{"network_id", store.SubnetsByNetwork},
			{"project_id", store.SubnetsByProject},
		},
		visible: intent.VisibleSubnet,
		create:  intent.CreateSubnet, update: intent.UpdateSubnet, remove: intent.DeleteSubnet,
		filters: map[string]func(*query[neutrino.Subnet], []string) error{
			"shared": filterSharedSubnets,
		},
	}.ready()
}

// filterSharedSubnets mirrors the network's flag, which a subnet has for
// filters only (api.md section 2.2).
func filterSharedSubnets(q *query[neutrino.Subnet], values []string) error {
	wanted := map[bool]bool{}
	for _, value := range values {
		var shared bool
		if err := decodeBool(&shared, value); err != nil {
			return err
		}
		wanted[shared] = true
	}
	q.match = append(q.match, func(v view, s *neutrino.Subnet) bool {
		n, ok := store.Peek(v.Reader, store.Networks, s.NetworkID)
		return ok && wanted[n.Shared]
	})
	return nil
}
