package api

import "neutrino/intent"

// resources is the registry: everything that the API has a collection of, in
// the order in which /v2.0/ lists it. A new resource is one entry here and one
// file.
func resources(config intent.Config) []resource {
	n, r, a := networks(), routers(), agents(config)
	schedules(n, r, a)
	return []resource{
		n,
		subnets(),
		ports(),
		r,
		floatingIPs(),
		securityGroups(),
		securityGroupRules(),
		a,
		zones(),
		floatingIPPools(),
		ipAvailabilities(),
		serviceProviders(),
	}
}
