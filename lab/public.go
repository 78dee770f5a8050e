package lab

import (
	"context"
	"fmt"
	"net/http"

	"neutrino"
)

// The seed's public side: the external network, the router, and the floating
// IP of its VM.
const (
	SeedPublic      = "public"
	SeedPublicNet   = "public_subnet"
	SeedRouter      = "router1"
	SeedSource      = "172.24.4.227" // the router's own address outside
	SeedFloatingIP  = "172.24.4.228"
	PhysicalNetwork = "public" // as bridge_mappings calls the network of [ProviderBridge]

	publicPoolEnd = "172.24.4.238"
)

// PublicScenario makes the seed's external network, its router between that
// and [SeedSubnet], and the floating IP for a port. What is there already is
// left as it is.
func (l *Lab) PublicScenario(ctx context.Context, port string) error {
	c := l.Client()
	public, err := c.Ensure(ctx, "networks", Query{"name": SeedPublic}, Object{
		"name": SeedPublic, "router:external": true,
		"provider:network_type": string(neutrino.Flat), "provider:physical_network": PhysicalNetwork,
	})
	if err != nil {
		return fmt.Errorf("network %s: %w", SeedPublic, err)
	}
	outside, err := c.Ensure(ctx, "subnets", Query{"name": SeedPublicNet}, Object{
		"name": SeedPublicNet, "network_id": public.ID(), "ip_version": 4, "cidr": ExternalCIDR, "gateway_ip": OutsideGateway,
		"enable_dhcp": false, "allocation_pools": []Object{{"start": SeedSource, "end": publicPoolEnd}},
	})
	if err != nil {
		return fmt.Errorf("subnet %s: %w", SeedPublicNet, err)
	}
	subnets, err := c.List(ctx, "subnets", Query{"name": SeedSubnet})
	if err != nil || len(subnets) != 1 {
		return fmt.Errorf("lab: %d subnets are called %s, want one (%v)", len(subnets), SeedSubnet, err)
	}
	router, err := c.Ensure(ctx, "routers", Query{"name": SeedRouter}, Object{
		"name": SeedRouter, "external_gateway_info": Object{
			"network_id": public.ID(), "external_fixed_ips": []Object{{"subnet_id": outside.ID(), "ip_address": SeedSource}},
		},
	})
	if err != nil {
		return fmt.Errorf("router %s: %w", SeedRouter, err)
	}
	if err := l.AddInterface(ctx, router.ID(), subnets[0].ID()); err != nil {
		return err
	}
	_, err = c.Ensure(ctx, "floatingips", Query{"floating_ip_address": SeedFloatingIP}, Object{
		"floating_network_id": public.ID(), "floating_ip_address": SeedFloatingIP, "port_id": port,
	})
	if err != nil {
		return fmt.Errorf("floating IP %s: %w", SeedFloatingIP, err)
	}
	return nil
}

// AddInterface connects a router to a subnet at the subnet's gateway address.
// A subnet that it is connected to already is left as it is.
func (l *Lab) AddInterface(ctx context.Context, router, subnet string) error {
	c := l.Client()
	ports, err := c.List(ctx, "ports", Query{"device_id": router, "fixed_ips": "subnet_id=" + subnet})
	if err != nil {
		return fmt.Errorf("router interface: %w", err)
	}
	if len(ports) > 0 {
		return nil
	}
	return l.routerInterface(ctx, router, "add_router_interface", Object{"subnet_id": subnet})
}

// RemoveInterface takes a router's interface on a subnet away.
func (l *Lab) RemoveInterface(ctx context.Context, router, subnet string) error {
	return l.routerInterface(ctx, router, "remove_router_interface", Object{"subnet_id": subnet})
}

func (l *Lab) routerInterface(ctx context.Context, router, action string, body Object) error {
	path := "/v2.0/routers/" + router + "/" + action
	if err := l.Client().Do(ctx, Request{Method: http.MethodPut, Path: path, Body: body}, nil); err != nil {
		return fmt.Errorf("router interface: %w", err)
	}
	return nil
}

// Source is the address that the outside sees of an instance that has no
// floating IP.
func (l *Lab) Source() string {
	if l.CurrentUplink() == UplinkNAT {
		return hostTransit
	}
	return SeedSource
}

// RouterHost is the host that runs a router, as its ports say.
func (l *Lab) RouterHost(ctx context.Context, router string) (*Host, error) {
	return l.hostOf(ctx, Query{"device_id": router})
}

// dhcpHost is the host that serves a network with DHCP.
func (l *Lab) dhcpHost(ctx context.Context, network string) (*Host, error) {
	return l.hostOf(ctx, Query{"network_id": network, "device_owner": neutrino.OwnerDHCP})
}

// hostOf is the host of the first bound port that the filters name.
func (l *Lab) hostOf(ctx context.Context, q Query) (*Host, error) {
	ports, err := l.Client().List(ctx, "ports", q)
	if err != nil {
		return nil, err
	}
	for _, p := range ports {
		if name := p.Text("binding:host_id"); name != "" {
			return l.Host(name)
		}
	}
	return nil, fmt.Errorf("lab: none of %d ports with %v is bound to a host", len(ports), q)
}
