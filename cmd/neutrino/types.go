package main

import (
	"fmt"
	"slices"
	"strings"

	"neutrino"
	"neutrino/config"
	"neutrino/intent"
)

// chooseTypes sets which types networks can have, and get by themselves.
func chooseTypes(v *config.Values, c *intent.Config) error {
	c.NetworkTypes, c.TenantNetworkTypes = nil, nil
	for _, t := range v.List("ml2", "type_drivers") {
		c.NetworkTypes = append(c.NetworkTypes, neutrino.NetworkType(t))
	}
	for _, t := range v.List("ml2", "project_network_types") {
		switch {
		case slices.Contains(c.NetworkTypes, neutrino.NetworkType(t)):
			c.TenantNetworkTypes = append(c.TenantNetworkTypes, neutrino.NetworkType(t))
		case v.Given("ml2", "project_network_types"):
			return fmt.Errorf("[ml2] project_network_types: %s is not one of type_drivers: add it there, or leave it out here", t)
		}
	}
	c.ExternalNetworkType = neutrino.NetworkType(v.String("ml2", "external_network_type"))
	if t := c.ExternalNetworkType; t != "" && !slices.Contains(c.NetworkTypes, t) {
		return fmt.Errorf("[ml2] external_network_type: %s is not one of type_drivers: add it there", t)
	}
	return nil
}

// typeDrivers are the types that a network can have. Neutron's default names local
// too, of which there are none here: a request for one is refused.
func typeDrivers(s string) error {
	for _, t := range config.Words(s) {
		if !slices.Contains([]string{"local", "flat", "vlan", "gre", "vxlan", "geneve"}, t) {
			return fmt.Errorf("%q is not supported; write some of flat, vlan, gre, vxlan, geneve", t)
		}
	}
	return nil
}

// externalType is a type whose segments need nothing named.
func externalType(s string) error {
	if s == "" || s == string(neutrino.VLAN) || networkTypes(s) == nil {
		return nil
	}
	return fmt.Errorf("it cannot be chosen without being named; write one of vlan, %s", strings.Join([]string{"gre", "vxlan", "geneve"}, ", "))
}
