package intent

import (
	"net/netip"
	"strconv"
	"strings"

	"neutrino"
)

// The rules of a security group rule's attributes, api.md section 3.4.

// Protocols that rules treat in their own way (IANA protocol numbers).
const (
	protoICMP   = 1
	protoICMPv6 = 58
	nameICMPv6  = "ipv6-icmp"
)

// protocolNumber is the number of a protocol by name or number; false for the
// empty text, which stands for any protocol, and for what is none.
func protocolNumber(name string) (int, bool) {
	switch name {
	case "icmpv6", nameICMPv6:
		return protoICMPv6, true
	case "icmp":
		return protoICMP, true
	}
	named := map[string]int{
		"ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "igmp": 2, "ip": 0, "ipip": 4,
		"ipv6-encap": 41, "ipv6-frag": 44, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43,
		"ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
	}
	if n, ok := named[name]; ok {
		return n, true
	}
	if name == "" || len(name) > 3 || strings.Trim(name, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(name)
	return n, err == nil && n <= 255
}

func isIPv6Only(protocol int) bool {
	switch protocol {
	case 41, 43, 44, protoICMPv6, 59, 60:
		return true
	}
	return false
}

func hasPorts(protocol int) bool {
	switch protocol {
	case 6, 17, 33, 132, 136:
		return true
	}
	return false
}

// normaliseRule checks a rule and puts it into its stored form.
func normaliseRule(r *neutrino.SecurityGroupRule) error {
	if r.Direction != neutrino.Ingress && r.Direction != neutrino.Egress {
		return neutrino.Errorf(neutrino.Invalid, "HTTPBadRequest",
			"Invalid input for direction. Reason: '%s' is not in ['ingress', 'egress'].", r.Direction)
	}
	switch strings.ToLower(string(r.EtherType)) {
	case "", "ipv4":
		r.EtherType = neutrino.IPv4
	case "ipv6":
		r.EtherType = neutrino.IPv6
	default:
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupRuleInvalidEtherType",
			"Security group rule for ethertype '%s' not supported. Allowed values are ['IPv4', 'IPv6'].", r.EtherType)
	}
	if err := normaliseProtocol(r); err != nil {
		return err
	}
	if err := normalisePorts(r); err != nil {
		return err
	}
	return normaliseRemote(r)
}

func normaliseProtocol(r *neutrino.SecurityGroupRule) error {
	given := r.Protocol
	r.Protocol = strings.ToLower(given)
	if r.Protocol == "any" {
		r.Protocol = ""
	}
	if r.Protocol == "" {
		return nil
	}
	n, ok := protocolNumber(r.Protocol)
	switch {
	case !ok:
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupRuleInvalidProtocol",
			"Security group rule protocol %s not supported. Only protocol names and integer representations [0 to 255] are supported.", given)
	case r.EtherType == neutrino.IPv4 && isIPv6Only(n):
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupEthertypeConflictWithProtocol",
			"Invalid ethertype %s for protocol %s.", r.EtherType, given)
	}
	if isNumber := r.Protocol[0] <= '9'; isNumber {
		r.Protocol = strconv.Itoa(n)
	}
	if r.EtherType == neutrino.IPv6 {
		switch r.Protocol {
		case "icmp", "icmpv6":
			r.Protocol = nameICMPv6
		case "1":
			r.Protocol = strconv.Itoa(protoICMPv6)
		}
	}
	return nil
}

// normalisePorts checks the port range, which for ICMP is type and code. No
// range stays for a protocol that has none: what cannot be built is refused
// here, or it would stop the firewall of a whole host (OSSA-2019-001).
func normalisePorts(r *neutrino.SecurityGroupRule) error {
	if r.PortRangeMin == nil && r.PortRangeMax == nil {
		return nil
	}
	n, given := protocolNumber(r.Protocol)
	switch {
	case !given:
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupProtocolRequiredWithPorts",
			"Must also specify protocol if port range is given.")
	case n == protoICMP || n == protoICMPv6:
		return checkICMP(r)
	case !hasPorts(n):
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupInvalidProtocolForPort",
			"Invalid protocol %s for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.", r.Protocol)
	}
	for _, port := range []*int{r.PortRangeMin, r.PortRangeMax} {
		if port != nil && (*port < 1 || *port > 65535) {
			return neutrino.Errorf(neutrino.Invalid, "SecurityGroupInvalidPortValue",
				"Invalid value for port %d.", *port)
		}
	}
	if r.PortRangeMin == nil || r.PortRangeMax == nil || *r.PortRangeMin > *r.PortRangeMax {
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupInvalidPortRange",
			"For TCP/UDP protocols, port_range_min must be <= port_range_max")
	}
	if *r.PortRangeMin == 1 && *r.PortRangeMax == 65535 {
		r.PortRangeMin, r.PortRangeMax = nil, nil
	}
	return nil
}

func checkICMP(r *neutrino.SecurityGroupRule) error {
	for _, field := range []struct {
		name  string
		value *int
	}{{"port_range_min", r.PortRangeMin}, {"port_range_max", r.PortRangeMax}} {
		if field.value != nil && (*field.value < 0 || *field.value > 255) {
			return neutrino.Errorf(neutrino.Invalid, "SecurityGroupInvalidIcmpValue",
				"Invalid value for ICMP %s (%s) %d. It must be 0 to 255.", icmpPart(field.name), field.name, *field.value)
		}
	}
	if r.PortRangeMin == nil {
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupMissingIcmpType",
			"ICMP code (port-range-max) %d is provided but ICMP type (port-range-min) is missing.", *r.PortRangeMax)
	}
	return nil
}

func icmpPart(field string) string {
	if field == "port_range_min" {
		return "type"
	}
	return "code"
}

// normaliseRemote checks whom the rule is about.
func normaliseRemote(r *neutrino.SecurityGroupRule) error {
	r.NormalizedCIDR = netip.Prefix{}
	if r.RemoteIPPrefix == "" {
		return nil
	}
	if r.RemoteGroupID != "" {
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupMultipleRemoteEntites",
			"Only one of remote_ip_prefix, remote_group_id or remote_address_group_id may be provided.")
	}
	text := r.RemoteIPPrefix
	if !strings.Contains(text, "/") {
		if a, err := netip.ParseAddr(text); err == nil && plain(a) {
			text += "/" + strconv.Itoa(a.BitLen())
		}
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || !plain(p.Addr()) {
		return neutrino.Errorf(neutrino.Invalid, "InvalidCIDR",
			"Invalid CIDR %s given as IP prefix.", r.RemoteIPPrefix)
	}
	family := neutrino.IPv6
	if p.Addr().Is4() {
		family = neutrino.IPv4
	}
	if family != r.EtherType {
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupRuleParameterConflict",
			"Conflicting value ethertype %s for CIDR %s", r.EtherType, r.RemoteIPPrefix)
	}
	r.RemoteIPPrefix, r.NormalizedCIDR = p.String(), p.Masked()
	return nil
}
