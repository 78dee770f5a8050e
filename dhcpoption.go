package neutrino

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What extra DHCP options a port can have: those that become one option on one
// line of dnsmasq's files. A line break in a value once let tenants write
// dnsmasq's configuration (OSSA-2021-005), and a comma in a client's id would
// write other hosts' lines.

// longestDHCPOption is how long an option's content is at most, bytes (RFC 2132, section 2).
const longestDHCPOption = 255

// IsClientID reports whether the option says who the client is, in place of its
// MAC: that stands in the line of the host and is sent to nobody.
func (o DHCPOption) IsClientID() bool {
	return o.IPVersion != 6 && (o.Name == "client-id" || o.Name == "61")
}

// Check refuses an option that no dnsmasq would take, or that it would take for
// something else. A name or an address of the other family is accepted, as by
// Neutron: clients ask for one list of options on ports of either family; see
// [DHCPOption.Fits].
func (o DHCPOption) Check() error {
	switch {
	case o.IPVersion != 4 && o.IPVersion != 6:
		return Invalidf("extra_dhcp_opts: ip_version %d is not one of 4, 6", o.IPVersion)
	case !o.isNamed():
		return Invalidf("extra_dhcp_opts: '%.64s' is not a valid opt_name: name an option as dnsmasq does, or its number",
			strings.ToValidUTF8(o.Name, "?"))
	case o.Remove:
		return nil
	case o.Value == "" && o.Name != "router" && o.Name != "classless-static-route":
		return Invalidf("extra_dhcp_opts: opt_value of '%s' is blank", o.Name)
	case len(o.Value) > longestDHCPOption || !utf8.ValidString(o.Value) || strings.ContainsFunc(o.Value, unicode.IsControl):
		return Invalidf("extra_dhcp_opts: opt_value of '%s' is longer than %d bytes or has control characters", o.Name, longestDHCPOption)
	case !isOneField(o):
		return Invalidf("extra_dhcp_opts: opt_value of '%s' has a quote, a # after a space or, as a client's id, a comma, a space or a colon that is not between bytes", o.Name)
	case o.Value != "" && !o.holds(4) && !o.holds(6):
		return Invalidf("extra_dhcp_opts: opt_value '%s' is not what option '%s' holds", o.Value, o.Name)
	}
	return nil
}

// isOneField refuses what dnsmasq reads as a quoted text, as a remark, or, in
// the line of a host, as further fields.
func isOneField(o DHCPOption) bool {
	if o.IsClientID() && strings.Contains(o.Value, ":") && !isHex(o.Value) {
		return false
	}
	space := o.IsClientID()
	for _, c := range o.Value {
		if c == '"' || space && c == '#' || o.IsClientID() && (c == ',' || unicode.IsSpace(c)) {
			return false
		}
		space = unicode.IsSpace(c)
	}
	return true
}

// isHex accepts bytes in hexadecimal with colons between them, as dnsmasq reads
// any client's id with a colon.
func isHex(s string) bool {
	for b := range strings.SplitSeq(s, ":") {
		if _, err := strconv.ParseUint(b, 16, 8); err != nil || len(b) > 2 {
			return false
		}
	}
	return true
}

// Fits reports whether the option is one of its family, with a value of its
// family. One that is not is sent to nobody.
func (o DHCPOption) Fits() bool {
	_, known := knownOptions(o.IPVersion)[o.Name]
	return (known || o.IsClientID() || o.isNumber()) && (o.Value == "" || o.holds(o.IPVersion))
}

// isNamed accepts the names of both families, and numbers of the option's own.
func (o DHCPOption) isNamed() bool {
	for _, version := range []int{4, 6} {
		if _, known := knownOptions(version)[o.Name]; known {
			return true
		}
	}
	return o.IsClientID() || o.isNumber()
}

// isNumber accepts 1..254 for DHCP, where 255 ends the options, and 1..65535 for
// DHCPv6.
func (o DHCPOption) isNumber() bool {
	n, err := strconv.Atoi(o.Name)
	most := 254
	if o.IPVersion == 6 {
		most = 65535
	}
	return err == nil && n >= 1 && n <= most && strconv.Itoa(n) == o.Name
}

// optionForm is what an option holds.
type optionForm byte

const (
	anything  optionForm = 'x' // dnsmasq guesses by the value
	text      optionForm = 't'
	addresses optionForm = 'a'
	number    optionForm = 'n'
	domains   optionForm = 'd'
)

// holds reports whether the value is one for the option, with addresses of the
// version.
func (o DHCPOption) holds(version int) bool {
	form := anything
	for name, option := range knownOptions(o.IPVersion) {
		if name == o.Name || strconv.Itoa(option.code) == o.Name {
			form = option.form
		}
	}
	if o.IsClientID() || form == text {
		return true
	}
	for part := range strings.SplitSeq(o.Value, ",") {
		switch _, err := strconv.ParseUint(part, 10, 32); {
		case form == addresses && !isAddress(part, version), form == number && err != nil, form == domains && !isDomain(part):
			return false
		case form == anything && strings.Contains(part, ".") && strings.Trim(part, "0123456789.") == "" && !isAddress(part, 4):
			return false // dnsmasq takes what looks like an address for one
		}
	}
	return true
}

// isDomain accepts a name of labels as RFC 1035, section 2.3.4, bounds them.
func isDomain(s string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' ||
			strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func isAddress(s string, version int) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok && version == 6 {
		s = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == "" && a.Is4() == (version == 4)
}

// dhcpOption is what dnsmasq knows of an option.
type dhcpOption struct {
	code int
	form optionForm
}

// knownOptions are the options of a family that dnsmasq 2.90 has names for, as
// dnsmasq --help dhcp and dhcp6 print them.
func knownOptions(version int) map[string]dhcpOption {
	if version == 6 {
		return map[string]dhcpOption{
			"sip-server-domain": {21, domains}, "sip-server": {22, addresses}, "dns-server": {23, addresses}, "domain-search": {24, domains},
			"nis-server": {27, addresses}, "nis+-server": {28, addresses}, "nis-domain": {29, domains}, "nis+-domain": {30, domains},
			"sntp-server": {31, addresses}, "information-refresh-time": {32, number}, "posix-timezone": {41, text},
			"tzdb-timezone": {42, text}, "ntp-server": {56, addresses}, "bootfile-url": {59, text}, "bootfile-param": {60, text},
		}
	}
	return map[string]dhcpOption{
		"netmask": {1, addresses}, "time-offset": {2, anything}, "router": {3, addresses}, "dns-server": {6, addresses},
		"log-server": {7, addresses}, "lpr-server": {9, addresses}, "boot-file-size": {13, number}, "domain-name": {15, text},
		"swap-server": {16, addresses}, "root-path": {17, text}, "extension-path": {18, text}, "ip-forward-enable": {19, number},
		"non-local-source-routing": {20, number}, "policy-filter": {21, addresses}, "max-datagram-reassembly": {22, number},
		"default-ttl": {23, number}, "mtu": {26, number}, "all-subnets-local": {27, number}, "router-discovery": {31, number},
		"router-solicitation": {32, addresses}, "static-route": {33, addresses}, "trailer-encapsulation": {34, number},
		"arp-timeout": {35, number}, "ethernet-encap": {36, number}, "tcp-ttl": {37, number}, "tcp-keepalive": {38, number},
		"nis-domain": {40, text}, "nis-server": {41, addresses}, "ntp-server": {42, addresses}, "netbios-ns": {44, addresses},
		"netbios-dd": {45, addresses}, "netbios-nodetype": {46, number}, "netbios-scope": {47, anything}, "x-windows-fs": {48, addresses},
		"x-windows-dm": {49, addresses}, "T1": {58, anything}, "T2": {59, anything}, "vendor-class": {60, anything},
		"nis+-domain": {64, text}, "nis+-server": {65, addresses}, "tftp-server": {66, text}, "bootfile-name": {67, text},
		"mobile-ip-home": {68, addresses}, "smtp-server": {69, addresses}, "pop3-server": {70, addresses}, "nntp-server": {71, addresses},
		"irc-server": {74, addresses}, "user-class": {77, anything}, "rapid-commit": {80, anything}, "client-arch": {93, number},
		"client-interface-id": {94, anything}, "client-machine-id": {97, anything}, "posix-timezone": {100, text},
		"tzdb-timezone": {101, text}, "ipv6-only": {108, number}, "domain-search": {119, domains}, "sip-server": {120, anything},
		"classless-static-route": {121, anything}, "vendor-id-encap": {125, anything}, "tftp-server-address": {150, addresses},
		"server-ip-address": {255, addresses},
	}
}
