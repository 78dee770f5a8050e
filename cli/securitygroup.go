package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func securityGroups() *resource {
	statefulness := onOff("stateful", "stateless", "stateful", "answers to what is allowed are allowed")
	return &resource{
		words: "security group", noun: "SecurityGroup", path: "security-groups", one: "security_group",
		many: "security_groups", name: "name", tags: true,
		columns: columns(nil, "ID=id", "Name=name", "Description=description", "Project=project_id", "Tags=tags"),
		filters: []option{
			{name: "project", attr: "project_id", of: projectKind, help: "list groups of this project, by name or id"},
			{name: "name", attr: "name", help: "list groups of this name"},
			allProjectsOption(),
		},
		fields: fields(map[string]look{"security_group_rules": lines(ruleLine)},
			`created_at description id name project_id revision_number rules=security_group_rules stateful tags updated_at`),
		create: &form{
			args:    []argument{{name: "name", attr: "name"}},
			options: append(statefulness, descriptionOption(), projectOption()),
			finish: func(body object, _ []*given) (object, error) {
				if !body.has("description") {
					body = body.with("description", body.get("name"))
				}
				return body, nil
			},
			example: "neutrino security group create web",
		},
		set:    &form{options: append(statefulness, nameOption(), descriptionOption()), example: "neutrino security group set web --name www"},
		unset:  &form{},
		remove: true,
	}
}

func securityGroupRules() *resource {
	return &resource{
		words: "security group rule", noun: "SecurityGroupRule", path: "security-group-rules", one: "security_group_rule",
		many: "security_group_rules",
		columns: []column{
			{title: "ID", attr: "id"}, {title: "IP Protocol", attr: "protocol"}, {title: "Ethertype", attr: "ethertype"},
			{title: "IP Range", of: anyPrefix}, {title: "Port Range", of: portRange}, {title: "Direction", attr: "direction"},
			{title: "Remote Security Group", attr: "remote_group_id"}, {title: "Remote Address Group", attr: "remote_address_group_id"},
			{title: "Security Group", attr: "security_group_id"},
		},
		filters: []option{
			{name: "protocol", attr: "protocol", parse: lower, help: "list rules of this protocol"},
			{name: "ethertype", attr: "ethertype", choices: []string{"IPv4", "IPv6"}, help: "list rules of this IP version"},
			{name: "ingress", attr: "direction", flag: true, value: "ingress", help: "list rules for what comes in"},
			{name: "egress", attr: "direction", flag: true, value: "egress", help: "list rules for what goes out"},
			longOption(),
			allProjectsOption(),
		},
		fields: slices.Concat(fields(nil, `created_at description direction ether_type=ethertype id name port_range_max port_range_min
			project_id protocol remote_address_group_id remote_group_id revision_number security_group_id tags updated_at`),
			[]column{{title: "remote_ip_prefix", of: anyPrefix}}),
		create: &form{
			args:    []argument{{name: "group", attr: "security_group_id", of: "security group"}},
			options: ruleOptions(),
			finish:  finishRule,
			example: "neutrino security group rule create web --protocol tcp --dst-port 80:81\n" +
				"neutrino security group rule create web --protocol icmp --remote-group web",
		},
		remove: true,
	}
}

func ruleOptions() []option {
	return []option{
		{name: "protocol", attr: "protocol", parse: lower, help: "IP protocol by name or number, or any (default)"},
		{name: "proto", attr: "protocol", parse: lower, help: "the same as --protocol"},
		{name: "dst-port", attr: "dst_port", arg: "<port-range>", help: "destination port, or range as 137:139"},
		{name: "icmp-type", attr: "port_range_min", parse: integer, help: "ICMP type"},
		{name: "icmp-code", attr: "port_range_max", parse: integer, help: "ICMP code"},
		{name: "remote-ip", attr: "remote_ip_prefix", arg: "<ip-address>", help: "other side, in CIDR notation"},
		{name: "remote-group", attr: "remote_group_id", of: "security group", arg: "<group>", help: "other side, as the members of a group"},
		{name: "remote-address-group", attr: "remote_address_group_id", arg: "<group>", help: "other side, as an address group by id"},
		{name: "ingress", attr: "direction", flag: true, value: "ingress", help: "for what comes in (default)"},
		{name: "egress", attr: "direction", flag: true, value: "egress", help: "for what goes out"},
		{name: "ethertype", attr: "ethertype", choices: []string{"IPv4", "IPv6"}, help: "IP version (default: that of the protocol or of --remote-ip)"},
		descriptionOption(),
		projectOption(),
	}
}

// finishRule fills in what openstackclient fills in, and checks what belongs
// together.
func finishRule(body object, all []*given) (object, error) {
	protocol := body.text("protocol")
	if protocol == "any" {
		protocol, body = "", body.with("protocol", nil)
	}
	if !body.has("direction") {
		body = body.with("direction", "ingress")
	}
	prefix := body.text("remote_ip_prefix")
	if !body.has("ethertype") {
		version := "IPv4"
		if sixOnly(protocol) || strings.Contains(prefix, ":") {
			version = "IPv6"
		}
		body = body.with("ethertype", version)
	}
	remotes := 0
	for _, attr := range []string{"remote_ip_prefix", "remote_group_id", "remote_address_group_id"} {
		if body.has(attr) {
			remotes++
		}
	}
	if remotes > 1 {
		return nil, fmt.Errorf("--remote-ip, --remote-group and --remote-address-group exclude each other")
	}
	if remotes == 0 {
		body = body.with("remote_ip_prefix", anyPrefix(body))
	}
	return finishPorts(body, slices.Contains(icmpNames(), protocol))
}

func sixOnly(protocol string) bool {
	return strings.HasPrefix(protocol, "ipv6-") || slices.Contains([]string{"icmpv6", "41", "43", "44", "58", "59", "60"}, protocol)
}

// finishPorts turns --dst-port into the two attributes that ICMP's type and
// code share with it.
func finishPorts(body object, icmp bool) (object, error) {
	ports := body.text("dst_port")
	hasType, hasCode := body.has("port_range_min"), body.has("port_range_max")
	body = slices.DeleteFunc(body, func(m member) bool { return m.key == "dst_port" })
	switch {
	case ports != "" && (hasType || hasCode):
		return nil, fmt.Errorf("--dst-port excludes --icmp-type and --icmp-code")
	case hasCode && !hasType:
		return nil, fmt.Errorf("--icmp-code needs --icmp-type")
	case hasType && !icmp:
		return nil, fmt.Errorf("--icmp-type and --icmp-code need --protocol icmp")
	case ports == "":
		return body, nil
	case icmp:
		return nil, fmt.Errorf("ICMP has no ports; say --icmp-type instead of --dst-port")
	}
	from, to, isRange := strings.Cut(ports, ":")
	if !isRange {
		to = from
	}
	for attr, text := range map[string]string{"port_range_min": from, "port_range_max": to} {
		v, err := integer(text)
		if err != nil {
			return nil, fmt.Errorf("--dst-port %s: the form is a port or first:last", ports)
		}
		body = body.with(attr, v)
	}
	if number(json.Number(from)) > number(json.Number(to)) {
		return nil, fmt.Errorf("--dst-port %s: the first port is behind the last", ports)
	}
	return body, nil
}

// finishSubnet finds the IP version where nothing says it.
func finishSubnet(body object, _ []*given) (object, error) {
	if body.has("ip_version") {
		return body, nil
	}
	version := "4"
	if strings.Contains(body.text("cidr"), ":") {
		version = "6"
	}
	return body.with("ip_version", json.Number(version)), nil
}

// finishGateway finds options that say something about a gateway without one.
func finishGateway(body object, _ []*given) (object, error) {
	info, ok := body.get("external_gateway_info").(object)
	if ok && !info.has("network_id") {
		return nil, fmt.Errorf("--enable-snat, --disable-snat and --fixed-ip need --external-gateway")
	}
	return body, nil
}
