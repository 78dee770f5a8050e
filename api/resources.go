package api

import (
	"neutrino/intent"
	"neutrino/intent/work"
)

// resources is the registry: everything that the API has a collection of, in
// the order in which /v2.0/ lists it. A new resource is one entry here and one
// file.
func resources(config intent.Config) []resource {
	n, r, a := networks(), routers(), agents()
	schedules(n, r, a)
	return []resource{
		tagged(n, work.Networks()),
		tagged(subnets(), work.Subnets()),
		tagged(ports(config), work.Ports()),
		tagged(r, work.Routers()),
		tagged(floatingIPs(), work.FloatingIPs()),
		tagged(securityGroups(), work.Groups()),
		securityGroupRules(),
		tagged(subnetPools(), work.SubnetPools()),
		addressScopes(),
		rbacPolicies(),
		meteringLabels(),
		meteringLabelRules(),
		a,
		zones(),
		floatingIPPools(),
		ipAvailabilities(),
		serviceProviders(),
	}
}
