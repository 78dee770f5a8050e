package auth

func networkRules() []Rule {
	d := owned()
	d.get = or(admin, reader, service, "rule:shared", "rule:external", advsvc)
	tags := owned()
	tags.get = or(admin, reader, "rule:shared", "rule:external", advsvc)
	f := &family{resource: "network", collection: "/networks", called: "network"}
	return f.verbs(d).
		attributes(demands{create: admin, update: admin}, "shared", "router:external", "is_default").
		attributes(demands{create: or(admin, member), update: or(admin, member)}, "port_security_enabled").
		attributes(demands{create: admin, get: admin, update: admin}, "segments", "provider:network_type",
			"provider:physical_network", "provider:segmentation_id").
		tags(tags).rules
}

func subnetRules() []Rule {
	f := &family{resource: "subnet", collection: "/subnets", called: "subnet"}
	write := or(member, admin, networkMember)
	// Neutron's rule names external networks too, for servers with the extension
	// subnet-external-network, which this one is without.
	read := or(reader, "rule:shared", admin, networkReader)
	return f.verbs(demands{create: or(admin, networkMember), get: or(read, service), update: write, delete: write}).
		attributes(demands{create: admin, get: admin, update: admin}, "segment_id").
		// Neutron names administrators here too, and does not ask: its developers' tests
		// are members who set them.
		attributes(demands{create: or(admin, networkMember), update: write}, "service_types").
		tags(demands{create: write, get: read, update: write, delete: write}).rules
}

func subnetPoolRules() []Rule {
	d := owned()
	d.get = or(admin, reader, "rule:shared_subnetpools")
	f := &family{resource: "subnetpool", collection: "/subnetpools", called: "subnet pool"}
	return f.verbs(d).
		attributes(demands{create: admin}, "shared").
		attributes(demands{create: admin, update: admin}, "is_default").
		tags(d).
		action("onboard_network_subnets", or(admin, member), "Take a network's subnets into a subnet pool.").
		action("add_prefixes", or(admin, member), "Add prefixes to a subnet pool.").
		action("remove_prefixes", or(admin, member), "Remove prefixes from a subnet pool.").rules
}

func addressScopeRules() []Rule {
	d := owned()
	d.get = or(admin, reader, "rule:shared_address_scopes")
	f := &family{resource: "address_scope", collection: "/address-scopes", called: "address scope"}
	return f.verbs(d).attributes(demands{create: admin, update: admin}, "shared").rules
}

func portRules() []Rule {
	f := &family{resource: "port", collection: "/ports", called: "port"}
	trusted := or(admin, service, networkMember)
	// On a network that is shared with it a project builds with the role member: a
	// reader reads (api.md section 1.9).
	onShared := or(admin, service, networkMember, "role:member and rule:shared")
	own := or(admin, member, service)
	owner := or("not rule:network_device", trusted)
	f.verbs(demands{
		create: onShared,
		get:    or(admin, service, networkReader, reader),
		update: or(admin, service, member),
		delete: or(admin, service, networkMember, member),
	})
	f.attributes(demands{create: own, update: own}, "device_id", "binding:vnic_type").
		attributes(demands{create: owner, update: owner}, "device_owner").
		attributes(demands{create: trusted, update: or(admin, service, networkManager)}, "mac_address").
		attributes(demands{create: onShared, update: trusted}, "fixed_ips").
		attributes(demands{create: trusted, update: trusted}, "fixed_ips:ip_address").
		attributes(demands{create: onShared, update: onShared}, "fixed_ips:subnet_id").
		attributes(demands{create: trusted, update: trusted}, "port_security_enabled", "allowed_address_pairs",
			"allowed_address_pairs:mac_address", "allowed_address_pairs:ip_address")
	both := or(admin, service)
	// Neutron's default for binding:profile is the role service alone, which Nova's
	// user has beside admin; administrators may too here (api.md section 1.9).
	f.attributes(demands{create: both, get: both, update: both}, "binding:host_id", "binding:profile").
		attributes(demands{get: both}, "binding:vif_type", "binding:vif_details").
		attributes(demands{get: admin}, "resource_request").
		attributes(demands{create: admin, get: admin, update: admin}, "hints", "trusted").
		attributes(demands{update: or(admin, "role:data_plane_integrator")}, "data_plane_status")
	return f.tags(demands{
		create: or(admin, member, advsvc),
		get:    or(advsvc, admin, networkReader, reader),
		update: or(admin, member, advsvc),
		delete: or(advsvc, member, admin, networkMember),
	}).rules
}

// bindingRules differ from Neutron's in that administrators may do what the role
// service may (api.md section 1.9).
func bindingRules() []Rule {
	const bindings, one = "/ports/{port_id}/bindings", "/ports/{port_id}/bindings/{host}"
	both := or(admin, service)
	f := &family{}
	return f.add("get_port_binding", both, "See a port's bindings.", "GET "+bindings, "GET "+one).
		add("create_port_binding", both, "Bind a port to one more host.", "POST "+bindings).
		add("update_port_binding", both, "Change a port's binding.", "PUT "+one).
		add("delete_port_binding", both, "Remove a port's binding.", "DELETE "+one).
		add("activate", both, "Make a binding the port's active one.", "PUT "+one+"/activate").rules
}

func routerRules() []Rule {
	f := &family{resource: "router", collection: "/routers", called: "router"}
	own := or(admin, member)
	return f.verbs(owned()).
		attributes(demands{create: admin, get: admin, update: admin}, "distributed", "ha").
		attributes(demands{create: own, update: own}, "external_gateway_info", "external_gateway_info:network_id").
		attributes(demands{create: admin, update: admin}, "external_gateway_info:enable_snat",
			"external_gateway_info:external_fixed_ips", "enable_default_route_bfd", "enable_default_route_ecmp").
		tags(owned()).
		action("add_router_interface", own, "Connect a subnet or port to a router.").
		action("remove_router_interface", own, "Disconnect a subnet or port from a router.").
		action("add_extraroutes", own, "Add routes to a router.").
		action("remove_extraroutes", own, "Remove routes from a router.").rules
}

func floatingIPRules() []Rule {
	f := &family{resource: "floatingip", collection: "/floatingips", called: "floating IP"}
	f.verbs(owned()).
		attributes(demands{create: or(admin, manager)}, "floating_ip_address").
		tags(owned()).
		add("get_floatingip_pool", or(admin, reader), "See the pools that floating IPs come from.", "GET /floatingip_pools")
	forwarding := &family{resource: "floatingip_port_forwarding", called: "port forwarding",
		collection: "/floatingips/{floatingip_id}/port_forwardings", rules: f.rules}
	write := or(admin, parentMember)
	return forwarding.verbs(demands{create: write, get: or(admin, parentReader), update: write, delete: write}).rules
}

func securityGroupRules() []Rule {
	d := owned()
	d.get = or(admin, reader, "rule:shared_security_group")
	f := &family{resource: "security_group", collection: "/security-groups", called: "security group"}
	f.verbs(d).tags(d)
	rule := &family{resource: "security_group_rule", collection: "/security-group-rules", called: "security group rule", rules: f.rules}
	rule.verbs(demands{create: or(admin, groupMember), get: or(admin, groupReader), delete: or(admin, groupMember)})
	template := &family{resource: "default_security_group_rule", collection: "/default-security-group-rules",
		called: "rule of new security groups", rules: rule.rules}
	return template.verbs(demands{create: admin, get: anyReader, delete: admin}).rules
}

func rbacRules() []Rule {
	wildcard := or(admin, notForAll)
	f := &family{resource: "rbac_policy", collection: "/rbac-policies", called: "share"}
	return f.verbs(owned()).
		attributes(demands{create: wildcard, update: wildcard}, "target_tenant", "target_project").rules
}

// quotaRules are asked about the project whose quota it is, never about the
// caller's own (api.md section 6, W28).
func quotaRules() []Rule {
	f := &family{}
	return f.add("get_quota", or(admin, manager), "See the quota of a project.",
		"GET /quotas", "GET /quotas/{project_id}", "GET /quotas/{project_id}/default", "GET /quotas/{project_id}/details").
		add("update_quota", admin, "Change the quota of a project.", "PUT /quotas/{project_id}").
		add("delete_quota", admin, "Give a project the quota of all others again.", "DELETE /quotas/{project_id}").rules
}

func agentRules() []Rule {
	f := &family{resource: "agent", collection: "/agents", called: "agent"}
	const networks, routers = "/agents/{agent_id}/dhcp-networks", "/agents/{agent_id}/l3-routers"
	return f.verbs(demands{create: admin, get: admin, update: admin, delete: admin}).
		add("create_dhcp-network", admin, "Give a network to a DHCP agent.", "POST "+networks).
		add("get_dhcp-networks", admin, "See the networks of a DHCP agent.", "GET "+networks).
		add("delete_dhcp-network", admin, "Take a network from a DHCP agent.", "DELETE "+networks+"/{network_id}").
		add("create_l3-router", admin, "Give a router to an L3 agent.", "POST "+routers).
		add("get_l3-routers", admin, "See the routers of an L3 agent.", "GET "+routers).
		add("update_l3-router", admin, "Change a router of an L3 agent.", "PUT "+routers+"/{router_id}").
		add("delete_l3-router", admin, "Take a router from an L3 agent.", "DELETE "+routers+"/{router_id}").
		add("get_dhcp-agents", admin, "See the DHCP agents of a network.", "GET /networks/{network_id}/dhcp-agents").
		add("get_l3-agents", admin, "See the L3 agents of a router.", "GET /routers/{router_id}/l3-agents").rules
}

func meteringRules() []Rule {
	d := demands{create: or(admin, manager), get: or(admin, reader), delete: or(admin, manager)}
	label := &family{resource: "metering_label", collection: "/metering/metering-labels", called: "metering label"}
	rule := &family{resource: "metering_label_rule", collection: "/metering/metering-label-rules",
		called: "metering label rule", rules: label.verbs(d).rules}
	return rule.verbs(d).rules
}

func otherRules() []Rule {
	const topology, availability = "/auto-allocated-topology/{project_id}", "/network-ip-availabilities"
	f := &family{}
	return f.add("get_availability_zone", anyReader, "See the availability zones.", "GET /availability_zones").
		add("get_service_provider", anyReader, "See the providers of services.", "GET /service-providers").
		add("get_network_ip_availability", or(admin, service), "See how many addresses of a network are in use.",
			"GET "+availability, "GET "+availability+"/{network_id}").
		add("get_auto_allocated_topology", or(admin, reader), "Get the network that a project is given.", "GET "+topology).
		add("delete_auto_allocated_topology", or(admin, member), "Delete the network that a project was given.", "DELETE "+topology).rules
}
