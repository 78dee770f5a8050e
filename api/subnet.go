package api

import (
	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/quota"
	"neutrino/intent/subnetpool"
	"neutrino/intent/work"
	"neutrino/store"
)

func subnets() *kind[neutrino.Subnet] {
	return kind[neutrino.Subnet]{
		names: names{"subnet", "subnets", "subnets", "SubnetNotFound", "Subnet %s could not be found."},
		table: store.Subnets,
		indexes: []filterIndex[neutrino.Subnet]{
			{"network_id", store.SubnetsByNetwork},
			{"name", store.SubnetsByName},
			{"project_id", store.SubnetsByProject},
			{"subnetpool_id", store.SubnetsByPool},
		},
		reach:   reachOfSubnets,
		visible: work.VisibleSubnet,
		related: ofNetwork(func(s *neutrino.Subnet) neutrino.ID { return s.NetworkID }),
		above: func(v view, s *neutrino.Subnet) error {
			n, ok := v.network(s.NetworkID)
			if !ok || !work.VisibleNetwork(v.caller, v.Reader, n) {
				return work.Networks().Missing(s.NetworkID)
			}
			return nil
		},
		create: limited(quota.Of(quota.Subnet), createSubnet), update: intent.UpdateSubnet, remove: intent.DeleteSubnet,
		parse: map[string]func(*neutrino.Subnet, any) error{"subnetpool_id": parseSubnetPool},
		asides: map[string]func() any{
			prefixLength:   func() any { return new(*int) },
			useDefaultPool: func() any { return new(bool) },
		},
		filters: map[string]func(*query[neutrino.Subnet], []string) error{
			sharedFlag: ofItsNetwork(networkShared()).filter,
		},
	}.ready()
}

// parseSubnetPool says of prefix delegation that there is none.
func parseSubnetPool(s *neutrino.Subnet, raw any) error {
	if raw == "prefix_delegation" {
		return neutrino.Invalidf("subnetpool_id: prefix delegation is not supported, name a subnet pool")
	}
	return wire.DecodeText(&wire.Attribute{Name: "subnetpool_id", UUID: true, Null: true}, (*string)(&s.SubnetPoolID), raw)
}

// The values that a POST of a subnet takes and that no answer shows.
const (
	prefixLength   = "prefixlen"
	useDefaultPool = "use_default_subnetpool"
)

func createSubnet(tx *intent.Tx, req *request[neutrino.Subnet]) (*neutrino.Subnet, error) {
	want := subnetpool.Request{
		PrefixLen: *req.asides[prefixLength].(**int), Default: *req.asides[useDefaultPool].(*bool),
	}
	return intent.CreateSubnetFrom(tx, req.noun, want, req.set)
}

// ofItsNetwork mirrors a flag of the network: shared, which a subnet has for
// filters only (api.md section 2.2).
func ofItsNetwork(flag fact[neutrino.Network]) fact[neutrino.Subnet] {
	return func(v view, s *neutrino.Subnet) bool {
		n, ok := v.network(s.NetworkID)
		return ok && flag(v, n)
	}
}

// reachOfSubnets is a project's own subnets, and those of the networks that it
// sees.
func reachOfSubnets(v view) []keyed[neutrino.Subnet] {
	return []keyed[neutrino.Subnet]{
		{store.SubnetsByProject, []string{v.caller.ProjectID}},
		{store.SubnetsByNetwork, seenNetworks(v)},
	}
}
