package cli

import (
	"fmt"
	"slices"

	"neutrino"
)

// agentTypes are the words of --agent-type.
func agentTypes() map[string]string {
	return map[string]string{"open-vswitch": neutrino.AgentOVS, "dhcp": neutrino.AgentDHCP, "l3": neutrino.AgentL3, "metadata": neutrino.AgentMetadata}
}

func agents() *resource {
	looks := map[string]look{"alive": smile, "admin_state_up": upDown, "configurations": pairs}
	return &resource{
		words: "network agent", noun: "Agent", path: "agents", one: "agent", many: "agents", name: "host",
		columns: columns(looks, "ID=id", "Agent Type=agent_type", "Host=host", "Availability Zone=availability_zone",
			"Alive=alive", "State=admin_state_up", "Binary=binary"),
		filters: []option{
			longOption(),
			{name: "agent-type", attr: "agent_type", choices: []string{"dhcp", "l3", "metadata", "open-vswitch"},
				parse: func(s string) (any, error) { return agentTypes()[s], nil }, help: "list agents of this type"},
			{name: "host", attr: "host", help: "list agents on this host"},
			{name: "network", of: "network", via: "networks/%s/dhcp-agents", help: "list DHCP agents that serve this network"},
			{name: "router", of: "router", via: "routers/%s/l3-agents", help: "list L3 agents that run this router"},
		},
		fields: fields(looks, `admin_state_up agent_type alive availability_zone binary configuration=configurations created_at
			description ha_state host id last_heartbeat_at=heartbeat_timestamp resources_synced started_at topic`),
		set: &form{options: append(onOff("enable", "disable", "admin_state_up", "let the agent be chosen"), descriptionOption()),
			example: "neutrino network agent set 3f1c… --disable"},
		remove: true,
	}
}

func zones() *resource {
	short := []column{{title: "Zone Name", attr: "name"}, {title: "Zone Status", of: zoneState}}
	empty := func(object) any { return "" }
	return &resource{
		words: "availability zone", noun: "AvailabilityZone", path: "availability_zones", one: "availability_zone", many: "availability_zones",
		columns: short,
		long: append(slices.Clone(short), column{title: "Zone Resource", attr: "resource"}, column{title: "Host Name", of: empty},
			column{title: "Service Name", of: empty}, column{title: "Service Status", of: empty}),
		filters: []option{longOption(), {name: "network", flag: true, help: "list network zones; there are no others here"}},
		noShow:  true,
	}
}

func extensions() *resource {
	return &resource{
		words: "extension", noun: "Extension", path: "extensions", one: "extension", many: "extensions", name: "alias",
		columns: columns(nil, "Name=name", "Alias=alias", "Description=description"),
		long:    columns(nil, "Name=name", "Alias=alias", "Description=description", "Namespace=namespace", "Updated=updated", "Links=links"),
		filters: []option{longOption(), {name: "network", flag: true, help: "list network extensions; there are no others here"}},
		fields:  fields(nil, "alias description id=alias links location name updated_at=updated"),
	}
}

func availabilities() *resource {
	looks := map[string]look{"subnet_ip_availability": lines(pairs)}
	return &resource{
		words: "ip availability", noun: "NetworkIPAvailability", path: "network-ip-availabilities", one: "network_ip_availability",
		many: "network_ip_availabilities", name: "network_name",
		columns: columns(nil, "Network ID=network_id", "Network Name=network_name", "Total IPs=total_ips", "Used IPs=used_ips"),
		filters: []option{projectOption(),
			{name: "ip-version", attr: "ip_version", choices: []string{"4", "6"}, help: "count addresses of this IP version"}},
		fields: fields(looks, "network_id network_name project_id subnet_ip_availability total_ips used_ips"),
	}
}

func providers() *resource {
	return &resource{
		words: "network service provider", noun: "ServiceProvider", path: "service-providers", one: "service_provider", many: "service_providers",
		columns: columns(nil, "Service Type=service_type", "Name=name", "Default=default"),
		noShow:  true,
	}
}

// action is a command between two objects.
type action struct {
	words   string
	help    string
	first   string // the resource whose path is taken
	second  argument
	routes  bool // takes --route instead of a second object
	method  string
	below   string // behind the first object's path; %s is the second's id
	only    string // switch that openstackclient wants
	example string
	last    bool // the path is that of the last argument
}

func actions() []action {
	subnet, port := argument{name: "subnet", attr: "subnet_id", of: "subnet"}, argument{name: "port", attr: "port_id", of: "port"}
	network, router := argument{name: "network", attr: "network_id", of: "network"}, argument{name: "router", attr: "router_id", of: "router"}
	return []action{
		{words: "router add subnet", help: "Add an interface on a subnet", first: "router", second: subnet, method: "PUT", below: "add_router_interface", example: "neutrino router add subnet r1 web-v4"},
		{words: "router remove subnet", help: "Remove the interface on a subnet", first: "router", second: subnet, method: "PUT", below: "remove_router_interface"},
		{words: "router add port", help: "Make a port an interface", first: "router", second: port, method: "PUT", below: "add_router_interface"},
		{words: "router remove port", help: "Remove an interface by its port", first: "router", second: port, method: "PUT", below: "remove_router_interface"},
		{words: "router add route", help: "Add static routes", first: "router", routes: true, method: "PUT", below: "add_extraroutes", example: "neutrino router add route r1 --route destination=10.8.0.0/24,gateway=10.1.0.9"},
		{words: "router remove route", help: "Remove static routes", first: "router", routes: true, method: "PUT", below: "remove_extraroutes"},
		{words: "network onboard subnets", help: "Take the subnets of a network into a pool", first: "subnet pool", second: network, last: true, method: "PUT", below: "onboard_network_subnets", example: "neutrino network onboard subnets web p4"},
		{words: "network agent add network", help: "Let a DHCP agent serve a network", first: "network agent", second: network, method: "POST", below: "dhcp-networks", only: "dhcp"},
		{words: "network agent remove network", help: "Take a network from a DHCP agent", first: "network agent", second: network, method: "DELETE", below: "dhcp-networks/%s", only: "dhcp"},
		{words: "network agent add router", help: "Let an L3 agent run a router", first: "network agent", second: router, method: "POST", below: "l3-routers", only: "l3"},
		{words: "network agent remove router", help: "Take a router from an L3 agent", first: "network agent", second: router, method: "DELETE", below: "l3-routers/%s", only: "l3"},
	}
}

// noun is the resource's name in a sentence.
func (r *resource) plural(n int) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", r.words)
	}
	if r.words[len(r.words)-1] == 'y' {
		return fmt.Sprintf("%d %sies", n, r.words[:len(r.words)-1])
	}
	return fmt.Sprintf("%d %ss", n, r.words)
}
