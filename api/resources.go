package api

import "neutrino/intent"

// resources is the registry: everything that the API has a collection of, in
// the order in which /v2.0/ lists it. A new resource is one entry here and one
// file.
func resources(config intent.Config) []resource {
	return []resource{
		networks(),
		subnets(),
		ports(),
		securityGroups(),
		securityGroupRules(),
		agents(config),
	}
}
