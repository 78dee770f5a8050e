package cli

import "slices"

func networkLooks() map[string]look {
	return map[string]look{"admin_state_up": upDown, "router:external": external, "subnets": commas,
		"availability_zones": commas, "availability_zone_hints": commas, "tags": commas}
}

func networks() *resource {
	looks := networkLooks()
	return &resource{
		words: "network", noun: "Network", path: "networks", one: "network", many: "networks", name: "name", tags: true,
		columns: columns(looks, "ID=id", "Name=name", "Subnets=subnets"),
		long: columns(looks, "ID=id", "Name=name", "Status=status", "Project=project_id", "State=admin_state_up",
			"Shared=shared", "Subnets=subnets", "Network Type=provider:network_type", "Router Type=router:external",
			"Availability Zones=availability_zones", "Tags=tags"),
		filters: networkFilters(),
		fields: fields(looks, `admin_state_up availability_zone_hints availability_zones created_at description dns_domain
			id ipv4_address_scope ipv6_address_scope is_default is_vlan_transparent=vlan_transparent mtu name
			port_security_enabled project_id provider:network_type provider:physical_network provider:segmentation_id
			qos_policy_id revision_number router:external segments shared status subnets tags updated_at`),
		create: &form{
			args: []argument{{name: "name", attr: "name"}},
			options: slices.Concat(networkOptions(), []option{
				projectOption(),
				{name: "availability-zone-hint", attr: "availability_zone_hints", many: true, arg: "<availability-zone>", help: "zone in which the network is served"},
			}, onOff("transparent-vlan", "no-transparent-vlan", "vlan_transparent", "make the network VLAN transparent")),
			example: "neutrino network create web\nneutrino network create public --external --provider-network-type flat --provider-physical-network physnet1",
		},
		set: &form{options: slices.Concat([]option{nameOption()}, networkOptions()),
			example: "neutrino network set web --mtu 1400 --description 'the web'"},
		unset:  &form{example: "neutrino network unset web --tag old"},
		remove: true,
	}
}

func networkFilters() []option {
	return slices.Concat([]option{
		longOption(),
		{name: "name", attr: "name", help: "list networks of this name"},
		{name: "project", attr: "project_id", of: projectKind, help: "list networks of this project, by name or id"},
		{name: "status", attr: "status", choices: []string{"ACTIVE", "BUILD", "DOWN", "ERROR"}, help: "list networks of this status"},
		{name: "provider-network-type", attr: "provider:network_type", choices: networkTypes(), help: "list networks of this type"},
		{name: "provider-physical-network", attr: "provider:physical_network", help: "list networks on this physical network"},
		{name: "provider-segment", attr: "provider:segmentation_id", parse: integer, help: "list networks with this VLAN or tunnel id"},
		{name: "agent", of: "network agent", via: "agents/%s/dhcp-networks", arg: "<agent-id>", help: "list networks that this DHCP agent serves"},
	},
		onOff("external", "internal", "router:external", "list external networks"),
		onOff("enable", "disable", "admin_state_up", "list networks that are up"),
		onOff("share", "no-share", "shared", "list shared networks"))
}

func networkTypes() []string { return []string{"flat", "geneve", "gre", "local", "vlan", "vxlan"} }

func networkOptions() []option {
	return slices.Concat(
		onOff("enable", "disable", "admin_state_up", "set the network up"),
		onOff("share", "no-share", "shared", "share the network between projects"),
		onOff("external", "internal", "router:external", "make the network an external one, for gateways and floating IPs"),
		onOff("default", "no-default", "is_default", "make the network the default external one"),
		onOff("enable-port-security", "disable-port-security", "port_security_enabled", "new ports are secured unless they say otherwise"),
		[]option{
			descriptionOption(),
			{name: "mtu", attr: "mtu", parse: integer, help: "MTU of the network in bytes"},
			{name: "dns-domain", attr: "dns_domain", help: "DNS domain of the network, with a dot at its end"},
			{name: "provider-network-type", attr: "provider:network_type", choices: networkTypes(), help: "how the network is realised"},
			{name: "provider-physical-network", attr: "provider:physical_network", help: "physical network that a flat or VLAN network is on"},
			{name: "provider-segment", attr: "provider:segmentation_id", parse: integer, help: "VLAN id, or tunnel id"},
			{name: "qos-policy", attr: "qos_policy_id", help: "QoS policy, by id"},
		})
}

func subnetLooks() map[string]look {
	return map[string]look{"allocation_pools": pools, "dns_nameservers": commas, "host_routes": lines(route),
		"service_types": commas, "tags": commas}
}

func subnets() *resource {
	looks := subnetLooks()
	return &resource{
		words: "subnet", noun: "Subnet", path: "subnets", one: "subnet", many: "subnets", name: "name", tags: true,
		columns: columns(looks, "ID=id", "Name=name", "Network=network_id", "Subnet=cidr"),
		long: columns(looks, "ID=id", "Name=name", "Network=network_id", "Subnet=cidr", "Project=project_id",
			"DHCP=enable_dhcp", "Name Servers=dns_nameservers", "Allocation Pools=allocation_pools",
			"Host Routes=host_routes", "IP Version=ip_version", "Gateway=gateway_ip", "Service Types=service_types", "Tags=tags"),
		filters: subnetFilters(),
		fields: fields(looks, `allocation_pools cidr created_at description dns_nameservers dns_publish_fixed_ip enable_dhcp
			gateway_ip host_routes id ip_version ipv6_address_mode ipv6_ra_mode name network_id project_id revision_number
			segment_id service_types subnetpool_id tags updated_at`),
		create: &form{
			args:    []argument{{name: "name", attr: "name"}},
			options: slices.Concat(subnetCreateOptions(), subnetOptions()),
			finish:  finishSubnet,
			example: "neutrino subnet create web-v4 --network web --subnet-range 10.1.0.0/24 --dns-nameserver 192.0.2.53\n" +
				"neutrino subnet create web-v6 --network web --ip-version 6 --subnet-range fd00::/64 --ipv6-ra-mode slaac --ipv6-address-mode slaac",
		},
		set: &form{
			options: slices.Concat([]option{
				nameOption(),
				{name: "no-allocation-pool", attr: "allocation_pools", clear: true, help: "replace the allocation pools"},
				{name: "no-dns-nameservers", attr: "dns_nameservers", clear: true, help: "replace the name servers"},
				{name: "no-host-route", attr: "host_routes", clear: true, help: "replace the host routes"},
			}, subnetOptions()),
			example: "neutrino subnet set web-v4 --no-dns-nameservers --dns-nameserver 192.0.2.54",
		},
		unset: &form{
			options: slices.Concat([]option{{name: "gateway", attr: "gateway_ip", flag: true, help: "take the gateway away"}}, subnetLists()),
			example: "neutrino subnet unset web-v4 --dns-nameserver 192.0.2.54",
		},
		remove: true,
	}
}

func subnetFilters() []option {
	return slices.Concat([]option{
		longOption(),
		{name: "ip-version", attr: "ip_version", choices: []string{"4", "6"}, help: "list subnets of this IP version"},
		{name: "service-type", attr: "service_types", many: true, here: true, help: "list subnets of this service type"},
		{name: "project", attr: "project_id", of: projectKind, help: "list subnets of this project, by name or id"},
		{name: "network", attr: "network_id", of: "network", help: "list subnets of this network"},
		{name: "gateway", attr: "gateway_ip", help: "list subnets with this gateway"},
		{name: "name", attr: "name", help: "list subnets of this name"},
		{name: "subnet-range", attr: "cidr", help: "list subnets of this range"},
		{name: "subnet-pool", attr: "subnetpool_id", of: "subnet pool", help: "list subnets from this pool"},
	}, onOff("dhcp", "no-dhcp", "enable_dhcp", "list subnets with DHCP"))
}

func subnetLists() []option {
	return []option{
		{name: "allocation-pool", attr: "allocation_pools", many: true, front: true, arg: "start=<ip-address>,end=<ip-address>",
			keys: []key{{name: "start", attr: "start", must: true}, {name: "end", attr: "end", must: true}}, help: "range from which addresses are given out"},
		{name: "dns-nameserver", attr: "dns_nameservers", many: true, front: true, help: "name server"},
		{name: "host-route", attr: "host_routes", many: true, front: true, arg: "destination=<subnet>,gateway=<ip-address>", keys: routeKeys(), help: "route that DHCP tells"},
		{name: "service-type", attr: "service_types", many: true, front: true, help: "device owner whose ports get addresses here"},
	}
}

func subnetOptions() []option {
	return slices.Concat(subnetLists(),
		onOff("dhcp", "no-dhcp", "enable_dhcp", "serve DHCP"),
		onOff("dns-publish-fixed-ip", "no-dns-publish-fixed-ip", "dns_publish_fixed_ip", "publish fixed IPs in DNS"),
		[]option{
			{name: "gateway", attr: "gateway_ip", parse: gateway, help: "address of the gateway, auto or none"},
			{name: "network-segment", attr: "segment_id", help: "segment of the network, by id"},
			descriptionOption(),
		})
}

func subnetCreateOptions() []option {
	modes := []string{"dhcpv6-stateful", "dhcpv6-stateless", "slaac"}
	return []option{
		projectOption(),
		{name: "network", attr: "network_id", of: "network", must: true, help: "network of the subnet"},
		{name: "subnet-range", attr: "cidr", help: "range in CIDR notation"},
		{name: "subnet-pool", attr: "subnetpool_id", of: "subnet pool", help: "pool from which the range is taken"},
		{name: "use-prefix-delegation", attr: "subnetpool_id", flag: true, value: "prefix_delegation", help: "the prefix is delegated from outside"},
		{name: "use-default-subnet-pool", attr: "use_default_subnetpool", flag: true, value: true, help: "take the range from the default pool"},
		{name: "prefix-length", attr: "prefixlen", parse: integer, help: "length of the prefix to take from a pool"},
		{name: "ip-version", attr: "ip_version", choices: []string{"4", "6"}, parse: integer, help: "IP version (default: that of the range, or 4)"},
		{name: "ipv6-ra-mode", attr: "ipv6_ra_mode", choices: modes, help: "how routers advertise"},
		{name: "ipv6-address-mode", attr: "ipv6_address_mode", choices: modes, help: "how addresses come to be"},
	}
}
