package cli

import "slices"

func floatingIPs() *resource {
	short := []string{"ID=id", "Floating IP Address=floating_ip_address", "Fixed IP Address=fixed_ip_address", "Port=port_id",
		"Floating Network=floating_network_id", "Project=project_id"}
	return &resource{
		words: "floating ip", noun: "FloatingIP", path: "floatingips", one: "floatingip", many: "floatingips",
		name: "floating_ip_address", tags: true,
		columns: columns(nil, short...),
		long: columns(nil, append(short, "Router=router_id", "Status=status", "Description=description", "Tags=tags",
			"DNS Name=dns_name", "DNS Domain=dns_domain")...),
		filters: []option{
			longOption(),
			{name: "network", attr: "floating_network_id", of: "network", help: "list those from this network"},
			{name: "port", attr: "port_id", of: "port", help: "list those of this port"},
			{name: "fixed-ip-address", attr: "fixed_ip_address", arg: "<ip-address>", help: "list those of this fixed address"},
			{name: "floating-ip-address", attr: "floating_ip_address", arg: "<ip-address>", help: "list this address"},
			{name: "status", attr: "status", choices: []string{"ACTIVE", "DOWN"}, help: "list those of this status"},
			{name: "project", attr: "project_id", of: projectKind, help: "list those of this project, by name or id"},
			{name: "router", attr: "router_id", of: "router", help: "list those on this router"},
		},
		fields: fields(nil, `created_at description dns_domain dns_name fixed_ip_address floating_ip_address
			floating_network_id id name=floating_ip_address port_details port_id project_id qos_policy_id revision_number
			router_id status subnet_id tags updated_at`),
		create: &form{
			args: []argument{{name: "network", attr: "floating_network_id", of: "network"}},
			options: slices.Concat(floatingIPOptions(), []option{
				{name: "subnet", attr: "subnet_id", of: "subnet", help: "subnet from which the address is taken"},
				{name: "floating-ip-address", attr: "floating_ip_address", arg: "<ip-address>", help: "the address itself"},
				{name: "dns-domain", attr: "dns_domain", help: "DNS domain of the address"},
				{name: "dns-name", attr: "dns_name", help: "DNS name of the address"},
				projectOption(),
			}),
			example: "neutrino floating ip create public --port web-1",
		},
		set: &form{options: append(floatingIPOptions(), option{name: "no-qos-policy", attr: "qos_policy_id", flag: true, help: "take the QoS policy away"}),
			example: "neutrino floating ip set 192.0.2.7 --port web-1 --fixed-ip-address 10.1.0.7"},
		unset: &form{options: []option{
			{name: "port", attr: "port_id", flag: true, help: "take the address from its port"},
			{name: "qos-policy", attr: "qos_policy_id", flag: true, help: "take the QoS policy away"},
		}, example: "neutrino floating ip unset 192.0.2.7 --port"},
		remove: true,
	}
}

func floatingIPOptions() []option {
	return []option{
		{name: "port", attr: "port_id", of: "port", help: "port to which the address leads"},
		{name: "fixed-ip-address", attr: "fixed_ip_address", arg: "<ip-address>", help: "address of the port to which it leads"},
		{name: "qos-policy", attr: "qos_policy_id", help: "QoS policy, by id"},
		descriptionOption(),
	}
}

func portForwardings() *resource {
	return &resource{
		words: "floating ip port forwarding", noun: "PortForwarding", path: "port_forwardings", one: "port_forwarding",
		many: "port_forwardings", under: "floating ip",
		columns: columns(nil, "ID=id", "Internal Port ID=internal_port_id", "Internal IP Address=internal_ip_address",
			"Internal Port=internal_port", "Internal Port Range=internal_port_range", "External Port=external_port",
			"External Port Range=external_port_range", "Protocol=protocol", "Description=description"),
		filters: []option{
			{name: "port", attr: "internal_port_id", of: "port", help: "list those to this port"},
			{name: "external-protocol-port", attr: "external_port", parse: integer, arg: "<port-number>", help: "list those from this port number"},
			{name: "protocol", attr: "protocol", help: "list those of this protocol"},
		},
		fields: fields(nil, `description external_port external_port_range floatingip_id id internal_ip_address internal_port
			internal_port_id internal_port_range name protocol`),
		create: &form{options: forwardingOptions(true),
			example: "neutrino floating ip port forwarding create 192.0.2.7 --port web-1 --internal-ip-address 10.1.0.7 --internal-protocol-port 80 --external-protocol-port 8080 --protocol tcp"},
		set:    &form{options: forwardingOptions(false)},
		remove: true,
	}
}

func forwardingOptions(must bool) []option {
	return []option{
		{name: "port", attr: "internal_port_id", of: "port", must: must, help: "port to which it leads"},
		{name: "internal-ip-address", attr: "internal_ip_address", must: must, help: "address of the port to which it leads"},
		{name: "internal-protocol-port", attr: "internal_port", parse: portOrRange, must: must, arg: "<port-number>[:<port-number>]", help: "port number or range to which it leads"},
		{name: "external-protocol-port", attr: "external_port", parse: portOrRange, must: must, arg: "<port-number>[:<port-number>]", help: "port number or range of the floating IP"},
		{name: "protocol", attr: "protocol", parse: lower, must: must, help: "protocol, such as tcp or udp"},
		descriptionOption(),
	}
}
