package lab

import (
	"context"
	"fmt"
	"strings"

	"neutrino"
)

// The seed's cloud: what "Networking in too much detail" shows.
const (
	SeedNetwork = "private"
	SeedSubnet  = "private_subnet"
	SeedCIDR    = "10.1.0.0/24"
	SeedGateway = "10.1.0.1"
	SeedVM      = "vm1"
	SeedIP      = "10.1.0.2"
	SeedMAC     = "fa:16:3e:03:00:e7"
	SeedDHCP    = "10.1.0.3" // first of the pool, so the DHCP port takes it
	SeedKey     = 2          // the tunnel's key
)

// seedPoolEnd ends the pool, which leaves the VM's address out, so that the DHCP port cannot take it.
const seedPoolEnd = "10.1.0.254"

// Scenario makes the seed's network, subnet and security group rules through
// the API. What is there already is left as it is.
func (l *Lab) Scenario(ctx context.Context) (network Object, err error) {
	c := l.Client()
	network, err = c.Ensure(ctx, "networks", Query{"name": SeedNetwork}, Object{
		"name": SeedNetwork, "provider:network_type": string(l.snapshot().Settings.Type),
		"provider:segmentation_id": SeedKey,
	})
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", SeedNetwork, err)
	}
	_, err = c.Ensure(ctx, "subnets", Query{"name": SeedSubnet}, Object{
		"name": SeedSubnet, "network_id": network.ID(), "ip_version": 4, "cidr": SeedCIDR, "gateway_ip": SeedGateway,
		"allocation_pools": []Object{{"start": SeedDHCP, "end": seedPoolEnd}},
	})
	if err != nil {
		return nil, fmt.Errorf("subnet %s: %w", SeedSubnet, err)
	}
	return network, l.seedRules(ctx)
}

// seedRules opens ICMP and TCP 22 and 80 in the default group, as the seed's
// user did.
func (l *Lab) seedRules(ctx context.Context) error {
	c := l.Client()
	group, err := l.DefaultGroup(ctx)
	if err != nil {
		return err
	}
	rules := []Object{{"protocol": "icmp"}}
	for _, port := range []int{22, 80} {
		rules = append(rules, Object{"protocol": "tcp", "port_range_min": port, "port_range_max": port})
	}
	for _, rule := range rules {
		rule["security_group_id"], rule["direction"] = group.ID(), string(neutrino.Ingress)
		_, err := c.Create(ctx, "security-group-rules", rule)
		if err != nil && !IsStatus(err, 409) { // 409: it exists
			return fmt.Errorf("security group rule: %w", err)
		}
	}
	return nil
}

// DefaultGroup is the default security group of the client's project. Listing
// the groups makes it, as in Neutron.
func (l *Lab) DefaultGroup(ctx context.Context) (Object, error) {
	groups, err := l.Client().List(ctx, "security-groups", Query{"name": neutrino.DefaultGroup})
	if err != nil {
		return nil, fmt.Errorf("lab: default security group: %w", err)
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("lab: the API lists no security group %q", neutrino.DefaultGroup)
	}
	return groups[0], nil
}

// network finds a network by name or id.
func (l *Lab) network(ctx context.Context, ref string) (Object, error) {
	key := "name"
	if neutrino.IsUUID(ref) {
		key = "id"
	}
	found, err := l.Client().List(ctx, "networks", Query{key: ref})
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("lab: %d networks are called %q, want one", len(found), ref)
	}
	return found[0], nil
}

// dhcpAddress waits for nothing: it is the address of the network's DHCP
// server as the API has it now, "" while there is none.
func (l *Lab) dhcpAddress(ctx context.Context, networkID string) (string, error) {
	ports, err := l.Client().List(ctx, "ports", Query{"network_id": networkID, "device_owner": neutrino.OwnerDHCP})
	if err != nil {
		return "", err
	}
	for _, p := range ports {
		for _, a := range p.Addresses() {
			if !strings.Contains(a, ":") {
				return a, nil
			}
		}
	}
	return "", nil
}
