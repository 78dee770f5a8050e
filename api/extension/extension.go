// Package extension lists the extensions of the Networking API that are realised,
// for /v2.0/extensions.
package extension

import (
	"slices"

	"neutrino/api/wire"
)

// extension is one entry of /v2.0/extensions.
type extension struct{ alias, name, description, updated string }

// extensions are those whose every attribute and rule is realised, with the
// exact names of api.md section 4.1: older clients compare names.
func extensions() []extension { return slices.Concat(extensionsToP(), extensionsFromQ()) }

func extensionsToP() []extension {
	return []extension{
		{"aap-reject-multicast", "Allowed address pairs reject multicast extension", "Reject multicast addresses in Allowed Address Pairs", "2026-04-01T00:00:00-00:00"},
		{"address-scope", "Address scope", "Address scopes extension.", "2015-07-26T10:00:00-00:00"},
		{"agent", "agent", "The agent management extension.", "2013-02-03T10:00:00-00:00"},
		{"agent-resources-synced", "Agent's Resource View Synced to Placement", "Stores success/failure of last sync to Placement", "2018-12-19T00:00:00-00:00"},
		{"agent_sort_key", "Agents Sort Key", "Enabling the keyword sort_key for sorting in agents.", "2013-02-03T10:00:00-00:00"},
		{"allowed-address-pairs", "Allowed Address Pairs", "Provides allowed address pairs", "2013-07-23T10:00:00-00:00"},
		{"availability_zone", "Availability Zone", "The availability zone extension.", "2015-01-01T10:00:00-00:00"},
		{"availability_zone_filter", "Availability Zone Filter Extension", "Add filter parameters to AvailabilityZone resource", "2018-06-22T10:00:00-00:00"},
		{"binding", "Port Binding", "Expose port bindings of a virtual port to external application", "2014-02-03T10:00:00-00:00"},
		{"data-plane-status", "Port data plane status extension", "Expose status of underlying data plane", "2017-01-24T10:00:00-00:00"},
		{"default-subnetpools", "Default Subnetpools", "Provides ability to mark and use a subnetpool as the default.", "2016-02-18T18:00:00-00:00"},
		{"binding-extended", "Port Bindings Extended", "Expose port bindings of a virtual port to external application", "2017-07-17T10:00:00-00:00"},
		{"dhcp_agent_scheduler", "DHCP Agent Scheduler", "Which DHCP agents serve which network.", "2013-02-07T10:00:00-00:00"},
		{"dns-domain-ports", "dns_domain for ports", "Allows the DNS domain to be specified for a network port.", "2017-04-24T10:00:00-00:00"},
		{"dns-integration", "DNS Integration", "Provides integration with DNS.", "2015-08-15T18:00:00-00:00"},
		{"empty-string-filtering", "Empty String Filtering Extension", "Allow filtering by attributes with empty string value", "2018-05-01T10:00:00-00:00"},
		{"expose-port-forwarding-in-fip", "Expose Floating IP port forwardings", "A floating IP shows its port forwardings.", "2018-06-28T16:00:00-00:00"},
		{"ext-gw-mode", "Neutron L3 Configurable external gateway mode", "Source NAT of a router's gateway can be switched off.", "2013-03-28T10:00:00-00:00"},
		{"external-net", "Neutron external network", "Adds external network attribute to network resource.", "2013-01-14T10:00:00-00:00"},
		{"extra_dhcp_opt", "Neutron Extra DHCP options", "Extra options configuration for DHCP. For example PXE boot options to DHCP clients can be specified (e.g. tftp-server, server-ip-address, bootfile-name)", "2013-03-17T12:00:00-00:00"},
		{"extraroute", "Neutron Extra Route", "Static routes of a router.", "2013-02-01T10:00:00-00:00"},
		{"extraroute-atomic", "Atomically add/remove extra routes", "Adding and removing routes of a router without naming the others.", "2019-07-10T00:00:00+00:00"},
		{"filter-validation", "Filter parameters validation", "Provides validation on filter parameters.", "2018-07-04T10:00:00-00:00"},
		{"fip-port-details", "Floating IP Port Details Extension", "A floating IP shows details of its port.", "2018-04-09T10:00:00-00:00"},
		{"floating-ip-port-forwarding", "Floating IP Port Forwarding", "Single ports of a floating IP lead to ports of instances.", "2018-01-19T10:00:00-00:00"},
		{"floating-ip-port-forwarding-description", "Floating IP Port Forwarding new attribute description", "A port forwarding has a description.", "2019-11-01T10:00:00-00:00"},
		{"floating-ip-port-forwarding-detail", "Floating IP port forwarding detail", "A floating IP shows the internal port of each port forwarding.", "2022-05-06T10:00:00-00:00"},
		{"floating-ip-port-forwarding-port-ranges", "Floating IP Port Forwarding support port ranges", "Ranges of ports of a floating IP lead to ports of instances.", "2020-07-01T10:00:00-00:00"},
		{"floatingip-pools", "Floating IP Pools Extension", "The subnets that floating IPs come from.", "2018-03-21T10:00:00-00:00"},
		{"ip-substring-filtering", "IP address substring filtering", "Provides IP address substring filtering when listing ports", "2017-11-28T09:00:00-00:00"},
		{"l3-port-ip-change-not-allowed", "Prevent L3 router ports IP address change extension", "Prevent change of IP address for some L3 router ports", "2018-10-09T10:00:00-00:00"},
		{"l3_agent_scheduler", "L3 Agent Scheduler", "Which L3 agent runs which router.", "2013-02-07T10:00:00-00:00"},
		{"metering", "Neutron Metering", "Labels of the traffic that routers count.", "2013-06-12T10:00:00-00:00"},
		{"metering_source_and_destination_fields", "Neutron Metering with source and destination filtering", "Rules of metering labels name sources and destinations.", "2020-08-21T08:12:00-00:00"},
		{"net-mtu", "Network MTU", "Provides MTU attribute for a network resource.", "2015-03-25T10:00:00-00:00"},
		{"net-mtu-writable", "Network MTU (writable)", "Provides a writable MTU attribute for a network resource.", "2017-07-12T00:00:00-00:00"},
		{"network-ip-availability", "Network IP Availability", "How many addresses each network and subnet has and uses.", "2015-09-24T00:00:00-00:00"},
		{"network_availability_zone", "Network Availability Zone", "Availability zone support for network.", "2015-01-01T10:00:00-00:00"},
		{"pagination", "Pagination support", "Extension that indicates that pagination is enabled.", "2016-06-12T00:00:00-00:00"},
		{"port-mac-address-regenerate", "Neutron Port MAC address regenerate", "Network port MAC address regenerate", "2018-05-03T10:00:00-00:00"},
		{"port-security", "Port Security", "Provides port security", "2012-07-23T10:00:00-00:00"},
		{"port-security-groups-filtering", "Port filtering on security groups", "Provides security groups filtering when listing ports", "2018-01-09T09:00:00-00:00"},
		{"project-id", "project_id field enabled", "Extension that indicates that project_id field is enabled.", "2016-09-09T09:09:09-09:09"},
		{"provider", "Provider Network", "Expose mapping of virtual networks to physical networks", "2012-09-07T10:00:00-00:00"},
	}
}

func extensionsFromQ() []extension {
	return []extension{
		{"quota-check-limit", "Quota engine limit check", "Support for checking the resource usage before applying a new quota limit", "2021-09-08T16:00:00-00:00"},
		{"quota-check-limit-default", "Quota engine limit check by default", "A new quota limit is never below the usage, unless that is forced.", "2024-08-21T16:00:00-00:00"},
		{"quota_details", "Quota details management support", "Expose functions for quotas usage statistics per project", "2017-02-10T10:00:00-00:00"},
		{"quotas", "Quota management support", "Expose functions for quotas management per project", "2012-07-29T10:00:00-00:00"},
		{"rbac-address-scope", "Add address_scope type to RBAC", "Address scopes can be shared with single projects.", "2020-02-12T00:00:00-00:00"},
		{"rbac-policies", "RBAC Policies", "Allows creation and modification of policies that control tenant access to resources.", "2015-06-17T12:15:12-00:00"},
		{"rbac-security-groups", "Add security_group type to network RBAC", "Security groups can be shared with single projects.", "2019-02-14T00:00:00-00:00"},
		{"rbac-subnetpool", "Add subnetpool type to RBAC", "Subnet pools can be shared with single projects.", "2020-02-05T00:00:00-00:00"},
		{"revision-if-match", "If-Match constraints based on revision_number", "Extension indicating that If-Match based on revision_number is supported.", "2016-12-11T00:00:00-00:00"},
		{"router", "Neutron L3 Router", "Routers between tenant networks and to external ones, with floating IPs.", "2012-07-20T10:00:00-00:00"},
		{"router_availability_zone", "Router Availability Zone", "Availability zones of routers.", "2015-01-01T10:00:00-00:00"},
		{"security-group", "security-group", "The security groups extension.", "2012-10-05T10:00:00-00:00"},
		{"security-groups-normalized-cidr", "Normalized CIDR field for security group rules", "Add new field with normalized remote_ip_prefix cidr in SG rule", "2020-07-28T10:00:00-00:00"},
		{"security-groups-rules-belongs-to-default-sg", "Security group rule belongs to the project's default security group", "Flag to determine if the security group rule belongs to the project's default security group", "2023-05-23T10:00:00-00:00"},
		{"security-groups-shared-filtering", "Security group filtering on the shared field", "Support filtering security groups on the shared field", "2021-10-05T09:00:00-00:00"},
		{"service-type", "Neutron Service Type Management", "The ways in which services are realised.", "2013-01-20T00:00:00-00:00"},
		{"sorting", "Sorting support", "Extension that indicates that sorting is enabled.", "2016-06-12T00:00:00-00:00"},
		{"standard-attr-description", "standard-attr-description", "Extension to add descriptions to standard attributes", "2016-02-10T10:00:00-00:00"},
		{"standard-attr-revisions", "Resource revision numbers", "This extension will display the revision number of neutron resources.", "2016-04-11T10:00:00-00:00"},
		{"standard-attr-tag", "Tag support for resources with standard attribute: floatingip, network, port, router, security_group, subnet, subnetpool", "Enables to set tag on resources with standard attribute.", "2017-01-01T00:00:00-00:00"},
		{"standard-attr-timestamp", "Resource timestamps", "Adds created_at and updated_at fields to all Neutron resources that have Neutron standard attributes.", "2016-09-12T10:00:00-00:00"},
		{"stateful-security-group", "Stateful security group", "Indicates if the security group is stateful or not", "2019-11-26T09:00:00-00:00"},
		{"subnet-service-types", "Subnet service types", "Provides ability to set the subnet service_types field", "2016-03-15T18:00:00-00:00"},
		{"subnet_allocation", "Subnet Allocation", "Enables allocation of subnets from a subnet pool", "2015-03-30T10:00:00-00:00"},
		{"subnet_onboard", "Subnet Onboard", "Provides support for onboarding subnets", "2018-12-18T09:00:00-00:00"},
		{"subnetpool-prefix-ops", "Subnet Pool Prefix Operations", "Provides support for adjusting the prefix list of subnet pools", "2019-02-08T10:00:00-00:00"},
		{"tag-creation", "Tag creation extension", "Tags can be added to those that are there in one request.", "2024-07-23T10:00:00-00:00"},
		{"tag-ports-during-bulk-creation", "Tag Ports During Bulk Creation", "A new port can have tags.", "2019-12-29T19:00:00-00:00"},
	}
}

// List is the answer to GET /v2.0/extensions.
func List() []byte {
	return append(wire.AppendList([]byte(`{"extensions":`), extensions(), appendExtension), '}')
}

func appendExtension(b []byte, e extension) []byte {
	b = wire.AppendString(append(b, `{"name":`...), e.name)
	b = wire.AppendString(append(b, `,"alias":`...), e.alias)
	b = wire.AppendString(append(b, `,"description":`...), e.description)
	b = wire.AppendString(append(b, `,"updated":`...), e.updated)
	return append(b, `,"links":[]}`...)
}

// One is the answer to GET /v2.0/extensions/{alias}, if there is one of that alias.
func One(alias string) ([]byte, bool) {
	for _, e := range extensions() {
		if e.alias == alias {
			return append(appendExtension([]byte(`{"extension":`), e), '}'), true
		}
	}
	return nil, false
}
