package cli

import (
	"context"
	"net/url"
	"slices"
)

func portLooks() map[string]look {
	return map[string]look{"admin_state_up": upDown, "allowed_address_pairs": lines(pairs), "binding:profile": pairs,
		"binding:vif_details": pairs, "dns_assignment": lines(pairs), "extra_dhcp_opts": lines(pairs),
		"fixed_ips": lines(pairs), "security_groups": commas, "tags": commas}
}

func ports() *resource {
	looks := portLooks()
	short := []string{"ID=id", "Name=name", "MAC Address=mac_address", "Fixed IP Addresses=fixed_ips", "Status=status"}
	return &resource{
		words: "port", noun: "Port", path: "ports", one: "port", many: "ports", name: "name", tags: true,
		columns: columns(looks, short...),
		long:    columns(looks, append(short, "Security Groups=security_groups", "Device Owner=device_owner", "Tags=tags")...),
		filters: portFilters(),
		fields: fields(looks, `admin_state_up allowed_address_pairs binding_host_id=binding:host_id
			binding_profile=binding:profile binding_vif_details=binding:vif_details binding_vif_type=binding:vif_type
			binding_vnic_type=binding:vnic_type created_at data_plane_status description device_id device_owner
			device_profile dns_assignment dns_domain dns_name extra_dhcp_opts fixed_ips id ip_allocation mac_address name
			network_id numa_affinity_policy port_security_enabled project_id propagate_uplink_status qos_network_policy_id
			qos_policy_id resource_request revision_number security_group_ids=security_groups status tags trunk_details updated_at`),
		create: &form{
			args: []argument{{name: "name", attr: "name"}},
			options: slices.Concat(portOptions(), portSwitches(), portLists(), []option{
				{name: "network", attr: "network_id", of: "network", must: true, help: "network of the port"},
				{name: "device-profile", attr: "device_profile", help: "profile of an accelerator"},
				projectOption(),
			}, onOff("enable-uplink-status-propagation", "disable-uplink-status-propagation", "propagate_uplink_status", "tell the guest the state of the uplink")),
			example: "neutrino port create web-1 --network web --fixed-ip subnet=web-v4,ip-address=10.1.0.7 --security-group web",
		},
		set: &form{
			options: slices.Concat([]option{
				nameOption(),
				{name: "no-binding-profile", attr: "binding:profile", clear: true, help: "empty the binding's profile first"},
				{name: "data-plane-status", attr: "data_plane_status", choices: []string{"ACTIVE", "DOWN"}, help: "state of the data plane"},
			}, portOptions(), portSwitches(), portLists()),
			example: "neutrino port set web-1 --no-security-group --security-group web --allowed-address ip-address=10.5.0.0/24",
		},
		unset:  &form{options: unsetPort(), example: "neutrino port unset web-1 --fixed-ip subnet=web-v4,ip-address=10.1.0.7"},
		remove: true,
	}
}

func portFilters() []option {
	return []option{
		longOption(),
		{name: "device-owner", attr: "device_owner", help: "list ports of this owner, such as network:router_gateway"},
		{name: "host", attr: "binding:host_id", help: "list ports bound to this host"},
		{name: "network", attr: "network_id", of: "network", help: "list ports of this network"},
		{name: "router", attr: "device_id", of: "router", help: "list ports of this router"},
		{name: "server", attr: "device_id", help: "list ports of this server, by id"},
		{name: "device-id", attr: "device_id", help: "list ports of this device"},
		{name: "mac-address", attr: "mac_address", help: "list ports with this MAC address"},
		{name: "project", attr: "project_id", of: projectKind, help: "list ports of this project, by name or id"},
		{name: "name", attr: "name", help: "list ports of this name"},
		{name: "status", attr: "status", choices: []string{"ACTIVE", "BUILD", "DOWN", "ERROR"}, help: "list ports of this status"},
		{name: "security-group", attr: "security_groups", of: "security group", many: true, help: "list ports in this group"},
		{name: "fixed-ip", attr: "fixed_ips", many: true, arg: "subnet=<subnet>,ip-address=<ip-address>,ip-substring=<part>",
			keys: append(fixedIPKeys(), key{name: "ip-substring", attr: "ip_address_substr"}), help: "list ports with this address"},
	}
}

func portOptions() []option {
	vnics := []string{"normal", "direct", "direct-physical", "macvtap", "baremetal", "virtio-forwarder", "vdpa", "remote-managed", "smart-nic", "accelerator-direct", "accelerator-direct-physical"}
	return []option{
		descriptionOption(),
		{name: "device", attr: "device_id", arg: "<device-id>", help: "device that uses the port"},
		{name: "device-owner", attr: "device_owner", help: "what uses the port"},
		{name: "mac-address", attr: "mac_address", help: "MAC address"},
		{name: "vnic-type", attr: "binding:vnic_type", choices: vnics, help: "kind of interface"},
		{name: "host", attr: "binding:host_id", arg: "<host-id>", help: "host to which the port is bound"},
		{name: "dns-domain", attr: "dns_domain", help: "DNS domain of the port"},
		{name: "dns-name", attr: "dns_name", help: "DNS name of the port"},
		{name: "qos-policy", attr: "qos_policy_id", help: "QoS policy, by id"},
		{name: "binding-profile", attr: "binding:profile", merge: true, parse: jsonOrPair, arg: "<key=value|JSON>", help: "part of the binding's profile (repeat for more)"},
		{name: "numa-policy-required", attr: "numa_affinity_policy", flag: true, value: "required", help: "the device must be on the guest's NUMA node"},
		{name: "numa-policy-preferred", attr: "numa_affinity_policy", flag: true, value: "preferred", help: "the device should be on the guest's NUMA node"},
		{name: "numa-policy-legacy", attr: "numa_affinity_policy", flag: true, value: "legacy", help: "NUMA affinity in the old form"},
	}
}

func portSwitches() []option {
	return slices.Concat(
		onOff("enable", "disable", "admin_state_up", "set the port up"),
		onOff("enable-port-security", "disable-port-security", "port_security_enabled", "filter the port's traffic"),
		[]option{
			{name: "no-fixed-ip", attr: "fixed_ips", clear: true, help: "no addresses, or replace those there are"},
			{name: "no-security-group", attr: "security_groups", clear: true, help: "no groups, or replace those there are"},
			{name: "no-allowed-address", attr: "allowed_address_pairs", clear: true, help: "no allowed addresses, or replace those there are"},
		})
}

func portLists() []option {
	return []option{
		{name: "fixed-ip", attr: "fixed_ips", many: true, arg: "subnet=<subnet>,ip-address=<ip-address>", keys: fixedIPKeys(), help: "address of the port"},
		{name: "security-group", attr: "security_groups", many: true, of: "security group", help: "group of the port"},
		{name: "allowed-address", attr: "allowed_address_pairs", many: true, arg: "ip-address=<ip-address>[,mac-address=<mac-address>]",
			keys: []key{{name: "ip-address", attr: "ip_address", must: true}, {name: "mac-address", attr: "mac_address"}}, help: "further address that the port may use"},
		{name: "extra-dhcp-option", attr: "extra_dhcp_opts", many: true, replace: true, arg: "name=<name>[,value=<value>,ip-version={4,6}]",
			keys: []key{{name: "name", attr: "opt_name", must: true}, {name: "value", attr: "opt_value"}, {name: "ip-version", attr: "ip_version"}}, help: "DHCP option of the port"},
	}
}

func unsetPort() []option {
	lists := slices.DeleteFunc(portLists(), func(o option) bool { return o.replace })
	return append(lists,
		option{name: "binding-profile", attr: "binding:profile", many: true, merge: true, arg: "<key>", help: "key of the binding's profile to take away"},
		option{name: "qos-policy", attr: "qos_policy_id", flag: true, help: "take the QoS policy away"},
		option{name: "data-plane-status", attr: "data_plane_status", flag: true, help: "forget the state of the data plane"},
		option{name: "numa-policy", attr: "numa_affinity_policy", flag: true, help: "forget the NUMA policy"},
		option{name: "host", attr: "binding:host_id", flag: true, value: "", help: "unbind the port"},
	)
}

func routerLooks() map[string]look {
	return map[string]look{"admin_state_up": upDown, "external_gateway_info": spacedJSON, "interfaces_info": spacedJSON,
		"availability_zones": commas, "availability_zone_hints": commas, "routes": lines(route), "tags": commas}
}

func routers() *resource {
	looks := routerLooks()
	short := []string{"ID=id", "Name=name", "Status=status", "State=admin_state_up", "Project=project_id"}
	sometimes := columns(looks, "Distributed=distributed", "HA=ha")
	return &resource{
		words: "router", noun: "Router", path: "routers", one: "router", many: "routers", name: "name", tags: true,
		columns: columns(looks, short...),
		long: columns(looks, append(short, "Routes=routes", "External gateway info=external_gateway_info",
			"Availability zones=availability_zones", "Tags=tags")...),
		sometimes: sometimes,
		filters: slices.Concat([]option{
			longOption(),
			{name: "name", attr: "name", help: "list routers of this name"},
			{name: "project", attr: "project_id", of: projectKind, help: "list routers of this project, by name or id"},
			{name: "agent", of: "network agent", via: "agents/%s/l3-routers", arg: "<agent-id>", help: "list routers that this L3 agent runs"},
		}, onOff("enable", "disable", "admin_state_up", "list routers that are up")),
		fields: fields(looks, `admin_state_up availability_zone_hints availability_zones created_at description distributed
			enable_ndp_proxy external_gateway_info flavor_id ha id interfaces_info name project_id revision_number routes
			status tags tenant_id updated_at`),
		create: &form{
			args: []argument{{name: "name", attr: "name"}},
			options: slices.Concat(routerOptions(), []option{
				projectOption(),
				{name: "availability-zone-hint", attr: "availability_zone_hints", many: true, arg: "<availability-zone>", help: "zone in which the router runs"},
			}),
			finish:  finishGateway,
			example: "neutrino router create r1 --external-gateway public",
		},
		set: &form{
			options: slices.Concat([]option{
				nameOption(),
				{name: "route", attr: "routes", many: true, front: true, arg: "destination=<subnet>,gateway=<ip-address>", keys: routeKeys(), help: "static route"},
				{name: "no-route", attr: "routes", clear: true, help: "replace the static routes"},
			}, routerOptions()),
			finish:  finishGateway,
			example: "neutrino router set r1 --external-gateway public --disable-snat\nneutrino router set r1 --route destination=10.8.0.0/24,gateway=10.1.0.9",
		},
		unset: &form{options: []option{
			{name: "route", attr: "routes", many: true, arg: "destination=<subnet>,gateway=<ip-address>", keys: routeKeys(), help: "static route to take away"},
			{name: "external-gateway", attr: "external_gateway_info", flag: true, value: object{}, help: "take the gateway away"},
		}, example: "neutrino router unset r1 --external-gateway"},
		remove: true,
		dress:  routerInterfaces,
	}
}

func routerOptions() []option {
	return slices.Concat(
		onOff("enable", "disable", "admin_state_up", "set the router up"),
		onOff("distributed", "centralized", "distributed", "route on every host"),
		onOff("ha", "no-ha", "ha", "run the router on more than one host"),
		onOff("enable-snat", "disable-snat", "external_gateway_info.enable_snat", "translate the source of what leaves by the gateway"),
		[]option{
			descriptionOption(),
			{name: "external-gateway", attr: "external_gateway_info.network_id", of: "network", arg: "<network>", help: "external network of the gateway"},
			{name: "fixed-ip", attr: "external_gateway_info.external_fixed_ips", many: true, replace: true, arg: "subnet=<subnet>,ip-address=<ip-address>", keys: fixedIPKeys(), help: "address of the gateway"},
		})
}

// routerInterfaces adds the addresses of a router's interfaces, which only its
// ports tell.
func routerInterfaces(ctx context.Context, s *session, router object) (object, error) {
	rows, err := s.api.list(ctx, request{path: "ports", query: url.Values{"device_id": {router.text("id")}}}, "ports")
	if err != nil {
		return nil, err
	}
	interfaces := []any{}
	for _, port := range rows {
		addresses, _ := port.get("fixed_ips").([]any)
		if port.text("device_owner") == "network:router_gateway" {
			continue
		}
		for _, a := range addresses {
			address, _ := a.(object)
			interfaces = append(interfaces, object{{"port_id", port.get("id")}, {"ip_address", address.get("ip_address")}, {"subnet_id", address.get("subnet_id")}})
		}
	}
	return router.with("interfaces_info", interfaces), nil
}
