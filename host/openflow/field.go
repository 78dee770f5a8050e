package openflow

import "strconv"

// field is one header or metadata field, as in ovs-fields(7).
type field struct {
	name   string // in a match
	set    string // in set_field, when it has another name there
	nxm    string // its name in load and move, first choice
	oxm    string // the same, second choice
	nxmID  uint32 // class<<7|field, noID for none
	oxmID  uint32
	size   int // bytes on the wire
	bits   int // that are used
	form   form
	masked bool // may be matched under any mask
	need   need
	rank   int // place in a match
}

// need is what else a match must hold for a field to mean anything.
type need uint8

const (
	needNothing need = iota
	needVLAN
	needARP
	needIPv4
	needIPv6
	needIP
	needTCP
	needUDP
	needSCTP
	needICMP
	needICMP6
	needND
	needNS
	needNA
)

const (
	noID         = ^uint32(0)
	classNXM     = 0
	classNX      = 1
	classBasic   = 0x8000
	classEricson = 0x1000 // ND fields of OVS 2.11 and later
)

const (
	etherARP  = 0x0806
	etherRARP = 0x8035
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
	protoSCTP  = 132

	typeNS = 135
	typeNA = 136
)

func id(class, f uint32) uint32 { return class<<7 | f }

// header is the four bytes before a field's value.
func header(id uint32, size int, masked bool) uint32 {
	h := id<<9 | uint32(size)
	if masked {
		h = id<<9 | 1<<8 | uint32(2*size)
	}
	return h
}

// matchHeader is the identifier in matches and set_field: the standard one.
func (f *field) matchHeader() uint32 {
	if f.oxmID != noID {
		return f.oxmID
	}
	return f.nxmID
}

// extensionHeader is the identifier in the Nicira actions.
func (f *field) extensionHeader() uint32 {
	if f.nxmID != noID {
		return f.nxmID
	}
	return f.oxmID
}

func (f *field) setName() string {
	if f.set != "" {
		return f.set
	}
	return f.name
}

func (f *field) extensionName() string {
	if f.nxm != "" {
		return f.nxm
	}
	return f.oxm
}

// The fields by the names that the code below needs.
const (
	nameInPort = "in_port"
	nameVLAN   = "vlan_vid"
	nameEther  = "dl_type"
	nameProto  = "nw_proto"
	nameTunnel = "tun_id"
	nameICMP   = "icmp_type"
	nameICMP6  = "icmpv6_type"
)

var (
	fieldTable  = makeFields()
	fieldByName = indexNames(fieldTable)
	fieldByID   = indexIDs(fieldTable)

	fieldInPort = fieldByName[nameInPort]
	fieldVLAN   = fieldByName[nameVLAN]
	fieldEther  = fieldByName[nameEther]
	fieldProto  = fieldByName[nameProto]
	fieldTunnel = fieldByName[nameTunnel]
	fieldICMP6  = fieldByName[nameICMP6]
)

func makeFields() []*field {
	fields := append(metadataFields(), linkFields()...)
	fields = append(fields, networkFields()...)
	fields = append(fields, transportFields()...)
	for i, f := range fields {
		f.rank = i
	}
	return fields
}

func nx(n uint32) uint32    { return id(classNX, n) }
func nxm(n uint32) uint32   { return id(classNXM, n) }
func basic(n uint32) uint32 { return id(classBasic, n) }

func metadataFields() []*field {
	fields := []*field{
		{name: nameInPort, oxm: "OXM_OF_IN_PORT", nxmID: noID, oxmID: basic(0), size: 4, bits: 32, form: formPort},
		{name: "ct_state", nxm: "NXM_NX_CT_STATE", nxmID: nx(105), oxmID: noID, size: 4, bits: 32, form: formState, masked: true},
		{name: "ct_zone", nxm: "NXM_NX_CT_ZONE", nxmID: nx(106), oxmID: noID, size: 2, bits: 16, form: formDecimal},
		{name: "ct_mark", nxm: "NXM_NX_CT_MARK", nxmID: nx(107), oxmID: noID, size: 4, bits: 32, masked: true},
		{name: "pkt_mark", nxm: "NXM_NX_PKT_MARK", nxmID: nx(33), oxmID: noID, size: 4, bits: 32, masked: true},
		{name: "conj_id", nxm: "NXM_NX_CONJ_ID", nxmID: nx(37), oxmID: noID, size: 4, bits: 32, form: formDecimal},
	}
	for i := range uint32(16) {
		n := strconv.Itoa(int(i))
		fields = append(fields, &field{name: "reg" + n, nxm: "NXM_NX_REG" + n, nxmID: nx(i), oxmID: noID,
			size: 4, bits: 32, masked: true})
	}
	return append(fields,
		&field{name: nameTunnel, nxm: "NXM_NX_TUN_ID", oxm: "OXM_OF_TUNNEL_ID", nxmID: nx(16), oxmID: basic(38), size: 8, bits: 64, masked: true},
		&field{name: "tun_src", nxm: "NXM_NX_TUN_IPV4_SRC", nxmID: nx(31), oxmID: noID, size: 4, bits: 32, form: formIPv4, masked: true},
		&field{name: "tun_dst", nxm: "NXM_NX_TUN_IPV4_DST", nxmID: nx(32), oxmID: noID, size: 4, bits: 32, form: formIPv4, masked: true},
		&field{name: "metadata", oxm: "OXM_OF_METADATA", nxmID: noID, oxmID: basic(2), size: 8, bits: 64, masked: true},
	)
}

func linkFields() []*field {
	return []*field{
		// 13 bits: the twelve of the VLAN and the one that says there is a tag.
		{name: nameVLAN, oxm: "OXM_OF_VLAN_VID", nxmID: noID, oxmID: basic(6), size: 2, bits: 13, form: formVLAN, masked: true},
		{name: "vlan_tci", nxm: "NXM_OF_VLAN_TCI", nxmID: nxm(4), oxmID: noID, size: 2, bits: 16},
		{name: "dl_vlan_pcp", set: "vlan_pcp", oxm: "OXM_OF_VLAN_PCP", nxmID: noID, oxmID: basic(7), size: 1, bits: 3, form: formDecimal, need: needVLAN},
		{name: "dl_src", set: "eth_src", nxm: "NXM_OF_ETH_SRC", oxm: "OXM_OF_ETH_SRC", nxmID: nxm(2), oxmID: basic(4), size: 6, bits: 48, form: formMAC, masked: true},
		{name: "dl_dst", set: "eth_dst", nxm: "NXM_OF_ETH_DST", oxm: "OXM_OF_ETH_DST", nxmID: nxm(1), oxmID: basic(3), size: 6, bits: 48, form: formMAC, masked: true},
		{name: nameEther, set: "eth_type", nxm: "NXM_OF_ETH_TYPE", oxm: "OXM_OF_ETH_TYPE", nxmID: nxm(3), oxmID: basic(5), size: 2, bits: 16},
	}
}

func networkFields() []*field {
	return []*field{
		{name: nameProto, set: "ip_proto", nxm: "NXM_OF_IP_PROTO", oxm: "OXM_OF_IP_PROTO", nxmID: nxm(6), oxmID: basic(10), size: 1, bits: 8, form: formDecimal, need: needIP},
		{name: "ip_dscp", oxm: "OXM_OF_IP_DSCP", nxmID: noID, oxmID: basic(8), size: 1, bits: 6, form: formDecimal, need: needIP},
		{name: "nw_ecn", set: "ip_ecn", nxm: "NXM_NX_IP_ECN", oxm: "OXM_OF_IP_ECN", nxmID: nx(28), oxmID: basic(9), size: 1, bits: 2, form: formDecimal, need: needIP},
		{name: "nw_ttl", nxm: "NXM_NX_IP_TTL", nxmID: nx(29), oxmID: noID, size: 1, bits: 8, form: formDecimal, need: needIP},
		{name: "nw_src", set: "ip_src", nxm: "NXM_OF_IP_SRC", oxm: "OXM_OF_IPV4_SRC", nxmID: nxm(7), oxmID: basic(11), size: 4, bits: 32, form: formIPv4, masked: true, need: needIPv4},
		{name: "nw_dst", set: "ip_dst", nxm: "NXM_OF_IP_DST", oxm: "OXM_OF_IPV4_DST", nxmID: nxm(8), oxmID: basic(12), size: 4, bits: 32, form: formIPv4, masked: true, need: needIPv4},
		{name: "ipv6_src", nxm: "NXM_NX_IPV6_SRC", oxm: "OXM_OF_IPV6_SRC", nxmID: nx(19), oxmID: basic(26), size: 16, bits: 128, form: formIPv6, masked: true, need: needIPv6},
		{name: "ipv6_dst", nxm: "NXM_NX_IPV6_DST", oxm: "OXM_OF_IPV6_DST", nxmID: nx(20), oxmID: basic(27), size: 16, bits: 128, form: formIPv6, masked: true, need: needIPv6},
		{name: "arp_op", nxm: "NXM_OF_ARP_OP", oxm: "OXM_OF_ARP_OP", nxmID: nxm(15), oxmID: basic(21), size: 2, bits: 16, form: formDecimal, need: needARP},
		{name: "arp_spa", nxm: "NXM_OF_ARP_SPA", oxm: "OXM_OF_ARP_SPA", nxmID: nxm(16), oxmID: basic(22), size: 4, bits: 32, form: formIPv4, masked: true, need: needARP},
		{name: "arp_tpa", nxm: "NXM_OF_ARP_TPA", oxm: "OXM_OF_ARP_TPA", nxmID: nxm(17), oxmID: basic(23), size: 4, bits: 32, form: formIPv4, masked: true, need: needARP},
		{name: "arp_sha", nxm: "NXM_NX_ARP_SHA", oxm: "OXM_OF_ARP_SHA", nxmID: nx(17), oxmID: basic(24), size: 6, bits: 48, form: formMAC, masked: true, need: needARP},
		{name: "arp_tha", nxm: "NXM_NX_ARP_THA", oxm: "OXM_OF_ARP_THA", nxmID: nx(18), oxmID: basic(25), size: 6, bits: 48, form: formMAC, masked: true, need: needARP},
	}
}

func transportFields() []*field {
	return []*field{
		{name: "tp_src", set: "tcp_src", nxm: "NXM_OF_TCP_SRC", oxm: "OXM_OF_TCP_SRC", nxmID: nxm(9), oxmID: basic(13), size: 2, bits: 16, form: formDecimal, masked: true, need: needTCP},
		{name: "tp_dst", set: "tcp_dst", nxm: "NXM_OF_TCP_DST", oxm: "OXM_OF_TCP_DST", nxmID: nxm(10), oxmID: basic(14), size: 2, bits: 16, form: formDecimal, masked: true, need: needTCP},
		{name: "tp_src", set: "udp_src", nxm: "NXM_OF_UDP_SRC", oxm: "OXM_OF_UDP_SRC", nxmID: nxm(11), oxmID: basic(15), size: 2, bits: 16, form: formDecimal, masked: true, need: needUDP},
		{name: "tp_dst", set: "udp_dst", nxm: "NXM_OF_UDP_DST", oxm: "OXM_OF_UDP_DST", nxmID: nxm(12), oxmID: basic(16), size: 2, bits: 16, form: formDecimal, masked: true, need: needUDP},
		{name: "tp_src", set: "sctp_src", oxm: "OXM_OF_SCTP_SRC", nxmID: noID, oxmID: basic(17), size: 2, bits: 16, form: formDecimal, masked: true, need: needSCTP},
		{name: "tp_dst", set: "sctp_dst", oxm: "OXM_OF_SCTP_DST", nxmID: noID, oxmID: basic(18), size: 2, bits: 16, form: formDecimal, masked: true, need: needSCTP},
		{name: nameICMP, set: "icmpv4_type", nxm: "NXM_OF_ICMP_TYPE", oxm: "OXM_OF_ICMPV4_TYPE", nxmID: nxm(13), oxmID: basic(19), size: 1, bits: 8, form: formDecimal, need: needICMP},
		{name: "icmp_code", set: "icmpv4_code", nxm: "NXM_OF_ICMP_CODE", oxm: "OXM_OF_ICMPV4_CODE", nxmID: nxm(14), oxmID: basic(20), size: 1, bits: 8, form: formDecimal, need: needICMP},
		{name: nameICMP, set: nameICMP6, nxm: "NXM_NX_ICMPV6_TYPE", oxm: "OXM_OF_ICMPV6_TYPE", nxmID: nx(21), oxmID: basic(29), size: 1, bits: 8, form: formDecimal, need: needICMP6},
		{name: "icmp_code", set: "icmpv6_code", nxm: "NXM_NX_ICMPV6_CODE", oxm: "OXM_OF_ICMPV6_CODE", nxmID: nx(22), oxmID: basic(30), size: 1, bits: 8, form: formDecimal, need: needICMP6},
		{name: "nd_target", nxm: "NXM_NX_ND_TARGET", oxm: "OXM_OF_IPV6_ND_TARGET", nxmID: nx(23), oxmID: basic(31), size: 16, bits: 128, form: formIPv6, masked: true, need: needND},
		{name: "nd_sll", nxm: "NXM_NX_ND_SLL", oxm: "OXM_OF_IPV6_ND_SLL", nxmID: nx(24), oxmID: basic(32), size: 6, bits: 48, form: formMAC, masked: true, need: needNS},
		{name: "nd_tll", nxm: "NXM_NX_ND_TLL", oxm: "OXM_OF_IPV6_ND_TLL", nxmID: nx(25), oxmID: basic(33), size: 6, bits: 48, form: formMAC, masked: true, need: needNA},
		{name: "nd_reserved", oxm: "ERICOXM_OF_ICMPV6_ND_RESERVED", nxmID: noID, oxmID: id(classEricson, 1), size: 4, bits: 32, need: needND},
		{name: "nd_options_type", oxm: "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", nxmID: noID, oxmID: id(classEricson, 2), size: 1, bits: 8, form: formDecimal, need: needND},
	}
}

// indexNames finds a field by any of its names. Names that two protocols share
// (tp_src, icmp_type) are looked up by match.go, which knows the protocol.
func indexNames(fields []*field) map[string]*field {
	m := map[string]*field{}
	for _, f := range fields {
		for _, n := range []string{f.name, f.set, f.nxm, f.oxm} {
			if n != "" && (n == f.set || n == f.nxm || n == f.oxm || f.set == "" || f.need < needTCP) {
				m[n] = f
			}
		}
	}
	return m
}

func indexIDs(fields []*field) map[uint32]*field {
	m := map[uint32]*field{}
	for _, f := range fields {
		for _, id := range []uint32{f.nxmID, f.oxmID} {
			if id != noID {
				m[id] = f
			}
		}
	}
	return m
}
