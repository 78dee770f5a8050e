package cli

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// classics is the table of neutron's resources.
func classics() []classic {
	const all = "create list show update delete"
	name := []argument{{name: "name", attr: "name"}}
	return []classic{
		{prefix: "net", words: "network", noun: "network", list: "id name subnets", verbs: all, args: name, options: classicNet()},
		{prefix: "subnet", words: "subnet", noun: "subnet", list: "id name cidr allocation_pools", verbs: all, options: classicSubnet(),
			args: []argument{{name: "network", attr: "network_id", of: "network"}, {name: "cidr", attr: "cidr", optional: true}}, finish: finishSubnet},
		{prefix: "port", words: "port", noun: "port", list: "id name mac_address fixed_ips", verbs: all, options: classicPort(),
			args: []argument{{name: "network", attr: "network_id", of: "network"}}},
		{prefix: "router", words: "router", noun: "router", list: "id name external_gateway_info", verbs: all, args: name, options: classicRouter()},
		{prefix: "floatingip", words: "floating ip", noun: "floatingip", list: "id fixed_ip_address floating_ip_address port_id",
			verbs: "create list show delete", args: []argument{{name: "floating_network", attr: "floating_network_id", of: "network"}}, options: []option{
				{name: "port-id", attr: "port_id", of: "port", help: "port to which the address leads"},
				{name: "fixed-ip-address", attr: "fixed_ip_address", help: "address of the port"},
				{name: "floating-ip-address", attr: "floating_ip_address", help: "the address itself"},
				{name: "subnet", attr: "subnet_id", of: "subnet", help: "subnet from which the address is taken"},
				{name: "dns-name", attr: "dns_name", help: "DNS name of the address"},
				{name: "dns-domain", attr: "dns_domain", help: "DNS domain of the address"},
				descriptionOption(),
			}},
		{prefix: "security-group", words: "security group", noun: "security_group", list: "id name security_group_rules", verbs: all,
			args: name, options: []option{descriptionOption()}},
		{prefix: "security-group-rule", words: "security group rule", noun: "security_group_rule", verbs: "create list show delete",
			list: "id security_group direction ethertype port/protocol remote", options: classicRule(), finish: finishClassicRule,
			args: []argument{{name: "security_group", attr: "security_group_id", of: "security group"}}},
		{prefix: "agent", words: "network agent", noun: "agent", list: "id agent_type host availability_zone alive admin_state_up binary",
			verbs: "list show update delete", options: []option{descriptionOption(), classicDown(), {name: "admin-state-up", attr: "admin_state_up", choices: []string{"True", "False"}, parse: truth, help: "let the agent be chosen"}}},
		{prefix: "subnetpool", words: "subnet pool", noun: "subnetpool", list: "id name prefixes default_prefixlen address_scope_id is_default shared",
			verbs: all, args: name, options: classicPool()},
		{prefix: "address-scope", words: "address scope", noun: "address_scope", list: "id name ip_version", verbs: all,
			args: append(name, argument{name: "ip_version", attr: "ip_version"}), options: []option{classicShared()}},
		{prefix: "rbac", words: "network rbac", noun: "rbac_policy", list: "id object_type object_id", verbs: all,
			args: []argument{{name: "rbac_object", attr: "object_id", kind: sharedKind}}, options: classicPolicy(), finish: finishClassicPolicy},
		{prefix: "net-ip-availability", words: "ip availability", noun: "network_ip_availability", list: "network_id network_name total_ips used_ips", verbs: "list show"},
		{prefix: "meter-label", words: "network meter", noun: "metering_label", list: "id name description shared", verbs: "create list show delete",
			args: name, options: []option{descriptionOption(), classicShared()}},
		{prefix: "meter-label-rule", words: "network meter rule", noun: "metering_label_rule", list: "id excluded direction remote_ip_prefix",
			verbs: "create list show delete", options: []option{
				{name: "direction", attr: "direction", choices: []string{"ingress", "egress"}, help: "direction (default ingress)"},
				{name: "excluded", attr: "excluded", flag: true, value: true, help: "do not count the prefix"},
			}, args: []argument{{name: "label", attr: "metering_label_id", of: "network meter"}, {name: "remote_ip_prefix", attr: "remote_ip_prefix"}}},
		{prefix: "ext", words: "extension", noun: "extension", list: "alias name", verbs: "list show"},
		{prefix: "availability-zone", words: "availability zone", noun: "availability_zone", list: "name resource state", verbs: "list"},
	}
}

func truth(s string) (any, error) { return strings.EqualFold(s, "true"), nil }

func classicDown() option {
	return option{name: "admin-state-down", attr: "admin_state_up", flag: true, value: false, help: "set it down"}
}

func classicUp() option {
	return option{name: "admin-state-up", attr: "admin_state_up", choices: []string{"True", "False"}, parse: truth, help: "set it up or down"}
}

func classicNet() []option {
	return []option{
		classicDown(), classicUp(), descriptionOption(),
		classicShared(),
		{name: "dns-domain", attr: "dns_domain", help: "DNS domain of the network, with a dot at its end"},
		{name: "router:external", attr: "router:external", flag: true, value: true, help: "make the network an external one"},
		{name: "provider:network_type", attr: "provider:network_type", choices: networkTypes(), help: "how the network is realised"},
		{name: "provider:physical_network", attr: "provider:physical_network", help: "physical network"},
		{name: "provider:segmentation_id", attr: "provider:segmentation_id", parse: integer, help: "VLAN id, or tunnel id"},
		{name: "mtu", attr: "mtu", parse: integer, help: "MTU in bytes"},
		{name: "port_security_enabled", attr: "port_security_enabled", choices: []string{"True", "False"}, parse: truth, help: "new ports are secured"},
		{name: "availability-zone-hint", attr: "availability_zone_hints", many: true, help: "zone in which the network is served"},
	}
}

func classicSubnet() []option {
	return []option{
		descriptionOption(),
		{name: "name", attr: "name", help: "name"},
		{name: "gateway", attr: "gateway_ip", help: "address of the gateway"},
		{name: "no-gateway", attr: "gateway_ip", flag: true, help: "no gateway"},
		{name: "disable-dhcp", attr: "enable_dhcp", flag: true, value: false, help: "do not serve DHCP"},
		{name: "enable-dhcp", attr: "enable_dhcp", flag: true, value: true, help: "serve DHCP"},
		{name: "ip-version", attr: "ip_version", choices: []string{"4", "6"}, parse: integer, help: "IP version (default: that of the range)"},
		{name: "allocation-pool", attr: "allocation_pools", many: true, arg: "start=<ip-address>,end=<ip-address>",
			keys: []key{{name: "start", attr: "start", must: true}, {name: "end", attr: "end", must: true}}, help: "range from which addresses are given out"},
		{name: "dns-nameserver", attr: "dns_nameservers", many: true, help: "name server"},
		{name: "host-route", attr: "host_routes", many: true, arg: "destination=<cidr>,nexthop=<ip-address>",
			keys: []key{{name: "destination", attr: "destination", must: true}, {name: "nexthop", attr: "nexthop", must: true}}, help: "route that DHCP tells"},
		{name: "subnetpool", attr: "subnetpool_id", of: "subnet pool", help: "pool from which the range is taken"},
		{name: "use-default-subnetpool", attr: "use_default_subnetpool", flag: true, value: true, help: "take the range from the default pool"},
		{name: "prefixlen", attr: "prefixlen", parse: integer, help: "length of the prefix to take from a pool"},
		{name: "service-type", attr: "service_types", many: true, help: "device owner whose ports get addresses here"},
		{name: "ipv6-ra-mode", attr: "ipv6_ra_mode", help: "how routers advertise"},
		{name: "ipv6-address-mode", attr: "ipv6_address_mode", help: "how addresses come to be"},
	}
}

func classicPort() []option {
	return []option{
		classicDown(), classicUp(), descriptionOption(),
		{name: "name", attr: "name", help: "name"},
		{name: "fixed-ip", attr: "fixed_ips", many: true, arg: "subnet_id=<subnet>,ip_address=<ip-address>",
			keys: []key{{name: "subnet_id", attr: "subnet_id", of: "subnet"}, {name: "ip_address", attr: "ip_address"}}, help: "address of the port"},
		{name: "device-id", attr: "device_id", help: "device that uses the port"},
		{name: "device-owner", attr: "device_owner", help: "what uses the port"},
		{name: "mac-address", attr: "mac_address", help: "MAC address"},
		{name: "dns-name", attr: "dns_name", help: "DNS name of the port"},
		{name: "dns-domain", attr: "dns_domain", help: "DNS domain of the port"},
		{name: "extra-dhcp-opt", attr: "extra_dhcp_opts", many: true, arg: "opt_name=<name>,opt_value=<value>[,ip_version={4,6}]",
			keys: []key{{name: "opt_name", attr: "opt_name", must: true}, {name: "opt_value", attr: "opt_value"}, {name: "ip_version", attr: "ip_version"}}, help: "DHCP option of the port"},
		{name: "binding:host_id", attr: "binding:host_id", help: "host of the port"},
		{name: "security-group", attr: "security_groups", many: true, of: "security group", help: "group of the port"},
		{name: "no-security-groups", attr: "security_groups", clear: true, help: "no groups"},
		{name: "allowed-address-pair", attr: "allowed_address_pairs", many: true, arg: "ip_address=<ip-address>[,mac_address=<mac-address>]",
			keys: []key{{name: "ip_address", attr: "ip_address", must: true}, {name: "mac_address", attr: "mac_address"}}, help: "further address of the port"},
		{name: "no-allowed-address-pairs", attr: "allowed_address_pairs", clear: true, help: "no allowed addresses"},
		{name: "port_security_enabled", attr: "port_security_enabled", choices: []string{"True", "False"}, parse: truth, help: "filter the port's traffic"},
	}
}

func classicRouter() []option {
	yes := []string{"True", "False"}
	return []option{
		classicDown(), classicUp(), descriptionOption(),
		{name: "distributed", attr: "distributed", choices: yes, parse: truth, help: "route on every host"},
		{name: "ha", attr: "ha", choices: yes, parse: truth, help: "run the router on more than one host"},
		{name: "route", attr: "routes", many: true, arg: "destination=<cidr>,nexthop=<ip-address>",
			keys: []key{{name: "destination", attr: "destination", must: true}, {name: "nexthop", attr: "nexthop", must: true}}, help: "static route"},
		{name: "no-routes", attr: "routes", clear: true, help: "no static routes"},
	}
}

func classicRule() []option {
	return []option{
		descriptionOption(),
		{name: "direction", attr: "direction", choices: []string{"ingress", "egress"}, help: "direction (default ingress)"},
		{name: "ethertype", attr: "ethertype", choices: []string{"IPv4", "IPv6"}, help: "IP version (default IPv4)"},
		{name: "protocol", attr: "protocol", parse: lower, help: "IP protocol by name or number"},
		{name: "port-range-min", attr: "port_range_min", parse: integer, help: "first port, or the ICMP type"},
		{name: "port-range-max", attr: "port_range_max", parse: integer, help: "last port, or the ICMP code"},
		{name: "remote-ip-prefix", attr: "remote_ip_prefix", help: "other side, in CIDR notation"},
		{name: "remote-group-id", attr: "remote_group_id", of: "security group", help: "other side, as the members of a group"},
	}
}

// finishClassicRule fills in what the old client filled in.
func finishClassicRule(body object, _ []*given) (object, error) {
	if !body.has("direction") {
		body = body.with("direction", "ingress")
	}
	if !body.has("ethertype") {
		version := "IPv4"
		if body.text("protocol") == "icmpv6" {
			version = "IPv6"
		}
		body = body.with("ethertype", version)
	}
	return body, nil
}

// verb is a command of neutron that joins objects.
type verb struct {
	use     string // with its arguments; %s in text are these
	help    string
	kinds   []string // resources of the arguments
	below   string   // behind the first object's path
	options []option
	// body is made of the ids of the arguments.
	body func(ids []string, said object) object
	one  string // the key around the body
	text string // what is printed; {1} and {2} are the arguments, {port} the answer's port
	// method is PUT where it is empty; below ends in the second id for DELETE.
	method string
}

func verbs() []verb {
	gateway := []option{
		{name: "disable-snat", attr: "enable_snat", flag: true, value: false, help: "do not translate the source of what leaves"},
		{name: "fixed-ip", attr: "external_fixed_ips", many: true, arg: "subnet_id=<subnet>,ip_address=<ip-address>",
			keys: []key{{name: "subnet_id", attr: "subnet_id", of: "subnet"}, {name: "ip_address", attr: "ip_address"}}, help: "address of the gateway"},
	}
	fixed := []option{{name: "fixed-ip-address", attr: "fixed_ip_address", help: "address of the port"}}
	onSubnet := func(ids []string, _ object) object { return object{{"subnet_id", ids[1]}} }
	return []verb{
		{use: "router-interface-add <ROUTER> <SUBNET|port=PORT>", help: "Add an interface to a router", kinds: []string{"router", "subnet"},
			below: "/add_router_interface", body: onSubnet, text: "Added interface {port} to router {1}."},
		{use: "router-interface-delete <ROUTER> <SUBNET|port=PORT>", help: "Remove an interface from a router", kinds: []string{"router", "subnet"},
			below: "/remove_router_interface", body: onSubnet, text: "Removed interface from router {1}."},
		{use: "router-gateway-set <ROUTER> <EXTERNAL-NETWORK>", help: "Set the gateway of a router", kinds: []string{"router", "network"}, one: "router",
			options: gateway, body: func(ids []string, said object) object {
				return object{{"external_gateway_info", append(object{{"network_id", ids[1]}}, said...)}}
			}, text: "Set gateway for router {1}"},
		{use: "router-gateway-clear <ROUTER>", help: "Take the gateway from a router", kinds: []string{"router"}, one: "router",
			body: func([]string, object) object { return object{{"external_gateway_info", object{}}} }, text: "Removed gateway from router {1}"},
		{use: "floatingip-associate <FLOATINGIP> <PORT>", help: "Lead a floating IP to a port", kinds: []string{"floating ip", "port"}, one: "floatingip",
			options: fixed, body: func(ids []string, said object) object { return append(object{{"port_id", ids[1]}}, said...) }, text: "Associated floating IP {1}"},
		{use: "floatingip-disassociate <FLOATINGIP>", help: "Take a floating IP from its port", kinds: []string{"floating ip"}, one: "floatingip",
			body: func([]string, object) object { return object{{"port_id", nil}} }, text: "Disassociated floating IP {1}"},
		{use: "dhcp-agent-network-add <DHCP-AGENT> <NETWORK>", help: "Let a DHCP agent serve a network", kinds: []string{"network agent", "network"}, method: http.MethodPost,
			below: "/dhcp-networks", body: func(ids []string, _ object) object { return object{{"network_id", ids[1]}} }, text: "Added network {2} to DHCP agent"},
		{use: "dhcp-agent-network-remove <DHCP-AGENT> <NETWORK>", help: "Take a network from a DHCP agent", kinds: []string{"network agent", "network"}, method: http.MethodDelete,
			below: "/dhcp-networks", text: "Removed network {2} from DHCP agent"},
		{use: "l3-agent-router-add <L3-AGENT> <ROUTER>", help: "Let an L3 agent run a router", kinds: []string{"network agent", "router"}, method: http.MethodPost,
			below: "/l3-routers", body: func(ids []string, _ object) object { return object{{"router_id", ids[1]}} }, text: "Added router {2} to L3 agent"},
		{use: "l3-agent-router-remove <L3-AGENT> <ROUTER>", help: "Take a router from an L3 agent", kinds: []string{"network agent", "router"}, method: http.MethodDelete,
			below: "/l3-routers", text: "Removed router {2} from L3 agent"},
	}
}

func (p *program) verbCommand(v verb) *cobra.Command {
	cmd := &cobra.Command{Use: v.use, Short: v.help, Args: exactly(v.kinds...), ValidArgsFunction: p.completeArgs(v.kinds, false)}
	given := p.attach(cmd, v.options)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := p.open(cmd)
		if err != nil {
			return err
		}
		text, err := s.join(cmd, v, args, given)
		if err == nil {
			fmt.Fprintln(cmd.OutOrStdout(), text)
		}
		return err
	}
	return cmd
}

func (s *session) join(cmd *cobra.Command, v verb, args []string, given []*given) (string, error) {
	ctx := cmd.Context()
	said, err := s.body(ctx, change{given: given})
	if err != nil {
		return "", err
	}
	ids := make([]string, len(args))
	attr := ""
	for i, word := range args {
		of := v.kinds[i]
		if kind, name, ok := strings.Cut(word, "="); ok && slices.Contains([]string{"subnet", "port"}, kind) && v.below != "" {
			of, word, attr = kind, name, kind+"_id"
		}
		if ids[i], err = s.id(ctx, of, word); err != nil {
			return "", err
		}
	}
	method, below := cmp.Or(v.method, http.MethodPut), v.below
	if method == http.MethodDelete {
		below += "/" + url.PathEscape(ids[1])
	}
	var body object
	if v.body != nil {
		body = v.body(ids, said)
	}
	if attr != "" {
		body[0].key = attr
	}
	if v.one != "" {
		body = object{{v.one, body}}
	}
	path := s.item(s.resource(v.kinds[0]), "", ids[0]) + below
	req := request{method: method, path: path}
	if body != nil {
		req.body = body
	}
	answer, err := s.api.do(ctx, req)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("{1}", args[0], "{2}", args[len(args)-1], "{port}", answer.text("port_id")).Replace(v.text), nil
}
