package hostile

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// canary is in every hostile text, so that it can be found wherever it went.
const canary = "CANARY"

// raw is JSON as it stands in a body, also what no encoder writes.
func raw(text string) json.RawMessage { return json.RawMessage(text) }

// quoted is a text as JSON.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// texts are those that a line, a rule, a format or a shell could choke on.
func texts() []string {
	return []string{
		"", " ", canary, canary + "\ndhcp-script=/bin/sh", canary + "\r\nx", canary + "\x00x", "\n", "\n" + canary + "\n", canary + "\tx",
		canary + `"x`, canary + `'x`, canary + ",x", canary + ",10.1.0.99,set:x", canary + `\nx`, canary + `\`, canary + " # x", "#" + canary,
		canary + " -j ACCEPT", "-j ACCEPT " + canary, "--" + canary, "-A INPUT -j ACCEPT # " + canary, canary + "; reboot", "$(" + canary + ")", "`" + canary + "`",
		"%s%n%d" + canary, "{{." + canary + "}}", "${" + canary + "}", "../../" + canary, "/etc/" + canary, "a/" + canary, "<b>" + canary,
		canary + "\u202egnp", canary + "\u2028x", canary + "\u0085x", canary + "\u200b", "\ufeff" + canary, canary + "\U0001F600", "é" + canary,
		canary + "=x", canary + ":x", canary + "|x", "[" + canary + "]", "tag:" + canary, "option:" + canary, canary + "*",
		canary + strings.Repeat("x", 240), canary + strings.Repeat("x", 300), canary + strings.Repeat("é", 1100), canary + strings.Repeat("x", 5000),
		strings.Repeat("a.", 300) + canary, strings.Repeat("(", 5000) + canary, canary + "'; DROP TABLE ports; --",
	}
}

// addresses are texts that are nearly an address, a prefix, a MAC or an id.
func addresses() []string {
	return []string{
		"0.0.0.0", "0.0.0.0/0", "::/0", "::", "::/128", "0.0.0.0/32", "255.255.255.255", "255.255.255.255/32", "127.0.0.1", "127.0.0.0/8",
		"224.0.0.1", "224.0.0.0/4", "240.0.0.0/4", "169.254.169.254", "169.254.169.254/32", "10.1.0.77/16", "10.1.0.1", "10.1.255.255", "10.1.0.0", "10.1.0.77/33",
		"10.1.0.77/-1", "10.1.0.77/0", "10.1.0.77/00", "10.1.0.77/08", "10.1.0.77/", "/24", "10.1", "010.001.000.077", "0x0a010001", "167837697", "1.2.3.4.5",
		"::ffff:10.0.0.1", "::ffff:10.0.0.1/128", "::ffff:0:0/96", "::ffff:0:0", "::10.0.0.1", "64:ff9b::/96", "2001:db8:1::99/64", "2001:db8:1::99",
		"2001:DB8:1:0::1", "fe80::1", "fe80::/10", "fe80::1%eth0", "fe80::1%eth0/64", "ff02::1", "ff02::/16", "::1", "::1/129", "2001:db8::/31", "10.0.0.0/31", "10.0.0.0/32",
		"1::2::3", "[::1]", "10.1.0.5 ", " 10.1.0.5", "10.1.0.5\n", "10.1.0.5,10.1.0.6", "10.1.0.5-10.1.0.6", "10.1.0.0/255.255.0.0",
		"fa:16:3e:00:00:01", "FA-16-3E-00-00-01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "fa163e000001", "fa:16:3e:0:0:1", "fa:16:3e:00:00:01\n",
		"11111111-2222-4333-8444-555555555555", "11111111222243338444555555555555", strings.Repeat("1", 36),
	}
}

// words are those that some attribute takes.
func words() []string {
	return []string{
		"true", "True", "yes", "0", "1", "-1", "22", "65535", "65536", "255", "256", "1e3", "0x10", "1:2", "80:90", "90:80", "80-90", "1-65535", "tcp", "udp", "icmp", "ICMP", "icmpv6", "sctp", "any", "all", "ip",
		"IPv4", "ipv6", "IPv5", "ingress", "egress", "both", "slaac", "dhcpv6-stateful", "gre", "vlan", "vxlan", "flat", "local", "physnet1", "direct", "normal",
		"network:dhcp", "network:router_interface", "network:router_gateway", "network:floatingip", "network:distributed", "neutron:x", "compute:nova", "trunk:subport",
		compute, network, "default", "nova", "*", "None", "null", "access_as_shared", "access_as_external", "security_group", "port",
	}
}

// scalars are JSON values that are no texts.
func scalars() []json.RawMessage {
	out := []json.RawMessage{}
	for _, s := range []string{
		"null", "true", "false", "0", "1", "-1", "-0", "4", "6", "22", "80", "255", "256", "1280", "1500", "4094", "4095", "65535", "65536", "16777216", "2147483647", "2147483648", "-2147483649",
		"4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e400", "-1e400", "1e-400", "1.5", "1.0", "1e2", "123456789012345678901234567890",
		"{}", "[]", "[null]", "[[]]", "[{}]", `[""]`, "[0]", "[true]", `{"":""}`, `{"a":1,"a":2}`, `[[[[[[[[[[[[]]]]]]]]]]]]`, `"\ud800"`, `"\ud800` + canary + `"`, `"\u0000"`,
		"\"\xff\xfe" + canary + `"`, "NaN", "Infinity", "01", "'x'", "", "[,]", `{"a"}`,
	} {
		out = append(out, raw(s))
	}
	return out
}

// formsOf are the forms of an attribute that is a list or an object, each with a
// place for one hostile text.
func formsOf(attribute string) []string {
	return append([]string{`[%s]`, `[%[1]s,%[1]s]`, `{%[1]s:%[1]s}`}, map[string][]string{
		"fixed_ips":             {`[{"ip_address":%s}]`, `[{"subnet_id":%s}]`, `[{"subnet_id":"<subnet>","ip_address":%s}]`, `[{"subnet_id":"<subnet6>","ip_address":%s}]`},
		"allowed_address_pairs": {`[{"ip_address":%s}]`, `[{"ip_address":"10.1.0.88","mac_address":%s}]`, `[{%s:"10.1.0.9"}]`},
		"allocation_pools":      {`[{"start":%s,"end":"10.1.0.9"}]`, `[{"start":"10.1.0.9","end":%s}]`},
		"host_routes":           {`[{"destination":%s,"nexthop":"10.1.0.9"}]`, `[{"destination":"10.9.0.0/16","nexthop":%s}]`},
		"routes": {`[{"destination":%s,"nexthop":"10.1.0.9"}]`, `[{"destination":"10.9.0.0/16","nexthop":%s}]`,
			`[{"destination":"10.9.0.0/16","nexthop":"10.1.0.9",%[1]s:1}]`},
		"extra_dhcp_opts": {`[{"opt_name":%s,"opt_value":"1.2.3.4"}]`, `[{"opt_name":"bootfile-name","opt_value":%s}]`, `[{"opt_name":"client-id","opt_value":%s}]`,
			`[{"opt_name":"61","opt_value":%s}]`, `[{"opt_name":"dns-server","opt_value":%s}]`, `[{"opt_name":"router","opt_value":%s}]`, `[{"opt_name":"252","opt_value":%s}]`,
			`[{"opt_name":"domain-search","opt_value":%s,"ip_version":6}]`, `[{"opt_name":"bootfile-name","opt_value":"x","ip_version":%s}]`,
			`[{"opt_name":"classless-static-route","opt_value":%s}]`, `[{"opt_name":"mtu","opt_value":%s}]`, `[{"opt_name":"vendor-encap","opt_value":%s}]`},
		"external_gateway_info": {`{"network_id":%s}`, `{"network_id":"<external>","enable_snat":%s}`, `{"network_id":"<external>","external_fixed_ips":[{"ip_address":%s}]}`,
			`{"network_id":"<external>","external_fixed_ips":[{"subnet_id":%s}]}`, `{"network_id":"<external>",%[1]s:1}`},
		"binding:profile": {`{"migrating_to":%s}`},
	}[attribute]...)
}

// large are values that cost memory; they are made once.
var large = sync.OnceValue(func() []json.RawMessage {
	const deep = 2000
	return []json.RawMessage{
		raw(quoted(strings.Repeat("x", 1<<20))), raw(quoted(strings.Repeat("\n", 1<<19))), raw(strings.Repeat("9", 1<<16)),
		raw(strings.Repeat("[", deep) + strings.Repeat("]", deep)), raw(strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep)),
	}
})

// long are lists that cost memory, and lists as long as limits allow.
func long() []json.RawMessage {
	return []json.RawMessage{
		raw("[" + strings.Repeat(`"10.1.0.9",`, 20000) + `"10.1.0.9"]`), raw("[" + strings.Repeat("{},", 20000) + "{}]"),
		raw(many(5000, `{"destination":"10.%d.%d.0/24","nexthop":"10.1.0.9"}`)), raw(many(5000, `{"ip_address":"10.1.%d.%d"}`)),
		raw(many(5000, `{"opt_name":"bootfile-name","opt_value":"%d.%d"}`)), raw(many(300, `"10.%d.%d.1"`)), raw(many(60, `"10.%d.%d.1"`)),
		raw(many(40, `{"destination":"10.%d.%d.0/24","nexthop":"10.1.0.9"}`)), raw(many(18, `{"destination":"10.%d.%d.0/24","nexthop":"10.1.0.9"}`)),
		raw(many(64, `{"opt_name":"2%d%d","opt_value":"`+strings.Repeat("x", 250)+`"}`)),
	}
}

// many is a list of n forms with two counting numbers each.
func many(n int, form string) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(form, i/250, i%250))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// catalogue is every value that every attribute gets.
var catalogue = sync.OnceValue(func() []json.RawMessage {
	out := scalars()
	for _, list := range [][]string{texts(), addresses(), words()} {
		for _, s := range list {
			out = append(out, raw(quoted(s)))
		}
	}
	return out
})

// forms are the values of an attribute that is a list or an object.
func (w *world) forms(attribute string) []json.RawMessage {
	out := long()
	for _, list := range [][]string{texts(), addresses()} {
		for _, s := range list {
			for _, form := range formsOf(attribute) {
				out = append(out, raw(w.fill(fmt.Sprintf(form, quoted(s)))))
			}
		}
	}
	return out
}

// isPlain are attributes whose values are neither lists nor objects.
func isPlain(name string) bool {
	switch name {
	case "fixed_ips", "allowed_address_pairs", "extra_dhcp_opts", "host_routes", "allocation_pools", "dns_nameservers", "routes", "prefixes",
		"external_gateway_info", "binding:profile", "profile", "security_groups", "tags", "availability_zone_hints":
		return false
	}
	return true
}
