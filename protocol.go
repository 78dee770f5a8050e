package neutrino

import (
	"strconv"
	"strings"
)

// Numbers of the protocols that the plan treats on their own (IANA).
const (
	ProtoICMP    = 1
	ProtoTCP     = 6
	ProtoUDP     = 17
	ProtoDCCP    = 33
	ProtoICMPv6  = 58
	ProtoSCTP    = 132
	ProtoUDPLite = 136
)

// protocols are the names that a security group rule may use (api.md 3.4).
var protocols = map[string]int{
	"hopopt": 0, "icmp": ProtoICMP, "igmp": 2, "ipip": 4, "tcp": ProtoTCP, "egp": 8, "udp": ProtoUDP,
	"dccp": ProtoDCCP, "ipv6-encap": 41, "ipv6-route": 43, "ipv6-frag": 44, "rsvp": 46, "gre": 47,
	"esp": 50, "ah": 51, "ipv6-icmp": ProtoICMPv6, "icmpv6": ProtoICMPv6, "ipv6-nonxt": 59,
	"ipv6-opts": 60, "ospf": 89, "vrrp": 112, "pgm": 113, "sctp": ProtoSCTP, "udplite": ProtoUDPLite, "ip": 0,
}

// ProtocolNumber is the IP protocol number of a name of api.md section 3.4 or
// of a number in text, 0..255. Upper and lower case are the same.
func ProtocolNumber(s string) (int, bool) {
	if n, ok := protocols[strings.ToLower(s)]; ok {
		return n, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n <= 255
}

// ProtocolHasPorts reports whether the protocol's header has port numbers that
// a rule can match: TCP, UDP, DCCP, SCTP and UDP-Lite.
func ProtocolHasPorts(n int) bool {
	switch n {
	case ProtoTCP, ProtoUDP, ProtoDCCP, ProtoSCTP, ProtoUDPLite:
		return true
	}
	return false
}
