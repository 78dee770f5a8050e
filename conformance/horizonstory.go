package main

import (
	"context"
	"fmt"
)

// member is what a user of the project demo does.
func (d *dashboard) member() []dashboardStep {
	return []dashboardStep{
		d.look(horizonTopology, horizonTopology+"json", horizonNetworks, horizonRouters, horizonGroups, horizonFloating),
		d.send(horizonNetworks+"create", map[string]string{
			"net_name": "hz-net", "with_subnet": "on", "subnet_name": "hz-subnet", "address_source": "manual", "cidr": "10.99.0.0/24",
			"ip_version": "4", "enable_dhcp": "on",
		}),
		d.is(1, "subnets", "name=hz-subnet&cidr=10.99.0.0/24&enable_dhcp=true"),
		d.find(horizonNetworks, "hz-net"),
		d.look(horizonNetworks+"${hz-net}/detail", horizonNetworks+"${hz-net}/detail?tab=network_tabs__subnets_tab",
			horizonNetworks+"${hz-net}/detail?tab=network_tabs__ports_tab"),
		d.send(horizonNetworks+"${hz-net}/update", map[string]string{"name": "hz-net2"}),
		d.is(1, "networks", "name=hz-net2&id=${hz-net}&admin_state_up=true"),
		d.send(horizonNetworks+"${hz-net}/subnets/create", map[string]string{
			"subnet_name": "hz-subnet6", "address_source": "manual", "cidr": "fd99::/64", "ip_version": "IPv6", "ipv6_modes": "slaac/slaac",
		}),
		d.is(1, "subnets", "name=hz-subnet6&ip_version=6"),
		d.send(horizonNetworks+"${hz-net}/ports/create", map[string]string{"name": "hz-port"}),
		d.is(1, "ports", "name=hz-port&network_id=${hz-net}"),

		d.send(horizonRouters+"create/", map[string]string{"name": "hz-router", "external_network": publicNetwork}),
		d.find(horizonRouters, "hz-router"),
		d.send(horizonRouters+"${hz-router}/addinterface", map[string]string{"subnet_id": "hz-net2: 10.99.0.0/24"}),
		d.is(1, "ports", "device_id=${hz-router}&device_owner=network:router_interface"),
		d.is(1, "ports", "device_id=${hz-router}&device_owner=network:router_gateway"),
		d.look(horizonRouters+"${hz-router}/", horizonRouters+"${hz-router}/?tab=router_details__interfaces",
			horizonRouters+"${hz-router}/?tab=router_details__static_routes", horizonTopology, horizonTopology+"json"),
		d.press(horizonRouters, "routers__clear__${hz-router}"),
		d.is(0, "ports", "device_id=${hz-router}&device_owner=network:router_gateway"),
		d.send(horizonRouters+"${hz-router}/setgateway", map[string]string{"network_id": publicNetwork}),
		d.is(1, "ports", "device_id=${hz-router}&device_owner=network:router_gateway"),

		d.send(horizonGroups+"create/", map[string]string{"name": "hz-group", "description": "of the dashboard"}),
		d.find(horizonGroups, "hz-group"),
		d.send(horizonGroups+"${hz-group}/add_rule/", map[string]string{
			"rule_menu": "tcp", "direction": "ingress", "port_or_range": "port", "port": "443", "remote": "cidr", "cidr": "192.0.2.0/24",
		}),
		d.is(1, "security-group-rules", "security_group_id=${hz-group}&port_range_min=443&remote_ip_prefix=192.0.2.0/24"),
		d.look(horizonGroups + "${hz-group}/"),

		d.send(horizonFloating+"allocate/", map[string]string{"pool": publicNetwork, "description": "hz-floating"}),
		d.is(1, "floatingips", "description=hz-floating"),
		d.look(horizonFloating),
		{"keep the floating IP's id", d.keepFloating},
		d.press(horizonFloating, "floating_ips__release__${hz-floating}"),
		d.is(0, "floatingips", "description=hz-floating"),

		d.find(horizonNetworks+"${hz-net}/detail?tab=network_tabs__ports_tab", "hz-port"),
		d.press(horizonNetworks+"${hz-net}/detail?tab=network_tabs__ports_tab", "ports__delete__${hz-port}"),
		d.is(0, "ports", "name=hz-port"),
		{"keep the interface's id", d.keepInterface},
		d.press(horizonRouters+"${hz-router}/?tab=router_details__interfaces", "interfaces__delete__${hz-interface}"),
		d.press(horizonRouters, "routers__delete__${hz-router}"),
		d.is(0, "routers", "id=${hz-router}"),
		d.press(horizonNetworks, "networks__delete__${hz-net}"),
		d.is(0, "networks", "id=${hz-net}"),
		d.press(horizonGroups, "security_groups__delete__${hz-group}"),
		d.is(0, "security-groups", "id=${hz-group}"),
	}
}

// administrator is what an administrator does with everybody's.
func (d *dashboard) administrator() []dashboardStep {
	const networks, routers, floating, shares = "/admin/networks/", "/admin/routers/", "/admin/floating_ips/", "/admin/rbac_policies/"
	return []dashboardStep{
		d.look(networks, routers, floating, shares),
		d.find(networks, publicNetwork),
		d.look(networks+"${"+publicNetwork+"}/detail", networks+"${"+publicNetwork+"}/detail?tab=network_tabs__subnets_tab",
			networks+"${"+publicNetwork+"}/detail?tab=network_tabs__agents_tab"),
		d.send(networks+"create/", map[string]string{"name": "hz-admin", "tenant_id": demoUser, "network_type": "Geneve", "segmentation_id": "4711", "with_subnet": ""}),
		d.is(1, "networks", "name=hz-admin&provider:segmentation_id=4711"),
		d.find(networks, "hz-admin"),
		d.send(shares+"create/", map[string]string{"action_object_type": "shared_network", "network_id": "hz-admin", "target_tenant": demoUser}),
		d.is(1, "rbac-policies", "object_id=${hz-admin}"),
		d.look(shares),
		d.press(networks, "networks__delete__${hz-admin}"),
		d.is(0, "networks", "id=${hz-admin}"),
	}
}

func (d *dashboard) keepFloating(ctx context.Context) error {
	return d.keep(ctx, "hz-floating", "/v2.0/floatingips", "?description=hz-floating")
}

func (d *dashboard) keepInterface(ctx context.Context) error {
	return d.keep(ctx, "hz-interface", "/v2.0/ports", d.fill("?device_id=${hz-router}&device_owner=network:router_interface"))
}

// keep keeps the id of the one object that a query finds.
func (d *dashboard) keep(ctx context.Context, name, collection, query string) error {
	found, err := d.network.list(ctx, collection, query)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s%s finds %d", collection, query, len(found))
	}
	if err == nil {
		d.known[name] = found[0].text("id")
	}
	return err
}
